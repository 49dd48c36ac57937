"""Shell completion: what the shells themselves make of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """#!/bin/sh
exec {python} -X importtime -c 'from xnat_client.cli.main import main; main()' "$@"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for PATH with a program winxnat that tells on stderr what it imports."""
    program = tmp_path / "winxnat"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(0o755)
    return tmp_path


def _bash(folder: Path, line: str) -> tuple[list[str], str]:
    """Return what bash offers after a line, and what was said on stderr."""
    if shutil.which("bash") is None:
        pytest.skip("bash is not here")
    words = line.split(" ")
    script = (
        'source <(winxnat completion bash 2>/dev/null) && COMP_WORDS=("$@") && '
        f"COMP_CWORD={len(words) - 1} && _winxnat_completion winxnat && "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
        cwd=folder, env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
    )  # fmt: skip
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("winxnat dow", ["download"]),
        ("winxnat search se", ["sessions"]),
        ("winxnat upload --via d", ["dicom"]),
        ("winxnat jobs re", ["retry"]),
        ("winxnat launch --max", ["--max-running"]),
    ],
)
def test_bash_completes(folder: Path, line: str, expected: list[str]) -> None:
    """Subcommands, their arguments, options and choices are completed."""
    assert _bash(folder, line)[0] == expected


def test_listing_commands_imports_none_of_them(folder: Path) -> None:
    """The names of all commands are offered without importing one, so that it is quick."""
    offered, said = _bash(folder, "winxnat ")

    assert {"upload", "search", "completion", "site"} <= set(offered)
    imported = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert "xnat_client.cli.main" in imported
    assert not {one for one in imported if one.startswith(("xnat_client.upload", "pydicom"))}
    assert "xnat_client.cli.upload" not in imported


@pytest.mark.parametrize(("shell", "word"), [("zsh", "#compdef winxnat"), ("fish", "complete")])
def test_other_shells_get_their_own(folder: Path, shell: str, word: str) -> None:
    """What is printed is click's script for that shell, for this program."""
    done = subprocess.run(
        [folder / "winxnat", "completion", shell], capture_output=True, text=True, check=True
    )

    assert word in done.stdout
    assert f"_WINXNAT_COMPLETE={shell}_complete" in done.stdout
