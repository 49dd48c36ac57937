"""Files that only their owner may read, from their first moment: records, lists, pages with faces.

A file that is made and narrowed afterwards is open in between. Not here: what is in the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from xnat_client.errors import BadInputError

OWNER_ONLY = 0o600
_OF_OTHERS = 0o077


def make_private(path: Path) -> None:
    """Make an empty file for its owner only; of one that is there, take the rights of others away.

    Raises
    ------
    OSError
        It cannot be made, or it is another account's and open to others.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        os.close(os.open(path, flags, OWNER_ONLY))
    except FileExistsError:
        # By its name: whoever opens and closes a file gives up the locks that its own process
        # holds on it (fcntl(2)), and SQLite would lose what it commits afterwards.
        if path.stat().st_mode & _OF_OTHERS:
            path.chmod(OWNER_ONLY)


@contextmanager
def private_text(path: Path) -> Iterator[TextIO]:
    """Yield a stream whose text becomes a file for its owner only, whole or not at all.

    A file that was there is replaced when the block ends without an error.

    Raises
    ------
    BadInputError
        The place cannot be written to, or is full.
    OSError
        The place was full before the block had ended.
    """
    part_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        # What lies there is an old remainder, or somebody else's, who could read along.
        part_path.unlink(missing_ok=True)
        descriptor = os.open(part_path, flags, OWNER_ONLY)
    except OSError as error:
        raise _cannot_write(path, error) from error
    stream = os.fdopen(descriptor, "w", encoding="utf-8", newline="")
    try:
        yield stream
        try:
            stream.flush()
            os.fsync(stream.fileno())
            part_path.replace(path)
        except OSError as error:
            raise _cannot_write(path, error) from error
    finally:
        # To close is to try once more to write what could not be written.
        with suppress(OSError):
            stream.close()
        part_path.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> BadInputError:
    return BadInputError(
        f"Cannot write {path.name}: {error.strerror or type(error).__name__}. Name a place that "
        "you may write to, with enough space."
    )
