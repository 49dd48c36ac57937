"""``winxnat share check``: what a project, or one of its releases, lacks for a level.

Not here: the prerequisites (``sharing.levels``), their evaluation (``sharing.check``).
"""

from __future__ import annotations

import click
from sqlalchemy.orm import Session

from xnat_client.cli.sharing import findings
from xnat_client.cli.sharing.acting import Records, reading
from xnat_client.cli.sharing.naming import release_named
from xnat_client.errors import EXIT_DONE, EXIT_UNSAFE, UsageError
from xnat_client.sharing import evidence
from xnat_client.sharing.check import check_project, check_release, old_evidence
from xnat_client.sharing.check.folder import FolderObservation, observe
from xnat_client.sharing.database.tables import Release, Study
from xnat_client.sharing.finding import Finding, blocking
from xnat_client.sharing.records import studies
from xnat_client.sharing.vocabulary import Level

_LEVELS = [level.word for level in Level]


@click.command(
    help="""Say what PROJECT lacks for a sharing level: what, who must act, what to do.

With --release the files, evidence and approvals of that release are looked at; without, all
participants of the study count as if they were in a release, and what only a release can show is
unknown. Unknown counts as not met. Nothing is changed. Exit code 0: nothing stands in the way; 4:
something does."""
)
@click.argument("project")
@click.option("--level", "word", type=click.Choice(_LEVELS), required=True, help="For whom.")
@click.option("--release", "name", help="A release of the project: FAMILY/VERSION.")
@click.option("--server", help="Short name of the project's server, if several have it.")
@reading
def check(
    records: Records, *, project: str, word: str, name: str | None, server: str | None
) -> int:
    """Run ``winxnat share check``."""
    level = Level.from_word(word)
    seen, checks = _observe(records, name), ""
    with records.transaction() as (session, now):
        study = studies.study_of(session, project, server)
        if name is None:
            found = check_project(session, records.home, study, level, now=now)
        else:
            release = _release_of(session, study, name)
            checks = old_evidence.status(session, release, now)
            found = check_release(session, records.home, release, level, now=now, folder=seen)
    if checks:
        click.echo(checks, err=True)
    _show(records, project, level, name, found)
    return EXIT_UNSAFE if blocking(found) else EXIT_DONE


def _observe(records: Records, name: str | None) -> FolderObservation | None:
    """Read the files before the transaction, which keeps everybody else out."""
    if name is None:
        return None
    with records.transaction() as (session, _):
        folder = evidence.release_folder(records.home, release_named(session, name))
    return observe(folder)


def _release_of(session: Session, study: Study, name: str) -> Release:
    release = release_named(session, name)
    if release.study_pk != study.study_pk:
        raise UsageError(f"Release {name} is not one of project {study.project_id}.")
    return release


def _show(
    records: Records,
    project: str,
    level: Level,
    name: str | None,
    found: list[Finding],
) -> None:
    document = {
        "project": project,
        "release": name,
        "level": level.word,
        "met": not blocking(found),
        "findings": [findings.document_of(one) for one in found],
    }
    what = f"release {name} of project {project}" if name else f"project {project}"
    lines = [
        f"For level {level.word}, {what}:",
        *findings.lines_of(found),
        findings.verdict_of(found),
    ]
    records.show(document, "\n".join(lines))
