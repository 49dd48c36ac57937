"""Whether images are whole, and no byte of a data set tells whose it is.

Not here: taking identities out (``sidecars``, ``nifti``); this looks at what came of it.
"""

from __future__ import annotations

import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from containers.contract import ToolFailedError
from containers.dicom_to_bids.bids_files import BidsFiles, Finding, entities_of, stem_of
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.nifti import NiftiHeader, parse_nifti_header

_HEAD_BYTES = 1 << 14
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_EXTRAS = 0b11110
"""Flags of RFC 1952, section 2.3.1: checksum, extra field, original name, comment."""
_DIRECTIONS = 3
_CHOSEN_LABELS = re.compile(r"(?:sub|ses)-[A-Za-z0-9]+")
"""Labels are given by people, who are warned when one is also in the headers."""
_OWN_KEYS = frozenset(
    {
        *("GeneratedBy", "BIDSVersion", "DatasetType", "Name", "Description", "Units"),
        *("B0FieldIdentifier", "B0FieldSource", "ConversionSoftware", "ConversionSoftwareVersion"),
    }
)
"""Keys whose values this command writes from its own words."""
_CHOSEN = frozenset({"sub", "ses"})
_NUMBERED = frozenset({"run", "echo", "inv", "part", "dir", "flip", "mt", "chunk", "split"})
_LONG = 6


def check_images(files: BidsFiles) -> Iterator[Finding]:
    """Yield images that are cut short, hold texts, or do not fit their b-values."""
    for path in files.images:
        if not (files.root / path).stat().st_size:
            continue  # published example data sets keep empty images, as the validator says
        try:
            header, extension, size = _read_image(files.root / path)
        except (ToolFailedError, zlib.error, struct.error, ValueError):
            yield Finding("image", path, "The image is no NIfTI-1 file, or damaged.")
            continue
        expected = header.offset_bytes + header.size_bytes
        if size != expected % (1 << 32):
            yield Finding("image", path, "The image has another length than its header says.")
        if any(header.texts) or any(extension):
            yield Finding("image", path, "The image's header holds free text or an extension.")
        volumes = header.shape[3] if len(header.shape) > 3 else 1  # noqa: PLR2004 - time axis
        yield from _check_gradients(files, path, volumes)


def _check_gradients(files: BidsFiles, path: str, volumes: int) -> Iterator[Finding]:
    for ending, row_count in ((".bval", 1), (".bvec", _DIRECTIONS)):
        table = files.root / f"{stem_of(path)}{ending}"
        if table.exists():
            text = table.read_text("utf-8", errors="replace")
            rows = [line.split() for line in text.splitlines() if line.strip()]
            if len(rows) != row_count or any(len(row) != volumes for row in rows):
                yield Finding(
                    *("gradients", f"{stem_of(path)}{ending}"),
                    f"The table is not {row_count} by {volumes}, the number of volumes.",
                )


def _read_image(path: Path) -> tuple[NiftiHeader, bytes, int]:
    """Return header, the four bytes that announce extensions, and size modulo 2^32."""
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
        if path.suffix == ".gz":
            # The size before packing closes the file (RFC 1952, section 2.3.1).
            stream.seek(-4, 2)
            (size,) = struct.unpack("<I", stream.read(4))
            head = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 1024)
        else:
            size = path.stat().st_size % (1 << 32)
    return parse_nifti_header(head), head[348:352], size


def check_gzip_headers(files: BidsFiles) -> Iterator[Finding]:
    """Yield packed files that tell their first name, a comment, or when they were packed."""
    for path in (each for each in files.paths if each.endswith(".gz")):
        with (files.root / path).open("rb") as stream:
            head = stream.read(10)
        if head[:2] == _GZIP_MAGIC and (head[3] & _GZIP_EXTRAS or any(head[4:8])):
            yield Finding("gzip-header", path, "The packed file tells its first name or a time.")


def check_no_identity(
    files: BidsFiles, identity: SourceIdentity, *, is_report: bool = False
) -> Iterator[Finding]:
    """Yield files that hold a text that identifies in the source.

    Values and names are compared word for word. In running text and in reports, whose words are
    this command's and the validator's, only what cannot be a plain word counts: numbers and
    several words.
    """
    marked = [text for text in identity.texts if len(text) >= _LONG and not text.isalpha()]
    # Whole words: the digits of a patient's number also come in the fractions of measurements.
    pattern = re.compile(
        r"(?<![\w.])(?:" + "|".join(map(re.escape, sorted(marked))) + r")(?![\w.])"
    )
    for path in files.paths:
        if identity.touches(_free_labels(path)):
            yield Finding("identity", "(path withheld)", "A file's name identifies.")
        content = _head(files.root / path)
        folded = content.decode("utf-8", errors="replace")
        folded = _CHOSEN_LABELS.sub(" ", folded).casefold()
        is_found = bool(marked) and pattern.search(folded) is not None
        if not is_report:
            values = _table_cells(files, path) if path.endswith(".tsv") else ()
            values = _values(content) if path.endswith(".json") else values
            is_found = is_found or any(identity.touches(_free_labels(value)) for value in values)
        if is_found:
            yield Finding("identity", path, "The file holds a text that identifies in the source.")


def _free_labels(text: str) -> str:
    """Return what in a text may have been typed: of a file's name, labels that are words.

    Data types, suffixes and numbers are BIDS' words, which a study's description holds as well.
    """
    if "/" not in text and not text.startswith("sub-"):
        return text
    labels = entities_of(text.removeprefix("bids::"))
    return " ".join(value for key, value in labels.items() if key not in _CHOSEN | _NUMBERED)


def _table_cells(files: BidsFiles, path: str) -> Iterator[str]:
    if not path.endswith("_aslcontext.tsv"):  # its words are BIDS' own
        for row in files.table(path)[1:]:
            yield from row


def _head(path: Path) -> bytes:
    """Return a file's bytes; of an image what lies before the voxels."""
    with path.open("rb") as stream:
        if path.name.endswith(".nii.gz"):
            head = stream.read(_HEAD_BYTES)
            try:
                return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, 352)
            except zlib.error:
                return head
        return stream.read(352) if path.suffix == ".nii" else stream.read()


def _values(content: bytes) -> Iterator[str]:
    try:
        yield from _strings(json.loads(content))
    except ValueError:
        return


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key not in _OWN_KEYS:
                yield from _strings(each)
