"""``winxnat jobs``: look at remembered jobs, read their logs, retry and cancel them.

Not here: the work itself (``xnat_client.jobs``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from xnat_client.cli.server_options import json_option, open_server, server_options

if TYPE_CHECKING:
    from xnat_client.jobs.model import Job
    from xnat_client.jobs.store import JobStore

HELP = "List, retry and cancel the jobs that winxnat launch made, and read their logs."

_STATES = ("waiting", "launching", "running", "done", "failed", "cancelled")


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option(
        "--state", "state_path", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
        help="Where jobs are remembered [WINXNAT_JOBS, or a file in the user's state folder].",
    )(command)  # fmt: skip
    return click.option("--project", help="ID of the project; without it, all projects.")(command)


@click.group(help=HELP)
def jobs() -> None:
    """Run ``winxnat jobs``."""


def _open(state_path: Path | None) -> JobStore:
    from xnat_client.errors import NotFoundError  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.store import JobStore, default_path  # noqa: PLC0415  # see above

    path = state_path or default_path()
    if not path.exists():
        raise NotFoundError(
            f"There is no state file {path}: nothing was launched with it yet. Name another with "
            "--state."
        )
    return JobStore(path)


def _chosen(found: Sequence[Job], names: tuple[str, ...]) -> list[Job]:
    from xnat_client.errors import NotFoundError  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.store import select  # noqa: PLC0415  # see above

    chosen = select(found, names)
    known = {
        text for job in chosen for text in (str(job.job_id), job.session_label, job.session_id)
    }
    unknown = sorted(set(names) - known)
    if unknown:
        raise NotFoundError(
            f"No job is remembered for {', '.join(unknown)}. The jobs there are: winxnat jobs list."
        )
    return chosen


@jobs.command("list", short_help="List remembered jobs.")
@_common
@click.option("--only", type=click.Choice(_STATES), help="Jobs in this state.")
@click.option("--refresh", is_flag=True, help="Ask the server how running ones stand.")
@json_option
@server_options
def list_jobs(  # noqa: PLR0913  # one parameter for each option
    *,
    project: str | None,
    state_path: Path | None,
    only: str | None,
    refresh: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """List remembered jobs; needs no server unless --refresh is given."""
    from xnat_client.cli.jobs_display import print_line, table_of  # noqa: PLC0415  # quick `--help`
    from xnat_client.jobs.ending import refresh as ask  # noqa: PLC0415  # quick `--help`

    with _open(state_path) as store:
        if refresh:
            with open_server(server, user) as opened:
                own = store.jobs(server=opened.transport.url, project_id=project)
                found = ask(opened.transport, store, own)
        else:
            found = store.jobs(project_id=project)
    found = [job for job in found if only in (None, job.state.value)]
    if as_json:
        for job in found:
            print_line({"server": job.server, **job.document()})
        return
    from rich.console import Console  # noqa: PLC0415  # keeps `--help` quick

    Console().print(table_of(found, limit=None))


@jobs.command(short_help="Print the log of a job's container.")
@click.argument("job_or_session")
@_common
@click.option(
    "--stream", type=click.Choice(["stderr", "stdout"]), default="stderr", show_default=True,
    help="Which output of the container.",
)  # fmt: skip
@server_options
def logs(  # noqa: PLR0913  # one parameter for each option
    *,
    job_or_session: str,
    project: str | None,
    state_path: Path | None,
    stream: str,
    server: str | None,
    user: str | None,
) -> None:
    """Print the log of a job's container (the latest job, if a session has several)."""
    from xnat_client.errors import NotFoundError  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.ending import run_of  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.launch import read_log  # noqa: PLC0415  # keeps `--help` quick

    with _open(state_path) as store, open_server(server, user) as opened:
        own = store.jobs(server=opened.transport.url, project_id=project)
        job = max(_chosen(own, (job_or_session,)), key=lambda one: one.launched_at)
        text = read_log(opened.transport, run_of(job), stream) if job.workflow_id else ""
    if not text:
        raise NotFoundError(
            f"Job {job.job_id} on session {job.session_label} left no {stream} on the server. "
            f"{job.reason or f'It is {job.state.value}.'}"
        )
    click.echo(text)


@jobs.command(short_help="Launch failed jobs again.")
@click.argument("names", nargs=-1, metavar="[JOB_OR_SESSION]...")
@_common
@click.option(
    "--max-running", type=click.IntRange(min=0), default=8, show_default=True, metavar="N",
    help="Runs under way at a time; 0 for no cap.",
)  # fmt: skip
@click.option("--watch", is_flag=True, help="Wait until the runs are over.")
@json_option
@server_options
def retry(  # noqa: PLR0913  # one parameter for each option
    *,
    names: tuple[str, ...],
    project: str | None,
    state_path: Path | None,
    max_running: int,
    watch: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> int:
    """Launch failed jobs again (all of the project, or those named; cancelled ones if named)."""
    from xnat_client.cli.jobs_display import finish  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.cli.launch import drive_shown  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.driver import DriveSettings  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.model import JobState  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.work import work_of  # noqa: PLC0415  # keeps `--help` quick

    if project is None:
        raise click.UsageError("Name the --project whose jobs are to be launched again.")
    wanted = {JobState.FAILED, JobState.CANCELLED} if names else {JobState.FAILED}
    settings = DriveSettings(max_running=max_running, watch=watch)
    with _open(state_path) as store, open_server(server, user) as opened:
        transport = opened.transport
        with store.driving(transport.url, project):
            own = store.jobs(server=transport.url, project_id=project)
            chosen = [job for job in _chosen(own, names) if job.state in wanted]
            if not chosen:
                click.echo("No job is to be launched again.", err=True)
                return 0
            work = work_of(transport, project, chosen)
            ended = drive_shown(transport, store, work, settings, as_json=as_json)
        return finish(transport, ended, as_json=as_json)


@jobs.command(short_help="End jobs that wait or run.")
@click.argument("names", nargs=-1, metavar="[JOB_OR_SESSION]...")
@click.option("--all", "everything", is_flag=True, help="All that are waiting or running.")
@_common
@json_option
@server_options
def cancel(  # noqa: PLR0913  # one parameter for each option
    *,
    names: tuple[str, ...],
    everything: bool,
    project: str | None,
    state_path: Path | None,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> int:
    """End jobs: waiting ones are not launched, running containers are killed."""
    from xnat_client.cli.jobs_display import print_line  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.errors import EXIT_SERVER_FAILED  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.ending import cancel as end  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.jobs.model import JobState  # noqa: PLC0415  # keeps `--help` quick

    if bool(names) == everything:
        raise click.UsageError("Name jobs or sessions, or say --all.")
    with _open(state_path) as store, open_server(server, user) as opened:
        own = store.jobs(server=opened.transport.url, project_id=project)
        endings = end(opened.transport, store, _chosen(own, names))
    for ending in endings:
        if as_json:
            print_line({**ending.job.document(), "remark": ending.remark})
        else:
            click.echo(f"Job {ending.job.job_id}, session {ending.job.session_label}: "
                       f"{ending.remark}.")  # fmt: skip
    if not endings:
        click.echo("No such job is waiting or running.", err=True)
    ok = all(ending.job.state is JobState.CANCELLED for ending in endings)
    return 0 if ok else EXIT_SERVER_FAILED
