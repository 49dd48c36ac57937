"""Draws a head from outside, lit from the front, so that a person can see what is left of a face.

Not here: the page that shows the pictures (``page``).
"""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from containers.deface.grids import Matrix, carry_image, to_itk
from containers.deface.head import air_level
from containers.deface.template import Field, Grid

VIEWS_DEG = (0.0, 35.0, -35.0, 90.0)
"""Turns to the side: from the front, half from either side, from the right."""
_STEP_MM = 1.5
_SMOOTHING_MM = 1.4
_MARGIN_MM = 15.0
"""Of air around the image in a picture; the detector finds no face that fills it."""
_LAYER = 16
"""Voxels of a view's height that are looked through at a time."""
_LEVEL = 0.12
_BRIGHT = 98.0


class Surface:
    """The surface of a head, whose pictures are drawn once however often they are wanted.

    Parameters
    ----------
    level : float
        Intensity where the surface lies.
    """

    def __init__(self, volume: Field, grid: Grid, level: float) -> None:
        # Smoothed once and not in each view: a blur alike in all directions may come first.
        blur = [_SMOOTHING_MM / step for step in grid.spacing_mm]
        self._image = to_itk(ndimage.gaussian_filter(volume, blur, truncate=3.0), grid)
        self._grid, self._level = grid, level
        self._drawn: dict[float, NDArray[np.uint8]] = {}

    def view(self, angle_deg: float) -> NDArray[np.uint8]:
        """Return a grey picture, pixels of 1.5 mm, of the head turned to the side."""
        if angle_deg not in self._drawn:
            onto, matrix = _turned(self._grid, angle_deg)
            parts = (
                _front(carry_image(self._image, part, matrix), self._level)
                for part in _layers(onto)
            )
            depths, hits = zip(*parts, strict=True)
            shade = _shaded(np.concatenate(depths, axis=1), np.concatenate(hits, axis=1))
            self._drawn[angle_deg] = np.asarray(np.clip(shade, 0, 1) * 255, np.uint8)
        return self._drawn[angle_deg]

    def files(self) -> list[bytes]:
        """Return one PNG file for each of `VIEWS_DEG`."""
        return [_file(Image.fromarray(self.view(angle))) for angle in VIEWS_DEG]


def surface_level(volume: Field) -> float:
    """Return the intensity of the surface that pictures show."""
    return max(_LEVEL * brightness(volume), air_level(volume))


def brightness(volume: Field) -> float:
    """Return the intensity of bright tissue."""
    positive = volume[volume > 0]
    return float(np.percentile(positive, _BRIGHT)) if positive.size else 1.0


def draw_slices(volume: Field, cut: NDArray[np.bool_], grid: Grid) -> bytes:
    """Return a PNG file with slices from the side and from above; what goes is red."""
    middle = [size // 2 for size in volume.shape]
    brain_height = int(volume.shape[2] * 0.45)
    panels = [
        _slice(volume, cut, grid, 0, place) for place in (middle[0], int(volume.shape[0] * 0.36))
    ]
    panels += [_slice(volume, cut, grid, 2, brain_height)]
    height = max(panel.height for panel in panels)
    sheet = Image.new("RGB", (sum(panel.width for panel in panels), height))
    left = 0
    for panel in panels:
        sheet.paste(panel, (left, 0))
        left += panel.width
    return _file(sheet)


def _slice(volume: Field, cut: NDArray[np.bool_], grid: Grid, axis: int, place: int) -> Image.Image:
    grey = np.clip(np.take(volume, place, axis) / max(brightness(volume), 1e-6), 0, 1) ** 0.7
    colour = np.repeat(grey[..., None], 3, axis=2)
    gone = np.take(cut, place, axis)
    colour[gone] *= 0.6
    colour[gone, 0] += 0.4
    turned = np.flipud(colour.transpose(1, 0, 2))
    across, up = [step for each, step in enumerate(grid.spacing_mm) if each != axis]
    size = (round(turned.shape[1] * across), round(turned.shape[0] * up))
    return Image.fromarray((turned * 255).astype(np.uint8)).resize(size)


def _turned(grid: Grid, angle_deg: float) -> tuple[Grid, Matrix]:
    """Return a grid of equal steps about the head turned about its vertical axis, and the turn."""
    extent = np.array(grid.shape) * grid.spacing_mm
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    wide, deep = abs(turn.T) @ extent[:2] + 2 * _MARGIN_MM
    size = (int(wide / _STEP_MM), int(deep / _STEP_MM), int(extent[2] / _STEP_MM))
    middle = np.array(grid.origin_mm) + extent / 2
    start = (middle[0] - wide / 2, middle[1] - deep / 2, grid.origin_mm[2])
    matrix = np.eye(4)
    matrix[:2, :2] = turn
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle
    return Grid(size, (_STEP_MM,) * 3, start), matrix


def _layers(grid: Grid) -> Iterator[Grid]:
    """Return the grid in layers, so that a view needs little memory and that of the one before."""
    wide, deep, high = grid.shape
    right, front, up = grid.origin_mm
    for first in range(0, high, _LAYER):
        shape = (wide, deep, min(_LAYER, high - first))
        yield Grid(shape, grid.spacing_mm, (right, front, up + first * grid.spacing_mm[2]))


def _front(volume: Field, level: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return how deep the first surface seen from the front lies, in voxels, and where is one."""
    solid = volume > level
    depth = np.argmax(solid[:, ::-1, :], axis=1).astype(np.float64)
    is_hit = np.asarray(solid.any(axis=1))
    depth[~is_hit] = volume.shape[1]
    # The slope between voxels is smoother where the surface is placed between them, too.
    index = np.clip(volume.shape[1] - 1 - depth.astype(int), 0, volume.shape[1] - 2)
    grid = np.ogrid[: volume.shape[0], : volume.shape[2]]
    near = volume[grid[0], index, grid[1]]
    beyond = volume[grid[0], index + 1, grid[1]]
    part = np.clip((near - level) / np.maximum(near - beyond, 1e-6), 0, 1)
    return depth - part, is_hit


def _shaded(depth: NDArray[np.float64], is_hit: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the surface as a picture, shaded by its slope."""
    across, up = np.gradient(ndimage.gaussian_filter(depth, 0.8))
    light = 1.0 / np.sqrt(1 + across**2 + up**2)
    shade = np.where(is_hit, 0.12 + 0.88 * light, 0.0)
    return np.flipud(shade.T)


def _file(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
