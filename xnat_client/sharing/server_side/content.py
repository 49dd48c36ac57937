"""The files of a release on its server: one resource of the release project for each version.

A release project holds nothing but these resources, no subjects and no sessions. So one list
tells whether every file is the approved one and whether anything else is there, however many
participants there are; and the data set stays one BIDS folder, fetched as a whole. Not here: who
may read it (``access``).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import BadInputError, ConflictError, NotFoundError, RefusedError
from xnat_client.exchange import StreamBody
from xnat_client.listings import list_rows
from xnat_client.resources import RemoteFile, read_file_rows
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.upload.zip_stream import SmallFile, small_zip_chunks, small_zip_size

if TYPE_CHECKING:
    from xnat_client.transport import Transport

RESOURCE_PREFIX = "RELEASE_"
_NOT_IN_LABEL = re.compile(r"[^A-Za-z0-9]")
_CHUNK_BYTES = 1 << 20
_SMALL_BYTES = 1 << 20
_MOST_IN_ARCHIVE = 500
_LONGEST_ARCHIVE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class WantedFile:
    """A file as the manifest has it; the digest is the MD5 that XNAT's catalogues hold."""

    size_bytes: int
    md5: str


@dataclass(frozen=True, slots=True)
class Difference:
    """How a resource differs from what is wanted; paths relative to the resource."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    foreign: tuple[str, ...]

    @property
    def is_harmful(self) -> bool:
        """Tell whether there is something that nobody approved."""
        return bool(self.changed or self.foreign)

    @property
    def is_none(self) -> bool:
        """Tell whether all is as it should be."""
        return not (self.missing or self.changed or self.foreign)


def resource_label(version: str) -> str:
    """Return the label of the resource that holds a version.

    Examples
    --------
    >>> resource_label("1.0.0")
    'RELEASE_1_0_0'
    """
    return RESOURCE_PREFIX + _NOT_IN_LABEL.sub("_", version)


def resources_path(project_id: str) -> str:
    """Return the address of a project's list of resources."""
    return path_of("data", "projects", project_id, "resources")


def list_labels(transport: Transport, project_id: str) -> tuple[str, ...]:
    """Return the labels of a project's own resources, sorted; unlabelled ones by their number."""
    rows = list_rows(
        transport,
        resources_path(project_id),
        doing=f"list the resources of project {project_id}",
    )
    return labels_of_rows(rows)


def labels_of_rows(rows: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the labels in XNAT's table of resources."""
    return tuple(
        sorted(row.get("label") or row.get("xnat_abstractresource_id", "?") for row in rows)
    )


def list_release_files(transport: Transport, project_id: str, label: str) -> tuple[RemoteFile, ...]:
    """Return the files of one resource of a project; none when there is no such resource."""
    doing = f"list the files of resource {label} of project {project_id}"
    try:
        path = f"{resources_path(project_id)}{path_of(label, 'files')}"
        return read_file_rows(transport, path, doing=doing)
    except NotFoundError:
        return ()


def compare_files(wanted: Mapping[str, WantedFile], found: Sequence[RemoteFile]) -> Difference:
    """Compare a resource's list of files with the manifest.

    A file without a digest on the server counts as changed: nobody can say what it is.
    """
    held = {file.path: file for file in found}
    doubled = len(found) - len(held)
    changed = sorted(
        path
        for path, file in wanted.items()
        if path in held
        and (held[path].size_bytes != file.size_bytes or held[path].md5 != file.md5.lower())
    )
    foreign = sorted(held.keys() - wanted.keys())
    return Difference(
        missing=tuple(sorted(wanted.keys() - held.keys())),
        changed=tuple(changed),
        foreign=(*foreign, *(["(listed twice)"] * bool(doubled))),
    )


def store_release(
    transport: Transport,
    project_id: str,
    label: str,
    folder: Path,
    wanted: Mapping[str, WantedFile],
) -> int:
    """Bring a resource to exactly the wanted files, verified by size and MD5; return how many sent.

    What is there already and right is not sent again, so that a broken-off call is continued by
    the next. What is not wanted is deleted.

    Raises
    ------
    BadInputError
        The folder does not hold the wanted files.
    RefusedError
        The server's list differs from what is wanted after all was sent.
    """
    difference = compare_files(wanted, list_release_files(transport, project_id, label))
    base = f"{resources_path(project_id)}{path_of(label)}"
    _check_folder(folder, wanted, [*difference.missing, *difference.changed])
    if difference.foreign:
        # Digests or names that nobody approved: begin with an empty resource.
        delete_resource(transport, project_id, label)
        difference = compare_files(wanted, ())
    if label not in list_labels(transport, project_id):
        _make(transport, base, label)
    to_send = [*difference.missing, *difference.changed]
    _send(transport, base, folder, wanted, to_send)
    left = compare_files(wanted, list_release_files(transport, project_id, label))
    if not left.is_none:
        raise RefusedError(
            f"Resource {label} of project {project_id} is not what was sent: {len(left.missing)} "
            f"files are missing, {len(left.changed)} differ, {len(left.foreign)} are foreign. The "
            "project stays closed; try again."
        )
    return len(to_send)


def require_no_objects(transport: Transport, project_id: str) -> None:
    """Refuse a project with subjects or sessions of any kind: nobody would compare their files.

    Raises
    ------
    RefusedByPolicyError
        There are some.
    """
    for kind, query in (("subjects", {}), ("experiments", {"xsiType": "xnat:experimentData"})):
        rows = list_rows(
            transport,
            path_of("data", "projects", project_id, kind),
            doing=f"list the {kind} of project {project_id}",
            query={"columns": "ID", **query},
        )
        if rows:
            raise RefusedByPolicyError(
                f"Project {project_id} holds {len(rows)} {kind}; a release project holds none. "
                "Find out who put them there and take them away."
            )


def delete_resource(transport: Transport, project_id: str, label: str) -> None:
    """Delete a resource of a project with its files, and read it back."""
    doing = f"delete resource {label} of project {project_id}"
    transport.request(
        "DELETE",
        f"{resources_path(project_id)}{path_of(label)}",
        doing=doing,
        query={"removeFiles": "true"},
        accept=(200, 204, 404),
    )
    if label in list_labels(transport, project_id):
        raise RefusedError(f"Cannot {doing}: it is still there. Delete it by hand.")


def _make(transport: Transport, base: str, label: str) -> None:
    try:
        transport.request("PUT", base, doing=f"make resource {label}", query={"format": "BIDS"})
    except ConflictError:
        return  # an earlier try made it


def _check_folder(folder: Path, wanted: Mapping[str, WantedFile], paths: Sequence[str]) -> None:
    for path in paths:
        file_path = folder / path
        if file_path.is_symlink() or not file_path.is_file():
            raise BadInputError(
                "The release's folder lacks files that its manifest lists, or holds links in their "
                "place. Build the release again."
            )
        if (file_path.stat().st_size, _md5(file_path)) != (
            wanted[path].size_bytes,
            wanted[path].md5.lower(),
        ):
            raise BadInputError(
                "A file of the release's folder is not the one that was approved: size or digest "
                "differ from the manifest. Nothing was sent; build the release again."
            )


def _send(
    transport: Transport,
    base: str,
    folder: Path,
    wanted: Mapping[str, WantedFile],
    paths: Sequence[str],
) -> None:
    small = [path for path in paths if wanted[path].size_bytes <= _SMALL_BYTES]
    for part in _parts(small, wanted):
        files = [
            SmallFile(path, folder / path, wanted[path].size_bytes, "the release") for path in part
        ]
        body = StreamBody(
            partial(small_zip_chunks, files, _take_nothing),
            small_zip_size(files),
            "application/zip",
        )
        query = {"extract": "true", "inbody": "true", "overwrite": "true"}
        name = f"winxnat-{secrets.token_hex(6)}.zip"
        transport.request(
            "PUT", f"{base}/files/{name}", doing="store files of a release", query=query, body=body
        )
    for path in paths:
        if wanted[path].size_bytes > _SMALL_BYTES:
            body = StreamBody(partial(_chunks, folder / path), wanted[path].size_bytes)
            transport.request(
                "PUT",
                f"{base}/files{path_of(*path.split('/'))}",
                doing="store a file of a release",
                query={"inbody": "true", "overwrite": "true"},
                body=body,
            )


def _take_nothing(_file: SmallFile, _content: bytes) -> None:
    """Keep nothing of what is sent; the server's list is compared afterwards."""


def _parts(paths: Sequence[str], wanted: Mapping[str, WantedFile]) -> Iterator[list[str]]:
    part: list[str] = []
    size_bytes = 0
    for path in paths:
        full = size_bytes + wanted[path].size_bytes > _LONGEST_ARCHIVE_BYTES
        if part and (full or len(part) >= _MOST_IN_ARCHIVE):
            yield part
            part, size_bytes = [], 0
        part.append(path)
        size_bytes += wanted[path].size_bytes
    if part:
        yield part


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(path):
        digest.update(chunk)
    return digest.hexdigest()
