"""Walks the bytes of a dataset, element by element, and writes the clean ones.

Most elements of a study occur again and again, and in the same order. So the walk looks first
whether what followed last time follows again; a file then costs little more than comparing its
elements. Not here: the file around the dataset (``dicom_file``), sequences that were met
(``sequences``), and the decisions (``rules``, ``values``).

References
----------
DICOM PS3.5 sections 6.2.2 (unknown representations), 7.1, 7.5 (nesting), 7.8 (private elements).
"""

from __future__ import annotations

from dataclasses import replace

from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.elements import REMEMBERED_BYTES, ElementCleaner
from containers.scrub_headers.encoding import (
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
    Data,
    Encoding,
)
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.judgement import (
    FACT,
    FACT_TAGS,
    GONE,
    OVERLAY_BIT,
    PRIVATE,
    SPECIAL,
    Judge,
    ends_early,
)
from containers.scrub_headers.private_blocks import keeps_private_sequence
from containers.scrub_headers.rules import Action
from containers.scrub_headers.sequences import SequenceMemory
from containers.scrub_headers.walk import (
    Block,
    Met,
    Spot,
    Walk,
    after_delimiter,
    are_pixels,
    end_of_pixels,
    note,
    outcome_of,
    put_marks,
)

MAXIMUM_DEPTH = 100
_MOST_PATHS = 1_000
_LONGEST_FOLLOWER = 1 << 19
"""Longer elements are cleaned each time."""
_TAG_END = 1 << 32


class DatasetCleaner:
    """Cleans datasets of one encoding under one context; remembers what it has seen.

    Parameters
    ----------
    context : CleanContext
        Pseudonyms, profile, known identities.
    encoding : Encoding
        How the elements are written.
    """

    def __init__(
        self, context: CleanContext, encoding: Encoding, rules: dict[str, int] | None = None
    ) -> None:
        self.context = replace(context, big_endian=encoding.big_endian)
        self.encoding = encoding
        self._rule_numbers = {} if rules is None else rules
        self._judge = Judge(encoding, context.profile, self._rule_numbers)
        self._cleaner = ElementCleaner(self.context, encoding)
        self._sequences = SequenceMemory(self._judge, self._cleaner, encoding, context.known)
        self._followers: dict[tuple[int, ...], dict[int, Met]] = {}
        self._unknown_sequences: DatasetCleaner | None = None
        self._item = encoding.tag_bytes(ITEM)
        self._item_end = encoding.tag_bytes(ITEM_END)
        self._sequence_end = encoding.tag_bytes(SEQUENCE_END)

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules met so far, in the order of a tally."""
        return tuple(self._rule_numbers)

    def clean(  # noqa: C901, PLR0912, PLR0915 - the one loop that everything's speed rests on
        self, data: Data, position: int, end: int, walk: Walk, path: tuple[int, ...] = ()
    ) -> tuple[list[bytes], int]:
        """Clean the elements from a position on.

        Parameters
        ----------
        data : bytes or mmap
            What holds the dataset.
        position, end : int
            Where it begins, and where it must end; at the top the walk ends at the pixel data,
            and an item of undefined length ends at its delimiter (``end`` negative: the limit).
        walk : Walk
            Gathers counts and facts.
        path : tuple of int
            Tags of the sequences around; empty at the top.

        Returns
        -------
        list of bytes, int
            Pieces of the clean dataset, and where the walk ended.

        Raises
        ------
        RefusedFileError
            The bytes are no well-formed dataset.
        """
        open_end = end < 0
        limit = -end if open_end else end
        top = not path
        marks = list(walk.marks) if top else []
        next_mark = marks[0][0] if marks else _TAG_END
        pieces: list[bytes] = []
        append = pieces.append
        heads, elements, tally = self._judge.heads, self._cleaner.public, walk.tally
        blocks: dict[int, Block] = {}
        short, long = self.encoding.short.unpack_from, self.encoding.long.unpack_from
        explicit = self.encoding.explicit
        head_length = 6 if explicit else 4
        tracing = walk.trace is not None
        last = -1
        # What followed each element the last time, by the tag of the element before.
        followers = {} if tracing else self._followers_in(path)
        while position < limit:
            met = followers.get(last)
            if (
                met is not None
                and data[position : position + met.compared] == met.raw
                and met.tag < next_mark
                and position + met.length <= limit
            ):
                clean = met.clean
                if met.creator is not None:
                    block = blocks.get(met.tag >> 8)
                    if block is None or block.creator != met.creator:
                        met = None
                    elif clean and not block.written:
                        self._cleaner.write_creator(block, pieces, met.tag)
                if met is not None:
                    if met.fact is not None and top:
                        walk.facts[met.tag] = met.fact
                    append(clean)
                    tally[met.rule] += 1
                    position += met.length
                    last = met.tag
                    continue
            known = heads.get(data[position : position + head_length])
            if known is None:
                if open_end and data[position : position + 4] == self._item_end:
                    return pieces, after_delimiter(data, position, limit)
                known = self._judge.learn(data[position : position + head_length])
            tag, kind, long_form, _, decision, rule = known
            if tag <= last:
                raise RefusedFileError("Its elements are not in ascending order.")
            before, last = last, tag
            if position + 8 > limit:
                raise ends_early()
            if not explicit:
                length = long(data, position + 4)[0]
                start = position + 8
            elif long_form:
                if position + 12 > limit:
                    raise ends_early()
                length = long(data, position + 8)[0]
                start = position + 12
            else:
                length = short(data, position + 6)[0]
                start = position + 8
            stop = start + length
            if tag >= next_mark:
                if put_marks(marks, tag, pieces):
                    known = self._judge.replaced(known)
                    decision, kind, rule = known.decision, known.kind, known.rule
                    before = _TAG_END  # what is learnt of it holds here alone
                next_mark = marks[0][0] if marks else _TAG_END
            tally[rule] += 1
            if length == UNDEFINED:
                kind = SPECIAL
            elif stop > limit:
                raise ends_early()
            elif tracing:
                kind = SPECIAL
            if kind == GONE:
                followers[before] = Met(known, data[position:start], stop - position, b"")
                position = stop
            elif kind <= FACT:
                raw = data[position:stop]
                met = elements.get(raw) if stop - position <= REMEMBERED_BYTES else None
                if met is None:
                    met = self._cleaner.clean_element(known, raw, raw[start - position :])
                if kind == FACT and top:
                    walk.facts[tag] = raw[start - position :]
                append(met.clean)
                if met.length <= _LONGEST_FOLLOWER:
                    followers[before] = met
                position = stop
            elif kind == PRIVATE:
                block = blocks.get(tag >> 8)
                if block is not None:
                    raw = data[position:stop]
                    met = block.memory.get(raw) if stop - position <= REMEMBERED_BYTES else None
                    if met is None:
                        met = self._cleaner.clean_private(
                            block, known, raw, raw[start - position :]
                        )
                    if met.clean and not block.written:
                        self._cleaner.write_creator(block, pieces, tag)
                    append(met.clean)
                    if met.length <= _LONGEST_FOLLOWER:
                        followers[before] = met
                position = stop
            elif decision.action is Action.PIXELS and top and are_pixels(tag, walk):
                walk.pixels = (
                    tag,
                    position,
                    end_of_pixels(data, start, length, limit, walk, self.encoding),
                )
                walk.value_start = start
                break
            else:
                spot = Spot(data, known, position, start, length, limit, walk, path)
                if tag >> 16 & 1:
                    position = self._private_structure(spot, blocks, pieces)
                else:
                    position = self._special(spot, pieces)
        else:
            if open_end:
                raise ends_early()
        pieces.extend(each for _, each in marks)
        return pieces, position

    def _followers_in(self, path: tuple[int, ...]) -> dict[int, Met]:
        found = self._followers.get(path)
        if found is None:
            if len(self._followers) >= _MOST_PATHS:
                self._followers.clear()
            found = self._followers[path] = {}
        return found

    def _special(self, spot: Spot, pieces: list[bytes]) -> int:
        """Deal with a sequence, an element of undefined length, or one that is traced."""
        known, decision, data = spot.known, spot.known.decision, spot.data
        tag = known.tag
        raw_vr = data[spot.position + 4 : spot.position + 6] if self.encoding.explicit else b""
        if known.vr == "SQ" or (spot.undefined and raw_vr in {b"UN", b""}):
            keep = decision.action is Action.SEQUENCE and known.vr == "SQ"
            if decision.action is Action.EMPTY and known.vr == "SQ":
                note(spot, "emptied")
                pieces.append(self.encoding.element(tag, "SQ", b""))
            else:
                note(spot, "cleaned inside" if keep else "removed")
            return self._sequence(spot, pieces if keep else None)
        if spot.undefined and known.vr in {"OB", "OW"}:
            # Fragments of an icon's pixels inside something that goes.
            note(spot, "removed")
            return end_of_pixels(
                data, spot.start, spot.length, spot.limit, replace(spot.walk), self.encoding
            )
        if spot.undefined:
            raise RefusedFileError("A value that is no sequence has no defined length.")
        value = data[spot.start : spot.stop]
        if not spot.path and (tag in FACT_TAGS or tag & 0xFF00FFFF == OVERLAY_BIT):
            spot.walk.facts[tag] = value
        clean = b""
        if decision.action not in {Action.REMOVE, Action.PIXELS}:
            clean = self._cleaner.written(known, spot.raw, value)
        note(spot, outcome_of(clean, spot.raw, spot.length))
        pieces.append(clean)
        return spot.stop

    def _private_structure(self, spot: Spot, blocks: dict[int, Block], pieces: list[bytes]) -> int:
        """Deal with a private creator, sequence, or element of unknown representation."""
        known, tag = spot.known, spot.known.tag
        goes = known.decision.action is Action.REMOVE
        if not spot.undefined and tag & 0xFFFF < 0x1000:  # noqa: PLR2004 - creators
            block = None
            if not goes:
                block = self._cleaner.creator_block(spot.data[spot.start : spot.stop], pieces)
            if block is not None:
                blocks[tag >> 16 << 8 | tag & 0xFF] = block
            note(spot, "kept if an element of its block is")
            return spot.stop
        block = blocks.get(tag >> 8)
        keep = (
            block is not None
            and not goes
            and keeps_private_sequence(block.creator, tag >> 16, tag & 0xFF)
        )
        if known.vr == "SQ" or spot.undefined or keep:
            if block is not None and keep and not block.written:
                self._cleaner.write_creator(block, pieces, tag)
            note(spot, "cleaned inside" if keep else "removed")
            return self._sequence(spot, pieces if keep else None)
        clean = b""
        if block is not None and not goes:
            value = spot.data[spot.start : spot.stop]
            clean = self._cleaner.clean_private(block, known, spot.raw, value).clean
            if clean and not block.written:
                self._cleaner.write_creator(block, pieces, tag)
            pieces.append(clean)
        note(spot, outcome_of(clean, spot.raw, spot.length))
        return spot.stop

    def _sequence(self, spot: Spot, pieces: list[bytes] | None) -> int:
        """Clean the items of a sequence; with no ``pieces`` only find its end."""
        data, _, position, start, _, limit, walk, path = spot
        if len(path) >= MAXIMUM_DEPTH:
            raise RefusedFileError(f"Its sequences are nested deeper than {MAXIMUM_DEPTH} levels.")
        if pieces is None and not spot.undefined:
            return spot.stop
        remembers = pieces is not None and walk.trace is None
        if pieces is not None and remembers:
            found = self._sequences.find(spot)
            if found is not None:
                written, counts, end = found
                pieces.append(written)
                for rule, count in counts:
                    walk.tally[rule] += count
                return end
        tally = walk.tally
        before = tally[:]
        inner = self._cleaner_of_items(data, position)
        if pieces is None:
            walk.tally = before
        items, end = inner.items(
            data, start, limit if spot.undefined else spot.stop, walk, (*path, spot.known.tag),
            undefined=spot.undefined,
        )  # fmt: skip
        walk.tally = tally
        if pieces is None:
            return end
        written = self._sequence_bytes(spot, items, inner)
        pieces.append(written)
        if remembers:
            counts = tuple(
                (rule, tally[rule] - before[rule])
                for rule in range(len(self._rule_numbers))
                if tally[rule] != before[rule]
            )
            self._sequences.learn(spot, end, written, counts)
        return end

    def _cleaner_of_items(self, data: Data, position: int) -> DatasetCleaner:
        """Return the cleaner for a sequence's items: implicit below an unknown representation."""
        if not self.encoding.explicit or data[position + 4 : position + 6] != b"UN":
            return self
        if self._unknown_sequences is None:
            self._unknown_sequences = DatasetCleaner(
                self.context, IMPLICIT_LITTLE, self._rule_numbers
            )
        return self._unknown_sequences

    def items(  # noqa: PLR0913 - the state of the loop
        self, data: Data, position: int, limit: int, walk: Walk, path: tuple[int, ...], *,
        undefined: bool,
    ) -> tuple[list[bytes], int]:  # fmt: skip
        """Clean the items of a sequence; return them, and where the sequence ends."""
        long = self.encoding.long.unpack_from
        cleaned: list[bytes] = []
        while undefined or position < limit:
            if position + 8 > limit:
                raise ends_early()
            tag = data[position : position + 4]
            length = long(data, position + 4)[0]
            position += 8
            if undefined and tag == self._sequence_end and length == 0:
                return cleaned, position
            if tag != self._item:
                raise RefusedFileError("A sequence holds something that is no item.")
            if length == UNDEFINED:
                pieces, position = self.clean(data, position, -limit, walk, path)
                cleaned.append(self.encoding.open_item(b"".join(pieces)))
            else:
                if position + length > limit:
                    raise ends_early()
                pieces, position = self.clean(data, position, position + length, walk, path)
                cleaned.append(self.encoding.item(b"".join(pieces)))
        return cleaned, position

    def _sequence_bytes(self, spot: Spot, items: list[bytes], inner: DatasetCleaner) -> bytes:
        body = b"".join(items)
        vr = "SQ"
        if self.encoding.explicit:
            vr = spot.data[spot.position + 4 : spot.position + 6].decode("ascii")
        length = UNDEFINED if spot.undefined else len(body)
        end = inner.encoding.sequence_end() if spot.undefined else b""
        return self.encoding.header(spot.known.tag, vr, length) + body + end
