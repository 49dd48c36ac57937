"""Jobs on the screen: a live table on a terminal, one JSON object a line otherwise.

Not here: driving jobs (``xnat_client.jobs.driver``).
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from xnat_client.cli.server_options import print_json
from xnat_client.jobs.model import Job, JobState
from xnat_client.jobs.work import count_states

if TYPE_CHECKING:
    from rich.table import Table

    from xnat_client.jobs.driver import Observer
    from xnat_client.transport import Transport

_MOST_ROWS = 30
_MOST_LOGS = 5
_LONGEST_REMARK = 120
_COLOURS = {
    JobState.WAITING: "dim",
    JobState.LAUNCHING: "cyan",
    JobState.RUNNING: "cyan",
    JobState.DONE: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
}
_URGENCY = [
    JobState.LAUNCHING, JobState.RUNNING, JobState.FAILED, JobState.CANCELLED,
    JobState.WAITING, JobState.DONE,
]  # fmt: skip


@contextmanager
def shown(jobs: Sequence[Job], *, as_json: bool, quiet: bool = False) -> Iterator[Observer]:
    """Give the function that shows each change of a job.

    Parameters
    ----------
    quiet : bool
        Print no JSON lines where there is no terminal: the caller prints one result itself.
    """
    if as_json or not sys.stderr.isatty():
        yield _no_show if quiet else _print_line
        return
    from rich.console import Console  # noqa: PLC0415  # keeps `--help` quick
    from rich.live import Live  # noqa: PLC0415  # keeps `--help` quick

    current = {job.job_id: job for job in jobs}
    remarks: dict[int, str] = {}
    with Live(console=Console(stderr=True), refresh_per_second=4, transient=False) as live:

        def show(job: Job, remark: str) -> None:
            current[job.job_id] = job
            remarks[job.job_id] = remark or job.reason
            live.update(table_of(list(current.values()), remarks))

        live.update(table_of(list(current.values()), remarks))
        yield show


def _no_show(job: Job, remark: str) -> None:
    """Show nothing."""
    del job, remark


def _print_line(job: Job, remark: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    print_line({"at": now, **job.document(), "remark": remark})


def print_line(document: dict[str, Any]) -> None:
    """Print one JSON object on one line, at once."""
    print_json(document)
    sys.stdout.flush()


def table_of(
    jobs: Sequence[Job], remarks: dict[int, str] | None = None, limit: int | None = _MOST_ROWS
) -> Table:
    """Return jobs as a table: what is under way and what failed first, the rest counted."""
    from rich.table import Table  # noqa: PLC0415  # keeps `--help` quick
    from rich.text import Text  # noqa: PLC0415  # keeps `--help` quick

    ordered = sorted(jobs, key=lambda job: (_URGENCY.index(job.state), job.session_label))
    caption = ", ".join(f"{count} {name}" for name, count in count_states(jobs).items())
    if limit is not None and len(ordered) > limit:
        caption += f" ({len(ordered) - limit} not shown)"
    table = Table(caption=caption, caption_justify="left")
    for name in ("job", "session", "command", "state", "workflow", "remark"):
        # What is needed to name a job elsewhere is never cut; the remark takes what is left.
        table.add_column(name, no_wrap=name != "remark", overflow="fold")
    for job in ordered[:limit]:
        remark = (remarks or {}).get(job.job_id, job.reason)
        # Text: what a server says must not be read as markup.
        table.add_row(
            str(job.job_id), Text(job.session_label), Text(job.command),
            Text(job.state.value, style=_COLOURS[job.state]), job.workflow_id,
            Text(_remark_of(job, remark)),
        )  # fmt: skip
    return table


def log_command(job: Job) -> str:
    """Return the command line that prints the log of a job's container.

    Options that this command line itself was told where the jobs and the server are go with it.
    """
    words = ["winxnat", "jobs", "logs", str(job.job_id)]
    context = click.get_current_context(silent=True)
    for name, option in (("state_path", "--state"), ("server", "--server"), ("user", "--user")):
        if context and context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            words += [option, str(context.params[name])]
    return shlex.join(words)


def _remark_of(job: Job, remark: str) -> str:
    text = _short(remark or _on_the_server(job))
    if job.state is JobState.FAILED and job.workflow_id:
        return f"{text} Log: {log_command(job)}"
    return text


def _on_the_server(job: Job) -> str:
    """Return what the service says of a job that is under way; an end is told by the state."""
    return "" if job.state.is_over else job.run_status


def _short(remark: str) -> str:
    text = " ".join(remark.split())
    return text if len(text) <= _LONGEST_REMARK else f"{text[:_LONGEST_REMARK]} ..."


def finish(transport: Transport, jobs: Sequence[Job], *, as_json: bool) -> int:
    """Print what became of the jobs, with the logs of those that failed; return the exit code."""
    from xnat_client.errors import EXIT_DONE, EXIT_SERVER_FAILED  # noqa: PLC0415  # with the others

    bad = [job for job in jobs if job.state in (JobState.FAILED, JobState.CANCELLED)]
    counts = count_states(jobs)
    if as_json or not sys.stdout.isatty():
        print_line({"summary": counts})
    else:
        click.echo(", ".join(f"{count} {name}" for name, count in counts.items()) + ".")
    for job in bad[:_MOST_LOGS]:
        click.echo(explain(transport, job), err=True)
    if len(bad) > _MOST_LOGS:
        click.echo(
            f"... and {len(bad) - _MOST_LOGS} more. See: winxnat jobs list, winxnat jobs logs",
            err=True,
        )
    return EXIT_SERVER_FAILED if bad else EXIT_DONE


def explain(transport: Transport, job: Job) -> str:
    """Return why a job failed, with the end of its container's stderr if it had one."""
    from xnat_client.errors import XnatClientError  # noqa: PLC0415  # with the others
    from xnat_client.launch import Run, RunState, describe_failure  # noqa: PLC0415  # see above

    ran = job.workflow_id and job.run_status and job.run_status != "Complete"
    if not ran:
        return f"Session {job.session_label}: {job.reason}"
    run = Run(job.workflow_id, job.project_id, job.command, job.session_label)
    state = RunState(job.run_status, details=job.reason.partition(". ")[2])
    try:
        return str(describe_failure(transport, run, state, log_command(job)))
    except XnatClientError as error:
        return f"Session {job.session_label}: {job.reason} {error}"
