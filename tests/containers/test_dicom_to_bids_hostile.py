"""The converter on damaged, incomplete, doubled and deceiving sessions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from containers.contract import (
    OutOfResourcesError,
    StepInput,
    StepReport,
    ToolFailedError,
    UsageError,
)
from containers.dicom_to_bids.step import run
from deploy.demo_session import DemoSession
from tests.builders.bids_conversion import BOLD, all_bytes, convert, edit, series


def assert_only_bold_failed(report: StepReport, output: Path) -> None:
    """The functional scan with one file spoilt of twelve is failed, the others are done."""
    rows = {row.subject: row for row in report.accounted}
    assert rows["5"].outcome == "failed"
    assert rows["5"].reason.startswith("1 of its 12 files are cut short")
    assert [rows[scan_id].outcome for scan_id in "2346"] == ["done"] * 4
    assert not (output / "bids/sub-01/func").exists()


def _spoil_vendor_header(files: list[Path]) -> None:
    """Overwrite the private header with text, which crashes dcm2niix."""

    def overwrite(dataset: pydicom.Dataset) -> None:
        element = dataset[0x0029, 0x1010]
        element.value = element.value[:16] + b"X" * (len(element.value) - 16)

    edit(files, overwrite)


def test_crash_on_one_scan_leaves_the_others(copy: Path, tmp_path: Path) -> None:
    """Where dcm2niix crashes on one scan, the others are converted and this one is named."""
    _spoil_vendor_header(sorted(series(copy, "bold").iterdir()))

    report, output = convert(copy, tmp_path)

    rows = {row.subject: row for row in report.accounted}
    assert rows["5"].outcome == "failed"
    assert "dcm2niix crashes" in rows["5"].reason
    assert [rows[scan_id].outcome for scan_id in "2346"] == ["done"] * 4
    assert not (output / "bids/sub-01/func").exists()
    assert any(warning.startswith("Scan 5: dcm2niix crashes") for warning in report.warnings)


@pytest.mark.parametrize("kept", [("bold",), ("bold", "localizer")])
def test_crash_without_another_image_is_told(
    copy: Path, tmp_path: Path, kept: tuple[str, ...]
) -> None:
    """A session of which nothing is left beside the scan that crashes dcm2niix is no result."""
    _spoil_vendor_header(sorted(series(copy, "bold").iterdir()))
    for folder in sorted(copy.iterdir()):
        if not any(name in folder.name for name in kept):
            shutil.rmtree(folder)

    with pytest.raises(ToolFailedError, match=r"dcm2niix (ended with code -11|crashes on scan 5)"):
        convert(copy, tmp_path)


def test_missing_slice_is_not_filed_as_a_volume(copy: Path, tmp_path: Path) -> None:
    """A volume with a gap between two slices is left out: its geometry would be wrong."""
    sorted(series(copy, "t1").iterdir())[20].unlink()

    report, output = convert(copy, tmp_path)

    row = next(row for row in report.accounted if row.subject == "2")
    assert (row.outcome, row.outputs) == ("left-out", ())
    assert "not equally far apart" in row.reason
    assert not (output / "bids/sub-01/anat").exists()


def test_missing_volume_is_pointed_out(copy: Path, tmp_path: Path) -> None:
    """A gap in the numbers of a series' images is told, since nothing else shows it."""
    sorted(series(copy, "bold").iterdir())[5].unlink()

    report, _ = convert(copy, tmp_path)

    assert any(warning.startswith("Scan 5: 1 numbers are missing") for warning in report.warnings)


def test_whole_session_draws_no_warning(converted: tuple[StepReport, Path]) -> None:
    """Nothing is said to be missing, doubled or odd where nothing is."""
    assert converted[0].warnings == ()


def test_copies_of_files_change_nothing_and_are_told(
    copy: Path, converted: tuple[StepReport, Path], tmp_path: Path
) -> None:
    """A second copy of a series gives the same tree, and the report counts the copies."""
    shutil.copytree(series(copy, "bold"), copy / "again")

    report, output = convert(copy, tmp_path)

    assert all_bytes(output / "bids") == all_bytes(converted[1] / "bids")
    assert any("12 of its 24 files are copies" in warning for warning in report.warnings)


def test_scan_of_copies_only_is_left_out(session: DemoSession, tmp_path: Path) -> None:
    """A scan that repeats another one is left out with this reason and is no failure."""
    archive = tmp_path / "archive"
    for scan_id in ("5", "6"):
        shutil.copytree(series(session.folder, "bold"), archive / "SCANS" / scan_id / "DICOM")

    report, _ = convert(archive, tmp_path)

    assert [(row.subject, row.outcome) for row in report.accounted] == [
        ("5", "done"),
        ("6", "left-out"),
    ]
    assert "copies" in report.accounted[1].reason


@pytest.mark.parametrize("name", ["0005_00004.dcm", "IM_0004", "MR.1.2.3"])
def test_emptied_file_among_images_spoils_its_scan(copy: Path, tmp_path: Path, name: str) -> None:
    """An empty file among images was an image once, whatever its name."""
    victim = sorted(series(copy, "bold").iterdir())[3]
    victim.unlink()
    victim.with_name(name).touch()

    report, output = convert(copy, tmp_path)

    assert_only_bold_failed(report, output)


def _zeros(content: bytes) -> bytes:
    return bytes(len(content))


def _without_preamble(content: bytes) -> bytes:
    return content[132:]


def _nested_without_end(content: bytes) -> bytes:
    # 3000 sequences (0008,1140) in one another, each of unknown length.
    item = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    place = content.index(b"\x10\0\x10\0PN")
    return content[:place] + item * 3000 + content[place:]


def _unknown_representation(content: bytes) -> bytes:
    return content.replace(b"\x10\0\x10\0PN", b"\x10\0\x10\0ZZ")


def _odd_length(content: bytes) -> bytes:
    # (0028,0010) Rows with three bytes, where its kind has two for each value.
    return content.replace(b"\x28\0\x10\0US\x02\0", b"\x28\0\x10\0US\x03\0")


@pytest.mark.parametrize(
    "spoil",
    [_zeros, _without_preamble, _nested_without_end, _unknown_representation, _odd_length],
)
def test_hostile_header_spoils_its_scan(
    copy: Path, tmp_path: Path, spoil: Callable[[bytes], bytes]
) -> None:
    """A file that no reader understands fails its scan, and no other."""
    victim = sorted(series(copy, "bold").iterdir())[3]
    victim.write_bytes(spoil(victim.read_bytes()))

    report, output = convert(copy, tmp_path)

    assert_only_bold_failed(report, output)


@pytest.mark.parametrize(
    ("patient", "typed"),
    [
        ("Müller^Åke", "v1 Åke"),
        ("Yamada^Tarou=山田^太郎", "made by 山田"),
        ("Müller^Ake", "of Muller"),
        ("Miller^Anna", "AnnaMiller"),
        ("Lee^Ann", "leeann1"),
    ],
)
def test_name_in_another_spelling_is_dropped(
    copy: Path, tmp_path: Path, patient: str, typed: str
) -> None:
    """A name with accents, in another alphabet or in one word does not reach the sidecar."""

    def plant(dataset: pydicom.Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.PatientName = patient
        dataset.SoftwareVersions = typed

    edit([path for path in copy.rglob("*") if path.is_file()], plant)

    _, output = convert(copy, tmp_path)

    assert "SoftwareVersions" not in json.loads((output / "bids" / f"{BOLD}.json").read_text())


@pytest.mark.parametrize("protocol", ["task-PersonDemo_bold", "task-Müller_bold"])
def test_task_is_not_taken_from_what_may_be_a_name(
    copy: Path, tmp_path: Path, protocol: str
) -> None:
    """A protocol name with the patient's name or other letters than A to Z gives no task."""

    def rename(dataset: pydicom.Dataset) -> None:
        dataset.SpecificCharacterSet = "ISO_IR 192"
        dataset.ProtocolName = protocol
        dataset.SeriesDescription = protocol

    edit(sorted(series(copy, "bold").iterdir()), rename)

    _, output = convert(copy, tmp_path)

    names = [path.name for path in (output / "bids/sub-01/func").iterdir()]
    assert all("task-unknown" in name for name in names)


@pytest.mark.parametrize("folder", ["Demo Person", "DEMO-MRN-7719342", "a\nb", "x" * 65])
def test_folder_that_is_no_scan_id_is_not_repeated(
    session: DemoSession, tmp_path: Path, folder: str
) -> None:
    """A folder below SCANS that holds a name or odd letters gives way to the series number."""
    archive = tmp_path / "archive"
    shutil.copytree(series(session.folder, "bold"), archive / "SCANS" / folder / "DICOM")

    report, _ = convert(archive, tmp_path)

    assert [row.subject for row in report.accounted] == ["5"]


def test_scan_ids_do_not_follow_file_names(copy: Path, tmp_path: Path) -> None:
    """Of two series with one number the earlier one has it, whatever its files are called."""

    def make_later(dataset: pydicom.Dataset) -> None:
        dataset.SeriesInstanceUID += ".1"
        dataset.SOPInstanceUID += ".1"
        dataset.AcquisitionTime = "235959.0"

    later = Path(shutil.copytree(series(copy, "bold"), copy / "0000_first_by_name"))
    edit(sorted(later.iterdir()), make_later)

    report, _ = convert(copy, tmp_path)

    outputs = {row.subject: row.outputs for row in report.accounted}
    assert all("run-1" in name for name in outputs["5"])
    assert all("run-2" in name for name in outputs["5-2"])


def test_label_that_holds_the_patient_id_is_pointed_out(copy: Path, tmp_path: Path) -> None:
    """A session label of patient id and number, as XNAT makes them, draws a warning, too."""

    def rename(dataset: pydicom.Dataset) -> None:
        dataset.PatientID = "Xq17"

    edit([path for path in copy.rglob("*") if path.is_file()], rename)

    report, _ = convert(copy, tmp_path, {"subject-label": "S1", "session-label": "Xq17_MR1"})

    assert any("identifying element" in warning for warning in report.warnings)


def test_labels_too_long_for_file_names_are_refused(session: DemoSession, tmp_path: Path) -> None:
    """Labels that make a name longer than 255 characters are wrong usage."""
    with pytest.raises(UsageError, match="255 are allowed"):
        convert(session.folder, tmp_path, {"subject-label": "a" * 300})


def test_full_temporary_folder_gives_no_part_of_a_session(
    session: DemoSession, tmp_path: Path, small_disk: Path
) -> None:
    """Where the converter has no room for all images, the step ends and hands nothing on."""
    output = tmp_path / "output"
    output.mkdir()

    with pytest.raises(OutOfResourcesError, match="temporary folder is full"):
        run(StepInput("dicom-to-bids", session.folder, output, small_disk, {}))

    assert all_bytes(output) == {}
