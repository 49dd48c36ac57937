"""``winxnat release``: build a release, decide on it, publish, close, verify.

Not here: the subcommands themselves; each stands in a module of ``sharing``.
"""

from __future__ import annotations

import click

from xnat_client.cli.lazy_group import LazyGroup

HELP = "Build a release of a study, have it approved, publish, close and verify it."

_HERE = "xnat_client.cli.sharing"


@click.group(
    cls=LazyGroup,
    lazy={
        "build": (f"{_HERE}.build:build", "Make de-identified copies and their evidence."),
        "verify": (f"{_HERE}.build:verify", "Compare a release folder with its manifest, offline."),
        "diff": (f"{_HERE}.build:diff", "Show what two versions differ in."),
        "list": (f"{_HERE}.decide:list_releases", "List releases and their states."),
        "show": (f"{_HERE}.decide:show", "Show one release, its evidence and approvals."),
        "propose": (f"{_HERE}.decide:propose", "Ask the approvers for their decision."),
        "approve": (f"{_HERE}.decide:approve", "Approve a manifest, with your signature."),
        "reject": (f"{_HERE}.decide:reject", "Send a proposed release back."),
        "apply": (f"{_HERE}.apply:apply", "Publish what is approved, on its server."),
        "suspend": (f"{_HERE}.decide:suspend", "Close a release at once."),
        "resume": (f"{_HERE}.decide:resume", "Open a suspended release again."),
        "withdraw": (f"{_HERE}.decide:withdraw", "End a release for good; its number stays."),
        "key": (f"{_HERE}.keys:key", "Make your signing key."),
    },
    extra="release",
    help=HELP,
)
def release() -> None:
    """Group of the subcommands on releases."""
