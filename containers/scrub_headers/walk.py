"""What a walk through a dataset gathers, the private blocks it meets, and where pixels end.

Not here: the walk itself (``dataset``).
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from containers.scrub_headers.encoding import ITEM, SEQUENCE_END, UNDEFINED, Data, Encoding
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.judgement import Known, ends_early
from containers.scrub_headers.rules import Decision

_WINDOW_BYTES = 1 << 24
MOST_RULES = 128
"""Size of a tally; the rules are a few dozen."""
_PIXELS, _SPECTRA = 0x7FE00010, 0x56000020
_SPECTROSCOPY = b"1.2.840.10008.5.1.4.1.1.4.2"


class Met:
    """An element that was met, and what became of it.

    Where it goes whatever its value is, ``raw`` is its header alone.
    """

    __slots__ = ("clean", "compared", "creator", "fact", "length", "raw", "rule", "tag")

    def __init__(  # noqa: PLR0913, PLR0917 - made in few places
        self, known: Known, raw: bytes, length: int, clean: bytes, fact: bytes | None = None,
        creator: str | None = None,
    ) -> None:  # fmt: skip
        self.tag = known.tag
        self.rule = known.rule
        self.raw = raw
        self.compared = len(raw)
        self.length = length
        self.clean = clean
        self.fact = fact
        self.creator = creator


class Block:
    """A private block: its creator, and whether the creator was written."""

    __slots__ = ("creator", "memory", "place", "written")

    def __init__(self, creator: str, place: int, memory: dict[bytes, Met]) -> None:
        self.creator = creator
        self.place = place
        self.memory = memory
        self.written = False


class Spot(NamedTuple):
    """A place in a dataset: the element there, between its bounds, and what is around."""

    data: Data
    known: Known
    position: int
    start: int
    length: int
    limit: int
    walk: Walk
    path: tuple[int, ...]

    @property
    def undefined(self) -> bool:
        """Whether the length is not said, so that a delimiter ends the value."""
        return self.length == UNDEFINED

    @property
    def stop(self) -> int:
        """Where a value of defined length ends."""
        return self.start + self.length

    @property
    def raw(self) -> bytes:
        """The whole element of defined length."""
        return self.data[self.position : self.start + self.length]


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


def note(spot: Spot, outcome: str) -> None:
    """Trace a decision, where that is asked for."""
    if spot.walk.trace is not None:
        known = spot.known
        spot.walk.trace.append((spot.path, known.tag, known.vr, known.decision, outcome))


def forget(data: Data, start: int, stop: int) -> int:
    """Let go of what was read of a mapped file once it is much; return what is still held.

    Pages that were looked at count as memory of this process until then.
    """
    if stop - start < _WINDOW_BYTES or isinstance(data, bytes):
        return start
    if hasattr(data, "madvise"):
        first = start // mmap.PAGESIZE * mmap.PAGESIZE
        data.madvise(mmap.MADV_DONTNEED, first, stop // mmap.PAGESIZE * mmap.PAGESIZE - first)
    return stop


def end_of_pixels(  # noqa: PLR0913, PLR0917 - where they are, and how they are written
    data: Data, start: int, length: int, limit: int, walk: Walk, encoding: Encoding
) -> int:
    """Return where the pixel data end: by their length, or after the last fragment."""
    if length != UNDEFINED:
        return start + length
    walk.native = False
    position = let_go = start
    while True:
        let_go = forget(data, let_go, position)
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


def put_marks(marks: list[tuple[int, bytes]], tag: int, pieces: list[bytes]) -> bool:
    """Write the marks up to a tag; return whether one of them takes its place."""
    replaced = False
    while marks and marks[0][0] <= tag:
        replaced = replaced or marks[0][0] == tag
        pieces.append(marks.pop(0)[1])
    return replaced


def after_delimiter(data: Data, position: int, limit: int) -> int:
    """Return where an item of undefined length ends, from where its delimiter stands.

    Raises
    ------
    RefusedFileError
        The delimiter has a length, or is cut.
    """
    if position + 8 > limit or data[position + 4 : position + 8] != b"\0\0\0\0":
        raise RefusedFileError("A delimiter has a length.")
    return position + 8
