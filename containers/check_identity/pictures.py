"""Reads pages, PNG pictures and PDF documents that reports leave in a release.

Not here: what is drawn in a picture; text in pixels is not seen by this check.
"""

from __future__ import annotations

import html
import re
import struct
import zlib
from typing import BinaryIO

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.search.matcher import Region, Span

_MAX_PAGE = 128 << 20
_MAX_TEXT = 8 << 20
_SIGNATURE = 8
_DATA_URI = re.compile(r"data:[\w/+.;-]*base64,[A-Za-z0-9+/=\s]+")
_TAG = re.compile(r"<[^>]*>")
_PIECE = 1 << 20
_PIECE_OVERLAP = 200
_PLAIN_CHUNKS = frozenset(
    {b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"gAMA", b"pHYs", b"sRGB", b"cHRM", b"bKGD",
     b"sBIT", b"hIST", b"cICP", b"acTL", b"fcTL", b"fdAT"}
)  # fmt: skip
_PLAIN_KEYWORDS = frozenset({"Software"})


def read_page(stream: BinaryIO, context: FileContext) -> None:
    """Give the source of a page and its visible text to the search."""
    context.apply(37)
    data = stream.read(_MAX_PAGE + 1)
    if len(data) > _MAX_PAGE:
        context.doubt(26, "", "a page too large to be read")
        return
    source = _DATA_URI.sub("data:", data.decode("utf-8", "replace"))
    visible = html.unescape(_TAG.sub("", source))
    for at, text in (("source", source), ("visible text", visible)):
        for start in range(0, len(text), _PIECE):
            piece = text[max(0, start - _PIECE_OVERLAP) : start + _PIECE]
            context.texts.append(TextValue(at, piece, (37,)))


def read_png(stream: BinaryIO, context: FileContext) -> None:
    """Read the chunks of a PNG (ISO/IEC 15948): texts, times, unknown ones, and what follows."""
    context.apply(37)
    at = _SIGNATURE
    while True:
        stream.seek(at)
        head = stream.read(8)
        if len(head) < 8:  # noqa: PLR2004 - length and type
            context.doubt(26, "", "a PNG without end")
            return
        size, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            context.spans.append(Span(at, at + size + 12, Region.VOXELS))
        elif kind in {b"tEXt", b"zTXt", b"iTXt"}:
            _read_text(kind, stream.read(min(size, _MAX_TEXT)), context)
        elif kind not in _PLAIN_CHUNKS:
            context.fail(37, "PNG chunk", "a chunk other than of pixels and colours", kind)
        at += size + 12
        if kind == b"IEND":
            stream.seek(at)
            if stream.read(1):
                context.fail(37, f"byte {at}", "bytes after the picture")
            return


def _read_text(kind: bytes, data: bytes, context: FileContext) -> None:
    keyword, _, rest = data.partition(b"\0")
    if kind == b"zTXt":
        rest = zlib.decompressobj().decompress(rest[1:], _MAX_TEXT)
    if kind == b"iTXt":
        is_packed, rest = rest[:1] == b"\1", rest[2:].split(b"\0", 2)[-1]
        if is_packed:
            rest = zlib.decompressobj().decompress(rest, _MAX_TEXT)
    if keyword.decode("latin-1") not in _PLAIN_KEYWORDS:
        context.fail(37, "PNG text", "a text beside the picture", data)
    context.texts.append(TextValue("PNG text", rest.decode("utf-8", "replace"), (37,)))


def read_pdf(stream: BinaryIO, context: FileContext) -> None:
    """Refuse to vouch for a PDF: its text may be drawn letter by letter, or as a picture."""
    del stream
    context.doubt(37, "", "a PDF document; its text cannot be vouched for")
