"""What remains of a container: its logs in the archive, and its outputs as XNAT objects.

Not here: when this happens (``runner``).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.model import HandlerType
from commands.model import WrapperInputType as Type
from containers.engine import LOG_STREAMS, ContainerEngine
from deploy.sandbox.errors import HttpError
from deploy.sandbox.launches import UNAUTHORISED, UPLOAD_FAILED, LaunchFailure
from deploy.sandbox.object_items import Item
from deploy.sandbox.object_tree import ObjectTree, UnknownItemError
from deploy.sandbox.output_documents import store_document
from deploy.sandbox.people import User
from deploy.sandbox.resources import store_tree
from deploy.sandbox.rights import Action
from deploy.sandbox.site import Site
from deploy.sandbox.staging import new_folder

LOGS_DIR = "CONTAINER_EXEC"

WrapUp = Callable[[str, Path], Path]
"""Runs a wrap-up command (reference, input folder); returns the folder of what it made."""


def log_path(site: Site, engine_id: str, stream: str, subtype: str = "") -> Path:
    """Return where a stream of a container is kept after its end.

    Parameters
    ----------
    subtype : str
        Folder of set-up and wrap-up containers; empty for the main one.
    """
    base = site.settings.archive_dir / LOGS_DIR / engine_id / "LOGS"
    return (base / subtype if subtype else base) / f"{stream}.log"


def save_logs(site: Site, engine: ContainerEngine, engine_id: str, subtype: str = "") -> list[str]:
    """Copy a container's streams into the archive; return their paths there."""
    paths = []
    for stream in LOG_STREAMS:
        path = log_path(site, engine_id, stream, subtype)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_bytes(engine.logs(engine_id, stream))
        partial.replace(path)
        paths.append(str(path))
    return paths


@dataclass
class Uploader:
    """Takes the outputs of one finished container.

    Parameters
    ----------
    outputs : list of dict
        As planned, each with ``target`` or the name of the handler it belongs under; ``created``
        is filled in.
    mount_dirs : dict
        Folder of each mount by its name.
    wrap_up : callable
        Runs a wrap-up command on a folder.
    scratch_dir : Path
        Where files may be gathered; removed by the caller.
    """

    site: Site
    user: User
    project: str | None
    outputs: list[dict[str, Any]]
    mount_dirs: dict[str, Path]
    wrap_up: WrapUp
    scratch_dir: Path
    workflow_id: int

    def upload(self) -> None:
        """Store every output in the order of the handlers.

        Raises
        ------
        LaunchFailure
            ``Failed (Upload)``: a required output is missing, or cannot be stored.
        """
        made: dict[str, Item] = {}
        for output in self.outputs:
            source = self._source(output)
            if source is None:
                continue
            if output["via-wrapup-command"]:
                source = self._found(
                    self.wrap_up(output["via-wrapup-command"], source), None, output
                )
            if source is None:
                continue
            target = self._target(output, made)
            if target is None:
                continue  # the handler it belongs under had nothing to store
            item = self._store(output, source, target)
            output["created"] = item.uri
            made[output["from-output-handler"]] = item

    def _source(self, output: dict[str, Any]) -> Path | None:
        """Return the file or folder to take; None when there is none and none is needed."""
        return self._found(self.mount_dirs[output["mount"]], output["path"], output)

    def _require_room(self, files: list[Path], output: dict[str, Any]) -> None:
        """Raise where the files would fill the disk: a file can be sparse, its copy is not."""
        size = sum(each.stat().st_size for each in files)
        if size > shutil.disk_usage(self.site.settings.archive_dir).free:
            raise LaunchFailure(
                UPLOAD_FAILED,
                f"Output '{output['from-command-output']}' has {size} bytes, for which the disk "
                "of the archive has no room. Make room, or write less.",
            )

    def _found(self, base_dir: Path, name: str | None, output: dict[str, Any]) -> Path | None:
        path = base_dir / (name or "").lstrip("/")
        inside = base_dir.resolve()
        if not path.resolve().is_relative_to(inside):
            raise LaunchFailure(
                UPLOAD_FAILED,
                f"Output '{output['from-command-output']}' leads out of its mount. "
                "Mend the path in the command.",
            )
        files = [path] if path.is_file() else _files(path)
        # A link could make the server hand out any file that it can read itself.
        if not all(each.is_file() and each.resolve().is_relative_to(inside) for each in files):
            raise LaunchFailure(
                UPLOAD_FAILED,
                f"Output '{output['from-command-output']}' has a link to a folder or out of its "
                "mount, or something that is no file. Write plain files only.",
            )
        self._require_room(files, output)
        if files:
            return path
        if output["required"]:
            raise LaunchFailure(
                UPLOAD_FAILED,
                f"The required output '{output['from-command-output']}' is missing: the "
                f"container left no file at '{name or '.'}' in mount '{output['mount']}'. "
                "Read the container's logs.",
            )
        return None

    def _target(self, output: dict[str, Any], made: dict[str, Item]) -> Item | None:
        if output["target"] is None:
            return made.get(output["handled-by"])
        tree = ObjectTree(self.site, self.user, self.project)
        try:
            return tree.find(output["target"], Type(output["target-type"]))
        except UnknownItemError as error:
            raise LaunchFailure(
                UPLOAD_FAILED,
                f"The object that output '{output['from-command-output']}' belongs to was "
                "deleted, or you may no longer read it.",
            ) from error

    def _store(self, output: dict[str, Any], source: Path, target: Item) -> Item:
        if output["type"] == HandlerType.RESOURCE.value:
            return self._store_resource(output, source, target)
        label = f"{target.label}_{output['from-output-handler']}_{self.workflow_id}"
        return store_document(
            self.site, self.user, output, source, target=target, default_label=label
        )

    def _store_resource(self, output: dict[str, Any], source: Path, target: Item) -> Item:
        if not self.site.rights.can(self.user, Action.EDIT, target.secured):
            raise LaunchFailure(
                UNAUTHORISED, f"You may no longer edit {target.secured.what}; nothing was stored."
            )
        try:
            store_tree(
                self.site,
                target.owner,
                output["label"],
                self._plain_folder(source, output),
                self.user,
                format=output["format"] or "",
                content=output["content"] or "",
                tags=",".join(output["tags"]),
                description=output["description"] or "",
                overwrite=True,
            )
        except HttpError as error:
            raise LaunchFailure(
                UPLOAD_FAILED,
                f"Output '{output['from-command-output']}' cannot be stored: {error.message}",
            ) from error
        tree = ObjectTree(self.site, self.user, self.project)
        for item in tree.children(target, Type.RESOURCE):
            if item.label == output["label"]:
                return item
        raise LaunchFailure(UPLOAD_FAILED, f"Resource {output['label']} was deleted meanwhile.")

    def _plain_folder(self, source: Path, output: dict[str, Any]) -> Path:
        """Return a folder of plain files: a file gets one of its own, links are resolved."""
        folder: Path = self.scratch_dir / output["from-output-handler"]
        if source.is_file():
            shutil.copyfile(source, new_folder(folder) / source.name)
        elif any(each.is_symlink() for each in _files(source)):
            shutil.copytree(source, folder)
        else:
            return source
        return folder


def _files(folder: Path) -> list[Path]:
    return [
        Path(parent, name)
        for parent, folders, names in os.walk(folder)
        for name in (*names, *(each for each in folders if Path(parent, each).is_symlink()))
    ]
