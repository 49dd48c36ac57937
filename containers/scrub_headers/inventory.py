"""Every file of the input once: what kind it is, whose it is, and where its copy goes.

Not here: copying anything (``copying``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from containers.scrub_headers.gather import HeaderIdentity, looks_like_dicom
from containers.scrub_headers.nifti import is_nifti_name
from containers.scrub_headers.paths import Naming

if TYPE_CHECKING:
    from containers.recordings import Recording

_HEAD_BYTES = 140
_EARLIER_RESULTS = ("SCRUBBED", "SCRUBBED_REPORT")
"""Resources of a session that hold what this step made before."""


class Kind(Enum):
    """By which rules a file is copied."""

    DICOM = "DICOM"
    NIFTI = "NIfTI"
    NIFTI_PAIR = "NIfTI pair"
    JSON = "JSON"
    NUMBERS = "bval/bvec"
    TABLE = "table"
    RECORDING = "recording"
    OTHER = "other"


@dataclass(frozen=True, slots=True, repr=False)
class Item:
    """One file, or several that only make sense together.

    ``numbers`` are the places of the files in the list of all, from 1, in the order of their
    paths; reports name files so, because a path may hold a name. ``reason`` says why it is left
    out already; ``recording`` is what ``containers.recordings`` found.
    """

    numbers: tuple[int, ...]
    paths: tuple[Path, ...]
    kind: Kind
    reason: str = ""
    recording: Recording | None = None


def numbered_files(root: Path) -> dict[Path, int]:
    """Return every file below a folder with its number: the order of ``LC_ALL=C sort``."""
    found = [path for path in root.rglob("*") if path.is_symlink() or not path.is_dir()]
    found.sort(
        key=lambda path: path.relative_to(root).as_posix().encode("utf-8", "surrogateescape")
    )
    return {path: number for number, path in enumerate(found, 1)}


def items_of(root: Path) -> list[Item]:
    """Return all files below a folder, each in exactly one item, in the order of their numbers."""
    numbers = numbered_files(root)
    items: list[Item] = []
    others: list[Path] = []
    for path, number in numbers.items():
        kind = _kind_of(path)
        if path.is_symlink():
            items.append(
                Item((number,), (path,), Kind.OTHER, "It is a link; copy the file itself.")
            )
        elif path.relative_to(root).parts[1:2] in {(each,) for each in _EARLIER_RESULTS}:
            reason = "It is a result of an earlier run of this step."
            items.append(Item((number,), (path,), Kind.OTHER, reason))
        elif kind is Kind.OTHER:
            others.append(path)
        elif kind is not Kind.NIFTI_PAIR:
            items.append(Item((number,), (path,), kind))
    pairs = [
        path for path in numbers if _kind_of(path) is Kind.NIFTI_PAIR and not path.is_symlink()
    ]
    items += _pairs(pairs, numbers)
    items += _recordings(root, others, numbers)
    return sorted(items, key=lambda item: item.numbers)


def _kind_of(path: Path) -> Kind:
    name = path.name.lower()
    if path.is_symlink():
        return Kind.OTHER
    with path.open("rb") as stream:
        if looks_like_dicom(stream.read(_HEAD_BYTES)):
            return Kind.DICOM
    if is_nifti_name(name):
        is_whole = name.removesuffix(".gz").endswith(".nii")
        return Kind.NIFTI if is_whole else Kind.NIFTI_PAIR
    suffixes = {
        ".json": Kind.JSON,
        ".bval": Kind.NUMBERS,
        ".bvec": Kind.NUMBERS,
        ".tsv": Kind.TABLE,
    }
    return suffixes.get(Path(name).suffix, Kind.OTHER)


def _pairs(paths: Sequence[Path], numbers: Mapping[Path, int]) -> list[Item]:
    items: list[Item] = []
    left = set(paths)
    for path in paths:
        name = path.name
        if not name.lower().removesuffix(".gz").endswith(".hdr"):
            continue
        stem = name.lower().rpartition(".hdr")[0]
        partners = [
            each
            for each in paths
            if each.parent == path.parent and each.name.lower().rpartition(".img")[0] == stem
        ]
        if len(partners) == 1 and partners[0] in left:
            left -= {path, partners[0]}
            both = (path, partners[0])
            items.append(Item(tuple(numbers[each] for each in both), both, Kind.NIFTI_PAIR))
    reason = "It is one half of an image of two files (.hdr, .img), and the other is not here."
    items += [Item((numbers[path],), (path,), Kind.OTHER, reason) for path in sorted(left)]
    return items


def _recordings(root: Path, paths: Iterable[Path], numbers: Mapping[Path, int]) -> list[Item]:
    """Group files of recordings; whatever is no recording either is left out with a reason."""
    left = dict.fromkeys(paths, "Files of its kind are not known here, so it is not copied.")
    if not left:
        return []
    items: list[Item] = []
    try:
        from containers.recordings import Recording, find_recordings  # noqa: PLC0415 - an extra
    except ImportError:
        left = dict.fromkeys(
            left, "It is no image; for recordings install winxnat[eeg-to-bids] as well."
        )
    else:
        for found in find_recordings(root):
            if isinstance(found, Recording) and all(path in left for path in found.files):
                for path in found.files:
                    del left[path]
                its_numbers = tuple(numbers[path] for path in found.files)
                items.append(Item(its_numbers, found.files, Kind.RECORDING, recording=found))
            elif not isinstance(found, Recording) and found.path in left:
                left[found.path] = found.reason
    items += [Item((numbers[path],), (path,), Kind.OTHER, why) for path, why in left.items()]
    return items


def planned_names(
    root: Path,
    items: Sequence[Item],
    identities: Mapping[int, HeaderIdentity],
    naming: Naming,
) -> dict[int, PurePosixPath]:
    """Return the new path of each item's first file, by its number; all differ."""
    taken: set[PurePosixPath] = set()
    names: dict[int, PurePosixPath] = {}
    repeats: dict[PurePosixPath, int] = {}
    for item in items:
        relative = PurePosixPath(item.paths[0].relative_to(root).as_posix())
        if item.kind is Kind.DICOM:
            uid = identities[item.numbers[0]].sop_instance_uid
            code = naming.pseudonyms.pseudonym("DICOM file", uid or str(relative))
            new = naming.folder(relative.parent) / f"{code.lower()}.dcm"
        else:
            new = naming.file(relative)
        first = new
        stem, dot, suffixes = first.name.partition(".")
        while new in taken:
            # Many copies of one file must not be counted from the beginning each time.
            repeats[first] = repeats.get(first, 1) + 1
            new = first.with_name(f"{stem}-{repeats[first]}{dot}{suffixes}")
        taken.add(new)
        names[item.numbers[0]] = new
    return names
