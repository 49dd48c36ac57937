"""Which runs of a wrapper a session has on the server, so that no launch is made twice.

A launch is found again by its workflow: it is about the session, carries the wrapper's name and
was not there before. Not here: the decision what to do with it (``driver``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.errors import NotFoundError, RefusedError
from xnat_client.launch import RunState

if TYPE_CHECKING:
    from xnat_client.commands_registry import AvailableWrapper
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport

_JSON = {"Content-Type": "application/json"}
_MOST = 1000
_ALL_DAYS = 36_500


@dataclass(frozen=True, slots=True)
class SeenRun:
    """A run of a wrapper on a session; ``user`` is empty where the server does not say whose."""

    workflow_id: str
    status: str
    user: str

    @property
    def is_over(self) -> bool:
        """Return whether it has ended."""
        return RunState(self.status).is_over


def list_runs(
    transport: Transport, session: Session, wrapper: AvailableWrapper
) -> tuple[SeenRun, ...]:
    """Return the runs of a wrapper on a session that this account may see, oldest first."""
    doing = f"look for runs of {wrapper.command_name} on session {session.label}"
    asked = {
        "page": 1, "size": _MOST, "days": _ALL_DAYS,
        "id": session.session_id, "data_type": session.xsi_type,
    }  # fmt: skip
    try:
        body = json.dumps(asked).encode()
        answer = transport.request("POST", "/xapi/workflows", doing=doing, headers=_JSON, body=body)
    except NotFoundError:
        # Servers without this list still tell of the containers of the account.
        return _runs_of_containers(transport, session, wrapper)
    try:
        rows = [
            SeenRun(str(row["wfid"]), str(row["status"]), str(row.get("createUser") or ""))
            for row in json.loads(answer.body)
            if row.get("pipelineName") == wrapper.wrapper_name
        ]
        return tuple(sorted(rows, key=lambda run: int(run.workflow_id)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RefusedError(f"Cannot {doing}: the answer is not a list of workflows.") from error


def launch_values(
    transport: Transport, session: Session, workflow_id: str
) -> Mapping[str, str] | None:
    """Return the values that a run was launched with; None where they are not known (yet)."""
    for row in _containers(transport, session.project_id):
        if str(row.get("workflow-id")) == workflow_id:
            return _raw_values(row) or None
    return None


def user_name(transport: Transport) -> str:
    """Return the login name of this account (an alias token stands for another name)."""
    return transport.get_text("/xapi/users/username", doing="ask for the name of this account")


def _containers(transport: Transport, project_id: str) -> list[Mapping[str, Any]]:
    rows = transport.get_json(
        path_of("xapi", "projects", project_id, "containers"),
        doing=f"list the containers of project {project_id}",
    )
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _raw_values(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        str(one["name"]): str(one.get("value"))
        for one in row.get("inputs") or ()
        if isinstance(one, dict) and one.get("type") == "raw" and "name" in one
    }


def _runs_of_containers(
    transport: Transport, session: Session, wrapper: AvailableWrapper
) -> tuple[SeenRun, ...]:
    found: dict[str, SeenRun] = {}
    for row in _containers(transport, session.project_id):
        number = str(row.get("workflow-id") or "")
        about = _raw_values(row).get(wrapper.root_input, "")
        if (
            number.isdigit()
            and str(row.get("wrapper-id")) == str(wrapper.wrapper_id)
            and row.get("parent-database-id") is None
            and about.rpartition("/")[2] == session.session_id
        ):
            status = str(row.get("status") or "")
            found[number] = SeenRun(number, status, str(row.get("user-id") or ""))
    return tuple(sorted(found.values(), key=lambda run: int(run.workflow_id)))
