"""Measures of one volume against values worked out by hand and by closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from qc import phantom, spatial
from qc.anatomical import measure_tissues
from qc.degrade import add_rician_noise, blur
from qc.measure import Measures, UndefinedMeasureError
from qc.summary import rounding_scale, summarise


def test_ratios_by_hand():
    """Small numbers that can be worked out on paper."""
    assert spatial.snr(100, 10, 5) == pytest.approx(100 / (10 * math.sqrt(1.25)))
    assert spatial.cjv(1000, 700, 30, 60) == pytest.approx(0.3)
    assert spatial.cnr(1000, 700, 0, 30, 40) == pytest.approx(6)
    assert spatial.snr_dietrich(1000, 10) == pytest.approx(65.51364)


def test_entropy_focus_of_two_extremes():
    """One bright voxel gives 0, equal voxels give 1, half of them ln(N/2)/ln(N) / sqrt(2)."""
    one = np.zeros((8, 8, 8), np.float32)
    one[3, 4, 5] = 7
    half = np.zeros((8, 8, 8), np.float32)
    half[:4] = 5

    assert spatial.efc(one) == pytest.approx(0, abs=1e-12)
    assert spatial.efc(np.full((8, 8, 8), 3.0)) == pytest.approx(1)
    assert spatial.efc(half) == pytest.approx(math.log(256) / math.log(512) / math.sqrt(2))


def test_energy_ratio_by_hand():
    """10 inside and 2 outside: 100 / 4."""
    volume = np.full((10, 10, 10), 2.0)
    head = np.zeros((10, 10, 10), bool)
    head[2:5] = True
    volume[head] = 10

    assert spatial.fber(volume, head) == pytest.approx(25)


@pytest.mark.parametrize("width", [2.5, 4.0, 6.0])
def test_smoothness_of_blurred_noise_is_its_kernel(width: float):
    """White noise blurred by a Gaussian of known width in voxels: within 5 %."""
    noise = np.random.default_rng(0).normal(size=(72, 72, 72)).astype(np.float32)
    smooth = blur(noise, width, (1, 1, 1))

    found = spatial.fwhm(smooth, np.ones(noise.shape, bool))

    assert found == pytest.approx([width] * 3, rel=0.05)


def test_noise_of_a_smooth_head_is_found_without_tissues():
    """Noise of 20 on a plane of 1000: within 2 %."""
    flat = np.full((40, 40, 40), 1000.0, np.float32)
    noisy = add_rician_noise(flat, 20.0, 3)

    found = spatial.noise_sigma(noisy, np.ones(flat.shape, bool))

    assert found == pytest.approx(20, rel=0.02)


@pytest.mark.parametrize("sigma", [10.0, 30.0, 60.0, 100.0])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_closed_forms_of_the_phantom(sigma: float, seed: int):
    """SNR within 2 %, CJV and CNR within 1 %, SNRd within 3 %, FBER within 10 %."""
    made = phantom.head((96, 108, 90))
    noisy = add_rician_noise(made.volume, sigma, seed)
    wanted = phantom.expected(made, sigma)
    measures = Measures()

    measure_tissues(
        measures, noisy, {name: mask.astype(float) for name, mask in made.tissues.items()}, made.air
    )

    found = measures.values
    for name in ("csf", "gm", "wm"):
        assert found[f"snr_{name}"] == pytest.approx(wanted.snr[name], rel=0.02)
        assert found[f"snrd_{name}"] == pytest.approx(wanted.snrd[name], rel=0.03)
    assert found["cjv"] == pytest.approx(wanted.cjv, rel=0.01)
    assert found["cnr"] == pytest.approx(wanted.cnr, rel=0.01)
    assert spatial.fber(noisy, made.head) == pytest.approx(wanted.fber, rel=0.1)


@pytest.mark.parametrize(
    "compute",
    [
        lambda: spatial.snr(5, 0, 10),
        lambda: spatial.snr_dietrich(5, 0.5),
        lambda: spatial.cnr(5, 4, 0, 0, 0),
        lambda: spatial.cjv(5, 5, 1, 1),
        lambda: spatial.fber(np.ones((5, 5, 5)), np.ones((5, 5, 5), bool)),
        lambda: spatial.efc(np.zeros((5, 5, 5))),
        lambda: spatial.wm2max(np.zeros((5, 5, 5)), 1.0),
        lambda: spatial.fwhm(np.ones((5, 5, 5)), np.ones((5, 5, 5), bool)),
        lambda: spatial.noise_sigma(np.ones((5, 5, 5)), np.ones((5, 5, 5), bool)),
    ],
)
def test_no_value_is_an_error_with_a_reason(compute: Callable[[], object]):
    """Never -1, 0 or NaN."""
    with pytest.raises(UndefinedMeasureError, match=r"^[A-Z].*\.$"):
        compute()


def test_weighted_statistics_by_hand():
    """Values 1, 2, 3 with weights 1, 1, 2: mean 9/4, variance 11/16; 10 without weight."""
    found = summarise(np.array([1.0, 2.0, 3.0, 10.0]), np.array([0.5, 0.5, 1.0, 0.0]))

    assert found.mean == pytest.approx(2.25)
    assert found.stdv == pytest.approx(math.sqrt(11 / 16), abs=1e-4)
    assert found.median == 2.5
    assert found.count == pytest.approx(2.0)


def test_images_between_0_and_1_are_scaled_before_rounding():
    """A power of ten; none for images as scanners store them."""
    assert rounding_scale(np.linspace(0, 0.9, 100)) == 1000
    assert rounding_scale(np.linspace(0, 900, 100)) == 1
