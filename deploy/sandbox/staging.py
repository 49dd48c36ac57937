"""Mounts: which folder of the server a container sees at each path, and preparing it.

Not here: running set-up commands (``preparation``) and taking outputs (``finalize``).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from commands.errors import CommandError
from commands.model import Mount, WrapperInput
from commands.model import WrapperInputType as Type
from commands.substitution import resolve_template
from deploy.sandbox import objects
from deploy.sandbox.catalogs import write_catalogs
from deploy.sandbox.object_items import Item
from deploy.sandbox.resolution import Resolution, ResolutionError, Resolved
from deploy.sandbox.site import Site

WORLD_WRITABLE = 0o777
"""Mode of build folders: the user that an image runs as is the image's business."""

_NOT_MOUNTABLE = frozenset({Type.SUBJECT})


class StagingError(Exception):
    """The files for a container cannot be prepared."""


@dataclass(frozen=True)
class PlannedMount:
    """One mount of a command before anything is prepared.

    ``source`` is None for an output mount; ``setup_command`` names the command that makes the
    mount's content from the source. ``hidden`` are folders of the source that are left out.
    """

    mount: Mount
    path: str
    source: Item | None = None
    input_name: str | None = None
    setup_command: str | None = None
    hidden: frozenset[Path] = frozenset()

    @property
    def folder_name(self) -> str:
        """Return a name for the mount's folder: its own could lead out of the build folder."""
        return quote(f"mount-{self.mount.name}", safe="")


@dataclass(frozen=True)
class StagedMount:
    """A mount whose folder is ready."""

    name: str
    container_path: str
    host_path: Path
    writable: bool

    @property
    def document(self) -> dict[str, object]:
        """Return the mount as a container's JSON has it."""
        return {
            "name": self.name,
            "writable": self.writable,
            "xnat-host-path": str(self.host_path),
            "container-host-path": str(self.host_path),
            "container-path": self.container_path,
            "input-files": [],
        }


def plan_mounts(
    found: Resolution, texts: Mapping[str, str], hidden: Callable[[Item], frozenset[Path]]
) -> list[PlannedMount]:
    """Return what each mount of the command will hold.

    Parameters
    ----------
    texts : Mapping
        Values by replacement key, for the templates in mount paths.
    hidden : callable
        Says which folders of an object are to be left out.

    Raises
    ------
    ResolutionError
        A mount is fed by what cannot be mounted.
    """
    feeds = {
        each.input.provides_files_for_command_mount: each
        for each in found.inputs.values()
        if each.input.provides_files_for_command_mount
    }
    planned = [
        _planned(mount, feeds.get(mount.name), found, texts) for mount in found.command.mounts
    ]
    return [
        each if each.source is None else replace(each, hidden=hidden(each.source))
        for each in planned
    ]


def _planned(
    mount: Mount, feed: Resolved | None, found: Resolution, texts: Mapping[str, str]
) -> PlannedMount:
    try:
        path = resolve_template(mount.path, texts, command=found.command, wrapper=found.wrapper)
    except CommandError as error:
        raise ResolutionError(str(error)) from error
    if not PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        raise ResolutionError(f"The path of mount '{mount.name}' is not absolute: '{path}'.")
    if feed is None or not feed.values:
        return PlannedMount(mount, path)
    source = _only_item(mount, feed)
    return PlannedMount(mount, path, source, feed.input.name, feed.input.via_setup_command)


def _only_item(mount: Mount, feed: Resolved) -> Item:
    each: WrapperInput = feed.input
    if len(feed.values) > 1:
        raise ResolutionError(
            f"Mount '{mount.name}' is fed by input '{each.name}', which has {len(feed.values)} "
            "values; a mount takes one."
        )
    if not feed.items or each.type in _NOT_MOUNTABLE or feed.items[0].directory is None:
        raise ResolutionError(
            f"Mount '{mount.name}' is fed by input '{each.name}' of type {each.type}, which has "
            "no folder of its own. Mount its sessions, or the project."
        )
    return feed.items[0]


def stage_mount(site: Site, planned: PlannedMount, build_dir: Path) -> StagedMount:
    """Prepare the folder of a mount that needs no set-up command.

    Raises
    ------
    StagingError
        Files cannot be copied or linked.
    """
    mount, source = planned.mount, planned.source
    folder = build_dir / planned.folder_name
    try:
        if source is None:
            new_folder(folder)
            return StagedMount(mount.name, planned.path, folder, writable=True)
        directory = _source_dir(site, planned, source, build_dir)
        if mount.writable:
            _copy(directory, folder, planned.hidden)
            return StagedMount(mount.name, planned.path, folder, writable=True)
        if not directory.exists():
            directory = new_folder(folder)  # the object has no files yet
        return StagedMount(mount.name, planned.path, directory, writable=False)
    except OSError as error:
        raise _cannot_prepare(planned, error) from error


def _cannot_prepare(planned: PlannedMount, error: OSError) -> StagingError:
    # Of several errors in a tree there is a list in place of one reason.
    reason = error.strerror or "some of its files cannot be copied or linked"
    return StagingError(
        f"Cannot prepare mount '{planned.mount.name}': {reason}. See to the disk space and the "
        "rights of the sandbox's folder."
    )


def new_folder(folder: Path) -> Path:
    """Make an empty folder that any user may write to; return it."""
    folder.mkdir(parents=True)
    folder.chmod(WORLD_WRITABLE)  # mkdir's own mode is cut by the umask
    return folder


def source_dir(site: Site, planned: PlannedMount, source: Item, build_dir: Path) -> Path:
    """Return the folder of an object for a set-up command, which only reads it.

    Raises
    ------
    StagingError
        Files cannot be linked.
    """
    try:
        directory = _source_dir(site, planned, source, build_dir)
        return directory if directory.exists() else new_folder(build_dir / planned.folder_name)
    except OSError as error:
        raise _cannot_prepare(planned, error) from error


def _source_dir(site: Site, planned: PlannedMount, source: Item, build_dir: Path) -> Path:
    if source.directory is None:  # pragma: no cover - refused when planned
        raise StagingError(f"{source.uri} has no folder.")
    is_file = source.type is Type.FILE
    directory = source.directory.parent if is_file else source.directory
    write_catalogs(site, PurePosixPath(directory.relative_to(site.settings.archive_dir)))
    link_dir = build_dir / f"links-{planned.folder_name}"
    if source.type is Type.PROJECT:
        shared = _shared_sessions(site.store.connection, source.project)
        if shared:
            return _linked_project(site, planned, source, shared, link_dir)
    if planned.hidden and source.directory.exists():
        _link_tree(source.directory, link_dir, planned.hidden)
        return link_dir
    return directory


def _copy(directory: Path, folder: Path, hidden: frozenset[Path]) -> None:
    new_folder(folder)
    if not directory.exists():
        return
    shutil.copytree(
        directory, folder, dirs_exist_ok=True, symlinks=True, ignore=_leaving_out(hidden)
    )
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(WORLD_WRITABLE if name in folders else 0o666)


def _shared_sessions(connection: sqlite3.Connection, project: str) -> list[sqlite3.Row]:
    return connection.execute(
        "SELECT object_id, label FROM share WHERE kind = 'experiment' AND project = ?", (project,)
    ).fetchall()


def _linked_project(
    site: Site, planned: PlannedMount, source: Item, shared: list[sqlite3.Row], link_dir: Path
) -> Path:
    """Make a folder of hard links: the project with what is shared into it, by its own labels."""
    connection = site.store.connection
    (own,) = connection.execute(
        "SELECT COUNT(*) FROM experiment WHERE project = ?", (source.project,)
    ).fetchone()
    limit = int(site.get("maxNumberOfSessionsForJobsWithSharedData"))
    if own + len(shared) > limit:
        raise ResolutionError(
            f"Project {source.project} has shared data and {own + len(shared)} sessions; the site "
            f"allows {limit} for such a job (maxNumberOfSessionsForJobsWithSharedData)."
        )
    project = objects.find_project(connection, source.project)
    if project is None or source.directory is None:
        raise StagingError(f"Project {source.project} was deleted meanwhile.")
    link_dir.mkdir(parents=True)
    if source.directory.exists():
        _link_tree(source.directory, link_dir, planned.hidden)
    for row in shared:
        experiment = objects.find_experiment(connection, row["object_id"])
        if experiment is None or experiment.session_id is not None:
            continue
        place = objects.experiment_dir(connection, experiment)
        folder = site.settings.archive_dir / place
        if folder in planned.hidden:
            continue
        write_catalogs(site, place)
        if folder.exists():
            _link_tree(folder, link_dir / project.current_arc / row["label"], planned.hidden)
    return link_dir


def _link_tree(source: Path, target: Path, hidden: frozenset[Path]) -> None:
    shutil.copytree(
        source,
        target,
        copy_function=os.link,
        dirs_exist_ok=True,
        symlinks=True,
        ignore=_leaving_out(hidden),
    )


def _leaving_out(hidden: frozenset[Path]) -> Callable[[str, list[str]], set[str]]:
    return lambda folder, names: {name for name in names if Path(folder, name) in hidden}
