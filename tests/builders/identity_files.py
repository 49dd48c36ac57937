"""Small files of every kind, honestly scrubbed, and ways to plant a text in each of them."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

MR = "1.2.840.10008.5.1.4.1.1.4"
UID = "2.25.{:039d}"


def uid(number: int) -> str:
    """Return a UID under 2.25, as keyed functions make them."""
    return f"2.25.{10**38 + number * 7919 * 10**20 + number}"


def clean_dicom(seed: int = 1) -> FileDataset:
    """Return an MR image of noise after scrubbing: a label, no dates, method codes."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = MR
    meta.MediaStorageSOPInstanceUID = uid(seed)
    made = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = MR, uid(seed)
    made.StudyInstanceUID, made.SeriesInstanceUID = uid(1000), uid(2000)
    made.FrameOfReferenceUID = uid(3000)
    made.PatientName, made.PatientID = "P7K2", "P7K2"
    made.PatientBirthDate = made.PatientSex = ""
    made.StudyDate = made.StudyTime = made.AccessionNumber = made.StudyID = ""
    made.ReferringPhysicianName = ""
    made.Modality, made.Manufacturer = "MR", "SIEMENS"
    made.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND"]
    made.PatientIdentityRemoved = "YES"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    made.DeidentificationMethodCodeSequence = [code]
    made.RepetitionTime, made.EchoTime = "2000", "2.98"
    made.SeriesNumber, made.InstanceNumber = "3", str(seed)
    made.Rows = made.Columns = 64
    made.BitsAllocated = made.BitsStored = 16
    made.HighBit, made.PixelRepresentation = 15, 0
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    noise = np.abs(np.random.default_rng(seed).normal(0, 90, (64, 64)))
    made.PixelData = noise.astype("<u2").tobytes()
    return made


def dicom_bytes(data_set: FileDataset) -> bytes:
    """Return a data set as a file."""
    out = io.BytesIO()
    data_set.save_as(out, enforce_file_format=True)
    return out.getvalue()


def nifti_bytes(seed: int = 1, **fields: str) -> bytes:
    """Return a NIfTI-1 file of noise with some header fields set."""
    noise = np.random.default_rng(seed).normal(0, 90, (16, 16, 8)).astype("<i2")
    image = nib.Nifti1Image(noise, np.eye(4))
    for name, value in fields.items():
        image.header[name] = value
    return image.to_bytes()


def gzip_bytes(data: bytes, name: str = "", mtime: float = 0) -> bytes:
    """Return gzip with a header of our choice."""
    out = io.BytesIO()
    with gzip.GzipFile(name, "wb", fileobj=out, mtime=mtime) as stream:
        stream.write(data)
    return out.getvalue()


def edf_bytes(patient: str = "X X X X", recording: str = "Startdate X X X X") -> bytes:
    """Return an EDF+ file of one signal and one second (Kemp and Olivan 2003)."""
    fields = [
        ("0", 8), (patient, 80), (recording, 80), ("01.01.85", 8), ("00.00.00", 8),
        ("512", 8), ("EDF+C", 44), ("1", 8), ("1", 8), ("1", 4),
        ("EEG Fpz-Cz", 16), ("AgAgCl electrode", 80), ("uV", 8), ("-500", 8), ("500", 8),
        ("-2048", 8), ("2047", 8), ("HP:0.1Hz", 80), ("64", 8), ("", 32),
    ]  # fmt: skip
    header = "".join(text.ljust(size) for text, size in fields).encode("latin-1")
    assert len(header) == 512
    return header + np.random.default_rng(2).normal(0, 90, 64).astype("<i2").tobytes()


def png_bytes(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG of one grey pixel, with more chunks before the end (ISO/IEC 15948)."""
    listed = [
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        *chunks,
        (b"IDAT", zlib.compress(b"\0\x80")),
        (b"IEND", b""),
    ]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in listed
    )
    return b"\x89PNG\r\n\x1a\n" + body


def fif_bytes(**texts: str) -> bytes:
    """Return a FIF file: file id with blank machine and time, some text tags, the end."""
    kinds = {"his_id": 410, "last_name": 403, "description": 206}
    blocks = [(100, 31, struct.pack(">5i", 65540, 0, 0, 0, 0))]
    blocks += [(kinds[name], 10, text.encode("latin-1")) for name, text in texts.items()]
    out = b"".join(
        struct.pack(">iIii", kind, form, len(data), 0) + data for kind, form, data in blocks
    )
    return out + struct.pack(">iIii", 108, 0, 0, -1)


VHDR = """Brain Vision Data Exchange Header File Version 1.0
[Common Infos]
DataFile=sub-01_eeg.eeg
MarkerFile=sub-01_eeg.vmrk
DataFormat=BINARY
NumberOfChannels=1
SamplingInterval=1000
[Channel Infos]
Ch1=Fp1,,0.1,uV
"""


def write_clean_tree(root: Path) -> Path:
    """Write a tree with one honestly scrubbed file of each kind, and return it."""
    files: dict[str, bytes] = {
        "sub-01/dicom/0001.dcm": dicom_bytes(clean_dicom(1)),
        "sub-01/dicom/0002.dcm": dicom_bytes(clean_dicom(2)),
        "sub-01/anat/sub-01_T1w.nii.gz": gzip_bytes(nifti_bytes()),
        "sub-01/anat/sub-01_T2w.nii": nifti_bytes(3, descrip="TE=2.3"),
        "sub-01/anat/sub-01_T1w.json": json.dumps(
            {"EchoTime": 0.00298, "Manufacturer": "Siemens", "FlipAngle": 9}
        ).encode(),
        "sub-01/dwi/sub-01_dwi.bval": b"0 1000 1000\n",
        "sub-01/eeg/sub-01_eeg.edf": edf_bytes(),
        "sub-01/eeg/sub-01_eeg.vhdr": VHDR.encode(),
        "sub-01/eeg/sub-01_eeg.eeg": np.random.default_rng(4).normal(0, 9, 999).tobytes(),
        "sub-01/meg/sub-01_meg.fif": fif_bytes(),
        "participants.tsv": b"participant_id\tage\tsex\n"
        + b"".join(b"sub-%02d\t%d\tF\n" % (i, 20 + i % 5) for i in range(1, 11)),
        "sub-01/sub-01_scans.tsv": b"filename\tacq_time\nanat/sub-01_T1w.nii.gz\t1911-02-03T10\n",
        "dataset_description.json": b'{"Name": "A study", "BIDSVersion": "1.9.0"}',
        "README": b"A dataset of noise.\n",
        "CHANGES": b"1.0.0 2024-01-31\n  - first version\n",
        "report/report.html": b"<!DOCTYPE html><html><body><p>SNR 12.5</p></body></html>",
        "report/figure.png": png_bytes((b"tEXt", b"Software\0Matplotlib version 3.8")),
    }
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root
