"""The command line as a user meets it: a process, its two streams and its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from .conftest import PASSWORD, Reply, ScriptedServer

PROGRAM = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
MARKS = ("Marked", "MARKED", "19700131")
TARGET = ["--project", "P", "--subject", "S1", "--session", "E1"]


def _environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("XNAT", "NETRC"))}
    return {**kept, "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring", "HOME": "/", **more}


def winxnat(
    *arguments: str | Path, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the program without a terminal."""
    return subprocess.run(
        [*PROGRAM, *map(str, arguments)],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60,
        env=_environment(**environment), cwd=cwd,
    )  # fmt: skip


def test_help_lists_subcommands_with_their_lines() -> None:
    """The overview has one line for each of the client's subcommands."""
    done = winxnat("--help")

    assert done.returncode == 0
    for name in ("upload", "launch", "fetch"):
        [line] = [one for one in done.stdout.splitlines() if one.strip().startswith(f"{name} ")]
        assert len(line.split()) > 4


@pytest.mark.parametrize("name", ["upload", "launch", "fetch"])
def test_subcommands_have_help_and_no_password_option(name: str) -> None:
    """Every subcommand explains itself; none takes a password as an argument."""
    done = winxnat(name, "--help")

    assert done.returncode == 0
    assert "--server" in done.stdout
    assert "--password" not in done.stdout


def test_version_is_that_of_the_distribution() -> None:
    """--version prints what the installed distribution says."""
    from importlib.metadata import version  # noqa: PLC0415  # only this test needs it

    assert version("winxnat") in winxnat("--version").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["upload"],
        ["upload", "x", "--project", "P", "--subject", "a/b", "--session", "E"],
        ["launch", "c", "--project", "P", "--session", "E", "--param", "novalue"],
    ],
)
def test_wrong_usage_is_two(arguments: list[str]) -> None:
    """Unknown subcommands, missing options and bad labels end with 2 and nothing on stdout."""
    done = winxnat(*arguments)

    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("case", ["missing", "empty", "text", "cut", "patients"])
def test_bad_folders_are_three_and_nothing_is_sent(
    scripted: ScriptedServer, dicom_folder: Path, tmp_path: Path, case: str
) -> None:
    """One sentence without a name in it, exit code 3, and not even a log-in at the server."""
    folder = dicom_folder
    if case == "missing":
        folder = tmp_path / "none"
    elif case in ("empty", "text"):
        folder = tmp_path / "other"
        folder.mkdir()
        if case == "text":
            (folder / "Marked.docx").write_text("hello " * 100)
    elif case == "cut":
        victim = min(dicom_folder.rglob("IM*"))
        victim.write_bytes(victim.read_bytes()[:-100])
    else:
        victim = min(dicom_folder.rglob("IM*"))
        victim.write_bytes(victim.read_bytes().replace(b"MARKED-ID", b"MARKED-XY"))

    done = winxnat(
        "upload", folder, *TARGET, "--server", scripted.url, XNAT_USER="reader", XNAT_PASS=PASSWORD
    )

    assert done.returncode == 3
    assert len(done.stderr.strip().splitlines()) == 1
    assert not [mark for mark in MARKS if mark in done.stderr + done.stdout]
    assert scripted.received == []


def test_dry_run_contacts_nobody(scripted: ScriptedServer, dicom_folder: Path) -> None:
    """The plan has scans, files and bytes as JSON; no request is sent and no name is printed."""
    done = winxnat("upload", dicom_folder, *TARGET, "--dry-run", "--json", "--server", scripted.url)

    plan = json.loads(done.stdout)
    assert done.returncode == 0
    assert [(one["scan"], one["files"]) for one in plan["rows"]] == [("3", 2), ("4", 3)]
    assert scripted.received == []
    assert not [mark for mark in MARKS if mark in done.stdout + done.stderr]


def test_show_paths_is_the_way_to_the_file(dicom_folder: Path) -> None:
    """Only with --show-paths are damaged files named, on stderr."""
    victim = min(dicom_folder.rglob("IM*"))
    victim.write_bytes(victim.read_bytes()[:-100])

    done = winxnat("upload", dicom_folder, *TARGET, "--dry-run", "--show-paths")

    assert done.returncode == 3
    assert f"{victim}: PROBLEM: damaged DICOM" in done.stderr


def test_no_server_is_wrong_usage(dicom_folder: Path) -> None:
    """Without an address the message says how to give one."""
    done = winxnat("upload", dicom_folder, *TARGET)

    assert done.returncode == 2
    assert "--server" in done.stderr


def test_no_credentials_are_not_asked_for_without_a_terminal(
    scripted: ScriptedServer, tmp_path: Path
) -> None:
    """A script gets an error that names the ways, not a question that hangs."""
    done = winxnat(
        "fetch", tmp_path / "o", "--project", "P", "--session", "E", "--resource", "R",
        "--server", scripted.url,
    )  # fmt: skip

    assert done.returncode == 2
    assert "XNAT_PASS" in done.stderr


def test_wrong_password_is_five_and_not_shown(scripted: ScriptedServer, tmp_path: Path) -> None:
    """The server's refusal is one sentence without the password."""
    done = winxnat(
        "fetch", tmp_path / "o", "--project", "P", "--session", "E", "--resource", "R",
        "--server", scripted.url, XNAT_USER="reader", XNAT_PASS="hunter2",
    )  # fmt: skip

    assert done.returncode == 5
    assert "does not accept" in done.stderr
    assert "hunter2" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_interruption_is_130(scripted: ScriptedServer, tmp_path: Path) -> None:
    """Ctrl-C ends the program without a stack trace."""
    busy = Reply(503, headers={"Retry-After": "120"})
    scripted.answer("GET", "/data/projects/P/experiments", busy)
    arguments = ["fetch", str(tmp_path), "--project", "P", "--session", "E", "--resource", "R"]
    with subprocess.Popen(
        [*PROGRAM, *arguments, "--server", scripted.url],
        stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=_environment(XNAT_USER="reader", XNAT_PASS=PASSWORD),
    ) as process:  # fmt: skip
        for _ in range(400):
            if scripted.requests_to("/data/projects/P/experiments"):
                break
            time.sleep(0.05)

        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert stderr.strip() == "Interrupted."


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["nonsense"], 2),
        (["fetch", "out", "--project", "P", "--session", "E", "--resource", "R"], 2),
        (["upload", "none", *TARGET], 3),
        (["share", "study", "list", "--home", "none"], 2),
    ],
)
def test_errors_are_json_too(tmp_path: Path, arguments: list[str], code: int) -> None:
    """With --json stdout holds one JSON object with the sentence of stderr and the exit code."""
    done = winxnat(*arguments, "--json", cwd=tmp_path)

    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["exit_code"]) == (code, code)
    assert error["message"] in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_no_stack_trace(tmp_path: Path) -> None:
    """What the system says is told, without the name of the file."""
    (tmp_path / "Marked").touch()

    done = winxnat("share", "template", "criteria", "--out", tmp_path / "Marked" / "x")

    assert (done.returncode, len(done.stderr.splitlines())) == (3, 1)
    assert "Not a directory" in done.stderr
    assert "Marked" not in done.stderr


def test_json_is_utf8_whatever_the_names_are(scripted: ScriptedServer, tmp_path: Path) -> None:
    """A folder whose name is no text still gives JSON, and one that is text stays readable."""
    path = "/data/experiments/X_E1"
    row = {"ID": "X_E1", "label": "E1", "project": "P"}
    scripted.answer("GET", "/data/projects/P/experiments", Reply.table(row))
    file = {"Name": "a", "Size": "1", "URI": f"{path}/resources/R/files/a", "collection": "R"}
    scripted.answer("GET", f"{path}/resources/R/files", Reply.table(file))
    scripted.answer("GET", f"{path}/resources/R/files/a", Reply(body=b"x"))
    log_in = {"XNAT_USER": "reader", "XNAT_PASS": PASSWORD}

    for name in (b"caf\xe9", "café".encode()):
        done = subprocess.run(
            [*PROGRAM, "fetch", name, "--project", "P", "--session", "E1", "--resource", "R",
             "--server", scripted.url, "--json"],
            capture_output=True, check=True, cwd=tmp_path, env=_environment(**log_in),
        )  # fmt: skip
        assert json.loads(done.stdout.decode("utf-8"))["out_dir"] == os.fsdecode(name)

    assert "café".encode() in done.stdout


def test_argument_that_is_no_text_is_wrong_usage(scripted: ScriptedServer, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 can be part of a path, but not of a label."""
    row = {"ID": "X_E1", "label": "E1", "project": "P"}
    scripted.answer("GET", "/data/projects/P/experiments", Reply.table(row))

    done = subprocess.run(
        [*PROGRAM, "fetch", "out", "--project", "P", "--session", "E1", "--resource", b"caf\xe9",
         "--server", scripted.url],
        capture_output=True, check=False, text=True, cwd=tmp_path,
        env=_environment(XNAT_USER="reader", XNAT_PASS=PASSWORD),
    )  # fmt: skip

    assert done.returncode == 2
    assert "no UTF-8 text" in done.stderr
    assert len(done.stderr.splitlines()) == 1
