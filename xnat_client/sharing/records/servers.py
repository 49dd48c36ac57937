"""The XNAT servers of a site, by short names; one inside the wall, one outside, or one only.

Not here: connecting to them (``xnat_client.session``).
"""

from __future__ import annotations

import re
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.address import check_address
from xnat_client.errors import ConflictError, NotFoundError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import Server
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role, ServerSide

_ALIAS = re.compile(r"[a-z][a-z0-9-]{0,39}")


def add_server(  # noqa: PLR0913, PLR0917  # the fields of the record
    session: Session,
    actor: Actor,
    alias: str,
    address: str,
    side: ServerSide,
    service_account: str,
    *,
    now: datetime,
) -> Server:
    """Name a server.

    Parameters
    ----------
    address : str
        Like ``https://xnat.example.org``; no user name or password in it.
    service_account : str
        User name of the account that alone writes release projects there.

    Raises
    ------
    UsageError
        The name or the address has a wrong form, or the account is missing.
    ConflictError
        Name or address are taken.
    """
    people.require_any_role(session, actor, Role.ADMINISTRATOR, now=now)
    if not _ALIAS.fullmatch(alias):
        raise UsageError(
            "The short name of a server is 1 to 40 lower-case letters, digits and hyphens, a "
            "letter first; choose another."
        )
    if not service_account.strip():
        raise UsageError(f"Server {alias} needs the user name of its service account; give it.")
    normal = check_address(address, allow_http=True)
    taken = session.scalars(sa.select(Server.alias).where(Server.address == normal)).first()
    if session.get(Server, alias) is not None or taken is not None:
        raise ConflictError(
            f"There is a server of that name or address already ({taken or alias}). "
            "One server has one name, or its projects would be watched twice."
        )
    row = Server(alias=alias, address=normal, side=side, service_account=service_account.strip())
    session.add(row)
    session.flush()
    after = {"address": normal, "side": side.value}
    chain.append(session, actor, chain.Change("server.add", "server", alias, {}, after), now=now)
    return row


def server_of(session: Session, alias: str) -> Server:
    """Return a server's record.

    Raises
    ------
    NotFoundError
        The records know no such server.
    """
    row = session.get(Server, alias)
    if row is None:
        raise NotFoundError(
            f"The records know no server {alias}. Name it first (winxnat share server add)."
        )
    return row


def all_servers(session: Session) -> list[Server]:
    """Return all servers, by name."""
    return list(session.scalars(sa.select(Server).order_by(Server.alias)))
