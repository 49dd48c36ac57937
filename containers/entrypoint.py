"""The program of every image: ``winxnat-step COMMAND INPUT OUTPUT`` runs one step.

From arguments to exit code; the definition of the command is the grammar. Not here: what
happens to the folders (``step_run``), or starting containers (``local``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import NoReturn

from commands import arguments, catalog
from commands.errors import ArgumentsError, UnknownCommandError
from commands.model import Command
from commands.version import distribution_version
from containers.contract import (
    STOPPED_EXIT_CODE,
    ExitCode,
    Step,
    StepError,
    StepReport,
    ToolFailedError,
)
from containers.step_run import StoppedError, run_step
from containers.steps import load_step

DEBUG_VARIABLE = "WINXNAT_DEBUG"
"""Set to anything, it shows the trace of an unexpected error; a trace may hold identities."""

_EXHAUSTED = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "a file would grow beyond the size allowed",
    errno.ENOMEM: "the memory is used up",
    errno.ETIMEDOUT: "the time is over",
    errno.EMFILE: "too many files are open",
    errno.ENFILE: "too many files are open",
}


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Run ``winxnat-step`` and leave with its exit code."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str], load: Callable[[str], Step] = load_step) -> int:
    """Run the program with these arguments and return its exit code.

    SIGTERM and SIGINT end a run cleanly; they give `STOPPED_EXIT_CODE`.

    Parameters
    ----------
    load : callable
        Gives the step of a command's name.
    """
    if not argv or argv[0] in {"-h", "--help"}:
        _tell(_usage())
        return ExitCode.DONE if argv else ExitCode.WRONG_USAGE
    if argv[0] == "--version":
        _tell(distribution_version())
        return ExitCode.DONE
    try:
        command = catalog.find(argv[0])
        parsed = arguments.parse(command, argv[1:])
    except (UnknownCommandError, ArgumentsError) as error:
        _complain(str(error))
        return ExitCode.WRONG_USAGE
    except SystemExit:
        # argparse leaves so after it has printed the help text.
        return ExitCode.DONE
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    return finish(command, lambda: _run(command, parsed, load))


def finish(command: Command, action: Callable[[], StepReport]) -> int:
    """Run an action to its end; return the exit code that stands for it.

    Every error becomes one sentence on stderr. Only errors of our own are quoted: the text of
    another may hold what a file holds.
    """
    try:
        report = action()
    except (Exception, StoppedError) as error:  # noqa: BLE001 - each becomes one sentence
        if os.environ.get(DEBUG_VARIABLE):
            _complain("".join(traceback.format_exception(error)))
        exit_code, sentence = _explained(error)
        _complain(f"{command.name} did not finish: {sentence}")
        return exit_code
    # The results are in place: a full or closed log does not undo them.
    with contextlib.suppress(OSError):
        for warning in report.warnings:
            _complain(f"Warning: {warning}")
        _tell(report.summary)
    return report.exit_code


def _explained(error: BaseException) -> tuple[int, str]:
    """Return exit code and sentence for an error."""
    if isinstance(error, StepError):
        return error.exit_code, str(error)
    if isinstance(error, StoppedError):
        return STOPPED_EXIT_CODE, "it was stopped from outside. Run it again."
    exhausted = None
    if isinstance(error, MemoryError):
        exhausted = _EXHAUSTED[errno.ENOMEM]
    elif isinstance(error, subprocess.TimeoutExpired | TimeoutError):
        exhausted = _EXHAUSTED[errno.ETIMEDOUT]
    elif isinstance(error, OSError):
        exhausted = _EXHAUSTED.get(error.errno or 0)
    if exhausted:
        return ExitCode.OUT_OF_RESOURCES, (
            f"{exhausted}. Give it more, or less to do; nothing was written to the output folder."
        )
    return ExitCode.OUR_FAULT, (
        f"a fault of the program ({type(error).__name__}); nothing was written to the output "
        f"folder. Report it, with what {DEBUG_VARIABLE}=1 shows, after a look for names in it."
    )


def _run(
    command: Command, parsed: arguments.ParsedArguments, load: Callable[[str], Step]
) -> StepReport:
    try:
        step = load(command.name)
    except ImportError as error:
        raise ToolFailedError(
            f"The libraries of {command.name} are not installed here ({error.name} is missing). "
            f"Install them (pip install 'winxnat[{command.name}]', in a checkout "
            f"'.[{command.name}]'), or run the image {command.image} (--engine docker)."
        ) from error
    return run_step(command, step, parsed.input_dir, parsed.output_dir, parsed.values)


def _stop(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: a second signal must not break into the cleaning up after the first.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise StoppedError


def _usage() -> str:
    listed = "\n".join(
        f"  {each.name:<20} {each.label or each.description or ''}" for each in catalog.commands()
    )
    return (
        f"usage: {arguments.PROGRAM} COMMAND INPUT_DIR OUTPUT_DIR [--OPTION=VALUE ...]\n\n"
        f"commands:\n{listed}\n\n"
        f"{arguments.PROGRAM} COMMAND --help shows the options of a command."
    )


def _tell(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - this program's result


def _complain(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - this program's messages


if __name__ == "__main__":
    main()
