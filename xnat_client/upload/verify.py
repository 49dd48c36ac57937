"""After an upload: whether the server holds every file, bit by bit.

Not here: sending (``send``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from xnat_client.errors import RefusedError
from xnat_client.resources import RemoteFile, list_scan_files

if TYPE_CHECKING:
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport
    from xnat_client.upload.dicom_file import DicomFile

IMAGE_RESOURCES = frozenset({"dicom", "secondary"})
"""Resources that XNAT makes of DICOM files; it adds others itself, such as SNAPSHOTS."""


def verify_session(
    transport: Transport, session: Session, files: Sequence[DicomFile], *, was_new: bool
) -> int:
    """Compare what the server holds with what was sent; return the number of files compared.

    The server may rename files, so they are matched by size and MD5. Where the server keeps no
    checksums, its files are read back and hashed.

    Parameters
    ----------
    was_new : bool
        The session did not exist before: then the server must hold nothing else either.

    Raises
    ------
    RefusedError
        A file is missing, differs or is too many, or there was nothing to compare.
    """
    held = list_image_files(transport, session)
    return compare(session.label, files, held, was_new=was_new)


def list_image_files(transport: Transport, session: Session) -> list[RemoteFile]:
    """Return the DICOM files of a session, each with size and MD5, read back where need be."""
    held = [
        file
        for file in list_scan_files(transport, session)
        if file.resource_label.casefold() in IMAGE_RESOURCES
    ]
    return _with_digests(transport, held)


def compare(
    session_label: str,
    sent: Sequence[DicomFile],
    held: Sequence[RemoteFile],
    *,
    was_new: bool,
) -> int:
    """Compare two lists of files by size and MD5; see ``verify_session``."""
    if not sent or not held:
        raise RefusedError(
            f"Session {session_label} was sent, but there is nothing to compare: {len(sent)} files "
            f"sent, {len(held)} listed by the server. Do not rely on it; look at the session on "
            "the server."
        )
    wanted = Counter((file.size_bytes, file.md5) for file in sent)
    found = Counter((file.size_bytes, file.md5) for file in held)
    missing = (wanted - found).total()
    extra = (found - wanted).total() if was_new else 0
    if missing or extra:
        changed = min(missing, (found - wanted).total())
        hint = (
            " The server may rewrite headers on arrival (anonymisation script); then it cannot be "
            "proved that the rest is untouched."
            if changed
            else ""
        )
        raise RefusedError(
            f"Session {session_label} on the server is not what was sent: of {len(sent)} files "
            f"{missing - changed} are missing and {changed} differ in size or checksum, "
            f"{max(extra - changed, 0)} are there in addition.{hint} Do not rely on it; look at "
            "the session on the server, delete it and upload again."
        )
    return wanted.total()


def _with_digests(transport: Transport, files: Iterable[RemoteFile]) -> list[RemoteFile]:
    complete = []
    for file in files:
        if file.md5:
            complete.append(file)
            continue
        size_bytes, md5 = transport.digest(file.uri, doing="read an uploaded file back")
        complete.append(RemoteFile(file.path, file.uri, size_bytes, md5, file.resource_label))
    return complete
