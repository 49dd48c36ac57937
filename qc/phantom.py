"""Synthetic heads, runs and diffusion series whose measures are known in closed form.

Anybody may use them to test a tool for image quality. Everything is made from formulas and a
seed. Not here: degradations (``degrade``).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import erf, exp, pi, sqrt
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from qc.degrade import add_rician_noise
from qc.images import Mask, Volume
from qc.registration import Motion, matrix_of

LEVELS = MappingProxyType({"csf": 300.0, "gm": 700.0, "wm": 1000.0})
"""Intensity of the tissues of `head`, as in a T1w image."""
_SCALP = 500.0
_LAYERS = (
    # Name, half axes as shares of the field of view's half: each is painted over the last.
    ("scalp", (0.72, 0.86, 0.80)),
    ("skull", (0.68, 0.82, 0.76)),
    ("csf", (0.64, 0.78, 0.72)),
    ("gm", (0.58, 0.72, 0.66)),
    ("wm", (0.46, 0.58, 0.52)),
    ("csf", (0.12, 0.22, 0.12)),
)


@dataclass(frozen=True, slots=True)
class Head:
    """A head of piecewise constant tissues.

    ``volume`` is without noise; ``tissues`` holds a mask for csf, gm and wm; ``head`` all that
    is not air, ``air`` the rest.
    """

    volume: Volume
    tissues: dict[str, Mask]
    head: Mask
    air: Mask


@dataclass(frozen=True, slots=True)
class Expected:
    """What measures must be for a `Head` with Rician noise, from formulas."""

    snr: dict[str, float]
    snrd: dict[str, float]
    cjv: float
    cnr: float
    fber: float


def head(shape: tuple[int, int, int] = (64, 72, 60)) -> Head:
    """Return a head of nested ellipsoids: scalp, skull, CSF, grey and white matter, ventricles."""
    ramps = [np.linspace(-1, 1, length) for length in shape]
    grids = np.ix_(*ramps)
    labels = np.full(shape, "air", dtype="<U5")
    for name, halves in _LAYERS:
        squared = sum((grid / half) ** 2 for grid, half in zip(grids, halves, strict=True))
        labels[np.asarray(squared) <= 1] = name
    volume = np.zeros(shape, dtype=np.float32)
    volume[labels == "scalp"] = _SCALP
    for name, level in LEVELS.items():
        volume[labels == name] = level
    inside = np.asarray(labels != "air")
    return Head(volume, {name: np.asarray(labels == name) for name in LEVELS}, inside, ~inside)


def expected(made: Head, sigma: float) -> Expected:
    """Return what measures of a head with Rician noise must be.

    Mean and variance of a Rice distribution far above its noise (order ``sigma^2 / A``), of a
    Rayleigh distribution in the air. Good to 0.1 % for levels above ``5 sigma``.

    Parameters
    ----------
    sigma : float
        Standard deviation of the real and imaginary noise.

    References
    ----------
    H. Gudbjartsson, S. Patz, Magn Reson Med 34(6):910-914, 1995.
    """
    level = {name: sqrt(value**2 + sigma**2) for name, value in LEVELS.items()}
    spread = {name: sigma * sqrt(1 - sigma**2 / (2 * value**2)) for name, value in LEVELS.items()}
    air_sd = sigma * sqrt(2 - pi / 2)
    # Median absolute deviation of Rayleigh noise around its median, from its distribution.
    air_mad = sigma * _rayleigh_mad() / 0.6744897501960817
    contrast = level["wm"] - level["gm"]
    middle = _noisy_median(made.volume[made.head], sigma)
    return Expected(
        snr={name: level[name] / spread[name] for name in LEVELS},
        snrd={name: sqrt(2 - pi / 2) * level[name] / air_mad for name in LEVELS},
        cjv=(spread["wm"] + spread["gm"]) / contrast,
        cnr=contrast / sqrt(air_sd**2 + spread["wm"] ** 2 + spread["gm"] ** 2),
        fber=middle**2 / (2 * sigma**2 * np.log(2)),
    )


def bold_run(  # noqa: PLR0913 - each is a property of the run
    frames: int = 40,
    shape: tuple[int, int, int] = (48, 48, 20),
    *,
    noise: float = 10.0,
    seed: int = 0,
    motion: NDArray[np.float64] | None = None,
    voxel_mm: tuple[float, float, float] = (3.0, 3.0, 3.3),
) -> Volume:
    """Return a series of a smooth head with Rician noise, (X, Y, Z, T).

    The head is a formula, evaluated where each frame's motion puts it: no interpolation is in it.

    Parameters
    ----------
    noise : float
        Standard deviation; the head's signal is about 1000.
    motion : ndarray, shape (T, 6), optional
        As `qc.registration.Motion`.
    """
    still = np.zeros((frames, 6))
    moves = still if motion is None else motion
    clean = np.stack([_smooth_head(shape, voxel_mm, move) for move in moves], axis=3)
    return add_rician_noise(clean, noise, seed)


def diffusion_run(
    shape: tuple[int, int, int] = (40, 40, 16),
    *,
    directions: int = 24,
    noise: float = 10.0,
    seed: int = 0,
    b_value: float = 1000.0,
) -> tuple[Volume, NDArray[np.float64], NDArray[np.float64]]:
    """Return a diffusion series with its b-values (T,) in s/mm^2 and directions (T, 3).

    A b = 0 volume before every sixth direction; the tensors are symmetric about an axis that
    turns with the place, mean diffusivity 0.8e-3 mm^2/s.
    """
    golden = pi * (3 - sqrt(5))
    heights = 1 - (np.arange(directions) + 0.5) / directions
    around = golden * np.arange(directions)
    radius = np.sqrt(1 - heights**2)
    vectors = np.column_stack([radius * np.cos(around), radius * np.sin(around), heights])
    base = _smooth_head(shape, (2.5, 2.5, 2.5), np.zeros(6))
    angle = np.linspace(0, pi, shape[0])[:, None, None] + np.linspace(0, pi, shape[1])[:, None]
    axis = np.stack([np.cos(angle), np.sin(angle), np.zeros_like(angle)], axis=-1)
    volumes, values, rows = [], [], []
    for index, vector in enumerate(vectors):
        if index % 6 == 0:
            volumes.append(base)
            values.append(0.0)
            rows.append(np.zeros(3))
        along = (axis @ vector) ** 2
        decay = np.exp(-b_value * 1e-3 * (0.5 + 0.9 * along))
        volumes.append((base * decay).astype(np.float32))
        values.append(b_value)
        rows.append(vector)
    clean = np.stack(volumes, axis=3)
    return add_rician_noise(clean, noise, seed), np.array(values), np.array(rows)


def _smooth_head(
    shape: tuple[int, int, int], voxel_mm: tuple[float, float, float], motion: Motion
) -> Volume:
    """Return an ellipsoid with a soft edge and smooth blobs, moved by a motion."""
    sizes = np.asarray(voxel_mm)
    centre = (np.array(shape) - 1) / 2 * sizes
    grids = np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, sizes, strict=True)],
                        indexing="ij")  # fmt: skip
    points = np.stack([grid.ravel() for grid in grids]) - centre[:, None]
    back = np.linalg.inv(matrix_of(motion))
    x, y, z = back[:3, :3] @ points + back[:3, 3:]
    halves = np.array(shape) * sizes / 2 * np.array([0.66, 0.74, 0.70])
    radius = np.sqrt((x / halves[0]) ** 2 + (y / halves[1]) ** 2 + (z / halves[2]) ** 2)
    # The edge is two voxels wide, so that a spline can follow it.
    edge = 1 / (1 + np.exp((radius - 1) * halves.min() / sizes.max()))
    pattern = 1 + 0.18 * np.cos(x / 9.0 + 0.4) * np.cos(y / 11.0) + 0.12 * np.cos(z / 8.0 - 0.7)
    pattern += 0.1 * np.sin(x / 13.0 + y / 17.0)
    return np.asarray(1000 * edge * pattern, dtype=np.float32).reshape(shape)


def _noisy_median(clean: NDArray[np.float32], sigma: float) -> float:
    """Return the median of levels with Rician noise, from their distributions (bisection)."""
    levels, counts = np.unique(clean, return_counts=True)

    def below(value: float) -> float:
        shares = [
            1 - exp(-(value**2) / (2 * sigma**2))
            if level == 0
            else (1 + erf((value - sqrt(level**2 + sigma**2)) / (sigma * sqrt(2)))) / 2
            for level in levels.astype(float)
        ]
        return float(np.dot(shares, counts)) / clean.size

    low, high = 0.0, float(levels.max())
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < 0.5 else (low, middle)  # noqa: PLR2004 - half
    return (low + high) / 2


def _rayleigh_mad() -> float:
    """Return the median absolute deviation of a Rayleigh distribution of scale 1 (bisection)."""
    median = sqrt(2 * np.log(2))

    def covered(width: float) -> float:
        low = max(0.0, median - width)
        return exp(-(low**2) / 2) - exp(-((median + width) ** 2) / 2)

    low, high = 0.0, median
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if covered(middle) < 0.5 else (low, middle)  # noqa: PLR2004 - half
    return (low + high) / 2
