"""``winxnat share grant``: permissions of single people, from request to revocation.

Not here: the rules (``sharing.machines.grant_machine``), agreements (``agreements``).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import click
import sqlalchemy as sa

from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.cli.sharing.findings import refusals
from xnat_client.cli.sharing.naming import grant_numbered, release_named
from xnat_client.sharing import grants
from xnat_client.sharing.database.tables import Grant
from xnat_client.sharing.grants import Ending, NewGrant
from xnat_client.sharing.machines.grant_machine import GrantEvent
from xnat_client.sharing.vocabulary import Level

_ENDINGS = {one.name.lower(): one for one in Ending}
_LEVELS = sorted(level.word for level in grants.GRANTED_LEVELS)
_until = click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Last day of access (UTC), within a year; a year from now if nothing is said.",
)


@click.group(
    help="""Permissions of single people to read a family of releases.

A person asks, accepts the agreement (winxnat share agreement accept) and then 'accept's the grant;
the steward approves requests of outsiders, the lead those of people named one by one. Where a
consent form demands it, the lead endorses the purpose first. Access ends by itself on the last
day; anybody of the named roles, or the person, ends it at once with 'revoke'."""
)
def grant() -> None:
    """Group of the subcommands on grants."""


@grant.command("request")
@click.argument("family")
@click.option("--level", "word", type=click.Choice(_LEVELS), default="external", show_default=True)
@click.option("--for", "for_person", help="Who is to read, if not the person who acts.")
@click.option("--purpose", required=True, help="What the data are wanted for.")
@acting
def request(
    records: Acting, *, family: str, word: str, for_person: str | None, purpose: str
) -> None:
    """Ask to read the releases of FAMILY."""
    person = for_person or records.actor.person_id
    asked = NewGrant(person, family, Level.from_word(word), purpose)
    with refusals(as_json=records.as_json), records.transaction() as (session, now):
        document = _document(grants.request(session, records.actor, asked, now=now))
    records.show(document, _sentence(document))


def _fire(records: Acting, number: int, event: GrantEvent, **details: Any) -> None:
    with refusals(as_json=records.as_json), records.transaction() as (session, now):
        row = grant_numbered(session, number)
        row = grants.fire(session, records.actor, row, event, now=now, **details)
        document = _document(row)
    records.show(document, _sentence(document))


@grant.command("accept")
@click.argument("number", type=int)
@acting
def accept(records: Acting, *, number: int) -> None:
    """Tie your acceptance of the agreement to grant NUMBER."""
    _fire(records, number, GrantEvent.ACCEPT)


@grant.command("endorse")
@click.argument("number", type=int)
@acting
def endorse(records: Acting, *, number: int) -> None:
    """Agree, as lead, to the purpose of grant NUMBER."""
    _fire(records, number, GrantEvent.ENDORSE)


@grant.command("approve")
@click.argument("number", type=int)
@_until
@acting
def approve(records: Acting, *, number: int, until: datetime | None) -> None:
    """Approve grant NUMBER; access begins when a release is published."""
    _fire(records, number, GrantEvent.APPROVE, ends_at=_end_of(until))


@grant.command("refuse")
@click.argument("number", type=int)
@acting
def refuse(records: Acting, *, number: int) -> None:
    """Refuse grant NUMBER."""
    _fire(records, number, GrantEvent.REFUSE)


@grant.command("suspend")
@click.argument("number", type=int)
@acting
def suspend(records: Acting, *, number: int) -> None:
    """Close the access of grant NUMBER until it is renewed."""
    _fire(records, number, GrantEvent.SUSPEND)


@grant.command("renew")
@click.argument("number", type=int)
@acting
def renew(records: Acting, *, number: int) -> None:
    """Open suspended grant NUMBER again, after accepting the newer agreement."""
    _fire(records, number, GrantEvent.RENEW)


@grant.command("revoke")
@click.argument("number", type=int)
@click.option(
    "--because",
    type=click.Choice(sorted(_ENDINGS)),
    default="asked",
    show_default=True,
    help="A breach keeps the person from asking again.",
)
@acting
def revoke(records: Acting, *, number: int, because: str) -> None:
    """End the access of grant NUMBER for good; accepted at any time from one person."""
    _fire(records, number, GrantEvent.REVOKE, ending=_ENDINGS[because])


@grant.command("list")
@click.option("--family", help="Of this family of releases only.")
@click.option("--of", "person", help="Of this person only.")
@reading
def list_grants(records: Records, *, family: str | None, person: str | None) -> None:
    """List grants with their states and ends."""
    query = sa.select(Grant).order_by(Grant.grant_pk)
    if family is not None:
        query = query.where(Grant.family == family)
    if person is not None:
        query = query.where(Grant.person_id == person)
    with records.transaction() as (session, _):
        rows = [_document(row) for row in session.scalars(query)]
    shown = [tuple(row[key] or "-" for key in _COLUMNS) for row in rows]
    records.show({"grants": rows}, table(shown, "There are no grants."))


@grant.command("readers")
@click.argument("release")
@reading
def readers(records: Records, *, release: str) -> None:
    """Name who may read RELEASE (FAMILY/VERSION) at this moment, and why."""
    with records.transaction() as (session, now):
        found = grants.readers(session, release_named(session, release), now)
    rows = [
        {
            "person": one.person_id,
            "why": one.why,
            "until": one.until.isoformat() if one.until else None,
        }
        for one in found or []
    ]
    document = {"release": release, "everybody": found is None, "readers": rows}
    text = (
        "Everybody may read it."
        if found is None
        else table([tuple(row.values()) for row in rows], "Nobody outside the study team.")
    )
    records.show(document, text)


def _end_of(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC) + timedelta(days=1)


_COLUMNS = ("number", "person", "family", "level", "state", "until")


def _document(row: Grant) -> dict[str, Any]:
    return {
        "number": row.grant_pk,
        "person": row.person_id,
        "family": row.family,
        "level": row.level.word,
        "state": row.state.value,
        "purpose": row.purpose,
        "until": row.ends_at.isoformat() if row.ends_at else None,
        "closed_because": row.closed_reason,
    }


def _sentence(document: dict[str, Any]) -> str:
    until = f", until {document['until']}" if document["until"] else ""
    return (
        f"Grant {document['number']} of {document['person']} for {document['family']} at level "
        f"{document['level']} is {document['state']}{until}."
    )
