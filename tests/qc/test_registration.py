"""Rigid registration: known motion is found again, whatever else changes."""

from __future__ import annotations

import numpy as np
import pytest

from qc import phantom
from qc.degrade import add_rician_noise
from qc.images import Image
from qc.measure import UndefinedMeasureError
from qc.registration import displacement_mm, make_reference, matrix_of, motion_of, register

MM = (3.0, 3.0, 3.3)


def sphere(radius_mm: float = 50.0) -> np.ndarray:
    """Points on a sphere."""
    points = np.random.default_rng(5).normal(size=(400, 3))
    return points * radius_mm / np.linalg.norm(points, axis=1, keepdims=True)


def worst_error_mm(found: np.ndarray, true: np.ndarray) -> float:
    """Largest distance between where the two motions take points of a sphere of 50 mm."""
    difference = matrix_of(found) - matrix_of(true)
    away = sphere() @ difference[:3, :3].T + difference[:3, 3]
    return float(np.linalg.norm(away, axis=1).max())


@pytest.mark.parametrize("amount", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_motion_to_a_millimetre_is_found_within_a_twentieth(amount: float, seed: int):
    """A formula moved by known shifts and turns, with 1 % noise: at most 0.05 mm off anywhere."""
    true = np.random.default_rng(seed).uniform(-1, 1, 6) * amount
    true[3:] = np.deg2rad(true[3:])
    still, moved = np.moveaxis(
        phantom.bold_run(2, motion=np.stack([np.zeros(6), true]), noise=10.0, seed=seed), 3, 0
    )
    reference = make_reference(still, np.asarray(still > 200), MM)

    found = register(moved, reference)

    assert worst_error_mm(found, true) <= 0.05


def least_error_mm() -> float:
    """Mean of `worst_error_mm` that noise of 1 % leaves to any unbiased estimate (Cramer, Rao).

    From derivatives of the formula itself, with both volumes noisy; gain and offset are not known.
    """
    step = 1e-3
    shifted = np.concatenate([np.eye(6) * step, -np.eye(6) * step, np.zeros((1, 6))])
    clean = phantom.bold_run(13, motion=shifted, noise=0.0).reshape(-1, 13).astype(np.float64)
    still = clean[:, 12]
    slopes = (clean[:, :6] - clean[:, 6:12]) / (2 * step)
    columns = np.column_stack([slopes, still, np.ones(len(still))])[still > 200]
    spread = np.linalg.inv(columns.T @ columns)[:6, :6] * 2 * 10.0**2
    drawn = np.random.default_rng(0).multivariate_normal(np.zeros(6), spread, 500)
    return float(np.mean([worst_error_mm(motion, np.zeros(6)) for motion in drawn]))


def test_motion_is_found_as_exactly_as_noise_allows():
    """The mean error over twelve volumes is within a fifth of the bound for any method."""
    errors = []
    for seed in range(12):
        true = np.random.default_rng(seed).uniform(-0.5, 0.5, 6)
        true[3:] = np.deg2rad(true[3:])
        motion = np.stack([np.zeros(6), true])
        still, moved = np.moveaxis(phantom.bold_run(2, motion=motion, seed=seed), 3, 0)
        found = register(moved, make_reference(still, np.asarray(still > 200), MM))
        errors.append(worst_error_mm(found, true))

    assert np.mean(errors) <= 1.2 * least_error_mm()


def test_five_millimetres_and_degrees_are_found_too():
    """A large motion in one step, from a start at rest."""
    true = np.array([4.0, -3.0, 2.0, *np.deg2rad([4.0, -3.0, 5.0])])
    still, moved = np.moveaxis(
        phantom.bold_run(2, motion=np.stack([np.zeros(6), true]), noise=10.0), 3, 0
    )

    found = register(moved, make_reference(still, np.asarray(still > 200), MM))

    assert worst_error_mm(found, true) <= 0.1


def test_a_lost_slice_and_another_brightness_are_hardly_motion():
    """One slice of twenty without signal in a volume twice as bright: under 0.3 mm anywhere."""
    still, other = np.moveaxis(phantom.bold_run(2, noise=10.0), 3, 0)
    other = other * 2
    other[:, :, 9] = 0

    found = register(other, make_reference(still, np.asarray(still > 200), MM))

    assert worst_error_mm(found, np.zeros(6)) <= 0.3


def test_an_empty_volume_has_no_motion():
    """There is an error instead of a number."""
    still = phantom.bold_run(1)[..., 0]
    reference = make_reference(still, np.asarray(still > 200), MM)

    with pytest.raises(UndefinedMeasureError, match="could not be aligned"):
        register(np.zeros_like(still), reference)


def test_one_slice_moves_in_its_plane_only():
    """Shift and turn in the plane are found; the others are exactly 0."""
    base = phantom.bold_run(1, noise=0)[:, :, 10:11, 0]
    moved = np.roll(base, 1, axis=0)

    found = register(moved, make_reference(base, np.asarray(base > 200), MM))

    assert found[0] == pytest.approx(3.0, abs=0.05)
    assert found[[2, 3, 4]].tolist() == [0, 0, 0]


def test_a_constant_image_is_refused():
    """Nothing in it can be aligned."""
    with pytest.raises(UndefinedMeasureError):
        make_reference(np.ones((20, 20, 20), np.float32), np.ones((20, 20, 20), bool), MM)


def test_displacement_by_hand():
    """3 mm of shift; and half a turn of 1 degree on 50 mm: 2 x 50 x sin(0.5 deg) = 0.8727 mm."""
    rest = np.zeros(6)

    assert displacement_mm(rest, np.array([0, 3.0, 0, 0, 0, 0])) == pytest.approx(3.0)
    assert displacement_mm(rest, np.array([0, 0, 0, np.deg2rad(1), 0, 0])) == pytest.approx(
        0.87265, abs=1e-4
    )


def test_motion_and_matrix_are_inverse():
    """From six numbers to a matrix and back."""
    motion = np.array([1.0, -2.0, 0.5, 0.1, -0.2, 0.3])

    assert motion_of(matrix_of(motion)) == pytest.approx(motion)


@pytest.mark.samples
def test_a_real_volume_moved_by_a_quintic_spline_is_found(bold: Image):
    """Another interpolation than ours moves it; with 1 % noise at most 0.05 mm off."""
    from scipy import ndimage  # noqa: PLC0415 - this test only

    from qc.masks import signal_mask  # noqa: PLC0415 - this test only
    from qc.registration import voxel_map  # noqa: PLC0415 - this test only

    volume = bold.data[..., 5].copy()
    mask = ndimage.binary_dilation(signal_mask(volume, bold.voxel_mm), iterations=2)
    reference = make_reference(volume, mask, bold.voxel_mm)
    for seed in range(3):
        true = np.random.default_rng(seed).uniform(-1, 1, 6)
        true[3:] = np.deg2rad(true[3:])
        back = motion_of(np.linalg.inv(matrix_of(true)))
        matrix, offset = voxel_map(back, volume.shape, bold.voxel_mm)
        moved = ndimage.affine_transform(volume.astype(float), matrix, offset, order=5)
        noisy = add_rician_noise(np.maximum(moved, 0), 0.01 * np.median(volume[mask]), seed)

        assert worst_error_mm(register(noisy, reference), true) <= 0.05
