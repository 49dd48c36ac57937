"""Where the records of a site live: one folder, or a PostgreSQL database beside it.

The folder holds the database (unless it is elsewhere), link tables, keys of the loop, built
releases, and the list of withdrawals that a restored database must obey. It is readable by its
owner only. Not here: what is in the files.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from xnat_client.errors import UsageError

HOME_VARIABLE = "WINXNAT_SHARING"
DATABASE_VARIABLE = "WINXNAT_SHARING_DATABASE"
_OWNER_ONLY = 0o700


@dataclass(frozen=True)
class Home:
    """The places of a site's records.

    Attributes
    ----------
    folder : Path
        Readable by its owner only.
    database_url : str
        SQLAlchemy address; it may hold a password and is never printed.
    """

    folder: Path
    database_url: str

    @property
    def link_tables_dir(self) -> Path:
        """Encrypted link tables; their keys are kept elsewhere."""
        return self.folder / "links"

    @property
    def releases_dir(self) -> Path:
        """Built releases, one folder ``<family>/<version>`` each."""
        return self.folder / "releases"

    @property
    def quarantine_dir(self) -> Path:
        """Copies that no check has passed yet; emptied by each build."""
        return self.folder / "quarantine"

    @property
    def tombstones_path(self) -> Path:
        """Withdrawals, outside the database: a restored backup must not undo them."""
        return self.folder / "withdrawals.jsonl"

    @property
    def checkpoints_dir(self) -> Path:
        """Signed heads of the audit chain, to be copied off this machine."""
        return self.folder / "checkpoints"


def open_home(folder: Path | None = None) -> Home:
    """Return the places of the records and make the folder if there is none.

    Parameters
    ----------
    folder : Path or None
        The folder; else ``WINXNAT_SHARING``, else one in the user's own data folder.

    Raises
    ------
    UsageError
        The folder can be read by others.
    """
    chosen = _chosen(folder)
    chosen.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    if chosen.stat().st_mode & 0o077:
        raise UsageError(
            "The folder of the sharing records can be entered by others than its owner. "
            "Take their rights away (chmod 700) and try again."
        )
    url = os.environ.get(DATABASE_VARIABLE) or f"sqlite:///{chosen.resolve() / 'sharing.sqlite'}"
    return Home(chosen.resolve(), url)


def refuse_no_home(folder: Path | None = None) -> None:
    """Refuse a folder that is not there, so that reading with a wrong name makes none.

    Raises
    ------
    UsageError
        It is not there, and the records are not in a database elsewhere.
    """
    if not _chosen(folder).exists() and not os.environ.get(DATABASE_VARIABLE):
        raise UsageError(
            "There are no sharing records at this place yet. "
            "Make them with 'winxnat share init', or name their folder with --home."
        )


def _chosen(folder: Path | None) -> Path:
    named = folder or (Path(os.environ[HOME_VARIABLE]) if os.environ.get(HOME_VARIABLE) else None)
    return named or platformdirs.user_data_path("winxnat") / "sharing"
