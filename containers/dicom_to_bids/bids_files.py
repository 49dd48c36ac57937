"""A BIDS data set as a list of files with the parts of their names.

Not here: what is asked of them (``checks``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

IMAGE_ENDINGS = (".nii.gz", ".nii")
_RECORDINGS = (".edf", ".bdf", ".vhdr", ".set", ".fif", ".snirf", ".nwb", ".tif")
DATA_ENDINGS = (*IMAGE_ENDINGS, *_RECORDINGS)
"""Endings of files that a table of scans lists; folders of recordings are not looked at."""
_NOT_RAW = frozenset({"derivatives", "sourcedata", "code", "stimuli"})


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong: the check that found it, the file below the root, and a sentence.

    Only errors stop a conversion; the others say that something is of less use than it seems.
    """

    check: str
    path: str
    sentence: str
    is_error: bool = True


@dataclass(frozen=True, slots=True)
class BidsFiles:
    """All raw files below a root, by their path below it."""

    root: Path
    paths: tuple[str, ...]

    @property
    def images(self) -> tuple[str, ...]:
        """Return the NIfTI images."""
        return tuple(path for path in self.paths if path.endswith(IMAGE_ENDINGS))

    def sidecar(self, image: str) -> Mapping[str, Any]:
        """Return the content of the JSON file beside an image, empty where there is none."""
        return self.json(stem_of(image) + ".json")

    def json(self, path: str) -> Mapping[str, Any]:
        """Return the object in a JSON file, empty where it holds none."""
        try:
            content = json.loads((self.root / path).read_text("utf-8"))
        except (OSError, ValueError):
            return MappingProxyType({})
        return content if isinstance(content, dict) else MappingProxyType({})

    def table(self, path: str) -> tuple[tuple[str, ...], ...]:
        """Return the rows of a TSV file, the first of which names the columns."""
        text = (self.root / path).read_text("utf-8", errors="replace")
        return tuple(tuple(line.split("\t")) for line in text.splitlines() if line.strip())


def read_files(root: Path) -> BidsFiles:
    """List a data set; derivatives and source data are others' business."""
    found = []
    for parent, folders, names in os.walk(root):
        if Path(parent) == root:
            folders[:] = [name for name in folders if name not in _NOT_RAW]
        found += [(Path(parent) / name).relative_to(root).as_posix() for name in names]
    return BidsFiles(root, tuple(sorted(found)))


def stem_of(path: str) -> str:
    """Return a path without its ending, which begins at the first dot of the name."""
    parent, name = PurePosixPath(path).parent, PurePosixPath(path).name
    return (parent / name.split(".", maxsplit=1)[0]).as_posix()


def suffix_of(path: str) -> str:
    """Return the last part of a name: ``bold``, ``phasediff``."""
    return stem_of(path).rsplit("_", maxsplit=1)[-1]


def entities_of(path: str) -> dict[str, str]:
    """Return the entities in a file's name."""
    parts = PurePosixPath(stem_of(path)).name.split("_")[:-1]
    return dict(part.split("-", maxsplit=1) for part in parts if "-" in part)


def session_folder(path: str) -> str:
    """Return the folder of a file's subject and session, or nothing for files of all."""
    parts = PurePosixPath(path).parts
    kept = [part for part in parts[:2] if part.startswith(("sub-", "ses-"))]
    return "/".join(kept) if kept and kept[0].startswith("sub-") else ""
