"""A run that is killed leaves nothing that could be taken for a result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from commands.catalog import find
from containers.contract import PARTIAL_DIR_NAME
from containers.run_cli import run as run_command
from deploy.demo_session import write_demo_session

PATIENCE_S = 60


def wait_for(condition: Callable[[], bool]) -> bool:
    """Return whether something came true in time."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.002)
    return True


def children_of(pid: int) -> list[int]:
    """Return the numbers of a process's children, as Linux lists them."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that ended and is not yet buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_run_leaves_no_result_and_no_process(tmp_path: Path):
    """After kill -9 no name of a result is there, nothing writes on, and a next run clears up."""
    source, out = write_demo_session(tmp_path / "in").folder, tmp_path / "out"
    out.mkdir()
    program = "from containers.run_cli import run; run()"
    call = ["scrub-headers", str(source), str(out), "--subject-label", "P017"]
    with subprocess.Popen([sys.executable, "-c", program, *call]) as process:
        unchecked = out / PARTIAL_DIR_NAME / "results" / "unchecked"
        assert wait_for(lambda: any(unchecked.rglob("*.dcm")))
        workers = children_of(process.pid)
        os.kill(process.pid, signal.SIGKILL)

    left = [path.relative_to(out).parts for path in out.rglob("*")]
    collected = {each.path for each in find("scrub-headers").outputs}
    assert {parts[0] for parts in left} == {PARTIAL_DIR_NAME}
    assert not any(name in parts for name in collected for parts in left)
    assert wait_for(lambda: not any(map(is_alive, workers)))

    again = CliRunner().invoke(run_command, call)

    assert again.exit_code == 0, again.output
    assert {each.name for each in out.iterdir()} == {"scrubbed", "report"}
