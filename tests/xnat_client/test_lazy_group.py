"""Subcommands whose libraries are not installed: one sentence says what to install."""

from __future__ import annotations

import subprocess
import sys

import pytest

_BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocked())
from xnat_client.cli.main import run
sys.exit(run({arguments!r}))
"""


def blocked(module: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    """Run the command line in an interpreter that has no such module."""
    code = _BLOCKED.format(blocked={module}, arguments=arguments)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (["share", "check", "P", "--level", "open"], "sqlalchemy", "sharing"),
        (["release", "list"], "transitions", "release"),
    ],
)
def test_a_missing_library_ends_in_one_sentence(
    arguments: list[str], module: str, extra: str
) -> None:
    """It names the module and the extra that brings it; no stack, and not our fault's code."""
    done = blocked(module, arguments)

    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"needs the Python module {module}" in done.stderr
    assert f'pip install "winxnat[{extra}]"' in done.stderr


def test_help_of_the_group_needs_no_library() -> None:
    """The overview is written without importing a subcommand."""
    done = blocked("sqlalchemy", ["share", "--help"])

    assert done.returncode == 0
    assert "withdraw" in done.stdout
