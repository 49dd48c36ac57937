"""Fits the template to a head by the whole head, without asking where the brain is.

The start is the crown of the head, from which several turns are tried on a coarse grid; the best
is refined. It runs from subject to template, the other way round than the fit by the brain, so
that one mistake does not make both. Not here: the fit by the brain and by niimath
(``registration``).
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses
from numpy.typing import NDArray

from containers.deface.grids import Matrix, inverse, to_itk, to_matrix
from containers.deface.head import Head
from containers.deface.registration import (
    STARTS,
    Fit,
    Spread,
    Tried,
    Turn,
    as_affine,
    best_of,
    brain_dice,
    coarse,
    information_method,
    levelled,
)
from containers.deface.template import Field, Grid, Template

WHOLE_FIT = "whole head"

_TRY_MM, _FIT_MM = 8.0, 4.0
_UPPER_MM = 110.0
"""Of the head below its crown: its middle is that of the brain, but for the height."""
_BELOW_CROWN_MM = 70.0
_LEAST_SLICE = 0.02
"""Of a slice that must be tissue before it counts as part of the head."""
_TEMPLATE_TISSUE = 25
"""Of the template's 255; its air is about 3."""
_TRY_STEPS, _TRY_SAMPLING = 25, 1.0
_FIT_SAMPLING = 0.3


def fit_by_whole_head(head: Head, template: Template, spread: Spread = map) -> Fit | None:
    """Fit by mutual information from the crown of the head; None where nothing overlaps."""
    here = _crown(head.tissue, head.grid)
    there = _crown(template.head > _TEMPLATE_TISSUE, template.head_grid)
    average = template.head.astype(np.float32)
    fixed = _picture(head.volume, head.grid, _TRY_MM)
    moving = _picture(average, template.head_grid, _TRY_MM)

    def tried(turn: Turn) -> Tried:
        start = sitk.Similarity3DTransform()
        start.SetCenter(here.tolist())
        euler = sitk.Euler3DTransform()
        euler.SetRotation(*turn.tolist())
        start.SetMatrix(euler.GetMatrix())
        start.SetTranslation((there - here).tolist())
        method = information_method(_TRY_SAMPLING, steps=_TRY_STEPS, first_mm=4.0, last_mm=0.2)
        method.SetInitialTransform(start, inPlace=True)
        try:
            method.Execute(fixed, moving)
        except RuntimeError:
            # This start has too little overlap to measure; the others decide.
            return None
        return float(method.GetMetricValue()), to_matrix(start)

    found = best_of(spread(tried, STARTS))
    if found is None:
        return None
    matrix = as_affine(
        information_method(_FIT_SAMPLING),
        _picture(head.volume, head.grid, _FIT_MM),
        _picture(average, template.head_grid, _FIT_MM),
        found[1],
    )
    if abs(np.linalg.det(matrix[:3, :3])) < np.finfo(float).eps:
        return None
    back: Matrix = inverse(matrix)
    return Fit(WHOLE_FIT, back, brain_dice(head, template, back))


def _crown(tissue: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """Return a point in mm below the crown, in the middle of the upper part of the head."""
    share = tissue.mean(axis=(0, 1))
    heights = np.flatnonzero(share > _LEAST_SLICE)
    top = int(heights.max()) if heights.size else tissue.shape[2] - 1
    low = max(0, int(top - _UPPER_MM / grid.spacing_mm[2]))
    upper = np.argwhere(tissue[:, :, low : top + 1])
    index = upper.mean(0) if upper.size else np.array(tissue.shape) / 2
    middle = index * grid.spacing_mm + grid.origin_mm
    crown_mm = top * grid.spacing_mm[2] + grid.origin_mm[2]
    return np.array([middle[0], middle[1], crown_mm - _BELOW_CROWN_MM])


def _picture(volume: Field, grid: Grid, step_mm: float) -> sitk.Image:
    small, small_grid = coarse(volume, grid, step_mm)
    return to_itk(levelled(small, small_grid.spacing_mm), small_grid)
