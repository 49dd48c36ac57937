"""Small files stored together: each has its own answer, and the rights of this very moment."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.sandbox.settings import Settings
from deploy.sandbox.store import Store
from tests.builders.live_folders import paths_below
from tests.deploy.sandbox.conftest import Api, Study

RAW = {"Content-Type": "application/octet-stream"}


def _put(api: Api, path: str, content: bytes = b"x", **query: str) -> requests.Response:
    return api.put(path, data=content, headers=RAW, params=query)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _digests(api: Api, path: str) -> dict[str, str]:
    return {row["Name"]: row["digest"] for row in api.rows(f"{path}/files")}


def test_each_of_many_at_once_has_its_own_answer(
    sandbox: Any, admin: Api, make_user: Any, study: Study
) -> None:
    """Good files are stored, and bad ones among them refused, each as if it had come alone."""
    reader = make_user(**{study.project: "collaborator"})
    base = f"{study.session_path}/resources/R/files"
    _put(admin, f"{base}/taken", b"first")

    def send(number: int) -> tuple[str, int, str]:
        kind = ("good", "reader", "hostile", "taken", "empty", "folder")[number % 6]
        api, name, content = admin, f"f{number}", b"%d" % number
        if kind == "reader":
            api = reader
        if kind == "hostile":
            name = "a%3Ab"
        if kind == "taken":
            name = "taken"
        if kind == "empty":
            content = b""
        if kind == "folder":
            name = "taken/below"
        with Api(sandbox.url, api.login, api.auth[1]) as own:  # type: ignore[index]  # a pair here
            answer = _put(own, f"{base}/{name}", content)
        return kind, answer.status_code, answer.text

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(send, range(72)))

    assert Counter((kind, status) for kind, status, _ in answers) == {
        ("good", 200): 12, ("reader", 403): 12, ("hostile", 400): 12, ("taken", 200): 12,
        ("empty", 400): 12, ("folder", 409): 12,
    }  # fmt: skip
    assert {text for kind, _, text in answers if kind == "taken"} == {'{"duplicates": ["taken"]}'}
    assert _digests(admin, f"{study.session_path}/resources/R") == {
        "taken": _md5(b"first"),
        **{f"f{n}": _md5(b"%d" % n) for n in range(0, 72, 6)},
    }


def test_one_name_at_once_is_stored_once(sandbox: Any, admin: Api, study: Study) -> None:
    """Of many files for one place the first is kept, and all others are told so."""
    path = f"{study.session_path}/resources/ONE/files/same"

    def send(number: int) -> str:
        with Api(sandbox.url, admin.login, admin.auth[1]) as own:  # type: ignore[index]  # a pair here
            return _put(own, path, b"%d" % number).text

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(24)))

    kept = admin.get(path).content
    assert [number for number, text in enumerate(answers) if not text] == [int(kept)]
    assert _digests(admin, f"{study.session_path}/resources/ONE") == {"same": _md5(kept)}


@pytest.mark.parametrize("size", [1, 2047, 131_072, 131_073, 1_000_000, 1_048_576, 1_048_577])
def test_every_size_is_kept_whole(admin: Api, study: Study, size: int) -> None:
    """Whichever thread digests and writes it, a file is what was sent, and so is its digest."""
    content = hashlib.shake_128(b"%d" % size).digest(size)
    path = f"{study.session_path}/resources/SIZES"

    assert _put(admin, f"{path}/files/{size}", content).status_code == 200

    assert admin.get(f"{path}/files/{size}").content == content
    assert _digests(admin, path)[str(size)] == _md5(content)


@pytest.mark.parametrize("size", [1000, 200_000])
def test_what_is_refused_leaves_no_bytes(
    sandbox: Any, admin: Api, make_user: Any, study: Study, size: int
) -> None:
    """Bytes that nobody may store, or that have no place, are not kept on the disk."""
    reader = make_user(**{study.project: "collaborator"})
    base = f"{study.session_path}/resources/REFUSED/files"
    answers = [
        _put(api, f"{base}/{name}", b"x" * size).status_code
        for api, name in ((admin, "a"), (reader, "b"), (admin, "a/below"), (admin, "a"))
    ]

    assert answers == [200, 403, 409, 200]
    assert list(_digests(admin, f"{study.session_path}/resources/REFUSED")) == ["a"]
    assert not any(path.is_file() for path in paths_below(Settings(sandbox.root).incoming_dir))


def test_the_database_log_stays_short(fresh_sandbox: Any) -> None:
    """Uploads one by one bring what they wrote into the database's main file in the end.

    SQLite does so after 1,000 pages of 4 KiB; each upload writes six of them. Twice as much is let
    stand, since not every upload may wait for the disk.
    """
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        admin.made("/data/projects/P", xsiType="xnat:projectData")
        base = "/data/projects/P/resources/R/files"
        assert {_put(admin, f"{base}/{n}").status_code for n in range(500)} == {200}

    log = Path(f"{Settings(fresh_sandbox.root).database_path}-wal")
    assert log.stat().st_size < 2 * 1000 * 4096


def test_to_ask_for_the_writers_place_takes_no_time(tmp_path: Path) -> None:
    """Who may not wait learns at once that another thread writes, and has it when none does."""
    store = Store(tmp_path / "db")
    begun, ended = threading.Event(), threading.Event()

    def write() -> None:
        with store.write():
            begun.set()
            ended.wait(10)

    thread = threading.Thread(target=write)
    thread.start()
    begun.wait(10)
    with store.exclusive_now() as while_written:
        pass
    ended.set()
    thread.join()
    with store.exclusive_now() as afterwards:
        pass

    assert [while_written, afterwards] == [False, True]


# What was remembered from one upload to the next ------------------------------------------------


def _remove_member(admin: Api, member: Api, study: Study) -> None:
    admin.delete(f"{study.path}/users/member/{member.login}")


def _make_reader(admin: Api, member: Api, study: Study) -> None:
    admin.put(f"{study.path}/users/collaborator/{member.login}")


def _disable(admin: Api, member: Api, _study: Study) -> None:
    admin.put(f"/xapi/users/{member.login}/enabled/false")


def _rename_session(admin: Api, _member: Api, study: Study) -> None:
    admin.put(f"{study.session_path}?label=E9")


def _delete_session(admin: Api, _member: Api, study: Study) -> None:
    admin.delete(f"{study.session_path}?removeFiles=true")


def _move_subject(admin: Api, _member: Api, study: Study) -> None:
    admin.put(f"{study.path}/subjects/S1?label=S9")


def _delete_project(admin: Api, _member: Api, study: Study) -> None:
    admin.delete(f"{study.path}?removeFiles=true")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (_remove_member, 404),
        (_make_reader, 403),
        (_disable, 401),
        (_rename_session, 404),
        (_move_subject, 404),
        (_delete_session, 404),
        (_delete_project, 404),
    ],
)
def test_a_change_counts_from_its_answer_on(
    admin: Api,
    make_user: Any,
    study: Study,
    change: Callable[[Api, Api, Study], None],
    status: int,
) -> None:
    """What let the last upload in does not let in the next one when it is gone; reading neither."""
    admin.put(f"{study.path}/accessibility/private")
    member = make_user(**{study.project: "member"})
    base = f"{study.session_path}/resources/R/files"
    assert [_put(member, f"{base}/{name}").status_code for name in "ab"] == [200, 200]
    assert member.get(f"{base}/a").status_code == 200

    change(admin, member, study)

    assert _put(member, f"{base}/c").status_code == status
    assert member.get(f"{base}/a").status_code == (200 if status == 403 else status)


def test_a_resource_made_again_is_another_one(admin: Api, study: Study) -> None:
    """Files go into the resource that has the label now."""
    resource = f"{study.session_path}/resources/R"
    _put(admin, f"{resource}/files/old")
    (before,) = [row["xnat_abstractresource_id"] for row in admin.rows(f"{resource[:-2]}")]

    admin.delete(f"{resource}?removeFiles=true")
    _put(admin, f"{resource}/files/new")

    (after,) = [row["xnat_abstractresource_id"] for row in admin.rows(f"{resource[:-2]}")]
    assert int(after) > int(before)
    assert list(_digests(admin, resource)) == ["new"]
    assert _put(admin, f"{study.session_path}/resources/{before}/files/x").status_code == 404


def test_rights_of_a_custom_group_count_at_once(admin: Api, make_user: Any, study: Study) -> None:
    """Taking a level from a group, and giving it back, works on the next upload."""
    person = make_user()
    edit = {"xnat:mrSessionData": "edit", "xnat:subjectData": "read"}
    made = admin.put(f"{study.path}/groups/raters", params=edit)
    assert made.status_code in {200, 201}, made.text
    admin.put(f"{study.path}/users/raters/{person.login}")
    base = f"{study.session_path}/resources/R/files"

    statuses = [_put(person, f"{base}/a").status_code]
    for level in ("read", "edit"):
        admin.put(f"{study.path}/groups/raters", params={"xnat:mrSessionData": level})
        statuses.append(_put(person, f"{base}/{level}").status_code)

    assert statuses == [200, 403, 200]


def test_what_is_no_longer_shared_is_closed(
    admin: Api, make_user: Any, make_project: Any, study: Study
) -> None:
    """Through the project that a session was shared into, it is gone with the share."""
    other = make_project()
    reader = make_user(**{other: "collaborator"})
    _put(admin, f"{study.session_path}/resources/R/files/a")
    admin.put(f"/data/experiments/{study.session_id}/projects/{other}")
    path = f"/data/projects/{other}/experiments/E1/resources/R/files/a"

    statuses = [reader.get(path).status_code]
    admin.delete(f"/data/experiments/{study.session_id}/projects/{other}")
    statuses.append(reader.get(path).status_code)

    assert statuses == [200, 404]


def test_a_site_that_closes_is_closed_at_once(fresh_sandbox: Any) -> None:
    """A guest who read a public project reads nothing once a log-in is required."""
    with (
        Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin,
        Api(fresh_sandbox.url) as guest,
    ):
        admin.made("/data/projects/P", xsiType="xnat:projectData")
        admin.put("/data/projects/P/accessibility/public")
        admin.post("/xapi/siteConfig/requireLogin", data="false")
        statuses = [guest.get("/data/projects/P?format=json").status_code]
        admin.post("/xapi/siteConfig/requireLogin", data="true")
        statuses.append(guest.get("/data/projects/P?format=json").status_code)
        admin.post("/xapi/siteConfig/requireLogin", data="false")
        admin.put("/data/projects/P/accessibility/private")
        statuses.append(guest.get("/data/projects/P?format=json").status_code)

    assert statuses == [200, 401, 404]
