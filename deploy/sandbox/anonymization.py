"""Anonymisation scripts of the site and of projects: stored, and applied to arriving studies.

The site's script applies when data are received, a project's when they are archived. Not here:
the language (``dicom_edit``) and HTTP (``anonymize_api``).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, replace

from deploy.sandbox import objects
from deploy.sandbox.dicom_edit import Script, edit_file, read_script
from deploy.sandbox.dicom_headers import DicomHeader, read_header
from deploy.sandbox.dicom_sessions import Study, group
from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.file_changes import IncomingFile
from deploy.sandbox.objects import Project
from deploy.sandbox.site import Site
from deploy.sandbox.study_imports import Wish, session_label, subject_label

SITE = ""
SITE_SWITCH = "enableSitewideAnonymizationScript"

DEFAULT_SCRIPT = """\
// The name and the number of the person are replaced by the labels under which the data are
// stored; the description of the study names the project.
version "6.1"
project != "Unassigned" ? (0008,1030) := project
(0010,0010) := subject
(0010,0020) := session
"""
"""What applies as the site's script until another one is stored, once it is switched on."""


class EmptyStudyError(HttpError):
    """Every file of a study was dropped by import filters or rejected by scripts."""

    def __init__(self) -> None:
        super().__init__(400, "Empty sessions cannot be archived.")


@dataclass(frozen=True)
class StoredScript:
    """A script as stored, and whether it applies."""

    text: str
    enabled: bool


def find_script(connection: sqlite3.Connection, scope: str) -> StoredScript | None:
    """Return the script of a project, or of the site (``SITE``), or None."""
    row = connection.execute(
        "SELECT text, enabled FROM anonymization_script WHERE scope = ?", (scope,)
    ).fetchone()
    return None if row is None else StoredScript(row["text"], bool(row["enabled"]))


def store_script(connection: sqlite3.Connection, scope: str, text: str) -> None:
    """Store a script that was understood; a new one applies, a changed one if the old one did."""
    connection.execute(
        "INSERT INTO anonymization_script VALUES (?, ?, 1)"
        " ON CONFLICT (scope) DO UPDATE SET text = excluded.text",
        (scope, text),
    )


def switch_script(connection: sqlite3.Connection, scope: str, *, enabled: bool) -> bool:
    """Set whether a project's script applies; return whether there is one."""
    cursor = connection.execute(
        "UPDATE anonymization_script SET enabled = ? WHERE scope = ?", (enabled, scope)
    )
    return cursor.rowcount == 1


def site_text(connection: sqlite3.Connection) -> str:
    """Return the site's script: the stored one or the default."""
    stored = find_script(connection, SITE)
    return DEFAULT_SCRIPT if stored is None else stored.text


# Applying -----------------------------------------------------------------------------------


def site_scripts(site: Site) -> list[Script]:
    """Return the scripts that apply to data being received."""
    if not site.get(SITE_SWITCH):
        return []
    return [read_script(site_text(site.store.connection))]


def project_scripts(site: Site, project: str) -> list[Script]:
    """Return the scripts that apply to data being archived into a project."""
    stored = find_script(site.store.connection, project)
    return [read_script(stored.text)] if stored is not None and stored.enabled else []


def anonymise(
    site: Site, wish: Wish, study: Study, project: Project | None, scripts: Iterable[Script]
) -> tuple[Wish, Study]:
    """Rewrite a study's received files; return what to ask for and to store then.

    The labels are those that the headers gave before they were changed.

    Raises
    ------
    HttpError
        400 when the scripts reject every file, or a file cannot be rewritten.
    """
    scripts = list(scripts)
    if not scripts:
        return wish, study
    subject, session = subject_label(wish, study), session_label(wish, study)
    variables = {
        "project": project.id if project else "Unassigned",
        "subject": subject,
        "session": session,
    }
    kept: list[tuple[DicomHeader, IncomingFile]] = []
    for series in study.in_order():
        for file in series.files.values():
            header = _rewrite(file, scripts, variables)
            if header is not None:
                kept.append((header, file))
    if not kept:
        raise EmptyStudyError
    (changed,) = group(kept)
    known = project is not None and objects.find_experiment(
        site.store.connection, session, project.id
    )
    asked = replace(
        wish,
        project=project.id if project else wish.project,
        session=session,
        # A session that is there keeps its subject, whatever the headers say.
        subject=wish.subject if known else subject,
    )
    return asked, changed


def _rewrite(
    file: IncomingFile, scripts: list[Script], variables: dict[str, str]
) -> DicomHeader | None:
    """Rewrite one file; return its new header, or None when it is rejected."""
    for script in scripts:
        try:
            with file.path.open("rb") as source:
                content = edit_file(source, script, variables)
        except Exception as error:  # pydicom raises nearly anything on malformed files
            # Its text could hold data, so it is not told; what is not rewritten is not stored.
            raise bad_request(
                "A file cannot be rewritten as the anonymization script wants; nothing was "
                "stored. Mend the file or leave it out."
            ) from error
        if content is None:
            return None
        file.rewrite(content)
    header = read_header(file.path)
    if header is None:
        raise bad_request("After the anonymization script a file is no longer readable as DICOM.")
    return header
