"""Looking at everything below some folders: what each file is, and which belong together.

Reads only; contacts nobody. Not here: where things go (``plan``), one DICOM file
(``dicom_file``), recordings (``recordings``).
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from xnat_client.errors import BadInputError
from xnat_client.upload.dicom_file import DicomFile, NotDicomError
from xnat_client.upload.file_reading import BATCH, read_batches
from xnat_client.upload.recordings import Recording, find_recordings

Progress = Callable[[int, int], None]
"""Is told the files done and the files in all."""

_SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
_IMAGES = (".nii.gz", ".nii", ".mgz", ".mgh", ".mif", ".mif.gz", ".gii")
_SIDECARS = (".json", ".bval", ".bvec")
_TABLES = (
    ".csv", ".tsv", ".txt", ".json", ".xml", ".yaml", ".yml", ".md", ".log", ".mat", ".npy",
    ".npz", ".h5", ".hdf5", ".xlsx", ".xls", ".ods", ".sav", ".rds", ".rdata", ".edat", ".edat2",
    ".edat3", ".psydat", ".asc", ".acq", ".smr", ".smrx", ".puls", ".resp", ".ext", ".ecg",
    ".snirf", ".nwb", ".eeg", ".cnt", ".edf", ".mrk", ".elp", ".hsp", ".pos", ".sfp", ".tsv.gz",
    ".bval", ".bvec", ".m", ".py",
)  # fmt: skip
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".gz", ".7z", ".rar", ".bz2", ".xz")
_BIDS_MARK = "dataset_description.json"
_BIDS_FILES = frozenset({"readme", "changes", "license", ".bidsignore"})


class Kind(StrEnum):
    """What a unit is."""

    DICOM = "DICOM"
    EEG = "EEG"
    MEG = "MEG"
    IMAGE = "image"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class DiskFile:
    """A file that is not DICOM. ``name`` is its path below its unit's resource."""

    path: Path
    name: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Unit:
    """What travels together: one row of the plan.

    Parameters
    ----------
    root, anchor : Path
        The SOURCE that it was found in, and the file or folder that stands for it.
    mark : str
        Behind the anchor's path where several units share it: ``#series=3-1a2b3c``.
    images : tuple of DicomFile
        The files of DICOM.
    files : tuple of DiskFile
        The files of everything else.
    bids_root : Path or None
        The BIDS dataset that it lies in.
    problem, doubt, note : str
        Why it must not be sent; why it is sent only if somebody says so; what to know of it.
    """

    root: Path
    anchor: Path
    kind: Kind
    mark: str = ""
    images: tuple[DicomFile, ...] = ()
    files: tuple[DiskFile, ...] = ()
    bids_root: Path | None = None
    problem: str = ""
    doubt: str = ""
    note: str = ""

    @property
    def source(self) -> str:
        """Return what the plan calls it."""
        return f"{self.anchor}{self.mark}"

    @property
    def file_count(self) -> int:
        """Return the number of its files."""
        return len(self.images) + len(self.files)

    @property
    def size_bytes(self) -> int:
        """Return the bytes of all its files."""
        return sum(one.size_bytes for one in self.images) + sum(
            one.size_bytes for one in self.files
        )


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is not part of the upload; ``path`` is for the user's own eyes only."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True)
class Survey:
    """Everything that was found; every file is in a unit or rejected."""

    roots: tuple[Path, ...]
    units: tuple[Unit, ...]
    rejected: tuple[Rejected, ...]
    file_count: int


@dataclass(slots=True)
class _Sorting:
    """The work in hand for one root."""

    root: Path
    rejected: list[Rejected] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)


def survey(
    sources: Sequence[Path], *, elements: Iterable[str] = (), progress: Progress | None = None
) -> Survey:
    """Find out what every file below some folders is.

    Parameters
    ----------
    sources : sequence of Path
        Folders or single files. Links to files are followed, those to folders are not.
    elements : iterable of str
        Keywords of DICOM elements from which labels will be made.

    Raises
    ------
    BadInputError
        A source does not exist, cannot be listed, or lies in another one; or nothing is there.
    """
    _check_sources(sources)
    listed = [(root, _find_files(root)) for root in sources]
    total = sum(len(paths) for _, paths in listed)
    if not total:
        raise BadInputError("There are no files to upload. Check the folder.")
    units: list[Unit] = []
    rejected: list[Rejected] = []
    done = 0
    for root, paths in listed:

        def count(files: int, before: int = done) -> None:
            if progress is not None:
                progress(before + files, total)

        sorting = _Sorting(root)
        _sort(sorting, paths, tuple(elements), count)
        done += len(paths)
        units += sorting.units
        rejected += sorting.rejected
    units.sort(key=lambda unit: os.fsencode(unit.source))
    return Survey(tuple(sources), tuple(units), tuple(rejected), total)


def _check_sources(sources: Sequence[Path]) -> None:
    resolved = []
    for number, source in enumerate(sources, start=1):
        if not source.exists():
            raise BadInputError(f"Source {number} of {len(sources)} does not exist.")
        resolved.append(source.resolve())
    for one in resolved:
        if sum(other == one or other in one.parents for other in resolved) > 1:
            raise BadInputError("A source was given twice, or lies inside another one.")


def _find_files(root: Path) -> list[Path]:
    def stop(error: OSError) -> None:
        raise BadInputError(
            f"A folder below the one to upload cannot be listed ({error.strerror}). Allow reading "
            "it, or move it away."
        ) from error

    if root.is_file():
        return [root]
    paths = []
    for base, folders, names in os.walk(root, onerror=stop):
        # Links to folders are listed like files, so that they are accounted for.
        links = [name for name in folders if (Path(base) / name).is_symlink()]
        paths += [Path(base) / name for name in [*names, *links]]
    return sorted(paths, key=os.fsencode)


def _sort(
    sorting: _Sorting, paths: list[Path], elements: tuple[str, ...], count: Callable[[int], None]
) -> None:
    sizes: dict[Path, os.stat_result] = {}
    for path in paths:
        status = _look(sorting, path)
        if status is not None:
            sizes[path] = status
    bids_roots = {path.parent for path in sizes if path.name == _BIDS_MARK}
    recordings = find_recordings(list(sizes))
    in_recordings = {path for one in recordings for path in one.files}
    rest = [path for path in sizes if path not in in_recordings]
    images: list[DicomFile] = []
    others: list[Path] = []
    read_so_far = len(paths) - len(rest)
    numbered = [(number, path, elements) for number, path in enumerate(rest, start=1)]
    batches = [numbered[n : n + BATCH] for n in range(0, len(numbered), BATCH)]
    for batch in read_batches(batches):
        for path, found in batch:
            read_so_far += 1
            if isinstance(found, DicomFile):
                images.append(found)
            elif isinstance(found, NotDicomError):
                others.append(path)
            else:
                sorting.units.append(_unusable(sorting.root, path, sizes[path], str(found)))
        count(read_so_far)
    sorting.units += _dicom_units(sorting, images)
    sorting.units += [_recording_unit(sorting.root, one, sizes, bids_roots) for one in recordings]
    sorting.units += _other_units(sorting.root, others, sizes, bids_roots)


def _look(sorting: _Sorting, path: Path) -> os.stat_result | None:
    """Return what the file system says of a file that is worth opening."""
    try:
        found = path.stat()
    except OSError as error:
        reason = f"it cannot be read ({error.strerror or type(error).__name__})"
        sorting.rejected.append(Rejected(path, reason))
        return None
    below = path.relative_to(sorting.root).parts if path != sorting.root else (path.name,)
    reason = ""
    if stat.S_ISDIR(found.st_mode):
        reason = "a link to a folder, which is not followed"
    elif not stat.S_ISREG(found.st_mode):
        reason = "not a regular file"  # opening a named pipe would wait for ever
    elif path.name.lower() in _SYSTEM_FILES or path.name.startswith("._"):
        reason = "left by the operating system"
    elif any(part.startswith(".") and part != ".bidsignore" for part in below):
        reason = "hidden (its name or folder begins with a dot)"
    elif not found.st_size:
        reason = "empty; XNAT takes no empty files"
    if reason:
        sorting.rejected.append(Rejected(path, reason))
        return None
    return found


def _unusable(root: Path, path: Path, found: os.stat_result, reason: str) -> Unit:
    file = DiskFile(path, path.name, found.st_size, found.st_mtime_ns)
    return Unit(root, path, Kind.OTHER, files=(file,), problem=reason)


def _dicom_units(sorting: _Sorting, images: list[DicomFile]) -> Iterator[Unit]:
    by_series: dict[tuple[str, str, bytes], list[DicomFile]] = defaultdict(list)
    first: dict[tuple[str, str], DicomFile] = {}
    for image in images:
        known = first.setdefault((image.study_uid, image.instance_uid), image)
        if known is not image and known.md5 == image.md5:
            sorting.rejected.append(Rejected(image.path, "the same image as another file"))
            continue
        by_series[image.study_uid, image.series_uid, image.patient].append(image)
    shared: Counter[tuple[str, str]] = Counter()
    for (study_uid, series_uid, _), files in by_series.items():
        shared[study_uid, series_uid] += 1
        folders = [os.fspath(file.path.parent) for file in files]
        anchor = Path(os.path.commonpath(folders))
        if sorting.root.is_file():
            anchor = sorting.root
        # The digest tells series apart that share number and folder; it is no identifier of
        # its own, for the UID itself stands in the files.
        text = f"{study_uid}\0{series_uid}\0{shared[study_uid, series_uid]}".encode()
        digest = hashlib.sha256(text).hexdigest()[:8]
        number = files[0].series_number
        mark = f"#series={'none' if number is None else number}-{digest}"
        seen: set[str] = set()
        twice = False
        for file in files:
            twice |= file.instance_uid in seen
            seen.add(file.instance_uid)
        problem = "two different images have the same SOPInstanceUID" if twice else ""
        yield Unit(sorting.root, anchor, Kind.DICOM, mark, images=tuple(files), problem=problem)


def _recording_unit(
    root: Path,
    recording: Recording,
    sizes: Mapping[Path, os.stat_result],
    bids_roots: set[Path],
) -> Unit:
    bids_root = _bids_root(recording.anchor, bids_roots)
    top = bids_root or (recording.anchor.parent)
    return Unit(
        root,
        recording.anchor,
        Kind(recording.kind),
        files=tuple(_disk_file(path, top, sizes[path]) for path in recording.files),
        bids_root=bids_root,
        problem=recording.problem,
        note=recording.note,
    )


def _other_units(
    root: Path,
    paths: list[Path],
    sizes: Mapping[Path, os.stat_result],
    bids_roots: set[Path],
) -> Iterator[Unit]:
    stems: dict[str, Path] = {}
    for path in paths:
        suffix = _suffix(path, _IMAGES)
        if suffix:
            stems[os.fspath(path)[: -len(suffix)]] = path
    groups: dict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        suffix = _suffix(path, _SIDECARS)
        image = stems.get(os.fspath(path)[: -len(suffix)]) if suffix else None
        groups[image or path].append(path)
    for anchor, members in groups.items():
        bids_root = _bids_root(anchor, bids_roots)
        top = bids_root or (root if root.is_dir() else root.parent)
        kind = Kind.IMAGE if _suffix(anchor, _IMAGES) else Kind.OTHER
        yield Unit(
            root,
            anchor,
            kind,
            files=tuple(_disk_file(path, top, sizes[path]) for path in sorted(members)),
            bids_root=bids_root,
            doubt="" if kind is Kind.IMAGE else _doubt(anchor, bids_root),
        )


def _doubt(path: Path, bids_root: Path | None) -> str:
    if _suffix(path, _TABLES) or (bids_root and path.name.lower() in _BIDS_FILES):
        return ""
    if _suffix(path, _ARCHIVES):
        return "an archive; unpack it, so that its content can be looked at"
    return "of a kind that may be a letter, photograph or voice; set action to send if it is data"


def _disk_file(path: Path, top: Path, found: os.stat_result) -> DiskFile:
    return DiskFile(path, path.relative_to(top).as_posix(), found.st_size, found.st_mtime_ns)


def _bids_root(path: Path, bids_roots: set[Path]) -> Path | None:
    # The outermost dataset: derivatives inside one have descriptions of their own.
    return next((parent for parent in reversed(path.parents) if parent in bids_roots), None)


def _suffix(path: Path, suffixes: Iterable[str]) -> str:
    name = path.name.lower()
    found = [suffix for suffix in suffixes if name.endswith(suffix) and len(name) > len(suffix)]
    return max(found, key=len, default="")
