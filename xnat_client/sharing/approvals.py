"""Decisions of people over one manifest: what exactly is signed, and whether the set is complete.

What is signed says everything that the decision opens: the manifest, the level, the place, the
terms, the participants by number, and the proposal it answers. A decision cannot be moved to
another release, level or proposal. Not here: keys (``signing``), the events (``decisions``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import signing
from xnat_client.sharing.database.tables import (
    Approval,
    AuditEntry,
    Person,
    Release,
    ReleaseParticipant,
)
from xnat_client.sharing.finding import Finding, procedure
from xnat_client.sharing.levels import APPROVERS
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Level, Role


class Decision(StrEnum):
    """What a signature says."""

    APPROVE = "approve"
    RESUME = "resume"


RESUMERS = frozenset({Role.STEWARD, Role.OFFICER})
"""Roles that must both agree, by two people, before a suspended release opens again."""

_ANSWERED = {Decision.APPROVE: "release.propose", Decision.RESUME: "release.suspend"}


@dataclass(frozen=True)
class Vote:
    """One person's decision as the rules on completeness see it.

    Attributes
    ----------
    person_id : str
        Directory identity.
    role : Role
        In which role.
    decided_at : datetime
        When it was signed.
    marks : frozenset of str
        What else tells one person from another: signing keys, e-mail address, ORCID iD. Two
        records that share one are one person.
    """

    person_id: str
    role: Role
    decided_at: datetime
    marks: frozenset[str] = frozenset()


def text_to_sign(session: Session, release: Release, decision: Decision, vote: Vote) -> bytes:
    """Return the text of a decision, as canonical JSON.

    Parameters
    ----------
    vote : Vote
        Who decides, in which role, and when; ``decided_at`` is given to ``decisions.fire``
        together with the signature. Its marks are not signed.
    """
    said = {
        "statement": "winxnat decision 1",
        "decision": decision.value,
        "person": vote.person_id,
        "role": vote.role.value,
        "decided_at": vote.decided_at.isoformat(timespec="microseconds"),
        "answers": answered(session, release.release_pk, decision),
        "release": terms_of(session, release),
    }
    return json.dumps(said, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def terms_of(session: Session, release: Release) -> dict[str, Any]:
    """Return everything about a release that a decision opens."""
    rows = session.execute(
        sa.select(ReleaseParticipant.participant_pk, ReleaseParticipant.data_types)
        .where(ReleaseParticipant.release_pk == release.release_pk)
        .order_by(ReleaseParticipant.participant_pk)
    )
    participants = json.dumps([[number, sorted(kinds)] for number, kinds in rows])
    return {
        "number": release.release_pk,
        "study": release.study_pk,
        "family": release.family,
        "version": release.version,
        "level": release.level.word,
        "manifest": release.manifest_sha256,
        "server": release.server,
        "project": release.project_id,
        "agreement": [release.agreement_id, release.agreement_version],
        "licence": release.licence,
        "criteria": release.criteria_version,
        "data_use": sorted(release.duo_codes),
        "automatic_grants": release.automatic_grants,
        "link_rule": release.link_rule,
        "embargo_until": release.embargo_until.isoformat() if release.embargo_until else None,
        "requested_by": release.requested_by,
        "participants": hashlib.sha256(participants.encode()).hexdigest(),
    }


def answered(session: Session, release_pk: int, decision: Decision) -> str:
    """Return the hash of the log's entry that a decision answers; empty if there is none."""
    found = session.execute(
        sa.select(AuditEntry.hash)
        .where(
            AuditEntry.object_kind == "release",
            AuditEntry.object_id == str(release_pk),
            AuditEntry.action == _ANSWERED[decision],
        )
        .order_by(AuditEntry.sequence.desc())
        .limit(1)
    ).scalar_one_or_none()
    return found or ""


def votes(session: Session, release: Release, decision: Decision) -> tuple[Vote, ...]:
    """Return the decisions that count: signed over these very terms, not dropped, in order."""
    rows = session.scalars(
        sa.select(Approval)
        .where(
            Approval.release_pk == release.release_pk,
            Approval.approved.is_(True),
            Approval.for_resume.is_(decision is Decision.RESUME),
            Approval.dropped_at.is_(None),
        )
        .order_by(Approval.approval_pk)
    ).all()
    if not rows or not answered(session, release.release_pk, decision):
        return ()
    keys = signing.keys_of(session)
    found = []
    for row in rows:
        vote = Vote(row.person_id, row.role, row.decided_at, marks_of(session, row.person_id, keys))
        text = text_to_sign(session, release, decision, vote)
        own = keys.get(row.person_id, frozenset())
        if row.manifest_sha256 == release.manifest_sha256 and _is_signed(own, text, row.signature):
            found.append(vote)
    return tuple(found)


def _is_signed(keys: Iterable[str], text: bytes, signature: str) -> bool:
    return any(signing.is_signed(key, text, signature) for key in keys)


def marks_of(session: Session, person_id: str, keys: dict[str, frozenset[str]]) -> frozenset[str]:
    """Return what tells a person from another besides the identity."""
    person = session.get(Person, person_id)
    own = set(keys.get(person_id, frozenset()))
    if person is not None:
        own |= {person.public_key, person.email.strip().casefold(), person.orcid.strip()}
    return frozenset(own - {""})


def signs_validly(
    session: Session, release: Release, decision: Decision, vote: Vote, signature: str
) -> bool:
    """Tell whether a signature is the person's own, over this decision on these terms."""
    keys = signing.keys_of(session).get(vote.person_id, frozenset())
    person = session.get(Person, vote.person_id)
    text = text_to_sign(session, release, decision, vote)
    # A new decision is signed with the key that the person has now, and the log knows it.
    now_valid = {person.public_key} & keys if person else set()
    return _is_signed(now_valid, text, signature)


def objections_to(level: Level, requester: str, vote: Vote, others: Iterable[Vote]) -> list[str]:
    """Say what speaks against counting one person's decision among the others'."""
    said = []
    if vote.role not in APPROVERS[level]:
        said.append(f"A release of level {level.word} is not approved in the role {vote.role}.")
    if level >= Level.EXTERNAL and vote.person_id == requester:
        said.append("Whoever asked for the release does not approve it.")
    return said + same_person(vote, others)


def same_person(vote: Vote, others: Iterable[Vote]) -> list[str]:
    """Say which of the others' decisions come from the same person as this one."""
    said = []
    for other in others:
        if other.person_id == vote.person_id:
            said.append(f"Person {vote.person_id} has decided already, as {other.role}.")
        elif other.marks & vote.marks:
            said.append(
                f"Persons {other.person_id} and {vote.person_id} have a key, an e-mail address "
                "or an ORCID iD in common and count as one."
            )
    return said


def missing_roles(needed: frozenset[Role], given: Iterable[Vote]) -> list[Role]:
    """Return the roles of which no decision is there yet, in the order of their names."""
    return sorted(needed - {vote.role for vote in given})


def set_findings(level: Level, requester: str, given: tuple[Vote, ...]) -> tuple[Finding, ...]:
    """Return what a set of approvals lacks for a level; empty if it is complete."""
    found = [
        procedure("approval", f"The approval by the {role.value} is missing.", role.value,
                  "Look at the release and approve or reject it.")
        for role in missing_roles(APPROVERS[level], given)
    ]  # fmt: skip
    for index, vote in enumerate(given):
        found += [
            procedure("approval", what, "officer", "Have it rejected and proposed again.")
            for what in objections_to(level, requester, vote, given[:index])
        ]
    return tuple(found)


def standing_objections(session: Session, release: Release, vote: Vote, now: datetime) -> list[str]:
    """Say why a person may not decide on a release in a role now, whatever they sign."""
    roles = people.roles_of(session, vote.person_id, release.study_pk, now)
    everywhere = people.roles_of(session, vote.person_id, None, now, everywhere=True)
    said = []
    if vote.role not in roles:
        said.append(f"Person {vote.person_id} does not have the role {vote.role} now.")
    if Role.ADMINISTRATOR in everywhere:
        said.append("An administrator applies releases and approves none.")
    if vote.role is not Role.LEAD and roles & {Role.STUDY_TEAM, Role.LEAD}:
        said.append(f"A {vote.role} does not decide on a study of their own team.")
    return said
