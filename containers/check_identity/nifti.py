"""Reads NIfTI-1 and NIfTI-2 headers by their layout, and what lies around the voxels.

Packed files (.nii.gz) come unpacked. Not here: gzip's own header (``inspector``).
"""

from __future__ import annotations

import re
import struct
from pathlib import PurePath
from typing import Any, BinaryIO

from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.printable import printable_runs
from containers.check_identity.search.matcher import Region, Span

_EXTENDER = 4
_MAX_EXTENSIONS = 64 << 20
_TEXT_FIELDS = ("descrip", "aux_file", "intent_name", "db_name", "data_type")
_DESCRIPTION = re.compile(
    r"(?:TE=[\d.]+(?:;(?:phase|mb)=?[\d.]*)*|FSL\d?[\d.]*|[\d.]*|nibabel [\d.]+|NiBabel|SPM.{0,12}"
    r"|afni|itk[\d. ]*)",
    re.IGNORECASE,
)
_INTENT_NAME = re.compile(r"[A-Za-z]{0,12}")
_BLANK = re.compile(r"\s*")
_HEADER_NIFTI2 = 540


def read(stream: BinaryIO, context: FileContext) -> None:
    """Hold a NIfTI file against criterion 28; its voxels go to the context."""
    context.apply(28)
    head = stream.read(4)
    size = struct.unpack("<i", head)[0]
    is_second = _HEADER_NIFTI2 in (size, struct.unpack(">i", head)[0])
    stream.seek(0)
    header_class: Any = Nifti2Header if is_second else Nifti1Header
    raw = stream.read(_HEADER_NIFTI2 if is_second else 348)
    header: Any = header_class(raw, check=False)
    for name in _TEXT_FIELDS:
        if name in header:
            _check_field(name, bytes(header[name].tobytes()), context)
    total = stream.seek(0, 2)
    is_single = bytes(header["magic"].tobytes())[:2] == b"n+"
    if not is_single and PurePath(context.name).suffix.lower() == ".hdr":
        _check_rest(stream, len(raw), total, "header extensions", context)
        return
    _check_voxels(stream, header, len(raw), total, context)


def _check_field(name: str, value: bytes, context: FileContext) -> None:
    text, _, rest = value.partition(b"\0")
    shown = text.decode("latin-1")
    context.texts.append(TextValue(name, value.decode("latin-1"), (28,)))
    usual = {"descrip": _DESCRIPTION, "intent_name": _INTENT_NAME}.get(name, _BLANK)
    if not usual.fullmatch(shown):
        context.fail(28, name, "a text that is not of the usual form", shown)
    if rest.strip(b"\0 "):
        context.fail(28, name, "bytes after the end of the text", rest)


def _check_voxels(
    stream: BinaryIO,
    header: Any,
    header_bytes: int,
    total: int,
    context: FileContext,
) -> None:
    shape = tuple(int(each) for each in header.get_data_shape())
    count = 1
    for each in shape:
        count *= each
    start = int(header["vox_offset"])
    end = start + count * int(header.get_data_dtype().itemsize)
    if not shape or start < header_bytes or end > total or min(shape) < 1:
        context.doubt(26, "header", "sizes that do not fit the file")
        return
    context.spans.append(Span(start, end, Region.VOXELS))
    _check_rest(stream, header_bytes, start, "header extensions", context)
    if end < total:
        _note_bytes(stream, end, total, "after the voxels", context)


def _check_rest(stream: BinaryIO, start: int, end: int, at: str, context: FileContext) -> None:
    """Refuse what lies between header and voxels: extensions, or bytes that nothing explains."""
    if end - start <= _EXTENDER:
        stream.seek(start)
        if any(stream.read(max(0, end - start))):
            context.fail(28, at, "an extension is announced and missing")
        return
    stream.seek(start)
    if any(stream.read(min(end - start, _MAX_EXTENSIONS))):
        _note_bytes(stream, start, end, at, context)


def _note_bytes(stream: BinaryIO, start: int, end: int, at: str, context: FileContext) -> None:
    stream.seek(start)
    data = stream.read(min(end - start, _MAX_EXTENSIONS))
    context.fail(28, at, "bytes outside header and voxels", data)
    context.texts += [TextValue(at, run, (28,)) for run in printable_runs(data)]
