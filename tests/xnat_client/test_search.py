"""Searching: what fits and only that, on the sandbox and beside pyxnat."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests

from xnat_client.conditions import Condition, split_condition
from xnat_client.errors import NotFoundError, UsageError
from xnat_client.search.documents import search_document
from xnat_client.search.finding import read_conditions, search
from xnat_client.session import connect
from xnat_client.transport import Transport

from .conftest import Reply, ScriptedServer

HOSTILE = "x' OR '1'='1 <a>&\"</a>; DROP TABLE x; --%"


@dataclass(frozen=True)
class Study:
    """Two projects: A with two MR sessions (one shared into B) and an EEG session, B with none."""

    transport: Transport
    a: str
    b: str


@pytest.fixture(scope="module")
def study(sandbox: Any) -> Iterator[Study]:
    a, b = (f"S{uuid.uuid4().hex[:10]}{end}" for end in "AB")
    http = requests.Session()
    http.auth = (sandbox.admin_user, sandbox.admin_password)

    def put(path: str, **query: str) -> None:
        answer = http.put(f"{sandbox.url}{path}", params=query)
        assert answer.status_code in (200, 201), (path, answer.text)

    for name in (a, b):
        put(f"/data/projects/{name}", xsiType="xnat:projectData")
    base = f"/data/projects/{a}/subjects"
    variable = "xnat:subjectData/fields/field[name=cohort]/field"
    put(f"{base}/S1", gender="female", **{variable: "patients"})
    put(f"{base}/S2", gender="male", **{variable: "controls"})
    for subject, number, day in (("S1", "1", "2026-01-31"), ("S2", "2", "2026-02-15")):
        session = f"{base}/{subject}/experiments/MR{number}"
        put(session, xsiType="xnat:mrSessionData", date=day, scanner=f"Scanner {number}")
        for scan, kind, quality in (("2", "T1w", "usable"), ("10", "BOLD", "unusable")):
            query = {"type": kind, "quality": quality if number == "1" else "usable"}
            put(f"{session}/scans/{scan}", xsiType="xnat:mrScanData", **query)
    put(f"{base}/S2/experiments/EEG1", xsiType="xnat:eegSessionData", date="2026-03-01")
    put(f"{base}/S1/experiments/MR1/projects/{b}", label="SHARED1")
    answer = http.put(
        f"{sandbox.url}/xapi/custom-fields/projects/{a}/subjects/S1/fields", json={"handScore": 7}
    )
    assert answer.status_code == 200, answer.text
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield Study(opened.transport, a, b)
    http.close()


@pytest.mark.parametrize(
    ("level", "where", "column", "expected"),
    [
        ("subjects", [], "subject", ["S1", "S2"]),
        ("subjects", ["gender=FEMALE"], "subject", ["S1"]),
        ("subjects", ["variable.Cohort=controls"], "subject", ["S2"]),
        ("subjects", ["field.handscore>=7"], "subject", ["S1"]),
        ("subjects", ["field.handScore!=7"], "subject", ["S2"]),
        ("sessions", [], "session", ["MR1", "EEG1", "MR2"]),
        ("sessions", ["type=mr"], "session", ["MR1", "MR2"]),
        ("sessions", ["type=xnat:eegSessionData"], "session", ["EEG1"]),
        ("sessions", ["type~^mr"], "session", ["MR1", "MR2"]),
        ("sessions", ["date>2026-01-31", "date<=2026-02-15"], "session", ["MR2"]),
        ("sessions", ["inserted>=2026-01-01", "scanner~2$"], "session", ["MR2"]),
        ("sessions", ["sequence=bold", "quality=usable"], "session", ["MR2"]),
        ("sessions", ["quality!=unusable"], "session", ["EEG1", "MR2"]),
        ("sessions", ["label=mr1"], "session", ["MR1"]),
        ("sessions", ["subject.variable.cohort=patients"], "session", ["MR1"]),
        ("scans", ["subject.gender=male", "sequence=T1w"], "session", ["MR2"]),
        ("sessions", ["variable.cohort=patients"], "session", []),
        ("scans", ["session=MR1"], "scan", ["2", "10"]),
        ("scans", ["quality=unusable"], "sequence", ["BOLD"]),
        ("scans", ["scan>2"], "session", ["MR1", "MR2"]),
        ("scans", ["type=eeg"], "scan", []),
        ("sessions", [f"session={HOSTILE}"], "session", []),
        ("subjects", [f"subject={HOSTILE}"], "subject", []),
    ],
)
def test_what_fits_is_found(
    study: Study, level: str, where: list[str], column: str, expected: list[str]
) -> None:
    """In the project, each condition leaves the rows that were made to fit it, in order."""
    found = search(study.transport, level, projects=[study.a], where=where)

    assert [row[column] for row in found.as_dicts()] == expected


@pytest.mark.parametrize(
    ("level", "where", "column", "expected"),
    [
        ("projects", [], "project", ["A"]),
        ("subjects", ["project={a}"], "subject", ["S1", "S2"]),
        ("sessions", ["project={a}", "type=mr", "date>=2026-02-01"], "session", ["MR2"]),
        ("sessions", ["project={a}", "INSERT_USER=admin"], "session", ["MR1", "EEG1", "MR2"]),
        ("sessions", ["project={a}", f"session={HOSTILE}"], "session", []),
        ("scans", ["project={a}", "sequence=T1w"], "session", ["MR1", "MR2"]),
    ],
)
def test_the_whole_site_is_searched(
    study: Study, level: str, where: list[str], column: str, expected: list[str]
) -> None:
    """Without a project the same questions go to all of the site (XNAT's search and its pages)."""
    texts = [text.replace("{a}", study.a) for text in where]
    if level == "projects":
        texts, expected = [f"project={study.a}"], [study.a]

    found = search(study.transport, level, where=texts)

    assert [row[column] for row in found.as_dicts()] == expected


def test_shared_session_has_the_label_of_the_project(study: Study) -> None:
    """A session that is shared into a project is found there, under its label there."""
    found = search(study.transport, "sessions", projects=[study.b])

    assert [row["session"] for row in found.as_dicts()] == ["SHARED1"]


def test_pyxnat_finds_the_same(sandbox: Any, study: Study) -> None:
    """Pyxnat's search for the same project and day returns the same sessions."""
    pyxnat = pytest.importorskip("pyxnat", reason="needs winxnat[pyxnat]")
    interface = pyxnat.Interface(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    )
    columns = ["xnat:mrSessionData/SESSION_ID", "xnat:mrSessionData/PROJECT"]
    criteria = [
        ("xnat:mrSessionData/PROJECT", "=", study.a),
        ("xnat:mrSessionData/DATE", ">=", "2026-02-01"),
        "AND",
    ]
    theirs = interface.select("xnat:mrSessionData", columns).where(criteria)
    interface.disconnect()

    where = [f"project={study.a}", "type=mr", "date>=2026-02-01"]
    ours = search(study.transport, "sessions", where=where, columns=["id", "project"])

    assert len(ours.rows) == 1
    assert {(row["session_id"], row["project"]) for row in theirs} == set(ours.rows)


def test_document_is_what_pyxnat_sends() -> None:
    """For a question that both can put, the search document has pyxnat's elements and texts."""
    core = pytest.importorskip("pyxnat.core.search", reason="needs winxnat[pyxnat]")
    theirs = core.build_search_document(
        "xnat:subjectData", ["xnat:subjectData/SUBJECT_ID"],
        [("xnat:subjectData/PROJECT", "LIKE", "P1"), "AND"],
    )  # fmt: skip

    ours = search_document(
        "xnat:subjectData", ["SUBJECT_ID"], [("PROJECT", Condition("project", "=", "P1"))]
    )

    def texts(document: bytes) -> list[tuple[str, str]]:
        found = [(node.tag, (node.text or "").strip()) for node in ET.fromstring(document).iter()]  # noqa: S314  # made here
        # pyxnat puts the type before the header; ours is the field alone.
        return [(tag, text) for tag, text in found if not tag.endswith("header")]

    assert texts(ours) == texts(theirs)


def test_no_value_becomes_markup_or_sql() -> None:
    """Whatever is asked for, the document has one criterion whose text holds no such sign."""
    document = search_document(
        "xnat:subjectData", ["SUBJECT_ID"], [("SUBJECT_LABEL", Condition("subject", "=", HOSTILE))]
    )

    values = [node.text or "" for node in ET.fromstring(document).iter() if "value" in node.tag]  # noqa: S314  # made here
    assert len(values) == 1
    assert not set(values[0]) & set("'\"<>&;\\=")


def _search_reply(labels: list[str], total: int) -> Reply:
    rows = [{"project": "P", "subject_id": f"X{n}", "subject_label": n} for n in labels]
    return Reply.json({"ResultSet": {"ID": "kept1", "totalRecords": str(total), "Result": rows}})


def test_pages_are_put_together(scripted: ScriptedServer, transport: Transport) -> None:
    """Rows are read on from where the last page ended until all are there."""
    scripted.answer("POST", "/data/search", _search_reply(["S1", "S2"], 3))
    scripted.answer("GET", "/data/search/kept1", _search_reply(["S3"], 3))

    found = search(transport, "subjects")

    assert [row["subject"] for row in found.as_dicts()] == ["S1", "S2", "S3"]
    assert scripted.requests_to("/data/search/kept1")[0].query["offset"] == ["2"]


def test_pages_that_never_end_do(scripted: ScriptedServer, transport: Transport) -> None:
    """A server that repeats its page is asked no more often than its own count needs."""
    scripted.answer("POST", "/data/search", _search_reply(["S1", "S2"], 5))
    scripted.answer("GET", "/data/search/kept1", _search_reply(["S1", "S2"], 5))

    found = search(transport, "subjects")

    assert len(found.rows) == 2
    assert len(scripted.requests_to("/data/search/kept1")) == 2


@pytest.mark.parametrize(
    ("level", "where", "near"),
    [
        ("sessions", "datee>=2026-01-01", "date"),
        ("scans", "qualty=usable", "quality"),
        ("subjects", "handednes=left", "handedness"),
        ("projects", "titel=x", "title"),
    ],
)
def test_unknown_field_names_those_near_to_it(level: str, where: str, near: str) -> None:
    """A slip of the pen is answered with the field that was meant."""
    with pytest.raises(UsageError, match=f"Near to it: {near}"):
        read_conditions(level, [where])


def test_display_field_that_the_server_has_not(study: Study) -> None:
    """Fields in capitals are the server's; one that it has not is named with its nearest."""
    with pytest.raises(UsageError, match="Near to it: INSERT_USER"):
        search(study.transport, "sessions", where=["INSERT_USR=admin"])


@pytest.mark.parametrize("text", ["date", "=x", "date ? x", "variable.a]/b=1", "note~("])
def test_what_is_no_condition(text: str) -> None:
    """It is refused with a sentence before anything is asked."""
    with pytest.raises(UsageError):
        read_conditions("scans", [text])


@pytest.mark.parametrize(
    ("text", "cells", "holds"),
    [
        ("a<10", ["9"], True),
        ("a<10", ["9.5"], True),
        ("a<10", ["10"], False),
        ("a<10", [""], False),
        ("a<=2026-01-31", ["2026-01-31 23:59:59.9"], True),
        ("a>2026-01-31", ["2026-01-31 23:59:59.9"], False),
        ("a>2026-01-31", ["2026-02-01 00:00:00"], True),
        ("a=", [""], True),
        ("a!=x", ["X"], False),
        ("a!=x", [""], True),
        ("a~^b.d$", ["BAD"], True),
        ("a!~b", ["abc"], False),
        ("a=x y", ["x y"], True),
    ],
)
def test_conditions(text: str, cells: list[str], holds: bool) -> None:  # noqa: FBT001  # a column of the table
    """Numbers by size, days as days, texts without regard to case."""
    condition = split_condition(text)

    assert condition is not None
    assert condition.holds(cells) is holds


def test_hidden_project_is_said(study: Study) -> None:
    """A project that is not there is an error, not an empty answer."""
    with pytest.raises(NotFoundError, match="no project NOPE"):
        search(study.transport, "sessions", projects=["NOPE"])


def _run(sandbox: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()", "search"]
    own = {"XNAT_USER": sandbox.admin_user, "XNAT_PASS": sandbox.admin_password}
    return subprocess.run(
        [*program, *arguments, "--server", sandbox.url], capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL, timeout=60, env={**os.environ, **own},
    )  # fmt: skip


def test_command_prints_csv_json_and_a_table(sandbox: Any, study: Study) -> None:
    """The same rows in three forms, each as its readers read it; nothing found is no failure."""
    question = ("sessions", "--project", study.a, "--where", "type=mr")

    table = _run(sandbox, *question)
    found = _run(sandbox, *question, "--format", "csv", "--columns", "session,date")
    document = _run(sandbox, *question, "--json", "--limit", "1")
    nothing = _run(sandbox, "scans", "--project", study.a, "--where", "sequence=T9")

    assert table.stdout.splitlines()[1].split()[1:3] == ["S1", "MR1"]
    assert list(csv.reader(io.StringIO(found.stdout))) == [
        ["session", "date"], ["MR1", "2026-01-31"], ["MR2", "2026-02-15"],
    ]  # fmt: skip
    answer = json.loads(document.stdout)
    assert (answer["found"], [row["session"] for row in answer["rows"]]) == (2, ["MR1"])
    assert (nothing.returncode, nothing.stdout) == (
        0, "No scans found that this account may read.\n",
    )  # fmt: skip
