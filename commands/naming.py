"""The rules for the names inside a command document."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

_NAME = re.compile(r"[A-Za-z0-9_-]*")


def name_errors(what: str, names: Iterable[str]) -> Iterator[str]:
    """Return what is wrong with the names of one list: blank, repeated, other characters."""
    names = list(names)
    for name in names:
        if not name.strip():
            yield f"an {what} has no name."
        elif not _NAME.fullmatch(name):
            yield f'the name of {what} "{name}" has characters other than letters, digits, _ and -.'
    yield from repeated_names(what, names)


def repeated_names(what: str, names: Iterable[str]) -> Iterator[str]:
    """Return a sentence for every name that stands in its list more than once."""
    for name, count in Counter(names).items():
        if count > 1:
            yield f'the {what} name "{name}" is not unique.'
