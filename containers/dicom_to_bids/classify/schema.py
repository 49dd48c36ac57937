"""What the BIDS schema allows in names of MRI images, and requires beside them.

The schema is the machine-readable form of the standard (bidsschematools). It is read once, when
it is first asked. Not here: how names are chosen (``names``), what a map may say (``map_terms``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

_MRI = ("anat", "dwi", "fmap", "func", "perf")
_IMAGE = ".nii.gz"
_USUAL_DATA_TYPES = MappingProxyType(
    {"sbref": "func", "m0scan": "perf", "noRF": "func", "S0map": "anat"}
)
"""Where a suffix has several data types and a name does not say which."""


@dataclass(frozen=True, slots=True)
class NameRule:
    """The entities that images of a data type and suffix may have, and those that they must."""

    allowed: frozenset[str]
    required: frozenset[str]


@cache
def bids_schema() -> Any:
    """Return the schema as bidsschematools packs it.

    Its file is read as it is: the package's own reader takes longer than naming a session.
    """
    return json.loads((files("bidsschematools") / "data" / "schema.json").read_text("utf-8"))


@cache
def entity_keys() -> tuple[str, ...]:
    """Return the keys of entities in the order of file names."""
    return tuple(_short_keys().values())


@cache
def _short_keys() -> Mapping[str, str]:
    """Return the keys of entities by the schema's long names, in the order of file names."""
    schema = bids_schema()
    entities = schema["objects"]["entities"]
    return MappingProxyType({long: entities[long]["name"] for long in schema["rules"]["entities"]})


@cache
def name_rules() -> Mapping[tuple[str, str], NameRule]:
    """Return the rules of image names by data type and suffix."""
    short = _short_keys()
    found: dict[tuple[str, str], NameRule] = {}
    for data_type in _MRI:
        for rule in bids_schema()["rules"]["files"]["raw"][data_type].values():
            if _IMAGE not in rule["extensions"]:
                continue
            levels = {short[long]: level for long, level in rule["entities"].items()}
            required = frozenset(key for key, level in levels.items() if level == "required")
            for suffix in rule["suffixes"]:
                # Several rules for one suffix are alternatives.
                other = found.get((data_type, suffix))
                allowed = frozenset(levels) | (other.allowed if other else frozenset())
                needed = required & (other.required if other else required)
                found[data_type, suffix] = NameRule(allowed, needed - {"sub"})
    return MappingProxyType(found)


def mri_data_types() -> tuple[str, ...]:
    """Return the data types of magnetic resonance imaging."""
    return _MRI


def allowed_entities(data_type: str, suffix: str) -> frozenset[str] | None:
    """Return the keys that the name of such an image may have; None if BIDS has no such name."""
    rule = name_rules().get((data_type, suffix))
    return rule.allowed if rule else None


@cache
def suffix_as_written(word: str) -> str | None:
    """Return the suffix that a word is, in BIDS's own capital letters; None if it is none."""
    known = sorted({suffix for _, suffix in name_rules()})
    if word in known:
        return word
    fitting = [each for each in known if each.casefold() == word.casefold()]
    return fitting[0] if len(fitting) == 1 else None


def data_type_of(suffix: str) -> str | None:
    """Return the data type of a suffix; None if it has several and no usual one."""
    found = sorted(data_type for data_type, each in name_rules() if each == suffix)
    usual = _USUAL_DATA_TYPES.get(suffix)
    return usual or (found[0] if len(found) == 1 else None)


_LABELLING_RULES = MappingProxyType(
    {
        "PASL": ("MRIASLPaslSpecific",),
        "PCASL": ("MRIASLCaslPcaslSpecific",),
        "CASL": ("MRIASLCaslPcaslSpecific",),
    }
)


@cache
def required_perfusion_fields(labelling: str | None = None) -> tuple[str, ...]:
    """Return the sidecar fields without which BIDS accepts no ASL series, sorted.

    Parameters
    ----------
    labelling : str, optional
        ``ArterialSpinLabelingType``, to count also those of the type.
    """
    rules = bids_schema()["rules"]["sidecars"]["asl"]
    names = ("MRIASLTextOnly", "MRIASLCommonMetadataFields")
    fields = [
        (name, level)
        for rule in (*names, *_LABELLING_RULES.get(labelling or "", ()))
        for name, level in rules[rule]["fields"].items()
    ]
    return tuple(sorted(str(name) for name, level in fields if level == "required"))


@cache
def required_fields(data_type: str, suffix: str) -> tuple[str, ...]:
    """Return the sidecar fields that every image of this kind must have, sorted.

    Those of rules that look at the data type and the suffix only; what is required under a
    further condition (such as ASL's) is not among them.
    """
    found: set[str] = set()
    for group in _SIDECAR_GROUPS:
        for rule in bids_schema()["rules"]["sidecars"].get(group, {}).values():
            if all(_selects(text, data_type, suffix) for text in rule["selectors"]):
                levels = rule.get("fields", {}).items()
                found |= {str(name).split("__")[0] for name, level in levels if _must(level)}
    return tuple(sorted(found - {"TaskName"}))


_SIDECAR_GROUPS = ("anat", "fmap", "func", "qmri")
_EQUALS = re.compile(r'(datatype|suffix) == "(\w+)"')
_AMONG = re.compile(r"intersects\(\[suffix\], \[(.*)\]\)")


def _selects(selector: str, data_type: str, suffix: str) -> bool:
    """Tell whether a rule's condition holds; False for conditions on anything else."""
    if selector.startswith("match(extension"):
        return True
    equals, among = _EQUALS.fullmatch(selector), _AMONG.fullmatch(selector)
    if equals:
        return equals[2] == (data_type if equals[1] == "datatype" else suffix)
    return among is not None and f'"{suffix}"' in among[1]


def _must(level: Any) -> bool:
    return bool((level if isinstance(level, str) else level["level"]) == "required")
