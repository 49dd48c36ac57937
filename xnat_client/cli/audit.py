"""``winxnat audit``: verify the log, sign its head, ask it questions.

Not here: the subcommands themselves; they stand in ``sharing.auditing``.
"""

from __future__ import annotations

import click

from xnat_client.cli.lazy_group import LazyGroup

HELP = "Verify the audit log, sign its head, ask who could read what, when and why."

_HERE = "xnat_client.cli.sharing.auditing"


@click.group(
    cls=LazyGroup,
    lazy={
        "verify": (f"{_HERE}:verify", "Recompute the chain and say where it breaks."),
        "checkpoint": (f"{_HERE}:checkpoint", "Sign the head of the log, for a place elsewhere."),
        "show": (f"{_HERE}:show", "List entries."),
        "readers": (f"{_HERE}:readers", "Who could read what, when, and why."),
    },
    extra="sharing",
    help=HELP,
)
def audit() -> None:
    """Group of the subcommands on the audit log."""
