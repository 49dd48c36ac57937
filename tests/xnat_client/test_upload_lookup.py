"""The worked example of docs/upload.md: a table with subject, folder and date."""

from __future__ import annotations

import csv
from datetime import date
from pathlib import Path

import pytest
from openpyxl import Workbook

from xnat_client.errors import BadInputError
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
