"""Telling those who have data of a participant who withdrew, or a release that was withdrawn.

It needs release labels, and so the custodian, who reads them from the link tables; it is a second
step after ``withdrawal`` and closes nothing. A copy that somebody has cannot be called back, only
asked for. Not here: what a notice says and when it is sent (``notices``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError, NotFoundError
from xnat_client.sharing import notices, tombstones
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.database.tables import (
    Acceptance,
    Download,
    Grant,
    Participant,
    Person,
    Release,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_table import LinkState, LinkTable
from xnat_client.sharing.notices import NewNotice, NoticeKind
from xnat_client.sharing.records import consent, people
from xnat_client.sharing.vocabulary import Level, Role
from xnat_client.sharing.withdrawal import release_name, releases_with


@dataclass(frozen=True)
class Told:
    """Whom the custodian's step told.

    Attributes
    ----------
    notices : int
        How many recipients have a notice waiting for them; ``notices.send_due`` sends it.
    public : tuple of str
        Open releases for which a line was added to the public list of changes.
    not_located : tuple of str
        Releases in which nobody can tell any more which data are the participant's.
    """

    notices: int
    public: tuple[str, ...]
    not_located: tuple[str, ...]


def tell(session: Session, home: Home, actor: Actor, participant_pk: int, *, now: datetime) -> Told:
    """Make the notices to everybody who has the data of a participant who withdrew.

    Parameters
    ----------
    actor : Actor
        The custodian: labels are read from the link tables, with a line in the log each.

    Raises
    ------
    BadInputError
        The participant has not withdrawn.
    NotAllowedError
        The actor is not the custodian.
    NotFoundError
        There is no such participant, or a link table or its key is missing.
    """
    people.require_any_role(session, actor, Role.CUSTODIAN, now=now)
    participant = session.get(Participant, participant_pk)
    if participant is None:
        raise NotFoundError(f"The records know no participant {participant_pk}.")
    if consent.effective(session, participant_pk).withdrawn is None:
        raise BadInputError(
            f"Participant {participant_pk} has not withdrawn, so nobody is told anything."
        )
    count, public, lost = 0, [], []
    released = [
        one for one in releases_with(session, participant_pk) if one.published_at is not None
    ]
    for release in released:
        labels = _labels(session, home, actor, release, participant, now)
        if not labels:
            lost.append(release_name(release))
            continue
        tombstones.add_labels(home, release.family, labels, now=now)
        if release.level is Level.OPEN:
            _add_public_line(home, release, labels, now)
            public.append(release_name(release))
        for person_id in sorted(recipients(session, release)):
            notice = NewNotice(
                release.release_pk, person_id, NoticeKind.DELETE_PARTICIPANT, tuple(labels)
            )
            notices.add(session, home, actor, notice, now=now)
            count += 1
    return Told(count, tuple(public), tuple(lost))


def tell_of_release(
    session: Session, home: Home, actor: Actor, release: Release, *, now: datetime
) -> int:
    """Make the notices to everybody who has a release that was withdrawn; return how many."""
    known = recipients(session, release)
    for person_id in sorted(known):
        notice = NewNotice(release.release_pk, person_id, NoticeKind.DELETE_RELEASE)
        notices.add(session, home, actor, notice, now=now)
    return len(known)


def recipients(session: Session, release: Release) -> set[str]:
    """Return who may have a copy of a release.

    XNAT does not count what readers download, so whoever could read counts as having read:
    holders of a grant that ever ran, members who ever accepted the terms, and whoever is in a
    list of downloads. Of an open release nobody knows more than the last.
    """
    found = set(
        session.scalars(
            sa.select(Download.person_id).where(Download.release_pk == release.release_pk)
        )
    )
    found |= set(
        session.scalars(
            sa.select(Grant.person_id).where(
                Grant.family == release.family, Grant.starts_at.is_not(None)
            )
        )
    )
    if release.level is Level.MEMBERS:
        accepted = sa.select(Acceptance.person_id).join(
            Person, Person.person_id == Acceptance.person_id
        )
        found |= set(
            session.scalars(
                accepted.where(
                    Acceptance.agreement_id == release.agreement_id,
                    Acceptance.family.in_(["", release.family]),
                )
            )
        )
    return found


def reply_not_located(names: Sequence[str]) -> str:
    """Return the answer to a participant whose data cannot be found any more.

    It holds nothing about the participant; the study's team puts its name under it.
    """
    listed = ", ".join(names)
    return (
        "Thank you for your message. Your data are not shared from now on, and are in no later "
        "release.\n\n"
        f"The following was published earlier: {listed}. As the consent form said, the list that "
        "linked these data to you was destroyed on the announced day. Since then nobody, "
        "including us, can tell which of these data are yours, so they cannot be taken out any "
        "more.\n"
    )


def public_changes_path(home: Home, family: str) -> Path:
    """Return the file of a family's public list of changes: lines of JSON, labels only."""
    return home.folder / "public-changes" / f"{family}.jsonl"


def standing(session: Session, participant_pk: int, now: datetime) -> dict[str, int]:
    """Return how many recipients of a participant's releases are in which state.

    For the report to the study's team: numbers, not names.
    """
    numbers = [release.release_pk for release in releases_with(session, participant_pk)]
    counts: dict[str, int] = {}
    for one in notices.standings(session, now, numbers):
        counts[one.state] = counts.get(one.state, 0) + 1
    return counts


def _labels(  # noqa: PLR0913, PLR0917  # who looks whom up where
    session: Session,
    home: Home,
    actor: Actor,
    release: Release,
    participant: Participant,
    now: datetime,
) -> list[str]:
    table = LinkTable.open(home, release.family)
    if table.state is LinkState.DESTROYED:
        return []
    number = participant.participant_pk
    found = table.lookup(session, actor, participant.source_label, number, now=now)
    # The participant's own label is enough: sessions carry it in their names.
    return [found[""]] if "" in found else sorted(set(found.values()))


def _add_public_line(home: Home, release: Release, labels: list[str], now: datetime) -> None:
    path = public_changes_path(home, release.family)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    line = {
        "date": now.date().isoformat(),
        "version": release.version,
        "delete": labels,
        "why": "Consent was withdrawn; please delete these data in your copies.",
    }
    text = json.dumps(line, sort_keys=True) + "\n"
    if path.exists() and text in path.read_text(encoding="utf-8"):
        return
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
