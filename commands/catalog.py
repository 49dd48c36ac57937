"""The ordered list of all commands of this project; the only place that names them all."""

from __future__ import annotations

from commands import (
    bids_assemble,
    check_identity,
    deface,
    dicom_to_bids,
    eeg_to_bids,
    mriqc,
    scrub_headers,
    winqc,
)
from commands.errors import UnknownCommandError
from commands.model import Command

CATALOG: tuple[Command, ...] = (
    dicom_to_bids.COMMAND,
    eeg_to_bids.COMMAND,
    scrub_headers.COMMAND,
    check_identity.COMMAND,
    deface.COMMAND,
    bids_assemble.COMMAND,
    winqc.COMMAND,
    mriqc.COMMAND,
)
"""All commands, in the order in which they are listed to people."""


def commands() -> tuple[Command, ...]:
    """Return all commands of this project, in the order in which they are listed to people."""
    return CATALOG


def find(name: str) -> Command:
    """Return the command of that name.

    Raises
    ------
    UnknownCommandError
        The catalogue has no such command; its text lists those that it has.
    """
    for command in CATALOG:
        if command.name == name:
            return command
    raise UnknownCommandError(name, (command.name for command in CATALOG))
