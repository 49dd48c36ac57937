"""XNAT's permission matrix, cell by cell, over real HTTP: who, on what accessibility, may do what.

The table is written from the description of XNAT's access model, not from the code.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from deploy import sandbox_process
from tests.conftest import start_sandbox
from tests.deploy.sandbox.conftest import Api, unique_name

ACCESSIBILITIES = ("private", "protected", "public")
KINDS = ("record", "data", "write", "delete", "drop", "manage")

# Expected status of: project record and data read, data written, data deleted, the project
# deleted, users and accessibility managed; for a private, a protected and a public project.
ALL = (200, 200, 200, 200, 200, 200)
READ_ONLY = (200, 200, 403, 403, 403, 403)
NOT_LOGGED_IN = (401, 401, 401, 401, 401, 401)
HIDDEN = (404, 404, 404, 404, 404, 404)
RECORD_ONLY = (200, 404, 403, 404, 403, 403)
MATRIX = {
    "bad credentials": (NOT_LOGGED_IN, NOT_LOGGED_IN, NOT_LOGGED_IN),
    "nobody, closed site": (NOT_LOGGED_IN, NOT_LOGGED_IN, NOT_LOGGED_IN),
    "guest, open site": (HIDDEN, RECORD_ONLY, READ_ONLY),
    "stranger": (HIDDEN, RECORD_ONLY, READ_ONLY),
    "collaborator": (READ_ONLY, READ_ONLY, READ_ONLY),
    "member": ((200, 200, 200, 403, 403, 403),) * 3,
    "owner": (ALL, ALL, ALL),
    "ALL_DATA_ACCESS": (READ_ONLY, READ_ONLY, READ_ONLY),
    "ALL_DATA_ADMIN": (ALL, ALL, ALL),
    "Administrator": (ALL, ALL, ALL),
}

# What each kind of request is; {p} project, {s} subject, {e} session, {u} a person.
REQUESTS = {
    "record": (
        "GET {p}?format=json",
        "GET {p}/accessibility",
    ),
    "data": (
        "GET {p}/subjects/S1?format=json",
        "GET {p}/experiments/E1?format=json",
        "GET {p}/experiments/E1/scans/1?format=json",
        "GET {p}/experiments/E1/scans",
        "GET {p}/experiments/E1/assessors/A1?format=json",
        "GET {p}/experiments/E1/scans/1/resources/R/files/f.txt",
        "GET {p}/subjects/S1/projects",
        "GET /data/experiments/{e}?format=json",
        "GET /data/subjects/{s}?format=json",
    ),
    "write": (
        "PUT {p}/subjects/S2?gender=male",
        "PUT {p}/subjects/S1?gender=female",
        "PUT {p}/subjects/S1/experiments/E2?xsiType=xnat:mrSessionData",
        "PUT {p}/experiments/E1?note=x",
        "PUT {p}/experiments/E1/scans/2?xsiType=xnat:mrScanData",
        "PUT {p}/experiments/E1/scans/1?type=T2w",
        "PUT {p}/experiments/E1/assessors/A2?xsiType=xnat:qcAssessmentData",
    ),
    "delete": (
        "DELETE {p}/experiments/E1/scans/1",
        "DELETE {p}/experiments/E1/assessors/A1",
        "DELETE {p}/subjects/S1/experiments/E1",
        "DELETE {p}/subjects/S1",
    ),
    "drop": ("DELETE {p}",),
    "manage": (
        "PUT {p}/users/Collaborators/{u}",
        "DELETE {p}/users/Collaborators/{u}",
        "PUT {p}/accessibility/public",
        "PUT {p}/groups/reviewers?xnat:mrSessionData=read",
        "DELETE {p}/groups/reviewers",
    ),
}
CELLS = list(itertools.product(MATRIX, ACCESSIBILITIES, KINDS))


@dataclass(frozen=True)
class Place:
    """A project with one object of each kind, and the account numbers of its requests."""

    names: dict[str, str]

    def request(self, person: Api, line: str) -> int:
        """Send one request of the table; creation counts as 200."""
        method, _, path = line.partition(" ")
        status = person.request(method, path.format(**self.names)).status_code
        return 200 if status == 201 else status


@dataclass(frozen=True)
class World:
    """A closed and an open site with a person of each role; projects are made on demand."""

    people: dict[str, Api]
    make_place: Callable[[str, str], Place]


def _account(admin: Api) -> tuple[str, str]:
    login, password = unique_name("m"), "a-test-password"
    answer = admin.post(
        "/xapi/users",
        json={
            "username": login, "password": password, "email": f"{login}@example.org",
            "enabled": True, "verified": True,
        },
    )  # fmt: skip
    assert answer.status_code == 201, answer.text
    return login, password


def _make_place(admin: Api, accessibility: str, groups: dict[str, str]) -> Place:
    root = f"/data/projects/{unique_name()}"
    admin.made(root, xsiType="xnat:projectData", accessibility=accessibility)
    subject = admin.made(f"{root}/subjects/S1", gender="female")
    session = admin.made(f"{root}/subjects/S1/experiments/E1", xsiType="xnat:mrSessionData")
    admin.made(f"{root}/experiments/E1/scans/1", xsiType="xnat:mrScanData", type="T1w")
    admin.made(f"{root}/experiments/E1/assessors/A1", xsiType="xnat:qcAssessmentData")
    admin.made(f"{root}/experiments/E1/scans/1/resources/R")
    put = admin.put(f"{root}/experiments/E1/scans/1/resources/R/files/f.txt?inbody=true", data=b"x")
    assert put.status_code == 200, put.text
    for login, group in groups.items():
        admin.made(f"{root}/users/{group}/{login}")
    other, _ = _account(admin)
    return Place({"p": root, "s": subject, "e": session, "u": other})


@pytest.fixture(scope="module")
def open_admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The administrator of a site of this module's own, open to guests."""
    root = tmp_path_factory.mktemp("open-site")
    server = start_sandbox(root)
    with Api(server.url, server.admin_user, server.admin_password) as api:
        assert api.post("/xapi/siteConfig/requireLogin", data="false").status_code == 200
        yield api
    sandbox_process.stop(root)


@pytest.fixture(scope="module")
def world(admin: Api, open_admin: Api) -> Iterator[World]:
    """The people of the matrix; a project is made once for each set of refused requests."""
    people = {
        "bad credentials": Api(admin.url, admin.login, "not-the-password"),
        "nobody, closed site": Api(admin.url),
        "guest, open site": Api(open_admin.url),
        "Administrator": admin,
    }
    groups = {}
    for role in ("stranger", "collaborator", "member", "owner"):
        login, password = _account(admin)
        people[role] = Api(admin.url, login, password)
        if role != "stranger":
            groups[login] = role
    for role in ("ALL_DATA_ACCESS", "ALL_DATA_ADMIN"):
        login, password = _account(admin)
        people[role] = Api(admin.url, login, password)
        assert admin.put(f"/xapi/users/{login}/groups/{role}").status_code == 200

    def make(role: str, accessibility: str) -> Place:
        if role == "guest, open site":
            return _make_place(open_admin, accessibility, {})
        return _make_place(admin, accessibility, groups)

    yield World(people, make)
    for role, api in people.items():
        if role != "Administrator":
            api.close()


@pytest.mark.parametrize(("role", "accessibility", "kind"), CELLS)
def test_every_cell_of_the_matrix(world: World, role: str, accessibility: str, kind: str) -> None:
    """Each request of a kind gets the status that the matrix has for this role and level."""
    expected = MATRIX[role][ACCESSIBILITIES.index(accessibility)][KINDS.index(kind)]
    place = world.make_place(role, accessibility)

    found = {line: place.request(world.people[role], line) for line in REQUESTS[kind]}

    assert found == dict.fromkeys(REQUESTS[kind], expected)


def test_a_protected_project_tells_a_stranger_nothing_of_its_contents(
    admin: Any, make_user: Any
) -> None:
    """Whatever is asked, there and not there are answered alike, in status and in words."""
    place = _make_place(admin, "protected", {})
    stranger = make_user()
    root = place.names["p"]
    pairs = [
        ("GET", "/subjects/S1", "/subjects/S7"),
        ("PUT", "/subjects/S1?gender=male", "/subjects/S7?gender=male"),
        ("PUT", "/subjects/S1?gender=martian", "/subjects/S7?gender=martian"),
        ("PUT", "/experiments/E1?note=x", "/experiments/E7?note=x"),
        ("PUT", "/experiments/E1/scans/1?type=x", "/experiments/E7/scans/1?type=x"),
        ("PUT", "/experiments/E1/assessors/A1?note=x", "/experiments/E1/assessors/A7?note=x"),
        ("PUT", "/experiments/E1/resources/Q", "/experiments/E7/resources/Q"),
        ("DELETE", "/subjects/S1", "/subjects/S7"),
        ("DELETE", "/experiments/E1", "/experiments/E7"),
        ("PUT", "/subjects/S1/projects/X", "/subjects/S7/projects/X"),
    ]

    for method, there, absent in pairs:
        first = stranger.request(method, f"{root}{there}")
        second = stranger.request(method, f"{root}{absent}")

        words = first.text.replace("S1", "S7").replace("E1", "E7").replace("A1", "A7")
        assert (first.status_code, words) == (
            second.status_code,
            second.text.replace("E1", "E7"),
        ), (method, there)
        assert first.status_code in {403, 404}
