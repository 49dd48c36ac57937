"""People's ratings are added, never changed, and never mixed with what was measured."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qc.ratings import BadRatingError, Decision, Rating, add_rating, latest_ratings, read_ratings

START = datetime(2026, 3, 1, 12, tzinfo=UTC)


def rating(decision: Decision = Decision.EXCLUDE, minutes: int = 0, rater: str = "a") -> Rating:
    return Rating(
        "P1/bold",
        "0" * 64,
        rater,
        decision,
        "motion, \n é \u2028 \udcff",
        START + timedelta(minutes=minutes),
    )


def test_a_rating_comes_back_as_it_was(tmp_path: Path):
    """Line breaks of all kinds, accents, and what was no text, in a reason too."""
    path = tmp_path / "ratings.jsonl"

    add_rating(path, rating())

    assert read_ratings(path) == [rating()]


def test_a_later_rating_does_not_replace_the_line_of_an_earlier(tmp_path: Path):
    """Both stand in the file; the later of one person counts, each person counts."""
    path = tmp_path / "ratings.jsonl"
    for each in (rating(), rating(Decision.ACCEPT, 5), rating(Decision.UNSURE, 1, "b")):
        add_rating(path, each)

    found = read_ratings(path)

    assert len(found) == 3
    latest = latest_ratings(found)
    assert list(latest) == ["P1/bold"]
    assert [(one.rater, one.decision) for one in latest["P1/bold"]] == [
        ("b", Decision.UNSURE),
        ("a", Decision.ACCEPT),
    ]


def test_a_broken_last_line_is_named(tmp_path: Path):
    """A file that was cut off is not read as if it were whole."""
    path = tmp_path / "ratings.jsonl"
    add_rating(path, rating())
    path.write_bytes(path.read_bytes() + b'{"image": "x"')

    with pytest.raises(BadRatingError, match="Line 2"):
        read_ratings(path)


@pytest.mark.parametrize(
    ("image", "rater", "decision", "reason", "at"),
    [
        ("", "a", Decision.ACCEPT, "", START),
        ("x", "", Decision.ACCEPT, "", START),
        ("x", "a", Decision.EXCLUDE, " ", START),
        ("x", "a", Decision.ACCEPT, "", START.replace(tzinfo=None)),
    ],
    ids=["no image", "no rater", "no reason", "no time zone"],
)
def test_half_a_rating_is_refused(
    image: str, rater: str, decision: Decision, reason: str, at: datetime
):
    """Only an acceptance needs no reason."""
    with pytest.raises(BadRatingError):
        Rating(image, "", rater, decision, reason, at)
