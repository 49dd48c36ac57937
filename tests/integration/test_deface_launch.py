"""Defacing started on a server, over HTTP: what is kept beside a session, and what a refusal is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from commands.catalog import find
from commands.service_json import command_to_json
from tests.builders.container_lab import Lab
from tests.builders.heads import NOSE, MadeHead, average_head, write_head
from xnat_client.commands_registry import ensure_registered, find_available
from xnat_client.errors import RunFailedError
from xnat_client.launch import Patience, launch_command, watch_run
from xnat_client.resources import download_resource
from xnat_client.session import connect
from xnat_client.sessions import find_session
from xnat_client.transport import Transport

QUICK = Patience(first_pause_s=0.2, longest_pause_s=1.0, timeout_s=240)
BIDS_NAME = "sub-01/anat/sub-01_T1w.nii"


@pytest.fixture
def transport(sandbox: Any) -> Iterator[Transport]:
    """A connection to the sandbox."""
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as server:
        yield server.transport


def _lab(sandbox: Any, path: Path) -> Lab:
    made = Lab(sandbox.url, sandbox.admin_password)
    made.session(files={f"BIDS/{BIDS_NAME}": path.read_bytes()})
    return made


def _launch(transport: Transport, lab: Lab) -> Any:
    ensure_registered(transport, command_to_json(find("deface")), [lab.project])
    session = find_session(transport, lab.project, "E1")
    wrapper = find_available(transport, lab.project, session.xsi_type, "deface-session")
    run = launch_command(transport, wrapper, session, {"fast": "true"})
    watch_run(transport, run, patience=QUICK, progress=lambda _state: None)
    return session


def test_a_launch_keeps_the_defaced_image_beside_the_session(
    sandbox: Any, transport: Transport, tmp_path: Path
) -> None:
    """The resource DEFACED holds the image, and where the nose was there is nothing."""
    head = average_head()
    lab = _lab(sandbox, write_head(tmp_path / "a.nii", head))

    session = _launch(transport, lab)

    download_resource(transport, session, "DEFACED", tmp_path / "got")
    found = next((tmp_path / "got").rglob("sub-01_T1w.nii"))
    assert np.asarray(nib.load(found).dataobj)[head.index_of(NOSE)] == 0


def test_a_refused_image_is_not_kept(sandbox: Any, transport: Transport, tmp_path: Path) -> None:
    """The run of an image without a head fails, and there is no resource DEFACED."""
    noise = np.random.default_rng(1).normal(100, 20, (88, 125, 125)).astype(np.float32)
    lab = _lab(sandbox, write_head(tmp_path / "a.nii", MadeHead(noise)))

    with pytest.raises(RunFailedError):
        _launch(transport, lab)

    session = find_session(transport, lab.project, "E1")
    answer = transport.get_json(
        f"{session.path}/resources", doing="list resources", query={"format": "json"}
    )
    labels = {row["label"] for row in answer["ResultSet"]["Result"]}
    assert "DEFACED" not in labels
