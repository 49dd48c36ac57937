"""The step winqc on EEG and MEG: files by MNE-Python and pyedflib, whole and broken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from containers.contract import ExitCode, StepInput, StepReport

pytest.importorskip("mne", reason="winxnat[winqc] is not installed here")

import mne
import pybv

from containers.winqc.step import run
from tests.builders.bids_conversion import all_bytes

SAMPLING_HZ = 200.0


def measure(folder: Path, work: Path) -> tuple[StepReport, Path]:
    output, scratch = work / "output", work / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    given = {"modality": "auto", "defaced": "unknown"}
    return run(StepInput("winqc", folder, output, scratch, given)), output


def only_record(output: Path) -> dict[str, object]:
    (path,) = (output / "qc").glob("*.json")
    record = json.loads(path.read_text())
    assert isinstance(record, dict)
    return record


def write_fif(path: Path, *, head_moves_mm: float | None = None) -> None:
    """Write 20 seconds of twelve EEG, twelve magnetometer and MaxFilter's head channels."""
    rng = np.random.default_rng(3)
    length = round(20 * SAMPLING_HZ)
    names = [f"MEG{place:03d}" for place in range(12)]
    kinds = ["mag"] * 12
    samples = rng.normal(size=(12, length)) * 1e-12
    if head_moves_mm is not None:
        names += [f"QUAT{place:03d}" for place in range(1, 7)]
        kinds += ["chpi"] * 6
        head = np.zeros((6, length))
        head[4] = 0.04
        head[5, length // 2 + 1 :] = head_moves_mm / 1000
        samples = np.concatenate([samples, head])
    raw = mne.io.RawArray(samples, mne.create_info(names, SAMPLING_HZ, kinds), verbose="error")
    path.parent.mkdir(parents=True, exist_ok=True)
    raw.save(path, verbose="error")


def write_eeg(path: Path) -> None:
    """Write BrainVision by pybv, with an eye channel that is no electrode."""
    rng = np.random.default_rng(4)
    samples = rng.normal(size=(9, round(20 * SAMPLING_HZ))) * 1e-5
    samples[:8] += rng.normal(size=samples.shape[1]) * 3e-5
    samples[8] *= 100
    path.parent.mkdir(parents=True, exist_ok=True)
    pybv.write_brainvision(
        data=samples,
        sfreq=SAMPLING_HZ,
        ch_names=[*(f"E{place}" for place in range(8)), "eye"],
        fname_base=path.name,
        folder_out=str(path.parent),
    )
    rows = [*(f"E{place}\tEEG\tuV" for place in range(8)), "eye\tEOG\tuV"]
    table = path.with_name(f"{path.name.rpartition('_')[0]}_channels.tsv")
    table.write_text("\n".join(["name\ttype\tunits", *rows]) + "\n")


def test_a_recording_is_measured_by_its_electrodes_alone(tmp_path: Path):
    """The loud eye channel is no bad electrode: channels.tsv says what it is."""
    write_eeg(tmp_path / "in" / "sub-1_task-rest_eeg")

    report, output = measure(tmp_path / "in", tmp_path)

    record = only_record(output)
    assert (report.exit_code, record["channels_num"], record["bad_channels_num"]) == (0, 8, 0)
    assert record["duration"] == 20.0
    names = sorted(path.name for path in (output / "qc").iterdir())
    assert names == [
        "sub-1_task-rest_desc-winqc_eeg.html",
        "sub-1_task-rest_desc-winqc_eeg.json",
        "sub-1_task-rest_desc-winqc_eeg_eeg.png",
        "winqc.tsv",
    ]


def test_head_motion_is_read_from_head_positions(tmp_path: Path):
    """A head that moves 8 mm in the second half is 8 mm from its median place."""
    write_fif(tmp_path / "in" / "sub-1_task-rest_meg.fif", head_moves_mm=8.0)

    _, output = measure(tmp_path / "in", tmp_path)

    assert only_record(output)["head_motion_range"] == pytest.approx(8.0, rel=1e-4)


def test_a_head_that_was_not_followed_has_no_motion(tmp_path: Path):
    """Null and the reason, not zero."""
    write_fif(tmp_path / "in" / "sub-1_task-rest_meg.fif")

    _, output = measure(tmp_path / "in", tmp_path)

    record = only_record(output)
    assert record["head_motion_range"] is None
    undefined = record["undefined"]
    assert isinstance(undefined, dict)
    assert undefined["head_motion_range"] == "The head's place was not recorded over time."


def test_equal_recordings_give_equal_bytes(tmp_path: Path):
    """Twice the same folder."""
    write_eeg(tmp_path / "in" / "sub-1_task-rest_eeg")

    first = measure(tmp_path / "in", tmp_path / "a")[1]
    second = measure(tmp_path / "in", tmp_path / "b")[1]

    assert all_bytes(first / "qc") == all_bytes(second / "qc")


def test_a_broken_recording_does_not_cost_the_others(tmp_path: Path):
    """One cut in the middle of its samples, one whole: one failed, one done."""
    write_eeg(tmp_path / "in" / "a" / "sub-1_task-rest_eeg")
    write_eeg(tmp_path / "in" / "b" / "sub-2_task-rest_eeg")
    data = tmp_path / "in" / "b" / "sub-2_task-rest_eeg.eeg"
    data.write_bytes(b"")

    report, output = measure(tmp_path / "in", tmp_path)

    assert {row.subject: row.outcome for row in report.accounted} == {
        "sub-1_task-rest_eeg": "done",
        "sub-2_task-rest_eeg": "failed",
    }
    assert len(list((output / "qc").glob("*.json"))) == 1


def test_names_that_are_no_bids_names_are_not_repeated(tmp_path: Path):
    """A file may be called after a person."""
    write_eeg(tmp_path / "made" / "QQPLANTED_eeg")
    shutil.move(tmp_path / "made", tmp_path / "in")

    report, output = measure(tmp_path / "in", tmp_path)

    assert report.exit_code == ExitCode.DONE
    assert b"QQPLANTED" not in b"".join(all_bytes(output).values())
    assert [row.subject for row in report.accounted] == ["recording-1"]
