"""``winxnat release apply``: a thin cover over ``sharing.server_side.publish``.

Not here: the group that names it (``xnat_client.cli.release``).
"""

from __future__ import annotations

from pathlib import Path

import click

from xnat_client.cli.records_options import actor_of, actor_options, home_option, open_records
from xnat_client.cli.server_options import json_option, print_json
from xnat_client.cli.sharing.naming import release_of
from xnat_client.sharing.server_side.publish import Applied, apply_release
from xnat_client.sharing.server_side.site import SharingSite, connector


@click.command(
    help="""Publish an approved release on its server: close first, open last.

The release project is closed, its files are sent and verified while nobody reads it, every guard
is asked again, and then the readers are let in and all of it is read back. What was broken off is
continued by calling again. A release under embargo waits; 'winxnat share watch' publishes it when
the embargo has passed. The same command publishes a resumed release again.

The server is asked as the service account of the records; its password comes from XNAT_USER and
XNAT_PASS, a netrc file, the keyring, or a question. Exit code 4: something is not met, and the
release stays closed."""
)
@click.argument("family")
@click.argument("version")
@click.option("--dry-run", is_flag=True, help="Ask all guards and say what would happen.")
@home_option
@actor_options
@json_option
def apply(  # noqa: PLR0913  # one parameter for each option
    *,
    family: str,
    version: str,
    dry_run: bool,
    home_folder: Path | None,
    person: str,
    role: str,
    reason: str,
    as_json: bool,
) -> None:
    """Run ``winxnat release apply``."""
    home, database = open_records(home_folder)
    site = SharingSite(home, database, connector())
    with database.transaction() as session:
        release_pk = release_of(session, family, version).release_pk
    applied = apply_release(site, release_pk, actor_of(person, role, reason), dry_run=dry_run)
    for warning in applied.warnings:
        click.echo(f"Warning: {warning}", err=True)
    if as_json:
        print_json(_document(family, version, applied, dry_run=dry_run))
    else:
        click.echo(_sentence(f"{family} {version}", applied, dry_run=dry_run))


def _document(family: str, version: str, applied: Applied, *, dry_run: bool) -> dict[str, object]:
    return {
        "family": family,
        "version": version,
        "dry_run": dry_run,
        "state": applied.state.value,
        "opened": applied.opened,
        "accessibility": applied.accessibility.value,
        "files_sent": applied.files_sent,
        "readers": applied.readers,
        "unknown_accounts": applied.unknown_accounts,
        "warnings": list(applied.warnings),
    }


def _sentence(name: str, applied: Applied, *, dry_run: bool) -> str:
    if dry_run:
        what = "be published" if applied.opened else "wait for the end of its embargo"
        return f"Release {name} would {what}; every guard was asked. Nothing was changed."
    if not applied.opened:
        return f"Release {name} is approved and waits for the end of its embargo."
    readers = (
        "everybody who reaches the server"
        if applied.accessibility.value == "public"
        else f"{applied.readers} accounts"
    )
    missing = (
        f"; {applied.unknown_accounts} declared readers have no account on the server"
        if applied.unknown_accounts
        else ""
    )
    return (
        f"Release {name} is {applied.state.value}: {applied.files_sent} files sent and verified, "
        f"read by {readers}{missing}."
    )
