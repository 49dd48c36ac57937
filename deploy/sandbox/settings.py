"""Where a sandbox keeps its files and how it is reached. Not here: site properties (``site``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8080


@dataclass(frozen=True)
class Settings:
    """Settings of one sandbox process.

    Parameters
    ----------
    root : Path
        Everything the sandbox owns lies below this folder.
    host, port
        Address to listen on; port 0 takes a free one.
    engine : str
        ``auto`` (Docker when it answers, else local processes), ``docker`` or ``process``.
    processing_url : str or None
        Address that containers use for the server (``XNAT_HOST``); None for the server's own.
    """

    root: Path
    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    engine: str = "auto"
    processing_url: str | None = None

    @cached_property
    def archive_dir(self) -> Path:
        """Return the folder of archived projects, in XNAT's layout."""
        return self.root / "archive"

    @property
    def prearchive_dir(self) -> Path:
        """Return the folder of sessions that wait to be archived."""
        return self.root / "prearchive"

    @property
    def build_dir(self) -> Path:
        """Return the folder of container build directories."""
        return self.root / "build"

    @property
    def cache_dir(self) -> Path:
        """Return the folder of users' cached files."""
        return self.root / "cache"

    @cached_property
    def incoming_dir(self) -> Path:
        """Return the folder for bodies being received; emptied at start.

        It lies beside the archive, so that a finished upload is moved by a rename.
        """
        return self.root / "incoming"

    @property
    def moves_dir(self) -> Path:
        """Return the folder of journals of folder moves in progress."""
        return self.root / "moves"

    @property
    def trash_dir(self) -> Path:
        """Return the folder of folders being removed; it lies beside the archive (renames)."""
        return self.root / "trash"

    @property
    def database_path(self) -> Path:
        """Return the SQLite database file."""
        return self.root / "sandbox.sqlite"

    @property
    def all_dirs(self) -> tuple[Path, ...]:
        """Return every folder that must exist before the server starts."""
        return (
            self.archive_dir,
            self.prearchive_dir,
            self.build_dir,
            self.cache_dir,
            self.incoming_dir,
            self.moves_dir,
            self.trash_dir,
        )
