"""Accessibility, users and groups of a project over HTTP."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import pytest

from tests.deploy.sandbox.conftest import Api, Study, unique_name

STANDARD = {"owner": "Owners", "member": "Members", "collaborator": "Collaborators"}


def _groups_of(admin: Api, project: str, login: str) -> list[str]:
    rows = admin.rows(f"/data/projects/{project}/users")
    return [row["displayname"] for row in rows if row["login"] == login]


@pytest.mark.parametrize(
    ("word", "stored"),
    [
        ("private", "private"),
        ("protected", "protected"),
        ("public", "public"),
        ("Public", "private"),
        ("open", "private"),
        ("pub%20lic", "private"),
    ],
)
def test_unknown_accessibility_is_stored_as_private(
    admin: Api, make_project: Any, word: str, stored: str
) -> None:
    """The answer is 200 whatever the word; reading back tells what is stored."""
    path = f"/data/projects/{make_project(accessibility='public')}/accessibility"

    put = admin.put(f"{path}/{word}")
    got = admin.get(path)
    made = make_project(accessibility=unquote(word))

    assert put.status_code == 200
    assert (got.status_code, got.text) == (200, stored)
    assert admin.get(f"/data/projects/{made}/accessibility").text == stored


def test_accessibility_of_a_protected_project(
    make_user: Any, guest: Api, sandbox: Any, make_project: Any
) -> None:
    """A stranger reads it and may not set it; a wrong password is 401; no project is 404."""
    path = f"/data/projects/{make_project(accessibility='protected')}/accessibility"
    stranger = make_user()

    got = stranger.get(path)

    assert (got.status_code, got.text) == (200, "protected")
    assert stranger.put(f"{path}/public").status_code == 403
    assert guest.get(path).status_code == 401
    with Api(sandbox.url, stranger.login, "wrong") as impostor:
        assert impostor.get(path).status_code == 401
        assert impostor.put(f"{path}/public").status_code == 401
    assert stranger.get("/data/projects/NOT-THERE/accessibility").status_code == 404
    assert stranger.put("/data/projects/NOT-THERE/accessibility/public").status_code == 404


def test_a_site_can_allow_private_projects_only(fresh_sandbox: Any) -> None:
    """Then opening a project is 403, also when it is made; closing one stays possible."""
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        admin.made("/data/projects/P", xsiType="xnat:projectData", accessibility="public")
        admin.post("/xapi/siteConfig/securityAllowNonPrivateProjects", data="false")

        opened = [admin.put(f"/data/projects/P/accessibility/{w}").status_code for w in STANDARD]
        refused = [
            admin.put(f"/data/projects/P/accessibility/{word}").status_code
            for word in ("public", "protected")
        ]
        made = admin.put("/data/projects/Q?xsiType=xnat:projectData&accessibility=public")
        plain = admin.put("/data/projects/R?xsiType=xnat:projectData")

        assert opened == [200] * 3  # unknown words: private
        assert refused == [403, 403]
        assert made.status_code == 403
        assert plain.status_code == 200
        assert admin.get("/data/projects/R/accessibility").text == "private"


@pytest.mark.parametrize(
    ("group", "form"),
    list(itertools.product(STANDARD.items(), ("{id}_{end}", "{end}", "{display}"))),
)
def test_a_group_is_named_by_id_end_or_display_name(
    make_user: Any, admin: Api, study: Study, group: tuple[str, str], form: str
) -> None:
    """Adding answers the table of users; the person moves out of the other groups."""
    suffix, display = group
    person = make_user(**{study.project: "member" if suffix != "member" else "owner"})
    name = form.format(id=study.project, end=suffix, display=display)

    answer = admin.put(f"{study.path}/users/{name}/{person.login}?format=json")

    rows = [r for r in answer.json()["ResultSet"]["Result"] if r["login"] == person.login]
    assert [(row["GROUP_ID"], row["displayname"]) for row in rows] == [
        (f"{study.project}_{suffix}", display)
    ]
    assert set(rows[0]) == {
        "GROUP_ID", "displayname", "login", "firstname", "lastname", "email",
    }  # fmt: skip


def test_a_person_is_named_by_login_number_or_address(
    make_user: Any, admin: Api, study: Study
) -> None:
    """All three names find the account; an unknown address is invited, the guest is 412."""
    for pick in ("login", "xdat_user_id", "email"):
        person = make_user()
        (row,) = [r for r in admin.rows("/data/users") if r["login"] == person.login]
        assert admin.put(f"{study.path}/users/Members/{row[pick]}").status_code == 200
        assert _groups_of(admin, study.project, person.login) == ["Members"]

    users = f"{study.path}/users"
    assert admin.put(f"{users}/Members/guest").status_code == 412
    assert admin.put(f"{users}/Members/nobody@example.org").status_code == 200
    assert admin.put(f"{users}/Members/{'9' * 30}").status_code == 404
    assert admin.put(f"{users}/Nothing/{admin.login}").status_code == 404
    assert admin.delete(f"{users}/Nothing/{admin.login}").status_code == 400
    assert admin.delete(f"{users}/Members/nobody").status_code == 404
    assert admin.put(f"/data/projects/NOT-THERE/users/Members/{admin.login}").status_code == 404


def test_several_people_are_named_with_commas(make_user: Any, admin: Api, study: Study) -> None:
    """All of a list come into a group and leave it, or none; reading there is the whole table."""
    first, second = make_user(), make_user()
    both = f"{study.path}/users/Members/{first.login},{second.login}"

    added = admin.put(both)
    read = admin.get(f"{study.path}/users/Members/{first.login}")
    half = admin.delete(f"{study.path}/users/Members/{first.login},nobody")
    still = _groups_of(admin, study.project, first.login)
    removed = admin.delete(both)

    assert (added.status_code, half.status_code, removed.status_code) == (200, 404, 200)
    assert {first.login, second.login} < {
        row["login"] for row in read.json()["ResultSet"]["Result"]
    }
    assert still == ["Members"]
    assert _groups_of(admin, study.project, second.login) == []
    assert admin.put(f"{study.path}/users/Members/{first.login},guest").status_code == 412
    assert _groups_of(admin, study.project, first.login) == []


def test_only_owners_manage_users(make_user: Any, study: Study) -> None:
    """Members and collaborators get 403, also for themselves; an owner may."""
    for role, status in (("member", 403), ("collaborator", 403), ("owner", 200)):
        person = make_user(**{study.project: role})
        own = f"{study.path}/users/Members/{person.login}"

        assert person.put(own).status_code == status
        if role != "owner":
            assert person.delete(own).status_code == 403


def test_who_is_removed_during_an_upload_uploads_nothing(
    make_user: Any, admin: Api, study: Study
) -> None:
    """The right is asked for again when the body is complete."""
    admin.made(f"{study.path}/accessibility/private")
    person = make_user(**{study.project: "member"})
    files = f"{study.session_path}/resources/R/files"

    def body() -> Iterator[bytes]:
        yield b"first" * 10_000
        assert admin.delete(f"{study.path}/users/Members/{person.login}").status_code == 200
        yield b"last"

    answer = person.put(f"{files}/f.txt?inbody=true", data=body())

    assert answer.status_code in {403, 404}
    assert admin.get(f"{files}/f.txt").status_code == 404


def test_disabled_users_are_listed_only_when_asked_for(
    make_user: Any, admin: Api, study: Study
) -> None:
    """The list leaves a disabled account out, users/true has it."""
    person = make_user(**{study.project: "member"})
    admin.put(f"/xapi/users/{person.login}/enabled/false")

    plain = {row["login"] for row in admin.rows(f"{study.path}/users")}
    everybody = {row["login"] for row in admin.rows(f"{study.path}/users/true")}

    assert person.login not in plain
    assert person.login in everybody


def test_site_wide_readers_are_listed_only_when_asked_for(
    make_user: Any, admin: Api, study: Study
) -> None:
    """includeAllDataAccess=true adds the groups of the site."""
    person = make_user()
    admin.put(f"/xapi/users/{person.login}/groups/ALL_DATA_ACCESS")

    plain = {row["login"] for row in admin.rows(f"{study.path}/users")}
    more = {row["login"] for row in admin.rows(f"{study.path}/users", includeAllDataAccess="true")}

    assert person.login not in plain
    assert person.login in more


# Custom groups ----------------------------------------------------------------------------------

LEVELS = {  # level: read, edit, create, delete of sessions
    "none": (404, 404, 403, 404),
    "read": (200, 403, 403, 403),
    "edit": (200, 200, 201, 403),
    "all": (200, 200, 201, 200),
}


@pytest.mark.parametrize("level", LEVELS)
def test_a_custom_group_has_its_level_on_its_type(
    make_user: Any, admin: Api, study: Study, level: str
) -> None:
    """Sessions as granted, subjects and the record readable, other types not at all."""
    admin.made(f"{study.path}/accessibility/private")
    admin.made(f"{study.path}/groups/raters", **{"xnat:mrSessionData": level})
    person = make_user(**{study.project: "raters"})
    session = study.session_path

    found = (
        person.get(session).status_code,
        person.put(f"{session}?note=x").status_code,
        person.put(
            f"{study.path}/subjects/S1/experiments/E2?xsiType=xnat:mrSessionData"
        ).status_code,
        person.delete(session).status_code,
    )

    assert found == LEVELS[level]
    assert person.get(study.path).status_code == 200
    assert person.get(f"{study.path}/subjects/S1").status_code == 200
    assert person.put(f"{study.path}/subjects/S1?gender=male").status_code == 403
    assert person.delete(study.path).status_code == 403
    pet = f"{study.path}/subjects/S1/experiments/PET?xsiType=xnat:petSessionData"
    assert person.put(pet).status_code == 403


def test_groups_are_listed_changed_and_deleted(make_user: Any, admin: Api, study: Study) -> None:
    """A custom group appears with its users; deleted, it gives nothing any more."""
    group = f"{study.path}/groups/raters"
    admin.made(f"{study.path}/accessibility/private")
    admin.made(group, **{"xnat:mrSessionData": "read"})
    person = make_user(**{study.project: "raters"})

    rows = {row["displayname"]: row for row in admin.rows(f"{study.path}/groups")}
    before = person.get(study.session_path).status_code
    admin.made(group, **{"xnat:mrSessionData": "none"})
    changed = person.get(study.session_path).status_code
    deleted = admin.delete(group).status_code
    after = person.get(study.path).status_code

    assert list(rows) == [*STANDARD.values(), "raters"]
    assert rows["raters"] == {
        "id": f"{study.project}_raters", "displayname": "raters", "tag": study.project,
        "users": "1",
    }  # fmt: skip
    assert (before, changed, deleted, after) == (200, 404, 200, 404)
    assert admin.delete(group).status_code == 404
    assert admin.delete(f"{study.path}/groups/Owners").status_code == 403
    assert admin.put(f"{study.path}/groups/member?xnat:mrSessionData=all").status_code == 403


@pytest.mark.parametrize(
    ("name", "query", "status"),
    [
        ("a%20b", "", 400),
        ("x", "xnat:mrSessionData=everything", 400),
        ("x", "xnat:noSuchData=read", 400),
        ("x", "xnat:projectData=all", 400),
        ("Owner", "", 409),
        ("MEMBERS", "", 409),
        ("of_owner", "", 409),
    ],
)
def test_an_unusable_group_is_refused(
    admin: Api, study: Study, name: str, query: str, status: int
) -> None:
    """Names that could be read as another group, unknown types and levels are refused."""
    answer = admin.put(f"{study.path}/groups/{name}?{query}")

    assert answer.status_code == status
    assert len(admin.rows(f"{study.path}/groups")) == 3


def test_projects_whose_ids_begin_alike_share_no_rights(make_user: Any, admin: Api) -> None:
    """Groups of A_B give nothing in A, also when their IDs read like groups of A."""
    short = unique_name("X")
    long = f"{short}_B"
    for project in (short, long):
        admin.made(f"/data/projects/{project}", xsiType="xnat:projectData", accessibility="private")
        admin.made(f"/data/projects/{project}/subjects/S1", gender="female")
        admin.made(f"/data/projects/{project}/resources/R")
    admin.made(f"/data/projects/{long}/groups/raters", **{"xnat:subjectData": "all"})

    for group in ("owner", "member", "collaborator", "raters"):
        person = make_user(**{long: group})
        assert person.get(f"/data/projects/{long}/subjects/S1").status_code == 200
        assert person.get(f"/data/projects/{short}").status_code == 404
        assert person.get(f"/data/projects/{short}/subjects/S1").status_code == 404
        assert person.get(f"/data/projects/{short}/resources").status_code == 404
        assert short not in {row["ID"] for row in person.rows("/data/projects")}


def test_no_custom_group_passes_for_another_projects_or_the_sites(
    make_user: Any, admin: Api
) -> None:
    """An owner of A cannot make the group A_B_owner, nor one of ALL_DATA the site's group."""
    short = unique_name("X")
    owner = make_user()
    owner.made(f"/data/projects/{short}", xsiType="xnat:projectData")
    admin.made(f"/data/projects/{short}_B", xsiType="xnat:projectData", accessibility="private")
    admin.made("/data/projects/ALL_DATA", xsiType="xnat:projectData")
    try:
        made = owner.put(f"/data/projects/{short}/groups/B_owner")
        site = admin.put("/data/projects/ALL_DATA/groups/ADMIN")
        joined = owner.put(f"/data/projects/{short}/users/{short}_B_owner/{owner.login}")
    finally:
        admin.delete("/data/projects/ALL_DATA")

    assert (made.status_code, site.status_code, joined.status_code) == (409, 409, 404)
    assert owner.get(f"/data/projects/{short}_B").status_code == 404


def test_the_access_list_names_roles(make_user: Any, admin: Api, make_project: Any) -> None:
    """Each visible project is listed with the caller's role, without one where there is none."""
    mine, public = make_project(accessibility="private"), make_project(accessibility="public")
    hidden = make_project(accessibility="private")
    person = make_user(**{mine: "member"})

    found = {row["ID"]: row for row in person.get("/xapi/access/projects").json()}
    by_admin = admin.get(f"/xapi/access/{person.login}/projects").json()

    assert found[mine]["role"] == "Members"
    assert "role" not in found[public]
    assert hidden not in found
    assert {row["ID"]: row for row in by_admin} == found
    assert admin.get("/xapi/access/displays/browseable").status_code == 501
