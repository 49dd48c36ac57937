"""What BIDS allows in a map beside names: values of entities and metadata, from its schema.

Not here: data types, suffixes and their entities (``classify.schema``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from containers.dicom_to_bids.classify.schema import bids_schema, name_rules

ASL_VOLUMES = ("control", "label", "m0scan", "deltam", "cbf", "noRF")
"""What a line of aslcontext.tsv may say (BIDS 1.10, "Arterial Spin Labeling perfusion data")."""
OWN_ENTITIES = ("sub", "ses")
"""Entities that come from labels, not from a rule."""

_SIDECAR_GROUPS = ("anat", "asl", "common", "dwi", "fmap", "func", "mri", "qmri")
_IDENTIFYING = frozenset(
    {
        *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
        *("StationName", "DeviceSerialNumber", "AnatomicalLandmarkCoordinates"),
    }
)
"""BIDS fields that tell the place or the device, or a face's shape; they are never written."""
_COMPUTED = frozenset(
    {
        *("IntendedFor", "B0FieldIdentifier", "B0FieldSource", "TaskName"),
        *("DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    }
)
"""Fields that tell of other files of the tree, or of what a later step has done."""
_WORDS_ABOUT = frozenset({"name", "display_name", "description", "unit"})


@dataclass(frozen=True, slots=True)
class Entity:
    """One key of a file name, such as ``acq``; ``values`` is empty where any label will do."""

    name: str
    is_index: bool
    values: tuple[str, ...] = ()


@cache
def entities() -> Mapping[str, Entity]:
    """Return the entities by the key that file names have, in the order of file names."""
    schema = bids_schema()
    found = {}
    for long_name in schema["rules"]["entities"]:
        entry = schema["objects"]["entities"][long_name]
        values = tuple(str(value) for value in entry.get("enum", ()) if isinstance(value, str))
        found[entry["name"]] = Entity(entry["name"], entry.get("format") == "index", values)
    return MappingProxyType(found)


def is_in_several(suffix: str) -> bool:
    """Tell whether images of a suffix lie in several folders."""
    return sum(each == suffix for _, each in name_rules()) > 1


def suffixes_of(data_type: str) -> tuple[str, ...]:
    """Return the suffixes of a data type, sorted."""
    return tuple(sorted(suffix for each, suffix in name_rules() if each == data_type))


@cache
def sidecar_schemas() -> Mapping[str, Mapping[str, Any]]:
    """Return the JSON schema of each field that a map may add to an MRI sidecar, by name.

    Without fields that identify a place, a device or a face, and without those that name other
    files of the tree.
    """
    schema = bids_schema()
    metadata = schema["objects"]["metadata"]
    names = {name for group in _SIDECAR_GROUPS for name in _fields(schema, group)}
    # The schema keeps variants of a field as "Name__variant".
    kept = sorted(name for name in names - withheld_fields() if "__" not in name)
    return MappingProxyType({name: _without_words(metadata[name]) for name in kept})


def withheld_fields() -> frozenset[str]:
    """Return the BIDS fields that a map may not add although BIDS has them."""
    return _IDENTIFYING | _COMPUTED


def _fields(schema: Any, group: str) -> Iterator[str]:
    for rule in schema["rules"]["sidecars"].get(group, {}).values():
        yield from rule.get("fields", {})


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_words(each) for key, each in value.items() if key not in _WORDS_ABOUT}
    if isinstance(value, list):
        return [_without_words(each) for each in value]
    return value
