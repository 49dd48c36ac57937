"""Small MR files with invented identities, written by pydicom, and edits below its level."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

TOKEN = "ZQXPCJLV"
"""Stands for an identity: no word of it occurs in any vocabulary."""


def mr_dataset(rows: int = 16, columns: int = 16) -> Dataset:
    """Return an MR image of one frame with the usual header, and the token where names stand."""
    image = Dataset()
    image.SpecificCharacterSet = "ISO_IR 100"
    image.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = "1.2.826.0.1.3680043.2.1143.1"
    image.StudyDate = "20210304"
    image.StudyTime = "101112"
    image.AccessionNumber = TOKEN
    image.Modality = "MR"
    image.Manufacturer = "SIEMENS"
    image.InstitutionName = f"{TOKEN} Hospital"
    image.ReferringPhysicianName = TOKEN
    image.SeriesDescription = "T1 MPRAGE"
    image.ReferencedImageSequence = Sequence([_reference()])
    image.PatientName = f"{TOKEN}^{TOKEN}"
    image.PatientID = TOKEN
    image.PatientBirthDate = "19850102"
    image.PatientSex = "F"
    image.PatientAge = "036Y"
    image.ScanningSequence = "GR"
    image.RepetitionTime = "2300"
    image.EchoTime = "2.98"
    image.StudyInstanceUID = "1.2.826.0.1.3680043.2.1143.2"
    image.SeriesInstanceUID = "1.2.826.0.1.3680043.2.1143.3"
    image.StudyID = TOKEN
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME2"
    image.Rows = rows
    image.Columns = columns
    image.BitsAllocated = 16
    image.BitsStored = 12
    image.HighBit = 11
    image.PixelRepresentation = 0
    values = np.random.default_rng(7).integers(0, 3000, (rows, columns), dtype=np.uint16)
    image.PixelData = values.tobytes()
    return image


def _reference() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = MRImageStorage
    item.ReferencedSOPInstanceUID = "1.2.826.0.1.3680043.2.1143.1"
    return item


def file_bytes(image: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return a DICOM file as pydicom writes it, with the token in preamble and meta information."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = image.SOPClassUID
    meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    meta.TransferSyntaxUID = syntax
    meta.SourceApplicationEntityTitle = TOKEN
    meta.ImplementationVersionName = TOKEN
    image.file_meta = meta
    image.preamble = TOKEN.encode() * 16
    buffer = io.BytesIO()
    dcmwrite(buffer, image, enforce_file_format=True)
    return buffer.getvalue()


def mr_file(edit: Callable[[Dataset], object] | None = None, **options: str) -> bytes:
    """Return the usual file after an edit."""
    image = mr_dataset()
    if edit is not None:
        edit(image)
    return file_bytes(image, **options)


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Return one element in explicit little endian order, as the standard draws it."""
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little") + vr.encode()
    if vr in {"OB", "OW", "SQ", "UN", "UT"}:
        return head + b"\0\0" + len(value).to_bytes(4, "little") + value
    return head + len(value).to_bytes(2, "little") + value


def insert_before(data: bytes, tag: int, piece: bytes) -> bytes:
    """Return a file with bytes put before an element (found by its tag and a letter pair)."""
    mark = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    place = data.rindex(mark)
    return data[:place] + piece + data[place:]
