"""Measures one image: from files to record, pictures and page.

Not here: which images there are (``find``), where results go (``step``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from commands.version import distribution_version
from containers.winqc.find import Found, sibling
from containers.winqc.memory import check_memory
from qc import anatomical, diffusion, functional
from qc.functional import Measured
from qc.images import Image, Mask, load_image, read_extent
from qc.record import Source, make_record
from qc.report.carpet import draw_carpet
from qc.report.mosaic import draw_mosaic, draw_thumbnail
from qc.report.page import make_page

BrainFinder = Callable[[Image], "Mask | str"]
"""Gives the brain of a T1w or T2w image, or the reason why there is none."""

_MOST_BYTES = 1 << 20
_LONGEST_S = 100.0
_SAME_TIME = 1e-2
_ABOUT_SLICES = (
    "The outline is that of the mask in which most is measured: the brain, or all that has signal. "
    "In the last row a tenth of the signal is white, to show ghosts and noise in the air. The "
    "patient's left is on the left."
)
_ABOUT_CARPET = (
    "Above: motion from volume to volume, change of the signal from volume to volume (DVARS), and "
    "the slice and the point of k-space that stand out most; dashed: from where they are counted. "
    "Below: each row is a place in the mask, its edge on top and its centre at the bottom; darker "
    "and brighter than its own mean, with a slow drift taken out."
)
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


def measure_file(
    found: Found, *, defaced: bool | None, brain_of: BrainFinder, memory_gb: float
) -> Result:
    """Measure one image that was found.

    Parameters
    ----------
    memory_gb : float
        What may be used, in gigabytes (10^9 bytes).

    Raises
    ------
    UnreadableImageError
        The file is no image that can be measured, or one that needs more memory.
    """
    modality = found.modality or ""
    check_memory(modality, read_extent(found.path), memory_gb)
    image = load_image(found.path)
    sidecar, note = read_sidecar(sibling(found.path, ".json"))
    if modality == "bold":
        image = _with_repetition(image, sidecar)
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
        pictures["thumbnail.png"] = draw_thumbnail(measured.mean, measured.mask, image.voxel_mm)
        shown.append(("Slices", _ABOUT_SLICES, mosaic))
    frames = image.data.shape[3] if image.data.ndim == 4 else 1  # noqa: PLR2004 - time
    carpet = draw_carpet(measured, frames)
    if carpet is not None:
        pictures["carpet.png"] = carpet
        shown.append(("Over time", _ABOUT_CARPET, carpet))
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
        b_values, reason = _numbers(sibling(path, ".bval"), "b-values (.bval)")
        table, none = _numbers(sibling(path, ".bvec"), "directions (.bvec)")
        flat = None if b_values is None else b_values.ravel()
        measured = diffusion.measure_diffusion(image, flat, _directions(table), reason)
        measured.notes += [none] if none else []
        return measured
    if image.data.ndim == 4:  # noqa: PLR2004 - time
        brain: Mask | str = "Brains are found in single volumes only."
    else:
        brain = brain_of(image)
    is_t1w = modality == "T1w"
    if not isinstance(brain, str):
        return anatomical.measure_anatomical(image, brain, is_t1w=is_t1w)
    measured = anatomical.measure_anatomical(image, None, is_t1w=is_t1w, no_brain=brain)
    measured.notes.append(f"Measures of tissues have no value. {brain}")
    return measured


def _with_repetition(image: Image, sidecar: Mapping[str, object]) -> Image:
    """Return a run with the sidecar's time between volumes where the header has none."""
    told = sidecar.get("RepetitionTime")
    if isinstance(told, bool) or not isinstance(told, int | float) or not 0 < told <= _LONGEST_S:
        return image
    if image.repetition_s is None:
        note = "The time between volumes is the sidecar's: the header has none that can be."
        return replace(image, repetition_s=float(told), notes=(*image.notes, note))
    if not np.isclose(told, image.repetition_s, rtol=_SAME_TIME):
        note = "Header and sidecar differ in the time between volumes; the header's is given."
        return replace(image, notes=(*image.notes, note))
    return image


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


def _numbers(path: Path, what: str) -> tuple[NDArray[np.float64] | None, str]:
    """Return the numbers of a table of rows, or None and a sentence that says why."""
    if not path.is_file():
        return None, f"There is no file of {what} beside the image."
    refused = f"The file of {what} cannot be read as a table of numbers."
    if path.stat().st_size > _MOST_BYTES:
        return None, refused
    try:
        rows = [
            [float(word) for word in line.replace(",", " ").split()]
            for line in path.read_text(encoding="utf-8-sig").splitlines()
            if line.strip()
        ]
        table = np.array(rows, dtype=np.float64)
    except ValueError:
        return None, refused
    if not table.size or table.ndim != 2 or not np.isfinite(table).all():  # noqa: PLR2004 - rows and columns
        return None, refused
    return table, ""


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
