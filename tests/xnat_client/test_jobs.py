"""Choosing sessions, and the memory of jobs."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from rich.console import Console

from xnat_client.cli.jobs_display import table_of
from xnat_client.commands_registry import AvailableWrapper
from xnat_client.errors import BadInputError, ConflictError, UsageError
from xnat_client.jobs.driver import Driver, DriveSettings, Target
from xnat_client.jobs.evidence import Outputs
from xnat_client.jobs.model import Job, JobState, Wish
from xnat_client.jobs.selection import read_condition
from xnat_client.jobs.store import JobStore, select
from xnat_client.launch import RunState
from xnat_client.sessions import Session
from xnat_client.transport import Transport

from .conftest import Reply, ScriptedServer

WISH = Wish("https://x.example.org", "P", "XNAT_E00001", "S01_MR1", "c", "w", "i:1", {"a": "1"})


@pytest.mark.parametrize(
    ("text", "cells", "holds"),
    [
        ("label=s01_mr1", ["S01_MR1"], True),
        ("label!=S01_MR1", ["S01_MR1"], False),
        ("label~^S0[12]_", ["S02_MR1"], True),
        ("label!~^S0[12]_", ["S03_MR1"], True),
        ("date>=2026-01-01", ["2026-01-01"], True),
        ("date > 2026-01-01", ["2026-01-01"], False),
        ("date<2026-01-01", ["2025-12-31"], True),
        ("date<2026-01-01", [""], False),
        ("type=mr", ["xnat:mrSessionData", "mr"], True),
        ("scan=T1w", ["localizer", "T1w"], True),
        ("scan!=T1w", ["localizer", "T1w"], False),
        ("resource!=BIDS", [], True),
        ("resource=BIDS", [], False),
    ],
)
def test_condition(text: str, cells: list[str], holds: bool) -> None:  # noqa: FBT001 - a column of the table
    """A condition holds for exactly the sessions that its words say."""
    assert read_condition(text).holds(cells) is holds


@pytest.mark.parametrize("text", ["", "label", "colour=red", "label~[", "=x", "label=="])
def test_condition_that_says_nothing_is_refused(text: str) -> None:
    """What is no condition is refused with the form it must have; a stray sign is part of it."""
    if text == "label==":
        assert read_condition(text).value == "="
        return

    with pytest.raises(UsageError):
        read_condition(text)


def test_a_wish_has_one_job(tmp_path: Path) -> None:
    """The same wish finds the job that is remembered, also after the file was closed."""
    path = tmp_path / "deep" / "jobs.sqlite"
    with JobStore(path) as store:
        first = store.add(WISH)
        store.change(first, state=JobState.RUNNING, workflow_id="7", known_workflows=("3", "4"))

    with JobStore(path) as store:
        again = store.add(WISH)

        assert (again.job_id, again.state, again.workflow_id) == (first.job_id, "running", "7")
        assert again.known_workflows == ("3", "4")
        assert store.workflows(WISH.server) == {"7"}
        assert len(store.jobs()) == 1


def test_state_file_is_private(tmp_path: Path) -> None:
    """Nobody but its owner reads the file."""
    with JobStore(tmp_path / "jobs.sqlite") as store:
        store.add(WISH)

    assert stat.S_IMODE((tmp_path / "jobs.sqlite").stat().st_mode) == 0o600


def test_foreign_file_is_refused_and_kept(tmp_path: Path) -> None:
    """A file that is not ours is named in one sentence and stays as it was."""
    path = tmp_path / "thesis.txt"
    path.write_text("my thesis, the only copy\n" * 100)

    with pytest.raises(BadInputError, match="--state"):
        JobStore(path)

    assert path.read_text() == "my thesis, the only copy\n" * 100


def test_file_of_another_version_is_refused(tmp_path: Path) -> None:
    """A state file of a later winxnat is not misread."""
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(BadInputError, match="another version"):
        JobStore(path)


def test_one_driver_for_a_project(tmp_path: Path) -> None:
    """Two at once are refused in one project, and let be in two."""
    with JobStore(tmp_path / "j") as one, JobStore(tmp_path / "j") as other:
        with one.driving("s", "P"):
            with other.driving("s", "Q"):
                pass
            with pytest.raises(ConflictError, match="Another winxnat"), other.driving("s", "P"):
                pass
        with other.driving("s", "P"):
            pass


def test_jobs_are_named_by_number_label_or_id(tmp_path: Path) -> None:
    """Whichever name a person has at hand finds the job."""
    with JobStore(tmp_path / "j") as store:
        job = store.add(WISH)

        for name in (str(job.job_id), "S01_MR1", "XNAT_E00001"):
            assert select([job], [name]) == [job]
        assert select([job], ["S02"]) == []


def test_waiting_of_the_service_is_not_over() -> None:
    """Only Complete, Failed and Killed end a run (Container Service, statuses)."""
    over = ["Complete", "Failed", "Failed (Upload)", "Killed", "Killed (Out of Memory)"]
    open_ = ["Queued", "Staging", "Created", "Running", "_Waiting", "Waiting", "Finalizing"]

    assert [RunState(status).is_over for status in over] == [True] * len(over)
    assert [RunState(status).is_over for status in open_] == [False] * len(open_)


def test_starting_server_is_waited_for(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A servlet container answers 404 to everything while XNAT starts: no run is called lost."""
    user, workflow = "/xapi/users/username", "/data/workflows/7"
    running = {"items": [{"data_fields": {"status": "Running"}}]}
    over = {"items": [{"data_fields": {"status": "Complete"}}]}
    away = Reply(404, b"<html>HTTP Status 404</html>")
    scripted.answer("GET", user, Reply(body=b"reader"), away, away, Reply(body=b"reader"))
    scripted.answer("GET", workflow, Reply.json(running), away, away, Reply.json(over))
    scripted.answer("GET", "/data/experiments/XNAT_E00001/resources", Reply.table())
    session = Session("XNAT_E00001", "S01_MR1", "P", "S01", "xnat:mrSessionData")
    target = Target(session, AvailableWrapper(1, "c", 3, "w", "session", "i:1"), Outputs())
    with JobStore(tmp_path / "j") as store:
        job = store.change(store.add(WISH), state=JobState.RUNNING, workflow_id="7")

        (ended,) = Driver(
            transport, store, DriveSettings(watch=True, pause_s=0.01), lambda _job, _remark: None
        ).drive([(job, target)])

    assert ended.state == "done"
    assert len(scripted.requests_to(workflow)) == 4


def test_forgotten_run_is_a_failure(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A server that answers but knows no such workflow has lost the run; the job says so."""
    scripted.answer("GET", "/xapi/users/username", Reply(body=b"reader"))
    session = Session("XNAT_E00001", "S01_MR1", "P", "S01", "xnat:mrSessionData")
    target = Target(session, AvailableWrapper(1, "c", 3, "w", "session", "i:1"), Outputs())
    with JobStore(tmp_path / "j") as store:
        job = store.change(store.add(WISH), state=JobState.RUNNING, workflow_id="7")

        (ended,) = Driver(
            transport, store, DriveSettings(watch=True, pause_s=0.01), lambda _job, _remark: None
        ).drive([(job, target)])

    assert ended.state == "failed"
    assert "no longer knows workflow 7" in ended.reason


def test_full_disk_is_said(tmp_path: Path) -> None:
    """A state that cannot be written is one sentence, and what was stored before stays."""
    path = tmp_path / "j"
    with JobStore(path) as store:
        job = store.add(WISH)
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")

        with pytest.raises(BadInputError, match="Cannot write the state file"):
            store.change(job, reason="x" * 1_000_000)

    with JobStore(path) as store:
        assert store.jobs() == [job]


@pytest.mark.parametrize(("made", "state"), [(True, "done"), (False, "failed")])
def test_error_of_a_gateway_may_hide_a_launch(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, *, made: bool, state: str
) -> None:
    """After a 500 the session's workflows say whether the launch was made; it is sent once."""
    launch = "/xapi/projects/P/wrappers/3/root/session/launch"
    base = "/data/experiments/XNAT_E00001"
    row = {"wfid": 7, "status": "Running", "pipelineName": "w", "createUser": "reader"}
    scripted.answer("GET", "/xapi/users/username", Reply(body=b"reader"))
    scripted.answer("POST", "/xapi/workflows", Reply.json([]), Reply.json([row] if made else []))
    scripted.answer("GET", f"{base}/scans/ALL/files", Reply.table())
    scripted.answer("GET", f"{base}/resources", Reply.table())
    scripted.answer("POST", launch, Reply(500, b"<html><h1>Proxy Error</h1></html>"))
    over = {"items": [{"data_fields": {"status": "Complete"}}]}
    scripted.answer("GET", "/data/workflows/7", Reply.json(over))
    session = Session("XNAT_E00001", "S01_MR1", "P", "S01", "xnat:mrSessionData")
    target = Target(session, AvailableWrapper(1, "c", 3, "w", "session", "i:1"), Outputs())

    with JobStore(tmp_path / "j") as store:
        (ended,) = Driver(
            transport, store, DriveSettings(watch=True, pause_s=0.01), lambda _job, _remark: None
        ).drive([(store.add(WISH), target)])

    assert ended.state == state
    assert len(scripted.requests_to(launch)) == 1


def test_the_table_of_jobs_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """In 80 columns the names of session and command are whole, however long a reason is."""
    job = Job(
        1, "https://x.example.org", "P", "XNAT_E00001", "C001_MR_20260203", "check-identity", "w",
        "i:1", {}, state=JobState.FAILED, workflow_id="123", reason="It ended badly. " * 40,
    )  # fmt: skip

    Console(width=80).print(table_of([job]))

    lines = capsys.readouterr().out.splitlines()
    assert any("C001_MR_20260203" in line and "check-identity" in line for line in lines)
    assert max(len(line) for line in lines) <= 80  # the width of a terminal
    assert len(lines) < 20  # one job leaves room for others
    assert "winxnat jobs logs 1" in " ".join(" ".join(lines).replace("│", " ").split())
