"""Forms of sequences: which bytes say what is there, which are values, and what is written.

A sequence has a form if all its headers are the very same bytes at the same places; then a walk
through it would find the same elements, and only the values are to be judged. What does not fit
is walked through as everything else. Not here: which forms were met (``sequences``).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from containers.scrub_headers.elements import ElementCleaner
from containers.scrub_headers.encoding import ITEM, ITEM_END, SEQUENCE_END, UNDEFINED, Encoding
from containers.scrub_headers.judgement import FACT, GONE, Judge, Known
from containers.scrub_headers.plain_numbers import PlainNumbers
from containers.scrub_headers.private_blocks import keeps_private_sequence
from containers.scrub_headers.rules import Action
from containers.scrub_headers.values import FEW_BYTES, WHOLE_NUMBERS
from containers.scrub_headers.walk import Block

_LONGEST_HEADER = 12


class _UnfitError(Exception):
    """A sequence has something that no form can describe."""


@dataclass(frozen=True, slots=True)
class _Slot:
    """An element that is cleaned by its value; what is written must have the same length."""

    known: Known
    start: int
    value_start: int
    stop: int
    length: int
    block: Block | None


_Part = bytes | tuple[int, int] | _Slot
"""Bytes that are always written, a range that is passed on, or a value that is cleaned."""


@dataclass(slots=True)
class _Layout:
    """What is gathered while a form is read."""

    raw: bytes
    mask: bytearray
    parts: list[_Part] = field(default_factory=list)
    numbers: list[tuple[int, int]] = field(default_factory=list)
    whole: list[tuple[int, str, int]] = field(default_factory=list)

    def literal(self, start: int, stop: int) -> None:
        """Say that bytes must be the same in every sequence of the form."""
        self.mask[start:stop] = b"\xff" * (stop - start)


class Form:
    """One form. ``clean`` gives None for what has another one, or a value that must go.

    Attributes
    ----------
    length : int
        Bytes of a sequence of this form.
    """

    __slots__ = (
        "_cleaner", "_copies", "_expected", "_is_same", "_judge", "_mask", "_numbers", "_parts",
        "_ranges", "_slots", "length",
    )  # fmt: skip

    def __init__(
        self, layout: _Layout, encoding: Encoding, cleaner: ElementCleaner, judge: PlainNumbers
    ) -> None:
        self.length = len(layout.raw)
        self._cleaner = cleaner
        self._judge = judge
        self._mask = int.from_bytes(layout.mask, "little")
        self._expected = int.from_bytes(layout.raw, "little") & self._mask
        parts = _joined(layout.parts)
        self._is_same = _pass_everything(parts, layout)
        self._parts = [each if isinstance(each, bytes) else b"" for each in parts]
        self._copies = tuple((n, *e) for n, e in enumerate(parts) if isinstance(e, tuple))
        self._slots = tuple((n, e) for n, e in enumerate(parts) if isinstance(e, _Slot))
        whole = not self._slots and bool(layout.numbers)
        self._ranges = ((0, self.length),) if whole else tuple(_merged(layout.numbers))
        self._numbers = _packer(layout.whole, encoding)

    def clean(self, raw: bytes) -> bytes | None:
        """Return a sequence as written, None if it is to be walked through."""
        if int.from_bytes(raw, "little") & self._mask != self._expected:
            return None
        for start, stop in self._ranges:
            if not self._judge.hold_no_text(raw[start:stop]):
                return None
        if self._numbers is not None and not self._judge.are_unknown(
            self._numbers.unpack_from(raw)
        ):
            return None
        if self._is_same:
            return raw
        parts = self._parts.copy()
        for place, start, stop in self._copies:
            parts[place] = raw[start:stop]
        for place, slot in self._slots:
            clean = _clean_slot(self._cleaner, slot, raw)
            if len(clean) != slot.length:
                return None
            parts[place] = clean
        return b"".join(parts)


class FormReader:
    """Reads the form of a sequence that a walk has been through.

    Parameters
    ----------
    judge, cleaner : Judge, ElementCleaner
        Those of the walk.
    encoding : Encoding
        How the elements are written.
    numbers : PlainNumbers
        Judges binary values.
    """

    def __init__(
        self, judge: Judge, cleaner: ElementCleaner, encoding: Encoding, numbers: PlainNumbers
    ) -> None:
        self._judge = judge
        self._cleaner = cleaner
        self._encoding = encoding
        self._numbers = numbers

    def read(self, raw: bytes, written: bytes) -> Form | None:
        """Return the form of a sequence, None where it has something special.

        ``written`` is what the walk made of it; a form that makes something else is none.
        """
        layout = _Layout(raw, bytearray(len(raw)))
        try:
            end, _ = self._sequence(layout, 0, {})
        except (_UnfitError, struct.error, ValueError):
            return None
        form = Form(layout, self._encoding, self._cleaner, self._numbers)
        return form if end == len(raw) and form.clean(raw) == written else None

    def _sequence(self, layout: _Layout, at: int, blocks: dict[int, Block]) -> tuple[int, int]:
        """Read a sequence's header and items; return its end and the length written."""
        known, start, length = self._header(layout, at)
        creator = 0
        if self._encoding.explicit and layout.raw[at + 4 : at + 6] != b"SQ":
            raise _UnfitError
        if known.tag >> 16 & 1:
            # The outermost one was found to be kept under its creator before.
            block = blocks.get(known.tag >> 8)
            if at and (
                block is None or not keeps_private_sequence(block.creator, *_place(known.tag))
            ):
                raise _UnfitError
            creator = self._creator(layout, block, known.tag) if at and block else 0
        elif known.decision.action is not Action.SEQUENCE:
            raise _UnfitError
        place = len(layout.parts)
        layout.parts.append(b"")
        end, body = self._items(layout, start, length)
        header = self._encoding.header(known.tag, "SQ", UNDEFINED if length == UNDEFINED else body)
        layout.parts[place] = header
        if length == UNDEFINED:
            layout.parts.append(self._encoding.sequence_end())
            body += 8
        return end, creator + len(header) + body

    def _items(self, layout: _Layout, at: int, length: int) -> tuple[int, int]:
        limit = len(layout.raw) if length == UNDEFINED else at + length
        long, tag_bytes = self._encoding.long, self._encoding.tag_bytes
        body = 0
        while length == UNDEFINED or at < limit:
            layout.literal(at, at + 8)
            tag, size = layout.raw[at : at + 4], long.unpack_from(layout.raw, at + 4)[0]
            at += 8
            if length == UNDEFINED and tag == tag_bytes(SEQUENCE_END):
                return at, body
            if tag != tag_bytes(ITEM):
                raise _UnfitError
            place = len(layout.parts)
            layout.parts.append(b"")
            stop = None if size == UNDEFINED else at + size
            at, content = self._elements(layout, at, stop)
            shown = UNDEFINED if size == UNDEFINED else content
            layout.parts[place] = tag_bytes(ITEM) + long.pack(shown)
            body += 8 + content
            if size == UNDEFINED:
                layout.parts.append(tag_bytes(ITEM_END) + b"\0\0\0\0")
                body += 8
        return at, body

    def _elements(self, layout: _Layout, at: int, stop: int | None) -> tuple[int, int]:
        """Read the elements of an item; return where it ends and the length written."""
        raw, content = layout.raw, 0
        blocks: dict[int, Block] = {}
        while stop is None or at < stop:
            if stop is None and raw[at : at + 4] == self._encoding.tag_bytes(ITEM_END):
                layout.literal(at, at + 8)
                return at + 8, content
            known, start, length = self._header(layout, at)
            if known.vr == "SQ" and known.kind != GONE:
                at, written = self._sequence(layout, at, blocks)
                content += written
                continue
            if length == UNDEFINED:
                raise _UnfitError
            end = start + length
            content += self._value(layout, known, (at, start, end), blocks)
            at = end
        return at, content

    def _header(self, layout: _Layout, at: int) -> tuple[Known, int, int]:
        """Return what an element is, where its value begins, and the value's length."""
        explicit = self._encoding.explicit
        known = self._judge.heads.get(layout.raw[at : at + (6 if explicit else 4)])
        if known is None:
            raise _UnfitError
        start = at + (12 if explicit and known.long_form else 8)
        if explicit and not known.long_form:
            length = self._encoding.short.unpack_from(layout.raw, at + 6)[0]
        else:
            length = self._encoding.long.unpack_from(layout.raw, start - 4)[0]
        layout.literal(at, start)
        return known, start, length

    def _value(
        self, layout: _Layout, known: Known, place: tuple[int, int, int], blocks: dict[int, Block]
    ) -> int:
        """Read an element that is no sequence; return the length written."""
        at, start, end = place
        if known.kind == GONE:
            return 0
        if known.tag >> 16 & 1:
            return self._private(layout, known, place, blocks)
        if known.kind > FACT:
            raise _UnfitError
        is_unknown = self._encoding.explicit and layout.raw[at + 4 : at + 6] == b"UN"
        if known.decision.action is Action.BINARY and (end - start) % 2 == 0 and not is_unknown:
            _note_number(layout, known, start, end)
            layout.parts.append((at, end))
            return end - at
        return self._slot(layout, _Slot(known, at, start, end, 0, None))

    def _slot(self, layout: _Layout, slot: _Slot) -> int:
        length = len(_clean_slot(self._cleaner, slot, layout.raw))
        layout.parts.append(
            _Slot(slot.known, slot.start, slot.value_start, slot.stop, length, slot.block)
        )
        return length

    def _private(
        self, layout: _Layout, known: Known, place: tuple[int, int, int], blocks: dict[int, Block]
    ) -> int:
        at, start, end = place
        if known.tag & 0xFFFF < 0x1000:  # noqa: PLR2004 - creators
            layout.literal(start, end)
            pieces: list[bytes] = []
            block = self._cleaner.creator_block(layout.raw[start:end], pieces)
            if block is not None:
                block.place = len(layout.parts)
                layout.parts.append(b"")
                blocks[known.tag >> 16 << 8 | known.tag & 0xFF] = block
            return 0
        block = blocks.get(known.tag >> 8)
        if block is None:
            return 0
        if keeps_private_sequence(block.creator, *_place(known.tag)):
            raise _UnfitError
        length = self._slot(layout, _Slot(known, at, start, end, 0, block))
        return length + (self._creator(layout, block, known.tag) if length else 0)

    def _creator(self, layout: _Layout, block: Block, tag: int) -> int:
        """Write the creator of a block of which something stays, once; return its length."""
        if block.written:
            return 0
        pieces = [b""] * (block.place + 1)
        self._cleaner.write_creator(block, pieces, tag)
        layout.parts[block.place] = pieces[block.place]
        return len(pieces[block.place])


def _clean_slot(cleaner: ElementCleaner, slot: _Slot, raw: bytes) -> bytes:
    element, value = raw[slot.start : slot.stop], raw[slot.value_start : slot.stop]
    if slot.block is None:
        met = cleaner.public.get(element)
        return (met or cleaner.clean_element(slot.known, element, value)).clean
    met = slot.block.memory.get(element)
    return (met or cleaner.clean_private(slot.block, slot.known, element, value)).clean


def _note_number(layout: _Layout, known: Known, start: int, end: int) -> None:
    layout.numbers.append((start, end))
    code = WHOLE_NUMBERS.get(known.vr)
    if code is None or end - start > FEW_BYTES:
        return
    count, rest = divmod(end - start, struct.calcsize(f"<{code}"))
    if count and not rest:
        layout.whole.append((start, code, count))


def _place(tag: int) -> tuple[int, int]:
    return tag >> 16, tag & 0xFF


def _joined(parts: list[_Part]) -> list[_Part]:
    """Return the parts with neighbours of one kind put together."""
    joined: list[_Part] = []
    for part in parts:
        last = joined[-1] if joined else None
        if isinstance(part, bytes) and isinstance(last, bytes):
            joined[-1] = last + part
        elif isinstance(part, tuple) and isinstance(last, tuple) and last[1] == part[0]:
            joined[-1] = (last[0], part[1])
        elif part:
            joined.append(part)
    return joined


def _pass_everything(parts: list[_Part], layout: _Layout) -> bool:
    """Return whether what is written is what was read, whatever the values are."""
    at = 0
    for part in parts:
        if isinstance(part, bytes):
            stop = at + len(part)
            same = part == layout.raw[at:stop] and all(layout.mask[at:stop])
        else:
            same = isinstance(part, tuple) and part[0] == at
            stop = part[1] if isinstance(part, tuple) else at
        if not same:
            return False
        at = stop
    return at == len(layout.raw)


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges of bytes; those with only a header between them as one."""
    merged: list[tuple[int, int]] = []
    for start, stop in ranges:
        if merged and start - merged[-1][1] <= _LONGEST_HEADER:
            merged[-1] = (merged[-1][0], stop)
        else:
            merged.append((start, stop))
    return merged


def _packer(whole: list[tuple[int, str, int]], encoding: Encoding) -> struct.Struct | None:
    """Return what unpacks all numbers of a sequence that could be a known whole number."""
    code, at = ">" if encoding.big_endian else "<", 0
    for start, letter, count in whole:
        code += f"{start - at}x{count}{letter}"
        at = start + struct.calcsize(f"<{letter}") * count
    return struct.Struct(code) if whole else None
