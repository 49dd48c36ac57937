"""Private attributes: which stay, and with which content.

Kept is what the standard's list of safe private attributes (PS3.15 Table E.3.10-1) and conversion
to NIfTI need, by creator, group, element, and value representation, and only with a content that
is a number, a defined term, or a text of the manufacturer's vocabulary. Everything else goes.
Not here: finding the creator of a block, and walking through kept sequences (``dicom_file``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, Protocol

from containers.scrub_headers.vendor.csa import clean_csa_header, clean_series_header
from containers.scrub_headers.vendor.ge_blocks import clean_ge_protocol, clean_ge_user_data
from containers.scrub_headers.vendor.protocol_text import clean_protocol_text
from containers.scrub_headers.vendor.recent import RecentBlocks
from containers.scrub_headers.vendor.tables import PrivateRule, private_rules
from containers.scrub_headers.vendor.values import (
    BINARY_FORMATS,
    Known,
    is_binary_number,
    is_coded,
    matches,
    numbers,
)

_UNKNOWN_VRS: Final = frozenset({"UN", "", "  ", "??"})
LONGEST_VALUE: Final = 65_536
"""Bytes of a private number or text; only blocks with a cleaner of their own are longer."""


class PrivateContext(Protocol):
    """What the cleaning of private values may know (``context.CleanContext``)."""

    @property
    def known(self) -> Known:
        """Strings that no kept text may touch."""

    @property
    def big_endian(self) -> bool:
        """Byte order of binary values."""


def clean_private(  # noqa: PLR0913, PLR0917 - the attribute has so many coordinates
    creator: str, group: int, element: int, vr: str, value: bytes, context: PrivateContext
) -> bytes | None:
    """Return the value that a private attribute keeps, or None to remove the attribute.

    Parameters
    ----------
    creator
        Value of the private creator element that reserves the block, without padding.
    group
        Group number.
    element
        Low byte of the element number.
    vr
        Value representation; ``UN`` or empty where the file does not say.
    value
        The value's bytes as in the file.
    context
        Known identities and byte order.

    Returns
    -------
    bytes or None
        Same length or shorter, always even; None for anything unknown, malformed or doubtful,
        and for sequences (``keeps_private_sequence``).
    """
    rule = private_rules().get((creator, group, element))
    unknown = vr in _UNKNOWN_VRS
    if rule is None or rule.kind == "sequence" or not (unknown or vr in rule.vrs):
        return None
    cleaner = _BLOCKS.get(rule.kind)
    if not value:
        return b""
    if cleaner is not None:
        return cleaner(value, context.known)
    if len(value) > LONGEST_VALUE:
        return None
    # A value of unknown representation is written in little endian order (PS3.5 6.2.2).
    big_endian = context.big_endian and not unknown
    results = (
        _clean_value(rule, each, value, context.known, big_endian=big_endian)
        for each in (sorted(rule.vrs) if unknown else (vr,))
    )
    return next((each for each in results if each is not None), None)


def keeps_private_sequence(creator: str, group: int, element: int) -> bool:
    """Return whether a private sequence stays; its items are cleaned like the file itself."""
    rule = private_rules().get((creator, group, element))
    return rule is not None and rule.kind == "sequence"


def has_rule(creator: str, group: int, element: int) -> bool:
    """Return whether anything may stay of a private attribute; without a rule it always goes."""
    return (creator, group, element) in private_rules()


def keeps_private_creator(creator: str, group: int) -> bool:
    """Return whether a creator's name is on the list for a group; other names are no vocabulary."""
    return (creator, group) in _creators()


@cache
def _creators() -> frozenset[tuple[str, int]]:
    return frozenset((creator, group) for creator, group, _ in private_rules())


def _clean_value(
    rule: PrivateRule, vr: str, value: bytes, known: Known, *, big_endian: bool
) -> bytes | None:
    if vr in BINARY_FORMATS:
        fine = is_binary_number(vr, value, big_endian=big_endian, known=known)
        return value if fine else None
    if not value.isascii():
        return None
    # What follows a NUL is no part of the text, but would travel with it.
    plain = value.split(b"\0", 1)[0]
    text = plain.decode("ascii")
    if _is_kept(rule, text, known):
        return plain + b" " * (len(plain) % 2)
    return None


def _is_kept(rule: PrivateRule, text: str, known: Known) -> bool:
    if rule.kind == "number":
        return numbers(text, known)
    if rule.kind == "coded":
        return is_coded(text, known)
    return matches(rule.pattern, text, known)


def _clean_protocol_block(block: bytes, known: Known) -> bytes | None:
    cleaned = clean_protocol_text(block, known)
    return None if cleaned is None else cleaned + b" " * (len(cleaned) % 2)


_protocols = RecentBlocks(_clean_protocol_block)
_BLOCKS: Final[dict[str, Callable[[bytes, Known], bytes | None]]] = {
    "csa image": clean_csa_header,
    "csa series": clean_series_header,
    "protocol text": _protocols,
    "ge protocol": clean_ge_protocol,
    "ge user data": lambda block, _known: clean_ge_user_data(block),
}
