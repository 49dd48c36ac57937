"""What a walk through a dataset gathers, the private blocks it meets, and where pixels end.

Not here: the walk itself (``dataset``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from containers.scrub_headers.encoding import ITEM, SEQUENCE_END, UNDEFINED, Encoding
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.judgement import Known, ends_early
from containers.scrub_headers.rules import Decision
from containers.scrub_headers.runs import Data

MOST_RULES = 128
"""Size of a tally; the rules are a few dozen."""
_PIXELS, _SPECTRA = 0x7FE00010, 0x56000020
_SPECTROSCOPY = b"1.2.840.10008.5.1.4.1.1.4.2"


class Block:
    """A private block: its creator, and whether the creator was written."""

    __slots__ = ("creator", "memory", "place", "written")

    def __init__(self, creator: str, place: int, memory: dict[bytes, bytes]) -> None:
        self.creator = creator
        self.place = place
        self.memory = memory
        self.written = False


@dataclass(slots=True)
class Walk:
    """What the walk through one dataset and its items gathers.

    Parameters
    ----------
    tally : list of int
        Elements by rule, in the order of ``DatasetCleaner.rules``.
    facts : dict
        Values of ``FACT_TAGS`` at the top.
    marks : list of (tag, bytes)
        Elements to put in at the top, in ascending order.
    pixels : tuple of int, or None
        Tag, start and end of the pixel data, counted from the element's header.
    native : bool
        Whether the pixel data are not encapsulated.
    trace : list, or None
        Every decision, where it is asked for: path, tag, representation, decision, outcome.
    """

    tally: list[int] = field(default_factory=lambda: [0] * MOST_RULES)
    facts: dict[int, bytes] = field(default_factory=dict)
    marks: Sequence[tuple[int, bytes]] = ()
    pixels: tuple[int, int, int] | None = None
    native: bool = True
    value_start: int = 0
    trace: list[tuple[tuple[int, ...], int, str, Decision, str]] | None = None


def note(walk: Walk, path: tuple[int, ...], known: Known, outcome: str) -> None:
    """Trace a decision, where that is asked for."""
    if walk.trace is not None:
        walk.trace.append((path, known.tag, known.vr, known.decision, outcome))


def end_of_pixels(  # noqa: PLR0913, PLR0917 - where they are, and how they are written
    data: Data, start: int, length: int, limit: int, walk: Walk, encoding: Encoding
) -> int:
    """Return where the pixel data end: by their length, or after the last fragment."""
    if length != UNDEFINED:
        return start + length
    walk.native = False
    position = start
    while True:
        if position + 8 > limit:
            raise ends_early()
        tag = data[position : position + 4]
        size = encoding.long.unpack_from(data, position + 4)[0]
        position += 8
        if tag == encoding.tag_bytes(SEQUENCE_END) and size == 0:
            return position
        if tag != encoding.tag_bytes(ITEM) or size == UNDEFINED or position + size > limit:
            raise RefusedFileError("The fragments of its pixel data are not well-formed.")
        position += size


def outcome_of(clean: bytes, raw: bytes, length: int) -> str:
    """Say what became of an element, from its bytes as written and as read."""
    if not clean:
        return "removed"
    if clean == raw:
        return "kept"
    header = len(raw) - length
    return "emptied" if len(clean) <= header and length else "changed"


def are_pixels(tag: int, walk: Walk) -> bool:
    """Return whether an element is what this class of file is about: pixels, or spectra."""
    is_spectrum = walk.facts.get(0x00080016, b"").rstrip(b" \0") == _SPECTROSCOPY
    return tag == (_SPECTRA if is_spectrum else _PIXELS)
