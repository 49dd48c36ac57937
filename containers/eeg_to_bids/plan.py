"""Gives each recording its task and its run, so that no two get one name.

Not here: writing the data set (``convert``).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from containers.recordings import IdentityStrings, Recording
from containers.recordings.texts import holds_identity, is_safe_label

UNKNOWN_TASK = "unknown"
_TASK_NAMES = (
    "rest eyesopen eyesclosed oddball mmn p300 n170 assr faces nback flanker stroop gonogo sleep "
    "motor auditory visual noise"
)
_TASK_WORDS = {name: name for name in _TASK_NAMES.split()} | {
    "resting": "rest",
    "restingstate": "rest",
    "rs": "rest",
    "eo": "eyesopen",
    "ec": "eyesclosed",
    "emptyroom": "noise",
}
_NO_WORDS = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Planned:
    """One recording with its name within the data set."""

    number: int
    """From 1, in the order of the paths; the report speaks of a recording by it."""
    recording: Recording
    identity: IdentityStrings
    task: str
    run: int | None


def plan(
    recordings: Sequence[tuple[int, Recording, IdentityStrings]], task: str | None
) -> tuple[Planned, ...]:
    """Name the recordings.

    Parameters
    ----------
    recordings : sequence
        Number, recording and its identities.
    task : str or None
        Letters and digits; the same for all. Without it names of files decide.
    """
    known = IdentityStrings()
    for _number, _recording, identity in recordings:
        known |= identity
    groups: dict[str, list[tuple[int, Recording, IdentityStrings]]] = defaultdict(list)
    for each in recordings:
        chosen = task or _task_of_name(each[1], known)
        groups[chosen].append(each)
    planned = []
    for chosen, members in groups.items():
        runs = _runs([recording for _number, recording, _identity in members])
        for (number, recording, identity), run in zip(members, runs, strict=True):
            planned.append(Planned(number, recording, identity, chosen, run))
    return tuple(sorted(planned, key=lambda each: each.number))


def _task_of_name(recording: Recording, known: IdentityStrings) -> str:
    stem = recording.main.stem
    told = re.search(r"(?:^|[_-])task-([A-Za-z0-9]+)", stem)
    if told and is_safe_label(told[1], known.texts) and len(told[1]) <= 40:  # noqa: PLR2004  # characters of a label
        return told[1]
    words = [word.casefold() for word in _NO_WORDS.split(stem)]
    pairs = [first + second for first, second in pairwise(words)]
    for word in (*pairs, *words):
        if word in _TASK_WORDS and not holds_identity(word, known.texts):
            return _TASK_WORDS[word]
    return UNKNOWN_TASK


def _runs(recordings: Sequence[Recording]) -> list[int | None]:
    """Return runs as the names of the files give them if all do, else in their order."""
    if len(recordings) == 1:
        return [None]
    told = [re.search(r"(?:^|[_-])run-?0*(\d{1,3})(?!\d)", each.main.stem) for each in recordings]
    numbers = [int(found[1]) for found in told if found]
    if len(numbers) == len(recordings) == len(set(numbers)):
        return list(numbers)
    return list(range(1, len(recordings) + 1))
