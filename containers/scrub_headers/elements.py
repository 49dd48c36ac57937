"""Cleans single elements of one encoding, and remembers what became of them.

Most elements of a study occur again and again. Not here: walking (``dataset``), and what becomes
of a value (``values``, ``private_blocks``).
"""

from __future__ import annotations

from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.encoding import Encoding
from containers.scrub_headers.judgement import Known
from containers.scrub_headers.private_blocks import clean_private as clean_private_value
from containers.scrub_headers.values import clean_value
from containers.scrub_headers.walk import Block

_REMEMBERED_VALUE_BYTES = 1024
_REMEMBERED_ELEMENTS = 16_000


class ElementCleaner:
    """Cleans elements of one encoding under one context.

    Attributes
    ----------
    public : dict
        Clean forms of public elements that were met, by their whole bytes.
    """

    def __init__(self, context: CleanContext, encoding: Encoding) -> None:
        self.public: dict[bytes, bytes] = {}
        self._context = context
        self._encoding = encoding
        self._private: dict[str, dict[bytes, bytes]] = {}

    def clean_element(self, known: Known, raw: bytes, value: bytes) -> bytes:
        """Return the clean form of an element, empty where it goes, and remember it."""
        clean = self.written(known, raw, value)
        if len(raw) <= _REMEMBERED_VALUE_BYTES:
            if len(self.public) >= _REMEMBERED_ELEMENTS:
                self.public.clear()
            self.public[raw] = clean
        return clean

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

    def clean_private(self, block: Block, known: Known, raw: bytes, value: bytes) -> bytes:
        """Return the clean form of a private element, empty where it goes, and remember it."""
        group, element = known.tag >> 16, known.tag & 0xFF
        clean = clean_private_value(block.creator, group, element, known.vr, value, self._context)
        written = b""
        if clean is not None:
            written = self._encoding.element(known.tag, known.vr, clean)
        if len(raw) <= _REMEMBERED_VALUE_BYTES:
            if len(block.memory) >= _REMEMBERED_ELEMENTS:
                block.memory.clear()
            block.memory[raw] = written
        return written

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
