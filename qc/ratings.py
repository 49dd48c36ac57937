"""What people decided about images: a log that is only added to, apart from all measured values.

Nothing in the product changes or overwrites a rating; a later one of the same person stands beside
the earlier. Not here: verdicts of the software.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path


class Decision(StrEnum):
    """What a person may say of an image."""

    ACCEPT = "accept"
    EXCLUDE = "exclude"
    UNSURE = "unsure"


class BadRatingError(ValueError):
    """A rating or a file of ratings cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Rating:
    """One person's decision on one image.

    Attributes
    ----------
    image : str
        Name of the image, as in the tables.
    input_sha256 : str
        Digest of the image that was looked at, empty if nobody knows it: a rating of a file does
        not hold for another with its name.
    rater : str
        Who.
    decision : Decision
    reason : str
        In the rater's words; may be empty for ``accept`` only.
    rated_at : datetime
        UTC.
    """

    image: str
    input_sha256: str
    rater: str
    decision: Decision
    reason: str
    rated_at: datetime

    def __post_init__(self) -> None:
        if not self.image or not self.rater:
            raise BadRatingError("A rating needs an image and a rater.")
        if self.decision is not Decision.ACCEPT and not self.reason.strip():
            raise BadRatingError(f"The decision '{self.decision.value}' needs a reason.")
        if self.rated_at.tzinfo is None:
            raise BadRatingError("The time of a rating needs a time zone.")


def rating_line(rating: Rating) -> str:
    """Return one line of JSON, with its end, as files of ratings hold them."""
    fields = {
        "image": rating.image,
        "input_sha256": rating.input_sha256,
        "rater": rating.rater,
        "decision": rating.decision.value,
        "reason": rating.reason,
        "rated_at": rating.rated_at.astimezone(UTC).isoformat(timespec="seconds"),
    }
    return json.dumps(fields, sort_keys=True) + "\n"


def read_rating(line: str | bytes) -> Rating:
    """Return the rating of one line: the inverse of `rating_line`.

    Raises
    ------
    BadRatingError
        It is no rating.
    """
    try:
        fields = json.loads(line)
        return Rating(
            image=str(fields["image"]),
            input_sha256=str(fields["input_sha256"]),
            rater=str(fields["rater"]),
            decision=Decision(fields["decision"]),
            reason=str(fields["reason"]),
            rated_at=datetime.fromisoformat(fields["rated_at"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadRatingError("This is no rating.") from error


def add_rating(path: Path, rating: Rating) -> None:
    """Add one rating at the end of a file, which is made if there is none.

    One line is one write, so that an interruption leaves whole lines; a last line that is broken
    off is found by `read_ratings`.
    """
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(handle, rating_line(rating).encode())
        os.fsync(handle)
    finally:
        os.close(handle)


def read_ratings(path: Path) -> list[Rating]:
    """Return all ratings of a file in the order in which they were made.

    Raises
    ------
    BadRatingError
        A line is not a rating; its number is named.
    """
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            found.append(read_rating(line))
        except BadRatingError as error:
            raise BadRatingError(f"Line {number} of the ratings is no rating.") from error
    return found


def latest_ratings(ratings: Iterable[Rating]) -> dict[str, list[Rating]]:
    """Return the latest rating of each person by the image's name, by time."""
    latest: dict[str, dict[str, Rating]] = defaultdict(dict)
    for rating in sorted(ratings, key=lambda each: each.rated_at):
        # Taken out first, so that the order is that of the latest ratings.
        latest[rating.image].pop(rating.rater, None)
        latest[rating.image][rating.rater] = rating
    return {image: list(by_rater.values()) for image, by_rater in latest.items()}
