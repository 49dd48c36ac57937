"""The identities that the source headers hold, kept in memory only to recognise them again.

Not here: removing elements from DICOM files; this step only has to keep them out of text that
it takes over from headers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset

_LONG = 6
"""Texts of this length are looked for inside words, too; shorter ones as whole words."""
_SHORTEST = 3
"""Shorter texts ("MR", "F") occur by chance in any value."""

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
        """Tell whether the text holds one of the identities, in any case."""
        folded = text.casefold()
        plain = re.sub(r"[^a-z0-9]", "", folded)
        words = set(re.split(r"[^a-z0-9]+", folded)) | {folded}
        return any(
            known in words or (len(known) >= _LONG and (known in folded or known in plain))
            for known in self.texts
        )


def identity_texts(header: Dataset) -> Iterable[str]:
    """Return the identities of one header, folded for comparison."""
    for keyword in WHOLE_KEYWORDS + PERSON_KEYWORDS:
        value = str(header.get(keyword) or "").casefold()
        parts = re.split(r"[\\^=\s]+", value) if keyword in PERSON_KEYWORDS else []
        for text in (value, re.sub(r"[^a-z0-9]", "", value), *parts):
            if len(text.strip()) >= _SHORTEST:
                yield text.strip()
