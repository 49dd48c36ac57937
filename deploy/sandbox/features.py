"""Features of XNAT that a site can ban, such as sharing data into further projects.

A feature is on for everybody unless the site says otherwise: for all, or for a type of group (by
its display name, such as ``Collaborators``). Not here: settings of one project's own groups.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from deploy.sandbox import memberships, objects
from deploy.sandbox.call import Call, text
from deploy.sandbox.errors import HttpError, bad_request, forbidden, not_found, not_implemented
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes, json_body
from deploy.sandbox.tables import answer_table

if TYPE_CHECKING:
    from deploy.sandbox.people import User

ROUTES = Routes()

SHARING = "project_sharing"
_SITE = ""
_SITE_ID = "__site_wide"
_MAX_TYPE_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class Feature:
    """What a site can ban."""

    key: str
    name: str
    description: str


FEATURES = (
    Feature("data_download", "Data Download", "The pages for downloading data (no REST address)."),
    Feature(SHARING, "Project Sharing", "Sharing objects of a project into further projects."),
)
"""In order of their names; those of XNAT's own source that its plug-ins do not add."""


@dataclass(frozen=True, slots=True)
class Stand:
    """Which features are on, and which are banned, for the site or a type of group."""

    enabled: list[str]
    banned: list[str]


def _stand(connection: sqlite3.Connection, group_type: str = _SITE) -> Stand:
    """Return what is set; at the site every feature is on unless it was taken away."""
    rows = connection.execute(
        "SELECT feature, enabled, banned FROM feature_setting WHERE group_type = ?", (group_type,)
    )
    known = {row["feature"]: row for row in rows}
    by_default = group_type == _SITE
    enabled, banned = [], []
    for feature in FEATURES:
        row = known.get(feature.key)
        if by_default if row is None or row["enabled"] is None else row["enabled"]:
            enabled.append(feature.key)
        if row is not None and row["banned"]:
            banned.append(feature.key)
    return Stand(enabled, banned)


def _group_types(call: Call) -> list[str]:
    """Return the display names of groups: the standard ones, and those of visible projects."""
    visible = sorted(call.site.rights.visible_projects(call.user))
    rows = call.site.store.connection.execute(
        "SELECT DISTINCT display_name FROM project_group"
        " WHERE project IN (SELECT value FROM json_each(?)) ORDER BY display_name",
        (json.dumps(visible),),
    )
    standard = list(memberships.STANDARD_GROUPS.values())
    return [*standard, *(name for (name,) in rows if name not in standard)]


# What it means ------------------------------------------------------------------------------


def require_sharing(connection: sqlite3.Connection, user: User, project: str) -> None:
    """Return if the user may share what the project owns, as far as features go; else raise 403.

    Who is in a group of the project may if the feature is on for that type of group. Who is in none
    (a reader of a public project) may as long as nothing restricts the feature: it is on for the
    site and blocked for no type of group. A ban of the site is for everybody.
    """
    site = _stand(connection)
    allowed = SHARING not in site.banned
    if allowed and not user.is_admin:
        groups = memberships.groups_of(connection, project)
        own = [group.display_name for group in groups if group.id in user.groups]
        if own:
            allowed = any(_is_on(site, _stand(connection, each)) for each in own)
        else:
            allowed = SHARING in site.enabled and not _is_blocked_for_some(connection)
    if not allowed:
        raise forbidden("This site restricts the feature project_sharing; ask its administrator.")


def _is_on(site: Stand, group_type: Stand) -> bool:
    is_enabled = SHARING in site.enabled or SHARING in group_type.enabled
    return is_enabled and SHARING not in group_type.banned


def _is_blocked_for_some(connection: sqlite3.Connection) -> bool:
    row = connection.execute(
        "SELECT 1 FROM feature_setting WHERE feature = ? AND banned", (SHARING,)
    ).fetchone()
    return row is not None


# HTTP ---------------------------------------------------------------------------------------


@ROUTES.add("GET", "/data/services/features")
def list_features(call: Call) -> Response:
    """Answer the features; with ``type`` what each type of group has, with ``tag`` by project."""
    if call.user.is_guest:
        raise unauthenticated()
    connection = call.site.store.connection
    site = _stand(connection)
    if "tag" in call.query:
        return _as_text([_of_project(call, name, site) for name in call.query["tag"].split(",")])
    if "type" in call.query:
        groups = []
        for name in _group_types(call):
            of_type = _stand(connection, name)
            groups.append(
                {
                    "id": name,
                    "display": name,
                    "features": of_type.enabled,
                    "blocked": of_type.banned,
                }
            )
        whole = {"id": _SITE_ID, "banned": site.banned, "onByDefault": site.enabled}
        return _as_text([{**whole, "groups": groups}])
    if "group" in call.query:
        raise bad_request("Name a project (tag=P) or ask for the types of groups (type=Owners).")
    rows = [
        (each.key, each.name, each.description, each.key in site.enabled, each.key in site.banned)
        for each in FEATURES
    ]
    return answer_table(call, ("key", "name", "description", "enabled", "banned"), rows)


def _as_text(document: list[dict[str, Any]]) -> Response:
    return text(json.dumps(document))  # XNAT names no type of it either


def _of_project(call: Call, name: str, site: Stand) -> dict[str, Any]:
    connection = call.site.store.connection
    project = objects.find_project(connection, name)
    if project is None:
        raise not_found(f"There is no project {name} that you can read.")
    call.site.rights.require_record(call.user, Action.READ, project.id)
    groups = []
    for group in memberships.groups_of(connection, project.id):
        of_type = _stand(connection, group.display_name)
        groups.append(
            {
                "id": group.id,
                "display": group.display_name,
                "features": [],
                "blocked": [],
                "inherited_features": of_type.enabled,
                "inherited_banned": of_type.banned,
            }
        )
    return {"id": project.id, "banned": site.banned, "onByDefault": site.enabled, "groups": groups}


@ROUTES.add("POST", "/data/services/features", body=True)
def change_feature(call: Call) -> Response:
    """Ban a feature or switch it off, or the reverse; for the site or (``type``) a type of group.

    The body is ``{"key": ..., "banned": true, "enabled": false}``; what is not said stays.
    """
    if call.user.is_guest:
        raise unauthenticated()
    if not call.user.is_admin:
        raise forbidden("This needs a site administrator.")
    if "group" in call.query:
        raise not_implemented("features of a single group (use type= with its display name)")
    group_type = call.query.get("type", _SITE)
    if "type" in call.query and not (
        group_type.strip() and group_type.isprintable() and len(group_type) <= _MAX_TYPE_CHARACTERS
    ):
        raise bad_request("'type' must be the display name of groups, such as Collaborators.")
    key, changes = _wanted(call)
    if key not in {feature.key for feature in FEATURES}:
        raise not_found("There is no such feature; GET this address for the list.")
    with call.site.store.write() as connection:
        connection.execute(
            "INSERT INTO feature_setting VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET"
            " enabled = ifnull(excluded.enabled, enabled),"
            " banned = ifnull(excluded.banned, banned)",
            (group_type, key, changes["enabled"], changes["banned"]),
        )
    return text()


def _wanted(call: Call) -> tuple[str, dict[str, bool | None]]:
    if not call.body.strip():
        raise HttpError(412, 'Say which feature is meant: {"key": "project_sharing", ...}.')
    document = json_body(call)
    if not isinstance(document, dict) or not isinstance(document.get("key"), str):
        raise bad_request('The body must be a JSON object with a "key".')
    changes = {name: document.get(name) for name in ("enabled", "banned")}
    if any(not isinstance(value, bool | None) for value in changes.values()):
        raise bad_request("'enabled' and 'banned' must be true or false.")
    return document["key"], changes
