"""``winxnat search``: which projects, subjects, sessions and scans there are.

Not here: the search itself (``xnat_client.search``).
"""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import click

from xnat_client.cli.server_options import json_option, open_server, print_json, server_options

if TYPE_CHECKING:
    from xnat_client.search.finding import Found

HELP = "Find projects, subjects, sessions and scans by type, date, sequence, quality and more."

_LEVELS = ("projects", "subjects", "sessions", "scans")
_GAP = "  "


@click.command(
    help=f"""{HELP}

A condition is FIELD SIGN VALUE, with a sign of = != ~ !~ < <= > >=, such as 'date>=2026-01-01' or
'quality!=usable'; ~ is a regular expression. All conditions must hold; a session fits if one of
its scans does. --fields lists the fields. Custom variables are variable.NAME, custom fields
field.NAME, display fields of the server are written in capitals, such as MR_COUNT.

Finding nothing is no error: exit code 0."""
)
@click.argument("level", metavar="|".join(_LEVELS), type=click.Choice(_LEVELS))
@click.option("--project", "projects", multiple=True, help="Only in this project; repeatable.")
@click.option("--where", multiple=True, metavar="CONDITION", help="Repeatable; all must hold.")
@click.option("--columns", help="Fields to print, separated by commas.")
@click.option(
    "--format", "form", type=click.Choice(["table", "csv", "json"]), default="table",
    show_default=True, help="How to print.",
)  # fmt: skip
@click.option("--limit", type=click.IntRange(1), help="Print only the first rows.")
@click.option("--fields", is_flag=True, help="List the fields of this level; contacts no server.")
@json_option
@server_options
def search(  # noqa: PLR0913  # one for each option
    *,
    level: str,
    projects: tuple[str, ...],
    where: tuple[str, ...],
    columns: str | None,
    form: str,
    limit: int | None,
    fields: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat search``."""
    from xnat_client.search import finding  # noqa: PLC0415  # keeps `--help` quick

    if fields:
        _print_fields(level)
        return
    chosen = [name.strip() for name in (columns or "").split(",") if name.strip()]
    # What is wrong with the question is said before anybody is asked for a password.
    conditions = finding.read_conditions(level, where)
    finding.check_columns(level, chosen, conditions)
    with open_server(server, user) as opened:
        found = finding.search(
            opened.transport, level, projects=projects, where=conditions, columns=chosen
        )
    _print(found, "json" if as_json else form, limit)


def _print_fields(level: str) -> None:
    from xnat_client.search.fields import FIELDS, Level  # noqa: PLC0415  # keeps `--help` quick

    rows = [(field.name, field.about) for field in FIELDS[Level(level)]]
    width = max(len(name) for name, _ in rows)
    for name, about in rows:
        click.echo(f"{name:{width}}{_GAP}{about}")


def _print(found: Found, form: str, limit: int | None) -> None:
    shown = found.rows[:limit]
    if form == "json":
        rows = [dict(zip(found.columns, row, strict=True)) for row in shown]
        document = {"level": str(found.level), "found": len(found.rows), "rows": rows}
        print_json(document)
        return
    if form == "csv":
        _print_csv(found.columns, shown)
    elif shown:
        _print_table(found.columns, shown)
    if not found.rows:
        click.echo(f"No {found.level} found that this account may read.", err=form == "csv")
    elif form == "table":
        word = found.level.one if len(found.rows) == 1 else str(found.level)
        first = f", the first {len(shown)} are shown" if len(shown) < len(found.rows) else ""
        click.echo(f"{len(found.rows)} {word} found{first}.", err=True)


def _print_csv(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    from xnat_client.upload.plan_table import guarded  # noqa: PLC0415  # keeps `--help` quick

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([guarded(cell) for cell in row] for row in rows)


def _print_table(columns: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> None:
    # What stands on the server must not be able to steer a terminal.
    lines = [
        tuple("".join(c if c.isprintable() else " " for c in cell) for cell in row) for row in rows
    ]
    lines.insert(0, columns)
    widths = [max(len(cell) for cell in cells) for cells in zip(*lines, strict=True)]
    for line in lines:
        text = _GAP.join(f"{cell:{w}}" for cell, w in zip(line, widths, strict=True))
        click.echo(text.rstrip())
