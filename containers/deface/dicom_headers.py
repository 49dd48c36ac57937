"""Reads from DICOM headers where each frame lies, how its pixels are stored, and what it shows.

Names and descriptions are not read: what an image is, is decided by its class, geometry and
timing. Not here: which frames make a volume (``dicom_stacks``), pixels (``dicom_pixels``).

References
----------
DICOM PS3.3 C.7.6.2 (image plane), C.7.6.3 (image pixel), C.7.6.16 (functional groups), C.8.3 and
C.8.13 (MR image).
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

CLASSIC_MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = frozenset({"1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.4.4"})
_OTHER_HEADS = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.2",
        "1.2.840.10008.5.1.4.1.1.2.1",
        "1.2.840.10008.5.1.4.1.1.2.2",
        "1.2.840.10008.5.1.4.1.1.20",
        "1.2.840.10008.5.1.4.1.1.128",
        "1.2.840.10008.5.1.4.1.1.128.1",
        "1.2.840.10008.5.1.4.1.1.130",
    }
)
"""CT, nuclear medicine and PET, classic, enhanced and legacy-converted."""
_IMAGING = ("FloatPixelData", "DoubleFloatPixelData", "PixelData", "Rows")
_PART = re.compile(
    r"[PRI](_[A-Z]+)?|PHASE|PHASE MAP|REAL|IMAGINARY|MIXED|B0|B0 MAP|FIELD MAP|VELOCITY( MAP)?"
)
"""Values of (0008,0008) that say phase, real or imaginary part, or a map made of them."""
_ECHO_PLANAR_TYPES = frozenset({"EPI", "DIFFUSION", "ASL", "FMRI"})
_GE_PART = (0x0043, "GEMS_PARM_01", 0x2F)
_PHILIPS_EPI = (0x2001, "Philips Imaging DD 001", 0x13)
_UIH_FRAMES = (0x0065, "Image Private Header", 0x51)
_NOT_MAGNITUDE_FRAME = frozenset({"PHASE", "REAL", "IMAGINARY", "MIXED"})
_AXIS_TOLERANCE = 1e-3
_DRAWINGS = frozenset({0x50, 0x60})
"""High bytes of the repeating groups of curves and overlays (PS3.5 section 7.6)."""


class NoFrameError(Exception):
    """A file is not one to deface.

    Parameters
    ----------
    reason : str
        A sentence without any value of the file.
    is_refused : bool
        Whether it may show a face all the same.
    """

    def __init__(self, reason: str, *, is_refused: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_refused = is_refused


@dataclass(frozen=True, slots=True)
class PixelForm:
    """How the pixels of a file are stored (PS3.3 C.7.6.3).

    Parameters
    ----------
    bits, stored_bits : int
        Allocated and stored; the highest stored bit is ``stored_bits - 1``.
    """

    rows: int
    columns: int
    frames: int
    bits: int
    stored_bits: int
    is_signed: bool

    @property
    def least(self) -> int:
        """Return the smallest number that can be stored."""
        return -(1 << (self.stored_bits - 1)) if self.is_signed else 0

    @property
    def most(self) -> int:
        """Return the largest number that can be stored."""
        return (1 << (self.stored_bits - self.is_signed)) - 1


@dataclass(frozen=True, slots=True)
class Contrast:
    """What tells the volumes of a series apart; None where the header does not say."""

    component: str
    echo_ms: float | None
    inversion_ms: float | None
    flip_deg: float | None
    kind: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Frame:
    """One slice.

    Parameters
    ----------
    number : int
        Place of the frame in its file, from 0.
    across, down : tuple of float
        Directions of a row and of a column, in the patient's frame (left, back, up).
    corner : tuple of float
        Centre of the first pixel, mm.
    spacing : tuple of float
        Between rows, and between columns, mm.
    slope, intercept : float
        From stored numbers to intensities.
    order : tuple of float
        Time and instance: sorts frames of one contrast.
    is_echo_planar, is_3d : bool
    """

    path: Path
    number: int
    series: str
    series_number: int
    study: str
    frame_of_reference: str
    form: PixelForm
    across: tuple[float, float, float]
    down: tuple[float, float, float]
    corner: tuple[float, float, float]
    spacing: tuple[float, float]
    thickness: float
    slope: float
    intercept: float
    contrast: Contrast
    order: tuple[float, ...]
    is_echo_planar: bool
    is_3d: bool
    is_cleaned: bool

    @property
    def is_magnitude(self) -> bool:
        """Return whether intensities are magnitudes."""
        return not _PART.fullmatch(self.contrast.component)


def read_frames(path: Path) -> tuple[Frame, ...]:
    """Return the frames of a file.

    Raises
    ------
    NoFrameError
        It holds no MR image with a place in space, or cannot be read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dataset = dcmread(path, force=True, stop_before_pixels=True)
            return tuple(_frames(path, dataset))
        except (NoFrameError, OSError):
            raise
        except Exception as error:
            # pydicom raises nearly anything on damaged files, with values of theirs in the text.
            raise NoFrameError(
                "Its header cannot be read, so nothing says what it shows.", is_refused=True
            ) from error


def _frames(path: Path, dataset: Dataset) -> Iterator[Frame]:
    kind = str(dataset.get("SOPClassUID", ""))
    if kind in _OTHER_HEADS:
        raise NoFrameError(
            "It is a CT, PET or nuclear medicine image, for which the step is not made.",
            is_refused=True,
        )
    if kind != CLASSIC_MR and kind not in ENHANCED_MR:
        is_picture = any(each in dataset for each in _IMAGING)
        raise NoFrameError(
            "By rule not handed on: a picture that is no MR image (a screenshot, a map in colours)."
            if is_picture
            else "By rule not handed on: it holds no image.",
            is_refused=False,
        )
    image_type = tuple(str(each).upper() for each in dataset.get("ImageType", None) or ())
    if "MOSAIC" in image_type or _private(dataset, _UIH_FRAMES) is not None:
        raise NoFrameError(
            "By rule not defaced (slices in a mosaic: echo-planar); it is not part of the result.",
            is_refused=False,
        )
    form = _form(dataset)
    if kind == CLASSIC_MR:
        yield _classic(path, dataset, form, image_type)
        return
    shared = _first(dataset.get("SharedFunctionalGroupsSequence"))
    each_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if len(each_frame) != form.frames:
        raise NoFrameError(
            "Its header describes another number of frames than it holds.", is_refused=True
        )
    for number, own in enumerate(each_frame):
        yield _enhanced(path, number, dataset, form, (own, shared), image_type)


def _form(dataset: Dataset) -> PixelForm:
    if int(dataset.get("SamplesPerPixel", 1)) != 1:
        raise NoFrameError(
            "By rule not handed on: its pixels are colours, as maps have them.", is_refused=False
        )
    bits, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if str(dataset.PhotometricInterpretation) != "MONOCHROME2":
        raise NoFrameError("Its pixels are no plain brightness (not MONOCHROME2).", is_refused=True)
    if bits not in {8, 16, 32} or not 1 < stored <= bits or int(dataset.HighBit) != stored - 1:
        raise NoFrameError(
            "Its pixels are packed in a way that the step does not take.", is_refused=True
        )
    # By tags alone: to look at elements would parse each value of each file.
    if any(tag >> 24 in _DRAWINGS for tag in dataset.keys()):  # noqa: SIM118 - a dataset iterates values
        raise NoFrameError(
            "A drawing lies over it (overlay or curve), which may follow the face. Run "
            "scrub-headers first, which takes drawings out.",
            is_refused=True,
        )
    return PixelForm(
        rows=int(dataset.Rows),
        columns=int(dataset.Columns),
        frames=int(dataset.get("NumberOfFrames", None) or 1),
        bits=bits,
        stored_bits=stored,
        is_signed=bool(int(dataset.PixelRepresentation)),
    )


def _classic(path: Path, dataset: Dataset, form: PixelForm, image_type: tuple[str, ...]) -> Frame:
    if form.frames != 1:
        raise NoFrameError("It holds several frames without a place for each.", is_refused=True)
    # GE gives the part of the complex number as a number of its own: 0 is the magnitude.
    ge_part = _number(_one(_private(dataset, _GE_PART)))
    contrast = Contrast(
        component=_component(image_type) if not ge_part else "P",
        echo_ms=_number(dataset.get("EchoTime")),
        inversion_ms=_number(dataset.get("InversionTime")),
        flip_deg=_number(dataset.get("FlipAngle")),
        kind=image_type[2:],
    )
    order = (
        _number(dataset.get("TemporalPositionIdentifier")) or 0.0,
        _number(dataset.get("AcquisitionNumber")) or 0.0,
        _number(dataset.get("InstanceNumber")) or 0.0,
    )
    return _frame(
        path, 0, dataset, form, (dataset,), contrast, order,
        is_echo_planar=_is_echo_planar(dataset, image_type),
        is_3d=str(dataset.get("MRAcquisitionType", "")) == "3D",
    )  # fmt: skip


def _enhanced(  # noqa: PLR0913, PLR0917 - the file and the frame
    path: Path, number: int, dataset: Dataset, form: PixelForm,
    groups: tuple[Dataset, Dataset], image_type: tuple[str, ...],
) -> Frame:  # fmt: skip
    def group(name: str) -> Dataset:
        return _first(groups[0].get(name)) or _first(groups[1].get(name))

    frame_type = group("MRImageFrameTypeSequence")
    kind = tuple(str(each).upper() for each in frame_type.get("FrameType", None) or image_type)
    component = str(frame_type.get("ComplexImageComponent", "")).upper()
    if component not in _NOT_MAGNITUDE_FRAME:
        component = _component(kind)
    timing = group("MRTimingAndRelatedParametersSequence")
    place = group("FrameContentSequence")
    contrast = Contrast(
        component=component,
        echo_ms=_number(group("MREchoSequence").get("EffectiveEchoTime")),
        inversion_ms=_number(_one(group("MRModifierSequence").get("InversionTimes"))),
        flip_deg=_number(timing.get("FlipAngle")),
        kind=kind[2:],
    )
    planes = tuple(
        group(name)
        for name in (
            "PlanePositionSequence",
            "PlaneOrientationSequence",
            "PixelMeasuresSequence",
            "PixelValueTransformationSequence",
        )
    )
    order = (
        _number(place.get("TemporalPositionIndex")) or 0.0,
        _number(place.get("FrameAcquisitionNumber")) or 0.0,
        float(number),
    )
    return _frame(
        path, number, dataset, form, planes, contrast, order,
        is_echo_planar=_is_echo_planar(dataset, image_type),
        is_3d=str(dataset.get("MRAcquisitionType", "")) == "3D",
    )  # fmt: skip


def _frame(  # noqa: PLR0913, PLR0917 - what both kinds of file say of a frame
    path: Path, number: int, dataset: Dataset, form: PixelForm, places: Sequence[Dataset],
    contrast: Contrast, order: tuple[float, ...], *, is_echo_planar: bool, is_3d: bool,
) -> Frame:  # fmt: skip
    def numbers(name: str, count: int) -> list[float]:
        for place in places:
            if name in place and place[name].value is not None:
                found = [float(each) for each in place[name].value]
                if len(found) == count and all(math.isfinite(each) for each in found):
                    return found
        raise NoFrameError("Its header does not say where the image lies.", is_refused=True)

    def one(name: str, otherwise: float) -> float:
        found = (_number(place.get(name)) for place in places)
        return next((each for each in found if each is not None), otherwise)

    cosines = numbers("ImageOrientationPatient", 6)
    across = (cosines[0], cosines[1], cosines[2])
    down = (cosines[3], cosines[4], cosines[5])
    sizes = (math.hypot(*across), math.hypot(*down))
    slant = sum(one * other for one, other in zip(across, down, strict=True))
    if max(abs(sizes[0] - 1), abs(sizes[1] - 1), abs(slant)) > _AXIS_TOLERANCE:
        raise NoFrameError("Its header does not say how the image lies.", is_refused=True)
    corner = numbers("ImagePositionPatient", 3)
    spacing = numbers("PixelSpacing", 2)
    if min(spacing) <= 0:
        raise NoFrameError("Its header gives no size of a pixel.", is_refused=True)
    return Frame(
        path=path,
        number=number,
        series=str(dataset.get("SeriesInstanceUID", "")),
        series_number=int(_number(dataset.get("SeriesNumber")) or 0),
        study=str(dataset.get("StudyInstanceUID", "")),
        frame_of_reference=str(dataset.get("FrameOfReferenceUID", "")),
        form=form,
        across=across,
        down=down,
        corner=(corner[0], corner[1], corner[2]),
        spacing=(spacing[0], spacing[1]),
        thickness=one("SliceThickness", 0.0),
        slope=one("RescaleSlope", 1.0) or 1.0,
        intercept=one("RescaleIntercept", 0.0),
        contrast=contrast,
        order=order,
        is_echo_planar=is_echo_planar,
        is_3d=is_3d,
        is_cleaned=str(dataset.get("PatientIdentityRemoved", "")).upper() == "YES",
    )


def _is_echo_planar(dataset: Dataset, image_type: Sequence[str]) -> bool:
    return (
        "EP" in _words(dataset.get("ScanningSequence"))
        or str(dataset.get("EchoPlanarPulseSequence", "")).upper() == "YES"
        or bool(_ECHO_PLANAR_TYPES & set(image_type))
        or (_number(dataset.get("DiffusionBValue")) or 0) > 0
        or (_number(_private(dataset, _PHILIPS_EPI)) or 1) > 1
    )


def _private(dataset: Dataset, place: tuple[int, str, int]) -> object:
    """Return a private value; None where the block or the element is not there."""
    group, creator, number = place
    try:
        value: object = dataset.private_block(group, creator)[number].value
    except KeyError:
        return None
    if isinstance(value, bytes):
        # In implicit files its representation is not known; a number of 16 or 32 bits.
        return int.from_bytes(value[:2], "little") if value else None
    return value


def _component(image_type: Sequence[str]) -> str:
    return next((each for each in image_type[2:] if _PART.fullmatch(each)), "M")


def _first(sequence: Sequence[Dataset] | None) -> Dataset:
    return sequence[0] if sequence else Dataset()


def _one(value: object) -> object:
    return (
        value[0] if isinstance(value, Sequence) and not isinstance(value, str) and value else value
    )


def _words(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    parts = (
        (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Sequence) else ()
    )
    return tuple(str(each).upper() for each in parts)


def _number(value: object) -> float | None:
    try:
        found = float(str(value)) if value not in {None, ""} else None
    except (TypeError, ValueError):
        return None
    return found if found is not None and math.isfinite(found) else None
