"""Enhanced MR images, in which most facts stand once for each frame, with identities beside them.

A diffusion series of two b-values over several slices, as PS3.3 section A.36 lays it out, with
the private sequences that Siemens (XA) and Philips put into each frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from tests.builders.mr_files import TOKEN, file_bytes, mr_dataset

SLICES = 20
B_VALUES = (0.0, 1000.0)
FRAMES = SLICES * len(B_VALUES)
VENDORS = ("Siemens", "Philips", "GE MEDICAL SYSTEMS")
SIDE = 16


def _item(**values: Any) -> Sequence:
    item = Dataset()
    for keyword, value in values.items():
        setattr(item, keyword, value)
    return Sequence([item])


def frame_group(number: int, vendor: str) -> Dataset:
    """Return the functional groups of one frame; every text in them holds the token."""
    slice_number, volume = number % SLICES, number // SLICES
    group = Dataset()
    group.FrameContentSequence = _item(
        FrameAcquisitionDateTime=f"202103041011{number:02}.250000",
        FrameReferenceDateTime=f"202103041011{number:02}.500000",
        FrameAcquisitionDuration=87.5,
        FrameAcquisitionNumber=volume + 1,
        FrameComments=f"{TOKEN} was here",
        FrameLabel=TOKEN,
        StackID="1",
        InStackPositionNumber=slice_number + 1,
        TemporalPositionIndex=volume + 1,
        DimensionIndexValues=[1, slice_number + 1, volume + 1],
    )
    group.PlanePositionSequence = _item(ImagePositionPatient=[-16, -16, slice_number * 2.5 - 20])
    group.PlaneOrientationSequence = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    group.MRTimingAndRelatedParametersSequence = _item(
        RepetitionTime=2300.0, FlipAngle=90.0, EchoTrainLength=1
    )
    group.MREchoSequence = _item(EffectiveEchoTime=89.5)
    diffusion = _item(DiffusionBValue=B_VALUES[volume], DiffusionDirectionality="DIRECTIONAL")
    if volume:
        diffusion[0].DiffusionGradientDirectionSequence = _item(
            DiffusionGradientOrientation=[0.6, 0.0, 0.8]
        )
    else:
        diffusion[0].DiffusionDirectionality = "NONE"
    group.MRDiffusionSequence = diffusion
    group.PixelValueTransformationSequence = _item(
        RescaleIntercept=0, RescaleSlope=1, RescaleType="US"
    )
    group.MRImageFrameTypeSequence = _item(
        FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"], PixelPresentation="MONOCHROME",
        VolumetricProperties="VOLUME", ComplexImageComponent="MAGNITUDE",
        AcquisitionContrast="DIFFUSION",
    )  # fmt: skip
    _add_private(group, vendor, number)
    return group


def _add_private(group: Dataset, vendor: str, number: int) -> None:
    inner = Dataset()
    inner.PatientName = f"{TOKEN}^{TOKEN}"
    inner.SeriesDescription = TOKEN
    if vendor == "Siemens":
        deep = inner.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
        deep.add_new(0x59, "IS", str(number + 1))
        deep.add_new(0x06, "LO", TOKEN)
        block = group.private_block(0x0021, "SIEMENS MR SDI 02", create=True)
        block.add_new(0xFE, "SQ", Sequence([inner]))
    elif vendor == "Philips":
        inner.ContentDate = "20210304"
        block = group.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
        block.add_new(0x0F, "SQ", Sequence([inner]))
    else:
        block = group.private_block(0x0043, "GEMS_PARM_01", create=True)
        block.add_new(0x01, "LO", TOKEN)


def enhanced_dataset(vendor: str) -> Dataset:
    """Return an enhanced diffusion image of ``FRAMES`` frames."""
    image = mr_dataset(SIDE, SIDE)
    image.SOPClassUID = EnhancedMRImageStorage
    image.Manufacturer = vendor
    image.ImageType = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
    image.ContentQualification = "RESEARCH"
    image.AcquisitionDateTime = "20210304101100"
    image.NumberOfFrames = FRAMES
    voxels = np.random.default_rng(3).integers(0, 3000, (FRAMES, SIDE, SIDE), dtype=np.uint16)
    image.PixelData = voxels.tobytes()
    image.FrameOfReferenceUID = "1.2.826.0.1.3680043.2.1143.4"
    image.SeriesNumber = 5
    image.InstanceNumber = 1
    image.MagneticFieldStrength = 3.0
    shared = Dataset()
    shared.PixelMeasuresSequence = _item(
        PixelSpacing=[2, 2], SliceThickness=2.5, SpacingBetweenSlices=2.5
    )
    shared.FrameAnatomySequence = _item(FrameLaterality="U")
    image.SharedFunctionalGroupsSequence = Sequence([shared])
    image.PerFrameFunctionalGroupsSequence = Sequence(
        [frame_group(number, vendor) for number in range(FRAMES)]
    )
    organisation = "1.2.826.0.1.3680043.2.1143.5"
    image.DimensionOrganizationSequence = _item(DimensionOrganizationUID=organisation)
    pointers = ((0x00209056, 0x00209111), (0x00209057, 0x00209111), (0x00189087, 0x00189117))
    image.DimensionIndexSequence = Sequence(
        [
            _item(
                DimensionIndexPointer=pointer, FunctionalGroupPointer=group,
                DimensionOrganizationUID=organisation, DimensionDescriptionLabel=TOKEN,
            )[0]
            for pointer, group in pointers
        ]
    )  # fmt: skip
    return image


def enhanced_file(vendor: str) -> bytes:
    """Return the image as pydicom writes it."""
    return file_bytes(enhanced_dataset(vendor))
