"""The tables of a dataset that belong to no single session: participants and sessions.

Not here: scans.tsv, which every session has of its own.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

NOT_AVAILABLE = "n/a"

Row = Mapping[str, str]


def read_table(path: Path | None) -> list[dict[str, str]]:
    """Return the rows of a tab-separated table, by column; none if there is no file."""
    if path is None:
        return []
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
        return [
            {str(key): str(value) for key, value in row.items() if key is not None}
            for row in reader
        ]


def table_text(first: str, rows: Sequence[Row]) -> str:
    """Return a table, sorted by its first column; the other columns in order of their names."""
    others = sorted({name for row in rows for name in row} - {first})
    stream = io.StringIO()
    writer = csv.writer(
        stream, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None
    )
    writer.writerow([first, *others])
    for row in sorted(rows, key=lambda row: row[first]):
        writer.writerow([row[first], *(row.get(name) or NOT_AVAILABLE for name in others)])
    return stream.getvalue()


def merged_row(rows: Iterable[Row]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return one row of several for the same subject, and the columns in which they differ.

    What differs is not available: a value of one visit must not pass for that of another.
    """
    merged: dict[str, str] = {}
    differing: set[str] = set()
    for row in rows:
        for name, value in row.items():
            if value in {"", NOT_AVAILABLE}:
                continue
            if merged.setdefault(name, value) != value:
                differing.add(name)
    return (
        {name: NOT_AVAILABLE if name in differing else value for name, value in merged.items()},
        tuple(sorted(differing)),
    )
