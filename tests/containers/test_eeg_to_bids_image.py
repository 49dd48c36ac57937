"""The image of eeg-to-bids: what only an image can break."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.builders import recordings as planted

pytest.importorskip("pybv", reason="winxnat[eeg-to-bids] is not installed here")


@pytest.mark.docker
def test_the_image_gives_what_the_process_gives(tmp_path: Path):
    """Without network and home, the container writes the same tree as the local process."""
    source = tmp_path / "source"
    source.mkdir()
    planted.write_brainvision(source, "one_rest")
    planted.write_ctf(source, planted.NAME)
    trees = []

    for engine in ("process", "docker"):
        output = tmp_path / engine
        program = str(Path(sys.executable).with_name("winxnat"))
        words = ["run", "eeg-to-bids", str(source), str(output), f"--engine={engine}"]
        subprocess.run([program, *words], check=True, capture_output=True)
        files = sorted(path for path in (output / "bids").rglob("*") if path.is_file())
        trees.append({path.relative_to(output).as_posix(): path.read_bytes() for path in files})

    assert trees[0] == trees[1]
    assert len(trees[0]) > 10
