"""``winxnat launch``: run a Container Service command on a session.

Not here: the work itself (``xnat_client.launch``).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from xnat_client.cli.server_options import json_option, open_server, print_json, server_options

if TYPE_CHECKING:
    from xnat_client.launch import RunState

HELP = "Run a command of the Container Service on a session."


@click.command(
    help=f"""{HELP}

COMMAND is the name of a command (or of a wrapper) that is enabled in the project. With --watch
the exit code says how the run ended; without, only that it was accepted."""
)
@click.argument("command")
@click.option("--project", required=True, help="ID of the project.")
@click.option("--session", required=True, help="Label or ID of the session.")
@click.option("--wrapper", help="Name of the wrapper, if the command fits in several ways.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A further input.")
@click.option("--watch", is_flag=True, help="Wait until the run is over.")
@click.option("--timeout", type=float, metavar="SECONDS", help="Stop waiting after this time.")
@click.option("--dry-run", is_flag=True, help="Find command and session, but launch nothing.")
@json_option
@server_options
def launch(  # noqa: PLR0913  # one parameter for each option
    *,
    command: str,
    project: str,
    session: str,
    wrapper: str | None,
    params: tuple[str, ...],
    watch: bool,
    timeout: float | None,
    dry_run: bool,
    as_json: bool,
    server: str | None,
    user: str | None,
) -> None:
    """Run ``winxnat launch``."""
    # Imported here so that the help is quick.
    from xnat_client.commands_registry import find_available  # noqa: PLC0415  # see above
    from xnat_client.launch import Patience, launch_command, watch_run  # noqa: PLC0415  # see above
    from xnat_client.sessions import find_session  # noqa: PLC0415  # see above

    values = _parse(params)
    with open_server(server, user) as opened:
        transport = opened.transport
        found = find_session(transport, project, session)
        chosen = find_available(transport, project, found.xsi_type, command, wrapper)
        document: dict[str, object] = {
            "command": chosen.command_name,
            "wrapper": chosen.wrapper_name,
            "image": chosen.image,
            "project_id": project,
            "session_label": found.label,
            "session_id": found.session_id,
            "parameters": values,
        }
        if dry_run:
            _print({**document, "dry_run": True}, "Would launch", as_json=as_json)
            return
        run = launch_command(transport, chosen, found, values)
        document["workflow_id"] = run.workflow_id
        if not watch:
            _print(document, "Launched", as_json=as_json)
            return
        patience = Patience(timeout_s=timeout)
        state = watch_run(transport, run, patience=patience, progress=_show)
        _print({**document, "status": state.status}, state.status, as_json=as_json)


def _parse(params: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for param in params:
        name, equals, value = param.partition("=")
        if not equals or not name:
            raise click.UsageError("--param needs the form NAME=VALUE.")
        if name in values:
            raise click.UsageError(f"--param {name} is given twice.")
        values[name] = value
    return values


def _show(state: RunState) -> None:
    if sys.stderr.isatty():
        click.echo(f"{state.status}{f' ({state.step})' if state.step else ''}", err=True)


def _print(document: dict[str, object], word: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    workflow = document.get("workflow_id")
    click.echo(
        f"{word}: {document['command']} ({document['wrapper']}) on session "
        f"{document['session_label']} of project {document['project_id']}"
        f"{f', workflow {workflow}' if workflow else ''}."
    )
