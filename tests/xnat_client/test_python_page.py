"""The examples of docs/python.md run as they stand, and the three ways do the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from .conftest import write_dicom_file

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCKS = {
    (task, way): code
    for task, way, code in re.findall(
        r"```python\n# (\w+): (\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL
    )
}
WAYS = ("winxnat", "xnatpy", "pyxnat")
CONTENT = {"a.nii.gz": b"picture", "a.json": b"{}"}


@pytest.fixture(scope="module")
def pilot(sandbox: Any) -> Any:
    """The project of the page: two MR sessions, one of them old, and an EEG session."""
    http = requests.Session()
    http.auth = (sandbox.admin_user, sandbox.admin_password)

    def put(path: str, data: bytes | None = None, **query: str) -> None:
        answer = http.put(f"{sandbox.url}/data/projects/PILOT{path}", data, params=query)
        assert answer.status_code in (200, 201), answer.text

    put("", xsiType="xnat:projectData")
    for label, kind, day in (
        ("S01_MR1", "mr", "2026-02-03"), ("S01_MR0", "mr", "2025-02-03"),
        ("S01_EEG", "eeg", "2026-02-03"),
    ):  # fmt: skip
        put(f"/subjects/S01/experiments/{label}", xsiType=f"xnat:{kind}SessionData", date=day)
    scan = "/subjects/S01/experiments/S01_MR1/scans/1"
    put(scan, xsiType="xnat:mrScanData")
    for name, content in CONTENT.items():
        put(f"{scan}/resources/NIFTI/files/{name}", content, inbody="true")
    http.close()
    return sandbox


def test_page_has_each_task_in_each_way() -> None:
    """Nothing is left out, and nothing is there that is not run."""
    tasks = {"find", "upload", "download"}

    assert set(BLOCKS) == {(task, way) for task in tasks for way in WAYS}
    assert len(re.findall(r"```python", PAGE.read_text())) == len(BLOCKS)


@pytest.mark.parametrize("way", WAYS)
def test_blocks_do_what_the_page_says(pilot: Any, way: str, tmp_path: Path) -> None:
    """Each way finds the one MR session of this year, brings three files, and takes two home."""
    for n in (1, 2, 3):
        write_dicom_file(tmp_path / "dicom" / f"{n}.dcm", instance=n)
    own = {"XNAT_HOST": pilot.url, "XNAT_USER": pilot.admin_user,
           "XNAT_PASS": pilot.admin_password}  # fmt: skip

    # One process for the three, because starting one takes longer than what it does.
    code = "\n".join(BLOCKS[task, way] for task in ("find", "upload", "download"))
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, **own},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["S01_MR1", "3"]
    files = [path for path in (tmp_path / f"{way}-out").rglob("*") if path.is_file()]
    assert {path.name: path.read_bytes() for path in files} == CONTENT
