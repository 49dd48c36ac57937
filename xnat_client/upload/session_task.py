"""From the rows of a plan to what one sender has to do: sessions, their DICOM, their resources.

Not here: doing it (``session_sender``).
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xnat_client.address import path_of
from xnat_client.upload.dicom_file import DicomFile
from xnat_client.upload.plan import Row
from xnat_client.upload.survey import DiskFile, Kind

_SESSION_TYPES = {
    Kind.MEG: "xnat:megSessionData",
    Kind.EEG: "xnat:eegSessionData",
    Kind.IMAGE: "xnat:mrSessionData",
}
_SCAN_TYPES = {Kind.MEG: "xnat:megScanData", Kind.EEG: "xnat:eegScanData"}
_BIDS_PARTS = (("meg", Kind.MEG), ("eeg", Kind.EEG))


@dataclass(frozen=True, slots=True)
class OutgoingFile:
    """A file that goes to a resource under this name."""

    path: Path
    name: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class ResourceTask:
    """A resource and its files; ``scan`` is empty for one of the object itself."""

    label: str
    scan: str
    scan_type: str
    format: str
    files: tuple[OutgoingFile, ...]


@dataclass(frozen=True, slots=True)
class SessionTask:
    """All that goes to one session; or to a subject or project, where labels are empty.

    ``session_type`` is what a session without DICOM is created as; empty if nothing says it.
    """

    project: str
    subject: str
    session: str
    session_type: str
    images: tuple[tuple[str, DicomFile], ...]
    resources: tuple[ResourceTask, ...]

    @property
    def key(self) -> str:
        """Return the object's path below ``/data``."""
        segments = ["projects", self.project]
        if self.subject:
            segments += ["subjects", self.subject]
        if self.session:
            segments += ["experiments", self.session]
        return path_of("data", *segments)

    @property
    def words(self) -> str:
        """Return what it is called in messages."""
        if self.session:
            return f"session {self.session}"
        return f"subject {self.subject}" if self.subject else f"project {self.project}"

    @property
    def file_count(self) -> int:
        """Return the number of files."""
        return len(self.images) + sum(len(one.files) for one in self.resources)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all files."""
        return sum(image.size_bytes for _, image in self.images) + sum(
            file.size_bytes for one in self.resources for file in one.files
        )


def session_tasks(rows: Sequence[Row], session_type: str = "") -> tuple[SessionTask, ...]:
    """Group rows by the object that they go to, sorted; rows without files to send are left out.

    Parameters
    ----------
    session_type : str
        For sessions whose data say nothing, such as behaviour alone.
    """
    grouped: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    sent = [row for row in rows if row.is_sent]
    for row in sent:
        grouped[row.project, row.subject, row.session].append(row)
    names = file_names(sent)
    return tuple(
        SessionTask(
            *key,
            session_type=(_session_type(members) or session_type) if key[2] else "",
            images=tuple(_images(members)),
            resources=tuple(_resources(members, names)),
        )
        for key, members in sorted(grouped.items())
    )


def file_names(rows: Iterable[Row]) -> Mapping[Path, str]:
    """Return the names of files in their resources.

    Recordings and BIDS trees keep the names by which their parts know each other. Of other data
    the folders above all files of a resource are left out: names often stand there.
    """
    names: dict[Path, str] = {}
    loose: dict[tuple[str, ...], list[DiskFile]] = defaultdict(list)
    for row in rows:
        if row.unit is None or row.is_dicom:
            continue
        if row.unit.bids_root is not None or row.unit.kind in (Kind.EEG, Kind.MEG):
            names |= {file.path: file.name for file in row.unit.files}
        else:
            place = (row.project, row.subject, row.session, row.scan, row.resource)
            loose[place] += row.unit.files
    for files in loose.values():
        top = os.path.commonpath([file.path.parent for file in files])
        names |= {file.path: file.path.relative_to(top).as_posix() for file in files}
    return names


def _session_type(rows: Iterable[Row]) -> str:
    kinds = set()
    for row in rows:
        if row.unit is None:
            continue
        kinds.add(row.unit.kind)
        if row.unit.bids_root is not None:
            parts = row.unit.anchor.relative_to(row.unit.bids_root).parts
            kinds |= {kind for part, kind in _BIDS_PARTS if part in parts}
    return next((text for kind, text in _SESSION_TYPES.items() if kind in kinds), "")


def _images(rows: Iterable[Row]) -> Iterable[tuple[str, DicomFile]]:
    """Yield images with the name of their series' folder inside the archive."""
    used: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (len(row.scan), row.scan, row.source)):
        if row.unit is None or not row.unit.images:
            continue
        uid = row.unit.images[0].series_uid
        wanted = row.scan or "unnumbered"
        folder, number = wanted, 1
        while used.setdefault(folder, uid) != uid:
            number += 1
            folder = f"{wanted}-{number}"
        for image in sorted(row.unit.images, key=lambda image: image.position):
            yield folder, image


def _resources(rows: Iterable[Row], names: Mapping[Path, str]) -> Iterable[ResourceTask]:
    grouped: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row.unit is not None and row.unit.files:
            grouped[row.scan, row.resource].append(row)
    for (scan, label), members in sorted(grouped.items()):
        kinds = {row.unit.kind for row in members if row.unit}
        types = [text for kind, text in _SCAN_TYPES.items() if kind in kinds]
        files = [
            OutgoingFile(file.path, names[file.path], file.size_bytes, file.mtime_ns)
            for row in members
            if row.unit
            for file in row.unit.files
        ]
        yield ResourceTask(
            label=label,
            scan=scan,
            scan_type=types[0] if types else "xnat:otherDicomScanData",
            format="NIFTI" if label == "NIFTI" else label if types else "",
            files=tuple(sorted(files, key=lambda file: file.name)),
        )
