"""Upload by C-STORE: what a receiver gets, and that it is looked up before it is confirmed."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
import requests

from xnat_client.errors import UnreachableError, UsageError
from xnat_client.upload.dicom_file import read_dicom_file
from xnat_client.upload.receiver import Association, Receiver, find_receiver, read_receiver
from xnat_client.upload.send import UploadTarget

from .conftest import Reply, ScriptedServer, write_dicom_file

pytest.importorskip("pynetdicom", reason="needs winxnat[dicom]")

TARGET = UploadTarget("P1", "S1", "E1")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _dump(path: Path) -> list[str]:
    """Return what dcmtk's dcmdump says of the data set of a file."""
    command = ["dcmdump", "+L", "-q", "+U8", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if line[:5] not in ("", "(0002")]


@pytest.fixture
def storescp(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """dcmtk's receiver: port and folder."""  # noqa: D403  # the name of a project
    if shutil.which("storescp") is None:
        pytest.skip("dcmtk's storescp is not here; install it: apt-get install dcmtk")
    port, folder = _free_port(), tmp_path / "received"
    folder.mkdir()
    command = ["storescp", "+xa", "-od", str(folder), "-aet", "THEIRS", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.02)
    yield port, folder
    process.kill()
    process.wait()


def test_dcmtk_receives_what_the_file_says(storescp: tuple[int, Path], tmp_path: Path) -> None:
    """All elements but the comment with the place are those of the file, says dcmdump."""
    port, folder = storescp
    path = write_dicom_file(tmp_path / "a.dcm")
    image = pydicom.dcmread(path)
    image.PatientComments = "Project:OLD had a cold"
    image.private_block(0x0029, "MAKER", create=True).add_new(1, "OB", b"\x00\x01\xfe\xff")
    image.save_as(path)
    before = path.read_bytes()

    with Association(
        Receiver("THEIRS", "127.0.0.1", port), [read_dicom_file(path, 1)]
    ) as association:
        association.store(read_dicom_file(path, 1), TARGET)

    (received,) = folder.iterdir()
    comment = "Project:P1 Subject:S1 Session:E1 had a cold"
    assert pydicom.dcmread(received).PatientComments == comment
    theirs, ours = _dump(received), _dump(path)
    assert [line for line in theirs if "(0010,4000)" not in line] == [
        line for line in ours if "(0010,4000)" not in line
    ]
    assert path.read_bytes() == before


# pynetdicom shuts a socket down that was refused, but does not close it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_listens(tmp_path: Path) -> None:
    """It is said with the receiver's address and what to check."""
    image = read_dicom_file(write_dicom_file(tmp_path / "a"), 1)

    with pytest.raises(UnreachableError, match=r"XNAT@127\.0\.0\.1:\d+ does not answer"):
        Association(Receiver("XNAT", "127.0.0.1", _free_port()), [image])


@pytest.mark.parametrize(
    "text", ["", "XNAT", "XNAT:104", "XNAT@host", "@host:104", "XNAT@host:0", "XNAT@host:99999",
             "A B@host:104", "TOOLONGATITLE_____@host:104"],
)  # fmt: skip
def test_receiver_that_is_none(text: str) -> None:
    """Each is one sentence, before anything is looked at."""
    with pytest.raises(UsageError, match="AETITLE@HOST:PORT"):
        read_receiver(text)


@pytest.mark.parametrize(("count", "word"), [(0, "has 0 DICOM"), (2, "has 2 DICOM")])
def test_which_receiver_is_asked(
    scripted: ScriptedServer, transport: Any, count: int, word: str
) -> None:
    """Without or with several receivers the user must name one."""
    rows = [{"aeTitle": f"X{n}", "port": 8104 + n, "enabled": True} for n in range(count)]
    rows.append({"aeTitle": "OFF", "port": 1, "enabled": False})
    scripted.answer("GET", "/xapi/dicomscp", Reply.json(rows))

    with pytest.raises(UsageError, match=word):
        find_receiver(transport)


# The sandbox's receiver ------------------------------------------------------------------------


Api = Callable[..., requests.Response]


@pytest.fixture
def api(sandbox: Any) -> Iterator[Api]:
    http = requests.Session()
    http.auth = (sandbox.admin_user, sandbox.admin_password)

    def call(method: str, path: str, **arguments: Any) -> requests.Response:
        answer = http.request(method, f"{sandbox.url}{path}", timeout=60, **arguments)
        assert answer.status_code in (200, 201), (path, answer.text)
        return answer

    yield call
    http.close()


@pytest.fixture
def receiver(api: Api) -> Iterator[str]:
    """The option that names a receiver of the sandbox."""
    port = _free_port()
    made = api("POST", "/xapi/dicomscp", json={"aeTitle": "XNAT", "port": port}).json()
    yield f"XNAT@127.0.0.1:{port}"
    api("DELETE", f"/xapi/dicomscp/{made['id']}")


@pytest.fixture
def project(api: Api) -> str:
    name = f"N{uuid.uuid4().hex[:10]}"
    api("PUT", f"/data/projects/{name}", params={"xsiType": "xnat:projectData"})
    api("PUT", f"/data/projects/{name}/prearchive_code/4")
    return name


def _upload(sandbox: Any, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()", "upload"]
    own = {"XNAT_USER": sandbox.admin_user, "XNAT_PASS": sandbox.admin_password,
           "XDG_STATE_HOME": str(folder.parent / "state")}  # fmt: skip
    return subprocess.run(
        [*program, str(folder), "--server", sandbox.url, "--via", "dicom", *arguments],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
        env={**os.environ, **own},
    )  # fmt: skip


def _receipt(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_session_goes_through_the_receiver_and_is_looked_up(
    sandbox: Any, api: Api, receiver: str, project: str, tmp_path: Path
) -> None:
    """Two sessions arrive where the plan says; the same command again sends nothing."""
    for subject in (1, 2):
        for n in (1, 2):
            path = tmp_path / "study" / f"S{subject}" / f"V{subject}" / f"{n}"
            write_dicom_file(path, instance=n, study=subject, patient_id=f"MARKED{subject}")
    options = (
        "--project", project, "--pattern", "{subject}/{session}/...", "--receiver", receiver,
        "--json",
    )  # fmt: skip

    first = _receipt(_upload(sandbox, tmp_path / "study", *options))
    again = _receipt(_upload(sandbox, tmp_path / "study", *options))

    rows = api("GET", f"/data/projects/{project}/experiments?format=json&columns=label").json()
    assert {row["label"] for row in rows["ResultSet"]["Result"]} == {"V1", "V2"}
    assert (first["exit_code"], first["files_rewritten"], first["files_sent"]) == (0, 4, 4)
    assert (first["files_confirmed"], first["sessions"][0]["in_prearchive"]) == (0, False)
    assert (again["exit_code"], again["files_rewritten"], again["files_sent"]) == (0, 4, 0)


def test_session_that_waits_in_the_prearchive_is_said(
    sandbox: Any, api: Api, receiver: str, project: str, tmp_path: Path
) -> None:
    """Files that a person must archive count as arrived, and the receipt says where they are."""
    api("PUT", f"/data/projects/{project}/prearchive_code/0")
    write_dicom_file(tmp_path / "data" / "1")

    done = _upload(
        sandbox, tmp_path / "data", "--project", project, "--subject", "S1", "--session", "E1",
        "--receiver", receiver,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "1 sessions wait, whole or in part, in the prearchive" in done.stdout


def test_file_that_the_server_drops_is_no_success(
    sandbox: Any, api: Api, receiver: str, project: str, tmp_path: Path
) -> None:
    """The receiver says "success" for all; a script rejects one, and the code is 5."""
    script = 'version "6.1"\n(0020,0013) = "2" ? reject\n'
    headers = {"Content-Type": "text/plain"}
    api("PUT", f"/xapi/anonymize/projects/{project}", data=script, headers=headers)
    for n in (1, 2):
        write_dicom_file(tmp_path / "data" / f"{n}", instance=n)

    done = _upload(
        sandbox, tmp_path / "data", "--project", project, "--subject", "S1", "--session", "E1",
        "--receiver", receiver, "--wait", "1",
    )  # fmt: skip

    assert done.returncode == 5
    assert "Of the 2 files of session E1 the receiver took, 1 were found neither" in done.stderr


def test_other_data_do_not_travel_by_dicom(sandbox: Any, project: str, tmp_path: Path) -> None:
    """A questionnaire in the plan is said before anything is sent."""
    write_dicom_file(tmp_path / "data" / "1")
    (tmp_path / "data" / "answers.csv").write_text("a,b\n1,2\n")

    done = _upload(
        sandbox, tmp_path / "data", "--project", project, "--subject", "S1", "--session", "E1"
    )

    assert done.returncode == 3
    assert "1 rows of the plan are no DICOM" in done.stderr
