"""What may be launched by whom, and the launch as it is stored: one way for people and events.

Not here: HTTP (``launch``), events (``event_dispatch``) and doing it (``runner``).
"""

from __future__ import annotations

from collections.abc import Mapping

from commands.model import Visibility
from deploy.sandbox import enablement, launches
from deploy.sandbox.command_rows import StoredWrapper
from deploy.sandbox.errors import forbidden, not_found
from deploy.sandbox.object_items import Item
from deploy.sandbox.object_tree import ObjectTree, UnknownItemError
from deploy.sandbox.people import User
from deploy.sandbox.resolution import OBJECT_TYPES
from deploy.sandbox.site import Site


def check_launchable(site: Site, user: User, stored: StoredWrapper, project: str | None) -> None:
    """Return if the user may launch a wrapper (in a project); else raise 403 or 404."""
    hidden = stored.command.visibility is Visibility.PRIVATE
    if hidden and not user.is_container_manager:
        raise not_found(f"There is no wrapper {stored.wrapper.name}.")
    if not stored.enabled:
        raise forbidden(f"The wrapper '{stored.wrapper.name}' is not enabled on this site.")
    if project is not None:
        _require_enabled(site, stored, project)


def _require_enabled(site: Site, stored: StoredWrapper, project: str) -> None:
    if stored.id not in enablement.wrappers_enabled_in(site.store.connection, project):
        raise forbidden(
            f"The wrapper '{stored.wrapper.name}' is not enabled in project {project}. "
            "An owner can enable it."
        )


def start(  # noqa: PLR0913 - the parts of a launch
    site: Site,
    user: User,
    stored: StoredWrapper,
    *,
    project: str | None,
    params: Mapping[str, str],
    justification: str = "",
) -> int:
    """Store a launch and have it done; return its workflow's number.

    Raises
    ------
    HttpError
        403 when the object's project has not enabled the wrapper.
    """
    root = find_root(site, user, stored, project=project, params=params)
    with site.store.write() as connection:
        number = launches.add(
            connection,
            wrapper_id=stored.id,
            wrapper_name=stored.wrapper.name,
            user_id=user.id,
            project=project_of(project, root),
            params=params,
            root=root,
            justification=justification,
        )
    site.runner.submit(number)
    return number


def project_of(project: str | None, root: Item | None) -> str | None:
    """Return the project whose settings a launch follows and whose objects it sees.

    Where the request names none it is the object's own: its owners fixed what the wrapper may
    do there, and nobody enabled the wrapper for the objects of other projects.
    """
    return root.project if project is None and root is not None else project


def find_root(
    site: Site,
    user: User,
    stored: StoredWrapper,
    *,
    project: str | None,
    params: Mapping[str, str],
) -> Item | None:
    """Return the object of a launch; None where it is not there, which resolution will say.

    Raises
    ------
    HttpError
        403 when no project is named and the object's own has not enabled the wrapper.
    """
    root = _root_item(ObjectTree(site, user, project), stored, params)
    if project is None and root is not None:
        _require_enabled(site, stored, root.project)
    return root


def _root_item(tree: ObjectTree, stored: StoredWrapper, params: Mapping[str, str]) -> Item | None:
    for each in stored.wrapper.external_inputs:
        value = params.get(each.name) or each.default_value
        if each.type in OBJECT_TYPES and value:
            try:
                return tree.find(value, each.type)
            except UnknownItemError:
                return None
    return None
