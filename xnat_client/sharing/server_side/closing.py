"""Closing and opening a release project on its server.

Closing asks nothing: private first, then every reader out, their sessions and tokens ended, read
back. Opening is done with the records locked, after everything else, accessibility last. Not here:
why (``machines``), the files (``content``).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from xnat_client.errors import RefusedError, XnatClientError
from xnat_client.projects import Accessibility, get_accessibility
from xnat_client.sharing.server_side.access import (
    COLLABORATORS,
    OWNERS,
    Member,
    add_reader,
    end_sessions,
    list_logins,
    list_members,
    remove_member,
    set_accessibility,
)

if TYPE_CHECKING:
    from xnat_client.sharing.server_side.declared import DeclaredProject
    from xnat_client.transport import Transport


def close_project(transport: Transport, project_id: str, service_login: str) -> tuple[str, ...]:
    """Close a release project to everybody but the service; return who was taken out.

    All of it is tried, whatever fails on the way; what failed is raised at the end.

    Raises
    ------
    XnatClientError
        Something could not be closed, or not be read back.
    """
    troubles: list[XnatClientError] = []
    removed: set[str] = set()

    def attempt(what: Callable[[], object]) -> None:
        try:
            what()
        except XnatClientError as error:
            troubles.append(error)

    def remove(member: Member) -> None:
        remove_member(transport, project_id, member)
        removed.add(member.login)

    attempt(lambda: set_accessibility(transport, project_id, Accessibility.PRIVATE))
    for member in list_members(transport, project_id):
        if member.login != service_login:
            attempt(partial(remove, member))
    for login in sorted(removed):
        attempt(partial(end_sessions, transport, login))
    left = [one for one in list_members(transport, project_id) if one.login != service_login]
    if left or get_accessibility(transport, project_id) is not Accessibility.PRIVATE:
        raise RefusedError(
            f"Project {project_id} is not closed: {len(left)} accounts are still in it. Close it "
            "by hand at once."
        ) from (troubles[0] if troubles else None)
    if troubles:
        raise troubles[0]
    return tuple(sorted(removed))


@dataclass(frozen=True)
class Opening:
    """How far the readers of a project are let in.

    Attributes
    ----------
    unknown : tuple of str
        Declared readers whose account does not exist on the server; they were passed over, since
        XNAT would mail an invitation to an unknown name.
    left : int
        Readers who are still to be let in.
    """

    unknown: tuple[str, ...]
    left: int


MOST_AT_ONCE = 50
"""Readers that are let in within one transaction of the records, so that others need not wait."""


def open_project(
    transport: Transport, declared: DeclaredProject, service_login: str, most: int = MOST_AT_ONCE
) -> Opening:
    """Give a release project the readers that are declared, and read all of it back.

    The caller holds the records' lock, has evaluated the guards, and has compared the files.

    Raises
    ------
    XnatClientError
        The server does not hold what is declared; the caller closes it again.
    """
    project_id = declared.project_id
    known = list_logins(transport) if declared.readers else frozenset()
    wanted = {Member(login, COLLABORATORS) for login in declared.readers & known}
    service = Member(service_login, OWNERS)
    present = set(list_members(transport, project_id))
    for member in sorted(present - wanted):
        if member.login != service_login:
            remove_member(transport, project_id, member)
            end_sessions(transport, member.login)
    now = sorted(wanted - present)[:most]
    for member in now:
        add_reader(transport, project_id, member.login)
    set_accessibility(transport, project_id, declared.accessibility)
    found = set(list_members(transport, project_id)) - {service}
    if found - wanted or set(now) - found:
        raise RefusedError(
            f"The users of project {project_id} are not those declared, after they were set. "
            "Somebody else changes the project; it is closed again."
        )
    return Opening(tuple(sorted(declared.readers - known)), len(wanted - found))
