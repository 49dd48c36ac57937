"""From a request's path to the object it means, with the caller's right to it checked.

Each function reads the named parts of the path (``project``, ``subject``, ``experiment``,
``scan``, ``assessor``, ``reconstruction``) and raises 404 or 403 as ``rights`` says. Not here:
objects named in bodies or queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from deploy.sandbox import objects
from deploy.sandbox.call import Call
from deploy.sandbox.errors import forbidden, not_found
from deploy.sandbox.objects import Experiment, Kind, Project, Scan, Subject
from deploy.sandbox.rights import SUBJECT_TYPE, Action, Secured
from deploy.sandbox.routing import ROUTE


@dataclass(frozen=True, slots=True)
class Owner:
    """An object that owns resources, as a request reached it.

    ``owner_id`` is the ID, or the table key of a scan or reconstruction, as stored in the
    database; ``dir`` is the folder that holds its resource folders, relative to the archive;
    ``context_project`` is the project in the path, or None.
    """

    kind: Kind
    owner_id: str
    direction: str
    secured: Secured
    context_project: str | None
    dir: PurePosixPath
    uri: str
    project: Project | None = None
    subject: Subject | None = None
    experiment: Experiment | None = None
    scan: Scan | None = None


def context_project(call: Call, action: Action = Action.READ) -> str | None:
    """Return the ID of the project in the path, in its own spelling; 404 when it is hidden.

    Where the record is visible but the data are not (a protected project), whoever wants to
    create or edit is told 403 before any object is looked for: the answer must not tell which
    subjects and sessions there are. Other rights are checked on the object itself.
    """
    if "project" not in call.path:
        return None
    found = project(call).id
    if action in {Action.CREATE, Action.EDIT}:
        rights = call.site.rights
        if Action.READ not in rights.data_actions(call.user, found, SUBJECT_TYPE):
            raise forbidden(f"You may not {action} data in project {found}.")
    return found


def project(call: Call, action: Action = Action.READ) -> Project:
    """Return the project of the path; the right concerns the project record."""
    name = call.path["project"]
    found = objects.find_project(call.site.store.connection, name)
    if found is None:
        raise not_found(f"There is no project {name} that you can read.")
    call.site.rights.require_record(call.user, action, found.id)
    return found


def _is_readable(call: Call, secured: Secured, context: str | None) -> bool:
    """Return whether the caller can read an object; if not, it is answered as if it were absent."""
    return call.site.rights.can(call.user, Action.READ, secured, context)


def subject(call: Call, action: Action = Action.READ) -> Subject:
    """Return the subject of the path."""
    context, name = context_project(call, action), call.path["subject"]
    found = objects.find_subject(call.site.store.connection, name, context)
    if found is None or not _is_readable(call, found.secured, context):
        raise not_found(f"There is no subject {name} that you can read.")
    call.site.rights.require(call.user, action, found.secured, context)
    return found


def experiment(call: Call, action: Action = Action.READ) -> Experiment:
    """Return the experiment of the path; a subject in the path must be its own.

    Assessors are experiments too and are found by their ID or label.
    """
    context, name = context_project(call, action), call.path["experiment"]
    found = _find_readable(call, name, context)
    if found is None:
        raise not_found(f"There is no experiment {name} that you can read.")
    call.site.rights.require(call.user, action, found.secured, context)
    return found


def experiments(call: Call) -> list[Experiment]:
    """Return the experiments of a list in the path (``E1,E2``), each once, in its order.

    As in XNAT, those that are not there or may not be read are left out; 404 when none is left.
    """
    context = context_project(call)
    names = dict.fromkeys(call.path["experiment"].split(","))
    each_found = (_find_readable(call, name, context) for name in names)
    found = {each.id: each for each in each_found if each is not None}
    if not found:
        raise not_found("There is none of these experiments that you can read.")
    return list(found.values())


def _find_readable(call: Call, name: str, context: str | None) -> Experiment | None:
    connection = call.site.store.connection
    found = objects.find_experiment(connection, name, context)
    if found is not None and "subject" in call.path:
        parent = objects.find_subject(connection, call.path["subject"], context)
        if parent is None or found.subject_id != parent.id:
            return None
    return found if found is not None and _is_readable(call, found.secured, context) else None


def scan(call: Call, action: Action = Action.READ, table: str = "scan") -> tuple[Experiment, Scan]:
    """Return the session and the scan (or reconstruction) of the path; rights are the session's."""
    session = experiment(call, action)
    name = call.path[table]
    found = objects.find_scan(call.site.store.connection, name, session, table)
    if found is None:
        raise not_found(f"There is no {table} {name} in experiment {session.id}.")
    return session, found


def assessor(call: Call, action: Action = Action.READ) -> tuple[Experiment, Experiment]:
    """Return the session and the assessor of the path; the assessor has rights of its own."""
    context, name = context_project(call, action), call.path["assessor"]
    session = experiment(call)
    found = objects.find_assessor(call.site.store.connection, name, session, context)
    if found is None or not _is_readable(call, found.secured, context):
        raise not_found(f"There is no assessor {name} that you can read.")
    call.site.rights.require(call.user, action, found.secured, context)
    return session, found


def owner(call: Call, action: Action = Action.READ) -> Owner:
    """Return the object of the path that owns resources, whatever its kind."""
    connection = call.site.store.connection
    context = context_project(call)
    side = direction(call)
    if "assessor" in call.path:
        session, found = assessor(call, action)
        folder = objects.experiment_dir(connection, found)
        return Owner(
            Kind.EXPERIMENT, found.id, side, found.secured, context,
            folder / side if side else folder,
            f"/data/experiments/{session.id}/assessors/{found.id}"
            + (f"/{side}" if side else ""),
            experiment=found,
        )  # fmt: skip
    for table, kind in (("scan", Kind.SCAN), ("reconstruction", Kind.RECONSTRUCTION)):
        if table in call.path:
            return _part_of_session(call, action, table, kind, side)
    if "experiment" in call.path:
        found = experiment(call, action)
        return Owner(
            Kind.EXPERIMENT, found.id, "", found.secured, context,
            objects.experiment_dir(connection, found) / "RESOURCES",
            f"/data/experiments/{found.id}",
            experiment=found,
        )  # fmt: skip
    if "subject" in call.path:
        person = subject(call, action)
        return Owner(
            Kind.SUBJECT, person.id, "", person.secured, context,
            PurePosixPath(person.project) / "subjects" / person.label,
            f"/data/subjects/{person.id}",
            subject=person,
        )  # fmt: skip
    place = project(call)
    call.site.rights.require(call.user, action, place.secured, place.id)
    return Owner(
        Kind.PROJECT, place.id, "", place.secured, place.id,
        place.dir / "resources",
        f"/data/projects/{place.id}",
        project=place,
    )  # fmt: skip


def _part_of_session(call: Call, action: Action, table: str, kind: Kind, side: str) -> Owner:
    session, part = scan(call, action, table)
    base = objects.experiment_dir(call.site.store.connection, session)
    folder = base / ("SCANS" if kind is Kind.SCAN else "RECONSTRUCTIONS") / part.id
    return Owner(
        kind, str(part.key), side, session.secured, context_project(call),
        folder / side if side else folder,
        f"/data/experiments/{session.id}/{table}s/{part.id}"
        + (f"/{side}" if side else ""),
        experiment=session,
        scan=part,
    )  # fmt: skip


def direction(call: Call) -> str:
    """Return ``in`` or ``out`` when the path names that side of an assessor or reconstruction."""
    # Of the route, not of the path: projects, subjects and files may be called so too.
    pattern = f"{call.request.scope[ROUTE].path}/"
    for name in ("assessor", "reconstruction"):
        for side in ("in", "out"):
            if f"/{{{name}}}/{side}/" in pattern:
                return side
    return ""
