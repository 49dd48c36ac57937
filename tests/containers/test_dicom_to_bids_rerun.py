"""The same session gives the same bytes, wherever, whenever and by whomever it is converted."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from containers.contract import PARTIAL_DIR_NAME
from deploy.demo_session import DemoSession
from tests.builders.bids_conversion import all_bytes

ROOT = Path(__file__).resolve().parents[2]


def start(
    source: Path,
    output: Path,
    cwd: Path = ROOT,
    *,
    prefix: tuple[str, ...] = (),
    **environment: str,
) -> subprocess.Popen[bytes]:
    """Start the program of the image as a process of its own."""
    output.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "containers.entrypoint", "dicom-to-bids", source, output],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def result(output: Path) -> dict[str, bytes]:
    """Return all files but the run's own report, which says when it ran."""
    return {k: v for k, v in all_bytes(output).items() if k != "report/report.json"}


@pytest.fixture(scope="module")
def reference(session: DemoSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    output = tmp_path_factory.mktemp("reference")
    assert start(session.folder, output).wait() == 0
    return result(output)


@pytest.mark.parametrize(
    "environment",
    [{"TZ": "Pacific/Kiritimati"}, {"LC_ALL": "C", "LANG": "C"}, {"PYTHONHASHSEED": "1"}],
    ids=lambda environment: next(iter(environment)),
)
def test_environment_does_not_matter(
    session: DemoSession,
    reference: dict[str, bytes],
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    """Another time, time zone, locale, hash seed and working folder give the same bytes."""
    assert start(session.folder, tmp_path / "out", tmp_path, **environment).wait() == 0

    assert result(tmp_path / "out") == reference


def test_place_and_order_of_files_do_not_matter(
    session: DemoSession, reference: dict[str, bytes], tmp_path: Path
) -> None:
    """Files written last to first, in other folders, with other times, give the same bytes."""
    folders = sorted(session.folder.iterdir(), reverse=True)
    for number, folder in enumerate(folders):
        target = tmp_path / "elsewhere" / f"{number}"
        target.mkdir(parents=True)
        for path in sorted(folder.iterdir(), reverse=True):
            copied = shutil.copyfile(path, target / path.name)
            os.utime(copied, (number, number))

    assert start(tmp_path / "elsewhere", tmp_path / "out").wait() == 0

    assert result(tmp_path / "out") == reference


@pytest.mark.skipif(os.getuid() != 0, reason="becoming another user needs root (run as root)")
def test_user_does_not_matter(session: DemoSession, reference: dict[str, bytes]) -> None:
    """Another user and umask give the same bytes."""
    # Not pytest's folder: each start of pytest closes it to other users again.
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copytree(session.folder, work / "session")
        for folder in (work, work / "session", *(work / "session").rglob("*")):
            folder.chmod(0o755 if folder.is_dir() else 0o644)
        output = work / "out"
        output.mkdir()
        os.chown(output, 65534, 65534)
        prefix = ("setpriv", "--reuid=65534", "--clear-groups")

        code = start(work / "session", output, prefix=prefix, HOME="/nonexistent").wait()

        assert code == 0
        assert result(output) == reference


def test_killed_run_leaves_the_earlier_result(
    session: DemoSession, reference: dict[str, bytes], tmp_path: Path
) -> None:
    """A run that is killed in the middle changes nothing, and the next one does its work."""
    output = tmp_path / "out"
    assert start(session.folder, output).wait() == 0
    before = all_bytes(output)

    process = start(session.folder, output)
    while not any((output / PARTIAL_DIR_NAME).rglob("*.nii.gz")) and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    left = {k: v for k, v in all_bytes(output).items() if not k.startswith(PARTIAL_DIR_NAME)}

    assert left == before
    assert start(session.folder, output).wait() == 0
    assert result(output) == reference
    assert not (output / PARTIAL_DIR_NAME).exists()
