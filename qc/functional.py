"""Measures one BOLD run: masks, motion, and every measure of it, with the series for pictures.

Not here: the formulas (``temporal``, ``spatial``, ``spikes``), files, pages.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc import masks, spatial, spikes, summary, temporal
from qc.images import Image, Mask, Volume, array_sha256
from qc.measure import Measures, UndefinedMeasureError
from qc.registration import Reference, make_reference, register, resample_at

PIPELINE = "winqc-bold/1"
_CANDIDATES = 15
_DILATION_MM = 6.0
_FEWEST_FOR_SPREAD = 8
_DVARS_NAMES = ("dvars_std", "dvars_nstd", "dvars_vstd")
_FWHM_NAMES = ("fwhm_x", "fwhm_y", "fwhm_z")
_SLICE_NAMES = ("slice_z_max", "slice_z_num", "slice_z_slice", "slice_z_frame")
_KSPACE_NAMES = ("kspace_z_max", "kspace_z_num", "kspace_z_slice", "kspace_z_frame")
_PEAK_NAMES = ("dvars_nstd_max", "dvars_peak_ratio", "dvars_peak_frame")
_FD_NAMES = ("fd_mean", "fd_num", "fd_perc", "fd_max", "fd_max_frame", "motion_range")


@dataclass
class Measured:
    """What is found in one image.

    Attributes
    ----------
    measures : Measures
    mean : ndarray or None
        The picture to show: the (aligned) mean volume.
    mask : ndarray or None
        Brain, signal or head.
    series : dict
        Traces over the run by name, each of shape (T,) or (T - 1,) (changes), with their first
        frame's number in ``first_frames``.
    voxels : ndarray or None
        Aligned voxels by time (N, T), ordered by depth, for the carpet plot.
    mask_sha256 : dict
        SHA-256 of each mask, by name.
    notes : list of str
        Sentences for people.
    """

    measures: Measures = field(default_factory=Measures)
    mean: Volume | None = None
    mask: Mask | None = None
    series: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    first_frames: dict[str, int] = field(default_factory=dict)
    voxels: NDArray[np.float32] | None = None
    mask_sha256: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def trace(self, name: str, values: NDArray[np.float64], first_frame: int) -> None:
        """Keep a trace over the run."""
        self.series[name] = values
        self.first_frames[name] = first_frame


def measure_bold(image: Image) -> Measured:
    """Measure a BOLD run.

    Never raises for what is in the image: a measure without a value is None, with its reason.
    About 10 s and 500 MB for 80 x 80 x 35 voxels and 156 volumes.
    """
    found = Measured(notes=list(image.notes))
    data = image.data if image.data.ndim == 4 else image.data[..., None]  # noqa: PLR2004 - time
    found.measures.take("dummy_trs", lambda: temporal.dummy_count(data))
    dummies = int(found.measures.values["dummy_trs"] or 0)
    steady = data[..., dummies:]
    _sizes(found.measures, image, data.shape[3])
    plain_mean = steady.mean(axis=3, dtype=np.float64).astype(np.float32)
    found.mean = plain_mean
    try:
        mask = masks.signal_mask(np.maximum(plain_mean, 0), image.voxel_mm)
    except UndefinedMeasureError as error:
        _refuse_all(found.measures, f"No mask can be made: {error}")
        found.measures.take("efc", lambda: spatial.efc(plain_mean))
        return found
    found.mask = mask
    found.mask_sha256["signal"] = array_sha256(mask)
    motion = _motion(found, steady, mask, image, dummies)
    aligned = _aligned(steady, mask, motion, image.voxel_mm)
    found.mean = _aligned_mean(steady, mask, motion, image.voxel_mm, plain_mean)
    _spatial(found.measures, found.mean, mask)
    _temporal(found, aligned, dummies)
    _single(found, steady, mask, dummies)
    found.voxels = aligned[_by_depth(mask, image.voxel_mm)]
    return found


def _sizes(measures: Measures, image: Image, frames: int) -> None:
    for axis, name in enumerate("xyz"):
        measures.take(f"size_{name}", lambda axis=axis: int(image.data.shape[axis]))  # type: ignore[misc]  # binds the loop's
        measures.take(f"spacing_{name}", lambda axis=axis: image.voxel_mm[axis])  # type: ignore[misc]  # binds the loop's
    measures.take("size_t", lambda: frames)
    if image.repetition_s is None:
        measures.refuse(("spacing_tr",), "The header has no time between volumes that can be.")
    else:
        repetition_s = image.repetition_s
        measures.take("spacing_tr", lambda: repetition_s)


def _refuse_all(measures: Measures, reason: str) -> None:
    measures.refuse(
        (
            *("snr", "fber", "efc", "gsr_x", "gsr_y", *_FWHM_NAMES, "fwhm_avg", "tsnr", "gcor"),
            *("aor", "aqi", "drift", "unaligned_num", *_FD_NAMES, *_DVARS_NAMES, *_PEAK_NAMES),
            *(*_SLICE_NAMES, *_KSPACE_NAMES),
        ),
        reason,
    )


def _motion(
    found: Measured, steady: Volume, mask: Mask, image: Image, dummies: int
) -> NDArray[np.float64]:
    """Return the motion of each steady frame, (T, 6); zeros where it cannot be had."""
    none = np.zeros((steady.shape[3], 6))
    names = (*_FD_NAMES, "unaligned_num")
    try:
        temporal.need_frames(steady.shape[3], 2)
        wide = ndimage.binary_dilation(mask, masks.ball(_DILATION_MM, image.voxel_mm, mask.shape))
        reference = make_reference(_reference_volume(steady), wide, image.voxel_mm)
    except UndefinedMeasureError as error:
        found.measures.refuse(names, str(error))
        return none
    motion, lost = _follow(steady, reference)
    found.measures.take("unaligned_num", lambda: lost)
    if lost:
        found.notes.append(
            f"{lost} volumes could not be aligned; the position of the volume before is taken."
        )
    if lost > len(motion) // 2:
        found.measures.refuse(_FD_NAMES, "Most volumes could not be aligned.")
        return none
    displacement = temporal.framewise_displacement(motion)
    above = int((displacement > temporal.FD_LIMIT_MM).sum())
    for name, value in (
        ("fd_mean", float(displacement.mean())),
        ("fd_num", above),
        ("fd_perc", 100.0 * above / len(motion)),
        ("fd_max", float(displacement.max())),
        ("fd_max_frame", int(displacement.argmax()) + 1 + dummies),
        ("motion_range", temporal.motion_range_mm(motion)),
    ):
        found.measures.take(name, lambda value=value: value)  # type: ignore[misc]  # binds the loop's
    found.trace("fd", displacement, dummies + 1)
    return motion


def _reference_volume(steady: Volume) -> Volume:
    """Return the frame that is nearest to the median of some: not a spoilt one."""
    count = min(_CANDIDATES, steady.shape[3])
    frames = np.linspace(0, steady.shape[3] - 1, count).round().astype(int)
    some = steady[..., frames]
    middle = np.median(some, axis=3)
    distance = [float(np.abs(some[..., index] - middle).mean()) for index in range(count)]
    return np.ascontiguousarray(steady[..., frames[int(np.argmin(distance))]])


def _follow(steady: Volume, reference: Reference) -> tuple[NDArray[np.float64], int]:
    motion = np.zeros((steady.shape[3], 6))
    lost = 0
    before = None
    for frame in range(steady.shape[3]):
        try:
            before = register(np.ascontiguousarray(steady[..., frame]), reference, before)
        except UndefinedMeasureError:
            lost += 1
        if before is not None:
            motion[frame] = before
    return motion, lost


def _aligned(
    steady: Volume,
    mask: Mask,
    motion: NDArray[np.float64],
    voxel_mm: tuple[float, float, float],
) -> NDArray[np.float32]:
    """Return the voxels of the mask by time, each at the same place of the head."""
    if not motion.any():
        return np.ascontiguousarray(steady[mask])
    places = np.argwhere(mask).T.astype(np.float64)
    aligned = np.empty((places.shape[1], steady.shape[3]), dtype=np.float32)
    for frame in range(steady.shape[3]):
        volume = np.ascontiguousarray(steady[..., frame])
        aligned[:, frame] = resample_at(volume, motion[frame], voxel_mm, places)
    return np.maximum(aligned, 0)


def _aligned_mean(
    steady: Volume,
    mask: Mask,
    motion: NDArray[np.float64],
    voxel_mm: tuple[float, float, float],
    plain_mean: Volume,
) -> Volume:
    """Return the mean volume: aligned near the head, as acquired in the air.

    Ghosts and noise stay with the scanner when the head moves, and resampling would smooth them.
    """
    if not motion.any():
        return np.maximum(plain_mean, 0)
    near = ndimage.binary_dilation(mask, masks.ball(_DILATION_MM, voxel_mm, mask.shape))
    places = np.argwhere(near).T.astype(np.float64)
    total = np.zeros(places.shape[1])
    # Frames that lie evenly over the run: the mean of more differs by less than their noise.
    frames = np.unique(np.linspace(0, steady.shape[3] - 1, 40).round().astype(int))
    for frame in frames:
        volume = np.ascontiguousarray(steady[..., frame])
        total += resample_at(volume, motion[frame], voxel_mm, places)
    mean = plain_mean.copy()
    mean[near] = total / len(frames)
    return np.maximum(mean, 0)


def _spatial(measures: Measures, mean: Volume, mask: Mask) -> None:
    scaled = mean * np.float32(summary.rounding_scale(mean))

    def snr() -> float:
        inside = summary.summarise(scaled, mask)
        return spatial.snr(inside.median, inside.stdv, inside.count)

    measures.take("snr", snr)
    measures.take("fber", lambda: spatial.fber(scaled, mask))
    measures.take("efc", lambda: spatial.efc(mean))
    for name in "xy":
        measures.take(f"gsr_{name}", lambda name=name: temporal.gsr(mean, mask, name))  # type: ignore[misc]  # binds the loop's
    take_fwhm(measures, mean, mask)


def take_fwhm(measures: Measures, volume: Volume, mask: Mask) -> None:
    """Store the smoothness along the three axes and their mean."""
    try:
        widths = spatial.fwhm(volume, mask)
    except UndefinedMeasureError as error:
        measures.refuse((*_FWHM_NAMES, "fwhm_avg"), str(error))
        return
    for name, width in zip(_FWHM_NAMES, widths, strict=True):
        if width is None:
            measures.refuse((name,), "Too few neighbours, or no smoothness, along this axis.")
        else:
            measures.take(name, lambda width=width: width)  # type: ignore[misc]  # binds the loop's
    known = [width for width in widths if width is not None]
    if len(known) == len(widths):
        measures.take("fwhm_avg", lambda: float(np.mean(known)))
    else:
        measures.refuse(("fwhm_avg",), "It is not known along all three axes.")


def _temporal(found: Measured, aligned: NDArray[np.float32], dummies: int) -> None:
    measures = found.measures
    measures.take("tsnr", lambda: float(np.median(temporal.tsnr(aligned))))
    measures.take("gcor", lambda: temporal.gcor(aligned))
    measures.take("drift", lambda: temporal.drift(aligned))
    for name, compute in (
        ("aor", temporal.outlier_fraction), ("aqi", temporal.quality_index)
    ):  # fmt: skip
        try:
            values = compute(aligned)
        except UndefinedMeasureError as error:
            measures.refuse((name,), str(error))
        else:
            measures.take(name, lambda values=values: float(values.mean()))  # type: ignore[misc]  # binds the loop's
            found.trace(name, values, dummies)
    try:
        changes = temporal.dvars(aligned)
    except UndefinedMeasureError as error:
        measures.refuse((*_DVARS_NAMES, *_PEAK_NAMES), str(error))
        return
    measures.take("dvars_nstd", lambda: float(changes.nstd.mean()))
    if aligned.shape[1] < _FEWEST_FOR_SPREAD:
        # Quartiles of four volumes may lie anywhere, and vstd then be a hundred thousand.
        reason = f"Quartiles over time need at least {_FEWEST_FOR_SPREAD} steady volumes."
        measures.refuse(("dvars_std", "dvars_vstd"), reason)
    else:
        measures.take("dvars_std", lambda: float(changes.std.mean()))
        measures.take("dvars_vstd", lambda: float(changes.vstd.mean()))
    measures.take("dvars_nstd_max", lambda: float(changes.nstd.max()))
    measures.take("dvars_peak_ratio", lambda: spikes.peak_ratio(changes.nstd))
    measures.take("dvars_peak_frame", lambda: int(changes.nstd.argmax()) + 1 + dummies)
    found.trace("dvars_nstd", changes.nstd, dummies + 1)
    found.trace("dvars_std", changes.std, dummies + 1)


def _single(found: Measured, steady: Volume, mask: Mask, dummies: int) -> None:
    """Measure single slices and frames, on the volumes as they were acquired."""
    for names, label, limit in (
        (_SLICE_NAMES, "slice_z", spikes.SLICE_Z_LIMIT),
        (_KSPACE_NAMES, "kspace_z", spikes.KSPACE_Z_LIMIT),
    ):
        try:
            is_slice = label == "slice_z"
            table = spikes.slice_z(steady, mask) if is_slice else spikes.kspace_z(steady)
        except UndefinedMeasureError as error:
            found.measures.refuse(names, str(error))
            continue
        worst = spikes.worst(table)
        values = (
            worst.value,
            int((np.abs(table) > limit).sum()),
            worst.slice_index,
            worst.frame_index + dummies,
        )
        for name, value in zip(names, values, strict=True):
            found.measures.take(name, lambda value=value: value)  # type: ignore[misc]  # binds the loop's
        found.trace(label, np.abs(table).max(axis=0), dummies)


def _by_depth(mask: Mask, voxel_mm: tuple[float, float, float]) -> NDArray[np.intp]:
    """Return the order of the mask's voxels from its edge to its centre: edges show motion."""
    depth = ndimage.distance_transform_edt(mask, sampling=voxel_mm)[mask]
    return np.argsort(depth, kind="stable")
