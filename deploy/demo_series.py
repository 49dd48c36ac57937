"""Turns sampled volumes into the DICOM files of one series, as a Siemens scanner exports them.

Single slices or mosaics, standard elements plus the private ones that converters need. Not
here: what is measured (``demo_session``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

from deploy.demo_csa import csa_header, floating, integer, protocol

_PLANES: Mapping[str, tuple[int, ...]] = {
    "axial": (1, 0, 0, 0, 1, 0),
    "sagittal": (0, 1, 0, 0, 0, -1),
}
_AXIAL_SLICES = 2
"""The axis along which axial slices lie."""
_SESSION_START_S = 9 * 3600
_SERIES_DISTANCE_S = 300
_ECHO_SPACING_S = 0.00052


@dataclass(frozen=True, slots=True)
class Grid:
    """An axis-aligned sampling grid in LPS+ millimetres.

    Axial volumes grow to the left, back and top; sagittal ones to the left, back and bottom,
    as their slices are drawn.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    first_lps_mm: tuple[float, float, float]
    plane: str = "axial"

    def axes_lps_mm(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the voxel centres along X, Y and Z."""
        signs = (1, 1, -1 if self.plane == "sagittal" else 1)
        x, y, z = (
            (first + sign * step * np.arange(count)).astype(np.float32)
            for first, sign, step, count in zip(
                self.first_lps_mm, signs, self.spacing_mm, self.shape, strict=True
            )
        )
        return x, y, z

    def affine_ras(self) -> NDArray[np.float64]:
        """Return the map from voxel indices to RAS+ millimetres, (4, 4)."""
        affine = np.eye(4)
        for axis, (values, sign) in enumerate(zip(self.axes_lps_mm(), (-1, -1, 1), strict=True)):
            affine[axis, axis] = sign * (values[1] - values[0])
            affine[axis, 3] = sign * values[0]
        return affine


@dataclass(frozen=True, slots=True)
class Series:
    """What a series is, as far as the headers say it. Times in ms, angles in degrees."""

    number: int
    folder: str
    name: str
    sequence_name: str
    sequence_file: str
    scanning_sequence: tuple[str, ...]
    acquisition_type: str
    repetition_time_ms: float
    echo_time_ms: float
    flip_angle_deg: float
    inversion_time_ms: float | None = None
    echo: int = 1
    other_echo_ms: float | None = None
    phase_encoding: str = "COL"
    phase: bool = False
    mosaic: bool = False
    diffusion: tuple[tuple[float, tuple[float, float, float]], ...] = ()

    @property
    def all_echoes_ms(self) -> tuple[float, ...]:
        """Return the echo times of the protocol, which a series of one echo has, too."""
        others = () if self.other_echo_ms is None else (self.other_echo_ms,)
        return tuple(sorted((self.echo_time_ms, *others)))

    def with_echo(self, echo: int, echo_time_ms: float) -> Series:
        """Return the same series at another echo of the same protocol."""
        return replace(self, echo=echo, echo_time_ms=echo_time_ms, other_echo_ms=self.echo_time_ms)

    def as_phase(self, number: int, folder: str) -> Series:
        """Return the phase series that belongs to this magnitude series."""
        return replace(self, number=number, folder=folder, phase=True)


class SeriesWriter:
    """Writes series below a folder and remembers the files.

    Parameters
    ----------
    folder : Path
        Gets one folder for each series.
    seed : int
        All UIDs follow from it.
    planted : Mapping[str, str]
        Invented identities by element keyword, plus ``PrivateNote`` and ``ProtocolSerial``.
    """

    def __init__(self, folder: Path, seed: int, planted: Mapping[str, str]) -> None:
        self._folder = folder
        self._seed = seed
        self._planted = planted
        self.files: list[Path] = []

    def write(self, series: Series, grid: Grid, volumes: Sequence[NDArray[np.uint16]]) -> None:
        """Write volumes of shape (X, Y, Z), in the order of acquisition."""
        target = self._folder / series.folder
        target.mkdir(parents=True, exist_ok=True)
        common = self._series_header(series, grid)
        first = sum(path.parent == target for path in self.files) + 1
        for index, picture in enumerate(_pictures(series, grid, volumes)):
            header = self._picture_header(common, series, picture, first + index)
            path = target / f"{series.number:04d}_{first + index:05d}.dcm"
            header.save_as(path, enforce_file_format=True)
            self.files.append(path)

    def _uid(self, name: str) -> UID:
        digest = hashlib.sha256(f"{self._seed}/{name}".encode()).digest()
        return UID(f"2.25.{int.from_bytes(digest[:15])}")

    def _series_header(self, series: Series, grid: Grid) -> Dataset:
        header = Dataset()
        header.SpecificCharacterSet = "ISO_IR 100"
        self._add_identity(header)
        _add_times(header, series, self._planted["StudyDate"])
        header.SOPClassUID = MRImageStorage
        header.Modality = "MR"
        header.Manufacturer = "SIEMENS"
        header.ManufacturerModelName = "Prisma"
        header.SoftwareVersions = "syngo MR E11"
        header.MagneticFieldStrength = 3
        header.ImagingFrequency = 123.25
        header.ImagedNucleus = "1H"
        header.BodyPartExamined = "BRAIN"
        header.PatientPosition = "HFS"
        header.PatientSex = "O"
        header.PatientAge = "053Y"
        header.PatientWeight = 70
        header.StudyInstanceUID = self._uid("study")
        header.SeriesInstanceUID = self._uid(f"series {series.number}")
        header.FrameOfReferenceUID = self._uid("frame")
        header.SeriesNumber = series.number
        header.AcquisitionNumber = 1
        header.SeriesDescription = series.name
        header.ProtocolName = series.name
        _add_measurement(header, series, grid)
        return header

    def _add_identity(self, header: Dataset) -> None:
        for keyword, value in self._planted.items():
            if keyword not in {"PrivateNote", "ProtocolSerial"}:
                setattr(header, keyword, value)
        private = header.private_block(0x0031, "DEMO PRIVATE NOTES", create=True)
        private.add_new(0x01, "LO", self._planted["PrivateNote"])

    def _picture_header(
        self, common: Dataset, series: Series, picture: _Picture, instance: int
    ) -> Dataset:
        header = Dataset(common)
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        header.file_meta.ImplementationVersionName = "WINXNAT_DEMO"
        header.SOPInstanceUID = self._uid(f"image {series.number} {instance}")
        header.InstanceNumber = instance
        taken_s = _start_s(series) + picture.taken_after_ms(series) / 1000
        header.AcquisitionTime = header.ContentTime = _clock(taken_s)
        header.ImagePositionPatient = [round(value, 4) for value in picture.position_lps_mm]
        header.SliceLocation = round(picture.position_lps_mm[picture.slice_axis], 4)
        header.Rows, header.Columns = picture.pixels.shape
        header.PixelData = np.ascontiguousarray(picture.pixels, dtype="<u2").tobytes()
        header["PixelData"].VR = "OW"
        _add_vendor_block(header, series, picture, self._planted["ProtocolSerial"])
        return header


@dataclass(frozen=True, slots=True)
class _Picture:
    """One file: a slice, or a volume as a mosaic; ``pixels`` is (rows, columns)."""

    pixels: NDArray[np.uint16]
    position_lps_mm: tuple[float, ...]
    volume: int
    number: int
    slice_count: int
    slice_axis: int

    def taken_after_ms(self, series: Series) -> float:
        """Return when it was measured, from the start of the series."""
        within = 0.0
        if series.acquisition_type == "2D" and not series.mosaic:
            within = _slice_times_ms(self.slice_count, series.repetition_time_ms)[self.number]
        return self.volume * series.repetition_time_ms + within


def _pictures(
    series: Series, grid: Grid, volumes: Sequence[NDArray[np.uint16]]
) -> Iterator[_Picture]:
    slice_axis = 0 if grid.plane == "sagittal" else _AXIAL_SLICES
    axes = grid.axes_lps_mm()
    first = tuple(float(axis[0]) for axis in axes)
    for index, volume in enumerate(volumes):
        if series.mosaic:
            pixels, tiles = _mosaic(volume)
            # The position is that of the mosaic as if it were one large slice with the same
            # centre, which is how scanners write it.
            shift = (tiles - 1) / 2
            position = (
                first[0] - shift * grid.shape[0] * grid.spacing_mm[0],
                first[1] - shift * grid.shape[1] * grid.spacing_mm[1],
                first[2],
            )
            yield _Picture(pixels, position, index, 0, grid.shape[2], slice_axis)
            continue
        for number in range(grid.shape[slice_axis]):
            plane = np.take(volume, number, axis=slice_axis)
            place = tuple(
                float(axes[axis][number]) if axis == slice_axis else first[axis]
                for axis in range(3)
            )
            count = grid.shape[slice_axis]
            yield _Picture(plane.T, place, index, number, count, slice_axis)


def _mosaic(volume: NDArray[np.uint16]) -> tuple[NDArray[np.uint16], int]:
    """Return the axial slices as tiles of one square picture, and the tiles along an edge."""
    columns, rows, count = volume.shape
    tiles = int(np.ceil(np.sqrt(count)))
    picture = np.zeros((tiles, rows, tiles, columns), dtype=volume.dtype)
    for number in range(count):
        picture[number // tiles, :, number % tiles, :] = volume[:, :, number].T
    return picture.reshape(tiles * rows, tiles * columns), tiles


def _start_s(series: Series) -> float:
    return float(_SESSION_START_S + series.number * _SERIES_DISTANCE_S)


def _clock(seconds: float) -> str:
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(int(minutes), 60)
    return f"{hour:02d}{minute:02d}{second:09.6f}"


def _add_times(header: Dataset, series: Series, date: str) -> None:
    for keyword in ("StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate"):
        setattr(header, keyword, date)
    header.StudyTime = _clock(_SESSION_START_S)
    header.SeriesTime = _clock(_start_s(series))


def _add_measurement(header: Dataset, series: Series, grid: Grid) -> None:
    """Add how the series was measured and how its pixels are stored."""
    kind = ["ORIGINAL", "PRIMARY", "P" if series.phase else "M"]
    if series.diffusion:
        kind = ["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"]
    header.ImageType = [*kind, "ND", *(["MOSAIC"] if series.mosaic else [])]
    header.ScanningSequence = list(series.scanning_sequence)
    header.SequenceVariant = ["SK", "SP"]
    header.ScanOptions = "FS" if series.mosaic else ""
    header.MRAcquisitionType = series.acquisition_type
    header.SequenceName = series.sequence_name
    header.RepetitionTime = series.repetition_time_ms
    header.EchoTime = series.echo_time_ms
    header.EchoNumbers = series.echo
    if series.inversion_time_ms is not None:
        header.InversionTime = series.inversion_time_ms
    header.FlipAngle = series.flip_angle_deg
    header.EchoTrainLength = grid.shape[1] if series.mosaic else 1
    header.NumberOfAverages = 1
    header.PixelBandwidth = 2300 if series.mosaic else 240
    header.InPlanePhaseEncodingDirection = series.phase_encoding
    sagittal = grid.plane == "sagittal"
    in_plane = (2, 1) if sagittal else (1, 0)
    header.PixelSpacing = [grid.spacing_mm[axis] for axis in in_plane]
    header.SliceThickness = header.SpacingBetweenSlices = grid.spacing_mm[0 if sagittal else 2]
    rows, columns = (grid.shape[axis] for axis in in_plane)
    header.AcquisitionMatrix = (
        [columns, 0, 0, rows] if series.phase_encoding == "COL" else [0, rows, columns, 0]
    )
    header.ImageOrientationPatient = list(_PLANES[grid.plane])
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation = 0
    if series.phase:
        header.RescaleSlope, header.RescaleIntercept, header.RescaleType = 2, -4096, "US"


def _add_vendor_block(header: Dataset, series: Series, picture: _Picture, serial: str) -> None:
    """Add the private elements of the vendor: mosaic, slice times, diffusion, protocol."""
    is_axial = picture.slice_axis == _AXIAL_SLICES
    tags = {
        "NumberOfImagesInMosaic": integer(picture.slice_count) if series.mosaic else ("US", ()),
        "SliceNormalVector": floating(0, 0, 1) if is_axial else floating(-1, 0, 0),
        "PhaseEncodingDirectionPositive": integer(1),
        "ProtocolSliceNumber": integer(0),
    }
    siemens = header.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    if series.mosaic:
        times_ms = _slice_times_ms(picture.slice_count, series.repetition_time_ms)
        bandwidth = 1 / (_ECHO_SPACING_S * int(header.EchoTrainLength))
        tags["MosaicRefAcqTimes"] = floating(*times_ms)
        tags["BandwidthPerPixelPhaseEncode"] = floating(round(bandwidth, 3))
        siemens.add_new(0x0A, "US", picture.slice_count)
        siemens.add_new(0x28, "FD", round(bandwidth, 3))
        siemens.add_new(0x29, "FD", times_ms)
    if series.diffusion:
        b_value, direction = series.diffusion[picture.volume]
        tags["B_value"] = integer(round(b_value))
        siemens.add_new(0x0C, "IS", round(b_value))
        if b_value > 0:
            x, y, z = direction
            tags["DiffusionGradientDirection"] = floating(x, y, z)
            tags["B_matrix"] = floating(
                *(b_value * term for term in (x * x, x * y, x * z, y * y, y * z, z * z))
            )
            siemens.add_new(0x0E, "FD", [x, y, z])
    csa = header.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x08, "CS", "IMAGE NUM 4")
    csa.add_new(0x10, "OB", csa_header(tags))
    csa.add_new(0x18, "CS", "MR")
    lines = {
        "tSequenceFileName": f'""{series.sequence_file}""',
        "tProtocolName": f'""{series.name}""',
        **{f"alTE[{echo}]": str(round(1000 * ms)) for echo, ms in enumerate(series.all_echoes_ms)},
        "sProtConsistencyInfo.tMeasuredBaselineString": '""N4_VE11C""',
        "sGRADSPEC.asGPAData[0].lOffsetX": "1203",
        "sGRADSPEC.asGPAData[0].lOffsetY": "-4410",
        "sGRADSPEC.asGPAData[0].lOffsetZ": "-877",
        "sGRADSPEC.alShimCurrent[0]": "112",
        "sGRADSPEC.alShimCurrent[1]": "-38",
        "sSliceArray.lSize": str(picture.slice_count),
        "tReferenceImage0": f'""{serial}""',
    }
    csa.add_new(0x20, "OB", csa_header({"MrPhoenixProtocol": protocol(lines)}))


def _slice_times_ms(count: int, repetition_time_ms: float) -> list[float]:
    """Return interleaved slice times: the even slices first."""
    order = [*range(1, count, 2), *range(0, count, 2)]
    times = [0.0] * count
    for position, number in enumerate(order):
        times[number] = round(position * repetition_time_ms / count, 1)
    return times
