"""New labels of participants: letters and digits drawn by the operating system, nothing else.

No function of anything known of a participant, so nobody can compute or guess them. They are
given in an order that is drawn too, so that neither their order nor that of the work follows the
order of recruitment or scanning. Not here: where the link is kept (``sharing.link_table``).
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import TypeVar

_LETTERS = "bcdfghjkmnpqrstvwxz"
"""Without vowels, so that no word comes out; without l, which looks like 1."""
_DIGITS = "23456789"
_PAIRS = 5
"""81 thousand million labels: (19 x 8)**5."""

T = TypeVar("T")


def new_label(taken: Collection[str]) -> str:
    """Return a label that is not among ``taken``.

    Letter and digit take turns, so that no label is a number, could be read as a word, or holds
    an old label such as ``P23`` or somebody's initials by chance, which the searches would find.
    """
    while True:
        pairs = (secrets.choice(_LETTERS) + secrets.choice(_DIGITS) for _ in range(_PAIRS))
        label = "".join(pairs)
        if label not in taken:
            return label


def shuffled(things: Sequence[T]) -> list[T]:
    """Return the things in an order drawn by the operating system's generator."""
    drawn = list(things)
    secrets.SystemRandom().shuffle(drawn)
    return drawn
