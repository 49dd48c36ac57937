"""The walk over the bytes of a DICOM file of the usual form, element by element.

What was judged before is looked up; only what is new goes to the rules. Not here: the file as a
whole (``dicom_plain``), and the rules.

References
----------
DICOM PS3.5 sections 7.1.2 (explicit representation), 7.5 (nesting), A.4 (fragments); PS3.10
section 7.1 (file meta information).
"""

from __future__ import annotations

import mmap
import struct

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from containers.check_identity.context import FileContext
from containers.check_identity.dicom_memory import (
    Effects,
    ElementMemory,
    Head,
    State,
    key_of,
    raw_element,
    recorder_like,
)
from containers.check_identity.dicom_rules import (
    has_rule,
    private_problem,
    where,
)
from containers.check_identity.dicom_values import check_meta_element, judge_element
from containers.check_identity.search.matcher import Region, Span

Data = bytes | mmap.mmap

_META_START = 132
PIXEL_DATA = 0x7FE00010
PIXELS = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010, 0x56000020})
"""What a file is about; searched less strictly, because any short text occurs in it by chance."""
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())
_WIDTHS = {"FL": 4, "FD": 8, "SL": 4, "SS": 2, "UL": 4, "US": 2, "SV": 8, "UV": 8}
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = b"\xfe\xff\0\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"
_LARGEST_VALUE = 1 << 20
MOST_META = 1 << 16
_DEEPEST = 40
_REMEMBERED_SEQUENCE = 4096
_CHARACTER_SET, _METHOD_CODES = 0x00080005, 0x00120064
STATE_TAGS = frozenset({_CHARACTER_SET, _METHOD_CODES})
_TOP_TAGS = STATE_TAGS | {
    0x00080008, 0x00080016, 0x00080018, 0x00080064, 0x00120062, 0x00120063, 0x00280100,
    0x00280102, 0x00280103, 0x00280301, 0x00280303,
}  # fmt: skip
_OTHER_ENCODINGS = frozenset(
    {b"", b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"}
)
_UNSEEN = Effects()
_ELEMENT, _NUMBER, _SEQUENCE, _PIXELS, _CREATOR, _PRIVATE, _PRIVATE_NUMBER = range(7)
_long = struct.Struct("<I").unpack_from
_short = struct.Struct("<H").unpack_from


class UnusualFormError(Exception):
    """The file is not of the usual form."""


class Walk:
    """One walk through one file."""

    def __init__(self, data: Data, context: FileContext, memory: ElementMemory) -> None:
        self._data = data
        self._context = context
        self._memory = memory
        self.meta: list[Effects] = []

    def begin(self, state: State) -> None:
        """Start with what is remembered under a state, and with nothing found."""
        self._state = state
        self.loud: list[tuple[Effects, str]] = []
        self.private: list[list[tuple[str, str, str]]] = []
        self.top: list[tuple[int, bytes]] = []
        self.spans: list[Span] = []
        self.last_tag = -1
        self._private_count = 0

    def walk_meta(self) -> tuple[int, dict[int, bytes], bytes]:
        """Walk the file meta information; return its end, its values, the transfer syntax."""
        data, position, last = self._data, _META_START, -1
        values: dict[int, bytes] = {}
        while data[position : position + 2] == b"\2\0":
            if position + 12 > len(data):
                raise UnusualFormError
            tag = 0x00020000 | _short(data, position + 2)[0]
            letters = data[position + 4 : position + 6]
            start = position + 12 if letters in _LONG else position + 8
            if (letters not in _LONG and letters not in _SHORT) or letters in {b"SQ", b"UN"}:
                raise UnusualFormError
            length = (
                _long(data, position + 8)[0] if letters in _LONG else _short(data, position + 6)[0]
            )
            if tag <= last or length > MOST_META or start + length > len(data):
                raise UnusualFormError
            last = tag
            raw = data[position : start + length]
            values[tag] = raw[start - position :]
            effects = self._memory.meta.get(raw, _UNSEEN)
            if effects is _UNSEEN:
                effects = self._judge_meta(tag, letters.decode("ascii"), values[tag])
            if effects is not None and self._memory.settle(self._memory.meta, raw, effects):
                self.meta.append(effects)
            position = start + length
        syntax = values.get(0x00020010, b"").rstrip(b"\0 ")
        if syntax in _OTHER_ENCODINGS:
            raise UnusualFormError
        return position, values, syntax

    def _judge_meta(self, tag: int, vr: str, value: bytes) -> Effects:
        recorder = recorder_like(self._context)
        raw = raw_element(tag, vr, value)
        try:
            element = Dataset({raw.tag: raw})[raw.tag]
            check_meta_element(element, recorder)
        except Exception as error:  # pydicom raises many kinds on bad values
            raise UnusualFormError from error
        return recorder.taken()

    def level(  # noqa: C901, PLR0912, PLR0915 - the one loop that everything's speed rests on
        self, position: int, limit: int, above: str, depth: int, *, is_open: bool = False
    ) -> int:
        """Walk one data set; return where it ends.

        Parameters
        ----------
        is_open : bool
            It is an item that ends with a delimiter, somewhere before ``limit``.
        """
        data, state = self._data, self._state
        heads, elements = state.heads, state.elements
        creators: dict[int, tuple[str, dict[bytes, Effects | None], bytes]] = {}
        found: list[tuple[str, str, str]] = []
        self.private.append(found)
        last = -1
        while position < limit:
            head = heads.get(data[position : position + 6])
            if head is None:
                if is_open and data[position : position + 8] == _ITEM_END + b"\0\0\0\0":
                    return position + 8
                head = self._learn(data[position : position + 6])
            tag, vr, kind, is_long, width = head
            if tag <= last or position + 8 > limit:
                raise UnusualFormError
            last = tag
            if is_long:
                if position + 12 > limit:
                    raise UnusualFormError
                length, start = _long(data, position + 8)[0], position + 12
            else:
                length, start = _short(data, position + 6)[0], position + 8
            stop = start + length
            if stop > limit and length != _UNDEFINED:
                raise UnusualFormError
            if kind == _NUMBER and length and length != _UNDEFINED and not length % width:
                if not depth and tag in _TOP_TAGS:
                    self.top.append((tag, data[position:stop]))
                position = stop
                continue
            if kind == _SEQUENCE:
                if tag >> 16 & 1:
                    self._judge_private(head, creators, found, above)
                if not depth and tag in _TOP_TAGS:
                    if length == _UNDEFINED:
                        raise UnusualFormError
                    self.top.append((tag, data[position:stop]))
                position = self._sequence(head, position, start, length, limit, above, depth)
                continue
            if kind == _PIXELS and not depth:
                stop = self._pixels(tag, start, length, limit)
                position = stop
                continue
            if length > _LARGEST_VALUE:
                raise UnusualFormError
            raw = data[position:stop]
            position = stop
            if kind <= _PIXELS:
                if tag in _TOP_TAGS:
                    if not depth:
                        self.top.append((tag, raw))
                    elif tag == _CHARACTER_SET:
                        raise UnusualFormError
                memory, around = elements, b""
            elif kind == _CREATOR:
                name = raw[start - stop :].decode("latin-1").strip("\0 ") if length else ""
                remembered = state.private.setdefault(raw, {})
                creators[tag >> 16 << 8 | tag & 0xFF] = (name, remembered, raw)
                problem = private_problem(tag, vr, name)
                if problem:
                    found.append((above + where(tag), problem, name))
                    self._private_count += 1
                memory, around = elements, b""
            else:
                around = self._judge_private(head, creators, found, above)
                if kind == _PRIVATE_NUMBER and length and not length % width:
                    continue
                memory = creators[tag >> 8][1] if around else elements
            # Without a rule for the attribute, of a number only its representation is judged.
            key = raw[:6] if width and length and not length % width else key_of(raw)
            effects = memory.get(key, _UNSEEN)
            if effects is None:
                continue
            if effects is _UNSEEN:
                effects = self._judge(tag, vr, raw[start - stop :] if length else b"", around)
            effects = self._memory.settle(memory, key, effects)
            if effects is not None:
                self.loud.append((effects, above))
        if is_open or position != limit:
            raise UnusualFormError
        if not depth:
            self.last_tag = last
        return position

    def _learn(self, letters: bytes) -> Head:
        """Find out what an element is by its tag and representation, once for each."""
        vr = letters[4:6]
        is_long = vr in _LONG
        if len(letters) < 6 or not (is_long or vr in _SHORT):  # noqa: PLR2004 - tag and VR
            raise UnusualFormError
        group, number = struct.unpack_from("<HH", letters)
        tag, name = group << 16 | number, vr.decode("ascii")
        is_private = bool(group & 1)
        width = 0 if has_rule(tag) else _WIDTHS.get(name, 0)
        if group == 0xFFFE or (vr == b"UN" and not is_private):  # noqa: PLR2004 - delimiters
            raise UnusualFormError
        kind = _ELEMENT
        if vr == b"SQ":
            if is_private and 0x10 <= number <= 0xFF:  # noqa: PLR2004 - PS3.5 7.8.1
                raise UnusualFormError
            kind = _SEQUENCE
        elif tag in PIXELS:
            kind = _PIXELS
        elif is_private and 0x10 <= number <= 0xFF:  # noqa: PLR2004 - PS3.5 7.8.1
            kind = _CREATOR
        elif width and not self._judge_number(tag, name, width):
            kind = _PRIVATE_NUMBER if is_private else _NUMBER
        elif is_private:
            kind = _PRIVATE
        head = Head(tag, name, kind, is_long, width)
        self._state.heads[letters] = head
        return head

    def _judge_number(self, tag: int, vr: str, width: int) -> bool:
        """Return whether the rules have anything to say of a number, whatever it is."""
        effects = self._judge(tag, vr, bytes(width), b"")
        return bool(effects.found or effects.texts or effects.labels)

    def _judge(self, tag: int, vr: str, value: bytes, creator: bytes) -> Effects:
        """Ask the rules about one element, as pydicom reads it."""
        raw = raw_element(tag, vr, value)
        around = []
        if creator:
            letters = creator[4:6]
            start = 12 if letters in _LONG else 8
            its_tag = tag & 0xFFFF0000 | tag >> 8 & 0xFF
            around.append(raw_element(its_tag, letters.decode("ascii"), creator[start:]))
        state = self._state
        data_set = state.data_set(*around, raw)
        recorder = state.recorder
        try:
            element = judge_element(data_set, raw, raw.value, where(tag), recorder, state.rules)
        finally:
            effects = recorder.taken()
        if element is not None and element.VR == "SQ":
            raise UnusualFormError
        return effects

    def _judge_private(
        self, head: Head, creators: dict[int, tuple[str, dict[bytes, Effects | None], bytes]],
        found: list[tuple[str, str, str]], above: str,
    ) -> bytes:  # fmt: skip
        """Hold a private element against the list; return its creator's element."""
        block = creators.get(head.tag >> 8)
        problem = private_problem(head.tag, head.vr, None if block is None else block[0])
        if problem:
            found.append((above + where(head.tag), problem, ""))
            self._private_count += 1
        return b"" if block is None else block[2]

    def _sequence(  # noqa: PLR0913, PLR0917 - the state of the loop
        self, head: Head, position: int, start: int, length: int, limit: int, above: str,
        depth: int,
    ) -> int:  # fmt: skip
        """Walk the items of a sequence; return where it ends."""
        data, state = self._data, self._state
        if depth >= _DEEPEST:
            raise UnusualFormError
        is_open = length == _UNDEFINED
        stop = limit if is_open else start + length
        is_empty = not length or (is_open and data[start : start + 4] == _SEQUENCE_END)
        key = (head.tag, is_open, is_empty)
        effects = state.sequences.get(key, _UNSEEN)
        if effects is _UNSEEN:
            effects = self._judge_sequence(head.tag, is_open=is_open, is_empty=is_empty)
        if effects is not None:
            effects = self._memory.settle(state.sequences, key, effects)
        if effects is not None:
            self.loud.append((effects, above))
        raw = b""
        if not is_open and length <= _REMEMBERED_SEQUENCE:
            raw = data[position:stop]
            if raw in state.quiet_sequences:
                return stop
        before = (len(self.loud), self._private_count)
        end = self._items(start, stop, f"{above}{where(head.tag)}", depth, is_open=is_open)
        if raw and before == (len(self.loud), self._private_count):
            if len(state.quiet_sequences) >= MOST_META:
                state.quiet_sequences.clear()
            state.quiet_sequences.add(raw)
        return end

    def _items(self, position: int, stop: int, at: str, depth: int, *, is_open: bool) -> int:
        data, index = self._data, 0
        while is_open or position < stop:
            if position + 8 > stop:
                raise UnusualFormError
            mark, length = data[position : position + 4], _long(data, position + 4)[0]
            position += 8
            if is_open and mark == _SEQUENCE_END and not length:
                return position
            if mark != _ITEM:
                raise UnusualFormError
            above = f"{at}[{index}] > "
            index += 1
            if length == _UNDEFINED:
                position = self.level(position, stop, above, depth + 1, is_open=True)
            elif position + length > stop:
                raise UnusualFormError
            else:
                position = self.level(position, position + length, above, depth + 1)
        return position

    def _judge_sequence(self, tag: int, *, is_open: bool, is_empty: bool) -> Effects:
        """Ask the rules about a sequence as a whole; they look at its tag alone."""
        state = self._state
        whole = DataElement(BaseTag(tag), "SQ", [] if is_empty else [Dataset()])
        raw = whole if is_open else raw_element(tag, "SQ", b"" if is_empty else b"\0")
        try:
            state.rules.check_raw(whole.tag, raw, None, where(tag))
            state.rules.check_element(state.data_set(), whole, where(tag))
        finally:
            effects = state.recorder.taken()
        if not is_empty and any(each.text for each in effects.found):
            # Its content goes into the finding.
            raise UnusualFormError
        return effects

    def _pixels(self, tag: int, start: int, length: int, limit: int) -> int:
        """Step over the pixels; return where they end."""
        data = self._data
        if length != _UNDEFINED:
            self.spans.append(Span(start, start + length, Region.VOXELS))
            return start + length
        if tag != PIXEL_DATA:
            raise UnusualFormError
        position = start
        while position + 8 <= limit:
            mark, size = data[position : position + 4], _long(data, position + 4)[0]
            position += 8
            if mark == _SEQUENCE_END and not size and position == limit:
                self.spans.append(Span(start, position - 8, Region.VOXELS))
                return position
            if mark != _ITEM or size == _UNDEFINED:
                break
            position += size
        raise UnusualFormError
