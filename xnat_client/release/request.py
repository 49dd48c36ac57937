"""What a release is asked to be, and what building it gave: plain data.

Not here: the building (``build``), the command line (``xnat_client.cli.sharing.build``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from xnat_client.errors import UsageError
from xnat_client.sharing.vocabulary import Level, Outcome

_FAMILY = re.compile(r"[A-Za-z][A-Za-z0-9-]{1,39}")
_VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})")
_LINK_RULE = re.compile(r"sealed|destroy:\d{4}-\d{2}-\d{2}")


class Column(StrEnum):
    """What of a participant may be asked for in ``participants.tsv``."""

    AGE_BAND = "age_band"
    SEX = "sex"
    HANDEDNESS = "handedness"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What a release shall be.

    Attributes
    ----------
    server : str
        Short name of the source project's server.
    project_id : str
        The source project.
    family, version : str
        Name of all versions, and this one's number (MAJOR.MINOR.PATCH).
    level : Level
        For whom it is; decides whose consent counts and by which profile headers are scrubbed.
    release_server, release_project : str
        Where it will be published; the project is not the source project.
    sessions : tuple of str
        Labels or IDs of sessions; empty for all of the project.
    leave_out : tuple of str
        BIDS folders (``anat``) and suffixes (``T1w``) that are not released.
    columns : tuple of Column
        Of ``participants.tsv``; none unless asked for.
    known_path, map_path : Path or None
        A file of further secret strings (booking numbers); a map for ``dicom-to-bids``.
    on_server : bool
        Whether the Container Service of the source project's server runs the steps after
        scrubbing, in a quarantine project.
    citation : mapping
        ``title``, ``creators`` (list of ``name``, ``orcid``), ``publisher``, ``year``,
        ``funding``, ``ethics``: what stands in the dataset's description and citation.
    """

    server: str
    project_id: str
    family: str
    version: str
    level: Level
    release_server: str
    release_project: str
    sessions: tuple[str, ...] = ()
    leave_out: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    agreement_id: str = ""
    agreement_version: str = ""
    licence: str = ""
    link_rule: str = "sealed"
    duo_codes: tuple[str, ...] = ()
    citation: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    embargo_until: date | None = None
    automatic_grants: bool = False
    known_path: Path | None = None
    map_path: Path | None = None
    engine: str = "process"
    on_server: bool = False
    jobs: int = 1
    reports_dir: Path | None = None
    """Where reports of refused sessions go for a person to look at; they may show faces."""

    def __post_init__(self) -> None:
        """Refuse what cannot be a release.

        Raises
        ------
        UsageError
            A name, number, level or rule is not of its form.
        """
        if not _FAMILY.fullmatch(self.family):
            raise UsageError(
                "The name of a release family is 2 to 40 letters, digits and hyphens and begins "
                "with a letter; give another one."
            )
        if not _VERSION.fullmatch(self.version):
            raise UsageError("A version is MAJOR.MINOR.PATCH, such as 1.0.0; give it in this form.")
        if self.level is Level.PRIVATE:
            raise UsageError("Private data are not released; choose a level from named to open.")
        if not _LINK_RULE.fullmatch(self.link_rule):
            raise UsageError("The link rule is 'sealed' or 'destroy:YYYY-MM-DD'.")
        if self.link_rule.startswith("destroy:"):
            _check_date(self.link_rule.partition(":")[2])
        same_server = self.release_server == self.server
        if same_server and self.release_project.casefold() == self.project_id.casefold():
            raise UsageError(
                "A release is a copy in a project of its own; name another project than the source."
            )
        if self.jobs < 1:
            raise UsageError("At least one session is worked on at a time; give --jobs 1 or more.")


def _check_date(text: str) -> None:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        raise UsageError("The day in the link rule is no day of the calendar.") from error


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one session is not in the release; ``participant`` is a number, never a label.

    ``check`` is the evidence that it spoils (``headers``, ``faces``, ``bids``), or ``build`` for
    a failure that says nothing of safety.
    """

    participant: int
    session: str
    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class EvidenceResult:
    """The outcome of one check over the built files; ``detail`` holds counts and places only."""

    check_id: str
    check_version: str
    outcome: Outcome
    files: int
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Excluded:
    """How many participants and sessions were not chosen, by reason; counts, never who."""

    reason: str
    participants: int
    sessions: int


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build gave.

    ``folder`` and ``manifest_sha256`` are empty where no session was left, and for a dry run.
    """

    release_pk: int | None
    folder: Path | None
    manifest_sha256: str
    participants: int
    sessions: int
    files: int
    size_bytes: int
    evidence: tuple[EvidenceResult, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    excluded: tuple[Excluded, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    """Files that are not in the release though a step made them, by reason."""
    is_dry_run: bool = False

    @property
    def is_complete(self) -> bool:
        """Tell whether all sessions went in and every check was met."""
        return (
            bool(self.manifest_sha256)
            and not self.refusals
            and all(each.outcome in {Outcome.MET, Outcome.NOT_NEEDED} for each in self.evidence)
        )
