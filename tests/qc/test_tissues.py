"""Tissue classes and shading against a head whose tissues and shading are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter

from qc import phantom
from qc.bias import clip_intensities, shading
from qc.degrade import add_rician_noise, shade
from qc.measure import UndefinedMeasureError
from qc.tissues import (
    TISSUES,
    artifact_share,
    classify,
    fuzzy_overlap,
    is_clear,
    partial_volume,
    volume_fractions,
)
from qc.tissues_with_maps import classify_with_priors

R = np.arange(-3, 4)


def brain_of(made: phantom.Head) -> np.ndarray:
    return np.asarray(np.any(list(made.tissues.values()), axis=0))


def test_tissues_are_found_where_they_are():
    """With noise of 4 %, at least 97 % of each tissue's voxels are given to it."""
    made = phantom.head()
    shares = classify(add_rician_noise(made.volume, 40.0, 1), brain_of(made))

    for name, mask in made.tissues.items():
        assert (shares[name][mask] > 0.5).mean() > 0.97


def test_shading_is_found_as_deep_as_it_is():
    """A ramp of 40 %: in grey matter, found and true shading go together, and classes come back."""
    made = phantom.head()
    ramp = shade(np.ones_like(made.volume), 0.4)
    noisy = add_rician_noise(made.volume * ramp, 30.0, 2)
    brain, grey = brain_of(made), made.tissues["gm"]

    field = shading(noisy, brain, (2.0, 2.0, 2.0))
    shares = classify(noisy / field, brain)

    assert np.corrcoef(field[grey], ramp[grey])[0, 1] > 0.7
    for name, mask in made.tissues.items():
        assert (shares[name][mask] > 0.5).mean() > 0.95


def test_maps_say_which_class_is_which():
    """Blurred maps of the truth and noise of 8 %: both contrasts find each tissue where it is."""
    made = phantom.head()
    brain = brain_of(made)
    maps = np.stack([gaussian_filter(made.tissues[name].astype(float), 1.5) for name in TISSUES])
    t1w = add_rician_noise(made.volume, 80.0, 3)
    t2w = np.where(brain, 1300 - t1w, 0)

    for volume in (t1w, t2w):
        shares = classify_with_priors(volume, brain, maps, (2.0, 2.0, 2.0))
        assert np.allclose(sum(shares.values())[brain], 1)
        for name, mask in made.tissues.items():
            assert (shares[name][mask] > 0.5).mean() > 0.9, name


def test_a_clear_image_needs_no_maps():
    """Noise of 2 % leaves the classes apart; noise of 12 % does not."""
    made = phantom.head()

    assert is_clear(add_rician_noise(made.volume, 20.0, 1), brain_of(made))
    assert not is_clear(add_rician_noise(made.volume, 120.0, 1), brain_of(made))


def test_clipping_leaves_whole_levels_between_its_limits():
    """Percentiles of a slow median over every voxel, by another program's filter, agree."""
    noise = np.random.default_rng(5).gamma(2.0, 50.0, (40, 44, 36))
    volume = gaussian_filter(noise, 2).astype(np.float32)
    ball = np.add.outer(np.add.outer(R**2, R**2), R**2) <= 9
    low, high = np.percentile(median_filter(volume, footprint=ball), (10, 99.9))

    clipped = clip_intensities(volume)

    wanted = 255 * (np.clip(volume, low, high) - low) / (high - low)
    assert set(np.unique(clipped)) <= set(range(256))
    assert np.abs(clipped - wanted).mean() < 4


def test_overlap_by_hand():
    """Shares of 1 and 0.5 against 0.5 and 0.5: (0.5 + 0.5) / (1 + 0.5)."""
    assert fuzzy_overlap(np.array([1, 0.5]), np.array([0.5, 0.5])) == pytest.approx(2 / 3)


def test_the_order_of_tissues_is_reversed_for_t2w():
    """The darkest class is white matter there."""
    made = phantom.head()
    shares = classify(add_rician_noise(made.volume, 20.0, 1), brain_of(made), is_t1w=False)

    assert (shares["wm"][made.tissues["csf"]] > 0.5).mean() > 0.98


def test_fractions_by_hand():
    """10, 30 and 60 voxels: 0.1, 0.3, 0.6; whole voxels have no partial volume but the rest's."""
    shares = {name: np.zeros(100) for name in ("csf", "gm", "wm")}
    shares["csf"][:10], shares["gm"][10:40], shares["wm"][40:] = 1, 1, 1

    assert volume_fractions(shares) == {"csf": 0.1, "gm": 0.3, "wm": 0.6}
    assert partial_volume(shares["wm"]) == pytest.approx((60 + 40) / 60)


def test_a_quarter_of_the_air_is_artifact():
    """3 of 12."""
    air, spoilt = np.arange(12) < 9, np.arange(12) >= 9

    assert artifact_share(air, spoilt) == 0.25


@pytest.mark.parametrize("volume", [np.ones((20, 20, 20)), np.zeros((20, 20, 20))])
def test_no_tissues_are_made_up(volume: np.ndarray):
    """An image of one value has none."""
    with pytest.raises(UndefinedMeasureError):
        classify(volume, np.ones(volume.shape, bool))
