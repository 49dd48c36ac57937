"""Sessions that wait in the prearchive: rows and files. Not here: HTTP (``prearchive``)."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deploy.sandbox.dicom_headers import read_header
from deploy.sandbox.dicom_sessions import Study, group, scan_ids, session_fields
from deploy.sandbox.errors import bad_request, conflict, forbidden
from deploy.sandbox.rights import Action
from deploy.sandbox.store import now_text
from deploy.sandbox.study_imports import Wish, session_label, subject_label
from deploy.sandbox.values import check_label

if TYPE_CHECKING:
    from deploy.sandbox.call import Call
    from deploy.sandbox.file_changes import FileChanges, IncomingFiles
    from deploy.sandbox.objects import Project
    from deploy.sandbox.settings import Settings
    from deploy.sandbox.store import Store

UNASSIGNED = "Unassigned"
"""The name that stands for the project of sessions without one."""

_TIMESTAMP = re.compile(r"\d{8}_\d{6,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A session in the prearchive; ``project`` is None when none could be found for it."""

    id: int
    project: str | None
    timestamp: str
    name: str
    subject: str
    uid: str
    xsi_type: str
    scan_date: str
    scan_time: str
    status: str
    folder: str
    scans: list[dict[str, Any]]
    uploaded: str
    last_modified: str

    @property
    def path(self) -> str:
        """Return the address without ``/data``, as XNAT's table has it."""
        names = (self.project or UNASSIGNED, self.timestamp, self.name)
        return "/prearchive/projects/{}/{}/{}".format(*map(quote, names))

    @property
    def uri(self) -> str:
        """Return the address."""
        return f"/data{self.path}"


def waiting_from_row(row: sqlite3.Row) -> Waiting:
    """Return the session of a complete row of the table."""
    return Waiting(
        row["id"], row["project"], row["timestamp"], row["name"], row["subject"], row["uid"],
        row["xsi_type"], row["scan_date"], row["scan_time"], row["status"], row["folder"],
        json.loads(row["scans"]), row["uploaded"], row["last_modified"],
    )  # fmt: skip


def check_timestamp(text: str) -> str:
    """Return a timestamp such as ``20240131_101500123``; 400 for anything else."""
    if not _TIMESTAMP.fullmatch(text):
        raise bad_request("A timestamp in the prearchive has the form yyyyMMdd_HHmmssSSS.")
    return text


def list_waiting(connection: sqlite3.Connection, project: str | None = None) -> list[Waiting]:
    """Return the sessions of a project (``Unassigned``: of none), or all, the oldest first."""
    query, values = "SELECT * FROM prearchive", []
    if project is not None:
        query += " WHERE coalesce(project, ?) = ? COLLATE NOCASE"
        values = [UNASSIGNED, project]
    rows = connection.execute(f"{query} ORDER BY id", values)
    return [waiting_from_row(row) for row in rows]


def find_waiting(
    connection: sqlite3.Connection, project: str, timestamp: str, name: str
) -> Waiting | None:
    """Return the session at an address, or None."""
    for each in list_waiting(connection, project):
        if (each.timestamp, each.name) == (timestamp, name):
            return each
    return None


# Coming in ----------------------------------------------------------------------------------


def store_waiting(  # noqa: PLR0913 - one study on its way
    call: Call,
    wish: Wish,
    changes: FileChanges,
    study: Study,
    *,
    project: Project | None,
    timestamp: str | None,
) -> Waiting:
    """Put a study into the prearchive.

    Raises
    ------
    HttpError
        403 or 404 without the right to create sessions in the project, 409 for a taken address,
        417 for a label that cannot be used.
    """
    if project is not None:
        call.site.rights.require_in_project(call.user, Action.CREATE, project.id, study.xsi_type)
    elif call.user.is_guest:
        raise forbidden("A guest cannot import data.")
    name = check_label("session label", session_label(wish, study) or study.uid)
    stamp = timestamp or datetime.now(UTC).strftime("%Y%m%d_%H%M%S%f")[:-3]
    place = project.id if project else UNASSIGNED
    if find_waiting(changes.connection, place, stamp, name) is not None:
        raise conflict("The prearchive has a session at this address.")
    folder = uuid.uuid4().hex
    scans = _place_files(changes, study, call.site.settings.prearchive_dir, folder)
    fields, now = session_fields(call.site.types, study), now_text()
    row = changes.connection.execute(
        "INSERT INTO prearchive (project, timestamp, name, subject, uid, xsi_type, scan_date,"
        " scan_time, folder, scans, uploaded, last_modified, insert_user)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING *",
        (
            project.id if project else None, stamp, name, subject_label(wish, study), study.uid,
            study.xsi_type, fields.get("date", ""), fields.get("time", ""), folder,
            json.dumps(scans), now, now, call.user.login,
        ),
    ).fetchone()  # fmt: skip
    return waiting_from_row(row)


def _place_files(
    changes: FileChanges, study: Study, area: Path, folder: str
) -> list[dict[str, Any]]:
    series = study.in_order()
    ids = scan_ids(series, {})
    scans = []
    for each in series:
        scan_id = check_label("scan ID", ids[each.uid])
        for name, file in each.files.items():
            path = f"SCANS/{scan_id}/DICOM/{name}"
            changes.place(file, PurePosixPath(folder), path, area)
        scans.append(
            {
                "ID": scan_id,
                "xsiType": each.xsi_type,
                "series_description": each.header.get("SeriesDescription"),
                "files": {name: file.size for name, file in each.files.items()},
            }
        )
    return scans


# Going out ----------------------------------------------------------------------------------


def read_study(settings: Settings, waiting: Waiting, incoming: IncomingFiles) -> Study:
    """Return the study of a waiting session, its files copied to received ones."""
    files = []
    for scan in waiting.scans:
        for name in scan["files"]:
            source = settings.prearchive_dir / waiting.folder / f"SCANS/{scan['ID']}/DICOM/{name}"
            header = read_header(source)
            if header is None:
                raise bad_request(f"A file of scan {scan['ID']} is no longer readable as DICOM.")
            copy = incoming.new()
            with source.open("rb") as stream:
                copy.write_all(stream)
            copy.close()
            files.append((header, copy))
    (study,) = group(files)
    return study


def forget(connection: sqlite3.Connection, waiting: Waiting) -> None:
    """Delete a session's row; its folder is removed after the commit (``remove_folder``)."""
    connection.execute("DELETE FROM prearchive WHERE id = ?", (waiting.id,))


def remove_folder(settings: Settings, waiting: Waiting) -> None:
    """Remove the files of a session whose row is gone."""
    folder = settings.prearchive_dir / waiting.folder
    if folder.exists():
        shutil.rmtree(folder)


def recover_prearchive(store: Store, settings: Settings) -> None:
    """Remove folders that have no row: their session was archived, deleted, or never committed."""
    known = {folder for (folder,) in store.connection.execute("SELECT folder FROM prearchive")}
    for folder in settings.prearchive_dir.iterdir():
        if folder.name not in known:
            shutil.rmtree(folder)
