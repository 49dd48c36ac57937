"""``winxnat share study``: source projects, their leads and what is known of them.

Not here: who else has a role in a study (``people``), consent (``consent``).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.errors import UsageError
from xnat_client.sharing.database.tables import Study
from xnat_client.sharing.records import studies
from xnat_client.sharing.records.studies import StudyFacts
from xnat_client.sharing.vocabulary import DataType

_SERVER = click.option("--server", help="Short name of its server, where several have it.")


def _fact_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option(
            "--data-type",
            "data_types",
            multiple=True,
            type=click.Choice([kind.value for kind in DataType]),
            help="A kind of data that the study collects; may be given several times.",
        ),
        click.option(
            "--retention",
            type=click.DateTime(["%Y-%m-%d"]),
            help="Day until which the source data are kept.",
        ),
        click.option("--dpia", default="", help="Reference of the data protection assessment."),
        click.option("--ethics", default="", help="Reference of the ethics approval."),
    ):
        command = option(command)
    return command


def _facts(
    ethics: str, dpia: str, retention: datetime | None, data_types: tuple[str, ...]
) -> StudyFacts:
    kinds = tuple(DataType(kind) for kind in data_types)
    return StudyFacts(ethics, dpia, retention.date() if retention else None, kinds)


@click.group(help="Source projects and their leads.")
def study() -> None:
    """Run ``winxnat share study``."""


@study.command("add", help="Put a source project on record as a study.")
@click.argument("project_id")
@click.option("--server", required=True, help="Short name of its server.")
@click.option("--lead", required=True, help="Directory identity of the research lead.")
@_fact_options
@acting
def add(work: Acting, *, project_id: str, server: str, lead: str, **facts: Any) -> None:
    """Run ``winxnat share study add``."""
    with work.transaction() as (session, now):
        row = studies.register(
            session, work.actor, server, project_id, lead, _facts(**facts), now=now
        )
        found = _described(row)
    work.show(found, f"study {row.study_pk} is project {row.project_id} of server {row.server}")


@study.command("update", help="Add what is known now to a study's record.")
@click.argument("project_id")
@_SERVER
@_fact_options
@acting
def update(work: Acting, *, project_id: str, server: str | None, **facts: Any) -> None:
    """Run ``winxnat share study update``."""
    if not any(facts.values()):
        raise UsageError(
            f"There is nothing to change for {project_id}: give what is known now with --ethics, "
            "--dpia, --retention or --data-type."
        )
    with work.transaction() as (session, now):
        row = studies.study_of(session, project_id, server)
        changed = studies.update(session, work.actor, row.study_pk, _facts(**facts), now=now)
        found = _described(row)
    page = _page(found) if changed else f"nothing changed; it is on record already\n{_page(found)}"
    work.show({**found, "changed": changed}, page)


@study.command("lead", help="Hand a study to another lead.")
@click.argument("project_id")
@click.argument("lead")
@_SERVER
@acting
def set_lead(work: Acting, *, project_id: str, lead: str, server: str | None) -> None:
    """Run ``winxnat share study lead``."""
    with work.transaction() as (session, now):
        row = studies.study_of(session, project_id, server)
        changed = studies.set_lead(session, work.actor, row.study_pk, lead, now=now)
        found = _described(row)
    text = f"the lead of {project_id} is {lead}{'' if changed else ' already; nothing changed'}"
    work.show({**found, "changed": changed}, text)


@study.command("show", help="Show what is on record of a study.")
@click.argument("project_id")
@_SERVER
@reading
def show(work: Records, *, project_id: str, server: str | None) -> None:
    """Run ``winxnat share study show``."""
    with work.transaction() as (session, _):
        found = _described(studies.study_of(session, project_id, server))
    work.show(found, _page(found))


@study.command("list", help="List the studies.")
@reading
def list_studies(work: Records) -> None:
    """Run ``winxnat share study list``."""
    with work.transaction() as (session, _):
        found = [_described(row) for row in studies.all_studies(session)]
    rows = [(one["study"], one["server"], one["project"], one["lead"]) for one in found]
    work.show({"studies": found}, table(rows, "no studies yet"))


def _described(row: Study) -> dict[str, Any]:
    return {
        "study": row.study_pk,
        "server": row.server,
        "project": row.project_id,
        "lead": row.lead_id,
        "ethics": row.ethics_reference,
        "dpia": row.dpia_reference,
        "retention": row.retention_until.isoformat() if row.retention_until else "",
        "data_types": list(row.data_types),
    }


def _page(found: dict[str, Any]) -> str:
    shown = {**found, "data_types": ", ".join(found["data_types"])}
    return table([(name, value or "not known") for name, value in shown.items()], "")
