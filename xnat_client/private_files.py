"""Files that only their owner may read, from their first moment: records, lists, pages with faces.

A file that is made and narrowed afterwards is open in between. Not here: what is in the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, OWNER_ONLY)
    try:
        if os.fstat(descriptor).st_mode & _OF_OTHERS:
            os.fchmod(descriptor, OWNER_ONLY)
    finally:
        os.close(descriptor)


@contextmanager
def private_text(path: Path) -> Iterator[TextIO]:
    """Yield a stream whose text becomes a file for its owner only, whole or not at all.

    A file that was there is replaced when the block ends without an error.

    Raises
    ------
    BadInputError
        The place cannot be written to, or is full.
    """
    part_path = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(part_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY)
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as stream:
            yield stream
            try:
                stream.flush()
                os.fsync(stream.fileno())
            except OSError as error:
                raise _cannot_write(path, error) from error
        part_path.replace(path)
    finally:
        part_path.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> BadInputError:
    return BadInputError(
        f"Cannot write {path.name}: {error.strerror or type(error).__name__}. Name a place that "
        "you may write to, with enough space."
    )
