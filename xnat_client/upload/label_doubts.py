"""Labels that look as if they said who somebody is.

Labels of subjects and sessions are seen by everybody who sees the project, so they must be codes.
Nothing here proves that a label is harmless; it finds what commonly goes wrong: names, hospital
numbers, dates of birth, and whatever stands in the patient elements of the images themselves. Not
here: which characters XNAT takes (``address``).
"""

from __future__ import annotations

import re
from collections.abc import Collection

from xnat_client.upload.dicom_file import identity_digest

_WORDS = frozenset(
    [
        "sub",
        "subj",
        "subject",
        "ses",
        "sess",
        "session",
        "scan",
        "scans",
        "visit",
        "run",
        "test",
        "pilot",
        "phantom",
        "control",
        "ctrl",
        "patient",
        "case",
        "group",
        "site",
        "study",
        "demo",
        "sample",
        "baseline",
        "base",
        "followup",
        "follow",
        "pre",
        "post",
        "day",
        "week",
        "month",
        "year",
        "time",
        "tp",
        "mr",
        "mri",
        "fmri",
        "eeg",
        "meg",
        "pet",
        "ct",
        "dwi",
        "mprage",
        "task",
        "rest",
        "beh",
        "behav",
        "qc",
        "dev",
        "prod",
        "retest",
        "training",
        "healthy",
        "volunteer",
        "hc",
        "pt",
        "arm",
        "trial",
        "wave",
        "cohort",
        "human",
        "animal",
        "left",
        "right",
        "first",
        "second",
        "third",
        "last",
        "alpha",
        "beta",
        "gamma",
        "delta",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
    ]
)
"""Words that labels are made of; a label of other letters may be a name."""
_LONGEST_NUMBER = 6
_SHORTEST_NAME = 3
_PARTS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_DATE = re.compile(r"(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_SHORTEST_KNOWN = 4
_VOWELS = frozenset("aeiouy")


def doubt_about(label: str, identity: Collection[bytes] = ()) -> str:
    """Return why a label may identify a person, or an empty text; never the label itself.

    Parameters
    ----------
    identity : collection of bytes
        ``DicomFile.identity`` of the images that would get this label.
    """
    if identity and _is_in(label, identity):
        return "it stands in the patient elements of the images (name, number or birth date)"
    words = re.split(r"[_.\-]+", label)
    if any(_is_hospital_number(word) for word in words):
        return f"it has {_LONGEST_NUMBER} or more digits in a row, as hospital numbers have"
    parts = [part for word in words for part in _PARTS.findall(word)]
    letters = [part for part in parts if part.isalpha()]
    digits = any(part.isdigit() for part in parts)
    names = [part for part in letters if _is_name(part)]
    if len(names) > 1 or (names and not digits):
        return "it looks like a name"
    return ""


def _is_in(label: str, identity: Collection[bytes]) -> bool:
    pieces = [label, *re.split(r"[_.\-]+", label)]
    return any(
        identity_digest(piece) in identity for piece in pieces if len(piece) >= _SHORTEST_NAME
    )


def _is_hospital_number(word: str) -> bool:
    runs = re.findall(r"\d+", word)
    return any(
        len(run) >= _LONGEST_NUMBER and not (_DATE.fullmatch(run) and word == run) for run in runs
    )


def _is_name(part: str) -> bool:
    # Abbreviations such as OPDC or KTH have no vowels or are short capitals.
    if part.lower() in _WORDS or len(part) < _SHORTEST_NAME:
        return False
    if part.isupper() and len(part) <= _SHORTEST_KNOWN:
        return False
    return bool(_VOWELS & set(part.lower()))
