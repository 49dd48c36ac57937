"""Whole XML documents of objects: fetched, changed with an XML library, and sent back."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tests.deploy.sandbox.conftest import Api, Study

XNAT = "{http://nrg.wustl.edu/xnat}"
TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"


def _fetch(api: Api, path: str) -> ET.Element:
    content = api.get(path, params={"format": "xml"}).content
    return ET.fromstring(content)  # noqa: S314 - from the server under test


def _send(api: Api, path: str, document: ET.Element) -> tuple[int, str]:
    """Send a document, laid out as an editor would have it."""
    ET.indent(document)
    answer = api.put(path, data=ET.tostring(document), headers={"Content-Type": "text/xml"})
    return answer.status_code, answer.text


@pytest.fixture
def full(admin: Api, make_project: object, study: Study) -> Study:
    """Return a project whose objects have resources and are shared."""
    for path in (study.path, f"{study.path}/subjects/S1", study.session_path):
        admin.put(f"{path}/resources/R/files/a.txt", data=b"x")
    admin.put(f"{study.session_path}/scans/1/resources/DICOM/files/1.dcm", data=b"x")
    other = make_project()  # type: ignore[operator] # a function of the test's own
    admin.made(f"{study.path}/subjects/S1/projects/{other}", label="SHARED")
    admin.made(f"{study.session_path}/projects/{other}", label="SHARED")
    return study


@pytest.mark.parametrize("part", ["", "/subjects/S1", "/subjects/S1/experiments/E1"])
def test_a_document_comes_back_as_it_was_fetched(admin: Api, full: Study, part: str) -> None:
    """With all that is nested in it: scans, assessors, resources, shares; nothing changes."""
    path = f"{full.path}{part}"
    document = _fetch(admin, path)

    status, text = _send(admin, path, document)

    assert status == 200, text
    assert ET.canonicalize(ET.tostring(_fetch(admin, path)), strip_text=True) == ET.canonicalize(
        ET.tostring(document), strip_text=True
    )


def test_scans_of_a_document_are_changed_and_made(admin: Api, full: Study) -> None:
    """What differs is stored, what is not in the document stays (no allowDataDeletion)."""
    admin.made(f"{full.session_path}/scans/2", xsiType="xnat:mrScanData", type="stays")
    document = _fetch(admin, full.session_path)
    scans = document.find(f"{XNAT}scans")
    assert scans is not None
    first, second = scans
    ET.SubElement(first, f"{XNAT}quality").text = "unusable"
    scans.remove(second)
    ET.SubElement(scans, f"{XNAT}scan", {TYPE: "xnat:mrScanData", "ID": "3", "type": "new"})
    ET.SubElement(document, f"{XNAT}note").text = "read again"

    status, text = _send(admin, full.session_path, document)

    assert status == 200, text
    rows = admin.rows(f"{full.session_path}/scans", columns="ID,type,quality")
    assert [(row["ID"], row["type"], row["quality"]) for row in rows] == [
        ("1", "T1w", "unusable"),
        ("2", "stays", ""),
        ("3", "new", ""),
    ]
    assert admin.item(full.session_path)["data_fields"]["note"] == "read again"


def test_a_new_session_brings_its_scans(admin: Api, study: Study) -> None:
    """As in XNAT, one document makes the session and what was scanned."""
    document = ET.Element(f"{XNAT}MRSession", {"project": study.project, "label": "E2"})
    scans = ET.SubElement(document, f"{XNAT}scans")
    ET.SubElement(scans, f"{XNAT}scan", {TYPE: "xnat:mrScanData", "ID": "7", "type": "T2w"})
    path = f"{study.path}/subjects/S1/experiments/E2"

    status, text = _send(admin, path, document)

    assert status == 201, text
    assert [row["ID"] for row in admin.rows(f"{path}/scans")] == ["7"]


def _other_type(document: ET.Element) -> None:
    for scan in document.iter(f"{XNAT}scan"):
        scan.set(TYPE, "xnat:petScanData")


def _other_session(document: ET.Element) -> None:
    for parent in document.iter(f"{XNAT}image_session_ID"):
        parent.text = "XNAT_E99999"


def _without_id(document: ET.Element) -> None:
    for scan in document.iter(f"{XNAT}scan"):
        del scan.attrib["ID"]


def _changed_assessor(document: ET.Element) -> None:
    for assessor in document.iter(f"{XNAT}assessor"):
        ET.SubElement(assessor, f"{XNAT}note").text = "changed"


@pytest.mark.parametrize(
    ("change", "status"),
    [(_other_type, 409), (_other_session, 400), (_without_id, 422), (_changed_assessor, 501)],
)
def test_a_document_that_cannot_be_stored_changes_nothing(
    admin: Api, full: Study, change: object, status: int
) -> None:
    """Neither the session's own fields nor its scans, whatever comes first."""
    before = admin.get(full.session_path).content
    document = _fetch(admin, full.session_path)
    ET.SubElement(document, f"{XNAT}note").text = "changed"
    change(document)  # type: ignore[operator] # one of the functions above

    answered, _ = _send(admin, full.session_path, document)

    assert answered == status
    assert admin.get(full.session_path).content == before
