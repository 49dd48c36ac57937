"""Measures one structural image (T1w, T2w): head, air, and tissues where a brain is given.

With a brain mask the image is clipped, corrected for shading, parted into tissues and scaled as in
MRIQC's workflow before it is measured. Without one every measure of tissues is None, with that
reason, and the others are taken of the image as it is: another pipeline, never pooled with the
first. Not here: the formulas (``spatial``, ``tissues``), files, pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc import air, masks, spatial, summary, tissues
from qc.atlas import Fit, fit_atlas
from qc.bias import clip_intensities, shading
from qc.functional import Measured, take_fwhm
from qc.images import Image, Mask, Volume, array_sha256
from qc.measure import Measures, UndefinedMeasureError
from qc.tissues_with_maps import classify_with_priors

PIPELINE = "winqc-anat/3"
HEAD_PIPELINE = "winqc-head/2"
"""Of images without a brain mask: nothing is clipped or corrected in them."""
_STATISTICS = ("mean", "median", "p05", "p95", "stdv", "mad", "k", "n")
_SUMMARY_NAMES = tuple(
    f"summary_{region}_{name}" for region in (*tissues.TISSUES, "bg") for name in _STATISTICS
)
_OVERLAP_NAMES = tuple(f"tpm_overlap_{name}" for name in tissues.TISSUES)
_TISSUE_NAMES = (
    *(f"{kind}_{name}" for kind in ("snr", "snrd") for name in (*tissues.TISSUES, "total")),
    *(f"{kind}_{name}" for kind in ("icvs", "rpve") for name in tissues.TISSUES),
    *("cnr", "cjv", "wm2max"),
    *_SUMMARY_NAMES,
)
_BRAIN_NAMES = (*_TISSUE_NAMES, *_OVERLAP_NAMES, "inu_range", "inu_med", "qi_1", "qi_2")
_AIR_NAMES = ("air_artifacts", "air_sigma")
_WHOLE_NAMES = ("fber", "fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg")
_OWN_NAMES = ("noise_sigma", "head_snr")
_RAW_SNRD_NAMES = tuple(f"raw_snrd_{name}" for name in (*tissues.TISSUES, "total"))
_RAW_NAMES = (*_RAW_SNRD_NAMES, "raw_fber")
_ARTIFACT_SIGMAS = 5.0
_WHITE = 1000.0
"""The median of white matter after scaling."""
_SURE_WHITE = 0.9
_OUTLIER_PERCENTILE = 99.98
_SEED = 20_111
_NO_ATLAS = "No average brain was laid over this one."


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An image made ready for measures of tissues.

    ``volume`` was clipped and corrected; white matter is at 1000 in it.
    """

    volume: Volume
    bias: Volume
    shares: tissues.Shares
    fit: Fit | None
    head: Mask
    rotation: Mask
    hat: Mask
    artefacts: Mask


def measure_anatomical(
    image: Image,
    brain: Mask | None,
    *,
    is_t1w: bool = True,
    no_brain: str = "No brain mask was made for this image.",
) -> Measured:
    """Measure a T1w or T2w image.

    Never raises for what is in the image: a measure without a value is None, with its reason.

    Parameters
    ----------
    brain : ndarray of bool, shape (X, Y, Z), or None
        The brain in the image's (RAS+) grid, if somebody found it.
    is_t1w : bool
        Which tissue is the brightest, where no average brain can be laid over this one.
    no_brain : str
        Why there is no brain, a sentence; the reason of the measures that need one.
    """
    found = Measured(notes=list(image.notes))
    volume = image.data
    if volume.ndim == 4:  # noqa: PLR2004 - time
        found.notes.append(f"It has {volume.shape[3]} volumes; the mean of them is measured.")
        volume = volume.mean(axis=3, dtype=np.float64).astype(np.float32)
    for axis, name in enumerate("xyz"):
        found.measures.take(f"size_{name}", lambda axis=axis: int(volume.shape[axis]))  # type: ignore[misc]  # binds the loop's
        found.measures.take(f"spacing_{name}", lambda axis=axis: image.voxel_mm[axis])  # type: ignore[misc]  # binds the loop's
    volume = np.maximum(volume, 0)
    found.mean = volume
    _own(found, volume, image)
    if brain is None:
        _without_brain(found, volume, no_brain)
        return found
    try:
        masks.checked(brain, "brain")
        prepared = _prepared(found, volume, brain, image, is_t1w=is_t1w)
    except UndefinedMeasureError as error:
        _without_brain(found, volume, str(error))
        return found
    for name, mask in (("brain", brain), ("head", prepared.head), ("air", prepared.hat)):
        found.mask_sha256[name] = array_sha256(mask)
    found.mask = brain
    clean = prepared.hat & ~prepared.artefacts
    # Asked of the hat: in very noisy heads the other air may be missing.
    has_noise = not masks.is_emptied(volume[prepared.hat])
    measure_tissues(found.measures, prepared.volume, prepared.shares, clean, has_noise=has_noise)
    _against_raw_air(found.measures, prepared, volume, has_noise=has_noise)
    _as_mriqc(found.measures, prepared, brain, volume)
    take_fwhm(found.measures, volume, brain)
    return found


def _prepared(
    found: Measured, volume: Volume, brain: Mask, image: Image, *, is_t1w: bool
) -> _Prepared:
    clipped = clip_intensities(volume)
    bias = shading(clipped, brain, image.voxel_mm)
    corrected = clipped / bias
    is_clear = tissues.is_clear(corrected, brain)
    fit = None if is_clear else _fit(found, corrected, brain, image)
    if fit is None and not (is_t1w or is_clear):
        # The brain's network was made for T1w: only the fit shows that what it found is a brain.
        raise UndefinedMeasureError("No brain was found that the average brain fits.")
    if fit is None:
        shares = tissues.classify(corrected, brain, is_t1w=is_t1w)
        plain = corrected
    else:
        plain = _without_outliers(corrected, fit.shares[2])
        shares = classify_with_priors(plain, brain, fit.shares, image.voxel_mm)
    head = air.head_of(plain, brain, image.voxel_mm)
    hat = ~head if fit is None else air.hat_of(head, fit.matrix, image.affine_ras)
    corrected *= np.float32(_WHITE / _white_median(corrected, shares["wm"]))
    return _Prepared(
        volume=corrected,
        bias=bias,
        shares=shares,
        fit=fit,
        head=head,
        rotation=air.rotation_of(volume),
        hat=hat,
        artefacts=air.artefacts_in(volume, hat, head),
    )


def _fit(found: Measured, volume: Volume, brain: Mask, image: Image) -> Fit | None:
    try:
        return fit_atlas(volume, brain, image.affine_ras)
    except UndefinedMeasureError as error:
        found.notes.append(f"{error} Tissues are told apart by intensity alone.")
        return None


def _without_outliers(volume: Volume, white: NDArray[np.floating]) -> Volume:
    """Return a volume whose brightest voxels are drawn anew from what white matter looks like."""
    outside = volume > np.percentile(volume[volume > 0], _OUTLIER_PERCENTILE)
    weights = np.where(outside, 0, white).astype(np.float64)
    total = float(weights.sum())
    if not total > 0:
        raise UndefinedMeasureError("The average brain has no white matter in this image.")
    mean = float((volume * weights).sum() / total)
    spread = float(np.sqrt((((volume - mean) ** 2) * weights).sum() / total))
    plain = volume.copy()
    draw = np.random.default_rng(_SEED)
    plain[outside] = draw.normal(mean, spread, int(np.count_nonzero(outside)))
    return plain


def _white_median(volume: Volume, white: NDArray[np.float64]) -> float:
    sure = white >= _SURE_WHITE
    core = ndimage.binary_erosion(sure, ndimage.generate_binary_structure(3, 2))
    chosen = core if core.any() else sure
    middle = float(np.median(volume[chosen])) if chosen.any() else 0.0
    if not middle > 0:
        raise UndefinedMeasureError("No voxel is surely white matter.")
    return middle


def _as_mriqc(measures: Measures, prepared: _Prepared, brain: Mask, volume: Volume) -> None:
    """Store what MRIQC measures of head, air, shading and the average brain."""
    inside = prepared.bias[brain]
    measures.take("inu_range", lambda: float(np.ptp(np.percentile(inside, (5, 95)))))
    measures.take("inu_med", lambda: float(np.median(inside)))
    kept = prepared.head | ~prepared.rotation
    measures.take("fber", lambda: spatial.fber(prepared.volume[kept], prepared.head[kept]))
    measures.take("efc", lambda: spatial.efc(prepared.volume[~prepared.rotation]))
    clean = prepared.hat & ~prepared.artefacts
    measures.take("qi_1", lambda: tissues.artifact_share(clean, prepared.artefacts))
    measures.take("qi_2", lambda: air.noise_misfit(volume, prepared.hat))
    if prepared.fit is None:
        measures.refuse(_OVERLAP_NAMES, _NO_ATLAS)
        return
    for name, likely in zip(tissues.TISSUES, prepared.fit.shares, strict=True):
        share = prepared.shares[name]
        measures.take(
            f"tpm_overlap_{name}",
            lambda share=share, likely=likely: tissues.fuzzy_overlap(share, likely),  # type: ignore[misc]  # binds the loop's
        )


def _against_raw_air(
    measures: Measures, prepared: _Prepared, volume: Volume, *, has_noise: bool
) -> None:
    """Store tissues and head over the noise of the air before clipping.

    Clipping takes away half of that noise, so MRIQC's `snrd_*` and `fber` need not fall where
    slight noise is added; these do.
    """
    if not has_noise:
        measures.refuse(_RAW_NAMES, "The air around the head is missing or was zeroed.")
        return
    for name in tissues.TISSUES:
        share = prepared.shares[name]
        measures.take(
            f"raw_snrd_{name}",
            lambda share=share: (  # type: ignore[misc]  # binds the loop's
                summary.summarise(volume * summary.rounding_scale(volume), share).median
                / summary.rounding_scale(volume)
                / spatial.air_noise(volume[prepared.hat])
            ),
        )
    _total(measures, "raw_snrd")
    outside = ~prepared.head & ~prepared.rotation
    measures.take(
        "raw_fber",
        lambda: (
            (float(np.median(volume[prepared.head])) / spatial.air_noise(volume[outside])) ** 2
            / (2 * np.log(2))
        ),
    )


def measure_tissues(
    measures: Measures,
    volume: NDArray[np.floating],
    shares: tissues.Shares,
    air_mask: Mask,
    *,
    has_noise: bool = True,
) -> None:
    """Store the measures of tissues: SNR, SNRd, CNR, CJV, WM2MAX, ICV, rPVE, summaries.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        Corrected for shading.
    air_mask : ndarray of bool
        Air without artefacts.
    has_noise : bool
        False where the air was zeroed: ratios to its noise have no value then.
    """
    scaled = volume * summary.rounding_scale(volume)
    try:
        found = {name: summary.summarise(scaled, shares[name]) for name in tissues.TISSUES}
    except UndefinedMeasureError as error:
        measures.refuse(_TISSUE_NAMES, f"A tissue is missing: {error}")
        return
    for name, each in found.items():
        _take_summary(measures, name, each)
        measures.take(f"snr_{name}", partial(spatial.snr, each.median, each.stdv, each.count))
        measures.take(f"rpve_{name}", partial(tissues.partial_volume, shares[name]))
    _total(measures, "snr")
    measures.take_all(
        tuple(f"icvs_{name}" for name in tissues.TISSUES),
        lambda: {f"icvs_{key}": each for key, each in tissues.volume_fractions(shares).items()},
    )
    white, grey = found["wm"], found["gm"]
    measures.take("cjv", lambda: spatial.cjv(white.median, grey.median, white.mad, grey.mad))
    measures.take("wm2max", lambda: spatial.wm2max(scaled, white.median))
    _against_air(measures, scaled, found, air_mask, has_noise=has_noise)


def _against_air(
    measures: Measures,
    volume: NDArray[np.floating],
    found: dict[str, summary.Summary],
    air_mask: Mask,
    *,
    has_noise: bool,
) -> None:
    noise_names = tuple(f"snrd_{name}" for name in (*tissues.TISSUES, "total"))
    try:
        outside = summary.summarise(volume, air_mask)
    except UndefinedMeasureError:
        names = (*noise_names, "cnr", *(name for name in _SUMMARY_NAMES if "_bg_" in name))
        measures.refuse(names, "There is no air above the face in this image.")
        return
    _take_summary(measures, "bg", outside)
    white, grey = found["wm"], found["gm"]
    measures.take(
        "cnr",
        lambda: spatial.cnr(white.median, grey.median, outside.stdv, white.stdv, grey.stdv),
    )
    if not has_noise:
        measures.refuse(noise_names, "The air around the head is missing or was zeroed.")
        return
    for name, each in found.items():
        over_noise = partial(spatial.snr_dietrich, each.median, outside.mad, outside.stdv)
        measures.take(f"snrd_{name}", over_noise)
    _total(measures, "snrd")


def _take_summary(measures: Measures, region: str, found: summary.Summary) -> None:
    values = (
        found.mean, found.median, found.p05, found.p95, found.stdv, found.mad, found.kurtosis,
        found.count,
    )  # fmt: skip
    for name, value in zip(_STATISTICS, values, strict=True):
        measures.take(f"summary_{region}_{name}", lambda value=value: value)  # type: ignore[misc]  # binds the loop's


def _total(measures: Measures, kind: str) -> None:
    values = [measures.values[f"{kind}_{name}"] for name in tissues.TISSUES]
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        measures.take(f"{kind}_total", lambda: float(np.mean(known)))
    else:
        measures.refuse((f"{kind}_total",), "It is not known for every tissue.")


def _without_brain(found: Measured, volume: Volume, reason: str) -> None:
    """Store what can be measured of the image as it is."""
    measures = found.measures
    measures.refuse((*_BRAIN_NAMES, *_RAW_NAMES), reason)
    measures.take("efc", lambda: spatial.efc(volume))
    head = found.mask
    if head is None:
        measures.refuse(_WHOLE_NAMES, "No head is found.")
        return
    scaled = volume * np.float32(summary.rounding_scale(volume))
    measures.take("fber", lambda: spatial.fber(scaled, head))
    take_fwhm(measures, volume, head)


def _own(found: Measured, volume: Volume, image: Image) -> None:
    """Measure noise in head and air of the image as it is."""
    measures = found.measures
    measures.take("raw_efc", lambda: spatial.efc(volume))
    try:
        head = masks.head_mask(volume, image.voxel_mm)
    except UndefinedMeasureError as error:
        measures.refuse(_OWN_NAMES, f"No head is found: {error}")
        measures.refuse(_AIR_NAMES, "No head is found, so no air either.")
        return
    found.mask = head
    found.mask_sha256["bright_head"] = array_sha256(head)
    measures.take("noise_sigma", lambda: spatial.noise_sigma(volume, head))
    measures.take(
        "head_snr", lambda: float(np.median(volume[head])) / spatial.noise_sigma(volume, head)
    )
    try:
        around = masks.background(volume, head, image.voxel_mm)
        if around.is_zeroed:
            raise UndefinedMeasureError("The background is zeroed, or has too few grey levels.")  # noqa: TRY301 - caught below, as from elsewhere
    except UndefinedMeasureError as error:
        measures.refuse(_AIR_NAMES, str(error))
        return
    sigma = spatial.air_noise(volume[around.air])
    measures.take("air_sigma", lambda: sigma)
    artifacts = _artifacts(volume, around.air, sigma)
    clean = around.air & ~artifacts
    measures.take("air_artifacts", lambda: tissues.artifact_share(clean, artifacts))


def _artifacts(volume: Volume, air: Mask, sigma: float) -> Mask:
    """Return connected voxels of the air that are far brighter than noise: ghosts, spikes."""
    bright = air & (volume > _ARTIFACT_SIGMAS * sigma)
    return np.asarray(ndimage.binary_opening(bright, np.ones((2, 2, 1))) & air)
