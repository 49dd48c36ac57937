"""Walks the bytes of a dataset, element by element, and writes the clean ones.

Most elements of a study occur again and again, so a whole element in and its clean form out are
remembered; a file then costs little more than finding its elements. Not here: the file around
the dataset (``dicom_file``), and the decisions (``rules``, ``values``).

References
----------
DICOM PS3.5 sections 6.2.2 (unknown representations), 7.1, 7.5 (nesting), 7.8 (private elements).
"""

from __future__ import annotations

from dataclasses import replace

from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.elements import ElementCleaner
from containers.scrub_headers.encoding import (
    IMPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    SEQUENCE_END,
    UNDEFINED,
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
    Known,
    ends_early,
)
from containers.scrub_headers.private_blocks import keeps_private_sequence
from containers.scrub_headers.rules import Action
from containers.scrub_headers.runs import REMEMBERED_BYTES, SHORTEST_RUN, Data, RunMemory
from containers.scrub_headers.walk import Block, Walk, are_pixels, end_of_pixels, note, outcome_of

MAXIMUM_DEPTH = 100
_REMEMBERED_SEQUENCES = 2_000
_MOST_MET = 100_000
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
        self._sequences: dict[bytes, tuple[bytes, tuple[tuple[int, int], ...]]] = {}
        self._met: set[int] = set()
        self._runs = RunMemory()
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
        heads, elements, runs, tally = (
            self._judge.heads,
            self._cleaner.public,
            self._runs.runs,
            walk.tally,
        )
        blocks: dict[int, Block] = {}
        short, long = self.encoding.short.unpack_from, self.encoding.long.unpack_from
        explicit = self.encoding.explicit
        head_length = 6 if explicit else 4
        tracing = walk.trace is not None
        last = -1
        # Elements seen before that follow one another are remembered as a run; a run is looked
        # for after everything that was new.
        look = not tracing
        changing = self._runs.changing
        self._runs.datasets += top
        seen: list[tuple[int, Known]] = []
        while position < limit:
            if look:
                look = False
                run = runs.get(data[position : position + 8])
                if run is not None and last < run.first and run.last < next_mark:
                    block = blocks.get(run.first >> 8)
                    creator = block.creator if block is not None else ""
                    run = self._runs.here(run, data, position, limit, creator)
                    if run is not None:
                        append(run.clean)
                        position += run.length
                        last = run.last
                        for rule, number in run.counts:
                            tally[rule] += number
                        if top and run.facts:
                            walk.facts.update(run.facts)
                        if block is not None and run.clean and not block.written:
                            self._cleaner.write_creator(block, pieces, last)
                        look = not tracing
                        continue
            known = heads.get(data[position : position + head_length])
            if known is None:
                if open_end and data[position : position + 4] == self._item_end:
                    return pieces, self._after_delimiter(data, position, limit)
                known = self._judge.learn(data[position : position + head_length])
            tag, kind, long_form, _, decision, rule = known
            before = position
            if tag <= last:
                raise RefusedFileError("Its elements are not in ascending order.")
            last = tag
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
                if len(seen) >= SHORTEST_RUN:
                    self._remember_run(data, seen, before, blocks)
                seen.clear()
                if self._is_replaced(marks, tag, pieces):
                    known = self._judge.replaced(known)
                    decision, kind, rule = known.decision, known.kind, known.rule
                next_mark = marks[0][0] if marks else _TAG_END
            tally[rule] += 1
            if length == UNDEFINED:
                kind = SPECIAL
            elif stop > limit:
                raise ends_early()
            elif tracing:
                kind = SPECIAL
            if kind == GONE:
                position = stop
            elif kind <= FACT:
                if kind == FACT and top:
                    walk.facts[tag] = data[start:stop]
                raw = data[position:stop]
                clean = elements.get(raw)
                if (
                    clean is not None
                    and tag not in changing
                    and not (seen and seen[-1][1].kind == PRIVATE)
                ):
                    append(clean)
                    seen.append((position, known))
                    position = stop
                    continue
                if clean is None:
                    clean = self._cleaner.clean_element(known, raw, raw[start - position :])
                append(clean)
                position = stop
            elif kind == PRIVATE:
                block = blocks.get(tag >> 8)
                if block is not None:
                    raw = data[position:stop]
                    clean = block.memory.get(raw)
                    if (
                        clean is not None
                        and tag not in changing
                        and (not seen or seen[-1][1].tag >> 8 == tag >> 8)
                    ):
                        if clean and not block.written:
                            self._cleaner.write_creator(block, pieces, tag)
                        append(clean)
                        seen.append((position, known))
                        position = stop
                        continue
                    if clean is None:
                        clean = self._cleaner.clean_private(
                            block, known, raw, raw[start - position :]
                        )
                    if clean and not block.written:
                        self._cleaner.write_creator(block, pieces, tag)
                    append(clean)
                position = stop
            elif tag >> 16 & 1:
                position = self._private_structure(
                    data, known, position, start, length, limit, walk, path, blocks, pieces
                )
            elif decision.action is Action.PIXELS and top and are_pixels(tag, walk):
                walk.pixels = (
                    tag,
                    position,
                    end_of_pixels(data, start, length, limit, walk, self.encoding),
                )
                walk.value_start = start
                break
            else:
                position = self._special(
                    data, known, position, start, length, limit, walk, path, pieces
                )
            look = not tracing
            if len(seen) >= SHORTEST_RUN:
                self._remember_run(data, seen, before, blocks)
            seen.clear()
        else:
            if open_end:
                raise ends_early()
        pieces.extend(each for _, each in marks)
        return pieces, position

    def _remember_run(
        self, data: Data, seen: list[tuple[int, Known]], end: int, blocks: dict[int, Block]
    ) -> None:
        first = seen[0][1].tag
        if first >> 16 & 1:
            block = blocks[first >> 8]
            self._runs.remember(data, seen, end, block.creator, block.memory)
        else:
            self._runs.remember(data, seen, end, "", self._cleaner.public)

    # Marks -------------------------------------------------------------------------------

    @staticmethod
    def _is_replaced(marks: list[tuple[int, bytes]], tag: int, pieces: list[bytes]) -> bool:
        """Write the marks up to a tag; return whether one of them takes its place."""
        replaced = False
        while marks and marks[0][0] <= tag:
            replaced = replaced or marks[0][0] == tag
            pieces.append(marks.pop(0)[1])
        return replaced

    # Structure ---------------------------------------------------------------------------

    def _after_delimiter(self, data: Data, position: int, limit: int) -> int:
        if position + 8 > limit or data[position + 4 : position + 8] != b"\0\0\0\0":
            raise RefusedFileError("A delimiter has a length.")
        return position + 8

    def _special(  # noqa: PLR0913, PLR0917 - the state of the loop
        self, data: Data, known: Known, position: int, start: int, length: int, limit: int,
        walk: Walk, path: tuple[int, ...], pieces: list[bytes],
    ) -> int:  # fmt: skip
        """Deal with a sequence, an element of undefined length, or one that is traced."""
        tag, decision = known.tag, known.decision
        undefined = length == UNDEFINED
        raw_vr = data[position + 4 : position + 6] if self.encoding.explicit else b""
        if known.vr == "SQ" or (undefined and raw_vr in {b"UN", b""}):
            keep = decision.action is Action.SEQUENCE and known.vr == "SQ"
            if decision.action is Action.EMPTY and known.vr == "SQ":
                note(walk, path, known, "emptied")
                pieces.append(self.encoding.element(tag, "SQ", b""))
            else:
                note(walk, path, known, "cleaned inside" if keep else "removed")
            return self._sequence(
                data, known, position, start, length, limit, walk, path, pieces if keep else None
            )
        if undefined and known.vr in {"OB", "OW"}:
            # Fragments of an icon's pixels inside something that goes.
            note(walk, path, known, "removed")
            return end_of_pixels(data, start, length, limit, replace(walk), self.encoding)
        if undefined:
            raise RefusedFileError("A value that is no sequence has no defined length.")
        stop = start + length
        value = data[start:stop]
        if not path and (tag in FACT_TAGS or tag & 0xFF00FFFF == OVERLAY_BIT):
            walk.facts[tag] = value
        clean = b""
        if decision.action not in {Action.REMOVE, Action.PIXELS}:
            clean = self._cleaner.written(known, data[position:stop], value)
        note(walk, path, known, outcome_of(clean, data[position:stop], length))
        pieces.append(clean)
        return stop

    def _private_structure(  # noqa: PLR0913, PLR0917 - the state of the loop
        self, data: Data, known: Known, position: int, start: int, length: int, limit: int,
        walk: Walk, path: tuple[int, ...], blocks: dict[int, Block], pieces: list[bytes],
    ) -> int:  # fmt: skip
        """Deal with a private creator, sequence, or element of unknown representation."""
        tag = known.tag
        stop = start + length
        undefined = length == UNDEFINED
        if not undefined and tag & 0xFFFF < 0x1000:  # noqa: PLR2004 - creators
            block = None
            if known.decision.action is not Action.REMOVE:
                block = self._cleaner.creator_block(data[start:stop], pieces)
            if block is not None:
                blocks[tag >> 16 << 8 | tag & 0xFF] = block
            note(walk, path, known, "kept if an element of its block is")
            return stop
        block = blocks.get(tag >> 8)
        keep = (
            block is not None
            and known.decision.action is not Action.REMOVE
            and keeps_private_sequence(block.creator, tag >> 16, tag & 0xFF)
        )
        if known.vr == "SQ" or undefined or keep:
            if block is not None and keep and not block.written:
                self._cleaner.write_creator(block, pieces, tag)
            note(walk, path, known, "cleaned inside" if keep else "removed")
            return self._sequence(
                data, known, position, start, length, limit, walk, path, pieces if keep else None
            )
        clean = b""
        if block is not None and known.decision.action is not Action.REMOVE:
            raw = data[position:stop]
            clean = self._cleaner.clean_private(block, known, raw, data[start:stop])
            if clean and not block.written:
                self._cleaner.write_creator(block, pieces, tag)
            pieces.append(clean)
        note(walk, path, known, outcome_of(clean, data[position:stop], length))
        return stop

    def _sequence(  # noqa: PLR0913, PLR0917 - the state of the loop
        self, data: Data, known: Known, position: int, start: int, length: int, limit: int,
        walk: Walk, path: tuple[int, ...], pieces: list[bytes] | None,
    ) -> int:  # fmt: skip
        """Clean the items of a sequence; with no ``pieces`` only find its end."""
        if len(path) >= MAXIMUM_DEPTH:
            raise RefusedFileError(f"Its sequences are nested deeper than {MAXIMUM_DEPTH} levels.")
        undefined = length == UNDEFINED
        stop = start + length
        if pieces is None and not undefined:
            return stop
        raw = b""
        if not undefined and length <= REMEMBERED_BYTES and walk.trace is None:
            raw = data[position:stop]
            found = self._sequences.get(raw)
            if found is not None and pieces is not None:
                pieces.append(found[0])
                for rule, count in found[1]:
                    walk.tally[rule] += count
                return stop
            raw = raw if self._was_met(raw) else b""
        inner = self._cleaner_of_items(data, position)
        tally = walk.tally
        before = tally[:] if raw or pieces is None else tally
        if pieces is None:
            walk.tally = before
        items, end = inner.items(
            data, start, limit if undefined else stop, walk, (*path, known.tag), undefined=undefined
        )
        walk.tally = tally
        if pieces is None:
            return end
        written = self._sequence_bytes(data, position, known, items, inner, undefined=undefined)
        pieces.append(written)
        if raw:
            if len(self._sequences) >= _REMEMBERED_SEQUENCES:
                self._sequences.clear()
            counts = tuple(
                (rule, tally[rule] - before[rule])
                for rule in range(len(self._rule_numbers))
                if tally[rule] != before[rule]
            )
            self._sequences[raw] = (written, counts)
        return end

    def _was_met(self, raw: bytes) -> bool:
        """Return whether a sequence is met again, and so is worth remembering.

        Most of those with a value of one frame are never met again, and counting what is in them
        costs more than looking for them.
        """
        mark = hash(raw)
        if mark in self._met:
            return True
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met.add(mark)
        return False

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

    def _sequence_bytes(  # noqa: PLR0913 - what makes an element
        self, data: Data, position: int, known: Known, items: list[bytes],
        inner: DatasetCleaner, *, undefined: bool,
    ) -> bytes:  # fmt: skip
        body = b"".join(items)
        vr = "SQ"
        if self.encoding.explicit:
            vr = data[position + 4 : position + 6].decode("ascii")
        length = UNDEFINED if undefined else len(body)
        end = inner.encoding.sequence_end() if undefined else b""
        return self.encoding.header(known.tag, vr, length) + body + end
