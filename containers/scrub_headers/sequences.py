"""Remembers sequences that were met: as a whole, and by their form.

Files of many frames hold tens of thousands of sequences that differ in their values alone. Not
here: walking through one for the first time (``dataset``), and what a form is (``forms``).
"""

from __future__ import annotations

from containers.scrub_headers.elements import ElementCleaner
from containers.scrub_headers.encoding import UNDEFINED, Data, Encoding
from containers.scrub_headers.forms import Form, FormReader
from containers.scrub_headers.judgement import Judge
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.plain_numbers import PlainNumbers
from containers.scrub_headers.walk import Spot

_LONGEST = 8192
_MOST_SEQUENCES = 2_000
_MOST_MET = 100_000
_MOST_FORMS = 16
"""Forms of sequences that begin with the same bytes."""
_MOST_BEGINNINGS = 4_000

_Counts = tuple[tuple[int, int], ...]
_Found = tuple[bytes, _Counts, int]


class SequenceMemory:
    """The sequences of one encoding.

    Parameters
    ----------
    judge, cleaner : Judge, ElementCleaner
        Those of the walk, which have met every element of a sequence that is learnt.
    encoding : Encoding
        How the elements are written.
    known : KnownIdentities
        Strings that no kept number may be.
    """

    def __init__(
        self, judge: Judge, cleaner: ElementCleaner, encoding: Encoding, known: KnownIdentities
    ) -> None:
        self._reader = FormReader(judge, cleaner, encoding, PlainNumbers.under(known))
        self._whole: dict[bytes, tuple[bytes, _Counts]] = {}
        self._forms: dict[bytes, list[tuple[Form, _Counts]]] = {}
        self._met: set[int] = set()

    def find(self, spot: Spot) -> _Found | None:
        """Return a sequence as written, its counts and its end; None where it must be walked."""
        data, _, position, start, length, limit, *_ = spot
        raw = b""
        if length != UNDEFINED:
            if length > _LONGEST:
                return None
            raw = data[position : start + length]
            whole = self._whole.get(raw)
            if whole is not None:
                return *whole, start + length
        for form, counts in self._forms.get(data[position:start], ()):
            stop = position + form.length
            if stop > limit:
                continue
            clean = form.clean(raw or data[position:stop])
            if clean is not None:
                return clean, counts, stop
        return None

    def learn(self, spot: Spot, end: int, written: bytes, counts: _Counts) -> None:
        """Remember a sequence that was walked: whole, and its form when it begins so again."""
        if end - spot.position > _LONGEST:
            return
        data: Data = spot.data
        raw = data[spot.position : end]
        if not spot.undefined and self._was_met(raw):
            if len(self._whole) >= _MOST_SEQUENCES:
                self._whole.clear()
            self._whole[raw] = (written, counts)
        begin = data[spot.position : spot.start]
        forms = self._forms.get(begin)
        if forms is None:
            # Most sequences are met once; looking into their form is worth it from then on.
            if len(self._forms) < _MOST_BEGINNINGS:
                self._forms[begin] = []
            return
        if len(forms) < _MOST_FORMS:
            form = self._reader.read(raw, written)
            if form is not None:
                forms.append((form, counts))

    def _was_met(self, raw: bytes) -> bool:
        """Return whether a sequence is met again, and so is worth remembering."""
        mark = hash(raw)
        if mark in self._met:
            return True
        if len(self._met) >= _MOST_MET:
            self._met.clear()
        self._met.add(mark)
        return False
