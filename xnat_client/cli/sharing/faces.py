"""``winxnat deface decisions``: a person's decisions on defaced images into the records."""

from __future__ import annotations

from pathlib import Path

import click

from xnat_client.cli.sharing.acting import Acting, acting
from xnat_client.faces.decisions import as_row, read_review
from xnat_client.sharing.records import statements, studies


@click.command(
    help="""Record, as the steward, the decisions in FILE on the defaced images of a study.

FILE is what the page of winxnat deface review saved. An image that is rejected blocks every release
that holds it, until the statement is revoked (winxnat share state revoke). Accepting an image never
lifts a verdict of the check."""
)
@click.argument("path", metavar="FILE", type=click.Path(exists=True, dir_okay=False,
                path_type=Path))  # fmt: skip
@click.option("--project", "project_id", required=True, help="ID of the study's project.")
@click.option("--server", help="Short name of the study's server, where several have it.")
@acting
def decisions(work: Acting, *, path: Path, project_id: str, server: str | None) -> None:
    """Run ``winxnat deface decisions``."""
    review = read_review(path)
    with work.transaction() as (session, now):
        study_pk = studies.study_of(session, project_id, server).study_pk
        row = statements.state(session, work.actor, study_pk, "faces", review.text, now=now)
        number = row.statement_pk
    document = {
        "statement": number,
        "reviewer": review.reviewer,
        "decisions": [as_row(each) for each in review.decisions],
    }
    work.show(
        document,
        f"statement {number} is on record: {len(review.accepted)} images accepted, "
        f"{len(review.rejected)} rejected",
    )
