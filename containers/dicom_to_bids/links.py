"""Links field maps with the images that they correct, and calibrations with their series.

A field map belongs to the functional, diffusion and perfusion images that were measured with the
same shim; of several, to those that follow it. Where headers have no shim, the place of the
images and the order of measurement decide. Both of BIDS' ways are written:
``B0FieldIdentifier``/``B0FieldSource`` and ``IntendedFor`` (BIDS 1.10, "Expressing the MR protocol
intent for fieldmaps"). Not here: names, other sidecar keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from containers.dicom_to_bids.classify.facts import number
from containers.dicom_to_bids.names import Named

_FEWEST_DIRECTIONS = 2
_CORRECTED = frozenset({"func", "dwi", "perf"})
_MAPS_ALONE = frozenset({"phasediff", "phase1", "fieldmap"})
Shim = tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class _FieldMap:
    """Images that together map one field; ``members`` and ``helpers`` are places in the session.

    A helper is a corrected image whose own direction is the other half of a pair.
    """

    identifier: str
    members: tuple[int, ...]
    shims: tuple[Shim, ...]
    helpers: tuple[int, ...] = ()

    @property
    def start(self) -> int:
        """Return the place of its first image."""
        return min(self.members)


def link_field_maps(
    named: Sequence[Named], paths: Sequence[str]
) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
    """Return the keys to add to each image's sidecar, and sentences about what has no link.

    Parameters
    ----------
    named : Sequence[Named]
        All images of the session, in order of acquisition.
    paths : Sequence[str]
        Their paths below the data set's root, in the same order.
    """
    additions: tuple[dict[str, Any], ...] = tuple({} for _ in named)
    field_maps = _field_maps(named)
    targets = [place for place, item in enumerate(named) if item.data_type in _CORRECTED]
    used: dict[str, list[int]] = {field_map.identifier: [] for field_map in field_maps}
    for place in targets:
        field_map = _match(named, place, field_maps)
        if field_map:
            additions[place]["B0FieldSource"] = field_map.identifier
            used[field_map.identifier].append(place)
    warnings = []
    for field_map in field_maps:
        found = used[field_map.identifier]
        if targets and not found:
            warnings.append(
                "A field map is linked with no image: none was measured with the same shim."
            )
        for member in field_map.members if found else ():
            additions[member]["B0FieldIdentifier"] = field_map.identifier
            additions[member]["IntendedFor"] = [f"bids::{paths[place]}" for place in found]
        for helper in field_map.helpers if found else ():
            additions[helper]["B0FieldIdentifier"] = field_map.identifier
    _link_calibrations(named, paths, additions)
    return additions, tuple(warnings)


def _link_calibrations(
    named: Sequence[Named], paths: Sequence[str], additions: Sequence[dict[str, Any]]
) -> None:
    """Name in each M0 scan the perfusion series that it calibrates: the next, or the last."""
    series = [place for place, item in enumerate(named) if item.suffix == "asl"]
    for place, item in enumerate(named):
        if item.suffix == "m0scan" and series:
            later = [each for each in series if each > place]
            additions[place]["IntendedFor"] = [f"bids::{paths[(later or series[-1:])[0]]}"]


def _field_maps(named: Sequence[Named]) -> list[_FieldMap]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, item in enumerate(named):
        if item.data_type != "fmap" or item.suffix == "m0scan":
            continue
        # Images of opposite phase encoding belong together, whatever their names.
        key: tuple[str, ...] = ("epi", str(_shim(item)), str(item.image.shape[:2]), _axis(item))
        if item.suffix != "epi":
            key = (*item.family, item.entities.get("run", ""))
        groups.setdefault(key, []).append(place)
    found: list[_FieldMap] = []
    for key, places in groups.items():
        parts = _pairs(named, places) if key[0] == "epi" else [places]
        for members in parts:
            helpers = _helpers(named, members) if key[0] == "epi" else ()
            suffixes = {named[place].suffix for place in members}
            is_pair = len(_directions(named, members)) >= _FEWEST_DIRECTIONS or bool(helpers)
            if is_pair if key[0] == "epi" else suffixes & _MAPS_ALONE:
                shims = tuple(_shim(named[place]) for place in members)
                name = f"fieldmap{len(found) + 1}"
                found.append(_FieldMap(name, tuple(members), shims, tuple(helpers)))
    return found


def _pairs(named: Sequence[Named], places: Sequence[int]) -> list[list[int]]:
    """Part images of one shim and axis into sets that have both directions, by time.

    A direction that comes again after both were there begins a new set.
    """
    parts: list[list[int]] = []
    for place in places:
        stem, last = named[place].stem(""), parts[-1] if parts else []
        run = named[place].entities.get("run")
        is_new = len(_directions(named, last)) >= _FEWEST_DIRECTIONS and all(
            named[each].stem("") != stem and named[each].entities.get("run") != run for each in last
        )
        if not parts or is_new:
            parts.append([])
        parts[-1].append(place)
    return parts


def _directions(named: Sequence[Named], places: Iterable[int]) -> set[str]:
    return {_direction(named[place]) for place in places} - {""}


def _helpers(named: Sequence[Named], members: Sequence[int]) -> Sequence[int]:
    """Return a corrected image of the opposite direction where the field map has only one."""
    if len(_directions(named, members)) >= _FEWEST_DIRECTIONS:
        return ()
    mine = named[members[0]]
    for place, item in enumerate(named):
        is_opposite = _direction(item) != _direction(mine) and _axis(item) == _axis(mine)
        is_alike = _shim(item) == _shim(mine) and item.image.shape[:3] == mine.image.shape[:3]
        if item.data_type in _CORRECTED and is_opposite and is_alike and _direction(item):
            return (place,)
    return ()


def _direction(item: Named) -> str:
    return str(item.image.sidecar.get("PhaseEncodingDirection") or "")


def _axis(item: Named) -> str:
    return _direction(item)[:1]


def _shim(item: Named) -> Shim:
    shim = item.image.sidecar.get("ShimSetting")
    return (
        tuple(number(value) or 0.0 for value in shim) if isinstance(shim, list) and shim else None
    )


def _match(named: Sequence[Named], place: int, field_maps: Sequence[_FieldMap]) -> _FieldMap | None:
    """Return the field map of the same shim; without shims, the nearest in place and time."""
    shim = _shim(named[place])
    if shim is not None:
        same = [field_map for field_map in field_maps if shim in field_map.shims]
        if same:
            return _nearest(place, same)
    has_shims = any(known is not None for field_map in field_maps for known in field_map.shims)
    if shim is not None and has_shims:
        return None
    alike = [each for each in field_maps if _has_place_of(named, place, each)]
    return _nearest(place, alike or field_maps)


def _has_place_of(named: Sequence[Named], place: int, field_map: _FieldMap) -> bool:
    """Tell whether the slices of a field map are oriented as the image's are."""
    mine = named[place].image.sidecar.get("ImageOrientationPatientDICOM")
    theirs = named[field_map.start].image.sidecar.get("ImageOrientationPatientDICOM")
    if not isinstance(mine, list) or not isinstance(theirs, list) or len(mine) != len(theirs):
        return False
    pairs = zip(mine, theirs, strict=True)
    return all(abs((number(a) or 0.0) - (number(b) or 0.0)) < 0.01 for a, b in pairs)  # noqa: PLR2004 - of a cosine


def _nearest(place: int, field_maps: Sequence[_FieldMap]) -> _FieldMap | None:
    """Return the last field map that began before the image, or else the first after it."""
    before = [each for each in field_maps if each.start < place]
    return before[-1] if before else next(iter(field_maps), None)
