"""Draws an image as a mosaic of slices, and as a thumbnail; PNG with nothing but pixels in it.

Not here: traces over time (``carpet``).
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont
from scipy import ndimage

from qc.images import Mask, Volume

_TILE = 168
_COLUMNS = 7
_THUMBNAIL = 160
_MARGIN = 6
_LABEL = 18
_OUTLINE = (255, 176, 0)
_PLANES = (("transverse", 2, (0, 1)), ("coronal", 1, (0, 2)), ("sagittal", 0, (1, 2)))


def draw_mosaic(volume: Volume, mask: Mask | None, voxel_mm: tuple[float, float, float]) -> bytes:
    """Return a PNG: seven slices in each of three directions, then transverse with the air lit up.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        Axes to the right, front and up; the patient's left is on the left.
    mask : ndarray of bool or None
        Outlined in the first three rows; its inside decides what is white there.
    """
    rows = []
    grey = _grey(volume, mask)
    for name, across, (side, up) in _PLANES:
        rows.append((name, _tiles(grey, mask, across, (side, up), voxel_mm)))
    rows.append(("transverse, air lit up", _tiles(_lit(volume), None, 2, (0, 1), voxel_mm)))
    width = _COLUMNS * (_TILE + _MARGIN) + _MARGIN
    height = len(rows) * (_TILE + _LABEL + _MARGIN) + _MARGIN
    canvas = Picture.new("RGB", (width, height), (0, 0, 0))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    for row, (name, tiles) in enumerate(rows):
        top = _MARGIN + row * (_TILE + _LABEL + _MARGIN)
        pen.text((_MARGIN, top), name, fill=(230, 230, 230), font=font)
        for column, tile in enumerate(tiles):
            left = _MARGIN + column * (_TILE + _MARGIN)
            place = (left + (_TILE - tile.width) // 2, top + _LABEL + (_TILE - tile.height) // 2)
            canvas.paste(tile, place)
    return png(canvas)


def draw_thumbnail(
    volume: Volume, mask: Mask | None, voxel_mm: tuple[float, float, float]
) -> bytes:
    """Return a PNG of the middle transverse slice, at most 160 pixels a side."""
    plane = _grey(volume, mask)[:, :, volume.shape[2] // 2]
    return png(_scaled(plane, None, (voxel_mm[0], voxel_mm[1]), _THUMBNAIL))


def png(picture: Picture.Image) -> bytes:
    """Return a picture as PNG, the same bytes each time."""
    stream = io.BytesIO()
    picture.save(stream, format="PNG", optimize=False, compress_level=6)
    return stream.getvalue()


def _tiles(
    grey: NDArray[np.uint8],
    mask: Mask | None,
    across: int,
    axes: tuple[int, int],
    voxel_mm: tuple[float, float, float],
) -> list[Picture.Image]:
    low, high = 0, grey.shape[across] - 1
    if mask is not None and mask.any():
        others = tuple(axis for axis in range(3) if axis != across)
        inside = np.flatnonzero(mask.any(axis=others))
        low, high = int(inside[0]), int(inside[-1])
    # Not the outermost slices: they show little.
    places = np.linspace(low, high, _COLUMNS + 2)[1:-1].round().astype(int)
    tiles = []
    for place in dict.fromkeys(int(each) for each in places):
        plane = np.take(grey, place, axis=across)
        outline = None if mask is None else np.take(mask, place, axis=across)
        tiles.append(_scaled(plane, outline, (voxel_mm[axes[0]], voxel_mm[axes[1]]), _TILE))
    return tiles


def _scaled(
    plane: NDArray[np.uint8], outline: Mask | None, size_mm: tuple[float, float], longest: int
) -> Picture.Image:
    # Rows of a picture run down; the second axis of the plane runs up.
    width_mm, height_mm = plane.shape[0] * size_mm[0], plane.shape[1] * size_mm[1]
    scale = longest / max(width_mm, height_mm)
    size = (max(1, round(width_mm * scale)), max(1, round(height_mm * scale)))
    upright = np.ascontiguousarray(plane.T[::-1])
    picture = Picture.fromarray(upright).resize(size, Picture.Resampling.BILINEAR)
    picture = picture.convert("RGB")
    if outline is not None and outline.any():
        shape = np.ascontiguousarray(outline.T[::-1]).astype(np.uint8) * 255
        large = np.asarray(Picture.fromarray(shape).resize(size, Picture.Resampling.BILINEAR)) > 127  # noqa: PLR2004 - half
        edge = large & ~ndimage.binary_erosion(large)
        pixels = np.array(picture)
        pixels[edge] = _OUTLINE
        picture = Picture.fromarray(pixels)
    return picture


def _grey(volume: Volume, mask: Mask | None) -> NDArray[np.uint8]:
    # Fat and vessels outside a brain are brighter than anything in it that is looked at.
    inside = volume if mask is None or not mask.any() else volume[mask]
    top = float(np.percentile(inside, 99.5)) or float(volume.max())
    scaled = volume / np.float32(top) if top > 0 else np.zeros_like(volume)
    return np.asarray(np.rint(np.clip(scaled, 0, 1) * 255), dtype=np.uint8)


def _lit(volume: Volume) -> NDArray[np.uint8]:
    """Return grey levels in which noise and ghosts can be seen: up to a tenth of the signal."""
    top = float(np.percentile(volume, 99.5)) * 0.1
    scaled = volume / np.float32(top) if top > 0 else np.zeros_like(volume)
    return np.asarray(np.rint(np.sqrt(np.clip(scaled, 0, 1)) * 255), dtype=np.uint8)
