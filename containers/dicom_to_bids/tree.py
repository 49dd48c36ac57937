"""Writes the BIDS tree; the same session gives the same bytes.

Sorted JSON, gzip without name and time (RFC 1952, section 2.3), NIfTI headers without the
fields in which dcm2niix leaves times and comments. ``scans.tsv`` has no dates. Not here: what
the files are called (``names``) and what their sidecars hold (``sidecars``, ``links``).
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from containers.contract import UsageError
from containers.dicom_to_bids.converter import DCM2NIIX_VERSION
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.links import link_field_maps
from containers.dicom_to_bids.names import Named, Naming
from containers.dicom_to_bids.nifti import pack_all
from containers.dicom_to_bids.sidecars import bids_sidecar, left_out_keys

BIDS_VERSION = "1.10.0"
_LONGEST_NAME = 255
"""Bytes that common file systems allow in one name."""
_README = """\
# {name}

One session, converted from DICOM to BIDS {bids} by winxnat {winxnat} with dcm2niix {dcm2niix}.

Times of day, dates, names of people, places and devices, and free texts of the headers are
not taken over. Faces are as they were measured: remove them before this data set leaves the
people who may see them.
"""


@dataclass(frozen=True, slots=True)
class Labels:
    """Subject and session label, letters and digits only; the session may have none."""

    subject: str
    session: str | None = None

    @property
    def prefix(self) -> str:
        """Return the beginning of every file name."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")

    @property
    def folder(self) -> str:
        """Return the folder of the session below the root."""
        return f"sub-{self.subject}" + (f"/ses-{self.session}" if self.session else "")


@dataclass(frozen=True, slots=True)
class Tree:
    """What was written: for each named image its files below the root, and what was noticed."""

    outputs: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...]
    left_out_keys: tuple[str, ...]


def write_tree(root: Path, naming: Naming, labels: Labels, identity: SourceIdentity) -> Tree:
    """Write the whole data set below ``root``, which must not exist yet.

    Raises
    ------
    UsageError
        The labels are so long that a file name would be.
    ToolFailedError
        An image is shorter than its header says.
    """
    stems = [
        f"{labels.folder}/{item.data_type}/{item.stem(labels.prefix)}" for item in naming.named
    ]
    _refuse_long_names(stems)
    root.mkdir(parents=True)
    additions, warnings = link_field_maps(naming.named, [f"{stem}.nii.gz" for stem in stems])
    outputs = []
    missing: set[str] = set()
    for item, stem, added in zip(naming.named, stems, additions, strict=True):
        sidecar = bids_sidecar(item, identity)
        missing |= left_out_keys(item.image.sidecar, sidecar)
        outputs.append(_write_image(root, stem, item, sidecar | dict(added)))
    pack_all(
        [
            (item.image.image_path, root / f"{stem}.nii.gz")
            for item, stem in zip(naming.named, stems, strict=True)
        ]
    )
    _write_description(root)
    _write_tables(root, labels, [f"{stem}.nii.gz" for stem in stems])
    return Tree(tuple(outputs), warnings, tuple(sorted(missing)))


def _refuse_long_names(stems: Iterable[str]) -> None:
    longest = max(len(f"{PurePosixPath(stem).name}.nii.gz") for stem in stems)
    if longest > _LONGEST_NAME:
        raise UsageError(
            f"The subject and session label make a file name of {longest} characters, "
            f"{_LONGEST_NAME} are allowed; give labels that are shorter by "
            f"{longest - _LONGEST_NAME}."
        )


def _write_image(root: Path, stem: str, item: Named, sidecar: Mapping[str, Any]) -> tuple[str, ...]:
    image_path = root / f"{stem}.nii.gz"
    image_path.parent.mkdir(parents=True, exist_ok=True)
    write_json(root / f"{stem}.json", sidecar)
    outputs = [f"{stem}.nii.gz", f"{stem}.json"]
    if item.suffix == "dwi":
        for source in (item.image.bval_path, item.image.bvec_path):
            if source is not None:
                shutil.copyfile(source, root / f"{stem}{source.suffix}")
                outputs.append(f"{stem}{source.suffix}")
    if item.aslcontext is not None:
        table = f"{_without_suffix(stem)}_aslcontext.tsv"
        text = "\n".join(["volume_type", *item.aslcontext]) + "\n"
        (root / table).write_text(text, encoding="utf-8")
        outputs.append(table)
    return tuple(outputs)


def _without_suffix(stem: str) -> str:
    return stem.rpartition("_")[0]


def write_json(path: Path, content: Any) -> None:
    """Write sorted, indented JSON with a final line break."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _write_description(root: Path) -> None:
    name = "MRI session"
    winxnat = version("winxnat")
    write_json(
        root / "dataset_description.json",
        {
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": [
                {"Name": "winxnat dicom-to-bids", "Version": winxnat},
                {"Name": "dcm2niix", "Version": DCM2NIIX_VERSION},
            ],
            "Name": name,
        },
    )
    readme = _README.format(
        name=name, bids=BIDS_VERSION, winxnat=winxnat, dcm2niix=DCM2NIIX_VERSION
    )
    (root / "README.md").write_text(readme, encoding="utf-8")


def _write_tables(root: Path, labels: Labels, images: list[str]) -> None:
    (root / "participants.tsv").write_text(
        f"participant_id\nsub-{labels.subject}\n", encoding="utf-8"
    )
    write_json(
        root / "participants.json",
        {"participant_id": {"Description": "Label of the subject in this data set"}},
    )
    below = [path.removeprefix(f"{labels.folder}/") for path in sorted(images)]
    table = root / labels.folder / f"{labels.prefix}_scans.tsv"
    table.write_text("\n".join(["filename", *below]) + "\n", encoding="utf-8")
