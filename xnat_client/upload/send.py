"""Sending one study as one session, and the receipt for it.

Not here: looking at the folder (``scan``), the comparison afterwards (``verify``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from xnat_client.address import check_label, check_project_id, path_of
from xnat_client.errors import ConflictError, NotAllowedError, RefusedError
from xnat_client.exchange import StreamBody
from xnat_client.projects import require_project
from xnat_client.sessions import look_up_session
from xnat_client.upload.verify import list_image_files, verify_session
from xnat_client.upload.zip_stream import ZipEntry, zip_chunks, zip_size

if TYPE_CHECKING:
    from xnat_client.sessions import Session
    from xnat_client.transport import Transport
    from xnat_client.upload.scan import StudyPlan

Progress = Callable[[int, int], None]
"""Is told the bytes sent and the bytes in all."""


@dataclass(frozen=True, slots=True)
class UploadTarget:
    """Where a study goes. Labels are the user's codes, never taken from the images.

    Raises
    ------
    UsageError
        A name that XNAT cannot hold.
    """

    project_id: str
    subject_label: str
    session_label: str

    def __post_init__(self) -> None:
        check_project_id(self.project_id)
        check_label("subject", self.subject_label)
        check_label("session", self.session_label)

    @property
    def archive_path(self) -> str:
        """Return the value of the import's ``dest`` parameter."""
        return path_of(
            "archive", "projects", self.project_id, "subjects", self.subject_label,
            "experiments", self.session_label,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class ScanReceipt:
    """One scan of a receipt."""

    scan: str
    modality: str
    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof of an upload: made only when the server was found to hold every file unchanged.

    ``content_sha256`` is the SHA-256 of the sorted MD5s of all files, each with a line feed, so
    that anybody who has the files can compute it again. Times are UTC.
    """

    server: str
    project_id: str
    subject_label: str
    session_label: str
    session_id: str
    appended: bool
    files_sent: int
    files_verified: int
    size_bytes: int
    scans: tuple[ScanReceipt, ...]
    content_sha256: str
    started_at: datetime
    finished_at: datetime
    client_version: str

    def as_json(self) -> dict[str, Any]:
        """Return the receipt as JSON types."""
        document = asdict(self)
        for key in ("started_at", "finished_at"):
            document[key] = document[key].isoformat(timespec="seconds")
        document["scans"] = list(document["scans"])
        return document


@dataclass(frozen=True, slots=True)
class _Outcome:
    appended: bool
    sent: int
    verified: int
    started_at: datetime


def upload_session(
    transport: Transport,
    study: StudyPlan,
    target: UploadTarget,
    *,
    append: bool = False,
    progress: Progress | None = None,
) -> Receipt:
    """Send a study as one session and verify every file on the server.

    The study travels in one request, as a stream of constant memory; names inside it are scan and
    file numbers, nothing of the folder it came from.

    Parameters
    ----------
    append : bool
        Whether files may be added to a session that exists. Those that are there already are not
        sent again, and none is ever replaced: an interrupted upload may be repeated with this.

    Raises
    ------
    NotFoundError, NotAllowedError
        The project is unknown, or the account may not upload to it.
    ConflictError
        The session exists and ``append`` is false, or it belongs to another subject.
    BadInputError
        A file changed while it was sent.
    RefusedError
        The server did not archive it, or holds something else than was sent.
    """
    started_at = datetime.now(UTC)
    require_project(transport, target.project_id)
    existing = look_up_session(transport, target.project_id, target.session_label)
    _check_existing(existing, target, append=append)
    entries = zip_entries(study, _already_held(transport, existing))
    if entries:
        _send(transport, entries, target, append=existing is not None, progress=progress)
    session = look_up_session(transport, target.project_id, target.session_label)
    if session is None:
        raise RefusedError(
            f"The server took session {target.session_label} but does not list it in project "
            f"{target.project_id}. It may be waiting in the prearchive; look there."
        )
    verified = verify_session(transport, session, study.files, was_new=existing is None)
    outcome = _Outcome(existing is not None, len(entries), verified, started_at)
    return _receipt(transport.url, study, target, session, outcome)


def zip_entries(
    study: StudyPlan, already_held: Container[tuple[int, str]] = ()
) -> tuple[ZipEntry, ...]:
    """Return the entries of the archive, in XNAT's own folder layout for scans.

    File names are made from the instance UID, so that files added later to the same scan never
    meet another one's name.

    Parameters
    ----------
    already_held : container of (size in bytes, MD5)
        Files that are on the server and need not travel again.
    """
    return tuple(
        ZipEntry(
            name=f"SCANS/{series.folder}/DICOM/{_name_of(file.instance_uid)}.dcm",
            path=file.path,
            size_bytes=file.size_bytes,
            crc32=file.crc32,
            label=f"File {file.position} (scan {series.folder})",
        )
        for series in study.series
        for file in series.files
        if (file.size_bytes, file.md5) not in already_held
    )


def _name_of(instance_uid: str) -> str:
    return hashlib.sha256(instance_uid.encode("ascii")).hexdigest()[:16]


def _already_held(transport: Transport, existing: Session | None) -> frozenset[tuple[int, str]]:
    if existing is None:
        return frozenset()
    held = list_image_files(transport, existing)
    return frozenset((file.size_bytes, file.md5) for file in held)


def _check_existing(existing: Session | None, target: UploadTarget, *, append: bool) -> None:
    if existing is None:
        return
    where = f"Session {target.session_label} exists already in project {target.project_id}"
    if not append:
        raise ConflictError(
            f"{where}. Nothing was sent; choose another label, or pass --append to add files to it."
        )
    if existing.subject_label and existing.subject_label != target.subject_label:
        raise ConflictError(f"{where}, but at another subject. Nothing was sent; check the labels.")


def _send(
    transport: Transport,
    entries: Sequence[ZipEntry],
    target: UploadTarget,
    *,
    append: bool,
    progress: Progress | None,
) -> None:
    size_bytes = zip_size(entries)

    def open_chunks() -> Iterator[bytes]:
        sent = 0
        for chunk in zip_chunks(entries):
            yield chunk
            sent += len(chunk)
            if progress is not None:
                progress(sent, size_bytes)

    doing = f"upload session {target.session_label} to project {target.project_id}"
    query = {
        "import-handler": "SI",
        "dest": target.archive_path,
        # A session that appears in the meantime is not added to by accident.
        "overwrite": "append" if append else "none",
    }
    body = StreamBody(open_chunks, size_bytes, "application/zip")
    try:
        answer = transport.request(
            "POST", "/data/services/import", doing=doing, query=query, body=body
        )
    except NotAllowedError as error:
        raise NotAllowedError(
            f"Cannot {doing}: this account may see the project but not add data to it. Ask an "
            "owner of the project to make it a member.",
            status=error.status,
            details=error.details,
        ) from error
    uris = answer.text.split()
    if len(uris) != 1 or "/prearchive/" in uris[0]:
        raise RefusedError(
            f"Cannot {doing}: the server made {len(uris)} sessions of it"
            f"{', in its prearchive' if '/prearchive/' in answer.text else ''}, where one in the "
            "archive was asked for. Look at the project's prearchive on the server."
        )


def _receipt(
    server: str,
    study: StudyPlan,
    target: UploadTarget,
    session: Session,
    outcome: _Outcome,
) -> Receipt:
    digests = sorted(file.md5 for file in study.files)
    scans = tuple(
        ScanReceipt(series.folder, series.modality, len(series.files), series.size_bytes)
        for series in study.series
    )
    return Receipt(
        server=server,
        project_id=target.project_id,
        subject_label=target.subject_label,
        session_label=session.label,
        session_id=session.session_id,
        appended=outcome.appended,
        files_sent=outcome.sent,
        files_verified=outcome.verified,
        size_bytes=sum(file.size_bytes for file in study.files),
        scans=scans,
        content_sha256=hashlib.sha256("".join(f"{md5}\n" for md5 in digests).encode()).hexdigest(),
        started_at=outcome.started_at,
        finished_at=datetime.now(UTC),
        client_version=version("winxnat"),
    )
