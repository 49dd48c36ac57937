"""Accounts, roles and groups over HTTP: who may, with which status, and what follows at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from tests.deploy.sandbox.conftest import Api, unique_name


def _facts(**changes: Any) -> dict[str, Any]:
    login = unique_name("a")
    facts = {
        "username": login, "password": "first-password", "email": f"{login}@example.org",
        "firstName": "Test", "lastName": "Account", "enabled": True, "verified": True,
    }  # fmt: skip
    return {**facts, **changes}


def _logs_in(api: Api, login: str, password: str) -> bool:
    with Api(api.url, login, password) as person:
        status = person.get("/data/auth").status_code
    assert status in {200, 401}
    return status == 200


def test_a_new_account_is_answered_with_its_profile_and_can_log_in(admin: Api) -> None:
    """201 and the profile, which holds no password; the account works and is in all lists."""
    facts = _facts()

    made = admin.post("/xapi/users", json=facts)

    assert made.status_code == 201
    profile = made.json()
    assert {name: profile[name] for name in facts if name != "password"} == {
        name: value for name, value in facts.items() if name != "password"
    }
    assert facts["password"] not in made.text
    assert _logs_in(admin, facts["username"], facts["password"])
    assert facts["username"] in admin.get("/xapi/users").json()
    (row,) = [r for r in admin.rows("/data/users") if r["login"] == facts["username"]]
    assert row == {
        "xdat_user_id": str(profile["id"]), "login": facts["username"], "firstname": "Test",
        "lastname": "Account", "email": facts["email"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"username": "has blank"}, 400),
        ({"username": ""}, 400),
        ({"username": None}, 400),
        ({"username": ["list"]}, 400),
        ({"username": "x" * 300}, 400),
        ({"username": "3f2b8a52-6d3c-4c5e-9f0e-0a8b7c6d5e4f"}, 400),
        ({"username": "guest"}, 409),
        ({"username": "Profiles"}, 409),
        ({"username": "ADMIN"}, 409),
        ({"password": ""}, 400),
        ({"password": None}, 400),
        ({"email": "no-address"}, 400),
        ({"enabled": "yes"}, 400),
        ({"firstName": "a\u0000b"}, 400),
    ],
)
def test_an_unusable_account_is_refused(admin: Api, change: dict[str, Any], status: int) -> None:
    """Each unusable value gets its status, and no account is made."""
    facts = _facts(**change)

    assert admin.post("/xapi/users", json=facts).status_code == status
    assert facts["email"] not in [row["email"] for row in admin.rows("/data/users")]


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b"\xff\xfe", b'{"username":"\\ud800"}', b"[" * 100_000, b"NaN"]
)
def test_a_body_that_is_no_account_is_refused(admin: Api, body: bytes) -> None:
    """Whatever the bytes, the answer is 400."""
    assert admin.post("/xapi/users", data=body).status_code == 400


@pytest.mark.parametrize("flag", ["enabled", "verified"])
def test_an_account_works_only_while_enabled_and_verified(
    sandbox: Any, admin: Api, flag: str
) -> None:
    """Without the flag a password is 401, an open session and a token end, and return with it."""
    facts = _facts()
    login, password = facts["username"], facts["password"]
    admin.post("/xapi/users", json=facts)
    with (
        Api(sandbox.url, login, password) as person,
        Api(sandbox.url) as by_cookie,
        Api(sandbox.url) as idle,
    ):
        token = person.get("/data/services/tokens/issue").json()
        by_cookie.cookies.update(person.cookies)
        idle.cookies["JSESSIONID"] = requests.get(
            f"{sandbox.url}/data/JSESSION", auth=(login, password), timeout=30
        ).text
        assert by_cookie.get("/data/auth").status_code == 200

        admin.put(f"/xapi/users/{login}/{flag}/false")

        assert admin.get(f"/xapi/users/{login}/{flag}").json() is False
        assert by_cookie.get("/data/auth").status_code == 401
        assert not _logs_in(admin, login, password)
        assert not _logs_in(admin, token["alias"], token["secret"])
        admin.put(f"/xapi/users/{login}/{flag}/true")
        assert by_cookie.get("/data/auth").status_code == 401
        assert idle.get("/data/auth").status_code == 401  # it was not used in the meantime
        assert _logs_in(admin, login, password)


def test_an_account_is_made_disabled_unless_it_says_otherwise(admin: Api) -> None:
    """Without 'enabled' and 'verified' nobody can log in."""
    facts = _facts()
    del facts["enabled"], facts["verified"]

    made = admin.post("/xapi/users", json=facts).json()

    assert (made["enabled"], made["verified"]) == (False, False)
    assert not _logs_in(admin, facts["username"], facts["password"])


def test_a_new_password_ends_the_old_one_at_once(admin: Api) -> None:
    """The old password is 401 on the next request, though it was used a moment before."""
    facts = _facts()
    login = facts["username"]
    admin.post("/xapi/users", json=facts)
    assert _logs_in(admin, login, facts["password"])

    changed = admin.put(f"/xapi/users/{login}", json={"password": "second-password"})

    assert changed.status_code == 200
    assert not _logs_in(admin, login, facts["password"])
    assert _logs_in(admin, login, "second-password")


def test_an_account_is_changed_by_itself_within_limits(make_user: Any, admin: Api) -> None:
    """Own names 200, unchanged 304, own flags and address 403, new login 400, others 403."""
    person, other = make_user(), make_user()
    own = f"/xapi/users/{person.login}"

    first = person.put(own, json={"firstName": "New"})
    again = person.put(own, json={"firstName": "New"})

    assert (first.status_code, first.json()["firstName"]) == (200, "New")
    assert again.status_code == 304
    assert person.put(own, json={"enabled": False}).status_code == 403
    assert person.put(own, json={"email": "somebody.else@example.org"}).status_code == 403
    assert person.put(own, json={"username": "else"}).status_code == 400
    assert person.put(f"/xapi/users/{other.login}", json={"lastName": "x"}).status_code == 403
    assert admin.put("/xapi/users/nobody-here", json={"lastName": "x"}).status_code == 404


ADMIN_ONLY = (
    "GET /xapi/users/profiles",
    "GET /xapi/users/{other}",
    "GET /xapi/users/profile/{other}",
    "GET /xapi/users/not-there",
    "GET /xapi/users/current",
    "GET /xapi/users/active",
    "GET /xapi/users/active/{other}",
    "DELETE /xapi/users/active/{other}",
    "GET /xapi/users/{own}/enabled",
    "PUT /xapi/users/{own}/enabled/true",
    "GET /xapi/users/{own}/roles",
    "PUT /xapi/users/{own}/roles/Administrator",
    "PUT /xapi/users/{own}/groups/ALL_DATA_ADMIN",
    "PUT /xapi/users/{own}/groups/{project}_owner",
    "DELETE /xapi/users/{other}/groups/{project}_owner",
    "GET /xapi/users/{other}/groups",
    "GET /xapi/users/{other}/projects",
    "GET /xapi/users/rolemap",
    "GET /xapi/users/roles/Administrator",
    "GET /xapi/access/{other}/projects",
    "GET /xapi/siteConfig",
    "GET /xapi/siteConfig/aliasTokenTimeout",
    "GET /xapi/siteConfig/not-there",
    "POST /xapi/siteConfig",
    "POST /xapi/siteConfig/requireLogin",
    "POST /xapi/users",
)


@pytest.mark.parametrize("line", ADMIN_ONLY)
def test_administration_is_for_administrators(
    make_user: Any, guest: Api, study: Any, line: str
) -> None:
    """A person gets 403 also for what is not there; nobody gets 401."""
    person, other = make_user(), make_user()
    method, _, path = line.partition(" ")
    path = path.format(own=person.login, other=other.login, project=study.project)

    assert person.request(method, path, data="{}").status_code == 403
    assert guest.request(method, path, data="{}").status_code == 401


def test_a_person_sees_the_own_account(make_user: Any, study: Any) -> None:
    """Own profile, sessions, groups and projects are readable; they say what they should."""
    person = make_user(**{study.project: "member"})
    own = f"/xapi/users/{person.login}"

    assert person.get("/xapi/users/profile").json()["username"] == person.login
    assert person.get(own).json() == person.get(f"/xapi/users/profile/{person.login}").json()
    assert person.get(f"{own}/groups").json() == [f"{study.project}_member"]
    assert person.get(f"{own}/projects").json() == [study.project]
    assert person.get(f"/xapi/users/active/{person.login}").json() == [person.cookies["JSESSIONID"]]
    assert person.get(f"/xapi/users/authDetails/{person.login}").status_code == 200


def test_a_killed_session_is_over(make_user: Any, admin: Api, sandbox: Any) -> None:
    """An administrator ends the sessions of a person; a client that has only the cookie is 401."""
    person = make_user()
    assert person.get("/data/auth").status_code == 200
    session = person.cookies["JSESSIONID"]

    ended = admin.delete(f"/xapi/users/active/{person.login}")

    assert (ended.status_code, ended.json()) == (200, [session])
    cookie = {"JSESSIONID": session}
    assert requests.get(f"{sandbox.url}/data/auth", cookies=cookie, timeout=30).status_code == 401


def test_roles_apply_at_once(make_user: Any, admin: Api) -> None:
    """A new administrator administers from the next request on, and no longer after removal."""
    person = make_user()
    role = f"/xapi/users/{person.login}/roles/Administrator"

    before = person.get("/xapi/siteConfig").status_code
    admin.put(role)
    during = person.get("/xapi/siteConfig").status_code
    shown = admin.get(f"/xapi/users/{person.login}/roles").json()
    mapped = person.login in admin.get("/xapi/users/rolemap").json()["Administrator"]
    listed = person.login in admin.get("/xapi/users/roles/Administrator").json()
    admin.delete(role)

    assert (before, during, person.get("/xapi/siteConfig").status_code) == (403, 200, 403)
    assert shown == ["Administrator"]
    assert mapped
    assert listed
    assert admin.put(f"/xapi/users/{person.login}/roles/Nothing").status_code == 404


def test_the_last_administrator_stays(fresh_sandbox: Any) -> None:
    """The role of the only administrator is not taken and the account not disabled (409)."""
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        assert admin.delete("/xapi/users/admin/roles/Administrator").status_code == 409
        assert admin.put("/xapi/users/admin/enabled/false").status_code == 409
        assert admin.put("/xapi/users/admin", json={"verified": False}).status_code == 409
        assert admin.get("/xapi/siteConfig").status_code == 200


def test_a_project_owner_manages_its_groups_through_accounts(
    make_user: Any, admin: Api, study: Any
) -> None:
    """An owner moves people within the own project; the site's groups stay the administrator's."""
    owner, person = make_user(**{study.project: "owner"}), make_user()
    groups = f"/xapi/users/{person.login}/groups"

    assert owner.put(f"{groups}/{study.project}_member").status_code == 200
    assert owner.put(f"{groups}/{study.project}_collaborator").status_code == 200
    assert person.get(groups).json() == [f"{study.project}_collaborator"]
    assert owner.delete(f"{groups}/{study.project}_collaborator").status_code == 200
    assert person.get(groups).json() == []
    assert owner.put(f"{groups}/ALL_DATA_ACCESS").status_code == 403
    assert owner.put(f"{groups}/NOT-THERE_member").status_code == 403
    assert admin.put(f"{groups}/NOT-THERE_member").status_code == 404
    assert admin.put(f"/xapi/users/guest/groups/{study.project}_member").status_code == 412
    assert admin.put(f"/xapi/users/nobody/groups/{study.project}_member").status_code == 404


def test_lists_of_users_can_be_restricted(fresh_sandbox: Any) -> None:
    """With restrictUserListAccessToAdmins others get 403 on every list, owners keep their own."""
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        people = {}
        admin.made("/data/projects/P", xsiType="xnat:projectData", accessibility="public")
        for role in ("Owners", "Members"):
            facts = _facts()
            admin.post("/xapi/users", json=facts)
            admin.made(f"/data/projects/P/users/{role}/{facts['username']}")
            people[role] = Api(fresh_sandbox.url, facts["username"], facts["password"])
        paths = ("/data/users", "/xapi/users", "/data/projects/P/users")

        open_site = {r: [p.get(path).status_code for path in paths] for r, p in people.items()}
        admin.post("/xapi/siteConfig", data=json.dumps({"restrictUserListAccessToAdmins": True}))
        closed = {r: [p.get(path).status_code for path in paths] for r, p in people.items()}
        of_admin = [admin.get(path).status_code for path in paths]
        for api in people.values():
            api.close()

    assert open_site == {"Owners": [200] * 3, "Members": [200] * 3}
    assert closed == {"Owners": [403, 403, 200], "Members": [403, 403, 403]}
    assert of_admin == [200] * 3
