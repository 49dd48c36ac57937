"""Files that a DICOM receiver accepted, kept on disk until they are stored as sessions.

Each association has a folder; it is stored when the association ends, or at the next start of the
server. Not here: the network (``dicom_receiver``).
"""

from __future__ import annotations

import logging
import shutil
import uuid
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request

from deploy.sandbox.anonymization import EmptyStudyError
from deploy.sandbox.call import Call
from deploy.sandbox.dicom_headers import read_header
from deploy.sandbox.dicom_sessions import Study, group
from deploy.sandbox.errors import HttpError
from deploy.sandbox.file_changes import IncomingFiles, change_files
from deploy.sandbox.ingest import prepare_study, store_study
from deploy.sandbox.store import ACTING_LOGIN
from deploy.sandbox.study_imports import Area, Wish

if TYPE_CHECKING:
    from deploy.sandbox.people import User
    from deploy.sandbox.site import Site

_LOG = logging.getLogger("winxnat.sandbox.receiver")


class ReceivedFiles:
    """The folders of received files of one site."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._root = site.settings.root / "received"

    def new_folder(self) -> Path:
        """Return a new folder for the files of one association."""
        folder = self._root / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    @staticmethod
    def keep(folder: Path, content: bytes) -> bool:
        """Keep a file for good; return False, keeping nothing, when it is no readable DICOM."""
        partial = folder / f"{uuid.uuid4().hex}.partial"
        partial.write_bytes(content)
        if read_header(partial) is None:
            partial.unlink()
            return False
        partial.rename(partial.with_suffix(".dcm"))
        return True

    def recover(self) -> None:
        """Store what an earlier server received and did not store."""
        if self._root.exists():
            for folder in sorted(self._root.iterdir()):
                self.store(folder)

    def store(self, folder: Path) -> None:
        """Store a folder's files as sessions and remove it; what cannot be stored stays there."""
        user = self._acting_user()
        if user is None:
            _LOG.error("Received files wait in %s: there is no administrator.", folder.name)
            return
        ACTING_LOGIN.set(user.login)
        scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": []}
        call = Call(request=Request(scope), site=self._site, user=user, session=None)
        try:
            with IncomingFiles(self._site.settings) as incoming:
                for study in self._studies(folder, incoming):
                    self._store_study(call, folder.name, study)
        except HttpError as error:
            _LOG.error("Received files stay in %s: %s", folder.name, error.message)
            return
        shutil.rmtree(folder)
        with self._site.store.write() as connection:
            connection.execute("DELETE FROM received_study WHERE folder = ?", (folder.name,))

    def _acting_user(self) -> User | None:
        everybody = self._site.people.everybody()
        return next((each for each in everybody if each.is_admin and each.is_usable), None)

    @staticmethod
    def _studies(folder: Path, incoming: IncomingFiles) -> list[Study]:
        files = []
        for path in sorted(folder.glob("*.dcm")):
            header = read_header(path)
            if header is None:  # pragma: no cover - it was readable when it was kept
                continue
            copy = incoming.new()
            with path.open("rb") as stream:
                copy.write_all(stream)
            copy.close()
            files.append((header, copy))
        return group(files)

    def _store_study(self, call: Call, folder: str, study: Study) -> None:
        if self._is_stored(folder, study):
            return
        wish = Wish("gradual-dicom", "", "", "", "none", area=Area.BY_PROJECT)
        with suppress(EmptyStudyError):
            wish, study = prepare_study(call, wish, study)
            try:
                self._store(call, folder, wish, study)
            except HttpError:
                # The archive has data of these labels: the session waits for a person to decide.
                self._store(call, folder, replace(wish, area=Area.PREARCHIVE), study)

    def _store(self, call: Call, folder: str, wish: Wish, study: Study) -> None:
        with change_files(self._site.store, self._site.settings) as changes:
            store_study(call, wish, changes, study)
            changes.connection.execute(
                "INSERT INTO received_study VALUES (?, ?)", (folder, study.uid)
            )

    def _is_stored(self, folder: str, study: Study) -> bool:
        row = self._site.store.connection.execute(
            "SELECT 1 FROM received_study WHERE folder = ? AND uid = ?", (folder, study.uid)
        ).fetchone()
        return row is not None
