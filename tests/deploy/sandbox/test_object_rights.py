"""Who may create, read, change and delete objects: the cells of the access matrix."""

from __future__ import annotations

from typing import Any

import pytest

READS = (
    ("GET", "{p}", ""),
    ("GET", "{p}/subjects/S1", ""),
    ("GET", "{e}", ""),
    ("GET", "{e}/scans/1", ""),
)
CREATES = (
    ("PUT", "{p}/subjects/S2", "gender=male"),
    ("PUT", "{p}/subjects/S1/experiments/E2", "xsiType=xnat:mrSessionData"),
    ("PUT", "{p}/subjects/S3/experiments/E3", "xsiType=xnat:mrSessionData"),
    ("PUT", "{e}/scans/2", "xsiType=xnat:mrScanData"),
    ("PUT", "{e}/assessors/A2", "xsiType=xnat:qcAssessmentData"),
    ("POST", "{p}/subjects", "label=S4"),
)
EDITS = (
    ("PUT", "{p}/subjects/S1", "gender=male"),
    ("PUT", "{p}/subjects/S1", "label=S9"),
    ("PUT", "{e}", "date=2024-05-05"),
    ("PUT", "{e}/scans/1", "type=T2w"),
)
DELETES = (
    ("DELETE", "{e}/scans/1", ""),
    ("DELETE", "{e}/assessors/A1", ""),
    ("DELETE", "{e}", ""),
    ("DELETE", "{p}/subjects/S1", ""),
)
RECORD_EDITS = (("PUT", "{p}", "description=x"), ("PUT", "{p}/prearchive_code/4", ""))
RECORD_DELETES = (("DELETE", "{p}", ""),)

# role: read, create, edit, delete of data; edit and delete of the record.
ALLOWED = {
    "owner": "RCEDed",
    "member": "RCE",
    "collaborator": "R",
}
GROUPS = {
    "R": READS,
    "C": CREATES,
    "E": EDITS,
    "D": DELETES,
    "e": RECORD_EDITS,
    "d": RECORD_DELETES,
}
CELLS = [
    (role, letter, *request)
    for role in ALLOWED
    for letter, requests in GROUPS.items()
    for request in requests
]


@pytest.mark.parametrize(("role", "letter", "method", "path", "query"), CELLS)
def test_groups_have_their_rights(  # noqa: PLR0913, PLR0917 - a cell of the matrix
    make_user: Any, study: Any, role: str, letter: str, method: str, path: str, query: str
) -> None:
    """Each standard group may do what the matrix says and is refused the rest with 403."""
    person = make_user(**{study.project: role})

    answer = person.request(method, path.format(p=study.path, e=study.session_path) + f"?{query}")

    if letter in ALLOWED[role]:
        assert answer.status_code in {200, 201}, answer.text
    else:
        assert answer.status_code == 403, answer.text


STRANGERS = [
    ("private", "GET", "{p}", 404),
    ("private", "GET", "{p}/subjects/S1", 404),
    ("private", "GET", "{e}/scans/1", 404),
    ("private", "PUT", "{p}/subjects/S2", 404),
    ("private", "DELETE", "{e}", 404),
    ("private", "GET", "{p}/subjects", 404),
    ("private", "PUT", "{p}?description=x", 403),
    ("protected", "GET", "{p}", 200),
    ("protected", "GET", "{p}/subjects/S1", 404),
    ("protected", "GET", "{e}", 404),
    ("protected", "PUT", "{p}/subjects/S2", 403),
    ("protected", "PUT", "{p}?description=x", 403),
    ("protected", "DELETE", "{p}", 403),
    ("protected", "GET", "{p}/subjects", 403),
    ("public", "GET", "{p}", 200),
    ("public", "GET", "{e}", 200),
    ("public", "GET", "{p}/subjects", 200),
    ("public", "PUT", "{p}/subjects/S2", 403),
    ("public", "PUT", "{e}/scans/1?type=x", 403),
    ("public", "DELETE", "{e}/scans/1", 403),
]


@pytest.mark.parametrize(("level", "method", "path", "status"), STRANGERS)
def test_strangers_see_what_the_level_shows(  # noqa: PLR0913, PLR0917 - a cell of the matrix
    admin: Any, make_user: Any, study: Any, level: str, method: str, path: str, status: int
) -> None:
    """A person outside the project gets 404 where it is hidden and 403 where only acting is."""
    admin.made(study.path, accessibility=level)

    answer = make_user().request(method, path.format(p=study.path, e=study.session_path))

    assert answer.status_code == status, answer.text


def test_lists_hold_readable_rows_only(admin: Any, make_user: Any, study: Any) -> None:
    """Site-wide lists of a stranger have no row of a private project, those of a member all."""
    admin.made(study.path, accessibility="private")
    stranger, member = make_user(), make_user(**{study.project: "collaborator"})

    for path, key in (
        ("/data/projects", study.project),
        ("/data/subjects", study.subject_id),
        ("/data/experiments", study.session_id),
    ):
        assert key not in {row["ID"] for row in stranger.rows(path)}
        assert key in {row["ID"] for row in member.rows(path)}


def test_an_object_shared_into_a_readable_project_is_listed_there(
    admin: Any, make_user: Any, study: Any, make_project: Any
) -> None:
    """Who reads only the receiving project sees the object under its label there."""
    other = make_project(accessibility="private")
    admin.made(study.path, accessibility="private")
    admin.made(f"{study.session_path}/projects/{other}", label="E-x")
    person = make_user(**{other: "member"})

    (row,) = person.rows("/data/experiments", ID=study.session_id)

    assert (row["label"], row["project"]) == ("E-x", other)
    assert person.get(f"/data/projects/{other}/experiments/E-x").status_code == 200
    assert person.get(study.session_path).status_code == 404


def test_deleting_through_a_share_only_ends_the_share(
    admin: Any, make_user: Any, study: Any, make_project: Any
) -> None:
    """The receiving project's owner ends the share; subject, session and scan stay."""
    other = make_project()
    for path in (f"{study.path}/subjects/S1", study.session_path):
        admin.made(f"{path}/projects/{other}")
    person = make_user(**{other: "owner"})

    scan = person.delete(f"/data/projects/{other}/experiments/E1/scans/1")
    ends = [
        person.delete(f"/data/projects/{other}/{name}?removeFiles=true").status_code
        for name in ("subjects/S1/experiments/E1", "subjects/S1")
    ]

    assert scan.status_code == 403
    assert ends == [200, 200]
    assert admin.get(f"{study.session_path}/scans/1").status_code == 200
    assert admin.rows(f"/data/projects/{other}/experiments") == []


def test_other_projects_data_stop_a_deletion(admin: Any, study: Any, make_project: Any) -> None:
    """A subject is not deleted while another project has a session of it."""
    other = make_project()
    admin.made(f"{study.path}/subjects/S1/projects/{other}")
    admin.made(
        f"/data/projects/{other}/subjects/S1/experiments/{other}", xsiType="xnat:mrSessionData"
    )

    answers = [admin.delete(f"{study.path}/subjects/S1"), admin.delete(study.path)]

    assert [answer.status_code for answer in answers] == [409, 409]
    assert admin.get(study.session_path).status_code == 200


def test_creating_projects_can_be_kept_to_administrators(
    fresh_sandbox: Any,
) -> None:
    """The site switches for creation and visibility are obeyed, and guests never create."""
    from tests.deploy.sandbox.conftest import Api  # noqa: PLC0415 - the fixture's server is needed

    url = fresh_sandbox.url
    with (
        Api(url, fresh_sandbox.admin_user, fresh_sandbox.admin_password) as admin,
        Api(url, "somebody", "a-test-password") as person,
        Api(url) as nobody,
    ):
        account = {
            "username": "somebody", "password": "a-test-password", "email": "s@example.org",
            "firstName": "Test", "lastName": "Account", "enabled": True, "verified": True,
        }  # fmt: skip
        assert admin.post("/xapi/users", json=account).status_code == 201
        seen = [person.put("/data/projects/A1?name=x").status_code]
        admin.post("/xapi/siteConfig", json={"uiAllowNonAdminProjectCreation": False})
        seen.append(person.put("/data/projects/A2?name=y").status_code)
        admin.post("/xapi/siteConfig", json={"securityAllowNonPrivateProjects": False})
        seen.append(admin.put("/data/projects/A3?accessibility=public").status_code)
        seen.append(admin.put("/data/projects/A3?name=z").status_code)
        level = admin.get("/data/projects/A3/accessibility").text
        seen.append(nobody.put("/data/projects/A4?name=w").status_code)
        admin.post("/xapi/siteConfig", json={"requireLogin": False})
        seen.append(nobody.put("/data/projects/A4?name=w").status_code)

    assert seen == [200, 403, 403, 200, 401, 403]
    assert level == "private"
