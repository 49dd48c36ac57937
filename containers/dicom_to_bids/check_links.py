"""Whether references within a data set lead somewhere, and field maps and tables are whole.

By BIDS 1.10: "Fieldmap data", "Scans file", "Participants file", "BIDS URIs". Not here: what the
files' bytes hold (``check_bytes``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

from containers.dicom_to_bids.bids_files import (
    DATA_ENDINGS,
    BidsFiles,
    Finding,
    entities_of,
    session_folder,
    stem_of,
    suffix_of,
)

_URI = "bids::"
_PARTNERS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "phasediff": (("magnitude1", "magnitude2"),),
        "phase1": (("phase2",), ("magnitude1",), ("magnitude2",)),
        "phase2": (("phase1",), ("magnitude1",), ("magnitude2",)),
        "fieldmap": (("magnitude",),),
    }
)
"""What a part of a field map needs beside it: one of each group (BIDS 1.10, "Fieldmap data")."""
_OWN_ENTITIES = frozenset({"echo", "part"})


def _texts(value: Any) -> list[str]:
    return [str(each) for each in value] if isinstance(value, list) else [str(value)]


def check_intended_for(files: BidsFiles) -> Iterator[Finding]:
    """Yield each IntendedFor that leads to no file of the data set."""
    known = set(files.paths)
    for path in (each for each in files.paths if each.endswith(".json")):
        for target in _texts(files.json(path).get("IntendedFor", [])):
            if target.startswith(_URI):
                place = target.removeprefix(_URI).lstrip("/")
            elif target.startswith("bids:"):
                continue  # another data set, which is not here
            else:
                # The older form counts from the subject's folder.
                place = f"{session_folder(path).split('/', maxsplit=1)[0]}/{target}"
            if place not in known:
                yield Finding(
                    *("intended-for", path),
                    "IntendedFor names a file that is not in the data set.",
                )


def check_b0_fields(files: BidsFiles) -> Iterator[Finding]:
    """Yield each B0FieldSource for which no image of the session is a B0FieldIdentifier."""
    sidecars = {path: files.json(path) for path in files.paths if path.endswith(".json")}
    identifiers: dict[str, set[str]] = {}
    for path, content in sidecars.items():
        named = identifiers.setdefault(session_folder(path), set())
        named.update(_texts(content.get("B0FieldIdentifier", [])))
    everywhere = set().union(*identifiers.values())
    for path, content in sidecars.items():
        folder = session_folder(path)
        known = identifiers[folder] | identifiers.get("", set()) if folder else everywhere
        if set(_texts(content.get("B0FieldSource", []))) - known:
            yield Finding(
                *("b0-field", path),
                "B0FieldSource names a field that no image of the session identifies.",
            )


def check_tables(files: BidsFiles) -> Iterator[Finding]:
    """Yield where tables of participants, sessions and scans and the folders disagree."""
    folders = {PurePosixPath(path).parts[0] for path in files.paths if path.startswith("sub-")}
    for path in files.paths:
        home = PurePosixPath(path).parent.as_posix()
        below = "" if home == "." else f"{home}/"
        if path == "participants.tsv":
            yield from _compare(files, path, "participant_id", folders)
        elif path.endswith("_sessions.tsv"):
            visits = {
                each.removeprefix(below).split("/")[0]
                for each in files.paths
                if each.startswith(f"{below}ses-")
            }
            yield from _compare(files, path, "session_id", visits)
        elif path.endswith("_scans.tsv"):
            data = {
                each.removeprefix(below)
                for each in files.paths
                if each.startswith(below) and each.endswith(DATA_ENDINGS)
            }
            yield from _compare(files, path, "filename", data)


def _compare(files: BidsFiles, path: str, column: str, present: set[str]) -> Iterator[Finding]:
    rows = files.table(path)
    if not rows or column not in rows[0]:
        yield Finding("table", path, f"The table has no column {column}.")
        return
    place = rows[0].index(column)
    listed = [row[place].removeprefix("./") for row in rows[1:] if len(row) > place]
    surplus, missing = set(listed) - present, present - set(listed)
    # A recording that is a folder (CTF) is listed and is no file.
    surplus = {each for each in surplus if not (files.root / path).parent.joinpath(each).is_dir()}
    for count, what in (
        (len(surplus), "rows without anything in the tree"),
        (len(missing), "things in the tree without a row"),
        (len(listed) - len(set(listed)), "rows twice"),
    ):
        if count:
            yield Finding("table", path, f"The table has {what}: {count}.")


def check_field_map_parts(files: BidsFiles) -> Iterator[Finding]:
    """Yield each part of a field map that lacks what makes it usable."""
    groups: dict[str, set[str]] = {}
    parts = [path for path in files.images if "fmap" in PurePosixPath(path).parts]
    for path in parts:
        groups.setdefault(_acquisition(path), set()).add(suffix_of(path))
    for path in parts:
        for choice in _PARTNERS.get(suffix_of(path), ()):
            if not groups[_acquisition(path)] & set(choice):
                yield Finding(
                    *("field-map", path),
                    f"There is no {' or '.join(choice)} beside this part of a field map.",
                    is_error=False,
                )
    yield from _check_directions(files, [path for path in parts if suffix_of(path) == "epi"])


def _acquisition(path: str) -> str:
    """Return what the parts of one field map have in common in their names."""
    shared = [
        f"{key}-{value}" for key, value in entities_of(path).items() if key not in _OWN_ENTITIES
    ]
    return "/".join([PurePosixPath(path).parent.as_posix(), *shared])


def _check_directions(files: BidsFiles, maps: Iterable[str]) -> Iterator[Finding]:
    """Yield each spin-echo field map without an image of the opposite direction to go with it.

    That is another of the same field, or what is corrected by it.
    """
    directions: dict[tuple[str, str], set[str]] = {}
    for image in files.images:
        sidecar = files.sidecar(image)
        direction = str(sidecar.get("PhaseEncodingDirection", ""))
        fields = [
            *_texts(sidecar.get("B0FieldIdentifier", [])),
            *_texts(sidecar.get("B0FieldSource", [])),
        ]
        if suffix_of(image) == "epi":
            fields.append("")
        for field in fields if direction else []:
            directions.setdefault((session_folder(image), field), set()).add(direction)
    for path in maps:
        sidecar = files.sidecar(path)
        direction = str(sidecar.get("PhaseEncodingDirection", ""))
        opposite = direction[:-1] if direction.endswith("-") else f"{direction}-"
        fields = _texts(sidecar.get("B0FieldIdentifier", [])) or [""]
        found = set().union(
            *(directions.get((session_folder(path), field), set()) for field in fields)
        )
        if direction and opposite not in found and not _has_target(files, path, opposite):
            yield Finding(
                *("field-map", path),
                "No image of the opposite phase-encoding direction goes with this field map.",
                is_error=False,
            )


def _has_target(files: BidsFiles, path: str, direction: str) -> bool:
    """Tell whether the map is intended for an image of this direction."""
    for target in _texts(files.sidecar(path).get("IntendedFor", [])):
        place = target.removeprefix(_URI)
        if files.json(f"{stem_of(place)}.json").get("PhaseEncodingDirection") == direction:
            return True
    return False
