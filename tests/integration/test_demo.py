"""The demonstration as a newcomer gives it: by its command, and with input that cannot work."""

from __future__ import annotations

import fcntl
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import sandbox_process
from deploy.demo_session import PLANTED, write_demo_session

BIN = Path(sys.executable).parent


def _winxnat(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BIN / "winxnat", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={**os.environ, **environment},
    )


def _validator_errors(bids: Path) -> list[str]:
    """Ask the official validator's own program, as a recipient of the data would."""
    done = subprocess.run(
        [BIN / "bids-validator-deno", "--format", "json", str(bids)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [issue["code"] for issue in issues if issue["severity"] == "error"]


def _one_sentence(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last thing said on stderr, after checking that it is no stack trace."""
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def made_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    """The demonstration on made data: its folder and its account."""
    out = tmp_path_factory.mktemp("demo") / "out"
    done = _winxnat("demo", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_the_made_session_becomes_a_data_set_without_validator_errors(
    made_demo: tuple[Path, dict[str, object]],
) -> None:
    """The official validator finds no error in what was fetched, and all modalities are there."""
    out, _ = made_demo

    folders = {path.parent.name for path in (out / "bids").rglob("*.nii.gz")}

    assert _validator_errors(out / "bids") == []
    assert folders == {"anat", "dwi", "fmap", "func"}


def test_every_scan_of_the_made_session_is_accounted_for_once(
    made_demo: tuple[Path, dict[str, object]],
) -> None:
    """The account has one row for each series that was written, and a reason for each left out."""
    out, account = made_demo

    rows = account["scans"]
    assert isinstance(rows, list)
    series = {path.name for path in (out / "dicom").iterdir()}

    assert len(rows) == len({row["scan"] for row in rows}) == len(series)
    assert all(row["outputs"] if row["outcome"] == "done" else row["reason"] for row in rows)


def test_no_planted_identity_is_in_what_was_fetched(
    made_demo: tuple[Path, dict[str, object]],
) -> None:
    """No invented name, number, date or place of the headers is in any byte of the result."""
    out, _ = made_demo
    secrets = [text.encode() for text in PLANTED.values()]
    leaks = []
    for path in [
        found for name in ("bids", "report", "release") for found in (out / name).rglob("*")
    ]:
        if not path.is_file():
            continue
        content = path.read_bytes()
        if path.suffix == ".gz":
            content += gzip.decompress(content)
        leaks += [path.name for secret in secrets if secret.lower() in content.lower()]

    assert leaks == []


def test_sharing_is_refused_at_first_for_want_of_consent_and_checks(
    made_demo: tuple[Path, dict[str, object]],
) -> None:
    """Before anything was recorded, consent, headers and faces are among what is not met."""
    _, account = made_demo
    shared = account["shared"]
    assert isinstance(shared, dict)

    assert {"consent", "headers", "faces"} <= {one["key"] for one in shared["refusals"]}


def test_what_is_released_fits_the_manifest_that_was_approved(
    made_demo: tuple[Path, dict[str, object]],
) -> None:
    """Another program agrees with the manifest's list, and with the digest that was signed."""
    out, account = made_demo
    shared = account["shared"]
    assert isinstance(shared, dict)
    release = out / "release"

    listed = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "manifest.sha256"],
        cwd=release,
        capture_output=True,
        text=True,
        check=False,
    )
    digest = subprocess.run(
        ["sha256sum", release / "manifest.json"], capture_output=True, text=True, check=True
    ).stdout.split()[0]

    assert listed.returncode == 0, listed.stderr
    assert digest == shared["manifest_sha256"]
    assert {path.parent.name for path in release.rglob("*.nii.gz")} == {"dwi", "func"}
    assert _validator_errors(release) == []


def test_nothing_is_left_running(made_demo: tuple[Path, dict[str, object]]) -> None:
    """Without --keep the sandbox and its data are gone."""
    out, account = made_demo

    shared = account["shared"]
    assert isinstance(shared, dict)
    for address in (account["server"], shared["project"]):
        listening = subprocess.run(
            ["curl", "--silent", "--show-error", "--max-time", "3", str(address)],
            capture_output=True,
            check=False,
        )
        assert listening.returncode == 7  # curl: could not connect
    assert not (out / "sandbox").exists()
    assert not (out / "sharing").exists()


@pytest.mark.samples
@pytest.mark.parametrize(
    ("session", "datatypes"),
    [
        ("siemens_ve11_multiecho_human", {"fmap", "func"}),
        ("ge_b0map_human", {"fmap"}),
        ("philips_r57_dti_human", {"dwi"}),
    ],
)
def test_real_sessions_of_three_vendors_go_the_whole_way(
    samples: Path, tmp_path: Path, session: str, datatypes: set[str]
) -> None:
    """A real session becomes BIDS without configuration and without validator errors."""
    done = _winxnat("demo", "--data", samples / "dicom" / session, "--out", tmp_path / "out")

    assert done.returncode == 0, done.stderr
    assert _validator_errors(tmp_path / "out" / "bids") == []
    found = {path.parent.name for path in (tmp_path / "out" / "bids").rglob("*.nii.gz")}
    assert found == datatypes


def test_a_kept_sandbox_serves_the_session_until_it_is_stopped(tmp_path: Path) -> None:
    """With --keep the address that was printed answers, and the printed command stops it."""
    data = tmp_path / "dicom"
    write_demo_session(data)
    out = tmp_path / "out"

    done = _winxnat("demo", "--data", data, "--out", out, "--keep")
    server = sandbox_process.running(out / "sandbox")
    fetched = _winxnat(
        *("fetch", "--project", "DEMO", "--session", "S01_MR1", "--resource", "BIDS"),
        tmp_path / "again",
        XNAT_HOST=server.url if server else "",
        NETRC=str(out / "sandbox" / "admin.netrc"),
    )
    stopped = _winxnat("sandbox", "stop", "--dir", out / "sandbox")

    assert done.returncode == 0, done.stderr
    assert fetched.returncode == 0, fetched.stderr
    assert stopped.returncode == 0
    assert (tmp_path / "again" / "dataset_description.json").exists()
    assert sandbox_process.running(out / "sandbox") is None


def test_an_empty_folder_is_bad_input(tmp_path: Path) -> None:
    """An empty folder ends with exit code 3 and one sentence; no output folder appears."""
    (tmp_path / "empty").mkdir()

    done = _winxnat("demo", "--data", tmp_path / "empty", "--out", tmp_path / "out")

    assert done.returncode == 3
    assert "no files" in _one_sentence(done).lower() or "no dicom" in _one_sentence(done).lower()
    assert not (tmp_path / "out").exists()


def test_two_patients_are_refused_without_naming_them(tmp_path: Path) -> None:
    """A folder with two patients ends with exit code 3; nothing is sent, no name is printed."""
    from pydicom import dcmread  # noqa: PLC0415 - only this test needs it

    data = tmp_path / "dicom"
    write_demo_session(data)
    first = next(path for path in sorted(data.rglob("*")) if path.is_file())
    dataset = dcmread(first)
    dataset.PatientID, dataset.PatientName = "OTHER-77", "Second^Person"
    dataset.save_as(first)

    done = _winxnat("demo", "--data", data, "--out", tmp_path / "out")

    assert done.returncode == 3
    assert "2" in _one_sentence(done)
    assert "OTHER-77" not in done.stderr + done.stdout
    assert "Second" not in done.stderr + done.stdout
    assert not (tmp_path / "out").exists()


def test_a_truncated_file_among_good_ones_is_refused(tmp_path: Path) -> None:
    """A file cut off in its pixel data ends with exit code 3 before anything is sent."""
    data = tmp_path / "dicom"
    write_demo_session(data)
    first = next(path for path in sorted(data.rglob("*")) if path.is_file())
    os.truncate(first, first.stat().st_size - 100)

    done = _winxnat("demo", "--data", data, "--out", tmp_path / "out")

    assert done.returncode == 3
    assert "1 of 208 files" in _one_sentence(done)
    assert "ends before" in _one_sentence(done)
    assert not (tmp_path / "out").exists()


def test_a_folder_with_other_things_is_not_written_to(tmp_path: Path) -> None:
    """An output folder that holds a person's work is left exactly as it was."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")

    done = _winxnat("demo", "--out", out)

    assert done.returncode == 2
    assert "--out" in _one_sentence(done)
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


def test_two_demonstrations_do_not_share_a_folder(tmp_path: Path) -> None:
    """While one writes to a folder a second one is refused, and says so."""
    out = tmp_path / "out"
    out.mkdir()
    with (out / ".winxnat-demo").open("ab") as mark:
        fcntl.flock(mark, fcntl.LOCK_EX)

        done = _winxnat("demo", "--out", out)

    assert done.returncode == 2
    assert "Another demonstration" in _one_sentence(done)


def test_an_interruption_leaves_nothing_running(tmp_path: Path) -> None:
    """Ctrl-C while the step runs ends the step, the sandbox and the demonstration."""
    process = subprocess.Popen(
        [BIN / "winxnat", "demo", "--out", tmp_path / "out"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "Running" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)

    # Whatever belongs to this demonstration has its folder in its arguments.
    left = subprocess.run(
        ["pgrep", "--full", "--list-full", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert process.returncode == 130
    assert left.stdout == ""
    assert not (tmp_path / "out" / "bids").exists()


def test_docker_asked_for_but_absent_is_one_sentence(tmp_path: Path) -> None:
    """Without a Docker daemon --engine docker ends with a sentence, and nothing is left over."""
    done = _winxnat(
        *("demo", "--engine", "docker", "--out", tmp_path / "out"),
        DOCKER_HOST=f"unix://{tmp_path}/no.sock",
    )

    assert done.returncode in {2, 5}
    assert "docker" in _one_sentence(done).lower()
    assert not (tmp_path / "out" / "bids").exists()


def test_a_complete_result_of_an_interrupted_exchange_is_put_in_place(tmp_path: Path) -> None:
    """A run that died while replacing the result loses nothing: the next one finishes it."""
    out = tmp_path / "out"
    for folder in (".new/bids", ".new/dicom", "bids", "dicom"):
        (out / folder).mkdir(parents=True)
    (out / ".winxnat-demo").touch()
    (out / ".new/bids/name").write_text("new")
    (out / "bids/name").write_text("old")
    (out / "dicom/name").write_text("old")

    done = _winxnat(
        *("demo", "--engine", "docker", "--out", out), DOCKER_HOST=f"unix://{tmp_path}/no.sock"
    )

    assert done.returncode in {2, 5}
    assert (out / "bids/name").read_text() == "new"
    assert not (out / "dicom").exists()
    assert not (out / ".new").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_a_full_disk_leaves_no_half_result(tmp_path: Path) -> None:
    """When the disk fills up the run ends with a sentence and no result folder appears."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], check=False
    )
    if mounted.returncode != 0:
        pytest.fail("a small file system could not be mounted, which root may")
    try:
        done = _winxnat("demo", "--out", small / "out")
        left = sorted(p.name for p in (small / "out").glob("*") if not p.name.startswith("."))
    finally:
        subprocess.run(["umount", str(small)], check=True)

    assert done.returncode == 6, done.stderr
    assert "space" in _one_sentence(done).lower()
    assert left == []
    shutil.rmtree(small)
