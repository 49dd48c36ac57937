"""Terms of use: a licence for open data, an agreement or the site's policy for the others.

Not here: acceptances (``grants``), data-use codes (``data_use``).
"""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from xnat_client.sharing.check import records_answers
from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.database.tables import Agreement, Release
from xnat_client.sharing.finding import Answer, met, not_met, unknown
from xnat_client.sharing.records.agreements import LICENCES
from xnat_client.sharing.vocabulary import Level


def of_terms(facts: Facts) -> Answer:
    """Answer whether a licence or an agreement that is in force is named."""
    release = facts.release
    if release is None:
        return unknown(
            "No release says yet under which terms.",
            "study team",
            "Build one with its licence or agreement.",
        )
    if facts.level is Level.OPEN:
        return _licence(release)
    if facts.level is Level.NAMED and not release.agreement_id:
        return _named_people(facts)
    return _agreement(facts, release)


def _licence(release: Release) -> Answer:
    if release.licence in LICENCES:
        return met(f"Licence {release.licence}.")
    return not_met(
        "No licence for open data is named.",
        "study team",
        f"Build it with one of {', '.join(sorted(LICENCES))}.",
    )


def _named_people(facts: Facts) -> Answer:
    if records_answers.statement_of(facts, "terms") is not None:
        return met("The lead stated the terms.")
    return not_met(
        "Neither an agreement nor the lead's statement says under which terms.",
        "lead",
        "Name an agreement, or state the terms (winxnat share state terms).",
    )


def _agreement(facts: Facts, release: Release) -> Answer:
    if not release.agreement_id or not release.agreement_version:
        return not_met(
            "No agreement is named.", "study team", "Build it with an agreement and its version."
        )
    legal = facts.session.scalars(
        sa.select(Agreement).where(
            Agreement.agreement_id == release.agreement_id,
            Agreement.version == release.agreement_version,
            Agreement.legal.is_(True),
        )
    ).all()
    name = f"Agreement {release.agreement_id} {release.agreement_version}"
    if len(legal) != 1:
        return not_met(
            f"{name} is not in the records with exactly one legal text.",
            "officer",
            "Add it (winxnat share agreement add), or name another.",
        )
    row = legal[0]
    if hashlib.sha256(row.text.encode()).hexdigest() != row.sha256:
        return not_met(
            f"The text of {name} is not the one that was recorded.", "officer", "Find out why."
        )
    if row.approved_by is None:
        return not_met(
            f"{name} is not approved by the officer.", "officer", "Approve it, or name another."
        )
    if row.effective_on > facts.now.date():
        return not_met(
            f"{name} takes effect on {row.effective_on.isoformat()}.", "", "Wait for that day."
        )
    return met(f"{name} is in force.")
