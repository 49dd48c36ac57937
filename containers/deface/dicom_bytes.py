"""The elements of a DICOM file as places in its bytes, so that all but a few can stay as they are.

Only the top of the dataset is walked; what lies inside sequences is passed over by its lengths
and delimiters. Not here: what an element means (``dicom_headers``), which ones change
(``dicom_output``).

References
----------
DICOM PS3.5 section 7.1 (data elements), 7.5 (nesting), A.4 (encapsulated pixel data); PS3.10
section 7.1 (file meta information).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from containers.scrub_headers.encoding import (
    EXPLICIT_LITTLE,
    ITEM,
    ITEM_END,
    LONG_VRS,
    SEQUENCE_END,
    SHORT_VRS,
    UNDEFINED,
    Encoding,
)
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.file_head import (
    DEFLATED,
    deflate,
    encoding_of,
    find_dataset,
    inflate,
)

PIXEL_DATA = 0x7FE00010
_META_SYNTAX = 0x00020010
_META_LENGTH = 0x00020000
_DEEPEST = 40
_IMPLICIT = Encoding(explicit=False)


@dataclass(frozen=True, slots=True)
class Element:
    """Where an element of the top of a dataset stands.

    Parameters
    ----------
    start, value_start, stop : int
        Of its header, of its value, and behind it, delimiters included.
    is_open : bool
        Whether its length is undefined.
    """

    tag: int
    vr: str
    start: int
    value_start: int
    stop: int
    is_open: bool


@dataclass(frozen=True, slots=True)
class DicomBytes:
    """A DICOM file in memory.

    Parameters
    ----------
    head : bytes
        Preamble and meta information, as the file has them.
    data : bytes
        The dataset, unpacked if it was deflated.
    syntax : str
        UID of the transfer syntax.
    elements : mapping of int to Element
        In the order of the file.
    """

    head: bytes
    data: bytes
    syntax: str
    encoding: Encoding
    elements: Mapping[int, Element]

    def value(self, tag: int) -> bytes | None:
        """Return the bytes of a value, delimiters of an open one included; None if absent."""
        found = self.elements.get(tag)
        return None if found is None else self.data[found.value_start : found.stop]

    def content(self, tag: int) -> bytes:
        """Return an element as it stands; empty if absent."""
        found = self.elements.get(tag)
        return b"" if found is None else self.data[found.start : found.stop]

    def with_changes(self, changes: Mapping[int, bytes | None], syntax: str | None = None) -> bytes:
        """Return the file with whole elements put in, replaced, or taken out.

        Parameters
        ----------
        changes : mapping of int to bytes or None
            The element as it is to stand, header included, or None where it goes.
        syntax : str, optional
            The new transfer syntax, where it changes; its elements must be written in the same way.
        """
        pieces: list[bytes] = []
        waiting = sorted(tag for tag, new in changes.items() if new is not None)
        for tag, each in self.elements.items():
            while waiting and waiting[0] < tag:
                pieces.append(changes[waiting.pop(0)] or b"")
            if waiting and waiting[0] == tag:
                pieces.append(changes[waiting.pop(0)] or b"")
            elif tag not in changes:
                pieces.append(self.data[each.start : each.stop])
        pieces += [changes[tag] or b"" for tag in waiting]
        head = self.head if syntax is None else _with_syntax(self.head, syntax)
        if (syntax or self.syntax) == DEFLATED:
            return head + deflate(tuple(pieces))
        return b"".join((head, *pieces))


def read_bytes(content: bytes) -> DicomBytes:
    """Return the elements of a file.

    Raises
    ------
    RefusedFileError
        It is no well-formed DICOM file.
    """
    start, syntax = find_dataset(content)
    head, data, begin = content[:start], content, start
    if syntax == DEFLATED:
        data, begin = inflate(content, start), 0
    encoding = encoding_of(syntax)
    elements: dict[int, Element] = {}
    position, last = begin, -1
    while position < len(data):
        each = _element(data, position, encoding)
        if each.tag <= last:
            raise RefusedFileError("Its elements are not in ascending order.")
        elements[each.tag] = each
        last, position = each.tag, each.stop
    return DicomBytes(head, data, syntax, encoding, elements)


def _element(data: bytes, start: int, encoding: Encoding) -> Element:
    tag, vr, value_start, length = _header(data, start, encoding)
    if length != UNDEFINED:
        stop = value_start + length
        if stop > len(data):
            raise RefusedFileError("It ends within an element.")
        return Element(tag, vr, start, value_start, stop, is_open=False)
    if tag == PIXEL_DATA:
        stop = _after_fragments(data, value_start, encoding)
    else:
        # PS3.5 section 6.2.2: an unknown value of undefined length is a sequence, implicit inside.
        inside = _IMPLICIT if vr == "UN" else encoding
        stop = _after_items(data, value_start, inside, 0)
    return Element(tag, vr, start, value_start, stop, is_open=True)


def _header(data: bytes, start: int, encoding: Encoding) -> tuple[int, str, int, int]:
    """Return tag, representation, where the value begins, and its length."""
    if start + 8 > len(data):
        raise RefusedFileError("It ends within an element.")
    group, number = encoding.tag.unpack_from(data, start)
    tag = group << 16 | number
    letters = data[start + 4 : start + 6]
    if not encoding.explicit or group == 0xFFFE:  # noqa: PLR2004 - items have no representation
        return tag, "", start + 8, int(encoding.long.unpack_from(data, start + 4)[0])
    if letters in LONG_VRS:
        if start + 12 > len(data):
            raise RefusedFileError("It ends within an element.")
        length = int(encoding.long.unpack_from(data, start + 8)[0])
        return tag, letters.decode("ascii"), start + 12, length
    if letters in SHORT_VRS:
        length = int(encoding.short.unpack_from(data, start + 6)[0])
        return tag, letters.decode("ascii"), start + 8, length
    raise RefusedFileError("One of its elements has no known representation.")


def _after_items(data: bytes, position: int, encoding: Encoding, depth: int) -> int:
    """Return the place behind the delimiter of a sequence of undefined length."""
    if depth > _DEEPEST:
        raise RefusedFileError("Its sequences are nested too deeply.")
    while True:
        tag, _, start, length = _header(data, position, encoding)
        if tag == SEQUENCE_END:
            return start
        if tag != ITEM:
            raise RefusedFileError("One of its sequences is not well-formed.")
        if length != UNDEFINED:
            position = start + length
            continue
        position = start
        while _header(data, position, encoding)[0] != ITEM_END:
            _, vr, start, length = _header(data, position, encoding)
            if length == UNDEFINED:
                inside = _IMPLICIT if vr == "UN" else encoding
                position = _after_items(data, start, inside, depth + 1)
            else:
                position = start + length
        position += 8


def _after_fragments(data: bytes, position: int, encoding: Encoding) -> int:
    while True:
        tag, _, start, length = _header(data, position, encoding)
        if tag == SEQUENCE_END:
            return start
        if tag != ITEM or length == UNDEFINED:
            raise RefusedFileError("Its compressed pixel data are not well-formed.")
        position = start + length


def _with_syntax(head: bytes, syntax: str) -> bytes:
    """Return preamble and meta information with another transfer syntax and the right length."""
    first = head.find(b"\2\0\0\0UL\4\0")
    if first < 0:
        raise RefusedFileError("Its meta information does not begin with its length.")
    body = first + 12
    pieces: list[bytes] = []
    position = body
    while position < len(head):
        tag, _, start, length = _header(head, position, EXPLICIT_LITTLE)
        stop = start + length
        if tag == _META_SYNTAX:
            pieces.append(EXPLICIT_LITTLE.element(tag, "UI", syntax.encode("ascii")))
        else:
            pieces.append(head[position:stop])
        position = stop
    joined = b"".join(pieces)
    length_element = EXPLICIT_LITTLE.element(_META_LENGTH, "UL", len(joined).to_bytes(4, "little"))
    return head[:first] + length_element + joined
