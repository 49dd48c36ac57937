"""DICOM whose headers the server rewrote on arrival: what can still be proved, and how.

An anonymisation script changes the file, so its MD5 proves nothing. Then the file is read back:
it is the one that was sent if its image data, all bytes from the value of the pixel element to the
end of the file, are those of the sent file. A file without image data can only be found by its
UID, which is no proof of its content and is never called one. Not here: files whose MD5 is right
(``verify``).

References
----------
DICOM PS3.3, section C.7.6.3 (Image Pixel Module); PS3.5, section 7.1 (data element structure).
XNAT REST API, ``/xapi/anonymize``.
"""

from __future__ import annotations

import hashlib
import struct
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from types import MappingProxyType
from typing import IO, TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import NotAllowedError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from concurrent.futures import Future

    from xnat_client.resources import RemoteFile
    from xnat_client.transport import Transport
    from xnat_client.upload.dicom_file import DicomFile

_CHUNK_BYTES = 1 << 20
_IN_MEMORY_BYTES = 4 << 20
"""A longer file that is read back waits in an unnamed temporary file: pydicom goes to and fro."""
_PIXEL_TAGS = ((0x7FE0, 0x0010), (0x7FE0, 0x0008), (0x7FE0, 0x0009))
"""PixelData, FloatPixelData, DoubleFloatPixelData."""
_PIXEL_ELEMENTS = frozenset(
    struct.pack(f"{order}HH", *tag) for order in "<>" for tag in _PIXEL_TAGS
)
_EXPLICIT_HEADER_BYTES = 12
_IMPLICIT_HEADER_BYTES = 8


class Proof(StrEnum):
    """What is known of a file on the server."""

    MD5 = "md5"
    """The whole file is that which was sent."""
    IMAGE_DATA = "image data"
    """The header was rewritten; the image data are those which were sent."""
    UID = "uid only"
    """The header was rewritten, and there are no image data: only the UID is the same."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file is known by when its header may change.

    ``tail`` is size and MD5 of the image data; None where there are none.
    """

    instance_uid: str
    tail: tuple[int, str] | None


@dataclass(frozen=True, slots=True)
class Proved:
    """A sent file and the server's file that was found to be it."""

    image: DicomFile
    remote: RemoteFile
    proof: Proof


def script_applies(transport: Transport, project_id: str) -> bool:
    """Return whether the server says that a script rewrites what arrives in a project.

    A server that does not tell counts as one that has none: then only MD5s prove anything.
    """
    doing = "ask whether an anonymisation script applies"
    for path in (
        "/xapi/anonymize/site/enabled",
        path_of("xapi", "anonymize", "projects", project_id, "enabled"),
    ):
        try:
            if transport.get_json(path, doing=doing) is True:
                return True
        except (NotAllowedError, NotFoundError, RefusedError):
            continue
    return False


def match_rewritten(
    transport: Transport,
    images: Sequence[DicomFile],
    held: Iterable[RemoteFile],
    submit: Callable[[Callable[[], Content]], Future[Content]],
    known: Mapping[tuple[str, str], tuple[str, Proof]] = MappingProxyType({}),
) -> list[Proved]:
    """Return the sent files that the server holds, whole or with another header.

    Parameters
    ----------
    held : iterable of RemoteFile
        All files of the session; those whose MD5 is none of the sent ones are read back.
    submit : callable
        Has a file read in another thread.
    known : mapping
        Address and MD5 of a server's file to the MD5 of the sent file that it was found to be
        before, and the proof: as long as the server lists that MD5, it need not be read again.

    Raises
    ------
    XnatClientError
        A file cannot be read back.
    """
    places: dict[tuple[int, str], list[RemoteFile]] = defaultdict(list)
    for file in held:
        places[file.size_bytes, file.md5].append(file)
    before: dict[str, list[tuple[RemoteFile, Proof]]] = defaultdict(list)
    for file in [file for files in places.values() for file in files]:
        if file.md5 and (file.uri, file.md5) in known:
            md5, proof = known[file.uri, file.md5]
            before[md5].append((file, proof))
    proved, left = [], []
    for image in images:
        if before[image.md5]:
            file, proof = before[image.md5].pop()
            places[file.size_bytes, file.md5].remove(file)
            proved.append(Proved(image, file, proof))
            continue
        same = places[image.size_bytes, image.md5]
        if same:
            proved.append(Proved(image, same.pop(), Proof.MD5))
        else:
            left.append(image)
    others = [file for files in places.values() for file in files]
    if not left or not others:
        return proved
    contents = [submit(partial(_read_remote, transport, file)) for file in others]
    found = [(file, future.result()) for file, future in zip(others, contents, strict=True)]
    return [*proved, *_match(left, found)]


def _match(
    images: Iterable[DicomFile], found: Sequence[tuple[RemoteFile, Content]]
) -> Iterator[Proved]:
    by_uid = {content.instance_uid: (file, content) for file, content in found}
    # A script may also make new UIDs; then the image data alone must tell.
    renamed: dict[tuple[int, str], list[RemoteFile]] = defaultdict(list)
    sent_uids = set()
    waiting = []
    for image in images:
        sent_uids.add(image.instance_uid)
        own = _read_local(image)
        file, content = by_uid.get(image.instance_uid, (None, None))
        if file is None or content is None:
            waiting.append((image, own))
        elif own.tail == content.tail:
            yield Proved(image, file, Proof.IMAGE_DATA if own.tail else Proof.UID)
    for file, content in found:
        if content.tail is not None and content.instance_uid not in sent_uids:
            renamed[content.tail].append(file)
    for image, own in waiting:
        if own.tail is not None and renamed[own.tail]:
            yield Proved(image, renamed[own.tail].pop(), Proof.IMAGE_DATA)


def _read_local(image: DicomFile) -> Content:
    with image.path.open("rb") as stream:
        return read_content(stream)


def _read_remote(transport: Transport, file: RemoteFile) -> Content:
    def take(chunks: Iterable[bytes]) -> Content:
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as kept:
            for chunk in chunks:
                kept.write(chunk)
            kept.seek(0)
            return read_content(kept)

    return transport.read(file.uri, take, doing="read a file back that the server rewrote")


def read_content(stream: IO[bytes]) -> Content:
    """Return what a DICOM file is known by; nothing at all if it cannot be read."""
    # Uploads of other data do without pydicom, which takes long to import.
    import pydicom  # noqa: PLC0415  # see above
    from pydicom.errors import InvalidDicomError  # noqa: PLC0415  # see above
    from pydicom.uid import DeflatedExplicitVRLittleEndian  # noqa: PLC0415  # see above

    try:
        header = pydicom.dcmread(
            stream, stop_before_pixels=True, force=True, specific_tags=["SOPInstanceUID"]
        )
        uid = str(header.get("SOPInstanceUID", ""))
        implicit = bool(header.original_encoding[0])
        syntax = header.file_meta.get("TransferSyntaxUID", "") if header.file_meta else ""
    except (InvalidDicomError, EOFError, OSError, ValueError, KeyError, NotImplementedError):
        return Content("", None)
    if syntax == DeflatedExplicitVRLittleEndian:
        return Content("", None)  # what stands in the file is not what pydicom has read
    head = stream.read(_IMPLICIT_HEADER_BYTES)
    if head[:4] not in _PIXEL_ELEMENTS:
        return Content(uid, None)
    if not implicit:
        stream.read(_EXPLICIT_HEADER_BYTES - _IMPLICIT_HEADER_BYTES)
    digest, size_bytes = hashlib.md5(usedforsecurity=False), 0
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        size_bytes += len(chunk)
    return Content(uid, (size_bytes, digest.hexdigest()))
