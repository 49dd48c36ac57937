"""What the machine of grants asks, answered from the records as they are at this moment.

Not here: the questions (``machines.grant_machine``), acting on the answers (``grants``).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import trusted
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.database.tables import (
    Acceptance,
    AuditEntry,
    Grant,
    Person,
    Release,
    ReleaseParticipant,
)
from xnat_client.sharing.finding import Finding, procedure
from xnat_client.sharing.records import agreements, consent, people
from xnat_client.sharing.records.people import is_orcid
from xnat_client.sharing.vocabulary import Level, ReleaseState, Role

LONGEST = timedelta(days=365)
"""Longest time for which a grant is given at once."""

_SOON = timedelta(days=30)

_PRIVATE_MAIL = frozenset(
    {
        "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com",
        "icloud.com", "aol.com", "gmx.de", "gmx.net", "gmx.com", "web.de", "proton.me",
        "protonmail.com", "mail.ru", "qq.com", "163.com",
    }
)  # fmt: skip
"""Providers at which everybody can have any address: they say nothing on an institution."""

_APPROVER = {Level.NAMED: Role.LEAD, Level.EXTERNAL: Role.STEWARD}


def person_objections(person: Person | None, *, alone: bool) -> tuple[Finding, ...]:
    """Return what speaks against a person as a recipient.

    Parameters
    ----------
    alone : bool
        Whether no person will look at the request, so that the records must prove who it is.
    """
    said = []
    if person is None or not person.active:
        return (procedure("person", "The person is not active.", "administrator", ""),)
    domain = person.email.rpartition("@")[2].strip().casefold()
    if not domain or not person.institution.strip():
        said.append("No institution, or no e-mail address, is recorded of the person.")
    if domain in _PRIVATE_MAIL:
        said.append("The person's e-mail address is not an institution's.")
    if alone and not person.from_directory and not is_orcid(person.orcid):
        said.append("Neither the directory nor an ORCID iD says who the person is.")
    return tuple(
        procedure("person", what, "steward", "Complete the person's record.") for what in said
    )


def _about_approver(said: list[str]) -> tuple[Finding, ...]:
    return tuple(
        procedure("approver", what, "steward", "Have the right person decide.") for what in said
    )


class RecordedGrantCase:
    """A grant of the records, as ``GrantCase`` asks about it.

    Parameters
    ----------
    line : list of Release
        All releases of its family at its level, oldest first.
    actor : Actor
        Who acts.
    now : datetime
        Time of the records' clock.
    ends_at : datetime
        When it shall end, if the event opens it.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # what an event brings with it
        self,
        session: Session,
        grant: Grant,
        line: list[Release],
        actor: Actor,
        now: datetime,
        ends_at: datetime,
    ) -> None:
        self.session = session
        self.grant = grant
        self.line = [one for one in line if one.state is not ReleaseState.WITHDRAWN]
        self.actor = actor
        self.now = now
        self.ends_at = ends_at

    @cached_property
    def _person(self) -> Person | None:
        return self.session.get(Person, self.grant.person_id)

    @cached_property
    def acceptance(self) -> Acceptance | None:
        """The person's newest acceptance of the newest release's agreement that counts."""
        if not self.needs_agreement():
            return None
        found = agreements.counting_acceptance(
            self.session,
            self.grant.person_id,
            self.line[-1].agreement_id,
            self.grant.family,
            self.now,
        )
        return found if found is not None and trusted.is_sealed(self.session, found) else None

    def needs_agreement(self) -> bool:
        """Tell whether the release names an agreement; outsiders always need one."""
        named = bool(self.line) and bool(self.line[-1].agreement_id)
        return named or self.grant.level is Level.EXTERNAL

    def agreement_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against the acceptance that the grant rests on."""
        if not self.line:
            return self.release_objections()
        if not self.needs_agreement() or self.acceptance is not None:
            return ()
        return (
            procedure(
                "agreement",
                "The person has no acceptance of the current agreement that counts.",
                "recipient",
                "Accept it (winxnat share agreement accept).",
            ),
        )

    def person_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against the person."""
        return person_objections(self._person, alone=self.is_automatic())

    def approver_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against who acts."""
        said = self._decider_objections()
        if self.actor.role is not _APPROVER.get(self.grant.level):
            said.append(
                f"A request at level {self.grant.level.word} is not decided by the "
                f"{self.actor.role.value}."
            )
        return _about_approver(said)

    def endorser_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against who agrees to the purpose."""
        return _about_approver(self._decider_objections())

    def _decider_objections(self) -> list[str]:
        said = []
        if self.actor.person_id == self.grant.person_id:
            said.append("Nobody decides on their own request.")
        everywhere = people.roles_of(
            self.session, self.actor.person_id, None, self.now, everywhere=True
        )
        if Role.ADMINISTRATOR in everywhere:
            said.append("An administrator grants nothing.")
        return said

    def release_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against granting at this level of this family."""
        if self.line:
            return ()
        return (procedure("release", "No release of this family and level is left."),)

    def is_automatic(self) -> bool:
        """Tell whether accepting the agreement is enough."""
        return (
            bool(self.line)
            and self.line[-1].automatic_grants
            and not self._needs_review()
            and not person_objections(self._person, alone=True)
        )

    def is_endorsed(self) -> bool:
        """Tell whether the lead agreed to the purpose, or need not."""
        if not self._needs_review():
            return True
        by = self.grant.endorsed_by
        if not by or by == self.grant.person_id or not self.line:
            return False
        return Role.LEAD in people.roles_of(self.session, by, self.line[-1].study_pk, self.now)

    def _needs_review(self) -> bool:
        """Tell whether any form in the line demands that purposes are looked at."""
        for study in sorted({one.study_pk for one in self.line}):
            effective = consent.effective_for_study(self.session, study)
            numbers = self.session.scalars(
                sa.select(ReleaseParticipant.participant_pk).where(
                    ReleaseParticipant.release_pk.in_([one.release_pk for one in self.line])
                )
            )
            if any(number in effective and effective[number].purpose_review for number in numbers):
                return True
        return False

    def ends_soon(self) -> bool:
        """Tell whether the end date is near."""
        return self.grant.ends_at is None or self.grant.ends_at - self.now <= _SOON

    def is_past(self) -> bool:
        """Tell whether the end date has passed."""
        return self.grant.ends_at is None or self.grant.ends_at <= self.now

    def is_suspended_by_time(self) -> bool:
        """Tell whether no person suspended it, only a newer agreement did."""
        role = self.session.execute(
            sa.select(AuditEntry.role)
            .where(
                AuditEntry.object_kind == "grant",
                AuditEntry.object_id == str(self.grant.grant_pk),
                AuditEntry.action == "grant.suspend",
            )
            .order_by(AuditEntry.sequence.desc())
            .limit(1)
        ).scalar_one_or_none()
        return role == Role.SERVICE.value

    def is_dated(self) -> bool:
        """Tell whether it would end ahead and within a year; what was given is not prolonged."""
        return self.now < self.ends_at <= self.now + LONGEST
