"""Writes the measures of many images as one tab-separated table.

winqc, MRIQC and the group report write this one form. A reader finds columns by their names: other
measures may come between. Not here: records (``pool``), pages (``report``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable

from qc.norms import measured
from qc.pool import Row

COLUMNS = (
    "image", "modality", "software", "version", "pipeline", "protocol_hash", "defaced",
)  # fmt: skip
"""What stands before the measures, which follow in the order of their names."""

NOT_AVAILABLE = "n/a"
"""What BIDS has for a value that is not there."""


def make_table(rows: Iterable[Row]) -> str:
    """Return one line for each image after a line of names; sorted by kind, then by name.

    Numbers have seven significant digits, ``defaced`` is ``true``, ``false`` or ``n/a``; ``n/a``
    also stands where a measure has no value or is not of the image's kind.
    """
    ordered = sorted(rows, key=lambda row: (row.kind, row.name))
    names = sorted({name for row in ordered for name in row.values})
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter="\t", lineterminator="\n")
    writer.writerow([*COLUMNS, *names])
    for row in ordered:
        values = (measured(row, name) for name in names)
        writer.writerow(
            [
                *_about(row),
                *(NOT_AVAILABLE if value is None else f"{value:.7g}" for value in values),
            ]
        )
    return sink.getvalue()


def _about(row: Row) -> list[str]:
    defaced = NOT_AVAILABLE if row.defaced is None else str(row.defaced).lower()
    about = [row.name, row.modality, row.software, row.version, row.pipeline, row.protocol]
    return [*(text or NOT_AVAILABLE for text in about), defaced]
