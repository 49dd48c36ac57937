"""Whether a file is an image that may pass: its class, its kind, and its pixels.

Pixels are looked at and never changed. Not here: the header.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.profile import Doubt, Profile

_CONVERSION, _IMAGE_TYPE, _BURNED_IN = 0x00080064, 0x00080008, 0x00280301
_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS = (
    0x00280002, 0x00280004, 0x00280008, 0x00280010, 0x00280011,
)  # fmt: skip
_ALLOCATED, _STORED, _HIGH_BIT = 0x00280100, 0x00280101, 0x00280102
_SIGNED = 0x00280103
_PICTURES = ("SCREEN", "CSA REPORT", "CSA RESULT", "SCANNED", "FILMED")
_HALF_SAMPLED = ("YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420")
_FEWEST_STROKE_PIXELS = 24
_LONGEST_STROKE = 8
_LARGEST_CORNER_SHARE = 0.2
_CONTRAST = 0.5
_WORD_BYTES = 8
_SMALLEST_SIDE = 64


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """The image as its header describes it; sizes in pixels, bits as in PS3.3 C.7.6.3."""

    rows: int
    columns: int
    samples: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    photometric: str
    signed: bool

    @property
    def size_bytes(self) -> int | None:
        """Length of the native pixel data, even; None where the header does not tell it."""
        if self.photometric in _HALF_SAMPLED or not (self.rows and self.columns):
            return None
        pixels = self.rows * self.columns * self.samples * self.frames
        size = (pixels * self.bits_allocated + 7) // 8
        return size + size % 2


def image_facts(facts: Mapping[int, bytes], *, big_endian: bool) -> ImageFacts:
    """Return what the header says of the image.

    Raises
    ------
    RefusedFileError
        A number of the image's description is none.
    """

    def number(tag: int, default: int) -> int:
        value = facts.get(tag, b"")
        if not value:
            return default
        if len(value) != 2:  # noqa: PLR2004 - US
            raise RefusedFileError("The description of its pixels has a wrong form.")
        return int.from_bytes(value, "big" if big_endian else "little")

    try:
        frames = int(facts.get(_FRAMES, b"").strip(b" \0") or b"1")
    except ValueError:
        raise RefusedFileError("The number of its frames is no number.") from None
    if not 0 < frames < 1 << 31:
        raise RefusedFileError("The number of its frames is not possible.")
    allocated = number(_ALLOCATED, 16)
    stored = number(_STORED, allocated)
    return ImageFacts(
        rows=number(_ROWS, 0),
        columns=number(_COLUMNS, 0),
        samples=number(_SAMPLES, 1),
        frames=frames,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=number(_HIGH_BIT, stored - 1),
        photometric=_text(facts, _PHOTOMETRIC),
        signed=number(_SIGNED, 0) == 1,
    )


def check_kind(facts: Mapping[int, bytes], sop_class: str, profile: Profile) -> list[str]:
    """Refuse what is no plain image; return sentences of doubt.

    Raises
    ------
    RefusedFileError
        The class is not on the profile's list, text is said to be burned in, or the image is a
        picture of a screen or of paper.
    """
    if sop_class not in profile.sop_classes:
        raise RefusedFileError(
            "It is not of a class that may pass (documents, reports, secondary captures and raw "
            "data are held back)."
        )
    if _text(facts, _BURNED_IN) == "YES":
        raise RefusedFileError("Its header says that text is burned into the pixels.")
    kinds = _text(facts, _IMAGE_TYPE).upper()
    if any(each in kinds for each in _PICTURES):
        raise RefusedFileError("It is a picture of a screen or of a report.")
    if _text(facts, _CONVERSION) not in {"", "SYN"}:
        raise RefusedFileError("It was captured from paper, film or a screen.")
    if _text(facts, _PHOTOMETRIC) not in {"", "MONOCHROME1", "MONOCHROME2"}:
        if profile.colour_images is Doubt.REFUSE:
            raise RefusedFileError("It is in colour, as pictures with text are.")
        return ["It is in colour, as pictures with text are: a person should look at it."]
    return []


def check_length(image: ImageFacts, length: int) -> None:
    """Refuse native pixel data that are longer or shorter than the image.

    Raises
    ------
    RefusedFileError
        The length differs, so that something else may lie behind the pixels.
    """
    expected = image.size_bytes
    if expected is None and not (image.rows and image.columns):
        raise RefusedFileError("It does not say how large its image is.")
    if expected is not None and length != expected:
        raise RefusedFileError("Its pixel data are longer or shorter than the image it describes.")


class UnusedBits:
    """Looks at native pixels piece by piece for bits outside the stored ones, but for the sign.

    Parameters
    ----------
    image : ImageFacts
        What the header says.
    big_endian : bool
        Byte order of the pixels.
    """

    def __init__(self, image: ImageFacts, *, big_endian: bool) -> None:
        stored, allocated = image.bits_stored, image.bits_allocated
        order = ">" if big_endian else "<"
        self._dtype = np.dtype(f"{order}u{max(allocated // 8, 1)}")
        low = image.high_bit + 1 - stored
        self.is_needed = allocated in {8, 16} and 0 < stored < allocated
        self.are_set = self.is_needed and low < 0
        inside = ((1 << stored) - 1) << max(low, 0)
        self._unused = ((1 << allocated) - 1) & ~inside
        self._sign = 1 << image.high_bit
        self._is_signed = image.signed
        self._is_plainly_signed = image.signed and low == 0

    def look(self, piece: bytes | memoryview | mmap.mmap, start: int = 0, stop: int = -1) -> None:
        """Look at a piece of whole pixels, or at the part of it that is given."""
        if self.are_set or not self.is_needed:
            return
        length = (len(piece) if stop < 0 else stop) - start
        pixels = np.frombuffer(piece, self._dtype, length // self._dtype.itemsize, start)
        if not pixels.size:
            return
        if not self._is_signed:
            self.are_set = bool(_all_bits(pixels) & self._unused)
        elif self._is_plainly_signed:
            # All bits above the highest stored one repeat the sign: so the number is in range.
            numbers = pixels.view(f"{self._dtype.byteorder}i{self._dtype.itemsize}")
            self.are_set = bool(numbers.max() >= self._sign or numbers.min() < -self._sign)
        else:
            # Signed values are extended by their sign up to the highest bit; no overlay is that.
            above = self._unused & ~(self._sign - 1)
            extended = np.where(pixels & self._sign, above, 0)
            self.are_set = bool(np.any((pixels & self._unused) != extended))


def check_pixels(  # noqa: PLR0913, PLR0917 - where the pixels are, and how they are meant
    data: bytes | mmap.mmap, start: int, stop: int, image: ImageFacts, profile: Profile,
    overlay_bits: tuple[int, ...], bits: UnusedBits, *, big_endian: bool,
) -> list[str]:  # fmt: skip
    """Say what unused bits hold, and look for drawn text in the corners; return doubts.

    ``bits`` has looked at all pixels before.

    Raises
    ------
    RefusedFileError
        An overlay is in the pixels' unused bits, or the profile refuses what was found.
    """
    if image.bits_allocated not in {8, 16} or stop <= start:
        return []
    order = ">" if big_endian else "<"
    dtype = np.dtype(f"{order}u{image.bits_allocated // 8}")
    doubts = []
    if bits.are_set:
        if overlay_bits:
            raise RefusedFileError("An overlay is drawn in the unused bits of its pixels.")
        doubts.append(_doubt(profile.unused_bits, "Bits of its pixels beyond Bits Stored are set."))
    frame_size = image.rows * image.columns
    if (
        image.samples == 1
        and not image.signed
        and min(image.rows, image.columns) >= _SMALLEST_SIDE
        and stop - start >= frame_size * dtype.itemsize
    ):
        frame = np.frombuffer(data, dtype, frame_size, start).reshape(image.rows, image.columns)
        if _corners_look_drawn(frame):
            doubts.append(
                _doubt(profile.suspicious_corners, "A corner of the image may hold drawn text.")
            )
    return doubts


def _doubt(policy: Doubt, sentence: str) -> str:
    if policy is Doubt.REFUSE:
        raise RefusedFileError(sentence)
    return f"{sentence} A person should look at it."


def _all_bits(pixels: npt.NDArray[np.unsignedinteger]) -> int:
    """Return the union of all values' bits; in aligned words, which is many times as quick."""
    per_word = _WORD_BYTES // pixels.itemsize
    address: int = pixels.__array_interface__["data"][0]
    first = min(-address % _WORD_BYTES // pixels.itemsize, pixels.size)
    last = first + (pixels.size - first) // per_word * per_word
    words = pixels[first:last].view(f"{pixels.dtype.byteorder.replace('|', '<')}u8")
    union = int(np.bitwise_or.reduce(words)) if words.size else 0
    rest = int(np.bitwise_or.reduce(pixels[:first])) | int(np.bitwise_or.reduce(pixels[last:]))
    bits = 8 * pixels.itemsize
    for place in range(per_word):
        rest |= union >> bits * place
    return rest & ((1 << bits) - 1)


def _corners_look_drawn(frame: npt.NDArray[np.unsignedinteger]) -> bool:
    """Return whether brightest pixels form thin strokes in a corner of a frame (rows, columns).

    Text that a device draws has the highest value of the image, in runs of a few pixels, beside
    dark ones, and it stands at the border. A hint, no proof in either direction.
    """
    highest = frame.max()
    height, width = frame.shape[0] // 5, frame.shape[1] // 2
    for values in (
        frame[:height, :width],
        frame[:height, -width:],
        frame[-height:, :width],
        frame[-height:, -width:],
    ):
        if values.max() < highest:
            continue
        corner = values == highest
        number = int(np.count_nonzero(corner))
        if _FEWEST_STROKE_PIXELS <= number < corner.size * _LARGEST_CORNER_SHARE and _is_drawn(
            corner, values
        ):
            return True
    return False


def _is_drawn(bright: npt.NDArray[np.bool_], values: npt.NDArray[np.unsignedinteger]) -> bool:
    starts = bright[:, 1:] & ~bright[:, :-1]
    runs = int(np.count_nonzero(starts)) + int(np.count_nonzero(bright[:, 0]))
    mean_run = np.count_nonzero(bright) / max(runs, 1)
    beside = values[:, :-1][starts]
    dark = np.count_nonzero(beside < values.max() * _CONTRAST) / max(len(beside), 1)
    return bool(mean_run <= _LONGEST_STROKE and dark > _CONTRAST)


def _text(facts: Mapping[int, bytes], tag: int) -> str:
    return facts.get(tag, b"").decode("ascii", "replace").strip(" \0")
