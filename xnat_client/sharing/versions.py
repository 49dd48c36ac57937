"""Version numbers of releases, MAJOR.MINOR.PATCH, compared as numbers.

Not here: when which part goes up (docs/releases).
"""

from __future__ import annotations

import re

_VERSION = re.compile(r"(\d{1,9})\.(\d{1,9})\.(\d{1,9})", re.ASCII)


def version_key(version: str) -> tuple[int, int, int]:
    """Return what a version is compared by; a text that is no version comes before all others."""
    found = _VERSION.fullmatch(version)
    if found is None:
        return (-1, -1, -1)
    major, minor, patch = (int(part) for part in found.groups())
    return (major, minor, patch)


def major_of(version: str) -> int | None:
    """Return the first number of a version; None if the text is none."""
    major = version_key(version)[0]
    return None if major < 0 else major
