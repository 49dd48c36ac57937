"""Cleans single elements of one encoding, and remembers what became of them.

Most elements of a study occur again and again. Not here: walking (``dataset``), and what becomes
of a value (``values``, ``private_blocks``).
"""

from __future__ import annotations

from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.encoding import Encoding
from containers.scrub_headers.judgement import FACT, Known
from containers.scrub_headers.private_blocks import clean_private as clean_private_value
from containers.scrub_headers.private_blocks import has_rule
from containers.scrub_headers.values import clean_value
from containers.scrub_headers.walk import Block, Met

REMEMBERED_BYTES = 1024
"""Longer elements are rarely the same in two files, and looking for them takes long."""
_REMEMBERED_ELEMENTS = 16_000


class ElementCleaner:
    """Cleans elements of one encoding under one context.

    Attributes
    ----------
    public : dict
        Public elements that were met, by their whole bytes.
    """

    def __init__(self, context: CleanContext, encoding: Encoding) -> None:
        self.public: dict[bytes, Met] = {}
        self._context = context
        self._encoding = encoding
        self._private: dict[str, dict[bytes, Met]] = {}

    def clean_element(self, known: Known, raw: bytes, value: bytes) -> Met:
        """Clean an element, and remember it."""
        fact = value if known.kind == FACT else None
        met = Met(known, raw, len(raw), self.written(known, raw, value), fact)
        if len(raw) <= REMEMBERED_BYTES:
            _remember(self.public, raw, met)
        return met

    def written(self, known: Known, raw: bytes, value: bytes) -> bytes:
        """Return the clean form of a public element, without remembering it."""
        clean = clean_value(known.decision.action, known.tag, known.vr, value, self._context)
        if clean is None:
            return b""
        if clean == value and (not self._encoding.explicit or raw[4:6] != b"UN"):
            return raw if len(value) % 2 == 0 else b""
        try:
            return self._encoding.element(known.tag, known.vr, clean)
        except ValueError:
            return b""

    def clean_private(self, block: Block, known: Known, raw: bytes, value: bytes) -> Met:
        """Clean a private element, and remember it."""
        group, element = known.tag >> 16, known.tag & 0xFF
        if not has_rule(block.creator, group, element):
            header = raw[: len(raw) - len(value)]
            return Met(known, header, len(raw), b"", creator=block.creator)
        clean = clean_private_value(block.creator, group, element, known.vr, value, self._context)
        written = b""
        if clean is not None:
            written = self._encoding.element(known.tag, known.vr, clean)
        met = Met(known, raw, len(raw), written, creator=block.creator)
        if len(raw) <= REMEMBERED_BYTES:
            _remember(block.memory, raw, met)
        return met

    def write_creator(self, block: Block, pieces: list[bytes], tag: int) -> None:
        """Put the creator of a block where it stood, now that something of the block stays."""
        creator_tag = tag & 0xFFFF0000 | tag >> 8 & 0xFF
        pieces[block.place] = self._encoding.element(
            creator_tag, "LO", block.creator.encode("ascii")
        )
        block.written = True

    def creator_block(self, value: bytes, pieces: list[bytes]) -> Block | None:
        """Return the block that a creator element opens; its bytes are written anew later."""
        try:
            creator = value.rstrip(b" \0").decode("ascii").strip()
        except UnicodeDecodeError:
            return None
        pieces.append(b"")
        return Block(creator, len(pieces) - 1, self._private.setdefault(creator, {}))


def _remember(memory: dict[bytes, Met], raw: bytes, met: Met) -> None:
    if len(memory) >= _REMEMBERED_ELEMENTS:
        memory.clear()
    memory[raw] = met
