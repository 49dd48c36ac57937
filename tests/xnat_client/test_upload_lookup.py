"""The worked example of docs/upload.md: a table with subject, folder and date."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import uuid
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from xnat_client.errors import BadInputError
from xnat_client.projects import create_project
from xnat_client.session import connect
from xnat_client.sessions import list_sessions
from xnat_client.upload.label_rules import Rules, read_lookup
from xnat_client.upload.plan import Plan, make_plan
from xnat_client.upload.plan_checks import check_plan
from xnat_client.upload.survey import survey

from .conftest import write_dicom_file

VISITS = (("C001", "visit_0017"), ("C001", "visit_0023"), ("C002", "visit_0031"))
HOSPITAL = {"C001": "MARKED-7", "C002": "MARKED-9"}
DATE = "2026-01-31"  # what write_dicom_file writes


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three visits of two people, as a scanner exports them."""
    folder = tmp_path / "export"
    for study, (subject, visit) in enumerate(VISITS, start=1):
        write_dicom_file(folder / visit / "1" / "a.dcm", study=study, patient_id=HOSPITAL[subject])
    return folder


def write_rows(path: Path, *rows: tuple[str, ...]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def plan_of(export: Path, table: Path) -> Plan:
    rules = Rules(lookup=read_lookup(table))
    return check_plan(make_plan(survey([export]), "OPDC", rules))


def test_subject_and_date_make_the_labels(export: Path, tmp_path: Path) -> None:
    """Each folder gets its row's subject; the session is called by subject and date."""
    rows = [(subject, visit, DATE) for subject, visit in VISITS[1:]]
    (export / "visit_0017").rename(tmp_path / "elsewhere")
    table = write_rows(tmp_path / "visits.csv", ("subject", "folder", "date"), *rows)

    plan = plan_of(export, table)

    assert [(row.subject, row.session) for row in plan.rows] == [
        ("C001", "C001_20260131"),
        ("C002", "C002_20260131"),
    ]
    assert plan.problem_rows == ()


def test_spreadsheet_gives_the_same(export: Path, tmp_path: Path) -> None:
    """An XLSX file with real dates is read as the CSV is."""
    book = Workbook()
    book.active.append(["Subject", "Folder", "Date", "Session"])
    for number, (subject, visit) in enumerate(VISITS):
        book.active.append([subject, visit, date(2026, 1, 31), f"V{number}"])
    book.save(tmp_path / "visits.xlsx")

    plan = plan_of(export, tmp_path / "visits.xlsx")

    assert [row.session for row in plan.rows] == ["V0", "V1", "V2"]
    assert plan.problem_rows == ()


def test_another_date_than_the_images(export: Path, tmp_path: Path) -> None:
    """A row whose date is not the study's own is a problem of that series alone."""
    header = ("subject", "folder", "date", "session")
    rows = [(subject, visit, DATE, f"V{n}") for n, (subject, visit) in enumerate(VISITS[:2])]
    other = ("C002", "visit_0031", "2026-02-01", "V3")
    table = write_rows(tmp_path / "visits.csv", header, *rows, other)

    [bad] = plan_of(export, table).problem_rows

    assert "row 4 of the lookup has another date" in bad.problems[0]


def test_two_visits_with_one_label(export: Path, tmp_path: Path) -> None:
    """Two studies of one subject on one day would be one session; that is found."""
    rows = [(subject, visit, DATE) for subject, visit in VISITS]
    table = write_rows(tmp_path / "visits.csv", ("subject", "folder", "date"), *rows)

    bad = plan_of(export, table).problem_rows

    assert {row.session for row in bad} == {"C001_20260131"}
    assert "several studies in one session" in bad[0].problems[0]


def test_rows_that_fit_no_folder_are_named(export: Path, tmp_path: Path) -> None:
    """A list may be longer than the export; which rows are left over is known."""
    rows = [("C9", "visit_9999"), *VISITS, ("C8", "isit_0017")]
    table = write_rows(tmp_path / "visits.csv", ("subject", "folder"), *rows)

    assert Rules(lookup=read_lookup(table)).unused_rows(survey([export]).units) == [2, 6]


SAMPLES = {  # session of the shared data: its (0008,0020) StudyDate, as dcmdump prints it
    "siemens_e11_bold_human": "2017-10-21",
    "siemens_ve11_multiecho_human": "2018-05-02",
    "ge_dv26_fmri_human": "2018-09-18",
}


@pytest.mark.samples
def test_three_real_sessions_by_a_table(sandbox: Any, samples: Path, tmp_path: Path) -> None:
    """Sessions of two makers arrive under the table's labels, every file by size and MD5."""
    folders = [samples / "dicom" / name for name in SAMPLES]
    rows = [(f"C{n}", name, day) for n, (name, day) in enumerate(SAMPLES.items())]
    table = write_rows(tmp_path / "visits.csv", ("subject", "folder", "date"), *rows)
    project = f"O{uuid.uuid4().hex[:10]}"
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as server:
        create_project(server.transport, project)
        program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()", "upload"]
        own = {"XNAT_USER": sandbox.admin_user, "XNAT_PASS": sandbox.admin_password}
        done = subprocess.run(
            [*program, *map(str, folders), "--project", project, "--lookup", str(table),
             "--server", sandbox.url, "--json", "--state", str(tmp_path / "state")],
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
            env={**os.environ, **own},
        )  # fmt: skip
        listed = {one.label for one in list_sessions(server.transport, project)}

    assert done.returncode == 0, done.stderr
    receipt = json.loads(done.stdout.splitlines()[-1])
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert receipt["files_confirmed"] == len(files)
    assert listed == {"C0_20171021", "C1_20180502", "C2_20180918"}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([("subject", "date"), ("C1", DATE)], "lacks the column folder"),
        ([("subject", "folder"), ("", "visit_0017")], "Row 2 of the lookup table lacks"),
        ([("subject", "folder"), ("C1", "a"), ("C2", "a/")], "Rows 2 and 3 of the lookup table"),
        ([("subject", "folder", "date"), ("C1", "a", "31.1.26")], "not written like 2024-01-31"),
        ([("subject", "folder"), ("C1", "..")], "no usable folder"),
        ([("subject", "folder"), ("C1", "a", "more")], "more cells than there are columns"),
    ],
)
def test_bad_tables(tmp_path: Path, rows: list[tuple[str, ...]], words: str) -> None:
    """Each is refused with one sentence that names the row or column."""
    with pytest.raises(BadInputError, match=words):
        read_lookup(write_rows(tmp_path / "visits.csv", *rows))
