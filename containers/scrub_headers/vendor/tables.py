"""The tables of private attributes and of the words that vendor text may consist of.

Both are data files beside this module; ``_about`` in each says where the rows come from.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class PrivateRule:
    """How one private attribute is treated.

    Attributes
    ----------
    vrs
        Value representations that are accepted.
    kind
        ``number``, ``coded``, ``text``, ``sequence`` or the name of a block's cleaner.
    pattern
        For ``text``: the name of a pattern in ``VendorTerms.patterns``, ``numbers`` or
        ``pulse sequence``.
    """

    vrs: frozenset[str]
    kind: str
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class VendorTerms:
    """Words and patterns that kept vendor text may consist of; see ``vendor_terms.json``."""

    patterns: dict[str, re.Pattern[str]]
    coded_terms: frozenset[str]
    pulse_sequence_words: frozenset[str]
    csa_items: dict[bytes, str]
    protocol_keys: frozenset[str]
    protocol_texts: dict[str, str]
    long_numbers: dict[str, int]
    ge_numbers: frozenset[str]
    ge_texts: dict[str, re.Pattern[str]]


def _read(name: str) -> dict[str, Any]:
    text = resources.files(__package__).joinpath(name).read_text("utf-8")
    content: dict[str, Any] = json.loads(text)
    return content


@cache
def private_rules() -> dict[tuple[str, int, int], PrivateRule]:
    """Return the rules by private creator, group, and low byte of the element number."""
    rules: dict[tuple[str, int, int], PrivateRule] = {}
    for creator, elements in _read("private_elements.json")["creators"].items():
        for place, row in elements.items():
            group, element = (int(part, 16) for part in place.split(","))
            rules[creator, group, element] = PrivateRule(
                frozenset(row["vr"]), row["kind"], row.get("pattern", "")
            )
    return rules


@cache
def vendor_terms() -> VendorTerms:
    """Return the words and patterns of the data file, ready for use."""
    content = _read("vendor_terms.json")
    return VendorTerms(
        patterns={k: re.compile(v, re.ASCII) for k, v in content["patterns"].items()},
        coded_terms=frozenset(content["coded_terms"]),
        pulse_sequence_words=frozenset(content["pulse_sequence_words"]),
        csa_items={k.encode("ascii"): v for k, v in content["csa_items"].items()},
        protocol_keys=frozenset(content["protocol_keys"]),
        protocol_texts=content["protocol_texts"],
        long_numbers=content["long_numbers"],
        ge_numbers=frozenset(content["ge_numbers"]),
        ge_texts={k: re.compile(v, re.ASCII) for k, v in content["ge_texts"].items()},
    )
