"""A study of DICOM files put into the archive: subject, session, scans, files, in one transaction.

Labels come from what the request names, else from the headers. Not here: HTTP (``ingest``) and
what headers mean (``dicom_sessions``).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import quote

from deploy.sandbox import objects, records
from deploy.sandbox.call import Call
from deploy.sandbox.dicom_sessions import (
    Series,
    Study,
    checked_fields,
    comment_value,
    label_from,
    project_candidates,
    scan_fields,
    scan_ids,
    session_fields,
)
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    conflict,
    not_found,
)
from deploy.sandbox.event_rows import note_merge
from deploy.sandbox.file_changes import FileChanges
from deploy.sandbox.objects import Experiment, Kind, Project
from deploy.sandbox.resource_rows import (
    Details,
    files_of,
    find_resource,
    insert_resource,
    remove_files,
    resources_of,
    store_files,
)
from deploy.sandbox.rights import SUBJECT_TYPE, Action
from deploy.sandbox.shortcuts import split_path
from deploy.sandbox.store import now_text
from deploy.sandbox.targets import Owner
from deploy.sandbox.values import check_label

ZIP_HANDLER = "dicom-zip"
OVERWRITE_MODES = ("none", "append", "delete")
ARCHIVE_CODES = frozenset({"1", "4", "5"})
"""Values of a project's prearchive code, or of a request's, that send data to the archive."""
_OVERWRITING_CODE = 5
_DICOM = Details(format="DICOM", content="RAW")


class Area(StrEnum):
    """Where imported data go."""

    ARCHIVE = "archive"
    PREARCHIVE = "prearchive"
    BY_PROJECT = "by project"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an import asks for; empty labels are taken from the headers."""

    handler: str
    project: str
    subject: str
    session: str
    overwrite: str
    overwrite_files: bool = False
    area: Area = Area.BY_PROJECT

    def clash(self, message: str) -> HttpError:
        """Return the error for data that are there already: XNAT's handlers differ in it."""
        return bad_request(message) if self.handler == ZIP_HANDLER else conflict(message)


def readable_project(call: Call, name: str) -> Project:
    """Return a project by its ID or alias; 404 unless the caller may read its record."""
    project = objects.find_project(call.site.store.connection, name)
    if project is None:
        raise not_found(f"There is no project {name} that you can read.")
    call.site.rights.require_record(call.user, Action.READ, project.id)
    return project


def find_project(call: Call, wish: Wish, study: Study) -> Project | None:
    """Return the project that is asked for, else the first that the headers name, or None."""
    if wish.project:
        return readable_project(call, wish.project)
    for name in project_candidates(study.header):
        found = objects.find_project(call.site.store.connection, name)
        if found is not None:
            readable = call.site.rights.can(call.user, Action.READ, found.secured, found.id)
            return found if readable else None
    return None


def session_label(wish: Wish, study: Study) -> str:
    """Return the label that is asked for, else the one of the headers; perhaps empty."""
    header = study.header
    named = comment_value(header, "Session") or header.get("PatientID")
    return wish.session or label_from(named)


def subject_label(wish: Wish, study: Study) -> str:
    """Return the label that is asked for, else the one of the headers; perhaps empty."""
    header = study.header
    named = comment_value(header, "Subject") or header.get("PatientName")
    return wish.subject or label_from(named)


class StudyImport:
    """One study on its way into the archive, inside the transaction of the whole import."""

    def __init__(self, call: Call, wish: Wish, changes: FileChanges, study: Study) -> None:
        self._call = call
        self._wish = wish
        self._changes = changes
        self._connection = changes.connection
        self._study = study
        self._types = call.site.types

    def store(self) -> str:
        """Store the study; return its session's address.

        Raises
        ------
        HttpError
            403 or 404 without the rights, 409 (DICOM-zip: 400) for data that are there already.
        """
        project = self._project()
        label = session_label(self._wish, self._study)
        if not label:
            raise bad_request("The headers give the session no label. Name it: session=LABEL.")
        session = objects.find_experiment(self._connection, label, project.id)
        if session is None:
            session = self._new_session(project, check_label("session label", label))
        else:
            self._check_existing(project, session)
            note_merge(self._connection, session)
        self._store_scans(session)
        if self._call.flag("quarantine"):
            self._connection.execute(
                "UPDATE experiment SET status = 'quarantine' WHERE id = ?", (session.id,)
            )
        subject = objects.find_subject(self._connection, session.subject_id or "")
        names = (project.id, subject.label if subject else "", session.label)
        return "/data/archive/projects/{}/subjects/{}/experiments/{}".format(*map(quote, names))

    def _project(self) -> Project:
        project = find_project(self._call, self._wish, self._study)
        if project is None:
            raise bad_request(
                "The headers name no project that you can read. Name one: "
                "dest=/archive/projects/PROJECT."
            )
        return project

    # Session and subject --------------------------------------------------------------------

    def _new_session(self, project: Project, label: str) -> Experiment:
        xsi_type = self._study.xsi_type
        call = self._call
        call.site.rights.require_in_project(call.user, Action.CREATE, project.id, xsi_type)
        session_id = records.insert_experiment(
            call.site,
            self._connection,
            call.user.login,
            project=project,
            label=label,
            xsi_type=xsi_type,
            fields={**session_fields(self._types, self._study), **self._asked_fields(xsi_type)},
            subject_id=self._subject_id(project),
        )
        made = objects.find_experiment(self._connection, session_id)
        if made is None:  # pragma: no cover - the row was just written
            raise LookupError(session_id)
        return made

    def _asked_fields(self, xsi_type: str) -> dict[str, str]:
        """Return the session's fields that parameters such as ``xnat:mrSessionData/note`` give."""
        values = {}
        for name, value in self._call.query.items():
            found = split_path(self._types, name)
            if found is not None and self._types.is_a(xsi_type, found[0]):
                values[found[1]] = value
        return checked_fields(self._types, xsi_type, values)

    def _subject_id(self, project: Project) -> str:
        label = subject_label(self._wish, self._study)
        if not label:
            raise bad_request("The headers give the subject no label. Name it: subject=LABEL.")
        call = self._call
        found = objects.find_subject(self._connection, label, project.id)
        if found is not None:
            call.site.rights.require(call.user, Action.READ, found.secured, project.id)
            return found.id
        call.site.rights.require_in_project(call.user, Action.CREATE, project.id, SUBJECT_TYPE)
        return records.insert_subject(
            call.site,
            self._connection,
            call.user.login,
            project=project.id,
            label=check_label("subject label", label),
            fields={},
        )

    def _check_existing(self, project: Project, session: Experiment) -> None:
        wish, call = self._wish, self._call
        call.site.rights.require(call.user, Action.EDIT, session.secured, project.id)
        if session.project != project.id or session.subject_id is None:
            raise wish.clash(f"'{session.id}' is not a session of project {project.id}.")
        overwrites = wish.overwrite != "none" or project.prearchive_code == _OVERWRITING_CODE
        if not overwrites:
            raise wish.clash(
                f"Session {session.id} has this label in project {project.id}. Send "
                "overwrite=append to add to it, or overwrite=delete to replace its scans."
            )
        if wish.subject:
            subject = objects.find_subject(self._connection, wish.subject, project.id)
            if subject is None or subject.id != session.subject_id:
                raise wish.clash(f"Session {session.id} belongs to another subject.")
        if not self._types.is_a(session.xsi_type, self._study.xsi_type):
            raise wish.clash(
                f"Session {session.id} is of type {session.xsi_type}, the data are of type "
                f"{self._study.xsi_type}."
            )
        if wish.overwrite == "delete":
            call.site.rights.require(call.user, Action.DELETE, session.secured, project.id)
            self._delete_scans(session)
        known = session.fields.get("UID", "")
        if wish.overwrite != "delete" and known not in {"", self._study.uid}:
            raise wish.clash(f"Session {session.id} holds another study (its UID differs).")
        fields = {**session.fields, **session_fields(self._types, self._study)}
        records.update_fields(self._connection, Kind.EXPERIMENT, session.id, fields)

    def _delete_scans(self, session: Experiment) -> None:
        keys = [
            key
            for (key,) in self._connection.execute(
                "SELECT key FROM scan WHERE session_id = ?", (session.id,)
            )
        ]
        for key in keys:
            for resource in resources_of(self._connection, Kind.SCAN, str(key)):
                paths = [each.path for each in files_of(self._connection, resource.id)]
                remove_files(self._changes, resource, paths)
        records.delete_parts(self._connection, Kind.SCAN, keys)

    # Scans ----------------------------------------------------------------------------------

    def _store_scans(self, session: Experiment) -> None:
        rows = self._connection.execute(
            "SELECT id, uid FROM scan WHERE session_id = ?", (session.id,)
        )
        taken = {row["id"]: row["uid"] or "" for row in rows}
        series = self._study.in_order()
        ids = scan_ids(series, taken)
        for each in series:
            self._store_series(session, each, ids[each.uid])

    def _store_series(self, session: Experiment, series: Series, scan_id: str) -> None:
        scan = objects.find_scan(self._connection, scan_id, session)
        if scan is None:
            self._insert_scan(session, series, scan_id)
            scan = objects.find_scan(self._connection, scan_id, session)
        if scan is None:  # pragma: no cover - the row was just written
            raise LookupError(scan_id)
        folder = objects.experiment_dir(self._connection, session) / "SCANS" / scan_id
        owner = Owner(
            Kind.SCAN, str(scan.key), "", session.secured, session.project, folder,
            f"/data/experiments/{session.id}/scans/{scan_id}", experiment=session, scan=scan,
        )  # fmt: skip
        resource = find_resource(self._connection, owner, "DICOM") or insert_resource(
            self._connection, owner, "DICOM", self._call.user.login, _DICOM
        )
        outcome = store_files(
            self._changes,
            resource,
            series.files.items(),
            _DICOM,
            overwrite=self._wish.overwrite_files,
        )
        if outcome.duplicates:
            raise self._wish.clash(
                f"Scan {scan_id} of session {session.id} has {len(outcome.duplicates)} of these "
                "files already. Send overwrite_files=true to replace them."
            )
        self._count_frames(scan.key, scan.fields, len(files_of(self._connection, resource.id)))

    def _insert_scan(self, session: Experiment, series: Series, scan_id: str) -> None:
        now = now_text()
        fields = records.fields_json(scan_fields(self._types, series))
        self._connection.execute(
            "INSERT INTO scan (session_id, id, xsi_type, fields, insert_date, insert_user,"
            " last_modified) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (session.id, scan_id, series.xsi_type, fields, now, self._call.user.login, now),
        )

    def _count_frames(self, key: int, fields: dict[str, str], files: int) -> None:
        """Raise a scan's frames to its files, when files were added to it."""
        if int(fields.get("frames", "0") or 0) < files:
            records.update_fields(
                self._connection, Kind.SCAN, key, {**fields, "frames": str(files)}
            )
