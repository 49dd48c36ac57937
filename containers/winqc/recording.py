"""Measures one EEG or MEG recording: from files to record, picture and page.

Not here: the measures (``qc.electrophysiology``), formats and what belongs together
(``containers.recordings``).
"""

from __future__ import annotations

import csv
import hashlib
import re
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import numpy as np
from numpy.typing import NDArray

from commands.version import distribution_version
from containers.recordings import Recording, RecordingFormat, find_recordings
from containers.winqc.find import BIDS_NAME
from containers.winqc.one_image import Result, read_sidecar
from qc.electrophysiology import (
    PIPELINE,
    Recorded,
    head_motion,
    look_through,
    measure_recording,
)
from qc.measure import Measures, UndefinedMeasureError
from qc.record import RecordedSource, make_recording_record
from qc.report.channels import draw_channels
from qc.report.page import make_page

_BLOCK_S = 10.0
_KINDS = ("eeg", "mag", "grad")
_BIDS_KINDS = {
    "EEG": "eeg", "MEGMAG": "mag", "MEGGRADAXIAL": "grad", "MEGGRADPLANAR": "grad",
}  # fmt: skip
_MM = 1000.0
_TRANSLATIONS = ("QUAT004", "QUAT005", "QUAT006")
_ROTATIONS = ("QUAT001", "QUAT002", "QUAT003")
_HEAD_RADIUS_M = 0.09
_COIL = re.compile(r"HLC00([123])([123])\S*")
_MOTION_NAMES = ("head_motion_range", "head_motion_mean")


class UnreadableRecordingError(Exception):
    """A recording cannot be measured; the message is a sentence without identity."""


@dataclass(frozen=True, slots=True)
class FoundRecording:
    """One recording; ``name`` is its BIDS name, or ``recording-2``."""

    recording: Recording
    name: str


def find(folder: Path) -> tuple[FoundRecording, ...]:
    """Return the recordings below a folder, in the order of their paths."""
    found: list[FoundRecording] = []
    taken: set[str] = set()
    for each in find_recordings(folder):
        if not isinstance(each, Recording):
            continue
        stem = each.main.name.split(".")[0]
        number = len(found) + 1
        name = stem if BIDS_NAME.fullmatch(stem) and stem not in taken else f"recording-{number}"
        taken.add(name)
        found.append(FoundRecording(each, name))
    return tuple(found)


def measure_found(found: FoundRecording) -> Result:
    """Measure one recording.

    Raises
    ------
    UnreadableRecordingError
        It cannot be read, or has no EEG or MEG channels.
    """
    raw = _open(found.recording)
    typed = _channel_kinds(raw, found.recording.main)
    kinds: dict[str, Recorded] = {}
    sampling_hz = float(raw.info["sfreq"])
    try:
        for kind in _KINDS:
            picks = [place for place, name in enumerate(typed) if name == kind]
            if picks:
                kinds[kind] = look_through(_blocks(raw, picks), sampling_hz)
    except UndefinedMeasureError as error:
        raise UnreadableRecordingError(str(error)) from error
    if not kinds:
        raise UnreadableRecordingError("It has no EEG and no MEG channels.")
    measures = measure_recording(kinds)
    modality = "eeg" if set(kinds) == {"eeg"} else "meg"
    if modality == "meg":
        _add_motion(measures, raw)
    sidecar, notes = read_sidecar(_sidecar_path(found.recording.main))
    record = make_recording_record(
        RecordedSource(modality, sidecar, _sha256(found.recording.files), tuple(notes)),
        {kind: seen.flat.shape[1] for kind, seen in kinds.items()},
        measures,
        version=distribution_version(),
        pipeline=PIPELINE,
    )
    pictures = {f"{kind}.png": draw_channels(seen) for kind, seen in kinds.items()}
    shown = [
        (
            f"Channels ({kind})",
            "Amplitude of each channel over time above the spectrum of each channel.",
            pictures[f"{kind}.png"],
        )
        for kind in kinds
    ]
    return Result(record, pictures, make_page(found.name, record, shown), None)


def _open(recording: Recording) -> Any:
    readers: Mapping[RecordingFormat, Any] = {
        RecordingFormat.EDF: mne.io.read_raw_edf,
        RecordingFormat.BDF: mne.io.read_raw_bdf,
        RecordingFormat.BRAINVISION: mne.io.read_raw_brainvision,
        RecordingFormat.EEGLAB: mne.io.read_raw_eeglab,
        RecordingFormat.FIF: mne.io.read_raw_fif,
        RecordingFormat.CTF: mne.io.read_raw_ctf,
        RecordingFormat.KIT: mne.io.read_raw_kit,
    }
    try:
        with warnings.catch_warnings():
            # What the readers warn of (dates, units, missing places) does not touch the samples.
            warnings.simplefilter("ignore")
            return readers[recording.format](recording.main, preload=False, verbose="error")
    except Exception as error:
        # Readers raise anything on broken files, and their words may hold what the file holds.
        raise UnreadableRecordingError(
            f"It cannot be read as {recording.format.value} ({type(error).__name__})."
        ) from error


def _channel_kinds(raw: Any, main: Path) -> list[str]:
    """Return the kind of each channel: from ``channels.tsv`` beside it, or else the reader's."""
    kinds = [str(kind) for kind in raw.get_channel_types()]
    table = _channels_path(main)
    if table is None:
        return kinds
    with table.open(encoding="utf-8", errors="replace", newline="") as stream:
        rows = {row.get("name"): row.get("type") for row in csv.DictReader(stream, delimiter="\t")}
    return [
        _BIDS_KINDS.get(str(rows[name]).upper(), "other") if name in rows else kind
        for name, kind in zip(raw.ch_names, kinds, strict=True)
    ]


def _channels_path(main: Path) -> Path | None:
    stem, found, _ = main.name.split(".")[0].rpartition("_")
    path = main.with_name(f"{stem}_channels.tsv")
    return path if found and path.is_file() and not path.is_symlink() else None


def _sidecar_path(main: Path) -> Path:
    return main.with_name(f"{main.name.split('.')[0]}.json")


def _blocks(raw: Any, picks: list[int]) -> Iterator[NDArray[np.float64]]:
    length = max(1, round(_BLOCK_S * raw.info["sfreq"]))
    for start in range(0, raw.n_times, length):
        stop = min(start + length, raw.n_times)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                block = raw.get_data(picks=picks, start=start, stop=stop, verbose="error")
        except Exception as error:
            raise UnreadableRecordingError(
                f"Its samples end early, or cannot be read ({type(error).__name__})."
            ) from error
        yield np.nan_to_num(np.asarray(block, dtype=np.float64))


def _add_motion(measures: Measures, raw: Any) -> None:
    """Add head motion from coils (CTF) or from MaxFilter's head positions (FIF)."""
    try:
        found = head_motion(_coil_places_mm(raw))
    except UndefinedMeasureError as error:
        measures.refuse(_MOTION_NAMES, str(error))
        return
    measures.take_all(_MOTION_NAMES, lambda: found)


def _coil_places_mm(raw: Any) -> NDArray[np.float64]:
    coils = {match.groups(): place for place, name in enumerate(raw.ch_names)
             if (match := _COIL.fullmatch(name))}  # fmt: skip
    step = max(1, round(raw.info["sfreq"] / 10))
    if len(coils) == 9:  # noqa: PLR2004 - three coils by x, y, z
        picks = [coils[str(coil), str(axis)] for coil in (1, 2, 3) for axis in (1, 2, 3)]
        table = _thinned(raw, picks, step)
        return table.T.reshape(-1, 3, 3) * _MM
    names = (*_ROTATIONS, *_TRANSLATIONS)
    if set(names) <= set(raw.ch_names):
        table = _thinned(raw, [raw.ch_names.index(name) for name in names], step).T
        table = table[np.abs(table).sum(axis=1) > 0]  # zeros: no fit at that time
        if len(table):
            return _on_head(table) * _MM
    raise UndefinedMeasureError("The head's place was not recorded over time.")


def _thinned(raw: Any, picks: list[int], step: int) -> NDArray[np.float64]:
    parts = [block[:, ::step] for block in _blocks(raw, picks)]
    return np.concatenate(parts, axis=1)


def _on_head(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return three points of the head (T, 3, 3), in metres, from rotations and translations.

    The first three columns are a unit quaternion's imaginary parts (MaxFilter's user guide, "Head
    position information"), the others the translation.
    """
    imaginary, translation = quaternions[:, :3], quaternions[:, 3:]
    real = np.sqrt(np.clip(1 - (imaginary**2).sum(axis=1), 0, 1))
    points = np.array([[0, _HEAD_RADIUS_M, 0], [-_HEAD_RADIUS_M, 0, 0], [_HEAD_RADIUS_M, 0, 0]])
    cross = np.cross(imaginary[:, None], points[None])
    turned = points + 2 * (real[:, None, None] * cross + np.cross(imaginary[:, None], cross))
    return np.asarray(turned + translation[:, None])


def _sha256(files: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
