"""What must be true of projects that no release speaks of, or of people in a source project.

The newest version counts. The same documents are written to files, to be kept under version
control; whoever changes one of the two alone is noticed. Not here: what follows from releases
(``server_side.declared``), the comparison with servers (``reconcile``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.address import check_project_id
from xnat_client.errors import BadInputError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Declaration
from xnat_client.sharing.records import people, servers
from xnat_client.sharing.records.mappings import fields_of
from xnat_client.sharing.vocabulary import Role

_ACCESSIBILITIES = ("private", "protected", "public")


def declare(  # noqa: PLR0913  # what is declared of which project
    session: Session,
    actor: Actor,
    server: str,
    project_id: str,
    document: Mapping[str, Any],
    *,
    now: datetime,
) -> Declaration:
    """Record a new version of what must be true of a project; the same again changes nothing.

    Parameters
    ----------
    document : mapping
        ``accessibility`` (private, protected or public; private if it is left out), ``people``
        (list of ``person`` and, if it ends, ``until``), ``note``.

    Raises
    ------
    BadInputError
        The document has other fields or values.
    NotFoundError
        The records know no such server or person.
    """
    allowed = (Role.ADMINISTRATOR, Role.OFFICER)
    people.require_any_role(session, actor, *allowed, now=now)
    servers.server_of(session, server)
    check_project_id(project_id)
    checked = _checked(session, document)
    last = _newest(session, server, project_id)
    text = canonical(checked)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    if last is not None and last.sha256 == sha256:
        return last
    row = Declaration(
        server=server,
        project_id=project_id,
        version=last.version + 1 if last else 1,
        document=checked,
        sha256=sha256,
        author_id=actor.person_id,
        declared_at=now,
    )
    session.add(row)
    session.flush()
    before = {"version": last.version, "sha256": last.sha256} if last else {}
    after = {"version": row.version, "sha256": sha256}
    name = f"{server}/{project_id}"
    change = chain.Change("declaration.make", "declaration", name, before, after)
    chain.append(session, actor, change, now=now)
    return row


def canonical(document: Mapping[str, Any]) -> str:
    """Return a document as the text whose digest counts and that is written to files."""
    return json.dumps(document, sort_keys=True, ensure_ascii=False, indent=2) + "\n"


def current(session: Session) -> dict[tuple[str, str], Declaration]:
    """Return the newest declaration of each project, by server and project."""
    rows = session.scalars(sa.select(Declaration).order_by(Declaration.version))
    return {(row.server, row.project_id): row for row in rows}


def write_files(session: Session, folder: Path) -> list[Path]:
    """Write the newest declarations as ``<server>/<project>.json`` and return the paths."""
    written: list[Path] = []
    for (server, project_id), row in sorted(current(session).items()):
        path = folder / server / f"{project_id}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(canonical(row.document), encoding="utf-8")
        written.append(path)
    return written


def differences(session: Session, folder: Path) -> list[str]:
    """Compare the files under version control with the records; one sentence a difference."""
    wanted = {
        f"{server}/{project_id}.json": row for (server, project_id), row in current(session).items()
    }
    there = {path.relative_to(folder).as_posix(): path for path in folder.glob("*/*.json")}
    found = [f"{name} is in the files but not in the records." for name in there.keys() - wanted]
    found += [f"{name} is in the records but not in the files." for name in wanted.keys() - there]
    for name in wanted.keys() & there.keys():
        digest = hashlib.sha256(there[name].read_bytes()).hexdigest()
        if digest != wanted[name].sha256:
            found.append(f"{name} differs between the files and the records.")
    for name, row in wanted.items():
        if hashlib.sha256(canonical(row.document).encode()).hexdigest() != row.sha256:
            found.append(f"{name} in the records is not what was declared.")
    return sorted(found)


def _newest(session: Session, server: str, project_id: str) -> Declaration | None:
    query = sa.select(Declaration).where(
        Declaration.server == server, Declaration.project_id == project_id
    )
    return session.scalars(query.order_by(Declaration.version.desc()).limit(1)).first()


def _checked(session: Session, document: Any) -> dict[str, Any]:
    fields = fields_of(
        document, "the declaration", frozenset(), {"accessibility", "people", "note"}
    )
    if fields.get("accessibility", "private") not in _ACCESSIBILITIES:
        raise BadInputError(
            f"In the declaration, 'accessibility' must be one of {', '.join(_ACCESSIBILITIES)}."
        )
    if not isinstance(fields.get("note", ""), str):
        raise BadInputError("In the declaration, 'note' must be a text.")
    entries = fields.get("people", [])
    if not isinstance(entries, list):
        raise BadInputError("In the declaration, 'people' must be a list.")
    for entry in entries:
        named = fields_of(entry, "the declaration's people", {"person"}, {"until"})
        people.person_of(session, str(named["person"]))
        named["until"] = _day(named.get("until"))
    return {**fields}


def _day(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError as error:
        raise BadInputError(
            "In the declaration, 'until' must be a day such as 2026-12-31."
        ) from error
