"""What participants consented to: a history of lines that only grows, and what it means.

The line of the latest date decides; of two of one date the one recorded later, but a withdrawal
of that date outranks a consent of the same date. ``no-further-contact`` says nothing on sharing
and leaves the consent as it was. Whatever cannot be told is no consent. Not here: files of consent
(``consent_import``), what a withdrawal sets off (``withdrawal``), tampering (``audit``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import (
    ConsentForm,
    ConsentRecord,
    Participant,
)
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Level, Role

BY_HAND = "entered by hand"

WITHDRAWALS = frozenset({ConsentEvent.NO_FURTHER_SHARING, ConsentEvent.DELETE_EVERYTHING})
"""Events after which a participant is in no further release."""

_RECORDERS = frozenset({Role.STUDY_TEAM, Role.LEAD, Role.CUSTODIAN})
_CLOSERS = _RECORDERS | {Role.STEWARD, Role.OFFICER, Role.ADMINISTRATOR, Role.SERVICE}


@dataclass(frozen=True)
class ConsentLine:
    """A line to be added to a participant's history.

    Attributes
    ----------
    event : ConsentEvent
        What was said.
    given_on : date
        When the participant said it.
    form_id, form_version : str
        The form that was signed; empty for a withdrawal.
    highest_level : Level
        The highest level to which the participant said yes.
    data_types : tuple of DataType
        The kinds of data to which the participant said yes.
    origin : str
        Where the line comes from.
    """

    event: ConsentEvent
    given_on: date
    form_id: str = ""
    form_version: str = ""
    highest_level: Level = Level.PRIVATE
    data_types: tuple[DataType, ...] = ()
    origin: str = BY_HAND


@dataclass(frozen=True)
class Effective:
    """What may be done with a participant's data, after all lines of their history.

    Attributes
    ----------
    level : Level or None
        Highest level allowed; None where it is not known or everything is to be deleted.
    data_types : frozenset of DataType
        Kinds of data that may be in a release.
    form : tuple of (str, str) or None
        Identifier and version of the form that counts.
    duo_codes : tuple of str
        Data-use codes of that form.
    purpose_review : bool
        Whether the form demands that the purpose of each use is looked at.
    unknown : str or None
        Why nothing is known, for people; None when it is known.
    withdrawn : ConsentEvent or None
        The withdrawal that counts.
    since : datetime or None
        When the deciding line was recorded.
    """

    level: Level | None
    data_types: frozenset[DataType] = frozenset()
    form: tuple[str, str] | None = None
    duo_codes: tuple[str, ...] = ()
    purpose_review: bool = False
    unknown: str | None = None
    withdrawn: ConsentEvent | None = None
    since: datetime | None = field(default=None, compare=False)

    def allows(self, level: Level, data_types: Iterable[DataType]) -> bool:
        """Tell whether data of these kinds may be in a release of this level."""
        known = self.unknown is None and self.withdrawn is None and self.level is not None
        return (
            known and (self.level or Level.PRIVATE) >= level and set(data_types) <= self.data_types
        )


def record(
    session: Session, actor: Actor, participant_pk: int, line: ConsentLine, *, now: datetime
) -> ConsentRecord:
    """Add a line to a participant's history.

    Raises
    ------
    NotFoundError
        There is no such participant, or a consent names a form that is not in the records.
    UsageError
        The date lies in the future, or a consent names no kind of data.
    """
    participant = session.get(Participant, participant_pk)
    if participant is None:
        raise NotFoundError(f"The records know no participant {participant_pk}.")
    lines = [(participant_pk, line)]
    return record_all(session, actor, participant.study_pk, lines, now=now)[0]


def record_all(
    session: Session,
    actor: Actor,
    study_pk: int,
    lines: Sequence[tuple[int, ConsentLine]],
    *,
    now: datetime,
) -> list[ConsentRecord]:
    """Add lines to the histories of participants of one study, with one entry in the log.

    Parameters
    ----------
    lines : sequence of (int, ConsentLine)
        Numbers of participants of the study, and what to add.
    """
    is_consent = any(line.event is ConsentEvent.GIVEN for _, line in lines)
    allowed = _RECORDERS if is_consent else _CLOSERS
    people.require_any_role(session, actor, *allowed, study_pk=study_pk, now=now)
    rows: list[ConsentRecord] = []
    for participant_pk, line in lines:
        _check(session, line, now)
        rows.append(_row(participant_pk, line, actor, now))
    session.add_all(rows)
    session.flush()
    for event in sorted({row.event for row in rows}):
        numbers = [row.participant_pk for row in rows if row.event is event]
        one = len(numbers) == 1
        change = chain.Change(
            f"consent.{event.value}",
            "participant" if one else "study",
            str(numbers[0] if one else study_pk),
            {},
            {"participants": numbers},
        )
        chain.append(session, actor, change, now=now)
    return rows


def _row(participant_pk: int, line: ConsentLine, actor: Actor, now: datetime) -> ConsentRecord:
    return ConsentRecord(
        participant_pk=participant_pk,
        event=line.event,
        form_id=line.form_id,
        form_version=line.form_version,
        highest_level=line.highest_level,
        data_types=sorted(kind.value for kind in line.data_types),
        given_on=line.given_on,
        recorded_at=now,
        recorded_by=actor.person_id,
        origin=line.origin,
    )


def _check(session: Session, line: ConsentLine, now: datetime) -> None:
    if line.given_on > now.date():
        raise UsageError("A consent cannot be dated in the future; correct the date.")
    if line.event is not ConsentEvent.GIVEN:
        return
    if session.get(ConsentForm, (line.form_id, line.form_version)) is None:
        raise NotFoundError(
            f"The consent names form {line.form_id!r} version {line.form_version!r}, which is not "
            "in the records. Add the form first (winxnat share form add)."
        )
    if line.highest_level > Level.PRIVATE and not line.data_types:
        raise UsageError("A consent to sharing must name the kinds of data; name at least one.")


def effective(session: Session, participant_pk: int, on: date | None = None) -> Effective:
    """Return what a participant's history means.

    Parameters
    ----------
    on : date or None
        The day that is asked about: consents dated later do not count, withdrawals always do.
        None counts every line.
    """
    lines = session.scalars(
        sa.select(ConsentRecord).where(ConsentRecord.participant_pk == participant_pk)
    ).all()
    return _meaning(lines, _forms(session), on)


def effective_for_study(
    session: Session, study_pk: int, on: date | None = None
) -> dict[int, Effective]:
    """Return the same for every participant of a study, in three queries.

    Returns
    -------
    dict of int to Effective
        By the participants' numbers, in ascending order.
    """
    numbers = session.scalars(
        sa.select(Participant.participant_pk)
        .where(Participant.study_pk == study_pk)
        .order_by(Participant.participant_pk)
    )
    histories: dict[int, list[ConsentRecord]] = {number: [] for number in numbers}
    lines = sa.select(ConsentRecord).join(
        Participant, Participant.participant_pk == ConsentRecord.participant_pk
    )
    for line in session.scalars(lines.where(Participant.study_pk == study_pk)):
        histories[line.participant_pk].append(line)
    forms = _forms(session)
    return {number: _meaning(history, forms, on) for number, history in histories.items()}


_Forms = dict[tuple[str, str], ConsentForm]


def _forms(session: Session) -> _Forms:
    return {(one.form_id, one.version): one for one in session.scalars(sa.select(ConsentForm))}


def _meaning(lines: Sequence[ConsentRecord], forms: _Forms, on: date | None) -> Effective:
    telling = [
        line
        for line in lines
        if line.event in WITHDRAWALS
        or (line.event is ConsentEvent.GIVEN and (on is None or line.given_on <= on))
    ]
    if not telling:
        return Effective(None, unknown="no consent is recorded")
    ordered = sorted(telling, key=_weight)
    last = ordered[-1]
    if last.event is ConsentEvent.GIVEN:
        return _meaning_of_consent(last, forms)
    # Of several withdrawals after the last consent the gravest counts, not the latest.
    for line in reversed(ordered):
        if line.event is ConsentEvent.GIVEN:
            break
        if line.event is ConsentEvent.DELETE_EVERYTHING:
            return Effective(None, withdrawn=line.event, since=line.recorded_at)
    return Effective(Level.PRIVATE, withdrawn=last.event, since=last.recorded_at)


def _weight(line: ConsentRecord) -> tuple[date, bool, int]:
    return line.given_on, line.event in WITHDRAWALS, line.consent_pk


def _meaning_of_consent(line: ConsentRecord, forms: _Forms) -> Effective:
    key = (line.form_id, line.form_version)
    form = forms.get(key)
    if form is None or not form.accepted:
        what = "is not in the records" if form is None else "is not accepted by the officer"
        return Effective(
            None,
            form=key,
            unknown=f"form {key[0]!r} version {key[1]!r} {what}",
            since=line.recorded_at,
        )
    known = {kind.value for kind in DataType}
    both = set(line.data_types) & set(form.data_types) & known
    return Effective(
        min(line.highest_level, form.highest_level),
        frozenset(DataType(kind) for kind in both),
        key,
        tuple(form.duo_codes),
        form.purpose_review,
        since=line.recorded_at,
    )


def history(session: Session, participant_pk: int) -> list[ConsentRecord]:
    """Return all lines of a participant, in the order in which they were recorded."""
    return list(
        session.scalars(
            sa.select(ConsentRecord)
            .where(ConsentRecord.participant_pk == participant_pk)
            .order_by(ConsentRecord.consent_pk)
        )
    )
