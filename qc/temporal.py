"""Measures of a series of volumes: change from volume to volume, noise over time, motion.

Series come as voxels by time, ``(N, T)``, already aligned and inside a mask. Formulas as in
MRIQC 24.0.2 and the programs it starts. Not here: single bad frames and slices (``spikes``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from qc.images import Mask
from qc.measure import UndefinedMeasureError
from qc.registration import Motion

Series = NDArray[np.floating]
"""Shape (N, T): one row for each voxel."""

FD_LIMIT_MM = 0.2
"""Frames above it are counted, as MRIQC does; a convention, not a verdict."""
HEAD_RADIUS_MM = 50.0
_DUMMY_LIMIT = 3.5
_DUMMY_FRAMES = 50
_IQR_TO_SIGMA = 1.349
_MAD_TO_SIGMA = float(np.sqrt(np.pi / 2))
_OUTLIER_TAIL = 0.001
_FEWEST_FRAMES = 4
_AXES = {"x": 0, "y": 1}


@dataclass(frozen=True, slots=True)
class Dvars:
    """DVARS for each change from one volume to the next, shape (T - 1,).

    ``nstd`` in thousandths of the median signal; ``std`` and ``vstd`` have no unit and are about
    1 where nothing but noise changes.
    """

    std: NDArray[np.float64]
    nstd: NDArray[np.float64]
    vstd: NDArray[np.float64]


def need_frames(count: int, needed: int = _FEWEST_FRAMES) -> None:
    """Refuse a series that is too short.

    Raises
    ------
    UndefinedMeasureError
        It has fewer volumes than are needed.
    """
    if count < needed:
        raise UndefinedMeasureError(
            f"The series has {count} steady volumes; at least {needed} are needed."
        )


def framewise_displacement(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the framewise displacement, shape (T - 1,), in mm; lower is better.

    ``|dx| + |dy| + |dz| + 50 mm (|da| + |db| + |dc|)``. Breaks: respiration moves the field and
    looks like motion along the phase encoding.

    Parameters
    ----------
    motion : ndarray, shape (T, 6)
        Shifts in mm, rotations in rad.

    References
    ----------
    J. Power et al., NeuroImage 59(3):2142-2154, 2012.
    """
    steps = np.abs(np.diff(motion, axis=0))
    return np.asarray(steps[:, :3].sum(axis=1) + HEAD_RADIUS_MM * steps[:, 3:].sum(axis=1))


def dvars(series: Series) -> Dvars:
    """Return DVARS: the root mean square change of the voxels; lower is better.

    ``nstd`` rises with noise and motion. ``std`` is ``nstd`` over its expectation for noise of
    each voxel's spread and autocorrelation; it falls when noise rises and hides motion.

    Breaks: voxels that never change are left out, so that a frozen image has no value; the mean
    over a run hides a single bad frame.

    References
    ----------
    T. Nichols, Notes on creating a standardized version of DVARS, 2013;
    ``nipype.algorithms.confounds.compute_dvars`` with ``remove_zerovariance``.
    """
    need_frames(series.shape[1])
    middle = float(np.median(series))
    if not middle > 0:
        raise UndefinedMeasureError("The median signal is not above zero.")
    scaled = series.astype(np.float32) / np.float32(middle) * np.float32(1000.0)
    low, high = np.percentile(scaled, (25, 75), axis=1, method="lower")
    spread = (high - low).astype(np.float64) / _IQR_TO_SIGMA
    kept = spread > 0
    if not kept.any():
        raise UndefinedMeasureError("No voxel changes over time.")
    scaled, spread = scaled[kept], spread[kept]
    expected = np.sqrt(2 * (1 - _autocorrelation(scaled))) * spread
    changes = np.diff(scaled, axis=1)
    plain = np.sqrt(np.mean(np.square(changes), axis=0, dtype=np.float64))
    if not expected.mean() > 0:
        raise UndefinedMeasureError("The voxels change without noise.")
    moving = expected > 0
    relative = np.square(changes[moving] / expected[moving, None])
    return Dvars(plain / expected.mean(), plain, np.sqrt(relative.mean(axis=0)))


def tsnr(series: Series) -> NDArray[np.float64]:
    """Return the temporal signal-to-noise ratio of each voxel, shape (N,); higher is better.

    ``mean / standard deviation`` over time, no unit; 0 for voxels whose standard deviation is
    below 0.001. Breaks: slow drift counts as noise.

    References
    ----------
    G. Krüger, G. Glover, Magn Reson Med 46(4):631-637, 2001.
    """
    need_frames(series.shape[1])
    spread = series.std(axis=1, dtype=np.float64)
    mean = series.mean(axis=1, dtype=np.float64)
    steady = spread < 1e-3  # noqa: PLR2004 - nipype's limit
    if steady.all():
        raise UndefinedMeasureError("No voxel changes over time.")
    return np.asarray(np.where(steady, 0.0, mean / np.where(steady, 1.0, spread)))


def gcor(series: Series) -> float:
    """Return the global correlation: the mean correlation of all pairs of voxels.

    ``|mean of the unit-length demeaned series|^2``, from 0 to 1, no unit; lower is better.
    Motion and breathing raise it. Breaks: noise lowers it too.

    References
    ----------
    Z. Saad et al., Brain Connect 3(4):339-352, 2013; AFNI ``@compute_gcor``.
    """
    need_frames(series.shape[1])
    centred = series - series.mean(axis=1, keepdims=True, dtype=np.float64)
    lengths = np.linalg.norm(centred, axis=1)
    if not (lengths > 0).any():
        raise UndefinedMeasureError("No voxel changes over time.")
    units = centred[lengths > 0] / lengths[lengths > 0, None]
    together = units.mean(axis=0)
    return float(together @ together)


def outlier_fraction(series: Series) -> NDArray[np.float64]:
    """Return the share of outlying voxels in each volume, shape (T,); lower is better.

    A voxel lies out where it is more than ``qginv(0.001 / T) sqrt(pi / 2) MAD`` from its median
    over time. Breaks: noise widens the MAD and lowers it.

    References
    ----------
    AFNI ``3dToutcount -fraction``.
    """
    count = series.shape[1]
    need_frames(count)
    distance = np.abs(series - np.median(series, axis=1, keepdims=True))
    limit = -ndtri(_OUTLIER_TAIL / count) * _MAD_TO_SIGMA * np.median(distance, axis=1)
    changing = limit > 0
    if not changing.any():
        raise UndefinedMeasureError("No voxel changes over time.")
    return np.asarray((distance[changing] > limit[changing, None]).mean(axis=0))


def quality_index(series: Series) -> NDArray[np.float64]:
    """Return how unlike the median volume each volume is, shape (T,); lower is better.

    One minus Spearman's correlation with the median volume, no unit. Breaks: few grey levels.

    References
    ----------
    AFNI ``3dTqual``.
    """
    need_frames(series.shape[1])
    centre = _ranks(np.median(series, axis=1))
    length = float(np.sqrt(np.square(centre).sum()))
    if not length > 0:
        raise UndefinedMeasureError("The median volume is constant.")
    found = np.ones(series.shape[1])
    for frame, volume in enumerate(np.ascontiguousarray(series.T)):
        ranks = _ranks(volume)
        own = float(np.sqrt(np.square(ranks).sum()))
        # A volume without any contrast is as unlike as can be.
        found[frame] = 1.0 - float((ranks * centre).sum()) / (own * length) if own > 0 else 1.0
    return found


def drift(series: Series) -> float:
    """Return the straight-line drift of the global signal over the run, as a share of its mean.

    Positive when the signal grows; nearer to 0 is better. Breaks: non-steady first volumes.
    """
    need_frames(series.shape[1])
    signal = series.mean(axis=0, dtype=np.float64)
    if not signal.mean() > 0:
        raise UndefinedMeasureError("The mean signal is not above zero.")
    times = np.linspace(-0.5, 0.5, len(signal))
    slope = float(times @ signal / (times @ times))
    return float(slope / signal.mean())


def dummy_count(whole: NDArray[np.float32]) -> int:
    """Return how many volumes at the start are not yet in the steady state.

    Leading volumes whose mean lies out (modified z above 3.5) among the first 50; fewer is
    better, and 0 usual where the scanner drops them itself.

    Parameters
    ----------
    whole : ndarray, shape (X, Y, Z, T)

    References
    ----------
    ``nipype.algorithms.confounds.NonSteadyStateDetector``.
    """
    means = whole[..., :_DUMMY_FRAMES].mean(axis=(0, 1, 2), dtype=np.float64)
    distance = np.abs(means - np.median(means))
    middle = float(np.median(distance))
    if not middle > 0:
        return 0
    steady = np.flatnonzero(0.6745 * distance / middle <= _DUMMY_LIMIT)
    return int(steady[0]) if steady.size else 0


def gsr(mean_volume: NDArray[np.floating], mask: Mask, direction: str) -> float:
    """Return the ghost-to-signal ratio along an axis; nearer to 0 is better.

    ``(mean(ghost) - mean(elsewhere)) / median(signal)``, where the ghost is the mask rolled by
    half the field of view, outside the mask. Breaks: a field of view that the head fills, a
    zeroed background.

    Parameters
    ----------
    direction : {"x", "y"}
        First or second voxel axis; the one of the phase encoding shows Nyquist ghosts.

    References
    ----------
    M. Giannelli et al., J Appl Clin Med Phys 11(4):3237, 2010.
    """
    axis = _AXES[direction]
    rolled = np.roll(mask, mask.shape[axis] // 2, axis=axis) & ~mask
    elsewhere = ~rolled & ~mask
    signal = float(np.median(mean_volume[mask])) if mask.any() else 0.0
    if not rolled.any() or not elsewhere.any() or not signal > 0:
        raise UndefinedMeasureError(
            "No place is left for the ghost, or for the air without it, outside the head."
        )
    if not mean_volume[~mask].any():
        raise UndefinedMeasureError("The background is zero: a ghost was cut away with it.")
    ghost = mean_volume[rolled].mean(dtype=np.float64)
    return float((ghost - mean_volume[elsewhere].mean(dtype=np.float64)) / signal)


def motion_range_mm(motion: NDArray[np.float64]) -> float:
    """Return the largest displacement between any frame and the median position, in mm.

    Points on a sphere of 50 mm; lower is better. Unlike FD it sees slow drifts of the head.
    """
    need_frames(len(motion), 2)
    middle: Motion = np.median(motion, axis=0)
    away = motion - middle
    shift = np.linalg.norm(away[:, :3], axis=1)
    angle = np.linalg.norm(away[:, 3:], axis=1)
    return float((shift + 2 * HEAD_RADIUS_MM * np.sin(angle / 2)).max())


def _autocorrelation(series: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the lag-1 autocorrelation of each row (biased, as Yule and Walker have it)."""
    centred = series - series.mean(axis=1, keepdims=True)
    energy = np.einsum("nt,nt->n", centred, centred, dtype=np.float64)
    lagged = np.einsum("nt,nt->n", centred[:, 1:], centred[:, :-1], dtype=np.float64)
    return np.asarray(np.divide(lagged, energy, out=np.zeros_like(lagged), where=energy > 0))


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return centred ranks; equal values share their mean rank."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse.ravel()]
    return np.asarray(ranks - ranks.mean())
