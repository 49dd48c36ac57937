"""How the group page's time grows with its images: about in proportion, never with their square.

    python -m tests.benchmarks.bench_group

Prints processor time of 100 and 1,000 images of one protocol, taken in turn three times, and the
ratio of the medians: 10 is in proportion, 100 would be the square.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence

import numpy as np

from qc.pool import read_record
from qc.report.group import Entry, make_group_page
from qc.verdicts import JUDGED

_FEW, _MANY, _ROUNDS = 100, 1000, 3


def _entries(count: int) -> list[Entry]:
    numbers = np.random.default_rng(0).normal(1.0, 0.1, (count, len(JUDGED["T1w"])))
    found = []
    for place, values in enumerate(numbers):
        record = {
            **dict(zip(JUDGED["T1w"], map(float, values), strict=True)),
            "bids_meta": {"modality": "T1w"},
            "provenance": {"software": "winqc", "version": "1.0", "protocol_hash": "0" * 16},
        }
        found.append(Entry(read_record(f"image-{place}", json.dumps(record))))
    return found


def _seconds(entries: Sequence[Entry]) -> float:
    began = time.process_time()
    make_group_page("Benchmark", entries)
    return time.process_time() - began


def main() -> None:
    """Print the times and their ratio."""
    few, many = _entries(_FEW), _entries(_MANY)
    rounds = [(_seconds(few), _seconds(many)) for _ in range(_ROUNDS)]
    small, large = (statistics.median(times) for times in zip(*rounds, strict=True))
    print(f"{_FEW} images {small:.3f} s, {_MANY} images {large:.3f} s of CPU: {large / small:.1f}x")


if __name__ == "__main__":
    main()
