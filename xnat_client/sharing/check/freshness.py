"""Whether evidence still speaks of what is there: files, manifest, criteria, versions, consent.

The folder, the manifest that was approved, and the records' list of files must agree byte by byte;
only then does evidence over those digests mean anything. Not here: what the evidence says
(``evidence_answers``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib import metadata
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.sharing import evidence
from xnat_client.sharing.check.folder import FolderObservation, observe
from xnat_client.sharing.database.tables import (
    Agreement,
    ConsentRecord,
    CriteriaVersion,
    Evidence,
    Release,
    ReleaseFile,
    ReleaseParticipant,
)
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.home import Home
from xnat_client.sharing.versions import version_key
from xnat_client.sharing.vocabulary import ReleaseState

_MANIFEST = "manifest.json"
_BEFORE_PUBLICATION = frozenset(
    {
        ReleaseState.CHECKED,
        ReleaseState.PROPOSED,
        ReleaseState.APPROVED,
        ReleaseState.EMBARGOED,
    }
)
_NAMED_AT_MOST = 3


@dataclass(frozen=True)
class Freshness:
    """What the evidence of a release rests on, as it is now.

    Attributes
    ----------
    files : mapping of str to str
        Path to SHA-256 as the records list them.
    file_reasons : tuple of str
        Why folder, manifest and records do not agree; empty if they do.
    criteria : str or None
        The version of the criteria in force; None if none was adopted.
    accepted : bool
        Whether the officer accepted that a published release was checked by older means.
    """

    files: Mapping[str, str]
    file_reasons: tuple[str, ...]
    criteria: str | None
    accepted: bool = False


def look(
    session: Session, home: Home, release: Release, folder: FolderObservation | None = None
) -> Freshness:
    """Compare a release's folder with its manifest and its records.

    Parameters
    ----------
    folder : FolderObservation or None
        Digests read before; files that were touched since are read again.
    """
    rows = session.execute(
        sa.select(ReleaseFile.path, ReleaseFile.sha256, ReleaseFile.size_bytes).where(
            ReleaseFile.release_pk == release.release_pk
        )
    ).all()
    listed = {row.path: row.sha256 for row in rows}
    place = evidence.release_folder(home, release)
    seen = observe(place, folder)
    reasons = _folder_reasons(seen, listed) + _manifest_reasons(seen, release, listed)
    return Freshness(listed, tuple(reasons), criteria_in_force(session))


def criteria_in_force(session: Session) -> str | None:
    """Return the version of the criteria that was adopted last."""
    return session.execute(
        sa.select(CriteriaVersion.version)
        .order_by(CriteriaVersion.adopted_at.desc(), CriteriaVersion.version.desc())
        .limit(1)
    ).scalar_one_or_none()


@cache
def version_now() -> str:
    """Return the version of the checks as installed here; all steps have the same."""
    return metadata.version("winxnat")


def evidence_reasons(
    row: Evidence, files: Mapping[str, str], criteria: str | None, *, accepted: bool = False
) -> list[str]:
    """Say why one piece of evidence does not count any more; empty if it does.

    Parameters
    ----------
    accepted : bool
        Whether the officer accepted that a published release was checked by older means; evidence
        about other files never counts.
    """
    check = CheckId(row.check_id)
    said = []
    if row.inputs_sha256 != evidence.inputs_digest(check, files):
        said.append(f"The evidence of {check.value} is about other files than the release has.")
    return said if accepted else said + means_reasons(row, criteria)


def means_reasons(row: Evidence, criteria: str | None) -> list[str]:
    """Say how the criteria and the check itself changed since a piece of evidence was made."""
    said = []
    if row.criteria_version != criteria or criteria is None:
        said.append(
            f"The evidence of {row.check_id} was made under criteria "
            f"{row.criteria_version or 'without a version'}; in force is {criteria or 'none'}."
        )
    if row.check_version.split(" ", 1)[0].rstrip(";") != version_now():
        said.append(
            f"The check {row.check_id} was made with version {row.check_version}; "
            f"installed is {version_now()}."
        )
    return said


def reasons(
    session: Session,
    home: Home,
    release: Release,
    now: datetime,
    folder: FolderObservation | None = None,
) -> list[str]:
    """Say why the evidence of a release does not count any more; see ``stale_reasons``."""
    seen = look(session, home, release, folder)
    said = list(seen.file_reasons)
    if release.criteria_version != seen.criteria or seen.criteria is None:
        said.append(
            f"The release was built under criteria {release.criteria_version or 'unnamed'}; "
            f"in force is {seen.criteria or 'none'}."
        )
    for row in evidence.newest(session, release.release_pk).values():
        said += evidence_reasons(row, seen.files, seen.criteria)
    return said + changes_since(session, release, now)


def changes_since(session: Session, release: Release, now: datetime) -> list[str]:
    """Say what was recorded about consent and terms since an unpublished release was checked."""
    if release.state not in _BEFORE_PUBLICATION or release.checked_at is None:
        return []
    numbers = session.scalars(
        sa.select(ConsentRecord.participant_pk)
        .join(
            ReleaseParticipant,
            ReleaseParticipant.participant_pk == ConsentRecord.participant_pk,
        )
        .where(
            ReleaseParticipant.release_pk == release.release_pk,
            ConsentRecord.recorded_at > release.checked_at,
        )
        .distinct()
    )
    said = [
        f"A line on the consent of participant {number} was recorded since it was checked."
        for number in sorted(numbers)
    ]
    return said + _newer_agreement(session, release, now)


def _newer_agreement(session: Session, release: Release, now: datetime) -> list[str]:
    if not release.agreement_id:
        return []
    versions = session.scalars(
        sa.select(Agreement.version).where(
            Agreement.agreement_id == release.agreement_id,
            Agreement.effective_on <= now.date(),
            Agreement.legal.is_(True),
        )
    )
    newer = [one for one in versions if version_key(one) > version_key(release.agreement_version)]
    if not newer:
        return []
    newest = max(newer, key=version_key)
    what = (
        f"The release names version {release.agreement_version} of agreement "
        f"{release.agreement_id}; version {newest} is in force."
    )
    return [what]


def _folder_reasons(seen: FolderObservation, listed: Mapping[str, str]) -> list[str]:
    if not seen.exists:
        return ["The folder of the release is not there."]
    if not listed:
        return ["The records list no file of the release."]
    found = seen.digests
    said = _named("is no plain file", list(seen.others))
    said += _named("is not in the records' list", sorted(found.keys() - listed.keys()))
    said += _named("is missing", sorted(listed.keys() - found.keys()))
    changed = sorted(path for path in found.keys() & listed.keys() if found[path] != listed[path])
    return said + _named("was changed", changed)


def _named(what: str, paths: list[str]) -> list[str]:
    if not paths:
        return []
    # Paths of a release hold release labels only; still, a foreign file's name may hold anything.
    if what in {"is missing", "was changed"}:
        shown = ", ".join(paths[:_NAMED_AT_MOST])
        more = f" and {len(paths) - _NAMED_AT_MOST} more" if len(paths) > _NAMED_AT_MOST else ""
        return [f"File {shown}{more} {what}."]
    return [f"{len(paths)} thing(s) in the folder: each {what}."]


def _manifest_reasons(
    seen: FolderObservation, release: Release, listed: Mapping[str, str]
) -> list[str]:
    manifest = seen.files.get(_MANIFEST)
    if not seen.exists:
        return []
    if manifest is None:
        return ["The release has no manifest."]
    if not release.manifest_sha256 or manifest.sha256 != release.manifest_sha256:
        return ["The manifest in the folder is not the one that the release is known by."]
    said = _read_manifest(seen)
    if said is None:
        return ["The manifest cannot be read."]
    expected = {path: sha for path, sha in listed.items() if path not in evidence.MANIFEST_NAMES}
    if said != expected:
        return ["The records list other files than the manifest."]
    return []


def _read_manifest(seen: FolderObservation) -> dict[str, str] | None:
    """Return path and digest of each file of the manifest; None if it is malformed."""
    try:
        content = (seen.folder / _MANIFEST).read_bytes()
        if hashlib.sha256(content).hexdigest() != seen.files[_MANIFEST].sha256:
            return None
        document: Any = json.loads(content)
        return {str(entry["path"]): str(entry["sha256"]) for entry in document["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        return None
