"""How long lists and searches take on a site of 1,000 and of 10,000 sessions of ten scans each.

Run: ``.venv/bin/python tests/benchmarks/bench_listings.py [sessions ...]``

The site is written straight into the database, then asked over HTTP by one client. Figures are
seconds for the whole answer, with the server's processor time for one (which says more on a busy
machine) and the number of bytes; the last columns say how often longer the
answer and its time became from the smallest site to the largest. A list that grows with the site
should grow as its answer does, one object's answer not at all.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import requests

from deploy import sandbox_process
from deploy.sandbox.store import Store, now_text

ROUNDS = 15
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


@dataclass(frozen=True)
class Measured:
    """Sorted times of the whole answers, processor time of one (all in s), bytes of one."""

    times: list[float]
    processor_s: float
    size: int


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _measure(session: requests.Session, pid: int, url: str, body: str | None) -> Measured:
    times, size, before = [], 0, 0.0
    for round_ in range(ROUNDS + 1):
        if round_ == 1:
            before = _processor_s(pid)
        began = time.perf_counter()
        answer = session.request("GET" if body is None else "POST", url, data=body)
        times.append(time.perf_counter() - began)
        answer.raise_for_status()
        size = len(answer.content)
    worked = (_processor_s(pid) - before) / ROUNDS
    return Measured(sorted(times[1:]), worked, size)  # the first warms up


def measure(sessions: int) -> dict[str, Measured]:
    """Return the figures of each answer on a site of so many sessions."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "sandbox"
        server = sandbox_process.start(root, engine="process")
        try:
            fill_site(root, sessions)
            with requests.Session() as session:
                session.trust_env = False
                session.auth = ("admin", sandbox_process.admin_password(root))
                found = {
                    what: _measure(session, server.pid, f"{server.url}{path}", None)
                    for what, path in LISTS.items()
                }
                found["search of sessions (csv)"] = _measure(
                    session, server.pid, f"{server.url}/data/search?format=csv", SEARCH
                )
        finally:
            sandbox_process.stop(root)
    return found


def main() -> None:
    """Measure each site and print the figures."""
    sites = sorted(int(text) for text in sys.argv[1:]) or [1_000, 10_000]
    found = {sessions: measure(sessions) for sessions in sites}
    for sessions, answers in found.items():
        print(f"\n{sessions} sessions, {sessions * SCANS} scans; {ROUNDS} rounds")
        for what, each in answers.items():
            p50, p95 = statistics.median(each.times), statistics.quantiles(each.times, n=20)[-1]
            print(f"  {what:42} p50 {p50:.3f}  p95 {p95:.3f}", end="")
            print(f"  processor {each.processor_s:.3f}  {each.size:>9} bytes")
    first, last = found[sites[0]], found[sites[-1]]
    print(f"\ngrowth from {sites[0]} to {sites[-1]} sessions")
    for what, each in last.items():
        before = first[what]
        ratio = statistics.median(each.times) / statistics.median(before.times)
        print(f"  {what:42} answer x{each.size / before.size:.1f}  time x{ratio:.1f}")


if __name__ == "__main__":
    main()
