"""Reads MATLAB files of level 5 into plain values, and refuses what is not well formed.

SciPy reads the same files, but brings the whole program down on damaged ones. Reference:
MathWorks, "MAT-File Format", R2023a, chapter 1. Not here: EEGLAB's fields (``eeglab``).
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_NUMBER_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_TEXT_TYPES = {16: "utf-8", 17: "utf-16", 18: "utf-32", 4: "utf-16", 2: "latin-1", 1: "latin-1"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_CLASS_TYPES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
_COMPLEX = 0x0800
_DEEPEST = 24
_MOST_BYTES = 1 << 31
"""No variable of level 5 is larger."""

Number = NDArray[Any]


class MatlabFileError(Exception):
    """The file is damaged, or not of level 5."""


@dataclass(frozen=True, slots=True)
class Struct:
    """A structure array: one mapping of field to value for each element."""

    rows: tuple[dict[str, Value], ...]


@dataclass(frozen=True, slots=True)
class Other:
    """A value of a kind that is not read: an object, a function, a sparse or complex matrix."""

    is_empty: bool = False


Value = Number | str | Struct | list[Any] | Other
"""Numbers in MATLAB's shape; text (rows of a matrix of characters joined by line ends)."""


@dataclass(slots=True)
class _Reader:
    """A cursor over bytes in one byte order."""

    data: memoryview
    order: str
    at: int = 0

    def take(self, count: int) -> memoryview:
        if count < 0 or self.at + count > len(self.data):
            raise MatlabFileError
        found = self.data[self.at : self.at + count]
        self.at += count
        return found

    def element(self) -> tuple[int, memoryview]:
        """Return type and bytes of the next element, past its padding."""
        first, length = struct.unpack(self.order + "II", self.take(8))
        if first >> 16:
            # A short element: its length and up to four bytes stand in the tag.
            if first >> 16 > 4:  # noqa: PLR2004 - bytes in a small element
                raise MatlabFileError
            return first & 0xFFFF, self.data[self.at - 4 : self.at - 4 + (first >> 16)]
        content = self.take(length)
        if first != _COMPRESSED:
            self.at = min(len(self.data), self.at + (-length) % 8)
        return first, content

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.data)


def read_matlab(path: Path) -> dict[str, Value]:
    """Return the variables of a file by name.

    Raises
    ------
    MatlabFileError
        The file is damaged, of another level, or a variable in it is larger than that level allows.
    """
    content = memoryview(path.read_bytes())
    if len(content) < _HEADER_BYTES:
        raise MatlabFileError
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:128]))
    if order is None:
        raise MatlabFileError
    reader = _Reader(content[_HEADER_BYTES:], order)
    found: dict[str, Value] = {}
    while not reader.is_done:
        kind, data = reader.element()
        if kind == _COMPRESSED:
            kind, data = _Reader(_inflated(data), order).element()
        if kind != _MATRIX:
            raise MatlabFileError
        name, value = _matrix(_Reader(data, order), 0)
        found[name] = value
    return found


def _inflated(data: memoryview) -> memoryview:
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, _MOST_BYTES)
    except zlib.error as error:
        raise MatlabFileError from error
    if not inflater.eof or inflater.unused_data:
        raise MatlabFileError
    return memoryview(content)


def _matrix(reader: _Reader, depth: int) -> tuple[str, Value]:
    if reader.is_done:
        # An element without content stands for an empty matrix.
        return "", np.zeros((0, 0))
    if depth > _DEEPEST:
        raise MatlabFileError
    flags_type, flags = reader.element()
    if flags_type != 6 or len(flags) != 8:  # noqa: PLR2004 - two numbers of type 6
        raise MatlabFileError
    word = struct.unpack(reader.order + "II", flags)[0]
    kind = word & 0xFF
    if kind not in {_CELL, _STRUCT, _CHAR, *_CLASS_TYPES} or word & _COMPLEX:
        return _name_of_other(reader), Other()
    shape = _shape(reader)
    name = _text(*reader.element(), "little" if reader.order == "<" else "big")
    if kind == _CELL:
        return name, [_child(reader, depth) for _each in range(prod(shape))]
    if kind == _STRUCT:
        return name, _struct(reader, prod(shape), depth)
    if kind == _CHAR:
        return name, _characters(reader, shape)
    return name, _number(reader, shape, _CLASS_TYPES[kind])


def _name_of_other(reader: _Reader) -> str:
    if reader.is_done:
        return ""
    kind, content = reader.element()
    if kind == 5 and not reader.is_done:  # noqa: PLR2004 - the shape; objects have none
        kind, content = reader.element()
    return bytes(content).decode("latin-1") if kind == 1 else ""


def _shape(reader: _Reader) -> tuple[int, ...]:
    kind, content = reader.element()
    if kind != 5 or len(content) % 4:  # noqa: PLR2004 - numbers of type 5
        raise MatlabFileError
    shape = struct.unpack(f"{reader.order}{len(content) // 4}i", content)
    # Each element needs a byte at least, so a greater product is damage (and would not fit).
    if not 2 <= len(shape) <= 8 or min(shape) < 0 or prod(shape) > _MOST_BYTES:  # noqa: PLR2004 - dimensions
        raise MatlabFileError
    return shape


def _child(reader: _Reader, depth: int) -> Value:
    kind, content = reader.element()
    if kind != _MATRIX:
        raise MatlabFileError
    return _matrix(_Reader(content, reader.order), depth + 1)[1]


def _struct(reader: _Reader, count: int, depth: int) -> Struct:
    kind, width_bytes = reader.element()
    if kind != 5 or len(width_bytes) != 4:  # noqa: PLR2004 - one number of type 5
        raise MatlabFileError
    width = struct.unpack(reader.order + "i", width_bytes)[0]
    names_type, names = reader.element()
    if names_type != 1 or width < 1 or len(names) % width:
        raise MatlabFileError
    fields = [
        bytes(names[start : start + width]).split(b"\x00")[0].decode("latin-1")
        for start in range(0, len(names), width)
    ]
    if not fields:
        return Struct(())
    return Struct(tuple({name: _child(reader, depth) for name in fields} for _row in range(count)))


def _number(reader: _Reader, shape: tuple[int, ...], class_type: str) -> Number:
    kind, content = reader.element()
    stored = _NUMBER_TYPES.get(kind)
    if stored is None or len(content) != prod(shape) * np.dtype(stored).itemsize:
        raise MatlabFileError
    # Whole numbers are stored in the smallest type that holds them.
    values = np.frombuffer(content, reader.order + stored).astype("=" + class_type)
    return values.reshape(shape, order="F")


def _characters(reader: _Reader, shape: tuple[int, ...]) -> str:
    kind, content = reader.element()
    text = _text(kind, content, "little" if reader.order == "<" else "big")
    if len(shape) != 2 or len(text) != prod(shape):  # noqa: PLR2004 - rows and columns
        # Characters beyond 16 bits count twice in the shape; such a text is one row.
        if shape[0] > 1:
            raise MatlabFileError
        return text
    return "\n".join("".join(text[row :: shape[0]]) for row in range(shape[0]))


def _text(kind: int, content: memoryview, order: str) -> str:
    encoding = _TEXT_TYPES.get(kind)
    if encoding is None:
        raise MatlabFileError
    if encoding in {"utf-16", "utf-32"}:
        encoding += "-le" if order == "little" else "-be"
    try:
        return bytes(content).decode(encoding)
    except UnicodeDecodeError as error:
        raise MatlabFileError from error
