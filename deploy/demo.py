"""The demonstration: one session goes the whole way on a sandbox of its own.

It uses nothing that a member or data manager could not: the client over HTTP, the Container
Service, the step. Not here: the made session (``demo_session``) and the printing of the account
(``demo_cli``).
"""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.catalog import find
from commands.service_json import command_to_json
from deploy import demo_sharing, sandbox_process
from deploy.demo_sharing import Shared
from xnat_client.commands_registry import ensure_registered, find_available
from xnat_client.errors import XnatClientError
from xnat_client.launch import Patience, Run, get_state, kill_run, launch_command, watch_run
from xnat_client.projects import create_project
from xnat_client.resources import download_resource
from xnat_client.session import connect
from xnat_client.sessions import Session, find_session
from xnat_client.upload.scan import StudyPlan, choose_study, scan_folder
from xnat_client.upload.send import Receipt, UploadTarget, upload_session

if TYPE_CHECKING:
    from xnat_client.transport import Transport

PROJECT = "DEMO"
SUBJECT = "S01"
SESSION = "S01_MR1"
COMMAND = "dicom-to-bids"
RESULT = "BIDS"
REPORT = "BIDS_REPORT"

_MARK = ".winxnat-demo"
_SANDBOX_DIR = "sandbox"
_SHARING_DIR = "sharing"
_DICOM_DIR = "dicom"
_RELEASE_DIR = "release"
_PARTIAL_DIR = ".new.partial"
_COMPLETE_DIR = ".new"
# The sandbox is on this machine: it may be asked often.
_PATIENCE = Patience(first_pause_s=0.1, longest_pause_s=0.5, timeout_s=1800.0)


class DemoError(Exception):
    """The demonstration cannot be given; the message says why and what to do."""

    exit_code = 2


class DemoDiskError(DemoError):
    """The result cannot be written, most likely for want of space."""

    exit_code = 6


@dataclass(frozen=True, slots=True)
class ScanAccount:
    """What became of one scan; ``outcome`` is done, left-out or failed."""

    scan: str
    outcome: str
    reason: str
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Account:
    """What the demonstration did, for the page that ``winxnat demo`` prints.

    ``validator_errors`` and ``validator_warnings`` count the official validator's findings;
    ``shared`` is None where the session was not made here.
    """

    server: str
    session_uri: str
    receipt: Receipt
    workflow_id: str
    scans: tuple[ScanAccount, ...]
    validator_errors: int
    validator_warnings: int
    bids_files: int
    out_dir: Path
    seconds: float
    kept: bool
    shared: Shared | None


Say = Callable[[str], None]


def run_demo(
    out_dir: Path,
    data_dir: Path | None = None,
    *,
    engine: str = "process",
    keep: bool = False,
    say: Say = lambda _sentence: None,
) -> Account:
    """Upload a session, convert it on the server, fetch it, and share it if it is made.

    A session of somebody's own is not shared: its participant was not asked.

    Parameters
    ----------
    out_dir : Path
        Gets ``bids/`` and ``report/`` (and ``dicom/`` and ``release/`` when the session is made
        here). A folder of an earlier demonstration is replaced once the new result is complete.
    data_dir : Path or None
        A folder of DICOM files of one session; None makes one.
    engine : str
        What runs the command: ``process`` or ``docker``.
    keep : bool
        Leave the sandbox running, in ``out_dir/sandbox``, and the outside one with the sharing
        records in ``out_dir/sharing``.
    say : callable
        Is told each step as it begins.

    Raises
    ------
    DemoError
        ``out_dir`` holds something else.
    """
    started = time.monotonic()
    _check_out_dir(out_dir)
    with tempfile.TemporaryDirectory(prefix="winxnat-demo-") as scratch_name:
        scratch = Path(scratch_name)
        study = choose_study(scan_folder(_data(data_dir, scratch, say)))
        say(f"found {len(study.files)} DICOM files in {len(study.series)} series")
        with _claimed(out_dir):
            parent = out_dir if keep else scratch
            with _sandbox(parent, engine, keep=keep) as server:
                say(f"sandbox answers at {server.url}")
                password = sandbox_process.admin_password(server.root)
                with connect(server.url, sandbox_process.ADMIN_USER, password) as opened:
                    receipt, workflow_id, session = _on_server(opened.transport, study, say)
                    _fetch(opened.transport, session, scratch)
                shared = None if data_dir else _share(server, parent, engine, say)
            if shared is not None:
                (parent / _SHARING_DIR / _RELEASE_DIR).rename(scratch / _RELEASE_DIR)
            _publish(scratch, out_dir, ("bids", "report", _DICOM_DIR, _RELEASE_DIR))
    scans, errors, warnings = _read_report(out_dir / "report")
    return Account(
        server=server.url,
        session_uri=f"{server.url}/data/experiments/{session.session_id}",
        receipt=receipt,
        workflow_id=workflow_id,
        scans=scans,
        validator_errors=errors,
        validator_warnings=warnings,
        bids_files=sum(path.is_file() for path in (out_dir / "bids").rglob("*")),
        out_dir=out_dir,
        seconds=time.monotonic() - started,
        kept=keep,
        shared=shared,
    )


def _share(server: sandbox_process.RunningSandbox, parent: Path, engine: str, say: Say) -> Shared:
    folder = parent / _SHARING_DIR
    folder.mkdir()
    return demo_sharing.share(server, PROJECT, SUBJECT, folder=folder, engine=engine, say=say)


def _data(data_dir: Path | None, scratch: Path, say: Say) -> Path:
    if data_dir is not None:
        return data_dir
    from deploy.demo_session import write_demo_session  # noqa: PLC0415 - NumPy, only if needed

    say("making a session (T1w, BOLD, field map, DWI) with invented identities")
    return write_demo_session(scratch / _DICOM_DIR).folder


def _on_server(transport: Transport, study: StudyPlan, say: Say) -> tuple[Receipt, str, Session]:
    create_project(transport, PROJECT, "Demonstration")
    say(f"uploading it to project {PROJECT} as session {SESSION}")
    receipt = upload_session(transport, study, UploadTarget(PROJECT, SUBJECT, SESSION))
    say(f"launching {COMMAND} through the Container Service")
    ensure_registered(transport, command_to_json(find(COMMAND)), [PROJECT])
    session = find_session(transport, PROJECT, SESSION)
    wrapper = find_available(transport, PROJECT, session.xsi_type, COMMAND)
    run = launch_command(transport, wrapper, session)
    try:
        watch_run(transport, run, patience=_PATIENCE, progress=lambda s: say(f"  {s.status}"))
    except BaseException:
        # A server that is stopped lets its containers run on; this one's data go away.
        _end(transport, run)
        raise
    return receipt, run.workflow_id, session


def _end(transport: Transport, run: Run) -> None:
    """End a run that is not over, and wait until it is."""
    with suppress(XnatClientError):
        if not get_state(transport, run).is_over:
            kill_run(transport, run)
            watch_run(transport, run, patience=replace(_PATIENCE, timeout_s=10.0))


def _fetch(transport: Transport, session: Session, folder: Path) -> None:
    download_resource(transport, session, RESULT, folder / "bids")
    download_resource(transport, session, REPORT, folder / "report")


@contextmanager
def _sandbox(parent: Path, engine: str, *, keep: bool) -> Iterator[sandbox_process.RunningSandbox]:
    root = parent / _SANDBOX_DIR
    server = sandbox_process.start(root, engine=engine)
    kept = False
    try:
        yield server
        kept = keep
    finally:
        # After a failure nothing is left running, whatever was asked.
        if not kept:
            try:
                demo_sharing.stop(parent / _SHARING_DIR)
            finally:
                sandbox_process.stop(root)


def _check_out_dir(out_dir: Path) -> None:
    in_use = out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir()))
    if in_use and not (out_dir / _MARK).exists():
        raise DemoError(
            f"{out_dir} holds something that is not from a demonstration, so nothing was done. "
            "Choose another folder: winxnat demo --out FOLDER"
        )


@contextmanager
def _claimed(out_dir: Path) -> Iterator[None]:
    """Hold the folder for this demonstration, and tidy up what an earlier one left there."""
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        mark = (out_dir / _MARK).open("ab")
    except OSError as error:
        raise DemoError(
            f"Cannot write {out_dir}: {error.strerror}. Choose another folder: "
            "winxnat demo --out FOLDER"
        ) from error
    with mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DemoError(
                f"Another demonstration is writing to {out_dir}. Wait for it, or choose another "
                "folder: winxnat demo --out FOLDER"
            ) from error
        _exchange(out_dir)
        old = out_dir / _SANDBOX_DIR
        if (old / sandbox_process.DATABASE_FILE_NAME).exists():
            sandbox_process.reset(old)
        demo_sharing.stop(out_dir / _SHARING_DIR)
        shutil.rmtree(out_dir / _SHARING_DIR, ignore_errors=True)
        yield


def _publish(scratch: Path, out_dir: Path, names: tuple[str, ...]) -> None:
    # The copy gets its final name only when it is whole; from then on it can always be put in
    # place, by this run or the next one. Before that, the earlier result is untouched.
    partial = out_dir / _PARTIAL_DIR
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name in names:
            if (scratch / name).exists():
                shutil.copytree(scratch / name, partial / name)
            else:
                (partial / name).mkdir()
        partial.rename(out_dir / _COMPLETE_DIR)
    except (OSError, shutil.Error) as error:
        raise DemoDiskError(
            f"Cannot write the result to {out_dir}: there may be no space left on its disk. "
            "The result was not kept. Make space, or choose another folder: winxnat demo --out"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    try:
        _exchange(out_dir)
    except KeyboardInterrupt:
        _exchange(out_dir)
        raise


def _exchange(out_dir: Path) -> None:
    """Put a complete new result in place of the earlier one; may be repeated after a break."""
    complete = out_dir / _COMPLETE_DIR
    if not complete.is_dir():
        return
    try:
        for fresh in sorted(complete.iterdir()):
            target = out_dir / fresh.name
            if target.exists():
                shutil.rmtree(target)
            if any(fresh.iterdir()):
                fresh.rename(target)
            else:
                fresh.rmdir()  # this demonstration has none of it
        complete.rmdir()
    except OSError as error:
        raise DemoError(
            f"Cannot replace the earlier result in {out_dir}: {error.strerror}. What is not yet "
            f"in place waits in {complete}; the next demonstration there puts it in place."
        ) from error


def _read_report(folder: Path) -> tuple[tuple[ScanAccount, ...], int, int]:
    rows: list[dict[str, Any]] = json.loads((folder / "account.json").read_text())
    scans = tuple(
        ScanAccount(row["subject"], row["outcome"], row["reason"], tuple(row["outputs"]))
        for row in rows
    )
    issues = json.loads((folder / "validator.json").read_text())["issues"]["issues"]
    severities = [issue["severity"] for issue in issues]
    return scans, severities.count("error"), severities.count("warning")
