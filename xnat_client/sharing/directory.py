"""Members of the centre, as its directory names them: a table, an LDIF file, or LDAP.

Whoever is no longer named has no access from then on, and whoever is named without being said to
be active is not. Not here: people from elsewhere (``records.people``), LDAP itself
(``directory_ldap``).
"""

from __future__ import annotations

import base64
import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Account, Person
from xnat_client.sharing.records import people, servers
from xnat_client.sharing.vocabulary import Role

_ACTIVE = {"1": True, "true": True, "yes": True, "active": True}
_INACTIVE = {"0": False, "false": False, "no": False, "inactive": False}


@dataclass(frozen=True)
class Member:
    """A person as a directory names them.

    Attributes
    ----------
    person_id : str
        Identity that stays with the person for life.
    name, email : str
        For notices and receipts.
    active : bool
        Whether the directory says so.
    username : str
        User name on the servers of the site; empty where it is not known.
    """

    person_id: str
    name: str
    email: str = ""
    active: bool = True
    username: str = ""


@dataclass(frozen=True)
class Attributes:
    """Which column or attribute holds what; compared without regard to capitals.

    An empty ``active`` says that the directory lists active people only.
    """

    person_id: str = "person_id"
    name: str = "name"
    email: str = "email"
    username: str = "username"
    active: str = "active"


LDAP_ATTRIBUTES = Attributes("uid", "cn", "mail", "uid", "")
"""How an LDAP directory of people usually names them (RFC 4519, RFC 2798)."""


@dataclass(frozen=True)
class Synchronised:
    """What a synchronisation changed, as persons' identities.

    Attributes
    ----------
    joined, left, renamed : tuple of str
        Who became a member, who is none any more, whose name or address is another.
    unchanged : int
        How many others there are.
    conflicts : tuple of str
        Members whose user name is another person's; they were left without one.
    waiting : tuple of str
        Members who were made inactive before: an administrator decides whether they come back.
    """

    joined: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    unchanged: int = 0
    conflicts: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def read_table(path: Path, attributes: Attributes | None = None) -> list[Member]:
    """Read a directory from a table (CSV) with a heading.

    Raises
    ------
    BadInputError
        It is no such table, lacks a column, or names somebody twice.
    """
    text = _text_of(path)
    names = attributes or Attributes()
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().casefold() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(row)]
    except csv.Error as error:
        raise BadInputError(f"{path.name} is no well-formed table. Export it again.") from error
    needed = [names.person_id, names.name, *([names.active] if names.active else [])]
    missing = [name for name in needed if name.casefold() not in header]
    if missing or len(set(header)) != len(header):
        raise BadInputError(
            f"{path.name} lacks the columns {', '.join(missing) or 'of a table without doubles'}. "
            "Name the columns of your table."
        )
    odd = [number for number, row in rows if len(row) != len(header)]
    if odd:
        raise BadInputError(f"Line {odd[0]} of {path.name} has more or fewer cells than the head.")
    entries = [{name: [cell] for name, cell in zip(header, row, strict=True)} for _, row in rows]
    return members_of(entries, names, path.name)


def read_ldif(path: Path, attributes: Attributes = LDAP_ATTRIBUTES) -> list[Member]:
    """Read a directory from LDIF content records (RFC 2849); other records are refused.

    Raises
    ------
    BadInputError
        It is no LDIF of entries, or names somebody twice.
    """
    return members_of(list(_ldif_entries(_text_of(path), path.name)), attributes, path.name)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path.name} cannot be read as UTF-8 text.") from error


def _ldif_entries(text: str, where: str) -> Iterator[dict[str, list[str]]]:
    unfolded = text.replace("\r\n", "\n").replace("\n ", "")
    for block in unfolded.split("\n\n"):
        lines = [line for line in block.split("\n") if line and not line.startswith("#")]
        lines = [line for line in lines if not line.casefold().startswith("version:")]
        if not lines:
            continue
        entry: dict[str, list[str]] = {}
        for line in lines:
            name, value = _ldif_value(line, where)
            entry.setdefault(name, []).append(value)
        if "dn" not in entry or "changetype" in entry:
            raise BadInputError(
                f"{where} holds something else than entries of people. "
                "Export the entries themselves, not changes."
            )
        yield entry


def _ldif_value(line: str, where: str) -> tuple[str, str]:
    name, colon, rest = line.partition(":")
    if not colon or rest.startswith("<"):
        raise BadInputError(f"{where} has a line that is no attribute with a value.")
    # An attribute may carry options, as in cn;lang-en.
    name = name.partition(";")[0].strip().casefold()
    if not rest.startswith(":"):
        return name, rest.strip()
    try:
        return name, base64.b64decode(rest[1:].strip(), validate=True).decode("utf-8")
    except ValueError:
        return name, ""  # a picture or certificate, which says nothing here


def members_of(
    entries: Iterable[Mapping[str, list[str]]], names: Attributes, where: str
) -> list[Member]:
    """Return the members that entries of a directory describe.

    Parameters
    ----------
    entries : iterable of mapping
        Attribute in lower case to its values.

    Raises
    ------
    BadInputError
        There is nobody, somebody twice, or an identity or a name is missing.
    """
    members = [_member(entry, names, where) for entry in entries]
    if not members:
        raise BadInputError(
            f"{where} names nobody. If that were believed, all members would lose their access; "
            "look at the export."
        )
    identities = [member.person_id for member in members]
    if len(set(identities)) != len(identities):
        raise BadInputError(f"{where} names a person twice. Every identity must be one person's.")
    return members


def _member(entry: Mapping[str, list[str]], names: Attributes, where: str) -> Member:
    def first(name: str) -> str:
        values = entry.get(name.casefold(), []) if name else []
        return values[0].strip() if values else ""

    person_id, name = first(names.person_id), first(names.name)
    if not person_id or not name or len(person_id) > 80:  # noqa: PLR2004  # as the table
        raise BadInputError(
            f"{where} has an entry without '{names.person_id}' or '{names.name}'. "
            "Leave out of the export what is no person."
        )
    active = True
    if names.active:
        active = (_ACTIVE | _INACTIVE).get(first(names.active).casefold(), False)
    return Member(person_id, name, first(names.email), active, first(names.username))


@dataclass
class _Changes:
    joined: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    renamed: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    unchanged: int = 0

    def done(self) -> Synchronised:
        return Synchronised(
            tuple(sorted(self.joined)),
            tuple(sorted(self.left)),
            tuple(sorted(self.renamed)),
            self.unchanged,
            tuple(sorted(set(self.conflicts))),
            tuple(sorted(self.waiting)),
        )


def synchronise(
    session: Session,
    actor: Actor,
    members: Iterable[Member],
    *,
    now: datetime,
    dry_run: bool = False,
) -> Synchronised:
    """Make the records name the same members as the directory.

    Persons who are no longer named, or not as active, stay on record without any standing: their
    roles and grants do not count. Nobody is deleted, and nobody who was made inactive comes back
    by this alone.

    Parameters
    ----------
    dry_run : bool
        Whether nothing is written; the result says what would be.
    """
    people.require_any_role(session, actor, Role.ADMINISTRATOR, Role.SERVICE, now=now)
    members = list(members)
    known = {row.person_id: row for row in session.scalars(sa.select(Person))}
    changes = _Changes()
    named: set[str] = set()
    for member in members:
        named.add(member.person_id)
        row = known.get(member.person_id)
        if row is None and member.active:
            changes.joined.append(member.person_id)
        elif row is not None:
            _compare(row, member, changes)
        if not dry_run:
            _write(session, row, member)
    for person_id in sorted(known.keys() - named):
        if known[person_id].from_directory:
            changes.left.append(person_id)
            if not dry_run:
                known[person_id].from_directory = known[person_id].active = False
    if not dry_run:
        session.flush()
        _set_accounts(session, [one for one in members if one.active], changes)
        _log(session, actor, changes.done(), now)
    return changes.done()


def _compare(row: Person, member: Member, changes: _Changes) -> None:
    was = row.from_directory and row.active
    if member.active and not row.active:
        changes.waiting.append(row.person_id)
    elif member.active and not was:
        changes.joined.append(row.person_id)
    elif was and not member.active:
        changes.left.append(row.person_id)
    elif was and (row.name, row.email) != (member.name, member.email or row.email):
        changes.renamed.append(row.person_id)
    else:
        changes.unchanged += 1


def _write(session: Session, row: Person | None, member: Member) -> None:
    if row is None:
        if not member.active:
            return
        row = Person(person_id=member.person_id, name=member.name)
        session.add(row)
    if member.active:
        row.name, row.email = member.name, member.email or row.email or ""
    elif row.from_directory:
        row.active = False
    row.from_directory = member.active


def _set_accounts(session: Session, members: Iterable[Member], changes: _Changes) -> None:
    accounts = {
        (one.server, one.username): one.person_id for one in session.scalars(sa.select(Account))
    }
    has = {(server, person) for (server, _), person in accounts.items()}
    for server in servers.all_servers(session):
        for member in members:
            owner = accounts.get((server.alias, member.username))
            if not member.username or owner == member.person_id:
                continue
            # A user name that was given by hand stays: the directory's is only where there is none.
            if owner is not None or member.username == server.service_account:
                changes.conflicts.append(member.person_id)
            elif (server.alias, member.person_id) not in has:
                session.add(
                    Account(
                        server=server.alias,
                        username=member.username,
                        person_id=member.person_id,
                    )
                )
                accounts[server.alias, member.username] = member.person_id
    session.flush()


def _log(session: Session, actor: Actor, done: Synchronised, now: datetime) -> None:
    if not (done.joined or done.left or done.renamed):
        return
    after = {"joined": list(done.joined), "left": list(done.left), "renamed": len(done.renamed)}
    change = chain.Change("directory.synchronise", "directory", "members", {}, after)
    chain.append(session, actor, change, now=now)
