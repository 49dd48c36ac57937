"""The images into which identities are planted, and the writing of attributes that break rules."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pydicom
from pydicom import config
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"


def synthetic() -> Dataset:
    """Return a small MR image as a dataset of its own."""
    dataset = Dataset()
    for keyword, value in {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
        "SOPClassUID": MR_IMAGE_STORAGE,
        "SOPInstanceUID": generate_uid(entropy_srcs=["planted", "instance"]),
        "StudyDate": "20240131",
        "StudyTime": "101500.5",
        "Modality": "MR",
        "Manufacturer": "SIEMENS",
        "SeriesDescription": "t1 mprage",
        "PatientName": "",
        "PatientID": "",
        "ScanningSequence": "GR",
        "SequenceVariant": "SP",
        "MRAcquisitionType": "3D",
        "RepetitionTime": "2300",
        "EchoTime": "2.98",
        "FlipAngle": "9",
        "MagneticFieldStrength": "3",
        "StudyInstanceUID": generate_uid(entropy_srcs=["planted", "study"]),
        "SeriesInstanceUID": generate_uid(entropy_srcs=["planted", "series"]),
        "SeriesNumber": "1",
        "InstanceNumber": "1",
        "ImagePositionPatient": ["0", "0", "0"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": 4,
        "Columns": 4,
        "PixelSpacing": ["1", "1"],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
    }.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = bytes(range(32))
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.FileMetaInformationGroupLength = 0  # set when written
    dataset.file_meta.MediaStorageSOPClassUID = MR_IMAGE_STORAGE
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


def from_file(content: bytes) -> Dataset:
    """Return the dataset of a real file."""
    return pydicom.dcmread(io.BytesIO(content))


@contextmanager
def unchecked() -> Iterator[None]:
    """Let pydicom write what breaks the rules of a value representation."""
    before = (config.settings.reading_validation_mode, config.settings.writing_validation_mode)
    config.settings.reading_validation_mode = config.IGNORE
    config.settings.writing_validation_mode = config.IGNORE
    try:
        yield
    finally:
        config.settings.reading_validation_mode, config.settings.writing_validation_mode = before


def put(dataset: Dataset, tag: int, vr: str, value: Any) -> None:
    """Set an element without any check of its value."""
    dataset[tag] = DataElement(tag, vr, value, validation_mode=config.IGNORE)


def item(**elements: Any) -> Dataset:
    """Return a sequence item; elements by keyword."""
    dataset = Dataset()
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return dataset


def sequence(*items: Dataset) -> Sequence:
    """Return a sequence of items."""
    return Sequence(items)


def write(dataset: Dataset) -> bytes:
    """Return a dataset as a file."""
    buffer = io.BytesIO()
    with unchecked():
        pydicom.dcmwrite(buffer, dataset, enforce_file_format=False)
    content = buffer.getvalue()
    return content if content[128:132] == b"DICM" else bytes(128) + b"DICM" + content


def explicit(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """Return the bytes of one element in explicit little endian form."""
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    size = len(value) if length is None else length
    if vr in {b"OB", b"OW", b"SQ", b"UN", b"UT", b"UC", b"UR", b"OF", b"OD"}:
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size) + value


def insert_before(data: bytes, tag: int, element: bytes) -> bytes:
    """Return a file with bytes put before the first element of a tag (explicit little endian)."""
    at = data.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 132)
    return data[:at] + element + data[at:]


def padded(text: str | bytes, fill: bytes = b" ") -> bytes:
    """Return bytes of even length."""
    value = text.encode() if isinstance(text, str) else text
    return value + fill * (len(value) % 2)
