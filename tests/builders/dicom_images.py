"""Small DICOM images made by code, for tests that import them."""

from __future__ import annotations

import io
import zipfile
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
STUDY_UID = generate_uid(entropy_srcs=["study"])


def image(**elements: Any) -> bytes:
    """Return a DICOM part 10 file of 4x4 pixels; elements by keyword replace the usual ones."""
    dataset = Dataset()
    usual = {
        "SOPClassUID": MR_IMAGE_STORAGE,
        "StudyDate": "20240131",
        "StudyTime": "101500.5",
        "Modality": "MR",
        "Manufacturer": "Maker",
        "ManufacturerModelName": "Model",
        "StationName": "SCANNER1",
        "SeriesDescription": "t1 mprage",
        "PatientName": "Planted^Identity",
        "PatientID": "PLANTED-ID",
        "PatientBirthDate": "19700101",
        "RepetitionTime": 2300,
        "EchoTime": 2.98,
        "FlipAngle": 9,
        "MagneticFieldStrength": 3,
        "StudyInstanceUID": STUDY_UID,
        "SeriesInstanceUID": generate_uid(
            entropy_srcs=["series", str(elements.get("SeriesNumber", 1))]
        ),
        "SeriesNumber": 1,
        "InstanceNumber": 1,
        "Rows": 4,
        "Columns": 4,
        "PixelSpacing": [1, 1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }
    for keyword, value in (usual | elements).items():
        if value is not None:
            setattr(dataset, keyword, value)
    identity = [str(dataset.get(k)) for k in ("SeriesInstanceUID", "InstanceNumber")]
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=identity)
    dataset.PixelData = bytes(32)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def zipped(*files: bytes, **named: bytes) -> bytes:
    """Return a zip of files, numbered or named (two underscores stand for a dot)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, content in enumerate(files):
            archive.writestr(f"d/{number:04d}.dcm", content)
        for name, content in named.items():
            archive.writestr(name.replace("__", "."), content)
    return buffer.getvalue()
