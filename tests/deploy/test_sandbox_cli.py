"""``winxnat sandbox`` as it is typed: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from deploy import sandbox_process

Run = Callable[..., subprocess.CompletedProcess[str]]


def _program() -> str:
    return str(Path(sys.executable).with_name("winxnat"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Return a function that runs ``winxnat sandbox VERB --dir FOLDER ...``."""
    root = tmp_path / "sandbox"

    def call(
        verb: str, *arguments: str, folder: Path = root, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [_program(), "sandbox", verb, "--dir", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, **environment},
        )

    yield call
    sandbox_process.stop(root)


def _one_sentence(result: subprocess.CompletedProcess[str]) -> str:
    """Return what a failed command said, which must be short and no stack trace."""
    assert result.returncode != 0
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1, result.stderr
    return result.stderr


def test_start_status_stop(run: Run) -> None:
    """What start prints is true; status says so too, with exit code 0 and then 1."""
    started = run("start", "--port", "0", "--engine", "process", "--json")
    server = json.loads(started.stdout)
    answer = requests.get(server["url"], timeout=30)
    seen = run("status", "--json")

    stopped = run("stop")
    gone = run("status", "--json")

    assert started.returncode == 0
    assert answer.status_code == 200
    assert (seen.returncode, json.loads(seen.stdout)) == (0, server)
    assert stopped.stdout == "The sandbox has stopped.\n"
    assert (gone.returncode, json.loads(gone.stdout)["running"]) == (1, False)


def test_status_names_the_engine_in_use(run: Run) -> None:
    """Where no Docker daemon answers, ``auto`` runs processes, and status says it."""
    nowhere = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}
    run("start", "--port", "0", "--engine", "auto", **nowhere)

    status = run("status")

    assert "run by the process engine" in status.stdout


def test_docker_that_does_not_answer_is_one_sentence(run: Run) -> None:
    """Who asks for Docker gets Docker or a refusal, never something else in its place."""
    nowhere = {"DOCKER_HOST": "unix:///nonexistent/docker.sock"}

    result = run("start", "--port", "0", "--engine", "docker", **nowhere)

    assert "Docker" in _one_sentence(result)
    assert run("status").returncode == 1


def test_a_taken_port_is_one_sentence(run: Run) -> None:
    """The port is named with the way out."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        result = run("start", "--port", str(port), "--engine", "process")

    assert re.search(rf"127\.0\.0\.1:{port}.*--port", _one_sentence(result))


def test_a_folder_that_cannot_be_written_is_one_sentence(run: Run, tmp_path: Path) -> None:
    """The folder is named with the way out."""
    (tmp_path / "file").write_text("")

    result = run("start", "--port", "0", folder=tmp_path / "file" / "below")

    assert re.search(r"file/below.*--dir", _one_sentence(result))


def test_a_second_start_is_one_sentence(run: Run) -> None:
    """The address of the first one is named."""
    first = json.loads(run("start", "--port", "0", "--engine", "process", "--json").stdout)

    assert first["url"] in _one_sentence(run("start", "--port", "0"))


def test_a_seed_with_a_mistake_ends_with_its_line(run: Run, tmp_path: Path) -> None:
    """Exit code 3 means bad input; nothing was started or made."""
    seed = tmp_path / "seed.yaml"
    seed.write_text("users:\n- login: reader\n  rolls: []\n")

    result = run("start", "--port", "0", "--seed", str(seed))

    assert result.returncode == 3
    assert f"{seed}:3: users[0].rolls: a seed has no such key" in result.stderr
    assert not (tmp_path / "sandbox").exists()


def test_a_seed_that_is_not_there_is_one_sentence(run: Run, tmp_path: Path) -> None:
    """A missing file is told before anything is started."""
    result = run("start", "--port", "0", "--seed", str(tmp_path / "none.yaml"))

    assert "none.yaml" in _one_sentence(result)
    assert not (tmp_path / "sandbox").exists()


def test_start_with_a_seed_prints_no_password(run: Run, tmp_path: Path) -> None:
    """Where the passwords are is told, not what they are."""
    seed = tmp_path / "seed.yaml"
    seed.write_text("users: [{login: reader}]\n")

    result = run("start", "--port", "0", "--engine", "process", "--seed", str(seed))

    root = tmp_path / "sandbox"
    passwords = [
        sandbox_process.admin_password(root),
        sandbox_process.read_password(root / "users" / "reader.netrc"),
    ]
    assert result.returncode == 0, result.stderr
    assert "reader" in result.stdout
    assert not any(word in result.stdout + result.stderr for word in passwords)


def test_reset_asks_before_it_deletes(run: Run, tmp_path: Path) -> None:
    """Without an answer and with ``--dry-run`` nothing goes; with ``--yes`` all of it does."""
    run("start", "--port", "0", "--engine", "process")
    root = tmp_path / "sandbox"

    dry = run("reset", "--dry-run")
    unanswered = run("reset")
    was_there = (root / sandbox_process.DATABASE_FILE_NAME).exists()
    done = run("reset", "--yes")

    assert (dry.returncode, "Would" in dry.stdout) == (0, True)
    assert (unanswered.returncode, "--yes" in unanswered.stderr) == (2, True)
    assert was_there
    assert done.returncode == 0
    assert not root.exists()


def test_reset_of_another_folder_deletes_nothing(run: Run, tmp_path: Path) -> None:
    """A folder without a sandbox is refused in one sentence."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")

    assert "nothing was deleted" in _one_sentence(run("reset", "--yes", folder=other))
    assert (other / "thesis.txt").exists()


def test_log_prints_requests_for_people_and_for_programs(run: Run) -> None:
    """The same requests come as lines and as JSON objects, also after the server has stopped."""
    server = json.loads(run("start", "--port", "0", "--engine", "process", "--json").stdout)
    for name in ("first", "second"):
        requests.get(f"{server['url']}/data/projects?format={name}", timeout=30)
    run("stop")

    lines = run("log").stdout.splitlines()
    last = json.loads(run("log", "--json", "--lines", "1").stdout)

    assert [line.split()[3] for line in lines] == [
        "/data/projects?format=first",
        "/data/projects?format=second",
    ]
    assert (last["path"], last["status"]) == ("/data/projects?format=second", 401)
    assert last["reason"] == "Log in to use this server."


def test_log_of_nothing_is_refused(run: Run) -> None:
    """A folder where no sandbox ran has no log, which is said."""
    assert "no sandbox ran there" in run("log").stderr


def test_log_follows_across_a_rotation(tmp_path: Path) -> None:
    """Lines that come later are printed as they come, also when the log is begun anew."""
    root = tmp_path / "sandbox"
    root.mkdir()
    log = root / "requests.log"
    line = "2026-01-01T00:00:00.000Z admin GET /data/projects?format={} 200 2 1.0\n"
    log.write_text(line.format("old"))
    command = [_program(), "sandbox", "log", "--dir", str(root), "--follow", "--lines", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        seen = [following.stdout.readline()]
        # Printed at once, or the test would wait here until it is ended from outside.
        for name in ("one", "two"):
            with log.open("a") as file:
                file.write(line.format(name))
            seen.append(following.stdout.readline())
        log.rename(root / "requests.log.1")
        log.write_text(line.format("three"))
        seen.append(following.stdout.readline())
        following.terminate()

    assert [each.split()[3].rpartition("=")[2] for each in seen] == ["old", "one", "two", "three"]


def test_a_server_for_containers_listens_where_it_is_told(run: Run) -> None:
    """With ``--host`` the server answers there, and the netrc file names that host."""
    result = run("start", "--port", "0", "--engine", "process", "--host", "127.0.0.2", "--json")

    document = json.loads(result.stdout)
    assert document["url"].startswith("http://127.0.0.2:")
    assert "machine 127.0.0.2\n" in Path(document["netrc"]).read_text()
    password = sandbox_process.read_password(Path(document["netrc"]))
    answer = requests.get(document["url"] + "/data/auth", auth=("admin", password), timeout=30)
    assert answer.status_code == 200
