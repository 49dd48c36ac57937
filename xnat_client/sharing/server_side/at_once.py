"""Closing on the servers in the moment in which the records were closed.

Only where the service account's password is at hand without a question; else, and whenever
something fails, the loop closes in its next cycle. What was recorded stands in any case. Not here:
the closing itself (``publish.close_release``).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from xnat_client.credentials import find_credentials
from xnat_client.errors import UsageError, XnatClientError
from xnat_client.sharing.actors import service
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Release, Server
from xnat_client.sharing.home import Home
from xnat_client.sharing.server_side.publish import close_release
from xnat_client.sharing.server_side.site import Connector, SharingSite, connector
from xnat_client.transport_settings import TransportSettings

_CONNECT_S, _READ_S, _ATTEMPTS = 5.0, 60.0, 2


@dataclass(frozen=True)
class ClosedAtOnce:
    """What became of releases on their servers.

    Attributes
    ----------
    closed : tuple of str
        Names of those that nobody reads any more.
    waiting : tuple of str
        One sentence for each that the loop must close.
    """

    closed: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


def close_at_once(
    home: Home,
    database: Database,
    release_pks: Iterable[int],
    why: str,
    log_in: Connector | None = None,
) -> ClosedAtOnce:
    """Close releases on their servers; never raises for what a server, or its absence, does.

    Parameters
    ----------
    release_pks : iterable of int
        Releases that the records call closed; those never published have nothing to close.
    why : str
        Stands in the audit log.
    log_in : callable or None
        Connects as the service account; None for its password from environment, netrc or keyring.
    """
    closed, waiting = [], []
    for release_pk in release_pks:
        with database.transaction() as session:
            release = session.get_one(Release, release_pk)
            server = session.get_one(Server, release.server)
            name = f"{release.family} {release.version}"
            if release.published_at is None:
                continue
        try:
            site = SharingSite(home, database, log_in or _unasked(server))
            close_release(site, release_pk, service(why))
        except (XnatClientError, OSError) as error:
            waiting.append(f"Release {name}: {_sentence(error)}")
        else:
            closed.append(name)
    return ClosedAtOnce(tuple(closed), tuple(waiting))


def _unasked(server: Server) -> Connector:
    """Return what logs in without asking anybody, and without waiting for long."""
    if not server.service_account:
        raise UsageError(f"Server {server.alias} has no service account on record.")
    find_credentials(server.address, server.service_account, ask=False)
    patience = replace(
        TransportSettings.from_environment(),
        connect_timeout_s=_CONNECT_S,
        read_timeout_s=_READ_S,
        max_attempts=_ATTEMPTS,
    )
    return connector(patience)


def _sentence(error: Exception) -> str:
    return str(error) if isinstance(error, XnatClientError) else type(error).__name__
