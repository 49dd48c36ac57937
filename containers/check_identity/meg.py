"""Reads headers of MEG recordings (FIF, CTF, KIT) by their layouts, as far as they identify.

Own light parsing on purpose, as in ``recordings``, where EEG is. Not here: samples, which are
searched as bytes.
"""

from __future__ import annotations

import re
import struct
from datetime import datetime
from pathlib import PurePath
from typing import BinaryIO

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.printable import printable_runs
from containers.check_identity.search.matcher import Region, Span

_LAST_SHIFTED_YEAR = 1925
_YEAR_2000 = 946684800
_DAY = 86400

_FIF_TEXTS = {
    206: "description", 212: "experimenter", 401: "subject first name", 402: "middle name",
    403: "last name", 409: "subject comment", 410: "his_id", 501: "project name",
    502: "project aim", 503: "project persons", 504: "project comment",
    154: "device serial", 155: "device site", 3550: "working folder", 3551: "command line",
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
_FIF_BLOCK_START, _FIF_BLOCK_END, _FIF_COMMENT = 104, 105, 206
_FIF_LABELLED_BLOCKS = frozenset({3810, 313, 314, 359, 3560, 121})
"""Annotations, projections, matrices of bad channels, events: their comment is a label of theirs,
which is searched like every text."""
_FIF_MAX_TEXT = 1 << 22


def read_fif(stream: BinaryIO, context: FileContext) -> None:
    """Read the tags of a FIF file in file order (Elekta, Functional Image File Format)."""
    context.apply(35)
    size = stream.seek(0, 2)
    at = 0
    blocks: list[int] = []
    while at + 16 <= size:
        stream.seek(at)
        kind, form, length, following = struct.unpack(">iIii", stream.read(16))
        if length < 0 or at + 16 + length > size:
            context.doubt(26, f"byte {at}", "a FIF tag that does not fit the file")
            return
        if kind == _FIF_BLOCK_START and length == 4:  # noqa: PLR2004 - a number of a block
            blocks.append(struct.unpack(">i", stream.read(4))[0])
        elif kind == _FIF_BLOCK_END and blocks:
            blocks.pop()
        else:
            is_label = kind == _FIF_COMMENT and bool(blocks) and blocks[-1] in _FIF_LABELLED_BLOCKS
            _read_fif_tag(stream, kind, form, (at, length), context, is_label=is_label)
        at = following if following > at else at + 16 + length
    if at < size:
        context.doubt(26, f"byte {at}", "bytes behind the last FIF tag")


def _read_fif_tag(  # noqa: PLR0913 - the fields of a tag
    stream: BinaryIO,
    kind: int,
    form: int,
    extent: tuple[int, int],
    context: FileContext,
    *,
    is_label: bool,
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
            and not is_label
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


def _is_real_time(data: bytes, order: str = ">") -> bool:
    seconds = int(struct.unpack(order + "i", data)[0])
    # mne sets 2000-01-01; shifted dates are before 1926.
    return seconds > _YEAR_2000 + _DAY or 0 < seconds < _YEAR_2000 - _DAY


_RES4_TEXTS = {
    "application": (8, 256), "origin": (264, 256), "description": (520, 256),
    "run name": (1360, 32), "run title": (1392, 256), "instruments": (1648, 32),
    "collection": (1680, 32), "subject": (1712, 32), "operator": (1744, 32),
    "sensor file": (1776, 60),
}  # fmt: skip
"""Texts of the header by place and length (CTF MEG File Formats, PN900-0088, "MEG4 resource")."""
_RES4_TIME, _RES4_DATE = (778, 255), (1033, 255)
_RES4_DESCRIPTION_LENGTH, _RES4_HEAD = 1836, 1844
_MAX_HEADER = 16 << 20


def read_ctf(stream: BinaryIO, context: FileContext) -> None:
    """Read the header of a CTF recording (.res4); of its samples (.meg4) mark the extent."""
    context.apply(35)
    head = stream.read(_MAX_HEADER)
    if not head.startswith((b"MEG41RS", b"MEG42RS", b"MEG43RS")):
        if PurePath(context.name).suffix.lower() == ".meg4":
            context.spans.append(Span(8, stream.seek(0, 2), Region.VOXELS))
        else:
            context.doubt(26, "", "a CTF file without header")
        return
    if len(head) < _RES4_HEAD:
        context.doubt(26, "", "a CTF header that is cut off")
        return
    for name, (start, size) in _RES4_TEXTS.items():
        field = head[start : start + size]
        text = field.strip(b"\0 ").decode("latin-1")
        if text:
            context.texts.append(TextValue(name, text, (35,)))
            context.fail(35, name, "not blank", text)
    if struct.unpack_from(">i", head, _RES4_DESCRIPTION_LENGTH)[0] > 0:
        length = struct.unpack_from(">i", head, _RES4_DESCRIPTION_LENGTH)[0]
        text = head[_RES4_HEAD : _RES4_HEAD + length].strip(b"\0 ").decode("latin-1")
        if text:
            context.texts.append(TextValue("run description", text, (35,)))
            context.fail(35, "run description", "not blank", text)
    day = _field(head, _RES4_DATE, context, "date")
    _field(head, _RES4_TIME, context, "time")
    if day and not _is_shifted(day):
        context.fail(35, "date", "not blank, nor a day before 1926", day)
    rest = head[_RES4_HEAD:]
    context.texts += [TextValue("names of channels", run, (35,)) for run in printable_runs(rest)]


def _field(head: bytes, extent: tuple[int, int], context: FileContext, name: str) -> str:
    start, size = extent
    text, _, behind = head[start : start + size].partition(b"\0")
    if behind.strip(b"\0 "):
        context.fail(35, name, "bytes behind the end of the text", behind)
    shown = text.decode("latin-1").strip()
    context.texts.append(TextValue(name, shown, (35,), is_date=True))
    return shown


def _is_shifted(day: str) -> bool:
    try:
        return datetime.strptime(day, "%d-%b-%Y").year <= _LAST_SHIFTED_YEAR  # noqa: DTZ007 - a day
    except ValueError:
        return False


_CTF_BLANK = re.compile(r"(?:PATH OF DATASET|COMMENT):[ \t]*\r?\n[ \t]*([^\s:][^\r\n]*)")
"""What stands in the line below; where it is blank, the next heading has a colon."""


def read_ctf_text(stream: BinaryIO, context: FileContext) -> None:
    """Read a helper file of a CTF folder: coils, markers, bad channels and stretches."""
    context.apply(35)
    text = stream.read(_MAX_HEADER).decode("utf-8", "replace")
    for found in _CTF_BLANK.finditer(text):
        if not found[1].rstrip().endswith(":"):
            context.fail(35, "a path or comment of markers", "not blank", found[1])
    for line in text.splitlines():
        if line.startswith("#") and line.strip("# \t"):
            context.fail(35, "a comment", "not blank", line)
    context.texts.append(TextValue("text", text, (35,)))


_KIT_ENTRY = struct.Struct("<iiii")
_KIT_MOST_SECTIONS = 512
_KIT_SYSTEM = 1
_KIT_SYSTEM_TEXTS = {"system name": (12, 128), "model": (140, 128), "comment": (272, 256)}
_KIT_CLOCKS = (528, 532)
_KIT_SYSTEM_HEAD = 536
_KIT_KNOWN = {
    1: "system", 4: "channels", 5: "calibration", 7: "filter", 8: "condition", 9: "samples",
    12: "markers", 26: "points",
}  # fmt: skip
_KIT_SAMPLES, _KIT_MARKERS = 9, 12


def read_kit(stream: BinaryIO, context: FileContext) -> None:
    """Read a KIT file by its directory of sections; a section that no reader knows is refused.

    The maker publishes no layout; this one is that of the reader in MNE-Python (``mne.io.kit``).
    """
    context.apply(35)
    size = stream.seek(0, 2)
    stream.seek(0)
    first = stream.read(_KIT_ENTRY.size * _KIT_MOST_SECTIONS)
    offset, width, _most, count = _KIT_ENTRY.unpack_from(first)
    if width != _KIT_ENTRY.size or offset or not _KIT_SYSTEM < count <= _KIT_MOST_SECTIONS:
        context.doubt(26, "", "a KIT file without directory")
        return
    taken = [(0, _KIT_ENTRY.size * count)]
    for number in range(1, count):
        start, width, _most, items = _KIT_ENTRY.unpack_from(first, number * _KIT_ENTRY.size)
        length = width * items
        if min(start, width, items) < 0 or start + length > size:
            context.doubt(26, f"section {number}", "a section that does not fit the file")
            return
        if not length:
            continue
        taken.append((start, start + length))
        if number not in _KIT_KNOWN:
            context.fail(35, f"section {number}", "a section of which nothing is known")
        elif number == _KIT_SAMPLES:
            context.spans.append(Span(start, start + length, Region.VOXELS))
        else:
            _read_kit_section(stream, number, (start, length), context)
    _check_kit_gaps(stream, sorted(taken), size, context)


def _read_kit_section(
    stream: BinaryIO, number: int, extent: tuple[int, int], context: FileContext
) -> None:
    start, length = extent
    stream.seek(start)
    data = stream.read(min(length, _MAX_HEADER))
    name = f"section {number}, {_KIT_KNOWN[number]}"
    context.texts += [TextValue(name, run, (35,)) for run in printable_runs(data)]
    if number != _KIT_SYSTEM:
        return
    if length < _KIT_SYSTEM_HEAD:
        context.doubt(26, name, "a section that is cut off")
        return
    for part, (at, size) in _KIT_SYSTEM_TEXTS.items():
        text = data[at : at + size].strip(b"\0 ")
        if text:
            context.fail(35, f"{name}, {part}", "not blank", text)
    for at in _KIT_CLOCKS:
        if _is_real_time(data[at : at + 4], "<"):
            context.fail(35, f"{name}, clock", "a date after 2000-01-01", data[at : at + 4])


def _check_kit_gaps(
    stream: BinaryIO, taken: list[tuple[int, int]], size: int, context: FileContext
) -> None:
    """Read what lies between the sections: names of files of markers lie there, or anything."""
    at = 0
    for start, end in [*taken, (size, size)]:
        if start > at:
            stream.seek(at)
            gap = stream.read(min(start - at, _MAX_HEADER))
            runs = printable_runs(gap)
            context.texts += [TextValue("between the sections", run, (35,)) for run in runs]
            if runs:
                context.fail(35, f"byte {at}", "text between the sections", runs[0])
        at = max(at, end)
