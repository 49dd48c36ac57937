"""Plans: what is found, what is called doubtful, and the way through a spreadsheet and back."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from openpyxl import load_workbook

from tests.builders import recordings as build
from xnat_client.upload.file_reading import read_batches
from xnat_client.upload.label_doubts import doubt_about
from xnat_client.upload.label_rules import Rules
from xnat_client.upload.plan import Action, MapRow, Plan, Row, make_plan, read_map, write_plan
from xnat_client.upload.plan_checks import check_plan
from xnat_client.upload.plan_table import read_table, write_table
from xnat_client.upload.survey import Kind, survey

from .conftest import write_dicom_file

FIXED = Rules(subject="S1", session="E1")


def plan_of(*folders: Path, rules: Rules = FIXED) -> Plan:
    return check_plan(make_plan(survey(folders), "P", rules))


def write(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "label",
    ["S1", "C001", "sub-01", "OPDC001_MR1", "01_1", "pilot_2", "KTH012", "C001_20260203", "ABCD",
     "visit2", "Control07", "DEMO", "S01_MR1", "x7f3"],
)  # fmt: skip
def test_codes_are_no_names(label: str) -> None:
    """What studies commonly call their subjects and sessions goes through."""
    assert doubt_about(label) == ""


@pytest.mark.parametrize(
    "label",
    ["Miller", "miller_anna", "AnnaMiller", "MILLER", "anna.miller2", "12345678", "H1234567",
     "1234567_MR", "Smith-J"],
)  # fmt: skip
def test_names_and_hospital_numbers_are_doubtful(label: str) -> None:
    """Names in any spelling, and long numbers that are no dates, need somebody who looks."""
    assert doubt_about(label)


def test_every_file_is_accounted_for(tmp_path: Path) -> None:
    """Each file is in a row with a reason or a place; none is forgotten or listed twice."""
    write_dicom_file(tmp_path / "a" / "1.dcm")
    write_dicom_file(tmp_path / "a" / "copy.dcm")
    write(tmp_path / ".DS_Store")
    write(tmp_path / "empty.csv", b"")
    write(tmp_path / "letter.docx")
    write(tmp_path / "all.zip")
    write(tmp_path / "beh" / "log.csv")
    (tmp_path / "again").symlink_to(tmp_path / "beh")
    os.mkfifo(tmp_path / "pipe")

    plan = plan_of(tmp_path)

    found = {
        Path(row.source).name if row.unit is None or row.unit.files else "series": (
            str(row.action), (row.notes or ("",))[-1][:20],
        )
        for row in plan.rows
    }  # fmt: skip
    assert found == {
        "series": ("send", ""),
        "log.csv": ("send", ""),
        "letter.docx": ("skip", "of a kind that may b"),
        "all.zip": ("skip", "an archive; unpack i"),
        "copy.dcm": ("reject", "the same image as an"),
        ".DS_Store": ("reject", "left by the operatin"),
        "again": ("reject", "a link to a folder, "),
        "pipe": ("reject", "not a regular file"),
        "empty.csv": ("reject", "empty; XNAT takes no"),
    }
    assert plan.file_count == 9


def test_recordings_stay_together(tmp_path: Path) -> None:
    """Files that belong together are one row: as many recordings as were written."""
    for name in ("a.meg4", "a.res4", "hz.ds/x"):
        write(tmp_path / "ctf" / "a.ds" / name)
    write(tmp_path / "fif" / "s_raw.fif")
    write(tmp_path / "fif" / "s_raw-1.fif")
    write(tmp_path / "fif" / "b_split-01_meg.fif")
    write(tmp_path / "fif" / "b_split-02_meg.fif")
    write(tmp_path / "lab" / "e.set")
    write(tmp_path / "lab" / "e.fdt")
    write(tmp_path / "kit" / "m.con")
    write(tmp_path / "kit" / "m.mrk")
    write(tmp_path / "eye" / "track.edf", b"SR_RESEARCH_COMBINED_FILE")

    plan = plan_of(tmp_path)

    kinds = [(row.unit.kind, row.unit.file_count) for row in plan.rows if row.unit]
    assert sorted(kinds) == [
        (Kind.EEG, 2), (Kind.MEG, 2), (Kind.MEG, 2), (Kind.MEG, 2), (Kind.MEG, 3), (Kind.OTHER, 1),
    ]  # fmt: skip
    scans = [row.scan for row in plan.rows if row.unit and row.unit.kind is not Kind.OTHER]
    assert sorted(scans) == ["1", "2", "3", "4", "5"]


def test_edf_with_patient_data_is_noted(tmp_path: Path) -> None:
    """An EDF file, written by edfio with a patient in it, is named as such; the name is not."""
    build.write_edf(tmp_path / "r.edf")

    [row] = plan_of(tmp_path).rows

    assert row.notes == ("its header holds patient data",)
    assert not [token for token in build.TOKENS if token in row.remark]


def test_header_without_its_data_is_a_problem(tmp_path: Path) -> None:
    """A BrainVision header whose data file is missing forbids the upload."""
    write(tmp_path / "r.vhdr", b"[Common Infos]\nDataFile=r.eeg\nMarkerFile=r.vmrk\n")

    assert "is not beside it" in plan_of(tmp_path).problem_rows[0].problems[0]


@pytest.mark.parametrize("ending", ["csv", "xlsx"])
def test_plan_goes_through_a_table_and_back(tmp_path: Path, ending: str) -> None:
    """A plan that was written, and is fed back unchanged, is the same plan."""
    for study, name in enumerate(("=S1", "+S2", "S 3, x"), start=1):
        write_dicom_file(tmp_path / "in" / name / "1.dcm", study=study)
    write(tmp_path / "in" / "-b;c" / "log.csv")
    rules = Rules(subject="S1", session="E1")
    found = survey([tmp_path / "in"])
    plan = make_plan(found, "P", rules)
    path = tmp_path / f"plan.{ending}"

    write_plan(plan, path)
    again = make_plan(found, "P", Rules(), map_rows=read_map(path))

    assert again == plan
    assert path.stat().st_mode & 0o077 == 0


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    """Cells that begin like a formula are text in both kinds of table, and read back the same."""
    rows = [("=1+1",), ("+1",), ("-1",), ("@x",), ("\tx",), ("'quoted",), ("007",)]
    for name in ("t.csv", "t.xlsx"):
        write_table(tmp_path / name, ("source",), rows[:4] + rows[5:])

    with (tmp_path / "t.csv").open(newline="") as stream:
        assert [row[0][0] for row in csv.reader(stream)][1:5] == ["'"] * 4
    sheet = load_workbook(tmp_path / "t.xlsx").active
    assert {cell.data_type for row in sheet.iter_rows() for cell in row} == {"s"}
    for name in ("t.csv", "t.xlsx"):
        table = read_table(tmp_path / name, "map", known=("source",), needed=("source",))
        assert [cells["source"] for _, cells in table] == [row[0] for row in rows[:4] + rows[5:]]


def test_spreadsheets_semicolons_are_understood(tmp_path: Path) -> None:
    """A table as spreadsheets with a decimal comma write it, with a byte order mark."""
    path = write(tmp_path / "m.csv", b"\xef\xbb\xbfsource;subject\r\nin;S7\r\n")

    assert read_map(path) == (MapRow(2, "in", {"subject": "S7"}),)


def test_nearest_row_of_a_map_wins(tmp_path: Path) -> None:
    """A folder's row counts for all below, a nearer one before it; what none names is skipped."""
    for name in ("a/1/x.csv", "a/2/y.csv", "b/z.csv"):
        write(tmp_path / name)
    rows = (
        MapRow(2, "a", {"subject": "S1", "session": "E1"}),
        MapRow(3, "a/2", {"subject": "S1", "session": "E2"}),
    )

    plan = make_plan(survey([tmp_path]), "P", Rules(), map_rows=rows)

    assert [(Path(row.source).name, row.session, row.action) for row in plan.rows] == [
        ("x.csv", "E1", Action.SEND),
        ("y.csv", "E2", Action.SEND),
        ("z.csv", "", Action.SKIP),
    ]


def test_duplicate_series_numbers_are_noted(tmp_path: Path) -> None:
    """Two series of one number are sent, with a remark that the server renames one."""
    write_dicom_file(tmp_path / "1.dcm", series=3, instance=1)
    other = write_dicom_file(tmp_path / "2.dcm", series=4, instance=1)
    import pydicom  # noqa: PLC0415  # only this test changes a file

    image = pydicom.dcmread(other)
    image.SeriesNumber = 3
    image.save_as(other)

    plan = plan_of(tmp_path)

    assert plan.problem_rows == ()
    assert all("2 series have the number 3" in row.remark for row in plan.rows)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["a/x.csv", "a/X.csv"], "the same name in a resource"),
        (["a/what?.csv"], "cannot be held by every system"),
        (["a/con.csv"], "cannot be held by every system"),
    ],
)
def test_names_that_clash_or_cannot_be_held(tmp_path: Path, names: list[str], words: str) -> None:
    """What the server would refuse, or one file system would fold together, is found here."""
    for name in names:
        write(tmp_path / name)

    assert any(words in text for row in plan_of(tmp_path).problem_rows for text in row.problems)


def test_labels_that_differ_in_case(tmp_path: Path) -> None:
    """Labels are folder names on the server: S1 and s1 would be one on some systems."""
    write(tmp_path / "S1" / "E1" / "x.csv")
    write(tmp_path / "s1" / "E2" / "x.csv")

    rows: tuple[Row, ...] = plan_of(tmp_path, rules=Rules(pattern="{subject}/{session}")).rows

    assert all("differ only in upper and lower case" in row.remark for row in rows)


def test_threads_read_what_one_reads(tmp_path: Path) -> None:
    """Where the disk makes one wait, threads take over: the same files in the same order."""
    paths = [write_dicom_file(tmp_path / f"{n}.dcm", instance=n) for n in range(1, 41)]
    batches = [[(n, path, ())] for n, path in enumerate(paths, start=1)]
    waits = iter(range(0, 10_000, 100))

    alone = list(read_batches(batches, lambda: 0))
    together = list(read_batches(batches, lambda: next(waits)))

    assert together == alone
    assert [path for batch in together for path, _ in batch] == paths
