"""The record of one image: its measures in MRIQC's layout, with all that tells them apart.

Flat keys, ``bids_meta``, ``provenance``; None for what has no value, and why in ``undefined``.
Not here: tables of many records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qc.functional import Measured
from qc.images import Image
from qc.measure import Measures
from qc.protocol import (
    IMAGE_FIELDS,
    RECORDING_FIELDS,
    image_geometry,
    numbers_of,
    protocol_hash,
)

SOFTWARE = "winqc"
HEADING = "winqc, not MRIQC"
_NOTICE = (
    "Names that MRIQC has too stand for the same formula, but masks, alignment and correction of "
    "shading differ: never pool these values with MRIQC's."
)


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
    record: dict[str, object] = dict(sorted(found.measures.values.items()))
    record["bids_meta"] = {
        "modality": source.modality,
        **numbers_of(source.sidecar, IMAGE_FIELDS),
    }
    record["provenance"] = {
        "heading": HEADING,
        "notice": _NOTICE,
        "software": SOFTWARE,
        "version": version,
        "pipeline": pipeline,
        "protocol_hash": protocol_hash(
            source.modality,
            source.sidecar,
            image_geometry(image.data.shape[:3], image.voxel_mm),
        ),
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
    geometry = {
        "channels": dict(sorted(channels.items())),
        "sampling_hz": measures.values.get("sampling_rate"),
    }
    record: dict[str, object] = dict(sorted(measures.values.items()))
    record["bids_meta"] = {
        "modality": source.modality,
        **numbers_of(source.sidecar, RECORDING_FIELDS),
    }
    record["provenance"] = {
        "heading": HEADING,
        "notice": "MRIQC has no measures of EEG or MEG; these are winqc's own.",
        "software": SOFTWARE,
        "version": version,
        "pipeline": pipeline,
        "protocol_hash": protocol_hash(source.modality, source.sidecar, geometry, RECORDING_FIELDS),
        "input_sha256": source.sha256,
        "mask_sha256": {},
        "defaced": None,
        "notes": list(source.notes),
    }
    record["undefined"] = dict(sorted(measures.undefined.items()))
    return record
