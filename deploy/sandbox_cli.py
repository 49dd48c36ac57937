"""``winxnat sandbox``: start, fill, stop, look at and empty an XNAT-compatible server.

Not here: the work (``deploy.sandbox_process``) and the server (``deploy.sandbox``).
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from deploy.sandbox_process import RunningSandbox

HELP = "Run an XNAT-compatible server for demonstrations, tests and command authors."

_DEFAULT_PORT = 8080
_ENGINES = {
    "docker": "the docker engine (images, in containers)",
    "process": "the process engine (this project's own commands, as local processes)",
}


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


def _show(server: RunningSandbox, *, as_json: bool, logins: tuple[str, ...] = ()) -> None:
    if as_json:
        document = {
            "running": True,
            "url": server.url,
            "pid": server.pid,
            "engine": server.engine,
            "dir": str(server.root),
            "netrc": str(server.netrc_path),
            "requests": str(server.requests_path),
            "complete": not server.is_incomplete,
        }
        click.echo(json.dumps(document))
        return
    click.echo(f"The sandbox answers at {server.url}")
    click.echo(f"  data      {server.root}")
    click.echo(f"  commands  run by {_ENGINES.get(server.engine, server.engine)}")
    click.echo(f"  user      admin; the password is in {server.netrc_path}")
    if logins:
        where = f"; made-up passwords are in {server.users_dir}"
        click.echo(f"  seeded    {', '.join(logins)}{where if server.users_dir.exists() else ''}")
    log = shlex.join(["winxnat", "sandbox", "log", "--dir", str(server.root)])
    click.echo(f"  requests  {server.requests_path}, or: {log}")
    click.echo(f"  to use it export XNAT_HOST={server.url} NETRC={server.netrc_path}")
    if server.is_incomplete:
        click.echo("  CAUTION   its seed is still being applied, or was cut off")


@sandbox.command()
@_dir_option
@click.option(
    "--port", type=click.IntRange(0, 65535), default=_DEFAULT_PORT, show_default=True,
    help="Port to listen on; 0 takes a free one.",
)  # fmt: skip
@click.option(
    "--host", default="127.0.0.1", show_default=True,
    help="Address of this machine to listen on; others than the default let other machines or "
    "containers in.",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(["auto", "docker", "process"]), default="auto",
    show_default=True, help="What runs commands; auto takes Docker when it answers.",
)  # fmt: skip
@click.option(
    "--seed", "seed_path", type=click.Path(path_type=Path),
    help="YAML file that describes what a new sandbox holds; see docs/sandbox.md.",
)  # fmt: skip
@_json_option
def start(  # noqa: PLR0913 - one argument for each option
    root: Path | None, port: int, host: str, engine: str, seed_path: Path | None, *, as_json: bool
) -> None:
    """Start the sandbox in the background."""
    from deploy import sandbox_process  # noqa: PLC0415 - keeps --help quick

    if any(find_spec(name) is None for name in ("uvicorn", "pydantic", "yaml")):
        raise click.ClickException(
            "The sandbox's libraries are not installed: pip install 'winxnat[sandbox]'"
        )
    folder = _folder(root)
    if seed_path is None:
        server = sandbox_process.start(folder, port=port, engine=engine, host=host)
        _show(server, as_json=as_json)
        return
    from deploy.seeding import start_seeded  # noqa: PLC0415 - keeps starting without one quick

    seeded = start_seeded(folder, seed_path, port=port, engine=engine, host=host)
    _show(seeded.server, as_json=as_json, logins=seeded.logins)


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
@click.option("--follow", "-f", is_flag=True, help="Go on with new lines until interrupted.")
@click.option(
    "--lines", "-n", type=click.IntRange(min=0), default=50, show_default=True,
    help="How many lines to begin with.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each request.")
def log(root: Path | None, lines: int, *, follow: bool, as_json: bool) -> None:
    """Print what was asked of the sandbox, and what it answered.

    One line for each request: time, user, method, address, status, bytes of the answer,
    milliseconds, and the sentence of a refusal. Also of a sandbox that has stopped.
    """
    from deploy import sandbox_log, sandbox_process  # noqa: PLC0415 - keeps --help quick

    path = _folder(root) / sandbox_process.REQUESTS_FILE_NAME
    if not path.exists() and not follow:
        raise click.UsageError(f"There is no log of requests at {path}: no sandbox ran there.")

    read = sandbox_log.follow if follow else sandbox_log.last_lines
    for line in read(path, lines):
        click.echo(json.dumps(sandbox_log.as_document(line)) if as_json else line)


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
        if not sys.stdin.isatty():
            raise click.UsageError(
                "Nobody can be asked here whether the sandbox may be deleted; say --yes."
            )
        click.confirm(f"Delete {folder} with all projects in it?", abort=True)
    sandbox_process.reset(folder)
    click.echo(f"Deleted {folder}.")
