"""Finds recordings in a folder by what is in the files, and accounts for every file once.

Not here: what is in a recording (the formats) and what is done with it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from containers.archive_catalogs import is_catalog
from containers.recordings import brainvision, ctf, edf, eeglab, fif, kit
from containers.recordings.model import (
    Recording,
    RecordingFormat,
    RefusedFile,
    RefusedRecordingError,
)

SUPPORTED = "EDF, BDF, BrainVision, EEGLAB, FIF, CTF and KIT"
_FIRST_BYTES = 512
_NOT_SUPPORTED = (
    (128, b"DICM", "It is a DICOM file: convert it with dicom-to-bids."),
    (0, b"MATRIX7", "It is a PET image (ECAT), which is not supported"),
    (344, b"n+1\x00", "It is an image (NIfTI), which is not supported"),
    (0, b"EGI", "It is an EGI recording, which is not supported"),
    (0, b"Version 3.0", "It is a Neuroscan recording, which is not supported"),
    (0, b"MEF", "It is a MEF recording, which is not supported"),
    (0, b"\x89HDF", "It is an HDF5 file (SNIRF, for one), which is not supported"),
)


def find_recordings(folder: Path) -> tuple[Recording | RefusedFile, ...]:
    """Return the recordings below a folder and the files that belong to none, by path.

    Every file below the folder is in exactly one `Recording.files` or is one `RefusedFile`;
    links are refused, not followed. XNAT's own catalogues of the files are passed over.
    """
    search = _Search()
    for found in _folders(folder, search):
        search.look_at(found)
    left = (each for each in search.found if not _is_catalog_file(each))
    return tuple(sorted(left, key=_path_of))


def _is_catalog_file(found: Recording | RefusedFile) -> bool:
    if isinstance(found, Recording) or found.path.is_symlink():
        return False
    return is_catalog(found.path)


def _path_of(found: Recording | RefusedFile) -> Path:
    return found.main if isinstance(found, Recording) else found.path


def _folders(folder: Path, search: _Search) -> Iterator[list[Path]]:
    """Give the plain files of each folder; folders of CTF are taken as a whole."""
    entries = sorted(Path(entry.path) for entry in os.scandir(folder))
    links = [path for path in entries if path.is_symlink()]
    search.found += [
        RefusedFile(path, "It is a link, which is not followed: copy the file itself.")
        for path in links
    ]
    plain = [path for path in entries if path not in links]
    files = [path for path in plain if path.is_file()]
    search.found += [
        RefusedFile(path, "It is no file (a socket, a pipe or a device).")
        for path in plain
        if not path.is_file() and not path.is_dir()
    ]
    headers = [path for path in files if path.suffix == ".res4" and ctf.is_header(_first(path))]
    if headers:
        search.take_ctf(folder, headers)
        return
    yield files
    for path in plain:
        if path.is_dir():
            yield from _folders(path, search)


def _eeglab_samples(path: Path, left: set[Path]) -> str | None:
    name = eeglab.data_file_name(path)
    renamed = path.with_suffix(".fdt")
    # Files renamed together still name each other as before; EEGLAB then goes by their stems.
    return renamed.name if name and path.with_name(name) not in left and renamed in left else name


def _first(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_FIRST_BYTES)


class _Search:
    """What was found so far; each file is taken once."""

    def __init__(self) -> None:
        self.found: list[Recording | RefusedFile] = []

    def take_ctf(self, folder: Path, headers: list[Path]) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
        reason = None
        if any(path.is_symlink() for path in files):
            reason = "It is in a CTF folder that holds links, which are not followed."
        elif folder.suffix != ".ds" or folder / f"{folder.stem}.res4" not in headers:
            reason = (
                "It is in a CTF folder that was renamed: the folder and the header in it must "
                "have one name (NAME.ds, NAME.res4)."
            )
        if reason:
            self.found += [RefusedFile(path, reason) for path in files]
        else:
            self.found.append(Recording(RecordingFormat.CTF, folder, tuple(files)))

    def look_at(self, files: list[Path]) -> None:
        """Group the files of one folder."""
        first = {}
        for path in files:
            try:
                first[path] = _first(path)
            except OSError:
                self.found.append(RefusedFile(path, "It cannot be read: its rights forbid it."))
        files = list(first)
        left = set(files)
        for take in (self._take_single, self._take_brainvision, self._take_eeglab):
            for path in files:
                if path in left:
                    left -= take(path, first[path], left)
        left -= self._take_fif([path for path in files if path in left and fif.sniff(first[path])])
        left -= self._take_kit([path for path in files if path in left])
        self.found += [RefusedFile(path, _why(path, first[path])) for path in sorted(left)]

    def _take_single(self, path: Path, first: bytes, _left: set[Path]) -> set[Path]:
        kind = edf.sniff(first)
        if kind:
            self.found.append(Recording(kind, path, (path,)))
        return {path} if kind else set()

    def _take_brainvision(self, path: Path, first: bytes, left: set[Path]) -> set[Path]:
        if not brainvision.sniff(first):
            return set()
        return self._with_members(
            path, RecordingFormat.BRAINVISION, left, lambda: brainvision.member_names(path)
        )

    def _take_eeglab(self, path: Path, first: bytes, left: set[Path]) -> set[Path]:
        if not eeglab.sniff(first):
            return set()
        return self._with_members(
            path, RecordingFormat.EEGLAB, left, lambda: (_eeglab_samples(path, left),)
        )

    def _with_members(
        self,
        main: Path,
        kind: RecordingFormat,
        left: set[Path],
        names_of: Callable[[], tuple[str | None, ...]],
    ) -> set[Path]:
        """Take a recording with the files that its header names; refuse it without them."""
        try:
            members = [main.with_name(name) for name in names_of() if name]
        except RefusedRecordingError as error:
            self.found.append(RefusedFile(main, str(error)))
            return {main}
        missing = sum(path not in left for path in members)
        if missing:
            self.found.append(
                RefusedFile(
                    main,
                    f"It is the header of a recording ({kind.value}); {missing} of the files that "
                    "it names are not beside it, or belong to another recording.",
                )
            )
            return {main}
        files = {main, *members}
        self.found.append(Recording(kind, main, tuple(sorted(files))))
        return files

    def _take_fif(self, paths: list[Path]) -> set[Path]:
        following: dict[Path, Path | None] = {}
        for path in paths:
            try:
                reason = fif.check_raw(path)
                name = fif.following_file(path) if not reason else None
            except RefusedRecordingError as error:
                reason, name = str(error), None
            if reason:
                self.found.append(RefusedFile(path, reason))
            else:
                following[path] = path.with_name(Path(name).name) if name else None
        later = {path for path in following.values() if path}
        taken: set[Path] = set()
        for start in following:
            if start in later:
                continue
            chain = [start]
            while (part := following.get(chain[-1])) and part not in chain:
                chain.append(part)
            missing = [path for path in chain if path not in following]
            taken |= set(chain)
            if missing:
                self.found += [
                    RefusedFile(
                        path, "It is a part of a split FIF recording; another part is missing."
                    )
                    for path in chain
                    if path in following
                ]
            else:
                self.found.append(Recording(RecordingFormat.FIF, start, tuple(chain)))
        # Parts that name each other in a circle begin nowhere.
        self.found += [
            RefusedFile(path, "It is a part of a split FIF recording that has no first part.")
            for path in following
            if path not in taken
        ]
        return set(paths)

    def _take_kit(self, paths: list[Path]) -> set[Path]:
        own = [path for path in paths if kit.sniff(path)]
        mains = [path for path in own if kit.is_recording(path)]
        points = [path for path in paths if path not in own and kit.is_points(path)]
        others = sorted({path for path in own if path not in mains} | set(points))
        if len(mains) != 1:
            # With several recordings in a folder, names tell which points belong to which.
            return self._kit_by_name(mains, others)
        self.found.append(Recording(RecordingFormat.KIT, mains[0], (mains[0], *others)))
        return {mains[0], *others}

    def _kit_by_name(self, mains: list[Path], others: list[Path]) -> set[Path]:
        taken: set[Path] = set()
        for main in mains:
            near = [
                path for path in others if path.stem.startswith(main.stem) and path not in taken
            ]
            self.found.append(Recording(RecordingFormat.KIT, main, (main, *near)))
            taken |= {main, *near}
        return taken


def _why(path: Path, first: bytes) -> str:
    for offset, magic, reason in _NOT_SUPPORTED:
        if first[offset:].startswith(magic):
            return reason if reason.endswith(".") else f"{reason}; supported are {SUPPORTED}."
    if not first:
        return "It is empty."
    if brainvision.is_marker_file(first) or path.suffix.lower() in {".eeg", ".fdt", ".vmrk"}:
        return "It belongs to a recording whose header is not here."
    return f"It is no recording that is supported ({SUPPORTED}), and belongs to none."
