"""Who may do what: XNAT's access model as one table, enforced in one place.

Every handler asks ``Rights``; none looks at groups or accessibility itself. ``/data`` answers 404
when the caller may not even read the object, so that its existence stays hidden, and 403 when it
can be read but the action is denied; ``/xapi`` answers 403 for both.

Source: XNAT's access model (project accessibility, project groups, sharing) as its REST handlers
and REST test-suite assert it. Rights apply at once; a real XNAT may cache them for a second.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from deploy.sandbox.errors import forbidden, not_found
from deploy.sandbox.people import ALL_DATA_ACCESS, ALL_DATA_ADMIN, User
from deploy.sandbox.remembered import Remembered
from deploy.sandbox.store import Store


class Action(StrEnum):
    """What can be done with data."""

    READ = "read"
    CREATE = "create"
    EDIT = "edit"
    DELETE = "delete"
    ACTIVATE = "activate"


class Role(StrEnum):
    """Standing of a person in one project, from the strongest to none."""

    SITE = "site"
    OWNER = "owner"
    MEMBER = "member"
    COLLABORATOR = "collaborator"
    SITE_READER = "site-reader"
    NONE = "none"


PROJECT_TYPE = "xnat:projectData"
SUBJECT_TYPE = "xnat:subjectData"

ALL_ACTIONS = frozenset(Action)
_EDITING = frozenset({Action.READ, Action.CREATE, Action.EDIT})
_READING = frozenset({Action.READ})
_NOTHING: frozenset[Action] = frozenset()

DATA_ACTIONS: dict[Role, frozenset[Action]] = {
    Role.SITE: ALL_ACTIONS,
    Role.OWNER: ALL_ACTIONS,
    Role.MEMBER: _EDITING,
    Role.COLLABORATOR: _READING,
    Role.SITE_READER: _READING,
    Role.NONE: _NOTHING,
}
"""Actions on a project's data by standing; custom groups add what they grant by data type."""

RECORD_ACTIONS: dict[Role, frozenset[Action]] = {
    Role.SITE: ALL_ACTIONS,
    Role.OWNER: ALL_ACTIONS,
    Role.MEMBER: _READING,
    Role.COLLABORATOR: _READING,
    Role.SITE_READER: _READING,
    Role.NONE: _NOTHING,
}
"""Actions on the project record itself (title, users, accessibility) by standing."""

ACCESSIBILITY_DATA: dict[str, frozenset[Action]] = {
    "private": _NOTHING,
    "protected": _NOTHING,
    "public": _READING,
}
"""What accessibility adds on data for everybody, the guest included."""

ACCESSIBILITY_RECORD: dict[str, frozenset[Action]] = {
    "private": _NOTHING,
    "protected": _READING,
    "public": _READING,
}
"""What accessibility adds on the project record for everybody, the guest included."""

GROUP_LEVEL_ACTIONS: dict[str, frozenset[Action]] = {
    "none": _NOTHING,
    "read": _READING,
    "edit": _EDITING,
    "all": ALL_ACTIONS,
}
"""Levels that a custom group can have for a data type."""

_STANDARD_GROUPS = (
    ("owner", Role.OWNER),
    ("member", Role.MEMBER),
    ("collaborator", Role.COLLABORATOR),
)
_STANDARD_ENDINGS = tuple(f"_{suffix}" for suffix, _ in _STANDARD_GROUPS)
_SITE_GROUPS = frozenset({ALL_DATA_ACCESS, ALL_DATA_ADMIN})


def _may_be_custom(group: str, project: str | None) -> bool:
    """Return whether a group's name alone leaves it possible that it is a project's custom one.

    A name is never enough: ``A_B_c`` may be a group of project ``A`` or of ``A_B``.
    """
    if group in _SITE_GROUPS or group.endswith(_STANDARD_ENDINGS):
        return False
    return project is None or group.startswith(f"{project}_")


@dataclass(frozen=True, slots=True)
class Secured:
    """What decides the rights on one object.

    Parameters
    ----------
    what : str
        How to name the object in an answer, such as ``session XNAT_E00001``.
    xsi_type : str
        Data type that group rights are granted for (a scan has its session's).
    project : str
        The owning project.
    shared_into : tuple of str
        Projects that the object is shared into.
    """

    what: str
    xsi_type: str
    project: str
    shared_into: tuple[str, ...] = ()

    @property
    def projects(self) -> tuple[str, ...]:
        """Return every project in which the object appears, the owning one first."""
        return (self.project, *self.shared_into)


class Rights:
    """Answers of the access model for one site."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: Remembered[tuple[User, str, str | None], frozenset[Action]] = Remembered(store)

    # The table ------------------------------------------------------------------------------

    @staticmethod
    def role(user: User, project: str) -> Role:
        """Return the strongest standing that needs no look into the database.

        Custom groups are no such standing: what they give is told by their own rights. The
        project is named by its exact ID.
        """
        if user.is_admin or ALL_DATA_ADMIN in user.groups:
            return Role.SITE
        for suffix, role in _STANDARD_GROUPS:
            if f"{project}_{suffix}" in user.groups:
                return role
        return Role.SITE_READER if ALL_DATA_ACCESS in user.groups else Role.NONE

    def _accessibility(self, project: str) -> str:
        row = self._store.connection.execute(
            "SELECT accessibility FROM project WHERE id = ?", (project,)
        ).fetchone()
        return str(row["accessibility"]) if row is not None else "private"

    def data_actions(self, user: User, project: str, xsi_type: str) -> frozenset[Action]:
        """Return what the user may do with data of a type that appear in the project."""
        return self._known.get(
            (user, project, xsi_type), partial(self._data_actions, user, project, xsi_type)
        )

    def _data_actions(self, user: User, project: str, xsi_type: str) -> frozenset[Action]:
        # Resources of the project itself follow its record: members read, owners edit.
        by_role = RECORD_ACTIONS if xsi_type == PROJECT_TYPE else DATA_ACTIONS
        return (
            by_role[self.role(user, project)]
            | ACCESSIBILITY_DATA[self._accessibility(project)]
            | self._custom_actions(user, xsi_type, project).get(project, _NOTHING)
        )

    def record_actions(self, user: User, project: str) -> frozenset[Action]:
        """Return what the user may do with the project record."""
        return self._known.get((user, project, None), partial(self._record_actions, user, project))

    def _record_actions(self, user: User, project: str) -> frozenset[Action]:
        return (
            RECORD_ACTIONS[self.role(user, project)]
            | ACCESSIBILITY_RECORD[self._accessibility(project)]
            | self._custom_actions(user, PROJECT_TYPE, project).get(project, _NOTHING)
        )

    def _custom_actions(
        self, user: User, xsi_type: str, project: str | None = None
    ) -> dict[str, frozenset[Action]]:
        """Return what custom groups give the user on a type, by project.

        Any member of a custom group reads the project record and the project's subjects.
        """
        if not any(_may_be_custom(group, project) for group in user.groups):
            return {}
        rows = self._store.connection.execute(
            "SELECT project_group.project, coalesce(group_right.level, 'none') FROM project_group"
            " LEFT JOIN group_right ON group_right.group_id = project_group.id"
            " AND group_right.xsi_type = ?"
            " WHERE project_group.id IN (SELECT value FROM json_each(?))",
            (xsi_type, json.dumps(list(user.groups))),
        )
        at_least = _READING if xsi_type in {PROJECT_TYPE, SUBJECT_TYPE} else _NOTHING
        found: dict[str, frozenset[Action]] = {}
        for place, level in rows:
            given = at_least | GROUP_LEVEL_ACTIONS[level]
            found[place] = found.get(place, _NOTHING) | given
        return found

    # Questions ------------------------------------------------------------------------------

    def can(
        self, user: User, action: Action, thing: Secured, context_project: str | None = None
    ) -> bool:
        """Return whether the user may do this with the object.

        Parameters
        ----------
        context_project : str or None
            The project in the request's path. Reading needs the right there (without one: in
            any project the object appears in). Editing through a project that the object is
            shared into needs the right in both; without a project, in the owning one.
            Deleting through such a project means unsharing and needs the right there.
        """
        if context_project is not None and context_project not in thing.projects:
            return False
        if action is Action.READ:
            places = (context_project,) if context_project else thing.projects
            return any(action in self.data_actions(user, p, thing.xsi_type) for p in places)
        places = (thing.project,)
        if context_project is not None and context_project != thing.project:
            both = (thing.project, context_project)
            places = (context_project,) if action is Action.DELETE else both
        return all(action in self.data_actions(user, p, thing.xsi_type) for p in places)

    def require(
        self, user: User, action: Action, thing: Secured, context_project: str | None = None
    ) -> None:
        """Return if allowed; else raise 404 (not readable) or 403 (readable, denied)."""
        if self.can(user, action, thing, context_project):
            return
        if action is Action.READ or not self.can(user, Action.READ, thing, context_project):
            raise not_found("There is no such object that you can read.")  # its ID is a secret too
        raise forbidden(f"You may read {thing.what} but not {action} it.")

    def require_in_project(self, user: User, action: Action, project: str, xsi_type: str) -> None:
        """Return if the user may do this with data of a type in the project.

        Raises
        ------
        HttpError
            404 when the project record is hidden from the user, else 403.
        """
        if action in self.data_actions(user, project, xsi_type):
            return
        if Action.READ not in self.record_actions(user, project):
            raise not_found(f"There is no project {project} that you can read.")
        raise forbidden(f"You may not {action} {xsi_type} in project {project}.")

    def require_record(self, user: User, action: Action, project: str) -> None:
        """Return if the user may do this with the project record; else raise 404 or 403."""
        actions = self.record_actions(user, project)
        if action in actions:
            return
        if Action.READ not in actions:
            raise not_found(f"There is no project {project} that you can read.")
        raise forbidden(f"You may read project {project} but not {action} it.")

    def projects_with(self, user: User, action: Action, xsi_type: str) -> set[str]:
        """Return the IDs of projects whose data of a type the user may treat so.

        Two queries and one pass over the projects; lists filter by it.
        """
        table = RECORD_ACTIONS if xsi_type == PROJECT_TYPE else DATA_ACTIONS
        return self._places(user, action, xsi_type, table, ACCESSIBILITY_DATA)

    def visible_projects(self, user: User) -> set[str]:
        """Return the IDs of projects whose record the user may read."""
        return self._places(user, Action.READ, PROJECT_TYPE, RECORD_ACTIONS, ACCESSIBILITY_RECORD)

    def _places(
        self,
        user: User,
        action: Action,
        xsi_type: str,
        by_role: dict[Role, frozenset[Action]],
        by_accessibility: dict[str, frozenset[Action]],
    ) -> set[str]:
        custom = self._custom_actions(user, xsi_type)
        rows = self._store.connection.execute("SELECT id, accessibility FROM project").fetchall()
        return {
            project
            for project, accessibility in rows
            if action in by_role[self.role(user, project)]
            or action in by_accessibility[accessibility]
            or action in custom.get(project, _NOTHING)
        }
