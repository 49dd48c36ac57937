"""The items of a project's own groups: rights by data type, and who has them.

XNAT tells which groups there are and who is in them, but not which rights they give: rights are
written when a group is made, and again whenever somebody is put into it, never compared. Not here:
owners, members and collaborators (``parts_projects``).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from deploy.checked_yaml import Place
from deploy.site.document import SiteDocument
from deploy.site.items import Item, Rank
from deploy.site.model import ProjectGroup, SiteProject
from deploy.site.server import SiteServer
from xnat_client.address import path_of
from xnat_client.errors import NotFoundError
from xnat_client.listings import list_rows

_OWNER = "an owner of the project"


def group_items(
    document: SiteDocument, server: SiteServer, project: SiteProject, place: Place
) -> Iterator[Item]:
    """Yield the items of a project's own groups."""
    for n, group in enumerate(project.groups):
        where = document.where((*place, "groups", n))
        yield Item(
            f"projects.{project.id}.groups.{group.name}",
            where,
            "there",
            partial(_read_group, server, project.id, group),
            partial(_write_group, server, project.id, group),
            needs=_OWNER,
            show=partial(_describe, group),
        )
        for login in group.people:
            yield Item(
                f"projects.{project.id}.people.{login}",
                where,
                group.name,
                partial(_read_member, server, project.id, login),
                partial(_write_member, server, project.id, group, login),
                rank=Rank.OPENING,
                needs=_OWNER,
            )


def _describe(group: ProjectGroup, value: str | None) -> str:
    if value is None:
        return "(not there)"
    rights = ", ".join(f"{name}: {level}" for name, level in group.rights.items())
    return f"a group with {rights or 'no rights'}"


def _read_group(server: SiteServer, project: str, group: ProjectGroup) -> str | None:
    path = path_of("data", "projects", project, "groups")
    try:
        rows = list_rows(server.transport, path, doing=f"list the groups of project {project}")
    except NotFoundError:
        return None
    return "there" if f"{project}_{group.name}" in {row.get("id") for row in rows} else None


def _write_group(server: SiteServer, project: str, group: ProjectGroup, _before: Any) -> None:
    path = path_of("data", "projects", project, "groups", group.name)
    server.put(path, f"make its group {group.name}", **group.rights)


def _read_member(server: SiteServer, project: str, login: str) -> str | None:
    server.require_account(login)
    members = server.members(project)
    return None if members is None else members.get(login)


def _write_member(
    server: SiteServer, project: str, group: ProjectGroup, login: str, before: Any
) -> None:
    server.require_account(login)
    # Whoever is let in gets what the file says, whatever was done to the group since.
    _write_group(server, project, group, before)
    path = path_of("data", "projects", project, "users", f"{project}_{group.name}", login)
    server.put(path, f"put {login} into its group {group.name}")
