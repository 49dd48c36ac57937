"""Versions of the list of de-identification criteria that the officer adopted.

Not here: the criteria (the step ``check-identity``), evidence made by them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError, ConflictError, NotFoundError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import CriteriaVersion
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role


@dataclass(frozen=True)
class CriteriaFile:
    """A list of criteria: its version, and the digest of the file."""

    version: str
    sha256: str


def shipped_path() -> Path:
    """Return the list by which the steps of this installation check.

    Raises
    ------
    NotFoundError
        The steps are not installed here.
    """
    # The file is read where it lies; the code beside it is not ours to import.
    spec = importlib.util.find_spec("containers")
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]) / "check_identity" / "data" / "criteria.json" if places else None
    if path is None or not path.is_file():
        raise NotFoundError("The list of criteria is not installed here; name its file.")
    return path


def read_criteria(path: Path) -> CriteriaFile:
    """Return version and digest of a list of criteria.

    Raises
    ------
    BadInputError
        The file is no such list.
    """
    try:
        content = path.read_bytes()
        version = json.loads(content)["version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path.name} is no list of criteria with a version.") from error
    if not isinstance(version, str) or not version:
        raise BadInputError(f"{path.name} is no list of criteria with a version.")
    return CriteriaFile(version, hashlib.sha256(content).hexdigest())


def adopt(
    session: Session, actor: Actor, criteria: CriteriaFile, *, now: datetime
) -> CriteriaVersion:
    """Make a version of the list the one that counts; evidence by another becomes stale.

    Raises
    ------
    ConflictError
        That version was adopted with another text.
    """
    people.require_any_role(session, actor, Role.OFFICER, now=now)
    there = session.get(CriteriaVersion, criteria.version)
    if there is not None and there.sha256 != criteria.sha256:
        raise ConflictError(
            f"Version {criteria.version} of the criteria was adopted with another text. "
            "A changed list needs a version of its own."
        )
    if there is not None:
        return there
    row = CriteriaVersion(
        version=criteria.version,
        sha256=criteria.sha256,
        adopted_by=actor.person_id,
        adopted_at=now,
    )
    session.add(row)
    session.flush()
    after = {"sha256": criteria.sha256}
    change = chain.Change("criteria.adopt", "criteria", criteria.version, {}, after)
    chain.append(session, actor, change, now=now)
    return row


def current(session: Session) -> CriteriaVersion | None:
    """Return the version adopted last, None while there is none."""
    newest = sa.select(CriteriaVersion).order_by(
        CriteriaVersion.adopted_at.desc(), CriteriaVersion.version.desc()
    )
    return session.scalars(newest.limit(1)).first()
