"""Head, hat, artefacts and noise of the air, against phantoms whose geometry is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from qc import air, spatial
from qc.degrade import add_ghost, add_rician_noise, quantise
from qc.images import Mask
from qc.measure import UndefinedMeasureError
from qc.phantom import Head, head
from qc.tissues import artifact_share

MM = (2.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def made() -> Head:
    return head()


def brain_of(made: Head) -> Mask:
    return np.any(list(made.tissues.values()), axis=0)


@pytest.mark.parametrize("sigma", [5.0, 20.0, 40.0])
def test_the_head_is_where_it_is(made: Head, sigma: float):
    """The true head is in it, and nothing far from it but MRIQC's two planes of x."""
    brain = brain_of(made)

    found = air.head_of(add_rician_noise(made.volume, sigma, 1), brain, MM)

    assert not np.any(brain & ~found)
    assert np.count_nonzero(found & made.head) > 0.999 * np.count_nonzero(made.head)
    assert found[:2].all()
    # MRIQC's filter is four voxels wide.
    assert ndimage.distance_transform_edt(~made.head)[2:][found[2:]].max() < 8


@pytest.mark.parametrize("volume", [np.zeros((20, 20, 20)), np.full((20, 20, 20), 7.0)])
def test_no_head_without_edges(volume: np.ndarray):
    """An image of one value has no head, whatever the mask says of the brain's place."""
    with pytest.raises(UndefinedMeasureError):
        air.head_of(volume, np.ones(volume.shape, bool), (1.0, 1.0, 1.0))


def test_the_hat_is_the_air_above_its_two_planes():
    """By hand: landmarks at z = -14 mm; 2 mm voxels from -60 mm, so plane 23; behind and before.

    The image's brain is moved 10 mm up against the average: plane 28.
    """
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -60
    made = np.zeros((60, 60, 60), bool)
    made[20:40, 20:40, 20:40] = True

    level = air.hat_of(made, np.eye(4), affine)
    moved = np.eye(4)
    moved[2, 3] = 10
    raised = air.hat_of(made, moved, affine)

    for hat, plane in ((level, 23), (raised, 28)):
        wanted = ~made
        wanted[:, :, :plane] = False
        assert np.array_equal(hat, wanted)


def test_a_tilted_head_has_a_tilted_hat():
    """Turned nose up by 20 degrees: the front's plane is higher than the back's, by geometry."""
    turn = np.deg2rad(20)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = -120

    hat = air.hat_of(np.zeros((100, 100, 100), bool), matrix, affine)

    front = -14 * np.cos(turn) + 90 * np.sin(turn)
    back = -14 * np.cos(turn) - 120 * np.sin(turn)
    assert np.argmax(hat[50, 80]) == int((front + 120) / 2)
    # Behind the middle only the inion's plane counts.
    assert np.argmax(hat[50, 20]) == int((back + 120) / 2)


def test_ghosts_are_artefacts_and_noise_is_not(made: Head):
    """QI1 is 0 for noise, above 0 for ghosts, and grows with them up to a plateau."""
    noisy = add_rician_noise(made.volume, 5.0, 3)
    found = []
    for share in (0.0, 0.08, 0.16, 0.3):
        volume = add_ghost(noisy, share, axis=0) if share else noisy
        artefacts = air.artefacts_in(volume, made.air, made.head)
        assert not np.any(artefacts & made.head)
        found.append(artifact_share(made.air & ~artefacts, artefacts))

    assert found[0] == 0
    assert 0 < found[1] < found[2] <= found[3]


def test_a_bright_block_is_found_off_the_head_only(made: Head):
    """A cube in the corner is found whole but for its corners; the same beside the scalp is not."""
    noisy = add_rician_noise(made.volume, 5.0, 3)
    cube = np.zeros_like(made.air)
    cube[1:7, 1:7, 1:7] = True
    assert not np.any(cube & made.head)
    noisy[cube] = 400

    found = air.artefacts_in(noisy, made.air, made.head)

    assert np.count_nonzero(found & cube) >= 0.6 * np.count_nonzero(cube)
    assert not np.any(found & ~cube)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_air_noise_is_what_was_added(seed: int):
    """Rician noise on nothing, within 1 %; in whole levels too, of a third of the noise or more."""
    empty = np.zeros((60, 60, 60), np.float32)
    for sigma in (0.5, 1.0, 3.0, 30.0):
        noise = add_rician_noise(empty, sigma, seed)
        assert spatial.air_noise(noise) == pytest.approx(sigma, rel=0.01)
        if sigma >= 1:
            assert spatial.air_noise(np.round(noise)) == pytest.approx(sigma, rel=0.03)


def test_air_noise_rises_with_every_bit_of_noise():
    """From air of three grey levels on, where a plain median stays on its level and then jumps."""
    air_of_levels = np.round(add_rician_noise(np.zeros((50, 50, 50), np.float32), 0.8, 4))
    found = [
        spatial.air_noise(add_rician_noise(air_of_levels, sigma, 5) if sigma else air_of_levels)
        for sigma in (0, 0.5, 0.8, 1.2, 2.0, 4.0)
    ]

    assert found == sorted(found)
    assert len(set(found)) == len(found)


def test_air_without_noise_has_none():
    """Zeroed, or no voxel at all."""
    for values in (np.zeros(500), np.zeros(0), quantise(np.zeros(500, np.float32), 8)):
        with pytest.raises(UndefinedMeasureError):
            spatial.air_noise(values)
