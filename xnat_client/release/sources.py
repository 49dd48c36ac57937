"""The sessions of a source project: whose they are, which files they have, and fetching them.

Files of results that steps left at a session (BIDS, DEFACED, reports) are not fetched: a release
makes them anew from the originals. Not here: which sessions are chosen (``plan``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from xnat_client.address import check_project_id, path_of
from xnat_client.download.fetching import fetch_files
from xnat_client.download.selection import Wanted
from xnat_client.errors import NotFoundError, RefusedError
from xnat_client.listings import list_rows
from xnat_client.release.secret_strings import from_item, from_upload_path
from xnat_client.release.spellings import Secret, SecretKind
from xnat_client.resources import RemoteFile, read_file_rows

if TYPE_CHECKING:
    from xnat_client.transport import Transport

DICOM_DIR, RECORDING_DIR, BIDS_DIR = "dicom", "eeg", "bids"
"""Words that ``scrub-headers`` knows, so that it keeps them."""
_SCAN = re.compile(r"/scans/([^/]+)/")
_DERIVED = re.compile(
    r"(?i)BIDS_REPORT|.*_REPORT|REPORT|SCRUBBED|DEFACED|WINQC|SNAPSHOTS|MRIQC|NIFTI.*|LOG.*|.*_bidsmap"
)
_RECORDINGS = re.compile(
    r"(?i).*\.(edf|bdf|vhdr|vmrk|eeg|dat|set|fdt|fif|sqd|con|kit|mrk|elp|hsp)|.*\.ds/.*"
)
_COLUMNS = "ID,label,project,subject_ID,subject_label,xsiType,date"


@dataclass(frozen=True, slots=True)
class SourceSession:
    """One session of the source project; nothing of it is shown or kept outside.

    Attributes
    ----------
    date : str
        Day of the session, ``YYYY-MM-DD``, or empty; only for the order within a participant.
    """

    session_id: str
    label: str
    subject_id: str
    subject_label: str
    xsi_type: str
    date: str

    def __repr__(self) -> str:
        return "SourceSession(withheld)"

    @property
    def path(self) -> str:
        """Return its path below the server's address."""
        return path_of("data", "experiments", self.session_id)


@dataclass(frozen=True, slots=True)
class SourceFiles:
    """Where a session's files go; ``kinds`` are the folders that there will be."""

    wanted: tuple[Wanted, ...]
    kinds: frozenset[str]
    passed_over: int
    secrets: frozenset[Secret]

    def __repr__(self) -> str:
        return f"SourceFiles({len(self.wanted)} withheld)"


def list_source_sessions(transport: Transport, project_id: str) -> tuple[SourceSession, ...]:
    """Return the imaging and recording sessions of the project, shared-in ones excluded.

    A session that another project merely shares into this one belongs to other participants and
    other consents.
    """
    rows = list_rows(
        transport,
        path_of("data", "projects", check_project_id(project_id), "experiments"),
        doing=f"list the sessions of project {project_id}",
        query={"columns": _COLUMNS},
    )
    return tuple(
        SourceSession(
            session_id=row["ID"],
            label=row.get("label", ""),
            subject_id=row.get("subject_ID", ""),
            subject_label=row.get("subject_label", ""),
            xsi_type=row.get("xsiType", ""),
            date=row.get("date", ""),
        )
        for row in rows
        if row.get("project", project_id) == project_id
        and row.get("xsiType", "").endswith("SessionData")
    )


def list_source_files(transport: Transport, session: SourceSession) -> SourceFiles:
    """List what of a session goes into quarantine, under names that tell nothing where possible."""
    scans: dict[str, int] = {}
    wanted: list[Wanted] = []
    passed_over = 0
    found: set[Secret] = set()
    for file in _files(transport, session):
        scan = _scan_of(file)
        found |= set(from_upload_path(file.path))
        place = _place(file, scan, scans, len(wanted))
        if place is None:
            passed_over += 1
            continue
        wanted.append(Wanted(place, file, session.session_id))
    kinds = frozenset(one.path.partition("/")[0] for one in wanted)
    if len(kinds) > 1 and BIDS_DIR in kinds:
        # A converted copy of what is there as an original.
        kept = [one for one in wanted if not one.path.startswith(f"{BIDS_DIR}/")]
        passed_over += len(wanted) - len(kept)
        wanted, kinds = kept, kinds - {BIDS_DIR}
    return SourceFiles(tuple(wanted), kinds, passed_over, frozenset(found))


def _files(transport: Transport, session: SourceSession) -> Iterator[RemoteFile]:
    seen = set()
    for path in (f"{session.path}/scans/ALL/files", f"{session.path}/files"):
        try:
            rows = read_file_rows(transport, path, doing="list the files of a session")
        except NotFoundError:
            continue  # XNAT's answer where there is none
        for file in rows:
            if file.uri not in seen:
                seen.add(file.uri)
                yield file


def _scan_of(file: RemoteFile) -> str:
    found = _SCAN.search(file.uri.partition("/files/")[0])
    return unquote(found.group(1)) if found else ""


def _place(file: RemoteFile, scan: str, scans: dict[str, int], number: int) -> str | None:
    label = file.resource_label
    if scan and label.upper() in {"DICOM", "SECONDARY"}:
        return f"{DICOM_DIR}/{scans.setdefault(scan, len(scans) + 1)}/{number}.dcm"
    if label == "BIDS":
        return f"{BIDS_DIR}/{file.path}"
    if _DERIVED.fullmatch(label) or file.path.lower().endswith("_catalog.xml"):
        return None
    if _RECORDINGS.fullmatch(file.path):
        folder = f"{RECORDING_DIR}/{scans.setdefault(scan, len(scans) + 1)}" if scan else None
        return f"{folder or RECORDING_DIR}/{file.path}"
    return None


def fetch(transport: Transport, files: SourceFiles, folder: Path) -> None:
    """Have a session's files in a folder, each proved by size and MD5.

    Raises
    ------
    RefusedError
        Some could not be fetched; a session is released whole or not at all.
    """
    receipt = fetch_files(transport, files.wanted, folder, connections=4)
    if receipt.interrupted:
        raise KeyboardInterrupt
    if receipt.missing:
        raise RefusedError(
            f"{receipt.missing} files of a session could not be fetched, so it was not worked on. "
            "Look whether the server answers, and build again."
        )


def read_item(transport: Transport, path: str) -> Mapping[str, Any]:
    """Return one of XNAT's records as it gives it.

    Raises
    ------
    RefusedError
        The answer is no record.
    """
    document = transport.get_json(path, doing="read a record", query={"format": "json"})
    try:
        item = document["items"][0]
    except (KeyError, IndexError, TypeError):
        raise RefusedError("A record that the server gave is not of XNAT's form.") from None
    return dict(item)


def study_secrets(
    transport: Transport, project_id: str, sessions: Sequence[SourceSession]
) -> set[Secret]:
    """Return the secret strings of the project and of all its sessions' labels and days.

    Of all, not only of those chosen: the label of a participant who did not consent must not be
    in the release either.
    """
    found = {Secret(SecretKind.ID, project_id)}
    found |= set(from_item(read_item(transport, path_of("data", "projects", project_id))))
    for each in sessions:
        labels = (each.session_id, each.label, each.subject_id, each.subject_label)
        found |= {Secret(SecretKind.ID, text) for text in labels if text}
        if each.date:
            found.add(Secret(SecretKind.DATE, each.date))
    return found


def session_secrets(
    transport: Transport, session: SourceSession
) -> tuple[set[Secret], Mapping[str, Any]]:
    """Return the secret strings of a session's and its subject's records, and the latter."""
    subject = read_item(transport, path_of("data", "subjects", session.subject_id))
    found = set(from_item(read_item(transport, session.path))) | set(from_item(subject))
    return found, subject
