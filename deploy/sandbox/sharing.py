"""Sharing: one object seen through further projects, and the change of its owner.

A share is a pointer, not a copy. A subject's share says nothing of its experiments, a session's
nothing of its assessors. Not here: what a share lets people do (``rights``), renaming within a
project and ending a share by deleting through it (``subjects``, ``experiments``).
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from starlette.responses import Response

from deploy.sandbox import features, objects, records, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import conflict, forbidden, not_found, not_implemented
from deploy.sandbox.folders import change_folders
from deploy.sandbox.objects import Experiment, Kind, Project, Subject
from deploy.sandbox.ownership import move_experiment, move_subject
from deploy.sandbox.rights import Action, Secured
from deploy.sandbox.routing import (
    ASSESSOR_PATHS,
    EXPERIMENT_PATHS,
    SCAN_PATHS,
    SUBJECT_PATHS,
    Routes,
)
from deploy.sandbox.store import now_text
from deploy.sandbox.tables import answer_table
from deploy.sandbox.values import check_label

ROUTES = Routes()

# Deepest first: a session's paths would never match these, but a reader sees the order at once.
_SHAREABLE = (*SCAN_PATHS, *ASSESSOR_PATHS, *EXPERIMENT_PATHS, *SUBJECT_PATHS)
_LIST_PATHS = tuple(f"{path}/projects" for path in _SHAREABLE)
_PATHS = tuple(f"{path}/projects/{{receiver}}" for path in _SHAREABLE)


@dataclass(frozen=True, slots=True)
class Shareable:
    """An object of the path as sharing sees it; a scan has its session's rights."""

    kind: Kind
    key: str
    secured: Secured
    label: str
    shares: dict[str, str]
    subject: Subject | None = None
    experiment: Experiment | None = None


def _target(call: Call) -> Shareable:
    """Return the object of the path, which the caller can read."""
    context = targets.context_project(call)
    if "scan" in call.path:
        session, scan = targets.scan(call)
        rows = call.site.store.connection.execute(
            "SELECT project, label FROM share WHERE kind = 'scan' AND object_id = ?",
            (str(scan.key),),
        ).fetchall()
        return Shareable(Kind.SCAN, str(scan.key), session.secured, scan.id, dict(map(tuple, rows)))
    if "experiment" in call.path:
        if "assessor" in call.path:
            _, found = targets.assessor(call)
        else:
            found = targets.experiment(call)
        return Shareable(
            Kind.EXPERIMENT, found.id, found.secured, found.label_in(context), found.shares,
            experiment=found,
        )  # fmt: skip
    person = targets.subject(call)
    return Shareable(
        Kind.SUBJECT, person.id, person.secured, person.label_in(context), person.shares,
        subject=person,
    )  # fmt: skip


def _receiver(call: Call) -> Project:
    """Return the project named at the end of the path; 404 when it is hidden from the caller."""
    name = call.path["receiver"]
    found = objects.find_project(call.site.store.connection, name)
    if found is None or not _sees(call, found.id):
        raise not_found(f"There is no project {name} that you can read.")
    return found


def _sees(call: Call, project: str) -> bool:
    return Action.READ in call.site.rights.record_actions(call.user, project)


# Sharing ------------------------------------------------------------------------------------


@ROUTES.add("PUT", *_PATHS)
def share(call: Call) -> Response:
    """Let an object appear in another project, perhaps under another label.

    It takes the right to read the object and to create its type in the receiving project, and
    that the site has not banned sharing;
    ``primary=true`` makes that project the owner and needs the right to delete here.
    """
    if call.flag("primary"):
        return _change_owner(call)
    with call.site.store.write() as connection:
        target, receiver = _target(call), _receiver(call)
        if receiver.id == target.secured.project:
            raise conflict(f"The object belongs to project {receiver.id} already.")
        if receiver.id in target.shares:
            raise conflict(f"The object is shared into project {receiver.id} already.")
        features.require_sharing(connection, call.user, target.secured.project)
        call.site.rights.require_in_project(
            call.user, Action.CREATE, receiver.id, target.secured.xsi_type
        )
        label = _label(call, connection, target, receiver)
        connection.execute(
            "INSERT INTO share VALUES (?, ?, ?, ?, ?, ?)",
            (target.kind.value, target.key, receiver.id, label, now_text(), call.user.login),
        )
    return text()


def _label(call: Call, connection: sqlite3.Connection, target: Shareable, receiver: Project) -> str:
    label = check_label("label", call.query.get("label") or target.label)
    if target.kind is not Kind.SCAN:  # scans of different sessions have the same numbers
        records.require_free_label(connection, target.kind, receiver.id, label, target.key)
    return label


def _change_owner(call: Call) -> Response:
    with change_folders(call.site.store, call.site.settings) as changes:
        connection = call.site.store.connection
        target, receiver = _target(call), _receiver(call)
        if receiver.id == target.secured.project:
            raise conflict(f"The object belongs to project {receiver.id} already.")
        if target.kind is Kind.SCAN:
            raise not_implemented("another owner for a single scan")
        call.site.rights.require(call.user, Action.DELETE, target.secured)
        call.site.rights.require_in_project(
            call.user, Action.CREATE, receiver.id, target.secured.xsi_type
        )
        label = _label(call, connection, target, receiver)
        if target.subject is not None:
            move_subject(connection, changes, target.subject, receiver, label)
        elif target.experiment is not None:
            move_experiment(connection, changes, target.experiment, receiver, label)
            if call.flag("moveAssessors"):
                _move_assessors(call, connection, target.experiment, receiver)
    return text()


def _move_assessors(
    call: Call, connection: sqlite3.Connection, session: Experiment, receiver: Project
) -> None:
    """Give a session's assessors that its old owner had to the new one too."""
    rows = connection.execute(
        "SELECT * FROM experiment WHERE session_id = ? AND project = ?",
        (session.id, session.project),
    ).fetchall()
    for row in rows:
        assessor = objects.experiment_from_row(connection, row)
        rights = call.site.rights
        rights.require(call.user, Action.DELETE, assessor.secured)
        rights.require_in_project(call.user, Action.CREATE, receiver.id, assessor.xsi_type)
        records.require_free_label(
            connection, Kind.EXPERIMENT, receiver.id, assessor.label, assessor.id
        )
        # Its folder lies in the session's, which has moved.
        connection.execute(
            "UPDATE experiment SET project = ?, last_modified = ? WHERE id = ?",
            (receiver.id, now_text(), assessor.id),
        )
        records.unshare(connection, Kind.EXPERIMENT, assessor.id, receiver.id)


# Listing and ending -------------------------------------------------------------------------


@ROUTES.add("GET", *_LIST_PATHS)
def list_shares(call: Call) -> Response:
    """List the projects in which an object appears, its owner first.

    Projects that are hidden from the caller are left out, except for who may delete the object.
    """
    target = _target(call)
    connection = call.site.store.connection
    own = target.secured.project
    owner_row = connection.execute(
        f"SELECT label FROM {target.kind.value} WHERE id = ?"  # noqa: S608 - a table name of ours
        if target.kind is not Kind.SCAN
        else "SELECT id FROM scan WHERE key = ?",
        (target.key,),
    ).fetchone()
    labels = {own: owner_row[0], **target.shares}
    sees_all = call.site.rights.can(call.user, Action.DELETE, target.secured)
    rows = []
    for project_id, label in labels.items():
        project = objects.find_project(connection, project_id)
        if project is not None and (sees_all or _sees(call, project_id)):
            rows.append((label, project.id, project.secondary_id, project.name))
    return answer_table(call, ("label", "ID", "Secondary_ID", "Name"), rows)


@ROUTES.add("GET", *_PATHS)
def one_share(call: Call) -> Response:
    """Refuse the address of a single share: the list has all there is to know."""
    _target(call)
    _receiver(call)
    raise not_implemented("the address of one share for reading (read the list of shares)")


@ROUTES.add("DELETE", *_PATHS)
def unshare(call: Call) -> Response:
    """End a share: for who may delete in the receiving project, or in the owning one."""
    with call.site.store.write() as connection:
        target = _target(call)
        rights, name = call.site.rights, call.path["receiver"]
        may_delete = rights.can(call.user, Action.DELETE, target.secured)
        receiver = objects.find_project(connection, name)
        if receiver is None or not (may_delete or _sees(call, receiver.id)):
            raise not_found(f"There is no project {name} that you can read.")
        if receiver.id == target.secured.project:
            raise conflict(f"Project {receiver.id} owns the object: it cannot be unshared there.")
        if receiver.id not in target.shares:
            raise not_found(f"The object is not shared into project {receiver.id}.")
        there = rights.data_actions(call.user, receiver.id, target.secured.xsi_type)
        if not may_delete and Action.DELETE not in there:
            raise forbidden(f"You may not end shares into project {receiver.id}.")
        records.unshare(connection, target.kind, target.key, receiver.id)
    return text()
