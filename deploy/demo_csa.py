"""Writes the private header that Siemens scanners put beside the standard one ("CSA2").

The layout is the one that nibabel (``nibabel.nicom.csareader``) and dcm2niix read: a magic
word, the number of tags, then for each tag a fixed record and its padded text items. Not here:
which values a scan has (``demo_series``).
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

_CHECK = 77
_ITEM_SLOTS = 6
"""Scanners write at least this many items for each tag, the last ones empty."""


def csa_header(values: Mapping[str, tuple[str, Sequence[str]]]) -> bytes:
    """Return a CSA2 header.

    Parameters
    ----------
    values : Mapping[str, tuple[str, Sequence[str]]]
        For each tag its value representation (two letters) and its items as text.
    """
    parts = [b"SV10\x04\x03\x02\x01", struct.pack("<2I", len(values), _CHECK)]
    for name, (vr, items) in values.items():
        slots = max(_ITEM_SLOTS, len(items))
        parts.append(
            struct.pack("<64si4s3i", name.encode(), len(items), vr.encode(), 0, slots, _CHECK)
        )
        for index in range(slots):
            item = items[index].encode() + b"\0" if index < len(items) else b""
            parts.append(struct.pack("<4i", len(item), len(item), _CHECK, len(item)))
            parts.append(item + b"\0" * (-len(item) % 4))
    return b"".join(parts) + b"\0" * 4


def floating(*numbers: float) -> tuple[str, Sequence[str]]:
    """Return numbers as a floating-point tag's value, as scanners write them."""
    return "FD", tuple(f"{number:.8f}" for number in numbers)


def integer(*numbers: int) -> tuple[str, Sequence[str]]:
    """Return numbers as an integer tag's value."""
    return "IS", tuple(str(number) for number in numbers)


def protocol(lines: Mapping[str, str]) -> tuple[str, Sequence[str]]:
    """Return the text of the scan protocol as a tag's value."""
    body = "\n".join(f"{key}\t = \t{value}" for key, value in lines.items())
    return "UN", (f"### ASCCONV BEGIN ###\n{body}\n### ASCCONV END ###\n",)
