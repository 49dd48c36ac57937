"""Looks at a head from outside, before and after a cut: pictures for people, and a face detector.

Needs neither brain nor fit, so that a look can be taken beside them, by another thread. Not here:
how pictures are drawn (``renders``), what follows from a face (``gates``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from containers.deface.detector_process import detector_process
from containers.deface.face_detector import VIEWS_DEG, Sightings
from containers.deface.renders import Surface, surface_level
from containers.deface.template import Field, Grid


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen.

    Parameters
    ----------
    level : float
        Intensity of the surface; two looks at the same level can be compared.
    files : tuple of bytes
        Pictures (PNG), one for each of `renders.VIEWS_DEG`.
    faces : int
        Pictures on which the detector found a face; of a look before, 0 or 1.
    """

    level: float
    files: tuple[bytes, ...]
    faces: int


def look_before(volume: Field, grid: Grid) -> Look:
    """Look at a head as it came; the search for a face ends with the first."""
    level = surface_level(volume)
    surface = Surface(volume, grid, level)
    detector = detector_process()
    is_seen = any(any(detector.look([surface.view(angle)])) for angle in VIEWS_DEG)
    return Look(level, tuple(surface.files()), int(is_seen))


def look_after(volume: Field, grid: Grid, removed: NDArray[np.bool_], level: float) -> Look:
    """Look at what a cut leaves, at the level of the look before, from all sides."""
    surface = Surface(np.where(removed, 0, volume).astype(np.float32), grid, level)
    faces = sum(detector_process().look(map(surface.view, VIEWS_DEG)))
    return Look(level, tuple(surface.files()), faces)


def compared(before: Look, after: Look) -> Sightings:
    """Return in how many pictures a face was seen before and after."""
    return Sightings(before.faces, after.faces)
