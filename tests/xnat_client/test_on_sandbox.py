"""The client against the sandbox: a real server process that refuses what XNAT refuses."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from xnat_client.errors import (
    BadInputError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    NotLoggedInError,
)
from xnat_client.projects import Accessibility, create_project, get_accessibility, list_projects
from xnat_client.resources import download_resource, list_resources, list_scan_files
from xnat_client.session import XnatServer, connect
from xnat_client.sessions import find_session, list_scans, list_sessions
from xnat_client.transport import Transport
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

from .conftest import WriteDicom

MARKS = ("Marked", "MARKED", "Person", "19700131")


@pytest.fixture
def server(sandbox: Any) -> Iterator[XnatServer]:
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened


@pytest.fixture
def transport(server: XnatServer) -> Transport:
    return server.transport


@pytest.fixture
def project_id(transport: Transport) -> str:
    """A private project of the test's own."""
    name = f"T{uuid.uuid4().hex[:10]}"
    create_project(transport, name)
    return name


@pytest.fixture
def target(project_id: str) -> UploadTarget:
    return UploadTarget(project_id, "S1", "E1")


def _winxnat(sandbox: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
    own = {"XNAT_USER": sandbox.admin_user, "XNAT_PASS": sandbox.admin_password}
    return subprocess.run(
        [*program, *arguments, "--server", sandbox.url],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        env={**os.environ, **own},
    )  # fmt: skip


def _put_file(sandbox: Any, path: str, content: bytes) -> None:
    """Store a file by another client than ours."""
    answer = requests.put(
        f"{sandbox.url}{path}",
        data=content,
        headers={"Content-Type": "application/octet-stream"},
        auth=(sandbox.admin_user, sandbox.admin_password),
        timeout=30,
    )
    answer.raise_for_status()


def test_wrong_password(sandbox: Any) -> None:
    """The server's 401 becomes a NotLoggedInError."""
    with pytest.raises(NotLoggedInError):
        connect(sandbox.url, sandbox.admin_user, "wrong")


def test_new_project_is_private(transport: Transport, project_id: str, server: XnatServer) -> None:
    """The project is private by our own reading and by xnatpy's, and is in the list."""
    assert get_accessibility(transport, project_id) is Accessibility.PRIVATE
    assert project_id in [one.project_id for one in list_projects(transport)]
    text = server.xnat.get(f"/data/projects/{project_id}/accessibility").text
    assert text.strip() == "private"


def test_project_is_not_created_twice(transport: Transport, project_id: str) -> None:
    """XNAT would change the existing one; the client refuses."""
    with pytest.raises(ConflictError):
        create_project(transport, project_id)


def test_ended_session_is_renewed(sandbox: Any, transport: Transport) -> None:
    """After the server has forgotten the cookie, the next call logs in again by itself."""
    before = list_projects(transport)
    cookie = dict(transport._cookies)
    requests.delete(f"{sandbox.url}/data/JSESSION", cookies=cookie, timeout=30).raise_for_status()

    assert list_projects(transport) == before
    assert dict(transport._cookies) != cookie


def test_upload_is_proved_and_listed(
    transport: Transport, target: UploadTarget, dicom_folder: Path
) -> None:
    """All files of both scans are on the server, bit by bit, under the labels asked for."""
    study = choose_study(scan_folder(dicom_folder))

    receipt = upload_session(transport, study, target)

    [session] = list_sessions(transport, target.project_id)
    assert (session.label, session.subject_label, session.xsi_type) == (
        "E1",
        "S1",
        "xnat:mrSessionData",
    )
    assert [one.scan_id for one in list_scans(transport, session)] == ["3", "4"]
    assert (receipt.files_sent, receipt.files_verified) == (5, 5)
    assert receipt.session_id == session.session_id
    held = {one.md5 for one in list_scan_files(transport, session)}
    paths = list(dicom_folder.rglob("IM*"))
    assert held == {hashlib.md5(path.read_bytes()).hexdigest() for path in paths}  # noqa: S324  # XNAT's digest


def test_receipt_can_be_recomputed(
    transport: Transport, target: UploadTarget, dicom_folder: Path
) -> None:
    """The receipt's checksum is that of md5sum's sorted output, and holds no identity."""
    receipt = upload_session(transport, choose_study(scan_folder(dicom_folder)), target)

    files = [str(one) for one in dicom_folder.rglob("IM*")]
    sums = subprocess.run(["md5sum", *files], capture_output=True, text=True, check=True).stdout
    digests = "".join(sorted(f"{line[:32]}\n" for line in sums.splitlines()))
    assert receipt.content_sha256 == hashlib.sha256(digests.encode()).hexdigest()
    text = json.dumps(receipt.as_json())
    assert not [mark for mark in MARKS if mark in text]


def test_source_names_do_not_reach_the_server(
    transport: Transport, target: UploadTarget, dicom_folder: Path
) -> None:
    """Folder and file names of the source, which hold a name here, are nowhere on the server."""
    upload_session(transport, choose_study(scan_folder(dicom_folder)), target)

    session = find_session(transport, target.project_id, "E1")
    names = " ".join(one.uri for one in list_scan_files(transport, session))
    assert not [mark for mark in (*MARKS, "IM0001") if mark in names]


def test_existing_session_is_a_conflict(
    transport: Transport, target: UploadTarget, dicom_folder: Path
) -> None:
    """A second upload to the same label changes nothing, whatever the case of the label."""
    study = choose_study(scan_folder(dicom_folder))
    upload_session(transport, study, target)

    for label in ("E1", "e1"):
        with pytest.raises(ConflictError):
            upload_session(transport, study, UploadTarget(target.project_id, "S1", label))

    assert len(list_sessions(transport, target.project_id)) == 1


def test_append_adds_what_is_missing(
    transport: Transport, target: UploadTarget, dicom_folder: Path, write_dicom: WriteDicom
) -> None:
    """With append, only new files travel; repeating it sends nothing and proves all."""
    upload_session(transport, choose_study(scan_folder(dicom_folder)), target)
    write_dicom(dicom_folder / "later", series=4, instance=9)
    write_dicom(dicom_folder / "later still", series=8, instance=1)
    study = choose_study(scan_folder(dicom_folder))

    second = upload_session(transport, study, target, append=True)
    third = upload_session(transport, study, target, append=True)

    assert (second.files_sent, second.files_verified) == (2, 7)
    assert (third.files_sent, third.files_verified) == (0, 7)
    session = find_session(transport, target.project_id, "E1")
    assert len(list_scan_files(transport, session)) == 7


def test_append_to_another_subject_is_a_conflict(
    transport: Transport, target: UploadTarget, dicom_folder: Path
) -> None:
    """Files are not added to a session that belongs to somebody else."""
    study = choose_study(scan_folder(dicom_folder))
    upload_session(transport, study, target)

    with pytest.raises(ConflictError, match="another subject"):
        upload_session(transport, study, UploadTarget(target.project_id, "S2", "E1"), append=True)


def test_unknown_project(transport: Transport, dicom_folder: Path) -> None:
    """The project is looked for before anything is sent."""
    study = choose_study(scan_folder(dicom_folder))

    with pytest.raises(NotFoundError, match="no project NOSUCH"):
        upload_session(transport, study, UploadTarget("NOSUCH", "S1", "E1"))


def test_file_that_changes_during_the_upload_leaves_nothing(
    transport: Transport, target: UploadTarget, dicom_folder: Path
) -> None:
    """The request is broken off, and the server keeps no half session."""
    study = choose_study(scan_folder(dicom_folder))
    victim = study.files[-1].path
    victim.write_bytes(victim.read_bytes()[:-1] + b"\xff")

    with pytest.raises(BadInputError, match="changed during the upload"):
        upload_session(transport, study, target)

    assert list_sessions(transport, target.project_id) == ()


@pytest.mark.samples
def test_real_session_round_trip(
    transport: Transport, target: UploadTarget, samples: Path, tmp_path: Path
) -> None:
    """A real session goes up, is proved, and one of its scans comes back byte for byte."""
    source = samples / "dicom" / "siemens_ve11_multiecho_human"
    receipt = upload_session(transport, choose_study(scan_folder(source)), target)
    session = find_session(transport, target.project_id, "E1")

    download_resource(transport, session, "DICOM", tmp_path / "out", scan_id="2")

    assert receipt.files_verified == 27
    sent = sorted(one.read_bytes() for one in (source / "SCANS" / "2").rglob("*.dcm"))
    assert sorted(one.read_bytes() for one in (tmp_path / "out").rglob("*.dcm")) == sent


def test_memory_stays_small_for_a_large_body(sandbox: Any, project_id: str) -> None:
    """A body of 300 MB from a generator is sent without being held in memory."""
    code = f"""
import resource, sys
from xnat_client.session import connect
from xnat_client.exchange import StreamBody
block = bytes(1 << 20)
with connect({sandbox.url!r}, {sandbox.admin_user!r}, sys.stdin.read()) as server:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    body = StreamBody(lambda: (block for _ in range(300)), 300 << 20)
    server.transport.request(
        "PUT", "/data/projects/{project_id}/resources/BIG/files/big.bin", doing="send", body=body
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=sandbox.admin_password, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 30_000  # kB


def test_fetch_command_brings_a_resource(
    sandbox: Any,
    transport: Transport,
    target: UploadTarget,
    dicom_folder: Path,
    tmp_path: Path,
) -> None:
    """What another client stored is fetched, found right on a second call, and repaired."""
    upload_session(transport, choose_study(scan_folder(dicom_folder)), target)
    session = find_session(transport, target.project_id, "E1")
    for name, content in (("README", b"hello\n"), ("sub-01/anat/a.json", b"{}")):
        _put_file(sandbox, f"{session.path}/resources/BIDS/files/{name}", content)
    assert "BIDS" in [one.label for one in list_resources(transport, session)]
    arguments = [
        "fetch", str(tmp_path / "out"), "--project", target.project_id, "--session", "E1",
        "--resource", "BIDS", "--json",
    ]  # fmt: skip

    first = json.loads(_winxnat(sandbox, *arguments).stdout)
    (tmp_path / "out" / "README").write_bytes(b"hullo\n")
    second = json.loads(_winxnat(sandbox, *arguments).stdout)

    assert (first["files_fetched"], first["files_already_there"]) == (2, 0)
    assert (second["files_fetched"], second["files_already_there"]) == (1, 1)
    assert (tmp_path / "out" / "README").read_bytes() == b"hello\n"
    assert (tmp_path / "out" / "sub-01" / "anat" / "a.json").read_bytes() == b"{}"


def test_upload_command(sandbox: Any, project_id: str, dicom_folder: Path, tmp_path: Path) -> None:
    """The program sends and prints the receipt; another upload to the same label is refused."""
    arguments = [
        "upload", str(dicom_folder), "--project", project_id, "--subject", "S1",
        "--session", "E1", "--json",
    ]  # fmt: skip

    first = _winxnat(sandbox, *arguments, "--state", str(tmp_path / "first.sqlite"))
    second = _winxnat(sandbox, *arguments, "--state", str(tmp_path / "second.sqlite"))

    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout.splitlines()[-1])["files_confirmed"] == 5
    assert first.stderr == ""
    assert second.returncode == 3
    assert "exists already" in second.stderr
    assert json.loads(second.stdout)["error"]["exit_code"] == 3


def test_collaborator_may_not_upload(
    sandbox: Any, transport: Transport, project_id: str, dicom_folder: Path
) -> None:
    """An account that may only read gets a NotAllowedError that says whom to ask."""
    login, secret = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    admin = (sandbox.admin_user, sandbox.admin_password)
    account = {
        "username": login, "password": secret, "enabled": True, "verified": True,
        "firstName": "T", "lastName": "T", "email": f"{login}@example.org",
    }  # fmt: skip
    made = requests.post(f"{sandbox.url}/xapi/users", json=account, auth=admin, timeout=30)
    made.raise_for_status()
    requests.put(
        f"{sandbox.url}/data/projects/{project_id}/users/Collaborators/{login}",
        auth=admin,
        timeout=30,
    ).raise_for_status()
    study = choose_study(scan_folder(dicom_folder))

    with (
        connect(sandbox.url, login, secret) as reader,
        pytest.raises(NotAllowedError, match="Ask an owner"),
    ):
        upload_session(reader.transport, study, UploadTarget(project_id, "S1", "E1"))

    assert list_sessions(transport, project_id) == ()


def test_account_is_whom_an_alias_token_stands_for(sandbox: Any, transport: Transport) -> None:
    """What is kept of a login is the person's name, never the token's."""
    token = transport.get_json("/data/services/tokens/issue", doing="get a token")

    with connect(sandbox.url, token["alias"], token["secret"]) as server:
        assert server.account == sandbox.admin_user
