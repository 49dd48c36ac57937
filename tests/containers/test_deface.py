"""Defacing made heads: what goes, what stays, and what is refused, through the real program."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from containers.contract import ExitCode
from containers.deface.gates import NORMAL
from containers.deface.images import read_head_image
from containers.deface.pipeline import Settings, Tools, deface
from containers.deface.template import load_template
from qc.brain_mask import BrainMaskNetwork
from tests.builders.heads import (
    BRAIN_POINTS,
    CHIN,
    LEFT_EAR,
    LEFT_EYE,
    NOSE,
    RIGHT_EAR,
    RIGHT_EYE,
    MadeHead,
    average_head,
    moved_head,
    write_head,
)

FACE = {
    "nose": NOSE,
    "chin": CHIN,
    "left eye": LEFT_EYE,
    "right eye": RIGHT_EYE,
    "left ear": LEFT_EAR,
    "right ear": RIGHT_EAR,
}


def _deface(tmp_path: Path, *options: str) -> tuple[int, str]:
    """Run the step's own program; return its exit code and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "containers.entrypoint", "deface", "in", "out", *options],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280,
        env={"PYTHONPATH": str(Path(__file__).resolve().parents[2]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def _deface_here(path: Path) -> Path:
    """Deface a file in this process, which needs no second start; return the result's path."""
    tools = Tools(load_template(), BrainMaskNetwork(), path.parent)
    outcome = deface(read_head_image(path, "the head"), tools, Settings(NORMAL))
    assert outcome.result is not None, [gate.name for gate in outcome.failed]
    result = path.with_name("defaced.nii")
    result.write_bytes(outcome.result)
    return result


def _ras(path: Path) -> np.ndarray:
    return np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj)


def _assert_defaced(head: MadeHead, path: Path) -> None:
    after = _ras(path)
    before = {name: after[head.index_of(point)] for name, point in FACE.items()}
    assert before == dict.fromkeys(FACE, 0)
    assert all(after[head.index_of(point)] > 0 for point in BRAIN_POINTS)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where one head, and the same one in the contrast of a T2w, were defaced."""
    folder = tmp_path_factory.mktemp("plain")
    head = average_head()
    anat = folder / "in/sub-01/anat"
    write_head(anat / "sub-01_T1w.nii.gz", head)
    inverted = np.where(head.volume > 60, 700 - head.volume, head.volume)
    write_head(anat / "sub-01_acq-x_echo-1_T2w.nii.gz", head, volume=inverted)
    (anat / "sub-01_T1w.json").write_text(
        json.dumps({"RepetitionTime": 2.3, "DeidentificationMethod": ["earlier"]}), encoding="utf-8"
    )
    write_head(folder / "in/sub-01/func/sub-01_task-rest_bold.nii.gz", head)
    exit_code, said = _deface(folder)
    assert exit_code == ExitCode.DONE, said
    return folder


def test_face_and_ears_go_and_the_brain_stays(plain: Path) -> None:
    """Nose, chin, eyes and ears are set to 0; points all over the brain are not."""
    _assert_defaced(average_head(), plain / "out/defaced/sub-01/anat/sub-01_T1w.nii.gz")


def test_another_contrast_of_the_session_loses_its_face(plain: Path) -> None:
    """The image with dark white matter and bright fluid is defaced, too."""
    name = "sub-01_acq-x_echo-1_T2w.nii.gz"
    _assert_defaced(average_head(), plain / "out/defaced/sub-01/anat" / name)


def test_every_byte_outside_the_mask_is_as_before(plain: Path) -> None:
    """Header and voxels outside the mask are the same bytes, and inside it all is 0."""
    name = "sub-01/anat/sub-01_T1w.nii.gz"
    before = gzip.decompress((plain / "in" / name).read_bytes())
    after = gzip.decompress((plain / "out/defaced" / name).read_bytes())
    mask_path = plain / "out/defaced/sub-01/anat/sub-01_mod-T1w_defacemask.nii.gz"
    mask = np.asarray(nib.load(mask_path).dataobj).ravel(order="F").astype(bool)

    assert after[:352] == before[:352]
    old, new = (np.frombuffer(each, "<i2", offset=352) for each in (before, after))
    assert np.array_equal(old[~mask], new[~mask])
    assert not new[mask].any()
    assert 0.02 < mask.mean() < 0.6


def test_the_sidecar_says_how(plain: Path) -> None:
    """Method and code stand in the sidecar, beside what stood there."""
    path = plain / "out/defaced/sub-01/anat/sub-01_T1w.json"
    sidecar = json.loads(path.read_text(encoding="utf-8"))
    assert sidecar["RepetitionTime"] == 2.3
    assert sidecar["DeidentificationMethod"][0] == "earlier"
    assert sidecar["DeidentificationMethodCodeSequence"] == [
        {
            "CodeValue": "113102",
            "CodingSchemeDesignator": "DCM",
            "CodeMeaning": "Clean Recognizable Visual Features Option",
        }
    ]


def test_the_mask_is_named_as_bids_wants(plain: Path) -> None:
    """The entity mod stands before echo (BIDS 1.11, order of entities)."""
    name = "sub-01_acq-x_mod-T2w_echo-1_defacemask.nii.gz"
    assert (plain / "out/defaced/sub-01/anat" / name).is_file()


def test_functional_images_are_left_out_with_a_reason(plain: Path) -> None:
    """A BOLD run is not defaced, not handed on, and said to be left out."""
    assert not list((plain / "out/defaced").rglob("*bold*"))
    report = json.loads((plain / "out/report/report.json").read_text(encoding="utf-8"))
    bold = next(each for each in report["accounted"] if "bold" in each["subject"])
    assert bold["outcome"] == "left-out"
    assert "functional" in bold["reason"]


def test_the_page_needs_nothing_from_elsewhere(plain: Path) -> None:
    """The page warns of the faces in it and holds no link and no script."""
    page = (plain / "out/report/report.html").read_text(encoding="utf-8")
    assert "This page shows faces" in page
    assert "http" not in page.replace("http-equiv", "")
    assert "<script" not in page


def test_a_second_run_changes_nothing(plain: Path, tmp_path: Path) -> None:
    """An image that was defaced is handed on byte for byte."""
    name = "sub-01/anat/sub-01_T1w.nii.gz"
    target = tmp_path / "in" / name
    target.parent.mkdir(parents=True)
    target.write_bytes((plain / "out/defaced" / name).read_bytes())

    exit_code, said = _deface(tmp_path, "--fast")

    assert exit_code == ExitCode.DONE, said
    assert "1 unchanged" in said
    again = gzip.decompress((tmp_path / "out/defaced" / name).read_bytes())
    assert again == gzip.decompress(target.read_bytes())


CASES = {
    "turned, stored from back to front, 8-bit": (
        moved_head((20, 8, 14)),
        {"axes": "PIR", "dtype": np.uint8},
    ),
    "small as a child's, no orientation": (moved_head(scale=0.82), {"has_affine": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_heads_of_other_shapes(case: str, tmp_path: Path) -> None:
    """However the head lies and is stored, the face goes and the brain stays."""
    head, how = CASES[case]
    volume = head.volume * (0.4 if how.get("dtype") is np.uint8 else 1)
    if not how.get("has_affine", True):
        # Readers take the first axis to point left where nothing is said.
        volume = volume[::-1]
    path = write_head(tmp_path / "a.nii", head, volume=volume, **how)

    result = _deface_here(path)

    if how.get("has_affine", True):
        _assert_defaced(head, result)
    else:
        after = np.asarray(nib.load(result).dataobj)[::-1]
        assert after[head.index_of(NOSE)] == 0
        assert all(after[head.index_of(point)] > 0 for point in BRAIN_POINTS)


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where a head whose file has a person's name was defaced but for the nasion."""
    folder = tmp_path_factory.mktemp("named")
    write_head(folder / "in/Mustermann_Erika/Mustermann.nii", average_head())
    exit_code, said = _deface(folder, "--keep-nasion", "--fast")
    assert exit_code == ExitCode.DONE, said
    return folder


def test_the_nasion_can_be_kept(named: Path) -> None:
    """With the option the root of the nose stays and its tip goes."""
    head = average_head()
    after = _ras(named / "out/defaced/image-001.nii")
    assert after[head.index_of((88, 214, 108))] > 0
    assert after[head.index_of(NOSE)] == 0


def test_the_name_of_a_file_is_not_told(named: Path) -> None:
    """A name that is no BIDS name stands in no report and in no name of a result."""
    out = named / "out"
    told = [str(path.relative_to(out)) for path in out.rglob("*")]
    told += [path.read_text(encoding="utf-8") for path in (out / "report").glob("*.*")]
    assert "mustermann" not in " ".join(told).lower()


def test_a_nose_that_is_wrapped_around_goes_too(tmp_path: Path) -> None:
    """Behind the head there is air again where the tip of the nose, and no more, was folded to."""
    head = average_head()
    volume = np.roll(head.volume, 12, axis=1)
    volume[:, :5][volume[:, :5] < 40] = 10

    after = _ras(_deface_here(write_head(tmp_path / "a.nii", head, volume=volume)))

    folded = volume[30:58, :8, 25:45] > 100
    assert folded.sum() > 20
    assert after[30:58, :8, 25:45][folded].max() == 0


def test_disk_full(tmp_path: Path, small_disk: Path) -> None:
    """Where the results do not fit, the run says so and leaves nothing."""
    write_head(tmp_path / "in/a.nii", average_head())
    (tmp_path / "out").symlink_to(small_disk)

    exit_code, said = _deface(tmp_path, "--fast")

    assert exit_code == ExitCode.OUT_OF_RESOURCES, said
    assert "disk is full" in said
    assert not list(small_disk.iterdir())
