"""Quality on the sandbox: a group page from resources, values found again, ratings kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pyxnat
import requests

from qc.pool import read_record
from xnat_client.errors import UsageError
from xnat_client.quality.values import VARIABLES, plan_changes, session_values
from xnat_client.sessions import Session


@dataclass(frozen=True)
class Study:
    """A project of three sessions, the first two with winqc's resource."""

    sandbox: Any
    project: str
    http: requests.Session

    def run(
        self, *arguments: str, login: tuple[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run the command line, as the administrator if nobody else is named."""
        user, password = login or (self.sandbox.admin_user, self.sandbox.admin_password)
        environment = {
            **os.environ,
            "XNAT_HOST": self.sandbox.url,
            "XNAT_USER": user,
            "XNAT_PASS": password,
        }
        command = [str(Path(sys.executable).with_name("winxnat")), *arguments]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )


def record(modality: str, **measures: float | None) -> str:
    provenance = {
        "software": "winqc", "version": "1.0.0", "pipeline": f"winqc-{modality}/1",
        "protocol_hash": "ab" * 8, "input_sha256": "c" * 64, "defaced": None,
    }  # fmt: skip
    return json.dumps({"bids_meta": {"modality": modality}, "provenance": provenance, **measures})


@pytest.fixture
def study(sandbox: Any) -> Iterator[Study]:
    project = f"Q{uuid.uuid4().hex[:10]}"
    http = requests.Session()
    http.auth = (sandbox.admin_user, sandbox.admin_password)

    def put(path: str, data: bytes = b"", **query: str) -> None:
        answer = http.put(f"{sandbox.url}{path}", params=query, data=data)
        assert answer.status_code in (200, 201), (path, answer.text)

    put(f"/data/projects/{project}", xsiType="xnat:projectData")
    for number, motion in enumerate((0.15, 0.45, None)):
        session = f"/data/projects/{project}/subjects/S{number}/experiments/MR{number}"
        put(f"/data/projects/{project}/subjects/S{number}")
        put(session, xsiType="xnat:mrSessionData")
        if motion is None:
            continue
        files = f"{session}/resources/WINQC/files"
        stem = f"sub-{number}_task-rest_desc-winqc_bold"
        put(
            f"{files}/{stem}.json",
            record("bold", fd_mean=motion, tsnr=None).encode(),
            inbody="true",
        )
        put(f"{files}/other.json", b"{}", inbody="true")
        put(f"{files}/cut.json", record("bold", fd_mean=motion)[:50].encode(), inbody="true")
    yield Study(sandbox, project, http)
    http.close()


def test_values_are_found_again_by_pyxnat_and_search(study: Study):
    """Sessions by motion: the listing of pyxnat and our own search agree."""
    dry = study.run("qc", "values", "--project", study.project, "--dry-run")
    assert "2 of 3 sessions would change" in dry.stdout

    stored = study.run("qc", "values", "--project", study.project)
    assert "2 of 3 sessions written" in stored.stdout

    column = "xnat:mrSessionData/fields/field[name=winqc_bold_fd]/field"
    interface = pyxnat.Interface(
        server=study.sandbox.url,
        user=study.sandbox.admin_user,
        password=study.sandbox.admin_password,
    )
    try:
        rows = interface.array.experiments(
            project_id=study.project,
            experiment_type="xnat:mrSessionData",
            columns=["label", column],
        ).data
    finally:
        interface.disconnect()
    by_label = {row["label"]: row[column.lower()] for row in rows}
    assert by_label == {"MR0": "0.15", "MR1": "0.45", "MR2": ""}
    found = study.run(
        "search", "sessions", "--project", study.project, "--where",
        "variable.winqc_bold_fd>0.3", "--json",
    )  # fmt: skip
    assert [row["session"] for row in json.loads(found.stdout)["rows"]] == ["MR1"]


def test_a_second_time_nothing_is_written(study: Study):
    """What stands there already is not written again."""
    study.run("qc", "values", "--project", study.project)

    again = study.run("qc", "values", "--project", study.project, "--json")

    assert json.loads(again.stdout)["changes"] == {}


def test_the_report_becomes_a_resource_of_the_project(study: Study):
    """The page, the table and the verdicts; a damaged record is named, not swallowed."""
    dry = study.run("qc", "report", "--project", study.project, "--dry-run")
    base = f"{study.sandbox.url}/data/projects/{study.project}/resources"
    assert dry.returncode == 0, dry.stderr
    assert study.http.get(f"{base}/QC_GROUP/files").status_code == 404

    done = study.run("qc", "report", "--project", study.project)

    assert done.returncode == 0, done.stderr
    assert "Left out: MR0: cut.json: The file is truncated" in done.stderr
    assert "no records of quality: 2." in done.stderr
    assert study.http.get(f"{base}/QC_GROUP/files/group.html").text.startswith("<!DOCTYPE html>")
    table = study.http.get(f"{base}/QC_GROUP/files/group.tsv").text.splitlines()
    assert [line.split("\t")[0] for line in table] == [
        "image", "MR0/sub-0_task-rest_bold", "MR1/sub-1_task-rest_bold",
    ]  # fmt: skip


def test_a_rating_is_kept_and_shown(study: Study):
    """Twice rated is two files; the page shows the later one."""
    image = "MR1/sub-1_task-rest_bold"
    rate = ("qc", "rate", image, "--project", study.project)
    first = study.run(*rate, "--decision", "exclude", "--reason", "moves throughout")
    second = study.run(*rate, "--decision", "unsure", "--reason", "second look")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr

    study.run("qc", "report", "--project", study.project)

    base = f"{study.sandbox.url}/data/projects/{study.project}/resources"
    listed = study.http.get(f"{base}/QC_RATINGS/files", params={"format": "json"}).json()
    assert len(listed["ResultSet"]["Result"]) == 2
    page = study.http.get(f"{base}/QC_GROUP/files/group.html").text
    assert f"{study.sandbox.admin_user}: unsure. second look" in page
    assert "moves throughout" not in page


def test_the_rater_is_the_account_and_never_its_token(study: Study):
    """An alias token stands for another name, and is a secret while it lasts."""
    token = study.http.get(f"{study.sandbox.url}/data/services/tokens/issue").json()
    arguments = ("MR1/sub-1_task-rest_bold", "--project", study.project, "--decision", "accept")

    done = study.run("qc", "rate", *arguments, login=(token["alias"], token["secret"]))

    assert done.returncode == 0, done.stderr
    files = f"{study.sandbox.url}/data/projects/{study.project}/resources/QC_RATINGS/files"
    (row,) = study.http.get(files, params={"format": "json"}).json()["ResultSet"]["Result"]
    text = study.http.get(f"{study.sandbox.url}{row['URI']}").text
    assert json.loads(text)["rater"] == study.sandbox.admin_user
    assert token["alias"] not in text


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("rate", "MR0/none", "--decision", "accept"), 2, "no record of such an image"),
        (("rate", "MR9/x", "--decision", "accept"), 5, "no session"),
        (("rate", "MR0/sub-0_task-rest_bold", "--decision", "exclude"), 2, "needs a reason"),
        (("values", "--session", "MR9"), 5, "no session"),
    ],
)
def test_bad_input_is_one_sentence(study: Study, arguments: tuple[str, ...], code: int, words: str):
    """And nothing is stored."""
    done = study.run("qc", *arguments, "--project", study.project)

    assert done.returncode == code
    assert words in done.stderr


def test_local_folders_make_a_page_without_a_server(study: Study, tmp_path: Path):
    """The page of local folders needs no XNAT."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sub-1_desc-winqc_bold.json").write_text(record("bold", fd_mean=0.1))

    done = study.run("qc", "group", str(tmp_path / "in"), "--out", str(tmp_path / "out"))

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "group.html").is_file()
    empty = study.run("qc", "group", str(tmp_path / "out" / "x"), "--out", str(tmp_path / "no"))
    assert (empty.returncode, (tmp_path / "no").exists()) == (3, False)


def test_a_session_is_as_good_as_its_worst_image():
    """The largest motion and the smallest tSNR of two runs."""
    rows = [
        read_record("a", record("bold", fd_mean=0.1, tsnr=50.0)),
        read_record("b", record("bold", fd_mean=0.3, tsnr=70.0)),
    ]

    values = session_values(rows)

    assert values == {"winqc_version": "1.0.0", "winqc_bold_fd": "0.3", "winqc_bold_tsnr": "50"}


def test_names_of_variables_are_short():
    """XNAT loses values of columns whose names are longer than 63 characters."""
    assert max(len(f"mriqcsub_{one.name}") for one in VARIABLES) < 24


@pytest.mark.parametrize("project", ["../../users", "P 1", "P?x=1"])
def test_what_is_no_projects_id_gets_into_no_address(project: str):
    """It is refused before anything is asked, so no connection is needed here."""
    session = Session("XNAT_E1", "MR1", project, "XNAT_S1", "xnat:mrSessionData")

    with pytest.raises(UsageError) as refused:
        plan_changes(None, project, {}, [session])

    assert project not in str(refused.value)
