"""One file: whether it is DICOM, whether it is whole, and where it belongs.

What identifies a person is read, hashed with a key that lives only as long as the process, and
forgotten. Not here: folders (``scan``).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import struct
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

CHUNK_BYTES = 1 << 20
DIGEST_KEY = secrets.token_bytes(32)
"""Digests of one process cannot be compared with anything outside of it."""

_PREAMBLE_BYTES = 128
HEADER_BYTES = 8


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


def identity_digest(text: str) -> bytes:
    """Return the keyed digest of a text, blind to case and to all but letters and digits."""
    plain = "".join(character for character in text.casefold() if character.isalnum())
    return hmac.digest(DIGEST_KEY, plain.encode("utf-8", errors="surrogateescape"), "sha256")


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
    with path.open("rb", buffering=0) as stream, warnings.catch_warnings():
        # pydicom quotes the value it warns about, which may be a name.
        warnings.simplefilter("ignore")
        size_bytes = os.fstat(stream.fileno()).st_size
        has_preamble = _looks_like_dicom(stream, size_bytes)
        # Only now: most of what is no DICOM is known by its first bytes.
        from xnat_client.upload.dicom_header import read_header  # noqa: PLC0415  # see above

        header = read_header(
            stream, size_bytes, has_preamble=has_preamble, elements=tuple(elements)
        )
        md5, crc32 = _checksums(stream)
        return DicomFile(
            path=path,
            position=position,
            size_bytes=size_bytes,
            md5=md5,
            crc32=crc32,
            study_uid=header.study_uid,
            series_uid=header.series_uid,
            series_number=header.series_number,
            instance_uid=header.instance_uid,
            modality=header.modality,
            patient=header.patient,
            identity=header.identity,
            study_date=header.study_date,
            elements=header.elements,
        )


def _looks_like_dicom(stream: FileIO, size_bytes: int) -> bool:
    """Return whether the file has the preamble; raise if it is no DICOM at all."""
    start = stream.read(_PREAMBLE_BYTES + 4)
    stream.seek(0)
    if start[_PREAMBLE_BYTES:] == b"DICM":
        return True
    if not size_bytes:
        raise NotDicomError("empty file")
    # Without a preamble: the first element must be of group 0002 or 0008 and fit into the file.
    if len(start) >= HEADER_BYTES:
        group, element, vr, short_length = struct.unpack("<HH2sH", start[:HEADER_BYTES])
        (long_length,) = struct.unpack("<L", start[4:HEADER_BYTES])
        explicit = vr.isalpha() and vr.isupper()
        length = short_length if explicit else long_length
        if group in (0x0002, 0x0008) and element <= 0x0100 and length < size_bytes:  # noqa: PLR2004  # DICOM tags
            return False
    raise NotDicomError("not DICOM (neither the DICM prefix nor a DICOM element at its start)")


def _checksums(stream: FileIO) -> tuple[str, int]:
    stream.seek(0)
    digest, crc32 = hashlib.md5(usedforsecurity=False), 0
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
        crc32 = zlib.crc32(chunk, crc32)
    return digest.hexdigest(), crc32
