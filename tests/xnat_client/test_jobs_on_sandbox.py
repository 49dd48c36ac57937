"""A study's jobs against the sandbox: skipping, retrying, the cap, and every kind of sudden end."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from deploy import sandbox_process
from tests.builders.container_lab import Lab, shell_command
from xnat_client.errors import UnreachableError
from xnat_client.jobs.driver import Driver, DriveSettings
from xnat_client.jobs.model import Job, JobState
from xnat_client.jobs.selection import choose_sessions, read_condition
from xnat_client.jobs.store import JobStore
from xnat_client.jobs.work import fitting_wrappers, make_work
from xnat_client.session import XnatServer, connect

DOCS = Path(__file__).parents[2] / "docs" / "jobs.md"
QUICK = DriveSettings(watch=True, pause_s=0.05, settle_s=0.5, patience_s=30, timeout_s=90)
# Fails for a session whose file says so.
CHECKED = "cat /input/a.txt > /output/copy.txt; ! grep -q bad /input/a.txt"


@pytest.fixture
def lab(sandbox: Any) -> Lab:
    return Lab(sandbox.url, sandbox.admin_password)


@pytest.fixture
def server(sandbox: Any) -> Iterator[XnatServer]:
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened


@pytest.fixture
def state_path(tmp_path: Path) -> Path:
    return tmp_path / "jobs.sqlite"


def _sessions(lab: Lab, contents: Sequence[bytes]) -> list[str]:
    return [
        lab.session(f"E{n}", subject=f"S{n}", files={"DATA/a.txt": content})
        for n, content in enumerate(contents, 1)
    ]


def _drive(  # noqa: PLR0913, PLR0917 - what a test may vary
    server: XnatServer,
    path: Path,
    lab: Lab,
    command: str,
    settings: DriveSettings = QUICK,
    parameters: dict[str, str] | None = None,
    names: Sequence[str] = (),
) -> list[Job]:
    transport = server.transport
    sessions = choose_sessions(transport, lab.project, names=names)
    wrappers = fitting_wrappers(transport, lab.project, sessions, command)
    with JobStore(path) as store, store.driving(transport.url, lab.project):
        work = make_work(transport, store, sessions, wrappers, parameters or {})
        return Driver(transport, store, settings, lambda _job, _remark: None).drive(work)


def _launches(lab: Lab) -> Counter[str]:
    """Return how often each session was launched, as the server's own list of workflows has it."""
    found: Counter[str] = Counter()
    for row in lab.admin.http.post(f"{lab.url}/xapi/workflows", json={"size": 1000}).json():
        if row["externalId"] == lab.project:
            found[row["id"]] += 1
    return found


def _winxnat(
    sandbox: Any, state: Path, *arguments: str, password: str | None = None, user: str = "admin"
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
    own = {
        "XNAT_USER": user,
        "XNAT_PASS": password or sandbox.admin_password,
        "XNAT_HOST": sandbox.url,
        "WINXNAT_JOBS": str(state),
    }
    return subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=120, env={**os.environ, **own},
    )  # fmt: skip


# What is launched, and what not ---------------------------------------------------------------


def test_only_failures_are_launched_again(server: XnatServer, lab: Lab, state_path: Path) -> None:
    """Of three sessions one fails; the second time it alone is launched, the others are kept."""
    ids = _sessions(lab, [b"good", b"bad", b"good"])
    document = shell_command(CHECKED)
    lab.command(document)

    first = _drive(server, state_path, lab, document["name"])
    lab.put(f"/data/experiments/{ids[1]}/resources/DATA/files/a.txt?overwrite=true", data=b"mended")
    second = _drive(server, state_path, lab, document["name"])
    third = _drive(server, state_path, lab, document["name"])

    assert [job.state for job in first] == ["done", "failed", "done"]
    assert [job.state for job in second] == ["done", "done", "done"]
    assert [job.state for job in third] == ["done", "done", "done"]
    assert _launches(lab) == {ids[0]: 1, ids[1]: 2, ids[2]: 1}
    assert second[1].results == ("COPY",)
    assert second[1].attempts == 2


def test_finished_work_is_done_again_when_its_reason_is_gone(
    server: XnatServer, lab: Lab, state_path: Path
) -> None:
    """A new file or a deleted result makes the session be launched again, and only that one."""
    ids = _sessions(lab, [b"one", b"two", b"three"])
    document = shell_command(CHECKED)
    lab.command(document)
    _drive(server, state_path, lab, document["name"])

    lab.file(f"/data/experiments/{ids[0]}", "DATA/more.txt", b"new")
    gone = lab.admin.http.delete(f"{lab.url}/data/experiments/{ids[2]}/resources/COPY")
    _drive(server, state_path, lab, document["name"])

    assert gone.status_code == 200
    assert _launches(lab) == {ids[0]: 2, ids[1]: 1, ids[2]: 2}


def test_other_parameters_are_other_work(server: XnatServer, lab: Lab, state_path: Path) -> None:
    """What was done with one value is not done with another."""
    (session,) = _sessions(lab, [b"one"])
    document = shell_command("cat /input/a.txt #mode# > /output/copy.txt || true")
    document["inputs"] = [{"name": "mode", "type": "string", "default-value": ""}]
    lab.command(document)

    for parameters in ({"mode": "x"}, {"mode": "y"}, {"mode": "x"}):
        _drive(server, state_path, lab, document["name"], parameters=parameters)

    assert _launches(lab) == {session: 2}


def test_cap_holds(server: XnatServer, lab: Lab, state_path: Path, tmp_path: Path) -> None:
    """With a cap of two, never more than two containers run at a time, and two do."""
    _sessions(lab, [b"x"] * 6)
    marks = tmp_path / "marks"
    line = f"echo + >> {marks}; sleep 0.4; echo - >> {marks}; touch /output/done"
    document = shell_command(line)
    lab.command(document)

    jobs = _drive(server, state_path, lab, document["name"], DriveSettings(
        max_running=2, watch=True, pause_s=0.05, timeout_s=90
    ))  # fmt: skip

    running = most = 0
    for mark in marks.read_text().split():
        running += 1 if mark == "+" else -1
        most = max(most, running)
    assert [job.state for job in jobs] == ["done"] * 6
    assert most == 2


def test_result_that_is_not_what_it_says_is_a_failure(
    server: XnatServer, lab: Lab, state_path: Path
) -> None:
    """A run that is Complete but left the report of another step is not called done."""
    _sessions(lab, [b"x"])
    report = json.dumps({"report_version": 1, "command": "other", "exit_code": 0})
    document = shell_command(f"echo '{report}' > /output/report.json")
    lab.command(document)

    (job,) = _drive(server, state_path, lab, document["name"])

    assert (job.state, job.run_status) == ("failed", "Complete")
    assert "another command" in job.reason


def test_conditions_choose_sessions(server: XnatServer, lab: Lab) -> None:
    """Conditions on labels, resources and scans choose the sessions they say."""
    lab.session("A1", subject="A", files={"BIDS/x": b"1"}, scans={"1": {"DICOM/i": b"1"}})
    lab.session("B1", subject="B", scans={"2": {"DICOM/i": b"1"}})
    lab.session("B2", subject="B")
    expected = {
        "resource!=BIDS": ["B1", "B2"],
        "scan=T1w": ["A1"],
        "subject=b": ["B1", "B2"],
        "label~1$": ["A1", "B1"],
    }

    found = {
        text: [
            session.label
            for session in choose_sessions(
                server.transport, lab.project, conditions=[read_condition(text)]
            )
        ]
        for text in expected
    }

    assert found == expected


# Sudden ends -----------------------------------------------------------------------------------

_DRIVE_ALONE = """
import sys
from pathlib import Path
from tests.xnat_client.test_jobs_on_sandbox import QUICK, _drive
from tests.builders.container_lab import Lab
from xnat_client.session import connect
url, password, project, command, path = sys.argv[1:]
class Given(Lab):
    def __post_init__(self):
        pass
with connect(url, "admin", password) as server:
    _drive(server, Path(path), Given(url, password, project), command)
"""


@pytest.mark.slow
def test_killed_client_never_launches_twice(
    sandbox: Any, server: XnatServer, lab: Lab, state_path: Path
) -> None:
    """Killed at eight random moments and started again, each session is launched exactly once."""
    ids = _sessions(lab, [b"x"] * 10)
    document = shell_command("sleep 0.2; touch /output/done")
    lab.command(document)
    arguments = [sandbox.url, sandbox.admin_password, lab.project, document["name"]]
    chance = random.Random(8)  # noqa: S311 - a fixed choice of moments

    for _ in range(8):
        client = subprocess.Popen(
            [sys.executable, "-c", _DRIVE_ALONE, *arguments, str(state_path)],
            stderr=subprocess.DEVNULL, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        before = sum(_launches(lab).values())
        give_up = time.monotonic() + 20
        # The moment counts from its first launch: starting Python takes longer than the work.
        while (
            client.poll() is None
            and sum(_launches(lab).values()) == before
            and time.monotonic() < give_up
        ):
            time.sleep(0.01)
            if before == len(ids):
                break
        time.sleep(chance.uniform(0, 0.1))
        client.send_signal(signal.SIGKILL)
        client.wait()
    jobs = _drive(server, state_path, lab, document["name"])

    assert [job.state for job in jobs] == ["done"] * 10
    assert _launches(lab) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize("was_made", [True, False])
def test_launch_whose_answer_was_lost(
    server: XnatServer, lab: Lab, state_path: Path, *, was_made: bool
) -> None:
    """A launch that was being sent is found if it was made, and made if it was not."""
    (session,) = _sessions(lab, [b"x"])
    document = shell_command("sleep 0.3; touch /output/done")
    wrapper = lab.command(document)
    transport = server.transport
    sessions = choose_sessions(transport, lab.project)
    with JobStore(state_path) as store:
        ((job, _),) = make_work(
            transport, store, sessions,
            fitting_wrappers(transport, lab.project, sessions, document["name"]), {},
        )  # fmt: skip
        store.change(job, state=JobState.LAUNCHING, attempts=1)
    if was_made:
        # It may even be over before the client comes back.
        lab.run(lab.admin, wrapper, f"/archive/experiments/{session}")

    (job,) = _drive(server, state_path, lab, document["name"])

    assert job.state == "done"
    assert _launches(lab) == {session: 1}
    assert job.attempts == (1 if was_made else 2)


def test_same_launch_of_a_lost_memory_is_joined(
    server: XnatServer, lab: Lab, state_path: Path
) -> None:
    """Without its state file the client still recognises its own run that is under way."""
    (session,) = _sessions(lab, [b"x"])
    document = shell_command("sleep 1.5; touch /output/done")
    wrapper = lab.command(document)
    number = lab.launch(lab.admin, wrapper, f"/archive/experiments/{session}")
    lab.until(lab.admin, number, "Running")

    (job,) = _drive(server, state_path, lab, document["name"])

    assert (job.state, job.workflow_id) == ("done", number)
    assert _launches(lab) == {session: 1}


def test_run_of_somebody_else_is_waited_for(server: XnatServer, lab: Lab, state_path: Path) -> None:
    """Another person's run of the command on the session is let end before ours begins."""
    (session,) = _sessions(lab, [b"x"])
    document = shell_command("sleep 1; touch /output/done")
    wrapper = lab.command(document)
    member = lab.person()
    number = lab.launch(member, wrapper, f"/archive/experiments/{session}")

    (job,) = _drive(server, state_path, lab, document["name"])

    assert lab.workflow(lab.admin, number)["status"] == "Complete"
    assert job.state == "done"
    assert int(job.workflow_id) > int(number)
    assert _launches(lab) == {session: 2}


def test_ended_web_session_is_no_trouble(server: XnatServer, lab: Lab, state_path: Path) -> None:
    """When the server forgets the log-in in the middle, the client logs in again."""
    ids = _sessions(lab, [b"x"] * 3)
    document = shell_command("sleep 0.5; touch /output/done")
    lab.command(document)
    stop = threading.Event()

    def forget() -> None:
        while not stop.wait(0.3):
            lab.admin.http.delete(f"{lab.url}/xapi/users/active/admin")
            lab.admin.http.cookies.clear()

    thread = threading.Thread(target=forget)
    thread.start()
    try:
        jobs = _drive(server, state_path, lab, document["name"])
    finally:
        stop.set()
        thread.join()

    assert [job.state for job in jobs] == ["done"] * 3
    assert _launches(lab) == dict.fromkeys(ids, 1)


def test_server_restart_is_lived_through(fresh_sandbox: Any, state_path: Path) -> None:
    """The server goes away for some seconds in the middle; all end well, none is made twice."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    ids = _sessions(lab, [b"x"] * 4)
    document = shell_command("sleep 0.5; touch /output/done")
    lab.command(document)
    result: list[Job] = []

    def client() -> None:
        with connect(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as opened:
            settings = DriveSettings(
                max_running=2, watch=True, pause_s=0.1, settle_s=0.5, timeout_s=90
            )
            result.extend(_drive(opened, state_path, lab, document["name"], settings))

    thread = threading.Thread(target=client)
    thread.start()
    while not _launches(lab):
        time.sleep(0.02)
    sandbox_process.stop(fresh_sandbox.root)
    time.sleep(1)
    port = urlsplit(fresh_sandbox.url).port or 0
    sandbox_process.start(fresh_sandbox.root, port=port, engine="process")
    thread.join(timeout=90)

    assert [job.state for job in result] == ["done"] * 4
    assert _launches(lab) == dict.fromkeys(ids, 1)


def test_time_is_over(server: XnatServer, lab: Lab, state_path: Path) -> None:
    """Watching ends when it was told to, and says that the runs go on."""
    _sessions(lab, [b"x"])
    document = shell_command("sleep 1.5; touch /output/done")
    lab.command(document)
    short = DriveSettings(watch=True, pause_s=0.05, timeout_s=0.3)

    with pytest.raises(UnreachableError, match="goes on"):
        _drive(server, state_path, lab, document["name"], short)

    (job,) = _drive(server, state_path, lab, document["name"])
    assert (job.state, job.attempts) == ("done", 1)


# The command line -------------------------------------------------------------------------------


def test_study_on_the_command_line(sandbox: Any, lab: Lab, state_path: Path) -> None:
    """Launch, list, logs, retry: JSON lines, the log of the failure, and exit codes by outcome."""
    ids = _sessions(lab, [b"good", b"bad"])
    document = shell_command(f"echo the reason >&2; {CHECKED}")
    lab.command(document)
    place = ("--project", lab.project)

    first = _winxnat(sandbox, state_path, "launch", document["name"], *place, "--all", "--watch")
    listed = _winxnat(sandbox, state_path, "jobs", "list", "--only", "failed", "--json")
    log = _winxnat(sandbox, state_path, "jobs", "logs", "E2", *place)
    lab.put(f"/data/experiments/{ids[1]}/resources/DATA/files/a.txt?overwrite=true", data=b"ok")
    retried = _winxnat(sandbox, state_path, "jobs", "retry", *place, "--watch")
    table = _winxnat(sandbox, state_path, "jobs", "list")

    lines = [json.loads(line) for line in first.stdout.splitlines()]
    assert first.returncode == 5
    assert lines[-1] == {"summary": {"done": 1, "failed": 1}}
    assert "the reason" in first.stderr
    said = re.search(r"^All of it: winxnat (jobs logs \d+)$", first.stderr, re.MULTILINE)
    assert said
    again = _winxnat(sandbox, state_path, *said[1].split())
    assert again.stdout == "the reason\n"
    assert "/xapi/" not in first.stdout + first.stderr + listed.stdout
    assert [json.loads(line)["session_label"] for line in listed.stdout.splitlines()] == ["E2"]
    assert log.stdout == "the reason\n"
    assert (retried.returncode, json.loads(retried.stdout.splitlines()[-1])) == (
        0,
        {"summary": {"done": 1}},
    )
    assert "2 done" in table.stdout
    assert _launches(lab) == {ids[0]: 1, ids[1]: 2}


def test_cancel(sandbox: Any, lab: Lab, state_path: Path) -> None:
    """A running job is ended on the server, and stays ended until it is retried by name."""
    _sessions(lab, [b"x"])
    document = shell_command("sleep 300")
    lab.command(document)
    place = ("--project", lab.project)

    launched = _winxnat(
        sandbox, state_path, "launch", document["name"], *place, "--session", "E1", "--json"
    )
    number = json.loads(launched.stdout)["workflow_id"]
    lab.until(lab.admin, number, "Running")
    cancelled = _winxnat(sandbox, state_path, "jobs", "cancel", "E1", *place)
    retried = _winxnat(sandbox, state_path, "jobs", "retry", *place)

    assert (cancelled.returncode, cancelled.stderr) == (0, "")
    assert "cancelled" in cancelled.stdout
    assert lab.workflow(lab.admin, number)["status"].startswith("Killed")
    assert "No job" in retried.stderr


def test_interrupted_watching_says_that_runs_go_on(
    sandbox: Any, lab: Lab, state_path: Path
) -> None:
    """Ctrl-C ends the client with 130 and a sentence, not the run."""
    (session,) = _sessions(lab, [b"x"])
    document = shell_command("sleep 2; touch /output/done")
    lab.command(document)
    own = {"XNAT_USER": "admin", "XNAT_PASS": sandbox.admin_password, "XNAT_HOST": sandbox.url}
    client = subprocess.Popen(
        [sys.executable, "-c", "from xnat_client.cli.main import main; main()", "launch",
         document["name"], "--project", lab.project, "--all", "--watch",
         "--state", str(state_path)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, **own},
    )  # fmt: skip
    while not _launches(lab):
        time.sleep(0.02)

    time.sleep(0.3)
    client.send_signal(signal.SIGINT)
    _, said = client.communicate(timeout=20)

    assert client.returncode == 130
    assert "goes on" in said
    (row,) = lab.admin.http.post(f"{lab.url}/xapi/workflows", json={"id": session}).json()
    assert lab.end(lab.admin, str(row["wfid"]))[0] == "Complete"


def test_single_session_twice_says_that_it_was_done(
    sandbox: Any, lab: Lab, state_path: Path
) -> None:
    """The second time the program answers from what is there; --again launches it."""
    (session,) = _sessions(lab, [b"x"])
    document = shell_command(CHECKED)
    lab.command(document)
    call = ("launch", document["name"], "--project", lab.project, "--session", "E1", "--watch")

    first = _winxnat(sandbox, state_path, *call)
    second = _winxnat(sandbox, state_path, *call, "--json")
    third = _winxnat(sandbox, state_path, *call, "--again")

    assert first.stdout.startswith("Complete: ")
    assert json.loads(second.stdout)["skipped"] is True
    assert third.stdout.startswith("Complete: ")
    assert _launches(lab) == {session: 2}


def test_python_of_the_documentation_runs(sandbox: Any, lab: Lab, tmp_path: Path) -> None:
    """The example of the documentation drives the project's sessions, names aside."""
    ids = _sessions(lab, [b"x", b"y"])
    document = shell_command("touch /output/done")
    lab.command(document)
    (example,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    program = example.replace("STUDY1", lab.project).replace("dicom-to-bids", document["name"])
    own = {"XNAT_USER": "admin", "XNAT_PASS": sandbox.admin_password, "XNAT_HOST": sandbox.url}

    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, **own}, timeout=60,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-2:] == ["E1 done", "E2 done"]
    assert _launches(lab) == dict.fromkeys(ids, 1)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("c", "--project", "NOSUCH", "--all"), 5, "no project NOSUCH"),
        (("c", "--project", "{P}", "--session", "NOSUCH"), 5, "no session NOSUCH"),
        (("nosuch", "--project", "{P}", "--all"), 5, "Command nosuch cannot be launched"),
        (("{C}", "--project", "{P}", "--where", "label=none"), 5, "no session that fits"),
        (("{C}", "--project", "{P}", "--where", "colour=red"), 2, "COLUMN SIGN VALUE"),
        (("{C}", "--project", "{P}"), 2, "--session"),
        (("{C}", "--project", "{P}", "--all", "--param", "nosuch=1"), 2, "no input nosuch"),
    ],
)
def test_wrong_words_get_one_sentence(  # noqa: PLR0913, PLR0917 - fixtures and the table's columns
    sandbox: Any, lab: Lab, state_path: Path, arguments: Sequence[str], code: int, said: str
) -> None:
    """An unknown project, session, command or condition is named; nothing is launched."""
    _sessions(lab, [b"x"])
    document = shell_command("touch /output/done")
    lab.command(document)
    filled = [text.replace("{P}", lab.project).replace("{C}", document["name"])
              for text in arguments]  # fmt: skip

    ended = _winxnat(sandbox, state_path, "launch", *filled, "--watch")

    assert ended.returncode == code, ended.stderr
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
