"""Where new files cost the file system little: folders whose files come and go.

Not here: the files.
"""

from __future__ import annotations

import fcntl
import os
import struct
from contextlib import suppress
from pathlib import Path

# linux/fs.h; the flag is what `chattr +T` sets.
_GET_FLAGS = 0x80086601
_SET_FLAGS = 0x40086602
_TOP_OF_HIERARCHY = 0x00020000

LOOKED_AT = 16
"""Files that are judged together; one alone may take long for other reasons."""
SLOW_NS = 60_000
"""Processor time, in nanoseconds, that making a file takes at most where ext4 need not search."""
PLACES = 64
"""Folders between which files are shared out at most."""


class QuickPlace:
    """The name of the folder for new files: another one when making them there has become slow.

    Where the processor spends its time making a file is the search for an inode; folders that were
    given up stay, so that the next one is put elsewhere. If no place is quick, they are given up
    ever more rarely, and at last used again in turn: their inodes were deleted long ago.

    Parameters
    ----------
    prefix : str
        Beginning of all names.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._moves = 0
        self._patience = LOOKED_AT
        self._files = 0
        self._slow_files = 0
        self.name = f"{prefix}-0"

    def made(self, took_ns: int) -> None:
        """Note that a file was made here, and the processor time it took, in nanoseconds.

        Any thread may do so; what two of them note at once may count as one.
        """
        self._files += 1
        self._slow_files += took_ns > SLOW_NS
        if self._files < self._patience:
            return
        is_slow = self._slow_files * 2 > self._files
        self._files = self._slow_files = 0
        if is_slow:
            self._moves += 1
            self.name = f"{self._prefix}-{self._moves % PLACES}"
            self._patience = min(self._patience * 2, LOOKED_AT * PLACES)
        else:
            self._patience = LOOKED_AT


def spread_folders_below(folder: Path) -> None:
    """Have ext4 put new folders of this folder where there is room, far from one another.

    Notes
    -----
    ext4 makes a file's inode near its folder's, a folder's near its parent's, and passes over
    inodes that were deleted in the last minutes, one by one. Where thousands were deleted nearby,
    as in a folder for temporary files, a new file takes ten times as long as elsewhere. Other file
    systems do not know the hint and lose nothing.

    References
    ----------
    chattr(1), attribute T; Linux, fs/ext4/ialloc.c, ``find_group_orlov`` and ``find_inode_bit``.
    """
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            (flags,) = struct.unpack("i", fcntl.ioctl(descriptor, _GET_FLAGS, bytes(4)))
            wanted = struct.pack("i", flags | _TOP_OF_HIERARCHY)
            fcntl.ioctl(descriptor, _SET_FLAGS, wanted)
        finally:
            os.close(descriptor)
