"""The program of every image: arguments, exit codes, sentences."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import catalog
from commands.exit_codes import EXIT_CODES
from commands.version import distribution_version
from containers import entrypoint
from containers.contract import (
    BadInputError,
    ExitCode,
    OutOfResourcesError,
    Step,
    StepError,
    StepInput,
    StepReport,
    ToolFailedError,
    UnsafeOutputError,
    UsageError,
)

COMMAND = catalog.find("dicom-to-bids")
Program = Callable[[list[str]], "subprocess.Popen[str]"]

# A program of its own process: signals, resource limits and file descriptors are real there.
HARNESS = """
import resource, subprocess, sys, time
from pathlib import Path
from containers import entrypoint
from containers.contract import StepReport

def waits(step_input):
    (step_input.output_dir / "half").write_text("half")
    (step_input.scratch_dir / "half").write_text("half")
    print("ready", flush=True)
    time.sleep(600)

def waits_for_tool(step_input):
    print("ready", flush=True)
    subprocess.run(["sleep", "600"], check=True)

def fills(step_input):
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    (step_input.output_dir / "big").write_bytes(bytes(200_000))

def writes_to_full_device(step_input):
    with open("/dev/full", "wb", buffering=0) as stream:
        stream.write(b"x")

def takes_memory(step_input):
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    bytearray(4 << 30)

def done(step_input):
    return StepReport("All done.", warnings=("Look at scan 3.",))

step = globals()[sys.argv[1]]
sys.exit(entrypoint.run(sys.argv[2:], load=lambda name: step))
"""


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return an input folder with a file, an empty output folder and an empty temporary folder."""
    made = (tmp_path / "in", tmp_path / "out", tmp_path / "tmp")
    for folder in made:
        folder.mkdir()
    (made[0] / "Mustermann.dcm").write_bytes(b"x")
    return made


@pytest.fixture
def arguments(folders: tuple[Path, Path, Path]) -> list[str]:
    """Return the arguments of a call that fits."""
    return [COMMAND.name, str(folders[0]), str(folders[1])]


def harness(
    step: str, arguments: list[str], temporary_dir: Path, **options: str
) -> subprocess.Popen[str]:
    """Start the entry point with one of the steps above."""
    return subprocess.Popen(
        [sys.executable, "-c", HARNESS, step, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary_dir), **options},
    )


def raising(error: BaseException) -> Step:
    """Return a step that raises."""

    def step(step_input: StepInput) -> StepReport:
        (step_input.output_dir / "half").write_text("half", encoding="utf-8")
        raise error

    return step


def test_exit_codes_are_the_documented_ones() -> None:
    """The steps' exit codes and the documentation's table are the same numbers."""
    assert [int(code) for code in ExitCode] == [number for number, _ in EXIT_CODES]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StepError("text"), 1),
        (UsageError("text"), 2),
        (BadInputError("text"), 3),
        (UnsafeOutputError("text"), 4),
        (ToolFailedError("text"), 5),
        (OutOfResourcesError("text"), 6),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_of_a_step_is_quoted(
    arguments: list[str], capsys: pytest.CaptureFixture[str], error: StepError, code: int
) -> None:
    """An error of ours gives its own exit code and its own sentence."""
    exit_code = entrypoint.run(arguments, load=lambda _: raising(error))

    assert exit_code == code
    assert capsys.readouterr().err == f"{COMMAND.name} did not finish: text\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RuntimeError("Mustermann"), 1),
        (OSError(errno.EIO, "Mustermann"), 1),
        (FileNotFoundError(errno.ENOENT, "none", "Mustermann"), 1),
        (MemoryError("Mustermann"), 6),
        (OSError(errno.ENOSPC, "none", "Mustermann"), 6),
        (OSError(errno.EFBIG, "none", "Mustermann"), 6),
        (OSError(errno.EDQUOT, "none", "Mustermann"), 6),
        (OSError(errno.ENOMEM, "none", "Mustermann"), 6),
        (TimeoutError("Mustermann"), 6),
        (subprocess.TimeoutExpired(["tool", "Mustermann"], 5), 6),
    ],
    ids=lambda value: repr(value).replace("Mustermann", ""),
)
def test_other_errors_are_one_sentence_without_their_text(
    arguments: list[str],
    folders: tuple[Path, Path, Path],
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    code: int,
) -> None:
    """An error of others gives 1 or 6 and one line, which does not repeat what it said."""
    exit_code = entrypoint.run(arguments, load=lambda _: raising(error))

    printed = capsys.readouterr()
    assert exit_code == code
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert "Mustermann" not in printed.err
    assert list(folders[1].iterdir()) == []


def test_trace_is_shown_on_demand_only(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The debugging variable adds the trace to the sentence."""
    monkeypatch.setenv(entrypoint.DEBUG_VARIABLE, "1")

    entrypoint.run(arguments, load=lambda _: raising(RuntimeError("details")))

    printed = capsys.readouterr().err
    assert "Traceback" in printed
    assert "details" in printed


@pytest.mark.parametrize("step", ["fills", "writes_to_full_device", "takes_memory"])
def test_exhausted_resource_gives_6(
    arguments: list[str], folders: tuple[Path, Path, Path], step: str
) -> None:
    """A file limit, a full device and a memory limit met for real give 6 and leave nothing."""
    with harness(step, arguments, folders[2]) as program:
        _, printed = program.communicate()

    assert program.returncode == ExitCode.OUT_OF_RESOURCES
    assert len(printed.splitlines()) == 1
    assert [*folders[1].iterdir(), *folders[2].iterdir()] == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("step", ["waits", "waits_for_tool"])
def test_signal_ends_the_run_cleanly(
    arguments: list[str], folders: tuple[Path, Path, Path], step: str, number: signal.Signals
) -> None:
    """A stopped run gives 143, one sentence, and empty output and temporary folders."""
    with harness(step, arguments, folders[2]) as program:
        assert program.stdout is not None
        program.stdout.readline()
        time.sleep(0.05)
        program.send_signal(number)
        _, printed = program.communicate()

    assert program.returncode == 143
    assert len(printed.splitlines()) == 1
    assert [*folders[1].iterdir(), *folders[2].iterdir()] == []


def test_success_prints_summary_and_warnings_apart(
    arguments: list[str], folders: tuple[Path, Path, Path]
) -> None:
    """The summary goes to stdout, warnings to stderr."""
    with harness("done", arguments, folders[2]) as program:
        printed, complained = program.communicate()

    assert program.returncode == 0
    assert printed == "All done.\n"
    assert complained == "Warning: Look at scan 3.\n"


def test_full_log_does_not_undo_a_success(
    arguments: list[str], folders: tuple[Path, Path, Path]
) -> None:
    """When nothing more can be printed, results that are in place still count."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-c", HARNESS, "done", *arguments],
            stdout=full,
            stderr=full,
            check=False,
        )

    assert ended.returncode == 0
    assert (folders[1] / "report" / "report.json").is_file()


def test_values_reach_the_step_by_name_and_type(arguments: list[str]) -> None:
    """Each input of the definition is there: given values typed, the rest by default."""
    seen: list[StepInput] = []

    def step(step_input: StepInput) -> StepReport:
        seen.append(step_input)
        return StepReport("done")

    entrypoint.run([*arguments, "--subject-label=a b", "--allow-invalid"], load=lambda _: step)

    assert dict(seen[0].parameters) == {
        "subject-label": "a b",
        "session-label": None,
        "map": None,
        "allow-invalid": True,
    }


def test_missing_library_names_the_extra(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """A step whose libraries are absent says which extra to install."""

    def load(_name: str) -> Step:
        raise ModuleNotFoundError(name="dcm2niix")

    exit_code = entrypoint.run(arguments, load=load)

    assert exit_code == ExitCode.TOOL_FAILED
    assert "winxnat[dicom-to-bids]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        ([], 2, "usage: winxnat-step"),
        (["--help"], 0, COMMAND.name),
        (["-h"], 0, COMMAND.name),
        (["--version"], 0, distribution_version()),
        ([COMMAND.name, "--help"], 0, "--subject-label"),
        (["nothing"], 2, COMMAND.name),
        ([COMMAND.name], 2, "output_dir"),
        ([COMMAND.name, "/none/in", "/none/out"], 2, "/none/in"),
        ([COMMAND.name, "/in", "/out", "--wrong=1"], 2, "--wrong"),
    ],
)
def test_calls_without_a_run(argv: list[str], code: int, text: str) -> None:
    """The installed program answers help with 0 and wrong calls with 2."""
    ended = subprocess.run(
        [str(Path(sys.executable).with_name("winxnat-step")), *argv],
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == code
    assert text in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
