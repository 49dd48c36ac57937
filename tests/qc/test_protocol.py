"""What makes one protocol, and what does not."""

from __future__ import annotations

import pytest

from qc.protocol import (
    RECORDING_FIELDS,
    image_geometry,
    protocol_hash,
    protocol_hash_of_mriqc,
)

SIDECAR = {"EchoTime": 0.03, "RepetitionTime": 2.0, "Manufacturer": "Philips"}
GEOMETRY = image_geometry((80, 80, 35), (3.0, 3.0, 3.3))
PROTOCOL = protocol_hash("bold", SIDECAR, GEOMETRY)


@pytest.mark.parametrize(
    "changes",
    [
        {"AcquisitionTime": "13:25:18", "DeviceSerialNumber": "1", "PatientName": "x"},
        {"EchoTime": 0.030000001},
        {"RepetitionTime": 2},
        {"FlipAngle": float("nan"), "PartialFourier": True, "InversionTime": "none"},
    ],
    ids=["who and when", "rounding", "whole number", "no numbers"],
)
def test_what_is_no_part_of_a_protocol(changes: dict[str, object]):
    """Person, date and device; digits beyond the sixth; values of another type."""
    assert protocol_hash("bold", {**SIDECAR, **changes}, GEOMETRY) == PROTOCOL


@pytest.mark.parametrize(
    ("modality", "changes", "geometry"),
    [
        ("dwi", {}, GEOMETRY),
        ("bold", {"EchoTime": 0.031}, GEOMETRY),
        ("bold", {"Manufacturer": "GE"}, GEOMETRY),
        ("bold", {}, image_geometry((80, 80, 36), (3.0, 3.0, 3.3))),
        ("bold", {}, image_geometry((80, 80, 35), (3.0, 3.0, 3.0))),
    ],
    ids=["modality", "echo time", "scanner", "matrix", "voxels"],
)
def test_what_is_another_protocol(
    modality: str, changes: dict[str, object], geometry: dict[str, object]
):
    """Each of them alone."""
    assert protocol_hash(modality, {**SIDECAR, **changes}, geometry) != PROTOCOL


def test_a_record_of_mriqc_has_the_protocol_of_its_image():
    """The matrix and the voxels stand among its measures; the number of volumes is no part."""
    values = {"size_x": 80, "size_y": 80, "size_z": 35, "size_t": 156, "tsnr": 77.8,
              "spacing_x": 3.0, "spacing_y": 3.0, "spacing_z": 3.2999}  # fmt: skip

    assert protocol_hash_of_mriqc("bold", SIDECAR, values) == PROTOCOL


def test_a_recording_has_fields_of_its_own():
    """The reference of an EEG counts; an echo time does not."""
    first = protocol_hash("eeg", {"EEGReference": "Cz"}, {}, RECORDING_FIELDS)

    assert protocol_hash("eeg", {"EEGReference": "A1"}, {}, RECORDING_FIELDS) != first
    with_echo = {"EEGReference": "Cz", "EchoTime": 0.03}
    assert protocol_hash("eeg", with_echo, {}, RECORDING_FIELDS) == first
