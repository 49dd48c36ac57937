"""Draws a recording: amplitude of all channels over time, beside the spectrum of each.

Not here: the measures (``qc.electrophysiology``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from qc.electrophysiology import Recorded
from qc.report.mosaic import png

_WIDTH, _LEFT, _TOP, _GAP, _AXIS = 1000, 90, 12, 40, 40
_HEIGHT = 320
_INK = (30, 30, 30)
_SPREAD = 3.0
"""Robust deviations, in logarithms, from white to the end of the scale."""
_HIGHEST_HZ = 100.0
_TICKS = 5


def draw_channels(seen: Recorded) -> bytes:
    """Return a PNG of one kind of channels.

    Rows are channels in the recording's order. Above: amplitude in each second against the
    channel's kind (blue is less, red is more, black did not change). Below: power by frequency.
    """
    canvas = Picture.new("RGB", (_WIDTH, 2 * (_HEIGHT + _AXIS) + _TOP + _GAP), (255, 255, 255))
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    size = (_WIDTH - _LEFT - 20, _HEIGHT)
    seconds = len(seen.amplitude)
    over_time = _coloured(np.log(np.maximum(seen.amplitude.T, 1e-30)), seen.flat.T)
    canvas.paste(over_time.resize(size, Picture.Resampling.NEAREST), (_LEFT, _TOP))
    _axis(pen, font, (_TOP + _HEIGHT, float(seconds)), "seconds")
    reach = seen.frequencies_hz <= _HIGHEST_HZ
    power = np.log(np.maximum(seen.spectrum[:, reach], 1e-30))
    always_flat = np.logical_and.reduce(seen.flat, axis=0)
    dead = np.repeat(always_flat[:, np.newaxis], power.shape[1], axis=1)
    spectra = _coloured(power - np.median(power, axis=0), dead)
    below = _TOP + _HEIGHT + _AXIS + _GAP
    canvas.paste(spectra.resize(size, Picture.Resampling.NEAREST), (_LEFT, below))
    _axis(pen, font, (below + _HEIGHT, float(seen.frequencies_hz[reach][-1])), "Hz")
    for top, label in ((_TOP, "amplitude"), (below, "spectrum")):
        pen.text((6, top + 4), label, fill=_INK, font=font)
        pen.text((6, top + _HEIGHT - 20), "last", fill=_INK, font=font)
        pen.text((6, top + 24), "first", fill=_INK, font=font)
    return png(canvas)


def _coloured(logs: NDArray[np.float64], dead: NDArray[np.bool_]) -> Picture.Image:
    """Return red above and blue below the median of what is alive, black for what is not."""
    alive = logs[~dead]
    middle = np.median(alive) if alive.size else 0.0
    spread = np.median(np.abs(alive - middle)) * 1.4826 if alive.size else 1.0
    scaled = np.clip((logs - middle) / (_SPREAD * (spread or 1.0)), -1, 1)
    fade = 255 * (1 - np.abs(scaled))
    red = np.where(scaled >= 0, 255 - 80 * np.abs(scaled), fade)
    blue = np.where(scaled <= 0, 255 - 80 * np.abs(scaled), fade)
    picture = np.stack([red, fade, blue], axis=-1)
    picture[dead] = 0
    return Picture.fromarray(np.rint(picture).astype(np.uint8), "RGB")


def _axis(
    pen: ImageDraw.ImageDraw,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    place: tuple[int, float],
    unit: str,
) -> None:
    bottom, end = place
    for step in range(_TICKS + 1):
        across = _LEFT + (_WIDTH - _LEFT - 20) * step / _TICKS
        pen.line([(across, bottom), (across, bottom + 5)], fill=_INK)
        text = f"{end * step / _TICKS:.4g}"
        pen.text((across, bottom + 7), text, fill=_INK, font=font, anchor="ma")
    pen.text((6, bottom + 7), unit, fill=_INK, font=font)
