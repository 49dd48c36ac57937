"""Fits the template to a head by its brain, by niimath, and by another image of the session.

The first begins with the brain's mask and refines by mutual information of intensities with the
local mean and contrast taken away, so that strong shading cannot pull it off. niimath fits the
whole head and decides where the others disagree. Not here: the fit by the whole head that needs
no brain (``whole_head``), whether a fit is good enough (``gates``).
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import niimath
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.grids import (
    Matrix,
    carry,
    factors_for,
    inverse,
    reduced,
    signed_distance,
    to_itk,
    to_matrix,
    to_transform,
)
from containers.deface.head import Head
from containers.deface.template import Field, Grid, Template

BRAIN_FIT = "brain mask and mutual information"
HEAD_FIT = "niimath"
REFERENCE_FIT = "the session's reference image"

_FIT_MM = 4.0
_TURN_RAD = 0.35
"""Of the starts besides the straight one: 20 degrees either way about each axis."""
_LOCAL_MM = 14.0
_DISTANCE_LIMIT_MM = 20.0
_HISTOGRAM_BINS = 32
_SEED = 1
"""Of the jitter of sampled points, which otherwise comes from the clock: two runs would differ."""
_HEAD_MARGIN_TENTHS = -80
_NIIMATH_TIMEOUT_S = 900
_LEAST_LIKENESS = 0.92
"""Of two masks of one brain (Dice); below it one of them is wrong."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Where the template lies on a head.

    Parameters
    ----------
    name : str
        Of the way it was found.
    matrix : Matrix
        From the template's frame to the head's, in mm.
    dice : float
        Overlap of the template's brain, carried over, with the head's own brain: 0 to 1.
    """

    name: str
    matrix: Matrix
    dice: float


@dataclass(frozen=True, slots=True)
class Reference:
    """An image of a session whose fit has passed.

    Parameters
    ----------
    to_world : Matrix
        From the head's frame to the scanner's.
    is_unfolded : bool
        Whether the head lies elsewhere than in the image's own voxels, see ``unfolding``.
    """

    head: Head
    fit: Fit
    to_world: Matrix
    is_unfolded: bool = False


Turn = NDArray[np.float64]
"""Shape (3,), in radians about the axes."""

STARTS: tuple[Turn, ...] = (
    np.zeros(3),
    *(_TURN_RAD * np.eye(3)),
    *(-_TURN_RAD * np.eye(3)),
)
"""Turns from which fits begin."""

Tried = tuple[float, Matrix] | None
"""What a start led to: the lower the figure the better; None where nothing overlapped."""

Spread = Callable[[Callable[[Turn], Tried], Iterable[Turn]], Iterable[Tried]]
"""As ``map``, over the starts of a fit; a pool's gives some of them to other threads."""


def fit_by_brain(head: Head, template: Template, spread: Spread = map) -> Fit:
    """Fit by the brain's mask, then by mutual information."""
    matrix = _fit_brains(head, template, spread)
    matrix = _refine(head, template, matrix)
    return Fit(BRAIN_FIT, matrix, brain_dice(head, template, matrix))


def fit_by_niimath(head: Head, template: Template, scratch_dir: Path) -> Fit | None:
    """Fit by niimath, subject to template, which is its robust direction; None if it gives up."""
    subject, base, fitted = (
        scratch_dir / name for name in ("subject.nii", "base.nii", "fitted.json")
    )
    flat = levelled(head.volume, head.grid.spacing_mm)
    _save(subject, flat, head.grid)
    _save(base, template.head.astype(np.float32), template.head_grid)
    arguments = [str(subject), "-allineate", str(base), "-savemat", str(fitted)]
    try:
        subprocess.run(
            [niimath.bin, *arguments, str(scratch_dir / "unused.nii")],
            check=True,
            capture_output=True,
            timeout=_NIIMATH_TIMEOUT_S,
        )
        matrix = _read_matrix(fitted)
    except (subprocess.SubprocessError, OSError, ValueError, KeyError):
        # One way fewer to fit: the gates decide whether the other is enough.
        return None
    finally:
        for path in (subject, base, fitted):
            path.unlink(missing_ok=True)
        for path in scratch_dir.glob("unused.nii*"):
            path.unlink()
    return Fit(HEAD_FIT, matrix, brain_dice(head, template, matrix))


def fit_by_reference(
    head: Head, to_world: Matrix, template: Template, reference: Reference
) -> tuple[Fit, Head]:
    """Fit by another image of the same session whose fit is known.

    Starts where the two headers say and moves rigidly by mutual information.

    Parameters
    ----------
    to_world : Matrix
        From the head's frame to the scanner's.

    Returns
    -------
    Fit
    Head
        The same, or with the reference's brain where the network saw something else: it was made
        for T1w and takes skull for brain in other contrasts.
    """
    moved = _moved_rigidly(head, to_world, reference)
    lent = carry(reference.head.brain, reference.head.grid, head.grid, inverse(moved)) > 0.5  # noqa: PLR2004 - nearest
    total = int(lent.sum()) + int(head.brain.sum())
    likeness = 2.0 * int((lent & head.brain).sum()) / total if total else 0.0
    if likeness < _LEAST_LIKENESS:
        head = replace(head, brain=lent, brain_rest_ml=0.0, is_brain_lent=True)
    matrix = moved @ reference.fit.matrix
    return Fit(REFERENCE_FIT, matrix, brain_dice(head, template, matrix)), head


def _moved_rigidly(head: Head, to_world: Matrix, reference: Reference) -> Matrix:
    start = inverse(to_world) @ reference.to_world
    fixed_volume, fixed_grid = coarse(reference.head.volume, reference.head.grid)
    moving_volume, moving_grid = coarse(head.volume, head.grid)
    centre = np.argwhere(reference.head.brain).mean(0) * reference.head.grid.spacing_mm
    rigid = sitk.Euler3DTransform()
    rigid.SetCenter(centre.tolist())
    method = information_method()
    method.SetMovingInitialTransform(to_transform(start))
    method.SetInitialTransform(rigid, inPlace=True)
    # Without enough overlap to measure, the headers stand and the gates judge them.
    with contextlib.suppress(RuntimeError):
        method.Execute(to_itk(fixed_volume, fixed_grid), to_itk(moving_volume, moving_grid))
        return start @ to_matrix(rigid)
    return start


def brain_dice(head: Head, template: Template, matrix: Matrix) -> float:
    """Return how well the template's brain covers the head's, within the field of view."""
    carried = carry(template.brain, template.head_grid, head.grid, inverse(matrix)) > 0.5  # noqa: PLR2004 - nearest
    total = int(carried.sum()) + int(head.brain.sum())
    return 2.0 * int((carried & head.brain).sum()) / total if total else 0.0


def information(head: Head, template: Template, matrix: Matrix) -> float:
    """Return the mutual information of template and head in and around the brain, in nats."""
    box, grid = template.brain_box
    volume = carry(head.volume, head.grid, grid, matrix, outside=np.nan)
    near = template.near_brain[box] & np.isfinite(volume)
    if int(near.sum()) < template.brain.sum() // 4:
        return 0.0
    pairs, _, _ = np.histogram2d(
        _stretched(volume[near]),
        _stretched(template.head[box][near].astype(np.float64)),
        bins=_HISTOGRAM_BINS,
    )
    joint = pairs / pairs.sum()
    apart = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    filled = joint > 0
    return float((joint[filled] * np.log(joint[filled] / apart[filled])).sum())


def turned(template: Template, matrix: Matrix) -> list[Matrix]:
    """Return the fit with the template upside down, back to front, and both.

    A brain looks much the same from the front and from the back, so a wrong header can give a
    good overlap with the face on the wrong side. Left and right do not matter here.
    """
    centre = np.argwhere(template.brain).mean(0) * template.head_grid.spacing_mm
    found = []
    for signs in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1)):
        about = np.diag([*signs, 1.0]).astype(np.float64)
        about[:3, 3] = centre - about[:3, :3] @ centre
        found.append(matrix @ about)
    return found


def _fit_brains(head: Head, template: Template, spread: Spread) -> Matrix:
    fixed_grid = template.head_grid
    fixed = _distance_image(template.brain, fixed_grid)
    moving = _distance_image(head.brain, head.grid)
    centres = [
        np.argwhere(mask).mean(0) * grid.spacing_mm + grid.origin_mm
        for mask, grid in ((template.brain, fixed_grid), (head.brain, head.grid))
    ]
    template_ml = float(template.brain.sum()) * float(np.prod(fixed_grid.spacing_mm)) / 1000
    scale = float(np.clip((head.brain_ml / template_ml) ** (1 / 3), 0.7, 1.3))

    def tried(turn: Turn) -> Tried:
        start = sitk.Similarity3DTransform()
        start.SetCenter(centres[0].tolist())
        euler = sitk.Euler3DTransform()
        euler.SetRotation(*turn.tolist())
        start.SetMatrix((scale * np.array(euler.GetMatrix())).tolist())
        start.SetTranslation((centres[1] - centres[0]).tolist())
        method = _least_squares(iterations=30, sampling=0.03)
        method.SetInitialTransform(start, inPlace=True)
        method.Execute(fixed, moving)
        return method.GetMetricValue(), to_matrix(start)

    _, best = best_of(spread(tried, STARTS)) or (0.0, np.eye(4))
    return as_affine(_least_squares(iterations=60, sampling=0.15), fixed, moving, best)


def best_of(tried: Iterable[Tried]) -> Tried:
    """Return what the best start led to, the first of equals; None where none overlapped."""
    return min(filter(None, tried), key=lambda each: each[0], default=None)


def _refine(head: Head, template: Template, matrix: Matrix) -> Matrix:
    fixed_volume, fixed_grid = coarse(template.head.astype(np.float32), template.head_grid)
    moving_volume, moving_grid = coarse(head.volume, head.grid)
    method = information_method()
    inside = carry(template.whole, template.field_grid, fixed_grid) > _HEAD_MARGIN_TENTHS
    method.SetMetricFixedMask(to_itk(inside, fixed_grid))
    fixed = to_itk(levelled(fixed_volume, fixed_grid.spacing_mm), fixed_grid)
    moving = to_itk(levelled(moving_volume, moving_grid.spacing_mm), moving_grid)
    return as_affine(method, fixed, moving, matrix)


def as_affine(
    method: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image, matrix: Matrix
) -> Matrix:
    """Refine a matrix with all twelve parameters free."""
    # Turning and stretching about the middle of the head keeps the parameters apart.
    centre = np.array(
        fixed.TransformContinuousIndexToPhysicalPoint([size / 2 for size in fixed.GetSize()])
    )
    transform = sitk.AffineTransform(3)
    transform.SetCenter(centre.tolist())
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation((matrix[:3, :3] @ centre + matrix[:3, 3] - centre).tolist())
    method.SetInitialTransform(transform, inPlace=True)
    try:
        method.Execute(fixed, moving)
    except RuntimeError:
        # Too little overlap to measure: the start stands, and the gates judge it.
        return matrix
    return to_matrix(transform)


def information_method(
    sampling: float = 0.2, *, steps: int = 80, first_mm: float = 2.0, last_mm: float = 0.02
) -> sitk.ImageRegistrationMethod:
    """Return a search by Mattes' mutual information, in steps that shrink from first to last."""
    method = _search()
    method.SetMetricAsMattesMutualInformation(_HISTOGRAM_BINS)
    method.MetricUseMovingImageGradientFilterOff()
    method.MetricUseFixedImageGradientFilterOff()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(sampling, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(first_mm, last_mm, steps, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _search() -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    # Sums of several threads would differ, in the last digits, between machines; on grids as
    # coarse as these one thread is hardly slower, and several searches run side by side.
    method.SetNumberOfThreads(1)
    method.SetNumberOfWorkUnits(1)
    return method


def _least_squares(iterations: int, sampling: float) -> sitk.ImageRegistrationMethod:
    method = _search()
    method.SetMetricAsMeanSquares()
    # Slopes where they are asked for: a picture of all of them costs more than the whole fit.
    method.MetricUseMovingImageGradientFilterOff()
    method.MetricUseFixedImageGradientFilterOff()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(sampling, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 0.05, iterations, relaxationFactor=0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _distance_image(brain: NDArray[np.bool_], grid: Grid) -> sitk.Image:
    distance = -signed_distance(brain, grid)
    limited = np.clip(distance, -_DISTANCE_LIMIT_MM, _DISTANCE_LIMIT_MM).astype(np.float32)
    return to_itk(*coarse(limited, grid))


def coarse(volume: Field, grid: Grid, step_mm: float = _FIT_MM) -> tuple[Field, Grid]:
    """Return a smaller copy."""
    return reduced(volume, grid, factors_for(grid, step_mm))


def levelled(volume: Field, spacing_mm: tuple[float, float, float]) -> Field:
    """Return intensities without local mean and contrast; air stays near one value."""
    high = float(np.percentile(volume, 99.5))
    low = float(np.percentile(volume, 0.5))
    limited = np.clip(volume, low, high)
    sigma = [_LOCAL_MM / step for step in spacing_mm]
    mean = ndimage.gaussian_filter(limited, sigma, mode="nearest", truncate=2.0)
    square = ndimage.gaussian_filter(limited * limited, sigma, mode="nearest", truncate=2.0)
    spread = np.sqrt(np.maximum(square - mean * mean, 0))
    floor = 0.03 * (high - low) + 1e-6
    flat: Field = ((limited - mean) / (spread + floor)).astype(np.float32)
    return flat


def _stretched(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return values between 0 and 1, so that no few bright ones decide the bins."""
    low, high = np.percentile(values, (1, 99))
    return np.asarray(np.clip((values - low) / max(high - low, 1e-6), 0, 1), np.float64)


def _save(path: Path, volume: Field, grid: Grid) -> None:
    affine = np.diag([*grid.spacing_mm, 1.0])
    affine[:3, 3] = grid.origin_mm
    image = nib.Nifti1Image(volume, affine)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    nib.save(image, path)


def _read_matrix(path: Path) -> Matrix:
    document = json.loads(path.read_text(encoding="utf-8"))
    # niimath: "the saved matrix maps FIXED world-mm to MOVING world-mm"; fixed is the template.
    matrix = np.asarray(document["fixed_to_moving"], dtype=np.float64)
    if matrix.shape != (4, 4) or not np.isfinite(matrix).all():
        raise ValueError("niimath wrote no affine")
    return matrix
