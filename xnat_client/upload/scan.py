"""Looking at a folder before anything is sent: which DICOM files, which session, what is wrong.

Not here: a single file (``dicom_file``), sending (``send``).
"""

from __future__ import annotations

import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from xnat_client.errors import BadInputError, UsageError
from xnat_client.upload.dicom_file import (
    DamagedError,
    DicomFile,
    NotDicomError,
    read_dicom_file,
)

Progress = Callable[[int, int], None]
"""Is told the files done and the files in all."""

_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class RejectedFile:
    """A file that is not part of the upload.

    ``position`` counts from 1 among all files of the folder, sorted by relative path. ``path``
    is for the user's own eyes only: file names often hold a name or a date.
    """

    position: int
    reason: str
    path: Path


@dataclass(frozen=True, slots=True)
class SeriesPlan:
    """One series; ``folder`` is its generic name inside the archive that is sent."""

    folder: str
    number: int | None
    modality: str
    files: tuple[DicomFile, ...]

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all its files."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class StudyPlan:
    """One study, which becomes one session; ``number`` counts from 1, sorted by study UID."""

    number: int
    patients: int
    series: tuple[SeriesPlan, ...]
    duplicates: tuple[RejectedFile, ...]

    @property
    def files(self) -> tuple[DicomFile, ...]:
        """Return all files of the study."""
        return tuple(file for series in self.series for file in series.files)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return what does not forbid the upload but should be known before it."""
        counts = Counter(series.number for series in self.series)
        return tuple(
            f"{count} series share the number {'(none)' if number is None else number}; the server "
            "will rename all but one of these scans."
            for number, count in sorted(counts.items(), key=str)
            if count > 1
        )


@dataclass(frozen=True, slots=True)
class FolderScan:
    """Everything that was found in a folder.

    ``rejected`` are left out (not DICOM); ``damaged`` forbid an upload (cut off, unreadable,
    contradicting); ``file_count`` is the number of all files looked at.
    """

    folder: Path
    file_count: int
    studies: tuple[StudyPlan, ...]
    rejected: tuple[RejectedFile, ...]
    damaged: tuple[RejectedFile, ...]
    unfollowed_links: int

    @property
    def patients(self) -> int:
        """Return the number of different patients in the folder."""
        digests = {file.patient for study in self.studies for file in study.files}
        return len(digests)


def scan_folder(folder: Path, progress: Progress | None = None) -> FolderScan:
    """Read every file below a folder.

    Symbolic links to files are followed, those to folders are not (they are counted).

    Raises
    ------
    BadInputError
        The folder does not exist, cannot be listed, or holds no file at all.
    """
    if not folder.is_dir():
        raise BadInputError("The folder to upload does not exist or is not a folder.")
    paths, unfollowed = _find_files(folder)
    if not paths:
        raise BadInputError("The folder to upload holds no files.")
    good: list[DicomFile] = []
    rejected: list[RejectedFile] = []
    damaged: list[RejectedFile] = []
    for position, path in enumerate(paths, start=1):
        try:
            _require_regular(path)
            good.append(read_dicom_file(path, position))
        except NotDicomError as error:
            rejected.append(RejectedFile(position, str(error), path))
        except DamagedError as error:
            damaged.append(RejectedFile(position, str(error), path))
        except OSError as error:
            reason = f"it cannot be read ({error.strerror or type(error).__name__})"
            damaged.append(RejectedFile(position, reason, path))
        if progress is not None:
            progress(position, len(paths))
    studies, clashes = _group(good)
    return FolderScan(
        folder=folder,
        file_count=len(paths),
        studies=studies,
        rejected=tuple(rejected),
        damaged=tuple(sorted([*damaged, *clashes], key=lambda file: file.position)),
        unfollowed_links=unfollowed,
    )


def choose_study(scan: FolderScan, number: int | None = None) -> StudyPlan:
    """Return the one study that can be uploaded from a folder.

    Parameters
    ----------
    number : int or None
        Which study, from 1, if the folder holds several.

    Raises
    ------
    BadInputError
        No DICOM; damaged or unreadable files; several studies without a number; several patients.
    UsageError
        There is no study of that number.
    """
    if scan.damaged:
        raise BadInputError(
            f"Damaged or unreadable: {len(scan.damaged)} of {scan.file_count} files, so nothing "
            f"was sent: {_name_files(scan.damaged)}. Copy them again from their source; "
            "'winxnat upload --dry-run --show-paths' prints where they are."
        )
    if not scan.studies:
        raise BadInputError(
            f"None of the {scan.file_count} files is a DICOM image. Check the folder; archives "
            "(zip, tar) must be unpacked first."
        )
    if number is None and scan.patients > 1:
        raise BadInputError(
            f"The folder holds images of {scan.patients} different patients, (0010,0020) PatientID "
            "or (0010,0010) PatientName differ. Nothing was sent; upload each from its own folder."
        )
    if number is None and len(scan.studies) > 1:
        raise BadInputError(
            f"The folder holds {len(scan.studies)} studies, and a session is one. Choose with "
            "--study; --dry-run lists them."
        )
    if number is not None and not 1 <= number <= len(scan.studies):
        raise UsageError(f"There is no study {number}: the folder holds {len(scan.studies)}.")
    study = scan.studies[(number or 1) - 1]
    if study.patients > 1:
        raise BadInputError(
            f"Study {study.number} holds images of {study.patients} different patients: "
            "(0010,0020) PatientID or (0010,0010) PatientName differ. Nothing was sent; correct "
            "the files at their source."
        )
    return study


def _name_files(files: Iterable[RejectedFile]) -> str:
    listed = list(files)
    named = [f"file {file.position}: {file.reason}" for file in listed[:_MOST_NAMED]]
    more = len(listed) - len(named)
    return "; ".join(named) + (f"; and {more} more" if more else "")


def _find_files(folder: Path) -> tuple[list[Path], int]:
    def stop(error: OSError) -> None:
        raise BadInputError(
            f"A folder below the one to upload cannot be listed ({error.strerror}). Allow reading "
            "it, or move it away."
        ) from error

    paths, unfollowed = [], 0
    for base, folders, names in os.walk(folder, onerror=stop):
        unfollowed += sum((Path(base) / name).is_symlink() for name in folders)
        paths += [Path(base) / name for name in names]
    return sorted(paths, key=lambda path: os.fsencode(path.relative_to(folder))), unfollowed


def _require_regular(path: Path) -> None:
    # Opening a named pipe would wait for ever. A dangling link raises here.
    if not stat.S_ISREG(path.stat().st_mode):
        raise NotDicomError("not a regular file")


def _group(files: Iterable[DicomFile]) -> tuple[tuple[StudyPlan, ...], list[RejectedFile]]:
    by_study: dict[str, list[DicomFile]] = defaultdict(list)
    for file in files:
        by_study[file.study_uid].append(file)
    clashes: list[RejectedFile] = []
    studies = []
    for number, uid in enumerate(sorted(by_study), start=1):
        kept, duplicates, contradicting = _without_duplicates(by_study[uid])
        clashes += contradicting
        studies.append(
            StudyPlan(
                number=number,
                patients=len({file.patient for file in by_study[uid]}),
                series=tuple(_series(kept)),
                duplicates=tuple(duplicates),
            )
        )
    return tuple(studies), clashes


def _without_duplicates(
    files: Iterable[DicomFile],
) -> tuple[list[DicomFile], list[RejectedFile], list[RejectedFile]]:
    first: dict[str, DicomFile] = {}
    duplicates, contradicting = [], []
    for file in files:
        known = first.setdefault(file.instance_uid, file)
        if known is file:
            continue
        if known.md5 == file.md5:
            reason = f"the same as file {known.position}"
            duplicates.append(RejectedFile(file.position, reason, file.path))
        else:
            reason = f"it has the SOPInstanceUID of file {known.position} but another content"
            contradicting.append(RejectedFile(file.position, reason, file.path))
    return list(first.values()), duplicates, contradicting


def _series(files: Iterable[DicomFile]) -> Iterator[SeriesPlan]:
    by_series: dict[str, list[DicomFile]] = defaultdict(list)
    for file in files:
        by_series[file.series_uid].append(file)
    ordered = sorted(
        by_series.values(), key=lambda group: (group[0].series_number or 0, group[0].series_uid)
    )
    used: Counter[str] = Counter()
    for group in ordered:
        number = group[0].series_number
        name = "unnumbered" if number is None else str(number)
        used[name] += 1
        yield SeriesPlan(
            folder=name if used[name] == 1 else f"{name}-{used[name]}",
            number=number,
            modality=group[0].modality,
            files=tuple(group),
        )
