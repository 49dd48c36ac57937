"""The brain-mask network: its weights are read without running anything, and stay what they are."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from containers.deface.make_network import read_weights
from containers.deface.template import load_template
from qc import brain_mask
from qc.brain_mask import BrainMaskError, BrainMaskNetwork, main_body
from tests.builders.heads import BRAIN_POINTS, NOSE, average_head


class _Hostile:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch was-run",)


def test_an_archive_cannot_run_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that names a function is refused before it is called."""
    monkeypatch.chdir(tmp_path)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("net/data.pkl", pickle.dumps(_Hostile()))

    with pytest.raises(pickle.UnpicklingError, match="no network needs"):
        read_weights(stream.getvalue())

    assert not (tmp_path / "was-run").exists()


def test_another_file_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights with another checksum are refused."""
    changed = bytearray(brain_mask.NETWORK_PATH.read_bytes())
    changed[-1] ^= 1
    other = tmp_path / "brain_mask.onnx"
    other.write_bytes(changed)
    monkeypatch.setattr(brain_mask, "NETWORK_PATH", other)

    with pytest.raises(BrainMaskError, match="SHA-256"):
        BrainMaskNetwork()


def test_brain_is_found_and_the_face_is_not() -> None:
    """Points read off the slices by eye: all over the brain inside, the nose outside."""
    head = average_head()
    found = BrainMaskNetwork().predict(head.volume) > 0.5

    assert all(found[head.index_of(point)] for point in BRAIN_POINTS)
    assert not found[head.index_of(NOSE)]


def test_an_empty_image_has_no_brain() -> None:
    """An image of one value gives no mask and no warning."""
    found = BrainMaskNetwork().predict(np.full((40, 50, 60), 3, np.float32))

    assert found.shape == (40, 50, 60)
    assert not found.any()


def test_an_eyeball_is_not_brain() -> None:
    """A ball that hangs on a larger one by a thin neck is cut off, the larger one stays whole."""
    grid = np.mgrid[:60, :60, :90].astype(float)
    large = np.sqrt((grid[0] - 30) ** 2 + (grid[1] - 30) ** 2 + (grid[2] - 30) ** 2) < 25
    small = np.sqrt((grid[0] - 30) ** 2 + (grid[1] - 30) ** 2 + (grid[2] - 76) ** 2) < 9
    neck = (abs(grid[0] - 30) < 2) & (abs(grid[1] - 30) < 2) & (grid[2] > 50) & (grid[2] < 70)

    body = main_body((large | small | neck).astype(np.float32), (1.0, 1.0, 1.0))

    assert body[large].all()
    assert not body[small].any()


def test_the_template_knows_its_own_brain() -> None:
    """The points of the brain lie in the template's brain and outside its face."""
    template = load_template()
    for point in BRAIN_POINTS:
        place = tuple(round(each / 2) for each in point)
        padded = tuple(
            round((each - start) / 2)
            for each, start in zip(point, template.field_grid.origin_mm, strict=True)
        )
        assert template.brain[place]
        assert template.face[padded] < 0
        assert template.ears[padded] < 0
