"""``winxnat audit verify | checkpoint | show | readers``: thin covers over ``sharing.audit``.

Not here: the group that names them (``xnat_client.cli.audit``).
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from xnat_client.cli.records_options import actor_of, actor_options, home_option, open_records
from xnat_client.cli.server_options import json_option, print_json
from xnat_client.errors import EXIT_DONE, EXIT_UNSAFE, NotFoundError, UsageError
from xnat_client.sharing import clock, tombstones
from xnat_client.sharing.audit import checkpoints
from xnat_client.sharing.audit.questions import Opening, Reading, openings
from xnat_client.sharing.audit.questions import readers as find_readers
from xnat_client.sharing.audit.verify import Break, Verdict
from xnat_client.sharing.audit.verify import verify as verify_log
from xnat_client.sharing.database.migrating import DamagedRecordsError
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import AuditEntry, Person, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.mail import MailSettings, open_mailer
from xnat_client.sharing.records import people
from xnat_client.sharing.versions import version_key
from xnat_client.sharing.vocabulary import Role


@click.command(
    help="""Recompute the log's chain, compare the tables with it, and say where either breaks.

Checkpoints of the records' folder are compared too; name the place where copies are kept with
--checkpoints, and the site's public key as it was noted elsewhere with --key: without them, a log
that was rebuilt from its beginning looks whole. Exit code 4 means that something is broken."""
)
@click.option(
    "--checkpoints", "elsewhere", multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="A checkpoint, or a folder of them, that was kept elsewhere; may be repeated.",
)  # fmt: skip
@click.option("--key", "public_key", default="", help="The site's public key, in base64.")
@home_option
@json_option
def verify(
    *, elsewhere: tuple[Path, ...], public_key: str, home_folder: Path | None, as_json: bool
) -> int:
    """Run ``winxnat audit verify``."""
    try:
        verdict, breaks = _verify(elsewhere, public_key, home_folder)
    except (sa.exc.DatabaseError, DamagedRecordsError, UnicodeDecodeError):
        what = "It is damaged and cannot be read to its end; restore the newest whole backup."
        verdict, breaks = Verdict(0, 0, 0, "", ()), (Break("database", what),)
    if as_json:
        print_json({**asdict(verdict), "breaks": [asdict(one) for one in breaks]})
    else:
        _print_verdict(verdict, breaks)
    return EXIT_UNSAFE if breaks else EXIT_DONE


def _verify(
    elsewhere: tuple[Path, ...], public_key: str, home_folder: Path | None
) -> tuple[Verdict, tuple[Break, ...]]:
    home, database = open_records(home_folder)
    marks = checkpoints.read_checkpoints(home.checkpoints_dir)
    for place in elsewhere:
        marks += (
            checkpoints.read_checkpoints(place)
            if place.is_dir()
            else [checkpoints.read_checkpoint(place)]
        )
    with database.transaction() as session:
        verdict = verify_log(session, marks, public_key)
    database.close()
    return verdict, (*verdict.breaks, *_broken_list(home))


def _broken_list(home: Home) -> tuple[Break, ...]:
    line = tombstones.first_broken_line(home)
    if line is None:
        return ()
    return (Break(f"line {line} of the list of withdrawals", "It is not what was written."),)


def _print_verdict(verdict: Verdict, breaks: tuple[Break, ...]) -> None:
    click.echo(
        f"{verdict.entries} entries, {verdict.rows} sealed rows, {verdict.checkpoints} checkpoints"
    )
    for one in breaks:
        click.echo(f"{one.place}: {one.what}")
    if breaks:
        click.echo(f"broken in {len(breaks)} places; show this to the officer")
    elif verdict.checkpoints:
        click.echo("whole")
    else:
        click.echo("whole in itself; without a checkpoint a cut-off end cannot be seen")


@click.command(
    help="""Sign the head of the log and write it as a small file.

Keep a copy where nobody who can write to the records can write, and note the public key there."""
)
@click.option(
    "--copy-to", type=click.Path(file_okay=False, path_type=Path),
    help="A folder that gets a copy.",
)  # fmt: skip
@click.option("--mail", is_flag=True, help="Send it to the site's officers as well.")
@click.option(
    "--if-due", is_flag=True,
    help="Only if the last is older than a day and the log has grown, for a daily timer.",
)  # fmt: skip
@home_option
@actor_options
@json_option
def checkpoint(  # noqa: PLR0913  # one parameter for each option
    *,
    copy_to: Path | None,
    mail: bool,
    if_due: bool,
    home_folder: Path | None,
    person: str,
    role: str,
    reason: str,
    as_json: bool,
) -> None:
    """Run ``winxnat audit checkpoint``."""
    home, database = open_records(home_folder)
    settings = MailSettings.from_environment() if mail else None
    actor = actor_of(person, role, reason)
    with database.transaction() as session:
        now = clock.now(session)
        people.require_role(session, actor, None, now)
        if if_due and not checkpoints.is_due(session, now):
            _print_checkpoint(None, None, as_json=as_json)
            return
        made = checkpoints.make_checkpoint(session, home, actor, now=now)
    path = checkpoints.write_checkpoint(made, home.checkpoints_dir)
    if copy_to is not None:
        checkpoints.write_checkpoint(made, copy_to)
    if settings is not None:
        _mail_checkpoint(database, settings, made)
    _print_checkpoint(made, path, as_json=as_json)


def _mail_checkpoint(
    database: Database, settings: MailSettings, made: checkpoints.Checkpoint
) -> None:
    with database.transaction() as session:
        officers = people.persons_with(session, Role.OFFICER, None, clock.now(session))
        addresses = [session.get_one(Person, one).email for one in sorted(officers)]
    if not any(addresses):
        raise UsageError("The records hold no e-mail address of an officer; add one.")
    with open_mailer(settings) as mailer:
        for address in filter(None, addresses):
            subject = f"Checkpoint of the audit log at entry {made.sequence}"
            mailer.send(address, subject, made.as_json())


def _print_checkpoint(
    made: checkpoints.Checkpoint | None, path: Path | None, *, as_json: bool
) -> None:
    if as_json:
        print_json(
            {
                "made": made is not None,
                "sequence": made.sequence if made else None,
                "hash": made.head if made else None,
                "key": made.public_key if made else None,
                "file": path.name if path else None,
            }
        )
    elif made is None:
        click.echo("no checkpoint is due")
    else:
        click.echo(f"signed entry {made.sequence}: {path}")
        click.echo(f"public key of the site: {made.public_key}")


@click.command(help="List entries of the log, the oldest first.")
@click.option("--action", help="Entries of this action, like release.publish.")
@click.option("--object", "about", metavar="KIND[:ID]", help="Entries on this, like release:3.")
@click.option("--actor", "actor_id", help="Entries of this person.")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Entries since this day, UTC.")
@click.option("--last", type=click.IntRange(min=1), default=50, show_default=True,
              help="At most so many, the newest.")  # fmt: skip
@home_option
@json_option
def show(  # noqa: PLR0913  # one parameter for each option
    *,
    action: str | None,
    about: str | None,
    actor_id: str | None,
    since: datetime | None,
    last: int,
    home_folder: Path | None,
    as_json: bool,
) -> None:
    """Run ``winxnat audit show``."""
    _, database = open_records(home_folder)
    chosen = sa.select(AuditEntry).order_by(AuditEntry.sequence.desc()).limit(last)
    if action:
        chosen = chosen.where(AuditEntry.action == action)
    if actor_id:
        chosen = chosen.where(AuditEntry.actor_id == actor_id)
    if about:
        kind, _, object_id = about.partition(":")
        chosen = chosen.where(AuditEntry.object_kind == kind)
        if object_id:
            chosen = chosen.where(AuditEntry.object_id == object_id)
    if since:
        chosen = chosen.where(AuditEntry.at >= since.replace(tzinfo=UTC))
    with database.transaction() as session:
        entries = list(session.scalars(chosen))[::-1]
    if as_json:
        print_json({"entries": [_entry_document(one) for one in entries]})
        return
    for one in entries:
        click.echo(
            f"{one.sequence:>6}  {_time(one.at)}  {one.actor_id} ({one.role})  {one.action}  "
            f"{one.object_kind} {one.object_id}  {_difference(one)}{one.reason}"
        )


def _entry_document(entry: AuditEntry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": _time(entry.at),
        "actor": entry.actor_id,
        "role": entry.role,
        "action": entry.action,
        "object": [entry.object_kind, entry.object_id],
        "before": entry.before,
        "after": entry.after,
        "reason": entry.reason,
        "source": entry.source,
        "hash": entry.hash,
    }


def _difference(entry: AuditEntry) -> str:
    before, after = entry.before.get("state"), entry.after.get("state")
    return f"{before or '-'} -> {after}: " if after else ""


@click.command(
    help="""Say who could read a release, when, and why.

FAMILY is the name that all versions share. The answer comes from the log's entries, so it covers
grants and releases that have ended; what servers showed beyond it stands below. Whether the log
itself is whole says 'winxnat audit verify'."""
)
@click.argument("family")
@click.option("--version", "version", help="Only this version.")
@click.option("--who", "person_id", default="", help="Only this person.")
@click.option("--at", type=click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M"]),
              help="Only who could at this time, UTC.")  # fmt: skip
@home_option
@json_option
def readers(  # noqa: PLR0913  # one parameter for each option
    *,
    family: str,
    version: str | None,
    person_id: str,
    at: datetime | None,
    home_folder: Path | None,
    as_json: bool,
) -> None:
    """Run ``winxnat audit readers``."""
    _, database = open_records(home_folder)
    chosen = sa.select(Release).where(Release.family == family)
    if version:
        chosen = chosen.where(Release.version == version)
    when = at.replace(tzinfo=UTC) if at else None
    found: list[Reading] = []
    beyond: dict[tuple[str, str], list[Opening]] = {}
    with database.transaction() as session:
        releases = sorted(session.scalars(chosen), key=lambda row: version_key(row.version))
        if not releases:
            raise NotFoundError(
                f"The records know no release {family} {version or ''}".rstrip()
                + "; 'winxnat release list' shows those there are."
            )
        for release in releases:
            found += find_readers(session, release, person_id=person_id, at=when)
            beyond[release.server, release.project_id] = openings(session, release)
    _print_readers(found, [one for some in beyond.values() for one in some], as_json=as_json)


def _print_readers(found: list[Reading], beyond: list[Opening], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "readers": [
                    {
                        "release": one.release,
                        "level": one.level.word,
                        "person": one.person_id,
                        "since": _time(one.since),
                        "until": _time(one.until) if one.until else None,
                        "why": one.why,
                        "entries": list(one.entries),
                    }
                    for one in found
                ],
                "beyond": [
                    {
                        "server": one.server,
                        "project": one.project_id,
                        "what": one.what,
                        "not_before": _time(one.not_before) if one.not_before else None,
                        "found": _time(one.found_at),
                        "closed": _time(one.closed_at) if one.closed_at else None,
                    }
                    for one in beyond
                ],
            }
        )
        return
    for one in found:
        until = _time(one.until) if one.until else "now"
        numbers = ", ".join(str(number) for number in one.entries)
        click.echo(f"{one.release}  {one.person_id}  {_time(one.since)} to {until}")
        click.echo(f"    {one.why} (entries {numbers})")
    if not found:
        click.echo("nobody")
    for opening in beyond:
        begun = _time(opening.not_before) if opening.not_before else "an unknown time"
        closed = _time(opening.closed_at) if opening.closed_at else "now"
        click.echo(
            f"beyond what was declared: {opening.what} in {opening.project_id} on "
            f"{opening.server}, after {begun}, seen {_time(opening.found_at)}, until {closed}"
        )


def _time(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
