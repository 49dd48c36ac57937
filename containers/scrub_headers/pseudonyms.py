"""Replaces identifiers by keyed pseudonyms, and moves dates by a participant's secret offset.

The same secret gives the same pseudonyms over files, runs and machines, so references stay
whole; without the secret none can be recomputed, not even by somebody who has a list of all
candidates. Not here: where the secret is kept (``key_store``), and which element is replaced.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum

from pydicom._uid_dict import UID_dictionary

SECRET_BYTES = 32
_CACHE_LIMIT = 100_000
_LAST_PUBLIC_YEAR = 1925
"""BIDS asks that shifted dates lie in or before this year, so that nobody takes them for real."""
_YEARS_AHEAD = 10
_DAYS_A_YEAR = 365.2425
_WINDOW_DAYS = 3652
"""Size of the range of offsets. Ten years, so that neither season nor year can be guessed."""
CODE_LENGTH = 16
"""The longest that the shortest value representations (SH, AE, CS) hold."""
LABEL_CODE_LENGTH = 12
"""Of a participant or session: two of ten thousand agree in one of 300,000 studies (160**6)."""
_CODE_DIGITS = "23456789"
_CODE_LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
"""In turn with the digits, so that no code holds a word or number by chance: among hundreds of
file names, a code of free letters has a short surname or initials in it, which a search for
identities must then take for the real ones. No vowels: ``2E3`` is a number."""

_COMPACT_DATE = re.compile(r"(\d{4})([.-]?)(\d{2})\2(\d{2})")
_MOMENT = re.compile(
    r"(?P<day>\d{8}|\d{4}-\d{2}-\d{2})(?P<separator>[T ]?)"
    r"(?P<time>\d{2}(?::?\d{2}(?::?\d{2}(?:\.\d{1,9})?)?)?)?(?P<zone>Z|[+-]\d{2}:?\d{2})?"
)


class TimeRule(Enum):
    """What becomes of the time of day beside a shifted date."""

    KEEP = "keep"
    ZERO = "zero"


@dataclass(frozen=True, slots=True)
class DateShift:
    """The range from which each participant's offset is taken; fixed for the life of a secret.

    An offset lies in ``minimum_days`` to ``minimum_days + window_days - 1``, and dates move back
    by it.
    """

    minimum_days: int
    window_days: int = _WINDOW_DAYS

    def __post_init__(self) -> None:
        """Refuse a range that would leave dates where they are.

        Raises
        ------
        ValueError
            A number is not positive.
        """
        if self.minimum_days < 1 or self.window_days < 1:
            raise ValueError("an offset of dates is at least one day")

    @classmethod
    def for_studies_from(cls, year: int | None = None) -> DateShift:
        """Return the range for a study that begins in a year; default this year.

        Dates of the ten years from then on end up in or before 1925, as BIDS asks.

        References
        ----------
        BIDS 1.10, "Common principles", units: "dates should be shifted by a random number of
        days ... in or before 1925".
        """
        began = datetime.now(UTC).year if year is None else year
        years = began + _YEARS_AHEAD - _LAST_PUBLIC_YEAR
        return cls(minimum_days=round(years * _DAYS_A_YEAR))


class Pseudonyms:
    """The pseudonyms of one participant under one project's secret.

    UIDs and ``pseudonym`` depend on the secret alone, so they agree over participants; the offset
    of dates depends on the participant too. Instances can be sent to another process.

    Parameters
    ----------
    secret : bytes
        32 random bytes. Never shown, not even by ``repr``.
    participant : str
        What all data of the participant have in common; decides the offset.
    patient_label : str
        The new label, given from outside. Default: made of ``participant`` and the secret.
    date_shift : DateShift
        The range of offsets. Default: that of a study that begins this year; give the stored
        one where runs of different years must agree.

    Raises
    ------
    ValueError
        The secret has another length.
    """

    def __init__(
        self,
        secret: bytes,
        participant: str,
        patient_label: str | None = None,
        date_shift: DateShift | None = None,
    ) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a project's secret has {SECRET_BYTES} bytes, not {len(secret)}")
        self._secret = secret
        self._participant = participant
        self._date_shift = date_shift or DateShift.for_studies_from()
        self._uids: dict[str, str] = {}
        self._dates: dict[str, str | None] = {}
        self.patient_label = patient_label or self.label_code("P", participant)
        drawn = int.from_bytes(self._digest("offset", participant)[:8])
        self.offset_days = -(self._date_shift.minimum_days + drawn % self._date_shift.window_days)

    def __repr__(self) -> str:
        return "Pseudonyms(secret withheld)"

    def __reduce__(self) -> tuple[type[Pseudonyms], tuple[object, ...]]:
        # Without the caches, which another process fills for itself.
        return Pseudonyms, (self._secret, self._participant, self.patient_label, self._date_shift)

    def for_participant(self, participant: str, patient_label: str | None = None) -> Pseudonyms:
        """Return those of another participant under the same secret."""
        return Pseudonyms(self._secret, participant, patient_label, self._date_shift)

    def uid(self, value: str) -> str:
        """Return the new UID of a UID; registered ones (SOP classes, syntaxes) stay.

        Padding is left out before, so that references with and without it agree. The new UID is
        ``2.25.`` and the decimal form of a version 8 UUID of 122 keyed bits, at most 44
        characters; an empty value stays empty.

        References
        ----------
        DICOM PS3.5 section B.2 (UUID derived UID); RFC 9562 section 5.8 (UUID version 8).
        """
        known = self._uids.get(value)
        if known is None:
            known = self._new_uid(value.strip("\0 \t\r\n"))
            if len(self._uids) >= _CACHE_LIMIT:
                self._uids.clear()
            self._uids[value] = known
        return known

    def _new_uid(self, plain: str) -> str:
        if not plain or plain in UID_dictionary:
            return plain
        number = int.from_bytes(self._digest("uid", plain)[:16])
        number = number & ~(0xF << 76) | (0x8 << 76)
        number = number & ~(0x3 << 62) | (0x2 << 62)
        return f"2.25.{number}"

    def pseudonym(self, kind: str, value: str) -> str:
        """Return a code of 16 characters, digit and consonant in turn, for a value of some kind.

        The same value under another kind has another code. It fits SH, LO, AE and CS; 58 bits.
        """
        number = int.from_bytes(self._digest(f"code {kind}", value))
        code = []
        for place in range(CODE_LENGTH):
            signs = _CODE_LETTERS if place % 2 else _CODE_DIGITS
            number, drawn = divmod(number, len(signs))
            code.append(signs[drawn])
        return "".join(code)

    def label_code(self, kind: str, value: str) -> str:
        """Return the code of a participant (kind ``P``) or session (``S``), with that letter."""
        word = {"P": "participant", "S": "session"}[kind]
        return f"{kind}{self.pseudonym(word, value)[:LABEL_CODE_LENGTH]}"

    def shift_date(self, value: str) -> str | None:
        """Return a date moved by the participant's offset, written as it was.

        Understood: ``YYYYMMDD``, ``YYYY.MM.DD`` (older DICOM) and ``YYYY-MM-DD``. None for
        anything else and where no calendar has the result: the caller must remove the date.
        """
        if value not in self._dates:
            if len(self._dates) >= _CACHE_LIMIT:
                self._dates.clear()
            self._dates[value] = self._shifted(value.strip("\0 "))
        return self._dates[value]

    def _shifted(self, text: str) -> str | None:
        found = _COMPACT_DATE.fullmatch(text)
        if found is None or not text.isascii():
            return None
        try:
            day = date(int(found[1]), int(found[3]), int(found[4]))
            moved = day + timedelta(days=self.offset_days)
        except (ValueError, OverflowError):
            return None
        separator = found[2]
        return f"{moved.year:04}{separator}{moved.month:02}{separator}{moved.day:02}"

    def shift_datetime(self, value: str, time: TimeRule = TimeRule.KEEP) -> str | None:
        """Return a moment with its date moved; None where ``shift_date`` gives None.

        Understood: DICOM's DT (``YYYYMMDDHHMMSS.FFFFFF&ZZXX``) and ISO 8601. The time stays as
        written, or becomes zeros of the same form. The zone goes: it tells the part of the world,
        and Table E.1-1 removes (0008,0201) Timezone Offset From UTC for that. A moment
        without a whole date (``YYYY``, ``YYYYMM``) cannot be moved by days, so it is None.
        """
        text = value.strip("\0 ")
        found = _MOMENT.fullmatch(text)
        if found is None or not text.isascii():
            return None
        day, separator, clock = found["day"], found["separator"], found["time"] or ""
        if bool(separator) and not clock:
            return None
        moved = self.shift_date(day)
        if moved is None:
            return None
        if time is TimeRule.ZERO:
            return moved + separator + re.sub(r"\d", "0", clock)
        return moved + separator + clock

    def _digest(self, kind: str, value: str) -> bytes:
        message = f"{kind}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, message, "sha256")
