"""What a cycle found and did, for people and machines.

Not here: the cycle (``cycle``), printing (``cli``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from xnat_client.sharing.reconcile.drift import Drift
from xnat_client.sharing.vocabulary import Severity


class Done(StrEnum):
    """What a cycle did about a difference."""

    REPAIRED = "repaired"
    PLANNED = "would be repaired"
    FAILED = "not repaired"
    LEFT = "left to a person"


@dataclass(frozen=True)
class Found:
    """A difference, what was done about it, and why that failed."""

    drift: Drift
    done: Done
    trouble: str = ""


@dataclass(frozen=True)
class ServerReport:
    """What a cycle found on one server."""

    alias: str
    requests: int
    found: tuple[Found, ...]
    troubles: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Tell whether everything could be read."""
        return not self.troubles


@dataclass(frozen=True)
class CycleReport:
    """What a cycle found and did.

    Attributes
    ----------
    published : tuple of int
        Releases that were due and are readable now.
    waiting : tuple of str
        Why a release that is due was not published, one sentence each.
    """

    started_at: datetime
    ended_at: datetime
    servers: tuple[ServerReport, ...]
    published: tuple[int, ...] = ()
    waiting: tuple[str, ...] = ()
    seconds: float = 0.0
    exposures_closed: tuple[float, ...] = ()
    """Longest possible length of each exposure that ended in this cycle, in seconds."""

    @property
    def all_found(self) -> tuple[Found, ...]:
        """Every difference of every server."""
        return tuple(one for server in self.servers for one in server.found)

    @property
    def worst(self) -> Severity:
        """The worst that was found, repaired or not."""
        return max((one.drift.severity for one in self.all_found), default=Severity.NONE)

    @property
    def is_complete(self) -> bool:
        """Tell whether every server was read wholly."""
        return all(server.is_complete for server in self.servers)

    def count(self, severity: Severity) -> int:
        """Return how many differences of one severity there were."""
        return sum(one.drift.severity is severity for one in self.all_found)
