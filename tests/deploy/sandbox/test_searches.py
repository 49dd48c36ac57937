"""Searches with the real clients and by hand: rows, headers, comparisons, rights, refusals."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
import xnat

BUNDLE = """<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" ID="@x">
 <xdat:root_element_name>{root}</xdat:root_element_name>
 {fields}
 <xdat:search_where method="AND">
  <xdat:criteria><xdat:schema_field>{root}/PROJECT</xdat:schema_field>
   <xdat:comparison_type>=</xdat:comparison_type><xdat:value>{project}</xdat:value></xdat:criteria>
  <xdat:child_set method="OR">{criteria}</xdat:child_set>
 </xdat:search_where></xdat:bundle>"""
FIELD = (
    "<xdat:search_field><xdat:element_name>{}</xdat:element_name>"
    "<xdat:field_ID>{}</xdat:field_ID></xdat:search_field>"
)
CRITERION = (
    "<xdat:criteria><xdat:schema_field>{}</xdat:schema_field>"
    "<xdat:comparison_type>{}</xdat:comparison_type><xdat:value>{}</xdat:value></xdat:criteria>"
)


@pytest.fixture
def project(admin: Any, make_project: Any) -> str:
    """Return a project with three subjects of different age and one MR session each."""
    name = make_project()
    path = f"/data/projects/{name}"
    for number, (age, day) in enumerate(
        [("20", "2024-01-01"), ("30", "2024-02-01"), ("100", "2025-01-01")], start=1
    ):
        admin.made(f"{path}/subjects/S{number}", age=age, gender="male")
        admin.made(
            f"{path}/subjects/S{number}/experiments/E{number}",
            xsiType="xnat:mrSessionData",
            date=day,
        )
    return name


def _search(api: Any, project: str, root: str, field: str, *criteria: tuple[str, str, str]) -> Any:
    body = BUNDLE.format(
        root=root,
        project=project,
        fields=FIELD.format(root, field),
        criteria="".join(CRITERION.format(*criterion) for criterion in criteria),
    )
    return api.post("/data/search?format=json", data=body)


CRITERIA = [
    ([("xnat:subjectData/SUBJECT_LABEL", "=", "S2")], "S2"),
    ([("xnat:subjectData/SUBJECT_LABEL", "!=", "S2")], "S1 S3"),
    ([("xnat:subjectData/SUBJECT_LABEL", "LIKE", "s%")], "S1 S2 S3"),
    ([("xnat:subjectData/SUBJECT_LABEL", "IN", "S1,S3")], "S1 S3"),
    ([("xnat:subjectData/AGE", "&gt;", "25")], "S2 S3"),
    ([("xnat:subjectData/AGE", "BETWEEN", "15 AND 35")], "S1 S2"),
    ([("xnat:subjectData/demographics/age", "=", "100")], "S3"),
    ([("xnat:subjectData/DOB", "IS NULL", "")], "S1 S2 S3"),
    ([("xnat:subjectData/AGE", "=", "20"), ("xnat:subjectData/AGE", "=", "100")], "S1 S3"),
    ([], "S1 S2 S3"),
]


@pytest.mark.parametrize(("criteria", "labels"), CRITERIA)
def test_comparisons_choose_rows(
    admin: Any, project: str, criteria: list[tuple[str, str, str]], labels: str
) -> None:
    """Each comparison chooses the rows that it says, numbers by their value."""
    answer = _search(admin, project, "xnat:subjectData", "SUBJECT_LABEL", *criteria)

    assert answer.status_code == 200, answer.text
    rows = answer.json()["ResultSet"]["Result"]
    assert " ".join(row["subject_label"] for row in rows) == labels


REFUSED = [
    ("xnat:nothing", "LABEL", 422),
    ("xnat:mrScanData", "ID", 403),
    ("xnat:subjectData", "NOTHING", 400),
]


@pytest.mark.parametrize(("root", "field", "status"), REFUSED)
def test_unknown_elements_and_fields_are_refused(
    admin: Any, project: str, root: str, field: str, status: int
) -> None:
    """An unknown type is 422, one that cannot be searched 403, an unknown field 400."""
    assert _search(admin, project, root, field).status_code == status


@pytest.mark.parametrize("body", ["", "{}", "<a/>", "<bundle/>", "\x00"])
def test_other_documents_are_refused(admin: Any, body: str) -> None:
    """A body that is no search document is refused with 422."""
    assert admin.post("/data/search", data=body).status_code == 422


def test_rows_are_those_that_may_be_read(make_user: Any, project: str) -> None:
    """A stranger finds nothing of a project that is not public; a collaborator finds all."""
    stranger, reader = make_user(), make_user(**{project: "collaborator"})

    found = [
        _search(api, project, "xnat:mrSessionData", "LABEL").json()["ResultSet"]["totalRecords"]
        for api in (stranger, reader)
    ]

    assert found == ["0", "3"]


def test_xnatpy_queries(sandbox: Any, project: str) -> None:
    """Xnatpy's queries return tables and objects; dates are compared as dates."""
    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as session:
        subject, scan_session = session.classes.SubjectData, session.classes.MrSessionData

        table = subject.query().filter(subject.project == project).view(subject.label)
        recent = scan_session.query().filter(
            (scan_session.project == project) & (scan_session.date > "01/15/2024")
        )

        assert [row["subject_label"] for row in table.tabulate_dict()] == ["S1", "S2", "S3"]
        assert [found.label for found in recent.all()] == ["E2", "E3"]


def test_pyxnat_searches_and_describes_objects(sandbox: Any, project: str) -> None:
    """Pyxnat's search returns rows, and printing its objects, which searches too, works."""
    pyxnat = pytest.importorskip("pyxnat", reason="pyxnat is not installed; uv pip install pyxnat")
    interface = pyxnat.Interface(
        server=sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    )
    place = interface.select.project(project)

    rows = interface.select(
        "xnat:mrSessionData", ["xnat:mrSessionData/LABEL", "xnat:subjectData/SUBJECT_LABEL"]
    ).where([("xnat:mrSessionData/PROJECT", "=", project), "AND"])
    texts = [repr(thing) for thing in (place, place.subject("S1"), place.experiment("E1"))]
    interface.disconnect()
    interface._http.close()

    assert [row["label"] for row in rows.data] == ["E1", "E2", "E3"]
    assert f"`{project}` (protected) 3 subjects 3 MR" in texts[0]
    assert "(Gender: male)" in texts[1] or "Age: 20" in texts[1]
    assert "`E1`" in texts[2]


@pytest.mark.parametrize("root", ["xnat:projectData", "xnat:subjectData", "xnat:mrSessionData"])
def test_every_field_of_the_preset_columns_can_be_searched(
    admin: Any, project: str, root: str
) -> None:
    """The preset ``all`` names the fields of the directory; a search takes all of them at once."""
    path = f"/data/search/elements/{root}"
    document = admin.get(f"{path}/versions?format=json").json()["DisplayVersions"]
    (version,) = document["versions"]
    tree = ET.fromstring(admin.get(f"{path}/versions").text)  # noqa: S314 - of our server

    ids = [field["id"] for field in version["fields"]]
    body = BUNDLE.format(
        root=root,
        project=project,
        fields="".join(FIELD.format(f["element_name"], f["id"]) for f in version["fields"]),
        criteria="",
    )
    if root == "xnat:projectData":  # its own field is called otherwise
        body = body.replace(f"{root}/PROJECT", f"{root}/ID")
    found = admin.post("/data/search?format=json", data=body)

    assert (document["element_name"], version["name"]) == (root, "all")
    assert ids == [row["FIELD_ID"] for row in admin.rows(path)]
    assert ids == [field.get("id") for field in tree.iter("field")]
    assert found.status_code == 200, found.text
    assert found.json()["ResultSet"]["totalRecords"] == ("1" if "project" in root else "3")


def test_presets_are_of_known_types(admin: Any, guest: Any) -> None:
    """An unknown type is 404; nobody is told without log-in; views need display documents."""
    path = "/data/search/elements/xnat:mrSessionData/versions"

    assert admin.get("/data/search/elements/xnat:nothing/versions").status_code == 404
    assert guest.get(path).status_code == 401
    assert admin.get(f"{path}?listViews=true").json() == {"views": []}
