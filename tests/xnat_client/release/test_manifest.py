"""The manifest: same files, same bytes; every change of a copy is seen; odd folders are refused."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xnat_client.release import manifest
from xnat_client.release.manifest import ManifestError


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A small release with its manifest."""
    root = tmp_path / "release"
    for name, data in (
        ("sub-k4x/ses-1/anat/sub-k4x_ses-1_T1w.nii.gz", b"voxels"),
        ("participants.tsv", b"participant_id\nsub-k4x\n"),
        ("README.md", b"# x\n"),
        ("qc/\u00e9.json", b"{}"),
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    manifest.write(root, "heads", "1.0.0")
    return root


def test_its_bytes_are_canonical_json_of_sorted_paths(release: Path) -> None:
    data = (release / "manifest.json").read_bytes()
    document = json.loads(data)

    # Written a second time, by the rules of the format and without the module.
    again = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":")) + "\n"
    paths = [row["path"] for row in document["files"]]

    assert again.encode() == data
    assert paths == ["README.md", "participants.tsv", "qc/é.json",
                     "sub-k4x/ses-1/anat/sub-k4x_ses-1_T1w.nii.gz"]  # fmt: skip
    assert document["files"][3]["entities"] == {"sub": "k4x", "ses": "1"}
    assert document["files"][0]["sha256"] == hashlib.sha256(b"# x\n").hexdigest()


def test_the_same_files_give_the_same_release_wherever_and_whenever(release: Path) -> None:
    other = release.parent / "other"
    shutil.copytree(release, other)
    for path in other.rglob("*"):
        os.utime(path, (1, 1))

    digests = [manifest.write(root, "heads", "1.0.0")[0] for root in (release, other)]

    assert (
        digests[0]
        == digests[1]
        == hashlib.sha256((release / "manifest.json").read_bytes()).hexdigest()
    )


def test_sha256sum_agrees(release: Path) -> None:
    ended = subprocess.run(
        ["sha256sum", "--strict", "-c", "manifest.sha256"], cwd=release, capture_output=True,
        check=False,
    )  # fmt: skip

    assert ended.returncode == 0
    assert ended.stdout.count(b": OK") == 5


def test_a_copy_verifies_with_the_standard_library_alone(release: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from xnat_client.release import manifest\n"
        "print(manifest.verify(pathlib.Path(sys.argv[1])))\n"
        "print(sorted(m for m in ('urllib3', 'sqlalchemy', 'pydicom', 'xnat') if m in sys.modules))"
    )

    told = subprocess.check_output([sys.executable, "-c", code, str(release)], text=True)

    assert told.splitlines() == ["[]", "[]"]


def _flip(root: Path) -> None:
    path = root / "sub-k4x/ses-1/anat/sub-k4x_ses-1_T1w.nii.gz"
    path.write_bytes(b"voxelt")


def _rewrite_row(root: Path) -> None:
    text = (root / "manifest.json").read_text()
    (root / "manifest.json").write_text(text.replace('"size_bytes":4', '"size_bytes":5'))


def _pretty(root: Path) -> None:
    document = json.loads((root / "manifest.json").read_text())
    (root / "manifest.json").write_text(json.dumps(document, indent=1))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "one bit of a file": (_flip, "sub-k4x/ses-1/anat/sub-k4x_ses-1_T1w.nii.gz"),
    "a file gone": (lambda root: (root / "participants.tsv").unlink(), "participants.tsv"),
    "a file more": (lambda root: (root / "notes.txt").write_text("x"), "notes.txt"),
    "a row of the manifest": (_rewrite_row, "manifest.sha256"),
    "the manifest's layout": (_pretty, "manifest.json"),
    "the sums": (lambda root: (root / "manifest.sha256").write_text("x"), "manifest.sha256"),
    "no manifest": (lambda root: (root / "manifest.json").unlink(), "manifest.json"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_is_noticed_and_located(change: str, release: Path) -> None:
    act, place = CHANGES[change]

    act(release)

    assert place in {one.path for one in manifest.verify(release)}


def test_another_release_is_not_the_expected_one(release: Path) -> None:
    problems = manifest.verify(release, "0" * 64)

    assert [one.path for one in problems] == ["manifest.json"]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda root: (root / "link").symlink_to("README.md"), id="link"),
        pytest.param(lambda root: os.link(root / "README.md", root / "hard.md"), id="hard link"),
        pytest.param(lambda root: (root / "readme.MD").write_text(""), id="case"),
        pytest.param(lambda root: (root / ".hidden").write_text(""), id="dotted"),
        pytest.param(lambda root: (root / "a:b.json").write_text(""), id="colon"),
        pytest.param(lambda root: (root / "aux.json").write_text(""), id="reserved"),
        pytest.param(lambda root: (root / "end.").write_text(""), id="ends with a dot"),
        pytest.param(lambda root: os.mkfifo(root / "pipe"), id="pipe"),
    ],
)
def test_a_folder_that_not_every_system_can_hold_is_refused(
    make: Callable[[Path], object], release: Path
) -> None:
    make(release)

    with pytest.raises(ManifestError):
        manifest.write(release, "heads", "1.0.0")


def test_the_difference_of_two_versions_names_files_and_participants(release: Path) -> None:
    newer = release.parent / "newer"
    shutil.copytree(release, newer)
    (newer / "README.md").write_text("# y\n")
    (newer / "participants.tsv").unlink()
    (newer / "sub-w9z").mkdir()
    (newer / "sub-w9z" / "sub-w9z_T1w.json").write_text("{}")
    manifest.write(newer, "heads", "1.1.0")

    found = manifest.compare(release, newer)

    assert found.added == ("sub-w9z/sub-w9z_T1w.json",)
    assert found.removed == ("participants.tsv",)
    assert found.changed == ("README.md",)
    assert (found.participants_before, found.participants_after) == (1, 2)
