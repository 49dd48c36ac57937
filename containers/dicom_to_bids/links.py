"""Links field maps with the images that they correct.

A field map belongs to the functional and diffusion images that were measured with the same
shim. Without shim values in the headers only a session's single field map is linked. Both of
BIDS' ways are written: ``B0FieldIdentifier``/``B0FieldSource`` and ``IntendedFor`` (BIDS 1.10,
"Expressing the MR protocol intent for fieldmaps"). Not here: names, other sidecar keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from containers.dicom_to_bids.names import Named

_FEWEST_DIRECTIONS = 2


@dataclass(frozen=True, slots=True)
class _FieldMap:
    identifier: str
    members: tuple[int, ...]
    shims: tuple[tuple[float, ...] | None, ...]


def link_field_maps(
    named: Sequence[Named], paths: Sequence[str]
) -> tuple[tuple[Mapping[str, Any], ...], tuple[str, ...]]:
    """Return the keys to add to each image's sidecar, and sentences about what has no link.

    Parameters
    ----------
    named : Sequence[Named]
        All images of the session.
    paths : Sequence[str]
        Their paths below the data set's root, in the same order.
    """
    additions: tuple[dict[str, Any], ...] = tuple({} for _ in named)
    field_maps = _field_maps(named)
    warnings = []
    targets = [place for place, item in enumerate(named) if item.data_type in {"func", "dwi"}]
    used: dict[str, list[int]] = {field_map.identifier: [] for field_map in field_maps}
    for place in targets:
        field_map = _match(_shim(named[place]), field_maps)
        if field_map:
            additions[place]["B0FieldSource"] = field_map.identifier
            used[field_map.identifier].append(place)
    for field_map in field_maps:
        found = used[field_map.identifier]
        if targets and not found:
            warnings.append(
                "A field map is linked with no image: none was measured with the same shim."
            )
        for member in field_map.members:
            if found:
                additions[member]["B0FieldIdentifier"] = field_map.identifier
                additions[member]["IntendedFor"] = [f"bids::{paths[place]}" for place in found]
    return additions, tuple(warnings)


def _field_maps(named: Sequence[Named]) -> list[_FieldMap]:
    groups: dict[tuple[str, ...], list[int]] = {}
    for place, item in enumerate(named):
        if item.data_type != "fmap":
            continue
        # Images of opposite phase encoding belong together, whatever their names.
        key: tuple[str, ...] = ("epi", str(_shim(item)))
        if item.suffix != "epi":
            key = (*item.family, item.entities.get("run", ""))
        groups.setdefault(key, []).append(place)
    found: list[_FieldMap] = []
    for key, members in groups.items():
        directions = {named[place].image.sidecar.get("PhaseEncodingDirection") for place in members}
        suffixes = {named[place].suffix for place in members}
        is_usable = (
            len(directions) >= _FEWEST_DIRECTIONS
            if key[0] == "epi"
            else suffixes & {"phasediff", "phase1", "fieldmap"}
        )
        if is_usable:
            shims = tuple(_shim(named[place]) for place in members)
            found.append(_FieldMap(f"fieldmap{len(found) + 1}", tuple(members), shims))
    return found


def _shim(item: Named) -> tuple[float, ...] | None:
    shim = item.image.sidecar.get("ShimSetting")
    return tuple(float(value) for value in shim) if shim else None


def _match(shim: tuple[float, ...] | None, field_maps: Sequence[_FieldMap]) -> _FieldMap | None:
    """Return the last field map of the same shim: a later one replaces an earlier one."""
    if shim is None:
        return field_maps[0] if len(field_maps) == 1 else None
    same = [field_map for field_map in field_maps if shim in field_map.shims]
    if same:
        return same[-1]
    has_no_shims = all(known is None for field_map in field_maps for known in field_map.shims)
    return field_maps[0] if len(field_maps) == 1 and has_no_shims else None
