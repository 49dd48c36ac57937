"""The standard's tables as this check reads them; a copy of its own, so that it judges alone.

PS3.15 Table E.1-1 (what becomes of each attribute) and the private elements that may stay. Not
here: applying them (``dicom_rules``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any

from pydicom.datadict import private_dictionary_description, private_dictionary_VR

OPTION_CODES: Mapping[str, str] = {
    "113103": "clean_graphics",
    "113104": "clean_structured_content",
    "113105": "clean_descriptors",
    "113106": "retain_longitudinal_full_dates",
    "113107": "retain_longitudinal_modified_dates",
    "113108": "retain_patient_characteristics",
    "113109": "retain_device_identity",
    "113110": "retain_uids",
    "113111": "retain_safe_private",
    "113112": "retain_institution_identity",
}
"""PS3.16 CID 7050: code value in (0012,0064) to the option's column of the table."""
NUMBER_VRS = frozenset({"DS", "FD", "FL", "IS", "OD", "OF", "SL", "SS", "SV", "UL", "US", "UV"})
_TELLING = re.compile(
    r"name|patient|subject|study|exam|\bid\b|ident|uid|date|time ?stamp|datetime|clock|serial"
    r"|birth|number$|weight|age\b|station|creat|actual.*time|\bday\b|checksum|operator",
    re.IGNORECASE,
)
METHOD_CODES = frozenset({"113100", "113101", "113102", *OPTION_CODES})
_DATA = resources.files("containers.check_identity") / "data"


@cache
def _table() -> Mapping[str, tuple[str, Mapping[str, str]]]:
    document: Any = json.loads((_DATA / "e1_1.json").read_text(encoding="utf-8"))
    return {
        tag.replace(",", ""): (action, options)
        for tag, (action, options) in document["rows"].items()
    }


@cache
def actions() -> Mapping[str, str]:
    """Return the basic profile's action of each tag, ``00100010`` to ``Z``; no repeating groups."""
    return {tag: row[0] for tag, row in _table().items()}


def options_of(tag: str) -> Mapping[str, str]:
    """Return what each option makes of a tag: its column to ``K`` (keep) or ``C`` (clean)."""
    return _table()[tag][1] if tag in _table() else {}


@cache
def allowed_private() -> frozenset[tuple[str, str, str]]:
    """Return (private creator, group, low byte of the element) of what may stay."""
    document: Any = json.loads((_DATA / "private_allowed.json").read_text(encoding="utf-8"))
    return frozenset((creator, group, low) for creator, group, low in document["rows"])


@cache
def is_known_measure(creator: str, tag: int) -> bool:
    """Return whether pydicom's dictionary knows a private element as a number of a measurement.

    Such elements of listed creators may stay beside those of the safe list: scanners write
    hundreds, and conversion programs read more of them with each version.
    """
    try:
        vr = private_dictionary_VR(tag, creator)
        meaning = private_dictionary_description(tag, creator)
    except KeyError:
        return False
    return vr in NUMBER_VRS and not _TELLING.search(meaning)


@cache
def allowed_creators() -> frozenset[str]:
    """Return the private creators of what may stay."""
    return frozenset(creator for creator, _, _ in allowed_private())
