"""Running one step on two folders, as a process of its own, and reading what it reports.

The program is ``winxnat run``, with its process or Docker engine; nothing of the caller's
credentials reaches it, and when the caller dies it is ended too. Not here: which steps, in which
order (``session_work``).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

EXIT_DONE = 0
EXIT_BAD_INPUT = 3
EXIT_UNSAFE = 4
_PR_SET_PDEATHSIG = 1
_PROGRAM = f"""
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, signal.SIGTERM)
if os.getppid() != int(sys.argv.pop(1)):
    sys.exit("the program that started this step is gone")
from xnat_client.cli.main import main
sys.exit(main())
"""
"""``winxnat``, which the kernel ends when the program that started it dies, however it dies."""
_KEPT_VARIABLES = (
    "PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "PYTHONPATH", "LD_LIBRARY_PATH", "DOCKER_HOST",
    "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "SYSTEMROOT",
)  # fmt: skip
_LONGEST_S = 6 * 3600


@dataclass(frozen=True, slots=True)
class StepRun:
    """How a step ended.

    Attributes
    ----------
    report : mapping
        Its report file; empty where it left none.
    said : str
        Its last sentence; a step names no identity, but the caller searches it all the same.
    """

    exit_code: int
    said: str
    report: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def is_done(self) -> bool:
        """Tell whether a result is there."""
        return self.exit_code == EXIT_DONE

    @property
    def version(self) -> str:
        """Return name and version of the step, for evidence."""
        return f"{self.report.get('command', '')} {self.report.get('version', '')}".strip()

    def accounted(self) -> Sequence[Mapping[str, Any]]:
        """Return the report's rows on what went in: subject, outcome, reason, outputs."""
        rows: Sequence[Mapping[str, Any]] = self.report.get("accounted", ())
        return rows


def run_step(
    command: str,
    folders: tuple[Path, Path],
    options: Mapping[str, str],
    scratch_dir: Path,
    engine: str = "process",
) -> StepRun:
    """Run a command of the catalogue from one folder into another and wait for its end.

    Parameters
    ----------
    options : mapping
        By input name; values are new labels, paths and choices, never an identity, because other
        users of the machine can see them.
    scratch_dir : Path
        For temporary files; part of the quarantine, so that they go with it.
    """
    input_dir, output_dir = folders
    given = [f"--{name}={value}" for name, value in sorted(options.items())]
    words = ["run", command, str(input_dir), str(output_dir), f"--engine={engine}", *given]
    scratch_dir.mkdir(parents=True, exist_ok=True)
    try:
        ended = run_program(words, {"TMPDIR": str(scratch_dir)})
    except subprocess.TimeoutExpired:
        return StepRun(5, f"{command} did not end within {_LONGEST_S // 3600} hours.")
    report_path = output_dir / "report" / "report.json"
    report = json.loads(report_path.read_text(encoding="utf-8")) if report_path.is_file() else {}
    said = str(report.get("summary") or _last_line(ended.stderr) or _last_line(ended.stdout))
    return StepRun(ended.returncode, said, report)


def run_program(
    words: Sequence[str], variables: Mapping[str, str] = MappingProxyType({})
) -> subprocess.CompletedProcess[bytes]:
    """Run ``winxnat`` with these arguments as a process of its own and wait for its end.

    Parameters
    ----------
    variables : mapping of str to str
        Of the environment, beside the few that are handed on.

    Raises
    ------
    subprocess.TimeoutExpired
        It did not end within six hours; it was killed.
    """
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, str(os.getpid()), *words],
        env={**environment, **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_LONGEST_S,
        check=False,
    )


def _last_line(output: bytes) -> str:
    lines = [line for line in output.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else ""
