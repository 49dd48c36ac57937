"""Remembers elements that follow one another, so that a walk passes over them in one step.

A run is used only where the very same bytes stand again, under the same private creator. Not
here: the walk (``dataset``).
"""

from __future__ import annotations

import bisect
import mmap
from typing import NamedTuple

from containers.scrub_headers.judgement import FACT, Known

Data = bytes | mmap.mmap

REMEMBERED_BYTES = 8192
SHORTEST_RUN = 3
_REMEMBERED_RUNS = 2_000
_FEW_CHANGES = 2
_OFTEN = 12
"""An element that changes in more than one of so many datasets ends runs."""


class Run(NamedTuple):
    """Elements one after another, as read and as written."""

    raw: bytes
    clean: bytes
    length: int
    first: int
    last: int
    counts: tuple[tuple[int, int], ...]
    facts: dict[int, bytes]
    creator: str
    edges: list[int]
    tags: list[int]
    parts: list[bytes]
    rules: list[int]

    def begin(self, number: int) -> Run:
        """Return the run of the first so many elements."""
        length, tags, rules = self.edges[number], self.tags[:number], self.rules[:number]
        return self._replace(
            raw=self.raw[:length],
            clean=b"".join(self.parts[:number]),
            length=length,
            last=tags[-1],
            counts=tuple((rule, rules.count(rule)) for rule in set(rules)),
            facts={tag: value for tag, value in self.facts.items() if tag <= tags[-1]},
        )


class RunMemory:
    """The runs of one encoding.

    Attributes
    ----------
    runs : dict
        By the first eight bytes.
    changing : set of int
        Tags of elements that change so often that no run holds them.
    datasets : int
        How many files were walked through.
    """

    def __init__(self) -> None:
        self.runs: dict[bytes, Run] = {}
        self.changing: set[int] = set()
        self.datasets = 0
        self._changes: dict[int, int] = {}

    def here(self, run: Run, data: Data, position: int, limit: int, creator: str) -> Run | None:
        """Return what of a remembered run begins here: the same bytes under the same creator.

        None where not even some elements are the same.
        """
        if position + run.length > limit or run.creator != creator:
            return None
        raw = data[position : position + run.length]
        if raw == run.raw:
            return run
        number = self._learn_change(run, raw)
        return run.begin(number) if number >= SHORTEST_RUN else None

    def _learn_change(self, run: Run, raw: bytes) -> int:
        """Note which element ended a run early, and return its place in the run.

        One that often does ends runs from now on.
        """
        low, high = 0, run.length
        while high - low > 1:
            middle = (low + high) // 2
            if raw[low:middle] == run.raw[low:middle]:
                low = middle
            else:
                high = middle
        place = bisect.bisect_right(run.edges, low) - 1
        tag = run.tags[place]
        number = self._changes[tag] = self._changes.get(tag, 0) + 1
        if number > _FEW_CHANGES and number * _OFTEN > self.datasets:
            self.changing.add(tag)
        return place

    def remember(
        self, data: Data, seen: list[tuple[int, Known]], end: int, creator: str,
        memory: dict[bytes, bytes],
    ) -> None:  # fmt: skip
        """Remember elements that were all seen before; their clean forms are remembered, too."""
        start = seen[0][0]
        if end - start > REMEMBERED_BYTES:
            return
        raw = data[start:end]
        first, last = seen[0][1].tag, seen[-1][1].tag
        edges = [*(position - start for position, _ in seen), end - start]
        facts = {}
        clean: list[bytes] = []
        counts: dict[int, int] = {}
        for place, (_, known) in enumerate(seen):
            element = raw[edges[place] : edges[place + 1]]
            written = memory.get(element)
            if written is None:
                # What was remembered has been let go since.
                return
            clean.append(written)
            counts[known.rule] = counts.get(known.rule, 0) + 1
            if known.kind == FACT:
                skipped = 12 if known.long_form else 8
                facts[known.tag] = element[skipped:]
        if len(self.runs) >= _REMEMBERED_RUNS:
            self.runs.clear()
        self.runs[raw[:8]] = Run(
            raw, b"".join(clean), len(raw), first, last, tuple(counts.items()), facts, creator,
            edges, [known.tag for _, known in seen], clean, [known.rule for _, known in seen],
        )  # fmt: skip
