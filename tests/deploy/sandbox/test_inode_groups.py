"""The hint to ext4 about folders whose files come and go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.sandbox.inode_groups import spread_folders_below


def test_ext4_is_told_to_spread_the_folders(tmp_path: Path) -> None:
    """The folder has the attribute T as the file system's own program shows it."""
    lsattr = shutil.which("lsattr")
    if lsattr is None:
        pytest.skip("needs lsattr of e2fsprogs")
    before = subprocess.run([lsattr, "-d", tmp_path], capture_output=True, text=True, check=False)
    if "e" not in before.stdout.split(" ")[0]:  # extents: what every folder of an ext4 has
        pytest.skip("needs temporary files on ext4")

    spread_folders_below(tmp_path)

    shown = subprocess.run([lsattr, "-d", tmp_path], capture_output=True, text=True, check=True)
    assert "T" in shown.stdout.split(" ")[0]


def test_other_file_systems_lose_nothing() -> None:
    """Where there are no such attributes, and where there is no folder, nothing happens."""
    spread_folders_below(Path("/proc"))
    spread_folders_below(Path("/proc/no-such-folder"))
