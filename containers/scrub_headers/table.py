"""The table of attributes of PS3.15 Annex E, read from ``data``; what an attribute is called.

Not here: what a row means under a profile (``rules``), and making the data (``make_table``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from pydicom._dicom_dict import DicomDictionary, RepeatersDictionary


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of Table E.1-1: the basic action, and what each option makes of it (K or C)."""

    basic: str
    options: Mapping[str, str]


@cache
def _document() -> Mapping[str, Any]:
    path = resources.files("containers.scrub_headers") / "data" / "ps3_15_e1_1.json"
    document: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return document


def edition() -> str:
    """Return the edition of the standard that the table is of."""
    return str(_document()["edition"])


@cache
def table() -> Mapping[int, TableRow]:
    """Return the rows by tag; the three repeating groups and private elements are not rows."""
    return {
        int(tag, 16): TableRow(basic, options)
        for tag, (basic, options) in _document()["rows"].items()
        if "X" not in tag and "G" not in tag
    }


@cache
def public_attributes() -> Mapping[int, tuple[str, str]]:
    """Return value representation and keyword of each attribute of PS3.6, without repeaters."""
    return {tag: (row[0], row[4]) for tag, row in DicomDictionary.items()}


def keyword_of(tag: int) -> str:
    """Return the keyword of a public attribute, or what else it is."""
    known = public_attributes().get(tag)
    if known:
        return known[1]
    if (tag >> 16) & 1:
        return "private"
    if tag & 0xFFFF == 0:
        return "group length"
    mask = f"{tag:08X}"
    for pattern, row in RepeatersDictionary.items():
        if all(want in ("x", got) for want, got in zip(pattern, mask, strict=True)):
            return str(row[4])
    return "unknown"
