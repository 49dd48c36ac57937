"""What makes defacing quick gives what the slow way gives."""

from __future__ import annotations

import signal
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses
from scipy import ndimage

from containers.contract import ToolFailedError
from containers.deface.cut import Cut, full_size
from containers.deface.detector_process import DetectorProcess
from containers.deface.face_detector import load_detector
from containers.deface.grids import carry, is_within
from containers.deface.head import Head, outline
from containers.deface.images import read_head_image
from containers.deface.registration import fit_by_brain
from containers.deface.renders import Surface, surface_level
from containers.deface.template import Grid, load_template
from tests.builders.heads import VOXEL_MM, MadeHead, average_head, write_head

RNG_SEED = 5


@pytest.mark.parametrize("spacing_mm", [(1.8, 1.9, 1.9), (1.5, 1.5, 1.5), (2.0, 4.0, 3.0)])
@pytest.mark.parametrize("points", [0, 1, 60])
def test_what_is_near_is_what_scipy_measures(
    spacing_mm: tuple[float, float, float], points: int
) -> None:
    """SciPy's distance transform measures every voxel; here only near ones are asked."""
    rng = np.random.default_rng(RNG_SEED)
    mask = np.zeros((20, 21, 22), bool)
    mask.ravel()[rng.choice(mask.size, points, replace=False)] = True

    found = is_within(mask, Grid(mask.shape, spacing_mm, (0.0, 0.0, 0.0)), 3.0)

    distance = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    assert np.array_equal(found, (distance <= 3.0) if points else mask)


def _head(grid: Grid, full: Grid) -> Head:
    nothing = np.zeros(grid.shape, bool)
    return Head(grid, full, np.zeros(grid.shape, np.float32), nothing, 0.0, nothing)


@pytest.mark.parametrize(
    "box",
    [
        (slice(3, 6), slice(8, 12), slice(0, 4)),
        (slice(0, 12), slice(13, 14), slice(5, 16)),
        (slice(5, 6), slice(5, 6), slice(5, 6)),
        (slice(0, 0), slice(0, 0), slice(0, 0)),
    ],
    ids=["inside", "to the edges", "one voxel", "nothing"],
)
def test_a_cut_is_as_large_as_if_all_voxels_were_asked(box: tuple[slice, ...]) -> None:
    """Only the box that a coarse cut can reach is carried over; here the whole image is."""
    full = Grid((36, 42, 33), (0.7, 1.0, 1.1), (0.0, 0.0, 0.0))
    grid = Grid((12, 14, 16), (2.1, 3.0, 2.2), (0.7, 1.0, 0.55))
    depth = -np.random.default_rng(RNG_SEED).uniform(1, 9, grid.shape).astype(np.float32)
    depth[box] *= -1
    cut = Cut(depth, depth > 0, np.zeros(grid.shape, bool), 0.0)

    removed = full_size(cut, _head(grid, full))

    every = carry(depth, grid, full, outside=None)
    assert np.array_equal(removed, every > 0)


def test_fits_do_not_depend_on_how_many_processors_there_are() -> None:
    """Otherwise a head could pass on one machine and be refused on another."""
    template = load_template()
    brain = np.asfortranarray(np.roll(template.brain, 3, axis=1))
    grid = Grid(brain.shape, template.head_grid.spacing_mm, (0.0, 0.0, 0.0))
    head = Head(grid, grid, np.asfortranarray(template.head.astype(np.float32)), brain, 0.0, brain)
    before = sitk.ProcessObject.GetGlobalDefaultNumberOfThreads()
    found = []
    try:
        for threads in (1, 3):
            sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
            found.append(fit_by_brain(head, template).matrix)
    finally:
        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(before)

    assert np.array_equal(found[0], found[1])


def test_the_detector_s_process_sees_what_the_detector_sees() -> None:
    """In the order of the pictures, a face first and then none."""
    volume = average_head().volume.astype(np.float32)
    grid = Grid(volume.shape, (VOXEL_MM,) * 3, (0.0, 0.0, 0.0))
    surface = Surface(volume, grid, surface_level(volume))
    pictures = [surface.view(0.0), np.zeros((200, 160), np.uint8), surface.view(20.0)]
    process = DetectorProcess()
    try:
        assert process.look(pictures) == [load_detector().sees_face(each) for each in pictures]
        assert process.look(pictures)[:2] == [True, False]
    finally:
        process.end()


def test_a_detector_that_ends_is_no_detector_that_sees_nothing() -> None:
    """Silence must not count as a picture without a face."""
    process = DetectorProcess()
    process._process.kill()
    process._process.wait()

    with pytest.raises(ToolFailedError, match="ended before"):
        process.look([np.zeros((200, 160), np.uint8)] * 5)
    process.end()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_stop_is_for_the_first_process(number: signal.Signals) -> None:
    """Sent to both, as by a terminal or a scheduler, it must not look like a broken detector."""
    process = DetectorProcess()
    process._process.send_signal(number)
    try:
        assert process.look([np.zeros((200, 160), np.uint8)]) == [False]
    finally:
        process.end()

    assert process._process.returncode == 0


def test_whole_numbers_whose_scale_makes_them_infinite_are_air(tmp_path: Path) -> None:
    """The ends of whole numbers are looked at, and all of them only where these are no numbers."""
    path = write_head(tmp_path / "a.nii", MadeHead(average_head().volume))
    stored = np.asarray(nib.load(path).dataobj).astype(np.int16)
    stored[:4, :4, :4] = 30000
    image = nib.Nifti1Image(stored, nib.load(path).affine)
    image.header.set_slope_inter(2e34, 0)
    image.header.set_data_dtype(np.int16)
    content = bytearray(image.to_bytes())
    content[352:] = stored.tobytes(order="F")
    path.write_bytes(bytes(content))

    found = read_head_image(path, "a")
    volume = found.volume

    assert "64 voxels are no finite numbers; they were taken for air." in found.notes
    assert volume[:4, :4, :4].max() == 0


def test_a_small_gap_is_closed_and_what_is_apart_is_left_out() -> None:
    """A slit of one voxel (2 mm) closes; a second, smaller body is not part of the head."""
    tissue = np.zeros((40, 40, 40), bool)
    tissue[5:25, 5:25, 5:25] = True
    tissue[5:25, 5:20, 14] = False
    tissue[32:36, 32:36, 32:36] = True

    body = outline(tissue, Grid(tissue.shape, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0)))

    assert body[15, 15, 14]
    assert not body[32:36, 32:36, 32:36].any()
