"""EEG and MEG recordings: which files of a folder belong together.

Recognised by name and by what headers say of their companions; nothing is decoded, for that is
what the steps on the server do. Not here: DICOM (``dicom_file``), where a recording goes
(``plan``).

References
----------
BrainVision Core Data Format 1.0, section 2 (``[Common Infos]``); BIDS 1.10, appendix "MEG file
formats" (CTF ``.ds`` folders, FIF splits, KIT ``.con``/``.sqd``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_COMPANION = re.compile(rb"^\s*(DataFile|MarkerFile)\s*=\s*(.+?)\s*$", re.MULTILINE)
_HEADER_BYTES = 1 << 16
_FIF_PART = re.compile(r"(?:-(\d+)|_split-(\d+)(?:_meg)?)$")
_EDF_MAGIC = (b"0       ", b"\xffBIOSEMI")
_KIT = (".con", ".sqd")
_KIT_COMPANIONS = (".mrk", ".elp", ".hsp")
_FOLDERS = {".ds": "MEG", ".mff": "EEG"}


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording.

    Parameters
    ----------
    anchor : Path
        The file or folder that stands for it.
    kind : str
        ``EEG`` or ``MEG``.
    files : tuple of Path
        All that belongs to it, sorted, ``anchor`` among them unless it is a folder.
    problem : str
        Why it must not be sent; empty if nothing is wrong.
    note : str
        What a person should know of it.
    """

    anchor: Path
    kind: str
    files: tuple[Path, ...]
    problem: str = ""
    note: str = ""


def recording_folder(path: Path) -> Path | None:
    """Return the CTF or EGI folder that a file lies in, or None."""
    return next(
        (
            parent
            for parent in reversed(path.parents)
            if parent.suffix.lower() in _FOLDERS and len(parent.name) > len(parent.suffix)
        ),
        None,
    )


def find_recordings(paths: Sequence[Path]) -> list[Recording]:
    """Find the recordings among files; each file is in one recording at most."""
    found: list[Recording] = []
    folders: dict[Path, list[Path]] = {}
    by_folder: dict[Path, dict[str, Path]] = {}
    for path in paths:
        folder = recording_folder(path)
        if folder is not None:
            folders.setdefault(folder, []).append(path)
        else:
            by_folder.setdefault(path.parent, {})[path.name] = path
    for folder, inside in folders.items():
        found.append(_folder_recording(folder, inside))
    for names in by_folder.values():
        found += _in_one_folder(names)
    return sorted(found, key=lambda one: os.fsencode(one.anchor))


def _folder_recording(folder: Path, inside: list[Path]) -> Recording:
    kind = _FOLDERS[folder.suffix.lower()]
    suffixes = {path.suffix.lower() for path in inside}
    problem = ""
    if kind == "MEG" and not {".meg4", ".res4"} <= suffixes:
        problem = "a CTF folder without its .meg4 or .res4 file"
    return Recording(folder, kind, tuple(sorted(inside)), problem)


def _in_one_folder(names: dict[str, Path]) -> Iterable[Recording]:
    taken: set[str] = set()
    for name in sorted(names):
        if name in taken:
            continue
        stem, suffix = names[name].stem, names[name].suffix
        try:
            recording = _starting_with(names, name, stem, suffix.lower())
        except OSError as error:
            reason = f"it cannot be read ({error.strerror or type(error).__name__})"
            recording = Recording(names[name], "EEG", (names[name],), problem=reason)
        if recording is not None and not taken & {path.name for path in recording.files}:
            taken |= {path.name for path in recording.files}
            yield recording


def _starting_with(names: dict[str, Path], name: str, stem: str, suffix: str) -> Recording | None:
    path = names[name]
    if suffix == ".vhdr":
        return _brainvision(names, path)
    if suffix in (".edf", ".bdf"):
        return _edf(path)
    if suffix == ".set":
        data = names.get(f"{stem}.fdt")
        return Recording(path, "EEG", (path, data) if data else (path,))
    if suffix == ".fif":
        return _fif(names, path, stem)
    if suffix in _KIT:
        return _kit(names, path, stem)
    return None


def _brainvision(names: dict[str, Path], path: Path) -> Recording:
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    files, problem = [path], ""
    named = {key.decode(): value for key, value in _COMPANION.findall(header)}
    for key in ("DataFile", "MarkerFile"):
        if key not in named:
            if key == "DataFile":
                problem = "a BrainVision header that names no data file"
            continue
        companion = named[key].decode("utf-8", errors="surrogateescape")
        companion = companion.replace("$b", path.stem)
        if companion in names:
            files.append(names[companion])
        else:
            problem = f"a BrainVision header whose {key} is not beside it"
    return Recording(path, "EEG", tuple(sorted(files)), problem)


def _edf(path: Path) -> Recording | None:
    with path.open("rb") as stream:
        start = stream.read(88)
    if not start.startswith(_EDF_MAGIC):
        return None  # eye trackers use the same ending
    patient = start[8:88].decode("latin-1").split()
    known = [word for word in patient if word.upper() != "X"]
    note = "its header holds patient data" if known else ""
    return Recording(path, "EEG", (path,), note=note)


def _fif(names: dict[str, Path], path: Path, stem: str) -> Recording | None:
    part = _FIF_PART.search(stem)
    if part is not None and part.group(1) and f"{stem[: part.start()]}.fif" in names:
        return None  # comes with its first file
    if part is not None and part.group(2):
        base = re.escape(stem[: part.start()])
        wanted = re.compile(rf"{base}_split-\d+(_meg)?\.fif")
    else:
        wanted = re.compile(rf"{re.escape(stem)}(-\d+)?\.fif")
    files = tuple(sorted(one for name, one in names.items() if wanted.fullmatch(name)))
    return Recording(path, "MEG", files)


def _kit(names: dict[str, Path], path: Path, stem: str) -> Recording:
    alone = sum(name.lower().endswith(_KIT) for name in names) == 1
    companions = [
        one
        for name, one in names.items()
        if name.lower().endswith(_KIT_COMPANIONS) and (alone or name.startswith(stem))
    ]
    return Recording(path, "MEG", tuple(sorted([path, *companions])))
