"""What is usual within one protocol, and how far one image is from it; robust, and never borrowed.

Scanner and sequence explain most of every measure (in the 1,101 ABIDE scans that mriqc-learn
ships, site explains 43 to 86 % of the rank variance of nearly all), so a norm holds for images of
one protocol, one software and one state of defacing only, and there is none below 20 images.
Not here: what follows from it (``verdicts``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from qc.pool import CannotPoolError, Row, Table
from qc.summary import MAD_TO_SIGMA

FEWEST_IMAGES = 20
"""Below this number of images of one protocol there is no norm."""

_MRIQC_UNDEFINED = {"fber": -1.0}
"""What MRIQC writes where a measure has no value."""


@dataclass(frozen=True, slots=True)
class Norm:
    """The usual range of one measure.

    Attributes
    ----------
    images : int
        How many images have a value.
    median : float
        In the measure's unit.
    sigma : float
        Median absolute deviation, scaled to the standard deviation of normal data.
    """

    images: int
    median: float
    sigma: float

    def distance(self, value: float) -> float | None:
        """Return the robust z of a value, or None where all values are the same."""
        return (value - self.median) / self.sigma if self.sigma > 0 else None


@dataclass(frozen=True, slots=True)
class Stratum:
    """Rows that may be compared: one protocol, one state of defacing, within one table."""

    protocol: str
    defaced: bool | None
    rows: tuple[Row, ...]

    @property
    def has_norm(self) -> bool:
        """Whether there are enough images."""
        return len(self.rows) >= FEWEST_IMAGES


def strata(table: Table) -> list[Stratum]:
    """Return the rows of a table by protocol and defacing, the largest stratum first."""
    found: dict[tuple[str, bool | None], list[Row]] = defaultdict(list)
    for row in table.rows:
        found[row.protocol, row.defaced].append(row)
    return sorted(
        (Stratum(key[0], key[1], tuple(rows)) for key, rows in found.items()),
        key=lambda stratum: (-len(stratum.rows), stratum.protocol, str(stratum.defaced)),
    )


def measured(row: Row, measure: str) -> float | None:
    """Return a row's value, None also for the number by which MRIQC says that there is none."""
    value = row.values.get(measure)
    if row.software != "winqc" and value == _MRIQC_UNDEFINED.get(measure, object()):
        return None
    return value


def norm_of(rows: Sequence[Row], measure: str, *, without: Row | None = None) -> Norm | None:
    """Return the norm of a measure over comparable rows.

    Parameters
    ----------
    rows : Sequence of Row
        Of one kind, protocol and state of defacing.
    measure : str
        Name of the measure.
    without : Row or None
        A row to leave out, so that an image is not compared with itself.

    Returns
    -------
    Norm or None
        None where fewer than `FEWEST_IMAGES` of the rows have a value (the one that is left out
        counts among them).

    Raises
    ------
    CannotPoolError
        The rows may not be compared.
    """
    if len({(row.kind, row.protocol, row.defaced) for row in rows}) > 1:
        raise CannotPoolError("A norm holds within one software, protocol and state of defacing.")
    present = [row for row in rows if measured(row, measure) is not None]
    if len(present) < FEWEST_IMAGES:
        return None
    return _norm(measured(row, measure) for row in present if row is not without)


def _norm(values: Iterable[float | None]) -> Norm:
    kept = np.array([value for value in values if value is not None], dtype=np.float64)
    median = float(np.median(kept))
    return Norm(kept.size, median, float(np.median(np.abs(kept - median)) / MAD_TO_SIGMA))
