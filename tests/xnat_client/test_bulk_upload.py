"""Bulk upload against the sandbox: what arrives, what is refused, what is sent again."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from tests.builders.fault_proxy import Fault, FaultProxy, Seen
from xnat_client.projects import create_project
from xnat_client.session import connect
from xnat_client.transport import Transport

from .conftest import WriteDicom, write_dicom_file

MARKS = ("Marked", "MARKED", "Person", "19700131")
KILLS = int(os.environ.get("WINXNAT_UPLOAD_KILLS", "2"))


@pytest.fixture
def transport(sandbox: Any) -> Iterator[Transport]:
    with connect(sandbox.url, sandbox.admin_user, sandbox.admin_password) as opened:
        yield opened.transport


@pytest.fixture
def project_id(transport: Transport) -> str:
    """A private project of the test's own."""
    name = f"U{uuid.uuid4().hex[:10]}"
    create_project(transport, name)
    return name


@pytest.fixture
def proxy(sandbox: Any) -> Iterator[FaultProxy]:
    """A proxy before the sandbox that does no harm until a test says so."""
    opened = FaultProxy(sandbox.url, lambda _seen: None)
    yield opened
    opened.close()


Upload = Callable[..., subprocess.CompletedProcess[str]]


def command(*arguments: object) -> list[str]:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
    return [*program, "upload", *map(str, arguments)]


def environment(sandbox: Any, home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "XNAT_USER": sandbox.admin_user,
        "XNAT_PASS": sandbox.admin_password,
        "XDG_STATE_HOME": str(home / "state"),
    }


@pytest.fixture
def upload(sandbox: Any, project_id: str, tmp_path: Path) -> Upload:
    """Run ``winxnat upload`` into the test's project."""

    def run(*arguments: object, url: str = sandbox.url) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments, "--project", project_id, "--server", url, "--json"),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=120,
            env=environment(sandbox, tmp_path),
        )  # fmt: skip

    return run


def receipt_of(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert done.stdout, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["event"] == "receipt"
    return dict(document)


def held_md5s(sandbox: Any, project_id: str) -> list[str]:
    """Return the MD5 of every file that the server's disk holds for a project, catalogs aside."""
    folder = sandbox.root / "archive" / project_id
    files = [one for one in folder.rglob("*") if one.is_file() and "catalog" not in one.name]
    return sorted(hashlib.md5(one.read_bytes()).hexdigest() for one in files)  # noqa: S324  # XNAT's digest


def local_md5s(folder: Path) -> list[str]:
    """Return what the program md5sum says of all files of a folder."""
    files = [str(one) for one in folder.rglob("*") if one.is_file()]
    done = subprocess.run(["md5sum", *files], capture_output=True, text=True, check=True)
    return sorted(line.lstrip("\\")[:32] for line in done.stdout.splitlines())


def write_study(folder: Path, *, subjects: int = 3, images: int = 4, rows: int = 16) -> Path:
    """Write a study: folders S01, S02, ... with one session A of two series each."""
    for subject in range(1, subjects + 1):
        for series in (3, 4):
            for instance in range(1, images + 1):
                write_dicom_file(
                    folder / f"S{subject:02d}" / "A" / f"{series}" / f"IM{instance}",
                    instance=instance, series=series, study=subject, rows=rows,
                    patient_id=f"MARKED-{subject}", patient_name=f"Marked^Person{subject}",
                )  # fmt: skip
    return folder


def write_data(folder: Path, *, files: int = 40, size_bytes: int = 60_000) -> Path:
    """Write behaviour files of a subject, and two larger ones, of seeded random bytes."""
    source = random.Random(7)  # noqa: S311  # test data
    inside = folder / "S01" / "A" / "beh"
    inside.mkdir(parents=True)
    for number in range(files):
        (inside / f"trial_{number:03d}.csv").write_bytes(source.randbytes(size_bytes))
    for number in range(2):
        (inside / f"stream_{number}.h5").write_bytes(source.randbytes(2_500_000))
    return folder


PATTERN = ("--pattern", "{subject}/{session}/...", "--session", "{subject}_{session}")


def test_a_study_arrives_bit_by_bit(
    sandbox: Any, upload: Upload, project_id: str, tmp_path: Path
) -> None:
    """Three sessions by a path pattern: the server's disk holds exactly what was sent."""
    source = write_study(tmp_path / "study")

    receipt = receipt_of(upload(source, *PATTERN))

    assert receipt["exit_code"] == 0
    assert [one["session"] for one in receipt["sessions"]] == ["S01_A", "S02_A", "S03_A"]
    assert (receipt["files_confirmed"], receipt["files_sent"]) == (24, 24)
    assert held_md5s(sandbox, project_id) == local_md5s(source)
    digests = "".join(f"{md5}\n" for md5 in local_md5s(source))
    assert receipt["content_sha256"] == hashlib.sha256(digests.encode()).hexdigest()


def test_second_run_sends_nothing(upload: Upload, tmp_path: Path) -> None:
    """The same command again confirms everything and sends no byte."""
    source = write_study(tmp_path / "study")
    write_data(source)
    first = receipt_of(upload(source, *PATTERN))

    second = receipt_of(upload(source, *PATTERN))

    assert first["files_sent"] == first["files_confirmed"] == 66
    assert (second["files_confirmed"], second["files_sent"], second["bytes_sent"]) == (66, 0, 0)
    assert second["exit_code"] == 0


def test_ledger_leads_from_digest_to_object(sandbox: Any, upload: Upload, tmp_path: Path) -> None:
    """Each file has one line; the object that it names gives bytes with that MD5; no path in it."""
    source = write_study(tmp_path / "study", subjects=1)
    ledger = tmp_path / "ledger.jsonl"

    upload(source, *PATTERN, "--ledger", ledger)
    upload(source, *PATTERN, "--ledger", ledger)

    lines = [json.loads(line) for line in ledger.read_text().splitlines()]
    assert sorted(line["md5"] for line in lines) == local_md5s(source)
    got = requests.get(
        f"{sandbox.url}{lines[0]['uri']}",
        auth=(sandbox.admin_user, sandbox.admin_password),
        timeout=30,
    )
    assert hashlib.md5(got.content).hexdigest() == lines[0]["md5"]  # noqa: S324  # XNAT's digest
    assert str(tmp_path) not in ledger.read_text()
    assert ledger.stat().st_mode & 0o077 == 0


def test_eeg_goes_through_rest(
    transport: Transport, upload: Upload, project_id: str, tmp_path: Path
) -> None:
    """A BrainVision triplet becomes an EEG session with one EEG scan that holds all three files."""
    folder = tmp_path / "eeg"
    folder.mkdir()
    (folder / "rest.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        "DataFile=rest.eeg\nMarkerFile=rest.vmrk\n"
    )
    (folder / "rest.vmrk").write_text("Brain Vision Data Exchange Marker File, Version 1.0\n")
    (folder / "rest.eeg").write_bytes(bytes(5000))

    receipt = receipt_of(upload(folder, "--subject", "S1", "--session", "EEG1"))

    assert receipt["exit_code"] == 0
    rows = transport.get_json(
        f"/data/projects/{project_id}/experiments", doing="x", query={"format": "json"}
    )["ResultSet"]["Result"]
    assert [(row["label"], row["xsiType"]) for row in rows] == [("EEG1", "xnat:eegSessionData")]
    files = transport.get_json(
        f"/data/experiments/{rows[0]['ID']}/scans/1/resources/EEG/files", doing="x",
        query={"format": "json"},
    )["ResultSet"]["Result"]  # fmt: skip
    assert sorted(row["Name"] for row in files) == ["rest.eeg", "rest.vhdr", "rest.vmrk"]


def test_bids_tree_keeps_its_names(
    transport: Transport, upload: Upload, project_id: str, tmp_path: Path
) -> None:
    """Files of a BIDS dataset keep their paths; those of the whole dataset go to the project."""
    root = tmp_path / "bids"
    for name in ("dataset_description.json", "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
                 "sub-01/ses-1/anat/sub-01_ses-1_T1w.json"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"{}")

    assert receipt_of(upload(root))["exit_code"] == 0

    def names(path: str) -> list[str]:
        rows = transport.get_json(f"/data/projects/{project_id}{path}/files", doing="x",
                                  query={"format": "json"})["ResultSet"]["Result"]  # fmt: skip
        return sorted(row["URI"].partition("/files/")[2] for row in rows)

    assert names("/resources/BIDS") == ["dataset_description.json"]
    assert names("/subjects/01/experiments/01_1/resources/BIDS") == [
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.json",
        "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    ]


def test_names_of_folders_stay_here(
    sandbox: Any, upload: Upload, project_id: str, tmp_path: Path
) -> None:
    """Folders above the data are not among the server's file names, nor in anything printed."""
    source = tmp_path / "Marked Person 19700131"
    write_data(source, files=5)

    done = upload(source, *PATTERN, "--session-type", "xnat:mrSessionData")

    assert receipt_of(done)["exit_code"] == 0
    folder = sandbox.root / "archive" / project_id
    names = [str(one.relative_to(folder)) for one in folder.rglob("*")]
    assert not [m for m in MARKS if m in done.stdout + done.stderr + "".join(names)]


# What the network and the server do ---------------------------------------------------------


def is_data(seen: Seen) -> bool:
    return seen.method in ("PUT", "POST") and seen.body_bytes > 1000


def test_every_third_request_is_refused_for_a_moment(
    sandbox: Any, upload: Upload, proxy: FaultProxy, project_id: str, tmp_path: Path
) -> None:
    """503 is an invitation to come back: all arrives, and nothing twice."""
    source = write_study(tmp_path / "study")
    write_data(source)
    proxy.choose = lambda seen: Fault.BUSY if seen.number % 3 == 2 else None

    receipt = receipt_of(upload(source, *PATTERN, url=proxy.url))

    assert receipt["exit_code"] == 0
    assert Fault.BUSY in [fault for _, fault in proxy.harmed]
    assert held_md5s(sandbox, project_id) == local_md5s(source)


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.LOST_ANSWER])
def test_connections_that_break(  # noqa: PLR0913, PLR0917  # one for each fixture
    sandbox: Any, upload: Upload, proxy: FaultProxy, project_id: str, tmp_path: Path, fault: Fault
) -> None:
    """Every second transfer breaks once, before or after the server took it: all is there once."""
    source = write_study(tmp_path / "study")
    write_data(source)
    broken: set[str] = set()

    def choose(seen: Seen) -> Fault | None:
        name = seen.path.partition("?")[2] + seen.path.partition("winxnat-")[0]
        if is_data(seen) and name not in broken:
            broken.add(name)
            return fault
        return None

    proxy.choose = choose
    receipt = receipt_of(upload(source, *PATTERN, url=proxy.url))

    assert receipt["exit_code"] == 0, receipt
    assert len(proxy.harmed) >= 4
    assert held_md5s(sandbox, project_id) == local_md5s(source)


def test_session_that_expires_is_renewed(upload: Upload, proxy: FaultProxy, tmp_path: Path) -> None:
    """A 401 in the middle of the sending leads to one more log-in, not to a failure."""
    source = write_study(tmp_path / "study")
    first: list[Seen] = []

    def choose(seen: Seen) -> Fault | None:
        if is_data(seen) and not first:
            first.append(seen)
            return Fault.EXPIRED
        return None

    proxy.choose = choose
    receipt = receipt_of(upload(source, *PATTERN, url=proxy.url))

    assert receipt["exit_code"] == 0
    logins = [one for one in proxy.seen if one.path.startswith("/data/services/auth")]
    assert len(logins) == 2


def test_wrong_digests_are_no_success(upload: Upload, proxy: FaultProxy, tmp_path: Path) -> None:
    """Where the server lists other checksums, nothing is called confirmed and the code is 5."""
    source = write_study(tmp_path / "study", subjects=1)
    write_data(source, files=5)
    proxy.choose = lambda seen: Fault.WRONG_DIGEST if "/files?" in seen.path else None

    done = upload(source, *PATTERN, url=proxy.url)

    receipt = receipt_of(done)
    assert done.returncode == 5
    assert receipt["files_confirmed"] == 0
    assert receipt["sessions"][0]["outcome"] == "failed"


def test_full_disk_of_the_server_is_said(upload: Upload, proxy: FaultProxy, tmp_path: Path) -> None:
    """507 is no success and no reason to try again; the sentence names the disk."""
    source = write_study(tmp_path / "study", subjects=1)
    proxy.choose = lambda seen: Fault.FULL if is_data(seen) else None

    done = upload(source, *PATTERN, url=proxy.url)

    assert done.returncode == 5
    assert "disk is full" in receipt_of(done)["sessions"][0]["reason"]
    assert len([one for one in proxy.seen if is_data(one)]) == 1


def test_full_disk_of_ours_is_said(upload: Upload, tmp_path: Path) -> None:
    """A ledger on a full device ends the upload with one sentence."""
    source = write_study(tmp_path / "study", subjects=1)

    done = upload(source, *PATTERN, "--ledger", "/dev/full")

    assert done.returncode == 3
    assert "cannot be written (No space left on device)" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_slow_server_gets_fewer_requests(upload: Upload, proxy: FaultProxy, tmp_path: Path) -> None:
    """With 100 ms before every answer all arrives."""
    source = write_study(tmp_path / "study")
    proxy.delay_s = 0.1

    assert receipt_of(upload(source, *PATTERN, url=proxy.url))["exit_code"] == 0


def test_one_failing_session_does_not_stop_the_others(
    upload: Upload, proxy: FaultProxy, tmp_path: Path
) -> None:
    """Two sessions arrive, the third is named with its reason; a second run needs only that one."""
    source = write_study(tmp_path / "study")
    proxy.choose = lambda seen: Fault.FULL if is_data(seen) and "S02_A" in seen.path else None
    first = upload(source, *PATTERN, url=proxy.url)
    proxy.choose = lambda _seen: None

    second = receipt_of(upload(source, *PATTERN, url=proxy.url))

    outcomes = [one["outcome"] for one in receipt_of(first)["sessions"]]
    assert outcomes == ["confirmed", "failed", "confirmed"]
    assert first.returncode == 5
    assert (second["files_confirmed"], second["files_sent"]) == (24, 8)


def test_server_that_is_started_again(fresh_sandbox: Any, tmp_path: Path) -> None:
    """The server is killed and started again while it receives: the same run brings all."""
    with connect(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as opened:
        create_project(opened.transport, "RESTART")
    source = write_data(tmp_path / "study", files=60)
    proxy = FaultProxy(fresh_sandbox.url, lambda _seen: None, delay_s=0.02)
    arguments = (source, *PATTERN, "--project", "RESTART", "--session-type", "xnat:mrSessionData",
                 "--connections", "2", "--json", "--server", proxy.url)  # fmt: skip
    try:
        with subprocess.Popen(
            command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=environment(fresh_sandbox, tmp_path),
        ) as process:  # fmt: skip
            deadline = time.monotonic() + 30
            while proxy.received_bytes < 1_000_000 and time.monotonic() < deadline:
                time.sleep(0.005)
            port = int(fresh_sandbox.url.rpartition(":")[2])
            os.kill(fresh_sandbox.pid, signal.SIGKILL)
            while sandbox_process.running(fresh_sandbox.root) and time.monotonic() < deadline:
                time.sleep(0.02)
            sandbox_process.start(fresh_sandbox.root, port=port, engine="process")
            out, err = process.communicate(timeout=100)
    finally:
        proxy.close()

    assert process.returncode == 0, out + err
    assert held_md5s(fresh_sandbox, "RESTART") == local_md5s(source)


@pytest.mark.slow
@pytest.mark.timeout(max(300, KILLS * 40))
def test_killed_at_random_moments(
    sandbox: Any, transport: Transport, proxy: FaultProxy, tmp_path: Path
) -> None:
    """After kill -9 in the middle and the same command again: nothing is missing or double.

    More rounds with WINXNAT_UPLOAD_KILLS; no more is sent again than the sessions in flight.
    """
    source = write_study(tmp_path / "study", subjects=12, images=12, rows=100)
    total = sum(one.stat().st_size for one in source.rglob("*") if one.is_file())
    chance = random.Random(os.environ.get("WINXNAT_SEED", "11"))  # noqa: S311  # test data
    proxy.delay_s = 0.02
    for kill in range(KILLS):
        project_id = f"K{uuid.uuid4().hex[:10]}"
        create_project(transport, project_id)
        arguments = (source, *PATTERN, "--project", project_id, "--server", proxy.url, "--json",
                     "--sessions-at-once", "2")  # fmt: skip
        own = environment(sandbox, tmp_path / str(kill))
        before = proxy.received_bytes
        wanted = before + total * chance.uniform(0.1, 0.9)
        with subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, env=own) as process:
            deadline = time.monotonic() + 60
            while proxy.received_bytes < wanted and time.monotonic() < deadline:
                time.sleep(0.001)
            process.kill()

        done = subprocess.run(
            command(*arguments), capture_output=True, text=True, check=False, env=own
        )

        assert done.returncode == 0, done.stderr
        assert receipt_of(done)["files_confirmed"] == 288
        assert held_md5s(sandbox, project_id) == local_md5s(source)
        sent_again = proxy.received_bytes - before - total
        # Two sessions in flight, each smaller than a part; headers of the archives besides.
        assert sent_again <= 2 * total / 12 + total * 0.05


def test_interrupted_by_the_keyboard(
    sandbox: Any, proxy: FaultProxy, project_id: str, tmp_path: Path
) -> None:
    """Ctrl-C ends within seconds with 130 and a receipt; the same command again goes on."""
    source = write_study(tmp_path / "study", subjects=6, images=8, rows=100)
    proxy.delay_s = 0.05
    arguments = (source, *PATTERN, "--project", project_id, "--server", proxy.url, "--json",
                 "--sessions-at-once", "1")  # fmt: skip
    own = environment(sandbox, tmp_path)
    with subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=own
    ) as process:
        deadline = time.monotonic() + 60
        while proxy.received_bytes < 400_000 and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
        took_s = time.monotonic() - began

    second = subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, env=own
    )

    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert took_s < 15
    assert json.loads(out.splitlines()[-1])["interrupted"] is True
    assert second.returncode == 0
    assert held_md5s(sandbox, project_id) == local_md5s(source)


# What is wrong before anything is sent --------------------------------------------------------


def refused(done: subprocess.CompletedProcess[str], words: str, code: int = 3) -> None:
    """One sentence on stderr with these words; no name in it."""
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not [mark for mark in MARKS if mark in done.stderr + done.stdout]


def write_csv(path: Path, *rows: list[str]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["subject", "session"], ["S1", "E1"]], "lacks the column source"),
        ([["source", "sesion"], ["S01", "E1"]], "a name that is not known"),
        ([["source"], ["S01"], ["S01"]], "Rows 2 and 3 of the map have one source"),
        ([["source", "subject"], ["nowhere", "S1"]], "nothing to upload was found"),
        ([["source", "action"], ["S01", "maybe"]], "send or skip"),
        ([["source", "source"], ["S01", "S01"]], "names a column twice"),
        ([], "is empty"),
    ],
)
def test_bad_maps(  # noqa: PLR0913, PLR0917  # one for each fixture and column
    sandbox: Any, upload: Upload, project_id: str, tmp_path: Path, rows: list[list[str]], words: str
) -> None:
    """Each is one sentence, and the server has received nothing."""
    source = write_study(tmp_path / "study", subjects=1)
    path = write_csv(tmp_path / "map.csv", *rows)

    refused(upload(source, *PATTERN, "--map", path), words)

    assert held_md5s(sandbox, project_id) == []


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["--subject", "S1", "--session", "E1"], "several patients in one session", 3),
        (["--pattern", "{nobody}/..."], "--pattern may hold", 2),
        (["--subject", "{Nonsense}", "--session", "E1"], "nor a DICOM element", 2),
        ([], "no rule gives its subject", 3),
        (["--pattern", "{subject}/{session}/..."], "given to two subjects", 3),
        (["--subject", "{PatientID}", "--session", "{subject}"], "", 3),
    ],
)
def test_plans_that_are_wrong(  # noqa: PLR0913, PLR0917  # one for each fixture and column
    sandbox: Any,
    upload: Upload,
    project_id: str,
    tmp_path: Path,
    arguments: list[str],
    words: str,
    code: int,
) -> None:
    """Mixed patients, rules that fit nothing, a session of two subjects: nothing is sent."""
    source = write_study(tmp_path / "study", subjects=2)

    refused(upload(source, *arguments), words, code)

    assert held_md5s(sandbox, project_id) == []


def test_label_from_the_patient_is_refused(upload: Upload, tmp_path: Path) -> None:
    """A label that stands in the patient elements needs somebody who answers for it."""
    source = write_study(tmp_path / "study", subjects=1)
    arguments = ("--subject", "{PatientID}", "--session", "E1")

    refused(upload(source, *arguments), "patient elements of the images")

    assert receipt_of(upload(source, *arguments, "--accept-labels"))["exit_code"] == 0


def test_unknown_project_and_no_right(sandbox: Any, project_id: str, tmp_path: Path) -> None:
    """An unknown project, and one that may only be read, are said before anything is sent."""
    source = write_study(tmp_path / "study", subjects=1)
    login, secret = f"u{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    admin = (sandbox.admin_user, sandbox.admin_password)
    account = {"username": login, "password": secret, "enabled": True, "verified": True,
               "firstName": "T", "lastName": "T", "email": f"{login}@example.org"}  # fmt: skip
    requests.post(f"{sandbox.url}/xapi/users", json=account, auth=admin, timeout=30)
    member = f"{sandbox.url}/data/projects/{project_id}/users/Collaborators/{login}"
    requests.put(member, auth=admin, timeout=30).raise_for_status()

    def run(project: str) -> subprocess.CompletedProcess[str]:
        own = {**environment(sandbox, tmp_path), "XNAT_USER": login, "XNAT_PASS": secret}
        return subprocess.run(
            command(source, *PATTERN, "--project", project, "--server", sandbox.url),
            capture_output=True, text=True, check=False, env=own,
        )  # fmt: skip

    refused(run("NOSUCHPROJECT"), "There is no project NOSUCHPROJECT", 5)
    refused(run(project_id), "not add data to it", 5)
    assert held_md5s(sandbox, project_id) == []


def test_existing_session_of_others_is_left_alone(
    upload: Upload, tmp_path: Path, write_dicom: WriteDicom
) -> None:
    """A session that another upload made is a problem of the plan, unless --append says so."""
    source = write_study(tmp_path / "study", subjects=1)
    upload(source, *PATTERN)
    write_dicom(source / "S01" / "A" / "9" / "IM1", series=9, patient_id="MARKED-1",
                patient_name="Marked^Person1")  # fmt: skip
    other_state = ("--state", tmp_path / "other.sqlite")

    refused(upload(source, *PATTERN, *other_state), "exists already on the server")

    added = receipt_of(upload(source, *PATTERN, *other_state, "--append"))
    assert (added["files_confirmed"], added["files_sent"]) == (9, 1)


def test_two_uploads_with_one_state(upload: Upload, tmp_path: Path) -> None:
    """A second process with the same state file is turned away with a sentence."""
    source = write_study(tmp_path / "study", subjects=1)
    state = tmp_path / "state.sqlite"
    code = (
        "import sys; from pathlib import Path; from xnat_client.upload.state import UploadState\n"
        f"state = UploadState(Path({str(state)!r})); print('open', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        done = upload(source, *PATTERN, "--state", state)
        holder.kill()

    refused(done, "Another upload with the same state file", 5)
