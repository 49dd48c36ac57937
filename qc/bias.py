"""Clips an image's outliers and estimates its smooth shading inside the brain, as MRIQC does.

N4 with the settings of MRIQC's workflow: four levels of fifty rounds on every fourth voxel. One
thread: equal input gives equal output. Not here: masks, tissues.

References
----------
N. Tustison et al., N4ITK: improved N3 bias correction, IEEE Trans Med Imaging 29(6):1310-1320,
2010.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its own documentation's name
from numpy.typing import NDArray

from qc.images import Mask, Volume
from qc.measure import UndefinedMeasureError
from qc.threads import one_thread

_DARKEST, _BRIGHTEST = 10.0, 99.9
"""Percentiles of the denoised signal between which the image is clipped."""
_LEVELS = 255.0
_RADIUS = 3
_STEP = 4
_CHUNK = 20_000
_SHRINK = 4
_ROUNDS = (50, 50, 50, 50)
_FEWEST_VOXELS = 1000


def clip_intensities(volume: Volume) -> Volume:
    """Return an image in 256 whole grey levels, without its darkest tenth and brightest thousandth.

    The limits are percentiles of the positive voxels after a median filter (a ball of three
    voxels), taken at every fourth voxel along each axis.

    Raises
    ------
    UndefinedMeasureError
        The image has no contrast.

    References
    ----------
    niworkflows, ``interfaces.nibabel.IntensityClip``.
    """
    denoised = _denoised(volume)
    positive = denoised[denoised > 0]
    if not positive.size:
        raise UndefinedMeasureError("The image holds no signal.")
    low, high = np.percentile(positive, (_DARKEST, _BRIGHTEST))
    clipped = np.clip(volume, low, high)
    clipped -= clipped.min()
    top = float(clipped.max())
    if not top > 0:
        raise UndefinedMeasureError("The image has no contrast.")
    return np.asarray(np.round(clipped * np.float32(_LEVELS / top)), np.float32)


def shading(
    volume: NDArray[np.floating], brain: Mask, voxel_mm: tuple[float, float, float]
) -> Volume:
    """Return the shading of an image: divide the image by it.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        Not negative.
    brain : ndarray of bool, shape (X, Y, Z)
        Where the shading is estimated; it is continued outside.

    Returns
    -------
    ndarray of float32, shape (X, Y, Z)
        Positive. Its level is N4's own, not 1: the filter does not keep the mean.

    Raises
    ------
    UndefinedMeasureError
        The brain is too small or constant.
    """
    inside = volume[brain]
    if inside.size < _FEWEST_VOXELS or not inside.max() > inside.min():
        raise UndefinedMeasureError("The brain is too small or constant: no shading can be found.")
    image = _image(volume.astype(np.float32), voxel_mm)
    mask = _image(brain.astype(np.uint8), voxel_mm)
    factors = [_SHRINK if length >= 4 * _SHRINK else 1 for length in volume.shape]
    method = sitk.N4BiasFieldCorrectionImageFilter()
    method.SetNumberOfThreads(1)
    method.SetMaximumNumberOfIterations(_ROUNDS)
    method.SetConvergenceThreshold(0.0)
    try:
        with one_thread():
            method.Execute(sitk.Shrink(image, factors), sitk.Shrink(mask, factors))
            logarithm = sitk.GetArrayFromImage(method.GetLogBiasFieldAsImage(image))
    except RuntimeError as error:
        # The library's text holds places in its source.
        raise UndefinedMeasureError("No shading could be found in the brain.") from error
    field = np.ascontiguousarray(np.exp(logarithm).transpose(2, 1, 0))
    if not np.isfinite(field).all():
        raise UndefinedMeasureError("The shading is too strong to part it from the tissues.")
    return np.asarray(field, np.float32)


def _image(data: NDArray[Any], voxel_mm: tuple[float, float, float]) -> Any:
    image = sitk.GetImageFromArray(np.ascontiguousarray(data.transpose(2, 1, 0)))
    image.SetSpacing([float(size) for size in voxel_mm])
    return image


def _denoised(volume: Volume) -> Volume:
    """Return the median of the ball around every fourth voxel."""
    around = np.mgrid[(slice(-_RADIUS, _RADIUS + 1),) * 3].reshape(3, -1).T
    around = around[(around**2).sum(axis=1) <= _RADIUS**2]
    padded = np.pad(volume, _RADIUS, mode="symmetric")
    strides = np.array([padded.shape[1] * padded.shape[2], padded.shape[2], 1])
    grids = (np.arange(min(_STEP, length) // 2, length, _STEP) for length in volume.shape)
    places = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, 3)
    starts, offsets = (places + _RADIUS) @ strides, around @ strides
    flat, middle = padded.ravel(), len(around) // 2
    found = np.empty(len(starts), np.float32)
    for start in range(0, len(starts), _CHUNK):
        here = slice(start, start + _CHUNK)
        found[here] = np.partition(flat[starts[here, None] + offsets], middle, axis=1)[:, middle]
    return found
