"""``winxnat deface``: people's review of defaced images.

Not here: defacing (``winxnat run deface``), the subcommands themselves.
"""

from __future__ import annotations

import click

from xnat_client.cli.lazy_group import LazyGroup

HELP = "Review defaced images: a page for many runs, and the decisions into the records."


@click.group(
    cls=LazyGroup,
    lazy={
        "review": (
            "xnat_client.cli.deface_review:review",
            "Make one page of many reports, to accept or reject each image.",
        ),
        "decisions": (
            "xnat_client.cli.sharing.faces:decisions",
            "Record the decisions of a review; a rejected image blocks its release.",
        ),
    },
    extra="release",
    help=HELP,
)
def deface() -> None:
    """Group of the subcommands on defaced images."""
