"""What a build leaves in the records: the release, its participants, files and evidence.

Not here: deciding on a release (``xnat_client.sharing``), the files themselves (``assembly``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError
from xnat_client.release import manifest
from xnat_client.release.manifest import FileRecord
from xnat_client.release.plan import PlannedSession
from xnat_client.release.request import BuildRequest, EvidenceResult
from xnat_client.sharing import actors, evidence
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import (
    Release,
    ReleaseFile,
    ReleaseParticipant,
    Study,
)
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.vocabulary import ReleaseState, Role

BUILDERS = (Role.STUDY_TEAM, Role.LEAD, Role.STEWARD)
"""Roles in which a release may be built; who builds it is its requester."""


def existing(session: Session, study: Study, request: BuildRequest) -> Release | None:
    """Return the draft that is built again, None if this version is new.

    Raises
    ------
    ConflictError
        The version is beyond a draft, the family is another study's, or the release project is
        that of another family or level, or a source project.
    """
    rows = session.scalars(sa.select(Release).where(Release.family == request.family)).all()
    if any(row.study_pk != study.study_pk for row in rows):
        raise ConflictError("That family of releases is another study's; choose another name.")
    _check_project(session, request)
    row = next((one for one in rows if one.version == request.version), None)
    if row is not None and row.state is not ReleaseState.DRAFT:
        raise ConflictError(
            f"Release {request.family} {request.version} is {row.state.value}, and versions are "
            "never edited. Build the next version."
        )
    return row


def is_known(session: Session, family: str) -> bool:
    """Tell whether the records have a release of a family, whose labels were then given."""
    found = sa.select(Release.release_pk).where(Release.family == family)
    return session.scalars(found).first() is not None


def _check_project(session: Session, request: BuildRequest) -> None:
    """Refuse a release project that is not this family's and level's alone."""
    source = sa.select(Study.study_pk).where(
        Study.server == request.release_server, Study.project_id == request.release_project
    )
    if session.scalars(source).first() is not None:
        raise ConflictError("The release project is a source project; name one of its own.")
    others = session.execute(
        sa.select(Release.family, Release.version, Release.level).where(
            Release.server == request.release_server,
            Release.project_id == request.release_project,
        )
    )
    for family, version, level in others:
        is_same = (family, version) == (request.family, request.version)
        if not is_same and (family, level) != (request.family, request.level):
            raise ConflictError(
                "The release project is that of another family or level; each has one of its own. "
                "Name another project."
            )


def write(  # noqa: PLR0913  # who, what, for which study, by which criteria
    session: Session,
    actor: Actor,
    study: Study,
    request: BuildRequest,
    *,
    criteria_version: str,
    now: datetime,
) -> Release:
    """Make or renew the draft's row; its participants, files and digest are added after."""
    row = existing(session, study, request)
    before = {} if row is None else {"manifest": row.manifest_sha256}
    if row is None:
        row = Release(study_pk=study.study_pk, family=request.family, version=request.version)
        session.add(row)
    row.level = request.level
    row.state = ReleaseState.DRAFT
    row.manifest_sha256 = ""
    row.folder = f"{request.family}/{request.version}"
    row.server = request.release_server
    row.project_id = request.release_project
    row.agreement_id = request.agreement_id
    row.agreement_version = request.agreement_version
    row.licence = request.licence
    row.criteria_version = criteria_version
    row.duo_codes = sorted(request.duo_codes)
    row.citation = {
        **request.citation,
        "version": request.version,
        "type": "Dataset",
        "year": request.citation.get("year") or now.year,
    }
    row.automatic_grants = request.automatic_grants
    row.link_rule = request.link_rule
    row.embargo_until = request.embargo_until
    row.requested_by = actor.person_id
    row.created_at = now
    session.flush()
    session.execute(sa.delete(ReleaseFile).where(ReleaseFile.release_pk == row.release_pk))
    mine = ReleaseParticipant.release_pk == row.release_pk
    for each in session.scalars(sa.select(ReleaseParticipant).where(mine)).all():
        session.delete(each)
    session.flush()
    after = {"family": request.family, "version": request.version, "level": request.level.word}
    change = chain.Change("release.build", "release", str(row.release_pk), before, after)
    chain.append(session, actor, change, now=now)
    return row


def add_content(
    session: Session,
    release: Release,
    folder: Path,
    content: tuple[str, Sequence[FileRecord]],
    planned: Iterable[PlannedSession],
) -> None:
    """Add what is in the release: files (those of the manifest and its own), participants."""
    digest, files = content
    own = []
    for name in sorted({*manifest.OWN_NAMES, manifest.SIGNATURE_NAME}):
        size, sha256, md5 = manifest.digests_of(folder / name)
        own.append(FileRecord(name, size, sha256, md5))
    session.add_all(
        ReleaseFile(
            release_pk=release.release_pk,
            path=each.path,
            size_bytes=each.size_bytes,
            sha256=each.sha256,
            md5=each.md5,
        )
        for each in (*files, *own)
    )
    kinds: dict[int, set[str]] = {}
    for one in planned:
        kinds.setdefault(one.participant_pk, set()).update(each.value for each in one.data_types)
    session.add_all(
        ReleaseParticipant(
            release_pk=release.release_pk, participant_pk=number, data_types=sorted(kinds[number])
        )
        for number in sorted(kinds)
    )
    release.manifest_sha256 = digest
    session.flush()


def add_evidence(
    session: Session,
    release: Release,
    results: Iterable[EvidenceResult],
    files: Mapping[str, str],
    now: datetime,
) -> tuple[EvidenceResult, ...]:
    """Add what the checks found, each bound to the files that it is about.

    Parameters
    ----------
    files : mapping of str to str
        Path to SHA-256 of all files of the release.

    Returns
    -------
    tuple of EvidenceResult
        The same, each with the count of its files.
    """
    maker = actors.service("The build's checks ran.", source="build")
    counted = []
    for each in results:
        check = CheckId(each.check_id)
        covered = {path: sha for path, sha in files.items() if evidence.covers(check, path)}
        evidence.add(
            session,
            maker,
            release,
            evidence.CheckResult(check, each.outcome, each.check_version, covered, each.detail),
            now=now,
        )
        counted.append(replace(each, files=len(covered)))
    return tuple(counted)
