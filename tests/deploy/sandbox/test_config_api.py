"""The config service: versions, status, scopes and who may do what."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.sandbox.conftest import Api, unique_name


def _put(api: Api, path: str, contents: str | bytes, **query: str) -> int:
    return api.put(path, params={"inbody": "true", **query}, data=contents).status_code


@pytest.fixture(params=["site", "project"])
def setting(request: pytest.FixtureRequest, make_project: Any) -> str:
    """Return the address of a setting that is not there yet, of the site or of a project."""
    scope = "/data" if request.param == "site" else f"/data/projects/{make_project()}"
    return f"{scope}/config/{unique_name('tool')}/some/path.json"


def test_first_is_made_and_then_changed(admin: Api, setting: str) -> None:
    """The first contents answer 201, later ones 200; each is a version of its own."""
    statuses = [
        _put(admin, setting, text, reason=reason)
        for text, reason in (("one", "start"), ("two ä", "again"))
    ]

    (row,) = admin.rows(setting)
    history = admin.rows(setting, action="getHistory")
    assert statuses == [201, 200]
    assert [row[name] for name in ("contents", "version", "status", "reason", "user")] == [
        "two ä", "2", "enabled", "again", "admin",
    ]  # fmt: skip
    assert [(each["version"], each["contents"]) for each in history] == [
        ("1", "one"),
        ("2", "two ä"),
    ]
    assert admin.get(f"{setting}?contents=true").content == "two ä".encode()
    assert admin.get(f"{setting}?contents=true&version=1").text == "one"
    (meta,) = admin.rows(setting, meta="true")
    assert "contents" not in meta
    assert meta["path"] == "some/path.json"


def test_same_contents_make_no_new_version(admin: Api, setting: str) -> None:
    """Setting what is set already keeps the version."""
    statuses = [_put(admin, setting, "one"), _put(admin, setting, "one")]

    assert statuses == [201, 200]
    assert [row["version"] for row in admin.rows(setting, action="getHistory")] == ["1"]


def test_unversioned_settings_keep_their_newest_contents_only(admin: Api, setting: str) -> None:
    """Contents sent as unversioned replace one another."""
    for text in ("one", "two", "three"):
        _put(admin, setting, text, unversioned="true")

    (row,) = admin.rows(setting, action="getHistory")
    assert (row["contents"], row["version"], row["unversioned"]) == ("three", "1", "true")


def test_status_switches_a_setting(admin: Api, setting: str) -> None:
    """A status, or DELETE, disables a setting: its row stays, its contents are not given."""
    _put(admin, setting, "one")
    seen = []

    for change in ("status=disabled", "status=true", "status=false", "status=enabled"):
        assert admin.put(f"{setting}?{change}").status_code == 200
        contents = admin.get(f"{setting}?contents=true")
        seen.append((admin.rows(setting)[0]["status"], contents.status_code))
    assert admin.delete(setting).status_code == 200
    seen.append((admin.rows(setting)[0]["status"], admin.get(setting).status_code))

    assert seen == [
        ("disabled", 204), ("enabled", 200), ("disabled", 204), ("enabled", 200),
        ("disabled", 200),
    ]  # fmt: skip


def test_absent_settings(admin: Api, setting: str) -> None:
    """What was never set is 404, or 204 for who accepts that; nothing of it can be changed."""
    tool = setting.partition("/some")[0]

    assert admin.get(setting).status_code == 404
    assert admin.get(f"{setting}?acceptNotFound=true").status_code == 204
    assert admin.get(tool).status_code == 404
    assert admin.delete(setting).status_code == 404
    assert admin.put(f"{setting}?status=enabled").status_code == 404
    _put(admin, setting, "one")
    assert admin.get(f"{setting}?version=2").status_code == 404


BAD = [
    ("", {"inbody": "true"}),
    ("one", {}),
    ("one", {"inbody": "true", "status": "perhaps"}),
    ("one", {"status": ""}),
    (b"\xff\xfe", {"inbody": "true"}),
    (b"a\x00b", {"inbody": "true"}),
]


@pytest.mark.parametrize(("body", "query"), BAD)
def test_bad_requests(admin: Api, setting: str, body: str | bytes, query: dict[str, str]) -> None:
    """No contents, a status that is none, and bytes that are no text are refused with 400."""
    assert admin.put(setting, params=query, data=body).status_code == 400
    assert admin.get(setting).status_code == 404


@pytest.mark.parametrize("query", ["version=x", "version=-1", "action=other"])
def test_bad_questions(admin: Api, setting: str, query: str) -> None:
    """A version that is no number and an unknown action are refused with 400."""
    _put(admin, setting, "one")

    assert admin.get(f"{setting}?{query}").status_code == 400


def test_tools_and_their_settings_are_listed(admin: Api, setting: str) -> None:
    """The list of tools names each once; a tool's list has the newest version of each setting."""
    address, _, tool = setting.partition("/some")[0].rpartition("/")
    for path, text in (("a", "1"), ("b", "1"), ("b", "2")):
        _put(admin, f"{address}/{tool}/{path}", text)

    assert [row["tool"] for row in admin.rows(address)].count(tool) == 1
    rows = admin.rows(f"{address}/{tool}")
    assert [(row["path"], row["contents"]) for row in rows] == [("a", "1"), ("b", "2")]


def test_projects_do_not_fall_back_to_the_site(admin: Api, make_project: Any) -> None:
    """A setting of the site is none of a project, and the other way round."""
    project, tool, other = make_project(), unique_name("tool"), unique_name("tool")
    _put(admin, f"/data/config/{tool}/a", "site")
    _put(admin, f"/data/projects/{project}/config/{other}/a", "project")

    assert admin.get(f"/data/projects/{project}/config/{tool}/a").status_code == 404
    assert admin.get(f"/data/config/{other}/a").status_code == 404


RIGHTS = [
    # whose; GET, PUT and DELETE of an existing setting of a private project
    ("owner", (200, 200, 200)),
    ("member", (200, 403, 403)),
    ("collaborator", (200, 403, 403)),
    ("nobody", (404, 404, 404)),
]


@pytest.mark.parametrize(("role", "expected"), RIGHTS)
def test_rights_in_a_project(
    admin: Api, make_project: Any, make_user: Any, role: str, expected: tuple[int, int, int]
) -> None:
    """Who reads the project reads its settings; owners change them."""
    project = make_project(accessibility="private")
    path = f"/data/projects/{project}/config/{unique_name('tool')}/a"
    _put(admin, path, "one")
    api = make_user(**({} if role == "nobody" else {project: role}))

    answers = (api.get(path).status_code, _put(api, path, "two"), api.delete(path).status_code)

    assert answers == expected


def test_only_administrators_change_the_site(admin: Api, make_user: Any, sandbox: Any) -> None:
    """Logged-in people read the site's settings, administrators change them, nobody else does."""
    path = f"/data/config/{unique_name('tool')}/a"
    _put(admin, path, "one")
    user = make_user()

    with Api(sandbox.url) as nobody:
        answers = [
            (api.get(path).status_code, _put(api, path, "x"), api.delete(path).status_code)
            for api in (user, nobody)
        ]

    assert answers == [(200, 403, 403), (401, 401, 401)]


def test_settings_that_would_have_to_be_applied_are_refused(admin: Api) -> None:
    """An anonymisation script is not stored where nothing would apply it."""
    assert _put(admin, "/data/config/anon/script", 'version "6.1"') == 501


def test_settings_go_with_their_project(admin: Api, make_project: Any) -> None:
    """After a project is deleted its settings are gone."""
    project = make_project()
    path = f"/data/projects/{project}/config/{unique_name('tool')}/a"
    _put(admin, path, "one")

    assert admin.delete(f"/data/projects/{project}").status_code == 200
    assert admin.get(path).status_code == 404
