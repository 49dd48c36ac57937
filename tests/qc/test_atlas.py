"""The fit of the average brain, against moves and stretches that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from qc.atlas import _load, fit_atlas
from qc.measure import UndefinedMeasureError

ORIGIN_MM = (-98.0, -134.0, -72.0)
"""Of the maps' first voxel, as ICBM's own file has it."""
RNG = np.random.default_rng(3)
CASES = {
    "as it is": np.eye(4),
    "moved": np.array([[1, 0, 0, 9.0], [0, 1, 0, -14], [0, 0, 1, 11], [0, 0, 0, 1]]),
    "turned": np.array([
        [1, 0, 0, 0.0],
        [0, np.cos(0.15), -np.sin(0.15), 5],
        [0, np.sin(0.15), np.cos(0.15), -5],
        [0, 0, 0, 1],
    ]),
    "smaller": np.diag([0.9, 0.88, 0.92, 1.0]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("is_dark", [False, True], ids=["T1w", "inverted"])
def test_a_known_move_is_found(name: str, *, is_dark: bool):
    """The average brain itself, carried by scipy, noise added: within 2 mm all over the brain."""
    true = CASES[name]
    size, origin = 2.0, np.array([-106.0, -146.0, -90.0])
    affine = np.diag([size, size, size, 1.0])
    affine[:3, 3] = origin
    shape = (106, 132, 104)
    atlas = _load().brain
    back = np.linalg.inv(true)
    offset = back[:3, :3] @ origin + back[:3, 3] - np.array(ORIGIN_MM)
    carried = ndimage.affine_transform(
        atlas, back[:3, :3] * size, offset, output_shape=shape, order=1
    )
    brain = carried > 0.1 * atlas.max()
    values = carried.max() * 1.1 - carried if is_dark else carried
    noisy = np.where(brain, values * 1000, 0) + RNG.normal(0, 20, shape)

    fit = fit_atlas(noisy, brain, affine)

    places = np.argwhere(atlas > 0.3 * atlas.max())[::997] + np.array(ORIGIN_MM)
    away = (fit.matrix - true)[:3, :3] @ places.T + (fit.matrix - true)[:3, 3:]
    assert np.linalg.norm(away, axis=0).max() < 2.0
    assert fit.overlap > 0.95


def test_what_is_no_brain_is_not_fitted():
    """A long bar of noise: the sentence says that it does not fit."""
    bar = np.zeros((60, 60, 60), bool)
    bar[26:34, 26:34, 5:55] = True
    volume = np.where(bar, RNG.normal(100, 10, bar.shape), 0)

    with pytest.raises(UndefinedMeasureError, match="fit"):
        fit_atlas(volume, bar, np.diag([3.0, 3.0, 3.0, 1.0]))


def test_a_few_voxels_are_no_brain():
    """Fewer than a thousand."""
    few = np.zeros((40, 40, 40), bool)
    few[:9, :9, :9] = True

    with pytest.raises(UndefinedMeasureError, match="1000"):
        fit_atlas(few.astype(np.float32), few, np.eye(4))
