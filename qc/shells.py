"""b-values and directions of a diffusion series: which volumes belong together, what cannot be.

Not here: measures (``diffusion``), reading files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

B0_LIMIT = 50.0
"""Up to this b-value (s/mm^2) a volume counts as b = 0, as in MRIQC."""
_SHELL_WIDTH = 100.0
_LARGEST_B = 1e6


@dataclass(frozen=True, slots=True)
class Shell:
    """The volumes of one b-value (s/mm^2), by their indices."""

    b_value: int
    frames: NDArray[np.intp]


def find_shells(b_values: NDArray[np.float64]) -> tuple[Shell, ...]:
    """Group volumes by b-value, b = 0 first.

    Values up to 50 are b = 0; others belong together as long as neighbours in size differ by
    less than 100 s/mm^2.
    """
    order = np.argsort(b_values, kind="stable")
    groups: list[list[int]] = []
    for frame in order:
        value = float(b_values[frame])
        last = float(b_values[groups[-1][-1]]) if groups else -np.inf
        together = value <= B0_LIMIT or (last > B0_LIMIT and value - last < _SHELL_WIDTH)
        if groups and together:
            groups[-1].append(int(frame))
        else:
            groups.append([int(frame)])
    shells = []
    for group in groups:
        frames = np.array(sorted(group), dtype=np.intp)
        typical = float(np.median(b_values[frames]))
        shells.append(Shell(0 if typical <= B0_LIMIT else int(round(typical, -1)), frames))
    return tuple(shells)


def reason_against(b_values: NDArray[np.float64] | None, frames: int) -> str:
    """Return why b-values cannot be those of a series, as a sentence; empty if they can."""
    if b_values is None:
        return ""
    if len(b_values) != frames:
        return f"It has {frames} volumes and {len(b_values)} b-values."
    if not -B0_LIMIT <= b_values.min() <= b_values.max() <= _LARGEST_B:
        return "It has b-values that cannot be: below 0, or above a million s/mm^2."
    return ""


def lack_direction(directions: NDArray[np.float64], b_values: NDArray[np.float64]) -> bool:
    """Return whether a weighted volume's direction has no length, so that it is none."""
    lengths = np.linalg.norm(directions, axis=1)
    return bool((lengths[b_values > B0_LIMIT] < 0.5).any())  # noqa: PLR2004 - unit vectors
