"""Measures for what MRIQC's usual BOLD set does not show: single bad frames, slices, spikes.

Own names, as no formula of another program is followed. Not here: averages over a run.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qc.images import Mask, Volume
from qc.measure import UndefinedMeasureError
from qc.temporal import need_frames

SLICE_Z_LIMIT = 10.0
KSPACE_Z_LIMIT = 20.0
"""Limits for counting. Clean runs stay below; see the documentation for where they come from."""
_FEWEST_SLICE_VOXELS = 20
_LEAST_SHARE = 1e-4
_CENTRE_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Worst:
    """The place of a largest value: slice and frame counted from 0."""

    value: float
    slice_index: int
    frame_index: int


def slice_z(series: Volume, mask: Mask) -> NDArray[np.float64]:
    """Return how far each slice's mean signal lies from its course over time, shape (Z, T).

    Robust z: distance from the slice's straight line through its medians, over 1.4826 MAD (never
    less than 0.01 % of the signal). Signed: a dropped slice is negative. Rows of slices with too
    little brain are 0. Nearer to 0 is better; noise widens the MAD and hides small dropouts.

    Parameters
    ----------
    series : ndarray, shape (X, Y, Z, T)
        As acquired, not realigned: a slice is a slice of the scanner.
    """
    need_frames(series.shape[3])
    found = np.zeros(series.shape[2:], dtype=np.float64)
    usable = False
    for index in range(series.shape[2]):
        inside = mask[:, :, index]
        if np.count_nonzero(inside) < _FEWEST_SLICE_VOXELS:
            continue
        signal = series[:, :, index, :][inside].mean(axis=0, dtype=np.float64)
        level = float(np.median(signal))
        if not level > 0:
            continue
        usable = True
        found[index] = _robust_z(_without_trend(signal), floor=_LEAST_SHARE * level)
    if not usable:
        raise UndefinedMeasureError("No slice holds enough of the head.")
    return found


def kspace_z(series: Volume) -> NDArray[np.float64]:
    """Return how far the strongest single point of k-space stands out, shape (Z, T).

    For each slice and frame the difference from the slice's median over time is transformed; its
    largest magnitude outside the centre, over the median magnitude there, is compared with the
    same slice at other times (robust z). A spike in k-space is one strong point; motion and
    breathing fill the centre, which is left out. Lower is better.

    Breaks: images that were filtered or resampled after reconstruction. Above a twentieth of the
    signal it no longer tells strong spikes from stronger ones.
    """
    need_frames(series.shape[3])
    ratio = np.zeros(series.shape[2:], dtype=np.float64)
    outer = _outer(series.shape[0], series.shape[1])
    if np.count_nonzero(outer) < _FEWEST_SLICE_VOXELS:
        raise UndefinedMeasureError("The slices are too small to look for spikes in k-space.")
    for index in range(series.shape[2]):
        slices = series[:, :, index, :]
        change = slices - np.median(slices, axis=2, keepdims=True)
        magnitude = np.abs(np.fft.rfft2(change, axes=(0, 1)))[outer]
        middle = np.median(magnitude, axis=0)
        top = magnitude.max(axis=0)
        ratio[index] = np.divide(top, middle, out=np.zeros_like(top), where=middle > 0)
    if not ratio.any():
        raise UndefinedMeasureError("No voxel changes over time.")
    return np.stack([_robust_z(row, floor=0.05 * float(np.median(row))) for row in ratio])


def worst(found: NDArray[np.float64]) -> Worst:
    """Return the largest magnitude of a table of slices and frames, and where it is."""
    place = int(np.abs(found).argmax())
    slice_index, frame_index = divmod(place, found.shape[1])
    return Worst(float(np.abs(found).max()), slice_index, frame_index)


def peak_ratio(values: NDArray[np.float64]) -> float:
    """Return the largest value over the median: how far the worst frame stands out.

    Lower is better; 1 where all frames are alike.

    Raises
    ------
    UndefinedMeasureError
        There are no values, or their median is zero.
    """
    middle = float(np.median(values)) if values.size else 0.0
    if not middle > 0:
        raise UndefinedMeasureError("The median over the run is zero.")
    return float(values.max()) / middle


def _outer(rows: int, columns: int) -> Mask:
    """Return which points of a real transform are neither at the centre nor on its axes."""
    across = np.abs(np.fft.fftfreq(rows))[:, None]
    along = np.fft.rfftfreq(columns)[None, :]
    return np.asarray((across > _CENTRE_SHARE) | (along > _CENTRE_SHARE))


def _without_trend(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take away a straight line through the medians of first and last third."""
    third = max(1, len(signal) // 3)
    first, last = float(np.median(signal[:third])), float(np.median(signal[-third:]))
    slope = (last - first) / max(1, len(signal) - third)
    return signal - slope * np.arange(len(signal))


def _robust_z(values: NDArray[np.float64], floor: float) -> NDArray[np.float64]:
    centred = values - np.median(values)
    scale = max(1.4826 * float(np.median(np.abs(centred))), floor)
    return centred / scale if scale > 0 else np.zeros_like(centred)
