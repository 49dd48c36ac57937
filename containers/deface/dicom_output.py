"""Makes the defaced DICOM file: other pixels, the marks of it, and every other byte as it was.

What changes is `CHANGED`, and nothing else may: `judge_file` compares a result with its original
element by element and pixel by pixel. UIDs stay as they are: a session's references hold, and
``scrub-headers``, before or after, maps them all alike.

References
----------
DICOM PS3.15 E.3.2 (Clean Recognizable Visual Features Option), E.1.1 (marks); PS3.16 CID 7050;
PS3.3 C.7.1.1 (0012,0063) and (0012,0064), C.7.6.3 (0028,0302).
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.utils import pixel_array

from containers.deface.dicom_bytes import PIXEL_DATA, DicomBytes, read_bytes
from containers.deface.dicom_headers import PixelForm
from containers.deface.dicom_pixels import NATIVE, Pixels, changed_words
from containers.deface.gates import Gate
from containers.deface.sidecars import CODE, method_text
from containers.scrub_headers.encoding import Encoding
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.file_head import EXPLICIT

_METHOD, _CODES, _FEATURES = 0x00120063, 0x00120064, 0x00280302
_SMALLEST, _LARGEST = 0x00280106, 0x00280107
_ICON = 0x00880200
_GONE = frozenset({_ICON, 0x4FFE0001, 0xFFFAFFFA})
"""The thumbnail, which may show a face that is no longer in the pixels, and signatures, which no
longer hold once a mark is added."""
_OFFSETS = frozenset({0x7FE00001, 0x7FE00002})
"""Tables of places in compressed pixels; there are none once they are unpacked."""
CHANGED = (
    frozenset({_METHOD, _CODES, _FEATURES, _SMALLEST, _LARGEST, PIXEL_DATA}) | _GONE | _OFFSETS
)
"""Elements that may differ from the original."""
_PIXEL_GROUPS = range(0x7F00, 0x8000)
"""Of pixel data: standard, private, retired, and of floats."""
_PADDING = 0xFFFCFFFC
_PICTURE_STARTS = (
    b"\xff\xd8\xff", b"\x89PNG\r\n", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51", b"GIF8", b"II*\0",
    b"MM\0*",
)  # fmt: skip
"""How JPEG, PNG, JPEG 2000 (boxed and bare), GIF and TIFF (both orders) begin."""
_PART_10_PLACE, _PART_10 = 128, b"DICM"
_MOST_BYTES_OF_PIXEL = 4
_WIDE = 32
_SEQUENCE_END_BYTES = 8


def check_file(place: DicomBytes, form: PixelForm) -> None:
    """Refuse a file that holds a picture outside its pixel data.

    Raises
    ------
    RefusedFileError
        One stands in a sequence, in another element for pixels, in a private element, or behind
        the data set. A private element is taken for one if it begins as a picture or a DICOM
        file does, or is as long as the file's own pixels of 1 to 4 bytes.
    """
    tag = place.encoding.tag_bytes(PIXEL_DATA)
    for each in place.elements.values():
        if each.tag in {PIXEL_DATA, _ICON} or each.tag in _OFFSETS:
            continue
        value = place.data[each.value_start : each.stop]
        group = each.tag >> 16
        is_name = not each.tag & 0xFFFF or (group % 2 and not each.tag & 0xFF00)
        if group in _PIXEL_GROUPS and not is_name:  # neither the group's length nor a creator
            raise RefusedFileError(
                "It holds other pixels beside its pixel data, which may show the face."
            )
        if each.tag == _PADDING and value.strip(b"\0"):
            raise RefusedFileError("Its padding holds something, which may show the face.")
        if tag in value or (group % 2 and _is_picture(value, form)):
            raise RefusedFileError(
                "A second picture stands inside its header, which may show the face."
            )


def _is_picture(value: bytes, form: PixelForm) -> bool:
    pixels = form.rows * form.columns
    return (
        value.startswith(_PICTURE_STARTS)
        or value[_PART_10_PLACE : _PART_10_PLACE + len(_PART_10)] == _PART_10
        or len(value) in {pixels * size for size in range(1, _MOST_BYTES_OF_PIXEL + 1)}
    )


def defaced_file(
    place: DicomBytes, form: PixelForm, pixels: Pixels, removed: NDArray[np.bool_], fill: Pixels
) -> bytes:
    """Return a file with the fill in its removed pixels, and the marks.

    Compressed pixels are written unpacked (Explicit VR Little Endian): packed again by a
    lossy method the others would change, and not every reader unpacks the lossless ones.

    Parameters
    ----------
    removed : ndarray, bool, shape of pixels
    fill : ndarray, shape (frames, 1, 1)
        Stored number for each frame.
    """
    changes = _marks(place) | {tag: None for tag in _GONE if tag in place.elements}
    syntax = None
    if place.syntax not in NATIVE:
        syntax = EXPLICIT
        changes |= {tag: None for tag in _OFFSETS if tag in place.elements}
    if syntax or removed.any():
        words = changed_words(pixels, removed, fill, form, place)
        vr = "OB" if form.bits == 8 and syntax else place.elements[PIXEL_DATA].vr  # noqa: PLR2004 - bits
        vr = "OW" if form.bits > 8 and syntax else vr  # noqa: PLR2004 - as above
        changes[PIXEL_DATA] = place.encoding.header(PIXEL_DATA, vr, len(words)) + words
    if removed.any():
        changes |= _extremes(place, form, np.where(removed, fill, pixels))
    return place.with_changes(changes, syntax)


def judge_file(
    before: DicomBytes, after: bytes, pixels: Pixels, removed: NDArray[np.bool_], fill: Pixels
) -> tuple[int, int]:
    """Return how many elements and how many pixels differ that must not.

    The result is read again from its bytes, its pixels by pydicom.
    """
    now = read_bytes(after)
    tags = (before.elements.keys() | now.elements.keys()) - CHANGED
    elements = sum(before.content(tag) != now.content(tag) for tag in tags)
    elements += before.head != now.head if before.syntax == now.syntax else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = pixel_array(dcmread(io.BytesIO(after)), raw=True).reshape(pixels.shape)
    expected = np.where(removed, fill, pixels)
    return int(elements), int((found != expected).sum())


def file_gates(elements: int, pixels: int) -> tuple[Gate, Gate]:
    """Return the gates on all files of a volume."""
    reason = "more than the face was changed"
    return (
        Gate("DICOM elements changed besides those declared", elements, "0", elements == 0, reason),
        Gate("DICOM pixels changed outside the cut", pixels, "0", pixels == 0, reason),
    )


def _marks(place: DicomBytes) -> dict[int, bytes | None]:
    encoding = place.encoding
    method = place.value(_METHOD) or b""
    methods = [each.strip(b" \0") for each in method.split(b"\\") if each.strip(b" \0")]
    own = method_text().encode("ascii")
    methods = [*(each for each in methods if each != own), own]
    return {
        _METHOD: encoding.element(_METHOD, "LO", b"\\".join(methods)),
        _CODES: _codes(place),
        _FEATURES: encoding.element(_FEATURES, "CS", b"NO"),
    }


def _codes(place: DicomBytes) -> bytes:
    """Return the sequence of codes with our own behind those that were there."""
    encoding = place.encoding
    found = place.elements.get(_CODES)
    before = place.value(_CODES) or b""
    if found is not None and found.vr not in {"SQ", ""}:
        raise RefusedFileError("Its codes of de-identification are not written as a sequence.")
    if found is not None and found.is_open:
        before = before[:-_SEQUENCE_END_BYTES]
    if CODE["CodeValue"].encode("ascii") not in before:
        before += encoding.item(_code(encoding))
    return encoding.header(_CODES, "SQ", len(before)) + before


def _code(encoding: Encoding) -> bytes:
    return (
        encoding.element(0x00080100, "SH", CODE["CodeValue"].encode("ascii"))
        + encoding.element(0x00080102, "SH", CODE["CodingSchemeDesignator"].encode("ascii"))
        + encoding.element(0x00080104, "LO", CODE["CodeMeaning"].encode("ascii"))
    )


def _extremes(place: DicomBytes, form: PixelForm, pixels: Pixels) -> dict[int, bytes | None]:
    """Return smallest and largest pixel value anew, where the file gives them."""
    changes: dict[int, bytes | None] = {}
    order = "big" if place.encoding.big_endian else "little"
    for tag, value in ((_SMALLEST, int(pixels.min())), (_LARGEST, int(pixels.max()))):
        if tag not in place.elements:
            continue
        if form.bits == _WIDE:
            changes[tag] = None  # two bytes cannot hold it
            continue
        raw = value.to_bytes(2, "big" if order == "big" else "little", signed=form.is_signed)
        vr = "SS" if form.is_signed else "US"
        changes[tag] = place.encoding.element(tag, vr, raw)
    return changes
