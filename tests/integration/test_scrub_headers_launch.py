"""Scrubbing started on a server, and the script for XNAT's import, both over HTTP."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from commands.catalog import find
from commands.service_json import command_to_json
from containers.scrub_headers.import_script import import_script
from containers.scrub_headers.profile import load_profile, profile_names
from deploy.demo_session import PLANTED, write_demo_session
from tests.builders.bids_conversion import all_bytes
from tests.builders.dicom_images import image, zipped
from xnat_client.commands_registry import ensure_registered, find_available
from xnat_client.launch import Patience, launch_command, watch_run
from xnat_client.projects import create_project
from xnat_client.resources import download_resource
from xnat_client.session import connect
from xnat_client.sessions import find_session
from xnat_client.transport import Transport
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

QUICK = Patience(first_pause_s=0.1, longest_pause_s=0.5, timeout_s=120)


@pytest.fixture
def transport(sandbox: Any) -> Iterator[Transport]:
    """A connection to the sandbox."""
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as server:
        yield server.transport


@pytest.fixture
def project(transport: Transport) -> str:
    """A private project of the test's own."""
    name = f"T{uuid.uuid4().hex[:10]}"
    create_project(transport, name)
    return name


@pytest.fixture
def few(tmp_path: Path) -> Path:
    """One file of each series of the made session."""
    whole = write_demo_session(tmp_path / "whole").folder
    folder = tmp_path / "few"
    folder.mkdir()
    for series in sorted(path for path in whole.iterdir() if path.is_dir()):
        first = min(path for path in series.rglob("*") if path.is_file())
        shutil.copy(first, folder / f"{series.name}.dcm")
    return folder


def test_launched_on_a_session_it_keeps_a_clean_copy_beside_it(
    transport: Transport, project: str, few: Path, tmp_path: Path
):
    """A launch without any key leaves the resource SCRUBBED, in which no identity is left."""
    study = choose_study(scan_folder(few))
    upload_session(transport, study, UploadTarget(project, "S1", "E1"))
    ensure_registered(transport, command_to_json(find("scrub-headers")), [project])
    session = find_session(transport, project, "E1")
    wrapper = find_available(transport, project, session.xsi_type, "scrub-headers")

    run = launch_command(transport, wrapper, session, {"subject-label": "P017"})
    watch_run(transport, run, patience=QUICK, progress=lambda _state: None)

    download_resource(transport, session, "SCRUBBED", tmp_path / "copy")
    files = all_bytes(tmp_path / "copy")
    everything = b"\n".join(name.encode() + content for name, content in files.items())
    images = [pydicom.dcmread(BytesIO(each)) for n, each in files.items() if n.endswith(".dcm")]
    assert len(images) == len(list(few.iterdir()))
    assert {each.PatientID for each in images} == {"P017"}
    assert not [key for key, value in PLANTED.items() if value.encode() in everything]


@pytest.mark.parametrize("profile", profile_names())
def test_exported_script_is_accepted_and_deletes_identities(
    sandbox: Any, project: str, profile: str
):
    """The server takes the script over its own route, and applies it to what arrives."""
    session = requests.Session()
    session.auth = (sandbox.admin_user, sandbox.admin_password)
    script = import_script(load_profile(profile))

    stored = session.put(
        f"{sandbox.url}/xapi/anonymize/projects/{project}",
        data=script,
        headers={"Content-Type": "text/plain"},
        timeout=30,
    )
    content = zipped(
        image(PatientBirthDate="19700101", PatientAddress="Hidden Lane", AccessionNumber="HIDDEN7")
    )
    sent = session.post(
        f"{sandbox.url}/data/services/import",
        params={"dest": f"/archive/projects/{project}/subjects/S1/experiments/E1"},
        data=content,
        headers={"Content-Type": "application/zip"},
        timeout=60,
    )

    assert stored.status_code == 200, stored.text
    assert sent.status_code == 200, sent.text
    listed = session.get(
        f"{sandbox.url}{sent.text.strip()}/scans/1/resources/DICOM/files",
        params={"format": "json"},
        timeout=30,
    ).json()["ResultSet"]["Result"]
    files = [session.get(f"{sandbox.url}{row['URI']}", timeout=30).content for row in listed]
    assert len(files) == 1
    for planted in (b"19700101", b"Hidden Lane", b"HIDDEN7"):
        assert planted not in files[0]
    assert pydicom.dcmread(BytesIO(files[0])).PatientName == "S1"
