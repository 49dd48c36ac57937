"""The closed vocabularies of sharing: levels, roles, data types, states, outcomes.

Every word that is stored in the database or printed for a machine is a member of one of these
enumerations; a word that is in none of them is refused, never guessed. Not here: what a level
demands (``levels``), which events change a state (``machines``).
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Level(IntEnum):
    """Who may read a release; a lower number never implies a right at a higher one."""

    PRIVATE = 0
    NAMED = 1
    MEMBERS = 2
    EXTERNAL = 3
    OPEN = 4

    @property
    def word(self) -> str:
        """The word of the command line: the name in lower case."""
        return self.name.lower()

    @classmethod
    def from_word(cls, word: str) -> Level:
        """Return the level of a word of the command line.

        Raises
        ------
        ValueError
            The word names no level.
        """
        for level in cls:
            if level.word == word:
                return level
        raise ValueError(f"{word!r} is no sharing level")


class Role(StrEnum):
    """What a person is to a study, or to the whole site."""

    STUDY_TEAM = "study-team"
    LEAD = "lead"
    STEWARD = "steward"
    OFFICER = "officer"
    ADMINISTRATOR = "administrator"
    CUSTODIAN = "custodian"
    SERVICE = "service"
    MEMBER = "member"
    EXTERNAL = "external"


class DataType(StrEnum):
    """The kinds of data that a consent form names one by one."""

    IMAGING = "imaging"
    ELECTROPHYSIOLOGY = "electrophysiology"
    BEHAVIOUR = "behaviour"
    VIDEO = "video"
    GENETICS = "genetics"


class ConsentEvent(StrEnum):
    """What a line of the consent history says; lines are added, never changed."""

    GIVEN = "given"
    NO_FURTHER_CONTACT = "no-further-contact"
    NO_FURTHER_SHARING = "no-further-sharing"
    DELETE_EVERYTHING = "delete-everything"


class ReleaseState(StrEnum):
    """Where a release stands."""

    DRAFT = "draft"
    CHECKED = "checked"
    PROPOSED = "proposed"
    APPROVED = "approved"
    EMBARGOED = "embargoed"
    PUBLISHED = "published"
    SUPERSEDED = "superseded"
    SUSPENDED = "suspended"
    WITHDRAWN = "withdrawn"


READABLE_STATES = frozenset({ReleaseState.PUBLISHED, ReleaseState.SUPERSEDED})
"""The only states in which anybody outside the study team may read a release."""


class GrantState(StrEnum):
    """Where one person's permission to read one family of releases stands."""

    REQUESTED = "requested"
    ACCEPTED = "accepted"
    ACTIVE = "active"
    EXPIRING = "expiring"
    EXPIRED = "expired"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    REFUSED = "refused"
    ENDED = "ended"


READING_GRANTS = frozenset({GrantState.ACTIVE, GrantState.EXPIRING})
"""The states of a grant in which its holder may read."""


class Outcome(StrEnum):
    """The answer to one question; whatever is not MET keeps a release closed."""

    MET = "met"
    NOT_MET = "not met"
    UNKNOWN = "unknown"
    NOT_NEEDED = "not needed"


class Need(StrEnum):
    """What a level asks of one prerequisite."""

    CHECKED = "required, checked by machine"
    STATED = "required statement of a named person"
    RECOMMENDED = "recommended"
    OPTIONAL = "optional"
    NONE = "not needed"


class ServerSide(StrEnum):
    """Which side of the wall an XNAT server stands on."""

    INSIDE = "inside"
    OUTSIDE = "outside"


class Severity(IntEnum):
    """How bad a difference between declared and actual is; also the order of reports."""

    NONE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class DriftClass(StrEnum):
    """Kinds of difference between what is declared and what a server says is true."""

    OVER_EXPOSED_LEVEL = "over-exposed level"
    OVER_EXPOSED_PEOPLE = "over-exposed people"
    FOREIGN_SHARE = "foreign share"
    FOREIGN_FILE = "foreign file"
    WEAKENED_SITE = "weakened site"
    UNDER_EXPOSED = "under-exposed"
    UNKNOWN = "unknown"
    STALE = "stale"
    GHOST = "ghost"


class WithdrawalReason(StrEnum):
    """Why a release was withdrawn for good."""

    CONSENT = "consent"
    DISCLOSURE = "disclosure"
    ERROR = "error"
    LEGAL = "legal"
