"""Lays an average brain over a subject's: where grey matter, white matter and fluid are likely.

Two affine fits of brain to brain by mutual information, so that contrast does not matter: one that
tells whether the brains fit at all, then the short one of MRIQC's workflow. One thread, fixed
samples: equal input gives equal output. Not here: how the maps came into the file
(``data/atlas.LICENCE`` says it), tissue classes of the subject (``tissues``).

References
----------
V. Fonov et al., Unbiased average age-appropriate atlases for pediatric studies, NeuroImage
54(1):313-327, 2011. D. Mattes et al., IEEE Trans Med Imaging 22(1):120-128, 2003.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation's name
from numpy.typing import NDArray
from scipy import ndimage

from qc.images import Mask
from qc.measure import UndefinedMeasureError
from qc.threads import one_thread

ATLAS_PATH = Path(__file__).parent / "data" / "atlas.npz"
ATLAS_SHA256 = "a95d5e151fd220f44ad9b60cec175f3867fecbe3f9db2872f6e64c478b30e705"
_HALF = 98
"""Voxels on each side of the middle plane, in which the maps mirror each other."""
_ORIGIN_MM = np.array([-98.0, -134.0, -72.0])
_COARSE = 2
"""Millimetres of the grid on which the fit is made."""
_SMOOTHING_MM = 0.7
_BRAIN_LEVEL = 0.05
_LEAST_OVERLAP = 0.8
"""Dice of the fitted average brain and the subject's; below it the fit is no fit."""
_BINS = 32
_MRIQC_BINS = 56
_WINSORISED = (0.005, 0.995)
_SAMPLED = 0.25
_SEED = 20_111
_FEWEST_VOXELS = 1000


class AtlasError(Exception):
    """The atlas is not the file that this version was tested with."""


@dataclass(frozen=True, slots=True)
class Fit:
    """An average brain laid over a subject's.

    Parameters
    ----------
    shares : ndarray of float32, shape (3, X, Y, Z)
        How likely CSF, grey and white matter are in each voxel of the image, 0 to 1.
    matrix : ndarray, shape (4, 4)
        From mm of the atlas (RAS+) to mm of the image (RAS+).
    overlap : float
        Dice of the two brains.
    """

    shares: NDArray[np.float32]
    matrix: NDArray[np.float64]
    overlap: float


@dataclass(frozen=True, slots=True)
class _Atlas:
    brain: NDArray[np.float32]
    shares: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Stage:
    """One stage of MRIQC's fit; widths of smoothing in voxels of each image."""

    kind: Any
    rounds: int
    still: float
    window: int
    sampled: float
    shrunk: int
    smoothed: float


_STAGES = (
    _Stage(sitk.Euler3DTransform, 20, 1e-7, 15, 0.2, 2, 4.0),
    _Stage(lambda: sitk.AffineTransform(3), 15, 1e-8, 5, 0.1, 1, 2.0),
)


@cache
def _load() -> _Atlas:
    content = ATLAS_PATH.read_bytes()
    if hashlib.sha256(content).hexdigest() != ATLAS_SHA256:
        raise AtlasError(
            "The atlas of tissues is damaged or of another version; its SHA-256 differs from the "
            "one on record. Install the package again."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as stored:
        halves = {name: stored[name].astype(np.float32) / 255 for name in stored.files}
    whole = {name: np.concatenate([half, half[-2::-1]]) for name, half in halves.items()}
    mask = whole["t1"] > _BRAIN_LEVEL * np.percentile(whole["t1"], 99)
    fluid = np.clip(mask - whole["gm"] - whole["wm"], 0, 1)
    return _Atlas(whole["t1"], np.stack([fluid, whole["gm"], whole["wm"]]))


def fit_atlas(volume: NDArray[np.floating], brain: Mask, affine_ras: NDArray[np.float64]) -> Fit:
    """Fit the average brain to a subject's.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        Corrected for shading; any contrast.
    brain : ndarray of bool, shape (X, Y, Z)
    affine_ras : ndarray, shape (4, 4)
        From voxel indices to RAS+ mm.

    Raises
    ------
    UndefinedMeasureError
        The brain is too small, or the fit failed or covers too little of the brain.
    """
    if np.count_nonzero(brain) < _FEWEST_VOXELS:
        raise UndefinedMeasureError("The brain mask has fewer than 1000 voxels.")
    atlas = _load()
    average = _image(atlas.brain, np.eye(3), np.ones(3), _ORIGIN_MM)
    subject = _subject(volume, brain, affine_ras)
    try:
        with one_thread():
            found = _fitted(_coarse(average), _coarse(subject))
            carrier = _as_mriqc(atlas, subject, found)
    except RuntimeError as error:
        # The library's text holds places in its source.
        raise UndefinedMeasureError("The average brain cannot be fitted to this one.") from error
    grid = _box(brain)
    shares = np.zeros((3, *brain.shape), np.float32)
    reference = _subject(volume[grid], brain[grid], _moved(affine_ras, grid))
    # The maps are made a little smoother first, as MRIQC's interpolation makes them.
    for row, one in enumerate(atlas.shares):
        smooth = ndimage.gaussian_filter(one, _SMOOTHING_MM, truncate=1.5)
        shares[(row, *grid)] = _carried(smooth, reference, carrier)
    # In the whole image, not in the brain's box: an average brain around a smaller one is no fit.
    coarse = _coarse(_subject(np.ones_like(volume), brain, affine_ras))
    there = sitk.GetArrayFromImage(coarse).transpose(2, 1, 0) > 0.5  # noqa: PLR2004 - half a voxel
    overlap = _dice(_carried(atlas.shares.sum(axis=0), coarse, found) > 0.5, there)  # noqa: PLR2004 - more likely than not
    if overlap < _LEAST_OVERLAP:
        raise UndefinedMeasureError("The average brain does not fit this one.")
    return Fit(shares, _matrix_of(carrier), overlap)


def _fitted(fixed: Any, moving: Any) -> Any:
    start = sitk.AffineTransform(3)
    middles = [_middle(each) for each in (fixed, moving)]
    start.SetCenter(middles[0])
    start.SetTranslation([there - here for here, there in zip(*middles, strict=True)])
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfThreads(1)
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(_SAMPLED, _SEED)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=1e-3, numberOfIterations=100, gradientMagnitudeTolerance=1e-6
    )
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0, 0.0])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    method.SetInitialTransform(start, inPlace=True)
    method.Execute(fixed, moving)
    return start


def _as_mriqc(atlas: _Atlas, subject: Any, start: Any) -> Any:
    """Return the fit of MRIQC's workflow: twenty rigid and fifteen affine steps from a fit.

    Both images are smoothed by a number of their own voxels, so at 1 mm the average brain, on
    2 mm, is smoothed twice as much as the subject's and comes out smaller by 6 to 9 % of its
    volume than in the first fit. That is kept: MRIQC's maps and landmarks lie so.

    References
    ----------
    MRIQC 24.0.2, ``workflows.anatomical.base.spatial_normalization``; niworkflows 1.10,
    ``data/t1w-mni_registration_testing_000.json``; ANTs, ``antsRegistration``.
    """
    brain = atlas.brain * (atlas.shares.sum(axis=0) > 0)
    thinned = np.ascontiguousarray(brain[::_COARSE, ::_COARSE, ::_COARSE])
    average = _image(thinned, np.eye(3), np.full(3, float(_COARSE)), _ORIGIN_MM)
    fixed, moving = _winsorised(average), _winsorised(subject)
    carried = sitk.CompositeTransform([start])
    for stage in _STAGES:
        step = stage.kind()
        method = sitk.ImageRegistrationMethod()
        method.SetNumberOfThreads(1)
        method.SetMetricAsMattesMutualInformation(_MRIQC_BINS)
        method.SetMetricSamplingStrategy(method.REGULAR)
        method.SetMetricSamplingPercentage(stage.sampled, _SEED)
        method.SetInterpolator(sitk.sitkLinear)
        method.SetOptimizerAsConjugateGradientLineSearch(
            learningRate=1.0, numberOfIterations=stage.rounds,
            convergenceMinimumValue=stage.still, convergenceWindowSize=stage.window,
            lineSearchLowerLimit=0.0, lineSearchUpperLimit=2.0, lineSearchEpsilon=0.1,
            lineSearchMaximumIterations=20, estimateLearningRate=method.EachIteration,
            maximumStepSizeInPhysicalUnits=1.0,
        )  # fmt: skip
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([stage.shrunk])
        method.SetSmoothingSigmasPerLevel([stage.smoothed])
        method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
        method.SetMovingInitialTransform(carried)
        method.SetInitialTransform(step, inPlace=True)
        method.Execute(fixed, moving)
        carried = sitk.CompositeTransform([carried, step])
    return _affine(carried)


def _winsorised(image: Any) -> Any:
    values = sitk.GetArrayViewFromImage(image)
    low, high = (float(each) for each in np.quantile(values, _WINSORISED))
    return sitk.Clamp(image, lowerBound=low, upperBound=high)


def _affine(transform: Any) -> Any:
    """Return one affine transform that moves points as a chain of them does."""
    origin = np.array(transform.TransformPoint((0.0, 0.0, 0.0)))
    ends = [transform.TransformPoint(tuple(map(float, row))) for row in np.eye(3)]
    matrix = np.array(ends).T - origin[:, None]
    one = sitk.AffineTransform(3)
    one.SetMatrix([float(each) for each in matrix.ravel()])
    one.SetTranslation([float(each) for each in origin])
    return one


def _image(
    data: NDArray[np.floating],
    direction: NDArray[np.float64],
    spacing: NDArray[np.float64],
    origin: NDArray[np.float64],
) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0), np.float32))
    image.SetDirection([float(each) for each in direction.ravel()])
    image.SetSpacing([float(each) for each in spacing])
    image.SetOrigin([float(each) for each in origin])
    return image


def _subject(volume: NDArray[np.floating], brain: Mask, affine: NDArray[np.float64]) -> Any:
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    left, _sizes, right = np.linalg.svd(affine[:3, :3] / spacing)
    # The library takes rotations only; the nearest one stands for a sheared grid.
    return _image(np.where(brain, volume, 0), left @ right, spacing, affine[:3, 3])


def _coarse(image: Any) -> Any:
    factors = [max(1, int(_COARSE / size + 0.5)) for size in image.GetSpacing()]
    return sitk.BinShrink(image, factors)


def _carried(share: NDArray[np.float32], reference: Any, found: Any) -> NDArray[np.float32]:
    source = _image(share, np.eye(3), np.ones(3), _ORIGIN_MM)
    method = sitk.ResampleImageFilter()
    method.SetNumberOfThreads(1)
    method.SetReferenceImage(reference)
    method.SetTransform(found.GetInverse())
    method.SetInterpolator(sitk.sitkLinear)
    carried = sitk.GetArrayFromImage(method.Execute(source)).transpose(2, 1, 0)
    return np.asarray(np.clip(carried, 0, 1), np.float32)


def _middle(image: Any) -> list[float]:
    weights = sitk.GetArrayFromImage(image).transpose(2, 1, 0) > 0
    place = np.argwhere(weights).mean(axis=0)
    return [float(each) for each in image.TransformContinuousIndexToPhysicalPoint(list(place))]


def _matrix_of(found: Any) -> NDArray[np.float64]:
    linear = np.array(found.GetMatrix()).reshape(3, 3)
    centre = np.array(found.GetCenter())
    matrix = np.eye(4)
    matrix[:3, :3] = linear
    matrix[:3, 3] = np.array(found.GetTranslation()) + centre - linear @ centre
    return matrix


def _box(brain: Mask) -> tuple[slice, slice, slice]:
    x, y, z = ndimage.find_objects(brain.astype(np.uint8))[0]
    return x, y, z


def _moved(affine: NDArray[np.float64], grid: tuple[slice, ...]) -> NDArray[np.float64]:
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ np.array([each.start for each in grid])
    return moved


def _dice(one: Mask, other: Mask) -> float:
    both = np.count_nonzero(one & other)
    return 2 * int(both) / max(1, int(np.count_nonzero(one)) + int(np.count_nonzero(other)))
