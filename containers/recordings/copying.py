"""Copies a file with only the allowed bytes of it, so that what no rule names does not survive.

Not here: which bytes these are (the formats).
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Self

from containers.recordings.model import RefusedRecordingError

_CHUNK_BYTES = 1 << 20


def copy_range(source: BinaryIO, target: BinaryIO, size_bytes: int) -> None:
    """Copy that many bytes from where both files stand.

    Raises
    ------
    RefusedRecordingError
        The source ends earlier.
    """
    left = size_bytes
    while left > 0:
        chunk = source.read(min(left, _CHUNK_BYTES))
        if not chunk:
            raise RefusedRecordingError(
                "A recording ends before the data that its header promises; send it again."
            )
        target.write(chunk)
        left -= len(chunk)


class Blank:
    """A file of zeros, as long as its source, into which allowed ranges are copied.

    Parameters
    ----------
    source, target : Path
        The target must not exist.
    """

    def __init__(self, source: Path, target: Path) -> None:
        self.size_bytes = source.stat().st_size
        self._source = source.open("rb")
        self._target = target.open("xb")
        self._target.truncate(self.size_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._source.close()
        self._target.close()

    def read(self, offset: int, size_bytes: int) -> bytes:
        """Return bytes of the source.

        Raises
        ------
        RefusedRecordingError
            The range is not within the file.
        """
        self._check(offset, size_bytes)
        self._source.seek(offset)
        return self._source.read(size_bytes)

    def keep(self, offset: int, size_bytes: int) -> None:
        """Copy a range of the source to the same place.

        Raises
        ------
        RefusedRecordingError
            The range is not within the file.
        """
        self._check(offset, size_bytes)
        self._source.seek(offset)
        self._target.seek(offset)
        copy_range(self._source, self._target, size_bytes)

    def write(self, offset: int, content: bytes) -> None:
        """Write bytes of our own.

        Raises
        ------
        RefusedRecordingError
            The range is not within the file.
        """
        self._check(offset, len(content))
        self._target.seek(offset)
        self._target.write(content)

    def _check(self, offset: int, size_bytes: int) -> None:
        if offset < 0 or size_bytes < 0 or offset + size_bytes > self.size_bytes:
            raise RefusedRecordingError(
                "A part of a recording lies beyond the end of its file: it is cut off or damaged; "
                "send it again."
            )
