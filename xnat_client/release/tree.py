"""The BIDS tree of one session on its way into a release: what stays in it, and its own tables.

Only files of known kinds stay; whatever else a step left is counted and taken out. Not here: the
steps (``session_work``), the tables of the whole dataset (``dataset_files``).
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

IMAGE_ENDINGS = (".nii.gz", ".nii")
_KEPT_ENDINGS = (
    *IMAGE_ENDINGS, ".json", ".tsv", ".tsv.gz", ".bval", ".bvec",
    ".edf", ".bdf", ".vhdr", ".vmrk", ".eeg", ".set", ".fdt", ".fif",
)  # fmt: skip
_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_(?P<suffix>[A-Za-z0-9]+)")
_LINKS = ("IntendedFor", "AssociatedEmptyRoom", "Sources")
NO_FACE = frozenset({"bold", "sbref", "cbv", "dwi", "asl", "m0scan", "epi"})
"""Suffixes that ``deface`` leaves alone by its own rule; its documentation says why."""
NOT_DEFACED = frozenset({"mask", "dseg", "probseg", "defacemask"})
"""Suffixes that ``deface`` does not handle, masks and segmentations: they are not released."""
PHASES = frozenset({"phase", "phase1", "phase2", "phasediff", "fieldmap"})
"""Suffixes of images that ``deface`` cuts as their magnitudes, and never alone."""
_NOT_MR = frozenset({"CT", "PT", "NM"})
ELECTROPHYSIOLOGY_DIRS = frozenset({"eeg", "meg", "ieeg", "emg"})
BEHAVIOUR_DIRS = frozenset({"beh"})


def suffix_of(path: PurePosixPath | Path) -> str:
    """Return the BIDS suffix of a file's name; empty where it is no BIDS name."""
    matched = _NAME.fullmatch(stem_of(path))
    return matched["suffix"] if matched else ""


def stem_of(path: PurePosixPath | Path) -> str:
    """Return a file's name without its ending."""
    return path.name.partition(".")[0]


def images_of(root: Path) -> list[Path]:
    """Return the NIfTI files below a folder, sorted."""
    return sorted(path for path in root.rglob("*") if path.name.endswith(IMAGE_ENDINGS))


def shows_no_face(image: Path) -> bool:
    """Tell whether an image is of a kind that is not defaced by rule."""
    return suffix_of(image) in NO_FACE and sidecar_of(image).get("Modality") not in _NOT_MR


def sidecar_of(image: Path) -> dict[str, Any]:
    """Return the content of an image's sidecar; empty if there is none."""
    path = image.with_name(f"{stem_of(image)}.json")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def keep_released(session_dir: Path, leave_out: Collection[str]) -> Counter[str]:
    """Take out what is not released; return how many files, by reason.

    Parameters
    ----------
    session_dir : Path
        ``sub-LABEL`` of one session.
    leave_out : collection of str
        BIDS folders and suffixes.
    """
    taken: Counter[str] = Counter()
    for path in sorted(session_dir.rglob("*")):
        if not (path.is_file() or path.is_symlink()):
            continue
        is_known = path.name.lower().endswith(_KEPT_ENDINGS) and suffix_of(path) != "sessions"
        if path.is_symlink() or not is_known:
            taken["of a kind that is not released"] += 1
        elif suffix_of(path) in leave_out or path.parent.name in leave_out:
            taken["left out on request"] += 1
        else:
            continue
        path.unlink()
    drop_empty_folders(session_dir)
    return taken


def remove_image(image: Path) -> int:
    """Remove an image with its sidecar and gradient files; return how many files."""
    stem = stem_of(image)
    removed = 0
    for path in list(image.parent.iterdir()):
        if stem_of(path) == stem:
            path.unlink()
            removed += 1
    return removed


def rename_session(root: Path, drawn: str, label: str) -> None:
    """Give a session its label where it was converted under a drawn one.

    Parameters
    ----------
    root : Path
        A BIDS tree; names, sidecars and tables are changed, as images hold no name.
    """
    old, new = f"ses-{drawn}", f"ses-{label}"
    for path in sorted(root.rglob("*"), reverse=True):
        if path.is_file() and path.name.endswith((".json", ".tsv")):
            data = path.read_bytes()
            path.write_bytes(data.replace(old.encode(), new.encode()))
        if old in path.name:
            path.rename(path.with_name(path.name.replace(old, new)))


def mend_tables(root: Path) -> None:
    """Make scans tables and links in sidecars agree with the files that are left, without days.

    A field map that says for which image it is meant names that image's path; where the image is
    not released, the name goes.
    """
    for table in root.rglob("*_scans.tsv"):
        _mend_scans(table)
    names = {path.name for path in root.rglob("*") if path.is_file()}
    for path in root.rglob("*.json"):
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and _cut_links(document, names):
            text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")
    drop_empty_folders(root)


def _mend_scans(table: Path) -> None:
    rows = list(csv.reader(io.StringIO(table.read_text(encoding="utf-8")), delimiter="\t"))
    names = rows[0] if rows else []
    # Moved days tell nothing true: each session was moved on its own.
    kept = [at for at, name in enumerate(names) if name != "acq_time"]
    listed = [row for row in rows[1:] if row and (table.parent / row[0]).exists()]
    if not listed or names[0] != "filename":
        table.unlink()
        return
    lines = ("\t".join(row[at] for at in kept if at < len(row)) for row in (names, *listed))
    table.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _cut_links(document: dict[str, Any], names: Collection[str]) -> bool:
    has_changed = False
    for key in _LINKS:
        if key not in document:
            continue
        given = document[key]
        links = [given] if isinstance(given, str) else list(given)
        kept = [one for one in links if PurePosixPath(str(one)).name in names]
        if kept == links:
            continue
        has_changed = True
        if kept:
            document[key] = kept
        else:
            del document[key]
    return has_changed


def data_types_of(root: Path) -> set[str]:
    """Return the kinds of data in a BIDS tree, as consent names them."""
    folders = {path.parent.name for path in root.rglob("*") if path.is_file()}
    found = set()
    if folders & ELECTROPHYSIOLOGY_DIRS:
        found.add("electrophysiology")
    if folders & BEHAVIOUR_DIRS:
        found.add("behaviour")
    if images_of(root):
        found.add("imaging")
    return found


def drop_empty_folders(root: Path) -> None:
    """Remove folders in which nothing is left."""
    for folder in sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def files_of(root: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted by path."""
    yield from sorted(path for path in root.rglob("*") if path.is_file())
