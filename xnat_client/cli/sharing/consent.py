"""``winxnat share consent``: consent of participants, from files and by hand.

Source labels are shown by ``consent show`` alone, to the data manager who asks. Not here: what a
withdrawal sets off (``xnat_client.sharing.withdrawal``).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, TextIO

import click
from sqlalchemy.orm import Session

from xnat_client.cli.sharing.acting import Acting, Records, acting, asked, reading, table
from xnat_client.cli.sharing.closing import lines_of_closing
from xnat_client.errors import EXIT_BAD_INPUT, EXIT_DONE, UsageError
from xnat_client.private_files import private_text
from xnat_client.sharing import tombstones, withdrawal
from xnat_client.sharing.database.tables import Participant
from xnat_client.sharing.records import consent as consent_records
from xnat_client.sharing.records import consent_import, participants, studies
from xnat_client.sharing.records.consent import ConsentLine, Effective
from xnat_client.sharing.records.consent_columns import read_columns
from xnat_client.sharing.records.consent_import import ImportResult, ImportRules
from xnat_client.sharing.server_side.at_once import close_at_once
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Level

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_SERVER = click.option("--server", help="Short name of the study's server, where several have it.")


@click.group(help="Consent of participants: import, add, show, withdraw.")
def consent() -> None:
    """Run ``winxnat share consent``."""


@consent.command(
    "import",
    help="""Take consent over from FILE, a table that a registry or REDCap wrote.

The mapping says which column means what (winxnat share template consent-columns). Each row gives a
line of the report. A file with a row that cannot be taken over changes nothing, unless
--leave-refused asks for the rest. Importing a file again changes nothing; nothing recorded before
is changed. A withdrawal in the file closes what it touches at once.""",
)
@click.argument("project_id")
@click.argument("file", type=_FILE)
@click.option("--mapping", "mapping_path", type=_FILE, required=True)
@click.option("--leave-refused", is_flag=True, help="Take the other rows over all the same.")
@click.option("--only-known", is_flag=True, help="Refuse participants who are not on record yet.")
@click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report here, as a table.",
)
@click.option("--dry-run", is_flag=True, help="Say what would become of each row.")
@_SERVER
@acting
def import_file(  # noqa: PLR0913  # one parameter for each option
    work: Acting,
    *,
    project_id: str,
    file: Path,
    mapping_path: Path,
    leave_refused: bool,
    only_known: bool,
    report_path: Path | None,
    dry_run: bool,
    server: str | None,
) -> int:
    """Run ``winxnat share consent import``."""
    columns = read_columns(mapping_path)
    export = consent_import.read_export(file, columns.needed())
    rules = ImportRules(leave_refused=leave_refused, only_known=only_known, dry_run=dry_run)
    closed: tuple[withdrawal.Affected, ...] = ()
    # Written before the records change: where there is no room for it, they do not.
    with (
        private_text(report_path) if report_path else nullcontext() as report,
        work.transaction() as (session, now),
    ):
        study_pk = studies.study_of(session, project_id, server).study_pk
        result = consent_import.import_consent(
            session, work.actor, study_pk, export, columns, rules, now=now
        )
        if not dry_run:
            tombstones.keep(session, work.home, now=now)
            closed = withdrawal.enforce(session, work.home, now=now)
        if report is not None:
            _write_report(report, result)
            report.flush()
    document = {
        "counts": result.counts,
        "not_in_file": result.not_in_file,
        "withdrawn": list(result.withdrawn),
        "closed": [asdict(one) for one in closed],
        "dry_run": dry_run,
        "rows": [asdict(one) for one in result.rows],
    }
    work.show(document, _import_text(result, closed, dry_run=dry_run))
    return EXIT_DONE if result.is_complete else EXIT_BAD_INPUT


def _import_text(
    result: ImportResult, closed: tuple[withdrawal.Affected, ...], *, dry_run: bool
) -> str:
    lines = [
        f"line {one.row}: {one.outcome.value}: {one.reason}"
        for one in result.rows
        if one.reason and one.outcome is consent_import.RowOutcome.REFUSED
    ]
    lines.append(", ".join(f"{count} {word}" for word, count in result.counts.items() if count))
    if result.counts["held back"]:
        held = sum(one.event is not ConsentEvent.GIVEN for one in result.rows if one.event)
        waits = f" {held} rows are withdrawals, which should not wait." if held else ""
        lines.append(
            "Nothing was taken over. Correct the refused rows, or take the others over with "
            f"--leave-refused.{waits}"
        )
    if result.not_in_file:
        lines.append(f"{result.not_in_file} participants on record are not in the file.")
    lines += [f"release {one.name}: {one.effect.value}" for one in closed]
    if dry_run:
        lines.append("Nothing was written.")
    return "\n".join(line for line in lines if line)


def _write_report(file: TextIO, result: ImportResult) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["line", "outcome", "participant", "event", "reason"])
    for one in result.rows:
        event = one.event.value if one.event else ""
        number = "" if one.participant is None else one.participant
        writer.writerow([one.row, one.outcome.value, number, event, one.reason])


@consent.command(
    "add",
    help="""Add a consent on paper to a participant's history.

PARTICIPANT is a number, or '-': then the source label is asked for (or read from standard input),
because other people can read arguments. Who is not on record yet is added.""",
)
@click.argument("project_id")
@click.argument("participant", metavar="PARTICIPANT")
@click.option("--form", "form_id", required=True)
@click.option("--form-version", required=True)
@click.option("--level", type=click.Choice([level.word for level in Level]), required=True)
@click.option(
    "--data-type",
    "data_types",
    multiple=True,
    type=click.Choice([kind.value for kind in DataType]),
    help="A kind of data said yes to; may be given several times.",
)
@click.option("--date", "given_on", type=click.DateTime(["%Y-%m-%d"]), required=True)
@_SERVER
@acting
def add_consent(  # noqa: PLR0913  # one parameter for each option
    work: Acting,
    *,
    project_id: str,
    participant: str,
    form_id: str,
    form_version: str,
    level: str,
    data_types: tuple[str, ...],
    given_on: datetime,
    server: str | None,
) -> None:
    """Run ``winxnat share consent add``."""
    kinds = tuple(DataType(kind) for kind in data_types)
    line = ConsentLine(
        ConsentEvent.GIVEN, given_on.date(), form_id, form_version, Level.from_word(level), kinds
    )
    with work.transaction() as (session, now):
        study_pk = studies.study_of(session, project_id, server).study_pk

        def add(label: str) -> int:
            return participants.add_all(session, work.actor, study_pk, {label: ""}, now=now)[label]

        number = _number(session, study_pk, participant, add)
        consent_records.record(session, work.actor, number, line, now=now)
        closed = withdrawal.enforce(session, work.home, now=now)
    lines = [f"the consent of participant {number} is on record"]
    lines += [f"release {one.name}: {one.effect.value}" for one in closed]
    document = {"participant": number, "closed": [asdict(one) for one in closed]}
    work.show(document, "\n".join(lines))


@consent.command(
    "show",
    help="""Show what the participants of a study allow, by number.

With --labels the source labels are shown too: for the data manager's own eyes, on a terminal.""",
)
@click.argument("project_id")
@click.option("--labels", is_flag=True, help="Show source labels; to a terminal only.")
@click.option("--history", "number", type=int, help="Show all lines of this participant.")
@_SERVER
@reading
def show(
    work: Records, *, project_id: str, labels: bool, number: int | None, server: str | None
) -> None:
    """Run ``winxnat share consent show``."""
    if labels and not sys.stdout.isatty():
        raise UsageError(
            "Source labels are shown on a terminal only, not written to files or other programs."
        )
    with work.transaction() as (session, _):
        study_pk = studies.study_of(session, project_id, server).study_pk
        if number is not None:
            _show_history(work, session, study_pk, number)
            return
        found = consent_records.effective_for_study(session, study_pk)
        by_label = participants.by_label(session, study_pk)
    names = {row.participant_pk: label for label, row in by_label.items()} if labels else {}
    rows: list[tuple[Any, ...]] = [
        (key, *([names[key]] if labels else []), *_meaning(one).values())
        for key, one in found.items()
    ]
    document = {
        "participants": [{"participant": key, **_meaning(one)} for key, one in found.items()]
    }
    work.show(document, table(rows, "no participants on record"))


def _meaning(one: Effective) -> dict[str, str]:
    why = one.unknown or (one.withdrawn.value if one.withdrawn else "")
    return {
        "level": one.level.word if one.level is not None and not one.unknown else "unknown",
        "data_types": ", ".join(sorted(one.data_types)),
        "form": " ".join(one.form) if one.form else "",
        "why": why,
    }


def _show_history(work: Records, session: Session, study_pk: int, number: int) -> None:
    row = session.get(Participant, number)
    if row is None or row.study_pk != study_pk:
        raise UsageError(f"The study has no participant {number}.")
    lines = [
        {
            "given_on": one.given_on.isoformat(),
            "event": one.event.value,
            "form": f"{one.form_id} {one.form_version}".strip(),
            "level": one.highest_level.word if one.event is ConsentEvent.GIVEN else "",
            "data_types": ", ".join(one.data_types),
            "recorded_at": one.recorded_at.isoformat(timespec="seconds"),
            "recorded_by": one.recorded_by,
            "origin": one.origin,
        }
        for one in consent_records.history(session, number)
    ]
    rows = [tuple(one.values()) for one in lines]
    work.show({"participant": number, "lines": lines}, table(rows, "no lines"))


@consent.command(
    "withdraw",
    help="""Record that a participant withdraws, and close what it touches at once.

Three classes: no-further-contact leaves sharing as it was; no-further-sharing ends it;
delete-everything asks for the data to be deleted too. PARTICIPANT is a number, or '-' for a source
label on standard input.""",
)
@click.argument("project_id")
@click.argument("participant", metavar="PARTICIPANT")
@click.argument(
    "event",
    type=click.Choice([one.value for one in ConsentEvent if one is not ConsentEvent.GIVEN]),
)
@click.option(
    "--date", "given_on", type=click.DateTime(["%Y-%m-%d"]), help="When it was said [today]."
)
@click.option("--dry-run", is_flag=True, help="Say which releases are affected.")
@_SERVER
@acting
def withdraw(  # noqa: PLR0913  # one parameter for each option
    work: Acting,
    *,
    project_id: str,
    participant: str,
    event: str,
    given_on: datetime | None,
    dry_run: bool,
    server: str | None,
) -> None:
    """Run ``winxnat share consent withdraw``."""
    with work.transaction() as (session, now):
        study_pk = studies.study_of(session, project_id, server).study_pk
        number = _number(session, study_pk, participant)
        if dry_run:
            names = [
                withdrawal.release_name(one) for one in withdrawal.releases_with(session, number)
            ]
            document: Mapping[str, Any] = {"participant": number, "releases": names}
            lines = [f"participant {number} is in {name}" for name in names]
            work.show(document, "\n".join(lines) or f"participant {number} is in no release")
            return
        done = withdrawal.withdraw(
            session,
            work.home,
            work.actor,
            number,
            ConsentEvent(event),
            given_on=given_on.date() if given_on else now.date(),
            now=now,
        )
    lines = [f"recorded: {event} of participant {number}"]
    lines += [f"release {one.name}: {one.effect.value}" for one in done.releases]
    lines += [f"to do: {task}" for task in done.tasks]
    closed = [one.release_pk for one in done.releases if one.effect is withdrawal.Effect.CLOSED]
    why = f"The consent of participant {number} was withdrawn."
    on_servers = close_at_once(work.home, work.database, closed, why)
    lines += lines_of_closing(on_servers)
    work.show({**asdict(done), "servers": asdict(on_servers)}, "\n".join(lines))


def _number(session: Session, study_pk: int, named: str, add: _Add | None = None) -> int:
    """Return the number of a participant given as a number or, with ``-``, by source label.

    A label is asked for or read from standard input: other people can read arguments.
    """
    if named.isascii() and named.isdigit():
        row = session.get(Participant, int(named))
        if row is None or row.study_pk != study_pk:
            raise UsageError(f"The study has no participant {named}.")
        return row.participant_pk
    if named != "-":
        raise UsageError(
            "Name the participant by number (winxnat share consent show), or give '-' and the "
            "source label on standard input."
        )
    label = asked("Source label")
    if add is not None:
        return add(label)
    return participants.participant_of(session, study_pk, label).participant_pk


_Add = Callable[[str], int]
