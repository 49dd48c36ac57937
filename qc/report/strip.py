"""Draws the distribution of one measure as an inline SVG strip: a point for each image.

Points link to the image's row; only unusual ones are stops of the keyboard (the table beside the
plot holds all of them). Not here: the page.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from qc.norms import Norm

WIDTH, HEIGHT = 720, 96
_MARGIN, _RADIUS, _MIDDLE = 16.0, 4.0, 40.0
_AXIS_Y, _LABEL_Y = 74.0, 90.0
_MOST_ROWS = 7
_BAND = 3.5
_SAME_SHARE = 0.1
"""Reach of the axis to both sides where all values are the same."""
_INSIDE_SHARE = 0.002
"""Share of the width that one robust z may shrink to before far points are put at the edge."""


@dataclass(frozen=True, slots=True)
class Point:
    """One image in a strip: its value, its anchor on the page, its name, whether it is unusual."""

    value: float
    anchor: str
    name: str
    unusual: bool


def draw_strip(measure: str, unit: str, points: Sequence[Point], norm: Norm | None) -> str:
    """Return the SVG of one measure.

    Parameters
    ----------
    measure, unit : str
        Names for the accessible title.
    points : Sequence of Point
        At least one.
    norm : Norm or None
        Median and band are drawn if there is one.
    """
    low, high = _range(points, norm)
    scale = (WIDTH - 2 * _MARGIN) / (high - low)

    def place(value: float) -> float:
        return _MARGIN + (min(max(value, low), high) - low) * scale

    label = html.escape(_description(measure, unit, points, norm))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{label}">']
    if norm is not None and norm.sigma > 0:
        left = place(norm.median - _BAND * norm.sigma)
        right = place(norm.median + _BAND * norm.sigma)
        parts.append(
            f'<rect class="band" x="{left:.1f}" y="6" width="{right - left:.1f}" height="64"/>'
        )
    if norm is not None:
        x = place(norm.median)
        parts.append(f'<line class="median" x1="{x:.1f}" x2="{x:.1f}" y1="6" y2="70"/>')
    parts.append(
        f'<line class="axis" x1="{_MARGIN}" x2="{WIDTH - _MARGIN}" y1="{_AXIS_Y}" y2="{_AXIS_Y}"/>'
    )
    for x, y, point in _spread(points, place):
        kind = "point unusual" if point.unusual else "point"
        stop = "" if point.unusual else ' tabindex="-1"'
        label = html.escape(f"{point.name}: {point.value:.5g}")
        parts.append(
            f'<a href="#{point.anchor}" aria-label="{label}"{stop}><title>{label}</title>'
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}"/></a>'
        )
    # As many digits as it takes to tell the two ends apart.
    digits = next((each for each in range(4, 17) if f"{low:.{each}g}" != f"{high:.{each}g}"), 17)
    for value, anchor in ((low, "start"), (high, "end")):
        parts.append(
            f'<text x="{place(value):.1f}" y="{_LABEL_Y}" text-anchor="{anchor}">'
            f"{value:.{digits}g}</text>"
        )
    parts.append("</svg>\n")
    return "".join(parts)


def _range(points: Sequence[Point], norm: Norm | None) -> tuple[float, float]:
    """Return what the axis spans: all points, and the band where there is one."""
    values = [point.value for point in points]
    if norm is not None:
        values += [norm.median - _BAND * norm.sigma, norm.median + _BAND * norm.sigma]
    low, high = min(values), max(values)
    if norm is not None and 0 < norm.sigma < _INSIDE_SHARE * (high - low):
        # One absurd value must not press all others into one point; it is drawn at the edge.
        reach = norm.sigma / _INSIDE_SHARE / 2
        low, high = max(low, norm.median - reach), min(high, norm.median + reach)
    reach = abs(low) * _SAME_SHARE or 1.0
    return (low, high) if high > low else (low - reach, low + reach)


def _spread(
    points: Sequence[Point], place: Callable[[float], float]
) -> list[tuple[float, float, Point]]:
    """Return a place for each point; points that would lie on each other are stacked."""
    taken: dict[int, int] = {}
    found = []
    for point in sorted(points, key=lambda each: (each.value, each.name)):
        x = place(point.value)
        column = int(x // (2 * _RADIUS))
        row = taken.get(column, 0)
        taken[column] = row + 1
        level = row % _MOST_ROWS
        offset = (level + 1) // 2 * (1 if level % 2 else -1) * 2 * _RADIUS
        found.append((x, _MIDDLE + offset, point))
    return found


def _description(measure: str, unit: str, points: Sequence[Point], norm: Norm | None) -> str:
    values = np.array([point.value for point in points])
    about = f"{measure}{f' ({unit})' if unit else ''} of {len(points)} images"
    spread = f"from {values.min():.4g} to {values.max():.4g}, median {np.median(values):.4g}"
    unusual = sum(point.unusual for point in points)
    tail = "no norm yet" if norm is None else f"{unusual} unusual"
    return f"{about}: {spread}, {tail}"
