"""Evidence: the results of checks, bound to the files, the criteria and the code they came from.

A check's result counts only while nothing it depends on has changed. What it depends on is
computed again from the release's folder each time, so that a changed file makes its own evidence
stale. Not here: the checks themselves (``xnat_client.release``, the steps), the rules that read
the evidence (``check``).
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Evidence, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Outcome, Role

if TYPE_CHECKING:
    from xnat_client.sharing.check.folder import FolderObservation


class CheckId(StrEnum):
    """The checks whose evidence a release needs; the prerequisites of the same key read it."""

    HEADERS = "headers"
    FACES = "faces"
    SECRETS = "secrets"
    TABLES = "tables"
    QUALITY = "quality"
    BIDS = "bids"


SUMMARY_DIR = "evidence/"
"""Folder of the release's own summary of the checks; only the search for secrets reads it."""

MANIFEST_NAMES = frozenset({"manifest.json", "manifest.sha256", "manifest.sig.json"})
"""Made from all other files and after all checks; ``check`` compares them with the others."""

_TABLES = (".tsv", ".csv", ".tsv.gz")
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".svg", ".pdf", ".html")
_NO_IMAGE = (
    *_TABLES, ".json", ".md", ".txt", ".cff", ".bval", ".bvec", ".xml", ".yaml", ".yml",
    ".meg4", ".res4", ".hc", ".acq", ".hist", ".infods", ".newds", ".cls", ".con", ".sqd", ".mrk",
    ".edf", ".bdf", ".vhdr", ".vmrk", ".eeg", ".set", ".fdt", ".fif", ".pos", ".elp", ".hsp",
    ".bidsignore",
)  # fmt: skip
_NO_IMAGE_NAMES = frozenset({"README", "CHANGES", "LICENSE"})


def covers(check: CheckId, path: str) -> bool:
    """Tell whether a check must have looked at a file of a release.

    Whatever is not known to be no image counts as one: a format that nobody thought of must not
    slip past the search for faces.

    Parameters
    ----------
    path : str
        As the manifest has it: relative, with forward slashes.
    """
    if path in MANIFEST_NAMES:
        return False
    if check is CheckId.SECRETS:
        return True
    if path.startswith(SUMMARY_DIR):
        return False
    name = PurePosixPath(path).name
    if check in {CheckId.FACES, CheckId.QUALITY}:
        may_be_picture = check is CheckId.FACES or not name.lower().endswith(_PICTURES)
        return (
            may_be_picture and name not in _NO_IMAGE_NAMES and not name.lower().endswith(_NO_IMAGE)
        )
    return check is not CheckId.TABLES or name.lower().endswith(_TABLES)


def digest_of_files(files: Mapping[str, str]) -> str:
    """Return the SHA-256 over the sorted lines ``sha256  path`` of files.

    Parameters
    ----------
    files : mapping of str to str
        Path in the release to SHA-256 of its bytes.
    """
    lines = sorted(f"{digest}  {path}\n" for path, digest in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def inputs_digest(check: CheckId, files: Mapping[str, str]) -> str:
    """Return the digest that valid evidence of a check has over the files of a release."""
    return digest_of_files({path: sha for path, sha in files.items() if covers(check, path)})


@dataclass(frozen=True)
class CheckResult:
    """What a check found over the files of a release.

    Attributes
    ----------
    check : CheckId
        Which check.
    outcome : Outcome
        Met, not met, or unknown; ``NOT_NEEDED`` only where there was nothing to look at.
    version : str
        Version of the check's code: ``version_now`` when the check ran here, else what the
        check's own report says.
    files : mapping of str to str
        Path in the release to SHA-256 of every file that was looked at.
    detail : mapping
        Counts and places, never an identity.
    machine : str
        Where it ran; empty for this machine's kind of system.
    """

    check: CheckId
    outcome: Outcome
    version: str
    files: Mapping[str, str]
    detail: Mapping[str, Any] = field(default_factory=dict)
    machine: str = ""


MAKERS = frozenset({Role.SERVICE})
"""Who adds evidence: the build that ran the check; nobody writes their own."""


def add(
    session: Session, actor: Actor, release: Release, result: CheckResult, *, now: datetime
) -> Evidence:
    """Add the result of a check; older results stay, the newest counts.

    Parameters
    ----------
    release : Release
        Already part of the session, with its criteria version set.

    Raises
    ------
    UsageError
        The result names no version, or says that nothing was needed though files were there.
    NotAllowedError
        The actor may not run checks for the study.
    """
    people.require_any_role(session, actor, *MAKERS, study_pk=release.study_pk, now=now)
    if not result.version:
        raise UsageError(
            f"Evidence of the check {result.check.value} names no version of the check. "
            "Run it with a version that can be named."
        )
    if result.outcome is Outcome.NOT_NEEDED and result.files:
        raise UsageError(
            f"The check {result.check.value} looked at {len(result.files)} files and says that "
            "it was not needed. Give what it found."
        )
    row = Evidence(
        release_pk=release.release_pk,
        check_id=result.check.value,
        check_version=result.version,
        criteria_version=release.criteria_version,
        inputs_sha256=digest_of_files(result.files),
        outcome=result.outcome,
        files=len(result.files),
        detail=dict(result.detail),
        made_at=now,
        machine=result.machine or platform.system(),
    )
    session.add(row)
    session.flush()
    after = {"check": row.check_id, "outcome": row.outcome.value, "inputs": row.inputs_sha256}
    change = chain.Change("evidence.add", "release", str(release.release_pk), {}, after)
    chain.append(session, actor, change, now=now)
    return row


def newest(session: Session, release_pk: int) -> dict[CheckId, Evidence]:
    """Return the newest evidence of each check of a release."""
    rows = session.scalars(
        sa.select(Evidence).where(Evidence.release_pk == release_pk).order_by(Evidence.evidence_pk)
    )
    known = {check.value: check for check in CheckId}
    return {known[row.check_id]: row for row in rows if row.check_id in known}


def release_folder(home: Home, release: Release) -> Path:
    """Return where the files of a release are: ``releases/<family>/<version>``, nowhere else."""
    return home.releases_dir / release.family / release.version


def stale_reasons(
    session: Session,
    home: Home,
    release: Release,
    now: datetime,
    folder: FolderObservation | None = None,
) -> list[str]:
    """Say why the evidence of a release does not count any more; empty if it does.

    Every file is read again, but for those of ``folder`` (an observation made before) that were
    not touched since. Participants are named by number.
    """
    from xnat_client.sharing.check import freshness  # noqa: PLC0415  # reads what this module keeps

    return freshness.reasons(session, home, release, now, folder)
