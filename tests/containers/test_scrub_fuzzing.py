"""Every cut of small files of every kind, and changed bytes, the same way that a folder goes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from containers.scrub_headers.copying import Outcome, Rules, Task, copy_items, read_identities
from containers.scrub_headers.inventory import items_of, planned_names
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.paths import Naming
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.builders.bids_conversion import all_bytes
from tests.builders.mr_files import TOKEN
from tests.builders.small_files import small_files

FILES = {each.name: each for each in small_files()}
PROFILE, PSEUDONYMS = load_profile("external"), Pseudonyms(bytes(32), "one")
KNOWN = KnownIdentities()
CHANGED = 120
pytestmark = pytest.mark.filterwarnings("ignore")


def scrubbed(root: Path, out: Path) -> list[tuple[str, Outcome]]:
    """Scrub a folder as the step does; return what became of each item of its folders."""
    naming = Naming(PSEUDONYMS, KNOWN, one_subject=True)
    items = items_of(root)
    identities = read_identities(items, 1)
    names = planned_names(root, items, identities, naming)
    tasks = [Task(item, names[item.numbers[0]], "", "P1") for item in items]
    outcomes = copy_items(Rules(out, PROFILE, PSEUDONYMS, KNOWN, naming), tasks, 1)
    return [(t.item.paths[0].parent.name, e) for t, e in zip(tasks, outcomes, strict=True)]


def assert_clean(out: Path, outcomes: list[tuple[str, Outcome]]) -> None:
    """Nothing crashed, nothing but whole results is there, and none holds the token."""
    assert [(folder, each) for folder, each in outcomes if each.is_fault] == []
    assert not [each for _, each in outcomes if each.reason and each.outputs]
    written = all_bytes(out)
    assert written.keys() == {path for _, each in outcomes for path in each.outputs}
    content = b"\n".join(path.encode() + data for path, data in written.items())
    assert TOKEN.encode() not in content.replace(b"\0", b"")


def write_cuts(root: Path, name: str, lengths: range) -> None:
    """Write the first bytes of a file, as many as asked for, each cut into its own folder."""
    for length in lengths:
        folder = root / f"{length:05}"
        folder.mkdir(parents=True)
        FILES[name].write(folder, length)


@pytest.mark.parametrize("name", sorted(FILES))
def test_no_cut_crashes_leaks_or_leaves_a_part(tmp_path: Path, name: str):
    """Cut short anywhere, a file is left out without a trace, or its copy is as clean.

    The whole file passes, or its cuts would prove nothing.
    """
    small, whole = FILES[name], len(FILES[name].data)
    root, out = tmp_path / "in", tmp_path / "out"
    write_cuts(root, name, range(whole + 1))

    outcomes = scrubbed(root, out)

    assert_clean(out, outcomes)
    refused = {folder for folder, each in outcomes if each.reason}
    passed = set(range(whole + 1)) - set(map(int, refused))
    assert whole in passed
    if small.whole_at is not None:
        assert passed - {whole} == small.whole_at


@pytest.mark.parametrize("name", sorted(FILES))
def test_changed_bytes_crash_and_leak_nothing(tmp_path: Path, name: str):
    """With up to six bytes changed anywhere, a file is left out, or its copy is as clean."""
    root, out = tmp_path / "in", tmp_path / "out"
    random = np.random.default_rng(20)
    for number in range(CHANGED):
        folder = root / f"{number:05}"
        folder.mkdir(parents=True)
        FILES[name].write(folder, len(FILES[name].data))
        data = bytearray(FILES[name].data)
        for place in random.integers(0, len(data), random.integers(1, 7)):
            data[place] = random.choice([0, 1, 0x20, 0x5C, 0x7F, 0xFF, random.integers(256)])
        (folder / name).write_bytes(data)

    outcomes = scrubbed(root, out)

    assert_clean(out, outcomes)
