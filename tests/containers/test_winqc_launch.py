"""A launch of winqc through the sandbox's Container Service, and the local program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import catalog
from commands.service_json import command_to_json
from qc import phantom
from tests.builders.container_lab import Lab
from tests.builders.quality_images import write_nifti

pytest.importorskip("PIL", reason="winxnat[winqc] is not installed here")

STEM = "sub-01_task-rest_bold"


@pytest.fixture
def run_path(tmp_path: Path) -> Path:
    """A BOLD run as a BIDS tree has it."""
    series = phantom.bold_run(10, (24, 24, 10), noise=5.0).astype(np.int16)
    return write_nifti(tmp_path / "in" / "sub-01" / "func" / f"{STEM}.nii.gz", series)


def test_a_member_measures_the_bids_of_a_session(sandbox: Any, run_path: Path):
    """The values are kept with the session as WINQC."""
    lab = Lab(sandbox.url, sandbox.admin_password)
    files = {f"BIDS/sub-01/func/{STEM}.nii.gz": run_path.read_bytes()}
    session = lab.session(files=files)
    member = lab.person()
    wrapper = lab.command(command_to_json(catalog.find("winqc"), creation=True))

    number = lab.launch(member, wrapper, session, name="session")

    assert lab.end(member, number) == ("Complete", "")
    owner = f"/data/experiments/{session}"
    record = json.loads(lab.read(owner, "WINQC/sub-01_task-rest_desc-winqc_bold.json") or b"")
    assert record["size_t"] == 10
    assert record["fd_mean"] < 0.1
    assert lab.read(owner, "WINQC/sub-01_task-rest_desc-winqc_bold_mosaic.png")
    assert json.loads(lab.read(owner, "WINQC_REPORT/report.json") or b"")["facts"]["measured"] == 1


def test_an_owner_measures_a_project_in_one_run(sandbox: Any, run_path: Path):
    """Two sessions with BIDS, one without: table, page and count are kept with the project."""
    lab = Lab(sandbox.url, sandbox.admin_password)
    content = run_path.read_bytes()
    for label in ("E1", "E2"):
        path = f"BIDS/sub-{label}/func/sub-{label}_task-rest_bold.nii.gz"
        lab.session(label, subject=label, files={path: content})
    lab.session("E3", subject="E3", scans={"1": {"DICOM/1.dcm": b"x"}})
    owner = lab.person("owner")
    document = command_to_json(catalog.find("winqc"), creation=True)
    document["xnat"] = [each for each in document["xnat"] if each["name"] == "winqc-project"]
    wrapper = lab.command({**document, "name": "winqc-of-a-project"})

    number = lab.launch(owner, wrapper, f"/archive/projects/{lab.project}", name="project")

    assert lab.end(owner, number) == ("Complete", "")
    project = f"/data/projects/{lab.project}"
    table = (lab.read(project, "WINQC/winqc.tsv") or b"").decode().splitlines()
    assert [line.partition("\t")[0] for line in table] == [
        *("image", "sub-E1_task-rest_bold", "sub-E2_task-rest_bold")
    ]
    assert lab.read(project, "WINQC/group.html")
    facts = json.loads(lab.read(project, "WINQC_REPORT/report.json") or b"")["facts"]
    assert (facts["measured"], facts["sessions_without_bids"]) == (2, 1)


def test_the_local_program_measures_a_folder(run_path: Path, tmp_path: Path):
    """Exit code 0, a record, progress on the standard error, the summary on the standard output."""
    answer = subprocess.run(
        [
            *(sys.executable, "-m", "containers.entrypoint", "winqc"),
            *(str(run_path.parents[2]), str(tmp_path / "out"), "--defaced=no"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.returncode, answer.stderr) == (0, f"Image 1 of 1: measuring {STEM}.\n")
    assert answer.stdout.startswith("1 images and recordings were measured")
    path = tmp_path / "out" / "qc" / "sub-01_task-rest_desc-winqc_bold.json"
    assert json.loads(path.read_text())["provenance"]["defaced"] is False
