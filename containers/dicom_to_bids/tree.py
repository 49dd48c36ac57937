"""Writes the BIDS tree; the same session gives the same bytes.

Sorted JSON, gzip without name and time (RFC 1952, section 2.3), NIfTI headers without the
fields in which dcm2niix leaves times and comments. ``scans.tsv`` has no dates. Not here: what
the files are called (``names``) and what their sidecars hold (``sidecars``, ``links``).
"""

from __future__ import annotations

import gzip
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from containers.contract import ToolFailedError
from containers.dicom_to_bids.convert import DCM2NIIX_VERSION, Converted, load_nifti
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.links import link_field_maps
from containers.dicom_to_bids.names import Named, Naming
from containers.dicom_to_bids.sidecars import bids_sidecar, left_out_keys

BIDS_VERSION = "1.10.0"
_GZIP_LEVEL = 6
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
    """Write the whole data set below ``root``, which must not exist yet."""
    root.mkdir(parents=True)
    stems = [
        f"{labels.folder}/{item.data_type}/{item.stem(labels.prefix)}" for item in naming.named
    ]
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


def _write_image(root: Path, stem: str, item: Named, sidecar: Mapping[str, Any]) -> tuple[str, ...]:
    image_path = root / f"{stem}.nii.gz"
    image_path.parent.mkdir(parents=True, exist_ok=True)
    image_path.write_bytes(_packed(_cleaned(item.image)))
    write_json(root / f"{stem}.json", sidecar)
    outputs = [f"{stem}.nii.gz", f"{stem}.json"]
    if item.suffix == "dwi":
        for source in (item.image.bval_path, item.image.bvec_path):
            if source is not None:
                shutil.copyfile(source, root / f"{stem}{source.suffix}")
                outputs.append(f"{stem}{source.suffix}")
    return tuple(outputs)


def _cleaned(image: Converted) -> bytes:
    """Return the NIfTI file with empty text fields, no extension and nothing behind the voxels."""
    content = image.image_path.read_bytes()
    # From the bytes: the header of an opened image has forgotten scaling and offset.
    header_class: Any = load_nifti(image.image_path).header_class
    header = header_class.from_fileobj(io.BytesIO(content))
    for name in _FREE_TEXT_FIELDS:
        if name in header.keys():  # noqa: SIM118 - iterating the header itself gives no names
            header[name] = b""
    start = int(header["vox_offset"])
    size = header.get_data_dtype().itemsize
    for length in header.get_data_shape():
        size *= int(length)
    if len(content) < start + size:
        raise ToolFailedError(
            f"dcm2niix wrote an image of scan {', '.join(image.scan_ids)} that is shorter than "
            "its header says; convert the session again with enough free disk space."
        )
    block = bytes(header.binaryblock)
    header["vox_offset"] = len(block) + 4
    return bytes(header.binaryblock) + b"\0" * 4 + content[start : start + size]


def _packed(content: bytes) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(
        filename="", mode="wb", fileobj=packed, mtime=0, compresslevel=_GZIP_LEVEL
    ) as stream:
        stream.write(content)
    return packed.getvalue()


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
