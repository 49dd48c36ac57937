"""A synthetic human head: scalp, skull, brain and a face, painted from smooth shapes.

The head is defined in RAS+ millimetres, so any slice geometry can be sampled from it. Not
here: DICOM (``demo_session``). The shapes are made up; they belong to nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


def _contrast(**intensities: float) -> Mapping[str, float]:
    return MappingProxyType(intensities)


T1_WEIGHTED = _contrast(
    air=0, fat=900, muscle=420, bone=45, marrow=260, csf=110, gray=470, white=690, eye=120, lens=420
)
"""Intensity of each tissue in a T1-weighted gradient-echo image (arbitrary units)."""

EPI = _contrast(
    air=0, fat=90, muscle=230, bone=15, marrow=40, csf=980, gray=700, white=560, eye=850, lens=200
)
"""The same for a fat-suppressed echo-planar image."""

GRADIENT_ECHO = _contrast(
    air=0, fat=600, muscle=430, bone=30, marrow=200, csf=500, gray=620, white=580, eye=480, lens=300
)
"""The same for a proton-density-like gradient-echo image."""

WHITE_MATTER_ONLY = _contrast(
    air=0, fat=0, muscle=0, bone=0, marrow=0, csf=0, gray=0, white=1, eye=0, lens=0
)
"""Gives the fraction of white matter in each voxel."""


@dataclass(frozen=True, slots=True)
class _Ellipsoid:
    tissue: str
    centre_mm: tuple[float, float, float]
    radii_mm: tuple[float, float, float]
    mirrored: bool = False


# Painted in this order; what comes later covers what came before. Lengths are those of an
# ordinary adult head (cranium about 150 x 190 x 170 mm).
_OUTSIDE = (
    _Ellipsoid("fat", (0, -28, -105), (58, 62, 78)),  # neck
    _Ellipsoid("fat", (0, 28, -44), (61, 62, 74)),  # face and jaw
    _Ellipsoid("fat", (0, 66, -99), (25, 21, 17)),  # chin
    _Ellipsoid("muscle", (0, -28, -105), (54, 58, 75)),
    _Ellipsoid("muscle", (0, 27, -44), (55, 56, 69)),
    _Ellipsoid("fat", (0, 83, -75), (23, 10, 11)),  # lips
    _Ellipsoid("fat", (0, 84, -6), (10, 15, 30)),  # bridge of the nose
    _Ellipsoid("fat", (0, 91, -30), (16, 22, 15)),  # tip of the nose
    _Ellipsoid("muscle", (0, 90, -28), (11, 17, 10)),
    _Ellipsoid("fat", (77, -12, -14), (8, 18, 31), mirrored=True),  # ears
    _Ellipsoid("air", (84, -6, -14), (6, 8, 13), mirrored=True),  # shells of the ears
    _Ellipsoid("fat", (0, -5, 30), (75, 95, 85)),  # scalp
    _Ellipsoid("muscle", (0, -5, 30), (71.5, 91.5, 81.5)),
    _Ellipsoid("bone", (0, -5, 30), (70, 90, 80)),
    _Ellipsoid("marrow", (0, -5, 30), (68, 88, 78)),
    _Ellipsoid("bone", (0, -5, 30), (66, 86, 76)),
    _Ellipsoid("muscle", (0, 24, -62), (46, 48, 44)),
    _Ellipsoid("bone", (0, 62, -92), (28, 17, 9)),  # lower jaw
    _Ellipsoid("fat", (30, 60, 4), (20, 24, 18), mirrored=True),  # orbits
    _Ellipsoid("eye", (31, 70, 4), (12.5, 12.5, 12.5), mirrored=True),
    _Ellipsoid("lens", (31, 79, 4), (4.5, 2.2, 4.5), mirrored=True),
    _Ellipsoid("air", (27, 58, -36), (13, 17, 14), mirrored=True),  # maxillary sinuses
    _Ellipsoid("air", (0, 82, 26), (13, 4, 8)),  # frontal sinus
    _Ellipsoid("air", (6, 62, -32), (4, 28, 17), mirrored=True),  # nasal cavity
    _Ellipsoid("air", (6.5, 100, -43), (4, 9, 7), mirrored=True),  # nostrils
    _Ellipsoid("air", (0, 66, -75), (20, 26, 2.5)),  # mouth
    _Ellipsoid("muscle", (0, 46, -72), (22, 28, 16)),  # tongue
    _Ellipsoid("air", (0, 8, -88), (9, 7, 45)),  # throat
    _Ellipsoid("marrow", (0, -34, -115), (18, 17, 60)),  # spine
    _Ellipsoid("csf", (0, -34, -105), (6, 6, 80)),
    _Ellipsoid("csf", (0, -5, 30), (64, 84, 74)),
    _Ellipsoid("bone", (0, 40, -24), (50, 40, 16)),  # base of the skull
)
_CEREBRUM = _Ellipsoid("gray", (0, -5, 34), (62.5, 82, 69))
_INSIDE = (
    _Ellipsoid("gray", (24, -52, -20), (25, 29, 21), mirrored=True),  # cerebellum
    _Ellipsoid("white", (20, -50, -18), (14, 17, 10), mirrored=True),
    _Ellipsoid("white", (0, -22, -32), (12, 13, 44)),  # brain stem
    _Ellipsoid("white", (0, -4, 50), (20, 34, 7)),  # corpus callosum
    _Ellipsoid("csf", (11, 0, 42), (7, 30, 9), mirrored=True),  # lateral ventricles
    _Ellipsoid("csf", (20, -38, 34), (6, 14, 9), mirrored=True),
    _Ellipsoid("gray", (14, 12, 36), (5, 16, 9), mirrored=True),  # caudate
    _Ellipsoid("gray", (11, -14, 26), (9, 14, 10), mirrored=True),  # thalamus
    _Ellipsoid("gray", (26, 2, 26), (7, 16, 10), mirrored=True),  # lentiform nucleus
    _Ellipsoid("csf", (0, -10, 24), (2.5, 14, 9)),  # third ventricle
)


def paint_head(
    x_mm: FloatArray, y_mm: FloatArray, z_mm: FloatArray, contrast: Mapping[str, float]
) -> FloatArray:
    """Sample the head on an axis-aligned grid.

    Parameters
    ----------
    x_mm, y_mm, z_mm : ndarray, each (N,)
        RAS+ coordinates of the voxel centres along each axis, equally spaced, any direction.
    contrast : Mapping[str, float]
        Intensity of each tissue.

    Returns
    -------
    ndarray, (X, Y, Z) float32
        Tissue edges are one voxel soft, so that a shifted grid gives a shifted image.
    """
    axes = (x_mm, y_mm, z_mm)
    soft_mm = max(abs(float(axis[1] - axis[0])) for axis in axes)
    image = np.full(tuple(len(axis) for axis in axes), contrast["air"], dtype=np.float32)
    for shape in _OUTSIDE:
        _paint(image, axes, shape, contrast, soft_mm)
    _paint_cerebrum(image, axes, contrast, soft_mm)
    for shape in _INSIDE:
        _paint(image, axes, shape, contrast, soft_mm)
    return image


def _paint(
    image: FloatArray,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    shape: _Ellipsoid,
    contrast: Mapping[str, float],
    soft_mm: float,
) -> None:
    centre = shape.centre_mm
    sides = (1, -1) if shape.mirrored else (1,)
    for side in sides:
        box = _box(axes, (side * centre[0], centre[1], centre[2]), shape.radii_mm, soft_mm)
        if box is None:
            continue
        radius, region = box
        cover = np.clip(0.5 - (radius - 1) * (min(shape.radii_mm) / soft_mm), 0, 1)
        _cover(image[region], cover, contrast[shape.tissue])


def _cover(part: FloatArray, cover: FloatArray, value: float) -> None:
    part += cover * (np.float32(value) - part)


def _box(
    axes: tuple[FloatArray, FloatArray, FloatArray],
    centre_mm: tuple[float, float, float],
    radii_mm: tuple[float, float, float],
    margin_mm: float,
) -> tuple[FloatArray, tuple[slice, slice, slice]] | None:
    """Return the normalised radius inside the shape's bounding box, and the box."""
    regions: list[slice] = []
    squares: list[FloatArray] = []
    for axis, centre, radius in zip(axes, centre_mm, radii_mm, strict=True):
        inside = np.flatnonzero(np.abs(axis - centre) <= radius + margin_mm)
        if inside.size == 0:
            return None
        region = slice(int(inside[0]), int(inside[-1]) + 1)
        regions.append(region)
        squares.append(((axis[region] - centre) / radius).astype(np.float32) ** 2)
    square = (
        squares[0][:, np.newaxis, np.newaxis]
        + squares[1][np.newaxis, :, np.newaxis]
        + squares[2][np.newaxis, np.newaxis, :]
    )
    return np.sqrt(square), (regions[0], regions[1], regions[2])


def _paint_cerebrum(
    image: FloatArray,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    contrast: Mapping[str, float],
    soft_mm: float,
) -> None:
    """Paint folded gray and white matter and the fissure between the hemispheres."""
    box = _box(axes, _CEREBRUM.centre_mm, _CEREBRUM.radii_mm, soft_mm)
    if box is None:
        return
    radius, region = box
    x, y, z = (
        axis[part].astype(np.float32).reshape(shape)
        for axis, part, shape in zip(
            axes, region, ((-1, 1, 1), (1, -1, 1), (1, 1, -1)), strict=True
        )
    )
    steepness = np.float32(min(_CEREBRUM.radii_mm) / soft_mm)
    inside = np.clip(0.5 - (radius - 1) * steepness, 0, 1)
    # Sulci are sheets along the zero lines of a wavy field; they fade out towards the middle.
    folds = np.sin(x / 4.4 + 1.6 * np.sin(y / 12) + np.sin(z / 15))
    folds = folds + np.sin(y / 4.9 + 1.5 * np.sin(z / 11) + 0.9 * np.sin(x / 14))
    folds = np.abs(folds + np.sin(z / 4.6 + 1.4 * np.sin(x / 10) + 1.2 * np.sin(y / 16)))
    depth = np.clip((radius - 0.62) / 0.36, 0, 1)
    gray = np.clip((0.85 * depth - folds) * 4 / soft_mm + 0.5, 0, 1)
    gray = np.maximum(gray, np.clip((radius - 0.95) * steepness + 0.5, 0, 1))
    sulci = np.clip((0.22 * depth - folds) * 4 / soft_mm + 0.2, 0, 1) * (depth > 0)
    part = image[region]
    _cover(part, inside, contrast["white"])
    _cover(part, inside * gray * (depth > 0), contrast["gray"])
    _cover(part, inside * sulci, contrast["csf"])
    above_callosum = np.clip((z - 54) / soft_mm + 0.5, 0, 1)
    fissure = np.clip(0.5 - (np.abs(x) - 1.6) / soft_mm, 0, 1) * above_callosum
    _cover(part, (fissure * inside).astype(np.float32), contrast["csf"])
