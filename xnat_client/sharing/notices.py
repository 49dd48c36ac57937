"""Notices: what a recipient of data must do now, sent by e-mail, and whether they say they did.

A notice names releases and release labels, never a participant or a source label; it is signed by
the site, and ends with a token by which its recipient confirms. Who does not is reminded 14, 30
and 90 days after the first message; after that a person must ask. Once confirmed, the labels are
removed from the records. Not here: who is to be told what (``withdrawal``), sending (``mail``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import NotFoundError
from xnat_client.sharing import clock, site_key
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit.chain import Change, append
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Notice, Person, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.mail import Mailer, NotSentError
from xnat_client.sharing.vocabulary import Role

REMINDER_DAYS = (14, 30, 90)
"""Days after the first message at which those who have not confirmed are reminded."""

_SIGNATURE_LINE = "Signature of the site (Ed25519, base64): "
_KEY_LINE = "Public key of the site (base64): "


class NoticeKind(StrEnum):
    """What a notice asks of its recipient."""

    DELETE_PARTICIPANT = "delete-participant"
    DELETE_RELEASE = "delete-release"


@dataclass(frozen=True)
class NewNotice:
    """A notice to be added.

    Attributes
    ----------
    release_pk : int
        The release that the recipient has.
    person_id : str
        The recipient.
    kind : NoticeKind
        What is asked.
    labels : tuple of str
        Release labels whose data are to be deleted; empty for a whole release.
    """

    release_pk: int
    person_id: str
    kind: NoticeKind
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Delivery:
    """What became of one message: ``reason`` says why it was not sent, and is else empty."""

    notice_pk: int
    person_id: str
    reminder: int
    reason: str = ""


@dataclass(frozen=True)
class Standing:
    """How far one notice is.

    Attributes
    ----------
    notice_pk : int
        Its number.
    release : str
        Family and version.
    person_id, kind : str
        To whom, asking what.
    state : str
        ``waiting`` to be sent, ``sent``, ``confirmed``, or ``overdue`` after the last reminder.
    days : int
        Since the first message, or since it was added.
    reminders : int
        How many were sent.
    failed_reason : str
        Why the last message was not taken; empty if it was.
    """

    notice_pk: int
    release: str
    person_id: str
    kind: str
    state: str
    days: int
    reminders: int
    failed_reason: str


def add(session: Session, home: Home, actor: Actor, notice: NewNotice, *, now: datetime) -> Notice:
    """Add a notice, unless the same one already waits for its answer.

    Parameters
    ----------
    session : Session
        A session of ``Database.transaction``.
    home : Home
        Holds the site's key, from which the token is made.
    actor : Actor
        Who causes it; the caller has checked that they may.
    """
    for known in session.scalars(
        sa.select(Notice).where(
            Notice.release_pk == notice.release_pk,
            Notice.person_id == notice.person_id,
            Notice.kind == notice.kind.value,
            Notice.acknowledged_at.is_(None),
        )
    ):
        if sorted(known.labels) == sorted(notice.labels):
            return known
    row = Notice(
        release_pk=notice.release_pk,
        person_id=notice.person_id,
        kind=notice.kind.value,
        labels=sorted(notice.labels),
        token_sha256="",
        created_at=now,
    )
    session.add(row)
    session.flush()
    row.token_sha256 = _digest(token_of(home, row))
    after = {
        "release": notice.release_pk,
        "person": notice.person_id,
        "kind": notice.kind.value,
        "labels": len(notice.labels),
    }
    change = Change("notice.add", "notice", str(row.notice_pk), after=after)
    append(session, actor, change, now=now)
    return row


def token_of(home: Home, notice: Notice) -> str:
    """Return the token that confirms a notice; it is in no table and no log."""
    made = notice.created_at.astimezone(UTC).isoformat()
    return site_key.token_for(home, f"notice {notice.notice_pk} {made}")


def acknowledge(
    session: Session, token: str, *, now: datetime, actor: Actor | None = None
) -> Notice:
    """Record that a recipient confirms; a second time changes nothing.

    Parameters
    ----------
    token : str
        The token of the message.
    actor : Actor or None
        Who brings the answer; None for the recipient, whom the token proves.

    Raises
    ------
    NotFoundError
        No notice has this token.
    """
    row = session.scalars(
        sa.select(Notice).where(Notice.token_sha256 == _digest(token.strip()))
    ).first()
    if row is None:
        raise NotFoundError(
            "No notice has this token. Copy it from the message again, whole; it is one line of "
            "43 signs."
        )
    if row.acknowledged_at is not None:
        return row
    row.acknowledged_at = now
    count, row.labels = len(row.labels), []
    recipient = Actor(row.person_id, Role.EXTERNAL, "The recipient confirms with the token.")
    change = Change(
        "notice.acknowledge", "notice", str(row.notice_pk), {"labels": count}, {"confirmed": True}
    )
    append(session, actor or recipient, change, now=now)
    return row


def due(session: Session, now: datetime) -> list[tuple[Notice, int]]:
    """Return the notices to be sent now, each with the number of the reminder (0: the first)."""
    waiting = session.scalars(
        sa.select(Notice).where(Notice.acknowledged_at.is_(None)).order_by(Notice.notice_pk)
    )
    found = []
    for row in waiting:
        number = 0 if row.sent_at is None else _reminders_until(row.sent_at, now)
        if row.sent_at is None or number > row.reminders_sent:
            found.append((row, number))
    return found


def send_due(
    home: Home,
    database: Database,
    mailer: Mailer,
    source: Callable[[], datetime] = clock.system_time,
) -> list[Delivery]:
    """Send what is due, one message at a time, and record each at once.

    Parameters
    ----------
    source : callable
        Where the time comes from; tests give their own.

    Notes
    -----
    A program that dies between sending and recording sends that one message again: a recipient
    may be asked twice, and is never forgotten.
    """
    with database.transaction() as session:
        now = clock.now(session, source)
        numbers = [(row.notice_pk, reminder) for row, reminder in due(session, now)]
    return [_send(home, database, mailer, number, reminder, source) for number, reminder in numbers]


def compose(session: Session, home: Home, notice: Notice, reminder: int = 0) -> tuple[str, str]:
    """Return the subject and the signed text of a notice's message.

    Parameters
    ----------
    reminder : int
        Number of the reminder; 0 for the first message.
    """
    release = session.get_one(Release, notice.release_pk)
    name = f"{release.family} version {release.version}"
    subject = f"Please delete data of {name}"
    if reminder:
        subject = f"Reminder {reminder} of {len(REMINDER_DAYS)}: {subject[0].lower()}{subject[1:]}"
    body = "\n".join([*_what(notice, name), "", *_how(token_of(home, notice))]) + "\n"
    signature = site_key.sign(home, body.encode())
    signed = f"{body}\n{_KEY_LINE}{site_key.public_key(home)}\n{_SIGNATURE_LINE}{signature}\n"
    return subject, signed


def is_genuine(text: str, public_key: str) -> bool:
    """Tell whether a message's text was signed by the site with this public key."""
    lines = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) < 3 or not lines[-1].startswith(_SIGNATURE_LINE):  # noqa: PLR2004  # text, key, signature
        return False
    body = "\n".join(lines[:-3]) + "\n"
    signature = lines[-1].removeprefix(_SIGNATURE_LINE)
    return site_key.is_signature(body.encode(), signature, public_key)


def standings(
    session: Session, now: datetime, release_pks: Iterable[int] | None = None
) -> list[Standing]:
    """Return how far each notice is, of some releases or (None) of all, the oldest first."""
    chosen = sa.select(Notice, Release).join(Release).order_by(Notice.notice_pk)
    if release_pks is not None:
        chosen = chosen.where(Notice.release_pk.in_(list(release_pks)))
    return [_standing(notice, release, now) for notice, release in session.execute(chosen)]


def _standing(notice: Notice, release: Release, now: datetime) -> Standing:
    since = notice.sent_at or notice.created_at
    if notice.acknowledged_at is not None:
        state = "confirmed"
    elif notice.sent_at is None:
        state = "waiting"
    elif now - notice.sent_at >= timedelta(days=REMINDER_DAYS[-1]):
        state = "overdue"
    else:
        state = "sent"
    return Standing(
        notice.notice_pk,
        f"{release.family} {release.version}",
        notice.person_id,
        notice.kind,
        state,
        (now - since).days,
        notice.reminders_sent,
        notice.failed_reason,
    )


def _send(  # noqa: PLR0913, PLR0917  # what is sent with what, and when
    home: Home,
    database: Database,
    mailer: Mailer,
    notice_pk: int,
    reminder: int,
    source: Callable[[], datetime],
) -> Delivery:
    with database.transaction() as session:
        row = session.get_one(Notice, notice_pk)
        person = session.get_one(Person, row.person_id)
        subject, text = compose(session, home, row, reminder)
        recipient, person_id = person.email, person.person_id
    reason = ""
    try:
        if not recipient:
            raise NotSentError("the records hold no e-mail address of this person")  # noqa: TRY301  # one way out
        mailer.send(recipient, subject, text)
    except NotSentError as error:
        reason = str(error)
    with database.transaction() as session:
        _record(session, notice_pk, reminder, reason, clock.now(session, source))
    return Delivery(notice_pk, person_id, reminder, reason)


def _record(session: Session, notice_pk: int, reminder: int, reason: str, now: datetime) -> None:
    row = session.get_one(Notice, notice_pk)
    row.failed_reason = reason
    if reason:
        return
    row.reminders_sent = reminder
    if row.sent_at is None:
        row.sent_at = now
    change = Change("notice.send", "notice", str(notice_pk), after={"reminder": reminder})
    append(session, service("Those who have data must know what to do."), change, now=now)


def _reminders_until(sent_at: datetime, now: datetime) -> int:
    return sum(now - sent_at >= timedelta(days=days) for days in REMINDER_DAYS)


def _what(notice: Notice, name: str) -> list[str]:
    if notice.kind == NoticeKind.DELETE_RELEASE:
        return [
            f"The release {name} was withdrawn. You had access to it.",
            "",
            "Please delete all copies of it that you or your institution hold, and what was made",
            "from it as far as single participants can be told apart in it.",
        ]
    return [
        f"Participants of {name} withdrew their consent. You had access to it.",
        "",
        "Please delete the data of these participants in all copies that you or your institution",
        "hold, and leave them out of analyses from now on:",
        "",
        *(f"    {label}" for label in notice.labels),
        "",
        "A version of the release without them will follow. The labels say nothing about who the",
        "participants are; please do not try to find out.",
    ]


def _how(token: str) -> list[str]:
    first, second, third = REMINDER_DAYS
    return [
        "When it is done, confirm it by answering this message with this line in it:",
        "",
        f"    {token}",
        "",
        "Whoever has this line can confirm in your name, so send it to nobody else. Without an",
        f"answer you are reminded {first}, {second} and {third} days after the first message.",
    ]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
