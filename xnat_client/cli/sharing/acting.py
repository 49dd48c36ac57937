"""What nearly all subcommands on records share: the records, who acts, and how it is printed.

Not here: any subcommand.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from sqlalchemy.orm import Session

from xnat_client.cli.records_options import actor_of, actor_options, home_option, open_records
from xnat_client.cli.server_options import json_option, print_json
from xnat_client.sharing import clock
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.home import Home


def asked(question: str) -> str:
    """Return what a person types, or the next line of what is given to the command.

    For names and labels: arguments can be seen by all users of the machine.
    """
    if sys.stdin.isatty():
        return str(click.prompt(question, err=True)).strip()
    return sys.stdin.readline().strip()


@dataclass(frozen=True)
class Records:
    """Open records and how results are printed.

    Attributes
    ----------
    home, database : Home, Database
        Where they are, and the database, open.
    as_json : bool
        Whether results are for machines.
    """

    home: Home
    database: Database
    as_json: bool

    @contextmanager
    def transaction(self) -> Iterator[tuple[Session, datetime]]:
        """Yield a session that alone may write, and the time of the records' clock."""
        with self.database.transaction() as session:
            yield session, clock.now(session)

    def show(self, document: Mapping[str, Any], text: str) -> None:
        """Print a result, for machines or for people."""
        if self.as_json:
            print_json(document)
        else:
            click.echo(text)


@dataclass(frozen=True)
class Acting(Records):
    """Open records, and who acts on them."""

    actor: Actor


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--home`` and ``--json``; the command gets ``Records`` as its first argument."""

    @functools.wraps(command)
    def run(*, home_folder: Path | None, as_json: bool, **options: Any) -> Any:
        home, database = open_records(home_folder)
        try:
            return command(Records(home, database, as_json), **options)
        finally:
            database.close()

    return home_option(json_option(run))


def acting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--home``, ``--json`` and who acts; the command gets ``Acting`` first."""

    @functools.wraps(command)
    def run(
        *,
        home_folder: Path | None,
        as_json: bool,
        person: str,
        role: str,
        reason: str,
        **options: Any,
    ) -> Any:
        actor = actor_of(person, role, reason)
        home, database = open_records(home_folder)
        try:
            return command(Acting(home, database, as_json, actor), **options)
        finally:
            database.close()

    return home_option(actor_options(json_option(run)))


def table(rows: list[tuple[Any, ...]], empty: str) -> str:
    """Return rows as columns of text, or a word for none."""
    if not rows:
        return empty
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in cells) for place in range(len(cells[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
