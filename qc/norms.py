"""What is usual within one protocol, and how far one image is from it; robust, and never borrowed.

Scanner and sequence explain most of every measure (in the 1,101 ABIDE scans that mriqc-learn
ships, site explains 43 to 86 % of the rank variance of nearly all), so a norm holds for images of
one protocol, one software and one state of defacing only, and there is none below 20 images.
Not here: what follows from it (``verdicts``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    """Rows that may be compared: one protocol, one state of defacing, within one table.

    Raises
    ------
    CannotPoolError
        The rows may not be compared.
    """

    protocol: str
    defaced: bool | None
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        held = {(row.protocol, row.defaced) for row in self.rows}
        if held - {(self.protocol, self.defaced)} or len({row.kind for row in self.rows}) > 1:
            raise CannotPoolError(
                "A norm holds within one software, protocol and state of defacing."
            )

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


def column_of(rows: Sequence[Row], measure: str) -> NDArray[np.float64]:
    """Return a measure's values, (N,), NaN where a row has none."""
    values = (measured(row, measure) for row in rows)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def norm_of(column: NDArray[np.float64]) -> Norm | None:
    """Return the norm of a measure over comparable images.

    Parameters
    ----------
    column : ndarray, (N,)
        As `column_of` gives it for the rows of one stratum.

    Returns
    -------
    Norm or None
        None where fewer than `FEWEST_IMAGES` have a value.
    """
    known = column[~np.isnan(column)]
    if known.size < FEWEST_IMAGES:
        return None
    median = float(np.median(known))
    return Norm(known.size, median, float(np.median(np.abs(known - median)) / MAD_TO_SIGMA))


def norms_without_each(column: NDArray[np.float64]) -> list[Norm | None]:
    """Return for each image the norm of all others, so that none is compared with itself.

    Parameters
    ----------
    column : ndarray, (N,)
        As `column_of` gives it for the rows of one stratum.

    Returns
    -------
    list of Norm or None
        None where an image has no value, and everywhere below `FEWEST_IMAGES` values (the one
        that is left out counts among them).

    Notes
    -----
    Takes the time of a few sorts for all images together: without one of N values the median is
    one of three at most, so there are three sorted lists of deviations at most.
    """
    found: list[Norm | None] = [None] * column.size
    places = np.flatnonzero(~np.isnan(column))
    if places.size < FEWEST_IMAGES:
        return found
    known = column[places]
    medians = _medians_without_each(known)
    for median in np.unique(medians):
        sigmas = _medians_without_each(np.abs(known - median)) / MAD_TO_SIGMA
        for index in np.flatnonzero(medians == median):
            found[places[index]] = Norm(known.size - 1, float(median), float(sigmas[index]))
    return found


def _medians_without_each(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return for each of N values the median of the N - 1 others, (N,)."""
    order = np.argsort(values, kind="stable")
    ranks = np.empty(values.size, dtype=np.intp)
    ranks[order] = np.arange(values.size)
    in_order = values[order]
    left = values.size - 1
    below, above = (left - 1) // 2, left // 2
    # What lies behind the one that is left out moves up by a place.
    return np.asarray((in_order[below + (ranks <= below)] + in_order[above + (ranks <= above)]) / 2)
