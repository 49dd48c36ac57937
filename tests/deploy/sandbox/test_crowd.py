"""Many clients at once: every answer is the one that the contract names, nothing lost or doubled.

``WINXNAT_CROWD_SECONDS`` sets how long (``.ci/run``: 120).
"""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from tests.builders.container_lab import Lab, shell_command
from tests.conftest import Sandbox
from tests.deploy.sandbox.conftest import Api

SECONDS = float(os.environ.get("WINXNAT_CROWD_SECONDS", "6"))
CLIENTS = 64
LAUNCHERS = 4
P = "/data/projects/CROWD"
SHARED = f"{P}/subjects/ALL/resources/R/files"
FINAL = ("Complete", "Failed")


class Client(threading.Thread):
    """One person who does what comes to mind; ``wrong`` lists answers that nobody promised."""

    def __init__(self, server: Sandbox, number: int, login: str, until: float) -> None:
        super().__init__()
        self.number, self.until = number, until
        self.api = Api(server.url, login, server.admin_password)
        self.random = random.Random(number)  # noqa: S311 - reproducible test data
        self.subjects: list[str] = []
        self.files: dict[str, str] = {}
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        """Act until the time is over."""
        acts: list[Callable[[], None]] = [
            *(self.read,) * 6, self.make_subject, self.upload, self.download, self.be_refused,
        ]  # fmt: skip
        while time.monotonic() < self.until:
            self.random.choice(acts)()

    def ask(self, method: str, path: str, *expected: int, **options: Any) -> requests.Response:
        """Send one request whose status must be one of those that are expected."""
        answer = self.api.request(method, path, **options)
        self.answers[answer.status_code] += 1
        if answer.status_code not in expected:
            self.wrong.append(f"{method} {path} {answer.status_code} {answer.text[:200]}")
        return answer

    def read(self) -> None:
        """Read lists, as the pages of a client do."""
        self.ask(
            "GET", self.random.choice([f"{P}/subjects", P, f"{P}/experiments?format=csv"]), 200
        )

    def make_subject(self) -> None:
        """Make a subject of one's own, or make it again."""
        label = f"S{self.number}-{len(self.subjects)}"
        if self.ask("PUT", f"{P}/subjects/{label}", 201).status_code == 201:
            self.subjects.append(label)
            self.ask("PUT", f"{P}/subjects/{label}?gender=female", 200)

    def upload(self) -> None:
        """Upload a file into a resource that all share."""
        content = self.random.randbytes(self.random.choice([100, 20_000]))
        name = f"{self.number}-{len(self.files)}.bin"
        self.ask("PUT", f"{SHARED}/{name}", 200, data=content)
        self.files[name] = hashlib.md5(content).hexdigest()  # noqa: S324 - XNAT's digest

    def download(self) -> None:
        """Download a file of one's own, which must be what was sent."""
        if self.files:
            name, digest = self.random.choice(list(self.files.items()))
            answer = self.ask("GET", f"{SHARED}/{name}", 200)
            if hashlib.md5(answer.content).hexdigest() != digest:  # noqa: S324 - XNAT's
                self.wrong.append(f"{name} came back as something else")

    def be_refused(self) -> None:
        """Ask for what a member may not have, and for what is not there."""
        self.ask("GET", f"{P}/subjects/NOBODY", 404)
        self.ask("PUT", f"{P}/users/member/nobody-else@example.org", 403)


class Launcher(Client):
    """Someone who launches runs."""

    def __init__(
        self, server: Sandbox, number: int, until: float, launch: Callable[[], str]
    ) -> None:
        super().__init__(server, number, server.admin_user, until)
        self.launch, self.runs = launch, list[str]()

    def run(self) -> None:
        """Launch a few runs a second."""
        while time.monotonic() < self.until:
            self.runs.append(self.launch())
            time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(300 + 3 * SECONDS)
def test_a_crowd_gets_only_answers_of_the_contract_and_loses_nothing(fresh_sandbox: Sandbox):
    server = fresh_sandbox
    lab = Lab(server.url, server.admin_password)
    session = lab.session(files={"DATA/a.txt": b"a"})
    wrapper = lab.command(shell_command("cp /input/* /output/"))
    with Api(server.url, server.admin_user, server.admin_password) as api:
        api.made(P, name="CROWD")
        api.made(f"{P}/subjects/ALL")
        logins = [f"person{number}" for number in range(CLIENTS - LAUNCHERS)]
        for login in logins:
            account = {"username": login, "password": server.admin_password, "enabled": True,
                       "email": f"{login}@example.org", "verified": True}  # fmt: skip
            assert api.post("/xapi/users", json=account).status_code == 201
            api.made(f"{P}/users/member/{login}")
    until = time.monotonic() + SECONDS
    clients = [Client(server, number, login, until) for number, login in enumerate(logins)]
    launchers = [
        Launcher(server, number, until, lambda: lab.launch(lab.admin, wrapper, session))
        for number in range(LAUNCHERS)
    ]

    for each in (*clients, *launchers):
        each.start()
    for each in (*clients, *launchers):
        each.join()

    assert [line for each in clients for line in each.wrong] == []
    statuses = sum((each.answers for each in clients), Counter())
    assert set(statuses) == {200, 201, 403, 404}
    _check_what_is_there(server, clients)
    runs = [run for each in launchers for run in each.runs]
    assert len(set(runs)) == len(runs) >= LAUNCHERS
    ends = [lab.until(lab.admin, run, *FINAL)["status"] for run in runs]
    assert set(ends) == {"Complete"}


def _check_what_is_there(server: Sandbox, clients: list[Client]) -> None:
    with Api(server.url, server.admin_user, server.admin_password) as api:
        labels = [row["label"] for row in api.rows(f"{P}/subjects")]
        rows = api.rows(SHARED)
    made = [label for each in clients for label in each.subjects]
    assert sorted(labels) == sorted([*made, "ALL"])
    files = {name: digest for each in clients for name, digest in each.files.items()}
    assert {row["Name"]: row["digest"] for row in rows} == files
    assert len(rows) == len(files)
    with sqlite3.connect(server.root / sandbox_process.DATABASE_FILE_NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
