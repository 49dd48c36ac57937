"""The record of one image: its measures in MRIQC's layout, with all that tells them apart.

Flat keys, ``bids_meta``, ``provenance``; None for what has no value, and why in ``undefined``.
Not here: tables of many records.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from qc.functional import Measured
from qc.images import Image
from qc.measure import Measures

SOFTWARE = "winqc"
HEADING = "winqc, not MRIQC"
_NOTICE = (
    "Names that MRIQC has too stand for the same formula, but masks, alignment and correction of "
    "shading differ: never pool these values with MRIQC's."
)
NUMBERS = (
    "EchoTime", "FlipAngle", "InversionTime", "MagneticFieldStrength",
    "MultibandAccelerationFactor", "ParallelReductionFactorInPlane", "PartialFourier",
    "RepetitionTime", "SliceThickness", "SpacingBetweenSlices", "TotalReadoutTime",
)  # fmt: skip
"""Fields of a sidecar that are repeated in the record: numbers, which name nobody."""
WORDS = (
    "Manufacturer", "ManufacturersModelName", "MRAcquisitionType", "PhaseEncodingDirection",
    "PulseSequenceType", "ScanningSequence", "SequenceName", "SequenceVariant",
)  # fmt: skip
"""Fields that enter the protocol's hash only: free text may hold a name."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of an image besides its voxels.

    Parameters
    ----------
    modality : str
        ``T1w``, ``T2w``, ``bold`` or ``dwi``.
    sidecar : Mapping
        Its JSON file, or nothing.
    defaced : bool or None
        None where nobody said.
    """

    modality: str
    sidecar: Mapping[str, object]
    defaced: bool | None


def protocol_hash(image: Image, source: Source) -> str:
    """Return 16 hexadecimal digits that are equal for images of one protocol.

    Scanner, sequence, timing, size of voxels (to 0.01 mm) and matrix; never the number of
    volumes, a date, a name or a number of a device.
    """
    parts: dict[str, object] = {
        name: _number(source.sidecar.get(name)) for name in NUMBERS
    }  # fmt: skip
    parts |= {name: value for name in WORDS if isinstance(value := source.sidecar.get(name), str)}
    parts["modality"] = source.modality
    parts["matrix"] = list(image.data.shape[:3])
    parts["voxel_mm"] = [round(size, 2) for size in image.voxel_mm]
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def make_record(
    image: Image, source: Source, found: Measured, *, version: str, pipeline: str
) -> dict[str, object]:
    """Return the record of one image, ready for JSON; it names nobody and no file.

    Parameters
    ----------
    version : str
        Of this distribution.
    pipeline : str
        Which series of steps was run, with its own version.
    """
    meta = {
        name: number
        for name in NUMBERS
        if (number := _number(source.sidecar.get(name))) is not None
    }
    record: dict[str, object] = dict(sorted(found.measures.values.items()))
    record["bids_meta"] = {"modality": source.modality, **meta}
    record["provenance"] = {
        "heading": HEADING,
        "notice": _NOTICE,
        "software": SOFTWARE,
        "version": version,
        "pipeline": pipeline,
        "protocol_hash": protocol_hash(image, source),
        "input_sha256": image.sha256,
        "mask_sha256": dict(sorted(found.mask_sha256.items())),
        "defaced": source.defaced,
        "notes": list(found.notes),
    }
    record["undefined"] = dict(sorted(found.measures.undefined.items()))
    return record


@dataclass(frozen=True, slots=True)
class RecordedSource:
    """What is known of a recording besides its samples.

    Parameters
    ----------
    modality : str
        ``eeg`` or ``meg``.
    sidecar : Mapping
        Its JSON file, or nothing.
    sha256 : str
        Over the digests of its files.
    notes : tuple of str
        Sentences for people.
    """

    modality: str
    sidecar: Mapping[str, object]
    sha256: str
    notes: tuple[str, ...]


_RECORDING_NUMBERS = ("PowerLineFrequency", "SamplingFrequency")
_RECORDING_WORDS = ("Manufacturer", "ManufacturersModelName", "EEGReference", "CapManufacturer")


def make_recording_record(
    source: RecordedSource,
    channels: Mapping[str, int],
    measures: Measures,
    *,
    version: str,
    pipeline: str,
) -> dict[str, object]:
    """Return the record of one EEG or MEG recording, ready for JSON; it names nobody and no file.

    Parameters
    ----------
    channels : Mapping of str to int
        Number of channels by kind; with sampling rate and device they are the protocol.
    """
    meta = {
        name: number
        for name in _RECORDING_NUMBERS
        if (number := _number(source.sidecar.get(name))) is not None
    }
    words = {
        name: value
        for name in _RECORDING_WORDS
        if isinstance(value := source.sidecar.get(name), str)
    }
    parts = {
        "modality": source.modality,
        "channels": dict(sorted(channels.items())),
        "sampling_hz": measures.values.get("sampling_rate"),
        **meta,
        **words,
    }
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True)
    record: dict[str, object] = dict(sorted(measures.values.items()))
    record["bids_meta"] = {"modality": source.modality, **meta}
    record["provenance"] = {
        "heading": HEADING,
        "notice": "MRIQC has no measures of EEG or MEG; these are winqc's own.",
        "software": SOFTWARE,
        "version": version,
        "pipeline": pipeline,
        "protocol_hash": hashlib.sha256(text.encode()).hexdigest()[:16],
        "input_sha256": source.sha256,
        "mask_sha256": {},
        "defaced": None,
        "notes": list(source.notes),
    }
    record["undefined"] = dict(sorted(measures.undefined.items()))
    return record


def _number(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) < 1e12 and value == value else None  # noqa: PLR0124, PLR2004 - NaN
