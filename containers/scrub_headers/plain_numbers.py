"""Judges the binary numbers of a whole sequence at once, no less strictly than one by one.

Not here: single values (``values``), and where the numbers of a sequence are (``forms``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.values import LONG_FROM

_INTEGER = re.compile(r"-?[1-9][0-9]*|0")
_TEXT_RUN, _LETTER_RUN = b"x" * 8, b"x" * 4
_DIGITS_AND_SIGNS = b"0123456789 ^._-"
_LETTERS = bytes(range(ord("A"), ord("Z") + 1)) + bytes(range(ord("a"), ord("z") + 1))
_AS_TEXT = bytes(0x78 if each in _LETTERS + _DIGITS_AND_SIGNS else 0 for each in range(256))
_AS_LETTERS = bytes(0x78 if each in _LETTERS else 0 for each in range(256))
_LETTERS_FOUND = re.compile(rb"[A-Za-z]{4,}")


@dataclass(frozen=True, slots=True)
class PlainNumbers:
    """The judge under some known identities.

    Parameters
    ----------
    known : KnownIdentities
        Strings that no number may be or hold.
    integers : frozenset of int
        Those of them that are whole numbers.
    """

    known: KnownIdentities
    integers: frozenset[int]

    @classmethod
    def under(cls, known: KnownIdentities) -> PlainNumbers:
        """Return the judge under them."""
        return cls(known, frozenset(int(e) for e in known.texts if _INTEGER.fullmatch(e)))

    def hold_no_text(self, raw: bytes) -> bool:
        """Return whether neither text nor a known word stands in bytes.

        ``values.TEXT_IN_NUMBERS`` is searched for here; over several values and what stands
        between them, so that more is found than in each value, never less.
        """
        if _TEXT_RUN in raw.translate(_AS_TEXT):
            return False
        if not self.known.texts or _LETTER_RUN not in raw.translate(_AS_LETTERS):
            return True
        return not any(
            self.known.touches(run.decode("ascii")) for run in _LETTERS_FOUND.findall(raw)
        )

    def are_unknown(self, numbers: tuple[float, ...]) -> bool:
        """Return whether no number is a known or long one; infinities and NaN are not judged here.

        A long one may be allowed for its attribute: that is for the walk to say.
        """
        if not (max(numbers) < LONG_FROM and min(numbers) > -LONG_FROM):
            return False
        try:
            return self.integers.isdisjoint(map(int, numbers))
        except (ValueError, OverflowError):
            return False
