"""Invitations of people without an account, and requests to join: whose they are, who answers."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.deploy.sandbox.conftest import Api, unique_name


@pytest.fixture
def private(make_project: Any) -> str:
    """Return the path of a private project."""
    return f"/data/projects/{make_project(accessibility='private')}"


@pytest.fixture
def address() -> str:
    """Return an e-mail address that no account has."""
    return f"{unique_name('New').lower()}@example.org"


def _invite(api: Api, project: str, address: str, group: str = "member") -> int:
    return api.put(f"{project}/users/{group}/{address}").status_code


def _join(sandbox: Any, admin: Api, address: str) -> Api:
    """Have the administrator make the account that was invited; return its requests."""
    login = unique_name("u")
    account = {"username": login, "password": "a-password", "email": address, "enabled": True}
    made = admin.post("/xapi/users", json={**account, "verified": True})
    assert made.status_code == 201
    return Api(sandbox.url, login, "a-password")


def test_accepted_invitation_makes_a_member(
    sandbox: Any, admin: Api, private: str, address: str
) -> None:
    """Who is invited sees nothing of the project until the invitation is accepted, once."""
    assert _invite(admin, private, address.upper()) == 200

    with _join(sandbox, admin, address) as person:
        (row,) = person.rows("/data/pars")
        before = person.get(f"{private}/subjects").status_code
        accepted = person.put(f"/data/pars/{row['id']}?accept=true").status_code
        after = person.get(f"{private}/subjects").status_code
        again = person.put(f"/data/pars/{row['id']}?decline=true").status_code
        left = person.rows("/data/pars")

    assert (row["proj_id"], row["level"]) == (private.rpartition("/")[2], "member")
    assert (before, accepted, after, again, left) == (404, 200, 200, 409, [])
    assert [each["approved"] for each in admin.rows(f"{private}/pars")] == ["true"]


def test_declined_invitation_gives_nothing(
    sandbox: Any, admin: Api, private: str, address: str
) -> None:
    """A declined invitation leaves the project hidden and cannot be accepted any more."""
    _invite(admin, private, address, "owner")

    with _join(sandbox, admin, address) as person:
        (row,) = person.rows("/data/pars")
        declined = person.put(f"/data/pars/{row['id']}?decline=true").status_code
        accepted = person.put(f"/data/pars/{row['id']}?accept=true").status_code
        seen = person.get(f"{private}/subjects").status_code

    assert (declined, accepted, seen) == (200, 409, 404)
    assert [each["approved"] for each in admin.rows(f"{private}/pars")] == ["false"]


def test_nobody_takes_the_invitation_of_another(
    sandbox: Any, admin: Api, make_user: Any, private: str, address: str
) -> None:
    """Neither a stranger nor an older account that is given the invited address can accept."""
    _invite(admin, private, address)
    thief = make_user()
    changed = admin.put(f"/xapi/users/{thief.login}", json={"email": address})
    number = admin.rows(f"{private}/pars")[0]["id"]

    answers = [api.put(f"/data/pars/{number}?accept=true").status_code for api in (thief, admin)]

    assert changed.status_code == 200
    assert thief.rows("/data/pars") == []
    assert answers == [404, 404]
    with _join(sandbox, admin, address) as person:
        assert len(person.rows("/data/pars")) == 1


def test_later_invitation_replaces_the_first(
    sandbox: Any, admin: Api, private: str, address: str
) -> None:
    """An address invited twice into a project has the second group only."""
    _invite(admin, private, address, "owner")
    _invite(admin, private, address, "collaborator")

    with _join(sandbox, admin, address) as person:
        levels = [row["level"] for row in person.rows("/data/pars")]

    assert levels == ["collaborator"]


def test_only_owners_invite_and_see_invitations(
    admin: Api, make_user: Any, private: str, address: str
) -> None:
    """Members may neither invite nor see who is invited; to strangers the project is hidden."""
    project = private.rpartition("/")[2]
    people = [make_user(**{project: role}) for role in ("owner", "member", "collaborator")]
    people.append(make_user())

    answers = [
        (_invite(api, private, address), api.get(f"{private}/pars").status_code) for api in people
    ]

    assert answers == [(200, 200), (403, 403), (403, 403), (404, 404)]
    assert len(admin.rows(f"{private}/pars")) == 1


@pytest.mark.parametrize("query", ["", "?accept=false", "?accept=true&decline=true"])
def test_an_answer_is_yes_or_no(
    sandbox: Any, admin: Api, private: str, address: str, query: str
) -> None:
    """An answer that is neither, or both, is refused with 400."""
    _invite(admin, private, address)

    with _join(sandbox, admin, address) as person:
        (row,) = person.rows("/data/pars")

        assert person.put(f"/data/pars/{row['id']}{query}").status_code == 400
        assert person.put("/data/pars/x?accept=true").status_code == 400
        assert person.put("/data/pars/999999?accept=true").status_code == 404


def test_invitations_need_the_site_to_allow_them(fresh_sandbox: Any) -> None:
    """Where the site wants no invitations, inviting is 403; strangers have none to see."""
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        admin.made("/data/projects/P", xsiType="xnat:projectData")
        assert admin.post("/xapi/siteConfig/par", data="false").status_code == 200

        assert _invite(admin, "/data/projects/P", "somebody@example.org") == 403
    with Api(fresh_sandbox.url) as nobody:
        assert nobody.get("/data/pars").status_code == 401
        assert nobody.put("/data/pars/1?accept=true").status_code == 401


# Requests to join -----------------------------------------------------------------------------


@pytest.fixture
def protected(admin: Api, make_project: Any) -> str:
    """Return the path of a project whose record everybody sees, and whose data nobody."""
    path = f"/data/projects/{make_project()}"
    assert admin.put(f"{path}/accessibility/protected").status_code == 200
    return path


def _ask(api: Api, path: str, level: str = "collaborator") -> requests.Response:
    form = {"project": path.rpartition("/")[2], "access_level": level, "comments": "please"}
    return api.post("/app/action/RequestAccess", data=form)


def test_an_owner_lets_in_who_asked(make_user: Any, protected: str) -> None:
    """A request gives nothing until an owner accepts it; it is answered once."""
    owner = make_user(**{protected.rpartition("/")[2]: "owner"})
    person = make_user()

    number = _ask(person, protected).text
    (row,) = owner.rows(f"{protected}/pars")
    before = person.get(f"{protected}/subjects").status_code
    accepted = owner.put(f"/data/pars/{number}?accept=true").status_code
    after = person.get(f"{protected}/subjects").status_code
    again = owner.put(f"/data/pars/{number}?accept=true").status_code

    assert (row["id"], row["login"], row["level"], row["kind"]) == (
        number, person.login, "collaborator", "request",
    )  # fmt: skip
    assert (before, accepted, after, again) == (403, 200, 200, 409)
    assert person.rows(f"/data/pars/{number}")[0]["approved"] == "true"


def test_a_declined_request_gives_nothing(admin: Api, make_user: Any, protected: str) -> None:
    """Who was declined stays outside, and may ask again."""
    person = make_user()
    number = _ask(person, protected).text

    assert admin.put(f"/data/pars/{number}?decline=true").status_code == 200
    assert person.get(f"{protected}/subjects").status_code == 403
    assert _ask(person, protected).status_code == 200


def test_nobody_lets_in_the_own_person(make_user: Any, protected: str) -> None:
    """Who asked may look at the request and not answer it; members and strangers neither."""
    project = protected.rpartition("/")[2]
    person = make_user()
    number = _ask(person, protected, "owner").text
    others = [make_user(**{project: "member"}), make_user(**{project: "collaborator"}), make_user()]

    own = person.put(f"/data/pars/{number}?accept=true").status_code
    answers = [api.put(f"/data/pars/{number}?accept=true").status_code for api in others]

    assert own == 403
    assert answers == [404, 404, 404]
    assert person.get(f"{protected}/subjects").status_code == 403
    assert person.rows("/data/pars") == []


def test_a_hidden_project_cannot_be_asked_for(
    guest: Api, make_user: Any, private: str, protected: str
) -> None:
    """A private project answers as one that is not there; the guest asks for nothing."""
    person = make_user()

    assert _ask(person, private).status_code == _ask(person, "/NOTTHERE").status_code == 404
    assert _ask(guest, protected).status_code == 401
    assert _ask(person, protected, "admin").status_code == 400


def test_an_old_request_takes_no_access_away(admin: Api, make_user: Any, protected: str) -> None:
    """Accepting a request for less than a person has by now changes nothing: 409."""
    project = protected.rpartition("/")[2]
    person = make_user()
    number = _ask(person, protected, "collaborator").text
    admin.put(f"{protected}/users/owner/{person.login}")

    assert admin.put(f"/data/pars/{number}?accept=true").status_code == 409
    groups = {row["login"]: row["GROUP_ID"] for row in admin.rows(f"{protected}/users")}
    assert groups[person.login] == f"{project}_owner"
    assert _ask(person, protected, "member").status_code == 409
