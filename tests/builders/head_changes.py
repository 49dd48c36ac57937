"""Changes of a head that a scanner, a converter or a growing child may make, with their truth.

A change gives the changed image and says where any point of the unchanged head has gone, so that
a judge who knows the unchanged head knows the changed one. Lengths are mm along the axes of an
image that point right, front and up, from its first voxel. Not here: judging.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Volume = NDArray[np.float32]
Points = NDArray[np.float64]
"""Shape (N, 3), mm."""
Displacement = Callable[[Points], Points]


@dataclass(frozen=True)
class ChangedHead:
    """An image with what is known of the head in it.

    Parameters
    ----------
    volume, tissue, brain : ndarray, one shape
        Intensities; tissue of the head and its brain as the unchanged head has them.
    skin : dict of Points
        Points of the skin by part of the head.
    axes : str
        Where the file's axes shall point.
    has_affine : bool
        Whether the file shall say where the head lies.
    """

    volume: Volume
    voxel_mm: tuple[float, float, float]
    tissue: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    skin: dict[str, Points]
    axes: str = "RAS"
    has_affine: bool = True

    @property
    def extent_mm(self) -> Points:
        """Return the size of the image."""
        return np.array(self.volume.shape) * self.voxel_mm


Change = Callable[[ChangedHead], ChangedHead]


def _pulled(
    head: ChangedHead,
    pull: Displacement,
    shape: tuple[int, ...],
    voxel_mm: tuple[float, float, float],
) -> ChangedHead:
    """Return the head where the value at each new place is that at ``pull`` of the place."""
    grid = np.indices(shape, dtype=np.float32).reshape(3, -1)
    places = pull(grid.T * voxel_mm) / head.voxel_mm
    background = float(np.percentile(head.volume, 2))

    def taken(volume: NDArray[np.generic], order: int, outside: float) -> NDArray[np.float32]:
        found: NDArray[np.float32] = ndimage.map_coordinates(
            volume.astype(np.float32), places.T, order=order, mode="constant", cval=outside
        )
        return found.reshape(shape)

    # Forward is found by going back and forth: the displacements are smooth and small.
    def pushed(points: Points) -> Points:
        moved = points.copy()
        for _ in range(60):
            moved += points - pull(moved)
        return moved

    return replace(
        head,
        volume=taken(head.volume, 1, background),
        tissue=taken(head.tissue, 1, 0.0) > 0.5,
        brain=taken(head.brain, 1, 0.0) > 0.5,
        skin={name: pushed(points) for name, points in head.skin.items()},
        voxel_mm=voxel_mm,
    )


def turned(axis: int, angle_deg: float) -> Change:
    """Return a turn about the middle of the image, about the axis to the right, front or up."""

    def change(head: ChangedHead) -> ChangedHead:
        middle = head.extent_mm / 2
        first, second = [each for each in range(3) if each != axis]
        turn = np.eye(3)
        angle = np.deg2rad(angle_deg)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        return _pulled(
            head, lambda at: (at - middle) @ turn.T + middle, head.volume.shape, head.voxel_mm
        )

    return change


def scaled(factor: float) -> Change:
    """Return a head of another size about the middle of the image."""

    def change(head: ChangedHead) -> ChangedHead:
        middle = head.extent_mm / 2
        return _pulled(
            head, lambda at: (at - middle) / factor + middle, head.volume.shape, head.voxel_mm
        )

    return change


def shifted(shift_mm: float) -> Change:
    """Return a head moved back, with air before it that was not in the image."""

    def change(head: ChangedHead) -> ChangedHead:
        step = round(shift_mm / head.voxel_mm[1])
        size = head.volume.shape[1] + step
        wide = (head.volume.shape[0], size, head.volume.shape[2])
        return _pulled(head, lambda at: at - [0, step * head.voxel_mm[1], 0], wide, head.voxel_mm)

    return change


def cropped(box: Callable[[ChangedHead], tuple[Points, Points]]) -> Change:
    """Return the part of the image between two corners in mm."""

    def change(head: ChangedHead) -> ChangedHead:
        low, high = box(head)
        first = np.maximum(np.rint(low / head.voxel_mm), 0).astype(int)
        last = np.minimum(np.rint(high / head.voxel_mm), head.volume.shape).astype(int)
        part = tuple(slice(start, end) for start, end in zip(first, last, strict=True))
        return replace(
            head,
            volume=head.volume[part],
            tissue=head.tissue[part],
            brain=head.brain[part],
            skin={name: at - first * head.voxel_mm for name, at in head.skin.items()},
        )

    return change


def below_brain(head: ChangedHead) -> tuple[Points, Points]:
    """Return the box that ends 5 mm below the brain."""
    low = np.argwhere(head.brain).min(0) * head.voxel_mm
    return np.array([0, 0, low[2] - 5]), head.extent_mm


def without_nose(head: ChangedHead) -> tuple[Points, Points]:
    """Return the box that ends 20 mm behind the foremost skin of the face."""
    front = head.skin["face"][:, 1].max() - 20
    return np.zeros(3), np.array([head.extent_mm[0], front, head.extent_mm[2]])


def tight(head: ChangedHead) -> tuple[Points, Points]:
    """Return the box 8 mm around the brain."""
    inside = np.argwhere(head.brain)
    return inside.min(0) * head.voxel_mm - 8, inside.max(0) * head.voxel_mm + 8


def resampled(voxel_mm: tuple[float, float, float]) -> Change:
    """Return the head on other voxels, blurred before as thick slices are."""

    def change(head: ChangedHead) -> ChangedHead:
        blur = [max(0.0, 0.4 * new / old) for new, old in zip(voxel_mm, head.voxel_mm, strict=True)]
        smooth = replace(head, volume=ndimage.gaussian_filter(head.volume, blur))
        x, y, z = (int(size / step) for size, step in zip(head.extent_mm, voxel_mm, strict=True))
        return _pulled(smooth, lambda at: at, (x, y, z), voxel_mm)

    return change


def noisy(share: float) -> Change:
    """Return Rician noise of a share of the brightness of bright tissue."""

    def change(head: ChangedHead) -> ChangedHead:
        bright = float(np.percentile(head.volume[head.tissue], 95))
        noise = np.random.default_rng(7).normal(0, share * bright, (2, *head.volume.shape))
        volume = np.hypot(head.volume + noise[0], noise[1]).astype(np.float32)
        return replace(head, volume=volume)

    return change


def inverted(head: ChangedHead) -> ChangedHead:
    """Return dark tissue bright and bright tissue dark, air as it was."""
    bright = float(np.percentile(head.volume[head.tissue], 99))
    volume = np.where(head.tissue, np.maximum(1.15 * bright - head.volume, 0), head.volume)
    return replace(head, volume=volume.astype(np.float32))


def shaded(head: ChangedHead) -> ChangedHead:
    """Return strong shading: ten times brighter at one corner than at the opposite one."""
    ramp = sum(
        np.linspace(-1, 1, size).reshape([-1 if each == axis else 1 for each in range(3)]) * weight
        for axis, (size, weight) in enumerate(
            zip(head.volume.shape, (0.35, 0.45, 0.35), strict=True)
        )
    )
    return replace(head, volume=(head.volume * np.exp(ramp)).astype(np.float32))


def shaded_as_at_7_tesla(head: ChangedHead) -> ChangedHead:
    """Return a bright middle, dark temples and a dark lower half, as at 7 T."""
    middle = np.argwhere(head.brain).mean(0) * head.voxel_mm
    axes = [
        np.arange(size) * step for size, step in zip(head.volume.shape, head.voxel_mm, strict=True)
    ]
    right, front, up = (axis - centre for axis, centre in zip(axes, middle, strict=True))
    away = (right[:, None, None] / 55) ** 2 + (front[None, :, None] / 75) ** 2
    away = away + (np.where(up < 0, up / 50, up / 80) ** 2)[None, None, :]
    return replace(head, volume=(head.volume * (0.25 + 1.2 * np.exp(-away))).astype(np.float32))


def without_affine(head: ChangedHead) -> ChangedHead:
    """Return a file that does not say where the head lies; readers take left, front, up."""
    flipped = head.volume[::-1]
    last = (head.volume.shape[0] - 1) * head.voxel_mm[0]
    skin = {name: np.column_stack([last - at[:, 0], at[:, 1:]]) for name, at in head.skin.items()}
    return replace(
        head,
        volume=flipped,
        tissue=head.tissue[::-1],
        brain=head.brain[::-1],
        skin=skin,
        has_affine=False,
    )


def stored(axes: str) -> Change:
    """Return a file whose axes point elsewhere."""
    return lambda head: replace(head, axes=axes)


def gradient_warped(head: ChangedHead) -> ChangedHead:
    """Return what a scan without correction of gradients shows: shrunk far from the isocentre."""
    centre = np.argwhere(head.brain).mean(0) * head.voxel_mm

    def pull(at: Points) -> Points:
        away = at - centre
        radius = np.linalg.norm(away, axis=1, keepdims=True)
        moved: Points = centre + away * (1 + 0.09 * (radius / 130) ** 2)
        return moved

    return _pulled(head, pull, head.volume.shape, head.voxel_mm)


def wrapped(head: ChangedHead) -> ChangedHead:
    """Return the tip of the nose folded to behind the head."""
    front = head.skin["face"][:, 1].max()
    step = max(1, round((head.extent_mm[1] - front + 12) / head.voxel_mm[1]))
    extent = head.volume.shape[1] * head.voxel_mm[1]
    skin = {}
    for name, at in head.skin.items():
        moved = at.copy()
        moved[:, 1] = (moved[:, 1] + step * head.voxel_mm[1]) % extent
        skin[name] = moved
    volume, tissue, brain = (
        np.roll(each, step, axis=1) for each in (head.volume, head.tissue, head.brain)
    )
    return replace(head, volume=volume, tissue=tissue, brain=brain, skin=skin)


def morphed(seed: int, most_mm: float = 9.0) -> Change:
    """Return a head of another shape: smooth displacements of up to ``most_mm``."""

    def change(head: ChangedHead) -> ChangedHead:
        waves = np.random.default_rng(seed)
        terms = [
            (waves.normal(0, 1, 3), waves.normal(0, 1, 3) / 45, waves.uniform(0, 2 * np.pi))
            for _ in range(8)
        ]
        size = most_mm / np.sqrt(8)

        def pull(at: Points) -> Points:
            moved = at.astype(np.float64)
            for direction, wave, phase in terms:
                moved = moved + size * np.sin(at @ wave + phase)[:, None] * direction / np.sqrt(3)
            return moved

        return _pulled(head, pull, head.volume.shape, head.voxel_mm)

    return change


CHANGES: dict[str, Change] = {
    "none": lambda head: head,
    "pitch +25": turned(0, 25),
    "pitch -25": turned(0, -25),
    "roll 20": turned(1, 20),
    "yaw 20": turned(2, 20),
    "shift 40 mm": shifted(40),
    "stored PIR": stored("PIR"),
    "stored SRA": stored("SRA"),
    "cut below the brain": cropped(below_brain),
    "nose outside": cropped(without_nose),
    "tight on the brain": cropped(tight),
    "3 mm voxels": resampled((3.0, 3.0, 3.0)),
    "noise 15 %": noisy(0.15),
    "inverted": inverted,
    "strong shading": shaded,
    "affine lost": without_affine,
    "gradient warp": gradient_warped,
    "wrap-around": wrapped,
    "7 T shading": shaded_as_at_7_tesla,
    "child's size": scaled(0.82),
}
