"""The ledger: one line for each file that was found on the server unchanged; only ever added to.

From a file's MD5 it leads to the object in XNAT. It holds no local path. A line may stand twice
after a crash, never be missing for a file that the state calls confirmed. Not here: the state.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from xnat_client.errors import BadInputError


class Ledger:
    """A JSON Lines file, opened for adding."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            self._end_cut_line()
        except OSError as error:
            raise _unusable(error) from error

    def _end_cut_line(self) -> None:
        """End a line that a crash cut off, so that the next one stands alone."""
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            os.write(self._descriptor, b"\n")

    def add(self, lines: Iterable[Mapping[str, object]]) -> None:
        """Add lines and wait until they are on the disk.

        Raises
        ------
        BadInputError
            They cannot be written.
        """
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        data = memoryview(text.encode("utf-8", errors="surrogateescape"))
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
                os.fsync(self._descriptor)
            except OSError as error:
                raise _unusable(error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            os.close(self._descriptor)
            # A thread that an interruption left behind must not write into another file.
            self._descriptor = -1


def _unusable(error: OSError) -> BadInputError:
    return BadInputError(
        f"The ledger of the upload cannot be written ({error.strerror or type(error).__name__}). "
        "Give another one with --ledger, on a disk with space."
    )
