"""``winxnat launch``: run a Container Service command on one session or a whole study.

Not here: the work itself (``xnat_client.launch``, ``xnat_client.jobs``).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnat_client.cli.launch_project import launch_on_project
from xnat_client.cli.server_options import json_option, open_server, print_json, server_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from xnat_client.commands_registry import AvailableWrapper
    from xnat_client.jobs.driver import DriveSettings
    from xnat_client.jobs.model import Job
    from xnat_client.jobs.store import JobStore
    from xnat_client.jobs.work import Work
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

HELP = "Run a command of the Container Service on sessions."


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the command line asks for."""

    command: str
    project: str
    sessions: tuple[str, ...]
    conditions: tuple[str, ...]
    wrapper: str | None
    parameters: dict[str, str]
    state_path: Path | None
    dry_run: bool
    as_json: bool

    @property
    def is_single(self) -> bool:
        """Return whether it is about one named session."""
        return len(self.sessions) == 1 and not self.conditions


@click.command(
    help=f"""{HELP}

COMMAND is the name of a command (or of a wrapper) that is enabled in the project. Each session
is a job that is remembered: the same command line again skips what is done (unless the session's
files changed), watches what is running and launches what failed. With --watch the exit code says
how the runs ended; without, only that they were accepted. See also: winxnat jobs."""
)
@click.argument("command")
@click.option("--project", required=True, help="ID of the project.")
@click.option("--session", "sessions", multiple=True, help="Label or ID of a session; repeatable.")
@click.option(
    "--where", "conditions", multiple=True, metavar="QUERY",
    help="Sessions for which this holds, like date>=2026-01-01, type=mr, subject~^C, scan=T1w or "
    "resource!=BIDS; repeatable, all must hold.",
)  # fmt: skip
@click.option("--all", "all_sessions", is_flag=True, help="All sessions of the project.")
@click.option(
    "--on-project", is_flag=True,
    help="Run it once, on the project as a whole: winqc-project, bids-assemble. Not kept as a job.",
)  # fmt: skip
@click.option("--wrapper", help="Name of the wrapper, if the command fits in several ways.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A further input.")
@click.option(
    "--max-running", type=click.IntRange(min=0), default=8, show_default=True, metavar="N",
    help="Runs under way at a time; 0 for no cap. The command stays until all are launched.",
)  # fmt: skip
@click.option("--again", is_flag=True, help="Launch sessions that are done, too.")
@click.option("--watch", is_flag=True, help="Wait until the runs are over.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop waiting after this time.")
@click.option(
    "--state", "state_path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
    help="Where jobs are remembered [WINXNAT_JOBS, or a file in the user's state folder].",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be launched, and launch nothing.")
@json_option
@server_options
def launch(  # noqa: PLR0913  # one parameter for each option
    *,
    command: str,
    project: str,
    sessions: tuple[str, ...],
    conditions: tuple[str, ...],
    all_sessions: bool,
    on_project: bool,
    wrapper: str | None,
    params: tuple[str, ...],
    max_running: int,
    again: bool,
    watch: bool,
    timeout: float | None,
    state_path: Path | None,
    dry_run: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> int:
    """Run ``winxnat launch``."""
    # Imported here so that the help is quick.
    from xnat_client.jobs.driver import DriveSettings  # noqa: PLC0415  # see above

    if on_project:
        if sessions or conditions or all_sessions or again:
            raise click.UsageError("--on-project is about no session: leave out what names some.")
        with open_server(server, user) as opened:
            return launch_on_project(
                opened.transport, project, command, wrapper, _parse(params), watch=watch,
                timeout_s=timeout, dry_run=dry_run, as_json=as_json,
            )  # fmt: skip
    if not (sessions or conditions or all_sessions) or (sessions and all_sessions):
        raise click.UsageError(
            "Say which sessions: --session (repeatable), --where or --all; or --on-project for a "
            "command that runs on a project as a whole."
        )
    wanted = _Wanted(
        command, project, sessions, conditions, wrapper, _parse(params), state_path, dry_run,
        as_json,
    )  # fmt: skip
    settings = DriveSettings(
        max_running=max_running,
        watch=watch,
        again=again,
        timeout_s=timeout,
        pause_s=1.0 if wanted.is_single else 3.0,
    )
    with open_server(server, user) as opened:
        return _run(opened.transport, wanted, settings)


def _run(transport: Transport, wanted: _Wanted, settings: DriveSettings) -> int:
    from xnat_client.jobs.selection import choose_sessions, read_condition  # noqa: PLC0415  # quick
    from xnat_client.jobs.store import JobStore, default_path  # noqa: PLC0415  # quick `--help`
    from xnat_client.jobs.work import (  # noqa: PLC0415  # quick `--help`
        check_parameters,
        fitting_wrappers,
        make_work,
    )

    conditions = [read_condition(text) for text in wanted.conditions]
    chosen = choose_sessions(
        transport, wanted.project, names=wanted.sessions, conditions=conditions
    )
    wrappers = fitting_wrappers(transport, wanted.project, chosen, wanted.command, wanted.wrapper)
    check_parameters(transport, wrappers, wanted.parameters)
    fitting = [session for session in chosen if session.xsi_type in wrappers]
    if wanted.dry_run:
        _tell_plan(transport, wanted, fitting, wrappers, again=settings.again)
        return 0
    if len(fitting) < len(chosen):
        left = len(chosen) - len(fitting)
        click.echo(f"{left} sessions are of types that {wanted.command} does not fit.", err=True)
    with (
        JobStore(wanted.state_path or default_path()) as store,
        store.driving(transport.url, wanted.project),
    ):
        work = make_work(transport, store, fitting, wrappers, wanted.parameters)
        jobs = drive_shown(
            transport, store, work, settings, as_json=wanted.as_json, quiet=wanted.is_single
        )
    return _end(transport, work, jobs, wanted, watch=settings.watch)


def _tell_plan(
    transport: Transport,
    wanted: _Wanted,
    sessions: Sequence[Session],
    wrappers: Mapping[str, AvailableWrapper],
    *,
    again: bool,
) -> None:
    """Print what would be launched, by what is remembered; the server's files are not compared."""
    from xnat_client.jobs.model import JobState  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.store import JobStore, default_path  # noqa: PLC0415  # see above

    states: dict[str, JobState] = {}
    path = wanted.state_path or default_path()
    if path.exists():
        with JobStore(path) as store:
            for job in store.jobs(server=transport.url, project_id=wanted.project):
                key = (job.session_id, job.command, job.wrapper, sorted(job.parameters.items()))
                states[repr(key)] = job.state
    parameters = sorted(wanted.parameters.items())
    for session in sessions:
        found = wrappers[session.xsi_type]
        key = (session.session_id, found.command_name, found.wrapper_name, parameters)
        state = states.get(repr(key))
        word = "Would launch"
        if state is JobState.DONE and not again:
            word = "Done before, would launch only if files changed since"
        elif state in (JobState.RUNNING, JobState.LAUNCHING):
            word = "Under way, would not launch"
        document: dict[str, object] = {
            "command": found.command_name, "wrapper": found.wrapper_name, "image": found.image,
            "project_id": wanted.project, "session_label": session.label,
            "session_id": session.session_id, "parameters": wanted.parameters, "dry_run": True,
            "remembered": state.value if state else "",
        }  # fmt: skip
        _print(document, word, as_json=wanted.as_json)


def drive_shown(  # noqa: PLR0913  # what a driver takes, and how it is shown
    transport: Transport,
    store: JobStore,
    work: Work,
    settings: DriveSettings,
    *,
    as_json: bool,
    quiet: bool = False,
) -> list[Job]:
    """Drive jobs and show each change; return them as they are at the end."""
    from xnat_client.cli.jobs_display import shown  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.driver import Driver  # noqa: PLC0415  # keeps `--help` quick

    with shown([job for job, _ in work], as_json=as_json, quiet=quiet) as tell:
        try:
            return Driver(transport, store, settings, tell).drive(work)
        except KeyboardInterrupt:
            click.echo(
                "What was launched goes on on the server; run the same command again to go on "
                "with it, or winxnat jobs cancel to end it.",
                err=True,
            )
            raise


def _end(transport: Transport, work: Work, jobs: list[Job], wanted: _Wanted, *, watch: bool) -> int:
    from xnat_client.cli.jobs_display import explain, finish  # noqa: PLC0415  # quick `--help`
    from xnat_client.errors import EXIT_SERVER_FAILED  # noqa: PLC0415  # quick `--help`
    from xnat_client.jobs.model import JobState  # noqa: PLC0415  # quick `--help`

    if not wanted.is_single:
        return finish(transport, jobs, as_json=wanted.as_json)
    (job,), ((before, _),) = jobs, work
    if job.state in (JobState.FAILED, JobState.CANCELLED):
        message = explain(transport, job)
        click.echo(message, err=True)
        if wanted.as_json:
            error = {"message": message, "exit_code": EXIT_SERVER_FAILED}
            print_json({**job.document(), "error": error})
        return EXIT_SERVER_FAILED
    document: dict[str, object] = {
        **job.document(),
        "skipped": before.state is JobState.DONE and job.attempts == before.attempts,
    }
    word = "Launched"
    if document["skipped"]:
        word = "Done before, nothing changed"
    elif watch:
        word = job.run_status
    if watch or document["skipped"]:
        document["status"] = job.run_status
    _print(document, word, as_json=wanted.as_json)
    return 0


def _parse(params: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or not name:
            raise click.UsageError("--param needs the form NAME=VALUE.")
        if name in values:
            raise click.UsageError(f"--param {name} is given twice.")
        values[name] = value
    return values


def _print(document: dict[str, object], word: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    workflow = document.get("workflow_id")
    click.echo(
        f"{word}: {document['command']} ({document['wrapper']}) on session "
        f"{document['session_label']} of project {document['project_id']}"
        f"{f', workflow {workflow}' if workflow else ''}."
    )
    sys.stdout.flush()
