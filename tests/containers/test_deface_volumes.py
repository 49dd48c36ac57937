"""Phase images, and files of several volumes: what they lose, what is refused."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from commands.catalog import find
from containers.contract import BadInputError, ExitCode, StepReport
from containers.deface.images import check_nothing_beside
from containers.deface.nifti_run import file_as_it_was
from containers.deface.step import run
from containers.step_run import run_step
from tests.builders.heads import BRAIN_POINTS, NOSE, MadeHead, average_head, write_head


def _run(folder: Path) -> StepReport:
    parameters = {"strictness": "normal", "keep-nasion": False, "fast": True,
                  "fail-when-refused": True, "format": "auto"}  # fmt: skip
    return run_step(find("deface"), run, folder / "in", folder / "out", parameters)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session with echoes in one file, a phase image, and a map on another grid."""
    folder = tmp_path_factory.mktemp("volumes")
    head = average_head()
    anat, fmap = folder / "in/sub-01/anat", folder / "in/sub-01/fmap"
    echoes = np.stack([head.volume, head.volume * 0.6], axis=-1)
    echoes[:2] = 0
    write_head(anat / "sub-01_MEGRE.nii.gz", head, volume=echoes)
    noise = np.random.default_rng(3).integers(-4096, 4096, head.volume.shape)
    noise[noise == 0] = 1
    write_head(anat / "sub-01_part-phase_MEGRE.nii.gz", head, volume=noise)
    other = MadeHead(head.volume[:60], head.voxel_mm)
    write_head(fmap / "sub-01_phasediff.nii", other, volume=noise[:60])
    report = _run(folder)
    assert report.exit_code == ExitCode.DONE, report.summary
    return folder


def _voxels(folder: Path, name: str) -> np.ndarray:
    return np.asarray(nib.load(folder / name).dataobj)


def test_every_volume_loses_its_face(session: Path) -> None:
    """The nose is 0 in both echoes, points of the brain in none; other bytes are as before."""
    head, name = average_head(), "sub-01/anat/sub-01_MEGRE.nii.gz"
    after = _voxels(session / "out/defaced", name)
    assert [after[head.index_of(NOSE)].tolist()] == [[0, 0]]
    assert all((after[head.index_of(point)] > 0).all() for point in BRAIN_POINTS)
    old, new = (
        gzip.decompress((session / part / name).read_bytes()) for part in ("in", "out/defaced")
    )
    assert (len(old), old[:352]) == (len(new), new[:352])
    before = _voxels(session / "in", name)
    assert not after[before != after].any()


def test_the_gates_are_told_volume_by_volume(session: Path) -> None:
    """The report judges the second echo by its own outline."""
    report = json.loads((session / "out/report/deface.json").read_text(encoding="utf-8"))
    image = next(each for each in report["images"] if each["image"] == "sub-01_MEGRE")
    names = [gate["name"] for gate in image["gates"]]
    assert "volume 2: face skin gone by 3 mm or more (share)" in names
    assert all(gate["is_passed"] for gate in image["gates"])


def test_the_phase_loses_what_the_magnitude_lost(session: Path) -> None:
    """Phase is 0 where the magnitude is cut, or was empty before, and untouched elsewhere.

    A face that was taken out of the magnitude before may still be in its phase.
    """
    mask = _voxels(session / "out/defaced", "sub-01/anat/sub-01_mod-MEGRE_defacemask.nii.gz") == 1
    name = "sub-01/anat/sub-01_part-phase_MEGRE.nii.gz"
    before, after = (_voxels(session / part, name) for part in ("in", "out/defaced"))
    magnitude = _voxels(session / "in", "sub-01/anat/sub-01_MEGRE.nii.gz")
    empty = (magnitude == 0).all(axis=3)
    assert empty[:2].all()
    assert np.array_equal(after, np.where(mask | empty, 0, before))
    assert 0.02 < mask.mean() < 0.6


def test_phase_on_another_grid_is_left_out(session: Path) -> None:
    """Nothing says where the face is in it, so it is no part of the result."""
    assert not list((session / "out/defaced").rglob("*phasediff*"))
    report = json.loads((session / "out/report/report.json").read_text(encoding="utf-8"))
    row = next(each for each in report["accounted"] if "phasediff" in each["subject"])
    assert row["outcome"] == "left-out"
    assert "without a magnitude image on its grid" in row["reason"]


def test_a_session_of_phase_alone_is_refused(tmp_path: Path) -> None:
    """Whatever the name of its suffix: the entity says that it is phase."""
    head = average_head()
    write_head(tmp_path / "in/sub-1_part-phase_T2starw.nii", head)
    with pytest.raises(BadInputError, match="without a magnitude"):
        _run(tmp_path)


def test_the_header_tells_phase_where_the_name_does_not(tmp_path: Path) -> None:
    """ImageType in the sidecar holds P: never judged as if it had an outline."""
    write_head(tmp_path / "in/a.nii", average_head())
    (tmp_path / "in/a.json").write_text('{"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}')
    with pytest.raises(BadInputError, match="without a magnitude"):
        _run(tmp_path)


def _with_a_second_image_behind(content: bytes) -> bytes:
    return content + content[352:]


def _with_a_second_image_before(content: bytes) -> bytes:
    voxels = content[352:]
    place = np.float32(352 + len(voxels)).tobytes()  # NIfTI-1: vox_offset, at byte 108
    return content[:108] + place + content[112:352] + voxels + voxels


@pytest.mark.parametrize("name", ["sub-1_T1w.nii", "sub-1_part-phase_T1w.nii"])
@pytest.mark.parametrize("spoil", [_with_a_second_image_behind, _with_a_second_image_before])
def test_a_second_image_in_the_file_is_refused(
    spoil: Callable[[bytes], bytes], name: str, tmp_path: Path
) -> None:
    """Voxels that the header does not speak of would be handed on with their face."""
    write_head(tmp_path / "in" / name, average_head())
    path = tmp_path / "in" / name
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(BadInputError, match="more than a header and the voxels"):
        _run(tmp_path)


def test_a_long_text_before_the_voxels_is_no_second_image(tmp_path: Path) -> None:
    """Some programs (dcmstack) keep the DICOM header there as JSON: 203 kB of it in ds000031."""
    text = json.dumps({"global": {"const": {"Comment": "ü" * 90_000}}}, ensure_ascii=False)
    image = nib.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4))
    image.header.extensions.append(nib.nifti1.Nifti1Extension(0, text.encode()))
    nib.save(image, tmp_path / "a.nii")
    saved = nib.load(tmp_path / "a.nii")
    assert isinstance(saved, nib.Nifti1Image)
    offset, voxels = int(saved.dataobj.offset), np.zeros(64, np.int16)
    assert offset > 1 << 17

    check_nothing_beside((tmp_path / "a.nii").read_bytes(), offset, voxels, "the image")


_RESULT = bytes(range(256)) * 9
_OTHER_PACKER = gzip.compress(_RESULT, 9, mtime=0)


def _with_name(content: bytes) -> bytes:
    sink = io.BytesIO()
    with gzip.GzipFile("Mustermann.nii", "wb", fileobj=sink, mtime=0) as stream:
        stream.write(content)
    return sink.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "is_kept"),
    [
        ("a.nii", _RESULT, True),
        ("a.nii.gz", _OTHER_PACKER, True),
        ("a.nii", _RESULT + b"1", False),
        ("a.nii", _OTHER_PACKER, False),
        ("a.nii.gz", gzip.compress(_RESULT, 9, mtime=1_000_000_000), False),
        ("a.nii.gz", _with_name(_RESULT), False),
        ("a.nii.gz", _OTHER_PACKER + _with_name(b""), False),
        ("a.nii.gz", gzip.compress(_RESULT[:-1] + b"1", 9, mtime=0), False),
    ],
)
def test_what_did_not_change_keeps_its_digest(
    name: str,
    content: bytes,
    is_kept: bool,  # noqa: FBT001 - parametrised
    tmp_path: Path,
) -> None:
    """But for a name or a time in the packing, which may tell whose it is."""
    (tmp_path / name).write_bytes(content)
    found = file_as_it_was(tmp_path / name, _RESULT)
    assert found == (content if is_kept else None)


def test_volumes_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    """A T1w of two volumes may be anything; the sentence says what to do."""
    head = average_head()
    volumes = np.stack([head.volume] * 2, axis=-1)
    write_head(tmp_path / "in/sub-1_T1w.nii", head, volume=volumes)
    with pytest.raises(BadInputError, match="2 volumes"):
        _run(tmp_path)


def test_many_volumes_are_no_contrasts(tmp_path: Path) -> None:
    """A run of 40 volumes is no set of echoes."""
    head = average_head()
    volumes = np.repeat(head.volume[..., None], 40, axis=-1)
    write_head(tmp_path / "in/sub-1_MEGRE.nii", head, volume=volumes)
    with pytest.raises(BadInputError, match="40 volumes"):
        _run(tmp_path)
