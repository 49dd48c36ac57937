"""The digest by which images, and recordings, of one protocol are known.

It is taken over what a sidecar says of scanner, sequence and timing, and over the geometry. Never
over a date, a name, a number of a device, or how long it took. Words enter the digest only: free
text may hold a name. Not here: records (``record``), norms within one protocol (``norms``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_LARGEST = 1e12
_DIGITS = 6
"""Significant digits of a number: two converters write one echo time differently at the eighth."""


@dataclass(frozen=True, slots=True)
class ProtocolFields:
    """Fields of a BIDS sidecar that tell protocols apart: numbers, and words."""

    numbers: tuple[str, ...]
    words: tuple[str, ...]


IMAGE_FIELDS = ProtocolFields(
    numbers=(
        "EchoTime", "FlipAngle", "InversionTime", "MagneticFieldStrength",
        "MultibandAccelerationFactor", "ParallelReductionFactorInPlane", "PartialFourier",
        "RepetitionTime", "SliceThickness", "SpacingBetweenSlices", "TotalReadoutTime",
    ),
    words=(
        "Manufacturer", "ManufacturersModelName", "MRAcquisitionType", "PhaseEncodingDirection",
        "PulseSequenceType", "ScanningSequence", "SequenceName", "SequenceVariant",
    ),
)  # fmt: skip
RECORDING_FIELDS = ProtocolFields(
    numbers=("PowerLineFrequency", "SamplingFrequency"),
    words=("Manufacturer", "ManufacturersModelName", "EEGReference", "CapManufacturer"),
)


def numbers_of(sidecar: Mapping[str, object], fields: ProtocolFields) -> dict[str, float | int]:
    """Return the numbers that a sidecar has, by field; they name nobody and may be repeated."""
    return {
        name: number
        for name in fields.numbers
        if (number := _number(sidecar.get(name))) is not None
    }


def protocol_hash(
    modality: str,
    sidecar: Mapping[str, object],
    geometry: Mapping[str, object],
    fields: ProtocolFields = IMAGE_FIELDS,
) -> str:
    """Return 16 hexadecimal digits that are equal for images or recordings of one protocol.

    Parameters
    ----------
    modality : str
        ``T1w``, ``T2w``, ``bold``, ``dwi``, ``eeg`` or ``meg``.
    sidecar : Mapping
        The JSON file beside it, or nothing.
    geometry : Mapping
        What the data themselves say, by name: `image_geometry`, or channels and sampling rate.
    """
    parts = {
        **{
            name: float(f"{number:.{_DIGITS}g}")
            for name, number in numbers_of(sidecar, fields).items()
        },
        **{name: word for name in fields.words if isinstance(word := sidecar.get(name), str)},
        **geometry,
        "modality": modality,
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def image_geometry(matrix: Sequence[int], voxel_mm: Sequence[float]) -> dict[str, object]:
    """Return an image's part of its protocol: voxels along each axis, and their sizes to 0.01 mm.

    Parameters
    ----------
    matrix, voxel_mm : sequence
        Of space; the number of volumes is no part of a protocol.
    """
    return {
        "matrix": [int(count) for count in matrix],
        "voxel_mm": [round(float(size), 2) for size in voxel_mm],
    }


def protocol_hash_of_mriqc(
    modality: str, sidecar: Mapping[str, object], values: Mapping[str, object]
) -> str:
    """Return `protocol_hash` of one of MRIQC's records, which has none of its own.

    Parameters
    ----------
    sidecar : Mapping
        The record's ``bids_meta``, into which MRIQC copies the sidecar.
    values : Mapping
        The record's measures: ``size_x`` and so on are the matrix, ``spacing_x`` the voxels. A
        record without them is told apart by its sidecar alone.
    """
    sizes, voxels = (
        [number for axis in "xyz" if (number := _number(values.get(f"{name}_{axis}"))) is not None]
        for name in ("size", "spacing")
    )
    return protocol_hash(modality, sidecar, image_geometry([int(n) for n in sizes], voxels))


def _number(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Also false for what is not a number at all.
    return value if abs(value) < _LARGEST else None
