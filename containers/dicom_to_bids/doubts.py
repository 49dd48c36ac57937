"""Finds what is odd about a session's files: copies of one another, and gaps in their numbers.

Not here: reading headers (``inventory``), or what is done with a scan in doubt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path


def copies(files: Iterable[tuple[str, Path]]) -> frozenset[Path]:
    """Return the files that hold the same bytes as an earlier one.

    Parameters
    ----------
    files : Iterable[tuple[str, Path]]
        SOP Instance UID and path. Only files of one UID are compared, so few are read again.
        Files of one UID with other bytes are left to the converter: sloppy exports give one
        UID to many images.
    """
    by_uid: dict[str, list[Path]] = {}
    for uid, path in files:
        by_uid.setdefault(uid, []).append(path)
    found: set[Path] = set()
    for paths in by_uid.values():
        seen: set[bytes] = set()
        for path in paths if len(paths) > 1 else ():
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").digest()
            if digest in seen:
                found.add(path)
            seen.add(digest)
    return frozenset(found)


def missing_count(numbers: Collection[int | None]) -> int:
    """Return how many instance numbers are missing between a scan's first and last.

    0 where a file has none, or several have the same: then the numbers do not count images.
    """
    known = {number for number in numbers if number is not None}
    if len(known) != len(numbers) or not known:
        return 0
    return max(known) - min(known) + 1 - len(known)
