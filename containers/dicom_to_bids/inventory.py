"""What is in the session's folder: its scans, their files, and whether they are whole.

Reads the XNAT layout (``SCANS/<id>/...``) or any folder of DICOM files. A file counts as
DICOM by its magic word (PS3.10, section 7.1). Not here: pictures (``convert``).
"""

from __future__ import annotations

import logging
import re
import struct
import warnings
import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID, MediaStorageDirectoryStorage

from containers.contract import BadInputError
from containers.dicom_to_bids.doubts import copies
from containers.dicom_to_bids.identity import (
    PERSON_KEYWORDS,
    WHOLE_KEYWORDS,
    SourceIdentity,
    identity_texts,
)
from containers.dicom_to_bids.pixels import PixelState, pixel_state

_MAGIC_OFFSET = 128
_MAGIC = b"DICM"
_DICOM_SUFFIXES = frozenset({".dcm", ".ima", ".dicom"})
_XNAT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a scan's id may look like in a report; a folder of another name is not taken for one."""
_UNREADABLE = (
    *(InvalidDicomError, EOFError, OSError, ValueError, AttributeError, TypeError, LookupError),
    *(RuntimeError, ArithmeticError, BytesLengthException, struct.error, zlib.error),
)
"""What pydicom raises for headers that end early, are damaged, or make no sense."""
_FACT_KEYWORDS = (
    "SOPClassUID",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "SeriesNumber",
    "InstanceNumber",
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


@dataclass(frozen=True, slots=True)
class DicomFile:
    """One DICOM file and the header facts that this step looks at; they never leave it.

    ``join_key`` is equal for files that a scanner measured as one series although it exported
    each volume as a series of its own. ``is_copy``: another file has the same bytes.
    """

    path: Path
    study_uid: str
    series_uid: str
    series_number: int | None
    sop_uid: str
    instance_number: int | None
    patient: str
    is_image: bool
    is_whole: bool
    taken_at: str
    join_key: tuple[str, ...]
    protocol: str
    texts: frozenset[str] = field(default=frozenset(), repr=False)
    is_copy: bool = False


@dataclass(frozen=True, slots=True)
class Scan:
    """The files that XNAT, or the series number, holds together."""

    scan_id: str
    files: tuple[DicomFile, ...]

    @property
    def images(self) -> tuple[DicomFile, ...]:
        """Return the files with pixels, each once."""
        return tuple(file for file in self.files if file.is_image and not file.is_copy)


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
    plain: list[Path] = []
    other = 0
    with _quiet_reader():
        for path in paths:
            if not _has_magic(path):
                plain.append(path)
                continue
            file = _read_file(path)
            if file is None or (file.is_image and not file.series_uid):
                damaged.append(path)
            elif file.series_uid:
                read.append(file)
            else:
                other += 1
    image_dirs = {file.path.parent for file in read}
    spoilt = {path for path in plain if _looks_spoilt(path, image_dirs)}
    damaged += sorted(spoilt)
    other += len(plain) - len(spoilt)
    if not read and not damaged:
        raise BadInputError(
            f"Cannot convert the session: none of its {len(paths)} files is a DICOM file; "
            "give the step the original DICOM files."
        )
    texts = frozenset(text for file in read for text in file.texts)
    identity = SourceIdentity(texts)
    scans = _group(_Layout(folder, identity), read)
    _refuse_damaged(_Layout(folder, identity), scans, damaged)
    _refuse_two_patients(read)
    studies = {file.study_uid for file in read if file.study_uid}
    return Inventory(_without_copies(scans), len(studies), other, identity)


def _looks_spoilt(path: Path, image_dirs: Collection[Path]) -> bool:
    """Tell whether a file without the magic word must have been an image once.

    By its ending, or because it is empty, has no ending of another kind of file, and lies among
    images.
    """
    if path.suffix.lower() in _DICOM_SUFFIXES:
        return True
    has_own_kind = path.name.startswith(".") or path.suffix[1:].isalpha()
    return path.stat().st_size == 0 and not has_own_kind and path.parent in image_dirs


def _without_copies(scans: tuple[Scan, ...]) -> tuple[Scan, ...]:
    """Mark all but the first of the files with the same bytes."""
    marked = copies((file.sop_uid, file.path) for scan in scans for file in scan.files)
    return tuple(
        Scan(
            scan.scan_id,
            tuple(replace(file, is_copy=file.path in marked) for file in scan.files),
        )
        for scan in scans
    )


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
            pixels = pixel_state(path, stream, str(header.file_meta.get("TransferSyntaxUID")))
        return _facts(path, header, pixels)
    except _UNREADABLE:
        # The caller refuses the session and names the scan.
        return None


def _facts(path: Path, header: Dataset, pixels: PixelState) -> DicomFile | None:
    def text(keyword: str) -> str:
        return str(header.get(keyword) or "").strip()

    # By class, so that a file whose end with the pixels is missing still counts as an image.
    # Private classes (Philips keeps raw data in one) are images only if they have pixels.
    named_class = text("SOPClassUID") or str(header.file_meta.get("MediaStorageSOPClassUID", ""))
    if not named_class:
        return None
    sop_class = UID(named_class)
    is_image = "Image Storage" in sop_class.name or pixels is not PixelState.NONE
    date = text("AcquisitionDate") or text("SeriesDate")
    return DicomFile(
        path=path,
        study_uid=text("StudyInstanceUID"),
        series_uid="" if sop_class == MediaStorageDirectoryStorage else text("SeriesInstanceUID"),
        series_number=_whole_number(text("SeriesNumber")),
        sop_uid=text("SOPInstanceUID"),
        instance_number=_whole_number(text("InstanceNumber")),
        patient=text("PatientID") or text("PatientName"),
        is_image=is_image,
        is_whole=pixels is PixelState.WHOLE or not is_image,
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


def _whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the session lies, and what a folder's name must not tell."""

    folder: Path
    identity: SourceIdentity

    def scan_id(self, path: Path) -> str | None:
        """Return the scan's id in the XNAT layout; None elsewhere, and where it may be a name."""
        parts = path.relative_to(self.folder).parts
        for place, part in enumerate(parts[:-2]):
            if part.upper() == "SCANS":
                scan_id = parts[place + 1]
                is_id = _XNAT_ID.fullmatch(scan_id) and not self.identity.touches(scan_id)
                return scan_id if is_id else None
        return None


def _group(layout: _Layout, files: Sequence[DicomFile]) -> tuple[Scan, ...]:
    """Return scans by XNAT's folder, or else by series number; one number, one series."""
    by_id: dict[str, list[DicomFile]] = {}
    series_of: dict[str, str] = {}
    # By time first, so that the names of the files do not decide which of two is the second.
    starts: dict[str, str] = {}
    for file in files:
        start = starts.setdefault(file.series_uid, file.taken_at)
        starts[file.series_uid] = min(start, file.taken_at)
    by_place = [(layout.scan_id(file.path), file) for file in files]
    by_place.sort(
        key=lambda pair: (
            *(pair[0] is None, starts[pair[1].series_uid], pair[1].series_uid),
            pair[1].path,
        )
    )
    for placed, file in by_place:
        if placed is not None:
            scan_id = placed
            series_of[placed] = ""
        else:
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


def _refuse_damaged(layout: _Layout, scans: tuple[Scan, ...], unreadable: list[Path]) -> None:
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
        scan_id = layout.scan_id(path) or known
        totals[scan_id] += 1
        broken[scan_id] += 1
    found = [
        f"{broken[scan_id]} of {totals[scan_id]} files of scan {scan_id}"
        for scan_id in sorted(broken, key=scan_order)
        if broken[scan_id]
    ]
    if found:
        raise BadInputError(
            f"Cannot convert the session: cut short, damaged or no DICOM are "
            f"{', '.join(found)}; send these scans again, or take them out of the session."
        )


def _refuse_two_patients(files: Iterable[DicomFile]) -> None:
    patients = {file.patient for file in files if file.patient}
    if len(patients) > 1:
        raise BadInputError(
            f"Cannot convert the session: its DICOM files belong to {len(patients)} patients, "
            "one is needed; sort the files into one session for each patient."
        )
