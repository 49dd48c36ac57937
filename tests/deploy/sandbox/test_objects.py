"""Creating, changing and deleting objects: the status and the body of each answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

# Each row: what is tried in a project that has subject S1, session E1 with scan 1 and assessor A1.
# {p}: the project's path; {P}: its ID; {e}: the session's path; {E}: the session's ID.
MR = "xsiType=xnat:mrSessionData"
QC = "xsiType=xnat:qcAssessmentData"
STATUSES = [
    # projects
    ("PUT", "{p}?description=x", 200),
    ("PUT", "{p}?xnat:projectData/name={P}-title", 200),
    ("PUT", "{p}", 417),
    ("PUT", "{p}?ID=other", 417),
    ("PUT", "/data/projects/{P}-new?xsiType=xnat:projectData", 200),
    ("PUT", "/data/projects/{P}-new", 417),
    ("PUT", "/data/projects/{P}%20new?name=x", 417),
    ("PUT", "/data/projects/{P}-new?name={P}", 409),
    ("PUT", "/data/projects/{P}-new?xsiType=xnat:subjectData", 422),
    ("PUT", "/data/projects/{P}-new?xsiType=xnat:nothing", 400),
    ("PUT", "/data/projects/{P}-new?xnat:projectData/nothing=1", 400),
    ("POST", "/data/projects?ID={P}-new", 200),
    ("POST", "/data/projects?ID={P}", 409),
    ("POST", "/data/projects", 417),
    ("POST", "/data/projects?name=x", 417),
    ("POST", "{p}?name=x", 409),
    ("GET", "{p}?format=json", 200),
    ("GET", "{p}?format=xml", 200),
    ("GET", "{p}?format=csv", 400),
    ("GET", "/data/projects/{P}-new", 404),
    ("DELETE", "/data/projects/{P}-new", 400),
    ("DELETE", "{p}", 200),
    ("GET", "{p}/prearchive_code", 200),
    ("PUT", "{p}/prearchive_code/11", 200),
    ("PUT", "{p}/prearchive_code/x", 400),
    ("PUT", "{p}/quarantine_code/1", 200),
    ("PUT", "{p}/quarantine_code/-1", 400),
    ("PUT", "{p}/current_arc/arc002", 409),
    ("PUT", "{p}/current_arc/arc001", 200),
    ("PUT", "{p}/nonsense", 400),
    ("GET", "{p}/nonsense", 404),
    ("GET", "{p}/archive_spec", 501),
    # subjects
    ("PUT", "{p}/subjects/S2", 201),
    ("PUT", "{p}/subjects/S2?gender=male&yob=1980", 201),
    ("PUT", "{p}/subjects/S2?ID={P}_own", 201),
    ("PUT", "{p}/subjects/S2?ID={E}", 201),
    ("PUT", "{p}/subjects/S1?gender=male", 200),
    ("PUT", "{p}/subjects/S1?ID=other", 400),
    ("PUT", "{p}/subjects/S1?project=other", 409),
    ("PUT", "{p}/subjects/S1?label=S9", 200),
    ("PUT", "{p}/subjects/S2?gender=nonsense", 400),
    ("PUT", "{p}/subjects/S2?yob=nineteen", 400),
    ("PUT", "{p}/subjects/S2?dob=31.12.1980", 400),
    ("PUT", "{p}/subjects/S2?dob=12/31/1980", 201),
    ("PUT", "{p}/subjects/S2?dob=2023-02-30", 400),
    ("PUT", "{p}/subjects/S2?weight=heavy", 400),
    ("PUT", "{p}/subjects/S2?weight=NaN", 400),
    ("PUT", "{p}/subjects/S2?age=99999999999999999999", 400),
    ("PUT", "{p}/subjects/S2?group=" + "g" * 256, 400),
    ("PUT", "{p}/subjects/S2?group=" + "g" * 255, 201),
    ("PUT", "{p}/subjects/S2?group=a%00b", 400),
    ("PUT", "{p}/subjects/S%202", 417),
    ("PUT", "{p}/subjects/S2;x", 417),
    ("PUT", "{p}/subjects/.S2", 417),
    ("PUT", "{p}/subjects/S2?label=a/b", 417),
    ("PUT", "{p}/subjects/" + "s" * 256, 417),
    ("PUT", "{p}/subjects/S2?xsiType=xnat:mrSessionData", 422),
    ("PUT", "{p}/subjects/S2?_lock=true", 501),
    ("PUT", "/data/projects/{P}-new/subjects/S2", 404),
    ("PUT", "/data/subjects/{P}-none", 422),
    ("PUT", "/data/subjects/{P}-none?project={P}", 201),
    ("POST", "{p}/subjects?label=S2", 200),
    ("POST", "{p}/subjects?label=S1", 409),
    ("POST", "{p}/subjects", 417),
    ("POST", "{p}/subjects/S1", 409),
    ("GET", "{p}/subjects/S1?format=json", 200),
    ("GET", "{p}/subjects/s1", 200),
    ("GET", "{p}/subjects/S2", 404),
    ("GET", "/data/subjects/S1", 404),
    ("DELETE", "{p}/subjects/S1", 200),
    ("DELETE", "{p}/subjects/S2", 404),
    # experiments
    ("PUT", "{p}/subjects/S1/experiments/E2?" + MR, 201),
    ("PUT", "{p}/subjects/S1/experiments/E2?xsiType=XNAT:MRSESSIONDATA", 201),
    ("PUT", "{p}/subjects/S2/experiments/E2?" + MR, 201),
    ("PUT", "{p}/subjects/S1/experiments/E2?ELEMENT_0=xnat:eegSessionData", 201),
    ("PUT", "{p}/subjects/S1/experiments/E2?ID={P}_own&" + MR, 201),
    ("PUT", "{p}/subjects/S1/experiments/E2?ID={E}&" + MR, 409),
    ("PUT", "{p}/subjects/S1/experiments/E2", 417),
    ("PUT", "{p}/subjects/S1/experiments/E2?date=2024-01-01", 417),
    ("PUT", "{p}/subjects/S1/experiments/E2?xsiType=xnat:imageSessionData", 400),
    ("PUT", "{p}/subjects/S1/experiments/E2?xsiType=xnat:mrScanData", 422),
    ("PUT", "{p}/subjects/S1/experiments/E2?" + QC, 422),
    ("PUT", "{p}/subjects/S1/experiments/E2?date=yesterday&" + MR, 400),
    ("PUT", "{p}/subjects/S1/experiments/E2?time=25:00:00&" + MR, 400),
    ("PUT", "{p}/subjects/S1/experiments/E2?xnat:mrScanData/type=x&" + MR, 400),
    ("PUT", "{p}/subjects/S1/experiments/E2?project=other&" + MR, 409),
    ("PUT", "{p}/subjects/S1/experiments/E%202?" + MR, 417),
    ("PUT", "{p}/subjects/S2/experiments/E1?date=2024-01-01", 409),
    ("PUT", "{p}/subjects/S1/experiments/E1?xsiType=xnat:petSessionData", 409),
    ("PUT", "{p}/subjects/S1/experiments/E1?ID=other", 400),
    ("PUT", "{p}/subjects/S1/experiments/E1?subject_ID=none", 404),
    ("PUT", "{p}/subjects/S1/experiments/E1?subject_label=S1", 200),
    ("PUT", "{p}/subjects/S1/experiments/E1?subject_label=S2", 400),
    ("PUT", "{p}/subjects/S1/experiments/E1?label=A1", 409),
    ("PUT", "{p}/subjects/S1/experiments/E1?label=E9", 200),
    ("PUT", "{p}/subjects/S1/experiments/E1?triggerPipelines=true", 200),
    ("PUT", "{p}/subjects/S1/experiments/E1?triggerPipelines=false", 200),
    ("PUT", "{p}/experiments/E2?subject_ID=S1&" + MR, 201),
    ("PUT", "{p}/experiments/E2?subject_label=S1&" + MR, 201),
    ("PUT", "{p}/experiments/E2?" + MR, 422),
    ("PUT", "/data/experiments/{P}-none?" + MR, 422),
    ("POST", "{p}/subjects/S1/experiments?label=E2&" + MR, 200),
    ("POST", "{p}/subjects/S1/experiments?label=E1&" + MR, 409),
    ("POST", "{p}/subjects/S2/experiments?label=E2&" + MR, 404),
    ("POST", "{p}/subjects/S1/experiments", 417),
    ("GET", "{p}/subjects/S1/experiments/E1", 200),
    ("GET", "{p}/experiments/{E}", 200),
    ("GET", "{p}/subjects/S2/experiments/E1", 404),
    ("GET", "/data/experiments/E1", 404),
    ("GET", "/data/experiments/{E}/status", 200),
    ("GET", "/data/experiments/{E}/XAR", 501),
    ("DELETE", "{e}", 200),
    ("DELETE", "{p}/experiments/E2", 404),
    # assessors
    ("PUT", "{e}/assessors/A2?" + QC, 201),
    ("PUT", "{e}/assessors/A1?" + QC + "&type=x", 200),
    ("PUT", "{e}/assessors/A2?ID={P}_uuid&label={P}-x-QC&xsiType=xnat:qcassessmentdata", 201),
    ("PUT", "{e}/assessors/A2?" + MR, 422),
    ("PUT", "{e}/assessors/A2?xsiType=xnat:imageAssessorData", 400),
    ("PUT", "{e}/assessors/A2", 417),
    ("PUT", "{e}/assessors/A2?project=other&" + QC, 400),
    ("PUT", "{p}/experiments/E2/assessors/A2?" + QC, 404),
    ("PUT", "{e}/assessors/E1?" + QC, 409),
    ("POST", "{e}/assessors?label=A2&" + QC, 200),
    ("GET", "{e}/assessors/A1", 200),
    ("GET", "/data/experiments/{E}/assessors/A1", 200),
    ("GET", "{e}/assessors/A2", 404),
    ("DELETE", "{e}/assessors/A1", 200),
    # scans
    ("PUT", "{e}/scans/2?xsiType=xnat:mrScanData&type=T1w&quality=usable", 200),
    ("PUT", "{e}/scans/2?xsiType=xnat:mrScanData&xnat:mrScanData/id=2", 200),
    ("PUT", "{e}/scans/2?xsiType=xnat:mrScanData&xnat:mrScanData/ID=3", 400),
    ("PUT", "{e}/scans/2?xsiType=xnat:imageScanData", 400),
    ("PUT", "{e}/scans/2?type=T1w", 400),
    ("PUT", "{e}/scans/2", 417),
    ("PUT", "{e}/scans/2?xsiType=xnat:mrScanData&frames=many", 400),
    ("PUT", "{e}/scans/2%20a?xsiType=xnat:mrScanData", 417),
    ("PUT", "{e}/scans/1?type=T2w", 200),
    ("PUT", "{e}/scans/1?xsiType=xnat:petScanData", 409),
    ("PUT", "{e}/scans/1?xsiType=xnat:imageScanData", 409),
    ("PUT", "{e}/assessors/A1/scans/1?xsiType=xnat:mrScanData", 400),
    ("PUT", "{p}/experiments/A1/scans/1?xsiType=xnat:mrScanData", 422),
    ("POST", "{e}/scans?xsiType=xnat:mrScanData", 200),
    ("POST", "{e}/scans?ID=1&xsiType=xnat:mrScanData", 409),
    ("GET", "{e}/scans/1", 200),
    ("GET", "{e}/scans/2", 404),
    ("DELETE", "{e}/scans/1", 200),
    ("DELETE", "{e}/scans/1,2", 404),
    ("PUT", "{e}/reconstructions/R1?type=x", 200),
    ("GET", "{e}/reconstructions/R1", 404),
    # methods and formats
    ("DELETE", "{p}/subjects", 405),
    ("GET", "{p}/subjects?format=html", 501),
    ("GET", "{p}/subjects?format=nonsense", 400),
    ("GET", "{e}/files?format=xcat", 501),
    ("GET", "{e}?format=html", 501),
    ("GET", "{p}/experiments?limit=x", 400),
    ("GET", "{p}/experiments?xsiType=xnat:nothing", 400),
    ("GET", "/data/projects?accessible=true", 501),
]


@pytest.mark.parametrize(("method", "path", "status"), STATUSES)
def test_answers_have_the_status_of_the_contract(
    admin: Any, request: pytest.FixtureRequest, method: str, path: str, status: int
) -> None:
    """Each request to a project with one object of each kind is answered with XNAT's status."""
    changes = method != "GET" and status < 400
    study = request.getfixturevalue("study" if changes else "untouched")
    names = {
        "p": study.path, "P": study.project, "e": study.session_path, "E": study.session_id,
    }  # fmt: skip

    answer = admin.request(method, path.format(**names))

    assert answer.status_code == status, answer.text


def test_new_objects_answer_their_id_and_lists_their_address(admin: Any, study: Any) -> None:
    """PUT answers the bare ID, POST the absolute address, scans and projects nothing."""
    subject = admin.put(f"{study.path}/subjects/S2")
    session = admin.put(f"{study.path}/subjects/S2/experiments/E2?xsiType=xnat:eegSessionData")
    again = admin.put(f"{study.path}/subjects/S2")
    scan = admin.put(f"{study.path}/experiments/E2/scans/1?xsiType=xnat:eegScanData")
    posted = admin.post(f"{study.path}/subjects?label=S3")

    assert re.fullmatch(r"XNAT_S\d{5,}", subject.text)
    assert re.fullmatch(r"XNAT_E\d{5,}", session.text)
    assert again.text == subject.text
    assert scan.text == ""
    assert re.fullmatch(f"{admin.url}{study.path}/subjects/XNAT_S\\d{{5,}}", posted.text)
    assert posted.headers["Location"] == posted.text


def test_numbers_of_deleted_objects_are_not_used_again(admin: Any, study: Any) -> None:
    """A new subject never gets the ID of a deleted one, while its label is free again."""
    first = admin.made(f"{study.path}/subjects/S2")
    admin.delete(f"{study.path}/subjects/S2")

    second = admin.made(f"{study.path}/subjects/S2")

    assert second != first
    assert admin.get(f"/data/subjects/{first}").status_code == 404


def test_a_deleted_project_blocks_its_id(admin: Any, study: Any) -> None:
    """The ID of a deleted project cannot be used again, in any case of letters."""
    admin.delete(study.path)

    for name in (study.project, study.project.lower()):
        answer = admin.put(f"/data/projects/{name}?xsiType=xnat:projectData")
        assert answer.status_code == 403


@pytest.mark.parametrize("own", ["ID", "name", "secondary_ID", "alias"])
@pytest.mark.parametrize("other", ["ID", "name", "secondary_ID", "alias"])
def test_projects_share_no_name(admin: Any, make_project: Any, own: str, other: str) -> None:
    """No ID, title, secondary ID or alias may equal any of the four of another project."""
    taken = f"{make_project()}-taken"
    if own == "ID":
        admin.made(f"/data/projects/{taken}", xsiType="xnat:projectData")
    else:
        make_project(**{own: taken})
    path = taken.upper() if other == "ID" else f"{taken}-second"
    query = {"ID": path} if other == "ID" else {"ID": path, other: taken.upper()}

    answer = admin.post("/data/projects", params=query)

    assert answer.status_code == 409
    assert f"{taken}-second" not in {row["ID"] for row in admin.rows("/data/projects")}


def test_fields_come_back_typed_in_items(admin: Any, study: Any) -> None:
    """Item JSON has numbers as numbers, custom variables by lower-case name, parts as children."""
    admin.made(
        f"{study.path}/subjects/S1",
        **{
            "yob": "1980",
            "weight": "70.5",
            "xnat:subjectData/fields/field[name=Cohort]/field": "A",
            "xnat:subjectData/demographics[@xsi:type=xnat:demographicData]/handedness": "left",
        },
    )

    item = admin.item(f"{study.path}/subjects/S1")

    children = {child["field"]: child["items"] for child in item["children"]}
    (demographics,) = children["demographics"]
    (variable,) = children["fields/field"]
    assert item["meta"]["xsi:type"] == "xnat:subjectData"
    assert item["data_fields"] == {
        "ID": study.subject_id, "project": study.project, "label": "S1",
    }  # fmt: skip
    assert demographics["meta"]["xsi:type"] == "xnat:demographicData"
    assert demographics["data_fields"] == {
        "gender": "female", "yob": 1980, "weight": 70.5, "handedness": "left",
    }  # fmt: skip
    assert variable["data_fields"] == {"name": "cohort", "field": "A"}
    assert children["experiments/experiment"][0]["meta"]["xsi:type"] == "xnat:mrSessionData"


def test_null_clears_a_field(admin: Any, study: Any) -> None:
    """The value NULL removes a field from the item and the list."""
    path = f"{study.path}/subjects/S1"

    admin.made(path, gender="NULL")

    assert "demographics" not in {child["field"] for child in admin.item(path)["children"]}
    (row,) = admin.rows(f"{study.path}/subjects", columns="label,gender")
    assert row["gender"] == ""


def test_sessions_hold_scans_and_assessors_as_children(admin: Any, study: Any) -> None:
    """The item of a session lists its scans and assessors with their own types."""
    admin.made(f"{study.session_path}/scans/1", **{"xnat:mrScanData/parameters/tr": "2300"})

    children = {
        child["field"]: child["items"] for child in admin.item(study.session_path)["children"]
    }

    (scan,) = children["scans/scan"]
    (assessor,) = children["assessors/assessor"]
    assert scan["meta"]["xsi:type"] == "xnat:mrScanData"
    assert scan["data_fields"]["ID"] == "1"
    assert scan["data_fields"]["parameters/tr"] == 2300
    assert assessor["data_fields"]["ID"] == study.assessor_id


def test_status_follows_quarantine_and_activation(admin: Any, study: Any) -> None:
    """A session is active unless it or all new data of its project are quarantined."""
    status = f"{study.session_path}/status"
    seen = [admin.get(status).text]

    admin.made(study.session_path, quarantine="true")
    seen.append(admin.get(status).text)
    admin.made(study.session_path, activate="true")
    seen.append(admin.get(status).text)
    admin.made(f"{study.path}/quarantine_code/1")
    admin.made(f"{study.path}/subjects/S1/experiments/E2", xsiType="xnat:megSessionData")
    seen.append(admin.get(f"{study.path}/experiments/E2/status").text)

    assert seen == ["active", "quarantine", "active", "quarantine"]


def test_moving_a_session_keeps_its_scans(admin: Any, study: Any) -> None:
    """A session given another subject of the project is found below that subject only."""
    admin.made(f"{study.path}/subjects/S2")

    admin.made(f"{study.path}/experiments/E1", subject_ID="S2")

    assert admin.get(study.session_path).status_code == 404
    assert [r["ID"] for r in admin.rows(f"{study.path}/subjects/S2/experiments/E1/scans")] == ["1"]


def test_xml_bodies_are_read_and_the_query_wins(admin: Any, study: Any) -> None:
    """An XML document sets simple fields; a parameter of the same field overrides it."""
    document = """<?xml version="1.0" encoding="UTF-8"?>
    <xnat:Subject xmlns:xnat="http://nrg.wustl.edu/xnat" label="S2" group="patients"
        xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
      <xnat:demographics xsi:type="xnat:demographicData">
        <xnat:yob>1975</xnat:yob><xnat:gender>male</xnat:gender>
      </xnat:demographics>
      <xnat:fields><xnat:field name="cohort">B</xnat:field></xnat:fields>
    </xnat:Subject>"""

    answer = admin.put(
        f"{study.path}/subjects/S2?gender=female",
        data=document,
        headers={"Content-Type": "text/xml"},
    )

    assert answer.status_code == 201, answer.text
    (row,) = admin.rows(
        f"{study.path}/subjects",
        columns="group,yob,gender,xnat:subjectData/fields/field[name=cohort]/field",
        label="S2",
    )
    del row["URI"]
    assert list(row.values())[:4] == ["patients", "1975", "female", "B"]


NESTED = """<xnat:Subject xmlns:xnat="http://nrg.wustl.edu/xnat">
  <xnat:experiments><xnat:experiment/></xnat:experiments></xnat:Subject>"""


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<not-xml", 422),
        ("plain text", 422),
        ('<xnat:MRSession xmlns:xnat="http://nrg.wustl.edu/xnat"/>', 422),
        ('<xnat:Unknown xmlns:xnat="http://nrg.wustl.edu/xnat"/>', 422),
        ('<xnat:Subject xmlns:xnat="http://nrg.wustl.edu/xnat" nothing="1"/>', 400),
        (NESTED, 501),
        ('<!DOCTYPE x [<!ENTITY a "b">]><xnat:Subject xmlns:xnat="x">&a;</xnat:Subject>', 422),
        ("<a>" * 1000 + "</a>" * 1000, 422),
    ],
)
def test_wrong_bodies_are_refused(admin: Any, study: Any, body: str, status: int) -> None:
    """A body that is no subject document is refused and makes nothing."""
    answer = admin.put(f"{study.path}/subjects/S2", data=body, headers={"Content-Type": "text/xml"})

    assert answer.status_code == status, answer.text
    assert admin.get(f"{study.path}/subjects/S2").status_code == 404


def test_xml_of_an_item_can_be_put_back(admin: Any, study: Any) -> None:
    """The default XML of a scan is accepted as the body of another scan of the same type."""
    admin.made(
        f"{study.session_path}/scans/1",
        **{"xnat:mrScanData/parameters/voxelRes/x": "1.5", "note": "a < b & c"},
    )
    document = admin.get(f"{study.session_path}/scans/1")
    body = document.text.replace('ID="1"', 'ID="2"')

    answer = admin.put(
        f"{study.session_path}/scans/2", data=body.encode(), headers={"Content-Type": "text/xml"}
    )

    assert document.headers["Content-Type"].startswith("text/xml")
    assert answer.status_code == 200, answer.text
    copy = admin.item(f"{study.session_path}/scans/2")["data_fields"]
    assert copy["note"] == "a < b & c"
    assert copy["parameters/voxelRes/x"] == 1.5


def test_client_chosen_assessor_id_and_long_text_are_kept(admin: Any, study: Any) -> None:
    """An assessor keeps the ID and label that a client such as dax chooses."""
    chosen = "6f1c7a52-7a0e-4a0e-9d9a-0c0e3e1b7d11-" + study.project
    label = f"{study.project}-x-S1-x-E1-x-QC_v1-x-6f1c7a52"

    answer = admin.put(
        f"{study.session_path}/assessors/{chosen}",
        params={
            "xsiType": "xnat:qcmanualassessordata", "ID": chosen, "label": label,
            "xnat:qcmanualassessordata/validation/status": "Job Pending",
            "xnat:qcmanualassessordata/comments": "x" * 5000,
        },
    )  # fmt: skip

    assert (answer.status_code, answer.text) == (201, chosen)
    data = admin.item(f"/data/experiments/{chosen}")["data_fields"]
    assert (data["label"], len(data["comments"])) == (label, 5000)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "name",
    [
        f"xnat:subjectData/demographics[@xsi:type={' ' * 60_000}x'x]/gender",
        f"xnat:subjectData/fields/field[{'9' * 60_000}]/field",
        f"xnat:subjectData/{'a[' * 60_000}",
        f"xnat:subjectData/{'demographics/' * 5_000}gender",
    ],
    ids=["blanks", "digits", "brackets", "steps"],
)
def test_a_path_of_any_length_is_refused_at_once(admin: Any, study: Any, name: str) -> None:
    """Names of fields in a form may be as long as its body; no field's path is."""
    answer = admin.put(f"{study.path}/subjects/S1", params={"req_format": "form"}, data={name: "1"})

    assert answer.status_code == 400
    assert len(answer.text) < 1000
