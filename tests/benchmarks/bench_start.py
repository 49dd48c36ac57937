"""How long a new sandbox takes to its first answer, and how much memory it has when idle.

Run: ``.venv/bin/python tests/benchmarks/bench_start.py [--turns N]``

Each turn starts a server in a new folder as ``winxnat sandbox start`` does, and asks for its front
page. Printed are the best and the median time, the processor time of the server, and its resident
memory after the answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import urllib3

from deploy import sandbox_process


def measure() -> tuple[float, float, float]:
    """Return seconds to the first answer, processor time (s) and memory (MiB) of one server."""
    with tempfile.TemporaryDirectory() as folder, urllib3.PoolManager() as pool:
        root = Path(folder) / "sandbox"
        began = time.perf_counter()
        server = sandbox_process.start(root, engine="process")
        try:
            answer = pool.request("GET", server.url)
            took = time.perf_counter() - began
            if answer.status != 200:
                raise SystemExit(f"The front page answered {answer.status}.")
            fields = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()
            pages = int(Path(f"/proc/{server.pid}/statm").read_text().split()[1])
        finally:
            sandbox_process.stop(root)
    worked = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return took, worked, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=5)
    turns = [measure() for _ in range(parser.parse_args().turns)]
    took, worked, memory = zip(*turns, strict=True)
    print(f"start to first answer: best {min(took):.2f} s, median {statistics.median(took):.2f} s")
    print(f"  processor time of the server {statistics.median(worked):.2f} s")
    print(f"  memory when idle {statistics.median(memory):.0f} MiB")


if __name__ == "__main__":
    main()
