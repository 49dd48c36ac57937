"""What deface does not take: a sentence, the right exit code, and never an unverified image."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from commands.catalog import find
from containers.contract import BadInputError, ExitCode, StepReport
from containers.deface.gates import NORMAL, judge_fit
from containers.deface.head import Head
from containers.deface.registration import Fit
from containers.deface.step import run
from containers.deface.template import load_template
from containers.step_run import run_step
from tests.builders.heads import MadeHead, average_head, write_head

DEFAULTS = {
    "strictness": "normal",
    "keep-nasion": False,
    "fast": True,
    "fail-when-refused": True,
}


def _run(tmp_path: Path, **changes: object) -> StepReport:
    parameters = DEFAULTS | {name.replace("_", "-"): value for name, value in changes.items()}
    return run_step(find("deface"), run, tmp_path / "in", tmp_path / "out", parameters)


def _phantom(path: Path) -> None:
    """Write a bottle: a bright cylinder with a lid."""
    grid = np.mgrid[-44:44, -62:63, -62:63]
    bottle = (np.hypot(grid[0], grid[1]) < 36) & (abs(grid[2]) < 45)
    write_head(path, MadeHead((bottle * 500.0 + 5).astype(np.float32)))


def _two_heads(path: Path) -> None:
    head = average_head().volume
    write_head(path, MadeHead(np.concatenate([head, head], axis=0)))


def _upside_down(path: Path) -> None:
    """Write a head whose header says that it lies the other way round than it does."""
    write_head(path, MadeHead(average_head().volume[:, ::-1, ::-1]))


def _noise(path: Path) -> None:
    noise = np.random.default_rng(1).normal(100, 20, (88, 125, 125))
    write_head(path, MadeHead(noise.astype(np.float32)))


@pytest.mark.parametrize("write", [_phantom, _two_heads, _upside_down, _noise])
def test_a_person_must_look(write: Callable[[Path], None], tmp_path: Path) -> None:
    """No image is handed on, the run ends with 4, and the page shows what was found."""
    write(tmp_path / "in/a.nii")

    report = _run(tmp_path)

    assert report.exit_code == ExitCode.UNSAFE_OUTPUT
    assert not (tmp_path / "out/defaced").exists()
    page = (tmp_path / "out/report/report.html").read_text(encoding="utf-8")
    assert "Withheld" in page
    assert "data:image/png" in page


@pytest.mark.parametrize(
    ("flips", "is_right"),
    [
        ((1, 1, 1), True),
        ((-1, 1, 1), True),
        ((-1, -1, 1), False),
        ((1, -1, -1), False),
        ((1, 1, -1), False),
    ],
)
def test_the_way_round(flips: tuple[int, int, int], *, is_right: bool) -> None:
    """A head that lies the other way round than the fit says is refused; left for right is not."""
    template = load_template()
    order = tuple(slice(None, None, each) for each in flips)
    volume = average_head().volume[order]
    grid = template.head_grid
    head = Head(grid, grid, volume, template.brain[order], 0.0, volume > 60)

    judged = judge_fit(head, template, Fit("any", np.eye(4), 0.95), None, NORMAL)

    assert [gate.is_passed for gate in judged if "turned round" in gate.name] == [is_right]


def _four_d(path: Path) -> None:
    head = average_head()
    write_head(path, head, volume=np.stack([head.volume] * 2, axis=-1))


def _tiny_voxels(path: Path) -> None:
    write_head(path, MadeHead(average_head().volume, (0.05, 0.05, 0.05)))


def _few_slices(path: Path) -> None:
    write_head(path, MadeHead(average_head().volume[:, :, 40:43]))


def _truncated(path: Path) -> None:
    write_head(path, average_head())
    path.write_bytes(path.read_bytes()[:-1000])


def _damaged_gzip(path: Path) -> None:
    packed = write_head(path.with_suffix(".nii.gz"), average_head())
    packed.write_bytes(packed.read_bytes()[:5000])


def _no_nifti(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"not an image at all" * 40)


def _colours(path: Path) -> None:
    data = np.zeros((40, 40, 40), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    path.parent.mkdir(parents=True)
    nib.save(nib.Nifti1Image(data, np.diag([4.0, 4, 4, 1])), path)


def _one_value(path: Path) -> None:
    write_head(path, MadeHead(np.full((88, 125, 125), 7, np.float32)))


def _all_nan(path: Path) -> None:
    write_head(path, MadeHead(np.full((88, 125, 125), np.nan, np.float32)), dtype=np.float32)


def _ct(path: Path) -> None:
    head = average_head().volume
    write_head(path, MadeHead(np.where(head < 50, -1000, head)))


def _nothing(path: Path) -> None:
    path.parent.mkdir(parents=True)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (_four_d, "2 volumes"),
        (_tiny_voxels, "0.05"),
        (_few_slices, "too little of a head"),
        (_truncated, "ends before its voxels do"),
        (_damaged_gzip, "compression is damaged"),
        (_no_nifti, "no single-file NIfTI"),
        (_colours, "no plain numbers"),
        (_one_value, "one value"),
        (_all_nan, "no finite numbers"),
        (_ct, "CT"),
        (_nothing, "no NIfTI or DICOM file"),
    ],
)
def test_bad_input(write: Callable[[Path], None], said: str, tmp_path: Path) -> None:
    """The sentence says what is wrong and names no file; nothing is written."""
    write(tmp_path / "in/Mustermann.nii")

    with pytest.raises(BadInputError, match=said) as caught:
        _run(tmp_path)

    assert "Mustermann" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StepReport]:
    """A run on a head with some NaN and on a phantom, of which the good one was asked for."""
    folder = tmp_path_factory.mktemp("mixed")
    head = average_head()
    volume = head.volume.copy()
    volume[40:44, 10:14, 100:104] = np.nan
    _phantom(folder / "in/sub-1_T1w.nii")
    write_head(folder / "in/sub-1_T2w.nii", head, volume=volume, dtype=np.float32)
    return folder / "out", _run(folder, fail_when_refused=False)


def test_some_voxels_without_a_number(mixed: tuple[Path, StepReport]) -> None:
    """NaN in a few voxels is said, and they keep their bytes outside the cut."""
    out, report = mixed

    assert any("64 voxels" in each for each in report.warnings)
    after = np.asarray(nib.load(out / "defaced/sub-1_T2w.nii").dataobj)
    assert np.isnan(after[40:44, 10:14, 100:104]).all()


@pytest.mark.parametrize("suffix", ["pet", "ct"])
def test_other_modalities_are_refused(suffix: str, tmp_path: Path) -> None:
    """CT and PET show faces, and the step was not made for them."""
    write_head(tmp_path / f"in/sub-1/{suffix}/sub-1_{suffix}.nii", average_head())

    with pytest.raises(BadInputError, match=suffix.upper()):
        _run(tmp_path)


def test_one_refusal_withholds_all(tmp_path: Path) -> None:
    """Where one image of two cannot be vouched for, neither is handed on."""
    _phantom(tmp_path / "in/sub-1_T1w.nii")
    write_head(tmp_path / "in/sub-1_T2w.nii", average_head())

    report = _run(tmp_path)

    assert report.exit_code == ExitCode.UNSAFE_OUTPUT
    assert not (tmp_path / "out/defaced").exists()


def test_the_passed_ones_can_be_asked_for(mixed: tuple[Path, StepReport]) -> None:
    """Without fail-when-refused the good image is handed on, the other one never."""
    out, report = mixed

    assert report.exit_code == ExitCode.DONE
    names = {path.name for path in (out / "defaced").iterdir()}
    assert names == {"sub-1_T2w.nii", "sub-1_T2w.json", "sub-1_mod-T2w_defacemask.nii"}
    outcomes = json.loads((out / "report/deface.json").read_text(encoding="utf-8"))
    assert [each["is_safe"] for each in outcomes["images"]] == [False, True]
