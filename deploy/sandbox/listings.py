"""Lists of projects, subjects, experiments, scans, assessors and reconstructions.

Each list is one SQL statement, whatever columns, joins and filters the client asks for. In the
list of a project, label and project are those that a shared object has there. Not here: single
objects (``items``), resources and files.
"""

from __future__ import annotations

import json
from functools import partial

from starlette.responses import Response

from deploy.sandbox import targets
from deploy.sandbox.call import Call
from deploy.sandbox.columns import Column, ColumnSet
from deploy.sandbox.datatypes import (
    EXPERIMENT,
    IMAGE_ASSESSOR,
    IMAGE_SCAN,
    PROJECT,
    RECONSTRUCTION,
    SUBJECT,
    SUBJECT_ASSESSOR,
)
from deploy.sandbox.errors import bad_request, not_found, not_implemented
from deploy.sandbox.filters import condition
from deploy.sandbox.objects import Kind
from deploy.sandbox.paging import order_clause, page_clause
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import ASSESSOR_PATHS, RECONSTRUCTION_PATHS, SCAN_PATHS, Routes
from deploy.sandbox.sources import Source, everywhere, in_project, visible_projects
from deploy.sandbox.tables import answer_query, answer_table, joined_cells

ROUTES = Routes()

DEFAULT_COLUMNS: dict[str, tuple[str, ...]] = {
    PROJECT: ("ID", "secondary_ID", "name", "description", "pi_firstname", "pi_lastname"),
    SUBJECT: ("ID", "project", "label", "insert_date", "insert_user"),
    EXPERIMENT: ("ID", "project", "date", "xsiType", "label", "insert_date"),
    IMAGE_SCAN: (
        "xnat_imagescandata_id", "ID", "type", "quality", "xsiType", "note", "series_description",
    ),
    RECONSTRUCTION: ("xnat_reconstructedimagedata_id", "ID", "type", "baseScanType"),
}  # fmt: skip
_URI = {
    PROJECT: "'/data/projects/' || p.id",
    SUBJECT: "'/data/subjects/' || s.id",
    EXPERIMENT: "'/data/experiments/' || e.id",
    IMAGE_SCAN: "'/data/experiments/' || e.id || '/scans/' || c.id",
    RECONSTRUCTION: "'/data/experiments/' || e.id || '/reconstructions/' || c.id",
}
_ORDER = {
    PROJECT: "p.rowid", SUBJECT: "s.rowid", EXPERIMENT: "e.rowid", IMAGE_SCAN: "c.key",
    RECONSTRUCTION: "c.key",
}  # fmt: skip
_TYPED_ALIAS = {EXPERIMENT: "e", IMAGE_SCAN: "c", RECONSTRUCTION: "c"}
# Options of lists; every other name may be a filter.
_OPTIONS = frozenset(
    {"format", "columns", "sortby", "sortorder", "xsitype", "limit", "offset", "req_format"}
)
_DISPLAY_OPTIONS = frozenset(
    {
        "accessible", "data", "permissions", "restrict", "owner", "member", "collaborator",
        "admin", "recent", "favorite", "activesince", "users", "prearc_code", "datatype",
    }
)  # fmt: skip


# The one statement ----------------------------------------------------------------------------


def _answer(  # noqa: PLR0913 - what tells the lists apart
    call: Call,
    level: str,
    root_type: str,
    source: Source,
    title: str,
    *,
    more: tuple[str, ...] = (),
) -> Response:
    wanted_type = call.query.get("xsiType")
    if wanted_type:
        root_type = _wanted_type(call, level, wanted_type)
    if level in _TYPED_ALIAS:
        alias = _TYPED_ALIAS[level]
        source.require(
            f"{alias}.xsi_type IN (SELECT value FROM json_each(?))",  # noqa: S608 - names of ours; values are parameters
            json.dumps(call.site.types.subtypes(root_type)),
        )
    columns = ColumnSet(
        call.site.types,
        level,
        root_type,
        source.readable,
        source.readable_parameters,
        partial(call.site.rights.visible_projects, call.user),
    )
    names = _asked(call, level, more)
    # XNAT adds the key of the rows to whatever is asked for; clients rely on it.
    names.append("ID" if level in {PROJECT, SUBJECT} else f"{root_type}/ID")
    if level == EXPERIMENT and call.site.types.is_abstract(root_type):
        names += ("xsiType", "project")  # XNAT always adds them to lists of a general type
    chosen = _chosen(columns, names)
    for name, value in call.query.multi_items():
        if value and name.lower() not in _OPTIONS:
            column = columns.find(name)
            if column is not None:
                sql, parameters = condition(column, value)
                source.require(sql, *parameters)
    page = page_clause(call) if level == EXPERIMENT else ""
    cells = [*(c.sql for c in chosen), _URI[level]]
    rows = (
        f" FROM {source.tables} {columns.joins} WHERE {' AND '.join(source.where)}"
        f" ORDER BY {order_clause(call, [c.header for c in chosen], _ORDER[level])}{page}"
    )
    # To be sorted by a column, its cells must be apart.
    joined = None if "sortBy" in call.query else joined_cells(cells)
    parameters = [
        *(value for column in chosen for value in column.parameters),
        *source.parameters,
        *columns.join_parameters,
        *source.where_parameters,
    ]
    headers = [*(column.header for column in chosen), "URI"]
    return answer_query(
        call,
        headers,
        f"SELECT {', '.join(cells)}{rows}",
        parameters,
        title=title,
        xsi_type=root_type,
        count=not page,
        joined=joined and f"SELECT {joined}{rows}",
    )


def _wanted_type(call: Call, level: str, name: str) -> str:
    found = call.site.types.find(name)
    if found is None or not call.site.types.is_a(found, level):
        raise bad_request("The xsiType is not a type that this list holds.")
    return found


def _asked(call: Call, level: str, more: tuple[str, ...]) -> list[str]:
    """Return the names of the columns that the request asks for, ``DEFAULT`` replaced."""
    names: list[str] = []
    for name in call.query.get("columns", "DEFAULT").split(","):
        defaults = (*DEFAULT_COLUMNS[level], *more)
        names += defaults if name.strip().upper() == "DEFAULT" else (name.strip(),)
    return names


def _chosen(columns: ColumnSet, names: list[str]) -> list[Column]:
    """Return the columns that exist, each once."""
    chosen: dict[str, Column] = {}
    for name in names:
        column = columns.find(name) if name and name != "URI" else None
        if column is not None:
            chosen.setdefault(column.header, column)
    return list(chosen.values())


# The lists ------------------------------------------------------------------------------------


@ROUTES.add("GET", "/data/projects")
def list_projects(call: Call) -> Response:
    """List the projects whose record the caller may read."""
    for name in call.query:
        if name.lower() in _DISPLAY_OPTIONS:
            raise not_implemented(f"the option '{name}' of the project list")
    return _answer(call, PROJECT, PROJECT, visible_projects(call), "Projects")


@ROUTES.add("GET", "/data/subjects")
def list_all_subjects(call: Call) -> Response:
    """List every subject that the caller may read."""
    return _answer(call, SUBJECT, SUBJECT, everywhere(call, Kind.SUBJECT), "Subjects")


@ROUTES.add("GET", "/data/projects/{project}/subjects")
def list_subjects(call: Call) -> Response:
    """List the subjects of a project, shared ones included."""
    project = targets.project(call).id
    call.site.rights.require_in_project(call.user, Action.READ, project, SUBJECT)
    return _answer(call, SUBJECT, SUBJECT, in_project(call, Kind.SUBJECT, project), "Subjects")


@ROUTES.add(
    "GET",
    "/data/experiments",
    "/data/projects/{project}/experiments",
    "/data/projects/{project}/subjects/{subject}/experiments",
    "/data/subjects/{subject}/experiments",
)
def list_experiments(call: Call) -> Response:
    """List experiments: of a subject, of a project, or all that the caller may read."""
    subject = targets.subject(call) if "subject" in call.path else None
    context = targets.context_project(call)
    if context is None:
        source = everywhere(call, Kind.EXPERIMENT)
    else:
        call.site.rights.require_in_project(call.user, Action.READ, context, SUBJECT)
        source = in_project(call, Kind.EXPERIMENT, context)
    if subject is not None:
        source.require("e.subject_id = ?", subject.id)
    root_type = EXPERIMENT if not call.path else SUBJECT_ASSESSOR
    return _answer(call, EXPERIMENT, root_type, source, "Matching experiments", more=_parents(call))


def _parents(call: Call) -> tuple[str, ...]:
    """Return the further default columns of a list that is asked for by type."""
    wanted = call.site.types.find(call.query.get("xsiType", ""))
    if wanted is None:
        return ()
    if call.site.types.is_a(wanted, SUBJECT_ASSESSOR):
        return ("subject_ID", "subject_label")
    is_assessor = call.site.types.is_a(wanted, IMAGE_ASSESSOR)
    return ("session_ID", "session_label") if is_assessor else ()


@ROUTES.add("GET", *(path.rpartition("/")[0] for path in ASSESSOR_PATHS))
def list_assessors(call: Call) -> Response:
    """List the assessors of a session that the caller may read."""
    session, context = targets.experiment(call), targets.context_project(call)
    if context is None:
        source = everywhere(call, Kind.EXPERIMENT)
    else:
        source = in_project(call, Kind.EXPERIMENT, context)
    source.require("e.session_id = ?", session.id)
    return _answer(
        call, EXPERIMENT, IMAGE_ASSESSOR, source, "Assessors", more=("session_ID", "session_label")
    )


@ROUTES.add("GET", *(path.rpartition("/")[0] for path in SCAN_PATHS))
def list_scans(call: Call) -> Response:
    """List the scans of a session."""
    return _list_parts(call, "scan", IMAGE_SCAN, "Scans")


@ROUTES.add("GET", *(path.rpartition("/")[0] for path in RECONSTRUCTION_PATHS))
def list_reconstructions(call: Call) -> Response:
    """List the reconstructions of a session."""
    return _list_parts(call, "reconstruction", RECONSTRUCTION, "Reconstructions")


def _list_parts(call: Call, table: str, level: str, title: str) -> Response:
    session = targets.experiment(call)
    project = targets.context_project(call) or session.project
    source = Source(
        "(SELECT ? AS id, ? AS project, ? AS label) v JOIN experiment e ON e.id = v.id"
        f" JOIN {table} c ON c.session_id = e.id",
        [session.id, project, session.label_in(project)],
    )
    return _answer(call, level, level, source, title)


# Kinds of scans and scanners ------------------------------------------------------------------


@ROUTES.add("GET", "/data/projects/{project}/scan_types", "/data/scan_types")
def list_scan_types(call: Call) -> Response:
    """List the distinct scan types among readable sessions."""
    return _distinct(call, "c.type", "type")


@ROUTES.add("GET", "/data/projects/{project}/scanners", "/data/scanners")
def list_scanners(call: Call) -> Response:
    """List the distinct scanners among readable sessions."""
    return _distinct(call, "json_extract(e.fields, '$.scanner')", "scanner")


def _distinct(call: Call, expression: str, header: str) -> Response:
    context = targets.context_project(call)
    if context is None:
        source = everywhere(call, Kind.EXPERIMENT)
    else:
        call.site.rights.require_in_project(call.user, Action.READ, context, SUBJECT)
        source = in_project(call, Kind.EXPERIMENT, context)
    wanted = call.query.get("table")
    if wanted:
        found = call.site.types.find(wanted)
        if found is None:
            raise not_found("The table is not a data type of this server.")
        alias = "c" if call.site.types.is_a(found, IMAGE_SCAN) else "e"
        source.require(
            f"{alias}.xsi_type IN (SELECT value FROM json_each(?))",  # noqa: S608 - names of ours; values are parameters
            json.dumps(call.site.types.subtypes(found)),
        )
    rows = call.site.store.connection.execute(
        f"SELECT DISTINCT {expression} FROM {source.tables} JOIN scan c ON c.session_id = e.id"  # noqa: S608 - SQL of ours
        f" WHERE {' AND '.join(source.where)} AND {expression} IS NOT NULL ORDER BY 1",
        [*source.parameters, *source.where_parameters],
    ).fetchall()
    return answer_table(call, [header], rows)
