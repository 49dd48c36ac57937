"""What a recording is, what is done to it by which policy, and what is reported of it.

Not here: the formats (one module each) and their dispatch (``find``, ``scrub``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType

from containers.contract import BadInputError
from containers.recordings.dates import shifted, spellings
from containers.recordings.texts import words_of


class RefusedRecordingError(BadInputError):
    """A recording holds something that is not understood, so no copy of it is made."""


class RecordingFormat(Enum):
    """The formats of EEG and MEG recordings that are read and scrubbed."""

    EDF = "EDF"
    BDF = "BDF"
    BRAINVISION = "BrainVision"
    EEGLAB = "EEGLAB"
    FIF = "FIF"
    CTF = "CTF"
    KIT = "KIT"


class DateRule(Enum):
    """What becomes of dates and clock times."""

    KEEP = "keep"
    SHIFT = "shift"
    REMOVE = "remove"


class TextRule(Enum):
    """Which texts of events, channels and electrodes are kept.

    ``VOCABULARY``: those made of known words and codes, and short labels that recur; others
    become ``event-1``, ``event-2`` ... with their times. ``CHECKED``: all that hold no known
    identity, no date, no address and no path.
    """

    VOCABULARY = "vocabulary"
    CHECKED = "checked"


@dataclass(frozen=True, slots=True)
class RecordingPolicy:
    """What may stay in a scrubbed recording.

    Parameters
    ----------
    dates : DateRule
        Dates of measurement. Birth dates always go.
    shift_days : int or None
        Days added to each date; needed with ``DateRule.SHIFT``, the same for all recordings of
        a participant. A date that the format cannot hold after the shift is removed.
    keep_sex, keep_handedness : bool
        Whether these stay where the format has a coded field for them.
    texts : TextRule
        Which free texts stay.

    Raises
    ------
    ValueError
        ``shift_days`` is missing, or given with another rule.
    """

    dates: DateRule = DateRule.REMOVE
    shift_days: int | None = None
    keep_sex: bool = False
    keep_handedness: bool = False
    texts: TextRule = TextRule.VOCABULARY

    def __post_init__(self) -> None:
        """Refuse a shift without a number, and a number without a shift."""
        if (self.dates is DateRule.SHIFT) != (self.shift_days is not None):
            raise ValueError("shift_days belongs to DateRule.SHIFT, and to no other rule")

    def moved(self, moment: datetime | None) -> datetime | None:
        """Return what becomes of a moment of measurement; None if it is removed or unknown."""
        if moment is None or self.dates is DateRule.REMOVE:
            return None
        if self.shift_days is None:
            return moment
        return shifted(moment, self.shift_days)


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording with all files that belong to it.

    ``main`` is the file (the folder, for CTF) by which readers open it; ``files`` are all
    files of it, ``main`` among them unless it is a folder, in the order of their paths;
    split FIF files are in the order of their samples.
    """

    format: RecordingFormat
    main: Path
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class RefusedFile:
    """A file that belongs to no recording that can be used, and why (one sentence)."""

    path: Path
    reason: str


@dataclass(frozen=True, slots=True, repr=False)
class IdentityStrings:
    """Texts of a recording that may identify somebody: in memory only, never printed.

    ``texts`` are names, identifiers and birth dates, whole and by word; ``dates`` are the days
    of measurement in the usual spellings, which stay where the policy keeps dates.
    """

    texts: frozenset[str] = frozenset()
    dates: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        values: Iterable[object],
        births: Iterable[date | None] = (),
        measured: Iterable[date | None] = (),
    ) -> IdentityStrings:
        """Collect values, each as a whole and as its words, without those that say nothing."""
        found: set[str] = set()
        for value in values:
            found |= words_of(str(value or ""))
        for birth in births:
            found |= spellings(birth) if birth else set()
        days = [spellings(day) for day in measured if day]
        return cls(frozenset(found), frozenset().union(*days))

    def __or__(self, other: IdentityStrings) -> IdentityStrings:
        return IdentityStrings(self.texts | other.texts, self.dates | other.dates)

    def __repr__(self) -> str:
        return f"IdentityStrings({len(self.texts)} texts, {len(self.dates)} dates)"


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What was written and what was done, without any value.

    Parameters
    ----------
    main : Path
        The scrubbed counterpart of `Recording.main`.
    outputs : tuple of Path
        All files written.
    changes : Mapping[str, int]
        Place ("EDF patient field", ".hist file") to the number of things removed or replaced
        in it.
    notes : tuple of str
        Sentences for people.
    """

    main: Path
    outputs: tuple[Path, ...]
    changes: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
