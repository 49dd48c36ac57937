"""What every act on a server needs: the records, their time, and a way to log in.

Not here: any act.
"""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from xnat_client.errors import ConflictError
from xnat_client.session import connect
from xnat_client.sharing import clock
from xnat_client.sharing.check.folder import FolderObservation
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import Server
from xnat_client.sharing.home import Home
from xnat_client.transport_settings import TransportSettings

if TYPE_CHECKING:
    from xnat_client.session import XnatServer

Connector = Callable[[Server], "XnatServer"]


def connector(settings: TransportSettings | None = None) -> Connector:
    """Return what logs in to a server of the records as the service account.

    The password comes from where the client finds passwords (environment, netrc, keyring).
    """

    def log_in(server: Server) -> XnatServer:
        return connect(server.address, server.service_account or None, settings=settings)

    return log_in


@dataclass(frozen=True)
class SharingSite:
    """The records of a site and the way to its servers.

    Attributes
    ----------
    time : callable
        The system's time; the records' own clock never goes back behind what it has seen.
    folders : dict of int to FolderObservation
        What the loop saw of the folders of releases last, so that it reads only what was touched.
    """

    home: Home
    database: Database
    log_in: Connector
    time: Callable[[], datetime] = clock.system_time
    folders: dict[int, FolderObservation] = field(default_factory=dict, compare=False)

    def now(self, session: Session) -> datetime:
        """Return the time of the records."""
        return clock.now(session, self.time)


def service_login(server: Server, opened: XnatServer) -> str:
    """Return the user name of the service account, the only owner of release projects."""
    return server.service_account or opened.account


@contextmanager
def only_one(path: Path, what: str) -> Iterator[None]:
    """Keep a second process of the same kind out, for as long as the block runs.

    The lock is the operating system's: it ends with the process, however that ends.

    Raises
    ------
    ConflictError
        Another process holds it.
    """
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConflictError(
                f"{what} runs already on these records. Wait until it has ended."
            ) from None
        yield
