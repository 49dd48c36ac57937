"""Measures over time against values worked out by hand and by closed forms."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from qc import phantom, spikes, temporal
from qc.degrade import add_dummies, add_ghost
from qc.measure import UndefinedMeasureError


def noise(shape: tuple[int, int] = (4000, 120), level: float = 1000, sigma: float = 10):
    return np.random.default_rng(1).normal(level, sigma, shape).astype(np.float32)


def test_framewise_displacement_by_hand():
    """1 + 2 mm of shift and 0.01 rad: 3.5 mm; then back."""
    motion = np.zeros((3, 6))
    motion[1] = [1, -2, 0, 0, 0.01, 0]

    assert temporal.framewise_displacement(motion) == pytest.approx([3.5, 3.5])


def test_dvars_of_white_noise_is_its_closed_form():
    """The value of nstd is sqrt(2) sigma / level x 1000; std and vstd are about 1."""
    found = temporal.dvars(noise())

    assert found.nstd.mean() == pytest.approx(np.sqrt(2) * 10, rel=0.01)
    assert found.std.mean() == pytest.approx(1, rel=0.03)
    assert found.vstd.mean() == pytest.approx(1, rel=0.05)


def test_tsnr_of_white_noise_is_level_over_sigma():
    """1000 / 10."""
    assert np.median(temporal.tsnr(noise())) == pytest.approx(100, rel=0.02)


def test_global_correlation_of_a_shared_signal():
    """Equal series correlate by 1; independent ones by 1 / N; half shared variance gives a half."""
    rng = np.random.default_rng(0)
    shared = rng.normal(size=200)
    own = rng.normal(size=(3000, 200))

    assert temporal.gcor(np.tile(shared, (50, 1))) == pytest.approx(1)
    assert temporal.gcor(own) == pytest.approx(1 / 3000, rel=0.2)
    assert temporal.gcor(own + shared) == pytest.approx(0.5, rel=0.1)


def test_global_correlation_is_the_mean_of_all_pairs():
    """The slow way: numpy's correlation matrix."""
    series = noise((40, 30))

    assert temporal.gcor(series) == pytest.approx(np.corrcoef(series).mean(), abs=1e-6)


def test_outliers_are_counted_where_they_are():
    """A tenth of the voxels jump in frame 7; elsewhere hardly any."""
    series = noise()
    series[:400, 7] += 500

    found = temporal.outlier_fraction(series)

    assert found[7] == pytest.approx(0.1, abs=0.005)
    assert np.delete(found, 7).max() < 0.01


def test_quality_index_is_one_minus_spearman():
    """Against scipy's rank correlation, with ties."""
    from scipy.stats import spearmanr  # noqa: PLC0415 - this test only

    series = np.round(noise((300, 5), level=20, sigma=3))
    middle = np.median(series, axis=1)

    found = temporal.quality_index(series)

    expected = [1 - spearmanr(series[:, frame], middle).statistic for frame in range(5)]
    assert found == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_drift_is_found_to_half_a_point(share: float):
    """The fitted share is over the mean: share / (1 + share / 2)."""
    series = noise() * (1 + share * np.linspace(0, 1, 120)).astype(np.float32)

    assert temporal.drift(series) == pytest.approx(share / (1 + share / 2), abs=0.005)


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_dummies_are_counted_exactly(count: int):
    """Volumes that are brighter at the start."""
    series = add_dummies(phantom.bold_run(40), count, excess=2.0)

    assert temporal.dummy_count(series) == count


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_a_ghost_is_measured_by_its_share(share: float):
    """Slope between 0.9 and 1.05 along its axis; nothing along the other."""
    clean = phantom.bold_run(1, noise=1.0)[..., 0]
    mask = np.asarray(clean > 300)
    spoilt = add_ghost(clean, share, axis=1)

    slope = (temporal.gsr(spoilt, mask, "y") - temporal.gsr(clean, mask, "y")) / share

    assert 0.8 < slope < 1.05
    assert abs(temporal.gsr(spoilt, mask, "x") - temporal.gsr(clean, mask, "x")) < share / 2


@pytest.mark.parametrize(
    "compute",
    [
        lambda: temporal.dvars(np.ones((50, 20))),
        lambda: temporal.dvars(np.zeros((50, 20))),
        lambda: temporal.tsnr(np.ones((50, 20))),
        lambda: temporal.gcor(np.ones((50, 20))),
        lambda: temporal.outlier_fraction(np.ones((50, 20))),
        lambda: temporal.quality_index(np.ones((50, 20))),
        lambda: temporal.drift(np.zeros((50, 20))),
        lambda: temporal.tsnr(np.ones((50, 1))),
        lambda: temporal.gsr(np.zeros((9, 9, 9)), np.zeros((9, 9, 9), bool), "x"),
        lambda: spikes.peak_ratio(np.zeros(4)),
        lambda: spikes.kspace_z(np.ones((20, 20, 2, 10), np.float32)),
    ],
)
def test_no_value_is_an_error_with_a_reason(compute: Callable[[], object]):
    """Never -1, 0 or NaN."""
    with pytest.raises(UndefinedMeasureError, match=r"^[A-Z].*\.$"):
        compute()
