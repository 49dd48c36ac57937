"""Servers whose anonymisation script rewrites headers: what is proved then, and what is not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from xnat_client.resources import RemoteFile
from xnat_client.transport import Transport
from xnat_client.upload.dicom_file import DicomFile, read_dicom_file
from xnat_client.upload.rewritten import Content, Proof, match_rewritten

from .conftest import Reply, ScriptedServer, write_dicom_file

SCRIPT = 'version "6.1"\n(0010,0010) := "ANON"\n-(0010,0030)\n'


def _now(work: Callable[[], Content]) -> Future[Content]:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work)


def _remote(server: ScriptedServer, name: str, path: Path) -> RemoteFile:
    content = path.read_bytes()
    server.answer("GET", f"/data/{name}", Reply(body=content))
    digest = hashlib.md5(content).hexdigest()  # noqa: S324  # XNAT's digest
    return RemoteFile(name, f"/data/{name}", len(content), digest, "DICOM")


def _sent(path: Path, position: int = 1) -> DicomFile:
    return read_dicom_file(path, position)


def _proofs(
    transport: Transport, images: list[DicomFile], held: list[RemoteFile]
) -> dict[int, Proof]:
    proved = match_rewritten(transport, images, held, _now)
    return {one.image.position: one.proof for one in proved}


@pytest.mark.parametrize("syntax", ["as it is", ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_other_header_same_pixels(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, syntax: str
) -> None:
    """A name that pydicom changed leaves the image data provable, not the MD5."""
    path = write_dicom_file(tmp_path / "a.dcm")
    if syntax != "as it is":
        image = pydicom.dcmread(path)
        image.PixelData = bytes(len(image.PixelData))  # the same in each byte order
        image.file_meta.TransferSyntaxUID = syntax
        pydicom.dcmwrite(
            path, image, implicit_vr=syntax == ImplicitVRLittleEndian,
            little_endian=syntax != ExplicitVRBigEndian,
        )  # fmt: skip
    image = pydicom.dcmread(path)
    image.PatientName = "Another^And^Longer"
    changed = tmp_path / "b.dcm"
    image.save_as(changed)

    proofs = _proofs(transport, [_sent(path)], [_remote(scripted, "b", changed)])

    assert proofs == {1: Proof.IMAGE_DATA}


def test_one_pixel_changed_is_no_proof(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """With the right UID but one other bit in the image data, nothing is proved."""
    path = write_dicom_file(tmp_path / "a.dcm")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    changed = tmp_path / "b.dcm"
    changed.write_bytes(content)

    assert _proofs(transport, [_sent(path)], [_remote(scripted, "b", changed)]) == {}


def test_new_uids_are_matched_by_their_pixels(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """Two images with new UIDs are found by their data, each once; a third file is not taken."""
    paths = [write_dicom_file(tmp_path / f"{n}.dcm", instance=n) for n in (1, 2, 3)]
    held = []
    for n, path in enumerate(paths[:2], start=1):
        image = pydicom.dcmread(path)
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = f"1.2.840.9.{n}"
        image.save_as(tmp_path / f"new{n}.dcm")
        held.append(_remote(scripted, f"new{n}", tmp_path / f"new{n}.dcm"))

    proofs = _proofs(transport, [_sent(path, n) for n, path in enumerate(paths, 1)], held)

    assert proofs == {1: Proof.IMAGE_DATA, 2: Proof.IMAGE_DATA}


def test_file_without_image_data_is_never_called_verified(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A report that was rewritten is found by its UID, and the proof says just that."""
    path = write_dicom_file(tmp_path / "a.dcm")
    report = pydicom.dcmread(path)
    for element in [*report.group_dataset(0x0028), *report.group_dataset(0x7FE0)]:
        del report[element.tag]
    report.Modality = "SR"
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.save_as(path)
    report.PatientName = "Another"
    report.save_as(tmp_path / "b.dcm")

    proofs = _proofs(transport, [_sent(path)], [_remote(scripted, "b", tmp_path / "b.dcm")])

    assert proofs == {1: Proof.UID}


# On the sandbox, which applies scripts as XNAT does ---------------------------------------------


@pytest.fixture
def project(sandbox: Any) -> str:
    name = f"R{uuid.uuid4().hex[:10]}"
    auth = (sandbox.admin_user, sandbox.admin_password)
    requests.put(
        f"{sandbox.url}/data/projects/{name}",
        {"xsiType": "xnat:projectData"},
        auth=auth,
        timeout=60,
    ).raise_for_status()
    return name


def _set_script(sandbox: Any, project: str, script: str) -> None:
    answer = requests.put(
        f"{sandbox.url}/xapi/anonymize/projects/{project}", script, timeout=60,
        auth=(sandbox.admin_user, sandbox.admin_password),
        headers={"Content-Type": "text/plain"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text


def _upload(sandbox: Any, project: str, folder: Path, *more: str) -> Any:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()", "upload"]
    own = {"XNAT_USER": sandbox.admin_user, "XNAT_PASS": sandbox.admin_password,
           "XDG_STATE_HOME": str(folder.parent / "state")}  # fmt: skip
    done = subprocess.run(
        [*program, str(folder), "--project", project, "--subject", "S1", "--session", "E1",
         "--server", sandbox.url, "--ledger", str(folder.parent / "ledger"), *more],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        env={**os.environ, **own},
    )  # fmt: skip
    assert done.stdout, done.stderr
    return done


def test_rewritten_session_is_confirmed_as_what_it_is(
    sandbox: Any, project: str, tmp_path: Path
) -> None:
    """The receipt says that headers were rewritten; a second run sends nothing again."""
    _set_script(sandbox, project, SCRIPT)
    for n in (1, 2, 3):
        write_dicom_file(tmp_path / "data" / f"{n}", instance=n)

    first = json.loads(
        _upload(sandbox, project, tmp_path / "data", "--json").stdout.splitlines()[-1]
    )
    again = _upload(sandbox, project, tmp_path / "data")

    assert (first["exit_code"], first["files_confirmed"], first["files_rewritten"]) == (0, 0, 3)
    session = first["sessions"][0]["session_id"]
    proofs = [json.loads(line)["proof"] for line in (tmp_path / "ledger").read_text().splitlines()]
    assert proofs == ["image data"] * 3
    requested = (sandbox.root / "requests.log").read_text().splitlines()
    read_back = [line for line in requested if f" GET /data/experiments/{session}/scans/3/" in line]
    assert len(read_back) == 3  # by the first run; the second one relies on the list
    assert again.returncode == 0
    assert "0 were sent now" in again.stdout
    assert "3 files have another header there" in again.stdout


def test_script_that_rejects_files_is_no_success(
    sandbox: Any, project: str, tmp_path: Path
) -> None:
    """Where a script drops one of three files, the session is not confirmed and the code is 5."""
    _set_script(sandbox, project, SCRIPT + '(0020,0013) = "2" ? reject\n')
    for n in (1, 2, 3):
        write_dicom_file(tmp_path / "data" / f"{n}", instance=n)

    done = _upload(sandbox, project, tmp_path / "data")

    assert done.returncode == 5
    assert "of 3 files 1 were not found again" in done.stderr
