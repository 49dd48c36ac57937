"""What a measure gives: a finite number, or a sentence that says why there is none.

A missing value is never -1, 0 or NaN. Not here: the measures themselves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

PRECISION = 7
"""Significant digits of stored values: more are noise of the processor's arithmetic."""


class UndefinedMeasureError(ValueError):
    """A measure has no value for this image; the message is the reason, a sentence for people."""


@dataclass
class Measures:
    """The values of one image, collected one by one.

    Attributes
    ----------
    values : dict
        Finite number or None by the measure's name.
    undefined : dict
        The reason, for each name whose value is None.
    """

    values: dict[str, float | int | None] = field(default_factory=dict)
    undefined: dict[str, str] = field(default_factory=dict)

    def take(self, name: str, compute: Callable[[], float]) -> None:
        """Store what ``compute`` returns, or why it returns nothing.

        `UndefinedMeasureError` and what arithmetic raises become the reason; a result that is
        not finite becomes None too.
        """
        try:
            with np.errstate(all="ignore"):
                value = compute()
        except UndefinedMeasureError as error:
            self.refuse((name,), str(error))
            return
        except ZeroDivisionError:
            self.refuse((name,), "The divisor of its formula is zero in this image.")
            return
        if not math.isfinite(value):
            self.refuse((name,), "Its formula gives no finite number for this image.")
            return
        self.undefined.pop(name, None)
        self.values[name] = value if isinstance(value, int) else rounded(value)

    def take_all(self, names: tuple[str, ...], compute: Callable[[], Mapping[str, float]]) -> None:
        """Store several values that are computed together; all share one reason."""
        try:
            with np.errstate(all="ignore"):
                found = compute()
        except UndefinedMeasureError as error:
            self.refuse(names, str(error))
            return
        for name in names:
            self.take(name, lambda value=found[name]: value)  # type: ignore[misc]  # binds the loop's

    def refuse(self, names: tuple[str, ...], reason: str) -> None:
        """Store None and the reason for each name."""
        for name in names:
            self.values[name] = None
            self.undefined[name] = reason


def rounded(value: float) -> float:
    """Return a number with `PRECISION` significant digits."""
    return float(f"{value:.{PRECISION}g}")
