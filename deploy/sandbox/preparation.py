"""From a stored launch to a container that can start: values, rights, outputs, specification.

Not here: mounts' folders (``staging``), threads and order of events (``runner``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from commands.errors import CommandError
from commands.model import Command, HandlerType, OutputHandler, Wrapper
from commands.substitution import resolve_command_line, resolve_template, template_values
from containers.engine import BindMount, ContainerSpec
from deploy.sandbox import command_rows, docker_settings, wrapper_configs
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.container_rows import MASK
from deploy.sandbox.hidden_folders import hidden_folders
from deploy.sandbox.launches import RESOLUTION_FAILED, LaunchFailure, LaunchRequest
from deploy.sandbox.object_items import Item
from deploy.sandbox.object_tree import ObjectTree
from deploy.sandbox.people import User
from deploy.sandbox.resolution import Resolution, ResolutionError, resolve
from deploy.sandbox.rights import Action
from deploy.sandbox.site import Site
from deploy.sandbox.staging import PlannedMount, StagedMount, plan_mounts


@dataclass(frozen=True)
class Prepared:
    """A launch with every value known."""

    stored: StoredWrapper
    user: User
    found: Resolution
    texts: Mapping[str, str]
    command_line: str
    mounts: list[PlannedMount]
    outputs: list[dict[str, Any]]

    @property
    def command(self) -> Command:
        """Return the command as configured."""
        return self.found.command


def prepare(site: Site, request: LaunchRequest) -> Prepared:
    """Resolve a launch.

    Raises
    ------
    LaunchFailure
        With what the person who launched can do about it.
    """
    connection = site.store.connection
    stored = command_rows.find_wrapper(connection, request.wrapper_id)
    user = site.people.by_id(request.user_id)
    if stored is None or user is None or not user.enabled:
        raise LaunchFailure(
            RESOLUTION_FAILED, "The wrapper or the account was removed after the launch."
        )
    command, wrapper = wrapper_configs.effective(connection, stored, request.project)
    locked = wrapper_configs.locked_inputs(connection, stored, request.project)
    params = {name: value for name, value in request.params.items() if name not in locked}
    tree = ObjectTree(site, user, request.project)
    if command.secrets:
        raise LaunchFailure(
            RESOLUTION_FAILED,
            "The command asks for secrets, and the sandbox keeps none. "
            "Test this command against a full XNAT.",
        )
    try:
        found = resolve(command, wrapper, params, tree)
        texts = template_values(
            command, found.command_values, wrapper=wrapper, wrapper_values=found.wrapper_values
        )
        line = resolve_command_line(
            command, found.command_values, wrapper=wrapper, unresolved=found.unresolved
        )
        mounts = plan_mounts(found, texts, partial(hidden_folders, site, user))
        outputs = _planned_outputs(found, texts)
        _check_rights(site, user, found)
    except (ResolutionError, CommandError) as error:
        raise LaunchFailure(RESOLUTION_FAILED, str(error)) from error
    return Prepared(stored, user, found, texts, line, mounts, outputs)


# Outputs ------------------------------------------------------------------------------------


def _planned_outputs(found: Resolution, texts: Mapping[str, str]) -> list[dict[str, Any]]:
    outputs = {each.name: each for each in found.command.outputs}
    planned = []
    for handler in found.wrapper.output_handlers:
        output = outputs[handler.accepts_command_output]
        target = found.inputs.get(handler.as_a_child_of)
        if target is not None and len(target.items) != 1:
            raise ResolutionError(
                f"Output handler '{handler.name}' needs one object of input "
                f"'{handler.as_a_child_of}' to write to; the launch has {len(target.items)}."
            )

        def filled(template: str | None) -> str | None:
            if template is None:
                return None
            return resolve_template(template, texts, command=found.command, wrapper=found.wrapper)

        planned.append(
            {
                "name": f"{output.name}:{handler.name}",
                "type": handler.type.value,
                "required": bool(output.required),
                "mount": output.mount,
                "path": filled(output.path),
                "glob": output.glob,
                "label": filled(handler.label) or output.name,
                "format": filled(handler.format),
                "description": filled(handler.description),
                "content": filled(handler.content),
                "tags": [filled(tag) for tag in handler.tags],
                "created": None,
                "handled-by": handler.as_a_child_of,
                "from-command-output": output.name,
                "from-output-handler": handler.name,
                "via-wrapup-command": handler.via_wrapup_command,
                "target": target.items[0].uri if target is not None else None,
                "target-type": target.items[0].type.value if target is not None else None,
            }
        )
    return planned


def _check_rights(site: Site, user: User, found: Resolution) -> None:
    for handler in found.wrapper.output_handlers:
        target = found.inputs.get(handler.as_a_child_of)
        if target is not None and not _may_write(site, user, target.items[0], handler):
            raise ResolutionError(
                f"You may not write what output handler '{handler.name}' makes: that needs the "
                f"right to edit {target.items[0].secured.what}. Ask an owner of project "
                f"{target.items[0].secured.project}."
            )


def _may_write(site: Site, user: User, target: Item, handler: OutputHandler) -> bool:
    if handler.type is HandlerType.ASSESSOR:
        # Without a type there is nothing to ask about before the document is there.
        return handler.xsi_type is None or may_create(site, user, target, handler.xsi_type)
    return site.rights.can(user, Action.EDIT, target.secured)


def may_create(site: Site, user: User, session: Item, xsi_type: str) -> bool:
    """Return whether the user may make an assessor of this type on a session."""
    actions = site.rights.data_actions(user, session.secured.project, xsi_type)
    return {Action.CREATE, Action.EDIT} <= actions


# The container ------------------------------------------------------------------------------


def specification(
    prepared: Prepared,
    mounts: list[StagedMount],
    xnat: Mapping[str, str],
    *,
    user: str | None = None,
    constraints: tuple[str, ...] = (),
) -> ContainerSpec:
    """Return what the engine is to run.

    Parameters
    ----------
    xnat : Mapping
        The variables that the service sets itself; they win over the command's own.
    user : str or None
        ``uid:gid`` to run as.
    constraints : tuple of str
        What a swarm's node must be.

    Raises
    ------
    LaunchFailure
        A template cannot be resolved.
    """
    command = prepared.command

    def filled(template: str) -> str:
        return resolve_template(
            template, prepared.texts, command=command, wrapper=prepared.found.wrapper
        )

    def filled_map(templates: Mapping[str, str]) -> dict[str, str]:
        return {filled(key): filled(value) for key, value in templates.items()}

    try:
        return ContainerSpec(
            image=command.image,
            command_line=prepared.command_line,
            override_entrypoint=command.override_entrypoint,
            environment={**filled_map(command.environment_variables), **xnat},
            mounts=tuple(
                BindMount(each.host_path, each.container_path, each.writable) for each in mounts
            ),
            working_directory=filled(command.working_directory or "") or None,
            name=filled(command.container_name or "") or None,
            user=user,
            memory_limit_mb=command.limit_memory,
            memory_reservation_mb=command.reserve_memory,
            cpu_limit=command.limit_cpu,
            network=command.network,
            shm_size_bytes=command.shm_size,
            runtime=command.runtime,
            ipc_mode=command.ipc_mode,
            ports=filled_map(command.ports),
            ulimits=dict(command.ulimits),
            labels=filled_map(command.container_labels),
            gpus=command.gpus,
            constraints=constraints,
            generic_resources=dict(command.generic_resources),
            auto_remove=False,  # logs and exit code are read after the end
        )
    except CommandError as error:
        raise LaunchFailure(RESOLUTION_FAILED, str(error)) from error


def container_user(site: Site, image: str) -> str | None:
    """Return ``uid:gid`` that containers of an image run as; None leaves it to the image."""
    chosen = docker_settings.load(site.store.connection)["container-user"]
    if chosen:
        return str(chosen)
    # Images of this distribution honour any user; as the server's own, what they write can
    # be read and deleted here. A server that runs as root leaves it to the image.
    own = image.startswith("winxnat/") and os.getuid() != 0
    return f"{os.getuid()}:{os.getgid()}" if own else None


def container_document(
    spec: ContainerSpec, command: Command, mounts: list[StagedMount], backend: str
) -> dict[str, Any]:
    """Return the JSON of a container; the password in its environment is masked."""
    environment = dict(spec.environment)
    if "XNAT_PASS" in environment:
        environment["XNAT_PASS"] = MASK
    return {
        "backend": backend,
        "service-id": None,
        "task-id": None,
        "node-id": None,
        "docker-image": spec.image,
        "container-name": spec.name,
        "command-line": spec.command_line,
        "override-entrypoint": spec.override_entrypoint,
        "working-directory": spec.working_directory,
        "env": environment,
        "ports": dict(spec.ports),
        "mounts": [each.document for each in mounts],
        "inputs": [],
        "outputs": [],
        "log-paths": [],
        "container-labels": dict(spec.labels),
        "reserve-memory": spec.memory_reservation_mb,
        "limit-memory": spec.memory_limit_mb,
        "limit-cpu": spec.cpu_limit,
        "runtime": spec.runtime,
        "ipc-mode": spec.ipc_mode,
        "auto-remove": command.auto_remove,
        "shm-size": spec.shm_size_bytes,
        "network": spec.network,
        "gpus": spec.gpus,
        "generic-resources": dict(command.generic_resources),
        "ulimits": dict(spec.ulimits),
    }


def input_documents(prepared: Prepared, params: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the inputs as a container's JSON lists them; sensitive values are masked."""
    found, wrapper = prepared.found, prepared.found.wrapper
    sensitive = _sensitive(found.command, wrapper)
    rows: list[tuple[str, str, Any]] = [("raw", *each) for each in params.items()]
    for kind, inputs in (
        ("wrapper-external", wrapper.external_inputs),
        ("wrapper-derived", wrapper.derived_inputs),
    ):
        rows += [(kind, each.name, found.inputs[each.name].value) for each in inputs]
    rows += [
        ("command", each.name, found.command_values.get(each.name) or each.default_value)
        for each in found.command.inputs
    ]
    return [
        {
            "type": kind,
            "name": name,
            "value": MASK if name in sensitive else _shown(value),
            "sensitive": name in sensitive,
        }
        for kind, name, value in rows
    ]


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else ", ".join(value or ())


def _sensitive(command: Command, wrapper: Wrapper) -> set[str]:
    names = {each.name for each in command.inputs if each.sensitive}
    inputs = (*wrapper.external_inputs, *wrapper.derived_inputs)
    return names | {each.name for each in inputs if each.sensitive}
