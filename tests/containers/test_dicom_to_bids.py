"""The converter on the made session, judged by the BIDS validator, dcm2niix and the bytes."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest

from containers.contract import (
    BadInputError,
    StepReport,
    UsageError,
)
from deploy.demo_session import DemoSession
from tests.builders.bids_conversion import BOLD, all_bytes, convert, edit, series

EXPECTED = {
    "README.md",
    "dataset_description.json",
    "participants.json",
    "participants.tsv",
    "sub-01/sub-01_scans.tsv",
    "sub-01/anat/sub-01_acq-tfl3_T1w",
    "sub-01/dwi/sub-01_dir-AP_dwi",
    "sub-01/fmap/sub-01_acq-fm2_magnitude1",
    "sub-01/fmap/sub-01_acq-fm2_magnitude2",
    "sub-01/fmap/sub-01_acq-fm2_phasediff",
    "sub-01/func/sub-01_task-checkerboard_acq-epfid2_dir-AP_bold",
}
DWI = "sub-01/dwi/sub-01_dir-AP_dwi"
PHASEDIFF = "sub-01/fmap/sub-01_acq-fm2_phasediff"


def test_official_validator_finds_no_error(converted: tuple[StepReport, Path]) -> None:
    """The BIDS validator, started as its makers intend, finds no errors in the tree."""
    program = Path(sys.executable).with_name("bids-validator-deno")

    result = subprocess.run(
        [program, "--json", converted[1] / "bids"], capture_output=True, check=False, text=True
    )

    issues = json.loads(result.stdout)["issues"]["issues"]
    assert result.returncode == 0
    assert [issue for issue in issues if issue["severity"] == "error"] == []


def test_tree_has_the_expected_names(converted: tuple[StepReport, Path]) -> None:
    """Each measurement is filed once, under the name of what it is."""
    endings = (".nii.gz", ".json", ".bval", ".bvec")
    stems = set()
    for name in all_bytes(converted[1] / "bids"):
        ending = next((end for end in endings if name.endswith(end)), "")
        stems.add(name.removesuffix(ending) if name.startswith("sub-") else name)

    assert stems == EXPECTED


def test_every_scan_is_accounted_for_once(converted: tuple[StepReport, Path]) -> None:
    """The account names all six scans; the localiser is left out with a reason."""
    rows = {row.subject: row for row in converted[0].accounted}

    assert len(converted[0].accounted) == len(rows) == 6
    assert {scan_id: row.outcome for scan_id, row in rows.items()} == {
        "1": "left-out",
        **dict.fromkeys("23456", "done"),
    }
    assert "localiser" in rows["1"].reason
    assert all(not row.reason for row in rows.values() if row.outcome == "done")


def test_account_names_every_image_and_no_other_file(converted: tuple[StepReport, Path]) -> None:
    """The outputs in the account are exactly the images' files of the tree."""
    named = {output for row in converted[0].accounted for output in row.outputs}
    present = {
        name
        for name in all_bytes(converted[1] / "bids")
        if name.startswith("sub-") and not name.endswith("_scans.tsv")
    }

    assert named == present


def test_functional_voxels_and_places_survive(
    session: DemoSession, converted: tuple[StepReport, Path]
) -> None:
    """The functional image has the planted values at the planted places."""
    planted = nib.as_closest_canonical(
        nib.Nifti1Image(session.bold.astype(np.int32), session.bold_affine_ras)
    )

    found = nib.as_closest_canonical(nib.load(converted[1] / "bids" / f"{BOLD}.nii.gz"))

    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(planted.dataobj))
    np.testing.assert_allclose(found.affine, planted.affine, atol=1e-3)


def test_images_equal_those_of_dcm2niix(
    session: DemoSession, converted: tuple[StepReport, Path], tmp_path: Path
) -> None:
    """Cleaning the headers changes no voxel, no place, no scaling and no time step."""
    arguments = ["-g", "i", "-b", "y", "-z", "n", "-o", str(tmp_path), str(session.folder)]
    subprocess.run([dcm2niix.bin, *arguments], check=True, capture_output=True)
    reference = {}
    for path in tmp_path.glob("*.json"):
        suffix = json.loads(path.read_text())["BidsGuess"][1].split("_")[-1]
        reference[suffix] = nib.load(path.with_suffix(".nii"))

    images = sorted((converted[1] / "bids").rglob("*.nii.gz"))

    assert len(images) == 6
    for path in images:
        found = nib.load(path)
        expected = reference[path.name.removesuffix(".nii.gz").split("_")[-1]]
        np.testing.assert_array_equal(found.get_fdata(), expected.get_fdata())
        np.testing.assert_array_equal(found.affine, expected.affine)
        assert found.header.get_zooms() == expected.header.get_zooms()
        assert found.header.get_xyzt_units() == expected.header.get_xyzt_units()


def test_diffusion_weighting_is_beside_its_image(
    session: DemoSession, converted: tuple[StepReport, Path]
) -> None:
    """The b-values in the tree are those that were put into the headers."""
    b_values = np.loadtxt(converted[1] / "bids" / f"{DWI}.bval")

    np.testing.assert_array_equal(b_values, session.b_values)


def test_planted_identities_are_in_no_output_byte(
    session: DemoSession, converted: tuple[StepReport, Path]
) -> None:
    """No planted identity stands in any file, name or sentence, packed or unpacked."""
    header = pydicom.dcmread(session.files[0], stop_before_pixels=True)
    forbidden = set(session.planted.values())
    forbidden |= {str(header[keyword].value) for keyword in ("StudyInstanceUID", "StudyTime")}
    forbidden |= {part for text in session.planted.values() for part in text.split("^")}
    forbidden -= {"ONE"}  # an ordinary word, too short to look for in binary data
    texts = [repr(converted[0]).encode()]
    for name, content in all_bytes(converted[1]).items():
        texts += [name.encode(), content]
        if name.endswith(".gz"):
            texts.append(gzip.decompress(content))

    found = {
        text
        for text in forbidden
        if any(text.lower().encode() in content.lower() for content in texts)
    }

    assert len(forbidden) > 20
    assert found == set()


def test_identity_in_a_kept_field_is_dropped(copy: Path, tmp_path: Path) -> None:
    """A patient's name in a vendor's vocabulary field does not reach the sidecar."""

    def plant(dataset: pydicom.Dataset) -> None:
        dataset.SoftwareVersions = "made for Demo Person"

    edit(sorted(series(copy, "bold").iterdir()), plant)

    _, output = convert(copy, tmp_path)

    sidecar = json.loads((output / "bids" / f"{BOLD}.json").read_text())
    assert "SoftwareVersions" not in sidecar
    assert sidecar["Manufacturer"] == "Siemens"


def test_same_session_gives_same_bytes(
    session: DemoSession, converted: tuple[StepReport, Path], tmp_path: Path
) -> None:
    """Other folders, other file names and another order of files give the same tree."""
    shuffled = tmp_path / "shuffled"
    shuffled.mkdir()
    for number, path in enumerate(reversed(session.files)):
        shutil.copyfile(path, shuffled / f"image{number}")

    report, output = convert(shuffled, tmp_path)

    assert all_bytes(output) == all_bytes(converted[1])
    assert report == converted[0]


def test_packed_images_tell_no_name_and_no_time(converted: tuple[StepReport, Path]) -> None:
    """The gzip header has no flags and no time (RFC 1952), the NIfTI header no texts."""
    images = sorted((converted[1] / "bids").rglob("*.nii.gz"))

    for path in images:
        content = path.read_bytes()
        assert content[3] == 0, "no FNAME, FCOMMENT, FEXTRA"
        assert content[4:8] == bytes(4), "no MTIME"
        header = nib.Nifti1Header.from_fileobj(io.BytesIO(gzip.decompress(content)))
        for field in ("descrip", "aux_file", "db_name", "intent_name"):
            assert header[field].item() == b""


def test_field_map_is_linked_with_what_it_corrects(converted: tuple[StepReport, Path]) -> None:
    """The field map names both echo-planar images, which exist and name it in turn."""
    root = converted[1] / "bids"
    field_map = json.loads((root / f"{PHASEDIFF}.json").read_text())
    intended = [uri.removeprefix("bids::") for uri in field_map["IntendedFor"]]

    assert sorted(intended) == [f"{DWI}.nii.gz", f"{BOLD}.nii.gz"]
    for target in intended:
        assert (root / target).is_file()
        sidecar = json.loads((root / target.replace(".nii.gz", ".json")).read_text())
        assert sidecar["B0FieldSource"] == field_map["B0FieldIdentifier"]


def test_xnat_layout_names_scans_by_their_folder(session: DemoSession, tmp_path: Path) -> None:
    """In the XNAT layout the folder below SCANS is the scan's id, whatever the headers say."""
    archive = tmp_path / "archive"
    for scan_id, name in (("7", "bold"), ("9-MR2", "t1")):
        target = archive / "SCANS" / scan_id / "DICOM"
        shutil.copytree(series(session.folder, name), target)
        (target / f"scan_{scan_id}_catalog.xml").write_text("<catalog/>")

    report, _ = convert(archive, tmp_path)

    assert [row.subject for row in report.accounted] == ["7", "9-MR2"]
    assert "Files that are no DICOM images and were not read: 2." in report.warnings


def test_header_values_are_not_logged(
    copy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A value against the standard, here a name in a UID, comes up in no log line."""
    victim = min(series(copy, "bold").iterdir())
    uid = pydicom.dcmread(victim).SeriesInstanceUID.encode()
    victim.write_bytes(victim.read_bytes().replace(uid, b"DEMO PERSON" + uid[11:]))

    convert(copy, tmp_path)

    assert caplog.text == ""


def test_repeated_measurement_is_numbered_by_time(copy: Path, tmp_path: Path) -> None:
    """Two series of one kind become run 1 and 2 by acquisition time, not by series number."""

    def make_earlier(dataset: pydicom.Dataset) -> None:
        dataset.SeriesNumber = 99
        dataset.SeriesInstanceUID = f"{dataset.SeriesInstanceUID}.1"
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.1"
        dataset.AcquisitionTime = (
            f"0{int(dataset.AcquisitionTime[:2]) - 1}{dataset.AcquisitionTime[2:]}"
        )

    earlier = Path(shutil.copytree(series(copy, "bold"), copy / "earlier"))
    edit(sorted(earlier.iterdir()), make_earlier)

    report, _ = convert(copy, tmp_path)

    runs = {
        row.subject: output
        for row in report.accounted
        for output in row.outputs
        if output.endswith("_bold.nii.gz")
    }
    assert "run-1" in runs["99"]
    assert "run-2" in runs["5"]


def test_labels_are_reduced_to_letters_and_digits(session: DemoSession, tmp_path: Path) -> None:
    """Labels keep only what BIDS allows, and the report says so."""
    report, output = convert(
        session.folder, tmp_path, {"subject-label": "A_1", "session-label": "pre op"}
    )

    assert (output / "bids/sub-A1/ses-preop/sub-A1_ses-preop_scans.tsv").is_file()
    assert sum("other characters" in warning for warning in report.warnings) == 2


def test_label_without_letters_is_refused(session: DemoSession, tmp_path: Path) -> None:
    """A label that leaves nothing is wrong usage, not a default."""
    with pytest.raises(UsageError, match="subject label"):
        convert(session.folder, tmp_path, {"subject-label": "--"})


def test_label_that_is_the_patient_id_is_pointed_out(copy: Path, tmp_path: Path) -> None:
    """A subject label that also is the patient's id in the headers draws a warning."""

    def rename(dataset: pydicom.Dataset) -> None:
        dataset.PatientID = "Xq17"

    edit([path for path in copy.rglob("*") if path.is_file()], rename)

    report, _ = convert(copy, tmp_path, {"subject-label": "Xq17"})

    assert any("identifying element" in warning for warning in report.warnings)


def test_series_without_gradients_is_left_out(copy: Path, tmp_path: Path) -> None:
    """A diffusion series whose b-values were taken away is left out, not filed without them."""

    def strip(dataset: pydicom.Dataset) -> None:
        for group, element in ((0x0019, 0x100C), (0x0019, 0x100E)):
            dataset.pop((group, element), None)
        csa = dataset[0x0029, 0x1010]
        for name in (b"B_value", b"DiffusionGradientDirection", b"B_matrix"):
            csa.value = csa.value.replace(name + b"\0", b"x" * len(name) + b"\0")

    edit(sorted(series(copy, "diff").iterdir()), strip)

    report, output = convert(copy, tmp_path)

    row = next(row for row in report.accounted if row.subject == "6")
    assert row.outcome == "left-out"
    assert "b-values are 0" in row.reason
    assert not (output / "bids/sub-01/dwi").exists()


def _spoil_echo_times(folder: Path) -> None:
    """Make both echo times of the phase difference equal, which BIDS forbids."""

    def spoil(dataset: pydicom.Dataset) -> None:
        element = dataset[0x0029, 0x1020]
        element.value = element.value.replace(b"7380", b"4920")
        dataset.EchoTime = 4.92

    edit(sorted(series(folder, "0004").iterdir()), spoil)


def test_invalid_tree_is_refused(copy: Path, tmp_path: Path) -> None:
    """A tree in which the validator finds errors is bad input, with the error's code."""
    _spoil_echo_times(copy)

    with pytest.raises(BadInputError, match=r"not valid BIDS.*[A-Z_]{8,} \(1\)"):
        convert(copy, tmp_path)


def test_invalid_tree_is_given_on_demand(copy: Path, tmp_path: Path) -> None:
    """With allow-invalid the tree is handed on and the report counts the errors."""
    _spoil_echo_times(copy)

    report, output = convert(copy, tmp_path, {"allow-invalid": True})

    issues = json.loads((output / "report/validator.json").read_text())["issues"]["issues"]
    assert report.facts["validator_errors"] == 1
    assert [issue["severity"] for issue in issues].count("error") == 1


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    """An empty folder is bad input."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(BadInputError, match="holds no files"):
        convert(tmp_path / "empty", tmp_path)


def test_folder_without_dicom_is_refused(tmp_path: Path) -> None:
    """A folder of other files is bad input."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("no pictures here")

    with pytest.raises(BadInputError, match="none of its 1 files is a DICOM file"):
        convert(other, tmp_path)


@pytest.mark.parametrize("left_bytes", [0, 100, 140, 700, 3000, -1000, -2])
def test_cut_file_spoils_its_scan_only(copy: Path, tmp_path: Path, left_bytes: int) -> None:
    """A file cut anywhere fails its scan, with the count, and the others are converted."""
    victim = sorted(series(copy, "bold").iterdir())[3]
    victim.write_bytes(victim.read_bytes()[:left_bytes])

    report, _ = convert(copy, tmp_path)

    rows = {row.subject: row for row in report.accounted}
    assert rows["5"].outcome == "failed"
    assert rows["5"].reason.startswith("1 of its 12 files are cut short")
    assert [rows[scan_id].outcome for scan_id in "2346"] == ["done"] * 4


def test_two_patients_are_refused_without_names(copy: Path, tmp_path: Path) -> None:
    """Files of two patients are bad input; the message counts and does not name them."""

    def rename(dataset: pydicom.Dataset) -> None:
        dataset.PatientID = "OTHER-PATIENT"
        dataset.PatientName = "SECOND^PERSON"

    edit(sorted(series(copy, "bold").iterdir()), rename)

    with pytest.raises(BadInputError, match="2 patients") as caught:
        convert(copy, tmp_path)

    message = str(caught.value)
    assert not any(word in message for word in ("OTHER", "SECOND", "PERSON", "DEMO", "MRN"))


def test_session_with_nothing_to_file_is_refused(session: DemoSession, tmp_path: Path) -> None:
    """A session of a localiser only is bad input, with the reason."""
    with pytest.raises(BadInputError, match=r"none of its 1 scans.*localiser"):
        convert(series(session.folder, "localizer"), tmp_path)
