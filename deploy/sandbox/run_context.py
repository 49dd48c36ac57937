"""What every step of one launch needs: its site, engine and request, and its containers' state.

Not here: the order of the steps (``run``).
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containers.engine import ContainerEngine, ContainerState, ContainerStatus
from containers.swarm_engine import SwarmEngine
from deploy.sandbox import container_rows
from deploy.sandbox.engines import host_for_containers
from deploy.sandbox.launches import LaunchFailure, LaunchRequest
from deploy.sandbox.people import User
from deploy.sandbox.site import Site, interval_seconds

_LOOK_S = 0.5
"""How often a running container's thread looks whether the server stops."""


class Interrupted(Exception):  # noqa: N818 - no error: the server stops
    """The server stops while a launch is under way."""


@dataclass(frozen=True)
class RunContext:
    """One launch being done; made anew after a restart."""

    site: Site
    engine: ContainerEngine
    request: LaunchRequest
    stopping: threading.Event

    def note_start(self, container_id: int, engine_id: str) -> None:
        """Note that an engine has taken a container; a swarm may start it later."""
        state = self.engine.state(engine_id)
        ignored = state.ignored
        begun = "Starting" if state.status is ContainerStatus.CREATED else "Running"
        with self.site.store.write() as connection:
            connection.execute(
                "UPDATE container SET engine_id = ? WHERE id = ?", (engine_id, container_id)
            )
            container_rows.record(connection, container_id, begun, entity_type="event")
            if self.engine.name == SwarmEngine.name:
                container_rows.save_document(connection, container_id, **{"service-id": engine_id})
            if ignored:
                container_rows.record(
                    connection,
                    container_id,
                    begun,
                    message=f"The {self.engine.name} engine does not honour: {', '.join(ignored)}.",
                    change=False,
                )

    def environment(self, user: User, container_id: int) -> dict[str, str]:
        """Issue a token that lives as long as the launch; return the service's variables."""
        site = self.site
        lifetime_s = interval_seconds(str(site.get("aliasTokenTimeout")))
        token = site.people.issue_token(user, lifetime_s)
        with site.store.write() as connection:
            main = self.main_id(container_id)
            row = container_rows.find(connection, str(main))
            state = json.loads(row["state"]) if row is not None else {}
            container_rows.save_state(
                connection,
                main,
                tokens=[*state.get("tokens", []), token.alias],
                deadline=state.get("deadline", time.time() + lifetime_s),
            )
        processing_url = site.settings.processing_url or str(site.get("processingUrl"))
        number = str(self.request.workflow_id)
        return {
            "XNAT_HOST": host_for_containers(
                self.engine, str(site.get("siteUrl")) or site.url, processing_url
            ),
            "XNAT_USER": token.alias,
            "XNAT_PASS": token.secret,
            "XNAT_WORKFLOW_ID": number,
            "XNAT_EVENT_ID": number,
        }

    def main_id(self, container_id: int) -> int:
        """Return the number of the container that a set-up or wrap-up one belongs to."""
        row = container_rows.find(self.site.store.connection, str(container_id))
        return container_id if row is None or row["parent_id"] is None else int(row["parent_id"])

    def wait(self, container_id: int, engine_id: str) -> ContainerState:
        """Wait for the end of a container.

        Raises
        ------
        Interrupted
            The server stops first.
        LaunchFailure
            It runs longer than its token lives.
        """
        deadline = self.state(self.main_id(container_id)).get("deadline", time.time())
        while True:
            if self.stopping.is_set():
                raise Interrupted
            state = self.engine.wait(engine_id, timeout_s=_LOOK_S)
            self._note_progress(container_id, state)
            if state.status is ContainerStatus.EXITED:
                return state
            if self.is_killed(self.main_id(container_id)):
                self.engine.kill(engine_id)  # asked for while it was being started
            elif time.time() > deadline:
                self.engine.kill(engine_id)
                raise LaunchFailure(
                    "Failed",
                    "The container ran longer than its credentials live (site property "
                    "aliasTokenTimeout) and was ended. Raise it, or make the job smaller.",
                )

    def _note_progress(self, container_id: int, state: ContainerState) -> None:
        """Note on which node a swarm's task is, and that it has begun."""
        connection = self.site.store.connection
        row = container_rows.find(connection, str(container_id))
        if row is None:
            return
        document = json.loads(row["document"])
        found = {
            "task-id": state.task_id,
            "node-id": state.node_id,
            "container-id": state.inner_id,
        }
        news = {
            name: value for name, value in found.items() if value and document.get(name) != value
        }
        begun = row["status"] == "Starting" and state.status is not ContainerStatus.CREATED
        if not news and not begun:
            return
        with self.site.store.write() as writing:
            container_rows.save_document(writing, container_id, **news)
            if begun:
                container_rows.record(writing, container_id, "Running", entity_type="event")

    def state(self, container_id: int) -> dict[str, Any]:
        """Return what is kept for a container."""
        row = container_rows.find(self.site.store.connection, str(container_id))
        state: dict[str, Any] = {} if row is None else json.loads(row["state"])
        return state

    def build_dir(self, container_id: int) -> Path:
        """Return the folder in which a launch's files are prepared."""
        return Path(self.state(container_id)["build_dir"])

    def is_killed(self, container_id: int) -> bool:
        """Return whether somebody asked to end a container."""
        return bool(self.state(container_id).get("kill"))

    def check_kill(self, container_id: int) -> None:
        """Raise ``LaunchFailure`` when somebody asked to end a container."""
        if self.is_killed(container_id):
            raise LaunchFailure("Killed", "Killed by a user.")

    def record(self, container_id: int, status: str, **details: Any) -> None:
        """Add a row to a container's history."""
        with self.site.store.write() as connection:
            container_rows.record(connection, container_id, status, **details)
