"""Defacing DICOM sessions: the cut in the pixels, every other byte as it was, what is left out."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from commands.catalog import find
from containers.contract import BadInputError, ExitCode, StepReport
from containers.deface.registration import REFERENCE_FIT
from containers.deface.step import run
from containers.step_run import run_step
from tests.builders.dicom_heads import sagittal, write_enhanced, write_series
from tests.builders.heads import BRAIN_POINTS, CHIN, LEFT_EYE, NOSE, MadeHead, average_head

LISTED = {
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "RecognizableVisualFeatures",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "PixelData",
}
"""What docs/deface.md says that a run changes in a file without thumbnail and signature."""


def _head() -> MadeHead:
    """Return the average head in slices of 4 mm, half the files of 2 mm; the first is empty."""
    volume = average_head().volume[::2].copy()
    volume[0] = 0
    return MadeHead(volume, (4.0, 2.0, 2.0))


def _part_of_head(slices: int) -> MadeHead:
    return MadeHead(_head().volume[:slices], (4.0, 2.0, 2.0))


SLICES = 44


def _run(folder: Path, **changes: object) -> StepReport:
    parameters = {"strictness": "normal", "keep-nasion": False, "fast": True,
                  "fail-when-refused": True, "format": "auto"}  # fmt: skip
    parameters |= {name.replace("_", "-"): value for name, value in changes.items()}
    return run_step(find("deface"), run, folder / "in", folder / "out", parameters)


def _gradient_echo(image: Dataset, echo_ms: float, index: int) -> None:
    image.EchoTime = str(echo_ms)
    image.PatientIdentityRemoved = "YES"
    image.SeriesInstanceUID = "1.2.826.0.1.3680043.2.1143.7"
    image.SOPInstanceUID = f"1.2.826.0.1.3680043.2.1143.7.{int(echo_ms)}.{index + 1}"


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session as an archive has it: T1w, two echoes, their phase, a localiser, EPI, enhanced."""
    folder = tmp_path_factory.mktemp("dicom")
    scans = folder / "in/SCANS"
    head = _head()
    write_series(scans / "5/DICOM", head, number=5)
    for echo_ms in (5, 10):
        write_series(
            scans / f"7/DICOM/echo{echo_ms}",
            head,
            number=7,
            volume=head.volume * (12 - echo_ms) / 8,
            dtype=np.int16,
            edit=lambda image, index, echo_ms=echo_ms: _gradient_echo(image, echo_ms, index),
        )

    def phase(image: Dataset, index: int) -> None:
        image.ImageType = ["ORIGINAL", "PRIMARY", "P", "ND"]
        image.RescaleSlope, image.RescaleIntercept = 2, -4096
        image.SOPInstanceUID = f"1.2.826.0.1.3680043.2.1143.8.{index + 1}"

    def another_study(image: Dataset) -> None:
        image.StudyInstanceUID = "1.2.826.0.1.3680043.2.1143.99"

    noise = np.random.default_rng(3).integers(1, 4096, head.volume.shape)
    write_series(scans / "8/DICOM", head, number=8, volume=noise, edit=phase)
    write_enhanced(scans / "9/DICOM/Mustermann.dcm", head, number=9, phase=noise,
                   edit=another_study)  # fmt: skip
    write_series(scans / "1/DICOM", _part_of_head(3), number=1)

    def echo_planar(image: Dataset, _index: int) -> None:
        image.ScanningSequence = "EP"

    write_series(scans / "3/DICOM", _part_of_head(4), number=3, edit=echo_planar)
    report = _run(folder)
    assert report.exit_code == ExitCode.DONE, report.summary
    return folder


def _files(folder: Path, number: int) -> list[Dataset]:
    """Return the files of a series by their SOP Instance UIDs."""
    found = [dcmread(path) for path in folder.rglob("*.dcm")]
    own = [each for each in found if int(each.SeriesNumber) == number]
    return sorted(own, key=lambda each: [int(part) for part in each.SOPInstanceUID.split(".")])


def _voxels(files: list[Dataset]) -> np.ndarray:
    """Return pixels with axes to the right, front and up, as the head was given."""
    return np.stack([each.pixel_array for each in files]).transpose(0, 2, 1)[::-1, ::-1, ::-1]


@pytest.mark.parametrize("number", [5, 7])
def test_the_face_goes_and_the_brain_stays(session: Path, number: int) -> None:
    """Nose, chin and eye are 0 in the files, of both echoes; points of the brain are not."""
    head, files = _head(), _files(session / "out/defaced", number)
    slices = head.volume.shape[0]
    assert len(files) == slices * (2 if number == 7 else 1)
    for start in range(0, len(files), slices):
        after = _voxels(files[start : start + slices])
        assert [after[head.index_of(point)] for point in (NOSE, CHIN, LEFT_EYE)] == [0, 0, 0]
        assert all(after[head.index_of(point)] > 0 for point in BRAIN_POINTS)


def test_only_the_declared_elements_change(session: Path) -> None:
    """Pydicom reads the same bytes for all elements but those that the page names."""
    before, after = (_files(session / part, 5) for part in ("in", "out/defaced"))
    for old, new in zip(before, after, strict=True):
        differing = {
            new[tag].keyword if tag in new else old[tag].keyword
            for tag in set(old.keys()) | set(new.keys())
            if tag not in old or tag not in new or old[tag] != new[tag]
        }
        assert differing <= LISTED
        assert old.file_meta == new.file_meta
        changed = old.pixel_array != new.pixel_array
        assert not new.pixel_array[changed].any()


def test_the_mask_is_where_the_pixels_changed(session: Path) -> None:
    """Beside the report, in the series' own geometry as dcm2niix has it."""
    mask = nib.load(session / "out/report/masks/series-5_defacemask.nii.gz")
    before, after = (
        np.stack([each.pixel_array for each in _files(session / part, 5)])
        for part in ("in", "out/defaced")
    )
    removed = np.asarray(mask.dataobj).transpose(2, 1, 0)[::-1] == 1
    assert np.array_equal(after, np.where(removed, 0, before))
    assert nib.aff2axcodes(mask.affine) == ("P", "I", "R")


def test_the_marks_of_the_standard(session: Path) -> None:
    """PS3.15 E.3.2: (0028,0302) is NO, and the code of CID 7050 stands in (0012,0064)."""
    new = _files(session / "out/defaced", 5)[0]
    assert new.RecognizableVisualFeatures == "NO"
    (code,) = new.DeidentificationMethodCodeSequence
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113102", "DCM")
    assert "PatientIdentityRemoved" not in new
    assert new.LargestImagePixelValue == new.pixel_array.max()


def test_the_phase_loses_what_its_magnitude_lost(session: Path) -> None:
    """Where the magnitudes of a grid are cut, the phase image holds the number for no phase."""
    t1w = _voxels(_files(session / "out/defaced", 5)) != _voxels(_files(session / "in", 5))
    echo = _voxels(_files(session / "out/defaced", 7)[:SLICES]) != _voxels(
        _files(session / "in", 7)[:SLICES]
    )
    before, after = (_voxels(_files(session / part, 8)) for part in ("in", "out/defaced"))
    assert set(np.unique(after[t1w | echo])) == {2048}  # (0 + 4096) / 2
    # What is nothing in all magnitudes may be a face that was taken out of them before.
    assert set(np.unique(after[0])) == {2048}
    head = _head()
    points = [head.index_of(point) for point in BRAIN_POINTS]
    assert all(after[point] == before[point] for point in points)


def test_an_enhanced_file_is_cut_frame_by_frame(session: Path) -> None:
    """Magnitude and phase of one enhanced file lose the face; its functional groups stay."""
    (before,), (after,) = (_files(session / part, 9) for part in ("in", "out/defaced"))
    head = _head()
    magnitude = after.pixel_array[:SLICES].transpose(0, 2, 1)[::-1, ::-1, ::-1]
    assert magnitude[head.index_of(NOSE)] == 0
    assert magnitude[head.index_of(BRAIN_POINTS[0])] > 0
    gone = before.pixel_array[:SLICES] != after.pixel_array[:SLICES]
    assert not after.pixel_array[SLICES:][gone].any()
    assert before.PerFrameFunctionalGroupsSequence == after.PerFrameFunctionalGroupsSequence


def test_what_shows_no_face_is_left_out_with_a_reason(session: Path) -> None:
    """The localiser of three slices and the echo-planar series are no part of the result."""
    numbers = {int(dcmread(path).SeriesNumber) for path in (session / "out/defaced").rglob("*.dcm")}
    assert numbers == {5, 7, 8, 9}
    text = (session / "out/report/deface.json").read_text(encoding="utf-8")
    assert "3 slices" in text
    assert "echo-planar" in text


def test_no_name_of_a_file_is_told(session: Path) -> None:
    """A file's own name may be a person's; results and reports do not have it."""
    told = [path.name for path in (session / "out").rglob("*")]
    told += [path.read_text(encoding="utf-8") for path in (session / "out/report").glob("*.*")]
    assert "mustermann" not in " ".join(told).lower()


def _converted(source: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    program = Path(sys.executable).with_name("dcm2niix")
    subprocess.run(
        [program, "-z", "n", "-b", "n", "-f", "%s", "-o", target, source],
        check=True,
        capture_output=True,
    )
    (found,) = target.glob("*.nii")
    return found


def test_dcm2niix_sees_the_cut_where_the_mask_has_it(session: Path, tmp_path: Path) -> None:
    """Converted before and after, a series differs in the mask's voxels alone, by their places."""
    before, after = (
        nib.load(_converted(session / part / "SCANS/5", tmp_path / part))
        for part in ("in", "out/defaced")
    )
    mask = nib.load(session / "out/report/masks/series-5_defacemask.nii.gz")
    here = np.indices(before.shape).reshape(3, -1)
    places = np.linalg.inv(mask.affine) @ before.affine @ np.vstack([here, np.ones(here.shape[1])])
    removed = np.asarray(mask.dataobj)[tuple(np.rint(places[:3]).astype(int))].reshape(before.shape)

    assert np.array_equal(after.affine, before.affine)
    assert np.abs(places - np.rint(places)).max() < 1e-3
    assert np.array_equal(after.dataobj, np.where(removed == 1, 0, before.dataobj))
    assert 0.02 < removed.mean() < 0.6


def test_nothing_is_learnt_from_another_study(session: Path) -> None:
    """Two people's sessions may lie in one folder: a fit is carried within a study alone."""
    report = json.loads((session / "out/report/deface.json").read_text(encoding="utf-8"))
    fits = {each["image"]: {fit["name"] for fit in each["fits"]} for each in report["images"]}
    assert REFERENCE_FIT in fits["series 7, volume 1"]
    assert REFERENCE_FIT not in fits["series 9, volume 1"]


def test_identities_are_warned_of_unless_all_headers_are_clean(session: Path) -> None:
    """One series that scrub-headers has seen does not speak for the others."""
    report = json.loads((session / "out/report/report.json").read_text(encoding="utf-8"))
    assert any("still hold identities" in each for each in report["warnings"])


def _dumped(path: Path) -> dict[str, str]:
    """Return what DCMTK prints of each element at the top of a file, by tag."""
    done = subprocess.run(["dcmdump", "-q", "+L", path], capture_output=True, text=True, check=True)
    lines = (line for line in done.stdout.splitlines() if line.startswith("("))
    return {line[:11]: line for line in lines}


def test_dcmtk_sees_the_declared_elements_differ(session: Path) -> None:
    """Another reader than ours lists the same differences."""
    before, after = (
        _dumped(sorted((session / part / "SCANS/5").rglob("*.dcm"))[20])
        for part in ("in", "out/defaced")
    )
    differing = {tag for tag in before | after if before.get(tag) != after.get(tag)}
    delimiter = "(fffe,e0dd)"
    assert differing - {delimiter, "(0028,0107)"} == {
        "(0012,0063)", "(0012,0064)", "(0028,0302)", "(7fe0,0010)",
    }  # fmt: skip


def test_a_second_run_changes_nothing(session: Path, tmp_path: Path) -> None:
    """A defaced series is handed on byte for byte: marks are there once."""
    shutil.copytree(session / "out/defaced/SCANS/5", tmp_path / "in/SCANS/5")

    report = _run(tmp_path)

    assert "1 unchanged" in report.summary
    for path in (tmp_path / "in").rglob("*.dcm"):
        again = tmp_path / "out/defaced" / path.relative_to(tmp_path / "in")
        assert again.read_bytes() == path.read_bytes()


def test_nifti_comes_first(tmp_path: Path) -> None:
    """Where there is NIfTI, DICOM is looked at only when it is asked for."""
    write_series(tmp_path / "in/SCANS/1/DICOM", _part_of_head(1))
    (tmp_path / "in/broken.nii").write_bytes(b"no image")
    with pytest.raises(BadInputError, match="NIfTI"):
        _run(tmp_path)


def test_a_phase_image_alone_is_not_handed_on(tmp_path: Path) -> None:
    """Without a magnitude image on its grid nothing says where the face is."""

    def phase(image: Dataset, _index: int) -> None:
        image.ImageType = ["ORIGINAL", "PRIMARY", "P", "ND"]

    write_series(tmp_path / "in", _part_of_head(20), edit=phase)
    with pytest.raises(BadInputError, match="without a magnitude image"):
        _run(tmp_path)


def test_a_missing_slice(tmp_path: Path) -> None:
    """A gap among the slices is refused: a cut could lie beside its place."""
    paths = write_series(tmp_path / "in", _part_of_head(20))
    paths[10].unlink()
    with pytest.raises(BadInputError, match="equal steps"):
        _run(tmp_path)


def test_the_slices_of_a_head_are_sorted_by_place(tmp_path: Path) -> None:
    """The builder's own order: slices from right to left, rows down, columns to the back."""
    head = _head()
    stored = sagittal(head)
    x, y, z = head.index_of(NOSE)
    size = head.volume.shape
    expected = head.volume[x, y, z]
    assert stored[size[0] - 1 - x, size[2] - 1 - z, size[1] - 1 - y] == expected
    assert not list(tmp_path.iterdir())
