"""``winxnat share person`` and ``directory``: people, roles, accounts, members of the centre.

Not here: signing keys' secrets (``winxnat release key``).
"""

from __future__ import annotations

import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from xnat_client.cli.sharing.acting import Acting, Records, acting, asked, reading, table
from xnat_client.errors import UsageError
from xnat_client.sharing import directory as directory_work
from xnat_client.sharing.database.tables import Person
from xnat_client.sharing.directory import LDAP_ATTRIBUTES, Attributes, Member
from xnat_client.sharing.records import people, studies
from xnat_client.sharing.records.people import NewPerson
from xnat_client.sharing.vocabulary import Role

_STUDY = click.option("--study", "project_id", help="Source project of the study.")
_GIVEN_ROLES = sorted(
    role.value for role in people.SITE_ROLES | people.STUDY_ROLES | people.EITHER_ROLES
)


@click.group(help="People, their roles, accounts and standing.")
def person() -> None:
    """Run ``winxnat share person``."""


@person.command("add", help="Put a person on record who is not in the centre's directory.")
@click.argument("person_id")
@click.option("--name", help="Full name; asked for if not given.")
@click.option("--email", default="", help="Where notices go.")
@click.option("--institution", default="")
@click.option("--orcid", default="")
@acting
def add_person(work: Acting, *, name: str | None, **fields: str) -> None:
    """Run ``winxnat share person add``."""
    name = name or asked("Full name")
    with work.transaction() as (session, now):
        row = people.add_person(session, work.actor, NewPerson(name=name, **fields), now=now)
    work.show({"person": row.person_id}, f"person {row.person_id} is on record")


@person.command("list", help="List the people on record, with their roles now.")
@reading
def list_people(work: Records) -> None:
    """Run ``winxnat share person list``."""
    with work.transaction() as (session, now):
        rows = session.scalars(sa.select(Person).order_by(Person.person_id)).all()
        found = [_described(session, row, now) for row in rows]
    lines = [
        (one["person"], one["name"], "" if one["active"] else "not active", ", ".join(one["roles"]))
        for one in found
    ]
    work.show({"people": found}, table(lines, "nobody yet"))


def _described(session: Any, row: Person, now: datetime) -> dict[str, Any]:
    roles = people.roles_of(session, row.person_id, None, now, everywhere=True)
    return {
        "person": row.person_id,
        "name": row.name,
        "active": row.active,
        "member": row.from_directory,
        "has_key": bool(row.public_key),
        "roles": sorted(role.value for role in roles),
    }


@person.command("give", help="Give a role to a person, for a study or for the site.")
@click.argument("person_id")
@click.argument("given", metavar="ROLE", type=click.Choice(_GIVEN_ROLES))
@_STUDY
@click.option("--until", type=click.DateTime(["%Y-%m-%d"]), help="Day on which it ends (UTC).")
@acting
def give(
    work: Acting,
    *,
    person_id: str,
    given: str,
    project_id: str | None,
    until: datetime | None,
) -> None:
    """Run ``winxnat share person give``."""
    with work.transaction() as (session, now):
        study_pk = studies.study_of(session, project_id).study_pk if project_id else None
        end = until.replace(tzinfo=UTC) if until else None
        people.give_role(session, work.actor, person_id, Role(given), study_pk, now=now, until=end)
    where = f"study {project_id}" if project_id else "the site"
    document = {"person": person_id, "role": given, "study": project_id}
    work.show(document, f"person {person_id} has the role {given} for {where}")


@person.command("end", help="End a role of a person at once.")
@click.argument("person_id")
@click.argument("given", metavar="ROLE", type=click.Choice(_GIVEN_ROLES))
@_STUDY
@acting
def end(work: Acting, *, person_id: str, given: str, project_id: str | None) -> None:
    """Run ``winxnat share person end``."""
    with work.transaction() as (session, now):
        study_pk = studies.study_of(session, project_id).study_pk if project_id else None
        people.end_role(session, work.actor, person_id, Role(given), study_pk, now=now)
    work.show({"person": person_id, "role": given}, f"the role {given} of {person_id} has ended")


@person.command("standing", help="Make a person inactive (no role, no access) or active again.")
@click.argument("person_id")
@click.argument("standing", type=click.Choice(["active", "inactive"]))
@acting
def set_standing(work: Acting, *, person_id: str, standing: str) -> None:
    """Run ``winxnat share person standing``."""
    with work.transaction() as (session, now):
        active = standing == "active"
        changed = people.set_active(session, work.actor, person_id, active=active, now=now)
    document = {"person": person_id, "active": active, "changed": changed}
    work.show(document, f"person {person_id} is {standing}{_already(changed=changed)}")


@person.command("account", help="Record a person's user name on a server.")
@click.argument("person_id")
@click.argument("server")
@click.argument("username")
@acting
def account(work: Acting, *, person_id: str, server: str, username: str) -> None:
    """Run ``winxnat share person account``."""
    with work.transaction() as (session, now):
        changed = people.set_account(session, work.actor, person_id, server, username, now=now)
    document = {"person": person_id, "server": server, "changed": changed}
    work.show(document, f"{person_id} has an account on {server}{_already(changed=changed)}")


def _already(*, changed: bool) -> str:
    return "" if changed else " already; nothing changed"


@click.group(help="Members of the centre, from its directory.")
def directory() -> None:
    """Run ``winxnat share directory``."""


@directory.command(
    "sync",
    help="""Make the records name the same members as the directory.

Give one of --table, --ldif and --ldap. The account that reads LDAP comes from WINXNAT_LDAP_USER
(a distinguished name) and WINXNAT_LDAP_PASS; without them it is read anonymously. Whoever is no
longer named loses the standing of a member at once.""",
)
@click.option("--table", "table_path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ldif", "ldif_path", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--ldap", "ldap_url", help="Address: ldaps://host, or ldap://host (StartTLS).")
@click.option("--base", default="", help="LDAP: below which entry the people are.")
@click.option("--filter", "search_filter", default="(objectClass=person)", show_default=True)
@click.option("--ca-file", default="", help="LDAP: certificates to trust.")
@click.option("--id-field", help="Column or attribute of the identity.")
@click.option("--name-field", help="Column or attribute of the name.")
@click.option("--email-field", help="Column or attribute of the e-mail address.")
@click.option("--username-field", help="Column or attribute of the user name.")
@click.option(
    "--active-field", help="Column or attribute that says who is active; '' if all named are."
)
@click.option("--dry-run", is_flag=True, help="Say what would change.")
@acting
def sync(work: Acting, *, dry_run: bool, **options: Any) -> None:
    """Run ``winxnat share directory sync``."""
    members = _members(options)
    with work.transaction() as (session, now):
        done = directory_work.synchronise(session, work.actor, members, now=now, dry_run=dry_run)
    lines = [
        *(f"joined   {one}" for one in done.joined),
        *(f"left     {one}" for one in done.left),
        *(f"renamed  {one}" for one in done.renamed),
        *(f"waiting  {one}: was made inactive before" for one in done.waiting),
        *(f"account  {one}: the user name is another person's" for one in done.conflicts),
        f"{len(done.joined)} joined, {len(done.left)} left, {done.unchanged} unchanged"
        + (" (nothing was written)" if dry_run else ""),
    ]
    work.show({**asdict(done), "dry_run": dry_run}, "\n".join(lines))


def _members(options: dict[str, Any]) -> list[Member]:
    sources = [name for name in ("table_path", "ldif_path", "ldap_url") if options[name]]
    if len(sources) != 1:
        raise UsageError("Name one directory: --table FILE, --ldif FILE or --ldap ADDRESS.")
    if sources == ["table_path"]:
        return directory_work.read_table(options["table_path"], _attributes(options, Attributes()))
    attributes = _attributes(options, LDAP_ATTRIBUTES)
    if sources == ["ldif_path"]:
        return directory_work.read_ldif(options["ldif_path"], attributes)
    try:
        from xnat_client.sharing.directory_ldap import LdapPlace, read_ldap  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        raise UsageError("Reading LDAP needs winxnat[sharing-ldap]; install it.") from error
    place = LdapPlace(
        options["ldap_url"],
        options["base"],
        options["search_filter"],
        attributes,
        os.environ.get("WINXNAT_LDAP_USER", ""),
        os.environ.get("WINXNAT_LDAP_PASS", ""),
        options["ca_file"],
    )
    return read_ldap(place)


def _attributes(options: dict[str, Any], usual: Attributes) -> Attributes:
    fields = {"id": "person_id", "name": "name", "email": "email", "username": "username"}
    fields["active"] = "active"
    given = {
        target: options[f"{word}_field"]
        for word, target in fields.items()
        if options[f"{word}_field"] is not None
    }
    return Attributes(**{**asdict(usual), **given})
