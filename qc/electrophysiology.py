"""Measures one EEG or MEG recording, block by block, so that its length costs no memory.

Channels of one kind are measured together: EEG, magnetometers, gradiometers. Not here: reading
recordings, pages.

References
----------
.. [1] N. Bigdely-Shamlo et al., The PREP pipeline: standardized preprocessing for large-scale EEG
   analysis, Frontiers in Neuroinformatics 9:16, 2015: deviation, correlation and noise criteria for
   bad channels, with their limits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from qc.measure import Measures, UndefinedMeasureError

PIPELINE = "winqc-electro/1"
WINDOW_S = 1.0
"""Length of the windows in which channels are looked at."""
_SPECTRUM_S = 4.0
"""Length of the parts whose spectra are averaged: lines 0.25 Hz apart."""
_DEVIATION_Z = 5.0
_NOISE_Z = 5.0
_LEAST_CORRELATION = 0.4
_MOST_WINDOWS = 0.01
_QUANTILE = 0.98
_IQR_TO_SIGMA = 0.7413011092528009
"""1 / (2 x third quartile of the standard normal distribution)."""
_MAD_TO_SIGMA = 1.4826022185056018
_NOISE_ABOVE_HZ = 50.0
_RATE_FOR_NOISE = 2.2
"""Sampling rate over the frequency above which noise is looked for."""
_LINE_HZ = (50.0, 60.0)
_LINE_WIDTH_HZ = 1.0
_LINE_SIDES_HZ = (2.0, 5.0)
_SLOW_BELOW_HZ = 1.0
_BAND_BELOW_HZ = 40.0
_RAIL_SAMPLES = 5
"""Equal samples in a row at a channel's extreme that count as the end of its range."""
_FEWEST_CHANNELS = 4
_FEWEST_WINDOWS = 5

_BAD_NAMES = (
    "bad_flat_num", "bad_deviation_num", "bad_noise_num", "bad_correlation_num",
    "bad_channels_num", "bad_channels_perc",
)  # fmt: skip

Blocks = Iterable[NDArray[np.float64]]
"""Consecutive parts of a recording, each (channels, samples), in the channels' unit."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the windows of a recording gave.

    Attributes
    ----------
    amplitude : ndarray, (W, C)
        Robust standard deviation in each window, in the channels' unit.
    flat : ndarray of bool, (W, C)
        The channel did not change at all.
    saturated : ndarray, (C,)
        Samples that stuck to the channel's extremes.
    correlation : ndarray, (W, C)
        How well the channel's slow part goes with that of others, 0 to 1.
    noise : ndarray, (W, C)
        Fast part over slow part; NaN where the sampling rate cannot tell.
    spectrum : ndarray, (C, F)
        Mean power density.
    frequencies_hz : ndarray, (F,)
    samples : int
    sampling_hz : float
    """

    amplitude: NDArray[np.float64]
    flat: NDArray[np.bool_]
    saturated: NDArray[np.float64]
    correlation: NDArray[np.float64]
    noise: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    frequencies_hz: NDArray[np.float64]
    samples: int
    sampling_hz: float


@dataclass
class _Gathered:
    """Rows of each window, and spectra of blocks, all at the same frequencies."""

    amplitude: list[NDArray[np.float64]] = field(default_factory=list)
    flat: list[NDArray[np.bool_]] = field(default_factory=list)
    correlation: list[NDArray[np.float64]] = field(default_factory=list)
    noise: list[NDArray[np.float64]] = field(default_factory=list)
    spectra: list[NDArray[np.float64]] = field(default_factory=list)
    frequencies_hz: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


class _Rails:
    """Counts samples that stick to the highest or lowest value that a channel has had."""

    def __init__(self, channels: int) -> None:
        self._sides = (1.0, -1.0)
        self._extreme = {side: np.full(channels, -np.inf) for side in self._sides}
        self._count = {side: np.zeros(channels) for side in self._sides}

    def add(self, window: NDArray[np.float64]) -> None:
        """Take a window in; a higher extreme starts the count anew."""
        stays = np.diff(window, axis=1) == 0
        for side in self._sides:
            top = (side * window).max(axis=1)
            higher = top > self._extreme[side]
            self._extreme[side] = np.where(higher, top, self._extreme[side])
            self._count[side][higher] = 0.0
            for channel in np.flatnonzero(top == self._extreme[side]):
                at_rail = side * window[channel] == top[channel]
                self._count[side][channel] += _in_runs(at_rail, stays[channel])

    @property
    def samples(self) -> NDArray[np.float64]:
        """Return the samples at either end, by channel."""
        return self._count[1.0] + self._count[-1.0]


def _in_runs(at_rail: NDArray[np.bool_], stays: NDArray[np.bool_]) -> float:
    """Return how many samples are in runs of `_RAIL_SAMPLES` or more at the rail."""
    if not at_rail.any() or stays.all():
        return 0.0
    edges = np.flatnonzero(np.diff(np.concatenate(([0], at_rail.view(np.int8), [0]))))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= _RAIL_SAMPLES].sum())


def look_through(blocks: Blocks, sampling_hz: float) -> Recorded:
    """Return what the windows of a recording give; only one block is in memory at a time.

    Parameters
    ----------
    blocks : iterable of ndarray
        Consecutive parts, each (C, N) with N at least one window but for the last.
    sampling_hz : float
        Samples in a second.

    Raises
    ------
    UndefinedMeasureError
        There is not one whole window, or the sampling rate is not usable.
    """
    length = round(WINDOW_S * sampling_hz) if math.isfinite(sampling_hz) else 0
    if length < 2 * _RAIL_SAMPLES:
        raise UndefinedMeasureError("Its sampling rate is too low to look at windows of a second.")
    above, below = _filters(sampling_hz)
    gathered, samples, rails = _Gathered(), 0, None
    for block in blocks:
        samples += block.shape[1]
        rails = rails or _Rails(block.shape[0])
        whole = block.shape[1] - block.shape[1] % length
        if not whole:
            continue
        steady = _filtered(above, block)
        slow = None if below is None else _filtered(below, steady)
        for start in range(0, whole, length):
            part = slice(start, start + length)
            rails.add(block[:, part])
            _look(
                gathered, block[:, part], steady[:, part], None if slow is None else slow[:, part]
            )
        _add_spectrum(gathered, block, sampling_hz)
    if not gathered.amplitude or rails is None:
        raise UndefinedMeasureError("It is shorter than one second.")
    return Recorded(
        np.array(gathered.amplitude),
        np.array(gathered.flat),
        rails.samples,
        np.array(gathered.correlation),
        np.array(gathered.noise),
        np.mean(gathered.spectra, axis=0),
        gathered.frequencies_hz,
        samples,
        sampling_hz,
    )


def _filters(sampling_hz: float) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """Return filters for what is above 1 Hz, and below 50 Hz where there is more than that."""
    above = signal.butter(3, _SLOW_BELOW_HZ, "highpass", fs=sampling_hz, output="sos")
    if sampling_hz <= _RATE_FOR_NOISE * _NOISE_ABOVE_HZ:
        return above, None
    below = signal.butter(6, _NOISE_ABOVE_HZ, "lowpass", fs=sampling_hz, output="sos")
    return above, below


def _filtered(sections: NDArray[np.float64], rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return rows filtered forth and back; short ones with as much padding as they allow."""
    padding = min(3 * (2 * len(sections) + 1), rows.shape[1] - 1)
    return np.asarray(signal.sosfiltfilt(sections, rows, axis=1, padlen=padding))


def _look(
    gathered: _Gathered,
    window: NDArray[np.float64],
    steady: NDArray[np.float64],
    without_fast: NDArray[np.float64] | None,
) -> None:
    """Take one window in: as it is, without drift, and without what is above 50 Hz too."""
    slow = steady if without_fast is None else without_fast
    quarters = np.percentile(window, (25, 75), axis=1)
    gathered.amplitude.append((quarters[1] - quarters[0]) * _IQR_TO_SIGMA)
    flat = np.ptp(window, axis=1) == 0
    gathered.flat.append(flat)
    spread = _mad(slow)
    alive = ~flat & (spread > 0)
    correlation = np.zeros(len(window))
    if alive.sum() >= 2:  # noqa: PLR2004 - a pair
        pairs = np.abs(np.corrcoef(slow[alive]))
        np.fill_diagonal(pairs, 0.0)
        correlation[alive] = np.quantile(pairs, _QUANTILE, axis=0)
    gathered.correlation.append(correlation)
    noise = np.full(len(window), np.nan)
    if without_fast is not None:
        noise[alive] = _mad(steady[alive] - slow[alive]) / spread[alive]
    gathered.noise.append(noise)


def _add_spectrum(gathered: _Gathered, block: NDArray[np.float64], sampling_hz: float) -> None:
    """Add the spectrum of a block, unless it is too short for the frequencies of the first one."""
    length = min(round(_SPECTRUM_S * sampling_hz), block.shape[1])
    frequencies_hz, density = signal.welch(block, sampling_hz, nperseg=length, axis=1)
    if not gathered.spectra:
        gathered.frequencies_hz = frequencies_hz
    if len(frequencies_hz) == len(gathered.frequencies_hz):
        gathered.spectra.append(density)


def _mad(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = np.abs(rows - np.median(rows, axis=1, keepdims=True))
    return np.asarray(np.median(centred, axis=1))


def bad_channels(seen: Recorded, *, with_correlation: bool) -> dict[str, NDArray[np.bool_]]:
    """Return which channels are bad, by criterion [1]_.

    Parameters
    ----------
    seen : Recorded
        Channels of one kind.
    with_correlation : bool
        Whether neighbours measure the same, as on a scalp; planar gradiometers do not.

    Returns
    -------
    dict of ndarray of bool, (C,)
        ``flat`` (no change in more than 1 % of the windows), ``deviation`` (amplitude beyond 5
        robust z), ``noise`` (fast over slow part beyond 5 robust z), ``correlation`` (below 0.4
        with all others in more than 1 % of the windows that are not flat).

    Raises
    ------
    UndefinedMeasureError
        Too few channels or windows to tell.
    """
    windows, channels = seen.amplitude.shape
    if channels < _FEWEST_CHANNELS or windows < _FEWEST_WINDOWS:
        raise UndefinedMeasureError(
            f"Bad channels can be told from {_FEWEST_CHANNELS} channels and {_FEWEST_WINDOWS} "
            "seconds on."
        )
    flat = seen.flat.mean(axis=0) > _MOST_WINDOWS
    typical = np.median(seen.amplitude, axis=0)
    live = typical[~flat]
    deviation = np.zeros(channels, dtype=bool)
    if live.size:
        quarters = np.percentile(live, (25, 75))
        spread = (quarters[1] - quarters[0]) * _IQR_TO_SIGMA
        deviation = ~flat & (np.abs(typical - np.median(live)) > _DEVIATION_Z * spread)
    poor = (seen.correlation < _LEAST_CORRELATION) & ~seen.flat
    found = {"flat": flat, "deviation": deviation, "noise": ~flat & _noisy(seen)}
    if with_correlation:
        found["correlation"] = ~flat & (poor.mean(axis=0) > _MOST_WINDOWS)
    return found


def _noisy(seen: Recorded) -> NDArray[np.bool_]:
    known = ~np.isnan(seen.noise).all(axis=0)
    ratio = np.zeros(seen.noise.shape[1])
    ratio[known] = np.nanmedian(seen.noise[:, known], axis=0)
    if not known.any():
        return np.zeros(len(ratio), dtype=bool)
    middle = np.median(ratio[known])
    spread = np.median(np.abs(ratio[known] - middle)) * _MAD_TO_SIGMA
    return np.asarray(known & (ratio - middle > _NOISE_Z * spread))


def line_noise(seen: Recorded) -> tuple[float, float]:
    """Return the power of the mains over what is beside it, in dB, and its frequency in Hz.

    The stronger of 50 and 60 Hz; median over channels that are not flat.

    Raises
    ------
    UndefinedMeasureError
        The sampling rate does not reach it.
    """
    found = []
    for line in _LINE_HZ:
        if seen.frequencies_hz[-1] < line + _LINE_SIDES_HZ[1]:
            continue
        away = np.abs(seen.frequencies_hz - line)
        at_line = seen.spectrum[:, away <= _LINE_WIDTH_HZ].mean(axis=1)
        beside = seen.spectrum[:, (away >= _LINE_SIDES_HZ[0]) & (away <= _LINE_SIDES_HZ[1])]
        level = beside.mean(axis=1)
        usable = (level > 0) & (at_line > 0)
        if usable.any():
            ratio = np.median(at_line[usable] / level[usable])
            found.append((10.0 * math.log10(ratio), line))
    if not found:
        raise UndefinedMeasureError("Its sampling rate is too low to see the mains.")
    return max(found)


def slow_share(seen: Recorded) -> float:
    """Return the share of power below 1 Hz in that below 40 Hz: drift. Median over channels."""
    slow = seen.spectrum[:, seen.frequencies_hz < _SLOW_BELOW_HZ].sum(axis=1)
    band = seen.spectrum[:, seen.frequencies_hz < _BAND_BELOW_HZ].sum(axis=1)
    if not (band > 0).any():
        raise UndefinedMeasureError("All its channels are flat.")
    return float(np.median(slow[band > 0] / band[band > 0]))


def head_motion(coils_mm: NDArray[np.float64]) -> dict[str, float]:
    """Return how far the head moved during a recording.

    Parameters
    ----------
    coils_mm : ndarray, (T, K, 3)
        Places of K head coils over time, in mm.

    Returns
    -------
    dict
        ``head_motion_range``: farthest that any coil was from its median place;
        ``head_motion_mean``: mean distance of all coils from theirs.

    Raises
    ------
    UndefinedMeasureError
        No sample has all coils.
    """
    known = coils_mm[np.isfinite(coils_mm).all(axis=(1, 2))]
    if len(known) < 2:  # noqa: PLR2004 - before and after
        raise UndefinedMeasureError("The head's place was not recorded over time.")
    away = np.linalg.norm(known - np.median(known, axis=0), axis=2)
    return {"head_motion_range": float(away.max()), "head_motion_mean": float(away.mean())}


def measure_recording(kinds: Mapping[str, Recorded]) -> Measures:
    """Return the measures of a recording.

    Parameters
    ----------
    kinds : Mapping of str to Recorded
        By kind of channel: ``eeg``, ``mag``, ``grad``. Channels are compared within their kind;
        counts are summed, shares are of all channels, and of line noise and drift the worst
        kind's stands.
    """
    measures = Measures()
    seen = list(kinds.values())
    cells = [one.flat.size for one in seen]
    measures.take("channels_num", lambda: sum(one.flat.shape[1] for one in seen))
    measures.take("duration", lambda: seen[0].samples / seen[0].sampling_hz)
    measures.take("sampling_rate", lambda: seen[0].sampling_hz)
    measures.take(
        "flat_perc", lambda: 100.0 * sum(float(one.flat.sum()) for one in seen) / sum(cells)
    )
    measures.take(
        "saturated_perc",
        lambda: (
            100.0
            * sum(float(one.saturated.sum()) for one in seen)
            / (sum(cells) * round(WINDOW_S * seen[0].sampling_hz))
        ),
    )
    measures.take_all(_BAD_NAMES, lambda: _counted(kinds))
    if set(kinds) != {"eeg"}:
        measures.refuse(
            ("bad_correlation_num",), "Neighbouring MEG sensors need not measure the same."
        )
    lines = ("line_noise_db", "line_noise_hz")
    measures.take_all(
        lines, lambda: dict(zip(lines, max(line_noise(one) for one in seen), strict=True))
    )
    measures.take("slow_share", lambda: max(slow_share(one) for one in seen))
    return measures


def _counted(kinds: Mapping[str, Recorded]) -> dict[str, float]:
    """Return the values of `_BAD_NAMES`."""
    counts = dict.fromkeys(_BAD_NAMES, 0.0)
    channels = 0
    for kind, seen in kinds.items():
        found = bad_channels(seen, with_correlation=kind == "eeg")
        for name, bad in found.items():
            counts[f"bad_{name}_num"] += int(bad.sum())
        counts["bad_channels_num"] += int(np.any(list(found.values()), axis=0).sum())
        channels += seen.flat.shape[1]
    counts["bad_channels_perc"] = 100.0 * counts["bad_channels_num"] / channels
    return counts
