"""Lists: columns, headers, filters, sorting, formats, joins, and what a sharing project shows."""

from __future__ import annotations

import csv
import io
import sqlite3
from typing import Any

import pytest


def _csv(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


DEFAULT_HEADERS = [
    ("/data/projects", "ID,secondary_ID,name,description,pi_firstname,pi_lastname,URI"),
    ("{p}/subjects", "ID,project,label,insert_date,insert_user,URI"),
    ("{p}/experiments",
     "ID,project,date,xsiType,label,insert_date,xnat:subjectassessordata/id,URI"),
    ("{e}/scans",
     "xnat_imagescandata_id,ID,type,quality,xsiType,note,series_description,URI"),
    ("{e}/assessors",
     ("ID,project,date,xsiType,label,insert_date,session_ID,session_label,"
      "xnat:imageassessordata/id,URI")),
    ("{e}/reconstructions", "xnat_reconstructedimagedata_id,ID,type,baseScanType,URI"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "headers"), DEFAULT_HEADERS)
def test_lists_have_default_columns(admin: Any, study: Any, path: str, headers: str) -> None:
    """Without ``columns`` a list has the default columns of its kind, the address at the end."""
    answer = admin.get(path.format(p=study.path, e=study.session_path) + "?format=csv")

    assert answer.text.splitlines()[0] == headers


def test_json_lists_have_text_only(admin: Any, study: Any) -> None:
    """Every cell and the count of a JSON list are text."""
    admin.made(f"{study.path}/subjects/S1", yob="1980")

    result = admin.get(f"{study.path}/subjects?columns=label,yob,dob").json()["ResultSet"]

    assert result["totalRecords"] == "1"
    assert result["xsiType"] == "xnat:subjectData"
    assert result["Result"] == [
        {
            "label": "S1",
            "yob": "1980",
            "dob": "",
            "ID": study.subject_id,
            "URI": f"/data/subjects/{study.subject_id}",
        }
    ]


COLUMNS = [
    ("subject_id", "subject_ID"),
    ("xnat:subjectAssessorData/subject_id", "subject_ID"),
    ("xnat:imagesessiondata/subject_id", "xnat:imagesessiondata/subject_id"),
    ("xnat:mrsessiondata/AGE", "xnat:mrsessiondata/age"),
    ("XNAT:experimentData/label", "label"),
    ("gender", None),
    ("nothing", None),
    ("xnat:nothing/label", None),
    ("xnat:mrSessionData/nothing", None),
    ("xnat:subjectData/demographics[@xsi:type=xnat:demographicData]/gender",
     "xnat:subjectdata/demographics[@xsi:type=xnat:demographicdata]/gender"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "header"), COLUMNS)
def test_headers_are_short_names_or_lower_case(
    admin: Any, study: Any, asked: str, header: str | None
) -> None:
    """A column's header is its short name if it has one, else the lower-case path, or none."""
    (row,) = admin.rows(f"{study.path}/experiments", columns=f"ID,{asked}")

    # The last two in lists of a general type; the key, named after the type, in all.
    always = {"ID", "xnat:subjectassessordata/id", "URI", "xsiType", "project"}
    assert set(row) == always | {header or "ID"}


def test_default_stands_for_the_default_columns(admin: Any, study: Any) -> None:
    """``DEFAULT`` among the columns is replaced by the default ones."""
    (row,) = admin.rows(f"{study.path}/subjects", columns="gender,DEFAULT")

    assert list(row) == ["gender", "ID", "project", "label", "insert_date", "insert_user", "URI"]


@pytest.fixture
def many(admin: Any, make_project: Any) -> str:
    """Return the path of a project with four subjects of different age, sex and date."""
    path = f"/data/projects/{make_project()}"
    for number, (sex, age, day) in enumerate(
        [
            ("male", "20", "2024-01-01"), ("female", "30", "2024-02-01"),
            ("female", "40", "2024-03-01"), ("male", "100", "2025-01-01"),
        ],
        start=1,
    ):  # fmt: skip
        admin.made(f"{path}/subjects/S_{number}", gender=sex, age=age)
        admin.made(
            f"{path}/subjects/S_{number}/experiments/E_{number}",
            xsiType="xnat:mrSessionData" if number < 3 else "xnat:eegSessionData",
            date=day,
        )
    return path


FILTERS = [
    ("subjects", {"label": "S_1"}, "S_1"),
    ("subjects", {"label": "S_1,S_3"}, "S_1 S_3"),
    ("subjects", {"label": "s_*"}, "S_1 S_2 S_3 S_4"),
    ("subjects", {"label": "%_2"}, "S_2"),
    ("subjects", {"label": "S*1,*4"}, "S_1 S_4"),
    ("subjects", {"label": "S?1"}, ""),
    ("subjects", {"gender": "female"}, "S_2 S_3"),
    ("subjects", {"age": "25-45"}, "S_2 S_3"),
    ("subjects", {"age": "20-99"}, "S_1 S_2 S_3"),
    ("subjects", {"xnat:subjectData/demographics/age": "100"}, "S_4"),
    ("subjects", {"gender": "male", "age": "100"}, "S_4"),
    ("subjects", {"label": "' OR 1=1 --"}, ""),
    ("subjects", {"nonsense": "x"}, "S_1 S_2 S_3 S_4"),
    ("experiments", {"date": "2024-02-01"}, "E_2"),
    ("experiments", {"date": "2024-01-15-2024-12-31"}, "E_2 E_3"),
    ("experiments", {"date": "01/15/2024-12/31/2024"}, "E_2 E_3"),
    ("experiments", {"xsiType": "xnat:eegsessiondata"}, "E_3 E_4"),
    ("experiments", {"xsiType": "xnat:imageSessionData"}, "E_1 E_2 E_3 E_4"),
    ("experiments", {"xsiType": "xnat:petSessionData"}, ""),
    ("experiments", {"subject_label": "S_4"}, "E_4"),
    ("experiments", {"gender": "female"}, "E_1 E_2 E_3 E_4"),
    ("experiments", {"sortBy": "date", "sortOrder": "desc"}, "E_4 E_3 E_2 E_1"),
    ("experiments", {"limit": "2", "offset": "1"}, "E_2 E_3"),
]


@pytest.mark.parametrize(("kind", "query", "labels"), FILTERS)
def test_filters_choose_rows(
    admin: Any, many: str, kind: str, query: dict[str, str], labels: str
) -> None:
    """Commas, wildcards, ranges and types choose the rows that XNAT's rules say."""
    rows = admin.rows(f"{many}/{kind}", columns="label,date", **query)

    assert " ".join(row["label"] for row in rows) == labels


def test_csv_and_xml_hold_the_same_table(admin: Any, study: Any) -> None:
    """A list is the same table in CSV and JSON; quotes and line breaks survive as XNAT has them."""
    admin.made(f"{study.session_path}/scans/1", note='say "hi"\nthere')

    (row,) = _csv(admin.get(f"{study.session_path}/scans?format=csv&columns=ID,note").text)
    xml = admin.get(f"{study.session_path}/scans?format=xml&columns=ID,note")

    assert row["note"] == 'say "hi" there'
    assert xml.headers["Content-Type"].startswith("text/xml")
    assert "<column>note</column>" in xml.text


def test_old_prefixes_mean_the_same(admin: Any, study: Any) -> None:
    """``/REST`` and ``/data/archive`` answer the same list as ``/data``."""
    rest = study.path.replace("/data/", "/REST/")
    archive = study.path.replace("/data/", "/data/archive/")

    texts = {admin.get(f"{path}/subjects").text for path in (study.path, rest, archive)}

    assert len(texts) == 1


def test_one_row_for_each_scan_and_resource(admin: Any, study: Any) -> None:
    """The list that dax asks for has a row for each scan and each of its resources."""
    admin.made(f"{study.session_path}/scans/2", xsiType="xnat:mrScanData", type="T2w")

    rows = _csv(
        admin.get(
            "/REST/archive/experiments",
            params={
                "project": study.project,
                "xsiType": "xnat:imageSessionData",
                "columns": "ID,URI,label,subject_label,project,xnat:imagesessiondata/subject_id,"
                "xnat:imagescandata/id,xnat:imagescandata/type,xnat:imagescandata/file/label",
                "format": "csv",
            },
        ).text
    )

    assert [
        (r["label"], r["subject_label"], r["xnat:imagesessiondata/subject_id"],
         r["xnat:imagescandata/id"], r["xnat:imagescandata/type"])
        for r in rows
    ] == [
        ("E1", "S1", study.subject_id, "1", "T1w"), ("E1", "S1", study.subject_id, "2", "T2w"),
    ]  # fmt: skip
    assert {r["xnat:imagescandata/file/label"] for r in rows} == {""}


def test_assessors_join_their_sessions(admin: Any, study: Any) -> None:
    """Columns of an assessor's type in a list of sessions come from the session's assessors."""
    admin.made(
        f"{study.session_path}/assessors/A1",
        **{"xnat:qcAssessmentData/validation/status": "Good"},
    )
    rows = admin.rows(
        "/REST/experiments",
        project=study.project,
        xsiType="xnat:imagesessiondata",
        columns="label,subject_label,xnat:qcassessmentdata/label,"
        "xnat:qcassessmentdata/validation/status",
    )

    assert [list(row.values())[:4] for row in rows] == [["E1", "S1", "A1", "Good"]]


def test_assessor_rows_name_their_session(admin: Any, study: Any) -> None:
    """A list of assessors by type knows the label and ID of the session."""
    (row,) = admin.rows(
        f"{study.path}/experiments", xsiType="xnat:qcAssessmentData",
        columns="label,session_ID,session_label",
    )  # fmt: skip

    assert (row["label"], row["session_ID"], row["session_label"]) == ("A1", study.session_id, "E1")


def test_shared_objects_have_the_label_of_the_listing_project(
    admin: Any, study: Any, make_project: Any
) -> None:
    """In a project they are shared into, subject and session have that project's labels."""
    other = make_project()
    for path, label in ((f"{study.path}/subjects/S1", "S-x"), (study.session_path, "E-x")):
        admin.made(f"{path}/projects/{other}", label=label)

    (subject,) = admin.rows(f"/data/projects/{other}/subjects")
    (session,) = admin.rows(
        f"/data/projects/{other}/experiments", columns="ID,label,project,subject_label"
    )

    assert (subject["ID"], subject["label"], subject["project"]) == (
        study.subject_id, "S-x", other,
    )  # fmt: skip
    assert (session["ID"], session["label"], session["project"], session["subject_label"]) == (
        study.session_id, "E-x", other, "S-x",
    )  # fmt: skip
    item = admin.item(f"/data/projects/{other}/subjects/S-x")
    assert item["data_fields"]["label"] == "S-x"


def test_a_shared_session_does_not_show_its_subject(
    admin: Any, study: Any, make_project: Any
) -> None:
    """Without a share of the subject, the session's row has its ID but no label or sex."""
    other = make_project()
    admin.made(f"{study.session_path}/projects/{other}", label="E-x")

    (row,) = admin.rows(
        f"/data/projects/{other}/experiments",
        columns="subject_ID,subject_label,"
        "xnat:subjectData/demographics[@xsi:type=xnat:demographicData]/gender",
    )

    assert list(row.values())[:3] == [study.subject_id, "", ""]


def test_scan_types_and_scanners_are_distinct(admin: Any, study: Any) -> None:
    """The lists of scan types and scanners name each value once."""
    admin.made(study.session_path, scanner="Prisma")
    admin.made(f"{study.session_path}/scans/2", xsiType="xnat:mrScanData", type="T1w")
    admin.made(f"{study.session_path}/scans/3", xsiType="xnat:mrScanData", type="bold")

    assert [r["type"] for r in admin.rows(f"{study.path}/scan_types")] == ["T1w", "bold"]
    assert [r["scanner"] for r in admin.rows(f"{study.path}/scanners")] == ["Prisma"]


def test_a_long_list_is_one_statement(admin: Any, sandbox: Any, make_project: Any) -> None:
    """Ten thousand sessions are listed whole, with the label of each one's subject."""
    project = make_project()
    with sqlite3.connect(sandbox.root / "sandbox.sqlite", timeout=30) as connection:
        connection.executemany(
            "INSERT INTO subject (id, project, label, insert_date, insert_user, last_modified)"
            " VALUES (?, ?, ?, '', '', '')",
            [(f"{project}_S{n}", project, f"S{n}") for n in range(10_000)],
        )
        connection.executemany(
            "INSERT INTO experiment (id, project, label, xsi_type, subject_id, insert_date,"
            " insert_user, last_modified) VALUES (?, ?, ?, 'xnat:mrSessionData', ?, '', '', '')",
            [(f"{project}_E{n}", project, f"E{n}", f"{project}_S{n}") for n in range(10_000)],
        )
    connection.close()

    rows = admin.rows(f"/data/projects/{project}/experiments", columns="label,subject_label")

    assert len(rows) == 10_000
    assert all(row["label"][1:] == row["subject_label"][1:] for row in rows)


@pytest.mark.parametrize("columns", ["ID,label", "label,xnat:imagescandata/id,subject_label"])
def test_lists_are_in_the_order_of_making(admin: Any, make_project: Any, columns: str) -> None:
    """Sessions come as they were made, own and shared ones mixed, whatever is joined to them."""
    one, two = make_project(), make_project()
    expected = []
    for number, project in enumerate([two, one, two, one, one, two], start=1):
        label = f"E{9 - number}"
        path = f"/data/projects/{project}/subjects/S{number}/experiments/{label}"
        admin.made(f"/data/projects/{project}/subjects/S{number}")
        made = admin.made(path, xsiType="xnat:mrSessionData")
        for scan in ("2", "1"):
            admin.made(f"{path}/scans/{scan}", xsiType="xnat:mrScanData")
        if project == two:
            admin.made(f"/data/experiments/{made}/projects/{one}")
        expected.append(label)
    typed = {"xsiType": "xnat:imageSessionData", "columns": columns, "format": "csv"}

    listed = admin.get(f"/data/projects/{one}/experiments", params=typed).text
    everywhere = admin.get("/data/experiments", params={**typed, "project": one}).text
    turned = {**typed, "sortBy": "label"}
    by_label = admin.get(f"/data/projects/{one}/experiments", params=turned).text

    def labels(text: str) -> list[str]:
        return list(dict.fromkeys(row["label"] for row in _csv(text)))

    assert labels(listed) == expected
    assert labels(everywhere) == [expected[index] for index in (1, 3, 4)]
    assert labels(by_label) == sorted(expected)
