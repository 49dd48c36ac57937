"""How long lists and searches take on a site of 1,000 and of 10,000 sessions of ten scans each.

Run: ``.venv/bin/python tests/benchmarks/bench_listings.py [sessions ...]``

Each site is written straight into the database of a server of its own, then asked over HTTP by one
client, the sites in turns: whatever else the machine does slows them alike. Figures are seconds for
the whole answer, with the server's processor time for one (which says more on a busy machine) and
the number of bytes; the last columns say how often longer the answer, its time and its processor
time became from the smallest site to the largest. A list that grows with the site should grow as
its answer does, one object's answer not at all. Processor time is counted in hundredths of a
second: of lists that take less than that for all rounds its growth is not printed.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from deploy import sandbox_process
from deploy.sandbox.store import Store, now_text

ROUNDS = 15
_SMALLEST_PROCESSOR_S = 0.1
SCANS = 10
PROJECT = "BENCH"
_TYPE = "xnat:imagescandata"
LISTS = {
    "scans with resources, as dax asks (csv)": (
        f"/REST/archive/experiments?project={PROJECT}&xsiType=xnat:imageSessionData&columns=ID,URI,"
        f"label,subject_label,project,xnat:imagesessiondata/subject_id,{_TYPE}/id,{_TYPE}/type,"
        f"{_TYPE}/quality,{_TYPE}/note,{_TYPE}/frames,{_TYPE}/series_description,"
        f"{_TYPE}/file/label&format=csv"
    ),
    "sessions of the project (json)": f"/data/projects/{PROJECT}/experiments",
    "sessions of the site (json)": "/data/experiments",
    "subjects with demographics (csv)": (
        f"/data/projects/{PROJECT}/subjects?columns=ID,label,gender,yob,last_modified&format=csv"
    ),
    "one page of sessions (json)": "/data/experiments?limit=50&offset=500",
    "sessions by label pattern (json)": f"/data/projects/{PROJECT}/experiments?label=E00012*",
    "projects (json)": "/data/projects",
    "scans of one session (json)": f"/data/projects/{PROJECT}/experiments/E000500/scans",
    "one session (json item)": f"/data/projects/{PROJECT}/experiments/E000500?format=json",
}
SEARCH = f"""<xdat:bundle xmlns:xdat="http://nrg.wustl.edu/security" ID="@bench">
<xdat:root_element_name>xnat:mrSessionData</xdat:root_element_name>
<xdat:search_where method="AND"><xdat:criteria>
<xdat:schema_field>xnat:mrSessionData/PROJECT</xdat:schema_field>
<xdat:comparison_type>=</xdat:comparison_type><xdat:value>{PROJECT}</xdat:value>
</xdat:criteria></xdat:search_where></xdat:bundle>"""


def fill_site(root: Path, sessions: int) -> None:
    """Write a project of sessions, each with a subject, ten scans and a resource for each scan."""
    store, now = Store(root / sandbox_process.DATABASE_FILE_NAME), now_text()
    stamps = (now, "admin", now)
    scan_fields = json.dumps(
        {"type": "T1w", "quality": "usable", "series_description": "t1, mprage", "frames": "176"}
    )
    numbers = range(1, sessions + 1)
    with store.write() as connection:
        for name in (PROJECT, *(f"OTHER{number}" for number in range(50))):
            connection.execute(
                "INSERT INTO project (id, name, secondary_id, accessibility, insert_date,"
                " insert_user, last_modified) VALUES (?, ?, ?, 'private', ?, ?, ?)",
                (name, name, name, *stamps),
            )
        connection.executemany(
            "INSERT INTO subject (id, project, label, fields, insert_date, insert_user,"
            " last_modified) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    f"XNAT_S{n:06}", PROJECT, f"S{n:06}",
                    json.dumps({"demographics/gender": "female", "demographics/yob": "1980"}),
                    *stamps,
                )
                for n in numbers
            ),
        )  # fmt: skip
        connection.executemany(
            "INSERT INTO experiment (id, project, label, xsi_type, subject_id, fields,"
            " insert_date, insert_user, last_modified)"
            " VALUES (?, ?, ?, 'xnat:mrSessionData', ?, ?, ?, ?, ?)",
            (
                (
                    f"XNAT_E{n:06}", PROJECT, f"E{n:06}", f"XNAT_S{n:06}",
                    json.dumps({"date": "2024-01-31", "scanner": "A"}), *stamps,
                )
                for n in numbers
            ),
        )  # fmt: skip
        connection.executemany(
            "INSERT INTO scan (key, session_id, id, xsi_type, fields, insert_date, insert_user,"
            " last_modified) VALUES (?, ?, ?, 'xnat:mrScanData', ?, ?, ?, ?)",
            (
                (n * SCANS + scan, f"XNAT_E{n:06}", str(scan), scan_fields, *stamps)
                for n in numbers
                for scan in range(SCANS)
            ),
        )
        connection.executemany(
            "INSERT INTO resource (owner_kind, owner_id, label, dir, insert_date, insert_user,"
            " last_modified) VALUES ('scan', ?, 'DICOM', ?, ?, ?, ?)",
            (
                (str(key), f"{PROJECT}/arc001/{key}", *stamps)
                for key in range(SCANS, (sessions + 1) * SCANS)
            ),
        )


@dataclass
class Measured:
    """Times of the whole answers, processor time of them together (all in s), bytes of one."""

    times: list[float] = field(default_factory=list)
    processor_s: float = 0.0
    size: int = 0


@dataclass(frozen=True)
class Site:
    """A running server with so many sessions, and a client of it."""

    sessions: int
    url: str
    pid: int
    client: requests.Session

    def ask(self, path: str, body: str | None) -> Measured:
        """Ask for a list once."""
        before, began = _processor_s(self.pid), time.perf_counter()
        method = "GET" if body is None else "POST"
        answer = self.client.request(method, f"{self.url}{path}", data=body)
        took, worked = time.perf_counter() - began, _processor_s(self.pid) - before
        answer.raise_for_status()
        return Measured([took], worked, len(answer.content))


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_site(sessions: int) -> Iterator[Site]:
    """Start a server and fill it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "sandbox"
        server = sandbox_process.start(root, engine="process")
        try:
            fill_site(root, sessions)
            with requests.Session() as client:
                client.trust_env = False
                client.auth = ("admin", sandbox_process.admin_password(root))
                yield Site(sessions, server.url, server.pid, client)
        finally:
            sandbox_process.stop(root)


def measure(sites: Sequence[Site], path: str, body: str | None) -> list[Measured]:
    """Return what a list takes on each site, asked in turns."""
    found = [Measured() for _ in sites]
    for round_ in range(ROUNDS + 1):
        for site, into in zip(sites, found, strict=True):
            one = site.ask(path, body)
            if round_:  # the first warms up
                into.times += one.times
                into.processor_s += one.processor_s
                into.size = one.size
    return found


def main() -> None:
    """Measure each list on all sites and print the figures."""
    sizes = sorted(int(text) for text in sys.argv[1:]) or [1_000, 10_000]
    print(f"Sites of {sizes} sessions with {SCANS} scans each; {ROUNDS} rounds")
    asked = {what: (path, None) for what, path in LISTS.items()}
    asked["search of sessions (csv)"] = ("/data/search?format=csv", SEARCH)
    with ExitStack() as stack:
        sites = [stack.enter_context(running_site(sessions)) for sessions in sizes]
        for what, (path, body) in asked.items():
            print(what)
            _print(sizes, measure(sites, path, body))


def _print(sizes: Sequence[int], found: Sequence[Measured]) -> None:
    for sessions, each in zip(sizes, found, strict=True):
        p50, p95 = statistics.median(each.times), statistics.quantiles(each.times, n=20)[-1]
        print(f"  {sessions:>7} sessions: p50 {p50:.3f}  p95 {p95:.3f}", end="")
        print(f"  processor {each.processor_s / ROUNDS:.3f}  {each.size:>9} bytes")
    first, last = found[0], found[-1]
    ratio = statistics.median(last.times) / statistics.median(first.times)
    print(f"  growth: answer x{last.size / first.size:.1f}  time x{ratio:.1f}", end="")
    if first.processor_s > _SMALLEST_PROCESSOR_S:
        print(f"  processor x{last.processor_s / first.processor_s:.1f}", end="")
    print()


if __name__ == "__main__":
    main()
