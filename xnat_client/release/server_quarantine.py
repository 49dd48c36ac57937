"""The quarantine project of a build on a server: made for it, closed, and removed at its end.

Its name is drawn at random and written into the records' folder before the project is made, so
that a build that ended without removing it leaves a trace, and the next one removes it. Not here:
what is done in the project (``server_steps``).
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.errors import BadInputError, NotFoundError, RefusedError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.release.labels import new_label
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.server_side.access import OWNERS, Member, list_members

if TYPE_CHECKING:
    from xnat_client.session import XnatServer
    from xnat_client.sharing.home import Home

_TRACE_FILE = "server-quarantine.json"
_NAME = re.compile(r"tmp-[a-z0-9]{20}")
"""Nothing else is ever removed, whatever the trace says."""


def remove_left_overs(home: Home, server: XnatServer, alias: str) -> int:
    """Remove the quarantine projects that earlier builds left on a server; return how many.

    What another account made stays in the trace: it cannot be seen, so nobody can tell from here
    whether it is gone.

    Parameters
    ----------
    alias : str
        Short name of the server; what was left on another one stays in the trace too.

    Raises
    ------
    RefusedError
        The server keeps one.
    """
    trace = home.folder / _TRACE_FILE
    removed = 0
    for row in _read(trace):
        if (row["server"], row["account"]) == (alias, server.account):
            removed += _remove(server, row["project"])
            _forget(trace, row["project"])
    return removed


class ServerQuarantine:
    """A private project that only the account of the build can enter; made by ``open``."""

    def __init__(self, home: Home, server: XnatServer, project_id: str) -> None:
        self._trace = home.folder / _TRACE_FILE
        self._server = server
        self.project_id = project_id

    @classmethod
    def open(cls, home: Home, server: XnatServer, alias: str) -> ServerQuarantine:
        """Make the project.

        Raises
        ------
        RefusedByPolicyError
            It is not private, or others than the account of the build are in it.
        RefusedError, NotAllowedError
            The server does not make it.
        """
        project_id = f"tmp-{new_label(())}{new_label(())}"
        quarantine = cls(home, server, project_id)
        row = {"server": alias, "account": server.account, "project": project_id}
        _write(quarantine._trace, [*_read(quarantine._trace), row])
        try:
            create_project(server.transport, project_id)
            quarantine.require_closed()
        except BaseException:
            quarantine.remove()
            raise
        return quarantine

    def require_closed(self) -> None:
        """Read back that nobody else can enter.

        Raises
        ------
        RefusedByPolicyError
            Somebody can.
        """
        transport = self._server.transport
        found = get_accessibility(transport, self.project_id)
        members = list_members(transport, self.project_id)
        mine = (Member(self._server.account, OWNERS),)
        if found is not Accessibility.PRIVATE or members != mine:
            raise RefusedByPolicyError(
                "The quarantine project of the build is not closed: it must be private with its "
                f"own account as the only member, but is {found.value} with {len(members)} "
                "members. Nothing more was put there; find out who opened it."
            )

    def remove(self) -> None:
        """Remove the project with all its files, and read back that it is gone.

        Raises
        ------
        RefusedError
            The server keeps it; it stays in the trace, and the next build tries again.
        """
        _remove(self._server, self.project_id)
        _forget(self._trace, self.project_id)


def _remove(server: XnatServer, project_id: str) -> bool:
    """Remove a project; return whether there was one."""
    if not _is_there(server, project_id):
        return False
    path = path_of("data", "projects", project_id)
    doing = "remove the quarantine project of a build"
    server.transport.request(
        "DELETE", path, doing=doing, query={"removeFiles": "true"}, accept=(200, 204, 404)
    )
    if _is_there(server, project_id):
        raise RefusedError(f"Cannot {doing}: the server still has it. Remove {project_id} by hand.")
    return True


def _is_there(server: XnatServer, project_id: str) -> bool:
    try:
        get_accessibility(server.transport, project_id)
    except NotFoundError:
        return False
    return True


def _read(trace: Path) -> list[dict[str, str]]:
    try:
        rows: Any = json.loads(trace.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except ValueError as error:
        raise _unreadable() from error
    is_good = isinstance(rows, list) and all(
        isinstance(row, dict)
        and row.keys() == {"server", "account", "project"}
        and _NAME.fullmatch(str(row.get("project")))
        for row in rows
    )
    if not is_good:
        raise _unreadable()
    found: list[dict[str, str]] = rows
    return found


def _unreadable() -> BadInputError:
    return BadInputError(
        f"The list of quarantine projects ({_TRACE_FILE} in the records' folder) cannot be read. "
        "Look on the servers for projects named tmp- and 20 characters, and remove list and "
        "projects."
    )


def _forget(trace: Path, project_id: str) -> None:
    _write(trace, [row for row in _read(trace) if row["project"] != project_id])


def _write(trace: Path, rows: list[dict[str, str]]) -> None:
    if not rows:
        trace.unlink(missing_ok=True)
        return
    partial = trace.with_name(f".{trace.name}")
    with partial.open("w", encoding="utf-8") as file:
        json.dump(rows, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(trace)
