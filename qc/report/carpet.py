"""Draws a run over time: traces of motion and change above a carpet of all voxels.

Not here: slices (``mosaic``).

References
----------
J. Power, A simple but useful way to assess fMRI scan qualities, NeuroImage 154:150-158, 2017.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from qc.functional import Measured
from qc.report.mosaic import png

_WIDTH = 1000
_LEFT = 90
_RIGHT = 20
_TRACE = 78
_GAP = 12
_CARPET = 300
_AXIS = 34
_TRACES = (
    ("fd", "motion FD", "mm", (0, 90, 181), 0.2),
    ("dvars_nstd", "DVARS", "1/1000", (178, 34, 34), None),
    ("slice_z", "slice z", "", (0, 110, 60), 10.0),
    ("kspace_z", "k-space z", "", (120, 60, 160), 20.0),
)
"""Trace, label, unit, colour, and the level of a dashed line."""
_INK = (30, 30, 30)
_SPREADS = 2.0


def draw_carpet(found: Measured, frames: int) -> bytes | None:
    """Return a PNG of a run's traces and voxels; None where nothing changes over time.

    Parameters
    ----------
    found : Measured
        With its ``series`` and ``voxels``, which are ordered from the edge inwards.
    frames : int
        Volumes of the run, dummies included: the width of the time axis.
    """
    traces = [each for each in _TRACES if each[0] in found.series]
    if found.voxels is None or not traces or frames < 2:  # noqa: PLR2004 - an axis of time
        return None
    height = _GAP + len(traces) * (_TRACE + _GAP) + _CARPET + _AXIS
    canvas = Picture.new("RGB", (_WIDTH, height), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    top = _GAP
    for name, label, unit, colour, level in traces:
        box = (_LEFT, top, _WIDTH - _RIGHT, top + _TRACE)
        values = (found.series[name], found.first_frames[name])
        _trace(pen, font, box, values, frames, colour, level)
        pen.text((6, top + 22), label, fill=colour, font=font)
        pen.text((6, top + 40), unit, fill=_INK, font=font)
        top += _TRACE + _GAP
    first = frames - found.voxels.shape[1]
    step = (_WIDTH - _RIGHT - _LEFT) / frames
    left = _LEFT + round(first * step)
    carpet = _carpet(found.voxels, (_WIDTH - _RIGHT - left, _CARPET))
    canvas.paste(carpet, (left, top))
    pen.text((6, top + 4), "edge", fill=_INK, font=font)
    pen.text((6, top + _CARPET - 20), "centre", fill=_INK, font=font)
    for frame in _ticks(frames):
        across = _LEFT + (frame + 0.5) * step
        pen.line([(across, top + _CARPET), (across, top + _CARPET + 5)], fill=_INK)
        pen.text((across, top + _CARPET + 7), str(frame), fill=_INK, font=font, anchor="ma")
    pen.text((6, top + _CARPET + 7), "volume", fill=_INK, font=font)
    return png(canvas)


def _trace(  # noqa: PLR0913, PLR0917 - all that a trace is drawn with
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    box: tuple[int, int, int, int],
    values: tuple[NDArray[np.float64], int],
    frames: int,
    colour: tuple[int, int, int],
    level: float | None,
) -> None:
    left, top, right, bottom = box
    series, first = values
    highest = max(float(np.nanmax(series)), level or 0.0) * 1.05 or 1.0
    pen.rectangle(box, outline=(150, 150, 150))
    pen.text((left - 4, top), f"{highest:.3g}", fill=_INK, font=font, anchor="ra")
    pen.text((left - 4, bottom - 14), "0", fill=_INK, font=font, anchor="ra")
    step = (right - left) / frames

    def height(value: float) -> float:
        return bottom - (bottom - top) * max(value, 0.0) / highest

    if level is not None:
        for start in range(left, right, 8):
            pen.line([(start, height(level)), (start + 4, height(level))], fill=(110, 110, 110))
    points = [
        (left + (first + index + 0.5) * step, height(float(value)))
        for index, value in enumerate(series)
    ]
    if len(points) > 1:
        pen.line(points, fill=colour, width=2)


def _carpet(voxels: NDArray[np.float32], size: tuple[int, int]) -> Picture.Image:
    # Mean of neighbours first: thousands of rows become as many as there are pixels.
    groups = np.array_split(np.arange(voxels.shape[0]), min(size[1], voxels.shape[0]))
    rows = np.stack([voxels[group].mean(axis=0, dtype=np.float64) for group in groups])
    times = np.linspace(-0.5, 0.5, rows.shape[1])
    rows -= rows.mean(axis=1, keepdims=True)
    slopes = (rows * times).sum(axis=1) / np.square(times).sum()
    rows -= slopes[:, None] * times
    spread = rows.std(axis=1, keepdims=True)
    scaled = np.divide(rows, spread, out=np.zeros_like(rows), where=spread > 0) / _SPREADS
    grey = np.rint((np.clip(scaled, -1, 1) + 1) * 127.5).astype(np.uint8)
    return Picture.fromarray(grey).resize(size, Picture.Resampling.NEAREST).convert("RGB")


def _ticks(frames: int) -> range:
    for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if frames / step <= 12:  # noqa: PLR2004 - labels that fit
            return range(0, frames, step)
    return range(0, frames, max(1, frames // 10))
