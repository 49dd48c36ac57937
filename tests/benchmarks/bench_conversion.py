"""What dicom-to-bids costs on top of plain dcm2niix, on the same files in one run.

Run: ``.venv/bin/python tests/benchmarks/bench_conversion.py [SESSION_FOLDER]``

Prints wall times and their ratio (best of three). The validator is counted apart, because dcm2niix
does nothing like it. Ratios within one run can be compared between machines; seconds cannot.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dcm2niix

from containers.dicom_to_bids.validate import validate
from deploy.demo_session import write_demo_session

ROUNDS = 3


def best_s(work: Callable[[Path], object]) -> float:
    """Return the best wall time of some rounds, each in an empty folder."""
    times = []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            began = time.perf_counter()
            work(Path(name))
            times.append(time.perf_counter() - began)
    return min(times)


def plain(session: Path) -> Callable[[Path], object]:
    """Return a run of dcm2niix alone, compressing as the step does."""
    return lambda out: subprocess.run(
        [dcm2niix.bin, "-z", "y", "-f", "%s_%d", "-o", str(out), str(session)],
        check=True,
        capture_output=True,
    )


def step(session: Path) -> Callable[[Path], object]:
    """Return a run of the whole command, as a process of its own."""
    return lambda out: subprocess.run(
        [sys.executable, "-m", "containers.entrypoint", "dicom-to-bids", session, out],
        check=True,
        capture_output=True,
    )


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        if len(sys.argv) > 1:
            session = Path(sys.argv[1])
        else:
            session = write_demo_session(Path(name) / "dicom").folder
        result = Path(name) / "result"
        result.mkdir()
        step(session)(result)
        files = sum(path.is_file() for path in session.rglob("*"))
        plain_s = best_s(plain(session))
        step_s = best_s(step(session))
        validator_s = best_s(lambda scratch: validate(result / "bids", scratch))
        shutil.rmtree(result)
    print(
        json.dumps(
            {
                "files": files,
                "dcm2niix_s": round(plain_s, 2),
                "step_s": round(step_s, 2),
                "validator_s": round(validator_s, 2),
                "ratio_without_validator": round((step_s - validator_s) / plain_s, 2),
            }
        )
    )


if __name__ == "__main__":
    main()
