"""Agreements, internal policies and licences; and who accepted which text.

A version's text never changes; the digest of the text is what a person accepts. One language is
the legal one, others only inform. Not here: the files of texts (``agreement_text``), grants.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError, NotFoundError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Acceptance, Agreement
from xnat_client.sharing.records import people
from xnat_client.sharing.records.agreement_text import AgreementText, parts_of_version
from xnat_client.sharing.vocabulary import Role

LASTS = timedelta(days=365)
"""How long an acceptance counts: a year, after which people confirm it again."""

NOTICE_TIME = timedelta(days=30)
"""How long an acceptance of the version before a minor change still counts."""

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
    "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
}
"""Licences that an open release may name, by SPDX identifier, with the address of their text."""


class Standing(StrEnum):
    """What an acceptance is worth at a time."""

    CURRENT = "current"
    NOTICE = "a newer text is to be accepted soon"
    OUTDATED = "a newer text must be accepted"
    EXPIRED = "expired"


COUNTING = frozenset({Standing.CURRENT, Standing.NOTICE})
"""The standings in which an acceptance counts."""


def add_agreement(
    session: Session, actor: Actor, text: AgreementText, *, now: datetime
) -> Agreement:
    """Put a version of a text on record; the officer approves it by doing so.

    Raises
    ------
    ConflictError
        That version and language is on record with another text, a higher version is, or the
        version has a legal language already.
    UsageError
        A translation comes before its legal text.
    """
    people.require_any_role(session, actor, Role.OFFICER, now=now)
    key = (text.agreement_id, text.version, text.language)
    there = session.get(Agreement, key)
    if there is not None:
        if there.sha256 != text.sha256:
            raise ConflictError(
                f"Agreement {text.agreement_id} version {text.version} is on record with another "
                "text. Give the new text a new version."
            )
        return there
    _check_place(session, text)
    row = Agreement(
        agreement_id=text.agreement_id,
        version=text.version,
        language=text.language,
        text=text.text,
        sha256=text.sha256,
        clauses=text.as_document(),
        legal=text.legal,
        effective_on=text.effective_on,
        change_note=text.change_note,
        approved_by=actor.person_id,
    )
    session.add(row)
    session.flush()
    after = {"language": text.language, "legal": text.legal, "sha256": text.sha256}
    name = f"{text.agreement_id}/{text.version}"
    change = chain.Change("agreement.add", "agreement", name, {}, after)
    chain.append(session, actor, change, now=now)
    return row


def _check_place(session: Session, text: AgreementText) -> None:
    versions = [row for row in _all(session, text.agreement_id) if row.legal]
    legal = [row.language for row in versions if row.version == text.version]
    if text.legal and legal:
        raise ConflictError(
            f"Agreement {text.agreement_id} version {text.version} has its legal text in "
            f"{legal[0]}. Mark this one as a translation (legal: false)."
        )
    if not text.legal and not legal:
        raise UsageError(
            f"Agreement {text.agreement_id} version {text.version} has no legal text yet. "
            "Add that before its translations."
        )
    newest = max((parts_of_version(row.version) for row in versions), default=(0, 0, 0))
    if text.legal and parts_of_version(text.version) <= newest:
        raise ConflictError(
            f"Agreement {text.agreement_id} has a version that is not lower than {text.version} "
            "already. Count on from there."
        )


def _all(session: Session, agreement_id: str) -> list[Agreement]:
    query = sa.select(Agreement).where(Agreement.agreement_id == agreement_id)
    return sorted(session.scalars(query), key=lambda row: parts_of_version(row.version))


def all_agreements(session: Session) -> list[Agreement]:
    """Return all versions and languages of all texts."""
    rows = session.scalars(sa.select(Agreement))
    return sorted(
        rows, key=lambda row: (row.agreement_id, parts_of_version(row.version), not row.legal)
    )


def legal_text(session: Session, agreement_id: str, version: str) -> Agreement:
    """Return a version of a text in its legal language.

    Raises
    ------
    NotFoundError
        There is none.
    """
    for row in _all(session, agreement_id):
        if row.version == version and row.legal:
            return row
    raise NotFoundError(
        f"The records have no agreement {agreement_id} version {version}. The officer puts it on "
        "record (winxnat share agreement add FILE)."
    )


def current_text(session: Session, agreement_id: str, now: datetime) -> Agreement | None:
    """Return the newest legal text that is in effect, None if there is none."""
    in_effect = [
        row for row in _all(session, agreement_id) if row.legal and row.effective_on <= now.date()
    ]
    return in_effect[-1] if in_effect else None


@dataclass(frozen=True)
class Signing:
    """What a person does to accept a text.

    Attributes
    ----------
    agreement_id, version : str
        The text, in its legal language.
    text_sha256 : str
        Digest of the text that the person was shown.
    clauses_ticked : tuple of str
        Clauses that the person ticked one by one.
    typed_name : str
        The person's name as they typed it.
    family : str
        The family of releases; empty for the site's internal policy.
    """

    agreement_id: str
    version: str
    text_sha256: str
    clauses_ticked: tuple[str, ...]
    typed_name: str
    family: str = ""


def accept(session: Session, actor: Actor, signing: Signing, *, now: datetime) -> Acceptance:
    """Record that the acting person accepts a text; nobody accepts for somebody else.

    Raises
    ------
    UsageError
        The text shown was another, a clause that needs a tick has none, the typed name is not
        the person's, or a newer text is in effect.
    """
    people.require_role(session, actor, None, now)
    person = people.person_of(session, actor.person_id)
    text = legal_text(session, signing.agreement_id, signing.version)
    _check_signing(session, text, signing, person.name, now)
    row = Acceptance(
        person_id=actor.person_id,
        agreement_id=signing.agreement_id,
        version=signing.version,
        text_sha256=text.sha256,
        family=signing.family,
        clauses_ticked=sorted(set(signing.clauses_ticked)),
        typed_name=signing.typed_name.strip(),
        accepted_at=now,
        expires_at=now + LASTS,
    )
    row.receipt_sha256 = hashlib.sha256(receipt(row).encode()).hexdigest()
    session.add(row)
    session.flush()
    after = {
        "agreement": f"{signing.agreement_id}/{signing.version}",
        "text_sha256": text.sha256,
        "family": signing.family,
    }
    change = chain.Change("agreement.accept", "person", actor.person_id, {}, after)
    chain.append(session, actor, change, now=now)
    return row


def _check_signing(
    session: Session, text: Agreement, signing: Signing, name: str, now: datetime
) -> None:
    current = current_text(session, signing.agreement_id, now)
    if current is None or current.version != signing.version:
        raise UsageError(
            f"Version {signing.version} of agreement {signing.agreement_id} is not the one in "
            "effect. Read and accept the current text."
        )
    if signing.text_sha256 != text.sha256:
        raise UsageError(
            "The text that was shown is not the text on record, so it cannot be accepted. "
            "Read it again with 'winxnat share agreement show'."
        )
    missing = sorted(clauses_to_tick(text) - set(signing.clauses_ticked))
    if missing:
        raise UsageError(f"These clauses must be ticked one by one: {', '.join(missing)}.")
    if _plain(signing.typed_name) != _plain(name):
        raise UsageError("The typed name is not the name on record; type your own full name.")


def clauses_to_tick(text: Agreement) -> set[str]:
    """Return the clauses that must be ticked one by one."""
    return {clause["id"] for clause in text.clauses["clauses"] if clause["tick"]}


def _plain(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def receipt(row: Acceptance) -> str:
    """Return what a person can show of an acceptance: canonical JSON, whose SHA-256 is kept."""
    said: dict[str, Any] = {
        "person": row.person_id,
        "name": row.typed_name,
        "agreement": row.agreement_id,
        "version": row.version,
        "text_sha256": row.text_sha256,
        "family": row.family,
        "clauses": sorted(row.clauses_ticked),
        "accepted_at": row.accepted_at.isoformat(timespec="seconds"),
        "expires_at": row.expires_at.isoformat(timespec="seconds"),
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def acceptance_with_receipt(session: Session, text: str) -> Acceptance | None:
    """Return the acceptance that a receipt shows, None if no such receipt was issued."""
    digest = hashlib.sha256(text.strip().encode()).hexdigest()
    query = sa.select(Acceptance).where(Acceptance.receipt_sha256 == digest)
    return session.scalars(query).first()


def standing(session: Session, row: Acceptance, now: datetime) -> Standing:
    """Tell what an acceptance is worth: a new major version ends it, a minor one after 30 days."""
    if now >= row.expires_at:
        return Standing.EXPIRED
    accepted = parts_of_version(row.version)
    result = Standing.CURRENT
    for text in _all(session, row.agreement_id):
        parts = parts_of_version(text.version)
        if not text.legal or parts <= accepted or text.effective_on > now.date():
            continue
        if parts[0] > accepted[0]:
            return Standing.OUTDATED
        if parts[1] > accepted[1]:
            if now.date() >= text.effective_on + NOTICE_TIME:
                return Standing.OUTDATED
            result = Standing.NOTICE
    return result


def counting_acceptance(
    session: Session, person_id: str, agreement_id: str, family: str, now: datetime
) -> Acceptance | None:
    """Return a person's newest acceptance of a text for a family that still counts."""
    query = (
        sa.select(Acceptance)
        .where(
            Acceptance.person_id == person_id,
            Acceptance.agreement_id == agreement_id,
            Acceptance.family == family,
        )
        .order_by(Acceptance.acceptance_pk.desc())
    )
    for row in session.scalars(query):
        if standing(session, row, now) in COUNTING:
            return row
    return None


def persons_who_accepted(
    session: Session, agreement_id: str, family: str, now: datetime
) -> Collection[str]:
    """Return everybody whose acceptance of a text for a family counts."""
    query = sa.select(Acceptance).where(
        Acceptance.agreement_id == agreement_id, Acceptance.family == family
    )
    worth: dict[str, Standing] = {}
    found: set[str] = set()
    for row in session.scalars(query):
        if now >= row.expires_at:
            continue
        if row.version not in worth:
            worth[row.version] = standing(session, row, now)
        if worth[row.version] in COUNTING:
            found.add(row.person_id)
    return found
