"""What tests of the sandbox share: requests as some user, and a project with one of everything."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from tests.builders.container_lab import Lab


class Api(requests.Session):
    """Requests to one server as one user (or as nobody); paths begin with a slash."""

    def __init__(self, url: str, login: str | None = None, password: str = "") -> None:
        super().__init__()
        self.url = url
        self.trust_env = False  # no proxy and no netrc of the machine
        self.login = login
        if login is not None:
            self.auth = (login, password)

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send one request; the path is below the server's address."""
        return super().request(method, f"{self.url}{url}", timeout=60, **options)

    def rows(self, path: str, **query: str) -> list[dict[str, str]]:
        """Return the rows of a list."""
        answer = self.get(path, params=query)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()["ResultSet"]["Result"]

    def item(self, path: str) -> dict[str, Any]:
        """Return one object's item JSON."""
        answer = self.get(f"{path}?format=json")
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        (item,) = answer.json()["items"]
        return item

    def made(self, path: str, **query: str) -> str:
        """PUT an object that must be accepted; return the answer's text (an ID or nothing)."""
        answer = self.put(path, params=query)
        assert answer.status_code in {200, 201}, (path, answer.status_code, answer.text)
        return answer.text


@dataclass(frozen=True)
class Study:
    """A project with a subject, an MR session, a scan and an assessor."""

    project: str
    subject_id: str
    session_id: str
    assessor_id: str

    @property
    def path(self) -> str:
        """Return the project's path."""
        return f"/data/projects/{self.project}"

    @property
    def session_path(self) -> str:
        """Return the session's path by labels."""
        return f"{self.path}/subjects/S1/experiments/E1"


def unique_name(prefix: str = "T") -> str:
    """Return a name that no other test uses."""
    return f"{prefix}{uuid.uuid4().hex[:10]}"


@pytest.fixture(scope="session")
def admin(sandbox: Any) -> Iterator[Api]:
    """Return requests as the shared sandbox's administrator."""
    with Api(sandbox.url, sandbox.admin_user, sandbox.admin_password) as api:
        yield api


@pytest.fixture
def make_project(admin: Api) -> Callable[..., str]:
    """Return a function that makes a project of its own for the test."""

    def make(api: Api | None = None, **query: str) -> str:
        name = unique_name()
        (api or admin).made(f"/data/projects/{name}", xsiType="xnat:projectData", **query)
        return name

    return make


@pytest.fixture
def study(admin: Api) -> Study:
    """Return a new project that holds one object of each kind."""
    return _new_study(admin)


@pytest.fixture(scope="module")
def untouched(admin: Api) -> Iterator[Study]:
    """Return such a project for all tests of a module whose requests change nothing."""
    study = _new_study(admin)
    paths = (study.path, f"{study.path}/subjects/S1", study.session_path)
    before = [admin.get(path).content for path in paths]

    yield study

    assert [admin.get(path).content for path in paths] == before


def _new_study(admin: Api) -> Study:
    project = unique_name()
    admin.made(f"/data/projects/{project}", xsiType="xnat:projectData")
    root = f"/data/projects/{project}"
    subject = admin.made(f"{root}/subjects/S1", gender="female")
    session = admin.made(
        f"{root}/subjects/S1/experiments/E1", xsiType="xnat:mrSessionData", date="2024-01-31"
    )
    admin.made(f"{root}/subjects/S1/experiments/E1/scans/1", xsiType="xnat:mrScanData", type="T1w")
    assessor = admin.made(
        f"{root}/subjects/S1/experiments/E1/assessors/A1", xsiType="xnat:qcAssessmentData"
    )
    return Study(project, subject, session, assessor)


@pytest.fixture
def guest(sandbox: Any) -> Iterator[Api]:
    """Return requests without credentials."""
    with Api(sandbox.url) as api:
        yield api


@pytest.fixture
def make_user(sandbox: Any, admin: Api) -> Iterator[Callable[..., Api]]:
    """Return a function that makes an account, puts it into project groups, and logs it in."""
    opened: list[Api] = []

    def make(**groups: str) -> Api:
        login, password = unique_name("u"), "a-test-password"
        account = {
            "username": login, "password": password, "email": f"{login}@example.org",
            "firstName": "Test", "lastName": "Account", "enabled": True, "verified": True,
        }  # fmt: skip
        answer = admin.post("/xapi/users", json=account)
        assert answer.status_code == 201, answer.text
        for project, group in groups.items():
            answer = admin.put(f"/data/projects/{project}/users/{group}/{login}")
            assert answer.status_code == 200, answer.text
        opened.append(Api(sandbox.url, login, password))
        return opened[-1]

    yield make
    for api in opened:
        api.close()


@pytest.fixture
def lab(sandbox: Any) -> Lab:
    """Return a private project of this test's own, to launch containers in."""
    return Lab(sandbox.url, sandbox.admin_password)
