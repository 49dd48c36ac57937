"""CTF: a folder (.ds) with a header (.res4), samples (.meg4) and helper files.

The header is copied by the ranges that are numbers and names of sensors; helper files that hold
coordinates, markers and bad channels are written anew line by line; all others (.hist, .infods,
.newds, .acq, .xml, .cfg ...) stay behind. Reference: CTF MEG File Formats, PN900-0088; the order
of the fields of the header is that of its section "MEG4 resource file".
"""

from __future__ import annotations

import re
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from math import isfinite
from pathlib import Path

from containers.recordings.copying import Blank
from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
    TextRule,
)
from containers.recordings.texts import EventTexts, is_channel_name

_RES4_MAGIC = re.compile(rb"MEG4[123]RS\x00?")
_MEG4_MAGIC = re.compile(rb"MEG4[123]CP\x00?")
_TITLES = {"application": (8, 256), "origin": (264, 256), "description": (520, 256)}
_TIME, _DATE = (778, 255), (1033, 255)
_RUN_TEXTS = {
    "run name": (1360, 32),
    "run title": (1392, 256),
    "instruments": (1648, 32),
    "collection": (1680, 32),
    "subject": (1712, 32),
    "operator": (1744, 32),
    "sensor file": (1776, 60),
}
_NUMBER_RANGES = ((776, 2), (1288, 72), (1836, 8))
"""Averages; from the number of samples to the artefact mode; length of the run description."""
_RUN_TEXT_OFFSET = 1844
_NAME_BYTES = 32
_CHANNEL_BYTES = 1328
_COMPENSATION_BYTES = 32 + 4 + 4 + 2 + 50 * 31 + 50 * 8
_SENSOR_BYTES, _SENSORS = 31, 50
_MOST_KINDS, _MOST_COILS = 64, 8
_GREATEST_GAIN = 1e30
_LONGEST_TEXT_BYTES = 1 << 26
_FLOAT = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"


def _refused(what: str) -> RefusedRecordingError:
    return RefusedRecordingError(f"Cannot read a CTF recording: {what}.")


def is_header(first_bytes: bytes) -> bool:
    """Tell by the first bytes of a file whether it is the header of a CTF recording."""
    return bool(_RES4_MAGIC.match(first_bytes))


def _header_path(recording: Recording) -> Path:
    return recording.main / f"{recording.main.stem}.res4"


def _plain(value: bytes) -> str:
    return value.split(b"\x00")[0].decode("utf-8", "replace").strip()


def identity(recording: Recording) -> IdentityStrings:
    """Return subject, operator, run and dates of the header, and names of other helper files."""
    with _header_path(recording).open("rb") as file:
        head = file.read(_RUN_TEXT_OFFSET)
    at = {name: _plain(head[offset : offset + length]) for name, (offset, length) in _named()}
    texts = [at[name] for name in ("description", "run title", "subject", "operator")]
    measured = [_day(at["date"]), _day(at["time"])]
    for path in recording.files:
        if path.suffix in {".infods", ".xml", ".acq"} and path.stat().st_size < _LONGEST_TEXT_BYTES:
            texts += _named_values(path.read_bytes())
    return IdentityStrings.of(texts, measured=measured)


def _named() -> list[tuple[str, tuple[int, int]]]:
    return [*_TITLES.items(), *_RUN_TEXTS.items(), ("date", _DATE), ("time", _TIME)]


def _named_values(content: bytes) -> list[str]:
    """Return values of entries of a helper file whose key speaks of a patient or an operator.

    The binary ones give the length of a key and of a text as four bytes, the text after it.
    """
    keys = rb"_(?:PATIENT|OPERATOR|PERSON)_?(?:NAME_?\w*|ID\b|UID\b)?\w*"
    people = rb"<(?:patient|subject|operator)\w*>([^<]{2,80})<"
    return [
        match[1].decode("utf-8", "replace")
        for pattern in (keys + rb"[\x00-\x1f]{4,12}([ -~]{2,80})", people)
        for match in re.finditer(pattern, content, re.IGNORECASE)
    ]


def _day(text: str) -> datetime | None:
    patterns = ("%d-%b-%Y", "%d/%m/%Y", "%Y-%m-%d", "%d.%m.%Y", "%d-%b-%y", "%Y/%m/%d")
    # Some systems write the day in words; others a clock behind the day.
    for part, pattern in [
        (text, "%a, %b %d, %Y"),
        *((text.partition(" ")[0], p) for p in patterns),
    ]:
        try:
            # Naive on purpose: the format knows no zone.
            return datetime.strptime(part, pattern)  # noqa: DTZ007 - a day
        except ValueError:
            continue
    return None


def scrub(
    recording: Recording, folder: Path, stem: str, policy: RecordingPolicy, known: IdentityStrings
) -> ScrubReport:
    """Write the folder under a new name with the files that readers need.

    Raises
    ------
    RefusedRecordingError
        The header is not what the format says, or the samples have another length.
    """
    target = folder / f"{stem}.ds"
    target.mkdir()
    changes: Counter[str] = Counter()
    outputs = [target / f"{stem}.res4"]
    names, trial_bytes = _copy_header(_header_path(recording), outputs[0], policy, known, changes)
    for path in recording.files:
        if path.parent != recording.main:
            changes["CTF folders within"] += 1
            continue
        new = _copy_file(path, recording.main.stem, target, stem, names, policy, known, changes)
        if new is None and path.suffix != ".res4":
            changes[f"CTF {path.suffix or 'other'} file left behind"] += 1
        elif new is not None:
            outputs.append(new)
            if path.name.endswith("meg4"):
                _check_samples(path, trial_bytes)
    if not any(path.name.endswith(".meg4") for path in outputs):
        raise _refused("its file of samples is missing")
    return ScrubReport(target, tuple(sorted(outputs)), changes)


def _check_samples(path: Path, trial_bytes: int) -> None:
    with path.open("rb") as file:
        magic = file.read(8)
    left = (path.stat().st_size - 8) % trial_bytes if trial_bytes else 1
    if not _MEG4_MAGIC.match(magic) or left:
        raise _refused("its file of samples is cut off or damaged; send it again")


def _copy_header(
    source: Path,
    target: Path,
    policy: RecordingPolicy,
    known: IdentityStrings,
    changes: Counter[str],
) -> tuple[dict[str, str], int]:
    """Return the new name of each channel, and the bytes of one trial."""
    with Blank(source, target) as blank:
        if not _RES4_MAGIC.match(blank.read(0, 8)):
            raise _refused("its header does not begin as the format says")
        blank.keep(0, 8)
        for name, (offset, length) in _named():
            changes[f"CTF header {name}"] += bool(blank.read(offset, length).strip(b"\x00"))
        for offset, length in _NUMBER_RANGES:
            blank.keep(offset, length)
        _write_date(blank, policy)
        samples, channels = struct.unpack(">ih", blank.read(1288, 6))
        run_bytes = struct.unpack(">i", blank.read(1836, 4))[0]
        if samples < 1 or channels < 1 or run_bytes < 0:
            raise _refused("its header holds no numbers of samples and channels")
        changes["CTF header run description"] += run_bytes > 0
        at = _copy_filters(blank, _RUN_TEXT_OFFSET + run_bytes)
        names = _copy_names(blank, at, channels, known, changes)
        at += channels * _NAME_BYTES
        _refuse_shifted(blank, at, channels)
        blank.keep(at, channels * _CHANNEL_BYTES)
        at += channels * _CHANNEL_BYTES
        count = struct.unpack(">h", blank.read(at, 2))[0]
        blank.keep(at, 2)
        at += 2
        for _number in range(count):
            _copy_compensation(blank, at, names)
            at += _COMPENSATION_BYTES
        changes["CTF header bytes behind its end"] += blank.size_bytes > at
    return names, samples * channels * 4


def _refuse_shifted(blank: Blank, at: int, channels: int) -> None:
    """Refuse descriptions that are none: in a header with lost bytes, text would be kept."""
    for number in range(channels):
        start = at + number * _CHANNEL_BYTES
        kind = struct.unpack(">h", blank.read(start, 2))[0]
        proper, q_gain = struct.unpack(">2d", blank.read(start + 8, 16))
        coils = struct.unpack(">h", blank.read(start + 40, 2))[0]
        is_number = all(isfinite(gain) and abs(gain) < _GREATEST_GAIN for gain in (proper, q_gain))
        if kind not in range(_MOST_KINDS) or coils not in range(_MOST_COILS + 1) or not is_number:
            raise _refused("the description of a channel is not what the format says")


def _write_date(blank: Blank, policy: RecordingPolicy) -> None:
    day = _plain(blank.read(*_DATE))
    clock = _plain(blank.read(*_TIME))
    # Some systems write them in each other's place.
    if ":" in day and ":" not in clock:
        day, clock = clock, day
    was = _day(day)
    hours = re.fullmatch(r"(\d{1,2}):(\d{2})(:(\d{2}))?", clock)
    if was and hours:
        was = was.replace(
            hour=int(hours[1]) % 24, minute=int(hours[2]) % 60, second=int(hours[4] or 0) % 60
        )
    moment = policy.moved(was)
    if moment:
        # Two blank fields stand for no date.
        blank.write(_TIME[0], moment.strftime("%H:%M:%S").encode())
        blank.write(_DATE[0], moment.strftime("%d-%b-%Y").encode())


def _copy_filters(blank: Blank, at: int) -> int:
    count = struct.unpack(">h", blank.read(at, 2))[0]
    if count < 0:
        raise _refused("its header is damaged")
    blank.keep(at, 2)
    at += 2
    for _number in range(count):
        parameters = struct.unpack(">h", blank.read(at + 16, 2))[0]
        if parameters < 0:
            raise _refused("its header is damaged")
        blank.keep(at, 18 + 8 * parameters)
        at += 18 + 8 * parameters
    return at


def _copy_names(
    blank: Blank, at: int, channels: int, known: IdentityStrings, changes: Counter[str]
) -> dict[str, str]:
    names: dict[str, str] = {}
    for number in range(channels):
        name = _plain(blank.read(at + number * _NAME_BYTES, _NAME_BYTES))
        if not re.fullmatch(r"[ -~]{1,31}", name):
            raise _refused("the name of a channel is not what the format says")
        safe = is_channel_name(name, known.texts)
        names[name] = name if safe else f"channel-{number + 1}"
        changes["CTF channel names"] += not safe
        # What stands behind the name's end in its field goes.
        blank.write(at + number * _NAME_BYTES, names[name].encode()[: _NAME_BYTES - 1])
    return names


def _copy_compensation(blank: Blank, at: int, names: dict[str, str]) -> None:
    def rename(offset: int, length: int) -> None:
        name = _plain(blank.read(offset, length))
        if name and name not in names:
            # Reference sensors that are not among the channels: letters, digits, one hyphen.
            safe = re.fullmatch(r"[A-Z]{1,4}\d{0,4}(-\d{1,5})?", name)
            names[name] = name if safe else "sensor"
        blank.write(offset, names.get(name, "").encode()[: length - 1])

    rename(at, _NAME_BYTES)
    blank.keep(at + 32, 10)
    used = max(0, min(_SENSORS, struct.unpack(">h", blank.read(at + 40, 2))[0]))
    for number in range(used):
        rename(at + 42 + number * _SENSOR_BYTES, _SENSOR_BYTES)
    blank.keep(at + 42 + _SENSORS * _SENSOR_BYTES, used * 8)


def _copy_file(  # noqa: PLR0913, PLR0917 - the parts of one recording
    path: Path,
    old_stem: str,
    target: Path,
    stem: str,
    names: dict[str, str],
    policy: RecordingPolicy,
    known: IdentityStrings,
    changes: Counter[str],
) -> Path | None:
    """Return the new file, None for one that stays behind."""
    samples = re.fullmatch(re.escape(old_stem) + r"(\.(\d{1,3}_)?meg4)", path.name)
    if samples:
        new = target / f"{stem}{samples[1]}"
        shutil.copyfile(path, new)
        return new
    rewriters: dict[str, tuple[str, Callable[[str], str]]] = {
        f"{old_stem}.hc": (f"{stem}.hc", _coils),
        f"{old_stem}.eeg": (f"{stem}.eeg", lambda text: _electrodes(text, names, known)),
        "BadChannels": ("BadChannels", lambda text: _bad_channels(text, names)),
        "bad.segments": ("bad.segments", _numbers_only),
        "MarkerFile.mrk": (
            "MarkerFile.mrk",
            lambda text: _markers(text, policy, known, changes),
        ),
    }
    if path.name not in rewriters:
        return None
    if path.stat().st_size > _LONGEST_TEXT_BYTES:
        raise _refused("a helper file is longer than any such file is")
    name, rewrite = rewriters[path.name]
    (target / name).write_text(rewrite(path.read_text("latin-1")), encoding="utf-8")
    return target / name


def _coils(text: str) -> str:
    """Keep the lines that place a head coil: what it is, and three coordinates."""
    kind = re.compile(
        r"(standard|stadard|measured) (nasion|left ear|right ear|lpa|rpa|spare\d*|inion|cz) coil "
        r"position relative to (dewar|head) \((cm|m|mm)\):",
        re.IGNORECASE,
    )
    axis = re.compile(rf"\s*[xyz] ?= ?{_FLOAT}", re.IGNORECASE)
    return _kept_lines(
        text, lambda line: bool(kind.fullmatch(line.strip()) or axis.fullmatch(line))
    )


def _electrodes(text: str, names: dict[str, str], known: IdentityStrings) -> str:
    kind = re.compile(rf"\s*\d+\s+(\S{{1,16}})(\s+{_FLOAT}){{3}}\s*")

    def is_kept(line: str) -> bool:
        found = kind.fullmatch(line)
        return bool(found and (found[1] in names or is_channel_name(found[1], known.texts)))

    return _kept_lines(text, is_kept)


def _numbers_only(text: str) -> str:
    kind = re.compile(rf"\s*{_FLOAT}(\s+{_FLOAT})*\s*")
    return _kept_lines(text, lambda line: bool(kind.fullmatch(line)))


def _bad_channels(text: str, names: dict[str, str]) -> str:
    plain = {old.split("-")[0]: new.split("-")[0] for old, new in names.items()}
    listed = [line.strip().split("-")[0] for line in text.splitlines()]
    return "".join(f"{plain[name]}\n" for name in listed if name in plain)


def _kept_lines(text: str, is_kept: Callable[[str], bool]) -> str:
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines() if is_kept(line))


def _markers(
    text: str, policy: RecordingPolicy, known: IdentityStrings, changes: Counter[str]
) -> str:
    """Write the markers anew: name and samples of each, nothing of paths, authors and dates."""
    lines = [line.strip() for line in text.splitlines()]
    found: list[tuple[str, list[str]]] = []
    for number, line in enumerate(lines):
        if line == "NAME:" and number + 1 < len(lines):
            found.append((lines[number + 1], []))
        elif found and re.fullmatch(rf"[-+]?\d+\s+{_FLOAT}", line):
            found[-1][1].append(line)
    if f"NUMBER OF MARKERS:\n{len(found)}" not in "\n".join(lines):
        raise _refused("its file of markers is not written as the format says")
    spoken = [name for name, samples in found for _each in range(max(1, len(samples)))]
    texts = EventTexts(spoken, known.texts, keep_checked=policy.texts is TextRule.CHECKED)
    changes["CTF markers"] += texts.replaced_count
    out = ["PATH OF DATASET:", "", "", "NUMBER OF MARKERS:", str(len(found)), "", ""]
    for name, samples in found:
        out += ["CLASSGROUPID:", "3", "NAME:", texts[name], "COMMENT:", "", "COLOR:", "blue"]
        out += ["EDITABLE:", "Yes", "CLASSID:", "1", "NUMBER OF SAMPLES:", str(len(samples))]
        out += ["LIST OF SAMPLES:", "TRIAL NUMBER\t\tTIME FROM SYNC POINT (in seconds)"]
        out += [*samples, "", ""]
    return "\n".join(out) + "\n"
