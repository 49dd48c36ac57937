"""What the records say themselves: study, rights, link table, assessment, citation, risk.

Statements count if a person made them in a role that may, and did not take them back. Not here:
terms of use (``terms_answers``), consent, evidence, decisions.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from xnat_client.errors import XnatClientError
from xnat_client.sharing import link_table, standing
from xnat_client.sharing.check.reading import Facts
from xnat_client.sharing.database.tables import Person, Release, Statement
from xnat_client.sharing.finding import Answer, met, not_met, not_needed, prerequisite, unknown
from xnat_client.sharing.link_table import LinkState
from xnat_client.sharing.records.people import is_orcid
from xnat_client.sharing.records.rights import Rights
from xnat_client.sharing.records.statements import WHO_STATES
from xnat_client.sharing.versions import major_of
from xnat_client.sharing.vocabulary import Level

_DESTROY = "destroy:"
_YEARS = range(1900, 2200)


def statement_of(facts: Facts, key: str) -> Statement | None:
    """Return the newest statement on a prerequisite by somebody who may make it."""
    number = prerequisite(key).number
    found = [
        one
        for one in facts.statements
        if one.prerequisite == number and one.role in WHO_STATES[key] and one.text.strip()
    ]
    return found[-1] if found else None


def of_study(facts: Facts) -> Answer:
    """Answer whether lead, ethics reference and retention date are recorded."""
    study = facts.study
    lead = facts.session.get(Person, study.lead_id)
    missing = [
        what
        for what, there in (
            ("an active lead", lead is not None and lead.active),
            ("an ethics reference", bool(study.ethics_reference.strip())),
            ("a retention date", study.retention_until is not None),
        )
        if not there
    ]
    todo = "Complete the study's record (winxnat share study update)."
    if missing:
        return not_met(f"The study's record lacks {', '.join(missing)}.", "study team", todo)
    if study.retention_until is not None and study.retention_until < facts.now.date():
        return not_met(
            f"The retention period ended on {study.retention_until.isoformat()}.",
            "lead",
            "Delete the data, or record a new date with its reason.",
        )
    return met("Lead, ethics reference and retention date are recorded.")


def of_rights(facts: Facts) -> Answer:
    """Answer whether the lead answered each of the three questions on rights."""
    row = statement_of(facts, "rights")
    if row is not None and Rights.read(row.text) is None:
        return not_met(
            "The statement on the rights does not answer all three questions.",
            "lead",
            "State it again (winxnat share state rights).",
        )
    return _stated(facts, "rights", "lead", "The rights in the data are not stated.")


def of_risk(facts: Facts) -> Answer:
    """Answer whether the officer stated the risk of re-identification."""
    return _stated(facts, "risk", "officer", "The risk of re-identification is not stated.")


def of_assessment(facts: Facts) -> Answer:
    """Answer whether the impact assessment is referenced and the officer ticked it."""
    if not facts.study.dpia_reference.strip():
        return not_met(
            "No data protection impact assessment is referenced.",
            "lead",
            "Add its reference to the study's record (winxnat share study update).",
        )
    return _stated(facts, "dpia", "officer", "The officer did not tick the impact assessment.")


def _stated(facts: Facts, key: str, who: str, what: str) -> Answer:
    row = statement_of(facts, key)
    if row is None:
        return not_met(what, who, f"State it (winxnat share state {key}).")
    return met(f"Stated by the {row.role.value} on {row.made_at.date().isoformat()}.")


def of_link_table(facts: Facts) -> Answer:
    """Answer whether the link to identities is sealed, or destroyed by a declared date."""
    release = facts.release
    if release is None:
        return unknown("No release was built yet.", "custodian", "Seal its link table when it is.")
    try:
        header = link_table.read_header(facts.home, release.family)
    except XnatClientError:
        return unknown(
            "There is no link table of this family that can be read.",
            "custodian",
            "Find it, or build the release again.",
        )
    if header.state is LinkState.DESTROYED:
        return met("The link table is destroyed.")
    if header.state is not LinkState.SEALED:
        return not_met("The link table is open.", "custodian", "Seal it (winxnat share link seal).")
    if facts.level is not Level.OPEN:
        return met("The link table is sealed.")
    return _of_destruction(release, header.destroy_on, facts.now.date())


def _of_destruction(release: Release, destroy_on: str, today: date) -> Answer:
    declared = release.link_rule.removeprefix(_DESTROY)
    if not release.link_rule.startswith(_DESTROY) or destroy_on != declared:
        return not_met(
            "No day is declared, in the release and the link table alike, on which the link is "
            "destroyed.",
            "custodian",
            "Declare the day; an open release keeps no link.",
        )
    if date.fromisoformat(destroy_on) < today:
        return not_met(
            f"The link table was to be destroyed on {destroy_on} and is still there.",
            "custodian",
            "Destroy it now.",
        )
    return met(f"The link table is sealed and will be destroyed on {destroy_on}.")


def of_embargo(facts: Facts) -> Answer:
    """Answer whether the embargo has passed, or was waived."""
    release = facts.release
    if release is None or release.embargo_until is None:
        return not_needed("There is no embargo.")
    if standing.embargo_is_over(facts.session, release, facts.now):
        return met("The embargo has passed, or was waived.")
    return not_met(
        f"It is under embargo to the end of {release.embargo_until.isoformat()} (UTC).",
        "",
        "Wait, or have an approver waive it (winxnat share state embargo).",
    )


def of_citation(facts: Facts) -> Answer:
    """Answer whether somebody can cite the release."""
    release = facts.release
    if release is None:
        return unknown("No release was built yet.", "study team", "Give its citation then.")
    missing = citation_gaps(release.citation)
    if major_of(release.version) is None:
        missing.append("a version like 1.0.0")
    if missing:
        return not_met(
            f"The citation lacks {', '.join(missing)}.", "study team", "Complete it, build again."
        )
    return met("The citation record is complete.")


def citation_gaps(citation: Mapping[str, Any]) -> list[str]:
    """Return what a citation record lacks, after the mandatory properties of DataCite 4.5 [1]_.

    Parameters
    ----------
    citation : mapping
        ``title``, ``creators`` (list of ``name`` and, where given, ``orcid``), ``publisher``,
        ``year``, ``funding`` (empty where there was none). Type and version are the release's own.

    References
    ----------
    .. [1] DataCite Metadata Schema 4.5, section 2.3, https://doi.org/10.14454/g8e5-6293
    """
    gaps = [f"a {key}" for key in ("title", "publisher") if not _is_text(citation.get(key))]
    gaps += _creator_gaps(citation.get("creators"))
    year = str(citation.get("year", ""))
    if not (year.isascii() and year.isdigit() and int(year) in _YEARS):
        gaps.append("a year of publication")
    if "funding" not in citation:
        gaps.append("the funding (an empty list where there was none)")
    return gaps


def _creator_gaps(creators: object) -> list[str]:
    if not isinstance(creators, list | tuple) or not creators:
        return ["creators"]
    gaps = []
    for creator in creators:
        if not isinstance(creator, Mapping) or not _is_text(creator.get("name")):
            gaps.append("the name of a creator")
        elif creator.get("orcid") and not is_orcid(str(creator["orcid"])):
            gaps.append("a valid ORCID iD of a creator")
    return gaps


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())
