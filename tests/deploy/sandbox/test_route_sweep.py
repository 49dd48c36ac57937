"""Every route of the server, asked by everybody without rights about one private project."""

from __future__ import annotations

import contextlib
import hashlib
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from deploy import sandbox_process
from deploy.sandbox.app import all_routes
from deploy.sandbox.settings import Settings
from tests.builders.live_folders import paths_below
from tests.conftest import start_sandbox
from tests.deploy.sandbox.conftest import Api

MARK = "zqplantedzq"
PROJECT = "SWEPTPROJECT"
PASSWORD = "a-test-password"
QUERIES = ("format=json&inbody=true&xsiType=xnat:mrSessionData", "columns=ID,note,project")


@dataclass(frozen=True)
class World:
    """An open site with one private project; the values that fill the routes' parameters."""

    admin: Api
    root: Path
    values: dict[str, str]

    def snapshot(self) -> dict[str, str]:
        """Return every row that names the project or an object of it, and its files' digests."""
        found = {}
        for path in sorted(paths_below(self.root)):
            if path.is_file() and PROJECT in path.parts:
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
        names = [PROJECT, MARK, self.values["subject"], self.values["experiment"]]
        database = Settings(root=self.root).database_path
        with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as store:
            tables = store.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            for (table,) in tables.fetchall():
                rows = store.execute(f'SELECT * FROM "{table}"').fetchall()  # noqa: S608 - its own
                kept = [repr(row) for row in rows if any(n in repr(row) for n in names)]
                found[table] = "\n".join(sorted(kept))
        return found


class Asker:
    """Asks as one person in a third of the time that ``Api`` takes: there are thousands to ask."""

    def __init__(self, api: Api) -> None:
        self._url = api.url
        self._pool = urllib3.PoolManager(retries=False)
        self._headers = {}
        if api.login is not None:
            self._headers = urllib3.make_headers(basic_auth=":".join(api.auth))

    def ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes]:
        """Return status and content; a session that the server opens is kept."""
        answer = self._pool.request(method, self._url + path, body=body, headers=self._headers)
        for cookie in answer.headers.getlist("Set-Cookie"):
            if cookie.startswith("JSESSIONID="):
                self._headers["Cookie"] = cookie.partition(";")[0]
        return answer.status, answer.data


def _account(admin: Api, login: str) -> Api:
    account = {"username": login, "password": PASSWORD, "email": f"{login}@example.org"}
    answer = admin.post("/xapi/users", json={**account, "enabled": True, "verified": True})
    assert answer.status_code == 201, answer.text
    return Api(admin.url, login, PASSWORD)


def _plant(admin: Api) -> dict[str, str]:
    base = f"/data/projects/{PROJECT}"
    admin.made(base, xsiType="xnat:projectData", accessibility="private", description=MARK)
    subject = admin.made(f"{base}/subjects/S1", group=MARK)
    session = f"{base}/subjects/S1/experiments/E1"
    experiment = admin.made(session, xsiType="xnat:mrSessionData", note=MARK)
    admin.made(f"{session}/scans/1", xsiType="xnat:mrScanData", note=MARK)
    admin.made(f"{session}/assessors/A1", xsiType="xnat:qcAssessmentData", note=MARK)
    for owner in (base, f"{base}/subjects/S1", session, f"{session}/scans/1"):
        for name in ("f.txt", f"{MARK}.txt"):
            put = admin.put(f"{owner}/resources/R/files/{name}?inbody=true", data=MARK.encode())
            assert put.status_code == 200, put.text
    put = admin.put(f"{base}/config/tool/p.txt?inbody=true", data=MARK.encode())
    assert put.status_code in {200, 201}, put.text
    put = admin.put(f"/xapi/custom-fields/projects/{PROJECT}/fields", json={"field": MARK})
    assert put.status_code == 200, put.text
    return {"subject": subject, "experiment": experiment}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A server of this module's own, open to guests, with the planted project."""
    root = tmp_path_factory.mktemp("swept")
    server = start_sandbox(root)
    with Api(server.url, server.admin_user, server.admin_password) as admin:
        assert admin.post("/xapi/siteConfig/requireLogin", data="false").status_code == 200
        yield World(admin, root, _plant(admin))
    sandbox_process.stop(root)


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    """Every method and pattern in the table of routes."""
    table = all_routes()
    return [(method, r.path) for r in table for method in sorted(r.methods - {"HEAD"})]


@pytest.fixture(scope="module")
def callers(world: World) -> Iterator[dict[str, Api]]:
    """Everybody who must not change the project; only the collaborator may read it."""
    people = {"guest": Api(world.admin.url)}
    for login in ("stranger", "neighbour", "collaborator"):
        people[login] = _account(world.admin, login)
    world.admin.made(f"/data/projects/{PROJECT}/users/collaborator/collaborator")
    world.admin.made("/data/projects/NEIGHBOURS", xsiType="xnat:projectData")
    world.admin.made("/data/projects/NEIGHBOURS/users/owner/neighbour")
    yield people
    for api in people.values():
        api.close()


_VALUES = {
    "project": PROJECT, "subject": "S1", "experiment": "E1", "scan": "1", "assessor": "A1",
    "reconstruction": "1", "resource": "R", "file": "f.txt", "field": "field", "tool": "tool",
    "login": "admin", "user": "stranger", "group": "owner", "receiver": "NEIGHBOURS",
    "level": "public", "value": "true", "role": "Administrator", "timestamp": "20300101_000000000",
    "name": "E1", "root": "session", "options": "checksum", "rest": "a/b", "image": "a/b",
    "path": "f.txt", "action": "archive", "visibility": "public",
}  # fmt: skip


def _filled(pattern: str, ids: dict[str, str]) -> str:
    values = dict(_VALUES)
    if "/config/" in pattern:
        values["path"] = "p.txt"
    if "{project}" not in pattern:
        values |= ids  # without a project only IDs are known
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda m: values.get(m[1], "1"), pattern)


@pytest.mark.parametrize("caller", ["guest", "stranger", "neighbour", "collaborator"])
def test_no_route_gives_what_the_caller_has_no_right_to(
    world: World, routes: list[tuple[str, str]], callers: dict[str, Api], caller: str
) -> None:
    """No route fails, shows a planted text to a caller without rights, or changes the project."""
    asker, before = Asker(callers[caller]), world.snapshot()
    assert any(MARK in rows for rows in before.values())
    wrong = []

    for method, pattern in routes:
        path = _filled(pattern, world.values)
        for query in QUERIES if method == "GET" else QUERIES[:1]:
            body = None if method == "GET" else b"{}"
            status, content = asker.ask(method, f"{path}?{query}", body)
            is_shown = status < 400 and MARK.encode() in content and caller != "collaborator"
            is_fault = status >= 500 and status != 501
            if is_shown or is_fault:
                wrong.append((method, path, query, status))

    after = world.snapshot()
    changed = {
        name: after.get(name) for name in before | after if before.get(name) != after.get(name)
    }
    assert (wrong, changed) == ([], {})


def test_the_administrator_is_shown_the_planted_text(
    world: World, routes: list[tuple[str, str]]
) -> None:
    """The sweep's addresses do lead to the planted objects: their owner is shown the text."""
    asker = Asker(world.admin)
    shown = {
        pattern
        for method, pattern in routes
        if method == "GET"
        and MARK.encode()
        in asker.ask("GET", f"{_filled(pattern, world.values)}?{QUERIES[0]}", None)[1]
    }

    assert {"/data/projects/{project}", "/data/experiments/{experiment}"} <= shown
    assert len(shown) > 30


def test_no_route_below_an_own_project_reaches_a_foreign_object(
    world: World, routes: list[tuple[str, str]], callers: dict[str, Api]
) -> None:
    """The owner of a project does not reach another project's objects by their IDs through it."""
    asker, before, wrong = Asker(callers["neighbour"]), world.snapshot(), []
    for method, pattern in routes:
        if not re.search(r"\{(subject|experiment)\}", pattern) or "{project}" not in pattern:
            continue
        path = _filled(pattern.replace("{project}", "NEIGHBOURS"), world.values)
        if method == "PUT" and path.endswith(f"/experiments/{world.values['experiment']}"):
            continue  # it makes an object of one's own with this label
        status, content = asker.ask(method, f"{path}?{QUERIES[0]}", None)
        if (status < 400 and MARK.encode() in content) or status == 500:
            wrong.append((method, path, status))

    after = world.snapshot()
    lost = {
        name: rows
        for name, rows in before.items()
        if name.startswith("/") and after.get(name) != rows
    }
    assert (wrong, lost) == ([], {})
    item = world.admin.item(f"/data/experiments/{world.values['experiment']}")
    assert item["data_fields"]["note"] == MARK


@pytest.mark.parametrize(
    "line",
    [
        "GET /data/services/dicomdump?src=/archive/projects/{p}/subjects/S1/experiments/{e}",
        "GET /data/services/dicomdump?src=/archive/experiments/{e}",
        "POST /xapi/archive/catalogs/refresh?resource=/archive/experiments/{e}",
        "POST /data/services/refresh/catalog?resource=/archive/projects/{p}&options=delete",
        "GET /data/services/validate-archive?src=/prearchive/projects/{p}/1/E1",
        "POST /data/services/archive?src=/prearchive/projects/{p}/1/E1",
        "POST /data/services/import?dest=/archive/projects/{p}/subjects/S1/experiments/E1",
        "POST /data/services/move-files?source=a&dest=/archive/experiments/{e}",
        (
            "PUT /data/workflows?wrk:workflowData/id={e}&wrk:workflowData/data_type=x"
            "&wrk:workflowData/pipeline_name=x&wrk:workflowData/launch_time=2030-01-02 03:04:05"
        ),
    ],
)
def test_an_object_named_in_a_parameter_is_hidden_too(
    world: World, callers: dict[str, Api], line: str
) -> None:
    """Services that take an object as a parameter answer alike for a hidden and for no object."""
    before, (method, _, path) = world.snapshot(), line.partition(" ")
    there = {"p": PROJECT, "e": world.values["experiment"]}
    absent = {"p": "NOSUCHONE", "e": "XNAT_E99999"}

    hidden = callers["stranger"].request(method, path.format(**there))
    none = callers["stranger"].request(method, path.format(**absent))

    words = hidden.text.replace(there["p"], absent["p"]).replace(there["e"], absent["e"])
    assert (hidden.status_code, words) == (none.status_code, none.text)
    assert not hidden.ok
    assert world.snapshot() == before


def test_an_own_object_below_a_foreign_project_does_not_tell_of_the_project(
    world: World, callers: dict[str, Api]
) -> None:
    """One's own session is found neither below a hidden project nor below one that is not."""
    base = "/data/projects/NEIGHBOURS/subjects/N1"
    world.admin.made(base)
    own = world.admin.made(f"{base}/experiments/N2", xsiType="xnat:mrSessionData")
    path = f"/data/services/refresh/catalog?resource=/archive/projects/{{}}/experiments/{own}"

    hidden = callers["neighbour"].post(path.format(PROJECT))
    none = callers["neighbour"].post(path.format("NOSUCHONE"))

    assert (hidden.status_code, hidden.text) == (none.status_code, none.text)
    assert hidden.status_code == 404
