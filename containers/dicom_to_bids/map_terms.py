"""What BIDS allows in a map: data types, suffixes, entities and metadata, from its schema.

The schema is the machine-readable form of the standard (bidsschematools). Not here: how names
are chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from bidsschematools.schema import load_schema

MRI_DATA_TYPES = ("anat", "dwi", "fmap", "func", "perf")
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
_USUAL_FOLDERS = MappingProxyType(
    {"sbref": "func", "m0scan": "perf", "noRF": "func", "S0map": "anat"}
)
"""Data types of suffixes that several have, where a name alone must do."""
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
    schema: Any = load_schema()
    found = {}
    for long_name in schema.rules.entities:
        entry = schema.objects.entities[long_name].to_dict()
        values = tuple(str(value) for value in entry.get("enum", ()) if isinstance(value, str))
        found[entry["name"]] = Entity(entry["name"], entry.get("format") == "index", values)
    return MappingProxyType(found)


@cache
def _name_rules() -> Mapping[tuple[str, str], frozenset[str]]:
    """Return the entities that the names of images of a data type and suffix may have."""
    schema: Any = load_schema()
    short = {long: schema.objects.entities[long].name for long in schema.rules.entities}
    found: dict[tuple[str, str], frozenset[str]] = {}
    for data_type in MRI_DATA_TYPES:
        for rule in schema.rules.files.raw[data_type].values():
            if ".nii.gz" not in rule.extensions:
                continue
            keys = frozenset(short[long] for long in rule.entities)
            for suffix in rule.suffixes:
                known = found.get((data_type, suffix), frozenset())
                found[data_type, suffix] = known | keys
    return MappingProxyType(found)


def allowed_entities(data_type: str, suffix: str) -> frozenset[str] | None:
    """Return the keys that the name of such an image may have; None if BIDS has no such name."""
    return _name_rules().get((data_type, suffix))


def suffix_as_written(suffix: str) -> str | None:
    """Return a suffix with BIDS's own capital letters; None if BIDS has no such suffix."""
    known = {each for _, each in _name_rules()}
    if suffix in known:
        return suffix
    fitting = [each for each in known if each.casefold() == suffix.casefold()]
    return fitting[0] if len(fitting) == 1 else None


def data_type_of(suffix: str) -> str | None:
    """Return the folder of a suffix, the usual one of several; None if BIDS has none."""
    found = [data_type for data_type, each in _name_rules() if each == suffix]
    return _USUAL_FOLDERS.get(suffix) or (found[0] if len(found) == 1 else None)


def is_in_several(suffix: str) -> bool:
    """Tell whether images of a suffix lie in several folders."""
    return sum(each == suffix for _, each in _name_rules()) > 1


def suffixes_of(data_type: str) -> tuple[str, ...]:
    """Return the suffixes of a data type, sorted."""
    return tuple(sorted(suffix for each, suffix in _name_rules() if each == data_type))


@cache
def sidecar_schemas() -> Mapping[str, Mapping[str, Any]]:
    """Return the JSON schema of each field that a map may add to an MRI sidecar, by name.

    Without fields that identify a place, a device or a face, and without those that name other
    files of the tree.
    """
    schema: Any = load_schema()
    metadata: Any = schema.objects.metadata
    names = {name for group in _SIDECAR_GROUPS for name in _fields(schema, group)}
    # The schema keeps variants of a field as "Name__variant".
    kept = sorted(name for name in names - withheld_fields() if "__" not in name)
    return MappingProxyType({name: _without_words(metadata[name].to_dict()) for name in kept})


def withheld_fields() -> frozenset[str]:
    """Return the BIDS fields that a map may not add although BIDS has them."""
    return _IDENTIFYING | _COMPUTED


def _fields(schema: Any, group: str) -> Iterator[str]:
    for rule in (schema.rules.sidecars.get(group) or {}).values():
        yield from rule.get("fields", {})


def _without_words(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_words(each) for key, each in value.items() if key not in _WORDS_ABOUT}
    if isinstance(value, list):
        return [_without_words(each) for each in value]
    return value
