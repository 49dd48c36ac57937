"""The next step of an orchestration, launched when the one before it is Complete.

Not here: which wrapper that is (``orchestration_rows``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from commands.model import Wrapper
from deploy.sandbox import command_rows, launches, orchestration_rows, workflow_rows
from deploy.sandbox.errors import HttpError
from deploy.sandbox.launch_requests import check_launchable, find_root
from deploy.sandbox.launches import LaunchRequest
from deploy.sandbox.orchestration_rows import Step
from deploy.sandbox.people import User
from deploy.sandbox.site import Site


def add_next(site: Site, connection: sqlite3.Connection, ended: LaunchRequest) -> int | None:
    """Store the launch that follows a Complete one; return its workflow's number.

    Call inside the write that ends the one before. A step that may not be launched leaves a
    failed workflow, as in XNAT, and returns None like the end of the orchestration.
    """
    if ended.step is None:
        return None
    number = orchestration_rows.next_wrapper(
        connection, ended.project, ended.step, ended.wrapper_id
    )
    before = command_rows.find_wrapper(connection, ended.wrapper_id)
    stored = None if number is None else command_rows.find_wrapper(connection, number)
    user = site.people.by_id(ended.user_id)
    if before is None or stored is None or user is None:
        return None
    params = _params(before.wrapper, stored.wrapper, ended.params)
    step = Step(ended.step.orchestration, ended.step.position + 1)
    justification = f"Orchestration {step.orchestration}, step {step.position + 1}"
    try:
        _require_usable(user)
        check_launchable(site, user, stored, ended.project)
        root = find_root(site, user, stored, project=ended.project, params=params)
    except HttpError as error:
        workflow_rows.follow(
            connection,
            ended.workflow_id,
            stored.wrapper.name,
            justification=justification,
            failure=error.message,
        )
        return None
    return launches.add(
        connection,
        wrapper_id=stored.id,
        wrapper_name=stored.wrapper.name,
        user_id=user.id,
        project=ended.project,
        params=params,
        root=root,
        justification=justification,
        step=step,
    )


def _require_usable(user: User) -> None:
    if not user.is_usable:
        raise HttpError(403, "The account of the launch can no longer be used.")


def _params(before: Wrapper, after: Wrapper, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of external inputs for the next wrapper: the same objects, no options.

    With one external input each, the value goes from one to the other whatever their names.
    """
    froms = [each.name for each in before.external_inputs]
    names = [each.name for each in after.external_inputs]
    if len(froms) == len(names) == 1:
        return {names[0]: given[froms[0]]} if froms[0] in given else {}
    return {name: given[name] for name in names if name in froms and name in given}
