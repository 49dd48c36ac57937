"""``winxnat upload``: folders of research data become sessions and resources, each file proved.

Not here: the work itself (``xnat_client.upload``), what is printed (``upload_output``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from xnat_client.cli.server_options import (
    json_option,
    open_server,
    progress_bar,
    server_options,
    transfer_settings,
)

if TYPE_CHECKING:
    from xnat_client.session import XnatServer
    from xnat_client.upload.bulk import SendSettings
    from xnat_client.upload.plan import Plan

HELP = "Send DICOM, EEG, MEG, BIDS and other research data, and prove that each file arrived."

_MOST_NAMED = 10
_PATH = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options, as given."""

    sources: tuple[Path, ...]
    project: str
    subject: str | None
    session: str | None
    pattern: str | None
    lookup: Path | None
    map_file: Path | None
    study: int | None
    append: bool
    accept_labels: bool
    session_type: str | None
    plan_out: Path | None
    dry_run: bool
    ask_server: bool
    show_paths: bool
    state: Path | None
    ledger: Path | None
    connections: int
    sessions: int
    via: str
    receiver: str | None
    calling_title: str
    wait: int
    as_json: bool
    server: str | None
    user: str | None


@click.command(
    help=f"""{HELP}

Everything below SOURCE is looked at, at all depths. DICOM is known by its content and grouped by
study; EEG and MEG recordings stay together; letters, pictures and the like are not sent unless a
plan says so. Labels are never taken from the images by themselves: give them, or a rule.

Nothing is sent if anything in the plan is wrong. After an interruption the same command goes on
where it was. Exit code 0: every file was found on the server with its size and MD5."""
)
@click.argument("sources", nargs=-1, required=True, type=_PATH, metavar="SOURCE...")
@click.option("--project", required=True, help="ID of the project.")
@click.option(
    "--subject",
    help="Label of the subject, or a template such as C{PatientID} or {subject}. A code, no name.",
)
@click.option("--session", help="Label of the session, or a template such as {subject}_{date}.")
@click.option("--pattern", help="Path below SOURCE, such as {subject}/{session}/...")
@click.option(
    "--lookup",
    type=_PATH,
    help="Table (CSV, XLSX) with the columns subject, folder, date, session.",
)
@click.option("--map", "map_file", type=_PATH, help="A plan that was edited (CSV, XLSX).")
@click.option("--study", type=int, help="Which study, if there are several (see --dry-run).")
@click.option("--append", is_flag=True, help="Add to sessions that exist; replaces no file.")
@click.option(
    "--accept-labels", is_flag=True, help="The labels were looked at: they identify nobody."
)
@click.option("--session-type", help="Data type of new sessions without images or recordings.")
@click.option("--plan-out", type=_PATH, help="Write the plan to a file (.csv or .xlsx).")
@click.option("--dry-run", is_flag=True, help="Print what would be sent; contacts no server.")
@click.option("--ask-server", is_flag=True, help="With --dry-run: check against the server too.")
@click.option("--show-paths", is_flag=True, help="Name files by their path too (may show names).")
@click.option("--state", type=_PATH, help="Where to remember what was begun.")
@click.option("--ledger", type=_PATH, help="Where to note what arrived, one line for each file.")
@click.option(
    "--connections", type=click.IntRange(1, 64), default=8, show_default=True,
    help="The most requests at a time; fewer when the server is slow.",
)  # fmt: skip
@click.option(
    "--sessions-at-once", "sessions", type=click.IntRange(1, 16), default=4, show_default=True,
    help="The most sessions at a time.",
)  # fmt: skip
@click.option(
    "--via", type=click.Choice(["http", "dicom"]), default="http", show_default=True,
    help="How DICOM travels: to XNAT's importer, or by C-STORE to a DICOM receiver.",
)  # fmt: skip
@click.option(
    "--receiver", help="AETITLE@HOST:PORT of the receiver; else the only one of the server."
)
@click.option(
    "--calling-title", default="WINXNAT", show_default=True, help="AE title of the sender."
)
@click.option(
    "--wait", type=click.IntRange(0, 86400), default=600, show_default=True,
    help="Seconds that what a receiver took may take to appear on the server.",
)  # fmt: skip
@json_option
@server_options
def upload(**options: object) -> int:
    """Run ``winxnat upload``."""
    asked = _Asked(**options)  # type: ignore[arg-type]  # click has checked them by name and type
    plan = _plan(asked)
    _check_way(asked, plan)
    if asked.dry_run:
        return _dry_run(asked, plan)
    return _send(asked, plan)


def _plan(asked: _Asked) -> Plan:
    # Imported here because pydicom takes longer to import than the whole help takes to print.
    from xnat_client.address import check_project_id  # noqa: PLC0415  # see above
    from xnat_client.upload.label_rules import Rules, read_lookup  # noqa: PLC0415  # see above
    from xnat_client.upload.plan import make_plan, read_map  # noqa: PLC0415  # see above
    from xnat_client.upload.plan_checks import check_plan, choose_study  # noqa: PLC0415  # see above
    from xnat_client.upload.survey import survey  # noqa: PLC0415  # see above

    check_project_id(asked.project)
    rules = Rules(
        subject=_template("subject", asked.subject),
        session=_template("session", asked.session),
        pattern=asked.pattern or "",
        lookup=read_lookup(asked.lookup) if asked.lookup else (),
    )
    map_rows = read_map(asked.map_file) if asked.map_file else None
    with progress_bar("Looking at the files") as progress:
        found = survey(asked.sources, elements=rules.elements, progress=progress)
    unused = rules.unused_rows(found.units)
    if unused:
        some = ", ".join(map(str, unused[:_MOST_NAMED])) + (" ..." if unused[_MOST_NAMED:] else "")
        click.echo(f"No folder fits these rows of the lookup table: {some}.", err=True)
    folder = asked.map_file.parent if asked.map_file else None
    plan = make_plan(found, asked.project, rules, map_rows=map_rows, map_folder=folder)
    if asked.study is not None:
        plan = choose_study(plan, asked.study)
    return check_plan(plan, accept_labels=asked.accept_labels)


def _check_way(asked: _Asked, plan: Plan) -> None:
    from xnat_client.errors import BadInputError, UsageError  # noqa: PLC0415  # see _plan

    if asked.via == "http":
        if asked.receiver:
            raise UsageError("A --receiver is for --via dicom. Give that too, or leave it out.")
        return
    from xnat_client.upload.receiver import read_receiver  # noqa: PLC0415  # see _plan

    if asked.receiver:
        read_receiver(asked.receiver, asked.calling_title)
    others = [row for row in plan.sent_rows if not row.is_dicom]
    if others:
        raise BadInputError(
            f"Nothing was sent: {len(others)} rows of the plan are no DICOM (the first is row "
            f"{others[0].number}) and cannot travel by DICOM. Set them to skip, and upload them "
            "without --via dicom afterwards."
        )


def _send_settings(asked: _Asked, opened: XnatServer) -> SendSettings:
    from xnat_client.upload.bulk import SendSettings  # noqa: PLC0415  # see _plan

    settings = SendSettings(asked.connections, asked.sessions, append=asked.append)
    if asked.via == "http":
        return settings
    from xnat_client.upload.receiver import find_receiver, read_receiver  # noqa: PLC0415  # see _plan

    receiver = (
        read_receiver(asked.receiver, asked.calling_title)
        if asked.receiver
        else find_receiver(opened.transport, asked.calling_title)
    )
    return replace(settings, receiver=receiver, wait_s=float(asked.wait))


def _template(kind: str, text: str | None) -> str:
    from xnat_client.address import check_label  # noqa: PLC0415  # keeps `--help` quick

    if text and "{" not in text:
        check_label(kind, text)
    return text or ""


def _dry_run(asked: _Asked, plan: Plan) -> int:
    from xnat_client.cli.upload_output import print_plan  # noqa: PLC0415  # keeps `--help` quick
    from xnat_client.errors import EXIT_BAD_INPUT, EXIT_DONE  # noqa: PLC0415  # see above

    if asked.ask_server:
        with open_server(asked.server, asked.user) as opened:
            plan = _checked(asked, plan, opened, _state_path(asked, opened))
    _write(asked, plan)
    print_plan(plan, as_json=asked.as_json, show_paths=asked.show_paths)
    return EXIT_BAD_INPUT if plan.problem_rows else EXIT_DONE


def _write(asked: _Asked, plan: Plan) -> None:
    from xnat_client.upload.plan import write_plan  # noqa: PLC0415  # keeps `--help` quick

    if asked.plan_out is not None:
        write_plan(plan, asked.plan_out)


def _state_path(asked: _Asked, opened: XnatServer) -> Path:
    from xnat_client.upload.state import default_state_path  # noqa: PLC0415  # see _plan

    return asked.state or default_state_path(opened.transport.url, asked.project)


def _checked(asked: _Asked, plan: Plan, opened: XnatServer, state_path: Path) -> Plan:
    from xnat_client.upload.server_checks import check_on_server  # noqa: PLC0415  # see _plan
    from xnat_client.upload.state import UploadState  # noqa: PLC0415  # see _plan

    with UploadState(state_path) as state:
        return check_on_server(
            opened.transport, plan, state,
            append=asked.append, session_type=asked.session_type or "",
        )  # fmt: skip


def _send(asked: _Asked, plan: Plan) -> int:
    from xnat_client.cli.upload_output import (  # noqa: PLC0415  # keeps `--help` quick
        Output,
        require_sendable,
    )
    from xnat_client.upload.bulk import send_plan  # noqa: PLC0415  # see above
    from xnat_client.upload.session_task import session_tasks  # noqa: PLC0415  # see above
    from xnat_client.upload.state import UploadState  # noqa: PLC0415  # see above

    _write(asked, plan)
    require_sendable(plan)
    opened = open_server(asked.server, asked.user, transfer_settings(asked.connections))
    interrupted = False
    try:
        state_path = _state_path(asked, opened)
        plan = _checked(asked, plan, opened, state_path)
        _write(asked, plan)
        require_sendable(plan)
        tasks = session_tasks(plan.rows, asked.session_type or "")
        settings = _send_settings(asked, opened)
        ledger_path = asked.ledger or state_path.with_suffix(".ledger.jsonl")
        with UploadState(state_path) as state, Output(plan, tasks, as_json=asked.as_json) as output:
            receipt = send_plan(
                opened.transport, tasks, state, ledger_path, settings,
                show=output.show, tell=output.tell,
            )  # fmt: skip
        interrupted = receipt.interrupted
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        if not interrupted:  # a silent server must not hold up an interruption
            opened.close()
    output.print_receipt(receipt, ledger_path)
    return receipt.exit_code
