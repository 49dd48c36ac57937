"""Reads headers of EEG and MEG recordings by their published layouts, as far as they identify.

Own light parsing on purpose: libraries that write these files are what this check judges. Not
here: signals, which are searched as bytes.
"""

from __future__ import annotations

import re
import struct
from pathlib import PurePath
from typing import BinaryIO

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.printable import printable_runs
from containers.check_identity.search.matcher import Region, Span

_MAX_HEADER = 16 << 20
_EDF_HEADER = 256
_BLANK_PATIENT = re.compile(r"(?:X|[A-Za-z]*\d+[A-Za-z0-9]*|sub-\w+) X X X(?: .*)?|X( X)*|\s*")
_BLANK_RECORDING = re.compile(r"Startdate (?:X|01-JAN-\d{4}) X X X(?: X)*|X( X)*|\s*")
_EDF_LAST_BLANK_DATES = frozenset({"01.01.85", "00.00.00", "01.01.00", "01.01.24", "01.01.25"})
_LAST_SHIFTED_YEAR = 1925


def read_edf(stream: BinaryIO, context: FileContext) -> None:
    """Read EDF, EDF+ or BDF: patient, recording and start date (Kemp and Olivan 2003)."""
    context.apply(35)
    head = stream.read(_EDF_HEADER)
    patient, recording = (head[at : at + 80].decode("latin-1").strip() for at in (8, 88))
    start = head[168:176].decode("latin-1")
    if not _BLANK_PATIENT.fullmatch(patient) or len(patient.split()) > 4:  # noqa: PLR2004 - its parts
        context.fail(35, "bytes 8-87, patient", "not blank", patient)
    if not _BLANK_RECORDING.fullmatch(recording):
        context.fail(35, "bytes 88-167, recording", "not blank", recording)
    if start not in _EDF_LAST_BLANK_DATES:
        context.fail(35, "bytes 168-175, start date", "not blank", start)
    header_bytes = int(head[184:192])
    stream.seek(0)
    whole = stream.read(min(header_bytes, _MAX_HEADER)).decode("latin-1")
    context.texts.append(TextValue("header", whole[256:], (35,)))
    context.texts += [
        TextValue("patient", patient, (35,)),
        TextValue("recording", recording, (35,)),
    ]
    size = stream.seek(0, 2)
    _edf_signals(stream, head, whole, (header_bytes, size), context)


def _edf_signals(
    stream: BinaryIO, head: bytes, header: str, extent: tuple[int, int], context: FileContext
) -> None:
    """Mark the samples, and read the annotations of EDF+ that lie between them."""
    start, size = extent
    count = int(head[252:256])
    width = 3 if head[:1] == b"\xff" else 2
    labels = [header[256 + 16 * index : 272 + 16 * index].strip() for index in range(count)]
    at = 256 + count * 216
    samples = [int(header[at + 8 * index : at + 8 + 8 * index]) * width for index in range(count)]
    notes = [index for index, label in enumerate(labels) if label.endswith("Annotations")]
    record = sum(samples)
    if not notes or not record:
        context.spans.append(Span(start, size, Region.VOXELS))
        return
    found = bytearray()
    for base in range(start, size - record + 1, record):
        for index in notes:
            first = base + sum(samples[:index])
            stream.seek(first)
            found += stream.read(samples[index]).strip(b"\0") + b"\n"
    text = found.decode("utf-8", "replace").replace("\x14", "\n").replace("\x15", "\n")
    context.texts.append(TextValue("annotations", text, (35,)))


def read_brainvision(stream: BinaryIO, context: FileContext) -> None:
    """Read a BrainVision header or marker file: dates of segments, comments, file names."""
    context.apply(35)
    text = stream.read(_MAX_HEADER).decode("utf-8", "replace")
    for found in re.finditer(r"New Segment,[^,]*,\d+,\d+,\d+,(\d{14,20})", text):
        # yyyymmddhhmmss and microseconds; zeros or a year to 1925 are blank.
        if int(found[1][:4]) > _LAST_SHIFTED_YEAR:
            context.fail(35, "New Segment marker", "a clock date", found[1])
    _, _, comment = text.partition("[Comment]")
    if re.search(
        r"(?:serial|amplifier|date|name|subject)\w*[ \t]*[:=][ \t]*\S", comment, re.IGNORECASE
    ):
        context.fail(35, "[Comment]", "a labelled value", comment)
    context.texts.append(TextValue("text", text, (35,)))


def read_signals(stream: BinaryIO, context: FileContext) -> None:
    """Mark the whole file as samples."""
    context.apply(35)
    context.spans.append(Span(0, stream.seek(0, 2), Region.VOXELS))


_FIF_TEXTS = {
    206: "description", 212: "experimenter", 401: "subject first name", 402: "middle name",
    403: "last name", 409: "subject comment", 410: "his_id", 501: "project name",
    502: "project aim", 503: "project persons", 504: "project comment",
    233: "device serial", 234: "device site",
}  # fmt: skip
_FIF_NUMBERS = {
    400: "subject id",
    404: "birth date",
    407: "weight",
    408: "height",
    500: "project id",
}
_FIF_DATE, _FIF_DATA = 204, {300, 302, 303}
_FIF_IDS = {100, 103, 109, 110, 117, 116, 120}
_FIF_MAX_TEXT = 1 << 22


def read_fif(stream: BinaryIO, context: FileContext) -> None:
    """Read the tags of a FIF file in file order (Elekta, Functional Image File Format)."""
    context.apply(35)
    size = stream.seek(0, 2)
    at = 0
    while at + 16 <= size:
        stream.seek(at)
        kind, form, length, following = struct.unpack(">iIii", stream.read(16))
        if length < 0 or at + 16 + length > size:
            context.doubt(26, f"byte {at}", "a FIF tag that does not fit the file")
            return
        _read_fif_tag(stream, kind, form, (at, length), context)
        at = following if following > at else at + 16 + length


def _read_fif_tag(
    stream: BinaryIO, kind: int, form: int, extent: tuple[int, int], context: FileContext
) -> None:
    at, length = extent
    if kind in _FIF_DATA:
        context.spans.append(Span(at + 16, at + 16 + length, Region.VOXELS))
        return
    data = stream.read(min(length, _FIF_MAX_TEXT))
    if form & 0xFFFF == 10:  # noqa: PLR2004 - FIFFT_STRING
        text = data.decode("latin-1").strip("\0 ")
        context.texts.append(TextValue(f"tag {kind}", text, (35,)))
        if (
            kind in _FIF_TEXTS
            and text
            and text
            not in {"mne_anonymize", "Anonymous using a time shift to preserve age at acquisition"}
        ):
            context.fail(35, f"tag {kind}, {_FIF_TEXTS[kind]}", "not blank", text)
    elif kind in _FIF_NUMBERS and any(data) and kind != 400:  # noqa: PLR2004 - 0 is blank
        context.fail(35, f"tag {kind}, {_FIF_NUMBERS[kind]}", "not blank", data)
    if kind == _FIF_DATE and length >= 4 and _is_real_time(data[:4]):  # noqa: PLR2004 - seconds
        context.fail(35, "tag 204, measurement date", "a date after 2000-01-01", data)
    if kind in _FIF_IDS and length >= 20:  # noqa: PLR2004 - version, machine, time
        if any(data[4:12]):
            context.fail(35, f"tag {kind}, file id", "the number of a machine", data)
        elif _is_real_time(data[12:16]):
            context.fail(35, f"tag {kind}, file id", "a time after 2000-01-01", data)


_YEAR_2000 = 946684800
_DAY = 86400


def _is_real_time(data: bytes) -> bool:
    seconds = int(struct.unpack(">i", data)[0])
    # mne sets 2000-01-01; shifted dates are before 1926.
    return seconds > _YEAR_2000 + _DAY or 0 < seconds < _YEAR_2000 - _DAY


def read_ctf(stream: BinaryIO, context: FileContext) -> None:
    """Read the texts at the start of a CTF .res4 (run name, date, operator); others as samples."""
    context.apply(35)
    head = stream.read(2048)
    if not head.startswith((b"MEG41RS", b"MEG42RS")):
        if PurePath(context.name).suffix.lower() == ".meg4":
            context.spans.append(Span(8, stream.seek(0, 2), Region.VOXELS))
        return
    for name, start, size in (("run name", 8, 256), ("time", 778, 255), ("date", 1033, 255)):
        text = head[start : start + size].split(b"\0")[0].decode("latin-1").strip()
        context.texts.append(TextValue(name, text, (35,)))
        if text:
            context.fail(35, name, "not blank", text)
    for name, start, size in (("title", 1360, 256), ("subject", 1616, 32), ("operator", 1648, 56)):
        text = head[start : start + size].split(b"\0")[0].decode("latin-1").strip()
        context.texts.append(TextValue(name, text, (35,)))
        if text:
            context.fail(35, name, "not blank", text)


def read_kit(stream: BinaryIO, context: FileContext) -> None:
    """Look for texts in the header of a KIT file; the layout is not published, so it is doubted."""
    context.apply(35)
    head = stream.read(1 << 16)
    context.texts += [TextValue("header", run, (35,)) for run in printable_runs(head)]
    context.doubt(35, "", "a KIT file; its header's layout is not published")


def read_eeglab(stream: BinaryIO, context: FileContext) -> None:
    """Look at the texts of a MATLAB 5 file: date and machine of its header, variables unpacked."""
    context.apply(35)
    head = stream.read(116).decode("latin-1")
    if re.search(r"Created on: \w", head):
        context.fail(35, "bytes 0-115", "a date in the header", head)
    context.texts.append(TextValue("bytes 0-115", head, (35,)))
