"""CHANGES of an assembled dataset: one entry for each assembly that changed something.

Follows the convention that BIDS names (BIDS 1.10, "CHANGES"; CPAN::Changes::Spec). Not here:
what the entries are about.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_FIRST = "1.0.0"
_ENTRY = re.compile(r"^(\d+)\.(\d+)\.(\d+)\b", re.MULTILINE)
_CONTENT = re.compile(r"^  - Content SHA-256 ([0-9a-f]{64})$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Release:
    """One state of the dataset: checksum of its content, day (``YYYY-MM-DD``), and a line."""

    content: str
    released_on: str
    line: str


def changes_text(earlier: str, release: Release) -> str:
    """Return CHANGES with an entry on top, or as it was where the content is the same.

    An earlier text of another form is kept below the new entry.
    """
    last = _CONTENT.search(earlier)
    if last and last[1] == release.content:
        return earlier
    entry = (
        f"{_next_version(earlier)} {release.released_on}\n"
        f"  - {release.line}\n  - Content SHA-256 {release.content}\n"
    )
    return f"{entry}\n{earlier}" if earlier else entry


def _next_version(earlier: str) -> str:
    top = _ENTRY.search(earlier)
    return f"{top[1]}.{int(top[2]) + 1}.0" if top else _FIRST
