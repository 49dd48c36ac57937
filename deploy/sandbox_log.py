"""The sandbox's log of requests, read for people and programs, also while it grows.

Not here: what is in it and what is left out (``deploy.sandbox.request_log``).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

_COLUMNS = ("time", "user", "method", "path", "status", "bytes", "ms", "reason")
_POLL_S = 0.2


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last lines of a log and of the older one beside it."""
    with _opened(path) as file:
        return _last(path, file, count)[0]


def follow(path: Path, count: int) -> Iterator[str]:
    """Yield the last lines, then each line as it is written, for ever.

    A log that is renamed is read to its end, and then the new one; one that is not there yet is
    waited for.
    """
    while not path.exists():
        time.sleep(_POLL_S)
    file = _opened(path)
    try:
        lines, rest = _last(path, file, count)
        yield from lines
        while True:
            # Asked before reading: what is written until the renaming is read below.
            renamed = path.exists() and os.fstat(file.fileno()).st_ino != path.stat().st_ino
            *lines, rest = (rest + file.read()).split("\n")
            yield from lines
            if renamed:
                file.close()
                file = _opened(path)
            elif not lines:
                time.sleep(_POLL_S)
    finally:
        file.close()


def _opened(path: Path) -> TextIO:
    return path.open(encoding="utf-8")


def _last(path: Path, file: TextIO, count: int) -> tuple[list[str], str]:
    """Return the last whole lines of an open log, and what is behind them."""
    older = path.with_name(f"{path.name}.1")
    before = older.read_text(encoding="utf-8").splitlines() if older.exists() else []
    *lines, rest = file.read().split("\n")
    everything = before + lines
    return everything[len(everything) - min(count, len(everything)) :], rest


def as_document(line: str) -> dict[str, str | int | float]:
    """Return a line of the log with its columns named.

    Raises
    ------
    ValueError
        It is none.
    """
    cells = line.split(" ", len(_COLUMNS) - 1)
    document: dict[str, str | int | float] = dict(zip(_COLUMNS, [*cells, ""], strict=False))
    if len(cells) < len(_COLUMNS) - 1:
        raise ValueError(line)
    return {
        **document,
        "status": int(document["status"]),
        "bytes": int(document["bytes"]),
        "ms": float(document["ms"]),
    }
