"""``winxnat bids``: maps of a project, why series are named as they are, and assembly."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from commands import catalog
from containers.cli_errors import CommandError
from containers.contract import ExitCode, StepError
from containers.engine import EngineError
from containers.local import EngineKind, run_local

if TYPE_CHECKING:
    from containers.dicom_to_bids.explain import Explanation

HELP = "Steer the conversion to BIDS: maps, explanations, one dataset of a project."

_FILE_WIDTH = 160
"""Characters of a line where the table goes to a file or another program."""
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(help=HELP)
def bids() -> None:
    """Collect the verbs."""


@bids.command("check-map")
@click.argument("map_path", metavar="FILE", type=_FILE)
@click.option("--json", "is_json", is_flag=True, help="Print the problems as JSON.")
def check_map(*, map_path: Path, is_json: bool) -> None:
    """Check a map of series to BIDS names; tell every problem with its line."""
    # Imported here, as below: asking for help must not need the step's libraries.
    from containers.dicom_to_bids.map_source import MapError  # noqa: PLC0415  # the help is quick without it
    from containers.dicom_to_bids.project_map import ProjectMap  # noqa: PLC0415  # the help is quick without it

    digest, rule_count = None, 0
    try:
        project_map = ProjectMap.load(map_path)
    except MapError as error:
        problems = error.problems
    else:
        problems, digest = project_map.notes, project_map.digest
        rule_count = len(project_map.rules)
    if is_json:
        document = {
            "usable": digest is not None,
            "sha256": digest,
            "rules": rule_count,
            "problems": [asdict(problem) for problem in problems],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for problem in problems:
            click.echo(problem.shown(map_path.name), err=True)
        if digest is not None:
            click.echo(f"The map can be used: {rule_count} rules, SHA-256 {digest}.")
    sys.exit(ExitCode.BAD_INPUT if digest is None else ExitCode.DONE)


@bids.command("explain")
@click.argument("session_dir", type=_FOLDER)
@click.option("--map", "map_path", type=_FILE, help="Name the series with this map.")
@click.option("--json", "is_json", is_flag=True, help="Print the rows as JSON.")
def explain(*, session_dir: Path, map_path: Path | None, is_json: bool) -> None:
    """Show the name of each series of a session, the reason, and how sure it is."""
    from containers.dicom_to_bids.explain import explanations  # noqa: PLC0415  # the help is quick without it

    with _examined(session_dir, map_path) as examined:
        rows = explanations(examined)
        warnings = examined.naming.warnings
    if is_json:
        document = {"series": [asdict(row) for row in rows], "warnings": list(warnings)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    _print_table(rows)
    for warning in warnings:
        click.echo(warning, err=True)


def _print_table(rows: Sequence[Explanation]) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    table = Table("scans", "series", "name", Column("reason", ratio=1), "rule", "sure")
    for row in rows:
        more = f" and {len(row.scans) - 1} more" if len(row.scans) > 1 else ""
        cells = [f"{row.scans[0]}{more}", row.series, row.name or "(left out)"]
        # Texts of headers are no markup.
        table.add_row(*map(Text, [*cells, row.reason, row.rule, row.confidence]))
    console.print(table)


@bids.command("suggest")
@click.argument("session_dir", type=_FOLDER)
@click.option("--map", "map_path", type=_FILE, help="Start from this map.")
def suggest(*, session_dir: Path, map_path: Path | None) -> None:
    """Print the map that gives a session's series the names they get now, for editing."""
    from containers.dicom_to_bids.suggest import suggested_map  # noqa: PLC0415  # the help is quick without it

    with _examined(session_dir, map_path) as examined:
        document = suggested_map(examined)
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))


@bids.command("assemble")
@click.argument("results_dir", type=_FOLDER)
@click.argument("output_dir", type=_FOLDER)
@click.option("--name", help="Name of the dataset, in its description.")
@click.option("--allow-invalid", is_flag=True, help="Keep a dataset that the validator refuses.")
@click.option(
    "--engine",
    type=click.Choice([each.value for each in EngineKind]),
    default=EngineKind.PROCESS.value,
    show_default=True,
    help="Run it as a process of this machine, or in its container image.",
)
def assemble(
    *, results_dir: Path, output_dir: Path, name: str | None, allow_invalid: bool, engine: str
) -> None:
    """Put the results of many sessions below a folder together as one dataset."""
    values = {"name": name, "allow-invalid": allow_invalid}
    with _told():
        outcome = run_local(
            catalog.find("bids-assemble"),
            (results_dir, output_dir),
            values,
            EngineKind(engine),
            lambda text: click.echo(text, err=True, nl=False),
        )
    if outcome.summary:
        click.echo(outcome.summary)
    sys.exit(outcome.exit_code)


@contextmanager
def _examined(session_dir: Path, map_path: Path | None) -> Iterator[Any]:
    """Yield the session as the conversion sees it; what it needs on disk is removed after."""
    from containers.dicom_to_bids.explain import examine  # noqa: PLC0415  # the help is quick without it
    from containers.dicom_to_bids.project_map import ProjectMap  # noqa: PLC0415  # the help is quick without it

    with _told(), tempfile.TemporaryDirectory(prefix="winxnat-bids-") as scratch:
        if not session_dir.is_dir():
            raise click.UsageError(f"The folder {session_dir} does not exist. Name another one.")
        project_map = ProjectMap.load(map_path) if map_path else None
        yield examine(session_dir.resolve(), Path(scratch), project_map)


@contextmanager
def _told() -> Iterator[None]:
    """Turn errors of ours into a sentence and the exit code that stands for them."""
    try:
        yield
    except StepError as error:
        raise CommandError(str(error), error.exit_code) from error
    except EngineError as error:
        raise CommandError(str(error), ExitCode.TOOL_FAILED) from error
    except PermissionError:
        # The error's own text holds a file's name, which may be a person's.
        raise CommandError(
            "The folder holds files or folders that may not be read. Grant the running "
            "user the right to read all of it.",
            ExitCode.WRONG_USAGE,
        ) from None
