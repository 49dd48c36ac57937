"""The identities that the source headers hold, kept in memory only to recognise them again.

Not here: removing elements from DICOM files; this step only has to keep them out of text that
it takes over from headers.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations

_LONG = 6
"""Texts of this length are looked for inside words, too; shorter ones as whole words."""
_SHORTEST = 3
"""Shorter texts ("MR", "F") occur by chance in any value."""
_NAME_PARTS = 3
"""Family, given and middle name (PS3.5, section 6.2.1)."""
_BETWEEN_WORDS = re.compile(r"[\W_]+")
_INNER_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

PERSON_KEYWORDS = (
    "PatientName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "RequestingPhysician",
    "PatientMotherBirthName",
    "ResponsiblePerson",
)
WHOLE_KEYWORDS = (
    "PatientID",
    "OtherPatientIDs",
    "OtherPatientNames",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientAddress",
    "PatientTelephoneNumbers",
    "PatientComments",
    "AccessionNumber",
    "StudyID",
    "InstitutionName",
    "InstitutionAddress",
    "InstitutionalDepartmentName",
    "StationName",
    "DeviceSerialNumber",
    "AdditionalPatientHistory",
    "ImageComments",
    "StudyDescription",
    "RequestedProcedureDescription",
    "PerformedProcedureStepID",
)
"""DICOM keywords whose values name a person or a place (PS3.15 annex E, table E.1-1)."""


@dataclass(frozen=True, slots=True)
class SourceIdentity:
    """Texts that must not leave the source; never printed, only compared with."""

    texts: frozenset[str]

    def touches(self, text: str) -> bool:
        """Tell whether the text holds one of the identities, in any case, with or without accents.

        A capital letter or a digit begins a word, too: ``JohnDoe`` holds ``doe``.
        """
        return _touches(self.texts, text)


# The same values come in the sidecars of a session again and again.
@lru_cache(maxsize=4096)
def _touches(texts: frozenset[str], text: str) -> bool:
    words = {word.casefold() for word in _INNER_WORDS.findall(text)}
    wholes = set()
    for form in _forms(text):
        words |= {form, *_BETWEEN_WORDS.split(form)}
        wholes |= {form, _BETWEEN_WORDS.sub("", form)}
    return any(
        known in words or (len(known) >= _LONG and any(known in whole for whole in wholes))
        for known in texts
    )


def identity_texts(values: Mapping[str, str]) -> Iterable[str]:
    """Return the identities among the values of DICOM keywords, folded for comparison."""
    for keyword in WHOLE_KEYWORDS + PERSON_KEYWORDS:
        for value in _forms(values.get(keyword, "")):
            parts = re.split(r"[\\^=\s]+", value) if keyword in PERSON_KEYWORDS else []
            # A name is also written in one word, family or given name first.
            joined = [first + second for first, second in permutations(parts[:_NAME_PARTS], 2)]
            for text in (value, _BETWEEN_WORDS.sub("", value), *parts, *joined):
                if len(text.strip()) >= _SHORTEST:
                    yield text.strip()


def _forms(text: str) -> tuple[str, str]:
    """Return the text folded for comparison, with its accents and without."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    bare = unicodedata.normalize("NFKD", folded)
    return folded, "".join(letter for letter in bare if not unicodedata.combining(letter))
