"""A session of EEG on the sandbox, from its upload to its BIDS data set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import catalog
from commands.service_json import command_to_json
from tests.builders import recordings as planted
from tests.builders.container_lab import Lab

pytest.importorskip("mne_bids", reason="winxnat[eeg-to-bids] is not installed here")


@pytest.fixture
def lab(sandbox: Any) -> Lab:
    return Lab(sandbox.url, sandbox.admin_password)


def eeg_session(lab: Lab, folder: Path) -> str:
    """Make a session of EEG with a BrainVision recording as its scan 1; return its ID."""
    planted.write_brainvision(folder, f"{planted.NAME}_rest")
    base = f"/data/projects/{lab.project}/subjects/S-1"
    lab.put(f"{base}?xsiType=xnat:subjectData")
    session = lab.put(f"{base}/experiments/E_1?xsiType=xnat:eegSessionData").text
    lab.put(f"/data/experiments/{session}/scans/1?xsiType=xnat:eegScanData&type=EEG")
    for path in sorted(folder.iterdir()):
        lab.file(f"/data/experiments/{session}/scans/1", f"EEG/{path.name}", path.read_bytes())
    return session


@pytest.mark.slow
def test_a_member_converts_a_session_twice(lab: Lab, tmp_path: Path):
    """A launch gives a valid data set without identities; the next leaves its result alone."""
    session = eeg_session(lab, tmp_path)
    member = lab.person()
    wrapper = lab.command(command_to_json(catalog.find("eeg-to-bids"), creation=True))
    owner = f"/data/experiments/{session}"
    trees = []

    for _run in range(2):
        number = lab.launch(member, wrapper, session, name="session")
        assert lab.end(member, number) == ("Complete", "")
        names = ("vhdr", "vmrk", "eeg", "json")
        stem = "sub-S1/ses-E1/eeg/sub-S1_ses-E1_task-rest_eeg"
        trees.append([lab.read(owner, f"BIDS/{stem}.{name}") for name in names])

    assert trees[0] == trees[1]
    assert None not in trees[0]
    assert not any(planted.NAME.encode() in (content or b"") for content in trees[0])
    report = json.loads(lab.read(owner, "BIDS_REPORT/report.json") or b"")
    assert report["facts"]["validator_errors"] == 0
