"""What the subcommands on sharing records share: where the records are, and who acts.

Who acts is a claim that the audit log keeps; what must not be claimed falsely (approvals) is
signed with the person's own key. Whoever can write to the records' folder is trusted to be one of
the people who keep them. Not here: any subcommand.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from xnat_client.sharing.actors import Actor
from xnat_client.sharing.vocabulary import Role

if TYPE_CHECKING:
    from xnat_client.sharing.database.store import Database
    from xnat_client.sharing.home import Home

F = TypeVar("F", bound=Callable[..., Any])


def home_option(command: F) -> F:
    """Add ``--home``, handed on as ``home_folder``."""
    return click.option(
        "--home",
        "home_folder",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the sharing records [WINXNAT_SHARING].",
    )(command)


def actor_options(command: F) -> F:
    """Add ``--person``, ``--role`` and ``--reason``, handed on under these names."""
    command = click.option("--reason", required=True, help="Why; stands in the audit log.")(command)
    command = click.option(
        "--role",
        type=click.Choice([role.value for role in Role]),
        required=True,
        help="The role in which the person acts.",
    )(command)
    return click.option(
        "--person",
        envvar="WINXNAT_PERSON",
        required=True,
        help="Directory identity of who acts [WINXNAT_PERSON].",
    )(command)


def actor_of(person: str, role: str, reason: str) -> Actor:
    """Return the actor whom the options name."""
    return Actor(person, Role(role), reason, "cli")


def open_records(home_folder: Path | None) -> tuple[Home, Database]:
    """Open the records, brought up to the newest tables.

    Raises
    ------
    UsageError
        There are none yet, or they are newer than this program.
    """
    from xnat_client.sharing.home import open_home, refuse_no_home  # noqa: PLC0415  # as below
    from xnat_client.sharing.opening import open_obeying  # noqa: PLC0415  # the help is quick without it

    refuse_no_home(home_folder)
    home = open_home(home_folder)
    database, kept = open_obeying(home)
    context = click.get_current_context(silent=True)
    if context is not None:
        context.call_on_close(database.close)
    if kept.restored:
        click.echo(
            f"Warning: {kept.restored} withdrawals were missing in the records, as after a "
            "restored backup; they were brought back and what they touch was closed.",
            err=True,
        )
    if kept.broken_at is not None:
        click.echo(
            f"Warning: line {kept.broken_at} of {home.tombstones_path.name} is not what was "
            "written. Tell the officer; the readable lines were obeyed.",
            err=True,
        )
    return home, database
