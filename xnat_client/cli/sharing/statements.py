"""``winxnat share state``: statements of named persons, where no machine can decide.

Not here: which level needs which statement (``check``).
"""

from __future__ import annotations

from typing import Any

import click

from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.sharing.database.tables import Statement
from xnat_client.sharing.levels import PREREQUISITES
from xnat_client.sharing.records import statements, studies
from xnat_client.sharing.records.rights import Rights

_KEYS = {one.number: one.key for one in PREREQUISITES}
_SERVER = click.option("--server", help="Short name of the study's server, where several have it.")


@click.group(help="Statements of named persons, where no machine can decide.")
def state() -> None:
    """Run ``winxnat share state``."""


_WHAT = {
    "dpia": "State, as the officer, that the data protection assessment covers this.",
    "risk": "State, as the officer, the risk that somebody is identified.",
    "terms": "State, as lead or steward, under which terms the named people read.",
    "faces": "State, as the steward, that the doubtful head images were looked at.",
    "embargo": "State, as an approver, that the embargo is waived.",
}


def _add_command(prerequisite: str) -> None:
    @state.command(prerequisite, help=_WHAT[prerequisite])
    @click.argument("project_id")
    @click.option("--text", required=True, help="In your words; no participant in it.")
    @click.option("--release", "release_pk", type=int, help="Number of the release it is about.")
    @_SERVER
    @acting
    def make(
        work: Acting,
        *,
        project_id: str,
        text: str,
        release_pk: int | None,
        server: str | None,
    ) -> None:
        _state(work, prerequisite, (project_id, server), text, release_pk)


def _state(
    work: Acting,
    prerequisite: str,
    project: tuple[str, str | None],
    text: str,
    release_pk: int | None,
) -> None:
    with work.transaction() as (session, now):
        study_pk = studies.study_of(session, *project).study_pk
        row = statements.state(
            session, work.actor, study_pk, prerequisite, text, now=now, release_pk=release_pk
        )
    work.show(_described(row), f"statement {row.statement_pk} on {prerequisite} is on record")


for _key in _WHAT:
    _add_command(_key)


@state.command("rights", help="State, as the lead, the rights in the data: three answers.")
@click.argument("project_id")
@click.option(
    "--intellectual-property",
    required=True,
    help="Who owns the data and what is in them, and that they may be shared.",
)
@click.option(
    "--third-party-data",
    required=True,
    help="Data, stimuli or software of others in them, and under which terms; or that none are.",
)
@click.option(
    "--export-control",
    required=True,
    help="Whether export control or sanctions touch them; or why they do not.",
)
@click.option("--release", "release_pk", type=int, help="Number of the release it is about.")
@_SERVER
@acting
def state_rights(  # noqa: PLR0913  # one parameter for each option
    work: Acting,
    *,
    project_id: str,
    intellectual_property: str,
    third_party_data: str,
    export_control: str,
    release_pk: int | None,
    server: str | None,
) -> None:
    """Run ``winxnat share state rights``."""
    rights = Rights(intellectual_property, third_party_data, export_control)
    _state(work, "rights", (project_id, server), rights.text, release_pk)


@state.command("list", help="List the statements on a study.")
@click.argument("project_id")
@_SERVER
@reading
def list_statements(work: Records, *, project_id: str, server: str | None) -> None:
    """Run ``winxnat share state list``."""
    with work.transaction() as (session, _):
        study_pk = studies.study_of(session, project_id, server).study_pk
        found = [_described(row) for row in statements.all_of(session, study_pk)]
    rows = [
        (one["statement"], one["prerequisite"], one["made_at"][:10], one["person"],
         "revoked" if one["revoked"] else "", " ".join(one["text"].splitlines()))
        for one in found
    ]  # fmt: skip
    work.show({"statements": found}, table(rows, "no statements yet"))


@state.command("revoke", help="Take a statement back.")
@click.argument("statement_pk", metavar="NUMBER", type=int)
@acting
def revoke(work: Acting, *, statement_pk: int) -> None:
    """Run ``winxnat share state revoke``."""
    with work.transaction() as (session, now):
        statements.revoke(session, work.actor, statement_pk, now=now)
    work.show({"statement": statement_pk, "revoked": True}, f"statement {statement_pk} is revoked")


def _described(row: Statement) -> dict[str, Any]:
    return {
        "statement": row.statement_pk,
        "prerequisite": _KEYS[row.prerequisite],
        "release": row.release_pk,
        "person": row.person_id,
        "role": row.role.value,
        "text": row.text,
        "made_at": row.made_at.isoformat(timespec="seconds"),
        "revoked": row.revoked_at is not None,
    }
