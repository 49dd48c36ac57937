"""What is in the session's folder: its scans, their files, and whether they are whole.

Reads the XNAT layout (``SCANS/<id>/...``) or any folder of DICOM files. A file counts as
DICOM by its magic word (PS3.10, section 7.1). Not here: pictures (``convert``).
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from containers.contract import BadInputError
from containers.dicom_to_bids.identity import (
    PERSON_KEYWORDS,
    WHOLE_KEYWORDS,
    SourceIdentity,
    identity_texts,
)

_MAGIC_OFFSET = 128
_MAGIC = b"DICM"
_UNKNOWN_LENGTH = 0xFFFFFFFF
_END_OF_ITEMS = b"\xfe\xff\xdd\xe0"
_TAIL_BYTES = 64
_PIXEL_ELEMENTS = (b"\xe0\x7f\x10\x00", b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00")
_PIXEL_ELEMENTS_BIG = (b"\x7f\xe0\x00\x10", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09")
_DICOM_SUFFIXES = frozenset({".dcm", ".ima", ".dicom"})
_FACT_KEYWORDS = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDescription",
    "ProtocolName",
    "SeriesDate",
    "SeriesTime",
    "AcquisitionDate",
    "AcquisitionTime",
    "EchoTime",
    "ImageType",
    "Rows",
    "Columns",
)


class _Pixels(Enum):
    """What a file has of its pixel element."""

    NONE = "none"
    CUT = "cut short"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class DicomFile:
    """One DICOM file and the header facts that this step looks at; they never leave it.

    ``join_key`` is equal for files that a scanner measured as one series although it exported
    each volume as a series of its own.
    """

    path: Path
    study_uid: str
    series_uid: str
    series_number: int | None
    patient: str
    is_image: bool
    is_whole: bool
    taken_at: str
    join_key: tuple[str, ...]
    protocol: str
    texts: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True, slots=True)
class Scan:
    """The files that XNAT, or the series number, holds together."""

    scan_id: str
    files: tuple[DicomFile, ...]

    @property
    def images(self) -> tuple[DicomFile, ...]:
        """Return the files with pixels."""
        return tuple(file for file in self.files if file.is_image)


@dataclass(frozen=True, slots=True)
class Inventory:
    """The session: its scans in order, and how many other files lie beside them."""

    scans: tuple[Scan, ...]
    study_count: int
    other_file_count: int
    identity: SourceIdentity


def read_inventory(folder: Path) -> Inventory:
    """Read all headers below ``folder``.

    Raises
    ------
    BadInputError
        No files, no DICOM files, two patients, or a file that is cut short or damaged. Such
        a file refuses the whole session: without it a series would be converted with a slice
        or volume missing, and nobody would see it.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if not paths:
        raise BadInputError(
            "Cannot convert the session: the input folder holds no files; give it the "
            "session's DICOM files."
        )
    read: list[DicomFile] = []
    damaged: list[Path] = []
    other = 0
    with _quiet_reader():
        for path in paths:
            if not _has_magic(path):
                is_stump = path.stat().st_size <= _MAGIC_OFFSET + len(_MAGIC)
                if is_stump and path.suffix.lower() in _DICOM_SUFFIXES:
                    damaged.append(path)
                else:
                    other += 1
                continue
            file = _read_file(path)
            if file is None or (file.is_image and not file.series_uid):
                damaged.append(path)
            elif file.series_uid:
                read.append(file)
            else:
                other += 1
    if not read and not damaged:
        raise BadInputError(
            f"Cannot convert the session: none of its {len(paths)} files is a DICOM file; "
            "give the step the original DICOM files."
        )
    scans = _group(folder, read)
    _refuse_damaged(folder, scans, damaged)
    _refuse_two_patients(read)
    texts = frozenset(text for file in read for text in file.texts)
    studies = {file.study_uid for file in read if file.study_uid}
    return Inventory(scans, len(studies), other, SourceIdentity(texts))


@contextmanager
def _quiet_reader() -> Iterator[None]:
    """Keep pydicom silent: what it says of values against the standard quotes the values.

    Such values are common in real headers, and none is used here in a way that depends on its
    form.
    """
    logger = logging.getLogger("pydicom")
    was_disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled


def _has_magic(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(_MAGIC_OFFSET)
        return stream.read(len(_MAGIC)) == _MAGIC


def _read_file(path: Path) -> DicomFile | None:
    """Return the file's facts, or None if its header cannot be read to the end."""
    try:
        with path.open("rb") as stream:
            header = pydicom.dcmread(
                stream,
                stop_before_pixels=True,
                specific_tags=[*_FACT_KEYWORDS, *PERSON_KEYWORDS, *WHOLE_KEYWORDS],
            )
            pixels = _pixels(path, stream, str(header.file_meta.get("TransferSyntaxUID")))
        return _facts(path, header, pixels)
    except (InvalidDicomError, EOFError, OSError, ValueError, AttributeError):
        # pydicom raises these for headers that end early or make no sense; the caller
        # refuses the session and names the scan.
        return None


def _pixels(path: Path, stream: BinaryIO, transfer_syntax: str) -> _Pixels:
    """Look whether the pixel element at the stream's position is there to its end.

    The element is 7FE0,0010 (or 0008, 0009): tag, then value representation and four bytes of
    length, or in the implicit encoding the length at once (PS3.5, section 7.1).
    """
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        # The whole data set is one compressed stream: reading it is the only check.
        return _Pixels.WHOLE if "PixelData" in pydicom.dcmread(path) else _Pixels.NONE
    is_big = transfer_syntax == ExplicitVRBigEndian
    start = stream.read(12)
    if start[:4] not in (_PIXEL_ELEMENTS_BIG if is_big else _PIXEL_ELEMENTS):
        return _Pixels.NONE
    is_explicit = transfer_syntax != ImplicitVRLittleEndian
    value_at = stream.tell() - (0 if is_explicit else 4)
    length_bytes = start[8:12] if is_explicit else start[4:8]
    length = int.from_bytes(length_bytes, "big" if is_big else "little")
    size = path.stat().st_size
    if length == _UNKNOWN_LENGTH:
        stream.seek(max(value_at, size - _TAIL_BYTES))
        return _Pixels.WHOLE if _END_OF_ITEMS in stream.read() else _Pixels.CUT
    return _Pixels.WHOLE if size - value_at >= length else _Pixels.CUT


def _facts(path: Path, header: Dataset, pixels: _Pixels) -> DicomFile | None:
    def text(keyword: str) -> str:
        return str(header.get(keyword) or "").strip()

    # By class, so that a file whose end with the pixels is missing still counts as an image.
    # Private classes (Philips keeps raw data in one) are images only if they have pixels.
    named_class = text("SOPClassUID") or str(header.file_meta.get("MediaStorageSOPClassUID", ""))
    if not named_class:
        return None
    sop_class = UID(named_class)
    is_image = "Image Storage" in sop_class.name or pixels is not _Pixels.NONE
    number = text("SeriesNumber")
    date = text("AcquisitionDate") or text("SeriesDate")
    return DicomFile(
        path=path,
        study_uid=text("StudyInstanceUID"),
        series_uid="" if sop_class == MediaStorageDirectoryStorage else text("SeriesInstanceUID"),
        series_number=int(number) if number.lstrip("-").isdigit() else None,
        patient=text("PatientID") or text("PatientName"),
        is_image=is_image,
        is_whole=pixels is _Pixels.WHOLE or not is_image,
        taken_at=f"{date} {text('AcquisitionTime') or text('SeriesTime')}",
        join_key=tuple(
            text(keyword)
            for keyword in (
                "StudyInstanceUID",
                "SeriesTime",
                "SeriesDescription",
                "ProtocolName",
                "ImageType",
                "Rows",
                "Columns",
                "EchoTime",
            )
        ),
        protocol=f"{text('ProtocolName')} {text('SeriesDescription')}",
        texts=frozenset(identity_texts(header)),
    )


def _xnat_scan_id(folder: Path, path: Path) -> str | None:
    parts = path.relative_to(folder).parts
    for place, part in enumerate(parts[:-2]):
        if part.upper() == "SCANS":
            return parts[place + 1]
    return None


def _group(folder: Path, files: Iterable[DicomFile]) -> tuple[Scan, ...]:
    """Return scans by XNAT's folder, or else by series number; one number, one series."""
    by_id: dict[str, list[DicomFile]] = {}
    series_of: dict[str, str] = {}
    for file in files:
        scan_id = _xnat_scan_id(folder, file.path)
        if scan_id is None:
            base = "unnumbered" if file.series_number is None else str(file.series_number)
            scan_id, turn = base, 1
            while series_of.setdefault(scan_id, file.series_uid) != file.series_uid:
                turn += 1
                scan_id = f"{base}-{turn}"
        by_id.setdefault(scan_id, []).append(file)
    ordered = sorted(by_id, key=scan_order)
    return tuple(Scan(scan_id, tuple(by_id[scan_id])) for scan_id in ordered)


def scan_order(scan_id: str) -> tuple[int, str]:
    """Return the key that sorts scan ids as people do: 2 before 10."""
    digits = scan_id.split("-", maxsplit=1)[0]
    return (int(digits) if digits.isdigit() else 10**9, scan_id)


def _refuse_damaged(folder: Path, scans: tuple[Scan, ...], unreadable: list[Path]) -> None:
    homes: dict[Path, set[str]] = {}
    totals: Counter[str] = Counter()
    broken: Counter[str] = Counter()
    for scan in scans:
        for file in scan.files:
            homes.setdefault(file.path.parent, set()).add(scan.scan_id)
            totals[scan.scan_id] += 1
            broken[scan.scan_id] += not file.is_whole
    for path in unreadable:
        neighbours = homes.get(path.parent, set())
        known = next(iter(neighbours)) if len(neighbours) == 1 else "of unknown number"
        scan_id = _xnat_scan_id(folder, path) or known
        totals[scan_id] += 1
        broken[scan_id] += 1
    found = [
        f"{broken[scan_id]} of {totals[scan_id]} files of scan {scan_id}"
        for scan_id in sorted(broken, key=scan_order)
        if broken[scan_id]
    ]
    if found:
        raise BadInputError(
            f"Cannot convert the session: cut short or damaged are {', '.join(found)}; send "
            "these scans again, or take them out of the session."
        )


def _refuse_two_patients(files: Iterable[DicomFile]) -> None:
    patients = {file.patient for file in files if file.patient}
    if len(patients) > 1:
        raise BadInputError(
            f"Cannot convert the session: its DICOM files belong to {len(patients)} patients, "
            "one is needed; sort the files into one session for each patient."
        )
