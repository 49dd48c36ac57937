"""Finds the images of a folder and says which of them can be measured, and as what.

Names of files may hold names of people: only names that follow BIDS are repeated. Not here:
reading images.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MODALITIES = ("T1w", "T2w", "bold", "dwi")
_ENDINGS = (".nii.gz", ".nii")
BIDS_NAME = re.compile(
    r"sub-[A-Za-z0-9]{1,40}(?:_[a-z]{2,12}-[A-Za-z0-9]{1,40}){0,12}_[A-Za-z0-9]{1,20}"
)
_BIDS_RESOURCE = ("RESOURCES", "BIDS")
_MEASURED = frozenset(MODALITIES)
_NOT_MEASURED = "winqc measures T1w, T2w, bold and dwi; this image is none of them."


@dataclass(frozen=True, slots=True)
class Found:
    """One image file.

    Parameters
    ----------
    name : str
        What it is called in results: its BIDS name without ending, or ``image-7``.
    modality : str or None
        None where it is left out, for ``reason``.
    """

    path: Path
    name: str
    modality: str | None
    reason: str = ""


def result_name(name: str) -> str:
    """Return the beginning of the results' names of an image or recording, as BIDS has it."""
    stem, _, suffix = name.rpartition("_")
    return f"{stem}_desc-winqc_{suffix}" if stem else f"{name}_desc-winqc"


@dataclass(frozen=True, slots=True)
class Places:
    """Where images are looked for.

    Parameters
    ----------
    folders : tuple of Path
        The input folder; or, of a project's archive, the BIDS resource of each session.
    without : int
        Sessions of a project's archive that have no BIDS resource.
    is_project : bool
        Whether the input folder is a project's archive.
    """

    folders: tuple[Path, ...]
    without: int = 0
    is_project: bool = False


def find_places(folder: Path) -> Places:
    """Return where images are looked for below an input folder.

    An XNAT keeps a project as ``arc001/SESSION/`` with ``SCANS`` and ``RESOURCES`` below. There,
    images lie in other resources, too: as they came, defaced, scrubbed; only those of the BIDS
    resources are measured, each once.
    """
    sessions = sorted(
        session
        for archive in folder.glob("arc[0-9]*")
        if archive.is_dir()
        for session in archive.iterdir()
        if (session / "SCANS").is_dir() or (session / "RESOURCES").is_dir()
    )
    if not sessions:
        return Places((folder,))
    root = folder.resolve()
    found = [
        path
        for session in sessions
        if (path := session.joinpath(*_BIDS_RESOURCE)).is_dir()
        # A link must not have another project measured as a part of this one.
        and path.resolve().is_relative_to(root)
    ]
    return Places(tuple(found), len(sessions) - len(found), is_project=True)


def find_images(folders: Sequence[Path], modality: str | None = None) -> tuple[Found, ...]:
    """Return all NIfTI files below folders, in the order of their paths.

    Parameters
    ----------
    modality : str, optional
        What to take images for whose name does not end as BIDS has it.
    """
    found = []
    taken: Counter[str] = Counter()
    paths = ((folder, path) for folder in folders for path in _image_paths(folder))
    for number, (folder, path) in enumerate(paths, 1):
        stem = _stem(path)
        is_bids = BIDS_NAME.fullmatch(stem) is not None
        suffix = stem.rpartition("_")[2]
        name = stem if is_bids else f"image-{number}"
        taken[name] += 1
        if taken[name] > 1:
            name = f"image-{number}"
        reason = _reason_against(path, folder)
        kind = suffix if suffix in _MEASURED else None
        if kind is None and not is_bids:
            kind = modality
            reason = reason or (
                "" if kind else
                "Its name does not end with _T1w, _T2w, _bold or _dwi. Rename it, or set modality."
            )  # fmt: skip
        reason = reason or ("" if kind else _NOT_MEASURED)
        if not is_bids and kind and not reason:
            name = f"image-{number}_{kind}"
        found.append(Found(path, name, None if reason else kind, reason))
    return tuple(found)


def sibling(path: Path, ending: str) -> Path:
    """Return the file beside an image that has its name and another ending."""
    return path.with_name(_stem(path) + ending)


def _image_paths(folder: Path) -> list[Path]:
    # Links to folders are not followed: they may lead out of the input, or in a circle.
    return sorted(
        Path(parent, name)
        for parent, _folders, names in os.walk(folder)
        for name in names
        if name.lower().endswith(_ENDINGS)
    )


def _stem(path: Path) -> str:
    name = path.name
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            return name[: -len(ending)]
    return name


def _reason_against(path: Path, folder: Path) -> str:
    if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
        return "It is a link that leads out of the input folder."
    if "derivatives" in path.relative_to(folder).parts[:-1]:
        return "It lies below derivatives: it is no acquisition."
    return ""
