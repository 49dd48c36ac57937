"""The documented exit codes."""

from __future__ import annotations

from commands.exit_codes import EXIT_CODES
from containers.contract import ExitCode


def test_documented_codes_are_those_of_the_steps():
    """Every exit code that a step can end with is documented, and no other."""
    assert [code for code, _ in EXIT_CODES] == sorted(ExitCode)
