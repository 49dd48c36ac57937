"""One launch from Queued to its end: resolve, stage, set up, run, wrap up, upload, clean up.

Every change of status is committed before the step it announces. Not here: threads and what
happens to errors (``runner``).
"""

from __future__ import annotations

import json
import logging
import shutil
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any

from commands.model import CommandType
from containers.engine import ContainerMissingError, ContainerState, EngineError
from deploy.sandbox import container_rows, docker_settings, launches, workflow_rows
from deploy.sandbox.auxiliary import run_auxiliary
from deploy.sandbox.container_rows import NewContainer
from deploy.sandbox.finalize import Uploader, save_logs
from deploy.sandbox.launches import RESOLUTION_FAILED, UPLOAD_FAILED, LaunchFailure
from deploy.sandbox.orchestration_steps import add_next
from deploy.sandbox.preparation import (
    Prepared,
    container_document,
    container_user,
    input_documents,
    prepare,
    specification,
)
from deploy.sandbox.resolution import ResolutionError
from deploy.sandbox.run_context import RunContext
from deploy.sandbox.staging import (
    PlannedMount,
    StagedMount,
    StagingError,
    new_folder,
    source_dir,
    stage_mount,
)

_LOG = logging.getLogger("winxnat.sandbox.runner")

MAX_SETUPS = 8
"""Mounts of one launch that are prepared at a time; XNAT knows no limit."""


class Run:
    """One launch being done; made anew after a restart."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._site, self._engine = context.site, context.engine
        self._request = context.request

    # The whole ------------------------------------------------------------------------------

    def go(self) -> None:
        """Bring the launch to its end.

        Raises
        ------
        LaunchFailure, EngineError
            It ends otherwise than Complete.
        Interrupted
            The server stops first.
        """
        if self._request.phase == launches.QUEUED:
            self._drop_earlier_attempt()
            container_id = self._start()
        else:
            container_id = self._request.container_id or 0
        self._finish(container_id)

    def _workflow(self, status: str, step: str | None = None, details: str | None = None) -> None:
        with self._site.store.write() as connection:
            workflow_rows.update(
                connection, self._request.workflow_id, status, step=step, details=details
            )

    # Before the container ---------------------------------------------------------------------

    def _start(self) -> int:
        self._workflow("Staging", step="Command resolution")
        prepared = prepare(self._site, self._request)
        self._workflow("Staging", step="Staging")
        build_dir = self._site.settings.build_dir / str(uuid.uuid4())
        build_dir.mkdir(parents=True)
        container_id = self._create(prepared, build_dir)
        mounts = self._stage(prepared, container_id, build_dir)
        return self._start_main(prepared, container_id, mounts)

    def _create(self, prepared: Prepared, build_dir: Path) -> int:
        command = prepared.command
        spec = specification(prepared, [], {})
        document = container_document(spec, command, [], self._engine.name)
        document["inputs"] = input_documents(prepared, self._request.params)
        root = prepared.found.root
        with self._site.store.write() as connection:
            container_id = container_rows.create(
                connection,
                NewContainer(
                    command_id=prepared.stored.of.id,
                    wrapper_id=prepared.stored.id,
                    workflow_id=self._request.workflow_id,
                    user_id=self._request.user_id,
                    project=self._request.project or (root.project if root else ""),
                    document=document,
                    state={"build_dir": str(build_dir), "outputs": prepared.outputs},
                ),
            )
            launches.move(
                connection, self._request.workflow_id, launches.QUEUED, container_id=container_id
            )
        return container_id

    def _stage(self, prepared: Prepared, container_id: int, build_dir: Path) -> list[StagedMount]:
        slow = [each for each in prepared.mounts if each.setup_command]
        try:
            if len(slow) < 2:  # noqa: PLR2004 - one alone needs no company
                return [self._stage_one(each, container_id, build_dir) for each in prepared.mounts]
            with ThreadPoolExecutor(MAX_SETUPS, thread_name_prefix="setup") as pool:
                # A copy of the context for each: it says whose changes of the database these are.
                started = [
                    pool.submit(
                        copy_context().run, self._stage_one, planned, container_id, build_dir
                    )
                    for planned in prepared.mounts
                ]
            # All are over here, so that none works on for a launch that failed.
            return [each.result() for each in started]
        except StagingError as error:
            raise LaunchFailure("Failed (Staging)", str(error)) from error
        except ResolutionError as error:
            raise LaunchFailure(RESOLUTION_FAILED, str(error)) from error

    def _stage_one(self, planned: PlannedMount, container_id: int, build_dir: Path) -> StagedMount:
        if planned.setup_command is None or planned.source is None:
            return stage_mount(self._site, planned, build_dir)
        directory = source_dir(self._site, planned, planned.source, build_dir)
        made = run_auxiliary(
            self._context,
            planned.setup_command,
            CommandType.DOCKER_SETUP,
            container_id,
            directory,
        )
        return StagedMount(planned.mount.name, planned.path, made, planned.mount.writable)

    def _start_main(self, prepared: Prepared, container_id: int, mounts: list[StagedMount]) -> int:
        self._context.check_kill(container_id)
        environment = self._context.environment(prepared.user, container_id)
        spec = specification(
            prepared,
            mounts,
            environment,
            user=container_user(self._site, prepared.command.image),
            constraints=docker_settings.constraints(
                docker_settings.load(self._site.store.connection)
            ),
        )
        document = container_document(spec, prepared.command, mounts, self._engine.name)
        document["inputs"] = input_documents(prepared, self._request.params)
        with self._site.store.write() as connection:
            container_rows.save_document(connection, container_id, **document)
            container_rows.save_state(
                connection,
                container_id,
                mounts={each.name: str(each.host_path) for each in mounts},
            )
            workflow_rows.update(connection, self._request.workflow_id, "Created", step="Created")
        engine_id = self._engine.start(spec)
        self._context.note_start(container_id, engine_id)
        with self._site.store.write() as connection:
            launches.move(connection, self._request.workflow_id, launches.RUNNING)
            workflow_rows.update(connection, self._request.workflow_id, "Running", step="Running")
        return container_id

    # After the start --------------------------------------------------------------------------

    def _finish(self, container_id: int) -> None:
        row = container_rows.find(self._site.store.connection, str(container_id))
        if row is None:
            raise LaunchFailure("Failed", "The container's entry was deleted.")
        engine_id = row["engine_id"]
        try:
            state = self._context.wait(container_id, engine_id)
        except ContainerMissingError as error:
            raise LaunchFailure(
                "Failed",
                "The container is gone: it was removed while the server did not run. Launch again.",
            ) from error
        if row["status"] in {"Running", "Starting"}:
            self._context.record(
                container_id, "die", entity_type="event", exit_code=state.exit_code
            )
        self._workflow("Waiting", step="Waiting")
        self._context.record(container_id, "Finalizing")
        self._workflow("Finalizing", step="Finalizing")
        paths = save_logs(self._site, self._engine, engine_id)
        with self._site.store.write() as connection:
            container_rows.save_document(connection, container_id, **{"log-paths": paths})
        self._check_end(container_id, state)
        self._upload(container_id)
        with self._site.store.write() as connection:
            container_rows.record(connection, container_id, "Complete", exit_code=state.exit_code)
            workflow_rows.update(
                connection, self._request.workflow_id, "Complete", step="Complete", details=""
            )
            launches.move(connection, self._request.workflow_id, launches.DONE)
            following = add_next(self._site, connection, self._request)
        if following is not None:
            self._site.runner.submit(following)
        self.clean_up()

    def _check_end(self, container_id: int, state: ContainerState) -> None:
        self._context.check_kill(container_id)
        if state.out_of_memory:
            raise LaunchFailure(
                "Killed (Out of Memory)",
                "The container needed more memory than it was given. Raise limit-memory.",
            )
        if state.exit_code is None and state.message:
            raise LaunchFailure("Failed", f"The container did not run: {state.message}.")
        if state.exit_code is None and state.killed:
            raise LaunchFailure(
                "Failed", "The container was ended from outside, and nobody saw its exit code."
            )
        if state.exit_code:
            raise LaunchFailure(
                "Failed",
                f"The container ended with exit code {state.exit_code}; nothing was uploaded. "
                f"Read its logs: /xapi/containers/{container_id}/logs/stderr",
            )

    def _upload(self, container_id: int) -> None:
        state = self._context.state(container_id)
        user = self._site.people.by_id(self._request.user_id)
        if user is None or not user.enabled:
            raise LaunchFailure(UPLOAD_FAILED, "The account was closed after the launch.")
        build_dir = Path(state["build_dir"])

        def wrap_up(reference: str, source: Path) -> Path:
            return run_auxiliary(
                self._context, reference, CommandType.DOCKER_WRAPUP, container_id, source
            )

        uploader = Uploader(
            self._site,
            user,
            self._request.project,
            state["outputs"],
            {name: Path(path) for name, path in state["mounts"].items()},
            wrap_up,
            new_folder(build_dir / f"upload-{uuid.uuid4()}"),
            self._request.workflow_id,
        )
        uploader.upload()
        with self._site.store.write() as connection:
            shown = [
                {key: value for key, value in output.items() if not key.startswith("target")}
                for output in uploader.outputs
            ]
            container_rows.save_document(connection, container_id, outputs=shown)

    # Cleaning up --------------------------------------------------------------------------------

    def _drop_earlier_attempt(self) -> None:
        """Forget what an earlier server had begun of this launch before its container started."""
        if self._request.container_id is None:
            return
        with self._site.store.write() as connection:
            container_rows.record(
                connection,
                self._request.container_id,
                "Failed",
                message="The server stopped before the container started; it was begun afresh.",
            )
        self.clean_up()

    def clean_up(self) -> None:
        """End the launch's tokens, and free what its containers hold.

        What an engine that does not answer still holds is freed at the next start.
        """
        connection = self._site.store.connection
        rows = connection.execute(
            "SELECT * FROM container WHERE workflow_id = ?", (self._request.workflow_id,)
        ).fetchall()
        for row in rows:
            state = json.loads(row["state"])
            for alias in state.get("tokens", []):
                self._site.people.invalidate_token(alias)
            freed = not row["engine_id"] or self._free(row)
            if "build_dir" in state:
                shutil.rmtree(state["build_dir"], onerror=_leave_to_owner)
            with self._site.store.write() as writing:
                if row["status"] not in container_rows.FINAL_STATUSES:
                    container_rows.record(
                        writing, row["id"], "Failed", message="It ended with its launch."
                    )
                if freed:
                    container_rows.save_state(writing, row["id"], cleaned=True)

    def _free(self, row: Any) -> bool:
        """Save what logs there are and remove a container; return whether the engine did so."""
        try:
            if not json.loads(row["document"]).get("log-paths"):
                subtype = "" if row["parent_id"] is None else row["subtype"].removeprefix("docker-")
                save_logs(self._site, self._engine, row["engine_id"], subtype)
            self._engine.remove(row["engine_id"])
        except ContainerMissingError:
            return True  # freed before
        except EngineError as error:
            _LOG.warning("Container %s is not removed yet: %s", row["id"], error)
            return False
        return True


def _leave_to_owner(_function: Callable[..., Any], path: str, _error: Any) -> None:
    """Leave behind what a container made as another user; it blocks nothing."""
    del path
