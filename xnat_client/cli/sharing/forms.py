"""``winxnat share form``: consent forms and what they allow.

Not here: what participants signed (``consent``).
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.sharing import withdrawal
from xnat_client.sharing.database.tables import ConsentForm
from xnat_client.sharing.records import forms

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(help="Consent forms and what they allow.")
def form() -> None:
    """Run ``winxnat share form``."""


@form.command(
    "add", help="Put the forms of a scope map on record; none counts before it is accepted."
)
@click.argument("file", type=_FILE)
@acting
def add_forms(work: Acting, *, file: Path) -> None:
    """Run ``winxnat share form add``."""
    scopes = forms.read_scopes(file)
    with work.transaction() as (session, now):
        for scope in scopes:
            forms.add_form(session, work.actor, scope, now=now)
    names = [f"{scope.form_id} {scope.version}" for scope in scopes]
    text = "\n".join(f"on record: {name}" for name in names)
    work.show(
        {"forms": names}, f"{text}\nThe officer accepts each with 'winxnat share form accept'."
    )


@form.command("accept", help="Accept a version of a form as sufficient; the officer decides.")
@click.argument("form_id")
@click.argument("version")
@acting
def accept_form(work: Acting, *, form_id: str, version: str) -> None:
    """Run ``winxnat share form accept``."""
    with work.transaction() as (session, now):
        forms.set_accepted(session, work.actor, form_id, version, accepted=True, now=now)
    document = {"form": form_id, "version": version, "accepted": True}
    work.show(document, f"consents on form {form_id} {version} count now")


@form.command(
    "reject",
    help="""Judge a version of a form insufficient; the officer decides.

Consents on it count as unknown from now on, and every release that rests on them is closed.""",
)
@click.argument("form_id")
@click.argument("version")
@acting
def reject_form(work: Acting, *, form_id: str, version: str) -> None:
    """Run ``winxnat share form reject``."""
    with work.transaction() as (session, now):
        forms.set_accepted(session, work.actor, form_id, version, accepted=False, now=now)
        releases = forms.releases_on(session, form_id, version)
        closed = withdrawal.enforce(session, work.home, now=now)
    document = {
        "form": form_id,
        "version": version,
        "accepted": False,
        "releases": releases,
        "closed": [asdict(one) for one in closed],
    }
    lines = [f"consents on form {form_id} {version} do not count any more"]
    lines += [f"release {one.name}: {one.effect.value}" for one in closed]
    work.show(document, "\n".join(lines))


@form.command("list", help="List the forms on record.")
@reading
def list_forms(work: Records) -> None:
    """Run ``winxnat share form list``."""
    with work.transaction() as (session, _):
        found = [_form(row) for row in forms.all_forms(session)]
    rows = [
        (one["form"], one["version"], "accepted" if one["accepted"] else "not accepted",
         one["level"], ", ".join(one["data_types"]), ", ".join(one["duo_codes"]))
        for one in found
    ]  # fmt: skip
    work.show({"forms": found}, table(rows, "no forms yet"))


def _form(row: ConsentForm) -> dict[str, Any]:
    return {
        "form": row.form_id,
        "version": row.version,
        "accepted": row.accepted,
        "level": row.highest_level.word,
        "data_types": list(row.data_types),
        "duo_codes": list(row.duo_codes),
        "purpose_review": row.purpose_review,
    }
