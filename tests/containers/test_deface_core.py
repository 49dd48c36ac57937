"""One image through the pipeline: noise, odd voxels, a face detector, and who bears out whom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from containers.contract import ToolFailedError
from containers.deface import face_detector, gates
from containers.deface.cut import plan_cut
from containers.deface.face_detector import FaceDetector, Sightings, load_detector
from containers.deface.gates import NORMAL, judge_cut
from containers.deface.grids import Matrix
from containers.deface.head import Head, air_level, find_tissue, see_head
from containers.deface.images import read_head_image
from containers.deface.pipeline import Outcome, Settings, Tools, deface
from containers.deface.registration import BRAIN_FIT, Fit
from containers.deface.renders import Surface, surface_level
from containers.deface.template import load_template
from containers.deface.whole_head import WHOLE_FIT, fit_by_whole_head
from qc.brain_mask import BrainMaskNetwork
from tests.builders.heads import (
    BRAIN_POINTS,
    CHIN,
    LEFT_EAR,
    LEFT_EYE,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    VOXEL_MM,
    MadeHead,
    average_head,
    moved_head,
    write_head,
)

MISSING_MM = 140.0
FACE = (NOSE, CHIN, LEFT_EYE, RIGHT_EYE, LEFT_EAR, RIGHT_EAR)


@pytest.fixture(scope="module")
def network() -> BrainMaskNetwork:
    """The network, loaded once."""
    return BrainMaskNetwork()


def _defaced(
    head: MadeHead, network: BrainMaskNetwork, folder: Path, *, is_fast: bool = False
) -> Outcome:
    path = write_head(folder / "a.nii", head)
    tools = Tools(load_template(), network, folder)
    return deface(read_head_image(path, "the head"), tools, Settings(NORMAL, is_fast=is_fast))


@pytest.fixture(scope="module")
def plain(network: BrainMaskNetwork, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """The average head, defaced."""
    return _defaced(average_head(), network, tmp_path_factory.mktemp("plain"))


def _removed(outcome: Outcome) -> np.ndarray:
    assert outcome.mask is not None, [each.name for each in outcome.failed]
    image = nib.as_closest_canonical(nib.Nifti1Image.from_bytes(outcome.mask))
    return np.asarray(image.dataobj).astype(bool)


def _noisy(share: float) -> MadeHead:
    head = average_head()
    noise = np.random.default_rng(3).normal(0, share * 600, (2, *head.volume.shape))
    return MadeHead(np.hypot(head.volume + noise[0], noise[1]).astype(np.float32))


def _inverted() -> MadeHead:
    """Return the head with dark white matter and bright fluid, and no T1w beside it."""
    volume = average_head().volume
    return MadeHead(np.where(volume > 60, 700 - volume, volume).astype(np.float32))


def _one_slice_missing() -> MadeHead:
    """Return the head whose slices above the middle all lie one too low."""
    volume = average_head().volume
    return MadeHead(np.delete(volume, round(MISSING_MM / VOXEL_MM), axis=2))


CASES: dict[str, Callable[[], MadeHead]] = {
    "noise of 15 %": lambda: _noisy(0.15),
    "contrast of a T2w": _inverted,
    "voxels of 0.4 and 5 mm": lambda: moved_head(voxel_mm=(0.4, 2.0, 5.0)),
    "one slice missing": _one_slice_missing,
}


@pytest.mark.parametrize("case", CASES)
def test_a_head_of_another_kind_loses_its_face(
    case: str, network: BrainMaskNetwork, tmp_path: Path
) -> None:
    """Nose, chin, eyes and ears are in the cut, points all over the brain are not."""
    head = CASES[case]()

    removed = _removed(_defaced(head, network, tmp_path))

    # Points below the missing slice only: those above lie one voxel lower.
    assert all(removed[head.index_of(point)] for point in FACE if point[2] < MISSING_MM)
    assert not any(removed[head.index_of(point)] for point in BRAIN_POINTS if point[2] < MISSING_MM)


def test_two_ways_to_fit_bear_each_other_out(plain: Outcome) -> None:
    """Where they agree, the costly third is not asked."""
    assert {fit.name for fit in plain.fits} == {BRAIN_FIT, WHOLE_FIT}


def _turned_head() -> MadeHead:
    return moved_head((15, 0, 10), shift_mm=(0, 6, 0))


@pytest.fixture(scope="module")
def blind(network: BrainMaskNetwork) -> Head:
    """A turned head of which no brain is known."""
    made = _turned_head()
    head = see_head(made.volume, made.voxel_mm, network)
    return replace(head, brain=np.zeros_like(head.brain))


@pytest.fixture(scope="module")
def blind_fit(blind: Head) -> Fit:
    """Its fit by the whole head."""
    fit = fit_by_whole_head(blind, load_template())
    assert fit is not None
    return fit


def test_the_fit_by_the_whole_head_asks_for_no_brain(blind_fit: Fit) -> None:
    """With no brain known at all, the nose is found within 6 mm of where it is."""
    truth = np.linalg.inv(_turned_head().to_head) @ [*NOSE, 1.0]

    assert blind_fit.dice == 0
    assert np.linalg.norm((blind_fit.matrix @ [*NOSE, 1.0] - truth)[:3]) < 6


def test_a_fit_does_not_depend_on_the_clock(blind: Head, blind_fit: Fit) -> None:
    """Two fits of one head are the same, so that a run can be repeated."""
    again = fit_by_whole_head(blind, load_template())

    assert again is not None
    assert np.allclose(again.matrix, blind_fit.matrix, rtol=0, atol=1e-3)


def test_the_detector_sees_the_face_before_and_none_after(plain: Outcome) -> None:
    """The gate is there because a face was seen, and passed because none is left."""
    assert plain.sightings == Sightings(1, 0)
    assert any("detector" in gate.name and gate.is_passed for gate in plain.gates)


def test_no_face_before_is_no_pass(network: BrainMaskNetwork, tmp_path: Path) -> None:
    """Where the image ends above the nose no face is seen, and no gate says that it is gone."""
    head = MadeHead(average_head().volume[:, :, 45:])

    outcome = _defaced(head, network, tmp_path, is_fast=True)

    assert outcome.sightings == Sightings(0, 0)
    assert "not informative" in outcome.sightings.says
    assert not any("detector" in gate.name for gate in outcome.gates)


@pytest.mark.parametrize(
    ("before", "after", "has_face", "verdicts"),
    [
        (0, 0, True, []),
        (1, 0, True, [True]),
        (1, 2, True, [False]),
        (0, 1, True, [False]),
        (0, 0, False, []),
        (1, 0, False, [False]),
    ],
)
def test_what_a_sighting_means(
    before: int, after: int, *, has_face: bool, verdicts: list[bool]
) -> None:
    """A face left fails, one seen where none was said to be fails, and silence says nothing."""
    judged = gates.judge_sightings(Sightings(before, after), has_face=has_face)

    assert [gate.is_passed for gate in judged] == verdicts


def test_a_damaged_detector_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights with another checksum are refused."""
    changed = bytearray(face_detector.DETECTOR_PATH.read_bytes())
    changed[-1] ^= 1
    (tmp_path / "detector.dat").write_bytes(changed)
    monkeypatch.setattr(face_detector, "DETECTOR_PATH", tmp_path / "detector.dat")

    with pytest.raises(ToolFailedError, match="SHA-256"):
        FaceDetector()


def test_the_detector_sees_no_face_in_a_ball() -> None:
    """A round surface is no face."""
    grid = load_template().head_grid
    places = np.indices(grid.shape) - np.array(grid.shape)[:, None, None, None] / 2
    ball = np.where(np.sqrt((places**2).sum(0)) < 40, 500, 0).astype(np.float32)

    assert not load_detector().sees_face(Surface(ball, grid, surface_level(ball)).view(0.0))


def test_air_with_strong_noise_is_no_tissue() -> None:
    """Of air with Rician noise of 15 %, less than a thousandth counts as tissue; the head does."""
    head = average_head().volume
    noisy = _noisy(0.15).volume
    air = head < 20

    tissue = find_tissue(noisy)

    assert tissue[air].mean() < 0.02
    assert tissue[head > 250].mean() > 0.98


def test_air_that_is_zero_has_no_noise() -> None:
    """Where the border of the image is zero, nothing is taken for noise."""
    head = np.where(average_head().volume < 60, 0, average_head().volume)
    head[:4], head[-4:], head[:, :4], head[:, -4:], head[:, :, -4:] = 0, 0, 0, 0, 0

    assert air_level(head) == 0


def _folded(head: Head, matrix: Matrix, folded_mm: float) -> tuple[Head, Matrix]:
    """Return a head whose image ends closely in front and behind, and is then folded forwards."""
    filled = np.flatnonzero(head.tissue.any(axis=(0, 2)))
    kept = slice(max(int(filled[0]) - 1, 0), int(filled[-1]) + 1)
    step = round(folded_mm / head.grid.spacing_mm[1])
    arrays = {
        name: np.roll(getattr(head, name)[:, kept], step, axis=1)
        for name in ("volume", "brain", "tissue")
    }
    grid = replace(head.grid, shape=arrays["tissue"].shape)
    moved = np.eye(4)
    moved[1, 3] = (step - kept.start) * head.grid.spacing_mm[1]
    return replace(head, grid=grid, **arrays), moved @ matrix


@pytest.mark.parametrize(("folded_mm", "is_passed"), [(0, True), (16, False), (30, False)])
def test_a_face_that_goes_on_at_the_back_is_not_passed(
    plain: Outcome, *, folded_mm: float, is_passed: bool
) -> None:
    """Close to the head a folded nose cannot be told from it, so the cut cannot be vouched for."""
    assert plain.reference is not None
    template = load_template()
    head, matrix = _folded(plain.reference.head, plain.reference.fit.matrix, folded_mm)

    cut = plan_cut(head, template, matrix, keep_nasion=False)
    judged = {each.name: each for each in judge_cut(head, template, cut, matrix, NORMAL)}

    assert judged["head that goes on at the opposite edge (mm2)"].is_passed is is_passed
