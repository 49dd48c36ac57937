"""What the client's subcommands share: the options that name a server, and what they print with.

Not here: any subcommand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from xnat_client.session import XnatServer
    from xnat_client.transport_settings import TransportSettings

F = TypeVar("F", bound=Callable[..., Any])


def server_options(command: F) -> F:
    """Add ``--server`` and ``--user``; there is no option for a password on purpose."""
    command = click.option(
        "--user",
        envvar="XNAT_USER",
        help="User name [XNAT_USER]. The password comes from XNAT_PASS, netrc, the keyring or a "
        "question.",
    )(command)
    return click.option(
        "--server",
        envvar="XNAT_HOST",
        help="Address of the XNAT server [XNAT_HOST], like https://xnat.example.org",
    )(command)


def json_option(command: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(
        command
    )


def open_server(
    server: str | None, user: str | None, settings: TransportSettings | None = None
) -> XnatServer:
    """Log in, and say on stderr where the credentials came from."""
    from xnat_client.session import connect  # noqa: PLC0415  # keeps `--help` quick

    opened = connect(server, user, settings=settings)
    if sys.stderr.isatty():
        click.echo(
            f"Logged in to {opened.transport.host} (password from: {opened.credentials.source}).",
            err=True,
        )
    return opened


def transfer_settings(connections: int) -> TransportSettings:
    """Return the patience of long transfers.

    A server that is started again needs a minute; a busy one is asked again soon.
    """
    from xnat_client.transport_settings import TransportSettings  # noqa: PLC0415  # see open_server

    return replace(
        TransportSettings.from_environment(),
        max_attempts=9,
        first_pause_s=0.2,
        connections=connections,
    )


def print_json(document: Mapping[str, Any]) -> None:
    """Print a result for machines: one JSON object on one line, in UTF-8."""
    text = json.dumps(document, ensure_ascii=False)
    click.echo(text if _can_be_printed(text) else json.dumps(document))


def _can_be_printed(text: str) -> bool:
    """Tell whether a text comes out as UTF-8: names of files may hold bytes that are no text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return (sys.stdout.encoding or "").lower() in {"utf-8", "utf8"}


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """Give a function that shows how far a work is, or None where nobody would see it."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console  # noqa: PLC0415  # keeps `--help` quick
    from rich.progress import Progress  # noqa: PLC0415  # keeps `--help` quick

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
