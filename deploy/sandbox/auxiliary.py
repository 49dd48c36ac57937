"""Set-up and wrap-up commands: containers that prepare a mount, or rework an output.

Each reads ``/input`` and writes ``/output``. Not here: the main container (``run``).
"""

from __future__ import annotations

import uuid
from pathlib import Path

from commands.model import Command, CommandType
from containers.engine import BindMount, ContainerSpec, EngineError
from deploy.sandbox import command_rows, container_rows, docker_settings
from deploy.sandbox.container_rows import NewContainer
from deploy.sandbox.finalize import save_logs
from deploy.sandbox.launches import LaunchFailure
from deploy.sandbox.people import User
from deploy.sandbox.preparation import container_document, container_user
from deploy.sandbox.run_context import RunContext
from deploy.sandbox.staging import StagedMount, new_folder

_INPUT, _OUTPUT = "/input", "/output"


def run_auxiliary(
    context: RunContext, reference: str, kind: CommandType, main_id: int, source: Path
) -> Path:
    """Run a set-up or wrap-up command on a folder; return the folder of what it made."""
    word = "Setup" if kind is CommandType.DOCKER_SETUP else "Wrapup"
    status = "Failed (Setup)" if word == "Setup" else "Failed (Wrapup)"
    stored = command_rows.find_auxiliary(context.site.store.connection, reference, kind)
    user = context.site.people.by_id(context.request.user_id)
    if stored is None or user is None:
        raise LaunchFailure(
            status,
            f"There is no {kind.value} command '{reference}' on this site. Add it first.",
        )
    made = new_folder(context.build_dir(main_id) / f"{word.lower()}-{uuid.uuid4()}")
    spec = _spec(context, stored.command, main_id, user, (source, made))
    container_id = _create(context, stored.id, stored.command, spec, main_id)
    try:
        engine_id = context.engine.start(spec)
    except EngineError as error:
        context.record(container_id, "Failed", message=str(error))
        raise LaunchFailure(status, str(error)) from error
    context.note_start(container_id, engine_id)
    state = context.wait(container_id, engine_id)
    subtype = kind.value.removeprefix("docker-")
    paths = save_logs(context.site, context.engine, engine_id, subtype)
    with context.site.store.write() as connection:
        container_rows.save_document(connection, container_id, **{"log-paths": paths})
    good = state.exit_code == 0 and not context.is_killed(main_id)
    context.record(container_id, "Complete" if good else "Failed", exit_code=state.exit_code)
    context.engine.remove(engine_id)
    context.check_kill(main_id)
    if not good:
        raise LaunchFailure(
            status,
            f"The {kind.value} command '{reference}' ended with exit code {state.exit_code}. "
            f"Read the logs of container {container_id}.",
        )
    return made


def _spec(
    context: RunContext, command: Command, main_id: int, user: User, folders: tuple[Path, Path]
) -> ContainerSpec:
    source, made = folders
    return ContainerSpec(
        image=command.image,
        command_line=command.command_line or "",
        override_entrypoint=command.override_entrypoint,
        environment=context.environment(user, main_id),
        mounts=(
            BindMount(source, _INPUT, writable=False),
            BindMount(made, _OUTPUT, writable=True),
        ),
        working_directory=command.working_directory,
        memory_limit_mb=command.limit_memory,
        memory_reservation_mb=command.reserve_memory,
        cpu_limit=command.limit_cpu,
        network=command.network,
        user=container_user(context.site, command.image),
        shm_size_bytes=command.shm_size,
        ulimits=dict(command.ulimits),
        constraints=docker_settings.constraints(
            docker_settings.load(context.site.store.connection)
        ),
    )


def _create(
    context: RunContext, command_id: int, command: Command, spec: ContainerSpec, main_id: int
) -> int:
    mounts = [
        StagedMount(name, mount.container_path, mount.host_path, mount.writable)
        for name, mount in zip(("input", "output"), spec.mounts, strict=True)
    ]
    document = container_document(spec, command, mounts, context.engine.name)
    with context.site.store.write() as connection:
        return container_rows.create(
            connection,
            NewContainer(
                command_id=command_id,
                wrapper_id=None,
                workflow_id=context.request.workflow_id,
                user_id=context.request.user_id,
                project=context.request.project or "",
                document=document,
                subtype=command.type.value,
                parent_id=main_id,
            ),
        )
