"""Writes the BIDS tree; the same session gives the same bytes.

Sorted JSON, gzip without name and time (RFC 1952, section 2.3), NIfTI headers without the
fields in which dcm2niix leaves times and comments. ``scans.tsv`` has no dates. Not here: what
the files are called (``names``) and what their sidecars hold (``sidecars``, ``links``).
"""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from math import prod
from pathlib import Path, PurePosixPath
from typing import Any

from containers.contract import ToolFailedError, UsageError
from containers.dicom_to_bids.convert import DCM2NIIX_VERSION, Converted, load_nifti
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.links import link_field_maps
from containers.dicom_to_bids.names import Named, Naming
from containers.dicom_to_bids.sidecars import bids_sidecar, left_out_keys

BIDS_VERSION = "1.10.0"
_GZIP_LEVEL = 6
_CHUNK_BYTES = 1 << 20
_NO_EXTENSION = bytes(4)
_LONGEST_NAME = 255
"""Bytes that common file systems allow in one name."""
_FREE_TEXT_FIELDS = ("data_type", "db_name", "descrip", "aux_file", "intent_name")
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
    _pack_cleaned(item.image, image_path)
    write_json(root / f"{stem}.json", sidecar)
    outputs = [f"{stem}.nii.gz", f"{stem}.json"]
    if item.suffix == "dwi":
        for source in (item.image.bval_path, item.image.bvec_path):
            if source is not None:
                shutil.copyfile(source, root / f"{stem}{source.suffix}")
                outputs.append(f"{stem}{source.suffix}")
    return tuple(outputs)


def _pack_cleaned(image: Converted, target_path: Path) -> None:
    """Pack the NIfTI file with empty text fields, no extension and nothing behind the voxels.

    Piece by piece: a long series at high resolution is larger than the memory of a container.
    """
    # From the bytes: the header of an opened image has forgotten scaling and offset.
    header_class: Any = load_nifti(image.image_path).header_class
    with image.image_path.open("rb") as source:
        header = header_class.from_fileobj(source)
        for name in _FREE_TEXT_FIELDS:
            if name in header.keys():  # noqa: SIM118 - iterating the header gives no names
                header[name] = b""
        start = int(header["vox_offset"])
        size = header.get_data_dtype().itemsize * prod(map(int, header.get_data_shape()))
        if image.image_path.stat().st_size < start + size:
            raise ToolFailedError(
                f"dcm2niix wrote an image of scan {', '.join(image.scan_ids)} that is shorter "
                "than its header says; convert the session again with enough free disk space."
            )
        header["vox_offset"] = len(header.binaryblock) + len(_NO_EXTENSION)
        source.seek(start)
        with (
            target_path.open("wb") as target,
            gzip.GzipFile("", "wb", _GZIP_LEVEL, target, mtime=0) as packed,
        ):
            packed.write(bytes(header.binaryblock) + _NO_EXTENSION)
            for begin in range(0, size, _CHUNK_BYTES):
                packed.write(source.read(min(_CHUNK_BYTES, size - begin)))


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
