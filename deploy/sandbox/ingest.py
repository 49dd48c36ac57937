"""The import service: archives of DICOM files become sessions, scans and files; all or nothing.

Implemented are the handlers ``SI`` and ``DICOM-zip``. Not here: how a study is put into the
archive (``study_imports``) or the prearchive (``prearchive_rows``).
"""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from deploy.sandbox.anonymization import EmptyStudyError, anonymise, project_scripts, site_scripts
from deploy.sandbox.archives import unpack
from deploy.sandbox.bodies import checked_first, is_multipart, receive_multipart, receive_raw
from deploy.sandbox.call import Call, text
from deploy.sandbox.dicom_headers import DicomHeader, read_header
from deploy.sandbox.dicom_sessions import Study, group
from deploy.sandbox.errors import bad_request, not_found, not_implemented
from deploy.sandbox.file_changes import FileChanges, IncomingFile, IncomingFiles, change_files
from deploy.sandbox.objects import Project
from deploy.sandbox.prearchive_rows import UNASSIGNED, check_timestamp, store_waiting
from deploy.sandbox.routing import Routes
from deploy.sandbox.series_filter import drop_filtered
from deploy.sandbox.series_filter_api import active_filters
from deploy.sandbox.study_imports import (
    ARCHIVE_CODES,
    OVERWRITE_MODES,
    ZIP_HANDLER,
    Area,
    StudyImport,
    Wish,
    find_project,
    readable_project,
)

ROUTES = Routes()

SESSION_HANDLER = "si"
_OTHER_HANDLERS = frozenset({"gradual-dicom", "inbox", "xar", "automation"})


@ROUTES.add("POST", "/data/services/import")
async def import_session(call: Call) -> Response:
    """Import an archive of DICOM files; answer the address of each session, CRLF behind it."""
    wish = await checked_first(call, _read_wish)
    with IncomingFiles(call.site.settings) as incoming:
        if is_multipart(call):
            received = await receive_multipart(call, incoming)
            if len(received) > 1:
                raise bad_request("An import takes one file.")
        else:
            received = [("", await receive_raw(call, incoming))]
        if not received or not received[0][1].size:
            raise bad_request("There is no file to import.")
        uris = await run_in_threadpool(_import, call, wish, incoming, received[0][1])
    return text("".join(f"{uri}\r\n" for uri in uris))


# What is asked for --------------------------------------------------------------------------


def _read_wish(call: Call) -> Wish:
    query = call.query
    handler = query.get("import-handler", SESSION_HANDLER).lower()
    kind = call.request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if handler in _OTHER_HANDLERS or kind == "application/dicom":
        raise not_implemented("imports other than SI and DICOM-zip")
    if handler not in {SESSION_HANDLER, ZIP_HANDLER}:
        raise not_found("There is no such import handler.")
    for name in ("src", "http-session-listener"):
        if name in query:
            raise not_implemented(f"'{name}' of imports")
    overwrite = query.get("overwrite", "none").lower()
    if overwrite not in OVERWRITE_MODES:
        raise bad_request("'overwrite' must be none, append or delete.")
    named = _destination(query.get("dest", ""))
    wish = Wish(
        handler=handler,
        project=named.get("projects") or query.get("project") or query.get("PROJECT_ID", ""),
        subject=named.get("subjects") or query.get("subject") or query.get("SUBJECT_ID", ""),
        session=named.get("experiments") or query.get("session") or query.get("EXPT_LABEL", ""),
        overwrite=overwrite,
        overwrite_files=call.flag("overwrite_files"),
        area=_area(call, named),
    )
    if wish.project:
        readable_project(call, wish.project)
    return wish


def _destination(dest: str) -> dict[str, str]:
    """Return the names in a path such as ``/archive/projects/P/subjects/S/experiments/L``."""
    parts = [part for part in dest.split("/") if part]
    if parts[:1] == ["data"]:
        parts = parts[1:]
    if parts[:1] == ["prearchive"]:
        return _prearchive_destination(parts[1:])
    if not parts:
        return {}
    keys = ["projects", "subjects", "experiments"][: len(parts) // 2]
    if parts[0] != "archive" or len(parts) % 2 == 0 or parts[1::2] != keys:
        raise bad_request(
            "'dest' must be /archive, or /archive/projects/P, with /subjects/S and /experiments/L "
            "behind it if wanted."
        )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _prearchive_destination(parts: list[str]) -> dict[str, str]:
    """Return the names in ``/prearchive[/projects/P[/TIMESTAMP/L]]``."""
    if len(parts) not in {0, 2, 4} or (parts and parts[0] != "projects"):
        raise bad_request("'dest' must be /prearchive or /prearchive/projects/P[/TIMESTAMP/L].")
    names = {"prearchive": "yes"}
    if parts and parts[1] != UNASSIGNED:
        names["projects"] = parts[1]
    if len(parts) == 4:  # noqa: PLR2004 - with time and label
        names |= {"timestamp": check_timestamp(parts[2]), "experiments": parts[3]}
    return names


def _area(call: Call, named: dict[str, str]) -> Area:
    code = call.query.get("prearchive_code", "")
    if "prearchive" in named or code == "0":
        return Area.PREARCHIVE
    if "dest" in call.query or code in ARCHIVE_CODES or call.flag("Direct-Archive"):
        return Area.ARCHIVE
    return Area.BY_PROJECT


# Reading the archive ------------------------------------------------------------------------


def _import(call: Call, wish: Wish, incoming: IncomingFiles, archive: IncomingFile) -> list[str]:
    found = unpack(archive, incoming)
    incoming.discard(archive)
    studies = group(_dicom_files(call, wish, incoming, found))
    if not studies:
        raise bad_request("The archive has no DICOM files; nothing was imported.")
    if len(studies) > 1 and (wish.handler == SESSION_HANDLER or wish.session):
        raise bad_request(
            f"The archive has {len(studies)} studies, and one session was asked for. Send each "
            "study alone, or use import-handler=DICOM-zip without a session."
        )
    ready = [prepare_study(call, wish, study) for study in studies]
    with change_files(call.site.store, call.site.settings) as changes:
        return [store_study(call, asked, changes, study) for asked, study in ready]


def _waits(wish: Wish, project: Project | None) -> bool:
    if wish.area is Area.BY_PROJECT:
        return project is None or str(project.prearchive_code) not in ARCHIVE_CODES
    return wish.area is Area.PREARCHIVE


def prepare_study(call: Call, wish: Wish, study: Study) -> tuple[Wish, Study]:
    """Apply import filters and anonymisation scripts to a received study.

    A project's script applies here only where the study goes straight to the archive.
    """
    project = find_project(call, wish, study)
    left = drop_filtered(study, active_filters(call.site, project))
    if left is None:
        raise EmptyStudyError
    scripts = site_scripts(call.site)
    if project is not None and not _waits(wish, project):
        scripts += project_scripts(call.site, project.id)
    return anonymise(call.site, wish, left, project, scripts)


def store_study(call: Call, wish: Wish, changes: FileChanges, study: Study) -> str:
    """Put a study into the archive or the prearchive; return its session's address."""
    project = find_project(call, wish, study)
    if not _waits(wish, project):
        return StudyImport(call, wish, changes, study).store()
    timestamp = _destination(call.query.get("dest", "")).get("timestamp")
    return store_waiting(call, wish, changes, study, project=project, timestamp=timestamp).uri


def _dicom_files(
    call: Call, wish: Wish, incoming: IncomingFiles, found: list[tuple[str, IncomingFile]]
) -> list[tuple[DicomHeader, IncomingFile]]:
    lenient = wish.handler == SESSION_HANDLER or call.flag("Ignore-Unparsable")
    files, others = [], []
    for path, each in found:
        header = read_header(each.path)
        if header is not None:
            files.append((header, each))
            continue
        if not lenient:
            raise bad_request(
                "The archive has a file that is not DICOM; nothing was imported. Leave it out, or "
                "send Ignore-Unparsable=true."
            )
        others.append(path.lower())
        incoming.discard(each)
    if not files and any(path.endswith(".xml") for path in others):
        raise not_implemented("imports of sessions described by an XML document")
    return files
