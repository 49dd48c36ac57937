"""Starting, stopping and emptying a sandbox, as its users do it."""

from __future__ import annotations

import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest
import requests

from deploy import sandbox_process
from deploy.sandbox_process import SandboxError


def _answers(url: str, password: str) -> bool:
    answer = requests.get(f"{url}/data/auth", auth=("admin", password), timeout=10)
    return answer.status_code == 200 and "admin" in answer.text


def test_a_started_sandbox_answers_its_administrator_and_stops(tmp_path: Path) -> None:
    """After start the server answers; after stop nothing listens and the data are still there."""
    server = sandbox_process.start(tmp_path, engine="process")
    answered = _answers(server.url, sandbox_process.admin_password(tmp_path))

    stopped = sandbox_process.stop(tmp_path)

    assert answered
    assert stopped
    with pytest.raises(requests.ConnectionError):
        requests.get(server.url, timeout=5)
    assert (tmp_path / sandbox_process.DATABASE_FILE_NAME).exists()


def test_the_password_is_readable_by_its_owner_only_and_in_no_argument(tmp_path: Path) -> None:
    """The netrc file has mode 600 and the server's argument list does not hold the password."""
    server = sandbox_process.start(tmp_path, engine="process")

    mode = stat.S_IMODE(server.netrc_path.stat().st_mode)
    arguments = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    password = sandbox_process.admin_password(tmp_path)
    sandbox_process.stop(tmp_path)

    assert mode == 0o600
    assert password.encode() not in arguments


def test_other_users_of_the_machine_read_nothing(tmp_path: Path) -> None:
    """A new folder is its owner's only; in one that others may read, all that matters is."""
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    for folder in (tmp_path / "new" / "sandbox", shared):
        sandbox_process.start(folder, engine="process")
        sandbox_process.stop(folder)

    new = stat.S_IMODE((tmp_path / "new" / "sandbox").stat().st_mode)
    open_to_others = {
        path.name for path in shared.iterdir() if stat.S_IMODE(path.stat().st_mode) & 0o077
    }
    assert new == 0o700
    assert open_to_others <= {"server.lock", "server.log", "server.json"}  # no data in any of them


def test_a_second_start_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    """Two servers never share a folder; the message says where the first one answers."""
    server = sandbox_process.start(tmp_path, engine="process")

    with pytest.raises(SandboxError, match=server.url):
        sandbox_process.start(tmp_path, engine="process")

    sandbox_process.stop(tmp_path)


def test_a_restart_keeps_the_password_and_the_projects(tmp_path: Path) -> None:
    """Data of the first run are served by the second one to the same administrator."""
    first = sandbox_process.start(tmp_path, engine="process")
    login = ("admin", sandbox_process.admin_password(tmp_path))
    requests.put(
        f"{first.url}/data/projects/KEPT?xsiType=xnat:projectData", auth=login, timeout=10
    ).raise_for_status()
    sandbox_process.stop(tmp_path)

    second = sandbox_process.start(tmp_path, engine="process")
    answer = requests.get(f"{second.url}/data/projects/KEPT?format=json", auth=login, timeout=10)
    sandbox_process.stop(tmp_path)

    assert answer.status_code == 200


def test_a_killed_server_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    """After kill -9 the left-over files do not mislead: it can be started again."""
    server = sandbox_process.start(tmp_path, engine="process")
    os.kill(server.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while sandbox_process.running(tmp_path) is not None and time.monotonic() < deadline:
        time.sleep(0.02)

    again = sandbox_process.start(tmp_path, engine="process")
    answered = _answers(again.url, sandbox_process.admin_password(tmp_path))
    sandbox_process.stop(tmp_path)

    assert answered


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    """A port in use ends the start with one sentence that names it and the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(SandboxError, match=rf"127\.0\.0\.1:{port}.*Choose another --port"):
            sandbox_process.start(tmp_path, port=port, engine="process")

    assert sandbox_process.running(tmp_path) is None


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """A path below a file cannot be a sandbox's folder, and the message says so."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SandboxError, match="Cannot write the sandbox's folder"):
        sandbox_process.start(tmp_path / "file" / "below", engine="process")


def test_reset_deletes_a_sandbox_and_nothing_else(tmp_path: Path) -> None:
    """A folder that holds no sandbox is left alone; one that does is emptied."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    mine = tmp_path / "mine"
    sandbox_process.start(mine, engine="process")

    with pytest.raises(SandboxError, match="nothing was deleted"):
        sandbox_process.reset(other)
    sandbox_process.reset(mine)

    assert (other / "thesis.txt").exists()
    assert not mine.exists()
