"""Who may call the Container Service, in the way ``/xapi`` answers: 403 also for what is hidden.

Not here: rights on data (``rights``).
"""

from __future__ import annotations

from deploy.sandbox import command_rows, objects
from deploy.sandbox.call import Call
from deploy.sandbox.command_rows import StoredCommand, StoredWrapper
from deploy.sandbox.errors import forbidden, not_found
from deploy.sandbox.guard import unauthenticated
from deploy.sandbox.objects import Project
from deploy.sandbox.rights import PROJECT_TYPE, Action


def require_person(call: Call) -> None:
    """Return if somebody is logged in; else raise 401."""
    if call.user.is_guest:
        raise unauthenticated()


def require_manager(call: Call) -> None:
    """Return if the caller administers the Container Service; else raise 401 or 403."""
    require_person(call)
    if not call.user.is_container_manager:
        raise forbidden("This needs a site administrator or the role Container Manager.")


def readable_project(call: Call, name: str) -> Project:
    """Return a project whose data the caller may read; a protected one is not readable here.

    Raises
    ------
    HttpError
        403 whether it is hidden or not there; 404 only for those who may see everything.
    """
    found = objects.find_project(call.site.store.connection, name)
    if found is None and call.user.reads_everything:
        raise not_found(f"There is no project {name}.")
    if found is None or not _reads(call, found):
        require_person(call)
        raise forbidden(f"You may not read project {name}.")
    return found


def _reads(call: Call, project: Project) -> bool:
    rights = call.site.rights
    if Action.READ in rights.data_actions(call.user, project.id, PROJECT_TYPE):
        return True
    return Action.READ in rights.data_actions(call.user, project.id, "xnat:subjectData")


def owned_project(call: Call, name: str, action: Action = Action.DELETE) -> Project:
    """Return a project that the caller may administer (by default: the owner's right)."""
    require_person(call)
    found = readable_project(call, name)
    if action not in call.site.rights.record_actions(call.user, found.id):
        raise forbidden(f"This needs an owner of project {found.id}.")
    return found


def stored_command(call: Call) -> StoredCommand:
    """Return the command of the path; 404 when there is none."""
    number = call.number("command")
    found = command_rows.find_command(call.site.store.connection, number)
    if found is None:
        raise not_found(f"There is no command {number}.")
    return found


def stored_wrapper(call: Call) -> StoredWrapper:
    """Return the wrapper of the path: its number, or a command's number and its name."""
    connection = call.site.store.connection
    if "command" in call.path:
        command = stored_command(call)
        name = call.path["wrapper"]
        number = command.wrapper_ids.get(name)
        if number is None and name.isascii() and name.isdigit():
            number = next((n for n in command.wrapper_ids.values() if str(n) == name), None)
    else:
        number, name = call.number("wrapper"), call.path["wrapper"]
    found = None if number is None else command_rows.find_wrapper(connection, number)
    if found is None:
        raise not_found(f"There is no wrapper {name}.")
    return found
