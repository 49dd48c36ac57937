"""Tissue classes and shading against a head whose tissues and shading are known."""

from __future__ import annotations

import numpy as np
import pytest

from qc import phantom
from qc.bias import correct_bias
from qc.degrade import add_rician_noise, shade
from qc.measure import UndefinedMeasureError
from qc.tissues import artifact_share, classify, partial_volume, volume_fractions


def brain_of(made: phantom.Head) -> np.ndarray:
    return np.asarray(np.any(list(made.tissues.values()), axis=0))


def test_tissues_are_found_where_they_are():
    """With noise of 4 %, at least 97 % of each tissue's voxels are given to it."""
    made = phantom.head()
    shares = classify(add_rician_noise(made.volume, 40.0, 1), brain_of(made))

    for name, mask in made.tissues.items():
        assert (shares[name][mask] > 0.5).mean() > 0.97


def test_shading_is_found_and_taken_out():
    """A ramp of 40 %: the found field correlates with it, and classes come back."""
    made = phantom.head()
    noisy = add_rician_noise(shade(made.volume, 0.4), 30.0, 2)
    ramp = shade(np.ones_like(made.volume), 0.4)
    brain = brain_of(made)

    bias, shares = correct_bias(noisy, brain)

    assert np.corrcoef(bias[brain], ramp[brain])[0, 1] > 0.97
    for name, mask in made.tissues.items():
        assert (shares[name][mask] > 0.5).mean() > 0.95


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
