"""The facts about one image on which its classification rests, in one form for all vendors.

Made from a sidecar of dcm2niix alone, or with the image's shape and b-values. Not here: what
the facts mean (``technique``, ``physics``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

_SEQUENCE_KEYS = (
    "SequenceName",
    "PulseSequenceDetails",
    "PulseSequenceName",
    "InternalPulseSequenceName",
)
_FIELD_UNITS = frozenset({"Hz", "rad/s", "T"})
_WEIGHTED = 50.0
"""b-values below this, in s/mm2, come from imaging gradients alone."""
_SPATIAL_AXES = 3
_LONGEST_TEXT = 512
"""Letters that are looked at: DICOM allows 64 in each of these (PS3.5, section 6.2, LO and SH), and
expressions take the square of the length."""


class Vendor(Enum):
    """Who made the scanner; vendors mean different things by the same header words."""

    SIEMENS = "Siemens"
    GE = "GE"
    PHILIPS = "Philips"
    UIH = "UIH"
    CANON = "Canon"
    OTHER = "another"


class Component(Enum):
    """Which part of the complex signal the image shows; the values are BIDS's labels."""

    MAGNITUDE = "mag"
    PHASE = "phase"
    REAL = "real"
    IMAGINARY = "imag"


_VENDOR_WORDS: Sequence[tuple[str, Vendor]] = (
    ("siemens", Vendor.SIEMENS),
    ("ge", Vendor.GE),
    ("philips", Vendor.PHILIPS),
    ("uih", Vendor.UIH),
    ("united imaging", Vendor.UIH),
    ("canon", Vendor.CANON),
    ("toshiba", Vendor.CANON),
)
_COMPONENT_WORDS: Sequence[tuple[Component, frozenset[str]]] = (
    (Component.PHASE, frozenset({"P", "PHASE", "PHASE MAP", "PHASEMAP"})),
    (Component.REAL, frozenset({"R", "REAL"})),
    (Component.IMAGINARY, frozenset({"I", "IMAGINARY"})),
)


@dataclass(frozen=True, slots=True)
class SeriesFacts:
    """What is known about one image; None where a header does not say it.

    Attributes
    ----------
    image_type, scanning, variants, options : frozenset of str
        The words of Image Type (0008,0008), Scanning Sequence (0018,0020), Sequence Variant
        (0018,0021) and Scan Options (0018,0022), in capitals.
    sequence : str
        The vendor's names of the pulse sequence, in small letters, each between spaces.
    name : str
        What people called the series and its protocol.
    echo_time, repetition_time, inversion_time : float or None
        In seconds.
    flip_angle : float or None
        In degrees.
    thickness : float or None
        Of a slice, in millimetres.
    field_strength : float or None
        In tesla.
    matrix, slice_count, volume_count : int or None
        Of the image, where there is one; the matrix is the larger side of a slice, in pixels.
    has_transfer : bool
        Magnetisation was transferred to free water (MT) before the excitation.
    b_values : tuple of float or None
        In s/mm2, one per volume; None where there are none or they are not known.
    """

    vendor: Vendor
    component: Component
    image_type: frozenset[str]
    scanning: frozenset[str]
    variants: frozenset[str]
    options: frozenset[str]
    sequence: str
    name: str
    is_3d: bool | None = None
    echo_time: float | None = None
    repetition_time: float | None = None
    inversion_time: float | None = None
    flip_angle: float | None = None
    thickness: float | None = None
    field_strength: float | None = None
    echo_number: int | None = None
    echo_train: float | None = None
    readout_time: float | None = None
    has_two_echo_times: bool = False
    has_field_units: bool = False
    has_diffusion_scheme: bool = False
    is_multiband: bool = False
    has_transfer: bool = False
    matrix: int | None = None
    slice_count: int | None = None
    volume_count: int | None = None
    b_values: tuple[float, ...] | None = None
    guess: tuple[str, str] | None = None

    @classmethod
    def from_sidecar(
        cls,
        sidecar: Mapping[str, Any],
        *,
        shape: Sequence[int] | None = None,
        b_values: Sequence[float] | None = None,
        name: str | None = None,
    ) -> SeriesFacts:
        """Read the facts from a sidecar of dcm2niix.

        Parameters
        ----------
        shape : sequence of int, optional
            Of the image, in voxels and volumes; None where there is only the sidecar.
        b_values : sequence of float, optional
            As in the image's ``.bval`` file.
        name : str, optional
            Protocol and description as the header has them; None to take the sidecar's, in
            which dcm2niix has replaced characters.
        """
        # Enhanced images have the standard's words in one, the vendor's own in the other.
        image_type = _words(sidecar.get("ImageType")) | _words(sidecar.get("ImageTypeText"))
        given = [sidecar.get(key) for key in ("ProtocolName", "SeriesDescription")]
        guess = sidecar.get("BidsGuess")
        echo_number = number(sidecar.get("EchoNumber"))
        acquisition = str(sidecar.get("MRAcquisitionType") or "").upper()
        is_volume = shape is not None and len(shape) >= _SPATIAL_AXES
        return cls(
            vendor=_vendor(str(sidecar.get("Manufacturer") or "")),
            component=_component(image_type),
            image_type=image_type,
            scanning=_tokens(sidecar.get("ScanningSequence")),
            variants=_tokens(sidecar.get("SequenceVariant")),
            options=_words(sidecar.get("ScanOptions")),
            sequence=_sequence(sidecar),
            name=(" ".join(str(text) for text in given if text) if name is None else name)[
                :_LONGEST_TEXT
            ],
            is_3d=acquisition == "3D" if acquisition in {"2D", "3D"} else None,
            echo_time=number(sidecar.get("EchoTime")),
            repetition_time=number(sidecar.get("RepetitionTime")),
            inversion_time=number(sidecar.get("InversionTime")),
            flip_angle=number(sidecar.get("FlipAngle")),
            thickness=number(sidecar.get("SliceThickness")),
            field_strength=number(sidecar.get("MagneticFieldStrength")),
            echo_number=None if echo_number is None else int(echo_number),
            echo_train=number(sidecar.get("EchoTrainLength")),
            readout_time=number(sidecar.get("TotalReadoutTime")),
            has_two_echo_times=all(number(sidecar.get(f"EchoTime{n}")) for n in (1, 2)),
            has_field_units=str(sidecar.get("Units")) in _FIELD_UNITS,
            has_diffusion_scheme=bool(sidecar.get("DiffusionScheme")),
            is_multiband=(number(sidecar.get("MultibandAccelerationFactor")) or 1) > 1
            or "MB" in image_type,
            has_transfer="MTC" in _tokens(sidecar.get("SequenceVariant"))
            or sidecar.get("MTState") is True,
            matrix=max(shape[:2]) if is_volume and shape is not None else None,
            slice_count=shape[2] if is_volume and shape is not None else None,
            volume_count=_volume_count(shape),
            b_values=tuple(b_values) if b_values else None,
            guess=(str(guess[0]), str(guess[1]))
            if isinstance(guess, list) and len(guess) > 1
            else None,
        )

    @property
    def is_weighted(self) -> bool:
        """Tell whether some volume is diffusion-weighted."""
        return any(value >= _WEIGHTED for value in self.b_values or ())

    @property
    def is_single_volume(self) -> bool:
        """Tell whether the image is known to have one volume only."""
        return self.volume_count == 1

    def runs(self, pattern: str) -> bool:
        """Tell whether a name of the pulse sequence matches a regular expression."""
        return re.search(pattern, self.sequence) is not None

    def is_type(self, *words: str) -> bool:
        """Tell whether Image Type has one of the words."""
        return not self.image_type.isdisjoint(words)


def number(value: Any) -> float | None:
    """Return a finite number; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if math.isfinite(found) else None


def _volume_count(shape: Sequence[int] | None) -> int | None:
    if shape is None:
        return None
    return shape[_SPATIAL_AXES] if len(shape) > _SPATIAL_AXES else 1


def _words(value: Any) -> frozenset[str]:
    parts = value if isinstance(value, list) else str(value or "").split("\\")
    whole = {str(part).strip().upper() for part in parts}
    # Philips writes M_FFE where others write two words.
    return frozenset(word for part in whole for word in (part, *part.split("_")) if word)


def _tokens(value: Any) -> frozenset[str]:
    """Return words that dcm2niix separates by a backslash, or older versions by an underscore."""
    parts = value if isinstance(value, list) else [value or ""]
    return frozenset(
        word for part in parts for word in re.split(r"[\\_]", str(part).upper()) if word
    )


def _sequence(sidecar: Mapping[str, Any]) -> str:
    """Return the names of the sequence without ``%SiemensSeq%`` and marks in front."""
    names = [str(sidecar.get(key) or "").lower()[:_LONGEST_TEXT] for key in _SEQUENCE_KEYS]
    plain = [re.sub(r"^%\w*%[\\_]|^[*_]+", "", name) for name in names]
    return f" {' '.join(name for name in plain if name)} "


def _vendor(manufacturer: str) -> Vendor:
    lowered = manufacturer.lower()
    for word, vendor in _VENDOR_WORDS:
        if re.match(rf"{word}(?![a-z])", lowered):
            return vendor
    return Vendor.OTHER


def _component(image_type: frozenset[str]) -> Component:
    for component, words in _COMPONENT_WORDS:
        if not image_type.isdisjoint(words) and "M" not in image_type:
            return component
    return Component.MAGNITUDE
