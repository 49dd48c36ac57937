"""EEGLAB: a MATLAB file (.set) with the structure ``EEG``, and its samples in it or in a .fdt.

The structure is built anew from the fields that a rule names; what scripts and people left in
the others (history, comments, paths) goes. Reference: EEGLAB, "EEGLAB's data structures".
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import savemat

from containers.recordings.matlab import MatlabFileError, Number, Struct, Value, read_matlab
from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
    TextRule,
)
from containers.recordings.texts import (
    EventTexts,
    file_name_words,
    is_channel_name,
    is_vocabulary,
    told_of_people,
)

_MAT_5 = b"MATLAB 5.0 MAT-file"
_MAT_73 = b"MATLAB 7.3 MAT-file"
_HEADER_BYTES = 116
_LONGEST_KIND = 16
_NUMBERS = (
    *("nbchan", "trials", "pnts", "srate", "xmin", "xmax", "times"),
    *("icaact", "icawinv", "icasphere", "icaweights", "icachansind"),
)
_CHANNEL_NUMBERS = (
    *("X", "Y", "Z", "theta", "radius", "sph_theta", "sph_phi", "sph_radius"),
    *("sph_theta_besa", "sph_phi_besa", "urchan"),
)
_EVENT_NUMBERS = (
    "latency",
    "duration",
    "urevent",
    "epoch",
    "channel",
    "bvmknum",
    "sample",
    "value",
)
_EVENT_TEXTS = ("type", "code")
_FOLDERS = frozenset({"home", "users", "Users", "data", "Documents", "Desktop", "study", "studies"})
_FLAT = ("data", "srate", "chanlocs")
"""Fields that tell a file whose structure was saved field by field."""
_IDENTIFYING = ("subject", "filename", "filepath", "setname", "comments", "datfile")


def sniff(first_bytes: bytes) -> bool:
    """Tell by the first bytes of a file whether it is a MATLAB file."""
    return first_bytes.startswith((_MAT_5, _MAT_73))


def _refused(what: str) -> RefusedRecordingError:
    return RefusedRecordingError(f"Cannot read an EEGLAB recording: {what}.")


def _load(path: Path) -> dict[str, Value]:
    with path.open("rb") as file:
        first = file.read(len(_MAT_73))
    if first == _MAT_73:
        raise _refused(
            "it is a MATLAB 7.3 file; save it in EEGLAB with the option that saves in version 6"
        )
    try:
        content = read_matlab(path)
    except MatlabFileError as error:
        raise _refused(
            "the MATLAB file is damaged, or not of the kind that EEGLAB writes; save it again"
        ) from error
    record = content.get("EEG")
    if isinstance(record, Struct):
        if len(record.rows) != 1:
            raise _refused("it holds several data sets; save them one by one")
        return record.rows[0]
    if all(name in content for name in _FLAT):
        return content
    raise _refused("the MATLAB file holds no structure of EEGLAB")


def data_file_name(path: Path) -> str | None:
    """Return the name of the file with the samples; None if they are within.

    Raises
    ------
    RefusedRecordingError
        The file is damaged, no data set of EEGLAB, or names a file of another folder.
    """
    data = _load(path).get("data")
    if not isinstance(data, str):
        return None
    # EEGLAB itself takes the part behind the last slash, whatever folder it names.
    name = re.split(r"[/\\]", data)[-1].strip()
    if not name:
        raise _refused("it names no file of samples")
    return name


def identity(recording: Recording) -> IdentityStrings:
    """Return subject, names of files and folders, and comments."""
    fields = _load(recording.main)
    names = (_text(fields.get(name)) for name in ("filename", "filepath", "setname", "datfile"))
    words = frozenset().union(*(file_name_words(re.sub(r"\.\w+$", "", name)) for name in names))
    told = [_text(fields.get("subject")), *told_of_people(_text(fields.get("comments")))]
    return IdentityStrings.of(told) | IdentityStrings(words - _FOLDERS)


def scrub(
    recording: Recording, folder: Path, stem: str, policy: RecordingPolicy, known: IdentityStrings
) -> ScrubReport:
    """Write the structure with the fields that a rule names, and copy the samples.

    Raises
    ------
    RefusedRecordingError
        A field is not what EEGLAB writes, or the samples have another length.
    """
    fields = _load(recording.main)
    changes: Counter[str] = Counter()
    outputs = [folder / f"{stem}.set"]
    new: dict[str, Any] = {name: np.zeros((0, 0)) for name in ("icachansind", "reject", "epoch")}
    for name in _NUMBERS:
        if name in fields:
            new[name] = _number(fields[name], name)
    new["setname"] = stem
    new["filename"] = f"{stem}.set"
    new["filepath"] = ""
    new["ref"] = "common"
    new["data"] = _samples(recording, fields, folder, stem, outputs)
    if len(outputs) > 1:
        new["datfile"] = outputs[1].name
    new["chanlocs"] = _channels(fields.get("chanlocs"), known, changes)
    new["event"] = _events(fields.get("event"), policy, known, changes)
    new["chaninfo"] = _channel_frame(fields.get("chaninfo"))
    changes["EEGLAB fields"] += sum(
        name not in new and not _is_empty(value) for name, value in fields.items()
    )
    changes["EEGLAB file names, comments and history"] += sum(
        not _is_empty(fields.get(name)) for name in (*_IDENTIFYING, "history")
    )
    savemat(outputs[0], {"EEG": new}, appendmat=False, oned_as="row", long_field_names=True)
    with outputs[0].open("r+b") as file:
        # The writer puts the time and the system there.
        file.write(_MAT_5.ljust(_HEADER_BYTES))
    return ScrubReport(outputs[0], tuple(outputs), changes)


def _samples(
    recording: Recording, fields: Mapping[str, Value], folder: Path, stem: str, outputs: list[Path]
) -> Number | str:
    data = fields.get("data")
    count = [int(_number(fields.get(key), key).item()) for key in ("nbchan", "pnts", "trials")]
    if isinstance(data, np.ndarray):
        if data.size != count[0] * count[1] * count[2]:
            raise _refused("it has not as many samples as it promises")
        return data
    source = next((path for path in recording.files if path != recording.main), None)
    if source is None:
        raise _refused("its file of samples is missing")
    if source.stat().st_size != count[0] * count[1] * count[2] * 4:
        raise _refused("its file of samples has not the length that it promises; send it again")
    outputs.append(folder / f"{stem}{source.suffix.lower()}")
    shutil.copyfile(source, outputs[1])
    return outputs[1].name


def _text(value: Value | None) -> str:
    """Return all texts of a value, also of those in cells and structures, one a line."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_text, value)))
    if isinstance(value, Struct):
        return _text([each for row in value.rows for each in row.values()])
    return ""


def _is_empty(value: Value | None) -> bool:
    if isinstance(value, np.ndarray):
        return value.size == 0
    if isinstance(value, Struct):
        return not value.rows
    return not value


def _number(value: Value | None, name: str) -> Number:
    if not isinstance(value, np.ndarray):
        raise _refused(f"its field {name} is not a number")
    return value


def _rows(value: Value | None) -> tuple[dict[str, Value], ...]:
    return value.rows if isinstance(value, Struct) else ()


def _record(rows: list[dict[str, Any]], names: Iterable[str]) -> Any:
    """Return rows as a MATLAB structure array of one row; an empty matrix without rows."""
    names = list(names)
    if not rows or not names:
        return np.zeros((0, 0))
    record = np.empty((1, len(rows)), dtype=[(name, object) for name in names])
    for number, row in enumerate(rows):
        for name in names:
            record[0, number][name] = row.get(name, np.zeros((0, 0)))
    return record


def _channels(value: Value | None, known: IdentityStrings, changes: Counter[str]) -> Any:
    rows = []
    for number, channel in enumerate(_rows(value), start=1):
        row: dict[str, Any] = {}
        label = _text(channel.get("labels"))
        safe = is_channel_name(label, known.texts)
        changes["EEGLAB channel names"] += not safe
        row["labels"] = label if safe else f"channel-{number}"
        for name in ("type", "ref"):
            text = _text(channel.get(name))
            row[name] = text if len(text) <= _LONGEST_KIND and is_vocabulary(text) else ""
        for name in _CHANNEL_NUMBERS:
            place = channel.get(name)
            if isinstance(place, np.ndarray):
                row[name] = place
        rows.append(row)
    return _record(rows, ("labels", "type", "ref", *_CHANNEL_NUMBERS))


def _events(
    value: Value | None, policy: RecordingPolicy, known: IdentityStrings, changes: Counter[str]
) -> Any:
    source = _rows(value)
    spoken = [
        text
        for event in source
        for name in _EVENT_TEXTS
        if isinstance(text := event.get(name), str)
    ]
    texts = EventTexts(spoken, known.texts, keep_checked=policy.texts is TextRule.CHECKED)
    changes["EEGLAB event texts"] += texts.replaced_count
    rows = []
    for event in source:
        row: dict[str, Any] = {}
        for name, content in event.items():
            if isinstance(content, np.ndarray) and name in (*_EVENT_NUMBERS, *_EVENT_TEXTS):
                row[name] = content
            elif isinstance(content, str) and name in _EVENT_TEXTS:
                row[name] = texts[content]
            else:
                changes["EEGLAB event fields"] += not _is_empty(content)
        rows.append(row)
    names = [name for name in (*_EVENT_TEXTS, *_EVENT_NUMBERS) if any(name in row for row in rows)]
    return _record(rows, names)


def _channel_frame(value: Value | None) -> dict[str, str]:
    """Return which way the nose points, the one thing of ``chaninfo`` that places electrodes."""
    rows = _rows(value)
    nose = _text(rows[0].get("nosedir")) if rows else ""
    return {"nosedir": nose if nose in {"+X", "-X", "+Y", "-Y", "+Z", "-Z"} else "+X"}
