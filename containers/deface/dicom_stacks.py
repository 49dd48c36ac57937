"""Puts frames together to volumes: by series, by direction, by place, by contrast.

A volume must be whole: slices in equal steps along their normal, each place once. What does not
add up is refused, as a cut across a gap would lie in the wrong slices. Not here: headers
(``dicom_headers``), pixels (``dicom_pixels``).
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from containers.deface.dicom_headers import Frame

FEWEST_SLICES = 16
"""Fewer show too little of a head to find its face; such images are left out."""
_LEAST_EXTENT_MM = 60.0
"""As for `FEWEST_SLICES`, along the slices."""
_SAME_PLACE_MM = 0.05
_STEP_TOLERANCE = 0.02
_SIDE_TOLERANCE_MM = 0.1
_EPI_VOXEL_MM3 = 1.0
"""Echo-planar voxels smaller than this show a face all the same."""
_TO_RAS = np.diag([-1.0, -1.0, 1.0])


@dataclass(frozen=True, slots=True)
class Volume:
    """Frames of one contrast in the order of their places.

    Parameters
    ----------
    affine : ndarray, shape (4, 4)
        From (column, row, slice) to mm right, front, up.
    """

    frames: tuple[Frame, ...]
    affine: NDArray[np.float64]

    @property
    def is_magnitude(self) -> bool:
        """Return whether its intensities are magnitudes."""
        return self.frames[0].is_magnitude

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return columns, rows, slices."""
        form = self.frames[0].form
        return form.columns, form.rows, len(self.frames)

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        """Return the sizes of a voxel along columns, rows, slices."""
        x, y, z = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(x), float(y), float(z)

    def has_grid_of(self, other: Volume) -> bool:
        """Return whether every voxel has the same place in the same frame of reference."""
        return (
            self.shape == other.shape
            and self.frames[0].study == other.frames[0].study
            and self.frames[0].frame_of_reference == other.frames[0].frame_of_reference
            and bool(np.abs(self.affine - other.affine).max() < _STEP_TOLERANCE)
        )


@dataclass(frozen=True, slots=True)
class Stack:
    """Volumes of one series on one grid, or why there are none.

    Parameters
    ----------
    frames : tuple of Frame
        All of them.
    left_out : str
        Why it is neither defaced nor handed on; empty if it is to be defaced.
    is_refused : bool
        Whether it may show a face but cannot be judged.
    """

    frames: tuple[Frame, ...]
    volumes: tuple[Volume, ...]
    left_out: str = ""
    is_refused: bool = False

    @property
    def rank(self) -> tuple[int, float]:
        """Return how well it serves as the reference of a session; the smallest is the best."""
        first = self.frames[0]
        if not self.volumes or not self.volumes[0].is_magnitude:
            return 3, 0.0
        voxel = self.volumes[0].voxel_mm
        is_fine = first.is_3d and max(voxel) <= 1.6  # noqa: PLR2004 - mm; a T1w of any scanner
        is_t1 = (first.contrast.echo_ms or math.inf) < 10  # noqa: PLR2004 - ms; shorter than T2w
        return (0 if is_fine and is_t1 else 1 if is_fine else 2), float(np.prod(voxel))


def stacks_of(frames: Iterable[Frame]) -> list[Stack]:
    """Return the stacks of all frames, in the order of series numbers."""
    groups: dict[tuple[object, ...], list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[_geometry(frame)].append(frame)
    stacks = [_stack(group) for group in groups.values()]
    return sorted(stacks, key=lambda each: (each.frames[0].series_number, each.frames[0].path))


def _geometry(frame: Frame) -> tuple[object, ...]:
    directions = tuple(round(each, 2) + 0.0 for each in (*frame.across, *frame.down))
    spacing = tuple(round(each, 3) for each in frame.spacing)
    form = frame.form
    return (
        frame.study,
        frame.series,
        form.rows,
        form.columns,
        directions,
        spacing,
        frame.is_echo_planar,
    )


def _stack(frames: Sequence[Frame]) -> Stack:
    ordered = tuple(frames)
    first = ordered[0]
    if first.is_echo_planar and _voxel_mm3(ordered) >= _EPI_VOXEL_MM3:
        return Stack(
            ordered, (), "By rule not defaced (echo-planar); it is not part of the result."
        )
    places = _places(ordered)
    extent_mm = _extent_mm(places)
    if len(places) < FEWEST_SLICES or extent_mm < _LEAST_EXTENT_MM:
        return Stack(
            ordered,
            (),
            f"Left out: {len(places)} slices over {extent_mm:.0f} mm are too little of a head to "
            "find its face (a localiser or a slab?); it is not part of the result.",
        )
    groups = _volumes_by_contrast(places)
    if groups is None:
        return _refused(
            ordered,
            "Slices are missing or there twice, so it makes no whole volume. Get all of its files.",
        )
    same = Counter((group[0].contrast, group[0].is_magnitude) for group in groups)
    if max(same.values()) > 1:
        return _refused(
            ordered,
            f"It holds {len(groups)} volumes that differ in time alone, which the step does not "
            "take.",
        )
    volumes = []
    for group in groups:
        affine = _affine(group)
        if affine is None:
            return _refused(
                ordered,
                "Its slices do not lie in equal steps one behind the other: some are missing, or "
                "they are sheared.",
            )
        volumes.append(Volume(tuple(group), affine))
    volumes.sort(key=lambda each: (not each.is_magnitude, each.frames[0].contrast.echo_ms or 0.0))
    return Stack(ordered, tuple(volumes))


def _refused(frames: tuple[Frame, ...], reason: str) -> Stack:
    return Stack(frames, (), reason, is_refused=True)


def _normal(frame: Frame) -> NDArray[np.float64]:
    return np.cross(frame.across, frame.down)


def _voxel_mm3(frames: Sequence[Frame]) -> float:
    first = frames[0]
    return first.spacing[0] * first.spacing[1] * (first.thickness or first.spacing[0])


def _places(frames: Sequence[Frame]) -> list[list[Frame]]:
    """Return the frames at each place along the normal, from low to high."""
    normal = _normal(frames[0])
    heights = {id(frame): float(normal @ np.array(frame.corner)) for frame in frames}
    places: list[list[Frame]] = []
    last = -math.inf
    for frame in sorted(frames, key=lambda each: heights[id(each)]):
        height = heights[id(frame)]
        if height - last > _SAME_PLACE_MM:
            places.append([])
        places[-1].append(frame)
        last = height
    return places


def _extent_mm(places: Sequence[Sequence[Frame]]) -> float:
    """Return how far the slices reach, with the thickness of one."""
    first, last = (np.array(place[0].corner) for place in (places[0], places[-1]))
    between = float(_normal(places[0][0]) @ (last - first))
    return between * len(places) / (len(places) - 1) if len(places) > 1 else 0.0


def _volumes_by_contrast(places: Sequence[Sequence[Frame]]) -> list[list[Frame]] | None:
    """Return one list of frames for each contrast and time; None if they do not come out even.

    Each part of the complex number for itself: of phase there may be fewer echoes.
    """
    found: list[list[Frame]] = []
    for is_magnitude in (True, False):
        parts = [[each for each in place if each.is_magnitude is is_magnitude] for place in places]
        counts = {len(each) for each in parts}
        if counts == {0}:
            continue
        if len(counts) > 1:
            return None
        in_order = [sorted(each, key=_contrast_order) for each in parts]
        found += [list(column) for column in zip(*in_order, strict=True)]
    return found


def _contrast_order(frame: Frame) -> tuple[object, ...]:
    contrast = frame.contrast
    return (
        contrast.component,
        contrast.echo_ms or 0.0,
        contrast.inversion_ms or 0.0,
        contrast.flip_deg or 0.0,
        contrast.kind,
        frame.order,
    )


def _affine(frames: Sequence[Frame]) -> NDArray[np.float64] | None:
    """Return the affine of a volume; None where its slices are not in equal steps."""
    first = frames[0]
    corners = np.array([frame.corner for frame in frames])
    step = (corners[-1] - corners[0]) / (len(frames) - 1)
    size = float(np.linalg.norm(step))
    ideal = corners[0] + np.arange(len(frames))[:, None] * step
    along = float(step @ _normal(first))
    tolerance = max(_STEP_TOLERANCE * size, _SIDE_TOLERANCE_MM / 2)
    if np.abs(corners - ideal).max() > tolerance or abs(along - size) * len(frames) > tolerance:
        return None
    affine = np.eye(4)
    affine[:3, 0] = np.array(first.across) * first.spacing[1]
    affine[:3, 1] = np.array(first.down) * first.spacing[0]
    affine[:3, 2] = step
    affine[:3, 3] = corners[0]
    affine[:3] = _TO_RAS @ affine[:3]
    return affine
