"""NIfTI files of several volumes, and of phase: read whole, cut in every volume, nothing else.

A file of several contrasts (echoes, inversions, flip angles) is defaced volume by volume, each
with gates of its own; phase gets the cut of the magnitude on its grid. Not here: files of one
volume of magnitudes (``images``).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from containers.contract import BadInputError
from containers.deface.carried import carry_to_magnitude, cut_of_phase, mask_of, outcome_of_phase
from containers.deface.gates import Gate
from containers.deface.images import (
    MOST_BYTES,
    check_nothing_beside,
    read_content,
    read_head_image,
    write_file,
)
from containers.deface.pipeline import Outcome, Settings, Tools, deface
from containers.deface.registration import Reference

MOST_VOLUMES = 32
_SAME_GRID_MM = 1e-3
_DIMENSIONS = 3


@dataclass(frozen=True, slots=True)
class Volumes:
    """A NIfTI file in memory.

    Parameters
    ----------
    content : bytes
        Of the whole file, unpacked.
    stored : ndarray, shape (X, Y, Z, volumes)
        Voxels as the file has them; read-only.
    affine : ndarray, shape (4, 4)
        As the header gives it, to world mm.
    fill : float
        The stored number that stands for 0.
    """

    content: bytes
    offset: int
    stored: NDArray[np.generic]
    affine: NDArray[np.float64]
    fill: float

    @property
    def count(self) -> int:
        """Return the number of volumes."""
        return int(self.stored.shape[_DIMENSIONS])

    def has_grid_of(self, other: Volumes) -> bool:
        """Return whether every voxel has the same place."""
        return self.stored.shape[:_DIMENSIONS] == other.stored.shape[:_DIMENSIONS] and bool(
            np.abs(self.affine - other.affine).max() < _SAME_GRID_MM
        )


def read_volumes(path: Path, shown: str) -> Volumes:
    """Read a file of one or more volumes.

    Raises
    ------
    BadInputError
        It is no whole NIfTI file of plain numbers.
    """
    try:
        image = _opened(path)
        proxy: Any = image.dataobj
        dtype: np.dtype[Any] = np.dtype(proxy.dtype)
        if int(np.prod(image.shape, dtype=np.int64)) * dtype.itemsize > MOST_BYTES:
            raise BadInputError(
                f"Cannot deface {shown}: unpacked it is larger than 4 GB, more than the step takes."
            )
        content = read_content(path)
        shape = (*image.shape, 1, 1, 1)[:4]
        if dtype.kind not in "iuf" or int(np.prod(image.shape)) != int(np.prod(shape)):
            raise BadInputError(f"Cannot deface {shown}: its voxels are no plain numbers in space.")
        stored = np.frombuffer(content, dtype, int(np.prod(shape)), int(proxy.offset))
        affine = np.asarray(image.affine, np.float64)
        check_nothing_beside(content, int(proxy.offset), stored, shown)
    except (
        nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError,
        AttributeError, OSError, EOFError, ValueError, zlib.error,
    ) as error:  # fmt: skip
        raise BadInputError(
            f"Cannot deface {shown}: it is no whole NIfTI file. Get it again."
        ) from error
    slope, intercept = float(proxy.slope), float(proxy.inter)
    zero = -intercept / slope if slope else 0.0
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        zero = min(max(round(zero), limits.min), limits.max)
    return Volumes(
        content, int(proxy.offset), stored.reshape(shape, order="F"), affine, float(zero)
    )


def _opened(path: Path) -> nib.Nifti1Image:
    image = nib.load(path)
    if not isinstance(image, nib.Nifti1Image):
        raise ValueError("no single NIfTI file")  # noqa: TRY004 - of the content, not of our call
    return image


def count_volumes(path: Path) -> int:
    """Return how many volumes a file's header names; 1 where it cannot be read."""
    try:
        return int(np.prod(_opened(path).shape[_DIMENSIONS:], dtype=np.int64))
    except (nib.filebasedimages.ImageFileError, nib.spatialimages.HeaderDataError, OSError,
            EOFError, ValueError, zlib.error):  # fmt: skip
        # `images` says what is wrong with it.
        return 1


def deface_volumes(
    found: Volumes, shown: str, tools: Tools, settings: Settings, reference: Reference | None
) -> Outcome:
    """Deface each volume, the first by itself and the others by its fit, each judged.

    Raises
    ------
    BadInputError
        A volume cannot be read as a head, or there are more than `MOST_VOLUMES`.
    """
    if found.count > MOST_VOLUMES:
        raise BadInputError(
            f"Cannot deface {shown}: it holds {found.count} volumes, and the step takes at most "
            f"{MOST_VOLUMES} in one file."
        )
    outcomes: list[Outcome] = []
    masks: list[NDArray[np.bool_]] = []
    for number in range(found.count):
        outcome, mask = _one(
            _single(found, number), tools, settings, reference, outcomes[0] if outcomes else None
        )
        outcomes.append(outcome)
        if outcome.failed or mask is None:
            break
        masks.append(mask)
    gates = _numbered(outcomes)
    if len(masks) < found.count:
        return replace(outcomes[-1], gates=gates, result=None, mask=None, reference=None)
    removed = np.stack(masks, axis=_DIMENSIONS)
    result, gate = _cut(found, removed)
    return replace(
        outcomes[0],
        gates=(*gates, gate),
        has_face=any(each.has_face for each in outcomes),
        removed=float(removed.mean()),
        result=result if gate.is_passed else None,
        mask=_mask_file(np.asarray(removed.any(axis=_DIMENSIONS)), found.affine),
    )


def deface_phase(found: Volumes, magnitudes: Sequence[tuple[Volumes, Outcome]]) -> Outcome | None:
    """Give a phase image, or a map, the cuts of all magnitudes on its grid.

    Returns
    -------
    Outcome or None
        None where there is no magnitude on its grid, or one that did not pass.
    """
    own = [each for each in magnitudes if each[0].has_grid_of(found)]
    if not own or any(outcome.result is None for _, outcome in own):
        return None
    removed = cut_of_phase(
        [mask_of(outcome) for _, outcome in own],
        [(volumes.stored == volumes.fill).all(axis=_DIMENSIONS) for volumes, _ in own],
    )
    every = np.repeat(removed[..., None], found.count, axis=_DIMENSIONS)
    result, gate = _cut(found, every)
    return replace(
        outcome_of_phase(removed),
        gates=(gate,),
        result=result if gate.is_passed else None,
        mask=_mask_file(removed, found.affine),
    )


def _one(
    content: bytes, tools: Tools, settings: Settings, reference: Reference | None,
    first: Outcome | None,
) -> tuple[Outcome, NDArray[np.bool_] | None]:  # fmt: skip
    scratch = tools.scratch_dir / "volume.nii"
    write_file(scratch, content)
    try:
        image = read_head_image(scratch, "a volume of the file")
    finally:
        scratch.unlink()
    carried = carry_to_magnitude(image, first, tools, settings) if first else None
    if carried is not None and not carried.outcome.failed:
        return carried.outcome, carried.removed
    outcome = deface(image, tools, settings, reference)
    return outcome, mask_of(outcome) if outcome.mask is not None else None


def _single(found: Volumes, number: int) -> bytes:
    """Return one volume as a file of its own, with the header but for the number of volumes."""
    kind = nib.Nifti2Header if found.content[:4] in {b"\x1c\2\0\0", b"\0\0\2\x1c"} else None
    header_class = kind or nib.Nifti1Header
    size = header_class.template_dtype.itemsize
    header = header_class(found.content[:size], check=False)
    dim = header["dim"].copy()
    dim[0], dim[4:] = _DIMENSIONS, 1
    header["dim"] = dim
    voxels = found.stored[..., number].tobytes(order="F")
    block: bytes = header.binaryblock
    return block + found.content[size : found.offset] + voxels


def _cut(found: Volumes, removed: NDArray[np.bool_]) -> tuple[bytes, Gate]:
    """Return the file with the fill in what is removed, and the gate on all of its bytes."""
    content = bytearray(found.content)
    view: NDArray[np.generic] = np.frombuffer(
        content, found.stored.dtype, found.stored.size, found.offset
    ).reshape(found.stored.shape, order="F")
    view[removed] = found.fill
    result = bytes(content)
    before, after = (np.frombuffer(each, np.uint8) for each in (found.content, result))
    voxels = (np.flatnonzero(before != after) - found.offset) // found.stored.dtype.itemsize
    inside = (voxels >= 0) & (voxels < found.stored.size)
    wrong = int((~inside).sum()) + int((~removed.ravel(order="F")[voxels[inside]]).sum())
    gate = Gate(
        "bytes changed outside the cut", float(wrong), "0", wrong == 0,
        "more than the face was changed",
    )  # fmt: skip
    return result, gate


def _numbered(outcomes: Sequence[Outcome]) -> tuple[Gate, ...]:
    return tuple(
        replace(gate, name=f"volume {number}: {gate.name}")
        for number, outcome in enumerate(outcomes, start=1)
        for gate in outcome.gates
    )


def _mask_file(mask: NDArray[np.bool_], affine: NDArray[np.float64]) -> bytes:
    return bytes(nib.Nifti1Image(mask.astype(np.uint8), affine).to_bytes())
