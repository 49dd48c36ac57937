"""Defaces one image in memory and judges the result; gives bytes only if every gate is passed.

Not here: folders and reports (``step``), pages (``page``).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from containers.deface import cut as cuts
from containers.deface import gates, registration, renders
from containers.deface.face_detector import Sightings, load_detector
from containers.deface.gates import Gate, Limits
from containers.deface.grids import Matrix
from containers.deface.head import Head, see_head, see_head_turned_to_t1
from containers.deface.images import HeadImage, in_file_order, mask_file, with_cut
from containers.deface.registration import Fit, Reference
from containers.deface.template import Template
from containers.deface.whole_head import fit_by_whole_head
from qc.brain_mask import BrainMaskNetwork

_FAST_DICE = 0.93
"""Of the first fit; above it, fast mode does without the second."""
_COMPARED_AT_ONCE = 1 << 20
"""Voxels whose bytes are compared, so that the comparison needs little memory."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to deface."""

    limits: Limits
    keep_nasion: bool = False
    is_fast: bool = False


@dataclass(frozen=True, slots=True)
class Tools:
    """What all images of a run share."""

    template: Template
    network: BrainMaskNetwork
    scratch_dir: Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one image.

    Parameters
    ----------
    result, mask : bytes or None
        Whole files, unpacked; None where a gate was not passed.
    has_face : bool
        False where there was nothing to cut; the result then equals the input.
    reference : Reference or None
        For other images of the session, where this one passed.
    before, after : tuple of bytes
        Pictures (PNG) from outside; both show a face where something went wrong.
    sightings : Sightings or None
        What a face detector saw; None where it did not look, as nothing was cut.
    """

    gates: tuple[Gate, ...]
    fits: tuple[Fit, ...]
    chosen: str
    has_face: bool
    removed: float
    result: bytes | None
    mask: bytes | None
    reference: Reference | None
    before: tuple[bytes, ...]
    after: tuple[bytes, ...]
    slices: bytes | None
    sightings: Sightings | None = None

    @property
    def failed(self) -> tuple[Gate, ...]:
        """Return the gates that were not passed."""
        return tuple(each for each in self.gates if not each.is_passed)


def deface(
    image: HeadImage, tools: Tools, settings: Settings, reference: Reference | None = None
) -> Outcome:
    """Deface an image.

    Parameters
    ----------
    reference : Reference, optional
        An image of the same session that passed; one more way to fit.
    """
    head = see_head(image.volume, image.voxel_mm, tools.network)
    if reference is not None:
        to_world = _to_world(image)
        fit, head = registration.fit_by_reference(head, to_world, tools.template, reference)
        return _attempt(image, head, [fit], tools, settings)
    outcome = _attempt(image, head, [], tools, settings)
    if not outcome.failed or gates.has_second_brain(head):
        return outcome
    # The contrast may be another than the network's; every gate is asked again, and two fits
    # must agree now.
    stricter = replace(settings, is_fast=False, limits=replace(settings.limits, needs_second=True))
    again = _attempt(image, see_head_turned_to_t1(head, tools.network), [], tools, stricter)
    return outcome if again.failed else again


def _to_world(image: HeadImage) -> Matrix:
    return np.asarray(image.affine_ras @ np.diag([*(1 / np.array(image.voxel_mm)), 1.0]))


def _attempt(
    image: HeadImage, head: Head, fits: list[Fit], tools: Tools, settings: Settings
) -> Outcome:
    judged = gates.judge_head(head)
    if not all(each.is_passed for each in judged):
        return _refused(head, judged, fits)
    if head.is_brain_lent:
        # Fits by a lent brain bear nothing out: the one of the whole head must agree.
        settings = replace(
            settings, is_fast=False, limits=replace(settings.limits, needs_second=True)
        )
        fits += _listed(fit_by_whole_head(head, tools.template))
    else:
        fits += _own_fits(head, tools, settings)
    if not settings.is_fast and not gates.is_borne_out(fits, settings.limits):
        # A third way, costly: only where the others leave a doubt.
        fits += _listed(registration.fit_by_niimath(head, tools.template, tools.scratch_dir))
    best, other = gates.choose(fits, settings.limits)
    if best is None:
        judged.append(_no_fit(fits, settings.limits))
        return _refused(head, judged, fits)
    judged += gates.judge_fit(head, tools.template, best, other, settings.limits)
    cut = cuts.plan_cut(head, tools.template, best.matrix, keep_nasion=settings.keep_nasion)
    planned = [cut]
    if other:
        planned.append(
            cuts.plan_cut(head, tools.template, other.matrix, keep_nasion=settings.keep_nasion)
        )
    has_face = gates.has_face(head, planned)
    if has_face:
        judge = (other or best).matrix
        judged += gates.judge_cut(head, tools.template, cut, judge, settings.limits)
    found = _Found(head, tuple(judged), tuple(fits), best, cut, has_face=has_face)
    return _finished(image, found, Reference(head, best, _to_world(image)))


@dataclass(frozen=True, slots=True)
class _Found:
    head: Head
    judged: tuple[Gate, ...]
    fits: tuple[Fit, ...]
    best: Fit
    cut: cuts.Cut
    has_face: bool


def _finished(image: HeadImage, found: _Found, reference: Reference) -> Outcome:
    head, judged = found.head, found.judged
    full = cuts.full_size(found.cut, head)
    if not found.has_face:
        full[:] = False
    removed = in_file_order(full, image)
    result = with_cut(image, removed)
    after = np.where(found.cut.coarse & found.has_face, 0, head.volume).astype(np.float32)
    level = renders.surface_level(head.volume)
    seen_before, seen_after = (
        renders.Surface(each, head.grid, level) for each in (head.volume, after)
    )
    sightings = load_detector().look(seen_before, seen_after)
    judged = (
        *judged,
        *gates.judge_sightings(sightings, has_face=found.has_face),
        _bytes_gate(image, result, removed),
    )
    is_safe = all(each.is_passed for each in judged)
    return Outcome(
        gates=judged,
        fits=found.fits,
        chosen=found.best.name,
        has_face=found.has_face,
        removed=float(full.mean()),
        result=result if is_safe else None,
        mask=mask_file(image, removed) if is_safe else None,
        reference=reference if is_safe else None,
        before=tuple(seen_before.files()),
        after=tuple(seen_after.files()),
        slices=renders.draw_slices(head.volume, found.cut.coarse & found.has_face, head.grid),
        sightings=sightings,
    )


def _refused(head: Head, judged: Sequence[Gate], fits: Sequence[Fit]) -> Outcome:
    return Outcome(
        gates=tuple(judged),
        fits=tuple(fits),
        chosen="",
        has_face=True,
        removed=0.0,
        result=None,
        mask=None,
        reference=None,
        before=tuple(renders.draw_views(head.volume, head.grid)),
        after=(),
        slices=renders.draw_slices(head.volume, head.brain, head.grid),
    )


def _own_fits(head: Head, tools: Tools, settings: Settings) -> list[Fit]:
    """Fit by the brain and, at the same time, by the whole head."""
    with ThreadPoolExecutor(1) as beside:
        second = None if settings.is_fast else beside.submit(_whole_fit, head, tools)
        first = registration.fit_by_brain(head, tools.template)
        if settings.is_fast and first.dice < _FAST_DICE:
            second = beside.submit(_whole_fit, head, tools)
        return [first, *_listed(second.result() if second else None)]


def _whole_fit(head: Head, tools: Tools) -> Fit | None:
    return fit_by_whole_head(head, tools.template)


def _listed(fit: Fit | None) -> list[Fit]:
    return [fit] if fit else []


def _no_fit(fits: Sequence[Fit], limits: Limits) -> Gate:
    best = max((fit.dice for fit in fits if gates.is_plausible(fit)), default=0.0)
    return Gate(
        "overlap of brains (Dice)",
        best,
        f"at least {limits.least_dice}",
        is_passed=False,
        reason="no fit of the average head covers the brain well enough",
    )


def _bytes_gate(image: HeadImage, result: bytes, removed: NDArray[np.bool_]) -> Gate:
    """Count bytes that differ outside the cut, comparing whole files and not what was planned."""
    before = np.frombuffer(image.content, np.uint8)
    after = np.frombuffer(result, np.uint8)
    if before.size != after.size:
        return Gate(
            "bytes changed outside the cut",
            float("inf"),
            "0",
            is_passed=False,
            reason="the size of the file changed",
        )
    first, size = image.offset, image.stored.dtype.itemsize
    last = first + image.stored.size * size
    wrong = sum(
        int(np.count_nonzero(before[part] != after[part]))
        for part in (slice(first), slice(last, None))
    )
    kept = ~removed.ravel(order="F")
    for start in range(0, kept.size, _COMPARED_AT_ONCE):
        end = min(start + _COMPARED_AT_ONCE, kept.size)
        part = slice(first + start * size, first + end * size)
        differs = (before[part] != after[part]).reshape(-1, size)
        wrong += int(np.count_nonzero(differs[kept[start:end]]))
    return Gate(
        "bytes changed outside the cut",
        float(wrong),
        "0",
        wrong == 0,
        "more than the face was changed",
    )
