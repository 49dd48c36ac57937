"""``winxnat share link``: the state of link tables, and what their custodian does with them.

Not here: the tables (``xnat_client.sharing.link_table``).
"""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
import sqlalchemy as sa

from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.errors import UsageError
from xnat_client.sharing.database.tables import Participant, Release
from xnat_client.sharing.link_table import LinkTable, read_header


@click.group(help="Link tables: seal, open, destroy, look up. The custodian acts.")
def link() -> None:
    """Run ``winxnat share link``."""


@link.command("list", help="List the link tables and their states.")
@reading
def list_tables(work: Records) -> None:
    """Run ``winxnat share link list``."""
    families = sorted(path.stem for path in work.home.link_tables_dir.glob("*.links"))
    found = [read_header(work.home, family) for family in families]
    rows = [
        (one.family, one.state.value, f"destroy {one.destroy_on}" if one.destroy_on else "kept")
        for one in found
    ]
    work.show({"tables": [asdict(one) for one in found]}, table(rows, "no link tables yet"))


@link.command("seal", help="End the building: from now on the custodian alone reads.")
@click.argument("family")
@acting
def seal(work: Acting, *, family: str) -> None:
    """Run ``winxnat share link seal``."""
    with work.transaction() as (session, now):
        LinkTable.open(work.home, family).seal(session, work.actor, now=now)
    work.show({"family": family, "state": "sealed"}, f"the link table of {family} is sealed")


@link.command("unseal", help="Open a sealed table for another version of the family.")
@click.argument("family")
@acting
def unseal(work: Acting, *, family: str) -> None:
    """Run ``winxnat share link unseal``."""
    with work.transaction() as (session, now):
        LinkTable.open(work.home, family).unseal(session, work.actor, now=now)
    work.show({"family": family, "state": "open"}, f"the link table of {family} is open")


@link.command(
    "destroy",
    help="""Destroy a table and its key: nobody can tell any more whom a label belongs to.

It cannot be undone. The service does it by itself on the declared day.""",
)
@click.argument("family")
@click.option("--yes", is_flag=True, help="Do not ask.")
@acting
def destroy(work: Acting, *, family: str, yes: bool) -> None:
    """Run ``winxnat share link destroy``."""
    if not yes and not sys.stdin.isatty():
        raise UsageError("Destroying a link table cannot be undone; say --yes if you mean it.")
    if not yes:
        click.confirm(f"Destroy the link table of {family} for ever?", abort=True, err=True)
    with work.transaction() as (session, now):
        LinkTable.open(work.home, family).destroy(session, work.actor, now=now)
    work.show({"family": family, "state": "destroyed"}, f"the link table of {family} is destroyed")


@link.command("labels", help="Look up the release labels of a participant, by number.")
@click.argument("family")
@click.argument("participant", type=int)
@acting
def labels(work: Acting, *, family: str, participant: int) -> None:
    """Run ``winxnat share link labels``."""
    with work.transaction() as (session, now):
        row = session.get(Participant, participant)
        if row is None:
            raise UsageError(f"The records know no participant {participant}.")
        found = LinkTable.open(work.home, family).lookup(
            session, work.actor, row.source_label, participant, now=now
        )
    # The sessions' source labels stay inside: the release labels are enough for every duty.
    released = sorted(set(found.values()))
    document = {"participant": participant, "labels": released}
    work.show(document, "\n".join(released) or f"participant {participant} is not in {family}")


@link.command("participant", help="Look up whose label it is; gives the participant's number.")
@click.argument("family")
@click.argument("label")
@acting
def participant_of_label(work: Acting, *, family: str, label: str) -> None:
    """Run ``winxnat share link participant``."""
    with work.transaction() as (session, now):
        source, _ = LinkTable.open(work.home, family).source_of(session, work.actor, label, now=now)
        of_family = sa.select(Release.study_pk).where(Release.family == family)
        query = sa.select(Participant.participant_pk).where(
            Participant.source_label == source, Participant.study_pk.in_(of_family)
        )
        numbers = sorted(session.scalars(query))
    document = {"label": label, "participants": numbers}
    work.show(document, ", ".join(f"participant {number}" for number in numbers))
