"""KIT and Yokogawa: a file with a directory of sections (.con, .sqd), and files of points.

The file is copied by the ranges that are numbers of known sections and names of channels;
sections without a rule become zeros, and their directory entries empty. Files of points are
written anew from their numbers. The layout is that of the reader in MNE-Python
(``mne/io/kit``): the maker publishes none.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from containers.recordings.copying import Blank
from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
)
from containers.recordings.texts import is_channel_name

_ENTRY = struct.Struct("<iiii")
_OLD_ENTRY_VERSION = 3
_SYSTEM, _CHANNELS, _CALIBRATION, _FILTER, _CONDITION, _RAW = 1, 4, 5, 7, 8, 9
_COREGISTRATION, _POINTS = 12, 26
_CONTINUOUS = 1
_SETTINGS = 536
"""Where the settings of the system begin, after names, comment and clocks."""
_NEEDED = (_SYSTEM, _CHANNELS, _CALIBRATION, _FILTER, _CONDITION, _RAW)
_NUMERIC = (_CALIBRATION, _FILTER, _CONDITION, _RAW)
_COREGISTERED_HEAD_BYTES, _MARKER_BYTES, _MARKER_FILE_BYTES = 4 + 256 + 4, 64, 256
_MOST_SECTIONS = 512
_SHORTEST_SYSTEM_BYTES = 12 + 128 + 128 + 4 + 256 + 8
_NAMES = {1: 6, 2: 6, -1: 32, -2: 8, -3: 32, -4: 32}
"""Bytes of a channel's name by its type; 0x101 and others have none."""
_KINDS = frozenset({1, 2, 3, 4, 0x101, 0x102, 0x103, 0x104, -1, -2, -3, -4})
_MEG_NAME_OFFSET, _OTHER_NAME_OFFSET = 4 + 5 * 8 + 16, 12
_LONGEST_TEXT_BYTES = 1 << 24
_POINT_NAME = re.compile(
    r"|fid(nz|t9|t10)|hpi_\d|eeg ?\d{1,3}|e\d{1,3}|[afctponim][fcptoi]{0,2}p?\d{0,2}[hz]?",
    re.IGNORECASE,
)
"""Landmarks, coils and electrodes; a name of a person is none of these."""
_FLOAT = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_HEADINGS = frozenset(
    {
        *("shape file", "probe file", "minor revision number", "subject name", "probename"),
        *("shape code, number of digitized points", "probe type, number of sensors"),
        "position of fiducials x+, y+, y- on the subject",
        "no of rows, no of columns; position of digitized points",
        *("sensor type", *(f"sensor name and data for sensor # {n}" for n in range(1, 33))),
    }
)
"""Comments of Polhemus files (.elp, .hsp)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Section:
    offset: int
    size_bytes: int
    """Of one item."""
    count: int

    @property
    def length(self) -> int:
        return self.size_bytes * self.count


def _refused(what: str) -> RefusedRecordingError:
    return RefusedRecordingError(f"Cannot read a KIT recording: {what}.")


def sniff(path: Path) -> bool:
    """Tell by its directory whether a file is a KIT recording or a KIT file of markers.

    The format has no magic number: the file must begin with the entry of the directory itself,
    all entries must lie within the file, and the version must be one that exists.
    """
    try:
        with path.open("rb") as file:
            sections = _sections(file.read(_ENTRY.size * (_MOST_SECTIONS + 1)), path.stat().st_size)
            file.seek(sections[_SYSTEM].offset)
            version, revision, system = struct.unpack("<iii", file.read(12))
    except (RefusedRecordingError, struct.error, IndexError, OSError):
        return False
    return version in range(1, 10) and revision in range(100) and system in range(1 << 20)


def is_recording(path: Path) -> bool:
    """Tell whether a KIT file holds samples; without it is one of markers."""
    with path.open("rb") as file:
        sections = _sections(file.read(_ENTRY.size * (_MOST_SECTIONS + 1)), path.stat().st_size)
    return len(sections) > _RAW and sections[_RAW].length > 0


def _sections(first_bytes: bytes, file_bytes: int) -> list[_Section]:
    if len(first_bytes) < _ENTRY.size:
        raise _refused("it is shorter than its directory")
    offset, size_bytes, most, count = _ENTRY.unpack_from(first_bytes)
    if offset < 0 or size_bytes != _ENTRY.size or not 1 < count <= most:
        raise _refused("it does not begin with a directory")
    if count > _MOST_SECTIONS or _ENTRY.size * count > len(first_bytes):
        raise _refused("its directory is damaged")
    found = []
    for number in range(count):
        start, size, _most, items = _ENTRY.unpack_from(first_bytes, number * _ENTRY.size)
        section = _Section(start, size, items)
        if min(start, size, items) < 0 or (items and start + section.length > file_bytes):
            raise _refused("a section lies beyond the end of the file: it is cut off or damaged")
        found.append(section)
    taken = sorted((s.offset, s.offset + s.length) for s in found if s.length)
    if any(end > start for (_start, end), (start, _end) in pairwise(taken)):
        raise _refused("two sections lie over each other: it is damaged")
    return found


def is_points(path: Path) -> bool:
    """Tell whether a text file holds points of a digitiser: numbers in rows of three."""
    if path.suffix.lower() not in {".txt", ".elp", ".hsp"}:
        return False
    if path.stat().st_size > _LONGEST_TEXT_BYTES:
        return False
    rows = (line.removeprefix("%F").split() for line in _points(path, Counter()))
    return sum(len(row) == 3 and not row[0].startswith("//") for row in rows) >= 3  # noqa: PLR2004 - three coordinates, three points


def _points(path: Path, changes: Counter[str]) -> list[str]:
    """Return the lines of a file of points that are numbers, or headings of the format."""
    lines = []
    for line in path.read_text("latin-1").splitlines():
        words = line.removeprefix("%F").removeprefix("%S").split()
        if (all(re.fullmatch(_FLOAT, word) for word in words) and words) or (
            line.startswith("//") and line.strip("/ \t").casefold() in _HEADINGS
        ):
            lines.append(line.rstrip())
        else:
            changes["KIT texts in files of points"] += bool(line.strip())
            if line.startswith("%N"):
                # The name of the subject, or of a coil; readers count lines.
                lines.append("%N\tName    ")
            elif line.startswith("//"):
                lines.append("//")
    return lines


def identity(recording: Recording) -> IdentityStrings:
    """Return comment and date of the file, and the texts of the sections left behind."""
    texts: list[str] = []
    measured: list[datetime | None] = []
    for path in recording.files:
        if not sniff(path):
            continue
        with path.open("rb") as file:
            sections = _sections(file.read(_ENTRY.size * (_MOST_SECTIONS + 1)), path.stat().st_size)
            file.seek(sections[_SYSTEM].offset + 12 + 128 + 128 + 4)
            texts.append(_plain(file.read(256)))
            measured += [_moment(number) for number in struct.unpack("<ii", file.read(8))]
            for number in (2, 3):
                # Not described anywhere; in the files that we know of these hold the patient.
                if number < len(sections) and sections[number].length < _LONGEST_TEXT_BYTES:
                    file.seek(sections[number].offset)
                    content = file.read(sections[number].length)
                    texts += [run.decode("ascii") for run in re.findall(rb"[ -~]{3,}", content)]
    return IdentityStrings.of(texts, measured=measured)


def _plain(value: bytes) -> str:
    return value.split(b"\x00")[0].decode("utf-8", "replace").strip()


def _moment(seconds: int) -> datetime | None:
    return _EPOCH + timedelta(seconds=seconds) if seconds > 0 else None


def scrub(
    recording: Recording, folder: Path, stem: str, policy: RecordingPolicy, known: IdentityStrings
) -> ScrubReport:
    """Write the recording and its files of points under a new name.

    Raises
    ------
    RefusedRecordingError
        The directory or a section is not what the reader's layout says.
    """
    changes: Counter[str] = Counter()
    main = folder / f"{stem}{recording.main.suffix.lower()}"
    _copy(recording.main, main, policy, known, changes)
    outputs = [main]
    counts: Counter[str] = Counter()
    for path in recording.files:
        if path == recording.main:
            continue
        is_markers = sniff(path)
        kind = "markers" if is_markers else path.suffix.lower().lstrip(".")
        counts[kind] += 1
        number = f"-{counts[kind]}" if counts[kind] > 1 else ""
        if is_markers:
            suffix = path.suffix.lower()
            outputs.append(folder / f"{stem}_markers{number}{suffix}")
            _copy(path, outputs[-1], policy, known, changes)
        else:
            ending = "_points" if kind == "txt" else ""
            outputs.append(folder / f"{stem}{ending}{number}.{kind}")
            lines = "".join(f"{line}\n" for line in _points(path, changes))
            outputs[-1].write_text(lines, encoding="ascii")
    return ScrubReport(main, tuple(outputs), changes)


def _copy(
    source: Path,
    target: Path,
    policy: RecordingPolicy,
    known: IdentityStrings,
    changes: Counter[str],
) -> None:
    with Blank(source, target) as blank:
        head = blank.read(0, min(blank.size_bytes, _ENTRY.size * (_MOST_SECTIONS + 1)))
        sections = _sections(head, blank.size_bytes)
        has_samples = len(sections) > _RAW and sections[_RAW].length > 0
        if has_samples and any(not sections[number].length for number in _NEEDED):
            raise _refused("a section that readers need is missing")
        kept = {0, _SYSTEM, _CHANNELS, *_NUMERIC, _COREGISTRATION, _POINTS}
        for number, section in enumerate(sections):
            if number in kept:
                blank.keep(number * _ENTRY.size, _ENTRY.size)
            elif section.length:
                # The entry stays empty; readers find sections by their number.
                changes[f"KIT section {number}"] += 1
            if number in _NUMERIC:
                blank.keep(section.offset, min(section.length, _longest(number, sections)))
        if has_samples:
            _refuse_other_sizes(blank, sections)
        _copy_system(blank, sections[_SYSTEM], policy, changes)
        _copy_channels(blank, sections[_CHANNELS], known, changes)
        if len(sections) > _COREGISTRATION:
            _copy_coregistration(blank, sections[_COREGISTRATION], changes)
        if len(sections) > _POINTS:
            _copy_points(blank, sections[_POINTS], changes)


def _refuse_other_sizes(blank: Blank, sections: list[_Section]) -> None:
    """Refuse samples that the section does not hold as a whole: the rest would become zeros."""
    condition = sections[_CONDITION].offset
    kind, _rate, _first, samples = struct.unpack("<idii", blank.read(condition, 20))
    if kind != _CONTINUOUS:
        raise _refused("it holds averages or epochs; only continuous recordings are read")
    system = sections[_SYSTEM].offset
    # The range of the converter is a whole number up to format 2.3, then a broken one.
    is_old = struct.unpack("<ii", blank.read(system, 8)) <= (2, 3)
    bits = struct.unpack("<i", blank.read(system + _SETTINGS + 45 * 4 + (8 if is_old else 12), 4))[
        0
    ]
    expected = samples * sections[_CHANNELS].count * (bits // 8)
    if samples < 1 or bits not in {16, 32} or sections[_RAW].length != expected:
        raise _refused("its samples have not the number that its header gives; it is damaged")


def _longest(number: int, sections: list[_Section]) -> int:
    """Return how many bytes of a section of numbers readers take."""
    channels = sections[_CHANNELS].count
    return {_CALIBRATION: 16 * channels, _FILTER: 4, _CONDITION: 32}.get(
        number, sections[number].length
    )


def _copy_system(
    blank: Blank, section: _Section, policy: RecordingPolicy, changes: Counter[str]
) -> None:
    """Keep version, system number and settings; names, comment and clock go."""
    if section.length < _SHORTEST_SYSTEM_BYTES:
        raise _refused("its section about the system is shorter than the layout says")
    start = section.offset
    blank.keep(start, 12)
    blank.keep(start + 268, 4)
    for name, offset, length in (
        ("system name", 12, 128),
        ("model", 140, 128),
        ("comment", 272, 256),
    ):
        changes[f"KIT {name}"] += bool(blank.read(start + offset, length).strip(b"\x00 "))
    created = _moment(struct.unpack("<i", blank.read(start + 528, 4))[0])
    moment = policy.moved(created)
    changes["KIT dates"] += created is not None and moment != created
    seconds = int((moment - _EPOCH).total_seconds()) if moment else 0
    if 0 < seconds < 1 << 31:
        blank.write(start + 528, struct.pack("<i", seconds))
    # From here all known fields are numbers; 52 of them, then the range of the converter.
    settings = min(section.length, 536 + 45 * 4 + 5 * 8) - 536
    blank.keep(start + 536, settings)


def _copy_channels(
    blank: Blank, section: _Section, known: IdentityStrings, changes: Counter[str]
) -> None:
    for number in range(section.count):
        start = section.offset + number * section.size_bytes
        kind = struct.unpack("<i", blank.read(start, 4))[0]
        blank.keep(start, min(section.size_bytes, 4))
        if kind == 0:
            continue
        if kind not in _KINDS:
            raise _refused("a channel is of a kind that the layout does not know")
        is_meg = kind > 0
        offset = _MEG_NAME_OFFSET if is_meg else _OTHER_NAME_OFFSET
        width = _NAMES.get(kind, 0)
        if offset + width > section.size_bytes:
            raise _refused("a channel has a shorter description than the layout says")
        blank.keep(start, offset)
        name = _plain(blank.read(start + offset, width))
        safe = is_channel_name(name, known.texts) and name.isprintable()
        changes["KIT channel names"] += not safe
        new = name if safe else f"c{number}"
        blank.write(start + offset, new.encode()[:width])
        if kind in {-2, -3}:
            at = offset + width + (6 if kind == -2 else 8)  # noqa: PLR2004 - EEG and ECG
            if at + 8 <= section.size_bytes:
                blank.keep(start + at, 8)


def _copy_coregistration(blank: Blank, section: _Section, changes: Counter[str]) -> None:
    """Keep matrices and the positions of markers; the path of the file of markers goes."""
    if not section.length:
        return
    at = section.offset
    for _number in range(section.count):
        count = struct.unpack("<i", blank.read(at + 4 + 256, 4))[0]
        if count not in range(64):
            raise _refused("its section about markers is not what the layout says")
        length = _COREGISTERED_HEAD_BYTES + count * _MARKER_BYTES
        blank.keep(at, length)
        at += length
        path = blank.read(at, min(_MARKER_FILE_BYTES, max(0, blank.size_bytes - at)))
        changes["KIT paths"] += bool(path.strip(b"\x00"))
        at += _MARKER_FILE_BYTES


def _copy_points(blank: Blank, section: _Section, changes: Counter[str]) -> None:
    for number in range(section.count):
        start = section.offset + number * section.size_bytes
        name = _plain(blank.read(start, 8))
        if _POINT_NAME.fullmatch(name):
            blank.write(start, name.encode()[:8])
        else:
            changes["KIT names of points"] += 1
        blank.keep(start + 8, 24)
