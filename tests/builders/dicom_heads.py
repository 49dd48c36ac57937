"""Heads as DICOM series, written by pydicom: classic or enhanced, in any transfer syntax.

The head lies as in a sagittal scan: rows go to the back, columns down, slices to the left. Not
here: the heads themselves (``heads``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import compress
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian

from tests.builders.heads import MadeHead
from tests.builders.mr_files import file_bytes, mr_dataset

ROOT = "1.2.826.0.1.3680043.2.1143"
Edit = Callable[[Dataset, int], object]


def sagittal(head: MadeHead, volume: NDArray[np.generic] | None = None) -> NDArray[np.generic]:
    """Return voxels as (slice, row, column) of a sagittal scan, slices from right to left."""
    data = np.asarray(head.volume if volume is None else volume)
    return data[::-1, ::-1, ::-1].transpose(0, 2, 1)


def write_series(  # noqa: PLR0913 - each keyword is one way to store the same head
    folder: Path,
    head: MadeHead,
    *,
    number: int = 5,
    volume: NDArray[np.generic] | None = None,
    dtype: type = np.uint16,
    syntax: str = ExplicitVRLittleEndian,
    edit: Edit | None = None,
) -> list[Path]:
    """Write a classic series, one file for each slice; return the files in order."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, pixels in enumerate(sagittal(head, volume).astype(dtype)):
        image = _image(number, index, pixels)
        across, deep, up = head.voxel_mm
        image.PixelSpacing = [up, deep]
        image.SliceThickness = across
        image.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        image.ImagePositionPatient = _corner(head, index)
        if edit is not None:
            edit(image, index)
        path = folder / f"MR{number:03d}_{index:04d}.dcm"
        path.write_bytes(encoded(image, syntax))
        paths.append(path)
    return paths


def write_enhanced(
    path: Path, head: MadeHead, *, number: int = 6, phase: NDArray[np.generic] | None = None,
    edit: Callable[[Dataset], None] | None = None,
) -> Path:  # fmt: skip
    """Write an enhanced file: the head's magnitude, and its phase behind it where given."""
    parts = [("MAGNITUDE", "M", sagittal(head))]
    if phase is not None:
        parts.append(("PHASE", "P", sagittal(head, phase)))
    frames = np.concatenate([pixels for _, _, pixels in parts]).astype(np.uint16)
    image = _image(number, 0, frames[0])
    image.SOPClassUID = EnhancedMRImageStorage
    image.NumberOfFrames = len(frames)
    image.PixelData = frames.tobytes()
    across, deep, up = head.voxel_mm
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(PixelSpacing=[up, deep], SliceThickness=across)
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    groups = []
    for component, letter, pixels in parts:
        for index in range(len(pixels)):
            group = Dataset()
            group.MRImageFrameTypeSequence = _item(
                FrameType=["ORIGINAL", "PRIMARY", letter, "NONE"], ComplexImageComponent=component
            )
            group.PlanePositionSequence = _item(ImagePositionPatient=_corner(head, index))
            group.MREchoSequence = _item(EffectiveEchoTime=4.0)
            group.PixelValueTransformationSequence = _item(
                RescaleSlope=1, RescaleIntercept=0, RescaleType="US"
            )
            groups.append(group)
    image.PerFrameFunctionalGroupsSequence = Sequence(groups)
    if edit is not None:
        edit(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file_bytes(image))
    return path


def encoded(image: Dataset, syntax: str) -> bytes:
    """Return a file in a transfer syntax; run-length packing by pydicom."""
    if syntax == "1.2.840.10008.1.2.5":
        from pydicom import dcmread  # noqa: PLC0415 - only where something is packed
        from pydicom.filebase import DicomBytesIO  # noqa: PLC0415 - as above

        whole = dcmread(DicomBytesIO(file_bytes(image)))
        compress(whole, syntax, generate_instance_uid=False)
        stream = DicomBytesIO()
        whole.save_as(stream)
        return stream.getvalue()
    return file_bytes(image, syntax)


def _image(number: int, index: int, pixels: NDArray[np.generic]) -> Dataset:
    image = mr_dataset(*pixels.shape)
    image.SOPInstanceUID = f"{ROOT}.{number}.{index + 1}"
    image.SeriesInstanceUID = f"{ROOT}.{number}"
    image.FrameOfReferenceUID = f"{ROOT}.9"
    image.SeriesNumber = str(number)
    image.AcquisitionNumber = "1"
    image.InstanceNumber = str(index + 1)
    image.MRAcquisitionType = "3D"
    image.FlipAngle = "9"
    image.BitsStored = 16
    image.HighBit = 15
    image.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    if pixels.dtype.itemsize == 1:
        image.BitsAllocated, image.BitsStored, image.HighBit = 8, 8, 7
    vr = "SS" if image.PixelRepresentation else "US"
    image.add_new(0x00280106, vr, int(pixels.min()))
    image.add_new(0x00280107, vr, int(pixels.max()))
    image.PixelData = pixels.tobytes()
    return image


def _corner(head: MadeHead, index: int) -> list[float]:
    """Return the centre of a slice's first pixel: right, front and top are highest in a head."""
    size = np.array(head.volume.shape)
    last = (size - 1) * head.voxel_mm - size * head.voxel_mm / 2
    return [float(-last[0] + index * head.voxel_mm[0]), float(-last[1]), float(last[2])]


def _item(**values: object) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])
