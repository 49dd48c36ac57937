"""Measures one image: from files to record, pictures and page.

Not here: which images there are (``find``), where results go (``step``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from commands.version import distribution_version
from containers.winqc.find import Found, sibling
from qc import anatomical, diffusion, functional
from qc.functional import Measured
from qc.images import Image, Mask, load_image
from qc.record import Source, make_record
from qc.report.carpet import draw_carpet
from qc.report.mosaic import draw_mosaic, draw_thumbnail
from qc.report.page import make_page

BrainFinder = Callable[[Image], "Mask | str"]
"""Gives the brain of a T1w or T2w image, or the reason why there is none."""

_MOST_BYTES = 1 << 20
_PIPELINES = MappingProxyType({
    "T1w": anatomical.PIPELINE,
    "T2w": anatomical.PIPELINE,
    "bold": functional.PIPELINE,
    "dwi": diffusion.PIPELINE,
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """What is written for one image: its record, PNG files by ending, its page, its thumbnail."""

    record: Mapping[str, object]
    pictures: Mapping[str, bytes]
    page: str
    thumbnail: bytes | None


def measure_file(found: Found, *, defaced: bool | None, brain_of: BrainFinder) -> Result:
    """Measure one image that was found.

    Raises
    ------
    UnreadableImageError
        The file is no image that can be measured.
    """
    modality = found.modality or ""
    image = load_image(found.path)
    sidecar, note = read_sidecar(sibling(found.path, ".json"))
    measured = _measured(modality, image, found.path, brain_of)
    measured.notes += note
    record = make_record(
        image,
        Source(modality, sidecar, defaced),
        measured,
        version=distribution_version(),
        pipeline=_pipeline(modality, measured),
    )
    pictures: dict[str, bytes] = {}
    shown = []
    if measured.mean is not None:
        mosaic = draw_mosaic(measured.mean, measured.mask, image.voxel_mm)
        pictures["mosaic.png"] = mosaic
        pictures["thumbnail.png"] = draw_thumbnail(measured.mean, image.voxel_mm)
        shown.append(
            ("Slices", "Slices in three directions with the mask's outline, and the air.", mosaic)
        )
    frames = image.data.shape[3] if image.data.ndim == 4 else 1  # noqa: PLR2004 - time
    carpet = draw_carpet(measured, frames)
    if carpet is not None:
        pictures["carpet.png"] = carpet
        shown.append(
            ("Over time", "Motion, DVARS and slices over time above all voxels as rows.", carpet)
        )
    page = make_page(found.name, record, shown)
    return Result(record, pictures, page, pictures.get("thumbnail.png"))


def _pipeline(modality: str, measured: Measured) -> str:
    if modality in ("T1w", "T2w") and "brain" not in measured.mask_sha256:
        return anatomical.HEAD_PIPELINE
    return _PIPELINES[modality]


def _measured(modality: str, image: Image, path: Path, brain_of: BrainFinder) -> Measured:
    if modality == "bold":
        return functional.measure_bold(image)
    if modality == "dwi":
        b_values = _numbers(sibling(path, ".bval"))
        directions = _directions(_numbers(sibling(path, ".bvec")))
        flat = None if b_values is None else b_values.ravel()
        return diffusion.measure_diffusion(image, flat, directions)
    if image.data.ndim == 4:  # noqa: PLR2004 - time
        reason: Mask | str = "Brains are found in single volumes only."
    else:
        reason = brain_of(image)
    is_t1w = modality == "T1w"
    if not isinstance(reason, str):
        return anatomical.measure_anatomical(image, reason, is_t1w=is_t1w)
    measured = anatomical.measure_anatomical(image, None, is_t1w=is_t1w)
    measured.notes.append(f"Measures of tissues have no value. {reason}")
    return measured


def read_sidecar(path: Path) -> tuple[Mapping[str, object], list[str]]:
    """Return the content of a JSON sidecar, and a sentence where there is none that can be read."""
    if not path.is_file():
        return {}, ["It has no JSON sidecar; the protocol's hash rests on the file alone."]
    try:
        if path.stat().st_size <= _MOST_BYTES:
            content = json.loads(path.read_bytes())
            if isinstance(content, dict):
                return content, []
    except (ValueError, RecursionError):
        pass
    return {}, ["Its JSON sidecar cannot be read; the protocol's hash rests on the file alone."]


def _numbers(path: Path) -> NDArray[np.float64] | None:
    """Return the numbers of a table of rows, or None where it is absent or none."""
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        return None
    try:
        rows = [
            [float(word) for word in line.replace(",", " ").split()]
            for line in path.read_text(encoding="ascii").splitlines()
            if line.strip()
        ]
        table = np.array(rows, dtype=np.float64)
    except ValueError:
        return None
    return table if table.size and table.ndim == 2 and np.isfinite(table).all() else None  # noqa: PLR2004 - rows and columns


def _directions(table: NDArray[np.float64] | None) -> NDArray[np.float64] | None:
    """Return unit vectors (T, 3) of a table that holds them as rows or as columns."""
    if table is None:
        return None
    if table.shape[0] == 3:  # noqa: PLR2004 - x, y, z
        table = table.T
    if table.shape[1] != 3:  # noqa: PLR2004 - x, y, z
        return None
    lengths = np.linalg.norm(table, axis=1, keepdims=True)
    return np.asarray(table / np.where(lengths > 0, lengths, 1.0))
