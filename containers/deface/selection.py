"""Says which images of a folder show a face, by BIDS names, sidecars and kind of file.

Unknown counts as "shows a face". Not here: whether an image can be read (``images``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from containers.deface.images import SUFFIXES, is_image

_BIDS_NAME = re.compile(r"sub-[A-Za-z0-9]+(_[a-z]+-[A-Za-z0-9]+)*_(?P<suffix>[A-Za-z0-9]+)")
_KNOWN_FOLDER = re.compile(
    r"(sub|ses)-[A-Za-z0-9]+|anat|func|fmap|dwi|perf|pet|ct|bids|BIDS|scans|SCANS|resources"
    r"|RESOURCES|NIFTI|NIFTI_RAW"
)
_SCAN_FOLDERS = frozenset({"scans", "SCANS"})
_SCAN_ID = re.compile(r"\d{1,6}(-MR\d{1,3})?")
_NO_FACE = MappingProxyType(
    {
        "functional": {"bold", "sbref", "cbv"},
        "diffusion": {"dwi"},
        "perfusion": {"asl", "m0scan"},
        "spin-echo field map": {"epi"},
    }
)
_MASKS = frozenset({"mask", "dseg", "probseg", "defacemask"})
_PHASE_SUFFIXES = frozenset({"phase", "phase1", "phase2", "phasediff", "fieldmap"})
_PHASE_PARTS = ("_part-phase", "_part-real", "_part-imag")
_PHASE_TYPES = frozenset({"P", "PHASE", "R", "REAL", "I", "IMAGINARY"})
"""Of the sidecar's ImageType, after (0008,0008)."""
_SEVERAL_VOLUMES = frozenset(
    {
        "MEGRE", "MESE", "MP2RAGE", "VFA", "IRT1", "MPM", "MTS", "T2starw", "PDT2", "PDT2w",
        "magnitude", "magnitude1", "magnitude2",
    }
)  # fmt: skip
"""Suffixes whose files of several volumes hold contrasts of one head."""
_REFUSED = MappingProxyType({"PET": {"pet"}, "CT": {"ct"}})
_REFUSED_MODALITIES = frozenset({"CT", "PT", "NM"})
_REFERENCES = ("T1w", "UNIT1", "MPRAGE", "T1map", "PDw", "T2w", "FLAIR")
OWN_RESOURCES = frozenset({"DEFACED", "DEFACE_REPORT"})
"""Of a session: what earlier runs left there."""
_SIDECAR_LIMIT = 4 << 20


@dataclass(frozen=True, slots=True)
class Found:
    """An image of the folder.

    Parameters
    ----------
    path : Path
    shown : str
        What reports call it: the BIDS name, or "image 3" by the order of paths, because any
        other name may be a person's.
    target : PurePosixPath
        Path of the result below the folder of results.
    left_out : str
        Why it is not defaced and not handed on; empty if it is to be defaced.
    is_refused : bool
        Whether it may show a face but is of a kind that the step is not made for.
    rank : int
        Among the references of a session; the smallest is the best.
    is_phase : bool
        Whether it is phase, a part of a complex number, or a map of it: it has no outline, and
        gets the cut of the magnitude on its grid.
    may_hold_volumes : bool
        Whether several volumes in the file are contrasts of one head.
    session : tuple of str
        Subject and session by its path, if BIDS.
    """

    path: Path
    shown: str
    target: PurePosixPath
    left_out: str
    is_refused: bool
    rank: int
    is_phase: bool
    may_hold_volumes: bool
    session: tuple[str, ...]


def find_images(folder: Path) -> list[Found]:
    """Return the images below a folder, in the order of their paths."""
    paths = sorted(
        (
            path
            for path in folder.rglob("*")
            if path.is_file()
            and is_image(path)
            and not OWN_RESOURCES & set(path.relative_to(folder).parts)
        ),
        key=lambda path: path.relative_to(folder).as_posix(),
    )
    return [_found(folder, path, number) for number, path in enumerate(paths, start=1)]


def known_folders(parts: Sequence[str], known: re.Pattern[str]) -> Iterator[str]:
    """Yield the folders whose names are no person's.

    A number stands for a scan below ``SCANS``; elsewhere it may be a birth date or a patient's.
    """
    above = ""
    for part in parts:
        if known.fullmatch(part) or (above in _SCAN_FOLDERS and _SCAN_ID.fullmatch(part)):
            yield part
        above = part


def stem(name: str) -> str:
    """Return a file's name without the ending of NIfTI."""
    ending = next(each for each in reversed(SUFFIXES) if name.lower().endswith(each))
    return name[: -len(ending)]


def sidecar_of(path: Path) -> Path:
    """Return where the JSON file beside an image would be."""
    return path.with_name(f"{stem(path.name)}.json")


def read_sidecar(path: Path) -> dict[str, object]:
    """Return the content of a sidecar; empty if there is none, or it is none."""
    try:
        if path.stat().st_size > _SIDECAR_LIMIT:
            return {}
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        # Only a hint: what it does not say counts as "shows a face".
        return {}
    return document if isinstance(document, dict) else {}


def _found(folder: Path, path: Path, number: int) -> Found:
    own_stem = stem(path.name)
    matched = _BIDS_NAME.fullmatch(own_stem)
    parents = list(known_folders(path.relative_to(folder).parent.parts, _KNOWN_FOLDER))
    ending = path.name[len(own_stem) :].lower()
    name = path.name if matched else f"image-{number:03d}{ending}"
    suffix = matched["suffix"] if matched else ""
    sidecar = read_sidecar(sidecar_of(path))
    left_out, is_refused = _reason(suffix, sidecar)
    rank = _REFERENCES.index(suffix) if suffix in _REFERENCES else len(_REFERENCES)
    return Found(
        path=path,
        shown=own_stem if matched else f"image {number}",
        target=PurePosixPath(*parents, name),
        left_out=left_out,
        is_refused=is_refused,
        rank=rank,
        is_phase=_is_phase(own_stem if matched else "", suffix, sidecar),
        may_hold_volumes=suffix in _SEVERAL_VOLUMES,
        session=tuple(part for part in parents if part.startswith(("sub-", "ses-"))),
    )


def _is_phase(name: str, suffix: str, sidecar: dict[str, object]) -> bool:
    kinds = sidecar.get("ImageType")
    told = {str(each).upper() for each in kinds} if isinstance(kinds, list) else set()
    return (
        suffix in _PHASE_SUFFIXES
        or any(part in name for part in _PHASE_PARTS)
        or bool(told & _PHASE_TYPES)
    )


def _reason(suffix: str, sidecar: dict[str, object]) -> tuple[str, bool]:
    for kind, suffixes in _REFUSED.items():
        if suffix in suffixes:
            return f"It is a {kind} image, for which the step is not made.", True
    if sidecar.get("Modality") in _REFUSED_MODALITIES:
        return "Its sidecar says CT, PET or nuclear medicine, for which the step is not made.", True
    for kind, suffixes in _NO_FACE.items():
        if suffix in suffixes:
            return f"By rule not defaced ({kind}); it is not part of the result.", False
    if suffix in _MASKS:
        return "By rule not handed on: a mask or segmentation may follow the face's outline.", False
    return "", False
