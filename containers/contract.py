"""What a step is: two folders and parameters in, a report out, one exit code.

A step knows nothing of XNAT. It reads ``input_dir`` (never writes there), writes
``output_dir``, needs no network and no credentials. Not here: how a step is started
(``entrypoint``, ``local``, ``engine``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from types import MappingProxyType

ParameterValue = str | bool | float | tuple[str, ...] | None

REPORT_DIR_NAME = "report"
REPORT_FILE_NAME = "report.json"
PARTIAL_DIR_NAME = ".partial"
"""Work in progress below the output folder; renamed into place, or removed, at the end."""


class ExitCode(IntEnum):
    """Exit codes of ``winxnat-step``, ``winxnat run`` and every image."""

    DONE = 0
    OUR_FAULT = 1
    WRONG_USAGE = 2
    BAD_INPUT = 3
    UNSAFE_OUTPUT = 4
    TOOL_FAILED = 5
    OUT_OF_RESOURCES = 6


STOPPED_EXIT_CODE = 143
"""After SIGTERM or an interrupt, as shells have it (128 + 15); the output folder is as before."""


class StepError(Exception):
    """A step cannot finish; the message is for people and never holds an identity.

    Tree (each class is one reaction of the caller)::

        StepError                 1  report it to us
        ├── UsageError            2  call it differently
        ├── BadInputError         3  mend the input
        ├── UnsafeOutputError     4  a person must look; nothing was handed on
        ├── ToolFailedError       5  read the tool's log
        └── OutOfResourcesError   6  give it more memory, disk or time
    """

    exit_code = ExitCode.OUR_FAULT


class UsageError(StepError):
    """The parameters or folders of the call are wrong."""

    exit_code = ExitCode.WRONG_USAGE


class BadInputError(StepError):
    """The input is not what the step works on."""

    exit_code = ExitCode.BAD_INPUT


class UnsafeOutputError(StepError):
    """An identity or a face may remain in the output, so it is withheld."""

    exit_code = ExitCode.UNSAFE_OUTPUT


class ToolFailedError(StepError):
    """A program that the step relies on ended with a failure."""

    exit_code = ExitCode.TOOL_FAILED


class OutOfResourcesError(StepError):
    """Memory, disk or time ran out."""

    exit_code = ExitCode.OUT_OF_RESOURCES


@dataclass(frozen=True, slots=True)
class StepInput:
    """Everything a step is given.

    Parameters
    ----------
    command : str
        Name of the command, as in the catalogue.
    input_dir : Path
        Read-only.
    output_dir : Path
        An empty staging folder. The entry point moves its content into place after success
        and removes it otherwise, so a step cannot leave half a result.
    scratch_dir : Path
        Temporary folder, removed afterwards.
    parameters : Mapping[str, ParameterValue]
        One value for each command input, by input name; None where absent.
    """

    command: str
    input_dir: Path
    output_dir: Path
    scratch_dir: Path
    parameters: Mapping[str, ParameterValue] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Accounted:
    """One thing that went in, and what became of it.

    ``subject`` names it without identity (scan id, relative path); ``outcome`` is one of
    ``done``, ``left-out``, ``failed``; ``reason`` is a sentence for people, empty for done.
    """

    subject: str
    outcome: str
    reason: str = ""
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StepReport:
    """What a step says of its run; the entry point adds checksums, times and versions.

    ``exit_code`` other than done is for a step whose result is a verdict: the report is handed
    on, and the run still says that the verdict is bad.
    """

    summary: str
    accounted: tuple[Accounted, ...] = ()
    warnings: tuple[str, ...] = ()
    tools: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    facts: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    exit_code: ExitCode = ExitCode.DONE


Step = Callable[[StepInput], StepReport]

_READS = "reads_only"


def reads_only(*folder_names: str) -> Callable[[Step], Step]:
    """Say that a step reads only files below folders of these names, at any depth.

    For steps on whole projects: the checksum of their input then leaves out what they never
    open, which may be terabytes of images, and what lies there cannot stop them.
    """

    def mark(step: Step) -> Step:
        setattr(step, _READS, frozenset(folder_names))
        return step

    return mark


def read_folders(step: Step) -> frozenset[str] | None:
    """Return the names of the folders that a step reads; None if it reads everything."""
    found: frozenset[str] | None = getattr(step, _READS, None)
    return found
