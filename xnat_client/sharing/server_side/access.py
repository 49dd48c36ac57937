"""Who may see a project, as XNAT keeps it: accessibility, groups, shares, open sessions, tokens.

Every change is read back, because XNAT answers 200 to words that it does not know, and mails an
invitation where a user name is not known. Not here: who should be there (``declared``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.errors import RefusedError, UsageError
from xnat_client.listings import list_rows
from xnat_client.projects import Accessibility, get_accessibility

if TYPE_CHECKING:
    from xnat_client.transport import Transport

COLLABORATORS = "collaborator"
OWNERS = "owner"
SITE_READING_GROUPS = frozenset({"ALL_DATA_ACCESS", "ALL_DATA_ADMIN"})
"""Groups whose members read every project of a site, whatever the project says."""

_WIDTH = {Accessibility.PRIVATE: 0, Accessibility.PROTECTED: 1, Accessibility.PUBLIC: 2}


class Shared(StrEnum):
    """The kinds of objects that XNAT shares into another project."""

    SUBJECT = "subjects"
    EXPERIMENT = "experiments"


@dataclass(frozen=True, slots=True, order=True)
class Member:
    """A user in a group of a project; ``group`` is without the project's name in front.

    Groups of the site (``ALL_DATA_ACCESS``) keep their whole name.
    """

    login: str
    group: str


def is_wider(found: Accessibility, allowed: Accessibility) -> bool:
    """Tell whether more people see a project than are allowed to."""
    return _WIDTH[found] > _WIDTH[allowed]


def set_accessibility(transport: Transport, project_id: str, level: Accessibility) -> None:
    """Set who sees a project, and read it back.

    Raises
    ------
    RefusedError
        The server keeps another level.
    """
    path = path_of("data", "projects", project_id, "accessibility", level.value)
    transport.request("PUT", path, doing=f"make project {project_id} {level.value}")
    found = get_accessibility(transport, project_id)
    if found is not level:
        raise RefusedError(
            f"Project {project_id} should be {level.value} but the server keeps it {found.value}. "
            "Set it by hand at once, then look for what prevents it."
        )


def members_of_rows(project_id: str, rows: Any) -> tuple[Member, ...]:
    """Return the members in XNAT's table of a project's users, sorted."""
    return tuple(sorted(Member(row["login"], _group(project_id, row["GROUP_ID"])) for row in rows))


def _group(project_id: str, group_id: str) -> str:
    # A project may be called ALL_DATA.
    known = group_id in SITE_READING_GROUPS
    return group_id if known else group_id.removeprefix(f"{project_id}_")


def members_path(project_id: str) -> str:
    """Return the address of a project's users, disabled accounts included."""
    return path_of("data", "projects", project_id, "users", "true")


def list_members(transport: Transport, project_id: str) -> tuple[Member, ...]:
    """Return who is in a project's groups, disabled accounts included, site-wide readers not."""
    doing = f"list the users of project {project_id}"
    rows = list_rows(transport, members_path(project_id), doing=doing)
    try:
        return members_of_rows(project_id, rows)
    except KeyError as error:
        raise RefusedError(f"Cannot {doing}: the table lacks the column {error.args[0]}.") from None


def list_logins(transport: Transport) -> frozenset[str]:
    """Return the user names of all accounts of a site; for administrators."""
    doing = "list the accounts of the site"
    answer = transport.get_json("/xapi/users", doing=doing)
    if not isinstance(answer, list) or not all(isinstance(login, str) for login in answer):
        raise RefusedError(f"Cannot {doing}: the answer is not a list of user names.")
    return frozenset(answer)


def add_reader(transport: Transport, project_id: str, login: str) -> None:
    """Put an account into the collaborators of a project: it may read, nothing else.

    The caller has made sure that the account exists, since XNAT would invite an unknown name by
    e-mail, and reads the list of users back.
    """
    path = path_of("data", "projects", project_id, "users", f"{project_id}_{COLLABORATORS}", login)
    transport.request("PUT", path, doing=f"let account {login} read project {project_id}")


def remove_member(transport: Transport, project_id: str, member: Member) -> None:
    """Take an account out of a group of a project, and read it back.

    Raises
    ------
    RefusedError
        The account is still there.
    """
    path = path_of(
        "data", "projects", project_id, "users", f"{project_id}_{member.group}", member.login
    )
    doing = f"take account {member.login} out of project {project_id}"
    transport.request("DELETE", path, doing=doing, accept=(200, 204, 404))
    if member in list_members(transport, project_id):
        raise RefusedError(
            f"Cannot {doing}: the server still lists it as {member.group}. Remove it by hand."
        )


def leave_site_group(transport: Transport, login: str, group: str) -> None:
    """Take an account out of a group that reads every project, and read it back."""
    if group not in SITE_READING_GROUPS:
        raise UsageError(f"{group} is no group of the whole site.")
    doing = f"take account {login} out of the site's group {group}"
    transport.request("DELETE", path_of("xapi", "users", login, "groups", group), doing=doing)
    left = transport.get_json(path_of("xapi", "users", login, "groups"), doing=doing)
    if not isinstance(left, list) or group in left:
        raise RefusedError(f"Cannot {doing}: the account is still in it. Remove it by hand.")


def unshare(transport: Transport, kind: Shared, object_id: str, receiver: str) -> None:
    """End a share into another project, and read it back.

    Raises
    ------
    RefusedError
        The object still appears in the other project.
    """
    base = path_of("data", kind.value, object_id, "projects")
    doing = f"end the share of {object_id} into project {receiver}"
    transport.request("DELETE", base + path_of(receiver), doing=doing, accept=(200, 204, 404))
    rows = list_rows(transport, base, doing=doing)
    if any(row.get("ID") == receiver for row in rows):
        raise RefusedError(f"Cannot {doing}: it is still shared. End it by hand.")


def end_sessions(transport: Transport, login: str) -> int:
    """End an account's web sessions and alias tokens; return how many tokens there were.

    A token acts as the whole account; XNAT does not end it when a right is taken away.
    """
    doing = f"end the tokens of account {login}"
    shown = transport.get_json(
        path_of("data", "services", "tokens", "show", "user", login), doing=doing
    )
    aliases = [token["alias"] for token in shown if isinstance(token, dict) and "alias" in token]
    for alias in aliases:
        transport.request(
            "GET",
            path_of("data", "services", "tokens", "invalidate", alias),
            doing=doing,
            accept=(200, 404),
        )
    transport.request(
        "DELETE",
        path_of("xapi", "users", "active", login),
        doing=f"end the sessions of account {login}",
        accept=(200, 204, 404),
    )
    return len(aliases)


def set_site_property(transport: Transport, name: str, value: bool) -> None:  # noqa: FBT001  # the property's own value
    """Set a site property, and read it back."""
    doing = f"set the site property {name}"
    path = path_of("xapi", "siteConfig", name)
    transport.request(
        "POST",
        path,
        doing=doing,
        headers={"Content-Type": "application/json"},
        body=json.dumps(value).encode(),
    )
    found = transport.get_json(path, doing=doing)
    if str(found).lower() != str(value).lower():
        raise RefusedError(f"Cannot {doing}: the server keeps another value.")
