"""Which texts of sidecars and tables may stay: words of BIDS, units, links of catalogues, paths.

Not here: which keys and columns there are (``bids_files``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.paths import Naming
from containers.scrub_headers.prose import enumerated_terms, prose_words
from containers.scrub_headers.pseudonyms import Pseudonyms, TimeRule
from containers.scrub_headers.text import clean_text
from containers.scrub_headers.vendor.values import matches

MAX_TEXT = 200
MAX_LABEL = 40
SUSPICIOUS = re.compile(
    r"\b(?:19|20)\d{2}[-/._ ]?(?:0[1-9]|1[0-2])[-/._ ]?(?:0[1-9]|[12]\d|3[01])(?!\d)"
    r"|\b\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)?\d{2}\b"
    r"|[\w.+-]+@[\w-]+\.\w+|(?:/home/|/Users/|/root/|[A-Za-z]:\\|\\\\)|\^"
    r"|(?<![\d.])\+?\d[\d ()-]{8,}\d(?![\d.])"
    r"|\b(?:\d{1,3}\.){3}\d{1,3}\b|\b[0-2](?:\.\d+){5,}",
)
"""Dates, mail, home folders, name separators, telephone-like numbers, addresses, UIDs in text."""
_BIDS_PATH = re.compile(
    r"(?P<scheme>bids:[A-Za-z0-9]{0,16}:)?"
    r"(?P<path>[\w.+-]+(?:/[\w.+-]+)*\.(?:nii|nii\.gz|tsv|tsv\.gz|json|edf|bdf|vhdr|set|fif|ds|con|"
    r"sqd|eeg|bval|bvec|png|jpg|wav|mp4|csv)/?)",
    re.ASCII,
)
_UNIT = re.compile(
    r"(?:[µμunpfmcdkMGT]?(?:V|T|S|s|Hz|m|A|g|K|Pa|L|l|mol|rad|Ohm|Ω|ohms?)|°C|oC|dB|bpm|deg|%|au|a\.u\."
    r"|seconds?|milliseconds?|arbitrary|count|n/a)(?:(?:[/*·^]|\*\*)-?(?:\d|[µμunm]?(?:m|s|V|T|Hz))){0,3}"
)
_VERSION = re.compile(r"v?\d{1,2}(?:\.\d{1,4}){1,3}(?:[-.]?(?:rc|dev|b|a|post)\.?\d{0,2})?")
_LINK = re.compile(
    r"(?:doi:|https?://(?:dx\.)?doi\.org/)?10\.\d{4,6}/[A-Za-z0-9.;()/_-]{1,60}"
    r"|https?://(?:[a-z-]+\.)*(?:cognitiveatlas|creativecommons|opendatacommons|neurovault|bioontology"
    r"|incf|hedtags|bids-specification|interlex|uberon|obofoundry|purl)\.(?:org|io)"
    r"(?:/(?:id|tasks?|concepts?|terms?|ontolog(?:y|ies)|obo|licenses|publicdomain|zero|odbl|by|by-sa"
    r"|by-nc|by-nd|by-nc-sa|\d\.\d|[a-z]{2,5}_[0-9a-f]{6,40}|[A-Z]{2,8}[_:#]?\d{2,8}))*/?"
)
"""Identifiers of publications and of catalogues of terms; their parts are no words."""
_FORMS = ("coil string", "orientation", "nucleus")
_LABEL_CODE_LENGTH = 10


@dataclass(frozen=True)
class BidsRules:
    """What the rules for BIDS files need to know.

    Parameters
    ----------
    naming : Naming
        New labels of subjects and sessions.
    known : KnownIdentities
        No text that touches one of these stays.
    pseudonyms : Pseudonyms
        Of the participant whose data lie in the file; moves dates.
    keeps_dates : bool
        Whether dates stay, moved; otherwise they go.
    keeps_time : bool
        Whether the time of day stays beside a moved date.
    """

    naming: Naming
    known: KnownIdentities
    pseudonyms: Pseudonyms
    keeps_dates: bool = True
    keeps_time: bool = False

    def text(self, value: str, longest: int = MAX_TEXT) -> str | None:
        """Return what of a text may stay, with new labels in it; None if nothing may."""
        if len(value) > longest or not value.isprintable():
            return None
        path = _BIDS_PATH.fullmatch(value)
        if path is not None:
            new = self.naming.file(PurePosixPath(path["path"]))
            return f"{path['scheme'] or ''}{new}"
        plain = re.sub(r"(sub|ses)-[A-Za-z0-9]+", "", value)
        if SUSPICIOUS.search(plain) or self.known.touches(plain):
            return None
        if not plain.strip() or self._is_of_a_form(value):
            return self.naming.references(value)
        kept = clean_text(plain, self.known, prose_words())
        if kept != plain.strip():
            return kept or None
        return self.naming.references(value)

    def whole(self, value: str) -> str | None:
        """Return a text of which everything may stay, else None."""
        new = self.text(value, MAX_LABEL)
        return new if new == value.strip() else None

    def label(self, value: str) -> str | None:
        """Return the label of a condition or channel; one of unknown words becomes a code.

        A part of a label is another label, so that two conditions could become one.
        """
        from containers.recordings.texts import is_vocabulary  # noqa: PLC0415 - an extra of its own

        new = self.whole(value)
        if new is not None:
            return new
        plain = value.strip()
        bad = SUSPICIOUS.search(plain) or self.known.touches(plain) or len(plain) > MAX_LABEL
        if not bad and is_vocabulary(plain):
            return plain
        code = self.pseudonyms.pseudonym("label", plain)[:_LABEL_CODE_LENGTH]
        return f"x{code.lower()}"

    def channel(self, value: str) -> str | None:
        """Return the name of a channel by the rule that the recording's own names follow."""
        from containers.recordings.texts import is_channel_name  # noqa: PLC0415 - as above

        is_kept = len(value) <= MAX_LABEL and value.isprintable()
        return value if is_kept and is_channel_name(value, self.known.texts) else None

    def moment(self, value: str) -> str | None:
        """Return an acquisition time after the policy; None where it goes."""
        if not self.keeps_dates:
            return None
        rule = TimeRule.KEEP if self.keeps_time else TimeRule.ZERO
        return self.pseudonyms.shift_datetime(value, rule)

    def _is_of_a_form(self, value: str) -> bool:
        return (
            value in enumerated_terms()
            or _UNIT.fullmatch(value) is not None
            or _VERSION.fullmatch(value) is not None
            or _LINK.fullmatch(value) is not None
            or any(matches(form, value, self.known) for form in _FORMS)
        )
