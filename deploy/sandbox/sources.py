"""The rows that a list or a search starts from: only those that the caller may read.

Not here: columns (``columns``) and filters (``filters``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox.call import Call
from deploy.sandbox.datatypes import EXPERIMENT, SUBJECT
from deploy.sandbox.objects import Kind
from deploy.sandbox.rights import Action


@dataclass(slots=True)
class Source:
    """The rows of a list before columns and filters: FROM clause and conditions."""

    tables: str
    parameters: list[Any]
    where: list[str] = field(default_factory=lambda: ["1"])
    where_parameters: list[Any] = field(default_factory=list)
    readable: str = "1"
    readable_parameters: tuple[Any, ...] = ()

    def require(self, sql: str, *parameters: Any) -> None:
        """Add a condition."""
        self.where.append(sql)
        self.where_parameters += parameters


def visible_projects(call: Call) -> Source:
    """Return the projects whose record the caller may read."""
    visible = json.dumps(sorted(call.site.rights.visible_projects(call.user)))
    source = Source("project p", [])
    source.require("p.id IN (SELECT value FROM json_each(?))", visible)
    return source


def _readable_types(call: Call, project: str, candidates: list[str]) -> list[str]:
    rights = call.site.rights
    return [t for t in candidates if Action.READ in rights.data_actions(call.user, project, t)]


def in_project(call: Call, kind: Kind, project: str) -> Source:
    """Return the objects that appear in a project, its own and those shared into it."""
    alias = kind.value[0]
    source = Source(
        f"(SELECT id, project, label FROM {kind.value} WHERE project = ?"  # noqa: S608 - a table name of ours
        " UNION ALL SELECT object_id, project, label FROM share WHERE kind = ? AND project = ?) v"
        f" JOIN {kind.value} {alias} ON {alias}.id = v.id",
        [project, kind.value, project],
    )
    candidates = call.site.types.subtypes(EXPERIMENT)
    readable = _readable_types(call, project, candidates)
    if len(readable) < len(candidates):
        source.readable = "{a}.xsi_type IN (SELECT value FROM json_each(?))"
        source.readable_parameters = (json.dumps(readable),)
    if kind is Kind.EXPERIMENT:
        source.require(source.readable.replace("{a}", "e"), *source.readable_parameters)
    return source


def everywhere(call: Call, kind: Kind) -> Source:
    """Return each readable object once: in its own project, or else where a share shows it."""
    alias = kind.value[0]
    xsi_types = [SUBJECT] if kind is Kind.SUBJECT else call.site.types.subtypes(EXPERIMENT)
    table = _allowed(call, xsi_types)
    own_type = "o.xsi_type" if kind is Kind.EXPERIMENT else "?"
    type_parameter = [] if kind is Kind.EXPERIMENT else [SUBJECT]
    tables = (
        "(WITH allowed AS MATERIALIZED (SELECT json_extract(value, '$[0]') AS project,"  # noqa: S608 - names of ours; values are parameters
        " json_extract(value, '$[1]') AS xsi_type FROM json_each(?))"
        f" SELECT o.id, o.project, o.label FROM {kind.value} o"
        f" WHERE (o.project, {own_type}) IN (SELECT project, xsi_type FROM allowed)"
        f" UNION ALL SELECT o.id, min(share.project), share.label FROM share JOIN {kind.value} o"
        " ON o.id = share.object_id WHERE share.kind = ?"
        f" AND (share.project, {own_type}) IN (SELECT project, xsi_type FROM allowed)"
        f" AND (o.project, {own_type}) NOT IN (SELECT project, xsi_type FROM allowed)"
        f" GROUP BY o.id) v JOIN {kind.value} {alias} ON {alias}.id = v.id"
    )
    parameters = [
        table, *type_parameter, kind.value, *type_parameter, *type_parameter,
    ]  # fmt: skip
    source = Source(tables, parameters)
    source.readable = (
        "(v.project, {a}.xsi_type) IN (SELECT json_extract(value, '$[0]'),"
        " json_extract(value, '$[1]') FROM json_each(?))"
    )
    source.readable_parameters = (table,)
    if kind is Kind.SUBJECT:
        source.readable_parameters = (_allowed(call, call.site.types.subtypes(EXPERIMENT)),)
    return source


def _allowed(call: Call, xsi_types: list[str]) -> str:
    """Return, as a JSON list of pairs, the projects and types that the caller may read."""
    rights = call.site.rights
    return json.dumps(
        [
            [project, xsi_type]
            for xsi_type in xsi_types
            for project in sorted(rights.projects_with(call.user, Action.READ, xsi_type))
        ]
    )
