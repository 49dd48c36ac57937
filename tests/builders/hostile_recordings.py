"""EEG recordings with tokens in every text field that the formats' usual writers fill."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import mne
import numpy as np
import pybv
import scipy.io

from tests.builders.planted_tokens import Tokens

_SIGNALS = np.random.default_rng(0).normal(size=(3, 500)) * 1e-6
_MEASURED_AT = datetime(2019, 5, 6, 7, 8, 9, tzinfo=UTC)


def write_hostile_recordings(folder: Path) -> dict[str, str]:
    """Write FIF, EDF, BrainVision and EEGLAB; return the token of each place."""
    tokens: dict[str, str] = {}
    words = Tokens(1_500_000)

    def plant(where: str) -> str:
        tokens[where] = words.word()
        return tokens[where]

    for name in ("fif", "edf", "brainvision", "eeglab"):
        (folder / name).mkdir(parents=True)
    raw = mne.io.RawArray(_SIGNALS, _info(plant), verbose="error")
    raw.set_meas_date(_MEASURED_AT)
    notes = ["blink", f"Mr {plant('annotation')}", plant("second annotation")]
    marks = mne.Annotations([0.1, 1, 2], [0.1] * 3, notes, orig_time=_MEASURED_AT)
    raw.set_annotations(marks, verbose="error")
    raw.save(folder / "fif" / "x_raw.fif", verbose="error")
    mne.export.export_raw(folder / "edf" / "x.edf", raw, verbose="error")
    _edf(folder / "edf" / "x.edf", plant)
    _brainvision(folder / "brainvision", plant)
    _eeglab(folder / "eeglab" / "a.set", plant)
    return tokens


def _info(plant: Callable[[str], str]) -> mne.Info:
    info = mne.create_info(["EEG001", "EEG002", plant("channel")], 100.0, "eeg")
    with info._unlock():
        info["subject_info"] = {
            "id": 77, "his_id": plant("his_id"), "last_name": plant("last name"),
            "first_name": plant("first name"), "middle_name": plant("middle name"),
            "birthday": date(1971, 3, 4), "sex": 1, "hand": 1,
        }  # fmt: skip
        info["device_info"] = {
            key: plant(f"device {key}") for key in ("type", "model", "serial", "site")
        }
        for key in ("experimenter", "description", "proj_name", "acq_pars", "acq_stim"):
            info[key] = plant(key)
        info["utc_offset"] = "+05:30"
    return info


def _edf(path: Path, plant: Callable[[str], str]) -> None:
    """Fill the header's fields by their place (EDF+ specification, section 2.1)."""
    data = bytearray(path.read_bytes())
    signals = int(data[252:256])

    def put(start: int, length: int, text: str) -> None:
        data[start : start + length] = text.encode().ljust(length)[:length]

    put(8, 80, f"{plant('patient code')} F 04-MAR-1971 {plant('patient')}")
    put(
        88, 80, f"Startdate 06-MAY-2019 {plant('admin')} {plant('technician')} {plant('equipment')}"
    )
    put(192, 44, f"EDF+C {plant('reserved')}")
    put(256 + 16 * signals, 80, plant("transducer"))
    put(256 + (16 + 80 + 5 * 8) * signals, 80, plant("prefilter"))
    path.write_bytes(bytes(data))


def _brainvision(folder: Path, plant: Callable[[str], str]) -> None:
    pybv.write_brainvision(
        data=_SIGNALS[:2], sfreq=100, ch_names=["Fp1", plant("BrainVision channel")],
        fname_base="rest", folder_out=str(folder), meas_date="20190506070809000000",
        events=[
            {"onset": 10, "duration": 1, "description": 1, "type": "Stimulus"},
            {"onset": 20, "duration": 1, "description": plant("marker"), "type": "Comment"},
        ],
    )  # fmt: skip
    header = folder / "rest.vhdr"
    header.write_text(
        f"{header.read_text()}\n[Comment]\nPatient: {plant('comment')}\nSerial: {plant('serial')}\n"
        f"[User Infos]\nProp1=string,subject,{plant('property')}\n[{plant('section')}]\n"
        f"x={plant('value')}\n"
    )


def _eeglab(path: Path, plant: Callable[[str], str]) -> None:
    texts = {
        key: plant(f"EEGLAB {key}")
        for key in ("setname", "subject", "group", "condition", "comments", "ref")
    }
    channels = [("Cz",), (plant("EEGLAB channel"),)]
    events = [("stim", 10.0), (plant("EEGLAB event"), 20.0)]
    samples = _SIGNALS[:2].astype("f4")
    recording = {
        **texts, "filename": "a.set", "filepath": f"/home/{plant('path')}", "session": 1,
        "nbchan": 2.0, "trials": 1.0, "pnts": 500.0, "srate": 100.0, "xmin": 0.0, "xmax": 4.99,
        "times": np.arange(500.0), "data": samples, "icaweights": [], "icasphere": [],
        "icawinv": [], "icachansind": [], "icaact": [], "epoch": [], "urevent": [],
        "chanlocs": np.array(channels, dtype=[("labels", "O")]),
        "event": np.array(events, dtype=[("type", "O"), ("latency", "O")]),
        "history": f"EEG = pop_load('{plant('history')}')", "etc": {"note": plant("etc")},
        "saved": "no", "datfile": "",
    }  # fmt: skip
    scipy.io.savemat(path, {"EEG": recording, "other": plant("other variable")}, appendmat=False)
