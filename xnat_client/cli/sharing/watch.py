"""``winxnat share watch | alive | declare``: thin covers over ``sharing.reconcile``.

Not here: the group that names them (``xnat_client.cli.share``).
"""

from __future__ import annotations

import json
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from xnat_client.cli.records_options import actor_of, actor_options, home_option, open_records
from xnat_client.cli.server_options import json_option, print_json
from xnat_client.errors import (
    EXIT_DONE,
    EXIT_UNSAFE,
    BadInputError,
    UsageError,
    XnatClientError,
)
from xnat_client.sharing import clock
from xnat_client.sharing.reconcile.cycle import run_cycle
from xnat_client.sharing.reconcile.exposures import sign_of_life
from xnat_client.sharing.reconcile.report import CycleReport, Done, Found, ServerReport
from xnat_client.sharing.reconcile.waiting import last_act, wait
from xnat_client.sharing.records import declarations
from xnat_client.sharing.server_side.declared import DECLARATIONS_FOLDER
from xnat_client.sharing.server_side.site import SharingSite, connector
from xnat_client.sharing.vocabulary import Severity
from xnat_client.transport_settings import TransportSettings

_MINUTE_S = 60
_UNREADABLE = (
    "records: this cycle broke off, most likely at a row that cannot be read. Find the row with: "
    "winxnat audit verify"
)
_PATIENCE = TransportSettings(
    connect_timeout_s=10.0, read_timeout_s=60.0, max_attempts=3, longest_retry_after_s=20.0
)
"""Of the loop: a server that is slow is reported in time, not waited for."""


@click.command(
    help="""Compare all servers with what the records declare, and close what is open too far.

Over-exposure is undone at once and read back: a source project that was opened, people who are
not declared, shares out of it, foreign files in a release (which is suspended). Whatever cannot be
read counts as open. Then releases that are due are published, and declared readers who are missing
are let in. Without --once it goes on, one cycle in --every minutes and at once when somebody acted
on the records, until it is interrupted; let 'winxnat share alive' tell you when it does not run.

Exit code of --once: 0 nothing worse than medium was found, 4 something of high or critical
severity was found (also when it was repaired). The password of each service account comes from
XNAT_USER and XNAT_PASS, a netrc file, or the keyring."""
)
@click.option("--once", is_flag=True, help="One cycle, then end.")
@click.option("--every", "minutes", type=click.FloatRange(min=0.1), default=5.0, show_default=True,
              help="Minutes from the beginning of one cycle to that of the next.")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Say what would be done; change nothing.")
@click.option("--mend-site", is_flag=True, help="Set weakened site properties back too.")
@click.option(
    "--seconds",
    type=click.FloatRange(min=1),
    default=120.0,
    show_default=True,
    help="Longest time for reading one server; the rest of it counts as unknown.",
)
@home_option
@json_option
def watch(  # noqa: PLR0913  # one parameter for each option
    *,
    once: bool,
    minutes: float,
    dry_run: bool,
    mend_site: bool,
    seconds: float,
    home_folder: Path | None,
    as_json: bool,
) -> int:
    """Run ``winxnat share watch``."""
    home, database = open_records(home_folder)
    environment = TransportSettings.from_environment()
    settings = TransportSettings(
        connect_timeout_s=_PATIENCE.connect_timeout_s,
        read_timeout_s=_PATIENCE.read_timeout_s,
        max_attempts=_PATIENCE.max_attempts,
        longest_retry_after_s=_PATIENCE.longest_retry_after_s,
        ca_bundle=environment.ca_bundle,
        allow_http=environment.allow_http,
    )
    site = SharingSite(home, database, connector(settings))
    while True:
        began = time.monotonic()
        acted = last_act(database)
        try:
            report = run_cycle(
                site, dry_run=dry_run, mend_site=mend_site, seconds_per_server=seconds
            )
        except XnatClientError as error:
            if once:
                raise
            # One cycle that could not be run must not end the watch; its absence is noticed.
            click.echo(f"This cycle did not run: {error}", err=True)
        except (sa.exc.SQLAlchemyError, ValueError, LookupError, TypeError) as error:
            # A cell that some other program wrote, and that is none of its column's values. The
            # watch goes on: the cycle after the records were mended closes what is open.
            click.echo(f"critical {_UNREADABLE} ({type(error).__name__})", err=True)
            if once:
                return EXIT_UNSAFE
        else:
            _print_report(report, as_json=as_json)
            if once:
                return EXIT_UNSAFE if report.worst >= Severity.HIGH else EXIT_DONE
        wait(database, minutes * _MINUTE_S - (time.monotonic() - began), acted)


def _print_report(report: CycleReport, *, as_json: bool) -> None:
    if as_json:
        print_json(report_document(report))
        return
    for server in report.servers:
        for one in server.found:
            place = (
                f"{server.alias}/{one.drift.project_id}" if one.drift.project_id else server.alias
            )
            trouble = f" ({one.trouble})" if one.trouble else ""
            click.echo(
                f"{one.drift.severity.name.lower():8} {place}: {one.drift.what} "
                f"[{one.done.value}]{trouble}"
            )
        for trouble in server.troubles:
            click.echo(f"unread   {server.alias}: {trouble}")
    for release_pk in report.published:
        click.echo(f"release {release_pk} was due and is published")
    for waiting in report.waiting:
        click.echo(waiting)
    click.echo(_one_line(report))


def _one_line(report: CycleReport) -> str:
    counts = ", ".join(
        f"{report.count(severity)} {severity.name.lower()}"
        for severity in sorted(Severity, reverse=True)
        if severity is not Severity.NONE
    )
    repaired = sum(one.done is Done.REPAIRED for one in report.all_found)
    whole = "" if report.is_complete else "; not everything could be read"
    requests = sum(server.requests for server in report.servers)
    return (
        f"{report.ended_at:%Y-%m-%dT%H:%M:%SZ} {counts}; {repaired} repaired; {requests} requests "
        f"in {report.seconds:.1f} s{whole}"
    )


def report_document(report: CycleReport) -> dict[str, Any]:
    """Return a report for machines."""
    return {
        "started_at": report.started_at.isoformat(),
        "ended_at": report.ended_at.isoformat(),
        "seconds": round(report.seconds, 3),
        "worst": report.worst.name.lower(),
        "complete": report.is_complete,
        "counts": {
            severity.name.lower(): report.count(severity)
            for severity in Severity
            if severity is not Severity.NONE
        },
        "servers": [_server_document(server) for server in report.servers],
        "published": list(report.published),
        "waiting": list(report.waiting),
        "longest_exposures_s": [round(one, 3) for one in report.exposures_closed],
    }


def _server_document(server: ServerReport) -> dict[str, Any]:
    return {
        "server": server.alias,
        "requests": server.requests,
        "complete": server.is_complete,
        "unread": list(server.troubles),
        "found": [_found_document(one) for one in server.found],
    }


def _found_document(one: Found) -> dict[str, Any]:
    return {
        "class": one.drift.drift.value,
        "severity": one.drift.severity.name.lower(),
        "project": one.drift.project_id,
        "what": one.drift.what,
        "repair": type(one.drift.repair).__name__ if one.drift.repair else None,
        "done": one.done.value,
        "trouble": one.trouble,
    }


@click.command(
    help="""Fail when the loop has not run lately.

For a monitor on another machine or a timer: exit code 0 means that a cycle ended within the given
time and read everything, 4 that none did."""
)
@click.option(
    "--within",
    "minutes",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    help="Longest time since the end of the last cycle, in minutes.",
)
@home_option
@json_option
def alive(*, minutes: float, home_folder: Path | None, as_json: bool) -> int:
    """Run ``winxnat share alive``."""
    _, database = open_records(home_folder)
    with database.transaction() as session:
        sign = sign_of_life(session, clock.now(session), timedelta(minutes=minutes))
    well = sign.is_alive and sign.was_complete
    if as_json:
        print_json(
            {
                "alive": well,
                "last_ended_at": sign.last_ended_at.isoformat() if sign.last_ended_at else None,
                "age_s": sign.age.total_seconds() if sign.age is not None else None,
                "complete": sign.was_complete,
                "worst": sign.worst.name.lower(),
            }
        )
    elif sign.last_ended_at is None or sign.age is None:
        click.echo("The loop has never run. Start 'winxnat share watch'.")
    else:
        state = "The loop runs" if well else "The loop does not watch as it should"
        whole = "read everything" if sign.was_complete else "could not read everything"
        click.echo(
            f"{state}: its last cycle ended {sign.age.total_seconds() / _MINUTE_S:.1f} minutes ago "
            f"and {whole}."
        )
    return EXIT_DONE if well else EXIT_UNSAFE


@click.command(
    help="""Say what must be true of a project on a server.

For projects that are no study's source and no release's, and for people who may be in a source
project besides the study's team. Every version is kept, and written to the records' folder
declarations/SERVER/PROJECT.json, to be put under version control; while the two differ the loop
opens nothing and says so. A project of which nothing is declared is reported in every cycle.

FILE holds a JSON object with 'accessibility' (private, protected, public), 'people' (a list of
{"person": ..., "until": "2026-12-31"}; without it, anybody may be in the project) and 'note'."""
)
@click.argument("server")
@click.argument("project")
@click.option("--file", "path", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="The declaration as JSON.")  # fmt: skip
@click.option("--accessibility", type=click.Choice(["private", "protected", "public"]),
              help="Instead of a file: the widest accessibility that is right.")  # fmt: skip
@home_option
@actor_options
@json_option
def declare(  # noqa: PLR0913  # one parameter for each option
    *,
    server: str,
    project: str,
    path: Path | None,
    accessibility: str | None,
    home_folder: Path | None,
    person: str,
    role: str,
    reason: str,
    as_json: bool,
) -> None:
    """Run ``winxnat share declare``."""
    document = _document_of(path, accessibility)
    home, database = open_records(home_folder)
    actor = actor_of(person, role, reason)
    with database.transaction() as session:
        made = declarations.declare(
            session, actor, server, project, document, now=clock.now(session)
        )
        declarations.write_files(session, home.folder / DECLARATIONS_FOLDER)
        version, sha256 = made.version, made.sha256
    if as_json:
        print_json({"server": server, "project": project, "version": version, "sha256": sha256})
    else:
        click.echo(f"Declaration {version} of {server}/{project} is in force ({sha256[:12]}...).")


def _document_of(path: Path | None, accessibility: str | None) -> dict[str, Any]:
    if (path is None) == (accessibility is None):
        raise UsageError("Give either --file or --accessibility.")
    if path is None:
        return {"accessibility": accessibility}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"{path.name} cannot be read as JSON ({type(error).__name__}); correct it."
        ) from error
    if not isinstance(document, dict):
        raise BadInputError(f"{path.name} is no JSON object; write the declaration as one.")
    return document
