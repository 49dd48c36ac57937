"""Sending the DICOM files of one session by C-STORE, and proving that they arrived.

A receiver's "success" says that it took a file, not what became of it: the files are looked up
over REST afterwards, in the archive and in the prearchive, read back, and compared. Not here:
the network (``receiver``), what can be proved (``rewritten``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import NotFoundError, RefusedError, UnreachableError
from xnat_client.listings import list_rows
from xnat_client.resources import RemoteFile, read_file_rows
from xnat_client.upload.receiver import Association, Receiver
from xnat_client.upload.rewritten import Proof, Proved, match_rewritten
from xnat_client.upload.send import UploadTarget
from xnat_client.upload.send_context import SendContext
from xnat_client.upload.server_objects import find_session_by_label
from xnat_client.upload.verify import IMAGE_RESOURCES, list_image_files

if TYPE_CHECKING:
    from xnat_client.sessions import Session
    from xnat_client.upload.dicom_file import DicomFile
    from xnat_client.upload.session_task import SessionTask

_MOST_TRIES = 6
_FIRST_PAUSE_S = 0.5
_FIRST_LOOK_S = 0.1
_LONGEST_LOOK_S = 10.0


class NetworkSender:
    """The DICOM files of one session, on their way through a receiver.

    Parameters
    ----------
    wait_s : float
        How long, in seconds, what was sent may take to appear in archive or prearchive.
    """

    def __init__(
        self, context: SendContext, task: SessionTask, receiver: Receiver, wait_s: float
    ) -> None:
        self._context = context
        self._task = task
        self._receiver = receiver
        self._wait_s = wait_s
        self._target = UploadTarget(task.project, task.subject, task.session)
        self.sent_files = 0

    def send(self) -> tuple[Session | None, list[Proved]]:
        """Send what the server does not hold; return the session and its files, with the proof.

        The session is None while it waits in the prearchive.

        Raises
        ------
        XnatClientError
            The receiver did not take a file, or it did not arrive as it was sent.
        """
        images = [image for _, image in self._task.images]
        _, proved = self._look(images)
        left = _without(images, proved)
        self._context.progress.held(
            sum(one.size_bytes for one in images) - sum(one.size_bytes for one in left)
        )
        self._send_all(left)
        give_up = time.monotonic() + self._wait_s
        pause_s = _FIRST_LOOK_S
        while True:
            session, proved = self._look(images)
            missing = len(images) - len(proved)
            if not missing:
                return session, proved
            if time.monotonic() > give_up:
                raise RefusedError(
                    f"Of the {len(images)} files of session {self._task.session} the receiver "
                    f"took, {missing} were found neither in the archive nor in the prearchive of "
                    f"project {self._task.project} within {self._wait_s:.0f} s, or with other "
                    "image data. Run the same command again later; see the server's routing rules, "
                    "import filters and prearchive."
                )
            self._context.pace.check()
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_LOOK_S)

    # Sending ----------------------------------------------------------------------------------

    def _send_all(self, images: Sequence[DicomFile]) -> None:
        """Send files; after an association that broke, go on with the one that it broke at."""
        left = list(images)
        tries = 0
        while left:
            before = len(left)
            try:
                with Association(self._receiver, left) as association:
                    while left:
                        self._context.pace.check()
                        association.store(left[0], self._target)
                        self._context.progress.counter().add(left[0].size_bytes)
                        self.sent_files += 1
                        left.pop(0)
            except UnreachableError:
                tries = 1 if len(left) < before else tries + 1
                if tries == _MOST_TRIES:
                    raise
                self._context.pace.check()
                time.sleep(_FIRST_PAUSE_S * 2 ** (tries - 1))

    # Looking ----------------------------------------------------------------------------------

    def _look(self, images: Sequence[DicomFile]) -> tuple[Session | None, list[Proved]]:
        """Return what of the files the server has."""
        task, transport = self._task, self._context.transport
        session = find_session_by_label(transport, task.project, task.session)
        held = list_image_files(transport, session) if session else []
        held += self._waiting_files()
        key = f"{transport.url}{task.key}"
        known = {
            file: (md5, Proof(proof))
            for file, (md5, proof) in self._context.state.rewritten(key).items()
        }
        proved = match_rewritten(transport, images, held, self._context.workers.submit, known)
        self._context.state.keep_rewritten(
            key,
            [(one.remote.uri, one.remote.md5, one.image.md5, str(one.proof)) for one in proved],
        )
        return session, proved

    def _waiting_files(self) -> list[RemoteFile]:
        """Return the files of the session that wait in the prearchive."""
        task, transport = self._task, self._context.transport
        doing = f"look into the prearchive of project {task.project}"
        try:
            rows = list_rows(
                transport, path_of("data", "prearchive", "projects", task.project), doing=doing
            )
        except NotFoundError:
            return []
        files: list[RemoteFile] = []
        for row in rows:
            if task.session not in (row.get("name"), row.get("folderName")):
                continue
            path = f"/data{row.get('url', '')}"
            try:
                for scan in list_rows(transport, f"{path}/scans", doing=doing):
                    place = path + path_of("scans", scan.get("ID", ""), "resources")
                    for resource in list_rows(transport, place, doing=doing):
                        label = resource.get("label", "")
                        if label.casefold() in IMAGE_RESOURCES:
                            found = f"{place}{path_of(label)}/files"
                            files += read_file_rows(transport, found, doing=doing)
            except NotFoundError:
                continue  # it is just being built, or moved into the archive
        return files


def _without(images: Sequence[DicomFile], proved: Sequence[Proved]) -> list[DicomFile]:
    found = {id(one.image) for one in proved}
    return [image for image in images if id(image) not in found]
