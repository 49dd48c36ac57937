"""Looks at the entries of a tree in several processes, which share one compiled search.

The processes are forked, so that known strings never pass through a pipe or a file. Not here:
which entries there are (``check``), and how one is looked at.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path

from containers.check_identity.inspector import Inspector
from containers.check_identity.result import Ledger
from containers.contract import OutOfResourcesError
from containers.workers import begin_worker

Entry = tuple[Path, bool]
"""A path, and whether it is a folder."""
_FEWEST_FOR_PROCESSES = 64
_CHUNK = 32
_current: list[_Work] = []
"""The work of this process."""


@dataclass(frozen=True, slots=True)
class Part:
    """What came of some entries."""

    ledger: Ledger
    bytes_searched: int = 0
    left_out: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Work:
    inspector: Inspector
    inspect: Callable[[Entry, Inspector], None]


def worker_count() -> int:
    """Return how many processes may run at a time here; one where they cannot be forked."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def inspect_all(
    entries: Sequence[Entry],
    inspector: Inspector,
    inspect: Callable[[Entry, Inspector], None],
    workers: int,
) -> Iterator[Part]:
    """Look at all entries and yield what came of them, in their order.

    Parameters
    ----------
    inspector : Inspector
        Its ledger's key is used in all processes, so that digests agree.
    inspect : callable
        Looks at one entry with an inspector.

    Raises
    ------
    OutOfResourcesError
        A process was killed, which the system does when memory runs out.
    """
    _current[:] = [_Work(inspector, inspect)]
    if workers < 2 or len(entries) < _FEWEST_FOR_PROCESSES:  # noqa: PLR2004 - one is this process
        try:
            yield _inspect_part(entries)
        finally:
            _current.clear()
        return
    chunks = [entries[at : at + _CHUNK] for at in range(0, len(entries), _CHUNK)]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(
        workers, mp_context=context, initializer=begin_worker, initargs=(os.getpid(),)
    ) as pool:
        try:
            yield from pool.map(_inspect_part, chunks)
        except BrokenProcessPool:
            raise OutOfResourcesError(
                "Cannot check the folder: a process of the check was killed from outside, as the "
                "system does when memory runs out. Give it more memory."
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            _current.clear()


def _inspect_part(entries: Sequence[Entry]) -> Part:
    work = _current[0]
    inspector = work.inspector
    inspector.begin_part()
    for entry in entries:
        work.inspect(entry, inspector)
    return Part(inspector.ledger, inspector.bytes_searched, inspector.left_out, inspector.kinds)
