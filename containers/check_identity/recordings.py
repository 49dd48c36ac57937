"""Reads headers of EEG recordings by their published layouts, as far as they identify.

Own light parsing on purpose: libraries that write these files are what this check judges. Not
here: MEG (``meg``), and signals, which are searched as bytes.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from containers.check_identity.context import FileContext, TextValue
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


def read_eeglab(stream: BinaryIO, context: FileContext) -> None:
    """Look at the texts of a MATLAB 5 file: date and machine of its header, variables unpacked."""
    context.apply(35)
    head = stream.read(116).decode("latin-1")
    if re.search(r"Created on: \w", head):
        context.fail(35, "bytes 0-115", "a date in the header", head)
    context.texts.append(TextValue("bytes 0-115", head, (35,)))
