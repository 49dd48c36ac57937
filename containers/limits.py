"""What this container may use: memory and processors as its control group says, or the machine's.

A program that takes the machine's memory for its own is killed in the middle where its container
has less. Not here: what any step needs.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_CGROUP_DIR = Path("/sys/fs/cgroup")
_NO_LIMIT = "max"
_OLD_NO_LIMIT_BYTES = 1 << 60
_USABLE_SHARE = 0.9
"""The rest is for the interpreter and what the kernel keeps of files."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Memory in gigabytes (10^9 bytes) and whole processors, at least 1 of each."""

    memory_gb: float
    processors: int


def read_limits(cgroup_dir: Path = _CGROUP_DIR) -> Limits:
    """Return what may be used, by version 2 or 1 of control groups, or by the machine."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    given = _bytes_of(cgroup_dir / "memory.max") or _bytes_of(
        cgroup_dir / "memory" / "memory.limit_in_bytes"
    )
    memory = min(machine, given) if given else machine
    processors = min(
        len(os.sched_getaffinity(0)), _quota(cgroup_dir) or len(os.sched_getaffinity(0))
    )
    return Limits(max(1.0, round(memory * _USABLE_SHARE / 1e9, 1)), max(1, processors))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _bytes_of(path: Path) -> int:
    text = _text(path)
    if not text.isdigit() or int(text) >= _OLD_NO_LIMIT_BYTES:
        return 0
    return int(text)


def _quota(cgroup_dir: Path) -> int:
    """Return whole processors of a quota, or 0 where there is none."""
    words = _text(cgroup_dir / "cpu.max").split() or [
        _text(cgroup_dir / "cpu" / "cpu.cfs_quota_us"),
        _text(cgroup_dir / "cpu" / "cpu.cfs_period_us"),
    ]
    if len(words) != 2 or not all(word.isdigit() for word in words) or int(words[1]) == 0:  # noqa: PLR2004  # quota and period
        return 0
    return max(1, int(words[0]) // int(words[1]))
