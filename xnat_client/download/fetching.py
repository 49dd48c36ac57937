"""Fetching many files in parallel, each proved; what is there and right is not fetched again.

A file that was cut off is continued where it stopped, if the server knows ranges (RFC 9110, section
14); XNAT's own file service does not, then it is fetched anew. Not here: which files
(``selection``).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from xnat_client.errors import BadInputError, RefusedError, XnatClientError
from xnat_client.upload.pace import Pace, StoppedError
from xnat_client.upload.send_context import SendProgress, Totals
from xnat_client.upload.workers import Workers

if TYPE_CHECKING:
    from xnat_client.download.selection import Wanted
    from xnat_client.resources import RemoteFile
    from xnat_client.transport import Transport

CHUNK_BYTES = 1 << 20
_STOP_S = 3.0
_PART_SUFFIX = ".winxnat-part"


@dataclass(frozen=True, slots=True)
class DownloadReceipt:
    """What is on the disk now.

    Parameters
    ----------
    fetched, already_there : int
        Files; each has the size and MD5 that the server lists.
    unproved : int
        Of these, files for which the server has no checksum: only the size was compared.
    failed : tuple of str
        One sentence for each different reason why files are missing.
    missing : int
        Files that are not there.
    """

    fetched: int
    already_there: int
    unproved: int
    size_bytes: int
    failed: tuple[str, ...]
    missing: int
    interrupted: bool
    exit_code: int


def fetch_files(
    transport: Transport,
    wanted: Sequence[Wanted],
    out_dir: Path,
    *,
    connections: int = 8,
    show: Callable[[Totals], None] | None = None,
) -> DownloadReceipt:
    """Fetch files into a folder; one that fails does not stop the others.

    Parameters
    ----------
    connections : int
        The most requests in flight; fewer while the server is slow.

    Raises
    ------
    BadInputError
        The folder cannot be written.
    """
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(error) from error
    return _Fetching(transport, out_dir, wanted, connections, show).run()


class _Fetching:
    def __init__(
        self,
        transport: Transport,
        out_dir: Path,
        wanted: Sequence[Wanted],
        connections: int,
        show: Callable[[Totals], None] | None,
    ) -> None:
        self._transport = transport
        self._out_dir = out_dir
        self._root = out_dir.resolve()
        self._wanted = wanted
        self._connections = connections
        total = sum(one.file.size_bytes for one in wanted)
        self._progress = SendProgress(total, show)
        self._pace = Pace(connections)

    def run(self) -> DownloadReceipt:
        workers = Workers(self._connections, "download")
        futures = [workers.submit(partial(self._fetch, one)) for one in self._wanted]
        interrupted = False
        try:
            while wait(futures, timeout=0.5).not_done:
                pass
        except KeyboardInterrupt:
            interrupted = True
            self._pace.stop()
            wait(futures, timeout=_STOP_S)
        workers.close()
        return self._receipt(futures, interrupted=interrupted)

    def _receipt(self, futures: Sequence[Future[bool]], *, interrupted: bool) -> DownloadReceipt:
        ended = [one for one in futures if one.done() and one.exception() is None]
        errors = [error for one in futures if one.done() and (error := one.exception())]
        for error in errors:
            if not isinstance(error, (XnatClientError, StoppedError)):
                raise error
        told = [error for error in errors if isinstance(error, XnatClientError)]
        right = [w for w, f in zip(self._wanted, futures, strict=True) if f in ended]
        code = 130 if interrupted else next((error.exit_code for error in told), 0)
        return DownloadReceipt(
            fetched=sum(one.result() for one in ended),
            already_there=sum(not one.result() for one in ended),
            unproved=sum(not one.file.md5 for one in right),
            size_bytes=sum(one.file.size_bytes for one in right),
            failed=tuple(dict.fromkeys(str(error) for error in told)),
            missing=len(futures) - len(ended),
            interrupted=interrupted,
            exit_code=code,
        )

    def _fetch(self, wanted: Wanted) -> bool:
        """Have one file in place; return whether it had to be fetched."""
        self._pace.check()
        file = wanted.file
        if not file.uri.startswith("/data/"):
            raise RefusedError("The server's list of files holds an address outside /data.")
        try:
            target_path = self._target(wanted.path)
            if _is_right(target_path, file):
                self._progress.held(file.size_bytes)
                return False
            part_path = target_path.with_name(f".{target_path.name}{_PART_SUFFIX}")
            with self._pace.slot(file.size_bytes):
                if part_path.exists() and not self._is_fetched(file, part_path):
                    part_path.unlink(missing_ok=True)  # what was there was of another file
                if not part_path.exists() and not self._is_fetched(file, part_path):
                    part_path.unlink(missing_ok=True)
                    raise _not_as_listed(file)
            part_path.replace(target_path)
        except OSError as error:
            raise _cannot_write(error) from error
        return True

    def _is_fetched(self, file: RemoteFile, part_path: Path) -> bool:
        """Fetch the rest of a file; return whether the whole is what the server lists."""
        counter = self._progress.counter()

        def count(size_bytes: int) -> None:
            self._pace.check()
            counter.add(size_bytes)

        size_bytes, md5 = self._transport.continue_download(
            file.uri, part_path, doing=f"download from {file.resource_label}",
            count=count, restart=counter.restart, on_trouble=self._pace.trouble,
        )  # fmt: skip
        return size_bytes == file.size_bytes and md5 == (file.md5 or md5)

    def _target(self, relative: str) -> Path:
        target_path = self._out_dir.joinpath(*PurePosixPath(relative).parts)
        target_path.parent.mkdir(parents=True, exist_ok=True)
        # A link that lies in the folder already must not lead the download out of it.
        if not target_path.parent.resolve().is_relative_to(self._root):
            raise BadInputError(
                "A symbolic link in the output folder leads out of it. Remove it, or choose an "
                "empty folder."
            )
        return target_path


def _is_right(path: Path, file: RemoteFile) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size_bytes:
        return False
    return bool(file.md5) and md5_of(path) == file.md5


def md5_of(path: Path) -> str:
    """Return the MD5 of a file as lower-case hex."""
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _not_as_listed(file: RemoteFile) -> RefusedError:
    return RefusedError(
        f"A file of resource {file.resource_label} arrived with another size or checksum than the "
        "server's list says. It was thrown away; try again, and if it stays so, ask an owner of "
        "the project to refresh the resource's catalog."
    )


def _cannot_write(error: OSError) -> BadInputError:
    return BadInputError(
        f"Cannot write to the output folder: {os.strerror(error.errno or 0)}. Choose a folder that "
        "you may write to, with enough space."
    )
