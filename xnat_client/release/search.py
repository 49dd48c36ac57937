"""Looks for secret strings in every byte, name and report of a folder.

It is the second of two searches: the first is the command ``check-identity``, with which it shares
no code. A find is a place, never the string. Short strings would be found everywhere by chance,
so the shorter one is, the more must speak for it (``_counts``). Not here: which strings are secret
(``secret_strings``), how a file is opened (``streams``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ahocorasick_rs import BytesAhoCorasick

from xnat_client.release.spellings import Secret, SecretKind, Spelling, encoded, spellings
from xnat_client.release.streams import NotSearchableError, Piece, pieces

_SHORTEST = 3
_SHORTEST_NUMBER = _SHORTEST_PART = 4
_ANYWHERE = 8
"""Characters from which a string is found by chance nowhere, also among voxels."""
_ANYWHERE_DIGITS = 10
_TEXT_RUN = 12
"""Printable bytes in a row that count as text in a binary stream."""
_LONGEST = 400
_COMMON_TEXT = """
anat bold brain body cardiac chest child common control controls data day demo dwi eeg fmap func
female field group hand head heart home image imaging investigator knee left male meg month mri
neck none null other patient patients person phantom pilot project rest right run scan scanner
session site spine study subject task team test unknown user visit volunteer week year
"""
_COMMON = frozenset(_COMMON_TEXT.split())
"""Words that headers, forms and descriptions are full of; alone they identify nobody."""
_SEPARATORS = re.compile(r"[\s._:/-]")
_WORD_BYTES = re.compile(rb"[0-9a-z\x80-\xff]")
_SHORT_DAY = 6
_IN_A_NAME = re.compile(rb"[a-z_/\"']")
_DIGEST = re.compile(
    rb"(?<![0-9a-z])(?:[0-9a-f]{16}|[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})(?![0-9a-z])"
)
_LONGEST_DIGEST = 64
_MEASURE = re.compile(rb"\.(?=\d*[1-9])\d{3,}(?![.\d])")
"""The fraction of a measured value. ``2458.0``, as spreadsheets write a number, is none, nor is the
second visit ``2458.02``."""
_EXPONENT = re.compile(rb"[\d.]e[+-]?\Z")
_PRINTABLE = re.compile(rb"[\x09\x0a\x0d\x20-\x7e\x80-\xff]+")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret stands: a path (hidden if it holds one itself), and how deep."""

    path: str
    kind: str
    inside: str
    byte: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What a search found.

    Attributes
    ----------
    places : tuple of Place
        The first in each stream for each kind.
    not_searchable : mapping of str to str
        Files whose content nobody could see, with the reason.
    strings, spellings : int
        How many were looked for.
    too_common : int
        Strings that are too short or too common to say anything, so were not looked for.
    """

    places: tuple[Place, ...]
    not_searchable: dict[str, str]
    files: int
    strings: int
    spellings: int
    too_common: int

    @property
    def is_clean(self) -> bool:
        """Tell whether all of it was searched and nothing was found."""
        return not self.places and not self.not_searchable


@dataclass(frozen=True, slots=True)
class _Needle:
    kind: SecretKind
    characters: int
    width: int
    is_number: bool
    is_part: bool


class Searcher:
    """All spellings of a study's secret strings, ready to be looked for.

    Parameters
    ----------
    found : iterable of Secret
        The secret strings; an empty list finds nothing, so the caller must refuse it.
    """

    def __init__(self, found: Iterable[Secret]) -> None:
        needles: dict[bytes, _Needle] = {}
        self.strings = self.too_common = self.spellings = 0
        for secret in set(found):
            kept = [each for each in spellings(secret) if _says_something(each)]
            self.strings += bool(kept)
            self.too_common += not kept
            self.spellings += len(kept)
            for each in kept:
                for raw in encoded(each):
                    if len(raw) <= _LONGEST:
                        _add(needles, raw, _needle(secret.kind, each, raw))
        self._needles = list(needles.values())
        self._automaton = BytesAhoCorasick(list(needles)) if needles else None

    def __repr__(self) -> str:
        return f"Searcher({self.strings} strings withheld)"

    def folder(self, root: Path, prose: Collection[str] = ()) -> SearchResult:
        """Search all files and names below a folder.

        Parameters
        ----------
        prose : collection of str
            Paths of texts that are about no participant: parts of names, which may be ordinary
            words, are not looked for there.
        """
        places: list[Place] = []
        not_searchable: dict[str, str] = {}
        files = 0
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root).as_posix()
            shown = self._shown(relative)
            places += self._in_text(relative, shown, "name")
            if path.is_symlink():
                not_searchable[shown] = "it is a link"
            elif path.is_file():
                files += 1
                try:
                    places += self._in_pieces(pieces(path), shown, is_prose=relative in prose)
                except NotSearchableError as error:
                    not_searchable[shown] = str(error)
        return SearchResult(
            tuple(places), not_searchable, files, self.strings, self.spellings, self.too_common
        )

    def text(self, content: str) -> tuple[Place, ...]:
        """Search a text that is about to be shown or kept, such as a report or message."""
        return tuple(self._in_text(content, "", "text"))

    def hides(self, content: str) -> str:
        """Return a text, or a stand-in where it holds a secret."""
        return "(withheld: it holds what identifies)" if self.text(content) else content

    def _shown(self, relative: str) -> str:
        parts = PurePosixPath(relative).parts
        kept = ["hidden" if self._in_bytes_any(part) else part for part in parts]
        shown = "/".join(kept)
        return "hidden" if self._in_bytes_any(shown) else shown

    def _in_bytes_any(self, text: str) -> bool:
        return any(True for _ in self._in_text(text, "", "name"))

    def _in_text(self, content: str, shown: str, inside: str) -> Iterator[Place]:
        raw = content.encode("utf-8", "surrogateescape")
        yield from self._in_pieces([Piece(inside, 0, raw, 0)], shown, is_prose=False)

    def _in_pieces(self, given: Iterable[Piece], shown: str, *, is_prose: bool) -> Iterator[Place]:
        if self._automaton is None:
            return
        seen: Counter[tuple[str, str]] = Counter()
        for piece in given:
            lowered = piece.data.lower()
            is_text = _is_text(piece)
            for index, start, end in self._automaton.find_matches_as_indexes(
                lowered, overlapping=True
            ):
                needle = self._needles[index]
                key = (piece.inside, needle.kind)
                if seen[key] or end <= piece.is_new_from or (is_prose and needle.is_part):
                    continue
                if _counts(needle, lowered, start, end, is_text=is_text):
                    seen[key] += 1
                    yield Place(shown, needle.kind, piece.inside, piece.start + start)


def _add(needles: dict[bytes, _Needle], raw: bytes, made: _Needle) -> None:
    """Keep the reading of equal bytes by which they are found more often."""
    known = needles.get(raw)
    if known is None or (known.is_part and not made.is_part):
        needles[raw] = made


def _needle(kind: SecretKind, spelling: Spelling, raw: bytes) -> _Needle:
    characters = len(spelling.text)
    width = 2 if len(raw) == 2 * characters and b"\0" in raw else 1
    is_number = spelling.text.isdigit() and raw.isdigit()
    return _Needle(kind, characters, width, is_number, spelling.is_part)


def _says_something(spelling: Spelling) -> bool:
    text = spelling.text
    if text.casefold() in _COMMON:
        return False
    digits = _SEPARATORS.sub("", text)
    if digits.isdigit():
        return len(digits) >= _SHORTEST_NUMBER
    return len(text) >= (_SHORTEST_PART if spelling.is_part else _SHORTEST)


def _counts(needle: _Needle, data: bytes, start: int, end: int, *, is_text: bool) -> bool:
    """Tell whether a match says anything.

    From 8 characters (10 digits) on it counts anywhere. Below, it must be a whole word or number,
    and in a binary stream stand in a stretch of text; a number that is the fraction of another
    one, the whole part of a measured value, or a part of a longer one, is chance, and so is one in
    a digest. A day as six digits is a number like any other in a table, so it must be part of a
    name or a text of its own.
    """
    before = data[start - needle.width : start - needle.width + 1] if start >= needle.width else b""
    after = data[end : end + 1]
    if needle.is_number:
        if needle.characters >= _ANYWHERE_DIGITS and is_text:
            return True
        if before.isdigit() or after.isdigit() or _is_of_a_value(needle, data, start, end):
            return False
        if needle.kind is SecretKind.DATE and needle.characters == _SHORT_DAY:
            return is_text and bool(_IN_A_NAME.match(before) or _IN_A_NAME.match(after))
    elif needle.characters >= _ANYWHERE:
        return True
    elif _WORD_BYTES.match(before) or _WORD_BYTES.match(after):
        return False
    return is_text or needle.width > 1 or _in_text_run(data, start, end)


def _is_of_a_value(needle: _Needle, data: bytes, start: int, end: int) -> bool:
    """Tell whether a number is a part of a measured value or, being short, of a digest."""
    if data[start - 1 : start] == b"." or _EXPONENT.search(data[max(0, start - 3) : start]):
        return True
    if needle.kind is SecretKind.ID and _MEASURE.match(data, end):
        return True
    return needle.characters < _ANYWHERE and _in_digest(data, start, end)


def _in_digest(data: bytes, start: int, end: int) -> bool:
    """Tell whether a match is a part of a digest in hexadecimal."""
    first = max(0, start - _LONGEST_DIGEST - 1)
    around = data[first : end + _LONGEST_DIGEST + 1]
    return any(
        found.start() <= start - first and end - first <= found.end()
        for found in _DIGEST.finditer(around)
    )


def _in_text_run(data: bytes, start: int, end: int) -> bool:
    around = data[max(0, start - _TEXT_RUN) : end + _TEXT_RUN]
    at = start - max(0, start - _TEXT_RUN)
    for run in _PRINTABLE.finditer(around):
        if run.start() <= at < run.end():
            return len(run[0]) >= (end - start) + _TEXT_RUN
    return False


def _is_text(piece: Piece) -> bool:
    if b"\0" in piece.data:
        return False
    try:
        piece.data[:-4].decode("utf-8")
    except UnicodeDecodeError as error:
        # A piece may begin in the middle of a character.
        return error.start < 4 and _is_decodable(piece.data[4:-4])  # noqa: PLR2004  # longest UTF-8
    return True


def _is_decodable(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
