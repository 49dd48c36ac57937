"""The identity check as a member starts it: through the sandbox's Container Service."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from commands import catalog
from commands.service_json import command_to_json
from tests.builders.container_lab import Lab
from xnat_client.commands_registry import ensure_registered, find_available
from xnat_client.errors import RunFailedError
from xnat_client.launch import Patience, launch_command, watch_run
from xnat_client.resources import download_resource
from xnat_client.session import connect
from xnat_client.sessions import find_session

QUICK = Patience(first_pause_s=0.1, longest_pause_s=0.5, timeout_s=90)
DOCUMENT = command_to_json(catalog.find("check-identity"), creation=True)
FILES = {"DATA/known.txt": b"name: Zqxpcjlv\n", "DATA/notes.txt": b"by zqxpcjlv\n"}


def test_launch_fails_loudly_or_keeps_the_report(sandbox: Any, tmp_path: Path) -> None:
    """By default an unsafe session fails the run; asked not to fail, it stores the report."""
    lab = Lab(sandbox.url, sandbox.admin_password)
    lab.session(files=FILES)
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as server:
        transport = server.transport
        session = find_session(transport, lab.project, "E1")
        ensure_registered(transport, DOCUMENT, [lab.project])
        found = find_available(transport, lab.project, session.xsi_type, "check-identity")

        with pytest.raises(RunFailedError) as caught:
            watch_run(transport, launch_command(transport, found, session), patience=QUICK)
        kept = launch_command(transport, found, session, {"fail-when-unsafe": "false"})
        watch_run(transport, kept, patience=QUICK)
        download_resource(transport, session, "IDENTITY_REPORT", tmp_path)

    assert "zqxpcjlv" not in caught.value.stderr_tail.lower()
    report = next(tmp_path.rglob("check-identity.json"))
    assert json.loads(report.read_text(encoding="utf-8"))["is_clean"] is False
