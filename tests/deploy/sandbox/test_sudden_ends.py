"""The server killed again and again in the middle of uploads, imports and launches.

``WINXNAT_KILLS`` sets how often (``.ci/run``: 100); the moments are random, by a seed that changes
from round to round.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sqlite3
import threading
import time
from typing import Any

import pytest
import requests
from pydicom.uid import generate_uid

from deploy import sandbox_process
from tests.builders.container_lab import Lab, shell_command
from tests.builders.dicom_images import image, zipped
from tests.conftest import Sandbox, start_sandbox
from tests.deploy.sandbox.conftest import Api

KILLS = int(os.environ.get("WINXNAT_KILLS", "8"))
PROJECT = "/data/projects/P"
FILES = f"{PROJECT}/resources/R/files"
IMAGES = 4
FINAL = ("Complete", "Failed")


class Client(threading.Thread):
    """Asks for one kind of thing until the server dies; ``sure`` is what was acknowledged."""

    def __init__(self, server: Sandbox, turn: int) -> None:
        super().__init__()
        self.server, self.turn = server, turn
        self.random = random.Random(turn)  # noqa: S311 - reproducible test data
        self.sure: dict[str, str] = {}
        self.tried: dict[str, str] = {}

    def run(self) -> None:
        """Ask until the connection breaks."""
        with Api(self.server.url, "admin", self.server.admin_password) as api:
            try:
                for number in range(10_000):
                    self.step(api, f"{self.turn:03d}-{number:04d}")
            except requests.RequestException:
                return

    def step(self, api: Api, name: str) -> None:
        """Ask for one thing."""
        raise NotImplementedError


class Uploads(Client):
    """Uploads files; the digest by path."""

    def step(self, api: Api, name: str) -> None:
        """Upload one file of any of three sizes."""
        content = self.random.randbytes(self.random.choice([10, 5000, 400_000]))
        digest = hashlib.md5(content).hexdigest()  # noqa: S324 - XNAT's digest
        self.tried[name] = digest
        answer = api.put(f"{FILES}/{name}", data=content)
        assert answer.status_code == 200, answer.text
        self.sure[name] = digest


class Imports(Client):
    """Imports sessions of a few images; the study's UID by label."""

    def step(self, api: Api, name: str) -> None:
        """Import one session into the archive."""
        study = generate_uid(entropy_srcs=[name])
        series = generate_uid(entropy_srcs=[name, "series"])
        images = [
            image(InstanceNumber=each + 1, StudyInstanceUID=study, SeriesInstanceUID=series)
            for each in range(IMAGES)
        ]
        self.tried[name] = study
        answer = api.post(
            "/data/services/import",
            params={
                "import-handler": "DICOM-zip",
                "inbody": "true",
                "dest": f"/archive/projects/P/subjects/S/experiments/{name}",
            },
            data=zipped(*images),
        )
        assert answer.status_code == 200, answer.text
        self.sure[name] = study


class Launches(Client):
    """Launches a command that copies a file; the workflow's number is both key and value."""

    def __init__(self, server: Sandbox, turn: int, lab: Lab, wrapper: int, session: str) -> None:
        super().__init__(server, turn)
        self.lab, self.wrapper, self.session = lab, wrapper, session

    def step(self, api: Api, name: str) -> None:  # noqa: ARG002 - a launch has no name
        """Launch once, and not faster than runs end."""
        number = self.lab.launch(self.lab.admin, self.wrapper, self.session)
        self.sure[number] = number
        time.sleep(0.15)


@pytest.mark.slow
@pytest.mark.timeout(max(300, KILLS * 15))
def test_after_any_sudden_end_all_that_was_answered_is_there_and_nothing_is_half(
    fresh_sandbox: Sandbox,
):
    server = fresh_sandbox
    lab = Lab(server.url, server.admin_password)
    session = lab.session(files={"DATA/a.txt": b"a"})
    wrapper = lab.command(shell_command("sleep 0.1; cp /input/* /output/"))
    with Api(server.url, "admin", server.admin_password) as api:
        api.made(PROJECT, name="P")
    files: tuple[dict[str, str], dict[str, str]] = ({}, {})
    sessions: tuple[dict[str, str], dict[str, str]] = ({}, {})
    launches: dict[str, str] = {}

    for turn in range(KILLS):
        clients = [
            Uploads(server, turn),
            Imports(server, turn),
            Launches(server, turn, lab, wrapper, session),
        ]
        for client in clients:
            client.start()
        if turn % 2:  # on a slow machine the first import after a start takes longer than others
            _wait_for_first_import(clients[1])
        moment = random.Random(1000 + turn).uniform(0.05, 1.0)  # noqa: S311 - reproducible
        time.sleep(moment)
        _kill(server)
        for client in clients:
            client.join()
        for known, client in ((files, clients[0]), (sessions, clients[1])):
            known[0].update(client.sure)
            known[1].update(client.tried)
        launches.update(clients[2].sure)
        server = start_sandbox(server.root)
        lab.url = server.url

        _check_files(server, *files)
        _check_sessions(server, *sessions)
        _check_database(server)

    ends = [lab.until(lab.admin, number, *FINAL)["status"] for number in launches]
    assert set(ends) <= set(FINAL)
    assert min(len(files[0]), len(sessions[0]), len(launches)) >= KILLS / 4


def _wait_for_first_import(client: Client) -> None:
    ends = time.monotonic() + 15
    while not client.sure and time.monotonic() < ends:
        time.sleep(0.01)


def _kill(server: Sandbox) -> None:
    os.kill(server.pid, signal.SIGKILL)
    while sandbox_process.running(server.root) is not None:
        time.sleep(0.01)  # the process holds its lock until the kernel has done with it


def _check_files(server: Sandbox, sure: dict[str, str], tried: dict[str, str]) -> None:
    with Api(server.url, "admin", server.admin_password) as api:
        answer = api.get(FILES)
        rows: list[dict[str, Any]] = []
        if answer.status_code == 200:  # the resource may not have been made yet
            rows = answer.json()["ResultSet"]["Result"]
        listed = {row["Name"]: row["digest"] for row in rows}
        newest = max(listed, default=None)
        if newest is not None:
            content = api.get(f"{FILES}/{newest}").content
            assert hashlib.md5(content).hexdigest() == listed[newest]  # noqa: S324 - XNAT's
    assert sure.items() <= listed.items() <= tried.items()
    folder = server.root / "archive/P/resources/R"
    on_disk = {
        path.name: hashlib.md5(path.read_bytes()).hexdigest()  # noqa: S324 - XNAT's
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert on_disk == listed


def _check_sessions(server: Sandbox, sure: dict[str, str], tried: dict[str, str]) -> None:
    with Api(server.url, "admin", server.admin_password) as api:
        rows = api.rows(
            f"{PROJECT}/experiments", columns="ID,label,UID", xsiType="xnat:mrSessionData"
        )
        found = {row["label"]: row["UID"] for row in rows}
        for row in rows[-3:]:
            files = api.rows(f"/data/experiments/{row['ID']}/scans/1/resources/DICOM/files")
            assert len(files) == IMAGES
    assert sure.items() <= found.items() <= tried.items()
    for label in found:
        assert len(list((server.root / f"archive/P/arc001/{label}").rglob("*.dcm"))) == IMAGES
    on_disk = {path.name for path in (server.root / "archive/P/arc001").glob("*")}
    assert on_disk == set(found)


def _check_database(server: Sandbox) -> None:
    with sqlite3.connect(server.root / sandbox_process.DATABASE_FILE_NAME) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
