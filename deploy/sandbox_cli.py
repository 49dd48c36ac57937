"""``winxnat sandbox``: start, stop, look at and empty an XNAT-compatible server.

Not here: the work (``deploy.sandbox_process``) and the server (``deploy.sandbox``).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deploy.sandbox_process import RunningSandbox

HELP = "Run an XNAT-compatible server for demonstrations, tests and command authors."

_DEFAULT_PORT = 8080


def _dir_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--dir",
        "root",
        type=click.Path(file_okay=False, path_type=Path),
        help="Folder of the sandbox.  [default: the user's data folder]",
    )(command)


def _json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def _folder(root: Path | None) -> Path:
    from deploy.sandbox_process import default_dir  # noqa: PLC0415 - keeps --help quick

    return (root or default_dir()).expanduser().resolve()


@click.group(help=HELP)
def sandbox() -> None:
    """Run ``winxnat sandbox``."""


def _show(server: RunningSandbox, *, as_json: bool) -> None:
    if as_json:
        click.echo(
            json.dumps(
                {
                    "running": True,
                    "url": server.url,
                    "pid": server.pid,
                    "engine": server.engine,
                    "dir": str(server.root),
                    "netrc": str(server.netrc_path),
                }
            )
        )
        return
    click.echo(f"The sandbox answers at {server.url}")
    click.echo(f"  data      {server.root}")
    click.echo(f"  commands  run by the {server.engine} engine")
    click.echo(f"  user      admin; the password is in {server.netrc_path}")
    click.echo(f"  to use it export XNAT_HOST={server.url} NETRC={server.netrc_path}")


@sandbox.command()
@_dir_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_DEFAULT_PORT, show_default=True,
    help="Port to listen on, on this machine only; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(["auto", "docker", "process"]), default="auto",
    show_default=True, help="What runs commands; auto takes Docker when it answers.",
)  # fmt: skip
@_json_option
def start(root: Path | None, port: int, engine: str, *, as_json: bool) -> None:
    """Start the sandbox in the background."""
    from deploy import sandbox_process  # noqa: PLC0415 - keeps --help quick

    if find_spec("uvicorn") is None:
        raise click.ClickException(
            "The sandbox's libraries are not installed: pip install 'winxnat[sandbox]'"
        )
    _show(sandbox_process.start(_folder(root), port=port, engine=engine), as_json=as_json)


@sandbox.command()
@_dir_option
def stop(root: Path | None) -> None:
    """Stop the sandbox; its data stay."""
    from deploy import sandbox_process  # noqa: PLC0415 - keeps --help quick

    folder = _folder(root)
    was_running = sandbox_process.stop(folder)
    click.echo("The sandbox has stopped." if was_running else f"No sandbox ran on {folder}.")


@sandbox.command()
@_dir_option
@_json_option
@click.pass_context
def status(context: click.Context, root: Path | None, *, as_json: bool) -> None:
    """Say whether the sandbox runs; exit code 1 when it does not."""
    from deploy import sandbox_process  # noqa: PLC0415 - keeps --help quick

    folder = _folder(root)
    server = sandbox_process.running(folder)
    if server is not None:
        _show(server, as_json=as_json)
        return
    if as_json:
        click.echo(json.dumps({"running": False, "dir": str(folder)}))
    else:
        click.echo(f"No sandbox runs on {folder}. Start one: winxnat sandbox start")
    context.exit(1)


@sandbox.command()
@_dir_option
@click.option("--dry-run", is_flag=True, help="Say what would be deleted, delete nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset(root: Path | None, *, dry_run: bool, yes: bool) -> None:
    """Stop the sandbox and delete all its data."""
    from deploy import sandbox_process  # noqa: PLC0415 - keeps --help quick

    folder = _folder(root)
    if dry_run:
        click.echo(f"Would stop the sandbox and delete {folder} with all projects in it.")
        return
    if not yes:
        click.confirm(f"Delete {folder} with all projects in it?", abort=True)
    sandbox_process.reset(folder)
    click.echo(f"Deleted {folder}.")
