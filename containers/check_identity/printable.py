"""Texts inside binary values: the stretches of printable characters.

Not here: what is in them (``patterns``).
"""

from __future__ import annotations

import re

_RUN = re.compile(rb"[\x20-\x7e\t]{6,}")
_WIDE_RUN = re.compile(rb"(?:[\x20-\x7e\t]\0){6,}")


def printable_runs(data: bytes) -> list[str]:
    """Return the stretches of six or more printable characters, ASCII or UTF-16."""
    found = [run.decode("ascii") for run in _RUN.findall(data)]
    return found + [run.decode("utf-16-le") for run in _WIDE_RUN.findall(data)]
