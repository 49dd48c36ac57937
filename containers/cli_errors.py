"""How the command lines of the steps end with an error: a sentence and an exit code.

Raised and not printed, so that the program shows it in the one place where all of its errors are
shown, for people and, with ``--json``, for machines.
"""

from __future__ import annotations

import click


class CommandError(click.ClickException):
    """An error of ours that ends a command.

    Parameters
    ----------
    message : str
        A sentence for people, without an identity.
    exit_code : int
        See `containers.contract.ExitCode`.
    """

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click reads it of each error
