"""Which resources a request means: of one object, or of several parts of a session at once.

``scans/ALL``, ``scans/*``, ``scans/1,3`` and ``scans/T1w`` (a type) name several scans;
assessors and reconstructions likewise. ``experiments/E1,E2`` names several sessions, for reading.
Not here: the files in the resources (``files``).
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.sandbox import objects, targets
from deploy.sandbox.call import Call
from deploy.sandbox.errors import not_found
from deploy.sandbox.objects import Experiment, Kind, Subject
from deploy.sandbox.resource_rows import Resource, find_resource, resource_from_row
from deploy.sandbox.rights import Action
from deploy.sandbox.targets import Owner

_PARTS = ("scan", "assessor", "reconstruction")
_EVERYTHING = frozenset({"ALL", "*"})
_SEVERAL_SESSIONS = "sessions"  # the name of a download of more than one
_NOT_WORD = re.compile(r"\W", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """An object that has resources, as a request sees it.

    Parameters
    ----------
    uri : str
        The object's address in answers.
    entry : str
        Its folder inside downloaded archives.
    category, name, description : str
        How XNAT's table of resources names it.
    """

    kind: Kind
    owner_id: str
    direction: str
    uri: str
    entry: str
    category: str = "resources"
    name: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Selected:
    """A resource with the place it was found at."""

    place: Place
    resource: Resource


@dataclass(frozen=True, slots=True)
class Selection:
    """The resources that a request means; ``single`` tells whether it named exactly one."""

    found: list[Selected]
    label: str
    single: bool


def select(call: Call, *, whole: bool = False) -> Selection:
    """Return the readable resources of the object or parts in the path.

    Parameters
    ----------
    whole : bool
        Of a session, also the resources of its scans.

    Raises
    ------
    HttpError
        404 when the object, or the one resource named, is not there or may not be read.
    """
    label, places, many = _places(call, whole=whole)
    wanted = call.path.get("resource")
    found = _selected(call.site.store.connection, places)
    if wanted is None:
        return Selection(found, label, single=False)
    names = set(wanted.split(","))
    several = many or len(names) > 1 or wanted in _EVERYTHING
    if wanted not in _EVERYTHING:
        found = [
            each for each in found if each.resource.label in names or str(each.resource.id) in names
        ]
    if not several and not found:
        raise not_found(f"There is no resource {wanted} here.")
    return Selection(found if several else found[:1], label, single=not several)


def _selected(connection: sqlite3.Connection, places: list[Place]) -> list[Selected]:
    """Return the resources at places, in the places' order, in one statement for each kind."""
    by_place: dict[tuple[str, str, str], list[Resource]] = {}
    for kind in sorted({place.kind for place in places}):
        ids = sorted({place.owner_id for place in places if place.kind is kind})
        rows = connection.execute(
            "SELECT * FROM resource WHERE owner_kind = ?"
            " AND owner_id IN (SELECT value FROM json_each(?)) ORDER BY id",
            (kind.value, json.dumps(ids)),
        )
        for row in rows:
            resource = resource_from_row(row)
            key = (resource.owner_kind, resource.owner_id, resource.direction)
            by_place.setdefault(key, []).append(resource)
    return [
        Selected(place, resource)
        for place in places
        for resource in by_place.get((place.kind.value, place.owner_id, place.direction), [])
    ]


# Places -------------------------------------------------------------------------------------


def _places(call: Call, *, whole: bool) -> tuple[str, list[Place], bool]:
    """Return the name for a download, the places, and whether several may be meant."""
    part = next((name for name in _PARTS if name in call.path), None)
    if "," in call.path.get("experiment", ""):
        return _SEVERAL_SESSIONS, _places_of_sessions(call, part, whole=whole), True
    if part is None:
        return _single(call, targets.owner(call), whole=whole)
    session = targets.experiment(call)
    context = targets.context_project(call)
    name = call.path[part]
    direction = targets.direction(call)
    places = _parts(call, session, part, name, direction)
    several = name in _EVERYTHING or "," in name or [p.name for p in places] != [name]
    if not places and not (name in _EVERYTHING or "," in name):
        raise not_found(f"There is no {part} {name} in experiment {session.id}.")
    return session.label_in(context), places, several


def _places_of_sessions(call: Call, part: str | None, *, whole: bool) -> list[Place]:
    """Return what a list of sessions in the path means, one session after another."""
    places = []
    direction = targets.direction(call)
    for session in targets.experiments(call):
        if part is not None:
            places += _parts(call, session, part, call.path[part], direction)
            continue
        entry = _session_entry(call, session)
        places.append(Place(Kind.EXPERIMENT, session.id, "", _session_uri(call, session), entry))
        if whole:
            places += _parts(call, session, "scan", "ALL", "")
    return places


def _single(call: Call, owner: Owner, *, whole: bool) -> tuple[str, list[Place], bool]:
    context = owner.context_project
    if owner.experiment is not None:
        session = owner.experiment
        label = session.label_in(context)
        entry = _session_entry(call, session)
        places = [Place(owner.kind, owner.owner_id, "", _session_uri(call, session), entry)]
        if whole:
            places += _parts(call, session, "scan", "ALL", "")
        return label, places, False
    uri, label = owner.uri, owner.owner_id
    if owner.subject is not None:
        label = owner.subject.label_in(context)
        uri = _subject_uri(call, owner.subject)
    return label, [Place(owner.kind, owner.owner_id, "", uri, label)], False


def _subject_uri(call: Call, subject: Subject) -> str:
    if "project" in call.path:
        return f"/data/projects/{call.path['project']}/subjects/{call.path['subject']}"
    return f"/data/subjects/{subject.id}"


def _session_uri(call: Call, session: Experiment) -> str:
    if "project" in call.path and "subject" in call.path:
        project, subject = call.path["project"], call.path["subject"]
        name = call.path["experiment"]
        name = session.id if "," in name else name
        return f"/data/projects/{project}/subjects/{subject}/experiments/{name}"
    return f"/data/experiments/{session.id}"


def _session_entry(call: Call, session: Experiment) -> str:
    """Return a session's folder inside archives, as the caller sees project and subject."""
    context = targets.context_project(call)
    parts = [session.label_in(context)]
    project = context or _seen_in(call, session)
    if call.flag("subjectIncludedInPath"):
        connection = call.site.store.connection
        subject = objects.find_subject(connection, session.subject_id or "", project)
        parts.insert(
            0, (session.subject_id or "") if subject is None else subject.label_in(project)
        )
    if call.flag("projectIncludedInPath"):
        parts.insert(0, project)
    return "/".join(parts)


def _seen_in(call: Call, session: Experiment) -> str:
    """Return the project that shows the caller a session: its own, or one it is shared into."""
    visible = call.site.rights.visible_projects(call.user).intersection(session.secured.projects)
    return session.project if session.project in visible else min(visible, default=session.project)


def _parts(call: Call, session: Experiment, part: str, name: str, direction: str) -> list[Place]:
    """Return the parts of a session that a name means, without those that may not be read."""
    if part == "assessor":
        return _assessors(call, session, name, direction)
    rows = call.site.store.connection.execute(
        f"SELECT key, id, json_extract(fields, '$.type') AS type FROM {part}"  # noqa: S608 - one of two names
        " WHERE session_id = ? ORDER BY key",
        (session.id,),
    ).fetchall()
    base = _session_uri(call, session)
    entry = _session_entry(call, session)
    places = []
    for row in _matching(rows, name, ("id", "type")):
        kind = row["type"] or ""
        folder = f"{row['id']}-{_NOT_WORD.sub('_', kind)}" if kind else row["id"]
        places.append(
            Place(
                Kind(part),
                str(row["key"]),
                direction,
                f"{base}/{part}s/{row['id']}" + (f"/{direction}" if direction else ""),
                f"{entry}/{part}s/{folder}" + (f"/{direction}" if direction else ""),
                f"{part}s",
                row["id"],
                kind,
            )
        )
    return places


def _assessors(call: Call, session: Experiment, name: str, direction: str) -> list[Place]:
    connection, context = call.site.store.connection, targets.context_project(call)
    rows = connection.execute(
        "SELECT * FROM experiment WHERE session_id = ? ORDER BY insert_date, id", (session.id,)
    ).fetchall()
    if name not in _EVERYTHING and "," not in name:
        one = objects.find_assessor(connection, name, session, context)
        rows = [row for row in rows if one is not None and row["id"] == one.id] or _matching(
            rows, name, ("xsi_type",)
        )
    else:
        rows = _matching(rows, name, ("id", "label", "xsi_type"))
    base = _session_uri(call, session)
    entry = _session_entry(call, session)
    places = []
    for row in rows:
        found = objects.experiment_from_row(connection, row)
        place = context if context in found.secured.projects else None
        if not call.site.rights.can(call.user, Action.READ, found.secured, place):
            continue
        side = f"/{direction}" if direction else ""
        places.append(
            Place(
                Kind.EXPERIMENT,
                found.id,
                direction,
                f"{base}/assessors/{found.id}{side}",
                f"{entry}/assessors/{found.label_in(context)}{side}",
                "assessors",
                found.id,
                found.xsi_type,
            )
        )
    return places


def _matching(
    rows: Iterable[sqlite3.Row], name: str, columns: tuple[str, ...]
) -> list[sqlite3.Row]:
    """Return the rows that a name means: all, those of a list, or those of a type."""
    if name in _EVERYTHING:
        return list(rows)
    names = set(name.split(","))
    return [row for row in rows if any(row[column] in names for column in columns)]


def owned_resource(call: Call, owner: Owner) -> Resource:
    """Return the one resource of an object that the path names.

    Raises
    ------
    HttpError
        404.
    """
    found = find_resource(call.site.store.connection, owner, call.path["resource"])
    if found is None:
        raise not_found(f"There is no resource {call.path['resource']} here.")
    return found
