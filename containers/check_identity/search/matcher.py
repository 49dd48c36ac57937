"""Searches a stream for all forms of all known strings at once, in bounded memory.

Hyperscan compiles every form into one automaton; the stream goes by in overlapping windows.
Not here: which forms there are (``encodings``), and what is compressed (``streams``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import BinaryIO

import hyperscan

from containers.check_identity.encodings import EncodedForm, encoded_forms
from containers.check_identity.known import KnownStrings
from containers.check_identity.variants import Edge, Variant, variants_of

WINDOW_BYTES = 4 << 20
_CONTEXT = 64
"""Bytes looked at on each side of a match."""
_MIN_IN_VOXELS = 8
"""Characters a text must have to count among voxels, where any short one occurs by chance."""
_MIN_WORD_IN_BINARY = 5
_MIN_BYTES_IN_BINARY = 6
_TEXT_RUN = 8
"""Printable bytes in a row that make a place text."""
_CHANCE_RUN = 15
"""Digits in a row, from which a short number inside them says nothing."""
_SURE_NUMBER = 10
_MAX_HITS = 50


_DIGEST = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9A-Za-z])"
)
"""A digest of a usual length in hexadecimal, in which short words and numbers come by chance."""
_MEASURE = re.compile(r"\.(?=\d*[1-9])\d{3,}(?![.\d])")
"""The fraction of a measured value. ``2458.0``, as spreadsheets write a number, is none, nor is the
second visit ``2458.02``."""


class Region(Enum):
    """What the bytes around a match are; decides how short a match may be."""

    TEXT = "text"
    BINARY = "binary"
    VOXELS = "voxels"


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes from ``start`` to before ``end`` that are of one region."""

    start: int
    end: int
    region: Region


@dataclass(frozen=True, slots=True)
class Hit:
    """A known string (its index), the form it was in, and where; offsets in bytes."""

    known: int
    form: str
    start: int
    end: int


@dataclass(slots=True)
class Scan:
    """What a scan found; ``left_out`` counts matches that are as likely chance."""

    hits: list[Hit] = field(default_factory=list)
    hit_count: int = 0
    left_out: int = 0
    left_out_at: list[int] = field(default_factory=list)
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Entry:
    known: int
    variant: Variant
    form: EncodedForm


class Matcher:
    """All forms of some known strings, compiled.

    Parameters
    ----------
    known : KnownStrings
        What to search for.

    Raises
    ------
    RuntimeError
        The compiled automaton does not find every string in a text of them all: a search that
        finds nothing would mean nothing.
    """

    def __init__(self, known: KnownStrings) -> None:
        self._entries, self.unsearchable = _entries(known)
        self._longest = max((len(each.form.data) for each in self._entries), default=0)
        self._database = _compiled(self._entries)
        self._prove(known)

    @property
    def form_count(self) -> int:
        """Return how many byte strings are searched for."""
        return len(self._entries)

    def scan_bytes(self, data: bytes, region: Region = Region.TEXT) -> Scan:
        """Search bytes that are all of one region."""
        scan = Scan(size=len(data))
        if self._database is not None:
            self._window(data, 0, (0, len(data)), lambda _: region, scan)
        return scan

    def scan(self, stream: BinaryIO, spans: Sequence[Span], default: Region) -> Scan:
        """Search a stream from where it stands to its end; offsets count from there.

        Parameters
        ----------
        spans : Sequence[Span]
            Regions that differ from ``default``; must not overlap.
        """
        scan = Scan()
        ordered = sorted(spans, key=lambda span: span.start)

        def region_at(offset: int) -> Region:
            return next(
                (each.region for each in ordered if each.start <= offset < each.end), default
            )

        carry, base, done = b"", 0, 0
        while True:
            chunk = stream.read(WINDOW_BYTES)
            scan.size += len(chunk)
            window = carry + chunk
            limit = base + len(window) - (_CONTEXT if chunk else 0)
            if self._database is not None and limit > done:
                self._window(window, base, (done, limit), region_at, scan)
            done = max(done, limit)
            if not chunk:
                return scan
            keep = min(len(window), self._longest + 2 * _CONTEXT)
            base += len(window) - keep
            carry = window[len(window) - keep :]

    def _window(
        self,
        window: bytes,
        base: int,
        ends: tuple[int, int],
        region_at: Callable[[int], Region],
        scan: Scan,
    ) -> None:
        def matched(identity: int, _start: int, end: int, _flags: int, _context: object) -> None:
            if not ends[0] < base + end <= ends[1]:
                return
            entry = self._entries[identity]
            start = end - len(entry.form.data)
            verdict = _judge(entry, window, start, end, region_at(base + start))
            if verdict is None:
                return
            if not verdict:
                scan.left_out += 1
                if len(scan.left_out_at) < _MAX_HITS:
                    scan.left_out_at.append(base + start)
                return
            scan.hit_count += 1
            if len(scan.hits) < _MAX_HITS:
                scan.hits.append(Hit(entry.known, entry.form.name, base + start, base + end))

        if self._database is not None:
            self._database.scan(window, match_event_handler=matched)

    def _prove(self, known: KnownStrings) -> None:
        first: dict[int, str] = {}
        for entry in self._entries:
            first.setdefault(entry.known, entry.variant.text)
        for index, each in enumerate(known.strings):
            if index in self.unsearchable:
                continue
            sample = f"\n{first.get(index, each.text)}\n".encode("utf-16-le")
            if not self.scan_bytes(sample).hit_count:
                raise RuntimeError("the search does not find its own control strings")


def _entries(known: KnownStrings) -> tuple[list[_Entry], frozenset[int]]:
    """Return what to search for, and which known strings have nothing to search for."""
    chosen: dict[tuple[bytes, bool], _Entry] = {}
    unsearchable = set()
    for index, string in enumerate(known.strings):
        variants = _needed(variants_of(string))
        if not variants:
            unsearchable.add(index)
        for variant in variants:
            for form in encoded_forms(variant.text, is_primary=variant.is_primary):
                key = (form.data.lower() if form.caseless else form.data, form.caseless)
                earlier = chosen.get(key)
                if earlier is None or variant.edge.value < earlier.variant.edge.value:
                    chosen[key] = _Entry(index, variant, form)
    # A string whose every form another string has is found under the other's index.
    return list(chosen.values()), frozenset(unsearchable)


def _needed(variants: Iterable[Variant]) -> list[Variant]:
    """Leave out texts in which another one would be found anyway."""
    listed = sorted(variants, key=lambda each: (len(each.text), each.text))
    found: list[str] = []
    needed = []
    for each in listed:
        text = each.text.casefold()
        if any(inner in text for inner in found):
            continue
        needed.append(each)
        if each.edge is Edge.ANYWHERE:
            found.append(text)
    return needed


_ESCAPED = tuple(b"\\x%02x" % byte for byte in range(256))


def _compiled(entries: Sequence[_Entry]) -> hyperscan.Database | None:
    if not entries:
        return None
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    database.compile(
        expressions=[b"".join(map(_ESCAPED.__getitem__, each.form.data)) for each in entries],
        ids=list(range(len(entries))),
        elements=len(entries),
        flags=[hyperscan.HS_FLAG_CASELESS if each.form.caseless else 0 for each in entries],
    )
    return database


def _judge(  # noqa: PLR0911 - one return for each reason
    entry: _Entry, window: bytes, start: int, end: int, region: Region
) -> bool | None:
    """Return whether a match counts; False if it may be chance, None if it is another word."""
    text, form = entry.variant.text, entry.form
    if region is Region.VOXELS and len(text) < _MIN_IN_VOXELS:
        return False
    if form.is_escaped:
        return True
    if region is Region.BINARY and not text.isascii() and len(form.data) < _MIN_BYTES_IN_BINARY:
        return False
    unit = form.unit
    before = _neighbours(window[max(0, start - _CONTEXT) : start], form)
    after = _neighbours(window[end : end + _CONTEXT - _CONTEXT % unit], form)
    found = window[start:end].decode(form.name, "replace") if unit > 1 else text
    if unit == 1 and text.isascii():
        found = window[start:end].decode("ascii", "replace")
    if unit == 1 and len(text) < _MIN_IN_VOXELS and _in_digest(before, found, after):
        return False
    if entry.variant.edge is Edge.NUMBER:
        return _is_number(text, before, after)
    if entry.variant.edge is Edge.WORD:
        if not _is_word(found, before, after):
            return None
        is_text = region is Region.TEXT or _run(before, after, found) >= _TEXT_RUN
        return is_text or len(text) >= _MIN_WORD_IN_BINARY
    return True


def _neighbours(data: bytes, form: EncodedForm) -> str:
    if form.unit == 1:
        return data.decode("latin-1")
    # A stretch before the match must end at it, whatever its length.
    return data[len(data) % form.unit :].decode(form.name, "replace")


def _is_word(found: str, before: str, after: str) -> bool:
    left, right = before[-1:], after[:1]
    if not found.isascii():
        return True
    letters = any(map(str.isalpha, found))
    starts = not _same_word(left, found[:1], letters=letters)
    ends = not _same_word(found[-1:], right, letters=letters)
    return starts and ends


def _same_word(left: str, right: str, *, letters: bool) -> bool:
    if not left or not right or not (left + right).isascii():
        return False
    if letters and left.isalpha() and right.isalpha():
        return not (left.islower() and right.isupper())
    return left.isdigit() and right.isdigit()


def _is_number(text: str, before: str, after: str) -> bool | None:
    left = len(before) - len(before.rstrip("0123456789"))
    right = len(after) - len(after.lstrip("0123456789"))
    is_uid = text.count(".") > 3  # noqa: PLR2004 - more dots than a number or date has
    if is_uid:
        return None if left or right else True
    if not text[:1].isdigit():
        left = 0
    if not text[-1:].isdigit():
        right = 0
    if len(text) >= _SURE_NUMBER or not left + right:
        is_short = text.isdigit() and len(text) < _MIN_IN_VOXELS
        return not (is_short and (_in_fraction(before) or _MEASURE.match(after)))
    if len(text) < _MIN_IN_VOXELS:
        return None
    return left + right + len(text) < _CHANCE_RUN


def _in_fraction(before: str) -> bool:
    """Return whether the digits that follow are the fraction of a decimal number."""
    head = before.rstrip("0123456789")
    if not head.endswith("."):
        return False
    whole = head[:-1].rstrip("0123456789")
    return len(whole) < len(head) - 1 and not whole.endswith(".")


def _in_digest(before: str, found: str, after: str) -> bool:
    start, end = len(before), len(before) + len(found)
    return any(
        each.start() <= start and end <= each.end() and len(each.group()) > len(found)
        for each in _DIGEST.finditer(before + found + after)
    )


def _run(before: str, after: str, found: str) -> int:
    left = len(before) - len(before.rstrip(_PRINTABLE))
    right = len(after) - len(after.lstrip(_PRINTABLE))
    return left + len(found) + right


_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))) + "\t\r\n"
