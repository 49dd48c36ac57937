"""The made DICOM session that the demonstration starts from.

A synthetic head in five measurements as a Siemens scanner would export them, with invented
identities in the headers for later steps to remove. Not here: the head's shape
(``demo_head``), the private vendor header (``demo_csa``), how series become files
(``demo_series``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from deploy import demo_head
from deploy.demo_head import FloatArray
from deploy.demo_series import Grid, Series, SeriesWriter

DEFAULT_SEED = 20
_VOLUMES = 12
_ECHO_TIMES_MS = (4.92, 7.38)
_B_VALUE = 1000.0
_ACTIVE_RADIUS_MM = 18
_AIR_BELOW = 60
_PHASE_STEPS = 4096
"""A scanner's 12-bit phase image: 0 to 4095 stand for -pi to pi."""

AXIAL_GRID = Grid(
    shape=(48, 48, 24), spacing_mm=(4.5, 4.5, 5.0), first_lps_mm=(-105.75, -100.75, -32)
)
"""Shared by the echo-planar images and the field map."""

PLANTED: Mapping[str, str] = MappingProxyType(
    {
        "PatientName": "DEMO^PERSON^ONE",
        "PatientID": "DEMO-MRN-7719342",
        "PatientBirthDate": "19640229",
        "PatientAddress": "1 Nowhere Lane, Exampletown",
        "PatientTelephoneNumbers": "+00 555 0177 201",
        "OtherPatientIDs": "DEMO-NATIONAL-88120",
        "ReferringPhysicianName": "REFERRER^MADEUP",
        "PerformingPhysicianName": "PERFORMER^MADEUP",
        "OperatorsName": "OPERATOR^MADEUP",
        "InstitutionName": "Imaginary Hospital of Exampletown",
        "InstitutionAddress": "2 Nowhere Lane, Exampletown",
        "InstitutionalDepartmentName": "Department of Fiction",
        "StationName": "FICTSTATION9",
        "DeviceSerialNumber": "FICTSERIAL66521",
        "AccessionNumber": "FICTACC4471920",
        "StudyID": "FICTSTUDY31",
        "StudyDescription": "Fictitious study of one person",
        "RequestedProcedureDescription": "Fictitious brain request",
        "ImageComments": "Fictitious comment: person one moved",
        "PatientComments": "Fictitious remark about person one",
        "StudyDate": "20170813",
        "PrivateNote": "private-note-of-demo-person",
        "ProtocolSerial": "FICTSERIAL66521.20170813",
    }
)
"""What is written into the headers and must never leave a cleaning step, by element."""


@dataclass(frozen=True, slots=True)
class DemoSession:
    """What was written, for tests and for the demonstration's own checks.

    Parameters
    ----------
    folder : Path
        Holds one folder for each series.
    files : tuple[Path, ...]
        All files, in the order of writing.
    planted : Mapping[str, str]
        Invented identities by element name; some are in every file, none is real.
    bold : ndarray, (X, Y, Z, T) uint16
        The voxels of the functional series; X, Y, Z grow to the left, back and top (LPS).
    bold_affine_ras : ndarray, (4, 4)
        Voxel indices of ``bold`` to RAS+ millimetres.
    b_values : ndarray, (D,)
        Diffusion weighting in s/mm2.
    directions_lps : ndarray, (D, 3)
        Unit vectors in the patient frame, zero where there is no weighting.
    """

    folder: Path
    files: tuple[Path, ...]
    planted: Mapping[str, str]
    bold: NDArray[np.uint16]
    bold_affine_ras: NDArray[np.float64]
    b_values: NDArray[np.float64]
    directions_lps: NDArray[np.float64]


def write_demo_session(folder: Path, seed: int = DEFAULT_SEED) -> DemoSession:
    """Write the session below ``folder``, which is made if it does not exist.

    Parameters
    ----------
    folder : Path
        Gets one folder for each series; files of earlier runs are overwritten.
    seed : int
        Same seed, same bytes; another seed gives other noise, motion and UIDs.
    """
    random = np.random.default_rng(seed)
    writer = SeriesWriter(folder, seed, PLANTED)
    _write_localiser(writer, random)
    _write_anatomy(writer, random)
    _write_field_map(writer, random)
    bold = _write_functional(writer, random)
    b_values, directions = _write_diffusion(writer, random)
    return DemoSession(
        folder=folder,
        files=tuple(writer.files),
        planted=PLANTED,
        bold=bold,
        bold_affine_ras=AXIAL_GRID.affine_ras(),
        b_values=b_values,
        directions_lps=directions,
    )


def _paint(
    grid: Grid, contrast: Mapping[str, float], shift_mm: tuple[float, float, float] = (0, 0, 0)
) -> FloatArray:
    """Return the head on a grid as (X, Y, Z) in LPS order; the shift moves the head."""
    x, y, z = grid.axes_lps_mm()
    return demo_head.paint_head(-x + shift_mm[0], -y + shift_mm[1], z + shift_mm[2], contrast)


def _with_noise(image: FloatArray, sigma: float, random: np.random.Generator) -> NDArray[np.uint16]:
    """Return the magnitude of the image with noise in both channels (Rician)."""
    real = image + random.normal(0, sigma, image.shape).astype(np.float32)
    imaginary = random.normal(0, sigma, image.shape).astype(np.float32)
    return np.clip(np.hypot(real, imaginary), 0, _PHASE_STEPS - 1).astype(np.uint16)


def _write_localiser(writer: SeriesWriter, random: np.random.Generator) -> None:
    grid = Grid(shape=(128, 128, 3), spacing_mm=(2, 2, 20), first_lps_mm=(-127, -120, 10))
    writer.write(
        Series(
            number=1,
            folder="0001_localizer",
            name="localizer",
            sequence_name="*fl2d1",
            sequence_file="%SiemensSeq%\\gre",
            scanning_sequence=("GR",),
            acquisition_type="2D",
            repetition_time_ms=8.6,
            echo_time_ms=4.0,
            flip_angle_deg=20,
        ),
        grid,
        [_with_noise(_paint(grid, demo_head.GRADIENT_ECHO), 12, random)],
    )


def _write_anatomy(writer: SeriesWriter, random: np.random.Generator) -> None:
    grid = Grid(
        shape=(112, 160, 160),
        spacing_mm=(1.6, 1.6, 1.6),
        first_lps_mm=(-88.8, -120, 120),
        plane="sagittal",
    )
    head = _paint(grid, demo_head.T1_WEIGHTED)
    # The receive coil is nearer to the back and the sides than to the centre.
    x, y, z = grid.axes_lps_mm()
    bias = 0.9 + 0.25 * ((x / 110) ** 2)[:, np.newaxis, np.newaxis]
    bias = bias + 0.1 * (y / 120)[np.newaxis, :, np.newaxis]
    head *= (bias + 0.05 * (z / 120)[np.newaxis, np.newaxis, :]).astype(np.float32)
    writer.write(
        Series(
            number=2,
            folder="0002_t1_mprage_sag",
            name="t1_mprage_sag",
            sequence_name="*tfl3d1_16ns",
            sequence_file="%SiemensSeq%\\tfl",
            scanning_sequence=("GR", "IR"),
            acquisition_type="3D",
            repetition_time_ms=2300,
            echo_time_ms=2.98,
            inversion_time_ms=900,
            flip_angle_deg=9,
        ),
        grid,
        [_with_noise(head, 14, random)],
    )


def _write_field_map(writer: SeriesWriter, random: np.random.Generator) -> None:
    head = _paint(AXIAL_GRID, demo_head.GRADIENT_ECHO)
    first = Series(
        number=3,
        folder="0003_gre_field_mapping",
        name="gre_field_mapping",
        sequence_name="*fm2d2r",
        sequence_file="%SiemensSeq%\\gre_field_mapping",
        scanning_sequence=("GR",),
        acquisition_type="2D",
        repetition_time_ms=520,
        echo_time_ms=_ECHO_TIMES_MS[0],
        other_echo_ms=_ECHO_TIMES_MS[1],
        flip_angle_deg=60,
        phase_encoding="ROW",
    )
    second = first.with_echo(2, _ECHO_TIMES_MS[1])
    for series in (first, second):
        decayed = head * np.float32(np.exp(-series.echo_time_ms / 45))
        writer.write(series, AXIAL_GRID, [_with_noise(decayed, 8, random)])
    x, y, z = AXIAL_GRID.axes_lps_mm()
    # Off-resonance in Hz: a gentle slope, and the air of the sinuses behind the nose.
    sinus = np.exp(
        -(((x / 35) ** 2)[:, np.newaxis, np.newaxis])
        - (((y + 62) / 30) ** 2)[np.newaxis, :, np.newaxis]
        - (((z + 25) / 25) ** 2)[np.newaxis, np.newaxis, :]
    )
    field_hz = 120 * sinus + 0.25 * y[np.newaxis, :, np.newaxis]
    turns = field_hz * (_ECHO_TIMES_MS[1] - _ECHO_TIMES_MS[0]) / 1000
    turns = np.where(head > _AIR_BELOW, turns, random.uniform(-0.5, 0.5, head.shape))
    steps = np.mod(np.round((turns + 0.5) * _PHASE_STEPS), _PHASE_STEPS).astype(np.uint16)
    writer.write(second.as_phase(4, "0004_gre_field_mapping"), AXIAL_GRID, [steps])


def _write_functional(writer: SeriesWriter, random: np.random.Generator) -> NDArray[np.uint16]:
    drift_mm = np.cumsum(random.normal(0, 0.12, (_VOLUMES, 3)), axis=0)
    x, y, z = AXIAL_GRID.axes_lps_mm()
    distance = np.sqrt(
        (x**2)[:, np.newaxis, np.newaxis]
        + ((y - 72) ** 2)[np.newaxis, :, np.newaxis]
        + ((z - 22) ** 2)[np.newaxis, np.newaxis, :]
    )
    active = (distance < _ACTIVE_RADIUS_MM).astype(np.float32)
    volumes = []
    for index, shift in enumerate(drift_mm):
        head = _paint(AXIAL_GRID, demo_head.EPI, (shift[0], shift[1], shift[2]))
        task_on = (index // 3) % 2
        volumes.append(_with_noise(head * (1 + 0.03 * task_on * active), 9, random))
    writer.write(
        Series(
            number=5,
            folder="0005_bold_task-checkerboard",
            name="bold_task-checkerboard",
            sequence_name="*epfid2d1_48",
            sequence_file="%SiemensSeq%\\ep2d_bold",
            scanning_sequence=("EP",),
            acquisition_type="2D",
            repetition_time_ms=2000,
            echo_time_ms=30,
            flip_angle_deg=80,
            mosaic=True,
        ),
        AXIAL_GRID,
        volumes,
    )
    return np.stack(volumes, axis=-1)


def _write_diffusion(
    writer: SeriesWriter, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    b_values = np.array([0.0] + [_B_VALUE] * 8)
    directions = np.zeros((len(b_values), 3))
    # Eight directions spread over the half sphere by the golden angle.
    heights = (np.arange(8) + 0.5) / 8
    angles = np.arange(8) * np.pi * (3 - np.sqrt(5))
    radius = np.sqrt(1 - heights**2)
    directions[1:] = np.column_stack((radius * np.cos(angles), radius * np.sin(angles), heights))
    head = _paint(AXIAL_GRID, demo_head.EPI)
    white = _paint(AXIAL_GRID, demo_head.WHITE_MATTER_ONLY)
    x, _, z = AXIAL_GRID.axes_lps_mm()
    # Fibres cross from side to side near the middle and rise towards the top elsewhere.
    crossing = np.exp(-((x / 25) ** 2)[:, np.newaxis] - (((z - 50) / 15) ** 2)[np.newaxis, :])
    along_x = crossing[:, np.newaxis, :]
    volumes = []
    for b_value, direction in zip(b_values, directions, strict=True):
        along_fibre = along_x * direction[0] ** 2 + (1 - along_x) * direction[2] ** 2
        in_white = np.exp(-b_value * (0.0003 + 0.0014 * along_fibre))
        decay = white * in_white + (1 - white) * np.exp(-b_value * 0.0009)
        volumes.append(_with_noise((head * decay).astype(np.float32), 9, random))
    writer.write(
        Series(
            number=6,
            folder="0006_ep2d_diff_8dir",
            name="ep2d_diff_8dir",
            sequence_name="*ep_b0",
            sequence_file="%SiemensSeq%\\ep2d_diff",
            scanning_sequence=("EP",),
            acquisition_type="2D",
            repetition_time_ms=5200,
            echo_time_ms=85,
            flip_angle_deg=90,
            mosaic=True,
            diffusion=tuple(
                (float(b), (float(v[0]), float(v[1]), float(v[2])))
                for b, v in zip(b_values, directions, strict=True)
            ),
        ),
        AXIAL_GRID,
        volumes,
    )
    return b_values, directions
