"""Quality records and pictures: from local folders, or from the resources of a project's sessions.

Not here: what is made of them (``report``, ``values``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from qc.pool import Row, UnknownRecordError, read_record
from xnat_client.errors import BadInputError, NotFoundError
from xnat_client.resources import list_files
from xnat_client.sessions import Session, list_sessions

if TYPE_CHECKING:
    from xnat_client.resources import RemoteFile
    from xnat_client.transport import Transport

RESOURCES = ("WINQC", "MRIQC")
"""Labels of the resources in which the two programs' results are kept."""

MARK = "_desc-winqc"
"""What winqc puts into the names of its files."""

_AT_ONCE = 8
_LONGEST_RECORD = 1 << 20
_LONGEST_PICTURE = 4 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """One image's record and picture.

    Attributes
    ----------
    row : Row
    thumbnail : bytes or None
        PNG.
    page : str
        Path of the image's own page, relative to where the records were found; or empty.
    session_id : str
        Of the server; empty for local folders.
    """

    row: Row
    thumbnail: bytes | None
    page: str
    session_id: str = ""


@dataclass
class Collection:
    """All records that were found, and what looked like one and was none."""

    found: list[Found] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)


def read_folders(folders: Iterable[Path]) -> Collection:
    """Return the records below local folders, by name.

    Raises
    ------
    BadInputError
        A folder is not there, or none of them holds a record.
    """
    collection = Collection()
    for folder in folders:
        if not folder.is_dir():
            raise BadInputError("One of the folders is not there. Check the paths.")
        paths = sorted(path for path in folder.rglob("*.json") if path.is_file())
        for path in paths:
            if path.stat().st_size > _LONGEST_RECORD:
                continue
            stem = path.name.removesuffix(".json")
            picture = path.with_name(f"{stem}_thumbnail.png")
            page = path.with_name(f"{stem}.html")
            try:
                row = read_record(stem.replace(MARK, ""), path.read_bytes())
            except UnknownRecordError as error:
                collection.refused.append(f"{path.name}: {error}")
                continue
            collection.found.append(
                Found(
                    row,
                    picture.read_bytes() if picture.is_file() else None,
                    page.resolve().as_uri() if page.is_file() else "",
                )
            )
    if not collection.found:
        raise BadInputError("There is no record of MRIQC or winqc (JSON) in these folders.")
    return collection


def read_project(
    transport: Transport, project_id: str, only: Iterable[str] = (), *, pictures: bool = True
) -> Collection:
    """Return the records of a project's sessions.

    Parameters
    ----------
    only : iterable of str
        Labels of sessions; all if empty.
    pictures : bool
        Whether to fetch thumbnails too.

    Raises
    ------
    NotFoundError
        A session that was named is not there.
    """
    sessions = [one for one in list_sessions(transport, project_id) if "Session" in one.xsi_type]
    wanted = set(only)
    missing = wanted - {one.label for one in sessions}
    if missing:
        raise NotFoundError(
            f"Project {project_id} has no session with {len(missing)} of the labels that were "
            "named. Check them with: winxnat search sessions"
        )
    collection = Collection()
    collection.sessions = [one for one in sessions if not wanted or one.label in wanted]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for part in pool.map(
            lambda session: list(_of_session(transport, session, pictures=pictures)),
            collection.sessions,
        ):
            for each in part:
                if isinstance(each, str):
                    collection.refused.append(each)
                else:
                    collection.found.append(each)
    return collection


def _of_session(transport: Transport, session: Session, *, pictures: bool) -> Iterator[Found | str]:
    for label in RESOURCES:
        try:
            files = {file.path: file for file in list_files(transport, session, label)}
        except NotFoundError:
            continue
        for path, file in files.items():
            if path.endswith(".json") and file.size_bytes <= _LONGEST_RECORD:
                yield _read(transport, session, file, files if pictures else {})


def _read(
    transport: Transport, session: Session, file: RemoteFile, files: Mapping[str, RemoteFile]
) -> Found | str:
    stem = PurePosixPath(file.path).name.removesuffix(".json")
    doing = f"read a quality record of session {session.label}"
    answer = transport.request("GET", file.uri, doing=doing)
    name = f"{session.label}/{stem.replace(MARK, '')}"
    try:
        row = read_record(name, answer.body)
    except UnknownRecordError as error:
        return f"{session.label}: {PurePosixPath(file.path).name}: {error}"
    picture = files.get(str(PurePosixPath(file.path).with_name(f"{stem}_thumbnail.png")))
    thumbnail = None
    if picture is not None and picture.size_bytes <= _LONGEST_PICTURE:
        thumbnail = transport.request("GET", picture.uri, doing=doing).body
    return Found(row, thumbnail, "", session.session_id)
