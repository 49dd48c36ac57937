"""Paths of fields such as ``fields/field[name=cohort]/field``, taken apart."""

from __future__ import annotations

import re

# A step: a name, and perhaps a type, a key or a position in brackets.
_STEP = re.compile(r"([^/\[\]]+)(?:\[([^\]]*)\])?(?:/|$)")

MAX_PATH_CHARACTERS = 1000
"""No field's path is longer; the time to read one may grow with the square of its length."""


def split_steps(path: str) -> list[tuple[str, str]]:
    """Return a path's steps as (name, text in brackets); an empty list when it is no path."""
    if len(path) > MAX_PATH_CHARACTERS:
        return []
    steps: list[tuple[str, str]] = []
    position = 0
    while position < len(path):
        found = _STEP.match(path, position)
        if found is None or found.end() == position:
            return []
        steps.append((found[1], found[2] or ""))
        position = found.end()
    return steps
