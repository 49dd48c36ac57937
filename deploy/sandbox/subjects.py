"""Subjects: item, creation, change, renaming, deletion. Not here: lists and sharing."""

from __future__ import annotations

import sqlite3
from functools import partial
from pathlib import PurePosixPath

from starlette.responses import Response

from deploy.sandbox import objects, records, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.datatypes import SUBJECT
from deploy.sandbox.errors import HttpError, bad_request, conflict, not_found, unprocessable
from deploy.sandbox.folders import FolderChanges, change_folders
from deploy.sandbox.items import answer_item, subject_item
from deploy.sandbox.objects import Kind, Subject
from deploy.sandbox.options import refuse_unknown_options
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import SUBJECT_PATHS, Routes
from deploy.sandbox.submissions import Submission, merge, read_submission
from deploy.sandbox.values import check_label
from deploy.sandbox.xml_documents import write_document

ROUTES = Routes()


@ROUTES.add("GET", *SUBJECT_PATHS)
def get_subject(call: Call) -> Response:
    """Answer a subject."""
    subject = targets.subject(call)
    return answer_item(call, subject_item(call, subject, targets.context_project(call)))


@ROUTES.add("PUT", *SUBJECT_PATHS, body=True)
def put_subject(call: Call) -> Response:
    """Make or change a subject; answer its ID (nothing after a renaming)."""
    return _put(call)


def _put(call: Call) -> Response:
    refuse_unknown_options(call)
    name, context = call.path["subject"], targets.context_project(call, Action.EDIT)
    submission = read_submission(call, SUBJECT, present=partial(_present, call, name, context))
    with change_folders(call.site.store, call.site.settings) as changes:
        connection = call.site.store.connection
        subject = objects.find_subject(connection, name, context)
        if subject is None:
            place = context or project_of_submission(call, submission)
            submission.identity.setdefault("label", name)
            return text(create_subject(call, connection, place, submission), 201)
        call.site.rights.require(call.user, Action.EDIT, subject.secured, context)
        renamed = _change(connection, changes, subject, submission, context)
    return text("" if renamed else subject.id)


def _present(call: Call, name: str, context: str | None) -> bytes | None:
    """Return the document of a subject if it is there and may be read."""
    subject = objects.find_subject(call.site.store.connection, name, context)
    if subject is None or not call.site.rights.can(
        call.user, Action.READ, subject.secured, context
    ):
        return None
    return write_document(call.site.types, subject_item(call, subject, context))


@ROUTES.add("POST", *SUBJECT_PATHS, body=True)
def post_named_subject(call: Call) -> Response:
    """Make a subject at its address; 409 if it exists."""
    context = targets.context_project(call)
    found = objects.find_subject(call.site.store.connection, call.path["subject"], context)
    if found is not None and call.site.rights.can(call.user, Action.READ, found.secured, context):
        raise conflict(f"Subject {call.path['subject']} already exists.")
    return _put(call)


@ROUTES.add("POST", "/data/projects/{project}/subjects", body=True)
def post_subject(call: Call) -> Response:
    """Make a subject from the body or the query; answer its absolute address."""
    refuse_unknown_options(call)
    context = targets.project(call).id
    submission = read_submission(call, SUBJECT)
    if submission.empty:
        raise HttpError(417, "Need POST Contents: name at least a label.")
    with call.site.store.write() as connection:
        made = create_subject(call, connection, context, submission)
    address = f"{call.base_url}/data/projects/{context}/subjects/{made}"
    return text(address, headers={"Location": address})


@ROUTES.add("DELETE", *SUBJECT_PATHS)
def delete_subject(call: Call) -> Response:
    """Delete a subject with its experiments; through a sharing project only end the share."""
    context = targets.context_project(call)
    with change_folders(call.site.store, call.site.settings) as changes:
        connection = call.site.store.connection
        subject = targets.subject(call, Action.DELETE)
        if context is not None and context != subject.project:
            records.unshare(connection, Kind.SUBJECT, subject.id, context)
            return text()
        folders = [PurePosixPath(subject.project) / "subjects" / subject.label]
        for row in connection.execute(
            "SELECT * FROM experiment WHERE subject_id = ?", (subject.id,)
        ).fetchall():
            experiment = objects.experiment_from_row(connection, row)
            call.site.rights.require(call.user, Action.DELETE, experiment.secured)
            folders.append(objects.experiment_dir(connection, experiment))
        records.delete_subjects(connection, subject.project, [subject.id])
        if call.flag("removeFiles"):
            for folder in folders:
                changes.remove(folder)
    return text()


# Creating and changing ----------------------------------------------------------------------


def project_of_submission(call: Call, submission: Submission) -> str:
    """Return the project that a request without one in its path names; else raise 422 or 404."""
    wanted = submission.identity.get("project")
    if wanted is None:
        raise unprocessable("The request must include the project attribute.")
    found = objects.find_project(call.site.store.connection, wanted)
    visible = found is not None and Action.READ in call.site.rights.record_actions(
        call.user, found.id
    )
    if found is None or not visible:
        raise not_found(f"There is no project {wanted} that you can read.")
    return found.id


def create_subject(
    call: Call, connection: sqlite3.Connection, project: str, submission: Submission
) -> str:
    """Make a subject in a project if the caller may; return its ID."""
    call.site.rights.require_in_project(call.user, Action.CREATE, project, SUBJECT)
    identity = submission.identity
    if identity.get("project", project).lower() != project.lower():
        raise conflict(f"The request names another project than {project}.")
    wanted_id = identity.get("ID")
    if wanted_id is not None:
        check_label("subject ID", wanted_id)
    label = identity.get("label") or wanted_id
    if label is None:
        wanted_id = label = records.new_id(call.site, connection, Kind.SUBJECT, None)
    check_label("subject label", label)
    fields = merge({}, submission.values)
    return records.insert_subject(
        call.site,
        connection,
        call.user.login,
        project=project,
        label=label,
        fields=fields,
        wanted_id=wanted_id,
    )


def _change(
    connection: sqlite3.Connection,
    changes: FolderChanges,
    subject: Subject,
    submission: Submission,
    context: str | None,
) -> bool:
    """Change a subject; return whether it has a new label."""
    identity, document = submission.identity, submission.from_document
    if identity.get("ID", subject.id) != subject.id:
        raise bad_request("The ID of a subject cannot be changed.")
    if identity.get("project", subject.project) not in subject.secured.projects:
        raise conflict("A subject gets another project by sharing, not here.")
    label = identity.get("label")
    renamed = label is not None and label != subject.label_in(context)
    if renamed and document.get("label") == label:
        raise bad_request("The label must be changed with ?label=, not in the body.")
    if submission.values:
        fields = merge(subject.fields, submission.values)
        records.update_fields(connection, Kind.SUBJECT, subject.id, fields)
    if renamed and label is not None:
        check_label("subject label", label)
        records.rename_subject(connection, changes, subject, label, context)
    return renamed
