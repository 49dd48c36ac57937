"""The step on whole folders: what goes in is accounted for once, and no identity comes out."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest

from containers.contract import (
    BadInputError,
    ParameterValue,
    StepInput,
    StepReport,
    UnsafeOutputError,
    UsageError,
)
from containers.scrub_headers import key_store
from containers.scrub_headers.gather import read_identity
from containers.scrub_headers.step import run
from deploy.demo_session import PLANTED, DemoSession
from tests.builders.bids_conversion import all_bytes

PASSPHRASE = "correct horse battery staple"


def scrub(
    source: Path, work: Path, parameters: Mapping[str, ParameterValue] | None = None
) -> tuple[StepReport, Path]:
    """Run the step in folders of its own below ``work``; return its report and output."""
    output, scratch = work / "output", work / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    return run(StepInput("scrub-headers", source, output, scratch, parameters or {})), output


def headers(folder: Path) -> list[pydicom.Dataset]:
    """Read every DICOM file below a folder with pydicom."""
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("*.dcm"))]


def keys(folder: Path) -> dict[str, ParameterValue]:
    """Make a key store and return the parameters that name it."""
    key_store.create(folder / "keys", PASSPHRASE)
    (folder / "passphrase").write_text(f"{PASSPHRASE}\n")
    return {"keys": str(folder / "keys"), "keys-passphrase": str(folder / "passphrase")}


@pytest.fixture(scope="module")
def scrubbed(
    session: DemoSession, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StepReport, Path]:
    """Report and output folder of the made session."""
    return scrub(session.folder, tmp_path_factory.mktemp("scrubbed"), {"subject-label": "P017"})


@pytest.fixture
def few(session: DemoSession, tmp_path: Path) -> Path:
    """One file of each series, which a test may spoil."""
    folder = tmp_path / "few"
    folder.mkdir()
    for series in sorted(path for path in session.folder.iterdir() if path.is_dir()):
        first = min(path for path in series.rglob("*") if path.is_file())
        shutil.copy(first, folder / f"{series.name}.dcm")
    return folder


@pytest.fixture
def mixed(tmp_path: Path, session: DemoSession) -> Path:
    """A folder of a person named Quux Zebulon with files of many kinds."""
    folder = tmp_path / "Zebulon_Quux"
    (folder / "anat").mkdir(parents=True)
    image = next(path for path in session.folder.rglob("*") if path.is_file())
    dataset = pydicom.dcmread(image)
    dataset.PatientName = "Zebulon^Quux"
    dataset.save_as(folder / "Zebulon.dcm")
    nib.save(
        nib.Nifti1Image(np.zeros((3, 3, 3), np.int16), np.eye(4)), folder / "anat" / "x_T1w.nii.gz"
    )
    (folder / "anat" / "x_T1w.json").write_text('{"EchoTime": 0.03, "ImageComments": "Zebulon"}')
    (folder / "README").write_text("Zebulon was here")
    (folder / "notes of Zebulon.pdf").write_bytes(b"%PDF-1.4 Zebulon")
    (folder / "broken.nii").write_bytes(b"Zebulon" * 9)
    (folder / "Zebulon.json").symlink_to(folder / "README")
    return folder


def test_every_file_is_copied(scrubbed: tuple[StepReport, Path], session: DemoSession):
    """Each of the session's images has one copy, and the report says so."""
    report, output = scrubbed
    count = sum(path.is_file() for path in session.folder.rglob("*"))

    assert [row.outcome for row in report.accounted] == ["done"] * count
    written = [name for row in report.accounted for name in row.outputs]
    assert len(set(written)) == count
    assert all((output / name).is_file() for name in written)


def test_no_planted_identity_is_in_any_byte_or_name(scrubbed: tuple[StepReport, Path]):
    """None of the invented identities survives, neither in files nor in names nor in reports."""
    _, output = scrubbed
    everything = b"\n".join(
        name.encode() + b"\n" + content for name, content in all_bytes(output).items()
    )

    for value in PLANTED.values():
        assert value.encode() not in everything


def test_originals_are_not_touched(few: Path, tmp_path: Path):
    """The input's bytes are the same afterwards."""
    before = all_bytes(few)

    scrub(few, tmp_path / "work")

    assert all_bytes(few) == before


def test_pixels_and_structure_stay(scrubbed: tuple[StepReport, Path], session: DemoSession):
    """Pixels are bit for bit those of the originals; series and studies keep their sizes."""
    originals = [
        pydicom.dcmread(path) for path in sorted(session.folder.rglob("*")) if path.is_file()
    ]
    copies = headers(scrubbed[1])

    assert sorted(each.PixelData for each in originals) == sorted(each.PixelData for each in copies)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        old = [getattr(each, keyword) for each in originals]
        new = [getattr(each, keyword) for each in copies]
        assert sorted(map(old.count, set(old))) == sorted(map(new.count, set(new)))
        assert set(old).isdisjoint(new)


def test_new_label_is_the_patient_in_every_file(scrubbed: tuple[StepReport, Path]):
    """Name and number of the patient are the label that was given."""
    found = {(str(each.PatientName), each.PatientID) for each in headers(scrubbed[1])}

    assert found == {("P017", "P017")}


def test_two_sessions_of_one_person_keep_their_interval(few: Path, tmp_path: Path):
    """With one key store, two visits 37 days apart stay 37 days apart, and references agree."""
    named = keys(tmp_path) | {"subject-label": "P017"}
    later = Path(shutil.copytree(few, tmp_path / "later"))
    for path in later.iterdir():
        dataset = pydicom.dcmread(path)
        # The made session is of 2017-08-13; 37 days later by GNU date.
        dataset.StudyDate = "20170919"
        dataset.save_as(path)

    first = headers(scrub(few, tmp_path / "a", named)[1])[0]
    second = headers(scrub(later, tmp_path / "b", named)[1])[0]

    days = [
        np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}")
        for day in (first.StudyDate, second.StudyDate)
    ]
    assert (days[1] - days[0]).astype(int) == 37
    assert days[1] < np.datetime64("1926-01-01")


def test_same_keys_give_the_same_bytes(few: Path, tmp_path: Path):
    """A second run with the same key store writes the same names and bytes."""
    named = keys(tmp_path)

    first = scrub(few, tmp_path / "a", named)[1] / "scrubbed"
    second = scrub(few, tmp_path / "b", named)[1] / "scrubbed"

    assert all_bytes(first) == all_bytes(second)


def test_without_keys_two_runs_cannot_be_linked(mixed: Path, tmp_path: Path):
    """Two runs without a key store share neither UIDs nor labels, and each says so."""
    (report, first), (_, second) = (scrub(mixed, tmp_path / name) for name in "ab")

    old, new = headers(first)[0], headers(second)[0]
    assert (old.PatientID, old.StudyInstanceUID) != (new.PatientID, new.StudyInstanceUID)
    assert any("No key store" in each for each in report.warnings)


def test_unknown_and_damaged_files_are_left_out_with_a_reason(mixed: Path, tmp_path: Path):
    """Of many kinds only the understood ones come through, and the report names no name."""
    report, output = scrub(mixed, tmp_path / "work")

    outcomes = [(row.outcome, bool(row.reason)) for row in report.accounted]
    assert sorted(outcomes) == [("done", False)] * 3 + [("left-out", True)] * 4
    numbers = sorted(int(row.subject.removeprefix("file ")) for row in report.accounted)
    assert numbers == list(range(1, 8))
    everything = (
        b"".join(n.encode() + c for n, c in all_bytes(output).items()) + repr(report).encode()
    )
    assert b"zebulon" not in everything.lower()
    assert b"quux" not in everything.lower()


def test_strict_withholds_everything(mixed: Path, tmp_path: Path):
    """With strict set, a file that is left out ends the run as unsafe."""
    with pytest.raises(UnsafeOutputError, match="strict"):
        scrub(mixed, tmp_path / "work", {"strict": True})


def test_known_strings_of_the_user_count(mixed: Path, tmp_path: Path):
    """A nickname that no header holds is kept out of texts, once it is named."""
    (mixed / "anat" / "x_T1w.json").write_text('{"TaskName": "Wobblekins"}')
    (tmp_path / "known.txt").write_text("name: Wobblekins\n")

    _, output = scrub(mixed, tmp_path / "work", {"known": str(tmp_path / "known.txt")})

    assert not any(b"Wobblekins" in content for content in all_bytes(output).values())


@pytest.mark.parametrize("label", ["Zebulon", "x" * 40, "a b", "../x", "", "ä1"])
def test_labels_that_identify_or_break_names_are_refused(mixed: Path, tmp_path: Path, label: str):
    """A new label made of the old identity, or unfit for file names, is refused."""
    if not label:
        label = "--"
    with pytest.raises(UsageError):
        scrub(mixed, tmp_path / "work", {"subject-label": label})


def test_folder_without_usable_files_is_bad_input(tmp_path: Path):
    """A folder in which nothing may be copied gives no result, and the reasons in short."""
    (tmp_path / "in").mkdir()
    with pytest.raises(BadInputError, match="no file"):
        scrub(tmp_path / "in", tmp_path / "a")
    (tmp_path / "in" / "README").write_text("x")

    with pytest.raises(BadInputError, match="none of its files"):
        scrub(tmp_path / "in", tmp_path / "b")


def test_wrong_passphrase_stops_before_anything_is_written(mixed: Path, tmp_path: Path):
    """A key store that does not open ends the run as a wrong call."""
    named = keys(tmp_path)
    (tmp_path / "passphrase").write_text("another one entirely")

    with pytest.raises(UsageError, match="does not open"):
        scrub(mixed, tmp_path / "work", named)

    assert list((tmp_path / "work" / "output").iterdir()) == []


def test_files_of_one_name_do_not_overwrite_each_other(mixed: Path, tmp_path: Path):
    """Two copies of one image, and names that become one, all stay apart."""
    shutil.copy(mixed / "Zebulon.dcm", mixed / "Quux.dcm")
    content = (mixed / "anat" / "x_T1w.nii.gz").read_bytes()
    (mixed / "anat" / "x_T1w.NII.gz").write_bytes(content)

    report, _ = scrub(mixed, tmp_path / "work")

    written = [name for row in report.accounted for name in row.outputs]
    assert len(written) == len(set(written)) == 5


def test_compressed_images_stay_readable(mixed: Path, tmp_path: Path):
    """The copy of an image opens in nibabel and has no time in its gzip header."""
    _, output = scrub(mixed, tmp_path / "work")

    (image,) = output.rglob("*.nii.gz")
    assert nib.load(image).shape == (3, 3, 3)
    assert gzip.decompress(image.read_bytes())[344:348] == b"n+1\0"
    assert image.read_bytes()[4:8] == b"\0\0\0\0"


@pytest.mark.samples
def test_a_makers_own_site_costs_no_header_its_manufacturer(samples: Path, tmp_path: Path):
    """An institution called like the scanner's maker: dcm2niix reads the copy as the original."""
    source = samples / "dicom" / "uih_dti_human"

    _, output = scrub(source, tmp_path)

    copies = headers(output / "scrubbed")
    assert {str(each.Manufacturer) for each in copies} == {"UIH"}
    assert not any("InstitutionName" in each and each.InstitutionName for each in copies)
    made = {}
    for name, folder in (("before", source), ("after", output / "scrubbed")):
        (tmp_path / name).mkdir()
        command = [dcm2niix.bin, "-b", "n", "-z", "n", "-f", "image", "-o", tmp_path / name, folder]
        subprocess.run(command, check=True, capture_output=True)
        made[name] = (tmp_path / name / "image.nii").read_bytes()
    assert made["after"] == made["before"]


@pytest.mark.samples
def test_identity_of_a_header_is_what_pydicom_reads(samples: Path):
    """The quick walk over the bytes finds what pydicom finds, in files of every vendor."""
    for folder in sorted(path for path in (samples / "dicom").iterdir() if path.is_dir()):
        for path in sorted(each for each in folder.rglob("*") if each.is_file())[:3]:
            try:
                dataset = pydicom.dcmread(path, stop_before_pixels=True)
            except pydicom.errors.InvalidDicomError:
                continue
            found = read_identity(path)
            assert found.patient_id == str(dataset.get("PatientID", "") or "").strip()
            assert found.sop_instance_uid == str(dataset.get("SOPInstanceUID", ""))
            name = str(dataset.get("PatientName", "") or "")
            assert (name in found.names) == bool(name)


def test_two_people_in_one_folder_get_two_labels(few: Path, tmp_path: Path):
    """Without a label from outside each person gets one, and dates move apart."""
    paths = sorted(few.iterdir())
    for path in paths[:2]:
        dataset = pydicom.dcmread(path)
        dataset.PatientID = "OTHER-55871"
        dataset.save_as(path)

    _, output = scrub(few, tmp_path / "work", keys(tmp_path))

    found = headers(output)
    labels = [each.PatientID for each in found]
    assert sorted(map(labels.count, set(labels))) == [2, len(paths) - 2]
    assert len({(each.PatientID, each.StudyDate) for each in found}) == 2
    assert len({each.StudyDate for each in found}) == 2


def test_one_label_for_several_patients_is_told(few: Path, tmp_path: Path):
    """A label from outside goes to all, and the report asks to look whether that is right."""
    first = min(few.iterdir())
    dataset = pydicom.dcmread(first)
    dataset.PatientID = "OTHER-55871"
    dataset.save_as(first)

    report, output = scrub(few, tmp_path / "work", {"subject-label": "P017"})

    assert {each.PatientID for each in headers(output)} == {"P017"}
    assert any("2 different patients" in each for each in report.warnings)


def test_what_the_check_finds_withholds_the_copy(few: Path, tmp_path: Path):
    """A known string that the rules keep, here the scanner's maker, is found by the check."""
    (tmp_path / "known.txt").write_text("text: Siemens\n")

    with pytest.raises(UnsafeOutputError, match="criterion 3 ") as caught:
        scrub(few, tmp_path / "work", {"known": str(tmp_path / "known.txt")})

    assert "siemens" not in str(caught.value).lower()
