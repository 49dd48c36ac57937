"""Sessions, subject assessors and assessors of sessions: item, creation, change, deletion.

Not here: lists (``listings``), scans (``scans``), sharing.
"""

from __future__ import annotations

import sqlite3

from starlette.responses import Response

from deploy.sandbox import objects, records, targets
from deploy.sandbox.call import Call, text
from deploy.sandbox.datatypes import EXPERIMENT, IMAGE_ASSESSOR, SUBJECT, SUBJECT_ASSESSOR
from deploy.sandbox.errors import (
    HttpError,
    bad_request,
    conflict,
    not_found,
    not_implemented,
    unprocessable,
)
from deploy.sandbox.folders import FolderChanges, change_folders
from deploy.sandbox.items import answer_item, experiment_item
from deploy.sandbox.objects import Experiment, Kind
from deploy.sandbox.options import refuse_unknown_options
from deploy.sandbox.rights import Action
from deploy.sandbox.routing import ASSESSOR_PATHS, EXPERIMENT_PATHS, Routes
from deploy.sandbox.scans import put_scans_of_document
from deploy.sandbox.store import now_text
from deploy.sandbox.subjects import project_of_submission
from deploy.sandbox.submissions import Submission, merge, read_submission
from deploy.sandbox.values import check_label
from deploy.sandbox.xml_documents import write_document

ROUTES = Routes()


@ROUTES.add("GET", *(f"{path}/status" for path in EXPERIMENT_PATHS))
def get_status(call: Call) -> Response:
    """Answer ``active`` or ``quarantine``."""
    return text(targets.experiment(call).status)


@ROUTES.add("GET PUT DELETE", *(f"{p}/{end}" for p in EXPERIMENT_PATHS for end in ("DIR", "XAR")))
def archive_tree(call: Call) -> Response:
    """Refuse the archive-tree formats, which a full XNAT has."""
    targets.experiment(call)
    raise not_implemented("DIR and XAR; download files with format=zip")


@ROUTES.add("GET", *ASSESSOR_PATHS)
def get_assessor(call: Call) -> Response:
    """Answer an assessor of a session."""
    _, assessor = targets.assessor(call)
    return answer_item(call, experiment_item(call, assessor, targets.context_project(call)))


@ROUTES.add("GET", *EXPERIMENT_PATHS)
def get_experiment(call: Call) -> Response:
    """Answer a session, subject assessor or assessor."""
    experiment = targets.experiment(call)
    return answer_item(call, experiment_item(call, experiment, targets.context_project(call)))


# Sessions and subject assessors ---------------------------------------------------------------


@ROUTES.add("PUT", *EXPERIMENT_PATHS, body=True)
def put_experiment(call: Call) -> Response:
    """Make or change an experiment; answer its ID (nothing after a renaming).

    A subject that the path names and that does not exist is made.
    """
    refuse_unknown_options(call)
    name, context = call.path["experiment"], targets.context_project(call, Action.EDIT)
    with change_folders(call.site.store, call.site.settings) as changes:
        connection = call.site.store.connection
        found = objects.find_experiment(connection, name, context)
        if found is not None:
            call.site.rights.require(call.user, Action.EDIT, found.secured, context)
            submission = _read_change(call, found, context)
            _require_own_subject(call, connection, found, context)
            renamed = _change(call, connection, changes, found, submission)
            put_scans_of_document(call, connection, found, submission.scans)
            return text("" if renamed else found.id)
        submission = read_submission(call, EXPERIMENT)
        submission.identity.setdefault("label", name)
        made = _create(call, connection, submission, context, make_subject=True)
    return text(made, 201)


def _read_change(call: Call, experiment: Experiment, context: str | None) -> Submission:
    def present() -> bytes:
        return write_document(call.site.types, experiment_item(call, experiment, context))

    return read_submission(call, EXPERIMENT, experiment.xsi_type, present)


@ROUTES.add(
    "POST",
    "/data/projects/{project}/subjects/{subject}/experiments",
    "/data/projects/{project}/experiments",
    "/data/experiments",
    body=True,
)
def post_experiment(call: Call) -> Response:
    """Make an experiment from the body or the query; answer its absolute address."""
    refuse_unknown_options(call)
    context = targets.context_project(call)
    submission = read_submission(call, EXPERIMENT)
    if submission.empty:
        raise HttpError(417, "Need POST Contents: name at least xsiType and label.")
    with call.site.store.write() as connection:
        made = _create(call, connection, submission, context, make_subject=False)
    address = f"{call.base_url}{call.request.url.path}/{made}"
    return text(address, headers={"Location": address})


@ROUTES.add("DELETE", *EXPERIMENT_PATHS)
def delete_experiment(call: Call) -> Response:
    """Delete an experiment; through a sharing project only end the share."""
    with change_folders(call.site.store, call.site.settings) as changes:
        _delete(call, changes, targets.experiment(call, Action.DELETE))
    return text()


def _delete(call: Call, changes: FolderChanges, experiment: Experiment) -> None:
    connection, context = call.site.store.connection, targets.context_project(call)
    if context is not None and context != experiment.project:
        records.unshare(connection, Kind.EXPERIMENT, experiment.id, context)
        return
    folder = objects.experiment_dir(connection, experiment)
    records.delete_experiments(connection, experiment.project, [experiment.id])
    if call.flag("removeFiles"):
        changes.remove(folder)


def _require_own_subject(
    call: Call, connection: sqlite3.Connection, experiment: Experiment, context: str | None
) -> None:
    """Refuse to reach an experiment through another subject than its own: its label is taken."""
    if "subject" not in call.path:
        return
    parent = objects.find_subject(connection, call.path["subject"], context)
    if parent is None or parent.id != experiment.subject_id:
        raise conflict(
            f"Label {call.path['experiment']} is used by an experiment of another subject."
        )


def _concrete_type(call: Call, submission: Submission, ancestor: str) -> str:
    xsi_type = submission.xsi_type
    if xsi_type is None:
        raise HttpError(417, "Need PUT Contents: a new experiment needs its xsiType.")
    if not call.site.types.is_a(xsi_type, ancestor):
        raise unprocessable(f"{xsi_type} is not a kind of {ancestor}, which this address holds.")
    if call.site.types.is_abstract(xsi_type):
        raise bad_request(f"{xsi_type} is a general type; name the exact one.")
    return xsi_type


def _create(
    call: Call,
    connection: sqlite3.Connection,
    submission: Submission,
    context: str | None,
    *,
    make_subject: bool,
) -> str:
    xsi_type = _concrete_type(call, submission, SUBJECT_ASSESSOR)
    parent = None
    if "subject" in call.path:
        parent = objects.find_subject(connection, call.path["subject"], context)
    if context is None and parent is not None:
        submission.identity.setdefault("project", parent.project)
    place = context or project_of_submission(call, submission)
    if submission.identity.get("project", place).lower() != place.lower():
        raise conflict(f"The request names another project than {place}.")
    call.site.rights.require_in_project(call.user, Action.CREATE, place, xsi_type)
    if parent is not None:
        call.site.rights.require(call.user, Action.READ, parent.secured, context)
        subject_id = parent.id
    else:
        subject_id = _subject_id(
            call, connection, submission, place, may_make=make_subject or "subject" not in call.path
        )
    return _insert(call, connection, submission, place, xsi_type, subject_id=subject_id)


def _subject_id(
    call: Call,
    connection: sqlite3.Connection,
    submission: Submission,
    project: str,
    *,
    may_make: bool,
) -> str:
    """Return the ID of the subject that a request names, making it if it is new."""
    name = (
        call.path.get("subject")
        or submission.identity.get("subject_ID")
        or call.query.get("subject_label")
    )
    if not name:
        raise unprocessable("The experiment's record must include the subject.")
    found = objects.find_subject(connection, name, project)
    if found is not None:
        return found.id
    if not may_make:
        raise not_found(f"There is no subject {name} that you can read.")
    call.site.rights.require_in_project(call.user, Action.CREATE, project, SUBJECT)
    check_label("subject label", name)
    return records.insert_subject(
        call.site, connection, call.user.login, project=project, label=name, fields={}
    )


def _insert(  # noqa: PLR0913 - what a new row needs
    call: Call,
    connection: sqlite3.Connection,
    submission: Submission,
    place: str,
    xsi_type: str,
    *,
    subject_id: str | None = None,
    session_id: str | None = None,
) -> str:
    project = objects.find_project(connection, place)
    if project is None:
        raise not_found(f"There is no project {place} that you can read.")
    wanted_id = submission.identity.get("ID")
    if wanted_id is not None:
        check_label("experiment ID", wanted_id)
    label = submission.identity.get("label") or wanted_id
    if label is None:
        wanted_id = label = records.new_id(call.site, connection, Kind.EXPERIMENT, None)
    check_label("experiment label", label)
    made = records.insert_experiment(
        call.site,
        connection,
        call.user.login,
        project=project,
        label=label,
        xsi_type=xsi_type,
        fields=merge({}, submission.values),
        subject_id=subject_id,
        session_id=session_id,
        wanted_id=wanted_id,
    )
    found = objects.find_experiment(connection, made)
    if found is not None:
        _set_status(call, connection, found)
        put_scans_of_document(call, connection, found, submission.scans)
    return made


def _change(
    call: Call,
    connection: sqlite3.Connection,
    changes: FolderChanges,
    experiment: Experiment,
    submission: Submission,
) -> bool:
    """Change an experiment; return whether it has a new label."""
    context = targets.context_project(call)
    identity, types = submission.identity, call.site.types
    if submission.xsi_type is not None and not types.is_a(experiment.xsi_type, submission.xsi_type):
        raise conflict(f"Experiment {experiment.id} is of type {experiment.xsi_type} and stays so.")
    if identity.get("ID", experiment.id) != experiment.id:
        raise bad_request("The ID must be modified through a separate URI.")
    if identity.get("project", experiment.project) not in experiment.secured.projects:
        raise conflict("An experiment gets another project by sharing, not here.")
    if identity.get("imageSession_ID", experiment.session_id) != experiment.session_id:
        raise bad_request("An assessor stays with its session.")
    label = identity.get("label")
    renamed = label is not None and label != experiment.label_in(context)
    if renamed and submission.from_document.get("label") == label:
        raise bad_request("The label must be modified through a separate URI.")
    if submission.values:
        fields = merge(experiment.fields, submission.values)
        records.update_fields(connection, Kind.EXPERIMENT, experiment.id, fields)
    _set_status(call, connection, experiment)
    if experiment.session_id is None:
        _move_to_subject(call, connection, experiment, submission)
    if renamed and label is not None:
        check_label("experiment label", label)
        records.rename_experiment(connection, changes, experiment, label, context)
    return renamed


def _move_to_subject(
    call: Call, connection: sqlite3.Connection, experiment: Experiment, submission: Submission
) -> None:
    wanted = submission.identity.get("subject_ID")
    if wanted is None:
        _require_own_label(call, connection, experiment)
        return
    if wanted == experiment.subject_id:
        return
    subject = objects.find_subject(connection, wanted, experiment.project)
    if subject is None or not call.site.rights.can(call.user, Action.READ, subject.secured):
        raise not_found(f"There is no subject {wanted} in project {experiment.project}.")
    connection.execute(
        "UPDATE experiment SET subject_id = ?, last_modified = ? WHERE id = ?",
        (subject.id, now_text(), experiment.id),
    )


def _require_own_label(call: Call, connection: sqlite3.Connection, experiment: Experiment) -> None:
    """Refuse the label of another subject, which can be read only: it would change nothing."""
    label = call.query.get("subject_label")
    if label is None:
        return
    subject = objects.find_subject(connection, label, experiment.project)
    if subject is None or subject.id != experiment.subject_id:
        raise bad_request("An experiment gets another subject by its subject_ID, not by the label.")


def _set_status(call: Call, connection: sqlite3.Connection, experiment: Experiment) -> None:
    for option, status in (("quarantine", "quarantine"), ("activate", "active")):
        if call.flag(option):
            call.site.rights.require(call.user, Action.ACTIVATE, experiment.secured)
            connection.execute(
                "UPDATE experiment SET status = ?, last_modified = ? WHERE id = ?",
                (status, now_text(), experiment.id),
            )


# Assessors of sessions ------------------------------------------------------------------------


@ROUTES.add("PUT", *ASSESSOR_PATHS, body=True)
def put_assessor(call: Call) -> Response:
    """Make or change an assessor of a session; answer its ID."""
    refuse_unknown_options(call)
    name, context = call.path["assessor"], targets.context_project(call, Action.EDIT)
    with change_folders(call.site.store, call.site.settings) as changes:
        connection = call.site.store.connection
        session = targets.experiment(call)
        found = objects.find_assessor(connection, name, session, context)
        if found is not None:
            call.site.rights.require(call.user, Action.EDIT, found.secured, context)
            submission = _read_change(call, found, context)
            renamed = _change(call, connection, changes, found, submission)
            return text("" if renamed else found.id)
        submission = read_submission(call, EXPERIMENT)
        submission.identity.setdefault("label", name)
        made = _create_assessor(call, connection, session, submission)
    return text(made, 201)


@ROUTES.add("POST", *(path.rpartition("/")[0] for path in ASSESSOR_PATHS), body=True)
def post_assessor(call: Call) -> Response:
    """Make an assessor from the body or the query; answer its absolute address."""
    refuse_unknown_options(call)
    submission = read_submission(call, EXPERIMENT)
    if submission.empty:
        raise HttpError(417, "Need POST Contents: name at least xsiType and label.")
    with call.site.store.write() as connection:
        made = _create_assessor(call, connection, targets.experiment(call), submission)
    address = f"{call.base_url}{call.request.url.path}/{made}"
    return text(address, headers={"Location": address})


def _create_assessor(
    call: Call, connection: sqlite3.Connection, session: Experiment, submission: Submission
) -> str:
    xsi_type = _concrete_type(call, submission, IMAGE_ASSESSOR)
    if session.session_id is not None:
        raise unprocessable("An assessor belongs to a session, not to another assessor.")
    place = targets.context_project(call) or session.project
    if submission.identity.get("project", place).lower() != place.lower():
        raise bad_request(f"The request names another project than {place}.")
    if submission.identity.get("imageSession_ID", session.id) != session.id:
        raise bad_request("The request names another session than its path.")
    call.site.rights.require_in_project(call.user, Action.CREATE, place, xsi_type)
    return _insert(call, connection, submission, place, xsi_type, session_id=session.id)


@ROUTES.add("DELETE", *ASSESSOR_PATHS)
def delete_assessor(call: Call) -> Response:
    """Delete an assessor; through a sharing project only end the share."""
    with change_folders(call.site.store, call.site.settings) as changes:
        _, assessor = targets.assessor(call, Action.DELETE)
        _delete(call, changes, assessor)
    return text()
