"""Dumps of DICOM headers."""

from __future__ import annotations

from typing import Any

import pytest
import xnat

from tests.builders.dicom_images import image, zipped

DUMP = "/data/services/dicomdump"


@pytest.fixture
def scan(admin: Any, make_project: Any) -> str:
    """Return the address of a scan with one image in a private project."""
    project = make_project(accessibility="private")
    dest = f"/archive/projects/{project}/subjects/S/experiments/E"
    answer = admin.post(
        "/data/services/import",
        params={"dest": dest},
        data=zipped(image()),
        headers={"Content-Type": "application/zip"},
    )
    assert answer.status_code == 200, answer.text
    return f"{dest}/scans/1"


def test_fields_are_chosen_by_keyword_or_number(admin: Any, scan: str) -> None:
    """Only the elements asked for are shown, in the header's order."""
    rows = admin.get(DUMP, params={"src": scan, "field": ["RepetitionTime", "0008103E"]}).json()

    assert rows["ResultSet"]["Result"] == [
        {"tag1": "(0008,103E)", "tag2": "", "vr": "LO", "value": "t1 mprage",
         "desc": "Series Description"},
        {"tag1": "(0018,0080)", "tag2": "", "vr": "DS", "value": "2300.0",
         "desc": "Repetition Time"},
    ]  # fmt: skip


def test_dump_ends_before_the_pixels(admin: Any, scan: str) -> None:
    """The whole header is shown, the image is not."""
    tags = [row["tag1"] for row in admin.rows(DUMP, src=scan)]

    assert "(0028,0010)" in tags
    assert "(7FE0,0010)" not in tags


@pytest.mark.parametrize(
    ("query", "status"),
    [({}, 400), ({"src": "/archive/experiments/NOSUCH"}, 404), ({"src": "x/../y"}, 400),
     ({"src": "/prearchive/projects/P/T/E"}, 501)],
)  # fmt: skip
def test_wrong_requests(admin: Any, query: dict[str, str], status: int) -> None:
    """What names no files is refused."""
    assert admin.get(DUMP, params=query).status_code == status


def test_strangers_see_no_headers(scan: str, make_user: Any) -> None:
    """A header can be read by those who may read the session."""
    assert make_user().get(DUMP, params={"src": scan}).status_code == 404


def test_xnatpy_dumps_a_scan(sandbox: Any, scan: str) -> None:
    """The real client's ``dicom_dump`` answers the rows."""
    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as session:
        found = session.create_object(scan.replace("/archive", "/data", 1))

        rows = found.dicom_dump(fields=["Modality"])

    assert [row["value"] for row in rows] == ["MR"]
