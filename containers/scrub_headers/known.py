"""The identity strings of a study: gathered from the input, held in memory only, never shown.

Free text that a rule would keep is refused when it touches one of them. Not here: reading files
(``gather``), and the independent search of the output (``containers.check_identity``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field

MIN_LENGTH = 3
"""Characters from which a word of a name or an identifier says something about a person."""
_ANYWHERE = 6
_GERMAN = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ø": "o", "Ø": "O", "ł": "l"}
)
_SPLIT = re.compile(r"[\s^=,;:._\-/\\+|&()\[\]{}<>'\"@#]+")
COMMON_WORDS = frozenset(
    """
    head brain body neck test none male female unknown other phantom human patient subject name
    anon anonymous anonymized anonymised removed null empty true false scan scanner image mri
    mrs miss prof sir the and for not van von der den del des las los san std study series
    session run task rest bold research project
    """.split()  # noqa: SIM905 - words are read and added more easily like this
)
"""Words that stand in every header; alone they identify nobody."""


def folded(text: str) -> str:
    """Return a text without case, accents and compatibility forms, for comparing."""
    plain = text.casefold()
    if plain.isascii():
        # Nothing is left to decompose; most texts of headers are so.
        return plain
    parts = unicodedata.normalize("NFKD", plain)
    return "".join(each for each in parts if not unicodedata.combining(each))


@dataclass(frozen=True, slots=True, repr=False)
class KnownIdentities:
    """Identity strings of a study, folded.

    ``texts`` are whole values, words of names and identifiers, and joined forms; they are found
    anywhere in a text from six characters on, and as whole words below.
    """

    texts: frozenset[str] = frozenset()
    _long: re.Pattern[str] | None = field(init=False, default=None, compare=False)

    def __post_init__(self) -> None:
        """Prepare the search for long texts."""
        long = sorted((each for each in self.texts if len(each) >= _ANYWHERE), key=len)
        if long:
            pattern = re.compile("|".join(map(re.escape, reversed(long))))
            object.__setattr__(self, "_long", pattern)

    def __repr__(self) -> str:
        return f"KnownIdentities({len(self.texts)} texts)"

    def __or__(self, other: KnownIdentities) -> KnownIdentities:
        return KnownIdentities(self.texts | other.texts)

    @classmethod
    def of(
        cls,
        names: Iterable[str] = (),
        identifiers: Iterable[str] = (),
        dates: Iterable[str] = (),
    ) -> KnownIdentities:
        """Collect names (each word counts), identifiers, and days written ``YYYYMMDD``."""
        found: set[str] = set()
        for value in names:
            for form in (value, value.translate(_GERMAN)):
                words = [each for each in _SPLIT.split(folded(form)) if each]
                found.update(words)
                found.update(a + b for a in words for b in words if a != b)
        for value in identifiers:
            plain = " ".join(folded(value).split())
            found.update((plain, re.sub(r"[\s\-_/.]+", "", plain)))
            found.update(each for each in _SPLIT.split(plain) if len(each) >= _ANYWHERE)
        for value in dates:
            found |= _spellings(value)
        return cls(frozenset(e for e in found if len(e) >= MIN_LENGTH and e not in COMMON_WORDS))

    def touches(self, text: str) -> bool:
        """Return whether a text holds a known identity, in any case and with any accents."""
        if not self.texts or not text:
            return False
        plain = folded(text)
        if plain in self.texts or (self._long is not None and self._long.search(plain)):
            return True
        if plain.isascii() and (plain.isdigit() or plain.isalpha()):
            # One word of one piece, which was compared.
            return False
        words = [each for each in _SPLIT.split(plain) if each]
        if not self.texts.isdisjoint(words):
            return True
        # Digits and letters apart: "smith2" and "3smith" hold the word as well.
        pieces = [part for each in words for part in re.findall(r"[^\W\d]+|\d+", each)]
        joined = "".join(words)
        return not self.texts.isdisjoint(pieces) or bool(
            self._long is not None and self._long.search(joined)
        )


def _spellings(day: str) -> set[str]:
    found = re.fullmatch(r"(\d{4})[-./]?(\d{2})[-./]?(\d{2})", day.strip("\0 "))
    if found is None:
        return set()
    year, month, number = found.groups()
    return {
        joined
        for separator in ("", "-", "/", ".", "_")
        for joined in (
            separator.join((year, month, number)),
            separator.join((number, month, year)),
            separator.join((month, number, year)),
        )
    }
