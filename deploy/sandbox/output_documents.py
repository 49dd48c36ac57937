"""Assessors and scans that a container describes in an XML document, stored under its session.

Not here: outputs that are files (``finalize``).
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from commands.model import HandlerType
from commands.model import WrapperInputType as Type
from deploy.sandbox import objects, records
from deploy.sandbox.datatypes import EXPERIMENT, IMAGE_ASSESSOR, IMAGE_SCAN
from deploy.sandbox.errors import HttpError
from deploy.sandbox.launches import UNAUTHORISED, UPLOAD_FAILED, LaunchFailure
from deploy.sandbox.object_items import Item
from deploy.sandbox.object_tree import ObjectTree, UnknownItemError
from deploy.sandbox.objects import Experiment, Kind
from deploy.sandbox.people import User
from deploy.sandbox.preparation import may_create
from deploy.sandbox.rights import Action
from deploy.sandbox.site import Site
from deploy.sandbox.store import now_text
from deploy.sandbox.submissions import IDENTITY_FIELDS, merge
from deploy.sandbox.values import check_label, check_value
from deploy.sandbox.xml_documents import Document, read_document

_MAX_BYTES = 16 * 1024 * 1024


def store_document(  # noqa: PLR0913 - a document and where it goes
    site: Site,
    user: User,
    output: dict[str, Any],
    source: Path,
    *,
    target: Item,
    default_label: str,
) -> Item:
    """Store the object that an output's only XML file describes; return it.

    Parameters
    ----------
    default_label : str
        For an assessor whose document has no label; the same for the same launch, so that a
        repeated upload finds what the first one made.

    Raises
    ------
    LaunchFailure
        There is not exactly one document, it is no such object, or the right is missing.
    """
    session = target.owner.experiment
    if session is None or target.type is not Type.SESSION:
        raise _failure(output, "belongs under a session; mend 'as-a-child-of' in the command")
    try:
        document = read_document(site.types, _only_document(source, output))
        if output["type"] == HandlerType.ASSESSOR.value:
            uri = _store_assessor(
                site, user, document, session, target=target, default_label=default_label
            )
            wanted = Type.ASSESSOR
        else:
            uri, wanted = _store_scan(site, user, document, session, target), Type.SCAN
        return ObjectTree(site, user, target.context).find(uri, wanted)
    except HttpError as error:
        raise _failure(output, f"cannot be stored: {error.message}") from error
    except UnknownItemError as error:
        raise LaunchFailure(UNAUTHORISED, f"You may not read what was made. {error}") from error


def _failure(output: dict[str, Any], what: str) -> LaunchFailure:
    return LaunchFailure(UPLOAD_FAILED, f"Output '{output['from-command-output']}' {what}")


def _only_document(source: Path, output: dict[str, Any]) -> bytes:
    documents = [source] if source.is_file() else sorted(source.glob("*.xml"))
    if len(documents) != 1:
        raise _failure(
            output, f"needs exactly one .xml file at its path; there are {len(documents)}."
        )
    if documents[0].stat().st_size > _MAX_BYTES:
        raise _failure(output, f"is larger than {_MAX_BYTES} bytes.")
    return documents[0].read_bytes()


def _fields(site: Site, document: Document, level: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return identity and other fields of a document, each value checked."""
    identity: dict[str, str] = {}
    fields: dict[str, str] = {}
    for path, value in document.values:
        leaf = site.types.leaf(document.xsi_type, path)
        if leaf is None:
            raise HttpError(400, f"'{path[:80]}' is not a field of {document.xsi_type}.")
        if value:
            place = identity if leaf.path in IDENTITY_FIELDS[level] else fields
            place[leaf.path] = check_value(leaf, value)
    return identity, fields


def _require_kind(site: Site, document: Document, ancestor: str) -> None:
    types = site.types
    if not types.is_a(document.xsi_type, ancestor) or types.is_abstract(document.xsi_type):
        raise HttpError(422, f"{document.xsi_type} is not an exact kind of {ancestor}.")


def _store_assessor(  # noqa: PLR0913 - a document and where it goes
    site: Site,
    user: User,
    document: Document,
    session: Experiment,
    *,
    target: Item,
    default_label: str,
) -> str:
    _require_kind(site, document, IMAGE_ASSESSOR)
    if not may_create(site, user, target, document.xsi_type):
        raise LaunchFailure(
            UNAUTHORISED,
            f"You may not make a {document.xsi_type} in project {session.project}. "
            "Ask an owner of the project.",
        )
    identity, fields = _fields(site, document, EXPERIMENT)
    label = check_label("assessor label", identity.get("label") or default_label)
    with site.store.write() as connection:
        found = objects.find_assessor(connection, label, session, session.project)
        if found is None:
            made = _insert_assessor(
                site, connection, user, session,
                xsi_type=document.xsi_type, label=label, fields=fields,
            )  # fmt: skip
        elif found.xsi_type == document.xsi_type:
            records.update_fields(
                connection, Kind.EXPERIMENT, found.id, merge(found.fields, dict(fields))
            )
            made = found.id
        else:
            raise HttpError(409, f"Label {label} is used by a {found.xsi_type}.")
    return f"/archive/experiments/{session.id}/assessors/{made}"


def _insert_assessor(  # noqa: PLR0913 - the columns of a row
    site: Site,
    connection: sqlite3.Connection,
    user: User,
    session: Experiment,
    *,
    xsi_type: str,
    label: str,
    fields: dict[str, str],
) -> str:
    project = objects.find_project(connection, session.project)
    if project is None:
        raise HttpError(404, f"There is no project {session.project}.")
    return records.insert_experiment(
        site,
        connection,
        user.login,
        project=project,
        label=label,
        xsi_type=xsi_type,
        fields=fields,
        session_id=session.id,
    )


def _store_scan(
    site: Site, user: User, document: Document, session: Experiment, target: Item
) -> str:
    _require_kind(site, document, IMAGE_SCAN)
    if not site.rights.can(user, Action.EDIT, target.secured):
        raise LaunchFailure(UNAUTHORISED, f"You may not edit {target.secured.what}.")
    identity, fields = _fields(site, document, IMAGE_SCAN)
    scan_id = check_label("scan ID", identity.get("ID", ""))
    with site.store.write() as connection:
        found = objects.find_scan(connection, scan_id, session)
        if found is None:
            now = now_text()
            connection.execute(
                "INSERT INTO scan (session_id, id, xsi_type, fields, insert_date, insert_user,"
                " last_modified) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    session.id, scan_id, document.xsi_type, records.fields_json(fields),
                    now, user.login, now,
                ),
            )  # fmt: skip
        elif found.xsi_type == document.xsi_type:
            fields = merge(found.fields, dict(fields))
            records.update_fields(connection, Kind.SCAN, found.key, fields)
        else:
            raise HttpError(409, f"Scan {scan_id} is of type {found.xsi_type} and stays so.")
    return f"/archive/experiments/{session.id}/scans/{scan_id}"
