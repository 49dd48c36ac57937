"""One object with everything below it, as JSON or XML items. Not here: tables (``listings``)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.responses import JSONResponse, Response

from deploy.sandbox.call import Call
from deploy.sandbox.datatypes import PROJECT, SUBJECT, DataTypes
from deploy.sandbox.objects import Experiment, Kind, Project, Scan, Subject
from deploy.sandbox.paths import split_steps
from deploy.sandbox.rights import Action
from deploy.sandbox.tables import other_format
from deploy.sandbox.values import typed_value
from deploy.sandbox.xml_documents import write_document


@dataclass(slots=True)
class Item:
    """An object or a part of one: typed values by path, and parts by their place in it."""

    xsi_type: str
    fields: dict[str, Any] = field(default_factory=dict)
    children: list[tuple[str, list[Item]]] = field(default_factory=list)

    def as_json(self, start_date: str) -> dict[str, Any]:
        """Return the item in the form of XNAT's item JSON."""
        return {
            "children": [
                {"field": path, "items": [item.as_json(start_date) for item in items]}
                for path, items in self.children
            ],
            "data_fields": self.fields,
            "meta": {
                "xsi:type": self.xsi_type,
                "isHistory": False,
                "start_date": start_date,
                "create_event_id": 0,
            },
        }

    def add(self, path: str, items: Iterable[Item]) -> None:
        """Add parts at a place, unless there are none."""
        found = list(items)
        if found:
            self.children.append((path, found))


def answer_item(call: Call, item: Item) -> Response:
    """Answer one object in the format the request names; XML is XNAT's default for items."""
    kind = call.query.get("format", "xml").lower()
    if kind == "json":
        start = datetime.now(UTC).strftime("%a %b %d %H:%M:%S UTC %Y")
        return JSONResponse({"items": [item.as_json(start)]})
    if kind == "xml":
        return Response(write_document(call.site.types, item), media_type="text/xml")
    raise other_format("An object is available as json or xml.", kind)


# Fields -------------------------------------------------------------------------------------


def _item_of_fields(types: DataTypes, xsi_type: str, fields: dict[str, str]) -> Item:
    """Return an item with stored fields put where the schema has them."""
    item = Item(xsi_type)
    parts: dict[tuple[str, str], dict[str, str]] = {}
    for path, text in fields.items():
        place, rest = _part_of(types, xsi_type, path)
        if place is None:
            leaf = types.leaf(xsi_type, path)
            item.fields[path] = typed_value(leaf.value_type, text) if leaf else text
        else:
            parts.setdefault(place, {})[rest] = text
    listed: dict[str, list[Item]] = {}
    for (path, bracket), values in parts.items():
        part_type = _part_type(types, xsi_type, path)
        part = _item_of_fields(types, part_type, values)
        key, equals, value = bracket.partition("=")
        if equals:
            part.fields = {key: value, **part.fields}
        listed.setdefault(path, []).append(part)
    item.children.extend(listed.items())
    return item


def _part_of(types: DataTypes, xsi_type: str, path: str) -> tuple[tuple[str, str] | None, str]:
    """Return (place, bracket) of the first part on a path that is an item of its own."""
    steps = split_steps(path)
    name, walked = xsi_type, []
    for position, (step, bracket) in enumerate(steps[:-1]):
        member = types.members(name)[step.lower()]
        walked.append(step)
        if member.many or not member.inline:
            rest = "/".join(s + (f"[{b}]" if b else "") for s, b in steps[position + 1 :])
            return ("/".join(walked), bracket), rest
        name = member.type_name
    return None, path


def _part_type(types: DataTypes, xsi_type: str, path: str) -> str:
    name = xsi_type
    for step in path.split("/"):
        name = types.members(name)[step.lower()].type_name
    if types.is_abstract(name):
        concrete = [n for n in types.subtypes(name) if not types.is_abstract(n)]
        return concrete[0]
    return name


# Links --------------------------------------------------------------------------------------


def _shares(shares: dict[str, str], xsi_type: str) -> list[Item]:
    return [Item(xsi_type, {"project": p, "label": label}) for p, label in shares.items()]


def _resources(
    connection: sqlite3.Connection, kind: Kind, owner_ids: list[str]
) -> dict[tuple[str, str], list[Item]]:
    """Return the resources of objects of one kind, by owner and direction, in one statement."""
    rows = connection.execute(
        "SELECT resource.*, count(file.path) AS files, total(file.size) AS bytes FROM resource"
        " LEFT JOIN file ON file.resource_id = resource.id"
        " WHERE owner_kind = ? AND owner_id IN (SELECT value FROM json_each(?))"
        " GROUP BY resource.id ORDER BY resource.id",
        (kind, json.dumps(owner_ids)),
    )
    found: dict[tuple[str, str], list[Item]] = {}
    for row in rows:
        values = {
            "xnat_abstractresource_id": row["id"],
            "label": row["label"],
            "URI": f"/archive/{row['dir']}/{row['label']}_catalog.xml",
            "format": row["format"],
            "content": row["content"],
            "description": row["description"],
            "file_count": row["files"],
            "file_size": int(row["bytes"]),
        }
        present = {name: value for name, value in values.items() if value != ""}
        item = Item("xnat:resourceCatalog", present)
        found.setdefault((row["owner_id"], row["direction"]), []).append(item)
    return found


# Objects ------------------------------------------------------------------------------------


def project_item(call: Call, project: Project) -> Item:
    """Return a project with its aliases, investigators and resources."""
    connection = call.site.store.connection
    item = _item_of_fields(call.site.types, PROJECT, project.fields)
    item.fields = {
        "ID": project.id,
        "secondary_ID": project.secondary_id,
        "name": project.name,
        **item.fields,
    }
    aliases = connection.execute(
        "SELECT alias FROM project_alias WHERE project = ? ORDER BY alias", (project.id,)
    )
    item.add("aliases/alias", [Item(f"{PROJECT}/aliases/alias", {"alias": a}) for (a,) in aliases])
    owned = _resources(connection, Kind.PROJECT, [project.id])
    item.add("resources/resource", owned.get((project.id, ""), []))
    return item


def subject_item(call: Call, subject: Subject, context: str | None) -> Item:
    """Return a subject with its readable experiments; label and project are those of the path."""
    connection = call.site.store.connection
    item = _item_of_fields(call.site.types, SUBJECT, subject.fields)
    item.fields = {
        "ID": subject.id,
        "project": subject.project,
        "label": subject.label_in(context),
        **item.fields,
    }
    item.add("sharing/share", _shares(subject.shares, "xnat:projectParticipant"))
    owned = _resources(connection, Kind.SUBJECT, [subject.id])
    item.add("resources/resource", owned.get((subject.id, ""), []))
    item.add("experiments/experiment", _experiments(call, "subject_id", subject.id, context))
    return item


def experiment_item(call: Call, experiment: Experiment, context: str | None) -> Item:
    """Return a session or assessor with its scans, reconstructions and readable assessors."""
    connection = call.site.store.connection
    item = _item_of_fields(call.site.types, experiment.xsi_type, experiment.fields)
    parent = (
        {"imageSession_ID": experiment.session_id}
        if experiment.session_id
        else {"subject_ID": experiment.subject_id}
    )
    item.fields = {
        "ID": experiment.id,
        "project": experiment.project,
        "label": experiment.label_in(context),
        **parent,
        **item.fields,
    }
    item.add("sharing/share", _shares(experiment.shares, "xnat:experimentData_share"))
    owned = _resources(connection, Kind.EXPERIMENT, [experiment.id])
    item.add("resources/resource", owned.get((experiment.id, ""), []))
    for side in ("in", "out"):
        item.add(f"{side}/file", owned.get((experiment.id, side), []))
    for table, path in (
        ("scan", "scans/scan"),
        ("reconstruction", "reconstructions/reconstructedImage"),
    ):
        item.add(path, _parts(call, table, experiment.id))
    item.add("assessors/assessor", _experiments(call, "session_id", experiment.id, context))
    return item


def _experiments(call: Call, column: str, parent_id: str, context: str | None) -> list[Item]:
    connection = call.site.store.connection
    rows = connection.execute(
        "SELECT e.*, (SELECT json_group_object(s.project, s.label) FROM share s"  # noqa: S608 - names of ours; values are parameters
        " WHERE s.kind = 'experiment' AND s.object_id = e.id) AS shares"
        f" FROM experiment e WHERE e.{column} = ? ORDER BY e.insert_date, e.id",
        (parent_id,),
    ).fetchall()
    found = []
    for row in rows:
        child = Experiment(
            row["id"], row["project"], row["label"], row["xsi_type"], row["subject_id"],
            row["session_id"], row["status"], row["insert_date"], row["insert_user"],
            row["last_modified"], json.loads(row["shares"]), json.loads(row["fields"]),
        )  # fmt: skip
        place = context if context in child.secured.projects else None
        if context is not None and place is None:
            continue
        if not call.site.rights.can(call.user, Action.READ, child.secured, place):
            continue
        item = _item_of_fields(call.site.types, child.xsi_type, child.fields)
        link = "subject_ID" if column == "subject_id" else "imageSession_ID"
        item.fields = {
            "ID": child.id, "project": child.project, "label": child.label_in(place),
            link: parent_id, **item.fields,
        }  # fmt: skip
        found.append(item)
    return found


def _parts(call: Call, table: str, session_id: str) -> list[Item]:
    connection = call.site.store.connection
    rows = connection.execute(
        f"SELECT * FROM {table} WHERE session_id = ? ORDER BY key",  # noqa: S608 - one of two names
        (session_id,),
    ).fetchall()
    kind = Kind(table)
    owned = _resources(connection, kind, [str(row["key"]) for row in rows])
    return [_part_item(call.site.types, row, owned) for row in rows]


def _part_item(
    types: DataTypes, row: sqlite3.Row, owned: dict[tuple[str, str], list[Item]]
) -> Item:
    key = str(row["key"])
    item = _item_of_fields(types, row["xsi_type"], json.loads(row["fields"]))
    item.fields = {"ID": row["id"], "image_session_ID": row["session_id"], **item.fields}
    item.add("file", owned.get((key, ""), []))
    for side in ("in", "out"):
        item.add(f"{side}/file", owned.get((key, side), []))
    return item


def part_item(call: Call, scan: Scan, kind: Kind) -> Item:
    """Return a scan or reconstruction with its resources."""
    connection = call.site.store.connection
    row = connection.execute(
        f"SELECT * FROM {kind.value} WHERE key = ?",  # noqa: S608 - a table of the two kinds
        (scan.key,),
    ).fetchone()
    item = _part_item(call.site.types, row, _resources(connection, kind, [str(scan.key)]))
    key_name = "xnat_imagescandata_id" if kind is Kind.SCAN else "xnat_reconstructedimagedata_id"
    item.fields[key_name] = scan.key
    return item
