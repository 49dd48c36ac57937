"""The prearchive: sessions wait, are listed and moved, and go into the archive or away."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import xnat
from pydicom import dcmread

from tests.builders.dicom_images import image, zipped

IMPORT = "/data/services/import"
ARCHIVE = "/data/services/archive"
ZIP = {"Content-Type": "application/zip"}
CONTENT = zipped(image(), image(SeriesNumber=2, SeriesDescription="bold"))


@pytest.fixture
def project(make_project: Any, admin: Any) -> str:
    """Return a private project whose data wait in the prearchive."""
    name = make_project(accessibility="private")
    admin.put(f"/data/projects/{name}/prearchive_code/0")
    return name


def _send(api: Any, content: bytes = CONTENT, **query: str) -> requests.Response:
    return api.post(IMPORT, params=query, data=content, headers=ZIP)


@pytest.fixture
def waiting(admin: Any, project: str) -> str:
    """Return the address of a session that waits in the project."""
    answer = _send(admin, project=project, subject="S1", session="E1")
    assert answer.status_code == 200, answer.text
    return str(answer.text.strip())


def test_project_code_sends_data_to_the_prearchive(
    admin: Any, project: str, waiting: str, sandbox: Any
) -> None:
    """With code 0 an import waits, in no list of the archive, and says where."""
    assert re.fullmatch(rf"/data/prearchive/projects/{project}/\d{{8}}_\d{{9}}/E1", waiting)
    assert admin.rows(f"/data/projects/{project}/subjects") == []
    (row,) = admin.rows(f"/data/prearchive/projects/{project}")
    assert (row["subject"], row["name"], row["status"]) == ("S1", "E1", "READY")
    assert (row["scan_date"], row["scan_time"]) == ("2024-01-31", "10:15:00")
    assert f"/data{row['url']}" == waiting
    assert admin.rows(waiting) == [row]
    assert not (sandbox.root / "archive" / project).exists()


def test_session_is_archived(admin: Any, project: str, waiting: str) -> None:
    """Archiving answers the new address; the session is in the archive, and waits no longer."""
    answer = admin.post(ARCHIVE, params={"src": waiting})

    assert answer.status_code == 200, answer.text
    assert answer.text == f"/data/archive/projects/{project}/subjects/S1/experiments/E1\r\n"
    path = answer.text.strip()
    assert [s["ID"] for s in admin.rows(f"{path}/scans")] == ["1", "2"]
    (file,) = admin.rows(f"{path}/scans/2/files")
    assert dcmread(io.BytesIO(admin.get(file["URI"]).content)).SeriesDescription == "bold"
    assert admin.rows(f"/data/prearchive/projects/{project}") == []
    assert admin.post(ARCHIVE, params={"src": waiting}).status_code == 404


def test_services_take_a_form_too(admin: Any, project: str, waiting: str) -> None:
    """As ``curl -d src=...`` sends it; what the address says counts more than the form."""
    form = {"src": waiting, "session": "E8"}

    answer = admin.post(ARCHIVE, params={"session": "E9"}, data=form)

    assert answer.status_code == 200, answer.text
    assert answer.text == f"/data/archive/projects/{project}/subjects/S1/experiments/E9\r\n"


def test_a_move_must_name_its_project(admin: Any, waiting: str) -> None:
    """Without ``newProject`` the request is wrong; no project is looked for."""
    assert admin.post(waiting, params={"action": "move"}).status_code == 400


def test_archiving_over_an_existing_session(admin: Any, project: str, waiting: str) -> None:
    """What is in the archive is not touched unless asked; a refused session goes on waiting."""
    admin.post(ARCHIVE, params={"src": waiting})
    more = zipped(image(SeriesNumber=3))
    again = _send(admin, more, project=project, subject="S1", session="E1").text.strip()

    refused = admin.post(ARCHIVE, params={"src": again})
    still = admin.rows(f"/data/prearchive/projects/{project}")
    added = admin.post(ARCHIVE, params={"src": again, "overwrite": "append"})

    assert (refused.status_code, len(still), added.status_code) == (409, 1, 200)
    assert [s["ID"] for s in admin.rows(f"{added.text.strip()}/scans")] == ["1", "2", "3"]


def test_archiving_under_other_names(admin: Any, project: str, waiting: str) -> None:
    """Project, subject and session can be named when archiving."""
    query = {"src": waiting, "subject": "S9", "session": "E9"}

    answer = admin.post(ARCHIVE, params=query)

    assert answer.text == f"/data/archive/projects/{project}/subjects/S9/experiments/E9\r\n"


def test_session_without_a_project(admin: Any, project: str, make_user: Any) -> None:
    """Data that name no project wait as Unassigned, where only administrators see them."""
    user = make_user(**{project: "owner"})
    address = _send(user, session="LOST").text.strip()

    assert address.startswith("/data/prearchive/projects/Unassigned/")
    assert user.get(address).status_code == 404
    assert admin.post(ARCHIVE, params={"src": address}).status_code == 400
    moved = admin.post(address, params={"action": "move", "newProject": project},
                       allow_redirects=False)  # fmt: skip
    assert moved.status_code == 301
    assert moved.text.startswith(f"/data/prearchive/projects/{project}/")
    assert moved.text.endswith("/LOST\r\n")
    assert user.get(moved.text.strip()).status_code == 200


def test_scans_and_files_can_be_looked_at(admin: Any, waiting: str) -> None:
    """Scans, resources and files have the addresses that they have in the archive."""
    scans = admin.rows(f"{waiting}/scans")
    (resource,) = admin.rows(f"{waiting}/scans/2/resources")
    (file,) = admin.rows(f"{waiting}/scans/2/resources/DICOM/files")

    assert [(s["ID"], s["series_description"]) for s in scans] == [
        ("1", "t1 mprage"),
        ("2", "bold"),
    ]
    assert (resource["label"], resource["file_count"]) == ("DICOM", "1")
    content = admin.get(file["URI"]).content
    assert len(content) == int(file["Size"])
    assert dcmread(io.BytesIO(content)).SeriesDescription == "bold"


def test_session_can_be_downloaded(admin: Any, waiting: str) -> None:
    """``format=zip`` answers all files of the session."""
    answer = admin.get(waiting, params={"format": "zip"})

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == 2


def test_deleted_session_is_gone(admin: Any, project: str, waiting: str, sandbox: Any) -> None:
    """Deleting removes the row and the files; a second time the session is unknown."""
    before = len(list((sandbox.root / "prearchive").iterdir()))

    statuses = [admin.delete(waiting).status_code for _ in range(2)]

    assert statuses == [200, 404]
    assert len(list((sandbox.root / "prearchive").iterdir())) == before - 1
    assert admin.rows(f"/data/prearchive/projects/{project}") == []


@pytest.mark.parametrize(
    ("action", "status"),
    [("build", 200), ("reset-status", 200), ("commit", 200), ("set-status", 501), ("", 400),
     ("nonsense", 400)],
)  # fmt: skip
def test_actions(admin: Any, waiting: str, action: str, status: int) -> None:
    """Each action has its status; with code 0 a commit leaves the session where it is."""
    answer = admin.post(waiting, params={"action": action})

    assert answer.status_code == status
    assert admin.get(waiting).status_code == 200


def test_commit_in_a_project_that_archives_at_once(admin: Any, project: str, waiting: str) -> None:
    """With code 4 a commit archives the session and answers 301 with its new address."""
    admin.put(f"/data/projects/{project}/prearchive_code/4")

    answer = admin.post(waiting, params={"action": "commit"}, allow_redirects=False)

    assert answer.status_code == 301
    assert answer.text == f"/data/archive/projects/{project}/subjects/S1/experiments/E1\r\n"


@pytest.mark.parametrize(
    ("group", "statuses"),
    [("member", (200, 200, 200)), ("collaborator", (403, 403, 403)), (None, (404, 404, 404))],
)
def test_rights(
    project: str, waiting: str, make_user: Any, group: str | None, statuses: tuple[int, ...]
) -> None:
    """The prearchive of a project is for those who may edit its data."""
    user = make_user(**({project: group} if group else {}))

    found = (
        user.get(waiting).status_code,
        _send(user, project=project, session="NEW").status_code,
        user.post(ARCHIVE, params={"src": waiting}).status_code,
    )

    assert found == statuses
    rows = user.rows("/data/prearchive")
    assert {row["project"] for row in rows} == ({project} if group == "member" else set())


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"src": "/prearchive/projects/P"}, 400),
        ({"src": "/prearchive/projects/P/20240101_000000000/E"}, 404),
        ({"src": "../../etc/passwd"}, 400),
        ({"src": "{}", "overwrite": "maybe"}, 400),
        ({"src": "{}", "project": "NOSUCHPROJECT"}, 404),
        ({"src": "{}", "session": "a/b"}, 417),
    ],
)
def test_wrong_requests_to_archive(
    admin: Any, waiting: str, query: dict[str, str], status: int
) -> None:
    """A wrong request has its status and leaves the session waiting."""
    params = {name: value.format(waiting) for name, value in query.items()}

    assert admin.post(ARCHIVE, params=params).status_code == status
    assert admin.get(waiting).status_code == 200


@pytest.fixture
def xnatpy(sandbox: Any) -> Iterator[Any]:
    """Return an xnatpy session of the administrator."""
    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as session:
        yield session


@pytest.mark.usefixtures("waiting")
def test_xnatpy_finds_and_archives_a_session(xnatpy: Any, project: str) -> None:
    """The real client reads the session's properties, scans and files, and archives it."""
    (session,) = xnatpy.prearchive.sessions(project=project)

    assert (session.label, session.subject, session.status) == ("E1", "S1", "READY")
    assert str(session.scan_date) == "2024-01-31"
    assert [scan.series_description for scan in session.scans.values()] == ["t1 mprage", "bold"]
    archived = session.archive()
    assert (archived.label, archived.subject.label) == ("E1", "S1")
    assert len(archived.scans) == 2


@pytest.mark.usefixtures("waiting")
def test_xnatpy_moves_and_deletes_a_session(xnatpy: Any, project: str, make_project: Any) -> None:
    """The real client moves a session to another project and deletes it there."""
    other = make_project()
    (session,) = xnatpy.prearchive.sessions(project=project)
    session.move(other)

    (moved,) = xnatpy.prearchive.sessions(project=other)
    moved.delete()

    assert xnatpy.prearchive.sessions(project=project) == []
    assert xnatpy.prearchive.sessions(project=other) == []
