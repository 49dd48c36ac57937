"""``winxnat share criteria``: the list that counts, and releases that an older one checked.

Not here: the criteria themselves (the step ``check-identity``), their adoption (``records``).
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.cli.sharing.naming import release_of
from xnat_client.sharing.check import old_evidence
from xnat_client.sharing.check.freshness import version_now
from xnat_client.sharing.records import criteria as criteria_records
from xnat_client.sharing.records import old_checks


@click.group(help="The list of de-identification criteria that counts here.")
def criteria() -> None:
    """Run ``winxnat share criteria``."""


@criteria.command("adopt", help="Make a list the one that counts: the shipped one, or a FILE.")
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@acting
def adopt_criteria(work: Acting, *, file: Path | None) -> None:
    """Run ``winxnat share criteria adopt``."""
    found = criteria_records.read_criteria(file or criteria_records.shipped_path())
    with work.transaction() as (session, now):
        row = criteria_records.adopt(session, work.actor, found, now=now)
    document = {"version": row.version, "sha256": row.sha256}
    work.show(document, f"criteria {row.version} count from now on")


@criteria.command("show", help="Say which list counts.")
@reading
def show_criteria(work: Records) -> None:
    """Run ``winxnat share criteria show``."""
    with work.transaction() as (session, _):
        row = criteria_records.current(session)
    if row is None:
        work.show({"version": None}, "no list of criteria is adopted yet")
        return
    document = {"version": row.version, "sha256": row.sha256, "adopted_by": row.adopted_by}
    work.show(document, f"criteria {row.version}, adopted by {row.adopted_by}")


@criteria.command("accept")
@click.argument("family")
@click.argument("version")
@click.option(
    "--until",
    type=click.DateTime(["%Y-%m-%d"]),
    required=True,
    help="Last day (UTC), a year from now at most.",
)
@acting
def accept_old(work: Acting, *, family: str, version: str, until: datetime) -> None:
    """Accept, as officer, that a published release stays as it was checked, until a day.

    It counts for the criteria and the version of the checks that are in force now; when either
    changes again, it is needed again. It never counts for changed files, nor for an open release
    that was last checked more than a year ago.
    """
    with work.transaction() as (session, now):
        row = release_of(session, family, version)
        old_checks.accept(session, work.actor, row, until.date(), version_now(), now=now)
        said = old_evidence.status(session, row, now)
    document = {"family": family, "version": version, "until": until.date().isoformat()}
    work.show({**document, "status": said}, f"release {family} {version}: {said or 'up to date'}")


@criteria.command("revoke-acceptance")
@click.argument("family")
@click.argument("version")
@acting
def revoke_old(work: Acting, *, family: str, version: str) -> None:
    """Take back, as officer, what 'accept' said of a release."""
    with work.transaction() as (session, now):
        row = release_of(session, family, version)
        count = old_checks.revoke(session, work.actor, row, now=now)
    document = {"family": family, "version": version, "revoked": count}
    work.show(document, f"nothing is accepted of release {family} {version} any more")


@criteria.command("affected")
@reading
def affected(work: Records) -> None:
    """List published releases that were checked by older criteria or checks, or too long ago."""
    with work.transaction() as (session, now):
        found = [
            {"family": row.family, "version": row.version, "level": row.level.word, "status": what}
            for row, what in old_evidence.affected(session, now)
        ]
    rows = [tuple(one.values()) for one in found]
    work.show({"releases": found}, table(rows, "no published release is affected"))
