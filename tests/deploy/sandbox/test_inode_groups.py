"""The hint to ext4 about folders whose files come and go."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.sandbox.inode_groups import QuickPlace, spread_folders_below


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


def test_new_files_stay_where_they_are_made_quickly() -> None:
    """Neither quick files nor a few slow ones among them make the place change."""
    place = QuickPlace("7")

    for number in range(1000):
        place.made(2_000_000 if number % 100 == 0 else 20_000)

    assert place.name == "7-0"


def test_new_files_move_from_where_they_are_made_slowly() -> None:
    """Sixteen files of a millisecond each are enough; the next place has not been used before."""
    place = QuickPlace("7")

    for _ in range(16):
        place.made(1_000_000)

    assert place.name == "7-1"


def test_a_slow_file_system_gets_no_flood_of_folders() -> None:
    """If no place is quick, a hundred thousand files lie in a few dozen folders."""
    place, names = QuickPlace("7"), set()

    for _ in range(100_000):
        names.add(place.name)
        place.made(1_000_000)

    assert 8 < len(names) <= 64
