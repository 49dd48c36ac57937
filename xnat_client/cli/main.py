"""The program ``winxnat``: collects its subcommands from entry points and ends with one number.

Each package offers subcommands under the entry point group ``winxnat.subcommands``; a module's
``HELP`` is its line in the overview and is read from the source, so that asking for help imports
none of them. Not here: any subcommand.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

import click
from click.shell_completion import CompletionItem

from xnat_client.cli.server_options import print_json
from xnat_client.errors import (
    EXIT_BAD_INPUT,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_OUR_FAULT,
    EXIT_WRONG_USAGE,
    XnatClientError,
)

GROUP = "winxnat.subcommands"


class _Subcommands(click.Group):
    """A group whose commands are imported when they are called, not when they are listed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return sorted({point.name for point in entry_points(group=GROUP)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        point = _entry_point(cmd_name)
        if point is None:
            return None
        try:
            command = point.load()
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"'{cmd_name}' needs the Python module {error.name}, which is not installed. "
                "Install the part of winxnat that holds it, for example: "
                'pip install "winxnat[demo]"'
            ) from error
        if not isinstance(command, click.Command):
            raise TypeError(f"{point.value} is not a click command")
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return names with their help, without importing a single subcommand."""
        names = [name for name in self.list_commands(ctx) if name.startswith(incomplete)]
        if not names:
            return click.Command.shell_complete(self, ctx, incomplete)
        return [CompletionItem(name, help=_help_line(name)) for name in names]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _help_line(name)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def _entry_point(name: str) -> EntryPoint | None:
    return next(iter(entry_points(group=GROUP, name=name)), None)


def _help_line(name: str) -> str:
    """Return ``HELP`` of a subcommand's module without running the module."""
    point = _entry_point(name)
    try:
        spec = importlib.util.find_spec(point.module) if point else None
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        return "(not installed)"
    for node in ast.parse(Path(spec.origin).read_bytes()).body:
        names = [target.id for target in _targets(node) if isinstance(target, ast.Name)]
        value = getattr(node, "value", None)
        if "HELP" in names and isinstance(value, ast.Constant):
            return str(value.value)
    return ""


def _targets(node: ast.stmt) -> list[ast.expr]:
    if isinstance(node, ast.Assign):
        return node.targets
    return [node.target] if isinstance(node, ast.AnnAssign) else []


@click.command(
    cls=_Subcommands,
    name="winxnat",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 our fault, 2 wrong usage, 3 bad input, 4 unsafe output, "
    "5 a server or tool failed, 6 out of resources, 130 interrupted.",
)
@click.version_option(package_name="winxnat")
def winxnat() -> None:
    """Share brain data from XNAT responsibly."""


def main() -> None:
    """Run the command line; every expected trouble becomes one sentence and an exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command line on these arguments and return the exit code."""
    try:
        return _run(arguments)
    except BrokenPipeError:
        # Who reads our output has gone; Python would complain once more while shutting down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_OUR_FAULT


def _run(arguments: list[str]) -> int:
    try:
        result = winxnat.main(args=arguments, prog_name="winxnat", standalone_mode=False)
    except BrokenPipeError:
        raise
    except click.ClickException as error:
        error.show()
        code = int(error.exit_code) or EXIT_WRONG_USAGE
        return _for_machines(arguments, error.format_message(), code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return _for_machines(arguments, "Interrupted.", EXIT_INTERRUPTED)
    except Exception as error:  # the last line of defence: no stack trace for users
        if os.environ.get("WINXNAT_DEBUG"):
            raise
        message, code = _told(error)
        click.echo(message, err=True)
        document = error.document if isinstance(error, XnatClientError) else {}
        return _for_machines(arguments, message, code, document)
    return result if isinstance(result, int) else EXIT_DONE


def _told(error: Exception) -> tuple[str, int]:
    """Return the sentences for an error that reached the program, and its exit code."""
    code = getattr(error, "exit_code", None)
    if isinstance(code, int):
        return str(error), code
    if isinstance(error, OSError) and error.strerror:
        # Not which one: names of files can be names of people.
        sentence = (
            f"A file or folder could not be read or written: {error.strerror}. Check that it is "
            "there, that you may read and write it, and that the disk is not full."
        )
        return sentence, EXIT_BAD_INPUT
    if isinstance(error, UnicodeEncodeError):
        sentence = (
            "A name or value that was given is no UTF-8 text, so it cannot be sent or kept. Write "
            "it in UTF-8, or rename what has that name."
        )
        return sentence, EXIT_WRONG_USAGE
    # The text of an unforeseen error may quote data, so only its kind is shown.
    sentence = (
        f"winxnat met something it was not made for ({type(error).__name__}). Run it again with "
        "WINXNAT_DEBUG=1 to see where, and report it without any personal data."
    )
    return sentence, EXIT_OUR_FAULT


def _for_machines(
    arguments: list[str],
    message: str,
    code: int,
    document: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Print an error for who asked for JSON, beside the sentence on stderr; return its code."""
    if "--json" in arguments:
        error = {"message": message, "exit_code": code}
        print_json({**document, "error": error})
    return code
