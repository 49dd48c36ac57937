"""``winxnat launch --on-project``: run a command once, on the project as a whole.

Such a run is not remembered as a job: there is one, and the project's history shows it. Not here:
sessions (``launch``), the work itself (``xnat_client.launch``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from xnat_client.cli.server_options import print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from xnat_client.launch import Run, RunState
    from xnat_client.transport import Transport

_PROJECT_TYPE = "xnat:projectData"


def launch_on_project(  # noqa: PLR0913  # what is launched, where, and how it is shown
    transport: Transport,
    project_id: str,
    command: str,
    wrapper: str | None,
    parameters: Mapping[str, str],
    *,
    watch: bool,
    timeout_s: float | None,
    dry_run: bool,
    as_json: bool,
) -> int:
    """Launch a command on a project; with ``watch``, wait for its end.

    Raises
    ------
    NotFoundError
        There is no such project, or no command of that name for projects.
    RunFailedError
        It was watched and failed.
    """
    from xnat_client.commands_registry import find_available  # noqa: PLC0415  # quick `--help`
    from xnat_client.jobs.work import check_parameters  # noqa: PLC0415  # quick `--help`
    from xnat_client.launch import (  # noqa: PLC0415  # quick `--help`
        Patience,
        WholeProject,
        launch_command,
        watch_run,
    )
    from xnat_client.projects import require_project  # noqa: PLC0415  # quick `--help`

    require_project(transport, project_id)
    found = find_available(transport, project_id, _PROJECT_TYPE, command, wrapper)
    check_parameters(transport, {_PROJECT_TYPE: found}, parameters)
    document: dict[str, object] = {
        "command": found.command_name, "wrapper": found.wrapper_name, "image": found.image,
        "project_id": project_id, "parameters": dict(parameters),
    }  # fmt: skip
    if dry_run:
        _print({**document, "dry_run": True}, "Would launch", as_json=as_json)
        return 0
    run = launch_command(transport, found, WholeProject(project_id), parameters)
    document["workflow_id"] = run.workflow_id
    if not watch:
        _print(document, "Launched", as_json=as_json)
        return 0
    state = _watched(lambda: watch_run(transport, run, patience=Patience(timeout_s=timeout_s)), run)
    _print({**document, "status": state.status}, state.status, as_json=as_json)
    return 0


def _watched(watch: Callable[[], RunState], run: Run) -> RunState:
    try:
        return watch()
    except KeyboardInterrupt:
        click.echo(
            f"The run goes on on the server (workflow {run.workflow_id}); its end is in the "
            "project's history there. The same command again would launch a second one.",
            err=True,
        )
        raise


def _print(document: dict[str, object], word: str, *, as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    workflow = document.get("workflow_id")
    click.echo(
        f"{word}: {document['command']} ({document['wrapper']}) on project "
        f"{document['project_id']}{f', workflow {workflow}' if workflow else ''}."
    )
