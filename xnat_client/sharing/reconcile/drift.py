"""A difference between declared and actual, and the acts that undo differences, as data.

Not here: finding them (``compare``, ``site_rules``), doing the acts (``repair``).
"""

from __future__ import annotations

from dataclasses import dataclass

from xnat_client.sharing.reconcile.observe import ObservedShare
from xnat_client.sharing.server_side.access import Member
from xnat_client.sharing.vocabulary import DriftClass, Severity


@dataclass(frozen=True)
class MakePrivate:
    """Close a project to everybody who is not a member."""

    project_id: str


@dataclass(frozen=True)
class RemoveMember:
    """Take an account out of a project."""

    project_id: str
    member: Member


@dataclass(frozen=True)
class LeaveSiteGroup:
    """Take an account out of a group that reads every project."""

    member: Member


@dataclass(frozen=True)
class EndShare:
    """End a share into another project."""

    share: ObservedShare


@dataclass(frozen=True)
class SuspendReleases:
    """Close a release project and suspend what is published in it."""

    project_id: str
    release_pks: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class CloseVersion:
    """Take a version that is not published out of a project that is read."""

    project_id: str
    release_pk: int


@dataclass(frozen=True)
class SetBack:
    """Set a property of the site back; done only when it was asked for."""

    name: str
    value: bool


@dataclass(frozen=True)
class OpenAgain:
    """Give declared readers what they are missing; done last, and checked again then."""

    project_id: str


Repair = (
    MakePrivate
    | RemoveMember
    | LeaveSiteGroup
    | EndShare
    | SuspendReleases
    | CloseVersion
    | SetBack
    | OpenAgain
)


@dataclass(frozen=True)
class Drift:
    """One difference.

    Attributes
    ----------
    project_id : str
        Empty for what concerns the whole site.
    what : str
        One sentence; the same difference has the same sentence in every cycle.
    repair : Repair or None
        What undoes it; None where a person must act.
    """

    drift: DriftClass
    severity: Severity
    project_id: str
    what: str
    repair: Repair | None = None


def unknown(project_id: str, what: str, repair: Repair | None = None) -> Drift:
    """Return the difference that something cannot be told: treated as open until it can."""
    return Drift(DriftClass.UNKNOWN, Severity.HIGH, project_id, what, repair)
