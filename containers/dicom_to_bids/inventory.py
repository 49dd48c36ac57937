"""What is in the session's folder: its scans, their files, and whether they are whole.

Reads the XNAT layout (``SCANS/<id>/...``) or any folder of DICOM files. A file counts as
DICOM by its magic word (PS3.10, section 7.1). Not here: pictures (``convert``).
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from containers.archive_catalogs import is_catalog
from containers.contract import BadInputError
from containers.dicom_to_bids import header as headers
from containers.dicom_to_bids import refusals
from containers.dicom_to_bids.doubts import copies
from containers.dicom_to_bids.header import Header, NotUnderstoodError, PixelState
from containers.dicom_to_bids.identity import SourceIdentity, identity_texts

_DICOM_SUFFIXES = frozenset({".dcm", ".ima", ".dicom"})
_XNAT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a scan's id may look like in a report; a folder of another name is not taken for one."""
UNATTRIBUTED = "unattributed"
"""Stands in the account for damaged files of which nothing tells the scan."""
_DIRECTORY = "1.2.840.10008.1.3.10"
_IMAGE_CLASSES = tuple(
    f"1.2.840.10008.5.1.4.1.1.{ending}"
    for ending in ("4", "4.1", "4.3", "4.4", "7", "7.1", "7.2", "7.3", "7.4")
)
"""MR and secondary capture images (PS3.4, table B.5-1): images even where their end is missing."""
_SPECTRUM = "1.2.840.10008.5.1.4.1.1.4.2"
"""It has rows and columns, and no picture (PS3.3, section C.8.14.3)."""


@dataclass(frozen=True, slots=True)
class DicomFile:
    """One DICOM file and the header facts that this step looks at; they never leave it.

    ``join_key`` is equal for files that a scanner measured as one series although it exported
    each volume as a series of its own. ``is_copy``: another file has the same bytes.
    ``slice_count``: pictures in the file (tiles of a mosaic, frames); 0 if it does not say.
    ``slice_pixels``: rows times columns, 0 of a mosaic.
    """

    path: Path
    study_uid: str
    series_uid: str
    series_number: int | None
    sop_uid: str
    instance_number: int | None
    patient: str
    is_image: bool
    is_whole: bool
    taken_at: str
    join_key: tuple[str, ...]
    protocol: str
    texts: frozenset[str] = field(default=frozenset(), repr=False)
    is_copy: bool = False
    modality: str = "MR"
    slice_count: int = 1
    slice_pixels: int = 0


@dataclass(frozen=True, slots=True)
class Scan:
    """The files that XNAT, or the series number, holds together.

    ``problem`` says why the scan must not be converted, or is empty. ``lost_count``: files that
    belong to it and cannot be read, so that they are not among ``files``.
    """

    scan_id: str
    files: tuple[DicomFile, ...]
    problem: str = ""
    lost_count: int = 0

    @property
    def images(self) -> tuple[DicomFile, ...]:
        """Return the files with pixels of magnetic resonance, each once."""
        return tuple(
            file
            for file in self.files
            if file.is_image and not file.is_copy and refusals.is_supported(file.modality)
        )

    @property
    def file_count(self) -> int:
        """Return how many files of the input belong to the scan, readable or not."""
        return len(self.files) + self.lost_count


@dataclass(frozen=True, slots=True)
class Inventory:
    """The session: its scans in order, and how many other files lie beside them."""

    scans: tuple[Scan, ...]
    study_count: int
    other_file_count: int
    identity: SourceIdentity

    @property
    def convertible(self) -> tuple[Scan, ...]:
        """Return the scans that are whole."""
        return tuple(scan for scan in self.scans if not scan.problem)


def read_inventory(folder: Path) -> Inventory:
    """Read all headers below ``folder``.

    A file that is cut short or damaged spoils its scan, which then is not converted: a slice or
    volume would be missing, and nobody would see it. The other scans are not touched by it.

    Raises
    ------
    BadInputError
        No files, no DICOM files, no whole scan, two patients, or no magnetic resonance.
    """
    paths = _files(folder)
    if not paths:
        raise BadInputError(
            "Cannot convert the session: the input folder holds no files; give it the "
            "session's DICOM files."
        )
    reader = _Reader()
    read: list[DicomFile] = []
    damaged: list[Path] = []
    plain: list[Path] = []
    other = 0
    for path in paths:
        header = reader.header(path)
        if header is None:
            plain.append(path)
            continue
        file = reader.facts(path, header) if header is not _DAMAGED else None
        if file is None or (file.is_image and not file.series_uid):
            damaged.append(path)
        elif file.series_uid:
            read.append(file)
        else:
            other += 1
    image_dirs = {file.path.parent for file in read}
    spoilt = {path for path in plain if _looks_spoilt(path, image_dirs)}
    damaged += sorted(spoilt)
    other += len(plain) - len(spoilt)
    if not read and not damaged:
        raise refusals.nothing_readable(paths)
    _refuse_two_patients(read)
    identity = SourceIdentity(frozenset().union(*{file.texts for file in read}))
    layout = _Layout(folder, identity)
    scans = _without_copies(_with_problems(layout, _group(layout, read), damaged))
    if not any(not scan.problem for scan in scans):
        raise BadInputError(
            "Cannot convert the session, since no scan of it is whole. "
            + " ".join(f"Scan {scan.scan_id}: {scan.problem}" for scan in scans)
        )
    refusals.refuse_other_modalities(file.modality for file in read if file.is_image)
    studies = {file.study_uid for file in read if file.study_uid}
    return Inventory(scans, len(studies), other, identity)


def _files(folder: Path) -> list[Path]:
    found = sorted(
        Path(parent, name)
        for parent, _, names in os.walk(folder)
        for name in names
        if os.path.isfile(os.path.join(parent, name))  # noqa: PTH113, PTH118 - many times faster
    )
    return [path for path in found if not is_catalog(path)]


def _looks_spoilt(path: Path, image_dirs: Collection[Path]) -> bool:
    """Tell whether a file without the magic word must have been an image once.

    By its ending, or because it is empty, has no ending of another kind of file, and lies among
    images.
    """
    if path.suffix.lower() in _DICOM_SUFFIXES:
        return True
    has_own_kind = path.name.startswith(".") or path.suffix[1:].isalpha()
    return path.stat().st_size == 0 and not has_own_kind and path.parent in image_dirs


def _without_copies(scans: tuple[Scan, ...]) -> tuple[Scan, ...]:
    """Mark all but the first of the files with the same bytes."""
    marked = copies((file.sop_uid, file.path) for scan in scans for file in scan.files)
    return tuple(
        replace(
            scan,
            files=tuple(
                replace(file, is_copy=True) if file.path in marked else file for file in scan.files
            ),
        )
        for scan in scans
    )


_DAMAGED = Header({}, (), "latin-1", PixelState.NONE, 0)


class _Reader:
    """Reads headers, and remembers identities: they are the same in most files of a session."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], frozenset[str]] = {}

    def header(self, path: Path) -> Header | None:
        """Return the file's header; None if it is no DICOM file, ``_DAMAGED`` if damaged."""
        try:
            return headers.read_header(path)
        except NotUnderstoodError:
            # Only here, because importing pydicom takes longer than reading a session.
            from containers.dicom_to_bids.pixels import read_any_header  # noqa: PLC0415 - see above

            return read_any_header(path) or _DAMAGED
        except OSError:
            return _DAMAGED

    def _identities(self, header: Header) -> frozenset[str]:
        key = (header.codec, header.persons)
        if key not in self._known:
            self._known[key] = frozenset(
                identity_texts(
                    {name: value.decode(header.codec, "replace") for name, value in header.persons}
                )
            )
        return self._known[key]

    def facts(self, path: Path, header: Header) -> DicomFile | None:
        """Return what this step uses of a header; None where it does not say what the file is."""

        def text(keyword: str) -> str:
            return header.texts.get(keyword, "")

        sop_class = text("SOPClassUID")
        if not sop_class:
            return None
        # By class, so that a file whose end with the pixels is missing still counts as an image.
        # Private classes (Philips keeps raw data in one) are images only if they have pixels.
        is_image = sop_class in _IMAGE_CLASSES or header.pixels is not PixelState.NONE
        is_image = is_image and sop_class != _SPECTRUM
        is_mosaic = bool({"MOSAIC", "VFRAME"} & set(text("ImageType").split("\\")))
        date = text("AcquisitionDate") or text("SeriesDate")
        return DicomFile(
            path=path,
            study_uid=text("StudyInstanceUID"),
            series_uid="" if sop_class == _DIRECTORY else text("SeriesInstanceUID"),
            series_number=_whole_number(text("SeriesNumber")),
            sop_uid=text("SOPInstanceUID"),
            instance_number=_whole_number(text("InstanceNumber")),
            patient=text("PatientID") or text("PatientName"),
            is_image=is_image,
            is_whole=header.pixels is PixelState.WHOLE or not is_image,
            taken_at=f"{date} {text('AcquisitionTime') or text('SeriesTime')}",
            join_key=tuple(map(text, _JOIN_KEYWORDS)),
            protocol=f"{text('ProtocolName')} {text('SeriesDescription')}",
            texts=self._identities(header),
            modality=text("Modality"),
            slice_count=header.slice_count,
            slice_pixels=0 if is_mosaic else int(text("Rows") or 0) * int(text("Columns") or 0),
        )


_JOIN_KEYWORDS = (
    *("StudyInstanceUID", "SeriesTime", "SeriesDescription", "ProtocolName", "ImageType"),
    *("Rows", "Columns", "EchoTime"),
)


def _whole_number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?[0-9]+", text) else None


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the session lies, and what a folder's name must not tell."""

    folder: Path
    identity: SourceIdentity

    def scan_id(self, path: Path) -> str | None:
        """Return the scan's id in the XNAT layout; None elsewhere, and where it may be a name."""
        parts = path.relative_to(self.folder).parts
        for place, part in enumerate(parts[:-2]):
            if part.upper() == "SCANS":
                scan_id = parts[place + 1]
                is_id = _XNAT_ID.fullmatch(scan_id) and not self.identity.touches(scan_id)
                return scan_id if is_id else None
        return None


def _group(layout: _Layout, files: Sequence[DicomFile]) -> tuple[Scan, ...]:
    """Return scans by XNAT's folder, or else by series number; one number, one series."""
    by_id: dict[str, list[DicomFile]] = {}
    series_of: dict[str, str] = {}
    # By time first, so that the names of the files do not decide which of two is the second.
    starts: dict[str, str] = {}
    for file in files:
        start = starts.setdefault(file.series_uid, file.taken_at)
        starts[file.series_uid] = min(start, file.taken_at)
    by_place = [(layout.scan_id(file.path), file) for file in files]
    by_place.sort(
        key=lambda pair: (
            *(pair[0] is None, starts[pair[1].series_uid], pair[1].series_uid),
            pair[1].path,
        )
    )
    for placed, file in by_place:
        if placed is not None:
            scan_id = placed
            series_of[placed] = ""
        else:
            base = "unnumbered" if file.series_number is None else str(file.series_number)
            scan_id, turn = base, 1
            while series_of.setdefault(scan_id, file.series_uid) != file.series_uid:
                turn += 1
                scan_id = f"{base}-{turn}"
        by_id.setdefault(scan_id, []).append(file)
    ordered = sorted(by_id, key=scan_order)
    return tuple(Scan(scan_id, tuple(by_id[scan_id])) for scan_id in ordered)


def scan_order(scan_id: str) -> tuple[int, str]:
    """Return the key that sorts scan ids as people do: 2 before 10."""
    digits = scan_id.split("-", maxsplit=1)[0]
    return (int(digits) if digits.isdigit() else 10**9, scan_id)


def _with_problems(
    layout: _Layout, scans: tuple[Scan, ...], damaged: Sequence[Path]
) -> tuple[Scan, ...]:
    """Mark the scans that must not be converted, and add those of which nothing can be read."""
    homes: dict[Path, set[str]] = {}
    by_series: dict[str, str] = {}
    for scan in scans:
        for file in scan.files:
            homes.setdefault(file.path.parent, set()).add(scan.scan_id)
            by_series[file.series_uid] = scan.scan_id
    lost: Counter[str] = Counter()
    for path in damaged:
        neighbours = homes.get(path.parent, set())
        alone = next(iter(neighbours)) if len(neighbours) == 1 else UNATTRIBUTED
        remnant = by_series.get(headers.remnant_series_uid(path))
        lost[layout.scan_id(path) or remnant or alone] += 1
    marked = [_marked(scan, lost.pop(scan.scan_id, 0)) for scan in scans]
    for scan_id, count in lost.items():
        text = f"{count} of its {count} files are cut short, damaged or no DICOM; send it again."
        if scan_id == UNATTRIBUTED:
            text = (
                f"{count} files are cut short, damaged or no DICOM, and nothing tells their scan; "
                "compare the number of files of each scan with the scanner's."
            )
        marked.append(Scan(scan_id, (), text, count))
    return tuple(sorted(_spread(marked), key=lambda scan: scan_order(scan.scan_id)))


def _marked(scan: Scan, lost_count: int) -> Scan:
    broken = lost_count + sum(not file.is_whole for file in scan.files)
    total = len(scan.files) + lost_count
    problem = (
        f"{broken} of its {total} files are cut short, damaged or no DICOM; send it again."
        if broken
        else ""
    )
    return replace(scan, problem=problem, lost_count=lost_count)


def _spread(scans: Iterable[Scan]) -> list[Scan]:
    """Give a problem to all scans of one measurement, which dcm2niix would join without it."""
    listed = list(scans)
    source = {file.join_key: scan.scan_id for scan in listed if scan.problem for file in scan.files}
    spread = []
    for scan in listed:
        origin = next((source[file.join_key] for file in scan.files if file.join_key in source), "")
        problem = scan.problem
        if origin and not problem:
            problem = f"A part of its measurement is scan {origin}, which is damaged."
        spread.append(replace(scan, problem=problem))
    return spread


def _refuse_two_patients(files: Iterable[DicomFile]) -> None:
    patients = {file.patient for file in files if file.patient}
    if len(patients) > 1:
        raise BadInputError(
            f"Cannot convert the session: its DICOM files belong to {len(patients)} patients, "
            "one is needed; sort the files into one session for each patient."
        )
