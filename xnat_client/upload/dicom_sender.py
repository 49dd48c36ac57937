"""Sending the DICOM files of one session through XNAT's importer, in parts, and proving it.

The importer is the only way that applies the site's anonymisation; files put into resources would
pass it by. The first part makes the session, the others are added to it, one after the other:
XNAT merges. Not here: files of other kinds (``resource_sender``).
"""

from __future__ import annotations

import hashlib
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from xnat_client.errors import (
    ConflictError,
    RefusedError,
    UnreachableError,
    XnatClientError,
)
from xnat_client.exchange import StreamBody
from xnat_client.upload.rewritten import Proof, Proved, match_rewritten, script_applies
from xnat_client.upload.send import UploadTarget
from xnat_client.upload.send_context import RequestCounter, SendContext
from xnat_client.upload.server_objects import find_session_by_label
from xnat_client.upload.verify import compare, list_image_files
from xnat_client.upload.zip_stream import ZipEntry, zip_chunks, zip_size

if TYPE_CHECKING:
    from xnat_client.resources import RemoteFile
    from xnat_client.sessions import Session
    from xnat_client.upload.dicom_file import DicomFile
    from xnat_client.upload.session_task import SessionTask

_PASSING = re.compile(
    r"\b(concurrent|locked|lock on|busy|in use|being (?:processed|archived|modified)|try again|"
    r"temporar\w+|timed? ?out)\b",
    re.IGNORECASE,
)
"""Words of refusals with status 400, 403 or 409 that pass by themselves: another request is at the
session. All others stay."""
_PASSING_STATUSES = frozenset({400, 403, 409, 500})
_MOST_PARTS = 16
"""A session is not cut into more: with each one XNAT merges it anew."""
_LEAST_PART_BYTES = 1 << 20
_MOST_TRIES = 6
_FIRST_PAUSE_S = 0.5
Image = tuple[str, "DicomFile"]


class DicomSender:
    """The DICOM files of one session."""

    def __init__(self, context: SendContext, task: SessionTask) -> None:
        self._context = context
        self._task = task
        self._target = UploadTarget(task.project, task.subject, task.session)
        self._doing = f"upload session {task.session} to project {task.project}"
        self.sent_files = 0
        self._rewritten: bool | None = None

    def send(self, session: Session | None) -> tuple[Session, list[Proved]]:
        """Send what the server does not hold; return the session and its files, with the proof.

        Parameters
        ----------
        session : Session or None
            As it was found before; None if there is none yet.

        Raises
        ------
        XnatClientError
            The server did not take a part, or holds something else than was sent.
        """
        was_new = session is None
        left = self._left(session)
        left_bytes = sum(image.size_bytes for _, image in left)
        all_bytes = sum(image.size_bytes for _, image in self._task.images)
        self._context.progress.held(all_bytes - left_bytes)
        part_bytes = max(self._context.part_bytes, _LEAST_PART_BYTES, all_bytes // _MOST_PARTS)
        for part in _parts(left, part_bytes):
            session = self._send_part(part, session)
        if session is None:
            session = self._find()
        if session is None:
            raise RefusedError(
                f"The server took session {self._task.session} but does not list it. It may be "
                "waiting in the prearchive; look there."
            )
        return session, self._prove(session, was_new=was_new)

    def _prove(self, session: Session, *, was_new: bool) -> list[Proved]:
        images = [image for _, image in self._task.images]
        held = list_image_files(self._context.transport, session)
        try:
            compare(session.label, images, held, was_new=was_new)
        except RefusedError:
            if not held or not self._is_rewritten():
                raise
        else:
            pairs = _pairs(images, held)
            return [Proved(image, file, Proof.MD5) for image, file in pairs]
        proved = self._match(images, held)
        extra = len(held) - len(proved) if was_new else 0
        if len(proved) < len(images) or extra:
            raise RefusedError(
                f"Session {session.label} on the server is not what was sent, although its "
                f"anonymisation script was allowed for: of {len(images)} files "
                f"{len(images) - len(proved)} were not found again by their image data or UID, "
                f"{extra} are there in addition. Scripts that reject files or change pixels do "
                "this too. Do not rely on it; look at the session on the server."
            )
        return proved

    def _is_rewritten(self) -> bool:
        if self._rewritten is None:
            self._rewritten = script_applies(self._context.transport, self._task.project)
        return self._rewritten

    def _match(self, images: Sequence[DicomFile], held: Sequence[RemoteFile]) -> list[Proved]:
        context = self._context
        key = f"{context.transport.url}{self._task.key}"
        known = {
            file: (md5, Proof(proof)) for file, (md5, proof) in context.state.rewritten(key).items()
        }
        proved = match_rewritten(context.transport, images, held, context.workers.submit, known)
        context.state.keep_rewritten(
            key,
            [
                (one.remote.uri, one.remote.md5, one.image.md5, str(one.proof))
                for one in proved
                if one.proof is not Proof.MD5
            ],
        )
        return proved

    def _find(self) -> Session | None:
        task = self._task
        return find_session_by_label(self._context.transport, task.project, task.session)

    def _left(self, session: Session | None, among: Sequence[Image] = ()) -> list[Image]:
        images = among or self._task.images
        if session is None:
            return list(images)
        held = list_image_files(self._context.transport, session)
        known = {(file.size_bytes, file.md5) for file in held}
        left = [one for one in images if (one[1].size_bytes, one[1].md5) not in known]
        if not left or not held or not self._is_rewritten():
            return left
        found = {id(one.image) for one in self._match([image for _, image in left], held)}
        return [one for one in left if id(one[1]) not in found]

    def _send_part(self, part: Sequence[Image], session: Session | None) -> Session | None:
        """Send one part; after a broken try only what the server does not list."""
        left = list(part)
        counter = self._context.progress.counter()
        unsure = False
        for attempt in range(1, _MOST_TRIES + 1):
            try:
                self._import(left, counter, append=session is not None)
            except XnatClientError as error:
                self._context.pace.trouble()
                unsure |= isinstance(error, UnreachableError) and error.status is None
                if attempt == _MOST_TRIES or not _may_pass(error, unsure=unsure):
                    raise
                time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
                self._context.pace.check()
                session = session or (self._find() if unsure else None)
                left = self._left(session, left)
                if not left:
                    return session
            else:
                self.sent_files += len(left)
                return session or self._find()
        raise AssertionError  # the last try raises or returns

    def _import(self, images: Sequence[Image], counter: RequestCounter, *, append: bool) -> None:
        entries = [_entry(folder, image) for folder, image in images]
        size_bytes = zip_size(entries)
        pace = self._context.pace

        def open_chunks() -> Iterator[bytes]:
            counter.restart()
            for chunk in zip_chunks(entries):
                pace.check()
                yield chunk
                counter.add(len(chunk))

        query = {
            "import-handler": "SI",
            "dest": self._target.archive_path,
            # A session that appears in the meantime is not added to by accident.
            "overwrite": "append" if append else "none",
        }
        with pace.slot(size_bytes):
            answer = self._context.transport.request(
                "POST", "/data/services/import", doing=self._doing, query=query,
                body=StreamBody(open_chunks, size_bytes, "application/zip"),
                on_trouble=pace.trouble,
            )  # fmt: skip
        uris = answer.text.split()
        if len(uris) != 1 or "/prearchive/" in uris[0]:
            raise RefusedError(
                f"Cannot {self._doing}: the server made {len(uris)} sessions of it"
                f"{', in its prearchive' if '/prearchive/' in answer.text else ''}, where one in "
                "the archive was asked for. Look at the project's prearchive on the server."
            )


def _may_pass(error: XnatClientError, *, unsure: bool) -> bool:
    """Return whether the same request may go through later.

    After a connection that broke, the server may have taken what was sent: then "it is there
    already" is an answer of its own, and the list tells what is left.
    """
    if isinstance(error, UnreachableError):
        return error.status is None  # the transport has already waited for a busy server
    if isinstance(error, ConflictError) and unsure:
        return True
    return error.status in _PASSING_STATUSES and _PASSING.search(error.details) is not None


def _entry(folder: str, image: DicomFile) -> ZipEntry:
    name = hashlib.sha256(image.instance_uid.encode("ascii")).hexdigest()[:16]
    return ZipEntry(
        name=f"SCANS/{folder}/DICOM/{name}.dcm",
        path=image.path,
        size_bytes=image.size_bytes,
        crc32=image.crc32,
        label=f"File {image.position} (scan {folder})",
    )


def _parts(images: Sequence[Image], part_bytes: int) -> Iterator[list[Image]]:
    part: list[Image] = []
    size_bytes = 0
    for one in images:
        if part and size_bytes + one[1].size_bytes > part_bytes:
            yield part
            part, size_bytes = [], 0
        part.append(one)
        size_bytes += one[1].size_bytes
    if part:
        yield part


def _pairs(
    images: Sequence[DicomFile], held: Sequence[RemoteFile]
) -> list[tuple[DicomFile, RemoteFile]]:
    places: dict[tuple[int, str], list[RemoteFile]] = defaultdict(list)
    for file in held:
        places[file.size_bytes, file.md5].append(file)
    return [(image, places[image.size_bytes, image.md5].pop()) for image in images]
