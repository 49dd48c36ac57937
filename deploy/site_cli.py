"""``winxnat site``: show what an XNAT lacks, and bring it to what a file says.

Not here: the work (``deploy.site``).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deploy.site.doctor import Finding
    from deploy.site.items import Change
    from xnat_client.session import XnatServer

HELP = "Set up an existing XNAT from one reviewed file: plan, apply, doctor."

DIFFERENT = 2
"""Exit code of plan and doctor when there is something to do."""

_MARKS = {"create": ("+", "green"), "change": ("~", "yellow"), "remove": ("-", "red")}
_COLOURS = {"fine": "green", "lacking": "red", "advice": "yellow", "unknown": "magenta"}
_FILE = click.argument("site_file", type=click.Path(dir_okay=False, path_type=Path))


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    command = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(
        command
    )
    command = click.option(
        "--user", envvar="XNAT_USER",
        help="User name [XNAT_USER]. The password comes from XNAT_PASS, netrc, the keyring or a "
        "question.",
    )(command)  # fmt: skip
    return click.option(
        "--server", envvar="XNAT_HOST",
        help="Address of the XNAT server [XNAT_HOST], like https://xnat.example.org",
    )(command)  # fmt: skip


@click.group(help=HELP)
def site() -> None:
    """Run ``winxnat site``."""
    if any(find_spec(name) is None for name in ("pydantic", "yaml")):
        raise click.ClickException(
            "The reader of site files is not installed: pip install 'winxnat[site]'"
        )


def _open(server: str | None, user: str | None) -> XnatServer:
    from xnat_client.session import connect  # noqa: PLC0415 - keeps --help quick

    return connect(server, user)


@site.command("plan")
@_FILE
@_common
def plan_(site_file: Path, *, as_json: bool, server: str | None, user: str | None) -> int:
    """Show what applying SITE_FILE would change; change nothing.

    Exit code 0: no difference; 2: there are differences; 3: the file must be mended; 5: the
    server did not tell.
    """
    from deploy.site.apply import plan  # noqa: PLC0415 - keeps --help quick
    from deploy.site.document import SiteDocument  # noqa: PLC0415 - keeps --help quick

    document = SiteDocument(site_file)
    with _open(server, user) as opened:
        changes = plan(document, opened.transport)
    _show_plan(changes, as_json=as_json)
    return DIFFERENT if changes else 0


@site.command("apply", short_help="Bring the server to what SITE_FILE says.")
@_FILE
@click.option("--yes", is_flag=True, help="Do not ask; needed where there is no terminal.")
@click.option("--dry-run", is_flag=True, help="Show the plan and stop.")
@_common
def apply_(  # noqa: PLR0913 - one argument for each option
    site_file: Path,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> int:
    """Bring the server to what SITE_FILE says, and read each change back.

    Nothing that the file does not name is touched. Applying again changes nothing; after an
    interruption it goes on.
    """
    from deploy.site.apply import apply, plan  # noqa: PLC0415 - keeps --help quick
    from deploy.site.document import SiteDocument  # noqa: PLC0415 - keeps --help quick
    from xnat_client.errors import XnatClientError  # noqa: PLC0415 - keeps --help quick

    document = SiteDocument(site_file)
    with _open(server, user) as opened:
        changes = plan(document, opened.transport)
        if dry_run or not changes:
            _show_plan(changes, as_json=as_json)
            return 0
        if not as_json:
            _show_plan(changes, as_json=False)
        if not yes and not _agreed(len(changes), opened.transport.host):
            click.echo("Nothing was changed.", err=True)
            return 0
        made: list[Change] = []

        def tell(change: Change) -> None:
            made.append(change)
            if not as_json:
                click.echo(f"done  {change.address}: {change.after}")

        try:
            apply(document, opened.transport, tell)
        except KeyboardInterrupt:
            click.echo(
                f"{len(made)} of {len(changes)} changes are made; apply the file again to go on.",
                err=True,
            )
            raise
        except XnatClientError as error:
            # Printed with the error itself: one JSON object in all.
            error.document = {"applied": [each.document() for each in made]}
            raise
    if as_json:
        click.echo(json.dumps({"applied": [each.document() for each in made]}))
    else:
        click.echo(
            f"Made and read back: {len(changes)} of {len(changes)}. The server is as the file says."
        )
    return 0


def _agreed(count: int, host: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError(
            "There is no terminal to ask on. Look at the plan, then say --yes to apply it."
        )
    return click.confirm(f"Make these {count} changes on {host}?", err=True)


@site.command("doctor", short_help="Tell what the server lacks for this bundle.")
@click.argument("site_file", required=False, type=click.Path(dir_okay=False, path_type=Path))
@_common
def doctor(site_file: Path | None, *, as_json: bool, server: str | None, user: str | None) -> int:
    """Tell what the server lacks for this bundle (and for SITE_FILE), and what to do.

    Exit code 0: nothing is lacking; 2: something is lacking or could not be asked.
    """
    from deploy.site.doctor import Verdict, examine  # noqa: PLC0415 - keeps --help quick
    from deploy.site.document import SiteDocument  # noqa: PLC0415 - keeps --help quick

    document = SiteDocument(site_file) if site_file else None
    with _open(server, user) as opened:
        findings = examine(opened.transport, document)
    _show_findings(findings, as_json=as_json)
    todo = any(each.verdict in (Verdict.LACKING, Verdict.UNKNOWN) for each in findings)
    return DIFFERENT if todo else 0


def _show_plan(changes: Sequence[Change], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"changes": [each.document() for each in changes]}))
        return
    if not changes:
        click.echo("No difference: the server is as the file says.")
        return
    for change in changes:
        mark, colour = _MARKS[change.action]
        click.echo(
            click.style(f"{mark} {change.address}", fg=colour)
            + (
                f": {change.after}"
                if change.action == "create"
                else f": {change.before} -> {change.after}"
            )
            + click.style(f"   [{change.where}]", dim=True)
        )
    count = "1 difference" if len(changes) == 1 else f"{len(changes)} differences"
    click.echo(f"{count}. Nothing else on the server would be touched.")


def _show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    if as_json:
        rows = [
            {"subject": each.subject, "verdict": each.verdict.value, "found": each.found,
             "advice": each.advice}
            for each in findings
        ]  # fmt: skip
        click.echo(json.dumps({"findings": rows}))
        return
    for each in findings:
        word = click.style(f"{each.verdict.value:8}", fg=_COLOURS[each.verdict.value])
        click.echo(f"{word} {each.subject}: {each.found}")
        if each.advice:
            click.echo(f"         {each.advice}")
