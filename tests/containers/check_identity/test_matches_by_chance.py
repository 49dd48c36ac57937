"""Which finds of a short string are chance: in digests and measured values, not beside them."""

from __future__ import annotations

import hashlib

import pytest

from containers.check_identity.known import KnownKind, KnownString, KnownStrings
from containers.check_identity.search.matcher import Matcher

MATCHER = Matcher(
    KnownStrings.of(
        [
            KnownString(KnownKind.ID, "2458"),
            KnownString(KnownKind.ID, "B07"),
            KnownString(KnownKind.NAME, "Quixotte^Abe"),
        ]
    )
)


def digest_with(part: str) -> str:
    """Return a SHA-256 in which a text stands between what is neither letter nor digit of it."""
    for number in range(1_000_000):
        digest = hashlib.sha256(str(number).encode()).hexdigest()
        at = digest.find(part, 1, -len(part) - 1)
        around = (digest[at - 1], digest[at + len(part)])
        if at > 0 and all(each.isalpha() != part[0].isalpha() for each in around):
            return digest
    raise AssertionError(part)


@pytest.mark.parametrize("part", ["2458", "abe"])
def test_a_digest_holds_short_strings_by_chance(part: str):
    """A SHA-256 that another program made holds the number of a participant, or a name."""
    scan = MATCHER.scan_bytes(f'{{"sha256": "{digest_with(part)}"}}'.encode())

    assert (scan.hit_count, scan.left_out) == (0, 1)


@pytest.mark.parametrize(
    "text",
    ["2458.507", "snr\t2458.507\t1.2", "-2458.0001", "0.2458", "1.52458"],
)
def test_a_measured_value_may_begin_with_a_participants_number(text: str):
    """Neither the whole part nor the fraction of a decimal number is an identifier."""
    assert MATCHER.scan_bytes(text.encode()).hit_count == 0


@pytest.mark.parametrize(
    "text",
    [
        "2458",
        "2458.0",
        "2458.000",
        "2458.02",
        "sub-2458",
        "id2458.nii.gz",
        "2458.507.1",
        "seen abe today",
        "b07",
        "abe2458",
        "deadbeef2458",
    ],
)
def test_beside_digests_and_values_short_strings_count(text: str):
    """A number as spreadsheets write it, a second visit, and what is no digest are found."""
    assert MATCHER.scan_bytes(text.encode()).hit_count > 0
