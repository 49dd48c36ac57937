"""Releases and grants in any state, put into the records as if their whole way lay behind them.

For tests of what closes, tells and remembers. What opens is tested by going the whole way.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from tests.builders.sharing import OUTSIDE, Site
from xnat_client.sharing.actors import service
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import (
    Acceptance,
    Grant,
    Participant,
    Release,
    ReleaseParticipant,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_table import LinkTable
from xnat_client.sharing.vocabulary import READABLE_STATES, GrantState, Level, ReleaseState

AGREEMENT = ("data-use", "1.0.0")


def add_release(  # noqa: PLR0913  # each is one thing a test varies
    session: Session,
    site: Site,
    *,
    now: datetime,
    state: ReleaseState = ReleaseState.PUBLISHED,
    level: Level = Level.EXTERNAL,
    family: str = "faces",
    version: str = "1.0.0",
    participants: list[int] | None = None,
) -> Release:
    """Add a release with the site's participants, and the entry of the log that says its state."""
    published = state in READABLE_STATES | {ReleaseState.SUSPENDED, ReleaseState.WITHDRAWN}
    row = Release(
        study_pk=site.study_pk,
        family=family,
        version=version,
        level=level,
        state=state,
        manifest_sha256="ab" * 32,
        server=OUTSIDE,
        project_id=f"{family}_{level.word}",
        agreement_id=AGREEMENT[0],
        agreement_version=AGREEMENT[1],
        duo_codes=["GRU"],
        citation={},
        link_rule="sealed",
        requested_by=site.requester,
        created_at=now,
        published_at=now if published else None,
    )
    session.add(row)
    session.flush()
    for number in site.participants if participants is None else participants:
        session.add(
            ReleaseParticipant(
                release_pk=row.release_pk, participant_pk=number, data_types=["imaging"]
            )
        )
    _log(session, "release.apply", "release", row.release_pk, state.value, now)
    return row


def add_grant(  # noqa: PLR0913  # each is one thing a test varies
    session: Session,
    site: Site,
    person_id: str,
    *,
    now: datetime,
    family: str = "faces",
    level: Level = Level.EXTERNAL,
    state: GrantState = GrantState.ACTIVE,
    days: int = 365,
) -> Grant:
    """Add a grant with its acceptance, and the entry of the log that says its state."""
    accepted = add_acceptance(session, person_id, now=now, family=family)
    row = Grant(
        person_id=person_id,
        family=family,
        level=level,
        state=state,
        acceptance_pk=accepted.acceptance_pk,
        approved_by=site.steward,
        requested_at=now,
        starts_at=None if state in {GrantState.REQUESTED, GrantState.ACCEPTED} else now,
        ends_at=now + timedelta(days=days),
    )
    session.add(row)
    session.flush()
    _log(session, "grant.approve", "grant", row.grant_pk, state.value, now)
    return row


def add_acceptance(
    session: Session, person_id: str, *, now: datetime, family: str = "", days: int = 365
) -> Acceptance:
    """Add a person's acceptance of the agreement that the releases name."""
    row = Acceptance(
        person_id=person_id,
        agreement_id=AGREEMENT[0],
        version=AGREEMENT[1],
        text_sha256="cd" * 32,
        family=family,
        clauses_ticked=[],
        typed_name="Typed Name",
        accepted_at=now,
        expires_at=now + timedelta(days=days),
    )
    session.add(row)
    session.flush()
    return row


def set_state(
    session: Session, row: Release | Grant, state: ReleaseState | GrantState, now: datetime
) -> None:
    """Move a release or grant to a state, and write it down."""
    row.state = state
    kind = "release" if isinstance(row, Release) else "grant"
    number = row.release_pk if isinstance(row, Release) else row.grant_pk
    _log(session, f"{kind}.test", kind, number, state.value, now)


def add_links(
    session: Session, home: Home, family: str, labels: dict[int, str], *, now: datetime
) -> LinkTable:
    """Make a family's link table with a label for each participant's number."""
    table = LinkTable.create(home, family, now=now)
    for number, label in labels.items():
        table.add(session.get_one(Participant, number).source_label, "", label)
    return table


def _log(  # noqa: PLR0913, PLR0917  # the fields of one entry
    session: Session, action: str, kind: str, number: int, state: str, now: datetime
) -> None:
    change = chain.Change(action, kind, str(number), {}, {"state": state})
    chain.append(session, service("a test needs it"), change, now=now)
