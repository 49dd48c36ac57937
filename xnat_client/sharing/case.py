"""What the machine of releases asks, answered from the records as they are at this moment.

Each answer is made when it is asked for, and once: closing asks none. Not here: the questions
(``machines.release_machine``), acting on the answers (``decisions``).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cached_property

from sqlalchemy.orm import Session

from xnat_client.sharing import approvals, signing, standing
from xnat_client.sharing.approvals import RESUMERS, Decision, Vote
from xnat_client.sharing.check import checking
from xnat_client.sharing.check.folder import FolderObservation
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.finding import Finding, procedure
from xnat_client.sharing.home import Home
from xnat_client.sharing.machines.release_machine import APPROVALS_LAST
from xnat_client.sharing.versions import version_key
from xnat_client.sharing.vocabulary import READABLE_STATES, ReleaseState

_READABLE_WORDS = frozenset(state.value for state in READABLE_STATES)
_STILL_OPENING = frozenset({ReleaseState.PROPOSED, ReleaseState.APPROVED, ReleaseState.EMBARGOED})


class RecordedCase:
    """A release of the records, as ``ReleaseCase`` asks about it.

    Parameters
    ----------
    now : datetime
        Time of the records' clock.
    vote : Vote or None
        The acting person's own decision, where the event is one.
    signature : str
        Under that decision.
    folder : FolderObservation or None
        Digests of the release's files that were read before the transaction.
    """

    def __init__(  # noqa: PLR0913, PLR0917  # what an event brings with it
        self,
        session: Session,
        home: Home,
        release: Release,
        now: datetime,
        vote: Vote | None = None,
        signature: str = "",
        folder: FolderObservation | None = None,
    ) -> None:
        self.session = session
        self.home = home
        self.release = release
        self.now = now
        self.level = release.level
        self.checked_at = release.checked_at
        self._signature = signature
        self._folder = folder
        self._vote = vote

    @cached_property
    def _own(self) -> Vote | None:
        if self._vote is None:
            return None
        keys = signing.keys_of(self.session)
        return replace(
            self._vote, marks=approvals.marks_of(self.session, self._vote.person_id, keys)
        )

    @cached_property
    def _decision(self) -> Decision:
        suspended = self.release.state is ReleaseState.SUSPENDED
        return Decision.RESUME if suspended else Decision.APPROVE

    @cached_property
    def _approvals(self) -> tuple[Vote, ...]:
        given = approvals.votes(self.session, self.release, Decision.APPROVE)
        if self._own is not None and self._decision is Decision.APPROVE:
            return (*given, self._own)
        return given

    @cached_property
    def _resumes(self) -> tuple[Vote, ...]:
        given = tuple(
            vote
            for vote in approvals.votes(self.session, self.release, Decision.RESUME)
            if self.now - vote.decided_at < APPROVALS_LAST
        )
        if self._own is not None and self._decision is Decision.RESUME:
            return (*given, self._own)
        return given

    @cached_property
    def _prerequisites(self) -> tuple[Finding, ...]:
        return tuple(
            checking.without_approvals(
                self.session,
                self.home,
                self.release,
                self.level,
                now=self.now,
                folder=self._folder,
            )
        )

    def prerequisites(self) -> tuple[Finding, ...]:
        """Return the findings on all prerequisites of the level but the approvals."""
        return self._prerequisites

    def decision_objections(self) -> tuple[Finding, ...]:
        """Return what speaks against counting the acting person's own decision."""
        if self._own is None:
            return (procedure("decision", "There is no decision to count."),)
        said = approvals.standing_objections(self.session, self.release, self._own, self.now)
        if not approvals.signs_validly(
            self.session, self.release, self._decision, self._own, self._signature
        ):
            said.append(
                "The signature is not this person's, or not over this manifest, level and proposal."
            )
        said += self._distinct_objections(self._own)
        return tuple(
            procedure("decision", what, "approvers", "Have another person decide.") for what in said
        )

    def _distinct_objections(self, own: Vote) -> list[str]:
        if self._decision is Decision.APPROVE:
            return approvals.objections_to(
                self.level, self.release.requested_by, own, self._approvals[:-1]
            )
        return approvals.same_person(own, self._resumes[:-1])

    def approval_findings(self) -> tuple[Finding, ...]:
        """Return what the approvals lack, the acting person's own among them."""
        found = approvals.set_findings(self.level, self.release.requested_by, self._approvals)
        if self.release.state not in _STILL_OPENING:
            return found  # decided and published long ago; who left since decided well then
        left = [
            procedure("approval", what, "officer", "Have it rejected and proposed again.")
            for vote in self._approvals
            if vote is not self._own
            for what in approvals.standing_objections(self.session, self.release, vote, self.now)
        ]
        return (*found, *left)

    def approvals_age(self) -> timedelta:
        """Return the age of the oldest approval that counts."""
        if not self._approvals:
            return timedelta.max
        return self.now - min(vote.decided_at for vote in self._approvals)

    def resume_is_complete(self) -> bool:
        """Tell whether steward and officer, two people, agreed to open it again."""
        return not approvals.missing_roles(RESUMERS, self._resumes)

    def embargo_is_over(self) -> bool:
        """Tell whether the embargo has passed or was waived."""
        return standing.embargo_is_over(self.session, self.release, self.now)

    def was_readable(self) -> bool:
        """Tell whether it was readable before it was suspended."""
        return self.release.state_before_suspension in _READABLE_WORDS

    def newer_is_published(self) -> bool:
        """Tell whether a newer version of the family is published at this level."""
        own = version_key(self.release.version)
        return any(
            version_key(other.version) > own and other.state in READABLE_STATES
            for other in standing.same_line(self.session, self.release)
        )
