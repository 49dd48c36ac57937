"""Asking all prerequisites of a level, of a release or of a project before anything was built.

Not here: how one of them is answered (the other modules of this folder), acting on the findings
(``decisions``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from sqlalchemy.orm import Session

from xnat_client.sharing import approvals
from xnat_client.sharing.approvals import Decision
from xnat_client.sharing.audit import chain, verify
from xnat_client.sharing.check import (
    consent_answers,
    data_use,
    evidence_answers,
    freshness,
    old_evidence,
    reading,
    records_answers,
    terms_answers,
)
from xnat_client.sharing.check.folder import FolderObservation
from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.database.tables import Release, Study
from xnat_client.sharing.finding import (
    Answer,
    Finding,
    finding,
    met,
    not_met,
    prerequisite,
    procedure,
    unknown,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.levels import APPROVERS, PREREQUISITES
from xnat_client.sharing.standing import not_before_mark
from xnat_client.sharing.vocabulary import Level, Outcome

_ANSWERS: dict[str, Callable[[Facts], Answer]] = {
    "study-record": records_answers.of_study,
    "rights": records_answers.of_rights,
    "consent": consent_answers.of_level,
    "consent-data-types": consent_answers.of_data_types,
    **{
        key: partial(evidence_answers.of_check, check=check)
        for key, check in evidence_answers.CHECK_OF.items()
    },
    "link-table": records_answers.of_link_table,
    "terms": terms_answers.of_terms,
    "data-use": data_use.of_codes,
    "dpia": records_answers.of_assessment,
    "embargo": records_answers.of_embargo,
    "citation": records_answers.of_citation,
    "risk": records_answers.of_risk,
}
_APPROVAL = "approval"
_FIRST_LEVEL_OF_COPIES = Level.NAMED


def check_release(  # noqa: PLR0913  # which release, where, for whom, when
    session: Session,
    home: Home,
    release: Release,
    level: Level,
    *,
    now: datetime,
    folder: FolderObservation | None = None,
) -> list[Finding]:
    """Answer all prerequisites of a level for a release, approvals among them.

    Parameters
    ----------
    level : Level
        May be another than the release's own: what would it take?
    folder : FolderObservation or None
        Digests of its files that were read before; files touched since are read again.

    Returns
    -------
    list of Finding
        The 18 prerequisites in their order; then, where something is wrong with them, the files
        against their manifest and the records against the audit log. A release may open only if
        none of them ``blocks``.

    Notes
    -----
    Every file is read once, and the whole audit log; the records are asked some twenty questions,
    however many participants and files there are.
    """
    at = not_before_mark(session, now)
    without = without_approvals(session, home, release, level, now=at, folder=folder)
    by_number = {**{one.number: one for one in without if one.number}}
    approved = finding(_APPROVAL, level, _of_approvals(session, release, level))
    by_number[approved.number] = approved
    return [by_number[one.number] for one in PREREQUISITES] + [
        one for one in without if not one.number
    ]


def without_approvals(  # noqa: PLR0913  # as check_release
    session: Session,
    home: Home,
    release: Release,
    level: Level,
    *,
    now: datetime,
    folder: FolderObservation | None = None,
) -> list[Finding]:
    """Answer everything but the approvals, which come after it."""
    session.flush()
    broken = _of_log(session)
    facts = reading.of_release(session, home, release, level, now=now, folder=folder)
    found = _ask(facts)
    if level >= _FIRST_LEVEL_OF_COPIES:
        found += _procedure("files", evidence_answers.of_files(facts))
        found += [
            procedure("stale", what, "study team", "Check it again, or build the next version.")
            for what in freshness.changes_since(session, release, now)
        ]
    in_force = facts.freshness.criteria if facts.freshness else None
    accepted = facts.freshness is not None and facts.freshness.accepted
    if old_evidence.is_overdue(session, release, now):
        found += _procedure(
            "recheck",
            not_met(
                "It is open and was last checked more than a year ago.",
                "study team",
                "Build the next version, or suspend this one.",
            ),
        )
    if (
        prerequisite("headers").blocks(level)
        and release.criteria_version != in_force
        and not accepted
    ):
        found += _procedure(
            "criteria",
            not_met(
                "The release was built under other criteria than those in force.",
                "study team",
                "Build the next version, or have the officer adopt criteria.",
            ),
        )
    return found + broken


def check_project(
    session: Session, home: Home, study: Study, level: Level, *, now: datetime
) -> list[Finding]:
    """Answer the prerequisites of a level for a study of which nothing was built yet.

    All of its participants count as if they were in the release.
    """
    at = not_before_mark(session, now)
    session.flush()
    broken = _of_log(session)
    found = _ask(reading.of_project(session, home, study, level, now=at))
    answer = unknown(
        "There is no manifest to approve yet.", "study team", "Build a release and propose it."
    )
    found.append(finding(_APPROVAL, level, answer))
    return sorted(found, key=lambda one: one.number) + broken


def _ask(facts: Facts) -> list[Finding]:
    return [
        finding(one.key, facts.level, _ANSWERS[one.key](facts))
        for one in PREREQUISITES
        if one.key != _APPROVAL
    ]


def _of_approvals(session: Session, release: Release, level: Level) -> Answer:
    given = approvals.votes(session, release, Decision.APPROVE)
    lacking = approvals.set_findings(level, release.requested_by, given)
    if level is not release.level:
        return not_met(
            f"The approvals are about level {release.level.word}.",
            "study team",
            "Build a release for this level.",
        )
    if lacking:
        first = lacking[0]
        return not_met(first.what, first.who, first.todo)
    roles = ", ".join(sorted(role.value for role in APPROVERS[level]))
    return met(f"Approved and signed by {roles}.")


def _of_log(session: Session) -> list[Finding]:
    """Return a finding if the records are not what the audit log says was written."""
    # What this transaction wrote itself is sealed before it is compared.
    chain.seal_rest(session)
    with Session(session.connection(), join_transaction_mode="create_savepoint") as own:
        verdict = verify.verify(own)
    if verdict.is_whole:
        return []
    first = verdict.breaks[0]
    return _procedure(
        "records",
        unknown(
            f"The records are not what the audit log says: {first.place}: {first.what}",
            "officer",
            "Nothing opens until it is found out (winxnat audit verify).",
        ),
    )


def _procedure(key: str, answer: Answer) -> list[Finding]:
    """Return a finding of its own for an answer that is no prerequisite's, if it blocks."""
    if answer.outcome is Outcome.MET:
        return []
    return [procedure(key, answer.what, answer.who, answer.todo)]
