"""Numbers stay as measures, and go where they could be a date, a patient, or known."""

from __future__ import annotations

import struct

import pytest

from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from containers.scrub_headers.rules import Action
from containers.scrub_headers.text import clean_text
from containers.scrub_headers.values import clean_value

KNOWN = KnownIdentities.of(names=["Wumbo^Zqx"], identifiers=["104512", "66123"], dates=["19540131"])
ACQUISITION_NUMBER, TOTAL_DOSE, TEMPORAL_RANGE = 0x00200012, 0x00181074, 0x00189098


def clean(
    action: Action, tag: int, vr: str, value: bytes, known: KnownIdentities = KNOWN
) -> bytes | None:
    """Clean a value under the profile for partners outside."""
    made = CleanContext(Pseudonyms(bytes(32), "one"), load_profile("external"), known)
    return clean_value(action, tag, vr, value, made)


@pytest.mark.parametrize(
    "value",
    [
        b"12",
        b"1.5\\-2.25",
        b"12345",
        b"0000123",
        b"12345.678901",
        b"0.70710678118655",
        b"-1.0e-05",
        b"1e6",
        b"",
        b"3 ",
    ],
)
def test_measures_stay_as_they_are_written(value: bytes):
    """No digit of a measure changes."""
    assert clean(Action.NUMBER, ACQUISITION_NUMBER, "DS", value) == value


@pytest.mark.parametrize(
    "value",
    [b"19870506", b"4857773456", b"810000067", b"1\\810000067", b"12345678.5", b"104512",
     b"1\\104512", b"104512.0", b"66123", b"810067", b"0810067", b"8100671", b"1\\810067.25"],
)  # fmt: skip
def test_dates_and_patients_are_no_measures(value: bytes):
    """Six digits before the point, and every number of the study's, go."""
    assert clean(Action.NUMBER, ACQUISITION_NUMBER, "DS", value) is None


def test_a_dose_in_becquerel_stays():
    """370 MBq are nine digits; the attribute of the dose may hold them, but no known number."""
    assert clean(Action.NUMBER, TOTAL_DOSE, "DS", b"370000000") == b"370000000"
    known = KnownIdentities.of(identifiers=["370000000"])
    assert clean(Action.NUMBER, TOTAL_DOSE, "DS", b"370000000", known) is None


@pytest.mark.parametrize("tag", [0x00200013, 0x00181242, 0x00281051])
def test_numbers_of_images_and_milliseconds_may_be_longer(tag: int):
    """A frame of an hour lasts 3600000 ms; a date is too long for that, too."""
    assert clean(Action.NUMBER, tag, "IS", b"3600000") == b"3600000"
    assert clean(Action.NUMBER, tag, "IS", b"19870506") is None


@pytest.mark.parametrize(
    ("vr", "value", "stays"),
    [
        ("UL", struct.pack("<I", 99_999), True),
        ("UL", struct.pack("<I", 810_067), False),
        ("SL", struct.pack("<2i", 1, -810_067), False),
        ("FD", struct.pack("<d", 19_870_506.0), False),
        ("FD", struct.pack("<40d", *[0.5] * 39, 810_067.0), False),
        ("FD", struct.pack("<d", 810_067.25), True),
        ("FD", struct.pack("<d", 7.237e75), True),
        ("FL", struct.pack("<f", 12345.0), True),
    ],
)
def test_long_whole_numbers_go_from_binary_values(vr: str, value: bytes, stays: bool):  # noqa: FBT001 - a case
    """A number or date of a person is whole and long; a measure is not both."""
    known = KnownIdentities()
    assert (clean(Action.BINARY, TEMPORAL_RANGE, vr, value, known) == value) is stays


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        ("UL", struct.pack("<I", 104512)),
        ("SL", struct.pack("<2i", 1, 104512)),
        ("FD", struct.pack("<d", 104512.0)),
        ("FL", struct.pack("<f", 104512.0)),
        ("UL", struct.pack("<I", 19540131)),
        ("US", b"Wumb" + b"o\0"),
        ("OW", b"\0\1wumbo\0"),
    ],
)
def test_known_numbers_and_names_go_from_binary_values(vr: str, value: bytes):
    """A number of the study's is found in every width, a name in the bytes of numbers."""
    assert clean(Action.BINARY, TEMPORAL_RANGE, vr, value) is None


@pytest.mark.parametrize(
    ("vr", "value"),
    [("FD", struct.pack("<2d", 123.25, -1e-9)), ("US", struct.pack("<3H", 1, 2, 3))],
)
def test_other_binary_values_stay(vr: str, value: bytes):
    """Binary measures are passed on bit for bit."""
    assert clean(Action.BINARY, TEMPORAL_RANGE, vr, value) == value


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("T1 94 y", "T1"),
        ("T1 102yrs brain", "T1 brain"),
        ("T1 91-years", "T1"),
        ("T1 64 y", "T1 64 y"),
    ],
)
def test_ages_above_89_go_from_text(text: str, left: str):
    """HIPAA's safe harbour lets ages up to 89 stay."""
    assert clean_text(text, KnownIdentities()) == left
