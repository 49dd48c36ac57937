"""What a check found: findings without secrets, and one outcome for each criterion.

Not here: finding anything (``check``), and showing it to people (``page``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from containers.check_identity.criteria import (
    Criterion,
    Severity,
    all_criteria,
    criteria_version,
)

MAX_PLACES = 100
"""Places listed for each criterion; all are counted."""
_DIGEST_CHARS = 12


class Status(StrEnum):
    """How a criterion stands. Unknown counts as not met."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not-applicable"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was found: a path that is safe to show, and what inside the file.

    ``digest`` is the same for the same text in one run, and tells nothing of the text.
    """

    path: str
    inside: str
    what: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class CriterionOutcome:
    """How one criterion stands; ``count`` counts places, of which ``places`` lists the first."""

    criterion: Criterion
    status: Status
    count: int = 0
    reason: str = ""
    places: tuple[Place, ...] = ()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The outcome of a whole tree."""

    outcomes: tuple[CriterionOutcome, ...]
    file_count: int
    bytes_searched: int
    kinds: dict[str, int]
    known_count: int
    notes: tuple[str, ...] = ()
    version: str = field(default_factory=criteria_version)

    @property
    def unmet(self) -> tuple[CriterionOutcome, ...]:
        """Return the blocking criteria checked here that do not pass."""
        return tuple(
            each
            for each in self.outcomes
            if each.criterion.severity is Severity.BLOCK
            and each.criterion.is_checked_here
            and each.status in {Status.FAIL, Status.UNKNOWN}
        )

    @property
    def is_clean(self) -> bool:
        """Return whether files were checked and no blocking criterion is failed or unknown."""
        return self.file_count > 0 and not self.unmet

    def outcome(self, criterion: int) -> CriterionOutcome:
        """Return the outcome of the criterion of that number."""
        return next(each for each in self.outcomes if each.criterion.id == criterion)

    def to_json(self) -> dict[str, object]:
        """Return the result as a document, in which no value of a file stands."""
        return {
            "criteria_version": self.version,
            "is_clean": self.is_clean,
            "files": self.file_count,
            "bytes_searched": self.bytes_searched,
            "kinds": self.kinds,
            "known_strings": self.known_count,
            "notes": list(self.notes),
            "criteria": [
                {
                    "id": each.criterion.id,
                    "rule": each.criterion.rule,
                    "severity": each.criterion.severity.value,
                    "source": each.criterion.source,
                    "checked_here": each.criterion.is_checked_here,
                    "status": each.status.value,
                    "reason": each.reason,
                    "count": each.count,
                    "places": [
                        {
                            "path": place.path,
                            "inside": place.inside,
                            "what": place.what,
                            "digest": place.digest,
                        }
                        for place in each.places
                    ],
                }
                for each in self.outcomes
            ],
        }


class Ledger:
    """Collects findings; knows a random key of its own for their digests."""

    def __init__(self, key: bytes | None = None) -> None:
        self._key = key or secrets.token_bytes(32)
        self._failed: Counter[int] = Counter()
        self._doubted: Counter[int] = Counter()
        self._applied: set[int] = set()
        self._places: dict[int, list[Place]] = {}
        self._reasons: dict[int, str] = {}

    def digest(self, text: str | bytes) -> str:
        """Return a keyed digest of a text; the key dies with this object."""
        data = text.casefold().encode("utf-8", "surrogatepass") if isinstance(text, str) else text
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()[:_DIGEST_CHARS]

    def apply(self, *criteria: int) -> None:
        """Note that something was held against these criteria."""
        self._applied.update(criteria)

    def beside(self) -> Ledger:
        """Return an empty one with the same key, for a part of the work."""
        return Ledger(self._key)

    def add(self, other: Ledger) -> None:
        """Take over what was collected in a part of the work; parts come in order."""
        self._failed.update(other._failed)
        self._doubted.update(other._doubted)
        self._applied |= other._applied
        self._reasons.update(other._reasons)
        for criterion, places in other._places.items():
            for each in places:
                self._keep(criterion, each)

    def lists_more(self, criterion: int) -> bool:
        """Return whether a further place of a criterion would be listed, not only counted."""
        return len(self._places.get(criterion, ())) < MAX_PLACES

    def fail(self, criterion: int, place: Place | None) -> None:
        """Note that a criterion is not met; without a place it is counted only."""
        self._failed[criterion] += 1
        self._keep(criterion, place)

    def doubt(self, criterion: int, place: Place | None) -> None:
        """Note that it cannot be said whether a criterion is met."""
        self._doubted[criterion] += 1
        self._keep(criterion, place)

    def doubt_all(self, criterion: int, reason: str) -> None:
        """Note a reason, of no one place, for which a criterion cannot be judged."""
        self._doubted[criterion] += 1
        self._reasons[criterion] = reason

    def _keep(self, criterion: int, place: Place | None) -> None:
        kept = self._places.setdefault(criterion, [])
        if place is not None and len(kept) < MAX_PLACES:
            kept.append(place)

    def outcomes(self, chosen: Iterable[int] | None = None) -> tuple[CriterionOutcome, ...]:
        """Return one outcome for each criterion, or for the chosen ones only."""
        wanted = None if chosen is None else set(chosen)
        return tuple(
            self._outcome(each) for each in all_criteria() if wanted is None or each.id in wanted
        )

    def _outcome(self, criterion: Criterion) -> CriterionOutcome:
        number = criterion.id
        if not criterion.is_checked_here:
            reason = f"Not checked here: needs {criterion.needs}."
            return CriterionOutcome(criterion, Status.UNKNOWN, reason=reason)
        count = self._failed[number] + self._doubted[number]
        places = tuple(self._places.get(number, ()))
        reason = self._reasons.get(number, "")
        if self._failed[number]:
            return CriterionOutcome(criterion, Status.FAIL, count, reason, places)
        if self._doubted[number]:
            return CriterionOutcome(criterion, Status.UNKNOWN, count, reason, places)
        status = Status.PASS if number in self._applied else Status.NOT_APPLICABLE
        return CriterionOutcome(criterion, status)
