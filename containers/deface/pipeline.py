"""Defaces one image in memory and judges the result; gives bytes only if every gate is passed.

Not here: folders and reports (``step``), pages (``page``).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from containers.deface import cut as cuts
from containers.deface import gates, registration, renders
from containers.deface.face_detector import Sightings
from containers.deface.gates import Gate, Limits
from containers.deface.grids import Matrix
from containers.deface.head import Head, coarse_copy, see_coarse_head, see_head_turned_to_t1
from containers.deface.images import HeadImage, in_file_order, mask_file, with_cut
from containers.deface.looks import Look, compared, look_after, look_before
from containers.deface.registration import Fit, Reference
from containers.deface.template import Template
from containers.deface.unfolding import Unfolding, unfold
from containers.deface.whole_head import fit_by_whole_head
from qc.brain_mask import BrainMaskNetwork

_FAST_DICE = 0.93
"""Of the first fit; above it, fast mode does without the second."""
_THREADS = (1, 1, 2)
"""For looks, of which one is taken at a time; for a second fit; for the starts of fits."""
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


@dataclass(frozen=True, slots=True)
class _Work:
    """An image with the look before, and the threads for what need not wait for each other."""

    image: HeadImage
    tools: Tools
    before: Future[Look]
    looks: ThreadPoolExecutor
    fits: ThreadPoolExecutor
    starts: ThreadPoolExecutor
    unfolding: Unfolding | None = None


def deface(
    image: HeadImage, tools: Tools, settings: Settings, reference: Reference | None = None
) -> Outcome:
    """Deface an image.

    Parameters
    ----------
    reference : Reference, optional
        An image of the same session that passed; one more way to fit.
    """
    with ExitStack() as pools:
        looks, fits, starts = (
            pools.enter_context(ThreadPoolExecutor(threads)) for threads in _THREADS
        )
        coarse, grid, full = coarse_copy(image.shape, image.voxel_mm, image.layers)
        before = looks.submit(look_before, coarse, grid)
        work = _Work(image, tools, before, looks, fits, starts)
        head = see_coarse_head(coarse, grid, full, tools.network)
        return _best_attempt(work, head, settings, reference)


def _best_attempt(
    work: _Work, head: Head, settings: Settings, reference: Reference | None
) -> Outcome:
    template, network = work.tools.template, work.tools.network
    if reference is not None:
        to_world = _to_world(work.image)
        fit, head = registration.fit_by_reference(head, to_world, template, reference)
        return _attempt(work, head, [fit], settings)
    outcome = _attempt(work, head, [], settings)
    if not outcome.failed or gates.has_second_brain(head):
        return outcome
    # The contrast may be another than the network's; every gate is asked again, and two fits
    # must agree now.
    stricter = replace(settings, is_fast=False, limits=replace(settings.limits, needs_second=True))
    again = _attempt(work, see_head_turned_to_t1(head, network), [], stricter)
    if not again.failed:
        return again
    unfolded = _attempt_unfolded(work, head, outcome, stricter)
    return outcome if unfolded is None or unfolded.failed else unfolded


def _attempt_unfolded(
    work: _Work, head: Head, plain: Outcome, settings: Settings
) -> Outcome | None:
    """Deface an image whose face goes on behind its opposite edge; None if that is not it."""
    if not gates.may_be_folded(plain.failed):
        return None
    image, tools = work.image, work.tools
    fit = next(each for each in plain.fits if each.name == plain.chosen)
    cut = cuts.plan_cut(head, tools.template, fit.matrix, keep_nasion=settings.keep_nasion)
    unfolding = unfold(head, cut)
    coarse, grid, full = coarse_copy(
        image.shape, image.voxel_mm, lambda heights: unfolding.turned(image.layers(heights))
    )
    before = work.looks.submit(look_before, coarse, grid)
    seen = see_coarse_head(coarse, grid, full, tools.network)
    return _attempt(replace(work, before=before, unfolding=unfolding), seen, [], settings)


def _to_world(image: HeadImage) -> Matrix:
    return np.asarray(image.affine_ras @ np.diag([*(1 / np.array(image.voxel_mm)), 1.0]))


def _attempt(work: _Work, head: Head, fits: list[Fit], settings: Settings) -> Outcome:
    tools = work.tools
    judged = gates.judge_head(head)
    if not all(each.is_passed for each in judged):
        return _refused(work, head, judged, fits)
    if head.is_brain_lent:
        # Fits by a lent brain bear nothing out: the one of the whole head must agree.
        settings = replace(
            settings, is_fast=False, limits=replace(settings.limits, needs_second=True)
        )
        fits += _listed(fit_by_whole_head(head, tools.template, work.starts.map))
    else:
        fits += _own_fits(work, head, settings)
    if not settings.is_fast and not gates.is_borne_out(fits, settings.limits):
        # A third way, costly: only where the others leave a doubt.
        fits += _listed(registration.fit_by_niimath(head, tools.template, tools.scratch_dir))
    best, other = gates.choose(fits, settings.limits)
    if best is None:
        judged.append(_no_fit(fits, settings.limits))
        return _refused(work, head, judged, fits)
    cut = cuts.plan_cut(head, tools.template, best.matrix, keep_nasion=settings.keep_nasion)
    planned = [cut]
    if other:
        planned.append(
            cuts.plan_cut(head, tools.template, other.matrix, keep_nasion=settings.keep_nasion)
        )
    if work.unfolding is not None:
        cut = work.unfolding.joined(cut, head)
        # What is unfolded has a face by the fit before, whatever this one says.
        planned.append(cut)
    has_face = gates.has_face(head, planned)
    gone = cut.coarse & has_face
    after = work.looks.submit(look_after, head.volume, head.grid, gone, work.before.result().level)
    judged += gates.judge_fit(head, tools.template, best, other, settings.limits)
    if has_face:
        judge = (other or best).matrix
        judged += gates.judge_cut(head, tools.template, cut, judge, settings.limits)
    found = _Found(head, tuple(judged), tuple(fits), best, cut, after, has_face=has_face)
    return _finished(work, found)


@dataclass(frozen=True, slots=True)
class _Found:
    head: Head
    judged: tuple[Gate, ...]
    fits: tuple[Fit, ...]
    best: Fit
    cut: cuts.Cut
    after: Future[Look]
    has_face: bool


def _finished(work: _Work, found: _Found) -> Outcome:
    image, head = work.image, found.head
    full, to_world, used = cuts.full_size(found.cut, head), _to_world(image), found.best.name
    if work.unfolding is not None:
        full = work.unfolding.back(full)
        to_world, used = to_world @ work.unfolding.moved(image), f"{used}, unfolded"
    if not found.has_face:
        full[:] = False
    removed = in_file_order(full, image)
    result = with_cut(image, removed)
    bytes_gate = _bytes_gate(image, result, removed)
    slices = renders.draw_slices(head.volume, found.cut.coarse & found.has_face, head.grid)
    before, after = work.before.result(), found.after.result()
    sightings = compared(before, after)
    judged = (
        *found.judged,
        *gates.judge_sightings(sightings, has_face=found.has_face),
        bytes_gate,
    )
    is_safe = all(each.is_passed for each in judged)
    reference = Reference(head, found.best, to_world, is_unfolded=work.unfolding is not None)
    return Outcome(
        gates=judged,
        fits=found.fits,
        chosen=used,
        has_face=found.has_face,
        removed=float(full.mean()),
        result=result if is_safe else None,
        mask=mask_file(image, removed) if is_safe else None,
        reference=reference if is_safe else None,
        before=before.files,
        after=after.files,
        slices=slices,
        sightings=sightings,
    )


def _refused(work: _Work, head: Head, judged: Sequence[Gate], fits: Sequence[Fit]) -> Outcome:
    return Outcome(
        gates=tuple(judged),
        fits=tuple(fits),
        chosen="",
        has_face=True,
        removed=0.0,
        result=None,
        mask=None,
        reference=None,
        before=work.before.result().files,
        after=(),
        slices=renders.draw_slices(head.volume, head.brain, head.grid),
    )


def _own_fits(work: _Work, head: Head, settings: Settings) -> list[Fit]:
    """Fit by the brain and, at the same time, by the whole head."""
    template, spread = work.tools.template, work.starts.map

    def begun() -> Future[Fit | None]:
        return work.fits.submit(fit_by_whole_head, head, template, spread)

    second = None if settings.is_fast else begun()
    first = registration.fit_by_brain(head, template, spread)
    if settings.is_fast and first.dice < _FAST_DICE:
        second = begun()
    return [first, *_listed(second.result() if second else None)]


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
    # Voxels as whole numbers: those of floats that are no numbers would differ from themselves.
    voxels = [each[first:last].view(f"u{size}") for each in (before, after)]
    kept = ~removed.ravel(order="F")
    for start in range(0, kept.size, _COMPARED_AT_ONCE):
        part = slice(start, start + _COMPARED_AT_ONCE)
        differs = (voxels[0][part] != voxels[1][part]) & kept[part]
        if differs.any():
            pair = [each[part][differs].view(np.uint8) for each in voxels]
            wrong += int(np.count_nonzero(pair[0] != pair[1]))
    return Gate(
        "bytes changed outside the cut",
        float(wrong),
        "0",
        wrong == 0,
        "more than the face was changed",
    )
