"""Carries the cut of one volume to another on the same grid: later echoes, phase, maps.

A volume of magnitudes is judged by gates of its own; of phase nothing can be judged, as it has no
outline, so it gets the cut of its magnitude or is not handed on at all. Not here: which volumes
belong together (``dicom_stacks``, ``selection``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from containers.deface import cut as cuts
from containers.deface import gates, renders
from containers.deface.grids import reduced
from containers.deface.head import Head, find_tissue
from containers.deface.images import HeadImage, in_file_order
from containers.deface.looks import compared, look_after, look_before
from containers.deface.pipeline import Outcome, Settings, Tools
from containers.deface.template import Field


@dataclass(frozen=True, slots=True)
class Carried:
    """A cut on a volume that had none of its own.

    Parameters
    ----------
    removed : ndarray, bool
        In the order of the file's voxels.
    """

    outcome: Outcome
    removed: NDArray[np.bool_]


def mask_of(outcome: Outcome) -> NDArray[np.bool_]:
    """Return what was removed from an image that passed, in the order of its file."""
    if outcome.mask is None:
        raise ValueError("an image that did not pass has no mask")
    return np.asarray(nib.Nifti1Image.from_bytes(outcome.mask).dataobj).astype(bool)


def carry_to_magnitude(
    image: HeadImage, first: Outcome, tools: Tools, settings: Settings
) -> Carried | None:
    """Return the first volume's cut on another one of its grid, judged on the other's own outline.

    Where its own outline shows more to remove (a copy of the face beside the head), that goes too.

    Returns
    -------
    Carried or None
        None where the first volume cannot say where the face is in this one's voxels, as it was
        handed on unchanged or unfolded.
    """
    if first.reference is None or first.reference.is_unfolded or not first.has_face:
        return None
    head = _seen_as(image.volume, first.reference.head)
    matrix = first.reference.fit.matrix
    cut = cuts.plan_cut(head, tools.template, matrix, keep_nasion=settings.keep_nasion)
    judged = gates.judge_cut(head, tools.template, cut, matrix, settings.limits)
    removed = in_file_order(cuts.full_size(cut, head), image) | mask_of(first)
    before = look_before(head.volume, head.grid)
    after = look_after(head.volume, head.grid, cut.coarse, before.level)
    sightings = compared(before, after)
    outcome = Outcome(
        gates=(*judged, *gates.judge_sightings(sightings, has_face=True)),
        fits=first.fits,
        chosen=f"{first.chosen}, of the first volume",
        has_face=True,
        removed=float(removed.mean()),
        result=None,
        mask=None,
        reference=None,
        before=before.files,
        after=after.files,
        slices=renders.draw_slices(head.volume, cut.coarse, head.grid),
        sightings=sightings,
    )
    return Carried(outcome, removed)


def cut_of_phase(
    cut: Sequence[NDArray[np.bool_]], empty: Sequence[NDArray[np.bool_]]
) -> NDArray[np.bool_]:
    """Return what goes of a phase image: all its magnitudes' cuts, and what all of them lack.

    The phase of nothing has no meaning; and where a face was taken out of the magnitudes before,
    with no cut left to carry, the phase may still have it.

    Parameters
    ----------
    cut, empty : sequence of ndarray of bool
        Of each magnitude on the grid: what was removed, and which voxels hold the fill value.
    """
    return np.asarray(np.logical_or.reduce(cut) | np.logical_and.reduce(empty))


def outcome_of_phase(removed: NDArray[np.bool_]) -> Outcome:
    """Return what became of a phase image; no picture, as phase has no surface.

    There is no gate yet: the caller adds those on the bytes it writes.
    """
    return Outcome(
        gates=(),
        fits=(),
        chosen="the cut of the magnitude",
        has_face=bool(removed.any()),
        removed=float(removed.mean()),
        result=None,
        mask=None,
        reference=None,
        before=(),
        after=(),
        slices=None,
    )


def _seen_as(volume: Field, reference: Head) -> Head:
    """Return a volume as a head on the same coarse grid, with the same brain."""
    x, y, z = (
        round(coarse / fine)
        for coarse, fine in zip(
            reference.grid.spacing_mm, reference.full_grid.spacing_mm, strict=True
        )
    )
    coarse, _ = reduced(volume, reference.full_grid, (x, y, z))
    return replace(reference, volume=coarse, tissue=find_tissue(coarse))
