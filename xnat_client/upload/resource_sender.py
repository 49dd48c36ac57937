"""Sending the files of one resource, and proving that they arrived.

Small files travel together, as a stored archive that the server unpacks; large ones alone. Each
file is read once: its MD5 is taken while it is sent. Not here: DICOM (``dicom_sender``).
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import BadInputError, ConflictError, RefusedError
from xnat_client.exchange import StreamBody
from xnat_client.upload.send_context import SendContext
from xnat_client.upload.server_objects import list_held, make_resource
from xnat_client.upload.zip_stream import SmallFile, small_zip_chunks, small_zip_size

if TYPE_CHECKING:
    from xnat_client.exchange import Answer
    from xnat_client.resources import RemoteFile
    from xnat_client.upload.session_task import OutgoingFile, ResourceTask

CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
_FEW = 4
"""So few small files are sent alone: an archive would save nothing."""
_MOST_IN_ARCHIVE = 500
_LONGEST_ARCHIVE_BYTES = 8 << 20


class ResourceSender:
    """One resource of one object.

    Parameters
    ----------
    path : str
        Of the resource, below the server's address.
    words : str
        What it is called in messages.
    """

    def __init__(self, context: SendContext, path: str, words: str, task: ResourceTask) -> None:
        self._context = context
        self._path = path
        self._words = words
        self._task = task
        self._digests: dict[str, str] = {}
        self.sent_files = 0

    def send(self) -> list[tuple[OutgoingFile, RemoteFile, str]]:
        """Send what the server does not hold; return each file as the server lists it, with MD5.

        Raises
        ------
        ConflictError
            A file of the same name but another content is there.
        BadInputError
            A file changed since it was looked at.
        RefusedError
            The server lists a file not at all, or as something else than was sent.
        """
        transport = self._context.transport
        held = list_held(transport, self._path, self._task.label)
        if held is None:
            make_resource(transport, self._path, self._task)
            held = {}
        missing = self._missing(held)
        if missing:
            self._send_files(missing, overwrite=False)
            held = list_held(transport, self._path, self._task.label) or {}
            wrong = [file for file in missing if self._is_wrong(file, held)]
            if wrong:
                # Once more, over what came of the first try; then it is the server's matter.
                self._send_files(wrong, overwrite=True)
                held = list_held(transport, self._path, self._task.label) or {}
        return self._proved(held)

    def _missing(self, held: dict[str, RemoteFile]) -> list[OutgoingFile]:
        missing, clashing = [], 0
        for file in self._task.files:
            remote = held.get(file.name)
            if remote is None:
                missing.append(file)
                continue
            same = remote.size_bytes == file.size_bytes or not remote.md5
            if same and self._remote_md5(remote) == self._local_md5(file):
                self._context.progress.held(file.size_bytes)
            else:
                clashing += 1
        if clashing:
            raise ConflictError(
                f"{self._words} has {clashing} files of the same name but another content. They "
                "were left as they are; choose another resource in the plan, or rename the files."
            )
        return missing

    def _is_wrong(self, file: OutgoingFile, held: dict[str, RemoteFile]) -> bool:
        remote = held.get(file.name)
        return remote is not None and self._remote_md5(remote) != self._digests[file.name]

    def _proved(self, held: dict[str, RemoteFile]) -> list[tuple[OutgoingFile, RemoteFile, str]]:
        proved, missing, different = [], 0, 0
        for file in self._task.files:
            remote = held.get(file.name)
            md5 = self._digests.get(file.name, "")
            if remote is None:
                missing += 1
            elif remote.size_bytes != file.size_bytes or self._remote_md5(remote) != md5:
                different += 1
            else:
                proved.append((file, remote, md5))
        if missing or different or not proved:
            hint = " It may be that this account has not the right to add files." if missing else ""
            raise RefusedError(
                f"{self._words} on the server is not what was sent: of {len(self._task.files)} "
                f"files {missing} are missing and {different} differ in size or MD5.{hint} Do not "
                "rely on it."
            )
        return proved

    def _remote_md5(self, remote: RemoteFile) -> str:
        if remote.md5:
            return remote.md5
        return self._context.transport.digest(remote.uri, doing="read an uploaded file back")[1]

    def _local_md5(self, file: OutgoingFile) -> str:
        known = self._context.state.digest_of(file.path, file.size_bytes, file.mtime_ns)
        if not known:
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in _read(file):
                digest.update(chunk)
            known = digest.hexdigest()
            self._keep([(file, known)])
        self._digests[file.name] = known
        return known

    # Sending ----------------------------------------------------------------------------------

    def _send_files(self, files: Sequence[OutgoingFile], *, overwrite: bool) -> None:
        small = [file for file in files if file.size_bytes <= _SMALL_BYTES]
        alone = [file for file in files if file.size_bytes > _SMALL_BYTES]
        if len(small) < _FEW:
            alone, small = [*alone, *small], []
        workers = self._context.workers
        futures: list[Future[int]] = [
            workers.submit(partial(self._send_archive, part, overwrite=overwrite))
            for part in _parts(small, min(self._context.part_bytes, _LONGEST_ARCHIVE_BYTES))
        ]
        futures += [
            workers.submit(partial(self._send_alone, file, overwrite=overwrite)) for file in alone
        ]
        try:
            for future in futures:
                self.sent_files += future.result()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)

    def _send_alone(self, file: OutgoingFile, *, overwrite: bool) -> int:
        counter = self._context.progress.counter()
        digests: list[str] = []

        def open_chunks() -> Iterator[bytes]:
            counter.restart()
            digest = hashlib.md5(usedforsecurity=False)
            for chunk in _read(file):
                self._context.pace.check()
                digest.update(chunk)
                yield chunk
                counter.add(len(chunk))
            digests.append(digest.hexdigest())

        body = StreamBody(open_chunks, file.size_bytes)
        path = f"{self._path}/files{path_of(*file.name.split('/'))}"
        self._put(path, {"inbody": "true"}, body, file.size_bytes, overwrite=overwrite)
        self._keep([(file, digests[-1])])
        return 1

    def _send_archive(self, files: Sequence[OutgoingFile], *, overwrite: bool) -> int:
        counter = self._context.progress.counter()
        digests: dict[str, str] = {}
        small = [SmallFile(f.name, f.path, f.size_bytes, self._words) for f in files]

        def take_content(file: SmallFile, content: bytes) -> None:
            self._context.pace.check()
            digests[file.name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
            counter.add(len(content))

        def open_chunks() -> Iterator[bytes]:
            counter.restart()
            return small_zip_chunks(small, take_content)

        size_bytes = small_zip_size(small)
        body = StreamBody(open_chunks, size_bytes, "application/zip")
        path = f"{self._path}/files/winxnat-{secrets.token_hex(6)}.zip"
        query = {"extract": "true", "inbody": "true"}
        self._put(path, query, body, size_bytes, overwrite=overwrite)
        self._keep([(file, digests[file.name]) for file in files])
        return len(files)

    def _put(
        self,
        path: str,
        query: dict[str, str],
        body: StreamBody,
        size_bytes: int,
        *,
        overwrite: bool,
    ) -> None:
        pace = self._context.pace
        asked = {**query, "overwrite": "true"} if overwrite else query
        with pace.slot(size_bytes):
            answer = self._context.transport.request(
                "PUT", path, doing=f"store files of {self._words}", query=asked, body=body,
                on_trouble=pace.trouble,
            )  # fmt: skip
        # Duplicates may be our own: a try whose answer got lost. The list says what is there.
        _check_answer(answer, self._words)

    def _keep(self, digests: Sequence[tuple[OutgoingFile, str]]) -> None:
        for file, md5 in digests:
            self._digests[file.name] = md5
        self._context.state.keep_digests(
            (file.path, file.size_bytes, file.mtime_ns, md5) for file, md5 in digests
        )


def _check_answer(answer: Answer, words: str) -> None:
    """Look into the body of a success: XNAT reports troubles in it."""
    text = answer.text
    if not text:
        return
    try:
        document = json.loads(text)
    except ValueError:
        return
    if isinstance(document, dict) and document.get("error"):
        raise RefusedError(f"The server stored {words} only in part. Look at it on the server.")


def _parts(files: Sequence[OutgoingFile], part_bytes: int) -> Iterator[list[OutgoingFile]]:
    part: list[OutgoingFile] = []
    size_bytes = 0
    for file in files:
        full = size_bytes + file.size_bytes > part_bytes or len(part) >= _MOST_IN_ARCHIVE
        if part and full:
            yield part
            part, size_bytes = [], 0
        part.append(file)
        size_bytes += file.size_bytes
    if part:
        yield part


def _read(file: OutgoingFile) -> Iterator[bytes]:
    size_bytes = 0
    try:
        with Path(file.path).open("rb", buffering=0) as stream:
            while chunk := stream.read(CHUNK_BYTES):
                size_bytes += len(chunk)
                if size_bytes > file.size_bytes:
                    break
                yield chunk
    except OSError as error:
        raise BadInputError(
            f"A file can no longer be read ({error.strerror or type(error).__name__}). Its sending "
            "was broken off; try again when the folder is at rest."
        ) from error
    if size_bytes != file.size_bytes:
        raise BadInputError(
            "A file was changed during the upload. Its sending was broken off; try again when "
            "nothing writes to the folder."
        )
