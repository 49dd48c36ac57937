"""The header of one DICOM file: whether it is whole, whose it is, and where it belongs.

What identifies a person is read, hashed, and forgotten. A module of its own because it imports
pydicom, which takes longer than looking at many files that are no DICOM. Not here: what is no DICOM
at all, and checksums (``dicom_file``).
"""

from __future__ import annotations

import hmac
import io
import os
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.pixels.utils import get_expected_length
from pydicom.tag import BaseTag
from pydicom.uid import UID, MediaStorageDirectoryStorage

from xnat_client.upload.dicom_file import (
    DIGEST_KEY,
    HEADER_BYTES,
    DamagedError,
    NotDicomError,
    identity_digest,
)

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

_BUFFER_BYTES = 1 << 14
# pydicom takes tags of its own class as they are, and makes one of each number anew.
_PIXEL_DATA = BaseTag(0x7FE00010)
_STUDY_DATE, _MODALITY, _SERIES_NUMBER = map(BaseTag, (0x00080020, 0x00080060, 0x00200011))
_STUDY_UID, _SERIES_UID, _INSTANCE_UID = map(BaseTag, (0x0020000D, 0x0020000E, 0x00080018))
_CLASS_UID = BaseTag(0x00080016)
_UIDS = {
    "StudyInstanceUID": _STUDY_UID,
    "SeriesInstanceUID": _SERIES_UID,
    "SOPInstanceUID": _INSTANCE_UID,
}
_UNDEFINED_LENGTH = 0xFFFFFFFF
_DEFER_BYTES = 4096
_IDENTITY = ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber")
_IDENTITY_TAGS = tuple(map(BaseTag, (0x00100020, 0x00100010, 0x00100030, 0x00080050, 0x00080005)))
"""The elements of ``_IDENTITY``, and (0008,0005) SpecificCharacterSet, by which they are read."""
_PIXEL_TAGS = tuple(
    map(
        BaseTag,
        (0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011, 0x00280100, 0x00080008),
    )
)
"""SamplesPerPixel, PhotometricInterpretation, NumberOfFrames, Rows, Columns, BitsAllocated and
ImageType: what the length of the pixel data follows from."""
_KNOWN: dict[bytes, tuple[bytes, frozenset[bytes]]] = {}
_LENGTHS: dict[tuple[bytes | None, ...], int] = {}
_MOST_KNOWN = 1000
_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))*")
"""DICOM PS3.5, section 9.1: no component begins with 0 unless it is 0."""
_LONGEST_UID = 64
_SHORTEST_NAME = 3
_PIXEL_ELEMENTS = (_PIXEL_DATA, *map(BaseTag, (0x7FE00008, 0x7FE00009, 0x00287FE0)))
"""PixelData, FloatPixelData, DoubleFloatPixelData, PixelDataProviderURL."""


@dataclass(frozen=True, slots=True)
class Header:
    """What the header of a whole instance says; see ``DicomFile``."""

    study_uid: str
    series_uid: str
    series_number: int | None
    instance_uid: str
    modality: str
    patient: bytes
    identity: frozenset[bytes]
    study_date: str
    elements: tuple[tuple[str, str], ...]


class _WatchedFile(io.BufferedReader):
    """A file that remembers whether its reader wanted more than there is.

    pydicom reads on silently when a file ends early; what gives it away is a jump beyond the end
    or half an element header.
    """

    def __init__(self, raw: io.RawIOBase, size_bytes: int) -> None:
        super().__init__(raw, _BUFFER_BYTES)
        self._size_bytes = size_bytes
        self.ended_early = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        if len(data) != size and size is not None and 0 < len(data) < size <= HEADER_BYTES:
            self.ended_early = True
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        reached = super().seek(offset, whence)
        if reached > self._size_bytes:
            self.ended_early = True
        return reached


def read_header(
    raw: io.RawIOBase, size_bytes: int, *, has_preamble: bool, elements: tuple[str, ...]
) -> Header:
    """Read the header of an open file; its errors are those of ``read_dicom_file``.

    Elements are looked at as bytes where that is enough: turning each into a value takes longer
    than reading the file.
    """
    watched = _WatchedFile(raw, size_bytes)
    try:
        dataset = _parse(watched, has_preamble=has_preamble)
        ended_early = watched.ended_early
    finally:
        watched.detach()
    uids = {name: _uid(dataset, tag) for name, tag in _UIDS.items()}
    _check_kind(dataset, uids, has_preamble=has_preamble)
    if ended_early:
        raise DamagedError("the file ends before its last element does")
    _check_pixels(dataset)
    patient, identity = _who(dataset)
    return Header(
        study_uid=uids["StudyInstanceUID"],
        series_uid=uids["SeriesInstanceUID"],
        series_number=_integer(_plain(dataset, _SERIES_NUMBER)),
        instance_uid=uids["SOPInstanceUID"],
        modality=_plain(dataset, _MODALITY),
        patient=patient,
        identity=identity,
        study_date=_plain(dataset, _STUDY_DATE),
        elements=tuple((name, _text(dataset, name)) for name in elements),
    )


def _parse(watched: _WatchedFile, *, has_preamble: bool) -> FileDataset:
    try:
        return pydicom.dcmread(
            cast("BinaryIO", watched), defer_size=_DEFER_BYTES, force=not has_preamble
        )
    except zlib.error:
        raise DamagedError("its compressed content is cut off or damaged") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise DamagedError("a sequence in it is cut off") from None  # pydicom's own OSError
    except Exception as error:  # noqa: BLE001  # see the next line
        # The parser has no common error class; its texts quote values and are not passed on.
        if has_preamble:
            raise DamagedError(f"its header is not readable ({type(error).__name__})") from None
        raise NotDicomError("not DICOM (its content is not readable as such)") from None


def _check_kind(dataset: FileDataset, uids: Mapping[str, str], *, has_preamble: bool) -> None:
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise NotDicomError("a DICOMDIR index, not an image")
    missing = [name for name, uid in uids.items() if not uid]
    if missing and not has_preamble:
        raise NotDicomError("not DICOM (no UIDs in it)")
    if missing:
        raise DamagedError(f"it has no usable {missing[0]}")


def _check_pixels(dataset: FileDataset) -> None:
    if _is_image_class(dataset) and not any(tag in dataset for tag in _PIXEL_ELEMENTS):
        raise DamagedError("it is an image but holds no complete pixel data")
    if _PIXEL_DATA not in dataset:
        return
    expected = _expected_length(dataset)
    element: Any = dataset.get_item(_PIXEL_DATA, keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return  # compressed frames: their end was found by the parser
    # A long value was jumped over, and a jump beyond the end has been noticed.
    found = element.length if element.value is None else len(element.value)
    if found < expected:
        raise DamagedError(f"its pixel data has {found} of {expected} bytes")


def _expected_length(dataset: FileDataset) -> int:
    """Return the bytes that the pixel data must have; those of one series say it in one way."""
    said = tuple(_raw(dataset, tag) for tag in _PIXEL_TAGS)
    little = bytes([dataset.original_encoding[1] is not False])
    known = _LENGTHS.get((little, *said)) if None not in said else None
    if known is not None:
        return known
    try:
        if not (int(dataset.get("Rows") or 0) and int(dataset.get("Columns") or 0)):
            raise DamagedError("its description of the pixel data is incomplete")
        expected = get_expected_length(dataset)
    except (AttributeError, TypeError, ValueError):
        raise DamagedError("its description of the pixel data is incomplete") from None
    if None not in said and len(_LENGTHS) < _MOST_KNOWN:
        _LENGTHS[little, *said] = expected
    return expected


def _is_image_class(dataset: FileDataset) -> bool:
    # Vendors' private classes may describe an image that is elsewhere, so they prove nothing.
    return _class_name(_uid(dataset, _CLASS_UID)).endswith("Image Storage")


@lru_cache(_MOST_KNOWN)
def _class_name(uid: str) -> str:
    return UID(uid).name


def _uid(dataset: FileDataset, tag: BaseTag) -> str:
    value = _plain(dataset, tag)
    return value if _UID.fullmatch(value) and len(value) <= _LONGEST_UID else ""


def _plain(dataset: FileDataset, tag: BaseTag) -> str:
    """Return an element of ASCII text."""
    raw = _raw(dataset, tag)
    text = str(dataset[tag].value or "") if raw is None else raw.decode("ascii", "replace")
    return text.strip(" \0")


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _who(dataset: FileDataset) -> tuple[bytes, frozenset[bytes]]:
    """Return the patient's digest, and the digests of what identifies the patient.

    The values of one series are the same bytes in every file, and decoding names is dear.
    """
    raw = tuple(_raw(dataset, tag) for tag in _IDENTITY_TAGS)
    key = b""
    if None not in raw:
        key = hmac.digest(DIGEST_KEY, b"\0".join(value or b"" for value in raw), "sha256")
    known = _KNOWN.get(key)
    if known is None:
        texts = [_text(dataset, name) for name in _IDENTITY]
        known = (_patient_digest(texts[0], texts[1]), _identity(*texts))
        if key and len(_KNOWN) < _MOST_KNOWN:
            _KNOWN[key] = known
    return known


def _raw(dataset: FileDataset, tag: BaseTag) -> bytes | None:
    """Return an element's bytes, b"" if there is none, or None if they are decoded already."""
    if tag not in dataset:
        return b""
    element: Any = dataset.get_item(tag)
    value = element.value if isinstance(element, RawDataElement) else None
    return value if isinstance(value, bytes) else None


def _patient_digest(patient_id: str, name: str) -> bytes:
    def plain(text: str) -> str:
        return " ".join(text.rstrip("^ ").casefold().split())

    both = f"{plain(patient_id)}\0{plain(name)}"
    return hmac.digest(DIGEST_KEY, both.encode("utf-8", errors="surrogateescape"), "sha256")


def _text(dataset: FileDataset, name: str) -> str:
    try:
        return str(dataset.get(name, "") or "").strip()
    except (TypeError, ValueError):
        return ""  # a value that cannot be read gives no label


def _identity(patient_id: str, name: str, birth_date: str, accession: str) -> frozenset[bytes]:
    # Single letters and initials would be found in every code.
    parts = [part for part in re.split(r"[\^\s=,]+", name) if len(part) >= _SHORTEST_NAME]
    joined = ["".join(parts), "".join(reversed(parts))]
    whole = [text for text in (patient_id, birth_date, accession, *parts, *joined) if text]
    return frozenset(identity_digest(text) for text in whole)
