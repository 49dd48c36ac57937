"""Pseudonyms and shifted dates, compared with values worked out without the code."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import re
import uuid
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.scrub_headers.pseudonyms import DateShift, Pseudonyms, TimeRule

SECRET = bytes(range(32))
SHIFT = DateShift(minimum_days=40_000, window_days=1)
"""With a window of one day every participant's offset is 40,000 days."""


@pytest.fixture
def made() -> Pseudonyms:
    """Pseudonyms whose offset is known."""
    return Pseudonyms(SECRET, "participant", "P01", SHIFT)


def test_uid_is_the_uuid_of_the_keyed_digest(made: Pseudonyms):
    """The new UID is 2.25 with a version 8 UUID made from HMAC-SHA-256 under the secret."""
    digest = hmac.new(SECRET, b"uid\x001.2.3.4", hashlib.sha256).digest()[:16]

    found = uuid.UUID(int=int(made.uid("1.2.3.4").removeprefix("2.25.")))

    assert (found.version, found.variant) == (8, uuid.RFC_4122)
    # Apart from the six bits of version and variant, all bits are those of the digest.
    assert (found.int ^ int.from_bytes(digest)) & ~(0xF << 76 | 0x3 << 62) == 0


@pytest.mark.parametrize(
    "registered",
    ["1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.1.4.1.1"],
)
def test_registered_uids_stay(made: Pseudonyms, registered: str):
    """Transfer syntaxes, SOP classes and well-known frames keep their UIDs."""
    assert made.uid(registered) == registered


def test_unregistered_uid_below_the_standards_root_is_replaced(made: Pseudonyms):
    """A UID that only begins like the standard's can hold anything, so it goes."""
    assert "19540131" not in made.uid("1.2.840.10008.19540131")


def test_padding_does_not_change_a_uid(made: Pseudonyms):
    """A reference with a trailing zero byte leads to the same object."""
    assert made.uid("1.2.3\0") == made.uid("1.2.3") == made.uid("1.2.3 ")


def test_participants_share_uids_but_not_offsets():
    """UIDs agree over the participants of a project; offsets of dates are each one's own."""
    first = Pseudonyms(SECRET, "one")
    others = [first.for_participant(f"other {number}") for number in range(20)]

    assert {each.uid("1.2.3") for each in others} == {first.uid("1.2.3")}
    assert len({each.offset_days for each in others}) > 15


def test_other_secrets_give_other_pseudonyms(made: Pseudonyms):
    """Nothing can be recomputed with another secret."""
    other = Pseudonyms(bytes(32), "participant")

    assert other.uid("1.2.3") != made.uid("1.2.3")
    assert other.pseudonym("name", "x") != made.pseudonym("name", "x")


def test_a_secret_of_another_length_is_refused():
    """A short secret could be guessed."""
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonyms(b"short", "participant")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # Expected values by GNU date: date -d '2026-01-31 -40000 days'.
        ("20260131", "19160727"),
        ("2026-01-31", "1916-07-27"),
        ("2026.01.31", "1916.07.27"),
        ("20240229", "19140825"),
        ("20230229", None),
        ("20261301", None),
        ("00010101", None),
        ("2026-0131", None),
        ("************", None),
        ("", None),
        ("\uff12\uff10\uff12\uff16\uff10\uff11\uff13\uff11", None),
    ],
)
def test_dates_move_by_whole_days(made: Pseudonyms, value: str, expected: str | None):
    """A date moves by the offset in its own form; what is no date is given up."""
    assert made.shift_date(value) == expected


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [
        ("20260131123059.123456+0100", TimeRule.KEEP, "19160727123059.123456"),
        ("20260131123059.12", TimeRule.ZERO, "19160727000000.00"),
        ("20260131123059-0500", TimeRule.ZERO, "19160727000000"),
        ("2026-01-31T12:30:59", TimeRule.KEEP, "1916-07-27T12:30:59"),
        ("2026-01-31T12:30:59Z", TimeRule.ZERO, "1916-07-27T00:00:00"),
        ("20260131", TimeRule.KEEP, "19160727"),
        ("2026", TimeRule.KEEP, None),
        ("202601", TimeRule.KEEP, None),
        ("20260131T", TimeRule.KEEP, None),
        ("20260131 Smith", TimeRule.KEEP, None),
    ],
)
def test_moments_move_with_their_dates(
    made: Pseudonyms, value: str, rule: TimeRule, expected: str | None
):
    """The time follows the rule, the zone goes; a moment without a whole date is given up."""
    assert made.shift_datetime(value, rule) == expected


@given(st.dates(date(1990, 1, 1), date(2036, 12, 31)), st.text(max_size=8))
def test_shifted_dates_lie_before_1926_with_intervals_kept(day: date, participant: str):
    """Dates of a study that begins in 2026 end before 1926, as BIDS asks, all by one offset."""
    made = Pseudonyms(SECRET, participant, date_shift=DateShift.for_studies_from(2026))

    moved = made.shift_date(day.strftime("%Y%m%d"))

    assert moved is not None
    assert moved < "19260101"
    found = date(int(moved[:4]), int(moved[4:6]), int(moved[6:]))
    assert (found - day).days == made.offset_days


def test_pseudonyms_can_be_sent_to_another_process_and_hide_their_secret(made: Pseudonyms):
    """A copy gives the same answers; its text shows nothing."""
    copy = pickle.loads(pickle.dumps(made))  # noqa: S301 - made here

    assert copy.uid("1.2.3") == made.uid("1.2.3")
    assert (copy.offset_days, copy.patient_label) == (made.offset_days, "P01")
    assert repr(made) == "Pseudonyms(secret withheld)"


def test_codes_fit_short_strings(made: Pseudonyms):
    """A code has 16 characters that every value representation of text allows (PS3.5 6.2)."""
    assert re.fullmatch(r"([2-9][B-Z]){8}", made.pseudonym("patient", "Müller^Anna"))


def test_no_code_holds_a_short_name_by_chance(made: Pseudonyms):
    """Names of three letters and numbers of two digits are in none of thousands of codes."""
    codes = [made.pseudonym("DICOM file", str(number)) for number in range(5000)]

    assert len(set(codes)) == 5000
    assert not any(re.search(r"[A-Z]{2}|[0-9]{2}|[AEIOU]", code) for code in codes)
