"""The link from participants to release labels: one encrypted file for each family of releases.

It is the only place where source and release labels stand side by side. The file (in the records'
folder) is useless without its key, which is kept elsewhere and is never in the records' folder,
their backups or a log. AES-256 in Galois/Counter Mode encrypts and authenticates; the clear header
(family, state, dates) is authenticated with it [NIST SP 800-38D]. States: *open* while releases
are built, *sealed* after, when only the custodian reads, with a line in the audit log each time,
and *destroyed*, when nobody can. Not here: how labels are drawn (``xnat_client.release.labels``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError, NotAllowedError, NotFoundError
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_file import (
    Link,
    LinkHeader,
    LinkState,
    decrypt,
    encrypt,
    head_of,
    key_path,
    make_key,
    overwrite_and_remove,
    read_header,
    read_key,
    read_table,
    table_path,
    write_whole,
)
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role

__all__ = [
    "Link",
    "LinkHeader",
    "LinkState",
    "LinkTable",
    "destroy_all_due",
    "key_path",
    "read_header",
    "table_path",
]


class LinkTable:
    """The link table of one family of releases; ``create`` or ``open`` one.

    Parameters
    ----------
    path, key_file : Path
        The encrypted table, and the file of its key.
    header : LinkHeader
        What its clear part says.
    links : iterable of Link
        Its lines; empty when it was opened without a key.
    """

    def __init__(
        self, path: Path, key_file: Path, header: LinkHeader, links: Iterable[Link]
    ) -> None:
        self.path = path
        self.key_file = key_file
        self.header = header
        self._links = sorted(links)

    @classmethod
    def create(
        cls, home: Home, family: str, *, now: datetime, destroy_on: date | None = None
    ) -> LinkTable:
        """Make an empty table and its key; a key without a table is taken (see ``make_key``).

        Raises
        ------
        ConflictError
            There is a table of that family already, or no key where its key belongs.
        """
        path, key_file = table_path(home, family), key_path(home, family)
        if path.exists():
            raise ConflictError(f"There is a link table of family {family} already; open it.")
        make_key(key_file, family)
        day = destroy_on.isoformat() if destroy_on else ""
        table = cls(path, key_file, LinkHeader(family, destroy_on=day, changed_at=_text(now)), ())
        table._save()
        return table

    @classmethod
    def open(cls, home: Home, family: str) -> LinkTable:
        """Open a family's table with the key where keys are kept.

        A table that is destroyed opens as what it is, without lines.

        Raises
        ------
        NotFoundError
            There is no table of that family, or its key is not where keys are kept.
        BadInputError
            The key is another table's, or the file was changed.
        """
        path, key_file = table_path(home, family), key_path(home, family)
        header, head, sealed = read_table(path, family)
        if header.state is LinkState.DESTROYED:
            return cls(path, key_file, header, ())
        plain = decrypt(read_key(key_file, family), head, sealed, family)
        return cls(path, key_file, header, [Link(*row) for row in json.loads(plain)])

    @property
    def state(self) -> LinkState:
        """Who can still use it."""
        return self.header.state

    def add(self, subject: str, session: str, label: str) -> None:
        """Add one line; see ``add_all``."""
        self.add_all([Link(subject, session, label)])

    def add_all(self, links: Iterable[Link]) -> None:
        """Add lines and write the file once; lines that are there already change nothing.

        Raises
        ------
        NotAllowedError
            The table is sealed or destroyed.
        ConflictError
            A source has another label already, or a label is another source's.
        """
        self._require_open()
        known = {(one.subject, one.session): one.label for one in self._links}
        users: dict[str, tuple[str, str]] = {
            one.label: (one.subject, one.session) for one in self._links if not one.session
        }
        for link in links:
            source = (link.subject, link.session)
            if known.get(source, link.label) != link.label:
                raise ConflictError(
                    "A source has another release label already; nothing was added."
                )
            if not link.session and users.get(link.label, source) != source:
                raise ConflictError("A release label is another source's; nothing was added.")
            known[source] = link.label
            if not link.session:
                users[link.label] = source
        self._links = sorted(Link(*source, label) for source, label in known.items())
        self._save()

    def labels_of(self, subject: str) -> Mapping[str, str]:
        """Return the labels of a subject while the table is open: session ('' = itself) to label.

        Raises
        ------
        NotAllowedError
            The table is sealed or destroyed; the custodian can look it up.
        """
        self._require_open()
        return {one.session: one.label for one in self._links if one.subject == subject}

    def labels(self) -> frozenset[str]:
        """Return all labels in use, without what they belong to, while the table is open."""
        self._require_open()
        return frozenset(one.label for one in self._links)

    def lookup(
        self, session: Session, actor: Actor, subject: str, participant_pk: int, *, now: datetime
    ) -> Mapping[str, str]:
        """Return a subject's labels to the custodian, and write down that it was done.

        Parameters
        ----------
        session : Session
            The records' transaction, for the audit log.
        subject : str
            The source label; the log names the participant's number instead.

        Raises
        ------
        NotAllowedError
            The actor is not the custodian, or the table is destroyed.
        """
        people.require_any_role(session, actor, Role.CUSTODIAN, now=now)
        self._require_readable()
        self._log(session, actor, "link.lookup", {"participant": participant_pk}, now)
        return {one.session: one.label for one in self._links if one.subject == subject}

    def source_of(
        self, session: Session, actor: Actor, label: str, *, now: datetime
    ) -> tuple[str, str]:
        """Return the source subject and session of a label to the custodian, and log it.

        Raises
        ------
        NotAllowedError
            As ``lookup``.
        NotFoundError
            No line has that label.
        """
        people.require_any_role(session, actor, Role.CUSTODIAN, now=now)
        self._require_readable()
        self._log(session, actor, "link.source", {"label": label}, now)
        for one in self._links:
            if one.label == label:
                return one.subject, one.session
        raise NotFoundError(f"No line of the link table of {self.header.family} has that label.")

    def seal(self, session: Session, actor: Actor, *, now: datetime) -> None:
        """End the building: from now on only the custodian reads."""
        allowed = (Role.CUSTODIAN, Role.SERVICE, Role.STUDY_TEAM, Role.LEAD)
        people.require_any_role(
            session, actor, *allowed, now=now, study_pk=_study_of(session, self.header.family)
        )
        if self.state is LinkState.SEALED:
            return
        self._require_open()
        self._change(session, actor, LinkState.SEALED, now)

    def unseal(self, session: Session, actor: Actor, *, now: datetime) -> None:
        """Open a sealed table for another version of the family; the custodian alone may."""
        people.require_any_role(session, actor, Role.CUSTODIAN, now=now)
        self._require_readable()
        if self.state is LinkState.SEALED:
            self._change(session, actor, LinkState.OPEN, now)

    def destroy(self, session: Session, actor: Actor, *, now: datetime) -> None:
        """Overwrite and remove key and table, and leave a header that says so.

        Copies of the table in backups cannot be read once no copy of the key is left. A disk may
        keep what was overwritten (copy-on-write, wear levelling): keep keys on an encrypted one.
        """
        due = self.is_due(now)
        allowed = (Role.CUSTODIAN, Role.SERVICE) if due else (Role.CUSTODIAN,)
        people.require_any_role(session, actor, *allowed, now=now)
        if self.state is LinkState.DESTROYED:
            return
        self._log(session, actor, "link.destroy", {"state": LinkState.DESTROYED.value}, now)
        # The key first: if this is broken off, what remains cannot be read.
        overwrite_and_remove(self.key_file)
        overwrite_and_remove(self.path)
        self._links = []
        self.header = replace(self.header, state=LinkState.DESTROYED, changed_at=_text(now))
        write_whole(self.path, head_of(self.header))

    def destroy_when_due(self, session: Session, actor: Actor, *, now: datetime) -> bool:
        """Destroy the table if its day has come; return whether it was destroyed now."""
        if self.state is LinkState.DESTROYED or not self.is_due(now):
            return False
        self.destroy(session, actor, now=now)
        return True

    def is_due(self, now: datetime) -> bool:
        """Tell whether the declared day of destruction has come (UTC)."""
        day = self.header.destroy_on
        return bool(day) and now.date() >= date.fromisoformat(day)

    def _change(self, session: Session, actor: Actor, state: LinkState, now: datetime) -> None:
        self._log(session, actor, f"link.{state.value}", {"state": state.value}, now)
        self.header = replace(self.header, state=state, changed_at=_text(now))
        self._save()

    def _log(
        self,
        session: Session,
        actor: Actor,
        action: str,
        after: Mapping[str, object],
        now: datetime,
    ) -> None:
        before = {"state": self.state.value}
        change = chain.Change(action, "link-table", self.header.family, before, after)
        chain.append(session, actor, change, now=now)

    def _require_readable(self) -> None:
        if self.state is LinkState.DESTROYED:
            raise NotAllowedError(
                f"The link table of family {self.header.family} was destroyed; "
                "nobody can tell any more whom a label belongs to."
            )

    def _require_open(self) -> None:
        self._require_readable()
        if self.state is LinkState.SEALED:
            raise NotAllowedError(
                f"The link table of family {self.header.family} is sealed. "
                "Ask the custodian to look a participant up, or to open it for a new version."
            )

    def _save(self) -> None:
        head = head_of(self.header)
        rows = [[one.subject, one.session, one.label] for one in self._links]
        plain = json.dumps(rows, ensure_ascii=False).encode()
        key = read_key(self.key_file, self.header.family)
        write_whole(self.path, head + encrypt(key, head, plain))


def destroy_all_due(session: Session, home: Home, *, now: datetime) -> list[str]:
    """Destroy every table whose declared day has come, as the service, and name the families.

    No key is needed for it: a table whose key is lost is destroyed too.
    """
    destroyed: list[str] = []
    for path in sorted(home.link_tables_dir.glob("*.links")):
        family = path.stem
        table = LinkTable(path, key_path(home, family), read_header(home, family), ())
        actor = service(f"the day declared for the link table of {family} has come")
        if table.destroy_when_due(session, actor, now=now):
            destroyed.append(family)
    return destroyed


def _text(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def _study_of(session: Session, family: str) -> int | None:
    return session.scalars(sa.select(Release.study_pk).where(Release.family == family)).first()
