"""One file: whether it is DICOM, whether it is whole, and where it belongs.

What identifies a person is read, hashed with a key that lives only as long as the process, and
forgotten. Not here: folders (``scan``).
"""

from __future__ import annotations

import hashlib
import hmac
import io
import os
import re
import secrets
import struct
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import pydicom
from pydicom.dataelem import RawDataElement
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import UID, MediaStorageDirectoryStorage

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

CHUNK_BYTES = 1 << 20
_KEY = secrets.token_bytes(32)
"""Digests of one process cannot be compared with anything outside of it."""

_PREAMBLE_BYTES = 128
_HEADER_BYTES = 8
_PIXEL_DATA = 0x7FE00010
_STUDY_DATE = 0x00080020
_UNDEFINED_LENGTH = 0xFFFFFFFF
_DEFER_BYTES = 4096
_TAGS = (
    "SOPClassUID", "SOPInstanceUID", "Modality", "PatientName", "PatientID", "StudyInstanceUID",
    "SeriesInstanceUID", "SeriesNumber", "SamplesPerPixel", "PhotometricInterpretation",
    "NumberOfFrames", "Rows", "Columns", "BitsAllocated", "FloatPixelData", "DoubleFloatPixelData",
    "PixelData", "PixelDataProviderURL", "PatientBirthDate", "AccessionNumber", "StudyDate",
    "SpecificCharacterSet",
)  # fmt: skip
_IDENTITY = ("PatientID", "PatientName", "PatientBirthDate", "AccessionNumber")
_IDENTITY_TAGS = (0x00100020, 0x00100010, 0x00100030, 0x00080050, 0x00080005)
"""The elements of ``_IDENTITY``, and (0008,0005) SpecificCharacterSet, by which they are read."""
_KNOWN: dict[bytes, tuple[bytes, frozenset[bytes]]] = {}
_MOST_KNOWN = 1000
_SHORTEST_NAME = 3
_PIXEL_ELEMENTS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData", "PixelDataProviderURL")


class NotDicomError(Exception):
    """The file is no DICOM instance; the text is the reason."""


class DamagedError(Exception):
    """The file is DICOM but not whole; the text is the reason."""


@dataclass(frozen=True, slots=True)
class DicomFile:
    """A whole DICOM instance on disk.

    Parameters
    ----------
    path : Path
        Never shown unless the user asks: folder and file names often hold a name or a date.
    position : int
        Its place, from 1, among all files of the folder sorted by relative path.
    md5, crc32
        Of the whole file: what XNAT lists, and what a zip entry needs.
    patient : bytes
        Keyed digest of PatientID and PatientName; comparable within this process only.
    identity : frozenset of bytes
        Keyed digests of the patient's names, numbers and birth date, to find them in labels.
    study_date : str
        (0008,0020) as YYYYMMDD, or empty.
    elements : tuple of (name, value)
        What the caller asked for; may identify a person, so it is never shown.
    """

    path: Path
    position: int
    size_bytes: int
    md5: str
    crc32: int
    study_uid: str
    series_uid: str
    series_number: int | None
    instance_uid: str
    modality: str
    patient: bytes
    identity: frozenset[bytes] = field(default=frozenset(), repr=False)
    study_date: str = field(default="", repr=False)
    elements: tuple[tuple[str, str], ...] = field(default=(), repr=False)


class _WatchedFile(io.BufferedIOBase):
    """A file that remembers whether its reader wanted more than there is.

    pydicom reads on silently when a file ends early; what gives it away is a jump beyond the end
    or half an element header.
    """

    def __init__(self, stream: BinaryIO, size_bytes: int) -> None:
        self._stream = stream
        self._size_bytes = size_bytes
        self.name = getattr(stream, "name", "")
        self.ended_early = False

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        data = self._stream.read(-1 if size is None else size)
        if size is not None and 0 < len(data) < size <= _HEADER_BYTES:
            self.ended_early = True
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        reached = self._stream.seek(offset, whence)
        if reached > self._size_bytes:
            self.ended_early = True
        return reached

    def tell(self) -> int:
        return self._stream.tell()


def identity_digest(text: str) -> bytes:
    """Return the keyed digest of a text, blind to case and to all but letters and digits."""
    plain = "".join(character for character in text.casefold() if character.isalnum())
    return hmac.digest(_KEY, plain.encode("utf-8", errors="surrogateescape"), "sha256")


def read_dicom_file(path: Path, position: int, elements: Iterable[str] = ()) -> DicomFile:
    """Read a file once for its header and once for its checksums.

    Parameters
    ----------
    elements : iterable of str
        Keywords of further elements to read, such as ``AccessionNumber``.

    Raises
    ------
    NotDicomError
        It is something else, or a DICOM directory.
    DamagedError
        It is cut off or lacks the UIDs by which instances are told apart.
    OSError
        It cannot be read.
    """
    with path.open("rb") as stream, warnings.catch_warnings():
        # pydicom quotes the value it warns about, which may be a name.
        warnings.simplefilter("ignore")
        size_bytes = os.fstat(stream.fileno()).st_size
        has_preamble = _looks_like_dicom(stream, size_bytes)
        dataset, ended_early = _parse(
            stream, size_bytes, has_preamble=has_preamble, more=tuple(elements)
        )
        _check_kind(dataset, has_preamble=has_preamble)
        if ended_early:
            raise DamagedError("the file ends before its last element does")
        _check_pixels(dataset)
        md5, crc32 = _checksums(stream)
        patient, identity = _who(dataset)
        return DicomFile(
            path=path,
            position=position,
            size_bytes=size_bytes,
            md5=md5,
            crc32=crc32,
            study_uid=_uid(dataset, "StudyInstanceUID"),
            series_uid=_uid(dataset, "SeriesInstanceUID"),
            series_number=_number(dataset, "SeriesNumber"),
            instance_uid=_uid(dataset, "SOPInstanceUID"),
            modality=str(dataset.get("Modality", "") or ""),
            patient=patient,
            identity=identity,
            study_date=(_raw(dataset, _STUDY_DATE) or b"").decode("ascii", "replace").strip(" \0"),
            elements=tuple((name, _text(dataset, name)) for name in elements),
        )


def _looks_like_dicom(stream: BinaryIO, size_bytes: int) -> bool:
    """Return whether the file has the preamble; raise if it is no DICOM at all."""
    start = stream.read(_PREAMBLE_BYTES + 4)
    stream.seek(0)
    if start[_PREAMBLE_BYTES:] == b"DICM":
        return True
    if not size_bytes:
        raise NotDicomError("empty file")
    # Without a preamble: the first element must be of group 0002 or 0008 and fit into the file.
    if len(start) >= _HEADER_BYTES:
        group, element, vr, short_length = struct.unpack("<HH2sH", start[:_HEADER_BYTES])
        (long_length,) = struct.unpack("<L", start[4:_HEADER_BYTES])
        explicit = vr.isalpha() and vr.isupper()
        length = short_length if explicit else long_length
        if group in (0x0002, 0x0008) and element <= 0x0100 and length < size_bytes:  # noqa: PLR2004  # DICOM tags
            return False
    raise NotDicomError("not DICOM (neither the DICM prefix nor a DICOM element at its start)")


def _parse(
    stream: BinaryIO, size_bytes: int, *, has_preamble: bool, more: tuple[str, ...] = ()
) -> tuple[FileDataset, bool]:
    watched = _WatchedFile(stream, size_bytes)
    try:
        dataset = pydicom.dcmread(
            cast("BinaryIO", watched),
            defer_size=_DEFER_BYTES,
            force=not has_preamble,
            specific_tags=[*_TAGS, *more],
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
    return dataset, watched.ended_early


def _check_kind(dataset: FileDataset, *, has_preamble: bool) -> None:
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise NotDicomError("a DICOMDIR index, not an image")
    missing = [
        name
        for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
        if not _uid(dataset, name)
    ]
    if missing and not has_preamble:
        raise NotDicomError("not DICOM (no UIDs in it)")
    if missing:
        raise DamagedError(f"it has no usable {missing[0]}")


def _check_pixels(dataset: FileDataset) -> None:
    if _is_image_class(dataset) and not any(name in dataset for name in _PIXEL_ELEMENTS):
        raise DamagedError("it is an image but holds no complete pixel data")
    if "PixelData" not in dataset:
        return
    if not (_number(dataset, "Rows") and _number(dataset, "Columns")):
        raise DamagedError("its description of the pixel data is incomplete")
    element: Any = dataset.get_item(_PIXEL_DATA, keep_deferred=True)
    if not isinstance(element, RawDataElement) or element.length == _UNDEFINED_LENGTH:
        return  # compressed frames: their end was found by the parser
    # A long value was jumped over, and a jump beyond the end has been noticed.
    found = element.length if element.value is None else len(element.value)
    try:
        expected = get_expected_length(dataset)
    except (AttributeError, TypeError, ValueError):
        raise DamagedError("its description of the pixel data is incomplete") from None
    if found < expected:
        raise DamagedError(f"its pixel data has {found} of {expected} bytes")


def _is_image_class(dataset: FileDataset) -> bool:
    # Vendors' private classes may describe an image that is elsewhere, so they prove nothing.
    return UID(_uid(dataset, "SOPClassUID")).name.endswith("Image Storage")


def _uid(dataset: FileDataset, name: str) -> str:
    value = str(dataset.get(name, "") or "")
    return value if UID(value, validation_mode=pydicom.config.IGNORE).is_valid and value else ""


def _number(dataset: FileDataset, name: str) -> int | None:
    try:
        value = dataset.get(name)
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError):
        return None


def _who(dataset: FileDataset) -> tuple[bytes, frozenset[bytes]]:
    """Return the patient's digest, and the digests of what identifies the patient.

    The values of one series are the same bytes in every file, and decoding names is dear.
    """
    raw = tuple(_raw(dataset, tag) for tag in _IDENTITY_TAGS)
    key = b""
    if None not in raw:
        key = hmac.digest(_KEY, b"\0".join(value or b"" for value in raw), "sha256")
    known = _KNOWN.get(key)
    if known is None:
        texts = [_text(dataset, name) for name in _IDENTITY]
        known = (_patient_digest(texts[0], texts[1]), _identity(*texts))
        if key and len(_KNOWN) < _MOST_KNOWN:
            _KNOWN[key] = known
    return known


def _raw(dataset: FileDataset, tag: int) -> bytes | None:
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
    return hmac.digest(_KEY, both.encode("utf-8", errors="surrogateescape"), "sha256")


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


def _checksums(stream: BinaryIO) -> tuple[str, int]:
    stream.seek(0)
    digest, crc32 = hashlib.md5(usedforsecurity=False), 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        crc32 = zlib.crc32(chunk, crc32)
    return digest.hexdigest(), crc32
