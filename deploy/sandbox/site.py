"""The running site: settings, properties, database, people, sessions. Handlers get it whole.

Not here: HTTP. Site properties are XNAT's, with XNAT's defaults.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from deploy.sandbox.datatypes import load_data_types
from deploy.sandbox.file_changes import recover_files
from deploy.sandbox.folders import recover_folders
from deploy.sandbox.people import ADMINISTRATOR, People
from deploy.sandbox.prearchive_rows import recover_prearchive
from deploy.sandbox.remembered import Remembered
from deploy.sandbox.rights import Rights
from deploy.sandbox.store import Store
from deploy.sandbox.web_sessions import WebSessions

if TYPE_CHECKING:
    from deploy.sandbox.dicom_receiver import Receivers
    from deploy.sandbox.people import User
    from deploy.sandbox.resource_rows import Resource
    from deploy.sandbox.runner import Runner
    from deploy.sandbox.settings import Settings
    from deploy.sandbox.targets import Owner
    from deploy.sandbox.upload_batches import UploadBatches

XNAT_VERSION = "1.9.2"
"""The XNAT release whose contract the sandbox follows; clients ask for it."""

PROPERTY_DEFAULTS: dict[str, Any] = {
    "siteId": "XNAT",
    "siteUrl": "",
    "processingUrl": "",
    "requireLogin": True,
    "userRegistration": False,
    "emailVerification": True,
    "par": True,
    "restrictUserListAccessToAdmins": False,
    "uiAllowNonAdminProjectCreation": True,
    "securityAllowNonPrivateProjects": True,
    "uiAllowProjectDelete": True,
    "enableCsrfToken": True,
    "sessionTimeout": "15 minutes",
    "aliasTokenTimeout": "2 days",
    "checksums": True,
    "enableSitewideAnonymizationScript": False,  # XNAT: true; here stored files are those sent
    "enableSitewideSeriesImportFilter": False,
    "sitewideSeriesImportFilterMode": "blacklist",
    "sitewideSeriesImportFilter": "",
    "enableDicomReceiver": True,
    "maxNumberOfSessionsForJobsWithSharedData": 10000,
}

_UNIT_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}


@lru_cache(maxsize=64)
def interval_seconds(text: str) -> float:
    """Return the length of an interval such as ``15 minutes`` or ``2 days``, in seconds.

    Raises
    ------
    ValueError
        The text is not a number and a unit.
    """
    found = re.fullmatch(r"\s*(\d+)\s*(second|minute|hour|day|week)s?\s*", text)
    if found is None:
        raise ValueError(f"'{text}' is not an interval such as '15 minutes'.")
    return int(found[1]) * float(_UNIT_SECONDS[found[2]])


class Site:
    """Everything that lives as long as the server.

    Parameters
    ----------
    settings : Settings
        Folders are made when absent; left-overs of interrupted uploads are removed.
    """

    runner: Runner
    """Does the launches; ``app`` sets it, since it needs the whole site."""
    receivers: Receivers
    """Listens for DICOM; ``app`` sets it too."""
    upload_batches: UploadBatches
    """Stores small files; ``app`` sets it too."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        for folder in settings.all_dirs:
            # Files inside are readable to whatever user a container runs as; the folders keep
            # the other users of this machine out.
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        self.store = Store(settings.database_path)
        recover_folders(self.store, settings)
        recover_files(self.store, settings)
        recover_prearchive(self.store, settings)
        self.types = load_data_types()
        self.people = People(self.store)
        self.sessions = WebSessions()
        self.rights = Rights(self.store)
        self.upload_targets: Remembered[tuple[User, str], tuple[Owner, Resource | None]]
        """Where uploads of a person to the beginning of a path go."""
        self.upload_targets = Remembered(self.store)
        self._stored: Remembered[str, str | None] = Remembered(self.store)
        self.url = ""
        self.started = time.monotonic()
        self.on_stop: list[Callable[[], None]] = []

    def stop(self) -> None:
        """Run what other parts registered to be done when the server stops."""
        for action in reversed(self.on_stop):
            action()

    def ensure_admin(self, login: str, password: str) -> None:
        """Create the first administrator if there is none."""
        if any(user.is_admin for user in self.people.everybody()):
            return
        self.people.create(
            login,
            password,
            email="admin@example.org",
            first_name="Admin",
            last_name="Admin",
            roles=frozenset({ADMINISTRATOR}),
        )

    def get(self, name: str) -> Any:
        """Return a site property: the stored value, or XNAT's default.

        Raises
        ------
        KeyError
            There is no such property.
        """
        stored = self._stored.get(name, partial(self._find_stored, name))
        if stored is not None:
            return json.loads(stored)
        if name == "siteUrl":
            return self.url
        return PROPERTY_DEFAULTS[name]

    def _find_stored(self, name: str) -> str | None:
        row = self.store.connection.execute(
            "SELECT value FROM setting WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else str(row["value"])

    def set(self, name: str, value: Any) -> None:
        """Store a site property; it applies to the next request.

        Raises
        ------
        KeyError
            There is no such property.
        """
        if name not in PROPERTY_DEFAULTS:
            raise KeyError(name)
        with self.store.write() as connection:
            connection.execute(
                "INSERT INTO setting VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = ?",
                (name, json.dumps(value), json.dumps(value)),
            )

    @property
    def session_timeout_s(self) -> float:
        """Return after how many idle seconds a web session ends."""
        return interval_seconds(str(self.get("sessionTimeout")))

    def next_id(self, letter: str) -> str:
        """Return a new accession number such as ``XNAT_S00001``; none is ever used twice.

        Parameters
        ----------
        letter : str
            ``S`` for subjects, ``E`` for experiments and assessors (one counter for both).
        """
        site_id = re.sub(r"[\s'\"]", "", str(self.get("siteId"))).replace("-", "_")
        with self.store.write() as connection:
            (number,) = connection.execute(
                "INSERT INTO counter VALUES (?, 1)"
                " ON CONFLICT (name) DO UPDATE SET value = value + 1 RETURNING value",
                (letter,),
            ).fetchone()
        return f"{site_id}_{letter}{number:05d}"
