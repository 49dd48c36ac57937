"""Recordings in the check: identities in headers are seen, clean headers of MEG pass."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import mne
import pytest

from containers.check_identity import KnownKind, KnownString, KnownStrings, Status, check_tree
from containers.contract import StepInput
from containers.scrub_headers.step import run
from tests.builders.recordings import (
    write_bdf,
    write_brainvision,
    write_ctf,
    write_edf,
    write_eeglab,
    write_fif,
    write_kit_set,
)

KNOWN = KnownStrings.of([KnownString(KnownKind.NAME, "Zqxpcjlv^Wumbo")])
WRITERS: dict[str, Callable[[Path], object]] = {
    "edf": lambda folder: write_edf(folder / "a.edf"),
    "bdf": lambda folder: write_bdf(folder / "a.bdf"),
    "brainvision": lambda folder: write_brainvision(folder, "rest"),
    "eeglab": lambda folder: write_eeglab(folder, "rest", apart=True),
    "fif": lambda folder: write_fif(folder / "rest_raw.fif", dug=True),
    "ctf": lambda folder: write_ctf(folder, "rest"),
    "kit": lambda folder: write_kit_set(folder, "rest"),
}


@pytest.fixture(params=sorted(WRITERS))
def original(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A folder with one recording that holds identities."""
    folder = tmp_path / "original"
    folder.mkdir()
    WRITERS[request.param](folder)
    return folder


def scrubbed(original: Path, work: Path) -> Path:
    """Return the scrubbed copy of a folder."""
    (work / "out").mkdir(parents=True)
    (work / "scratch").mkdir()
    run(StepInput("scrub-headers", original, work / "out", work / "scratch", {}))
    return work / "out" / "scrubbed"


def test_headers_of_originals_are_not_met(original: Path):
    """What the writers put into the headers fails the criterion for recordings."""
    assert check_tree(original, KNOWN).outcome(35).status is Status.FAIL


def test_scrubbed_recordings_are_clean(original: Path, tmp_path: Path):
    """Every file of a scrubbed recording is understood, and no header field is left over."""
    assert check_tree(scrubbed(original, tmp_path / "work"), KNOWN).is_clean


@pytest.fixture
def clean_fif(tmp_path: Path) -> Path:
    """A scrubbed FIF file in a folder of its own."""
    folder = tmp_path / "original"
    folder.mkdir()
    write_fif(folder / "rest_raw.fif")
    return next(scrubbed(folder, tmp_path / "work").glob("*.fif"))


def test_annotations_are_labels_and_are_searched(clean_fif: Path, tmp_path: Path):
    """A comment of annotations passes; one with a known name in it does not."""
    raw = mne.io.read_raw_fif(clean_fif, verbose="error")
    for number, text in enumerate(("blink", "wumbo moved")):
        folder = tmp_path / str(number)
        folder.mkdir()
        raw.set_annotations(mne.Annotations([0.1], [0.1], [text]), verbose="error")
        raw.save(folder / "rest_raw.fif", verbose="error")
    places = [
        {place.inside for place in check_tree(tmp_path / name, KNOWN).outcome(8).places}
        for name in ("0", "1")
    ]

    assert not places[0]
    assert "tag 206" in places[1]
    found = check_tree(tmp_path / "0", KNOWN).outcome(35).places
    assert "tag 206, description" not in {place.inside for place in found}


def test_the_description_of_the_measurement_is_none_of_the_labels(clean_fif: Path, tmp_path: Path):
    """Outside annotations the same tag is a description of the study, which must be blank."""
    raw = mne.io.read_raw_fif(clean_fif, verbose="error")
    raw.info["description"] = "harmless words"
    (tmp_path / "new").mkdir()
    raw.save(tmp_path / "new" / "rest_raw.fif", verbose="error")

    found = check_tree(tmp_path / "new", KNOWN).outcome(35).places

    assert "tag 206, description" in {place.inside for place in found}


def test_a_section_of_kit_that_no_reader_knows_is_refused(tmp_path: Path):
    """Sections 2 and 3, of which the maker says nothing, hold the patient in real files."""
    folder = tmp_path / "original"
    folder.mkdir()
    write_kit_set(folder, "rest")
    copy = scrubbed(folder, tmp_path / "work")
    path = next(copy.glob("*.con"))
    data = bytearray(path.read_bytes())
    struct.pack_into("<iiii", data, 2 * 16, len(data), 8, 1, 1)
    path.write_bytes(bytes(data) + b"Zebedee\0")

    found = check_tree(copy, KNOWN).outcome(35)

    assert found.status is Status.FAIL
    assert {place.inside for place in found.places} == {"section 2"}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("MarkerFile.mrk", "PATH OF DATASET:\n/data/somebody.ds\n"),
        ("MarkerFile.mrk", "COMMENT:\nsaw somebody\n"),
        ("rest.hc", "# somebody\n"),
    ],
)
def test_helpers_of_ctf_hold_no_path_and_no_comment(tmp_path: Path, name: str, line: str):
    """Text files of CTF are understood, with the lines in which people write."""
    (tmp_path / name).write_text(line)

    result = check_tree(tmp_path, KNOWN)

    assert result.outcome(26).status is Status.PASS
    assert result.outcome(35).status is Status.FAIL


def test_bytes_behind_a_text_of_ctf_are_found(tmp_path: Path):
    """A date field is not clean because its text is: what stands behind the NUL counts."""
    folder = tmp_path / "original"
    folder.mkdir()
    write_ctf(folder, "rest")
    copy = shutil.copytree(scrubbed(folder, tmp_path / "work"), tmp_path / "copy")
    path = next(copy.rglob("*.res4"))
    data = bytearray(path.read_bytes())
    data[1100:1107] = b"Zebedee"
    path.write_bytes(bytes(data))

    assert check_tree(copy, KNOWN).outcome(35).status is Status.FAIL
