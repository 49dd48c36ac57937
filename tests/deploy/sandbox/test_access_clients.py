"""Access and sharing through the clients people use: xnatpy and pyxnat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pyxnat
import requests
import xnat

from tests.deploy.sandbox.conftest import Api, Study, unique_name


@pytest.fixture
def xnatpy(sandbox: Any) -> Iterator[Any]:
    with xnat.connect(sandbox.url, user="admin", password=sandbox.admin_password) as session:
        yield session


@pytest.fixture
def central(sandbox: Any) -> Iterator[Any]:
    with pyxnat.Interface(
        server=sandbox.url, user="admin", password=sandbox.admin_password
    ) as interface:
        yield interface


def test_xnatpy_manages_the_users_of_a_project(xnatpy: Any, make_user: Any, study: Study) -> None:
    """Access given by login and by user object is seen in the list, with its level."""
    person, other = make_user(), make_user()
    project = xnatpy.projects[study.project]

    project.set_access(person.login, "Members")
    project.set_access(xnatpy.users[other.login], "collaborator")
    levels = {login: user.access_level for login, user in project.users.items()}
    project.remove_access(project.users[person.login])

    assert levels == {"admin": "Owners", person.login: "Members", other.login: "Collaborators"}
    assert set(project.users) == {"admin", other.login}


def test_xnatpy_knows_its_own_access_level(sandbox: Any, make_user: Any, study: Study) -> None:
    """The level comes from the list of accessible projects."""
    person = make_user(**{study.project: "collaborator"})

    with xnat.connect(sandbox.url, user=person.login, password=person.auth[1]) as session:
        level = session.projects[study.project].access_level

    assert level == "Collaborators"


def test_xnatpy_shares_subjects_and_sessions(xnatpy: Any, study: Study, make_project: Any) -> None:
    """Shared objects are in the receiving project under their labels there."""
    other = make_project()
    source = xnatpy.projects[study.project]

    source.subjects["S1"].share(other, label="SX")
    source.experiments["E1"].share(other, label="EX")

    target = xnatpy.projects[other]
    assert target.subjects["SX"].id == study.subject_id
    assert target.experiments["EX"].id == study.session_id
    with pytest.raises(xnat.exceptions.XNATResponseError):
        source.subjects["S1"].share(other)


def test_xnatpy_uses_an_alias_token(sandbox: Any, xnatpy: Any, study: Study) -> None:
    """A token issued by xnatpy logs in as its owner, and no longer once invalidated."""
    alias, secret = xnatpy.services.issue_token()[:2]

    with xnat.connect(sandbox.url, user=alias, password=secret) as session:
        name = session.get("/xapi/users/username").text
        found = study.project in session.projects
    xnatpy.get(f"/data/services/tokens/invalidate/{alias}")

    assert (name, found) == ("admin", True)
    with pytest.raises(xnat.exceptions.XNATLoginFailedError):
        xnat.connect(sandbox.url, user=alias, password=secret)


def test_pyxnat_manages_the_users_of_a_project(central: Any, make_user: Any, study: Study) -> None:
    """Users are added, listed by group, asked for their role, and removed."""
    people = {role: make_user().login for role in ("owner", "member", "collaborator")}
    project = central.select.project(study.project)

    for role, login in people.items():
        project.add_user(login, role)

    assert set(project.users()) == {"admin", *people.values()}
    assert set(project.owners()) == {"admin", people["owner"]}
    assert project.members() == [people["member"]]
    assert project.collaborators() == [people["collaborator"]]
    assert project.user_role(people["member"]) == "member"
    project.remove_user(people["member"])
    assert project.members() == []
    assert set(people.values()) <= set(central.manage.users())
    assert central.manage.users.email(people["owner"]) == f"{people['owner']}@example.org"


def test_pyxnat_sets_the_accessibility(central: Any, admin: Api, study: Study) -> None:
    """Each level that pyxnat sets is read back by another client."""
    project = central.select.project(study.project)

    for level in ("public", "private", "protected"):
        project.set_accessibility(level)
        shown = project.accessibility()
        told = shown.decode() if isinstance(shown, bytes) else shown
        assert told == level
        assert admin.get(f"{study.path}/accessibility").text == level


def test_pyxnat_shares_and_unshares(central: Any, study: Study, make_project: Any) -> None:
    """Shares of a subject and of a session are listed and end again."""
    other = make_project()
    subject = central.select.project(study.project).subject("S1")
    session = subject.experiment("E1")

    for thing in (subject, session):
        thing.share(other)
        assert set(thing.shares().get()) == {study.project, other}
        thing.unshare(other)
        assert thing.shares().get() == [study.project]


def test_a_guest_log_in_of_xnatpy(fresh_sandbox: Any) -> None:
    """On an open site xnatpy connects without a user; on a closed one it is refused."""
    name = unique_name()
    auth = ("admin", fresh_sandbox.admin_password)
    with pytest.raises(xnat.exceptions.XNATError):
        xnat.connect(fresh_sandbox.url, netrc_file="/dev/null")
    requests.post(
        f"{fresh_sandbox.url}/xapi/siteConfig/requireLogin", data="false", auth=auth, timeout=30
    ).raise_for_status()
    requests.put(
        f"{fresh_sandbox.url}/data/projects/{name}?xsiType=xnat:projectData&accessibility=public",
        auth=auth,
        timeout=30,
    ).raise_for_status()

    with xnat.connect(fresh_sandbox.url, netrc_file="/dev/null") as session:
        assert name in session.projects
