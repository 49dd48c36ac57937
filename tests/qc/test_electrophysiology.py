"""EEG and MEG measures beside PREP's own program, closed forms, and broken recordings."""

from __future__ import annotations

from collections.abc import Iterator

import mne
import numpy as np
import pytest
from numpy.typing import NDArray
from pyprep.find_noisy_channels import NoisyChannels
from scipy.ndimage import gaussian_filter1d

from qc.electrophysiology import (
    bad_channels,
    head_motion,
    line_noise,
    look_through,
    measure_recording,
)
from qc.measure import UndefinedMeasureError

SAMPLING_HZ = 250.0
CHANNELS, SECONDS = 32, 60


def blocks(samples: NDArray[np.float64], seconds: int = 10) -> Iterator[NDArray[np.float64]]:
    step = round(seconds * SAMPLING_HZ)
    for start in range(0, samples.shape[1], step):
        yield samples[:, start : start + step]


def scalp(seed: int) -> NDArray[np.float64]:
    """Return channels that share six slow sources, with a little noise of their own, in volts."""
    rng = np.random.default_rng(seed)
    length = round(SAMPLING_HZ * SECONDS)
    sources = gaussian_filter1d(rng.normal(size=(6, length)), 4, axis=1)
    sources /= sources.std(axis=1, keepdims=True)
    weights = rng.normal(size=(CHANNELS, 6))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    mixed = weights @ sources * 2.4e-5
    return np.asarray(mixed + rng.normal(size=(CHANNELS, length)) * 1e-6)


def spoilt(seed: int) -> NDArray[np.float64]:
    """Return a scalp with a dead, a loud, a noisy and a lonely channel: 3, 5, 7, 9."""
    rng = np.random.default_rng(seed + 100)
    samples = scalp(seed)
    samples[3] = 0.0
    samples[5] *= 20
    samples[7] += rng.normal(size=samples.shape[1]) * 3e-5
    samples[9] = gaussian_filter1d(rng.normal(size=samples.shape[1]), 4) * 2e-5
    return samples


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_bad_channels_are_those_of_prep(seed: int):
    """Each criterion names the channels that PREP's program names."""
    samples = spoilt(seed)
    names = [f"E{place:02d}" for place in range(CHANNELS)]
    raw = mne.io.RawArray(samples, mne.create_info(names, SAMPLING_HZ, "eeg"), verbose="error")
    prep = NoisyChannels(raw, random_state=0, ransac=False)
    prep.find_bad_by_nan_flat()
    prep.find_bad_by_deviation()
    prep.find_bad_by_hfnoise()
    prep.find_bad_by_correlation()

    found = bad_channels(look_through(blocks(samples), SAMPLING_HZ), with_correlation=True)

    named = {kind: {names[place] for place in np.flatnonzero(bad)} for kind, bad in found.items()}
    assert named["flat"] == set(prep.bad_by_flat)
    assert named["deviation"] == set(prep.bad_by_deviation)
    assert named["noise"] == set(prep.bad_by_hf_noise)
    # A channel full of noise is at the limit of going with no other; either program may say so.
    assert named["correlation"] - named["noise"] == set(prep.bad_by_correlation) - named["noise"]
    assert prep.bad_by_flat == ["E03"]


def test_a_good_recording_has_no_bad_channel():
    """Nothing is flat, saturated or bad."""
    measures = measure_recording({"eeg": look_through(blocks(scalp(5)), SAMPLING_HZ)})

    wanted = {"bad_channels_num": 0, "flat_perc": 0, "saturated_perc": 0, "channels_num": 32}
    assert {name: measures.values[name] for name in wanted} == wanted


@pytest.mark.parametrize("line_hz", [50.0, 60.0])
def test_line_noise_rises_by_6_db_when_its_amplitude_doubles(line_hz: float):
    """20 log10(2) = 6.02 dB, and the mains is named."""
    times = np.arange(round(SAMPLING_HZ * SECONDS)) / SAMPLING_HZ
    wave = np.sin(2 * np.pi * line_hz * times) * 2e-6
    levels = []
    for factor in (1, 2, 4):
        seen = look_through(blocks(scalp(1) + factor * wave), SAMPLING_HZ)
        level, where = line_noise(seen)
        levels.append(level)
        assert where == line_hz

    assert np.diff(levels) == pytest.approx([6.02, 6.02], abs=0.15)


def test_flat_seconds_are_counted():
    """Six of sixty seconds of one of 32 channels: 6 / (60 x 32) = 0.3125 %."""
    samples = scalp(2)
    samples[4, : round(6 * SAMPLING_HZ)] = 1e-6

    measures = measure_recording({"eeg": look_through(blocks(samples), SAMPLING_HZ)})

    assert measures.values["flat_perc"] == pytest.approx(0.3125)
    assert measures.values["bad_flat_num"] == 1


def test_samples_at_the_end_of_the_range_are_counted():
    """A clipped wave: the slow obvious count of runs of five at its extremes."""
    times = np.arange(round(SAMPLING_HZ * SECONDS)) / SAMPLING_HZ
    samples = scalp(3)
    samples[0] = np.clip(np.sin(2 * np.pi * 2 * times), -0.8, 0.8)
    wanted, run = 0, 0
    for number, value in enumerate(samples[0]):
        second_begins = number % round(SAMPLING_HZ) == 0
        same = not second_begins and abs(value) == 0.8 and value == samples[0, number - 1]
        run = run + 1 if same else int(abs(value) == 0.8)
        wanted += {5: 5}.get(run, 1 if run > 5 else 0)

    measures = measure_recording({"eeg": look_through(blocks(samples), SAMPLING_HZ)})

    total = CHANNELS * SECONDS * SAMPLING_HZ
    assert measures.values["saturated_perc"] == pytest.approx(100 * wanted / total, rel=1e-6)


def test_drift_raises_the_slow_share():
    """Slow waves of growing size, step by step."""
    times = np.arange(round(SAMPLING_HZ * SECONDS)) / SAMPLING_HZ
    wave = np.sin(2 * np.pi * 0.3 * times) * 1e-5
    shares = [
        measure_recording(
            {"eeg": look_through(blocks(scalp(4) + factor * wave), SAMPLING_HZ)}
        ).values["slow_share"]
        for factor in (0, 1, 3, 10)
    ]

    assert shares == sorted(shares)
    assert shares[-1] > 0.8 > shares[0]


def test_where_blocks_end_does_not_matter_for_counts():
    """The same recording in blocks of 10 and of 20 seconds."""
    found = [
        measure_recording({"eeg": look_through(blocks(spoilt(0), seconds), SAMPLING_HZ)}).values
        for seconds in (10, 20)
    ]

    names = ("bad_channels_num", "flat_perc", "saturated_perc", "channels_num", "duration")
    assert [found[0][name] for name in names] == [found[1][name] for name in names]


def test_neighbours_of_meg_need_not_agree():
    """Channels that go with no other are not bad in MEG, and the measure says why."""
    rng = np.random.default_rng(9)
    lonely = rng.normal(size=(20, round(SAMPLING_HZ * 20))) * 1e-12

    measures = measure_recording({"grad": look_through(blocks(lonely), SAMPLING_HZ)})

    assert measures.values["bad_correlation_num"] is None
    assert measures.values["bad_channels_num"] == 0
    assert "Neighbouring" in measures.undefined["bad_correlation_num"]


def test_head_motion_is_the_distance_from_the_median_place():
    """One coil of three moves 3 mm in one of eleven samples."""
    coils = np.zeros((11, 3, 3))
    coils[4, 1] = (0.0, 3.0, 0.0)

    assert head_motion(coils) == {
        "head_motion_range": 3.0,
        "head_motion_mean": pytest.approx(3 / 33),
    }


@pytest.mark.parametrize(
    ("samples", "sampling_hz"),
    [
        (np.zeros((4, 100)), 250.0),
        (np.zeros((4, 0)), 250.0),
        (np.zeros((4, 1000)), 1.0),
        (np.zeros((4, 1000)), float("nan")),
    ],
    ids=["short", "empty", "one sample a second", "no rate"],
)
def test_what_cannot_be_looked_at_says_why(samples: NDArray[np.float64], sampling_hz: float):
    """A sentence, not a number."""
    with pytest.raises(UndefinedMeasureError):
        look_through([samples], sampling_hz)


def test_a_slow_recording_can_be_looked_at_too():
    """Ten samples a second, in parts of one second: no noise above 50 Hz to see, no exception."""
    parts = [np.random.default_rng(part).normal(size=(6, 10)) for part in range(8)]

    measures = measure_recording({"eeg": look_through(parts, 10.0)})

    assert measures.values["bad_noise_num"] == 0
    assert measures.values["line_noise_db"] is None


@pytest.mark.parametrize(
    "samples",
    [
        np.zeros((8, 5000)),
        np.ones((1, 5000)),
        np.tile(np.arange(5000.0), (8, 1)),
        np.random.default_rng(0).normal(size=(2, 700)),
    ],
    ids=["all flat", "one channel", "all equal", "short"],
)
def test_odd_recordings_give_numbers_or_reasons(samples: NDArray[np.float64]):
    """Never NaN, never an exception."""
    measures = measure_recording({"eeg": look_through(blocks(samples), SAMPLING_HZ)})

    for name, value in measures.values.items():
        assert (value is None) == (name in measures.undefined)
        assert value is None or np.isfinite(value)
