"""Reads a DICOM file with pydicom and walks every element at every depth.

Here: the parts of the file (PS3.10 section 7), the walk, texts, pixels' extent. What may be in an
element is decided in ``dicom_rules``.
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, BinaryIO

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from containers.check_identity.context import FileContext
from containers.check_identity.dicom_pixels import has_bits_above
from containers.check_identity.dicom_plain import read_plain
from containers.check_identity.dicom_rules import DicomRules, where
from containers.check_identity.dicom_values import check_meta_element, judge_element
from containers.check_identity.dicom_walk import PIXELS, UnusualFormError
from containers.check_identity.search.matcher import Region, Span
from containers.check_identity.search.streams import Budget, inflate_raw

_PREAMBLE = 128
_META_START = 132
_DEFER_BYTES = 1 << 20
_MAX_VALUE = 512 << 20
_PIXEL_DATA = 0x7FE00010
_NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian})
_DELIMITER = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
_READ_WHOLE_BYTES = 8 << 20
"""Smaller files are read at once, larger ones are mapped."""


def read(stream: BinaryIO, context: FileContext) -> None:
    """Hold a DICOM file against the criteria; texts and voxels go to the context."""
    context.apply(6, 7, 14, 15, 16, 17, 18, 20, 21, 22, 23, 24, 25)
    preamble = stream.read(_META_START)
    if preamble[_PREAMBLE:] != b"DICM":
        context.doubt(26, "", "DICOM without file meta information")
        stream.seek(0)
        _walk(_data_set(stream, ImplicitVRLittleEndian), Dataset(), stream, context)
        return
    if any(preamble[:_PREAMBLE]):
        context.fail(23, "preamble", "bytes other than zero", preamble[:_PREAMBLE])
    if _is_read_plainly(stream, context):
        return
    stream.seek(_META_START)
    meta = read_dataset(
        stream, is_implicit_VR=False, is_little_endian=True,
        stop_when=lambda tag, _vr, _length: tag >> 16 != 2,  # noqa: PLR2004 - PS3.10 7.1
    )  # fmt: skip
    syntax = str(meta.get("TransferSyntaxUID", ""))
    if not syntax:
        context.doubt(26, "file meta information", "no transfer syntax")
        syntax = ImplicitVRLittleEndian
    if syntax == DeflatedExplicitVRLittleEndian:
        _read_deflated(stream, meta, context)
        return
    data_set = _data_set(stream, syntax)
    _check_end(stream, data_set, context)
    context.spans += _voxels(data_set, stream)
    _check_bits(data_set, stream, context, syntax)
    _walk(data_set, meta, stream, context)


def _is_read_plainly(stream: BinaryIO, context: FileContext) -> bool:
    """Read a file of the usual form the quick way; return False, and do nothing, for others."""
    if context.elements is None:
        return False
    size = stream.seek(0, 2)
    stream.seek(0)
    try:
        if size <= _READ_WHOLE_BYTES:
            plain = read_plain(stream.read(), context, context.elements)
        else:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
                plain = read_plain(data, context, context.elements)
    except (UnusualFormError, OSError):
        # OSError: a stream in memory, which has no file to map.
        return False
    context.spans += plain.spans
    if plain.is_native and plain.spans:
        _check_pixel_bits(plain.facts, stream, context, is_little=True)
    plain.report(context)
    return True


def _data_set(stream: BinaryIO, syntax: str) -> Dataset:
    return read_dataset(
        stream,
        is_implicit_VR=syntax == ImplicitVRLittleEndian,
        is_little_endian=syntax != ExplicitVRBigEndian,
        defer_size=_DEFER_BYTES,
    )


def _read_deflated(stream: BinaryIO, meta: Dataset, context: FileContext) -> None:
    budget = Budget(min(context.settings.max_unpacked_bytes, _MAX_VALUE), 1, 1)
    start = stream.tell()
    member = inflate_raw(stream, budget)
    context.spans.append(Span(start, start + member.used, Region.VOXELS))
    if member.problem:
        context.doubt(26, "", member.problem)
    stream.seek(start + member.used)
    if stream.read(2).strip(b"\0"):
        context.fail(23, "", "bytes after the deflated data set")
    if member.stream is None:
        return
    data_set = _data_set(member.stream, DeflatedExplicitVRLittleEndian)
    _check_end(member.stream, data_set, context)
    context.inner.append(("inflated", member.stream, _voxels(data_set, member.stream)))
    _walk(data_set, meta, member.stream, context)


def _check_bits(data_set: Dataset, stream: BinaryIO, context: FileContext, syntax: str) -> None:
    if syntax not in _NATIVE or _PIXEL_DATA not in data_set:
        return
    _check_pixel_bits(data_set, stream, context, is_little=syntax != ExplicitVRBigEndian)


def _check_pixel_bits(
    data_set: Dataset, stream: BinaryIO, context: FileContext, *, is_little: bool
) -> None:
    span = max(context.spans, key=lambda each: each.end)
    if has_bits_above(data_set, span, stream, is_little=is_little):
        context.fail(22, "(7FE0,0010) PixelData", "bits above the high bit")


def _voxels(data_set: Dataset, stream: BinaryIO) -> list[Span]:
    """Return where the voxels lie; only their bytes are searched less strictly."""
    spans = []
    size = stream.seek(0, 2)
    for tag in PIXELS & set(map(int, data_set.keys())):
        raw: Any = data_set.get_item(tag, keep_deferred=True)
        start = getattr(raw, "value_tell", None) or getattr(raw, "file_tell", None)
        if not start:
            continue
        is_open = getattr(raw, "is_undefined_length", False) or raw.length == 0xFFFFFFFF  # noqa: PLR2004 - PS3.5 7.1.1
        end = size - len(_DELIMITER) if is_open else start + raw.length
        spans.append(Span(start, end, Region.VOXELS))
    return spans


def _check_end(stream: BinaryIO, data_set: Dataset, context: FileContext) -> None:
    """Look for bytes after the data set, which pydicom passes over or takes for elements."""
    size = stream.seek(0, 2)
    tags = list(map(int, data_set.keys()))
    if tags != sorted(tags):
        context.fail(23, "", "elements out of order, as of bytes after the data set")
    if not tags:
        context.doubt(26, "", "a data set without elements")
        return
    late = [tag for tag in tags if tag > _PIXEL_DATA]
    for tag in late:
        # Without the option, pydicom looks on disk for an empty or a large value, and fails.
        late_one = data_set.get_item(tag, keep_deferred=True)
        is_unread = late_one.value is None and bool(getattr(late_one, "length", 0))
        if tag != 0xFFFCFFFC or is_unread or (late_one.value and any(late_one.value)):  # noqa: PLR2004 - trailing padding
            context.fail(23, where(Tag(tag)), "an element after the pixels")
    last: Any = data_set.get_item(tags[-1], keep_deferred=True)
    if isinstance(last, RawDataElement) and last.length != 0xFFFFFFFF:  # noqa: PLR2004 - PS3.5 7.1.1
        end = last.value_tell + last.length
        if end < size:
            context.fail(23, f"byte {end}", "bytes after the data set")
        if end > size:
            context.doubt(26, where(Tag(tags[-1])), "the file ends inside a value")
        return
    stream.seek(max(0, size - len(_DELIMITER)))
    if stream.read() != _DELIMITER:
        context.fail(23, "", "bytes after the last delimiter, or none where one must be")


def _walk(data_set: Dataset, meta: Dataset, stream: BinaryIO, context: FileContext) -> None:
    rules = DicomRules(context, data_set)
    for tag in meta.keys():  # noqa: SIM118 - a Dataset iterates its elements
        check_meta_element(meta[tag], context)
    rules.check_file(meta)
    _walk_level(data_set, "", stream, context, rules)


def _walk_level(
    data_set: Dataset, above: str, stream: BinaryIO, context: FileContext, rules: DicomRules
) -> None:
    rules.check_level(data_set, above)
    for tag in list(data_set.keys()):
        at = above + where(tag)
        if int(tag) in PIXELS and not above:
            continue
        raw: Any = data_set.get_item(tag, keep_deferred=True)
        raw_value = raw.value if isinstance(raw, RawDataElement) else None
        if isinstance(raw, RawDataElement) and raw.value is None and raw.length:
            raw_value = _fetch(data_set, tag, raw, stream, context)
            if raw_value is None:
                continue
        # A sequence that was read from here on has its tag in the data set, not in ``raw``.
        element = judge_element(data_set, raw, raw_value, at, context, rules)
        if element is not None and element.VR == "SQ":
            for index, item in enumerate(element.value or ()):
                _walk_level(item, f"{at}[{index}] > ", stream, context, rules)


def _fetch(
    data_set: Dataset, tag: BaseTag, raw: RawDataElement, stream: BinaryIO, context: FileContext
) -> bytes | None:
    """Read a value that was left on disk for its size, and put it back into the data set."""
    if raw.length > _MAX_VALUE:
        context.doubt(26, where(tag), "a value that is too large to be read")
        return None
    stream.seek(raw.value_tell)
    data = stream.read(raw.length)
    data_set[tag] = raw._replace(value=data)
    return data
