"""Sidecars, tables and names: what must go is planted, what must stay is named here by hand."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest

from containers.scrub_headers.bids_files import scrub_json, scrub_numbers, scrub_table
from containers.scrub_headers.bids_text import BidsRules
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.paths import Naming
from containers.scrub_headers.pseudonyms import DateShift, Pseudonyms

KNOWN = KnownIdentities.of(["Zqxpcjlv^Anna Maria"], ["W3T_2026_017"], ["19540131"])


@pytest.fixture
def rules() -> BidsRules:
    """Rules that move dates by 40,000 days and keep the time of day."""
    made = Pseudonyms(bytes(32), "participant", "P01", DateShift(40_000, 1))
    naming = Naming(made, KNOWN, one_subject=True, session_label=None)
    return BidsRules(naming, KNOWN, made, keeps_dates=True, keeps_time=True)


def table(path: Path) -> dict[str, list[str]]:
    """Read a table with Python's own reader: column name to cells."""
    rows = list(csv.reader(path.read_text().splitlines(), delimiter="\t"))
    return {name: list(cells) for name, *cells in zip(*rows, strict=True)}


def scrubbed_json(tmp_path: Path, document: object, rules: BidsRules) -> dict[str, object]:
    """Scrub a JSON document and read the result."""
    (tmp_path / "in.json").write_text(json.dumps(document))
    scrub_json(tmp_path / "in.json", tmp_path / "out.json", rules)
    found: dict[str, object] = json.loads((tmp_path / "out.json").read_text())
    return found


@pytest.mark.parametrize(
    "key",
    ["PatientName", "PatientID", "PatientBirthDate", "InstitutionName", "InstitutionAddress",
     "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber", "AcquisitionTime",
     "AcquisitionDateTime", "ImageComments", "ProtocolName", "SeriesDescription",
     "StudyDescription", "ProcedureStepDescription", "ConsistencyInfo", "SeriesInstanceUID",
     "dcmmeta_shape", "global", "MyOwnKey"],
)  # fmt: skip
def test_keys_that_no_list_names_go(tmp_path: Path, rules: BidsRules, key: str):
    """What dcm2niix leaves of persons, devices and places goes; so does an unknown key."""
    assert scrubbed_json(tmp_path, {key: "x", "EchoTime": 0.03}, rules) == {"EchoTime": 0.03}


def test_measurement_parameters_stay(tmp_path: Path, rules: BidsRules):
    """What analysis needs is unchanged."""
    needed = {
        "RepetitionTime": 2.3,
        "SliceTiming": [0, 0.5, 1],
        "PhaseEncodingDirection": "j-",
        "Manufacturer": "Siemens",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "MultibandAccelerationFactor": 4,
        "TaskName": "rest",
        "Authors": ["An Author"],
    }

    assert scrubbed_json(tmp_path, needed, rules) == needed


@pytest.mark.parametrize(
    "value",
    ["zqxpcjlv was nervous", "ZQXPCJLV", "W3T 2026 017", "born 31.01.1954", "19540131", 19540131,
     "seen on 2026-02-03", "mail a.b@example.org", "/home/abc/x", "C:\\\\data", "01865 123456",
     "A^B", "10.1.2.3", "1.3.12.2.1107.5.2.43", "x" * 500, "a\nb"],
)  # fmt: skip
def test_identities_in_texts_of_allowed_keys_go(tmp_path: Path, rules: BidsRules, value: object):
    """A key of BIDS does not protect a text that may identify, at any depth."""
    document = {"Instructions": value, "Levels": {"a": {"Description": value}}, "EchoTime": 1}

    found = json.dumps(scrubbed_json(tmp_path, document, rules))

    assert str(value).casefold() not in found.casefold()


def test_references_follow_the_new_label(tmp_path: Path, rules: BidsRules):
    """Files that a sidecar names get the labels of subject and session that the files get."""
    old = "bids::sub-W3T2026017/ses-20260203/func/sub-W3T2026017_ses-20260203_task-rest_bold.nii.gz"

    found = scrubbed_json(tmp_path, {"IntendedFor": [old]}, rules)["IntendedFor"]

    new = rules.naming.file(PurePosixPath(old.removeprefix("bids::")))
    assert found == [f"bids::{new}"]
    assert str(new).startswith("sub-P01/ses-S")


@pytest.mark.parametrize(
    "content",
    [b"{", b"[1]", b'{"EchoTime": NaN}', b"\xff\xfe{}", b"[" * 100_000],
)
def test_what_is_no_sidecar_is_refused(tmp_path: Path, rules: BidsRules, content: bytes):
    """A file that JSON's grammar does not explain is refused."""
    (tmp_path / "in.json").write_bytes(content)

    with pytest.raises(RefusedFileError):
        scrub_json(tmp_path / "in.json", tmp_path / "out.json", rules)


def test_participants_table(tmp_path: Path, rules: BidsRules):
    """Ages are whole years up to 89, labels are new, personal and free columns go."""
    (tmp_path / "in.tsv").write_text(
        "participant_id\tage\tsex\tscore\tname\tnhs_number\tpostcode\tcomment\tdate_of_birth\n"
        "sub-W3T2026017\t93\tF\t1.5\tA\t9434765919\tOX3 9DU\tgood\t1954-01-31\n"
        "sub-W3T2026017\t31.97\tM\tn/a\tB\t1\tOX3\tx\t1\n"
    )

    scrub_table(tmp_path / "in.tsv", tmp_path / "out.tsv", rules)

    assert table(tmp_path / "out.tsv") == {
        "participant_id": ["sub-P01", "sub-P01"],
        "age": ["89", "31"],
        "sex": ["F", "M"],
        "score": ["1.5", "n/a"],
    }


def test_scans_table_moves_acquisition_times(tmp_path: Path, rules: BidsRules):
    """acq_time moves by the participant's offset: GNU date puts 2026-01-31 at 1916-07-27."""
    (tmp_path / "in.tsv").write_text(
        "filename\tacq_time\n"
        "anat/sub-X_T1w.nii.gz\t2026-01-31T12:00:00\n"
        "anat/sub-X_T2w.nii.gz\tyesterday\n"
    )

    scrub_table(tmp_path / "in.tsv", tmp_path / "out.tsv", rules)

    assert table(tmp_path / "out.tsv") == {
        "filename": ["anat/sub-P01_T1w.nii.gz", "anat/sub-P01_T2w.nii.gz"],
        "acq_time": ["1916-07-27T12:00:00", "n/a"],
    }


@pytest.mark.parametrize(
    "content", ["", "a\tb\n1\n", "1\t2\n3\t4\n", "note\nhello\n", "a\ta\n1\t1\n"]
)
def test_tables_without_meaning_are_refused(tmp_path: Path, rules: BidsRules, content: str):
    """Ragged tables, and tables without a header or without a column that may stay, are refused."""
    (tmp_path / "in.tsv").write_text(content)

    with pytest.raises(RefusedFileError):
        scrub_table(tmp_path / "in.tsv", tmp_path / "out.tsv", rules)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.bval", "0 Smith"), ("a.bval", "0 19540131"), ("a.bvec", "0 0 7"), ("a.bval", "0 nan"),
     ("a.bval", "0 1_0")],
)  # fmt: skip
def test_files_of_numbers_hold_nothing_else(tmp_path: Path, name: str, content: str):
    """Gradient files hold b-values and directions only."""
    (tmp_path / name).write_text(content)

    with pytest.raises(RefusedFileError):
        scrub_numbers(tmp_path / name, tmp_path / f"out-{name}")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("SCANS/12/NIFTI/x.nii.gz", "SCANS/12/NIFTI/CODE.nii.gz"),
        ("sub-A1/anat/sub-A1_acq-hires_run-01_T1w.nii.gz",
         "sub-P01/anat/sub-P01_acq-hires_run-01_T1w.nii.gz"),
        ("sub-A1/ses-02/dwi/sub-A1_ses-02_dwi.bval", "sub-P01/ses-02/dwi/sub-P01_ses-02_dwi.bval"),
        ("Zqxpcjlv/T1w.nii", "CODE/T1w.nii"),
        ("anat/zqxpcjlv_T1w.nii", "anat/CODE.nii"),
        ("20260203_Smith/T1w.JSON", "CODE/T1w.json"),
        ("T1w.Smith", "CODE"),
        ("anat/12345.nii", "anat/CODE.nii"),
    ],
)  # fmt: skip
def test_names_stay_only_when_all_their_words_are_known(rules: BidsRules, path: str, expected: str):
    """Names of BIDS and XNAT stay; a name with any other word is replaced whole."""
    found = rules.naming.file(PurePosixPath(path)).as_posix()

    for have, want in zip(found.split("/"), expected.split("/"), strict=True):
        if "CODE" in want:
            assert have.startswith("x")
            assert have.partition(".")[2] == want.partition(".")[2]
            assert len(have.partition(".")[0]) == 17
        else:
            assert have == want


@pytest.mark.parametrize("label", ["Zqxpcjlv", "19540131", "drsmith", "JS", "ZQXBBBGJ"])
def test_labels_of_unknown_words_become_codes(rules: BidsRules, label: str):
    """The value of an entity goes alone, so that the name stays one of BIDS; equal ones agree."""
    bold, events = (
        rules.naming.file(PurePosixPath(f"func/sub-A1_task-{label}_{kind}")).name
        for kind in ("bold.nii.gz", "events.tsv")
    )

    assert re.fullmatch(r"sub-P01_task-x([2-9][b-z]){5}_bold\.nii\.gz", bold)
    assert events.partition("_events")[0] == bold.partition("_bold")[0]
    assert scrub_value(rules, "TaskName", label) == bold.split("_")[1].removeprefix("task-")


def scrub_value(rules: BidsRules, key: str, value: str) -> object:
    """Return what becomes of a value of a sidecar."""
    with TemporaryDirectory() as folder:
        return scrubbed_json(Path(folder), {key: value}, rules).get(key)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("TaskDescription", "a picture of the face", "a picture of the face"),
        ("TaskDescription", "Told by Dr Zqxbbbgj in bed", "by in bed"),
        ("Instructions", "Call Wumbo", None),
        ("Units", "mm", "mm"),
        ("Units", "\u00b5V", "\u00b5V"),
        ("TaskName", "rest", "rest"),
        ("ReceiveCoilActiveElements", "HEA;HEP", "HEA;HEP"),
        ("ManufacturersModelName", "Prisma_fit", "Prisma_fit"),
        ("SequenceVariant", "SK_SP_MP", "SK_SP_MP"),
        ("IntendedFor", "func/sub-A1_acq-wumbo_bold.nii.gz", "func/sub-P01_acq-"),
        ("License", "CC0", "CC0"),
        ("DatasetDOI", "doi:10.18112/openneuro.ds000001.v1.0.0",
         "doi:10.18112/openneuro.ds000001.v1.0.0"),
    ],
)  # fmt: skip
def test_words_of_texts_are_those_of_the_standard(
    rules: BidsRules, key: str, value: str, expected: str | None
):
    """A word that BIDS' own descriptions do not use could be a name, and goes."""
    found = scrub_value(rules, key, value)

    if key == "IntendedFor":
        assert str(found).startswith(str(expected))
        assert "wumbo" not in str(found)
    else:
        assert found == expected


def test_conditions_stay_distinct(tmp_path: Path, rules: BidsRules):
    """Names of conditions agree between table and dictionary, also where they become codes."""
    (tmp_path / "x_events.tsv").write_text("onset\ttrial_type\n1\tface\n2\tZqxbbbgj\n3\tWumbo\n")
    levels = {"face": "a picture of a face", "Zqxbbbgj": "a person", "Wumbo": "another person"}

    scrub_table(tmp_path / "x_events.tsv", tmp_path / "out.tsv", rules)
    found = scrubbed_json(tmp_path, {"trial_type": {"Levels": levels}}, rules)

    names = table(tmp_path / "out.tsv")["trial_type"]
    assert len(set(names)) == 3
    assert names[0] == "face"
    assert list(found["trial_type"]["Levels"]) == names  # type: ignore[index]


def test_a_column_named_for_somebody_goes(tmp_path: Path, rules: BidsRules):
    """Even numbers of a column whose name holds an unknown word are left out."""
    (tmp_path / "participants.tsv").write_text("participant_id\tscore\tZqxbbbgj\nsub-A1\t1\t2\n")

    scrub_table(tmp_path / "participants.tsv", tmp_path / "out.tsv", rules)

    assert list(table(tmp_path / "out.tsv")) == ["participant_id", "score"]
