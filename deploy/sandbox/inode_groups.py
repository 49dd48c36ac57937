"""A hint to the file system about folders whose files come and go. Not here: the files."""

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
