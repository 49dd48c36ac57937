"""Columns of lists: from the name that a client asks for to the SQL that yields it.

The rows of a list have fixed aliases: ``v`` where the object appears (id, project, label there),
``p`` project, ``s`` subject, ``e`` experiment, ``x`` the session of an assessor, ``c`` scan or
reconstruction. Further tables (``a1``, ``r`` ...) are joined when a column asks for them, all in
the one statement. Not here: which rows a person may see (``listings``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.sandbox import shortcuts
from deploy.sandbox.datatypes import (
    EXPERIMENT,
    IMAGE_ASSESSOR,
    IMAGE_SCAN,
    PROJECT,
    RECONSTRUCTION,
    SUBJECT,
    SUBJECT_ASSESSOR,
    DataTypes,
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: the header that clients see, its SQL with parameters, and its value type."""

    header: str
    sql: str
    parameters: tuple[Any, ...] = ()
    value_type: str = "xs:string"


# What is no JSON field: relative path in lower case to SQL, by level; {a} is the row's alias.
_META = {
    "meta/insert_date": "{a}.insert_date",
    "meta/last_modified": "{a}.last_modified",
    "meta/insert_user": "{a}.insert_user",
    "meta/insert_user/login": "{a}.insert_user",
}
_TYPED = {"extension_item/element_name": "{a}.xsi_type", "extension_item": "{a}.xsi_type"}
_FIXED: dict[str, dict[str, str]] = {
    PROJECT: {
        **_META,
        "id": "{a}.id",
        "name": "{a}.name",
        "secondary_id": "{a}.secondary_id",
        "aliases/alias/alias": (
            "(SELECT group_concat(alias, ', ') FROM project_alias WHERE project = {a}.id)"
        ),
    },
    SUBJECT: {**_META, "id": "{a}.id", "project": "{a}.project", "label": "{a}.label"},
    EXPERIMENT: {
        **_META,
        **_TYPED,
        "id": "{a}.id",
        "project": "{a}.project",
        "label": "{a}.label",
        "subject_id": "{a}.subject_id",
        "imagesession_id": "{a}.session_id",
        "date": "{a}.date",
        "meta/status": "{a}.status",
    },
    IMAGE_SCAN: {
        **_META,
        **_TYPED,
        "id": "{a}.id",
        "image_session_id": "{a}.session_id",
        "xnat_imagescandata_id": "{a}.key",
        "type": "{a}.type",
        "quality": "{a}.quality",
        "series_description": "{a}.series_description",
        "note": "{a}.note",
        "frames": "{a}.frames",
        "uid": "{a}.uid",
    },
    RECONSTRUCTION: {
        **_META,
        **_TYPED,
        "id": "{a}.id",
        "image_session_id": "{a}.session_id",
        "xnat_reconstructedimagedata_id": "{a}.key",
    },
}
_FIXED_TYPES = {"meta/insert_date": "xs:dateTime", "meta/last_modified": "xs:dateTime",
                "date": "xs:date", "frames": "xs:integer"}  # fmt: skip
_RESOURCE_COLUMNS = {
    "label": "label", "format": "format", "content": "content",
    "description": "description", "xnat_abstractresource_id": "id",
}  # fmt: skip
# Objects below an object: relative path in lower case to what stands there.
_PART_PATHS = {
    "scans/scan/": IMAGE_SCAN,
    "reconstructions/reconstructedimage/": RECONSTRUCTION,
    "assessors/assessor/": IMAGE_ASSESSOR,
    "experiments/experiment/": SUBJECT_ASSESSOR,
}
_SHARE_PATH = "sharing/share/"
_JOINED = "a"  # begins the alias of every experiment that is joined to its subject or session
# Resources below an object: relative path to the direction under which they are stored.
_RESOURCE_PATHS = {"file/": "", "resources/resource/": "", "out/file/": "out", "in/file/": "in"}


@dataclass(slots=True)
class ColumnSet:
    """The columns and joins of one list statement.

    Parameters
    ----------
    level, root_type : str
        What the rows are: their most general type, and the type that the list is asked for.
    readable : str
        SQL condition that an experiment ``{a}`` (an assessor that is joined, or an experiment of
        a subject) may be read where the row appears, with ``readable_parameters``.
    visible : callable
        Returns the projects whose record the caller may see; asked only when a column needs it.
    """

    types: DataTypes
    level: str
    root_type: str
    readable: str = "1"
    readable_parameters: tuple[Any, ...] = ()
    visible: Callable[[], Iterable[str]] = tuple
    _joins: dict[str, tuple[str, tuple[Any, ...]]] = field(default_factory=dict)

    @property
    def joins(self) -> str:
        """Return the joins that the columns so far need."""
        return " ".join(sql for sql, _ in self._joins.values())

    @property
    def join_parameters(self) -> list[Any]:
        """Return the parameters of the joins, in order."""
        return [value for _, values in self._joins.values() for value in values]

    def find(self, asked: str) -> Column | None:
        """Return the column for a short name or a full path, or None when there is none."""
        path = shortcuts.full_path(self.level, asked) or asked
        split = shortcuts.split_path(self.types, path)
        if split is None:
            return None
        owner, relative = split
        for prefix, part in _PART_PATHS.items():
            if relative.lower().startswith(prefix):
                owner, relative = part, relative[len(prefix) :]
        header = shortcuts.header(self.level, asked)
        alias = self._alias(owner)
        if alias is None:
            return None
        for prefix, direction in _RESOURCE_PATHS.items():
            if relative.lower().startswith(prefix):
                return self._resource(header, alias, owner, relative[len(prefix) :], direction)
        if relative.lower().startswith(_SHARE_PATH):
            return self._share(header, alias, owner, relative[len(_SHARE_PATH) :].lower())
        return self._field(header, alias, owner, relative)

    # The table that holds a type's rows -----------------------------------------------------

    def _alias(self, owner: str) -> str | None:
        root = self.types.root(owner)
        if root == PROJECT:
            return (
                "p"
                if self.level == PROJECT
                else self._join("p", "JOIN project p ON p.id = v.project")
            )
        if root == SUBJECT:
            return self._subject_alias()
        if root == EXPERIMENT:
            return self._experiment_alias(owner)
        if root in {IMAGE_SCAN, RECONSTRUCTION}:
            return self._scan_alias(owner, root)
        return None

    def _subject_alias(self) -> str | None:
        if self.level == SUBJECT:
            return "s"
        if self.level == PROJECT:
            return None
        person = "e.subject_id"
        if self.types.is_a(self.root_type, IMAGE_ASSESSOR):
            self._session_alias()
            person = "x.subject_id"
        # A session's share does not share its subject: shown only where the subject appears too.
        return self._join(
            "s",
            f"LEFT JOIN subject s ON s.id = {person} AND (s.project = v.project OR EXISTS (SELECT 1"  # noqa: S608 - names of ours; values are parameters
            " FROM share WHERE share.kind = 'subject' AND share.object_id = s.id"
            " AND share.project = v.project))",
        )

    def _session_alias(self) -> str:
        # An assessor's share does not share its session: shown only where the session appears too.
        readable = self.readable.replace("{a}", "x")
        return self._join(
            "x",
            "LEFT JOIN experiment x ON x.id = e.session_id AND (x.project = v.project OR EXISTS"  # noqa: S608 - names of ours; values are parameters
            " (SELECT 1 FROM share WHERE share.kind = 'experiment' AND share.object_id = x.id"
            f" AND share.project = v.project)) AND {readable}",
            self.readable_parameters,
        )

    def _experiment_alias(self, owner: str) -> str | None:
        if self.level == PROJECT:
            return None
        if self.level == SUBJECT:
            return self._joined_experiment(owner, "subject_id = s.id")
        if self.level != EXPERIMENT:
            return "e"
        of_assessors = self.types.is_a(self.root_type, IMAGE_ASSESSOR)
        if of_assessors:
            own = self.types.is_a(owner, "xnat:derivedData") or owner == EXPERIMENT
            return "e" if own else self._session_alias()
        if self.types.is_a(owner, "xnat:derivedData") and self.root_type != EXPERIMENT:
            return self._joined_experiment(owner, "session_id = e.id")
        return "e"

    def _joined_experiment(self, owner: str, link: str) -> str:
        alias = _JOINED + "".join(ch for ch in owner if ch.isalnum())
        readable = self.readable.replace("{a}", alias)
        return self._join(
            alias,
            f"LEFT JOIN experiment {alias} ON {alias}.{link}"  # noqa: S608 - names of ours; values are parameters
            f" AND {alias}.xsi_type IN (SELECT value FROM json_each(?))"
            f" AND ({alias}.project = v.project OR EXISTS (SELECT 1 FROM share WHERE"
            f" share.kind = 'experiment' AND share.object_id = {alias}.id"
            f" AND share.project = v.project)) AND {readable}",
            (json.dumps(self.types.subtypes(owner)), *self.readable_parameters),
        )

    def _scan_alias(self, owner: str, root: str) -> str | None:
        if self.level in {IMAGE_SCAN, RECONSTRUCTION}:
            return "c" if root == self.level else None
        if self.level != EXPERIMENT:
            return None
        table = "scan" if root == IMAGE_SCAN else "reconstruction"
        alias = "c" + "".join(ch for ch in owner if ch.isalnum())
        joined = f"LEFT JOIN {table} {alias} ON {alias}.session_id = e.id"
        if owner == root:  # every row of the table has one of its types
            return self._join(alias, joined)
        return self._join(
            alias,
            f"{joined} AND {alias}.xsi_type IN (SELECT value FROM json_each(?))",  # noqa: S608 - names of ours; values are parameters
            (json.dumps(self.types.subtypes(owner)),),
        )

    def _join(self, alias: str, sql: str, parameters: Sequence[Any] = ()) -> str:
        self._joins.setdefault(alias, (sql, tuple(parameters)))
        return alias

    # Values ---------------------------------------------------------------------------------

    def _resource(
        self, header: str, alias: str, owner: str, name: str, direction: str
    ) -> Column | None:
        column = _RESOURCE_COLUMNS.get(name.lower())
        if column is None:
            return None
        root = self.types.root(owner)
        kind = {
            PROJECT: "project", SUBJECT: "subject", IMAGE_SCAN: "scan",
            RECONSTRUCTION: "reconstruction",
        }.get(root, "experiment")  # fmt: skip
        key = f"CAST({alias}.key AS TEXT)" if kind in {"scan", "reconstruction"} else f"{alias}.id"
        joined = self._join(
            f"r{alias}{direction}",
            f"LEFT JOIN resource r{alias}{direction} ON r{alias}{direction}.owner_kind = '{kind}'"
            f" AND r{alias}{direction}.owner_id = {key}"
            f" AND r{alias}{direction}.direction = '{direction}'",
        )
        return Column(header, f"{joined}.{column}")

    def _share(self, header: str, alias: str, owner: str, name: str) -> Column | None:
        """Return where an object is shared into, among the projects that the caller sees."""
        kind = {SUBJECT: "subject", EXPERIMENT: "experiment"}.get(self.types.root(owner))
        if kind is None or name not in {"project", "label"}:
            return None
        joined = self._join(
            f"h{alias}",
            f"LEFT JOIN share h{alias} ON h{alias}.kind = '{kind}'"  # noqa: S608 - names of ours; values are parameters
            f" AND h{alias}.object_id = {alias}.id"
            f" AND h{alias}.project IN (SELECT value FROM json_each(?))",
            (json.dumps(sorted(self.visible())),),
        )
        return Column(header, f"{joined}.{name}")

    def _field(self, header: str, alias: str, owner: str, relative: str) -> Column | None:
        root, name = self.types.root(owner), relative.lower()
        shown = self._shown_here(alias, name)
        if shown is not None:
            return Column(header, shown)
        fixed = _FIXED[root].get(name)
        if fixed is not None:
            return Column(header, fixed.format(a=alias), (), _FIXED_TYPES.get(name, "xs:string"))
        leaf = self.types.leaf(owner, relative)
        if leaf is None or '"' in leaf.path or "\\" in leaf.path:
            return None
        sql = f"json_extract({alias}.fields, ?)"
        parameters: tuple[str, ...] = (f'$."{leaf.path}"',)
        if alias in {"e", "c"} and not self.types.is_a(self.root_type, owner):
            # Another type's field of the same name is another field.
            sql = f"CASE WHEN {alias}.xsi_type IN (SELECT value FROM json_each(?)) THEN {sql} END"  # noqa: S608 - names of ours; values are parameters
            parameters = (json.dumps(self.types.subtypes(owner)), *parameters)
        return Column(header, sql, parameters, leaf.value_type)

    def _shown_here(self, alias: str, name: str) -> str | None:
        """Return the SQL of a label or project as it is where the row appears."""
        if name not in {"label", "project"}:
            return None
        root_alias = {SUBJECT: "s", EXPERIMENT: "e", IMAGE_SCAN: "e", RECONSTRUCTION: "e"}
        if root_alias.get(self.level) == alias:
            return f"v.{name}"
        if alias in {"s", "x"} or alias.startswith(_JOINED):
            if name == "project":
                return f"CASE WHEN {alias}.id IS NULL THEN NULL ELSE v.project END"
            kind = "subject" if alias == "s" else "experiment"
            return (
                f"CASE WHEN {alias}.project = v.project THEN {alias}.label ELSE (SELECT label"  # noqa: S608 - names of ours; values are parameters
                f" FROM share WHERE kind = '{kind}' AND object_id = {alias}.id"
                " AND project = v.project) END"
            )
        return None
