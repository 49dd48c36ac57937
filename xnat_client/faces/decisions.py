"""Decisions of a person on defaced images: read from the file of a review, kept as a statement.

A decision names the SHA-256 of the image that was looked at, so it says nothing of any other. Not
here: what follows from it (``sharing.check.face_answers``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from qc.report.face_review import DECISIONS_FORMAT, DECISIONS_VERSION
from xnat_client.errors import BadInputError

_LONGEST_FILE = 16 << 20
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SHORTEST_REASON = 3
_LONGEST_TEXT = 200


class Verdict(StrEnum):
    """What a person decided on an image."""

    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class FaceDecision:
    """A decision on one image.

    Attributes
    ----------
    sha256 : str
        Of the image's file, as it was handed on.
    reason : str
        Never empty where the image is rejected.
    """

    sha256: str
    verdict: Verdict
    reason: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class FaceReview:
    """The decisions of one review.

    Attributes
    ----------
    reviewer : str
        As the file says; who records it is proved by their log-in.
    """

    reviewer: str
    decisions: tuple[FaceDecision, ...]

    @property
    def rejected(self) -> Mapping[str, str]:
        """Return the reasons of rejected images by digest."""
        chosen = (each for each in self.decisions if each.verdict is Verdict.REJECT)
        return {each.sha256: each.reason for each in chosen}

    @property
    def accepted(self) -> frozenset[str]:
        """Return the digests of accepted images."""
        chosen = (each for each in self.decisions if each.verdict is Verdict.ACCEPT)
        return frozenset(each.sha256 for each in chosen)

    @property
    def text(self) -> str:
        """Return the review as the text of a statement: one JSON document, the same each time."""
        document = {
            "format": DECISIONS_FORMAT,
            "version": DECISIONS_VERSION,
            "reviewer": self.reviewer,
            "decisions": [
                {
                    "sha256": each.sha256,
                    "decision": each.verdict.value,
                    "reason": each.reason,
                    "decided_at": each.decided_at.isoformat(),
                }
                for each in self.decisions
            ],
        }
        return json.dumps(document, ensure_ascii=False, sort_keys=True)


def read_review(path: Path) -> FaceReview:
    """Return the review in a file that the page saved.

    Raises
    ------
    BadInputError
        It is none, or one of its decisions is not complete; the sentence says which.
    """
    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= _LONGEST_FILE else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError("The file of decisions cannot be read as text.") from error
    review = parse_review(text)
    if review is None:
        raise BadInputError(
            "The file holds no decisions on defaced images. Save it from the page that winxnat "
            "deface review makes."
        )
    return review


def parse_review(text: str) -> FaceReview | None:
    """Return the review in a text; None if the text is something else.

    Raises
    ------
    BadInputError
        It is a review, or was one before somebody cut or changed it, and not complete.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or document.get("format") != DECISIONS_FORMAT:
        if DECISIONS_FORMAT in text:
            raise BadInputError(
                "The decisions are cut or changed. Save them again from the page of the review."
            )
        return None
    if document.get("version") != DECISIONS_VERSION:
        raise BadInputError("The decisions are of another version of the page; save them again.")
    reviewer, given = document.get("reviewer"), document.get("decisions")
    if not isinstance(reviewer, str) or not 0 < len(reviewer.strip()) <= _LONGEST_TEXT:
        raise BadInputError("The decisions do not say who reviewed.")
    if not isinstance(given, list) or not given:
        raise BadInputError("The review decides on no image.")
    decisions = tuple(_decision(number, each) for number, each in enumerate(given, start=1))
    _refuse_contradictions(decisions)
    return FaceReview(reviewer.strip(), decisions)


def _decision(number: int, given: object) -> FaceDecision:
    told = given if isinstance(given, dict) else {}
    digest, reason = told.get("sha256"), told.get("reason", "")
    try:
        verdict = Verdict(str(told.get("decision")))
        decided_at = datetime.fromisoformat(str(told.get("decided_at")))
    except ValueError as error:
        raise BadInputError(
            f"Decision {number} is neither accept nor reject, or does not say when it was made."
        ) from error
    if not isinstance(digest, str) or not _SHA256.fullmatch(digest) or decided_at.tzinfo is None:
        raise BadInputError(
            f"Decision {number} names no image by its SHA-256, or its time has no zone."
        )
    if not isinstance(reason, str) or len(reason) > _LONGEST_TEXT:
        raise BadInputError(f"The reason of decision {number} is no text of a line.")
    if verdict is Verdict.REJECT and len(reason.strip()) < _SHORTEST_REASON:
        raise BadInputError(f"Decision {number} rejects an image and gives no reason.")
    return FaceDecision(digest, verdict, " ".join(reason.split()), decided_at)


def _refuse_contradictions(decisions: Sequence[FaceDecision]) -> None:
    verdicts: dict[str, Verdict] = {}
    for each in decisions:
        if verdicts.setdefault(each.sha256, each.verdict) is not each.verdict:
            raise BadInputError("The review both accepts and rejects one image. Decide once.")


def as_row(decision: FaceDecision) -> dict[str, object]:
    """Return a decision for output."""
    return asdict(decision) | {"decided_at": decision.decided_at.isoformat()}
