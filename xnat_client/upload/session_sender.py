"""Sending all that goes to one session (or subject, or project), in the order that XNAT needs.

DICOM first, because the importer makes the session with its type and dates; else the session is
made by REST. Then scans for recordings, then resources. Not here: several at once (``bulk``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from xnat_client.address import path_of
from xnat_client.errors import ConflictError, NotAllowedError, RefusedError
from xnat_client.upload.dicom_sender import DicomSender
from xnat_client.upload.resource_sender import ResourceSender
from xnat_client.upload.rewritten import Proof, Proved
from xnat_client.upload.send_context import SendContext
from xnat_client.upload.server_objects import (
    find_session_by_label,
    make_scan,
    make_session,
    make_subject,
)

if TYPE_CHECKING:
    from xnat_client.resources import RemoteFile
    from xnat_client.sessions import Session
    from xnat_client.upload.receiver import Receiver
    from xnat_client.upload.session_task import ResourceTask, SessionTask


@dataclass(frozen=True, slots=True)
class Arrived:
    """A session whose files were all found on the server.

    ``files_confirmed`` are there bit by bit; of ``files_rewritten`` a script of the server changed
    the header and the image data are those that were sent; ``files_by_uid`` were changed so too
    and have no image data, so that only their UID was found. ``md5s`` are those of all sent
    files, sorted.
    """

    session_id: str
    files_confirmed: int
    files_sent: int
    md5s: tuple[str, ...]
    files_rewritten: int = 0
    files_by_uid: int = 0
    in_prearchive: bool = False


class SessionSender:
    """One session, subject or project with its files."""

    def __init__(self, context: SendContext, task: SessionTask) -> None:
        self._context = context
        self._task = task
        self._sent = 0
        self._md5s: list[str] = []
        self._proofs: Counter[Proof] = Counter()
        self._in_prearchive = False
        # The same label on another server is another object.
        self._key = f"{context.transport.url}{task.key}"

    def send(self) -> Arrived:
        """Send, and prove each file; a session that was begun before is continued.

        Raises
        ------
        XnatClientError
            What stands in the way.
        """
        try:
            return self._send()
        except NotAllowedError as error:
            raise NotAllowedError(
                f"Cannot upload {self._task.words}: this account may see project "
                f"{self._task.project} but not add data to it. Ask an owner of the project to make "
                "it a member.",
                status=error.status,
                details=error.details,
            ) from error

    def _send(self) -> Arrived:
        task, transport = self._task, self._context.transport
        session: Session | None = None
        path = task.key
        if task.session:
            session = self._existing()
            if task.images and self._context.receiver is not None:
                session = self._send_by_network(self._context.receiver)
            elif task.images:
                session = self._send_images(session)
            elif session is None:
                session = self._make_session()
            path = session.path if session else ""
        elif task.subject:
            make_subject(transport, task.project, task.subject)
        for resource in task.resources:
            self._send_resource(path, session, resource)
        return Arrived(
            session_id=session.session_id if session else "",
            files_confirmed=len(self._md5s)
            - self._proofs[Proof.IMAGE_DATA]
            - self._proofs[Proof.UID],
            files_sent=self._sent,
            md5s=tuple(sorted(self._md5s)),
            files_rewritten=self._proofs[Proof.IMAGE_DATA],
            files_by_uid=self._proofs[Proof.UID],
            in_prearchive=self._in_prearchive,
        )

    def _existing(self) -> Session | None:
        """Return the session if it is there and may be added to; remember that it is ours if not.

        A session that this upload began is continued; any other one only when that was asked for.
        """
        task, state = self._task, self._context.state
        session = find_session_by_label(self._context.transport, task.project, task.session)
        if session is None:
            state.begin(self._key)
            return None
        where = f"Session {task.session} exists already in project {task.project}"
        if session.label != task.session:
            raise ConflictError(f"{where} in another spelling. Choose another label.")
        if session.subject_label and session.subject_label != task.subject:
            raise ConflictError(f"{where}, but at another subject. Check the labels.")
        if not self._context.append and not state.has_begun(self._key):
            raise ConflictError(f"{where}. Choose another label, or pass --append to add to it.")
        return session

    def _send_images(self, session: Session | None) -> Session:
        sender = DicomSender(self._context, self._task)
        try:
            found, proved = sender.send(session)
        finally:
            self._sent += sender.sent_files
        self._confirm_images(found, proved)
        return found

    def _send_by_network(self, receiver: Receiver) -> Session | None:
        # pynetdicom is an extra, and few need it.
        from xnat_client.upload.network_sender import NetworkSender  # noqa: PLC0415  # see above

        sender = NetworkSender(self._context, self._task, receiver, self._context.wait_s)
        try:
            found, proved = sender.send()
        finally:
            self._sent += sender.sent_files
        self._in_prearchive = any("/prearchive/" in one.remote.uri for one in proved)
        self._confirm_images(found, proved)
        return found

    def _confirm_images(self, session: Session | None, proved: Sequence[Proved]) -> None:
        for proof in Proof:
            files = [one for one in proved if one.proof is proof]
            self._proofs[proof] += len(files)
            self._confirm(
                session,
                [
                    (one.remote.uri, one.remote, one.image.size_bytes, one.image.md5)
                    for one in files
                ],
                proof=proof,
            )

    def _make_session(self) -> Session:
        task, transport = self._task, self._context.transport
        make_session(transport, task)
        session = find_session_by_label(transport, task.project, task.session)
        if session is None:
            raise RefusedError(
                f"The server made session {task.session} but does not list it in project "
                f"{task.project}. Look at the project on the server."
            )
        return session

    def _send_resource(self, path: str, session: Session | None, resource: ResourceTask) -> None:
        owner, words = path, f"resource {resource.label} of {self._task.words}"
        if resource.scan:
            owner = path + path_of("scans", resource.scan)
            words = f"resource {resource.label} of scan {resource.scan} of {self._task.words}"
            make_scan(self._context.transport, owner, resource)
        sender = ResourceSender(
            self._context, owner + path_of("resources", resource.label), words, resource
        )
        try:
            proved = sender.send()
        finally:
            self._sent += sender.sent_files
        self._confirm(
            session,
            [(file.name, remote, file.size_bytes, md5) for file, remote, md5 in proved],
            resource,
        )

    def _confirm(
        self,
        session: Session | None,
        files: Sequence[tuple[str, RemoteFile, int, str]],
        resource: ResourceTask | None = None,
        *,
        proof: Proof = Proof.MD5,
    ) -> None:
        """Write what was proved into the ledger, then into the state."""
        context, task = self._context, self._task
        place = f"{resource.scan}/{resource.label}" if resource else "images"
        known = context.state.confirmed(self._key)
        new = [
            (place, name, size_bytes, md5)
            for name, _, size_bytes, md5 in files
            if (place, name, size_bytes, md5) not in known
        ]
        fresh = set(new)
        at = datetime.now(UTC).isoformat(timespec="seconds")
        context.ledger.add(
            {
                "at": at,
                "md5": md5,
                "size_bytes": size_bytes,
                "proof": str(proof),
                "server": context.transport.url,
                "project": task.project,
                "subject": task.subject,
                "session": task.session,
                "session_id": session.session_id if session else "",
                "uri": remote.uri,
            }
            for name, remote, size_bytes, md5 in files
            if (place, name, size_bytes, md5) in fresh
        )
        context.state.confirm(self._key, new)
        self._md5s += [md5 for _, _, _, md5 in files]
