"""Converts one recording: a copy without identities, then BIDS files around it by MNE-BIDS.

The samples in the data set are those of our copy, byte for byte, wherever BIDS has the format;
MNE-BIDS makes the tables. Not here: names (``plan``) and files of the whole data set (``tree``).
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mne
import mne_bids
import numpy as np

from containers.eeg_to_bids.plan import Planned
from containers.recordings import (
    IdentityStrings,
    RecordingFormat,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
    scrub_recording,
)

_TABLES = frozenset({".tsv", ".json"})
_TRIGGER_BITS = 0xFFFF
"""Status bits of the amplifier stand above the sixteen of the trigger (BioSemi)."""
_KINDS = (
    (re.compile(r"(EOG|HEOG|VEOG)", re.IGNORECASE), "eog"),
    (re.compile(r"(ECG|EKG)", re.IGNORECASE), "ecg"),
    (re.compile(r"(EMG|CHIN)", re.IGNORECASE), "emg"),
    (re.compile(r"(STI ?\d*|STATUS|TRIG\w*)$", re.IGNORECASE), "stim"),
    (re.compile(r"(RESP|THOR|ABDO)", re.IGNORECASE), "resp"),
    (re.compile(r"(SPO2|PULS|TEMP|PHOTIC|SNORE|FLOW|DC ?\d|MK|EVENT)", re.IGNORECASE), "misc"),
)
"""Beginnings of names of channels that are no electrodes on the head."""


class NotConvertedError(Exception):
    """A recording cannot be in BIDS; the message is a sentence without identity."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of one recording: its files below the root, and what was taken out."""

    planned: Planned
    outputs: tuple[str, ...]
    changes: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """Where the data set is, and the labels of all names in it."""

    root: Path
    scratch_dir: Path
    subject: str
    session: str | None


def convert(
    planned: Planned,
    target: Target,
    policy: RecordingPolicy,
    known: IdentityStrings,
    line_frequency_hz: float | None,
) -> Converted:
    """Convert one recording.

    Raises
    ------
    NotConvertedError
        It is refused, or cannot be read, or BIDS has no place for what is in it.
    """
    folder = target.scratch_dir / f"recording-{planned.number}"
    folder.mkdir()
    # The kind of data is known only when it is read; the copy gets its name afterwards.
    try:
        copy = scrub_recording(planned.recording, folder, policy, stem="copy", known=known)
    except RefusedRecordingError as error:
        raise NotConvertedError(str(error)) from error
    with warnings.catch_warnings():
        # MNE warns of what a file lacks; texts of its warnings may quote the file.
        warnings.simplefilter("ignore")
        raw = _read(planned, copy)
        raw.info["line_freq"] = line_frequency_hz
        kind = _kind_of_data(raw)
        path = mne_bids.BIDSPath(
            root=target.root,
            subject=target.subject,
            session=target.session,
            task=planned.task,
            run=planned.run,
            datatype=kind,
            suffix=kind,
        )
        before = _contents(target.root)
        places = _places(target.root)
        try:
            _write(raw, path)
        except NotConvertedError:
            _take_back(target.root, before)
            raise
    _put_copy_in_place(planned, copy, path, kind, policy, known)
    new = sorted(set(_contents(target.root)) - set(before))
    stem = path.basename.removesuffix(f"_{kind}")
    own = tuple(name for name in new if stem in name)
    return Converted(planned, own, copy.changes, _notes_on_places(planned, places, target.root))


def _places(root: Path) -> dict[Path, bytes]:
    """Return the tables that all recordings of a session share: where electrodes and coils are."""
    paths = [*root.rglob("*_electrodes.tsv"), *root.rglob("*_coordsystem.json")]
    return {path: path.read_bytes() for path in sorted(paths)}


def _notes_on_places(planned: Planned, before: dict[Path, bytes], root: Path) -> tuple[str, ...]:
    after = _places(root)
    if all(after.get(path) == content for path, content in before.items()):
        return ()
    # BIDS has one such table for a session; the one of the first recording stays.
    for path, content in before.items():
        path.write_bytes(content)
    told = (
        f"Recording {planned.number} places electrodes or coils elsewhere than an earlier one of "
        "this session; the tables of the data set give those of the earlier. Convert it as a "
        "session of its own to keep both."
    )
    return (told,)


def _take_back(root: Path, before: Mapping[str, bytes]) -> None:
    """Bring the data set back to what it was before a recording that failed."""
    for path in sorted(root.rglob("*"), reverse=True):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif name not in before:
            path.unlink()
        elif path.suffix in _TABLES:
            path.write_bytes(before[name])


def _contents(root: Path) -> dict[str, bytes]:
    """Return the tables and sidecars of the data set; of other files the names only."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.suffix in _TABLES else b""
        for path in files
    }


def _read(planned: Planned, copy: ScrubReport) -> Any:
    try:
        raw = _open(planned.recording.format, copy)
        labels = {name: kind for name in raw.ch_names if (kind := _kind_of_channel(name))}
        if planned.recording.format not in {RecordingFormat.FIF, RecordingFormat.CTF}:
            raw.set_channel_types(labels, on_unit_change="ignore", verbose="error")
    # Reading a file by the library may fail in any way; what failed is named by its kind only.
    except Exception as error:
        raise NotConvertedError(
            f"MNE cannot read this {planned.recording.format.value} recording as continuous data "
            f"({type(error).__name__}); epochs and averages are not converted."
        ) from error
    return raw


def _open(kind: RecordingFormat, copy: ScrubReport) -> Any:
    options: dict[str, Any] = {"preload": False, "verbose": "error"}
    if kind is RecordingFormat.KIT:
        return _open_kit(copy, options)
    reader = {
        RecordingFormat.EDF: mne.io.read_raw_edf,
        RecordingFormat.BDF: mne.io.read_raw_bdf,
        RecordingFormat.BRAINVISION: mne.io.read_raw_brainvision,
        RecordingFormat.EEGLAB: mne.io.read_raw_eeglab,
        RecordingFormat.FIF: mne.io.read_raw_fif,
        RecordingFormat.CTF: mne.io.read_raw_ctf,
    }[kind]
    if kind is RecordingFormat.FIF:
        options["allow_maxshield"] = "yes"
    return reader(copy.main, **options)


def _open_kit(copy: ScrubReport, options: dict[str, Any]) -> Any:
    points = {path.suffix: path for path in copy.outputs if path.suffix in {".elp", ".hsp"}}
    markers = [path for path in copy.outputs if "_markers" in path.name]
    coregistered: dict[str, Any] = {}
    if len(points) == 2 and markers:  # noqa: PLR2004 - the landmarks and the head's surface
        coregistered = {
            "mrk": markers[0],
            "elp": points[".elp"],
            "hsp": points[".hsp"],
        }
    try:
        return mne.io.read_raw_kit(copy.main, **coregistered, **options)
    except ValueError:
        # Without eight trigger channels there is no trigger to be made of them.
        return mne.io.read_raw_kit(copy.main, stim=None, **coregistered, **options)


def _kind_of_channel(name: str) -> str | None:
    return next((kind for pattern, kind in _KINDS if pattern.match(name.strip())), None)


def _kind_of_data(raw: Any) -> str:
    kinds = set(raw.get_channel_types())
    if kinds & {"mag", "grad", "ref_meg"}:
        return "meg"
    if "eeg" in kinds:
        return "eeg"
    raise NotConvertedError(
        "It has neither EEG nor MEG channels, which this command converts (iEEG, EMG and NIRS are "
        "not supported)."
    )


def _write(raw: Any, path: Any) -> None:
    events, names = _triggers(raw)
    options: dict[str, Any] = {}
    # BIDS has no FIF for EEG alone, and MNE-BIDS copies no EEGLAB file that holds its samples:
    # it writes BrainVision then, which is kept for FIF, and replaced by our copy for EEGLAB.
    if raw.preload or (path.datatype == "eeg" and str(raw.filenames[0]).endswith(".fif")):
        raw.load_data(verbose="error")
        options = {"allow_preload": True, "format": "BrainVision"}
    try:
        mne_bids.write_raw_bids(
            raw,
            path,
            events=events,
            event_id=names,
            overwrite=True,
            readme=False,
            verbose="error",
            **options,
        )
    except Exception as error:
        raise NotConvertedError(
            f"MNE-BIDS cannot write this recording ({type(error).__name__})."
        ) from error


def _triggers(raw: Any) -> tuple[Any, dict[str, int] | None]:
    """Return events of the trigger channel, and names for them; None where there is none."""
    if "stim" not in raw.get_channel_types():
        return None, None
    try:
        found = mne.find_events(
            raw,
            shortest_event=1,
            mask=_TRIGGER_BITS,
            mask_type="and",
            verbose="error",
        )
    except (ValueError, RuntimeError):
        # A trigger channel that does not come back to rest has no events that can be told apart.
        return None, None
    values = sorted({int(value) for value in np.unique(found[:, 2])}) if len(found) else []
    if not values:
        return None, None
    names = {f"trigger-{value}": value for value in values}
    # Annotations become events as well, and need numbers of their own.
    spoken = sorted({str(text) for text in raw.annotations.description} - set(names))
    return found, names | {text: values[-1] + place for place, text in enumerate(spoken, start=1)}


def _put_copy_in_place(  # noqa: PLR0913, PLR0917 - what was written, and by which rules
    planned: Planned,
    copy: ScrubReport,
    path: Any,
    kind: str,
    policy: RecordingPolicy,
    known: IdentityStrings,
) -> None:
    """Replace the data files of MNE-BIDS by our copy under the name of BIDS.

    MNE writes the time and the address of the machine into FIF files, and paths into EEGLAB's.
    """
    folder: Path = path.directory
    stem = f"{path.basename.removesuffix('_' + kind)}_{kind}"
    form = planned.recording.format
    if form is RecordingFormat.KIT or (form is RecordingFormat.FIF and kind == "eeg"):
        return
    for old in sorted(folder.glob(f"{stem.removesuffix('_' + kind)}*_{kind}.*")):
        if old.is_dir():
            shutil.rmtree(old)
        elif old.suffix != ".json":
            old.unlink()
    report = scrub_recording(planned.recording, folder, policy, stem=stem, known=known)
    _list_copy(path, kind, stem, report)
    shutil.rmtree(copy.main.parent)


def _list_copy(path: Any, kind: str, stem: str, report: ScrubReport) -> None:
    """Name our copy, each part of a split one, in the table of scans instead of MNE-BIDS' file."""
    scans = path.copy().update(
        datatype=None, suffix="scans", extension=".tsv", task=None, run=None, check=False
    )
    table = scans.directory / scans.basename
    names = [report.main.name]
    if len(report.outputs) > 1 and report.main.suffix == ".fif":
        names = [each.name for each in report.outputs]
    lines = []
    for line in table.read_text("utf-8").splitlines():
        before, found, after = line.partition("\t")
        if before.startswith(f"{kind}/{stem}."):
            lines += [f"{kind}/{name}{found}{after}" for name in names]
        else:
            lines.append(line)
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
