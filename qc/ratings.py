"""What people decided about images: a log that is only added to, apart from all measured values.

Nothing in the product changes or overwrites a rating; a later one of the same person stands beside
the earlier. Not here: verdicts of the software.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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


def add_rating(path: Path, rating: Rating) -> None:
    """Add one rating at the end of a file, which is made if there is none.

    One line is one write, so that an interruption leaves whole lines; a last line that is broken
    off is found by `read_ratings`.
    """
    line = asdict(rating) | {
        "decision": rating.decision.value,
        "rated_at": rating.rated_at.astimezone(UTC).isoformat(timespec="seconds"),
    }
    data = (json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n").encode()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        os.write(handle, data)
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
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            fields = json.loads(line)
            found.append(
                Rating(
                    image=str(fields["image"]),
                    input_sha256=str(fields["input_sha256"]),
                    rater=str(fields["rater"]),
                    decision=Decision(fields["decision"]),
                    reason=str(fields["reason"]),
                    rated_at=datetime.fromisoformat(fields["rated_at"]),
                )
            )
        except (ValueError, KeyError, TypeError) as error:
            raise BadRatingError(f"Line {number} of the ratings is no rating.") from error
    return found


def ratings_of(ratings: Sequence[Rating], image: str) -> list[Rating]:
    """Return the latest rating of each person for one image, by time."""
    latest: dict[str, Rating] = {}
    for rating in sorted(ratings, key=lambda each: each.rated_at):
        if rating.image == image:
            latest[rating.rater] = rating
    return sorted(latest.values(), key=lambda each: each.rated_at)
