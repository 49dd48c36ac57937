"""The parts of an XNAT server that a site file is about, as values.

Sources: XNAT's REST interface below ``/xapi`` and ``/data``; Container Service 3.7. Not here: what
is wanted (``parts_site``, ``parts_projects``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from commands.errors import CommandDefinitionError
from commands.model import Command
from commands.service_json import command_from_json
from xnat_client.address import path_of
from xnat_client.errors import ConflictError, NotFoundError, RefusedError
from xnat_client.jobs.recognition import user_name
from xnat_client.listings import list_rows
from xnat_client.transport import Transport

_JSON = {"Content-Type": "application/json"}
_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
ACTION_PREFIX = "org.nrg.containers.services.CommandActionProvider:"
EVENT_PREFIX = "org.nrg.xnat.eventservice.events."


class SiteServer:
    """Reads and writes of one server; every call is one request or two.

    Parameters
    ----------
    transport : Transport
        A logged-in connection.
    """

    def __init__(self, transport: Transport) -> None:
        self.transport = transport

    def get(self, path: str, doing: str) -> Any:
        """GET a JSON document that must be there."""
        return self.transport.get_json(path, doing=doing)

    def find(self, path: str, doing: str) -> Any:
        """GET a JSON document; None where there is none."""
        try:
            return self.transport.get_json(path, doing=doing)
        except NotFoundError:
            return None

    def find_text(self, path: str, doing: str) -> str | None:
        """GET a text; None where there is none."""
        try:
            answer = self.transport.request("GET", path, doing=doing, accept=(200, 204))
        except NotFoundError:
            return None
        return None if answer.status == 204 else answer.body.decode("utf-8", errors="replace")  # noqa: PLR2004 - no content

    def put(self, path: str, doing: str, **query: str) -> None:
        """PUT without a body."""
        self.transport.request("PUT", path, doing=doing, query=query)

    def put_text(self, path: str, doing: str, text: str) -> None:
        """PUT a text."""
        self.transport.request("PUT", path, doing=doing, headers=_TEXT, body=text.encode())

    def send_json(self, method: str, path: str, doing: str, document: Any, **query: str) -> str:
        """Send a JSON document; return the answer's text."""
        body = json.dumps(document).encode()
        answer = self.transport.request(
            method, path, doing=doing, headers=_JSON, body=body, query=query
        )
        return answer.text

    def config_row(self, path: str, doing: str) -> Mapping[str, str]:
        """Return what the config service keeps at a path: its contents and whether it is on.

        Raises
        ------
        NotFoundError
            There is nothing.
        """
        rows = list_rows(self.transport, path, doing=doing)
        if not rows:
            raise NotFoundError(f"Cannot {doing}: there is none.")
        return rows[0]

    def delete(self, path: str, doing: str) -> None:
        """DELETE; 204 is a success below /xapi."""
        self.transport.request("DELETE", path, doing=doing, accept=(200, 204))

    # Properties -------------------------------------------------------------------------------

    def properties(self) -> Mapping[str, Any]:
        """Return the site's properties."""
        found = self.get("/xapi/siteConfig", "read the site's properties")
        if not isinstance(found, dict):
            raise RefusedError("The server did not answer with the site's properties.")
        return found

    # Commands ---------------------------------------------------------------------------------

    def stored_commands(self, name: str | None = None) -> list[Mapping[str, Any]]:
        """Return the registered commands as the service lists them, oldest first."""
        doing = f"look up command {name}" if name else "list the commands"
        path = "/xapi/commands"
        query = {"name": name} if name else {}
        rows = self.transport.get_json(path, doing=doing, query=query)
        if not isinstance(rows, list):
            raise RefusedError("The server did not answer with its commands.")
        wanted = [row for row in rows if name is None or row.get("name") == name]
        return sorted(wanted, key=lambda row: int(row.get("id") or 0))

    def stored_command(self, command: Command) -> Mapping[str, Any] | None:
        """Return the newest registered command of this name and version, or None."""
        rows = [
            row
            for row in self.stored_commands(command.name)
            if str(row.get("version") or "") == (command.version or "")
        ]
        return rows[-1] if rows else None

    def definition(self, command: Command) -> Command | None:
        """Return what is registered under a command's name and version; None if nothing is.

        A stored document that is no command by our reading counts as another one.
        """
        row = self.stored_command(command)
        if row is None:
            return None
        try:
            return command_from_json(row)
        except CommandDefinitionError as error:
            raise RefusedError(
                f"The server's command {command.name} {command.version} is not understood. Delete "
                "it on the server, or declare another version."
            ) from error

    def wrapper_path(self, command: Command, wrapper: str, *, project: str = "") -> str | None:
        """Return the address of a registered command's wrapper; None if it is not registered."""
        row = self.stored_command(command)
        if row is None or wrapper not in {one.get("name") for one in row.get("xnat") or ()}:
            return None
        prefix = path_of("xapi", "projects", project) if project else "/xapi"
        return prefix + path_of("commands", str(row["id"]), "wrappers", wrapper)

    def wrapper_names(self) -> dict[int, str]:
        """Return ``command version/wrapper`` by the number of each wrapper."""
        return {
            int(one["id"]): f"{row.get('name')} {row.get('version') or ''}/{one.get('name')}"
            for row in self.stored_commands()
            for one in row.get("xnat") or ()
        }

    # Projects and people ----------------------------------------------------------------------

    def project_fields(self, project: str) -> Mapping[str, str] | None:
        """Return the text fields of a project; None if there is none that this account sees.

        Raises
        ------
        ConflictError
            The name is an alias of another project.
        """
        path = path_of("data", "projects", project)
        try:
            document = self.transport.get_json(
                path, doing=f"read project {project}", query={"format": "json"}
            )
        except NotFoundError:
            return None
        fields = document["items"][0]["data_fields"]
        found = {name: str(value) for name, value in fields.items()}
        # XNAT finds projects by aliases and in any case; another's project must not be taken.
        if found.get("ID", project) != project:
            raise ConflictError(
                f"{project} is another name of project {found['ID']} on the server. Choose another "
                "ID, or declare that project by its own."
            )
        return found

    def members(self, project: str) -> Mapping[str, str] | None:
        """Return the group suffix (owner, member, ...) of each login; None without a project."""
        try:
            rows = list_rows(
                self.transport,
                path_of("data", "projects", project, "users", "true"),
                doing=f"list the people of project {project}",
            )
        except NotFoundError:
            return None
        prefix = f"{project}_"
        return {row["login"]: row["GROUP_ID"].removeprefix(prefix) for row in rows}

    def own_login(self) -> str:
        """Return the login of this account."""
        return user_name(self.transport)

    def logins(self) -> frozenset[str]:
        """Return the accounts of the site."""
        found = self.get("/xapi/users", "list the accounts")
        return frozenset(str(each) for each in found)

    def require_account(self, login: str) -> None:
        """Raise unless there is such an account: XNAT would mail an invitation instead."""
        if login not in self.logins():
            raise NotFoundError(
                f"There is no account {login} on {self.transport.host}. Have it made first, or "
                "correct the login."
            )

    # Subscriptions ----------------------------------------------------------------------------

    def subscription(self, name: str) -> Mapping[str, Any] | None:
        """Return the event subscription of a name; None if there is none."""
        rows = self.get("/xapi/events/subscriptions", "list the event subscriptions")
        found = [row for row in rows if row.get("name") == name]
        if len(found) > 1:
            raise RefusedError(
                f"The server has {len(found)} event subscriptions called {name}. Delete or rename "
                "all but one there."
            )
        return found[0] if found else None
