"""Which files of a project to download, and where they go.

Not here: fetching them (``fetching``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from xnat_client.address import check_project_id
from xnat_client.errors import NotFoundError, RefusedError, UsageError
from xnat_client.projects import require_project
from xnat_client.resources import RemoteFile, read_file_rows
from xnat_client.sessions import Session, list_scans, list_sessions

if TYPE_CHECKING:
    from xnat_client.transport import Transport

_SCAN = re.compile(r"/scans/([^/]+)/")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.-]")


@dataclass(frozen=True, slots=True)
class Selection:
    """What to download.

    Parameters
    ----------
    sessions : tuple of str
        Labels or IDs; empty for all of the project. ``*`` and ``?`` stand for any characters.
    scans : tuple of str
        IDs or types of scans, such as ``3`` or ``T1w``; empty for all. ``none`` leaves out what
        belongs to scans.
    resources : tuple of str
        Labels; empty for all.
    """

    sessions: tuple[str, ...] = ()
    scans: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to download; ``path`` is relative to the output folder."""

    path: str
    file: RemoteFile
    session: str


def select_files(
    transport: Transport, project_id: str, selection: Selection, *, flat: bool = False
) -> tuple[Wanted, ...]:
    """List the files that a selection names, sorted by path.

    Parameters
    ----------
    flat : bool
        Put the files of all sessions below one folder by their own paths, as the parts of one BIDS
        dataset need it; else below ``SESSION[/scans/ID]/RESOURCE``.

    Raises
    ------
    NotFoundError
        The project, a session or anything that is selected does not exist.
    RefusedError
        The server names a file in a way that would leave the folder, or two files the same.
    """
    require_project(transport, check_project_id(project_id))
    wanted: list[Wanted] = []
    for session in _sessions(transport, project_id, selection.sessions):
        types = _scan_names(transport, session) if selection.scans else {}
        for file in _files(transport, session):
            scan = _scan_of(file)
            if not _is_selected(selection, file, scan, types.get(scan, ())):
                continue
            wanted.append(Wanted(_place(session, scan, file, flat=flat), file, session.label))
    if not wanted:
        raise NotFoundError(
            f"Nothing in project {project_id} fits what was asked for, so nothing was downloaded. "
            "Check the labels of sessions, scans and resources."
        )
    return tuple(sorted(_distinct(wanted), key=lambda one: one.path))


def _sessions(transport: Transport, project_id: str, names: Sequence[str]) -> Iterable[Session]:
    sessions = list_sessions(transport, project_id)
    if not names:
        return sessions
    chosen: dict[str, Session] = {}
    for name in names:
        fitting = [one for one in sessions if one.session_id == name or _fits(one.label, name)]
        if not fitting:
            raise NotFoundError(
                f"Project {project_id} has no session {name} that this account may read. Check "
                "the label, or ask an owner of the project for access."
            )
        chosen |= {one.session_id: one for one in fitting}
    return chosen.values()


def _fits(text: str, pattern: str) -> bool:
    return fnmatchcase(text.casefold(), pattern.casefold())


def _scan_names(transport: Transport, session: Session) -> dict[str, tuple[str, ...]]:
    scans = list_scans(transport, session)
    return {one.scan_id: (one.scan_id, one.scan_type, one.series_description) for one in scans}


def _files(transport: Transport, session: Session) -> Iterable[RemoteFile]:
    doing = f"list the files of session {session.label}"
    for path in (f"{session.path}/files", f"{session.path}/scans/ALL/files"):
        try:
            yield from read_file_rows(transport, path, doing=doing)
        except NotFoundError:
            continue  # XNAT's answer where there is none


def _scan_of(file: RemoteFile) -> str:
    found = _SCAN.search(file.uri.partition("/files/")[0])
    return unquote(found.group(1)) if found else ""


def _is_selected(selection: Selection, file: RemoteFile, scan: str, names: Collection[str]) -> bool:
    if selection.resources and not any(_fits(file.resource_label, r) for r in selection.resources):
        return False
    if not selection.scans:
        return True
    if not scan:
        return "none" in selection.scans
    return any(_fits(name, wanted) for name in names if name for wanted in selection.scans)


def _place(session: Session, scan: str, file: RemoteFile, *, flat: bool) -> str:
    if flat:
        return file.path
    parts = [session.label, *(["scans", scan] if scan else []), file.resource_label]
    safe = [_UNSAFE.sub("_", part).lstrip(".") or "_" for part in parts]
    return str(PurePosixPath(*safe, file.path))


def _distinct(wanted: Iterable[Wanted]) -> Iterable[Wanted]:
    """Drop files that are listed twice; refuse different ones of the same path."""
    found: dict[str, Wanted] = {}
    for one in wanted:
        other = found.setdefault(one.path, one)
        same = other.file.md5 and (other.file.md5, other.file.size_bytes) == (
            one.file.md5, one.file.size_bytes,
        )  # fmt: skip
        if other is not one and not same and other.file.uri != one.file.uri:
            raise RefusedError(
                "Two different files would get the same path, so nothing was downloaded. Download "
                "the sessions one by one, or without --flat."
            )
    return found.values()


def check_selection(selection: Selection) -> Selection:
    """Return a selection; raise ``UsageError`` for an empty name in it."""
    if not all([*selection.sessions, *selection.scans, *selection.resources, True]):
        raise UsageError("An empty name selects nothing; leave the option out instead.")
    return selection
