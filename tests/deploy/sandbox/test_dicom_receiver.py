"""DICOM receivers: their settings, and what a real sender's files become."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from deploy import sandbox_process
from deploy.sandbox.received import ReceivedFiles
from deploy.sandbox.settings import Settings
from tests.builders.dicom_images import image
from tests.deploy.sandbox.conftest import Api, unique_name

BASE = "/xapi/dicomscp"
PATIENCE_S = 30.0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"dcmtk's {name} is not here; install it: apt-get install dcmtk")
    return path


def _send(port: int, *files: Path, called: str = "XNAT") -> int:
    command = [_tool("storescu"), "-aet", "SENDER", "-aec", called, "127.0.0.1", str(port)]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, check=False)
    return done.returncode


def _images(folder: Path, project: str, *, session: str = "MR1", count: int = 2) -> list[Path]:
    comment = f"Project:{project} Subject:S1 Session:{session}"
    paths = [folder / f"{session}-{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes(
            image(
                InstanceNumber=number + 1,
                PatientComments=comment,
                StudyInstanceUID=generate_uid(entropy_srcs=[project, session]),
            )
        )
    return paths


def _instance(dataset: Dataset) -> int:
    return int(dataset.InstanceNumber)


def _wait(api: Api, path: str, count: int) -> list[dict[str, str]]:
    give_up = time.monotonic() + PATIENCE_S
    while len(rows := api.rows(path)) < count and time.monotonic() < give_up:
        time.sleep(0.05)
    assert len(rows) == count
    return rows


@pytest.fixture
def receiver(admin: Api) -> Iterator[dict[str, Any]]:
    """Return a receiver that listens."""
    answer = admin.post(BASE, json={"aeTitle": "XNAT", "port": _free_port()})
    assert answer.status_code == 200, answer.text
    yield answer.json()
    admin.delete(f"{BASE}/{answer.json()['id']}")


def test_sent_images_become_a_session(
    admin: Api, make_project: Any, receiver: dict[str, Any], tmp_path: Path
) -> None:
    """Images of a real sender are archived unchanged, under the labels in their comments."""
    project = make_project()
    paths = _images(tmp_path, project)

    assert _send(receiver["port"], *paths) == 0

    (session,) = _wait(admin, f"/data/projects/{project}/experiments", 1)
    assert session["label"] == "MR1"
    files = admin.rows(f"/data/experiments/{session['ID']}/scans/1/resources/DICOM/files")
    stored = [dcmread(io.BytesIO(admin.get(file["URI"]).content)) for file in files]
    sent = [dcmread(path) for path in paths]
    assert sorted(stored, key=_instance) == sorted(sent, key=_instance)


def test_a_session_that_is_there_makes_the_new_one_wait(
    admin: Api, make_project: Any, receiver: dict[str, Any], tmp_path: Path
) -> None:
    """What clashes with the archive waits in the prearchive and changes nothing."""
    project = make_project()
    paths = _images(tmp_path, project)

    assert _send(receiver["port"], *paths) == 0
    _wait(admin, f"/data/projects/{project}/experiments", 1)
    assert _send(receiver["port"], *paths) == 0

    (waiting,) = _wait(admin, f"/data/prearchive/projects/{project}", 1)
    assert (waiting["subject"], waiting["name"]) == ("S1", "MR1")
    assert len(admin.rows(f"/data/projects/{project}/experiments")) == 1


def test_echo_and_wrong_title(receiver: dict[str, Any]) -> None:
    """C-ECHO is answered to who calls the receiver by its title, and to nobody else."""
    echo = [_tool("echoscu"), "127.0.0.1", str(receiver["port"])]

    right = subprocess.run([*echo, "-aec", "XNAT"], capture_output=True, check=False)
    wrong = subprocess.run([*echo, "-aec", "OTHER"], capture_output=True, check=False)

    assert right.returncode == 0
    assert wrong.returncode != 0


@pytest.mark.parametrize(
    "case",
    [
        ("SENDER", True),
        ("SENDER@127.0.0.1", True),
        ("127.0.0.0/8", True),
        ("OTHER", False),
        ("OTHER@127.0.0.1", False),
        ("SENDER@10.0.0.1", False),
        ("10.0.0.0/8", False),
    ],
)
def test_whitelist(
    admin: Api,
    make_project: Any,
    receiver: dict[str, Any],
    tmp_path: Path,
    case: tuple[str, bool],
) -> None:
    """Only senders on the whitelist, by title or address, may send."""
    entry, admitted = case
    admin.put(f"{BASE}/{receiver['id']}", json={"whitelistEnabled": True, "whitelist": [entry]})

    sent = _send(receiver["port"], *_images(tmp_path, make_project(), count=1))

    assert (sent == 0) is admitted


def test_received_files_outlive_a_sudden_end(fresh_sandbox: Any, tmp_path: Path) -> None:
    """Files that were accepted and not stored when the server died are stored by the next, once."""
    api = Api(fresh_sandbox.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password)
    api.made("/data/projects/P1", xsiType="xnat:projectData")
    os.kill(fresh_sandbox.pid, signal.SIGKILL)
    give_up = time.monotonic() + PATIENCE_S
    while sandbox_process.running(fresh_sandbox.root) and time.monotonic() < give_up:
        time.sleep(0.05)
    folder = fresh_sandbox.root / "received" / "association"
    folder.mkdir(parents=True)
    for path in _images(tmp_path, "P1"):
        assert ReceivedFiles.keep(folder, path.read_bytes())

    for _ in range(2):
        api.url = sandbox_process.start(fresh_sandbox.root, engine="process").url
        (session,) = api.rows("/data/projects/P1/experiments")
        sandbox_process.stop(fresh_sandbox.root)

    assert session["label"] == "MR1"
    assert not folder.exists()
    assert Settings(fresh_sandbox.root).incoming_dir.exists()


def test_receivers_listen_again_after_a_restart(fresh_sandbox: Any, tmp_path: Path) -> None:
    """Enabled receivers listen when the server starts; disabled ones do not."""
    api = Api(fresh_sandbox.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password)
    api.made("/data/projects/P1", xsiType="xnat:projectData")
    ports = [_free_port() for _ in range(2)]
    numbers = [
        api.post(BASE, json={"aeTitle": "XNAT", "port": port}).json()["id"] for port in ports
    ]
    assert api.put(f"{BASE}/{numbers[1]}/enabled/false").status_code == 200
    sandbox_process.stop(fresh_sandbox.root)
    api.url = sandbox_process.start(fresh_sandbox.root, engine="process").url

    sent = [_send(port, *_images(tmp_path, "P1")) == 0 for port in ports]

    assert sent == [True, False]
    _wait(api, "/data/projects/P1/experiments", 1)


def test_settings_of_a_receiver(admin: Api, receiver: dict[str, Any]) -> None:
    """A receiver is answered as XNAT's bean, and ports and titles are checked."""
    path = f"{BASE}/{receiver['id']}"

    assert admin.get(path).json() == receiver
    assert receiver["identifier"] == "dicomObjectIdentifier"
    assert receiver in admin.get(BASE).json()
    assert admin.get(f"{path}/enabled").json() is True
    assert admin.put(path, json={"aeTitle": "OTHER"}).json()["aeTitle"] == "OTHER"
    again = admin.post(BASE, json={"aeTitle": "XNAT", "port": receiver["port"]})
    assert again.status_code == 409
    assert admin.put(f"{path}/enabled/maybe").status_code == 400
    assert admin.get(f"{BASE}/999999").status_code == 404


def test_port_of_another_program(admin: Api) -> None:
    """A port that another program listens on is refused, and the receiver is not stored."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        answer = admin.post(BASE, json={"aeTitle": "XNAT", "port": port})

    assert answer.status_code == 409, answer.text
    assert port not in [each["port"] for each in admin.get(BASE).json()]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"aeTitle": ""}, 400),
        ({"aeTitle": "A" * 17}, 400),
        ({"port": 0}, 400),
        ({"port": "104"}, 400),
        ({"port": 70_000}, 400),
        ({"enabled": "yes"}, 400),
        ({"whitelist": "a"}, 400),
        ({"identifier": "other"}, 400),
        ({"directArchive": True}, 501),
        ({"routingExpressionsEnabled": True}, 501),
    ],
)
def test_refused_receivers(admin: Api, change: dict[str, Any], status: int) -> None:
    """A receiver that cannot work is refused; what the sandbox has not is told so."""
    document = {"aeTitle": unique_name("A"), "port": _free_port(), **change}

    assert admin.post(BASE, json=document).status_code == status


def test_rights_on_receivers(make_user: Any, guest: Api) -> None:
    """Anybody logged in sees the receivers; administrators change them."""
    person = make_user()

    assert (person.get(BASE).status_code, guest.get(BASE).status_code) == (200, 401)
    assert person.post(BASE, json={"aeTitle": "A", "port": 1}).status_code == 403
    assert guest.post(BASE, json={"aeTitle": "A", "port": 1}).status_code == 401


@pytest.fixture
def orthanc(receiver: dict[str, Any], tmp_path: Path) -> Iterator[str]:
    """The address of an Orthanc, another maker's DICOM server, that knows our receiver."""
    program = shutil.which("Orthanc")
    if program is None:
        pytest.skip("Orthanc is not here; install it: apt-get install orthanc")
    port = _free_port()
    settings = {
        "HttpPort": port,
        "DicomPort": _free_port(),
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "StorageDirectory": str(tmp_path / "orthanc"),
        "IndexDirectory": str(tmp_path / "orthanc"),
        "DicomModalities": {"xnat": ["XNAT", "127.0.0.1", receiver["port"]]},
        "Plugins": [],
    }
    path = tmp_path / "orthanc.json"
    path.write_text(json.dumps(settings))
    server = subprocess.Popen(
        [program, str(path)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(address + "/system", server)
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE_S)


def _wait_for(address: str, server: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while time.monotonic() < give_up and server.poll() is None:
        try:
            if requests.get(address, timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    pytest.fail("Orthanc did not start.")


def test_orthanc_forwards_a_study(
    admin: Api, make_project: Any, orthanc: str, tmp_path: Path
) -> None:
    """Orthanc finds our receiver by C-ECHO and sends it a study, which becomes a session."""
    project = make_project()
    for path in _images(tmp_path, project, count=20):
        stored = requests.post(f"{orthanc}/instances", data=path.read_bytes(), timeout=30)
        assert stored.status_code == 200, stored.text
    (study,) = requests.get(f"{orthanc}/studies", timeout=30).json()

    echo = requests.post(f"{orthanc}/modalities/xnat/echo", data="{}", timeout=30)
    sent = requests.post(f"{orthanc}/modalities/xnat/store", data=study, timeout=60)

    assert (echo.status_code, sent.status_code) == (200, 200)
    assert (sent.json()["InstancesCount"], sent.json()["FailedInstancesCount"]) == (20, 0)
    (session,) = _wait(admin, f"/data/projects/{project}/experiments", 1)
    files = admin.rows(f"/data/experiments/{session['ID']}/scans/1/resources/DICOM/files")
    assert len(files) == 20
