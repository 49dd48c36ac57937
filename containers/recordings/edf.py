"""EDF, EDF+, BDF and BDF+: fields of fixed width in ASCII, then records of samples.

References: B. Kemp et al., Electroencephalogr. Clin. Neurophysiol. 82 (1992) 391; B. Kemp and
J. Olivan, Clin. Neurophysiol. 114 (2003) 1755 (EDF+); www.biosemi.com/faq/file_format.htm (BDF).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import BinaryIO

from containers.recordings.copying import copy_range
from containers.recordings.dates import edf_day, edf_month
from containers.recordings.model import (
    IdentityStrings,
    Recording,
    RecordingFormat,
    RecordingPolicy,
    RefusedRecordingError,
    ScrubReport,
    TextRule,
)
from containers.recordings.texts import EventTexts, is_channel_name, is_safe_label, is_vocabulary

_MAGIC = {b"0       ": RecordingFormat.EDF, b"\xffBIOSEMI": RecordingFormat.BDF}
_FILLING = "\x00 "
_FIXED_BYTES = 256
_SIGNAL_BYTES = 256
_FIELDS = (
    *(("label", 16), ("transducer", 80), ("dimension", 8), ("physical_min", 8)),
    *(("physical_max", 8), ("digital_min", 8), ("digital_max", 8), ("prefilter", 80)),
    *(("samples", 8), ("reserved", 32)),
)
_NUMBERS = ("physical_min", "physical_max", "digital_min", "digital_max", "samples")
_NUMBER = re.compile(r"[-+]?\d*\.?\d*([eE][-+]?\d+)?")
_FILTERS = re.compile(
    r"((HP|LP|N|DC|BP|Notch)[:= ]*[\d.,]*\s*(m?k?Hz|u?m?s)?[;, ]*)*", re.IGNORECASE
)
_UNIT_NAMES = (
    "uv mv v nv \xb5v % degc degf c mmhg bpm l/min l/m cmh2o boolean filtered ohm kohm mohm g m/s2 "
    "m/s^2 lux lx rad deg hz s ms ft pt t us lpm db dba /min 1/min index bit none"
)
_UNITS = frozenset(_UNIT_NAMES.split()) | {""}
_ANNOTATIONS = ("edf annotations", "bdf annotations")
_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14((?:[^\x14\x00]*\x14)*)\x00")
_LOOK_BYTES = 1024
_RECORDED_FIRST, _RECORDED_LAST = 1985, 2084
"""The years that the two digits of the header stand for (EDF+, section 2.1.3, 2)."""
_CENTURY_FROM = 85


@dataclass(frozen=True, slots=True)
class _Header:
    kind: RecordingFormat
    patient: str
    recording: str
    measured: datetime | None
    is_plus: bool
    reserved: str
    record_count: int
    signals: dict[str, list[str]]
    head: bytes

    @property
    def header_bytes(self) -> int:
        return len(self.head)

    @property
    def sample_bytes(self) -> int:
        return 2 if self.kind is RecordingFormat.EDF else 3

    @property
    def record_bytes(self) -> int:
        return sum(map(int, self.signals["samples"])) * self.sample_bytes

    def annotation_ranges(self) -> Iterator[tuple[int, int]]:
        """Give offset in the record and length of each channel of annotations."""
        offset = 0
        for label, samples in zip(self.signals["label"], self.signals["samples"], strict=True):
            length = int(samples) * self.sample_bytes
            if label.strip().casefold() in _ANNOTATIONS:
                yield offset, length
            offset += length


def sniff(first_bytes: bytes) -> RecordingFormat | None:
    """Tell by the first bytes of a file whether it is EDF or BDF."""
    kind = _MAGIC.get(first_bytes[:8])
    # "0       " is little evidence: the fixed fields behind it are ASCII, too.
    return kind if kind and re.fullmatch(rb"[\x00 -~]{24}", first_bytes[168:192]) else None


def identity(recording: Recording) -> IdentityStrings:
    """Return names, identifiers and dates of the header."""
    header = _read_header(recording.main)
    words = header.patient.split()
    births = [_plus_date(word) for word in words]
    recorded = header.recording.split()
    measured = [header.measured, *(_plus_date(word) for word in recorded)]
    names = [word for word in recorded if not _plus_date(word)]
    return IdentityStrings.of(
        [header.patient, header.patient.replace("_", " "), *words, *names], births, measured
    )


def scrub(
    recording: Recording, folder: Path, stem: str, policy: RecordingPolicy, known: IdentityStrings
) -> ScrubReport:
    """Write the recording with its header rebuilt and its annotations checked.

    Raises
    ------
    RefusedRecordingError
        A field is not what the format says, or the file's length is not.
    """
    header = _read_header(recording.main)
    target = folder / f"{stem}.{header.kind.value.lower()}"
    changes: Counter[str] = Counter()
    head = _new_head(header, policy, known, changes)
    with recording.main.open("rb") as source, target.open("x+b") as copy:
        copy.write(head)
        source.seek(header.header_bytes)
        copy_range(source, copy, header.record_bytes * header.record_count)
        _replace_annotations(header, copy, policy, known, changes)
    return ScrubReport(target, (target,), changes)


def _refused(what: str) -> RefusedRecordingError:
    return RefusedRecordingError(
        f"Cannot read an EDF or BDF recording: {what}. It is damaged or no EDF; export it again."
    )


def _read_header(path: Path) -> _Header:
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        fixed = file.read(_FIXED_BYTES)
        kind = sniff(fixed)
        if kind is None or len(fixed) < _FIXED_BYTES:
            raise _refused("its header is not complete")
        text = fixed.decode("latin-1")
        signal_count = _whole(text[252:256], "the number of signals")
        if signal_count < 1 or _whole(text[184:192], "the header's length") != _FIXED_BYTES + (
            _SIGNAL_BYTES * signal_count
        ):
            raise _refused("the header's length does not fit the number of signals")
        rest = file.read(_SIGNAL_BYTES * signal_count)
    if len(rest) != _SIGNAL_BYTES * signal_count:
        raise _refused("its header is not complete")
    signals = _read_signals(rest.decode("latin-1"), signal_count)
    if not _NUMBER.fullmatch(text[244:252].strip()):
        raise _refused("the duration of a record is no number")
    reserved = text[192:236].strip()
    # EDF+ allows UTF-8 in none of these, but writers use it.
    patient, recorded = (_decoded(fixed[start : start + 80]).strip() for start in (8, 88))
    header = _Header(
        kind=kind,
        patient=patient,
        recording=recorded,
        measured=_measured(text[168:176], text[176:184]),
        is_plus=reserved[:5] in {"EDF+C", "EDF+D", "BDF+C", "BDF+D"},
        reserved=reserved,
        record_count=_whole(text[236:244], "the number of records"),
        signals=signals,
        head=fixed + rest,
    )
    return _with_count(header, size_bytes)


def _with_count(header: _Header, size_bytes: int) -> _Header:
    if not header.record_bytes:
        raise _refused("its records hold no samples")
    count, left = divmod(size_bytes - header.header_bytes, header.record_bytes)
    # -1 stands for a recording that was not closed; the length of the file says the number.
    if left or header.record_count not in {count, -1}:
        raise _refused("the length of the file does not fit the number of records in its header")
    return replace(header, record_count=count)


def _read_signals(text: str, count: int) -> dict[str, list[str]]:
    signals: dict[str, list[str]] = {}
    offset = 0
    for name, width in _FIELDS:
        signals[name] = [text[offset + k * width : offset + (k + 1) * width] for k in range(count)]
        offset += count * width
    for name in _NUMBERS:
        for value in signals[name]:
            if not value.strip() or not _NUMBER.fullmatch(value.strip()):
                raise _refused("a range or a number of samples is no number")
    if any(not re.fullmatch(r"\d+", value.strip()) for value in signals["samples"]):
        raise _refused("a number of samples is not a whole one")
    return signals


def _whole(text: str, what: str) -> int:
    # Some writers fill fields with zero bytes instead of spaces.
    if not re.fullmatch(r"-?\d+", text.strip(_FILLING), re.ASCII):
        raise _refused(f"{what} is no number")
    return int(text.strip(_FILLING))


def _decoded(field: bytes) -> str:
    try:
        return field.decode("utf-8")
    except UnicodeDecodeError:
        return field.decode("latin-1")


def _measured(day: str, clock: str) -> datetime | None:
    try:
        date_parts = [int(part) for part in re.split(r"[./-]", day.strip())]
        clock_parts = [int(part) for part in re.split(r"[.:-]", clock.strip())]
        number, month, short = date_parts
        year = short + (1900 if short >= _CENTURY_FROM else 2000)
        # The day is naive on purpose: the format knows no zone.
        return datetime.combine(
            date(year, month, number), time(clock_parts[0], clock_parts[1], clock_parts[2])
        )
    except (ValueError, IndexError):
        return None


def _plus_date(word: str) -> date | None:
    found = re.fullmatch(r"(\d{1,2})-([A-Za-z]{3})-(\d{4})", word)
    try:
        return date(int(found[3]), edf_month(found[2]), int(found[1])) if found else None
    except ValueError:
        return None


def _new_head(
    header: _Header, policy: RecordingPolicy, known: IdentityStrings, changes: Counter[str]
) -> bytes:
    moment = policy.moved(header.measured)
    if moment and not _RECORDED_FIRST <= moment.year <= _RECORDED_LAST:
        moment = None
        changes["date that the format cannot hold after the shift"] += 1
    sex = next((word for word in header.patient.split()[1:2] if word in {"M", "F"}), "X")
    patient = f"X {sex if policy.keep_sex and header.is_plus else 'X'} X X"
    recorded = f"Startdate {edf_day(moment) if moment else 'X'} X X X"
    changes["EDF patient field"] += header.patient != patient
    changes["EDF recording field"] += header.recording != recorded
    changes["EDF start date and time"] += moment != header.measured
    marks = {"EDF+C", "EDF+D", "BDF+C", "BDF+D", "24BIT"}
    reserved = header.reserved[:5] if header.reserved[:5] in marks else ""
    changes["EDF reserved field"] += reserved != header.reserved
    fixed = (
        (patient, 80),
        (recorded, 80),
        (moment.strftime("%d.%m.%y") if moment else "01.01.85", 8),
        (moment.strftime("%H.%M.%S") if moment else "00.00.00", 8),
        (str(header.header_bytes), 8),
        (reserved, 44),
        (str(header.record_count), 8),
    )
    text = b"".join(value.encode("ascii").ljust(width) for value, width in fixed)
    return header.head[:8] + text + header.head[244:256] + _new_signals(header, known, changes)


def _new_signals(header: _Header, known: IdentityStrings, changes: Counter[str]) -> bytes:
    signals = dict(header.signals)
    signals["label"] = [
        label
        if label.strip().casefold() in _ANNOTATIONS or is_channel_name(label, known.texts)
        else f"channel-{number}".ljust(16)
        for number, label in enumerate(header.signals["label"], start=1)
    ]
    signals["transducer"] = [
        text if is_vocabulary(text) and is_safe_label(text, known.texts) else " " * 80
        for text in header.signals["transducer"]
    ]
    signals["prefilter"] = [
        text if _FILTERS.fullmatch(text.strip()) else " " * 80
        for text in header.signals["prefilter"]
    ]
    signals["dimension"] = [
        text if text.strip().casefold() in _UNITS else " " * 8
        for text in header.signals["dimension"]
    ]
    signals["reserved"] = [" " * 32] * len(header.signals["reserved"])
    for name, _width in _FIELDS:
        before = header.signals[name]
        changes[f"EDF {name} of signals"] += sum(
            old.strip() != new.strip() for old, new in zip(before, signals[name], strict=True)
        )
    return "".join("".join(signals[name]) for name, _width in _FIELDS).encode("latin-1")


def _replace_annotations(
    header: _Header,
    copy: BinaryIO,
    policy: RecordingPolicy,
    known: IdentityStrings,
    changes: Counter[str],
) -> None:
    ranges = list(header.annotation_ranges())
    _refuse_hidden_annotations(header, copy, ranges)
    places = [
        (header.header_bytes + record * header.record_bytes + offset, length)
        for record in range(header.record_count)
        for offset, length in ranges
    ]
    texts = EventTexts(
        (text for place in places for _time, each in _read_tals(copy, *place) for text in each),
        known.texts,
        keep_checked=policy.texts is TextRule.CHECKED,
    )
    for offset, length in places:
        block = b"".join(
            when + b"\x14" + b"".join(texts[text].encode() + b"\x14" for text in each) + b"\x00"
            for when, each in _read_tals(copy, offset, length)
        )
        if len(block) > length:
            # A note shorter than the word that stands for it: its time stays, without a word.
            block = b"".join(
                when
                + b"\x14"
                + b"".join(
                    (b"" if texts[text] != text else text.encode()) + b"\x14" for text in each
                )
                + b"\x00"
                for when, each in _read_tals(copy, offset, length)
            )
        if len(block) > length:
            raise _refused("an annotation is not in UTF-8")
        copy.seek(offset)
        copy.write(block.ljust(length, b"\x00"))
    changes["EDF annotations"] += texts.replaced_count


def _refuse_hidden_annotations(
    header: _Header, copy: BinaryIO, ranges: list[tuple[int, int]]
) -> None:
    """Refuse annotations in a channel that is not called so: they would be taken for samples."""
    if header.is_plus and not ranges:
        raise _refused("it is EDF+, but no channel is called one of annotations")
    offset = 0
    for samples in header.signals["samples"]:
        length = int(samples) * header.sample_bytes
        copy.seek(header.header_bytes + offset)
        if (offset, length) not in ranges and _TAL.match(copy.read(min(length, _LOOK_BYTES))):
            raise _refused("a channel holds annotations, but is not called so")
        offset += length


def _read_tals(copy: BinaryIO, offset: int, length: int) -> list[tuple[bytes, list[str]]]:
    """Return onset (with duration) and texts of each annotation list of a record."""
    copy.seek(offset)
    block = copy.read(length).rstrip(b"\x00") + b"\x00"
    found = []
    at = 0
    while block[at:].strip(b"\x00"):
        match = _TAL.match(block, at)
        if not match:
            raise _refused("its annotations are not written as EDF+ has them")
        onset = match[1] + (b"\x15" + match[2] if match[2] else b"")
        found.append((onset, [_decoded(text) for text in match[3].split(b"\x14")[:-1]]))
        at = match.end()
        while block[at : at + 1] == b"\x00":
            at += 1
    return found
