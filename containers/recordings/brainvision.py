"""BrainVision: a header (.vhdr), its markers (.vmrk) and samples (.eeg), tied by file names.

Header and markers are written anew from the entries that a rule names; the samples are copied.
Reference: Brain Products, BrainVision Core Data Format 1.0 (2019).
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
    TextRule,
)
from containers.recordings.texts import EventTexts, is_channel_name, told_of_people

_HEADER_LINE = re.compile(
    rb"(\xef\xbb\xbf)?Brain ?Vision( V-Amp)? Data Exchange (Header|Marker) File,? Version [12]\.0",
    re.IGNORECASE,
)
_LONGEST_BYTES = 1 << 26
_SAMPLE_BYTES = {"INT_16": 2, "INT_32": 4, "UINT_16": 2, "IEEE_FLOAT_32": 4, "IEEE_FLOAT_64": 8}
_WORDS = {
    "DataFormat": {"BINARY"},
    "DataOrientation": {"MULTIPLEXED", "VECTORIZED"},
    "DataType": {"TIMEDOMAIN", "FREQUENCYDOMAIN", "FREQUENCYDOMAIN_COMPLEX"},
    "SegmentationType": {"NOTSEGMENTED", "MARKERBASED"},
    "Averaged": {"YES", "NO"},
    "BinaryFormat": set(_SAMPLE_BYTES),
    "UseBigEndianOrder": {"YES", "NO"},
}
_NUMBERS = {
    *("NumberOfChannels", "SamplingInterval", "SegmentDataPoints", "DataPoints"),
    *("AveragedSegments", "ChannelOffset", "LayerCount", "LayerNumber"),
}
_NUMBER = re.compile(r"-?\d+(\.\d+)?([eE][-+]?\d+)?", re.ASCII)
_MARKER_KINDS = frozenset(
    {
        *("", "New Segment", "Stimulus", "Response", "Comment", "SyncStatus", "Bad Interval"),
        *("Bad", "Event", "Time 0", "Voltage", "DC Correction", "Threshold", "Optic", "Toggle"),
        *("Peak", "Pulse Artifact", "R", "Marker", "Trigger", "Scanner", "Stim", "Blink"),
    }
)
_STAMP = re.compile(r"(\d{14})(\d{6})?", re.ASCII)
_PLACEHOLDER_COMMA = r"\1"
"""A comma within a name or a description."""


@dataclass(frozen=True, slots=True)
class _Document:
    """A header or marker file: entries by section and key; free text of comments apart."""

    sections: Mapping[str, Mapping[str, str]]
    comment: str

    def entries(self, section: str) -> Mapping[str, str]:
        return self.sections.get(section.casefold(), {})


def sniff(first_bytes: bytes) -> bool:
    """Tell by the first bytes of a file whether it is a BrainVision header."""
    found = _HEADER_LINE.match(first_bytes)
    return bool(found and found[3].lower() == b"header")


def is_marker_file(first_bytes: bytes) -> bool:
    """Tell by the first bytes of a file whether it holds BrainVision markers."""
    found = _HEADER_LINE.match(first_bytes)
    return bool(found and found[3].lower() == b"marker")


def _refused(what: str) -> RefusedRecordingError:
    return RefusedRecordingError(f"Cannot read a BrainVision recording: {what}.")


def _read(path: Path) -> _Document:
    if path.stat().st_size > _LONGEST_BYTES:
        raise _refused("its header or marker file is longer than any such file is")
    raw = path.read_bytes()
    if not _HEADER_LINE.match(raw):
        raise _refused("a file of it does not begin as the format says")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", "replace")
    sections: dict[str, dict[str, str]] = {}
    comment: list[str] = []
    current: dict[str, str] | None = None
    is_comment = False
    for line in text.splitlines()[1:]:
        head = re.fullmatch(r"\s*\[([^\]]+)\]\s*", line)
        if head and not is_comment:
            is_comment = head[1].strip().casefold() == "comment"
            current = sections.setdefault(head[1].strip().casefold(), {})
        elif is_comment or line.lstrip().startswith(";"):
            comment.append(line)
        elif line.strip():
            key, found, value = line.partition("=")
            if current is None or not found:
                comment.append(line)
            elif key.strip() in current:
                raise _refused("an entry of it stands there twice")
            else:
                current[key.strip()] = value.strip()
    return _Document(sections, "\n".join(comment))


def member_names(path: Path) -> tuple[str, str | None]:
    """Return the names of the sample file and of the marker file that a header gives.

    Raises
    ------
    RefusedRecordingError
        The header names no sample file, or one outside its own folder.
    """
    common = _read(path).entries("Common Infos")
    names = [common.get(key, "").replace("$b", path.stem) for key in ("DataFile", "MarkerFile")]
    if any(re.search(r"[/\\\x00]", name) or name in {".", ".."} for name in names):
        raise _refused("its header names a file in another folder; put the files side by side")
    if not names[0]:
        raise _refused("its header names no file of samples")
    return names[0], names[1] or None


def identity(recording: Recording) -> IdentityStrings:
    """Return what comments say of people, user-defined entries, and the dates of the markers."""
    values: list[object] = []
    measured: list[datetime | None] = []
    for path in _texts_of(recording):
        document = _read(path)
        values += told_of_people(document.comment)
        for section, entries in document.sections.items():
            if "user" in section:
                values += entries.values()
        rows = document.entries("Marker Infos").values()
        measured += [_moment(value.split(",")[-1]) for value in rows]
    return IdentityStrings.of(values, measured=measured)


def _texts_of(recording: Recording) -> list[Path]:
    names = member_names(recording.main)
    return [recording.main, *(p for p in recording.files if p.name == names[1])]


def scrub(
    recording: Recording, folder: Path, stem: str, policy: RecordingPolicy, known: IdentityStrings
) -> ScrubReport:
    """Write the three files under a new name, with the references to each other renewed.

    Raises
    ------
    RefusedRecordingError
        An entry is not what the format says, or the file of samples has another length.
    """
    changes: Counter[str] = Counter()
    document = _read(recording.main)
    data_name, marker_name = member_names(recording.main)
    data = recording.main.with_name(data_name)
    points = _check_samples(document, data)
    outputs = [folder / f"{stem}.vhdr", folder / f"{stem}.eeg"]
    lines = _new_header(document, stem, known, changes, has_markers=marker_name is not None)
    _write(outputs[0], lines)
    shutil.copyfile(data, outputs[1])
    if marker_name:
        outputs.insert(1, folder / f"{stem}.vmrk")
        markers = _read(recording.main.with_name(marker_name))
        _refuse_late_markers(markers, points)
        _write(outputs[1], _new_markers(markers, stem, policy, known, changes))
    return ScrubReport(outputs[0], tuple(outputs), changes)


def _write(path: Path, lines: list[str]) -> None:
    path.write_bytes("\r\n".join([*lines, ""]).encode("utf-8"))


def _check_samples(document: _Document, data: Path) -> int:
    """Return the number of points in time."""
    common = document.entries("Common Infos")
    if common.get("DataFormat", "BINARY").upper() != "BINARY":
        raise _refused("its samples are written as text; export them as binary numbers")
    width = _SAMPLE_BYTES.get(document.entries("Binary Infos").get("BinaryFormat", "").upper())
    channels = common.get("NumberOfChannels", "")
    if width is None or not re.fullmatch(r"[1-9]\d{0,5}", channels, re.ASCII):
        raise _refused("its header does not say how the samples are written")
    size_bytes = data.stat().st_size
    points, left = divmod(size_bytes, int(channels) * width)
    told = common.get("DataPoints")
    if left or not size_bytes or (told and told.isdigit() and int(told) not in {0, points}):
        raise _refused(
            "the file of samples has not the length that the header promises: it is cut off or "
            "belongs to another recording; send it again"
        )
    return points


def _refuse_late_markers(markers: _Document, points: int) -> None:
    """Refuse a marker behind the last sample: many headers do not say how many there are."""
    for value in markers.entries("Marker Infos").values():
        position = [*value.split(","), "", ""][2].strip()
        if position.isdigit() and int(position) > points + 1:
            raise _refused(
                "a marker lies behind the last sample: the samples are cut off; send it again"
            )


def _new_header(
    document: _Document,
    stem: str,
    known: IdentityStrings,
    changes: Counter[str],
    *,
    has_markers: bool,
) -> list[str]:
    lines = ["BrainVision Data Exchange Header File Version 1.0", "", "[Common Infos]"]
    lines += ["Codepage=UTF-8", f"DataFile={stem}.eeg"]
    lines += [f"MarkerFile={stem}.vmrk"] if has_markers else []
    for section in ("Common Infos", "Binary Infos"):
        lines += [] if section == "Common Infos" else ["", f"[{section}]"]
        for key, value in document.entries(section).items():
            is_number = key in _NUMBERS and _NUMBER.fullmatch(value)
            if is_number or value.upper() in _WORDS.get(key, set()):
                lines.append(f"{key}={value}")
            elif key not in {"Codepage", "DataFile", "MarkerFile"}:
                changes["BrainVision header entries"] += 1
    lines += ["", "[Channel Infos]"]
    names: dict[str, str] = {}
    for key, value in document.entries("Channel Infos").items():
        lines.append(f"{key}={_new_channel(key, value, names, known, changes)}")
    coordinates = document.entries("Coordinates")
    if coordinates:
        lines += ["", "[Coordinates]"]
    for key, value in coordinates.items():
        if not re.fullmatch(r"Ch\d+", key) or not all(
            _NUMBER.fullmatch(part.strip()) for part in value.split(",")
        ):
            raise _refused("the coordinates of an electrode are no numbers")
        lines.append(f"{key}={value}")
    understood = {"common infos", "binary infos", "channel infos", "coordinates", "comment"}
    changes["BrainVision header sections"] += len(set(document.sections) - understood)
    changes["BrainVision comment lines"] += len(
        [line for line in document.comment.splitlines() if line.strip()]
    )
    return lines


def _new_channel(
    key: str, value: str, names: dict[str, str], known: IdentityStrings, changes: Counter[str]
) -> str:
    if not re.fullmatch(r"Ch\d+", key):
        raise _refused("an entry of its channels is not numbered")
    name, reference, resolution, unit = [*value.split(","), "", "", ""][:4]
    if resolution and not _NUMBER.fullmatch(resolution.strip()):
        raise _refused("the resolution of a channel is no number")
    new = []
    for text in (name, reference):
        if text not in names:
            safe = is_channel_name(text, known.texts)
            names[text] = text if safe else f"channel-{key[2:]}"
            changes["BrainVision channel names"] += not safe
        new.append(names[text])
    # A unit is short; nothing else may stand in its place.
    short = unit.strip() if re.fullmatch(r"[a-zA-Z\u00b5\u03bc\u00b0%/]{0,4}", unit.strip()) else ""
    changes["BrainVision units"] += short != unit.strip()
    rest = [resolution.strip(), short]
    return ",".join([*new, *rest] if unit else [*new, rest[0]])


def _new_markers(
    document: _Document,
    stem: str,
    policy: RecordingPolicy,
    known: IdentityStrings,
    changes: Counter[str],
) -> list[str]:
    rows = []
    for key, value in document.entries("Marker Infos").items():
        parts = [part.strip() for part in value.split(",")]
        position = [part for part in parts[2:5] if re.fullmatch(r"-?\d+", part, re.ASCII)]
        if not re.fullmatch(r"Mk\d+", key) or len(position) != len(parts[2:5]) or not position:
            raise _refused("a marker is not written as the format says")
        rows.append((key, parts[0], parts[1], position, parts[5:]))
    spoken = [row[2].replace(_PLACEHOLDER_COMMA, ",") for row in rows if row[1] != "Comment"]
    # What was typed during the recording is no label of a condition, however often it was typed.
    typed = {row[2].replace(_PLACEHOLDER_COMMA, ",") for row in rows if row[1] == "Comment"}
    texts = EventTexts(
        [*spoken, *sorted(typed)],
        known.texts,
        keep_checked=policy.texts is TextRule.CHECKED,
    )
    changes["BrainVision marker texts"] += texts.replaced_count
    lines = ["BrainVision Data Exchange Marker File, Version 1.0", "", "[Common Infos]"]
    lines += ["Codepage=UTF-8", f"DataFile={stem}.eeg", "", "[Marker Infos]"]
    for key, kind, description, position, rest in rows:
        if kind not in _MARKER_KINDS:
            changes["BrainVision marker kinds"] += 1
        text = texts[description.replace(_PLACEHOLDER_COMMA, ",")].replace(",", _PLACEHOLDER_COMMA)
        stamp = _new_stamp(rest, policy, changes)
        kept = [kind if kind in _MARKER_KINDS else "Event", text, *position]
        lines.append(f"{key}=" + ",".join(kept + ([stamp] if stamp else [])))
    changes["BrainVision comment lines"] += len(
        [line for line in document.comment.splitlines() if line.strip()]
    )
    return lines


def _moment(text: str) -> datetime | None:
    found = _STAMP.fullmatch(text.strip())
    if not found:
        return None
    try:
        # Naive on purpose: the format knows no zone.
        moment = datetime.strptime(found[1], "%Y%m%d%H%M%S")  # noqa: DTZ007  # a local time by its format
    except ValueError:
        return None
    return moment + timedelta(microseconds=int(found[2] or 0))


def _new_stamp(rest: list[str], policy: RecordingPolicy, changes: Counter[str]) -> str:
    was = next((moment for moment in map(_moment, rest) if moment), None)
    moment = policy.moved(was)
    changes["BrainVision dates"] += bool(any(rest)) and (moment != was or was is None)
    return moment.strftime("%Y%m%d%H%M%S%f") if moment else ""
