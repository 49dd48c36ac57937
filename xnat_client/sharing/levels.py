"""What each sharing level demands: 18 prerequisites by five levels, as one table.

This table is the policy. ``check`` evaluates it, the documentation prints it, and nothing else in
the product decides what a level needs. Not here: how a prerequisite is evaluated.
"""

from __future__ import annotations

from dataclasses import dataclass

from xnat_client.sharing.vocabulary import Level, Need, Role

_C, _S, _R, _O, _N = Need.CHECKED, Need.STATED, Need.RECOMMENDED, Need.OPTIONAL, Need.NONE


@dataclass(frozen=True)
class Prerequisite:
    """One condition of sharing.

    Attributes
    ----------
    number : int
        Its fixed number, 1 to 18.
    key : str
        Its name for machines.
    title : str
        What must be true, for people.
    needs : tuple of Need
        What each level asks of it, from private to open.
    """

    number: int
    key: str
    title: str
    needs: tuple[Need, Need, Need, Need, Need]

    def need(self, level: Level) -> Need:
        """Return what a level asks of this prerequisite."""
        return self.needs[level]

    def blocks(self, level: Level) -> bool:
        """Tell whether a release of this level stays closed until this is met."""
        return self.needs[level] in {Need.CHECKED, Need.STATED}


PREREQUISITES: tuple[Prerequisite, ...] = (
    Prerequisite(1, "study-record", "Lead, ethics reference and retention date are recorded",
                 (_C, _C, _C, _C, _C)),
    Prerequisite(2, "rights", "Rights in the data are stated: intellectual property, third "
                 "parties, export control", (_N, _S, _S, _S, _S)),
    Prerequisite(3, "consent", "Every participant consented to this level, on an accepted form, "
                 "and has not withdrawn", (_N, _C, _C, _C, _C)),
    Prerequisite(4, "consent-data-types", "Every participant's consent covers each kind of data",
                 (_N, _C, _C, _C, _C)),
    Prerequisite(5, "headers", "Every file meets the de-identification criteria for headers",
                 (_N, _N, _C, _C, _C)),
    Prerequisite(6, "faces", "Every head image that may show a face is defaced, by measured "
                 "evidence, and doubtful ones were looked at", (_N, _N, _R, _C, _C)),
    Prerequisite(7, "labels", "Labels are new and random; no secret string of the study is in "
                 "any file, name or report", (_N, _N, _C, _C, _C)),
    Prerequisite(8, "link-table", "The link to identities is sealed, or destroyed by a declared "
                 "date", (_N, _N, _C, _C, _C)),
    Prerequisite(9, "tables", "Tables single nobody out: groups of at least five, ages above 89 "
                 "capped, no dates, no free text", (_N, _N, _N, _C, _C)),
    Prerequisite(10, "quality", "Quality was measured for every image; what is missing is listed",
                 (_N, _N, _R, _C, _C)),
    Prerequisite(11, "bids", "The BIDS validator finds no error", (_N, _N, _R, _C, _C)),
    Prerequisite(12, "terms", "A licence or an agreement is named", (_N, _S, _C, _C, _C)),
    Prerequisite(13, "data-use", "Data-use codes agree with every consent form",
                 (_N, _N, _N, _C, _C)),
    Prerequisite(14, "dpia", "The data protection impact assessment is referenced and ticked by "
                 "the officer", (_N, _N, _S, _C, _C)),
    Prerequisite(15, "embargo", "The embargo has passed, or was waived", (_N, _N, _O, _O, _O)),
    Prerequisite(16, "citation", "The citation record is complete", (_N, _N, _C, _C, _C)),
    Prerequisite(17, "approval", "The people whom the level names approved this very manifest",
                 (_N, _C, _C, _C, _C)),
    Prerequisite(18, "risk", "The officer states the risk of re-identification",
                 (_N, _N, _N, _S, _S)),
)  # fmt: skip

APPROVERS: dict[Level, frozenset[Role]] = {
    Level.PRIVATE: frozenset(),
    Level.NAMED: frozenset({Role.LEAD}),
    Level.MEMBERS: frozenset({Role.LEAD, Role.STEWARD}),
    Level.EXTERNAL: frozenset({Role.LEAD, Role.STEWARD}),
    Level.OPEN: frozenset({Role.LEAD, Role.STEWARD, Role.OFFICER}),
}
"""Roles that must approve; each by a person of its own, none of them the requester from
``EXTERNAL`` on, the steward never from the study's own team."""

SUSPENDERS = frozenset({Role.LEAD, Role.STEWARD, Role.OFFICER, Role.ADMINISTRATOR, Role.SERVICE})
"""Roles of which any one may close a release at once, without conditions."""

SMALLEST_GROUP = 5
"""Fewest people who share a combination of quasi-identifiers in a released table."""

OLDEST_AGE_YEARS = 89
"""Ages above this are released as ``89+`` (45 CFR 164.514(b)(2)(i)(C): all ages over 89)."""
