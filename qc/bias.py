"""Estimates the smooth shading of a structural image from its own tissues.

A polynomial of fourth degree in the logarithm of the intensity, fitted in turn with a mixture of
three tissues. Cheaper and stiffer than N4. Not here: N4.

References
----------
W. Wells et al., Adaptive segmentation of MRI data, IEEE Trans Med Imaging 15(4):429-442, 1996.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

from qc.images import Mask
from qc.measure import UndefinedMeasureError
from qc.tissues import Shares, classify, fit_mixture, posteriors

_DEGREE = 4
_ROUNDS = 25
_MOST_POINTS = 30_000
_STRONGEST = 4.0


def correct_bias(
    volume: NDArray[np.floating], brain: Mask, *, is_t1w: bool = True
) -> tuple[NDArray[np.float32], Shares]:
    """Return the shading of a volume and the tissues after its correction.

    Returns
    -------
    bias : ndarray of float32, shape of the volume
        Positive, median 1 in the brain; divide the volume by it. Outside the brain the polynomial
        is held between the least and the largest value within.
    shares : dict
        As `qc.tissues.classify` gives it.

    Raises
    ------
    UndefinedMeasureError
        The tissues cannot be told apart.
    """
    places = np.argwhere(brain & (volume > 0))
    if len(places) < 1000:  # noqa: PLR2004 - as in classify
        raise UndefinedMeasureError("The brain mask has fewer than 1000 voxels with signal.")
    chosen = places[:: max(1, len(places) // _MOST_POINTS)]
    columns = _terms(_normalised(chosen, volume.shape))
    values = np.log(volume[tuple(chosen.T)].astype(np.float64))
    # The dark tail is vessels and the mask's edge, not tissue.
    values = np.maximum(values, np.percentile(values, 2))
    shading = np.zeros(len(values))
    mixture = None
    fit = np.zeros(columns.shape[1])
    for _ in range(_ROUNDS):
        flat = values - shading
        mixture = fit_mixture(flat, mixture)
        chances = posteriors(flat, mixture)
        precision = chances / mixture.sigmas[:, None] ** 2
        trust = precision.sum(axis=0)
        wanted = values - (precision * mixture.means[:, None]).sum(axis=0) / trust
        root = np.sqrt(trust)
        fit, *_rest = np.linalg.lstsq(columns * root[:, None], wanted * root)
        shading = np.einsum("nk,k->n", columns, fit)
        shading -= np.median(shading)
    field = _evaluate(fit, volume.shape)
    inside = field[brain]
    middle = np.median(inside)
    field = np.clip(field, inside.min(), inside.max()) - middle
    if not np.isfinite(field).all() or np.abs(field).max() > np.log(_STRONGEST):
        raise UndefinedMeasureError("The shading is too strong to part it from the tissues.")
    bias = np.exp(field).astype(np.float32)
    return bias, classify(volume / bias, brain, is_t1w=is_t1w)


def _normalised(places: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(2 * places / np.maximum(np.array(shape) - 1, 1) - 1.0)


def _powers() -> list[tuple[int, int, int]]:
    return [
        (a, b, c)
        for a, b, c in itertools.product(range(_DEGREE + 1), repeat=3)
        if a + b + c <= _DEGREE
    ]


def _terms(places: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = places.T
    return np.column_stack([x**a * y**b * z**c for a, b, c in _powers()])


def _evaluate(fit: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    x, y, z = np.ix_(*[2 * np.arange(n) / max(n - 1, 1) - 1.0 for n in shape])
    field = np.zeros(shape, dtype=np.float32)
    for factor, (a, b, c) in zip(fit, _powers(), strict=True):
        field += (factor * x**a * y**b * z**c).astype(np.float32)
    return field
