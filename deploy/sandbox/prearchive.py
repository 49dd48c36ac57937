"""The prearchive over HTTP: sessions that wait, listed, moved, deleted, archived.

A session's data are sorted when they are received, so that every session is READY. Not here: how
they come in (``ingest``) and lie on disk (``prearchive_rows``).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from starlette.responses import Response

from deploy.sandbox.anonymization import anonymise, project_scripts
from deploy.sandbox.call import Call, text
from deploy.sandbox.downloads import ARCHIVE_FORMATS, Entry, answer_archive, answer_file
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    forbidden,
    not_found,
    not_implemented,
)
from deploy.sandbox.file_changes import IncomingFiles, change_files
from deploy.sandbox.prearchive_rows import (
    UNASSIGNED,
    Waiting,
    find_waiting,
    forget,
    list_waiting,
    read_study,
    remove_folder,
)
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import Routes
from deploy.sandbox.store import now_text
from deploy.sandbox.study_imports import (
    ARCHIVE_CODES,
    OVERWRITE_MODES,
    Area,
    StudyImport,
    Wish,
    readable_project,
)
from deploy.sandbox.tables import answer_table

ROUTES = Routes()

SESSION_PATH = "/data/prearchive/projects/{project}/{timestamp}/{name}"
_SCANS = f"{SESSION_PATH}/scans"
_RESOURCES = f"{_SCANS}/{{scan}}/resources"
_FILES = f"{_RESOURCES}/{{resource}}/files"
_URI_TYPE = {"Content-Type": "text/uri-list; charset=utf-8"}
_SERVICE_ACTIONS = frozenset({"delete", "move", "rebuild"})
_IDLE_ACTIONS = frozenset({"build", "reset-status"})

_COLUMNS = (
    "project", "timestamp", "lastmod", "uploaded", "scan_date", "scan_time", "subject",
    "folderName", "name", "tag", "status", "url", "autoarchive", "prevent_anon",
    "prevent_auto_commit", "SOURCE", "VISIT", "PROTOCOL", "TIMEZONE",
)  # fmt: skip


# Rights and finding -------------------------------------------------------------------------


def _require(call: Call, waiting: Waiting, action: Action = Action.EDIT) -> None:
    """Return if the caller may do this with sessions of the project; else raise 404 or 403."""
    if waiting.project is None:
        if not call.user.is_admin:
            raise not_found("There is no such session in the prearchive.")
        return
    call.site.rights.require_in_project(call.user, action, waiting.project, waiting.xsi_type)


def _waiting(call: Call, action: Action = Action.EDIT) -> Waiting:
    """Return the session of the path."""
    names = (call.path["project"], call.path["timestamp"], call.path["name"])
    return _at(call, *names, action=action)


def _at(
    call: Call, project: str, timestamp: str, name: str, *, action: Action = Action.EDIT
) -> Waiting:
    found = find_waiting(call.site.store.connection, project, timestamp, name)
    if found is None:
        raise not_found("There is no such session in the prearchive.")
    _require(call, found, action)
    return found


def _named(call: Call, src: str, action: Action = Action.EDIT) -> Waiting:
    """Return the session of an address such as ``/prearchive/projects/P/TIMESTAMP/NAME``."""
    parts = [unquote(part) for part in src.split("/") if part]
    if parts[:1] == ["data"]:
        parts = parts[1:]
    if len(parts) != 5 or parts[:2] != ["prearchive", "projects"]:  # noqa: PLR2004 - as above
        raise bad_request("'src' must be /prearchive/projects/PROJECT/TIMESTAMP/SESSION.")
    return _at(call, *parts[2:], action=action)


def _sources(call: Call, action: Action = Action.EDIT) -> list[Waiting]:
    sources = call.query.getlist("src")
    if not sources:
        raise bad_request("Name the sessions: src=/prearchive/projects/PROJECT/TIMESTAMP/SESSION.")
    return [_named(call, src, action) for src in sources]


# Reading ------------------------------------------------------------------------------------


@ROUTES.add(
    "GET", "/data/prearchive", "/data/prearchive/projects", "/data/prearchive/projects/{project}"
)
def list_sessions(call: Call) -> Response:
    """Answer the table of waiting sessions whose projects the caller may edit."""
    name = call.path.get("project")
    if name is not None and name != UNASSIGNED:
        name = readable_project(call, name).id
    found = []
    for each in list_waiting(call.site.store.connection, name):
        try:
            _require(call, each)
        except HttpError:
            continue  # others' sessions are left out of the list
        found.append(each)
    return answer_table(call, _COLUMNS, map(_row, found))


def _row(waiting: Waiting) -> tuple[object, ...]:
    return (
        waiting.project or UNASSIGNED, waiting.timestamp, waiting.last_modified,
        waiting.uploaded, waiting.scan_date, waiting.scan_time, waiting.subject, waiting.name,
        waiting.name, waiting.uid, waiting.status, waiting.path, "", False, False, "", "", "", "",
    )  # fmt: skip


@ROUTES.add("GET", SESSION_PATH)
def show_session(call: Call) -> Response:
    """Answer one session as a table of one row, or its files as an archive."""
    waiting = _waiting(call)
    kind = call.query.get("format", "json").lower()
    if kind in ARCHIVE_FORMATS:
        entries = [
            Entry(
                f"{waiting.name}/scans/{scan['ID']}/resources/DICOM/files/{name}",
                partial(_open, call, waiting, scan["ID"], name),
            )
            for scan in waiting.scans
            for name in scan["files"]
        ]
        return answer_archive(call, kind, waiting.name, entries)
    if kind == "xml":
        raise not_implemented("the XML document of a session in the prearchive")
    return answer_table(call, _COLUMNS, [_row(waiting)])


def _open(call: Call, waiting: Waiting, scan_id: str, name: str) -> IO[bytes] | None:
    folder: Path = call.site.settings.prearchive_dir / waiting.folder
    try:
        return (folder / f"SCANS/{scan_id}/DICOM/{name}").open("rb")
    except FileNotFoundError:
        return None  # archived or deleted meanwhile


@ROUTES.add("GET", _SCANS)
def list_scans(call: Call) -> Response:
    """Answer a waiting session's scans."""
    scans = _waiting(call).scans
    rows = ((scan["ID"], scan["xsiType"], scan["series_description"]) for scan in scans)
    return answer_table(call, ("ID", "xsiType", "series_description"), rows)


@ROUTES.add("GET", _RESOURCES)
def list_scan_resources(call: Call) -> Response:
    """Answer a waiting scan's only resource."""
    files = _scan_files(call)
    row = ("scans", call.path["scan"], "DICOM", len(files), sum(files.values()))
    return answer_table(call, ("category", "cat_id", "label", "file_count", "file_size"), [row])


@ROUTES.add("GET", _FILES)
def list_scan_files(call: Call) -> Response:
    """Answer a waiting scan's files."""
    files = _scan_files(call)
    base = call.request.url.path
    rows = ((name, size, f"{base}/{name}") for name, size in files.items())
    return answer_table(call, ("Name", "Size", "URI"), rows)


@ROUTES.add("GET", f"{_FILES}/{{file}}")
def get_scan_file(call: Call) -> Response:
    """Answer one waiting file."""
    name = call.path["file"]
    stream = None
    if name in _scan_files(call):
        stream = _open(call, _waiting(call), call.path["scan"], name)
    if stream is None:
        raise not_found("There is no such file.")
    return answer_file(call, name, stream)


def _scan_files(call: Call) -> dict[str, int]:
    wanted = call.path["scan"]
    for scan in _waiting(call).scans:
        if scan["ID"] == wanted and call.path.get("resource", "DICOM") == "DICOM":
            return dict(scan["files"])
    raise not_found("There is no such scan or resource in the prearchive.")


# Changing -----------------------------------------------------------------------------------


@ROUTES.add("DELETE", SESSION_PATH)
def delete_session(call: Call) -> Response:
    """Delete a waiting session."""
    _delete(call, _waiting(call))
    return text()


def _delete(call: Call, waiting: Waiting) -> None:
    with call.site.store.write() as connection:
        forget(connection, waiting)
    remove_folder(call.site.settings, waiting)


def _move(call: Call, waiting: Waiting) -> Waiting:
    wanted = call.query.get("newProject")
    if not wanted:
        raise bad_request("Name the project to move to: newProject=PROJECT.")
    project = readable_project(call, wanted)
    call.site.rights.require_in_project(call.user, Action.CREATE, project.id, waiting.xsi_type)
    with call.site.store.write() as connection:
        connection.execute(
            "UPDATE prearchive SET project = ?, last_modified = ? WHERE id = ?",
            (project.id, now_text(), waiting.id),
        )
    return _at(call, project.id, waiting.timestamp, waiting.name, action=Action.CREATE)


@ROUTES.add("POST", SESSION_PATH, body=True)
def act_on_session(call: Call) -> Response:
    """Do what ``action`` says; a session that moves answers its new address with 301."""
    call.count_form()
    action = call.query.get("action", "").lower()
    waiting = _waiting(call)
    if action in _IDLE_ACTIONS:
        return text()
    if action == "move":
        return _uris([_move(call, waiting).uri], 301)
    if action == "commit":
        project = readable_project(call, waiting.project) if waiting.project else None
        if project is not None and str(project.prearchive_code) in ARCHIVE_CODES:
            return _uris([_archive(call, waiting)], 301)
        return _uris([waiting.uri])
    if action == "set-status":
        raise not_implemented("setting the status of sessions in the prearchive")
    raise bad_request("'action' must be build, reset-status, move, commit or set-status.")


def _uris(uris: list[str], status: int = 200) -> Response:
    headers = {**_URI_TYPE, "Location": uris[0]} if status != 200 else _URI_TYPE  # noqa: PLR2004 - HTTP: OK
    return Response("".join(f"{uri}\r\n" for uri in uris), status, headers)


@ROUTES.add("POST", "/data/services/prearchive/{action}", body=True)
def act_on_sessions(call: Call) -> Response:
    """Delete, move or rebuild the sessions named by ``src`` (repeatable), one after the other."""
    call.count_form()
    action = call.path["action"]
    if action not in _SERVICE_ACTIONS:
        raise not_found("There is no such service of the prearchive.")
    found = _sources(call)
    for waiting in found:
        if action == "delete":
            _delete(call, waiting)
        elif action == "move":
            _move(call, waiting)
    return text()


@ROUTES.add("PUT", "/data/prearchive")
def rebuild_table(call: Call) -> Response:
    """Accept an administrator's wish to rebuild the table, which is always right here."""
    if not call.user.is_admin:
        raise forbidden("Only an administrator may rebuild the prearchive.")
    return text()


# Archiving ----------------------------------------------------------------------------------


@ROUTES.add("POST", "/data/services/archive", body=True)
def archive_session(call: Call) -> Response:
    """Move a waiting session into the archive; answer its address, CRLF behind it."""
    call.count_form()
    found = _sources(call, Action.CREATE)
    if len(found) > 1:
        raise not_implemented("archiving several sessions with one request")
    uri = _archive(call, found[0])
    return _uris([uri], 301 if call.flag("redirect") else 200)


@ROUTES.add("GET POST", "/data/services/validate-archive")
def validate_archive(_call: Call) -> Response:
    """Answer that there is no dry run of archiving."""
    raise not_implemented("the check before archiving")


def _archive(call: Call, waiting: Waiting) -> str:
    query = call.query
    project = query.get("project") or waiting.project or ""
    overwrite = query.get("overwrite", "none").lower()
    if not project:
        raise bad_request("The session belongs to no project yet. Name one: project=PROJECT.")
    if overwrite not in OVERWRITE_MODES:
        raise bad_request("'overwrite' must be none, append or delete.")
    if "dest" in query:
        raise not_implemented("'dest' of archiving; use project, subject and session")
    wish = Wish(
        handler="archive",
        project=project,
        subject=query.get("subject") or waiting.subject,
        session=query.get("session") or waiting.name,
        overwrite=overwrite,
        overwrite_files=call.flag("overwrite_files"),
        area=Area.ARCHIVE,
    )
    settings = call.site.settings
    with IncomingFiles(settings) as incoming:
        try:
            study = read_study(settings, waiting, incoming)
        except FileNotFoundError as error:
            raise not_found("The session was archived or deleted meanwhile.") from error
        place = readable_project(call, project)
        scripts = project_scripts(call.site, place.id)
        wish, study = anonymise(call.site, wish, study, place, scripts)
        with change_files(call.site.store, settings) as changes:
            _at(call, waiting.project or UNASSIGNED, waiting.timestamp, waiting.name,
                action=Action.CREATE)  # fmt: skip
            uri = StudyImport(call, wish, changes, study).store()
            forget(changes.connection, waiting)
    remove_folder(settings, waiting)
    return uri
