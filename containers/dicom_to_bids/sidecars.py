"""What of dcm2niix's sidecar goes into the BIDS sidecar: an allow-list of keys.

dcm2niix's ``-ba y`` still leaves names of places, devices and people: institution, station,
serial number, time of day, comments, descriptions of series, study and procedure. An
allow-list keeps those out, and whatever a later dcm2niix may add. ``SeriesDescription`` and
``ProtocolName`` are left out on purpose: people type them, and sometimes type names into
them. Texts that are kept are plain ASCII and are compared with the identities of the source
headers. Not here: links between files (``links``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.names import Named

_SCANNER = frozenset(
    {
        *("MagneticFieldStrength", "ImagingFrequency", "Manufacturer", "ManufacturersModelName"),
        *("SoftwareVersions", "ReceiveCoilName", "ReceiveCoilActiveElements", "Modality"),
        *("CoilCombinationMethod", "MatrixCoilMode", "TransmitCoilName", "ResonantNucleus"),
    }
)
_SEQUENCE = frozenset(
    {
        *("MRAcquisitionType", "ScanningSequence", "SequenceVariant", "ScanOptions"),
        *("SequenceName", "PulseSequenceType", "NonlinearGradientCorrection", "MTState"),
        *("SpoilingState", "SpoilingType", "ImageType", "ImageTypeText", "RawImage"),
        *("BodyPart", "PatientPosition", "DiffusionScheme", "VariableFlipAngleFlag"),
        *("PartialFourierDirection", "PartialFourierEnabled", "ParallelAcquisitionTechnique"),
    }
)
_TIMING = frozenset(
    {
        *("EchoNumber", "EchoTime", "EchoTime1", "EchoTime2", "RepetitionTime", "InversionTime"),
        *("RepetitionTimeExcitation", "RepetitionTimePreparation", "FlipAngle", "DwellTime"),
        *("SliceTiming", "EffectiveEchoSpacing", "TotalReadoutTime", "DelayTime"),
        *("DerivedVendorReportedEchoSpacing", "EstimatedEffectiveEchoSpacing"),
        *("EstimatedTotalReadoutTime", "AcquisitionDuration", "EchoTrainLength"),
        *("VendorReportedEchoSpacing", "FrameAcquisitionDuration"),
    }
)
_GEOMETRY = frozenset(
    {
        *("SliceThickness", "SpacingBetweenSlices", "SAR", "ShimSetting", "TxRefAmp"),
        *("BaseResolution", "PhaseResolution", "PartialFourier", "PhaseOversampling"),
        *("PercentPhaseFOV", "PercentSampling", "PhaseEncodingSteps", "AcquisitionMatrixPE"),
        *("ReconMatrixPE", "BandwidthPerPixelPhaseEncode", "PixelBandwidth", "RefLinesPE"),
        *("ParallelReductionFactorInPlane", "ParallelReductionFactorOutOfPlane"),
        *("MultibandAccelerationFactor", "PhaseEncodingDirection", "PhaseEncodingAxis"),
        *("PhaseEncodingPolarityGE", "InPlanePhaseEncodingDirectionDICOM"),
        *("ImageOrientationPatientDICOM", "ImageOrientationText", "NumberOfAverages"),
        *("PhaseEncodingStepsNoPartialFourier", "PhaseEncodingStepsOutOfPlane"),
        *("FrequencyEncodingSteps", "WaterFatShift", "PhilipsRWVSlope", "PhilipsRWVIntercept"),
        *("PhilipsRescaleSlope", "PhilipsRescaleIntercept", "PhilipsScaleSlope"),
        *("UsePhilipsFloatNotDisplayScaling", "NumberOfDiffusionDirectionGE"),
        *("NumberOfDiffusionT2GE", "CompressedSensingFactor", "Units"),
    }
)
_ALLOWED = _SCANNER | _SEQUENCE | _TIMING | _GEOMETRY
_CONVERTER = ("ConversionSoftware", "ConversionSoftwareVersion")


def bids_sidecar(named: Named, identity: SourceIdentity) -> dict[str, Any]:
    """Return the sidecar of one image, without anything that points at a person or a place."""
    source = named.image.sidecar
    sidecar: dict[str, Any] = {
        key: value
        for key, value in source.items()
        if key in _CONVERTER
        or (key in _ALLOWED and _is_json(value) and not _touches(value, identity))
    }
    if named.suffix == "phasediff":
        # The two echo times say it; one of them alone would mislead.
        sidecar.pop("EchoTime", None)
    if named.entities.get("part") == "phase":
        # Scanners store phase in steps of their own; BIDS has a word for that.
        sidecar.setdefault("Units", "arbitrary")
    sidecar |= {key: value for key, value in named.extra.items() if not _touches(value, identity)}
    if "task" in named.entities:
        sidecar["TaskName"] = named.entities["task"]
    return sidecar


def left_out_keys(source: Mapping[str, Any], kept: Mapping[str, Any]) -> frozenset[str]:
    """Return the names of the keys that were not taken over."""
    return frozenset(source) - frozenset(kept)


def _is_json(value: Any) -> bool:
    """Tell whether JSON can hold the value; Python reads NaN and infinity, JSON has neither."""
    items = value if isinstance(value, list) else [value]
    return all(math.isfinite(item) for item in items if isinstance(item, float))


def _touches(value: Any, identity: SourceIdentity) -> bool:
    if isinstance(value, str):
        # Words of a scanner are plain ASCII. Others were typed, and dcm2niix may have taken them
        # for another alphabet, so that no comparison would know a name again.
        return not value.isascii() or identity.touches(value)
    if isinstance(value, list):
        return any(_touches(item, identity) for item in value)
    return False
