"""Heads that the scan folded over the front edge of the image: unfolded, cut and judged whole."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from containers.deface.carried import carry_to_magnitude
from containers.deface.gates import NORMAL
from containers.deface.images import read_head_image
from containers.deface.pipeline import Outcome, Settings, Tools, deface
from containers.deface.template import load_template
from qc.brain_mask import BrainMaskNetwork
from tests.builders.heads import BRAIN_POINTS, NOSE, VOXEL_MM, MadeHead, average_head, write_head

FOLDED = {"tip of the nose": 12.0, "whole nose": 24.0, "nose and lips": 36.0}
AIR_MM = 44.0
"""Behind the head, so that what is folded does not touch it."""


def _in_air() -> MadeHead:
    """Return the average head in an image that goes on behind it."""
    head = average_head()
    behind = np.full((head.volume.shape[0], round(AIR_MM / VOXEL_MM), head.volume.shape[2]), 5.0)
    return MadeHead(np.concatenate([behind, head.volume], axis=1).astype(np.float32))


def _steps(head: MadeHead, folded_mm: float) -> int:
    """Return by how many voxels the head moves forwards for so much of it to be folded."""
    filled = np.flatnonzero((head.volume > 60).sum(axis=(0, 2)) > 3)
    return int(head.volume.shape[1] - 1 - filled[-1] + round(folded_mm / VOXEL_MM))


def _tools(folder: Path) -> Tools:
    return Tools(load_template(), BrainMaskNetwork(), folder)


def _defaced(head: MadeHead, folder: Path, name: str) -> Outcome:
    path = write_head(folder / f"{name}.nii", head)
    return deface(read_head_image(path, name), _tools(folder), Settings(NORMAL))


def _removed(outcome: Outcome) -> np.ndarray:
    assert outcome.mask is not None, [each.name for each in outcome.failed]
    image = nib.as_closest_canonical(nib.Nifti1Image.from_bytes(outcome.mask))
    return np.asarray(image.dataobj).astype(bool)


def _moved(index: tuple[int, ...]) -> tuple[int, int, int]:
    """Return where a voxel of the average head lies in the image with air behind it."""
    return index[0], index[1] + round(AIR_MM / VOXEL_MM), index[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """What goes of the head where nothing is folded."""
    return _removed(_defaced(_in_air(), tmp_path_factory.mktemp("whole"), "whole"))


@pytest.mark.parametrize("case", FOLDED)
def test_a_folded_face_goes_as_the_whole_one_does(
    case: str, whole: np.ndarray, tmp_path: Path
) -> None:
    """Of the face's voxels that go where nothing is folded, nearly all go where they were moved."""
    head = _in_air()
    steps = _steps(head, FOLDED[case])
    folded = MadeHead(np.roll(head.volume, steps, axis=1))

    outcome = _defaced(folded, tmp_path, "folded")
    removed = np.roll(_removed(outcome), -steps, axis=1)

    bright = head.volume > 60
    gone = (removed & whole & bright).sum() / (whole & bright).sum()
    assert gone > 0.97
    assert removed[_moved(head.index_of(NOSE))]
    assert not any(removed[_moved(head.index_of(point))] for point in BRAIN_POINTS)
    # A tip in the air goes as stray. The fit of what was unfolded says nothing of where the face is
    # in the voxels of the file's other volumes.
    is_unfolded = case != "tip of the nose"
    assert outcome.chosen.endswith("unfolded") is is_unfolded
    image = read_head_image(tmp_path / "folded.nii", "folded")
    carried = carry_to_magnitude(image, outcome, _tools(tmp_path), Settings(NORMAL))
    assert (carried is None) is is_unfolded


def test_without_air_between_face_and_neck_it_is_refused(tmp_path: Path) -> None:
    """Where the folded part lies on the head, the image cannot be unfolded, and nothing is made."""
    head = average_head()
    filled = np.flatnonzero((head.volume > 60).any(axis=(0, 2)))
    tight = head.volume[:, filled[0] + 6 : filled[-1] - 3]

    outcome = _defaced(MadeHead(np.roll(tight, 8, axis=1)), tmp_path, "tight")

    assert outcome.result is None
    assert outcome.mask is None
