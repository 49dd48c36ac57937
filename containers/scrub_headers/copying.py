"""Copies items by the rules of their kinds, over several processes.

Not here: which items there are (``inventory``), and what comes of all of them (``step``).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar

from containers.contract import OutOfResourcesError
from containers.scrub_headers.bids_files import scrub_json, scrub_numbers, scrub_table
from containers.scrub_headers.bids_text import BidsRules
from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.gather import HeaderIdentity, read_identity
from containers.scrub_headers.inventory import Item, Kind
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.nifti import scrub_nifti, scrub_nifti_pair
from containers.scrub_headers.paths import Naming
from containers.scrub_headers.profile import DatePolicy, Profile, TimePolicy
from containers.scrub_headers.pseudonyms import Pseudonyms
from containers.scrub_headers.values import registered_codes
from containers.workers import begin_worker

_FEWEST_FOR_PROCESSES = 64
_CHUNK = 32
_current: list[Rules] = []
"""The rules of this process."""
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True, repr=False)
class Rules:
    """What all copies of a run have in common."""

    out_dir: Path
    profile: Profile
    pseudonyms: Pseudonyms
    known: KnownIdentities
    naming: Naming


@dataclass(frozen=True, slots=True, repr=False)
class Task:
    """One item, where it goes below the folder of results, and whose it is."""

    item: Item
    target: PurePosixPath
    participant: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an item: the files written, or why there are none."""

    numbers: tuple[int, ...]
    outputs: tuple[str, ...] = ()
    reason: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    is_fault: bool = False


def read_identities(items: Sequence[Item], workers: int) -> dict[int, HeaderIdentity]:
    """Return whose each DICOM item is, by its number."""
    dicom = [item for item in items if item.kind is Kind.DICOM]
    found = over_processes(read_identity, [item.paths[0] for item in dicom], workers)
    return {item.numbers[0]: each for item, each in zip(dicom, found, strict=True)}


def copy_items(rules: Rules, tasks: Sequence[Task], workers: int) -> list[Outcome]:
    """Copy all items and return their outcomes in the same order."""
    for folder in sorted({rules.out_dir / task.target.parent for task in tasks}):
        folder.mkdir(parents=True, exist_ok=True)
    # The rules go to each process once: what is learnt from a file is remembered with them.
    return over_processes(_copy_one, tasks, workers, rules)


def _copy_one(task: Task) -> Outcome:
    return copy_item(_current[0], task)


def copy_item(rules: Rules, task: Task) -> Outcome:
    """Copy one item; a refused one leaves nothing."""
    item, target = task.item, rules.out_dir / task.target
    if item.reason:
        return Outcome(item.numbers, reason=item.reason)
    before = set(target.parent.iterdir()) if item.kind is Kind.RECORDING else set()
    try:
        outputs, changes, notes = _COPIERS[item.kind](rules, task, target)
    except RefusedFileError as error:
        _remove(target, item, before)
        return Outcome(item.numbers, reason=str(error))
    except (OSError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - one file must not take the others with it
        _remove(target, item, before)
        reason = (
            f"The program has a fault that this file shows ({type(error).__name__}); report it."
        )
        return Outcome(item.numbers, reason=reason, is_fault=True)
    names = tuple(sorted(path.relative_to(rules.out_dir).as_posix() for path in outputs))
    return Outcome(item.numbers, names, changes=dict(changes), notes=notes)


def _remove(target: Path, item: Item, before: set[Path]) -> None:
    leftovers = {target}
    if item.kind is Kind.NIFTI_PAIR:
        leftovers.add(_second_of_pair(target, item))
    if item.kind is Kind.RECORDING:
        leftovers = set(target.parent.iterdir()) - before
    for path in leftovers:
        with suppress(FileNotFoundError):
            path.unlink()


_Copied = tuple[tuple[Path, ...], Mapping[str, int], tuple[str, ...]]


def _whose(rules: Rules, task: Task) -> Pseudonyms:
    return _participant(rules.pseudonyms, task.participant, task.label)


@functools.lru_cache(maxsize=256)
def _participant(base: Pseudonyms, participant: str, label: str | None) -> Pseudonyms:
    return base.for_participant(participant, label)


def _dicom(rules: Rules, task: Task, target: Path) -> _Copied:
    report = scrub_dicom(
        task.item.paths[0], target, rules.profile, _whose(rules, task), rules.known
    )
    return (target,), report.counts, report.warnings


def _nifti(_rules: Rules, task: Task, target: Path) -> _Copied:
    return (target,), scrub_nifti(task.item.paths[0], target), ()


def _nifti_pair(_rules: Rules, task: Task, target: Path) -> _Copied:
    first, second = task.item.paths
    second_target = _second_of_pair(target, task.item)
    changes = scrub_nifti_pair(first, second, (target, second_target))
    return (target, second_target), changes, ()


def _second_of_pair(target: Path, item: Item) -> Path:
    ending = ".img.gz" if item.paths[1].name.lower().endswith(".gz") else ".img"
    return target.with_name(target.name.removesuffix(".gz").removesuffix(".hdr") + ending)


def _json(rules: Rules, task: Task, target: Path) -> _Copied:
    return (target,), scrub_json(task.item.paths[0], target, _bids(rules, task)), ()


def _table(rules: Rules, task: Task, target: Path) -> _Copied:
    return (target,), scrub_table(task.item.paths[0], target, _bids(rules, task)), ()


def _numbers(_rules: Rules, task: Task, target: Path) -> _Copied:
    return (target,), scrub_numbers(task.item.paths[0], target), ()


def _bids(rules: Rules, task: Task) -> BidsRules:
    return BidsRules(
        rules.naming,
        rules.known,
        _whose(rules, task),
        keeps_dates=rules.profile.dates is DatePolicy.SHIFT,
        keeps_time=rules.profile.times is TimePolicy.KEEP,
    )


def _recording(rules: Rules, task: Task, target: Path) -> _Copied:
    from containers.recordings import (  # noqa: PLC0415 - an extra of its own
        DateRule,
        IdentityStrings,
        RecordingPolicy,
        RefusedRecordingError,
        scrub_recording,
    )

    if task.item.recording is None:
        raise ValueError("an item of this kind has a recording")
    is_shifted = rules.profile.dates is DatePolicy.SHIFT
    policy = RecordingPolicy(
        DateRule.SHIFT if is_shifted else DateRule.REMOVE,
        _whose(rules, task).offset_days if is_shifted else None,
    )
    try:
        report = scrub_recording(
            task.item.recording,
            target.parent,
            policy,
            stem=target.name.partition(".")[0],
            known=IdentityStrings(rules.known.texts),
        )
    except (RefusedRecordingError, FileExistsError) as error:
        reason = str(error) if isinstance(error, RefusedRecordingError) else "Its name is taken."
        raise RefusedFileError(reason) from None
    return report.outputs, report.changes, report.notes


_Copier = Callable[[Rules, Task, Path], _Copied]
_COPIERS: Mapping[Kind, _Copier] = {
    Kind.DICOM: _dicom,
    Kind.NIFTI: _nifti,
    Kind.NIFTI_PAIR: _nifti_pair,
    Kind.JSON: _json,
    Kind.NUMBERS: _numbers,
    Kind.TABLE: _table,
    Kind.RECORDING: _recording,
}


def worker_count() -> int:
    """Return how many processes may run at a time here."""
    return len(os.sched_getaffinity(0))


def over_processes(
    function: Callable[[_Task], _Result],
    tasks: Sequence[_Task],
    workers: int,
    rules: Rules | None = None,
) -> list[_Result]:
    """Return the result for each task, in order; few tasks are done in this process.

    Raises
    ------
    OutOfResourcesError
        A process was killed, which the system does when memory runs out.
    """
    if workers < 2 or len(tasks) < _FEWEST_FOR_PROCESSES:  # noqa: PLR2004 - one is this process
        _current[:] = [rules] if rules else []
        return [function(task) for task in tasks]
    # Tables that take long to load are loaded once, before the processes part.
    registered_codes()
    with ProcessPoolExecutor(workers, initializer=_begin, initargs=(rules, os.getpid())) as pool:
        try:
            chunks = pool.map(functools.partial(_each, function), _chunks(tasks))
            return [result for chunk in chunks for result in chunk]
        except BrokenProcessPool:
            raise OutOfResourcesError(
                "Cannot copy the files: a process of this step was killed from outside, as the "
                "system does when memory runs out. Give it more memory."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _each(function: Callable[[_Task], _Result], tasks: Sequence[_Task]) -> list[_Result]:
    return [function(task) for task in tasks]


def _chunks(tasks: Sequence[_Task]) -> Iterator[Sequence[_Task]]:
    for start in range(0, len(tasks), _CHUNK):
        yield tasks[start : start + _CHUNK]


def _begin(rules: Rules | None, parent: int) -> None:
    begin_worker(parent)
    _current[:] = [rules] if rules else []
