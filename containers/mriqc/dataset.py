"""Finds the BIDS data set of one participant and session that MRIQC is to work on.

The step's input is never changed: MRIQC gets a folder of links. Not here: running it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from containers.contract import BadInputError

MODALITIES = ("T1w", "T2w", "bold", "dwi")
_LABEL = re.compile(r"sub-([A-Za-z0-9]+)")
_IMAGE = re.compile(
    r"(sub-[A-Za-z0-9]+(?:_[a-z]+-[A-Za-z0-9]+)*_(?:T1w|T2w|bold|dwi))\.nii(?:\.gz)?"
)
_DESCRIPTION = {"Name": "one session", "BIDSVersion": "1.9.0"}


@dataclass(frozen=True, slots=True)
class Dataset:
    """What MRIQC is given.

    Attributes
    ----------
    root : Path
        A folder of links, with a description.
    participant : str
        Label without ``sub-``.
    images : tuple of str
        BIDS names without ending of the images that MRIQC measures.
    """

    root: Path
    participant: str
    images: tuple[str, ...]


def link_dataset(input_dir: Path, scratch_dir: Path) -> Dataset:
    """Return the data set, as links below ``scratch_dir``.

    Raises
    ------
    BadInputError
        There is no participant, there are several, or there is no image that MRIQC measures.
    """
    folders = _participants(input_dir)
    labels = sorted({folder.name for folder in folders})
    if not labels:
        raise BadInputError(
            "There is no BIDS participant (a folder sub-LABEL) in the input folder. Convert the "
            "session to BIDS first."
        )
    if len(labels) > 1:
        raise BadInputError(
            f"There are {len(labels)} participants in the input folder; MRIQC is run for one "
            "session at a time."
        )
    root = scratch_dir / "bids"
    images = sorted(
        name for folder in folders for name in _link(folder, root / labels[0])
    )  # fmt: skip
    if not images:
        raise BadInputError(
            "The participant has no T1w, T2w, bold or dwi image (NIfTI with a BIDS name)."
        )
    text = json.dumps(_DESCRIPTION)
    (root / "dataset_description.json").write_text(text, encoding="utf-8")
    _link_top_level(folders[0].parent, root)
    return Dataset(root, labels[0].removeprefix("sub-"), tuple(images))


def _participants(input_dir: Path) -> list[Path]:
    found = []
    for parent, names, _files in os.walk(input_dir):
        for name in sorted(names):
            path = Path(parent, name)
            if _LABEL.fullmatch(name) and not path.is_symlink():
                found.append(path)
        names[:] = [
            name for name in names
            if name not in {"derivatives", "sourcedata"} and not _LABEL.fullmatch(name)
        ]  # fmt: skip
    return sorted(found)


def _link(source: Path, target: Path) -> Sequence[str]:
    images = []
    for parent, names, files in os.walk(source):
        names.sort()
        folder = target / Path(parent).relative_to(source)
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(files):
            path = Path(parent, name)
            if path.is_symlink():
                continue
            (folder / name).symlink_to(path.resolve())
            match = _IMAGE.fullmatch(name)
            if match:
                images.append(match.group(1))
    return images


def _link_top_level(source: Path, root: Path) -> None:
    """Link sidecars of the whole data set, which BIDS' inheritance may need."""
    for path in sorted(source.glob("*.json")):
        target = root / path.name
        if not target.exists() and path.is_file() and not path.is_symlink():
            target.symlink_to(path.resolve())
