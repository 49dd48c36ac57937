"""Resources: listed, made, shown as catalogs, deleted; and folders stored by the server itself.

Not here: files one by one (``files``).
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import quoteattr

from starlette.responses import Response

from deploy.sandbox import targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.downloads import ARCHIVE_FORMATS
from deploy.sandbox.errors import bad_request, conflict, not_found, not_implemented
from deploy.sandbox.file_changes import IncomingFile, IncomingFiles, change_files
from deploy.sandbox.file_paths import check_file_path
from deploy.sandbox.files import answer_files, owner_to_delete_from
from deploy.sandbox.folders import change_folders
from deploy.sandbox.resource_rows import (
    Details,
    Resource,
    StoredFile,
    files_of,
    find_resource,
    insert_resource,
    resources_of,
    store_files,
)
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import OWNER_PATHS, Routes
from deploy.sandbox.selections import owned_resource, select
from deploy.sandbox.tables import answer_table
from deploy.sandbox.uploads import read_details

if TYPE_CHECKING:
    from deploy.sandbox.people import User
    from deploy.sandbox.site import Site
    from deploy.sandbox.targets import Owner

__all__ = ["ROUTES", "files_of", "resources_of", "store_tree"]

ROUTES = Routes()

LIST_PATHS = tuple(f"{path}/resources" for path in OWNER_PATHS)
RESOURCE_PATHS = tuple(f"{path}/{{resource}}" for path in LIST_PATHS)

_NAMESPACES = (
    'xmlns:cat="http://nrg.wustl.edu/catalog" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_COLUMNS = (
    "xnat_abstractresource_id", "label", "element_name", "category", "cat_id", "cat_desc",
    "file_count", "file_size", "tags", "content", "format",
)  # fmt: skip


@ROUTES.add("GET", *LIST_PATHS)
def list_resources(call: Call) -> Response:
    """Answer the table of an object's resources; ``all=true`` on a session adds its scans'."""
    found = select(call, whole=call.flag("all")).found
    counts = call.site.store.connection.execute(
        "SELECT resource_id, COUNT(*) AS files, SUM(size) AS bytes FROM file"
        " WHERE resource_id IN (SELECT value FROM json_each(?)) GROUP BY resource_id",
        (json.dumps([each.resource.id for each in found]),),
    )
    stats = {row["resource_id"]: (row["files"], row["bytes"]) for row in counts}
    rows = []
    for each in found:
        resource, details = each.resource, each.resource.details
        label = call.query.get("label")
        if label is not None and resource.label not in label.split(","):
            continue
        files, size = stats.get(resource.id, (0, 0))
        rows.append(
            (
                resource.id,
                resource.label,
                "xnat:resourceCatalog",
                each.place.category,
                each.place.name,
                each.place.description,
                files,
                size,
                details.tags,
                details.content,
                details.format,
            )
        )
    return answer_table(call, _COLUMNS, rows, title="Resources")


@ROUTES.add("PUT POST", *RESOURCE_PATHS, body=True)
def create_resource(call: Call) -> Response:
    """Make a resource; 409 when its label is taken."""
    return _create(call, call.path["resource"])


@ROUTES.add("PUT POST", *LIST_PATHS, body=True)
def create_labelled_resource(call: Call) -> Response:
    """Make a resource whose label is in the query."""
    label = call.query.get("label")
    if label is None:
        targets.owner(call, Action.EDIT)
        raise bad_request("Name the resource: .../resources/LABEL.")
    return _create(call, label)


def _create(call: Call, label: str) -> Response:
    targets.owner(call, Action.EDIT)
    if call.body.strip():
        raise not_implemented("resources described in a body; use format, content, tags")
    details = read_details(call)
    with call.site.store.write() as connection:
        owner = targets.owner(call, Action.EDIT)
        if find_resource(connection, owner, label) is not None:
            raise conflict("Specified resource already exists.")
        insert_resource(connection, owner, label, call.user.login, details)
    return text()


@ROUTES.add("PUT POST", *(f"{path}/{{rest:path}}" for path in RESOURCE_PATHS))
def refuse_path(call: Call) -> Response:
    """Refuse what is behind a resource and is not its files."""
    targets.owner(call, Action.EDIT)
    raise bad_request("Files of a resource have addresses .../resources/LABEL/files/PATH.")


@ROUTES.add("GET", *RESOURCE_PATHS)
def show_resource(call: Call) -> Response:
    """Answer the resource's catalog, or its files when the format is that of an archive."""
    if call.query.get("format", "").lower() in ARCHIVE_FORMATS:
        return answer_files(call)
    resource = owned_resource(call, targets.owner(call))
    files = files_of(call.site.store.connection, resource.id)
    return Response(catalog_document(resource, files), media_type="text/xml")


def catalog_document(resource: Resource, files: list[StoredFile]) -> str:
    """Return a catalog as XNAT writes it; clients know it by its very first characters."""
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<cat:Catalog ID="{resource.id}" name={quoteattr(resource.label)} {_NAMESPACES}>',
        "<cat:entries>",
    ]
    lines += [_entry(each) for each in files]
    return "\n".join([*lines, "</cat:entries>", "</cat:Catalog>", ""])


def _entry(file: StoredFile) -> str:
    values = {
        "URI": file.path,
        "ID": file.path,
        "name": file.path.rpartition("/")[2],
        "digest": file.md5,
        "size": str(file.size),
        "content": file.details.content,
        "format": file.details.format,
        "createdTime": file.created_at,
    }
    shown = " ".join(f"{name}={quoteattr(value)}" for name, value in values.items() if value)
    return f"<cat:entry {shown}/>"


@ROUTES.add("DELETE", *RESOURCE_PATHS)
def delete_resource(call: Call) -> Response:
    """Delete a resource with its files."""
    with change_folders(call.site.store, call.site.settings) as changes:
        resource = owned_resource(call, owner_to_delete_from(call))
        call.site.store.connection.execute("DELETE FROM resource WHERE id = ?", (resource.id,))
        changes.remove(resource.dir)
    return text()


# Folders stored by the server itself --------------------------------------------------------


def store_tree(  # noqa: PLR0913 - the facets of a resource, all by name
    site: Site,
    owner: Owner,
    label: str,
    source_dir: Path,
    user: User,
    *,
    format: str = "",  # noqa: A002 - XNAT's word for it
    content: str = "",
    tags: str = "",
    description: str = "",
    overwrite: bool = True,
) -> int:
    """Copy all files of a folder into a resource, which is made when it is not there.

    Everything is stored, or nothing. Rights are the caller's affair. Links are not followed and
    not stored, nor is a catalog of the resource itself.

    Returns
    -------
    int
        The resource's number.

    Raises
    ------
    HttpError
        400 or 417 for names that cannot be stored, 404 when the object was deleted meanwhile,
        409 when a file is there and ``overwrite`` is false, 507 when the disk is full.
    """
    details = Details(format, content, tags, description)
    with IncomingFiles(site.settings) as incoming:
        received = _copies(source_dir, incoming)
        with change_files(site.store, site.settings) as changes:
            resource = find_resource(changes.connection, owner, label)
            if resource is None:
                _require_owner(site, owner)
                resource = insert_resource(changes.connection, owner, label, user.login, details)
            files = [each for each in received if each[0] != resource.catalog_name]
            outcome = store_files(changes, resource, files, details, overwrite=overwrite)
            if outcome.duplicates:
                raise conflict(
                    f"Resource {label} has {len(outcome.duplicates)} of these files already."
                )
    return resource.id


def _require_owner(site: Site, owner: Owner) -> None:
    column = "key" if owner.kind.value in {"scan", "reconstruction"} else "id"
    found = site.store.connection.execute(
        f"SELECT 1 FROM {owner.kind.value} WHERE {column} = ?",  # noqa: S608 - names of ours
        (owner.owner_id,),
    ).fetchone()
    if found is None:
        raise not_found(f"{owner.secured.what} is no longer there.")


def _copies(source_dir: Path, incoming: IncomingFiles) -> list[tuple[str, IncomingFile]]:
    received = []
    for parent, folders, names in os.walk(source_dir):
        folders.sort()
        for name in sorted(names):
            source = Path(parent, name)
            if source.is_symlink() or not source.is_file():
                continue
            path = check_file_path(source.relative_to(source_dir).as_posix())
            each = incoming.new()
            with source.open("rb") as stream:
                each.write_all(stream)
            each.close()
            received.append((path, each))
    return received
