"""Recordings of every format: found, read for identities, and copied without them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from containers.recordings import (
    DateRule,
    IdentityStrings,
    Recording,
    RecordingFormat,
    RecordingPolicy,
    RefusedFile,
    RefusedRecordingError,
    find_recordings,
    identity_of,
    scrub_recording,
)
from containers.recordings.texts import EventTexts
from tests.builders import recordings as planted

mne = pytest.importorskip("mne", reason="winxnat[eeg-to-bids] is not installed here")

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "edf": lambda folder: planted.write_edf(folder / f"{planted.NAME}.edf"),
    "edf-plain": lambda folder: planted.write_edf(folder / "one.edf", annotated=False),
    "bdf": lambda folder: planted.write_bdf(folder / f"{planted.NAME}.bdf"),
    "brainvision": lambda folder: planted.write_brainvision(folder, planted.NAME),
    "eeglab": lambda folder: planted.write_eeglab(folder, planted.NAME, apart=False),
    "eeglab-fdt": lambda folder: planted.write_eeglab(folder, planted.NAME, apart=True),
    "fif": lambda folder: planted.write_fif(folder / f"{planted.NAME}_raw.fif"),
    "fif-split": lambda folder: planted.write_fif(folder / "long_raw.fif", split=True),
    "ctf": lambda folder: planted.write_ctf(folder, planted.NAME),
    "kit": lambda folder: planted.write_kit(folder / f"{planted.NAME}.con"),
    "kit-points": lambda folder: planted.write_kit_set(folder, planted.NAME),
}
READERS: dict[RecordingFormat, Callable[..., Any]] = {
    RecordingFormat.EDF: mne.io.read_raw_edf,
    RecordingFormat.BDF: mne.io.read_raw_bdf,
    RecordingFormat.BRAINVISION: mne.io.read_raw_brainvision,
    RecordingFormat.EEGLAB: mne.io.read_raw_eeglab,
    RecordingFormat.FIF: mne.io.read_raw_fif,
    RecordingFormat.CTF: mne.io.read_raw_ctf,
    RecordingFormat.KIT: mne.io.read_raw_kit,
}


def read(kind: RecordingFormat, path: Path) -> Any:
    """Read a recording by MNE, an independent reader."""
    # A stim channel to find triggers in is no part of the file.
    options = {"stim": None} if kind is RecordingFormat.KIT else {}
    return READERS[kind](path, preload=True, verbose="error", **options)


def found_one(folder: Path) -> Recording:
    """Return the one recording of a folder in which every file belongs to it."""
    (recording,) = find_recordings(folder)
    assert isinstance(recording, Recording)
    return recording


@pytest.fixture(params=BUILDERS)
def built(request: pytest.FixtureRequest, tmp_path: Path) -> Recording:
    """A planted recording of one format."""
    source = tmp_path / "source"
    source.mkdir()
    BUILDERS[request.param](source)
    return found_one(source)


def everything_in(folder: Path) -> bytes:
    """Return names and contents of all files, once as they are and once without zero bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    names = "\n".join(str(path.relative_to(folder)) for path in files).encode()
    content = b"\n".join(path.read_bytes() for path in files)
    return (names + content + content.replace(b"\x00", b"")).upper()


def test_every_file_is_in_one_recording(built: Recording):
    """All files of the folder are files of the one recording, each once."""
    root = built.main.parent
    present = sorted(path for path in root.rglob("*") if path.is_file())

    assert sorted(built.files) == present


def test_no_planted_identity_is_left(built: Recording, tmp_path: Path):
    """Neither bytes nor names of the copy hold a planted text or date."""
    target = tmp_path / "target"
    target.mkdir()

    scrub_recording(built, target, RecordingPolicy(), stem="clean")

    left = everything_in(target)
    tokens = (*planted.TOKENS, *planted.DATE_SPELLINGS)
    assert [token for token in tokens if token.upper().encode() in left] == []


def test_samples_are_the_same(built: Recording, tmp_path: Path):
    """MNE reads the same channels, rate and samples from source and copy."""
    target = tmp_path / "target"
    target.mkdir()

    report = scrub_recording(built, target, RecordingPolicy(), stem="clean")

    before, after = read(built.format, built.main), read(built.format, report.main)
    assert after.ch_names == before.ch_names
    assert after.info["sfreq"] == before.info["sfreq"]
    np.testing.assert_array_equal(after.get_data(), before.get_data())


def test_onsets_of_events_are_the_same(built: Recording, tmp_path: Path):
    """MNE reads as many annotations at the same seconds from source and copy."""
    target = tmp_path / "target"
    target.mkdir()

    report = scrub_recording(built, target, RecordingPolicy(), stem="clean")

    before, after = (read(built.format, path).annotations for path in (built.main, report.main))
    np.testing.assert_allclose(after.onset, before.onset, atol=1e-4)
    np.testing.assert_allclose(after.duration, before.duration, atol=1e-4)


def test_the_copy_is_the_same_every_time(built: Recording, tmp_path: Path):
    """Two copies of one recording have the same bytes."""
    results = []
    for name in ("first", "second"):
        target = tmp_path / name
        target.mkdir()
        scrub_recording(built, target, RecordingPolicy(), stem="clean")
        results.append(everything_in(target))

    assert results[0] == results[1]


def test_the_source_is_untouched(built: Recording, tmp_path: Path):
    """The files of the source have the same bytes afterwards."""
    target = tmp_path / "target"
    target.mkdir()
    before = {path: path.read_bytes() for path in built.files}

    scrub_recording(built, target, RecordingPolicy(), stem="clean")

    assert {path: path.read_bytes() for path in built.files} == before


def test_a_copy_can_be_scrubbed_again(built: Recording, tmp_path: Path):
    """The copy is found as one recording of the same format."""
    target = tmp_path / "target"
    target.mkdir()

    scrub_recording(built, target, RecordingPolicy(), stem="clean")

    assert found_one(target).format is built.format


@pytest.mark.parametrize("name", ["edf", "bdf", "brainvision", "fif", "ctf", "kit"])
def test_dates_are_shifted(name: str, tmp_path: Path):
    """With a shift of 400 days back, MNE reads the day 400 days before (2018-04-01)."""
    BUILDERS[name](tmp_path)
    recording = found_one(tmp_path)
    target = tmp_path / "target"
    target.mkdir()
    policy = RecordingPolicy(dates=DateRule.SHIFT, shift_days=-400)

    report = scrub_recording(recording, target, policy, stem="clean")

    measured = read(recording.format, report.main).info["meas_date"]
    assert measured.date() == datetime(2018, 4, 1, tzinfo=UTC).date()


def test_sex_and_hand_stay_where_the_policy_says(tmp_path: Path):
    """FIF keeps the codes for female and right-handed, and nothing else of the subject."""
    planted.write_fif(tmp_path / "one_raw.fif")
    target = tmp_path / "target"
    target.mkdir()
    policy = RecordingPolicy(keep_sex=True, keep_handedness=True)

    report = scrub_recording(found_one(tmp_path), target, policy, stem="clean")

    assert dict(read(RecordingFormat.FIF, report.main).info["subject_info"]) == {
        "sex": 2,
        "hand": 1,
    }


@pytest.mark.parametrize("name", ["edf", "bdf", "fif", "ctf", "kit"])
def test_identities_are_read(name: str, tmp_path: Path):
    """The planted name is among the identities of the header."""
    path = BUILDERS[name](tmp_path)
    # Not by the name of the file, which holds it in other tests.
    if name != "ctf":
        path.rename(tmp_path / f"a{''.join(path.suffixes)}")

    found = identity_of(found_one(tmp_path))

    assert planted.NAME in found.texts
    assert planted.NAME not in repr(found)


def test_known_identities_are_looked_for_in_events(tmp_path: Path):
    """An event text that the study knows as an identity is replaced, its time stays."""
    planted.write_edf(tmp_path / "one.edf")
    target = tmp_path / "target"
    target.mkdir()
    known = IdentityStrings(frozenset({"closed"}))

    report = scrub_recording(
        found_one(tmp_path), target, RecordingPolicy(), stem="clean", known=known
    )

    after = read(RecordingFormat.EDF, report.main).annotations
    assert list(after.description) == ["eyes open", "event-1", "event-2"]
    np.testing.assert_allclose(after.onset, [0.5, 1.0, 2.0])


def test_split_fif_is_read_whole(tmp_path: Path):
    """The parts name each other by their new names, which are those of BIDS."""
    planted.write_fif(tmp_path / "long_raw.fif", split=True)
    target = tmp_path / "target"
    target.mkdir()

    report = scrub_recording(
        found_one(tmp_path), target, RecordingPolicy(), stem="sub-01_task-rest_meg"
    )

    assert len(report.outputs) > 1
    assert report.outputs[0].name == "sub-01_task-rest_split-01_meg.fif"
    assert read(RecordingFormat.FIF, report.main).n_times == 200_000


@pytest.mark.parametrize(
    ("texts", "kept"),
    [
        (["Sleep stage W", "Sleep stage ?", "Lights off"], [True, True, True]),
        (["S  1", "R128", "stim/left", "42"], [True, True, True, True]),
        (["famous"] * 3, [True]),
        (["famous"], [False]),
        (["spoke with relatives of the patient"], [False]),
        (["left at 10:15", "rest 2020-01-31", "call 0123456789"], [False, False, False]),
        (["Dr. Right", "mail a@b.org", "/home/right/left"], [False, False, False]),
    ],
)
def test_texts_of_events(texts: list[str], kept: list[bool]):
    """Words of the laboratory, codes and recurring labels stay; notes, names and times go."""
    events = EventTexts(texts, (), keep_checked=False)

    assert [events[text] == text for text in dict.fromkeys(texts)] == kept


def test_renamed_eeglab_files_are_found(tmp_path: Path):
    """A .set whose .fdt was renamed with it is read, and copied with the same samples."""
    planted.write_eeglab(tmp_path, "before", apart=True)
    for path in sorted(tmp_path.iterdir()):
        path.rename(path.with_stem("after"))
    target = tmp_path / "target"
    target.mkdir()

    scrub_recording(found_one(tmp_path), target, RecordingPolicy(), stem="clean")

    assert (target / "clean.fdt").read_bytes() == (tmp_path / "after.fdt").read_bytes()


def test_kit_points_stay_where_they_are(tmp_path: Path):
    """MNE computes the same place of the head from markers and points before and after."""
    main = planted.write_kit_set(tmp_path, "one")
    target = tmp_path / "target"
    target.mkdir()

    scrub_recording(found_one(tmp_path), target, RecordingPolicy(), stem="clean")

    infos = [
        mne.io.read_raw_kit(
            folder / f"{stem}.con",
            mrk=folder / f"{stem}{markers}.mrk",
            elp=folder / f"{stem}.elp",
            hsp=folder / f"{stem}.hsp",
            stim=None,
            verbose="error",
        ).info
        for folder, stem, markers in ((main.parent, "one", "_mrk"), (target, "clean", "_markers"))
    ]
    np.testing.assert_array_equal(*(info["dev_head_t"]["trans"] for info in infos))
    np.testing.assert_array_equal(*([point["r"] for point in info["dig"]] for info in infos))


@pytest.mark.parametrize("name", BUILDERS)
def test_cut_files_are_refused(name: str, tmp_path: Path):
    """A recording with a file that was cut off is refused, or nothing of it is written."""
    source = tmp_path / "source"
    source.mkdir()
    BUILDERS[name](source)
    main = max(source.rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    content = main.read_bytes()
    written = []

    for size in (len(content) - 1, len(content) // 2 - 1, 300, 101, 9):
        main.write_bytes(content[:size])
        into = tmp_path / str(size)
        into.mkdir()
        for number, found in enumerate(find_recordings(source)):
            whole = into / str(number)
            whole.mkdir()
            # The parts of a split recording that are left may be read without the others.
            if isinstance(found, Recording) and main in found.files and copied(found, whole):
                written.append(size)
            else:
                assert isinstance(found, RefusedFile) or list(whole.iterdir()) == []

    assert written == []


def copied(recording: Recording, target: Path) -> bool:
    """Scrub; tell whether it was done, False for a refusal."""
    try:
        scrub_recording(recording, target, RecordingPolicy(), stem="clean")
    except RefusedRecordingError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in BUILDERS if "split" not in name])
def test_garbled_files_never_crash(name: str, tmp_path: Path):
    """With bytes replaced at random, a copy is written or the recording is refused."""
    source = tmp_path / "source"
    source.mkdir()
    BUILDERS[name](source)
    random = np.random.default_rng(7)
    files = [path for path in sorted(source.rglob("*")) if path.is_file()]
    originals = {path: path.read_bytes() for path in files}
    left_tokens = []

    for attempt in range(40):
        for path, content in originals.items():
            garbled = bytearray(content)
            for place in random.integers(0, min(len(content), 4000), 8):
                garbled[place] = random.integers(0, 256)
            path.write_bytes(bytes(garbled))
        target = tmp_path / f"target{attempt}"
        target.mkdir()
        for number, found in enumerate(find_recordings(source)):
            if isinstance(found, Recording):
                into = target / str(number)
                into.mkdir()
                if not copied(found, into):
                    assert list(into.iterdir()) == []
        left = everything_in(target)
        left_tokens += [token for token in planted.TOKENS if token.encode() in left]

    assert left_tokens == []


def test_files_that_are_no_recordings_are_refused_once(tmp_path: Path):
    """Each other file is named once with a reason that names what is supported."""
    (tmp_path / "a.txt").write_text("hello")
    (tmp_path / "empty.edf").touch()
    (tmp_path / "scan.dcm").write_bytes(bytes(128) + b"DICM" + bytes(64))
    (tmp_path / "pet.v").write_bytes(b"MATRIX72v" + bytes(600))
    (tmp_path / "orphan.eeg").write_bytes(bytes(64))
    (tmp_path / "link.edf").symlink_to(tmp_path / "a.txt")

    found = {each.path.name: each.reason for each in find_recordings(tmp_path)}  # type: ignore[union-attr]

    assert sorted(found) == ["a.txt", "empty.edf", "link.edf", "orphan.eeg", "pet.v", "scan.dcm"]
    assert "dicom-to-bids" in found["scan.dcm"]
    assert "supported are EDF" in found["pet.v"]


@pytest.mark.samples
@pytest.mark.parametrize("name", ["test_generator.edf", "test_utf8.edf"])
def test_sample_recordings(name: str, samples: Path, tmp_path: Path):
    """PyEDFlib reads the same digital samples, and no patient, from the samples' copies."""
    pyedflib = pytest.importorskip("pyedflib")
    source = samples / "dicom" / "eeg_edf_bdf" / name
    recording = Recording(RecordingFormat.EDF, source, (source,))

    report = scrub_recording(recording, tmp_path, RecordingPolicy(), stem="clean")

    with pyedflib.EdfReader(str(source)) as before, pyedflib.EdfReader(str(report.main)) as after:
        assert after.getPatientName() == "X"
        assert after.getBirthdate() == after.getTechnician() == after.getAdmincode() == ""
        for number in range(before.signals_in_file):
            np.testing.assert_array_equal(
                after.readSignal(number, digital=True), before.readSignal(number, digital=True)
            )
