"""``winxnat run``: one command on a local folder; its options come from the definition."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import click

from commands import catalog
from commands.arguments import typed_value
from commands.authoring import file_mount
from commands.errors import UnknownCommandError
from commands.model import Command, CommandInput, CommandInputType
from containers.contract import (
    REPORT_DIR_NAME,
    REPORT_FILE_NAME,
    STOPPED_EXIT_CODE,
    ExitCode,
    ParameterValue,
    UsageError,
)
from containers.engine import EngineError
from containers.local import EngineKind, LocalRun, run_local

HELP = "Run a command on a local folder."

_Convert = Callable[[click.Context, click.Parameter, str | None], ParameterValue]


class _Commands(click.Group):
    """The commands of the catalogue as subcommands."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the catalogue's order."""
        del ctx
        return [command.name for command in catalog.commands()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the subcommand made from a definition; None if there is none."""
        del ctx
        try:
            return _click_command(catalog.find(cmd_name))
        except UnknownCommandError:
            return None


@click.group(cls=_Commands, help=HELP, invoke_without_command=True, subcommand_metavar="COMMAND")
@click.pass_context
def run(context: click.Context) -> None:
    """List the commands where none is named."""
    if context.invoked_subcommand is None:
        for command in catalog.commands():
            click.echo(f"{command.name:<20} {command.label or ''}")
        click.echo("Options of one: winxnat run COMMAND --help", err=True)


def _click_command(command: Command) -> click.Command:
    folder = click.Path(file_okay=False, path_type=Path)
    params: list[click.Parameter] = [
        click.Argument(["input_dir"], type=folder),
        click.Argument(["output_dir"], type=folder),
        *(_option(command, each) for each in command.inputs),
        click.Option(
            ["--engine"],
            type=click.Choice([each.value for each in EngineKind]),
            default=EngineKind.PROCESS.value,
            show_default=True,
            help="Run it as a process of this machine, or in its container image.",
        ),
        click.Option(["--json", "is_json"], is_flag=True, help="Print the outcome as JSON."),
    ]

    def callback(
        input_dir: Path, output_dir: Path, engine: str, *, is_json: bool, **options: ParameterValue
    ) -> None:
        names = {_variable(each): each.name for each in command.inputs}
        values = {names[key]: value for key, value in options.items()}
        outcome = _run(command, (input_dir, output_dir), values, EngineKind(engine))
        _show(outcome, output_dir, is_json=is_json)
        sys.exit(outcome.exit_code)

    return click.Command(
        command.name,
        params=params,
        callback=callback,
        help=command.description,
        short_help=command.label,
    )


def _option(command: Command, each: CommandInput) -> click.Option:
    described = each.description or each.label or ""
    if each.default_value:
        described = f"{described}  [default: {each.default_value}]"
    required = each.required and not each.default_value
    if each.type is CommandInputType.BOOLEAN:
        switch = f"--{each.name}/--no-{each.name}"
        return click.Option(
            [switch, _variable(each)], default=None, required=required, help=described
        )
    return click.Option(
        [f"--{each.name}", _variable(each)],
        callback=_converter(each),
        metavar="FILE" if file_mount(command, each.name) else each.type.value.upper(),
        required=required,
        help=described,
    )


def _converter(each: CommandInput) -> _Convert:
    def convert(
        context: click.Context, option: click.Parameter, text: str | None
    ) -> ParameterValue:
        try:
            return typed_value(each, text) if text else None
        except ValueError as error:
            raise click.BadParameter(str(error), context, option) from None

    return convert


def _variable(each: CommandInput) -> str:
    """Return a Python name that no other parameter of the subcommand has."""
    return f"input_{each.name.replace('-', '_')}".lower()


def _run(
    command: Command,
    folders: tuple[Path, Path],
    values: dict[str, ParameterValue],
    engine: EngineKind,
) -> LocalRun:
    # A scheduler that ends this program must not leave the container running.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return run_local(
            command, folders, values, engine, lambda text: click.echo(text, err=True, nl=False)
        )
    except UsageError as error:
        return _not_run(ExitCode.WRONG_USAGE, str(error))
    except EngineError as error:
        return _not_run(ExitCode.TOOL_FAILED, str(error))
    except KeyboardInterrupt:
        return _not_run(STOPPED_EXIT_CODE, f"{command.name} was stopped; nothing was written.")


def _not_run(exit_code: int, sentence: str) -> LocalRun:
    click.echo(f"Error: {sentence}", err=True)
    return LocalRun(exit_code, "", sentence)


def _whereabouts(output_dir: Path) -> str:
    """Return where the results are, and what to read first."""
    report_dir = output_dir / REPORT_DIR_NAME
    pages = [path for path in (report_dir / "report.html", report_dir / REPORT_FILE_NAME)
             if path.is_file()]  # fmt: skip
    return f"Results are in {output_dir}" + (f"; read {pages[0]}" if pages else ".")


def _show(outcome: LocalRun, output_dir: Path, *, is_json: bool) -> None:
    if not is_json:
        if outcome.summary:
            # A step that sums up has written a report, also where it hands nothing on.
            click.echo(outcome.summary)
            click.echo(_whereabouts(output_dir), err=True)
        return
    report = None
    if outcome.exit_code == ExitCode.DONE:
        path = output_dir / REPORT_DIR_NAME / REPORT_FILE_NAME
        report = json.loads(path.read_text(encoding="utf-8"))
    document = {
        "exit_code": outcome.exit_code,
        "summary": outcome.summary,
        "messages": outcome.messages,
        "not_honoured": list(outcome.ignored),
        "report": report,
    }
    click.echo(json.dumps(document, indent=2, ensure_ascii=False))
