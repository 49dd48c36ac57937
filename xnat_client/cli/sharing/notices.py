"""``winxnat share notices``: make, send, confirm and count the notices to recipients.

Not here: what a notice says and when it is due (``xnat_client.sharing.notices``).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import click

from xnat_client.cli.records_options import actor_of, actor_options, home_option, open_records
from xnat_client.cli.server_options import json_option, print_json
from xnat_client.errors import EXIT_DONE, EXIT_SERVER_FAILED
from xnat_client.sharing import clock, telling
from xnat_client.sharing import notices as work
from xnat_client.sharing.mail import MailSettings, open_mailer
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role

_SENDERS = (Role.OFFICER, Role.STEWARD, Role.ADMINISTRATOR, Role.CUSTODIAN)


@click.group(help="Duties sent to recipients of data, and their answers.")
def notices() -> None:
    """Run ``winxnat share notices``."""


@notices.command(
    help="""Make the notices to everybody who may have a withdrawn participant's data.

PARTICIPANT is the participant's number. It takes the custodian, because the release labels are
read from the link table; nothing is sent yet."""
)
@click.argument("participant", type=int)
@home_option
@actor_options
@json_option
def make(  # noqa: PLR0913  # one parameter for each option
    *,
    participant: int,
    home_folder: Path | None,
    person: str,
    role: str,
    reason: str,
    as_json: bool,
) -> None:
    """Run ``winxnat share notices make``."""
    home, database = open_records(home_folder)
    actor = actor_of(person, role, reason)
    with database.transaction() as session:
        told = telling.tell(session, home, actor, participant, now=clock.now(session))
    if as_json:
        print_json(asdict(told))
        return
    click.echo(f"{told.notices} recipients have a notice; send them: winxnat share notices send")
    for name in told.public:
        click.echo(f"{name} is open: a line was added to its public list of changes")
    if told.not_located:
        click.echo("\nAnswer to the participant:\n")
        click.echo(telling.reply_not_located(told.not_located))


@notices.command(
    "list", help="List notices and how far each is; with --counts only how many are how far."
)
@click.option("--counts", is_flag=True, help="Numbers only, for the report to a study's team.")
@home_option
@json_option
def list_notices(*, counts: bool, home_folder: Path | None, as_json: bool) -> None:
    """Run ``winxnat share notices list``."""
    _, database = open_records(home_folder)
    with database.transaction() as session:
        found = work.standings(session, clock.now(session))
    numbers: dict[str, int] = {}
    for one in found:
        numbers[one.state] = numbers.get(one.state, 0) + 1
    if as_json:
        rows = [] if counts else [asdict(one) for one in found]
        print_json({"counts": numbers, "notices": rows})
        return
    if not counts:
        for one in found:
            trouble = f"  not sent: {one.failed_reason}" if one.failed_reason else ""
            click.echo(
                f"{one.notice_pk:>5}  {one.state:<9}  {one.days:>4} d  {one.reminders} reminders  "
                f"{one.release}  {one.person_id}  {one.kind}{trouble}"
            )
    click.echo(", ".join(f"{number} {state}" for state, number in numbers.items()) or "no notices")


@notices.command(
    help="""Send what is due by e-mail: new notices, and reminders after 14, 30 and 90 days.

The mail server comes from WINXNAT_SMTP (host:port), WINXNAT_SMTP_FROM, WINXNAT_SMTP_TLS
(starttls, tls or none), WINXNAT_SMTP_USER and WINXNAT_SMTP_PASS. Run it daily."""
)
@click.option("--dry-run", is_flag=True, help="Say what would be sent to whom.")
@home_option
@actor_options
@json_option
def send(  # noqa: PLR0913  # one parameter for each option
    *,
    dry_run: bool,
    home_folder: Path | None,
    person: str,
    role: str,
    reason: str,
    as_json: bool,
) -> int:
    """Run ``winxnat share notices send``."""
    home, database = open_records(home_folder)
    with database.transaction() as session:
        now = clock.now(session)
        people.require_any_role(session, actor_of(person, role, reason), *_SENDERS, now=now)
        waiting = [
            work.Delivery(row.notice_pk, row.person_id, number, "not sent: dry run")
            for row, number in work.due(session, now)
        ]
    if dry_run or not waiting:
        sent = waiting
    else:
        with open_mailer(MailSettings.from_environment()) as mailer:
            sent = work.send_due(home, database, mailer)
    if as_json:
        print_json({"notices": [asdict(one) for one in sent]})
    else:
        for one in sent:
            what = f"reminder {one.reminder}" if one.reminder else "first message"
            click.echo(f"{one.notice_pk:>5}  {one.person_id}  {what}  {one.reason or 'sent'}")
        click.echo(f"{sum(not one.reason for one in sent)} of {len(sent)} sent")
    failed = not dry_run and any(one.reason for one in sent)
    return EXIT_SERVER_FAILED if failed else EXIT_DONE


@notices.command(
    help="""Record that a recipient confirmed. The token of the message is read from standard
input or a file, because the arguments of a program can be read by others."""
)
@click.argument("token_file", type=click.File("r"), default="-")
@home_option
@actor_options
@json_option
def confirm(  # noqa: PLR0913  # one parameter for each option
    *,
    token_file: TextIO,
    home_folder: Path | None,
    person: str,
    role: str,
    reason: str,
    as_json: bool,
) -> None:
    """Run ``winxnat share notices confirm``."""
    _, database = open_records(home_folder)
    actor = actor_of(person, role, reason)
    token = token_file.read().strip()
    with database.transaction() as session:
        now = clock.now(session)
        people.require_any_role(session, actor, *_SENDERS, now=now)
        row = work.acknowledge(session, token, now=now, actor=actor)
    if as_json:
        print_json({"notice": row.notice_pk, "person": row.person_id, "state": "confirmed"})
    else:
        click.echo(f"notice {row.notice_pk} to {row.person_id} is confirmed")
