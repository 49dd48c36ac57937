"""Judges a fit and a cut: every gate is a figure, a limit and a verdict; one failure withholds.

The figures come from elsewhere than what they judge: the skin from the outline of the image, the
place of the face and the brain to spare from the other fit. Not here: what follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from containers.deface.cut import Cut
from containers.deface.face_detector import VIEWS_DEG, Sightings
from containers.deface.grids import Matrix, carry, inverse, is_within, signed_distance
from containers.deface.head import Head, outline
from containers.deface.registration import Fit, information, turned
from containers.deface.template import Template

LEAST_INFORMATION_RATIO = 1.15
RECEDED_MM = 3.0
BRAIN_ML = (350.0, 2200.0)
MOST_SECOND_BRAIN = 0.10
MOST_STRAY_ML = 60.0
MOST_FOLDED_MM2 = 100.0
"""A section through the tip of a nose; a nose that is folded whole has six times as much."""
_STRETCH = (0.6, 1.5)
_DEEP_MM = 4.0
_SURE_BRAIN_MM = 5.0
_FEWEST_POINTS = 40
_EDGE_MM = 4.0
_FOLD_FROM_BRAIN_MM = 20.0
_STRAY_NAME = "tissue outside the head (ml)"
_FOLDED_NAME = "head that goes on at the opposite edge (mm2)"
_NO_FACE_ML = 4.0
"""Less than half a nose."""

_LANDMARKS_MM = (
    (88.0, 235.0, 57.0),
    (88.0, 210.0, 20.0),
    (60.0, 215.0, 95.0),
    (116.0, 215.0, 95.0),
    (10.0, 105.0, 80.0),
    (166.0, 105.0, 80.0),
)
"""Nose, chin, eyes and ears of the template."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a fit and a cut must reach.

    Parameters
    ----------
    least_dice, least_dice_alone : float
        Overlap of brains: of any fit that is used, and of one that no second fit bears out.
    needs_second : bool
        Whether a second fit must bear the first out.
    most_distance_mm : float
        Between two fits, mean over nose, chin, eyes and ears.
    most_protected : float
        Share of the face that may stay because the brain is near.
    least_receded : float
        Share of the face's skin that must go.
    """

    least_dice: float = 0.85
    least_dice_alone: float = 0.93
    needs_second: bool = False
    most_distance_mm: float = 15.0
    most_protected: float = 0.01
    least_receded: float = 0.97


NORMAL = Limits()
STRICT = Limits(
    0.90, 0.90, needs_second=True, most_distance_mm=10.0, most_protected=0.005, least_receded=0.98
)


@dataclass(frozen=True, slots=True)
class Gate:
    """One figure with its limit.

    Parameters
    ----------
    name : str
    value : float
    limit : str
        In words, such as "at least 0.85".
    is_passed : bool
    reason : str
        A sentence for people where it is not passed.
    """

    name: str
    value: float
    limit: str
    is_passed: bool
    reason: str


def judge_head(head: Head) -> list[Gate]:
    """Judge whether there is one head with a brain in the image."""
    low, high = BRAIN_ML
    return [
        Gate(
            "brain volume (ml)",
            head.brain_ml,
            f"{low:.0f} to {high:.0f}",
            low <= head.brain_ml <= high,
            "no brain of a plausible size was found, so nothing says where the face is",
        ),
        Gate(
            "second brain",
            head.brain_rest_ml / head.brain_ml if head.brain_ml else 1.0,
            f"at most {MOST_SECOND_BRAIN}",
            not has_second_brain(head),
            "there may be a second head in the image",
        ),
    ]


def has_second_brain(head: Head) -> bool:
    """Return whether the network saw another brain beside the largest."""
    return head.brain_rest_ml > MOST_SECOND_BRAIN * head.brain_ml


def is_plausible(fit: Fit) -> bool:
    """Return whether a fit neither mirrors nor stretches a head beyond those of people."""
    stretch = np.linalg.svd(fit.matrix[:3, :3], compute_uv=False)
    is_mirrored = np.linalg.det(fit.matrix[:3, :3]) <= 0
    return not is_mirrored and _STRETCH[0] <= stretch.min() and stretch.max() <= _STRETCH[1]


def choose(fits: Sequence[Fit], limits: Limits) -> tuple[Fit | None, Fit | None]:
    """Return the best fit and, of the others that are good enough, the one nearest to it."""
    usable = sorted(
        (fit for fit in fits if is_plausible(fit) and fit.dice >= limits.least_dice),
        key=lambda fit: -fit.dice,
    )
    if not usable:
        return None, None
    best = usable[0]
    others = sorted(usable[1:], key=lambda fit: _distance_mm(best.matrix, fit.matrix))
    return best, others[0] if others else None


def is_borne_out(fits: Sequence[Fit], limits: Limits) -> bool:
    """Return whether two fits agree, so that a further one would tell nothing new."""
    best, other = choose(fits, limits)
    if best is None or other is None:
        return False
    return _distance_mm(best.matrix, other.matrix) <= limits.most_distance_mm


def judge_fit(
    head: Head, template: Template, best: Fit, other: Fit | None, limits: Limits
) -> list[Gate]:
    """Judge the overlap of brains, the agreement of fits and the way round."""
    limit = limits.least_dice if other else limits.least_dice_alone
    gates = [
        Gate(
            "overlap of brains (Dice)",
            best.dice,
            f"at least {limit}",
            best.dice >= limit,
            "no fit of the average head covers the brain well enough",
        )
    ]
    if other:
        apart = _distance_mm(best.matrix, other.matrix)
        gates.append(
            Gate(
                "distance of the two fits at the face (mm)",
                apart,
                f"at most {limits.most_distance_mm:.0f}",
                apart <= limits.most_distance_mm,
                "the two fits place the face differently",
            )
        )
    if limits.needs_second:
        gates.append(
            Gate(
                "fits that agree",
                2.0 if other else 1.0,
                "2",
                other is not None,
                "no second fit bears out the first",
            )
        )
    straight = information(head, template, best.matrix)
    wrong = max(information(head, template, each) for each in turned(template, best.matrix))
    ratio = straight / wrong if wrong > 0 else 0.0
    gates.append(
        Gate(
            "likeness against the head turned round (ratio)",
            ratio,
            f"at least {LEAST_INFORMATION_RATIO}",
            ratio >= LEAST_INFORMATION_RATIO,
            "the head may lie the other way round than the header says",
        )
    )
    return gates


def judge_cut(
    head: Head, template: Template, cut: Cut, judge: Matrix, limits: Limits
) -> list[Gate]:
    """Judge a cut by a fit, the other one where there is one."""
    stray_ml = float(cut.stray.sum()) * head.voxel_ml
    gates = [
        Gate(
            "face kept because the brain is near (share)",
            cut.protected,
            f"at most {limits.most_protected}",
            cut.protected <= limits.most_protected,
            "brain was found where the face should be, so one of the two is wrong",
        ),
        Gate(
            _STRAY_NAME,
            stray_ml,
            f"at most {MOST_STRAY_ML:.0f}",
            stray_ml <= MOST_STRAY_ML,
            "there is more in the image than one head",
        ),
        _fold_gate(head, cut),
        _brain_gate(head, template, cut, judge),
    ]
    share, points = _receded(head, template, cut, judge)
    gates.append(
        Gate(
            "face skin gone by 3 mm or more (share)",
            share,
            f"at least {limits.least_receded}",
            share >= limits.least_receded and points >= _FEWEST_POINTS,
            "skin of the face would stay",
        )
    )
    return gates


def judge_sightings(sightings: Sightings, *, has_face: bool) -> list[Gate]:
    """Judge what a face detector sees of the result; no gate where it could not see the face.

    Without a face seen before, none seen after proves nothing, and nothing is said to be passed.
    """
    if not sightings.before and not sightings.after:
        return []
    seen = sightings.after if has_face else max(sightings.before, sightings.after)
    return [
        Gate(
            f"pictures of {len(VIEWS_DEG)} with a face for a detector that saw it before",
            float(seen),
            "0",
            seen == 0,
            "a face detector still finds a face",
        )
    ]


def may_be_folded(failed: Sequence[Gate]) -> bool:
    """Return whether nothing failed but what a folded image fails, too."""
    return bool(failed) and {each.name for each in failed} <= {_STRAY_NAME, _FOLDED_NAME}


def has_face(head: Head, cuts: Sequence[Cut]) -> bool:
    """Return whether any cut would take more than edges: tissue deep inside it.

    Without it the image was defaced before, was stripped of its skull, or ends above the face.
    """
    volumes = (
        float((head.tissue & (cut.depth_mm > _DEEP_MM)).sum()) * head.voxel_ml for cut in cuts
    )
    return max(volumes, default=0.0) > _NO_FACE_ML


def _distance_mm(first: Matrix, second: Matrix) -> float:
    points = np.array([[*each, 1.0] for each in _LANDMARKS_MM]).T
    return float(np.linalg.norm(((first - second) @ points)[:3], axis=0).mean())


def _brain_gate(head: Head, template: Template, cut: Cut, judge: Matrix) -> Gate:
    """Count cut voxels that lie well inside the average's brain, as the other fit has it."""
    inside = -signed_distance(template.brain, template.head_grid)
    sure = carry(inside.astype(np.float32), template.head_grid, head.grid, inverse(judge))
    lost = int((cut.coarse & ((sure > _SURE_BRAIN_MM) | head.brain)).sum())
    return Gate(
        "brain voxels cut",
        float(lost),
        "0",
        lost == 0,
        "brain would be lost",
    )


def _fold_gate(head: Head, cut: Cut) -> Gate:
    """Judge whether the face goes on behind the opposite edge of the image, where it would stay.

    Tissue that is cut off by one edge and goes on at the same place of the opposite one is folded
    (wrap-around). Where it lies in the air, it is stray and goes; close to the head it cannot be
    told from it. Looked for from front to back, and of the face from below to the top; not
    sideways, as many heads fill their image from ear to ear, nor near the brain, on which an image
    may end closely on all sides.
    """
    kept = head.tissue & ~cut.coarse
    kept &= head.from_brain_mm > _FOLD_FROM_BRAIN_MM
    own = head.tissue & ~cut.stray
    face = head.tissue & cut.shell
    folded = max(_shared_area_mm2(head, 1, kept, own), _shared_area_mm2(head, 2, face, kept))
    return Gate(
        _FOLDED_NAME,
        folded,
        f"at most {MOST_FOLDED_MM2:.0f}",
        folded <= MOST_FOLDED_MM2,
        "the head is folded over an edge of the image, and a part of the face with it",
    )


def _shared_area_mm2(
    head: Head, axis: int, first: NDArray[np.bool_], second: NDArray[np.bool_]
) -> float:
    """Return where ``first`` at an axis' beginning meets ``second`` at its end, in mm2."""
    planes = max(1, round(_EDGE_MM / head.grid.spacing_mm[axis]))
    begins = np.moveaxis(first, axis, 0)[:planes].any(axis=0)
    ends = np.moveaxis(second, axis, 0)[-planes:].any(axis=0)
    area = float(np.prod([step for at, step in enumerate(head.grid.spacing_mm) if at != axis]))
    return float((begins & ndimage.binary_dilation(ends)).sum()) * area


def _receded(head: Head, template: Template, cut: Cut, judge: Matrix) -> tuple[float, int]:
    """Return the share of the face's skin that goes, and of how many points of skin."""
    before = head.outline
    after = outline(head.tissue & ~cut.coarse, head.grid)
    skin = before & ~ndimage.binary_erosion(before)
    skin[_rim(skin.shape)] = False
    back = inverse(judge)
    face = carry(template.parts, template.field_grid, head.grid, back, outside=None) / 10
    points = skin & (face > _DEEP_MM)
    count = int(points.sum())
    if count == 0:
        return 1.0, 0
    # The largest number below: what is nearer than the limit stays.
    less_mm = float(np.nextafter(np.float32(RECEDED_MM), np.float32(0)))
    stays = is_within(after, head.grid, less_mm)[points]
    return float((~stays).mean()), count


def _rim(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rim = np.ones(shape, bool)
    rim[1:-1, 1:-1, 1:-1] = False
    return rim
