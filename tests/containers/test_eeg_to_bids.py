"""Sessions of EEG and MEG to BIDS, judged by the BIDS validator, MNE-BIDS and the bytes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands import eeg_to_bids as definition
from containers.contract import BadInputError, StepReport, UsageError
from containers.step_run import run_step
from containers.steps import load_step
from tests.builders import recordings as planted

mne = pytest.importorskip("mne", reason="winxnat[eeg-to-bids] is not installed here")
mne_bids = pytest.importorskip("mne_bids")

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "edf": lambda folder: planted.write_edf(folder / f"{planted.NAME}_rest.edf"),
    "bdf": lambda folder: planted.write_bdf(folder / "one.bdf"),
    "brainvision": lambda folder: planted.write_brainvision(folder, planted.NAME),
    "eeglab": lambda folder: planted.write_eeglab(folder, "one", apart=False),
    "eeglab-fdt": lambda folder: planted.write_eeglab(folder, "one", apart=True),
    "fif": lambda folder: planted.write_fif(folder / "one_raw.fif"),
    "fif-digitised": lambda folder: planted.write_fif(folder / "one_raw.fif", dug=True),
    "fif-split": lambda folder: planted.write_fif(folder / "one_raw.fif", split=True),
    "ctf": lambda folder: planted.write_ctf(folder, planted.NAME),
    "kit": lambda folder: planted.write_kit_set(folder, planted.NAME),
}


def convert(source: Path, output: Path, **values: Any) -> StepReport:
    """Run the step as ``winxnat run eeg-to-bids`` does."""
    output.mkdir(exist_ok=True)
    parameters = {
        "subject-label": "P01",
        "session-label": "S1",
        "dates": "remove",
        "line-frequency": "50",
        "allow-invalid": False,
    }
    parameters |= {key.replace("_", "-"): value for key, value in values.items()}
    command = definition.COMMAND
    return run_step(command, load_step(command.name), source, output, parameters)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file by its path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def read_table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table of BIDS."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.fixture(scope="module")
def whole_session(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as XNAT mounts it, with a planted recording of every format."""
    folder = tmp_path_factory.mktemp("session")
    for number, build in enumerate(BUILDERS.values(), start=1):
        scan = folder / "SCANS" / str(number) / "EEG"
        scan.mkdir(parents=True)
        build(scan)
    return folder


@pytest.fixture(scope="module")
def converted(
    whole_session: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StepReport, Path]:
    """Report and output of converting it."""
    output = tmp_path_factory.mktemp("converted")
    return convert(whole_session, output), output


def test_every_format_becomes_valid_bids(converted: tuple[StepReport, Path]):
    """The official validator finds no error, and every recording is in the tree."""
    report, _output = converted

    assert report.facts["validator_errors"] == 0
    assert [row.outcome for row in report.accounted] == ["done"] * len(BUILDERS)


def test_no_planted_identity_is_left(converted: tuple[StepReport, Path]):
    """No planted text or date is in any byte or name of tree and report."""
    found = contents(converted[1])

    everything = b"\n".join(name.encode() + content for name, content in found.items()).upper()
    everything += everything.replace(b"\x00", b"")
    tokens = (*planted.TOKENS, *planted.DATE_SPELLINGS)
    assert [token for token in tokens if token.upper().encode() in everything] == []


def test_a_single_recording_without_digitised_points_is_valid(tmp_path: Path):
    """A FIF file without head points has no empty coordinates that the validator refuses."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_fif(source / "one_raw.fif")

    report = convert(source, output)

    assert report.facts["validator_errors"] == 0


def test_a_second_run_gives_the_same_bytes(
    whole_session: Path, converted: tuple[StepReport, Path], tmp_path: Path
):
    """Tree and account of two runs over all formats are the same byte for byte."""
    convert(whole_session, tmp_path)

    assert contents(tmp_path / "bids") == contents(converted[1] / "bids")
    for name in ("account.json", "report.html"):
        expected = (converted[1] / "report" / name).read_bytes()
        assert (tmp_path / "report" / name).read_bytes() == expected


def test_different_places_of_electrodes_are_told(tmp_path: Path):
    """The table of electrodes is that of the first recording, and a warning says so."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_eeglab(source, "a", apart=True)
    planted.write_eeglab(source, "b", apart=True, up_m=0.05)

    report = convert(source, output)

    assert any("elsewhere" in warning for warning in report.warnings)
    assert len(list(output.rglob("*_electrodes.tsv"))) == 1


@pytest.mark.parametrize("name", ["edf", "brainvision", "eeglab", "fif-split", "ctf"])
def test_mne_bids_reads_the_same_samples(name: str, tmp_path: Path):
    """MNE-BIDS reads from the tree what MNE reads from the source."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    main = BUILDERS[name](source)
    convert(source, output, task="faces")
    kind = "meg" if name in {"fif-split", "ctf"} else "eeg"
    path = mne_bids.BIDSPath(
        root=output / "bids", subject="P01", session="S1", task="faces", datatype=kind, suffix=kind
    )

    after = mne_bids.read_raw_bids(
        path.update(split="01") if "split" in name else path, verbose="error"
    )

    reader = mne.io.read_raw_ctf if name == "ctf" else mne.io.read_raw
    before = reader(main, verbose="error")
    assert after.ch_names == before.ch_names
    np.testing.assert_array_equal(after.get_data(), before.get_data())


def test_events_of_notes_and_triggers_are_kept(tmp_path: Path):
    """Two annotations and the triggers 3 and 5 at their seconds are in the table of events."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_fif(source / "one_raw.fif")

    convert(source, output)

    rows = read_table(next(output.rglob("*_events.tsv")))
    assert sorted((float(row["onset"]), row["trial_type"]) for row in rows) == [
        (0.5, "BAD_blink"),
        (1.0, "event-1"),
        (1.0, "trigger-3"),
        (2.0, "trigger-5"),
    ]


def test_electrodes_keep_their_places(tmp_path: Path):
    """The coordinates of an EEGLAB set (in mm) are in the table of electrodes."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_eeglab(source, "one", apart=True)

    convert(source, output)

    rows = read_table(next(output.rglob("*_electrodes.tsv")))
    assert [row["name"] for row in rows] == list(planted.CHANNELS)


def test_task_and_runs_come_from_names(tmp_path: Path):
    """Two recordings of one task are runs 1 and 2; a third has its own task."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    for name in ("a_task-oddball.edf", "b_task-oddball.edf", "c_rest.edf"):
        planted.write_edf(source / name)

    report = convert(source, output)

    names = sorted(path.name for path in output.rglob("*_eeg.edf"))
    assert names == [
        "sub-P01_ses-S1_task-oddball_run-1_eeg.edf",
        "sub-P01_ses-S1_task-oddball_run-2_eeg.edf",
        "sub-P01_ses-S1_task-rest_eeg.edf",
    ]
    assert report.warnings == ()


def test_a_task_that_is_an_identity_is_not_taken(tmp_path: Path):
    """A task in a file's name that is also in its header becomes unknown, with a warning."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_edf(source / f"a_task-{planted.NAME}.edf")

    report = convert(source, output)

    assert [path.name for path in output.rglob("*_eeg.edf")] == [
        "sub-P01_ses-S1_task-unknown_eeg.edf"
    ]
    assert "task" in report.warnings[0]


def test_one_bad_recording_does_not_stop_the_others(tmp_path: Path):
    """Each file is accounted for once: one converted, one refused, one left out."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_edf(source / "a_rest.edf")
    whole = planted.write_edf(source / "b.edf").read_bytes()
    (source / "b.edf").write_bytes(whole[:-7])
    (source / "notes.txt").write_text(planted.NOTE)

    report = convert(source, output)

    assert [(row.subject, row.outcome) for row in report.accounted] == [
        ("1: EDF recording", "done"),
        ("2: EDF recording", "failed"),
        ("3: file (.txt)", "left-out"),
    ]
    assert planted.NAME.encode() not in b"".join(contents(output / "report").values())


def test_dates_shift_by_days(tmp_path: Path):
    """With -400 days, 2019-05-06 becomes 2018-04-01 in the table of scans."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_fif(source / "one_raw.fif")

    convert(source, output, dates="shift", shift_days="-400")

    (row,) = read_table(next(output.rglob("*_scans.tsv")))
    assert row["acq_time"].startswith("2018-04-01T07:08:09")


def test_scans_have_no_times_without_dates(tmp_path: Path):
    """By default the table of scans has the names of the files only."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_fif(source / "one_raw.fif")

    convert(source, output)

    (row,) = read_table(next(output.rglob("*_scans.tsv")))
    assert row == {"filename": "meg/sub-P01_ses-S1_task-unknown_meg.fif"}


def test_other_modalities_are_refused_by_what_is_supported(tmp_path: Path):
    """A folder of PET, DICOM and NIfTI is refused with the list of formats."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    (source / "pet.v").write_bytes(b"MATRIX72v" + bytes(600))
    (source / "scan").write_bytes(bytes(128) + b"DICM" + bytes(64))

    with pytest.raises(BadInputError, match=r"(?s)dicom-to-bids.*EDF, BDF, BrainVision, EEGLAB"):
        convert(source, output)

    assert list(output.iterdir()) == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"dates": "shift"}, "shift-days"),
        ({"shift_days": "10"}, "dates=shift"),
        ({"dates": "shift", "shift_days": "0"}, "shift-days"),
        ({"subject_label": "___"}, "subject label"),
    ],
)
def test_wrong_parameters_are_refused(values: dict[str, str], named: str, tmp_path: Path):
    """The message names the parameter, and nothing is written."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_edf(source / "a.edf")

    with pytest.raises(UsageError, match=named):
        convert(source, output, **values)

    assert list(output.iterdir()) == []


@pytest.mark.samples
def test_sample_recordings(samples: Path, tmp_path: Path):
    """The two sample files become one valid tree without the header's names and dates."""
    output = tmp_path / "output"

    report = convert(samples / "dicom" / "eeg_edf_bdf", output)

    assert report.facts["validator_errors"] == 0
    everything = b"".join(contents(output).values()).lower()
    for text in (b"muller", b"abcxyz99", b"spotty", b"30-jun-1969", b"20-jan-1998"):
        assert text not in everything
    assert [row.outcome for row in report.accounted] == ["left-out", "done", "done"]


def test_the_report_tells_what_was_taken_out_without_values(tmp_path: Path):
    """The account counts the patient field of the EDF header once."""
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    planted.write_edf(source / "a.edf")

    convert(source, output)

    account = json.loads((output / "report" / "account.json").read_text("utf-8"))
    assert account["taken_out"]["EDF patient field"] == 1
