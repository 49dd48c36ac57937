"""Measures one structural image (T1w, T2w): head, air, and tissues where a brain is given.

Without a brain mask every measure of tissues is None, with that reason. Not here: the formulas
(``spatial``, ``tissues``), files, pages.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from qc import masks, spatial, summary, tissues
from qc.bias import correct_bias
from qc.functional import Measured, take_fwhm
from qc.images import Image, Mask, Volume, array_sha256
from qc.measure import Measures, UndefinedMeasureError

PIPELINE = "winqc-anat/1"
_TISSUE_NAMES = (
    *(f"{kind}_{name}" for kind in ("snr", "snrd") for name in (*tissues.TISSUES, "total")),
    *(f"{kind}_{name}" for kind in ("icvs", "rpve") for name in tissues.TISSUES),
    *("cnr", "cjv", "wm2max", "inu_range", "inu_med"),
)
_AIR_NAMES = ("air_artifacts", "air_sigma")
_WHOLE_NAMES = ("fber", "efc", "fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg", "noise_sigma", "head_snr")
_ARTIFACT_SIGMAS = 5.0


def measure_anatomical(image: Image, brain: Mask | None, *, is_t1w: bool = True) -> Measured:
    """Measure a T1w or T2w image.

    Never raises for what is in the image: a measure without a value is None, with its reason.

    Parameters
    ----------
    brain : ndarray of bool, shape (X, Y, Z), or None
        The brain in the image's (RAS+) grid, if somebody found it.
    """
    found = Measured(notes=list(image.notes))
    volume = image.data
    if volume.ndim == 4:  # noqa: PLR2004 - time
        found.notes.append(f"It has {volume.shape[3]} volumes; the mean of them is measured.")
        volume = volume.mean(axis=3, dtype=np.float64).astype(np.float32)
    for axis, name in enumerate("xyz"):
        found.measures.take(f"size_{name}", lambda axis=axis: int(volume.shape[axis]))  # type: ignore[misc]
        found.measures.take(f"spacing_{name}", lambda axis=axis: image.voxel_mm[axis])  # type: ignore[misc]
    volume = np.maximum(volume, 0)
    found.mean = volume
    _whole(found, volume, image)
    air = _air(found, volume, image)
    if brain is None:
        found.measures.refuse(_TISSUE_NAMES, "No brain mask was made for this image.")
        return found
    try:
        masks.checked(brain, "brain")
        bias, shares = correct_bias(volume, brain, is_t1w=is_t1w)
    except UndefinedMeasureError as error:
        found.measures.refuse(_TISSUE_NAMES, str(error))
        return found
    found.mask = brain
    found.mask_sha256["brain"] = array_sha256(brain)
    inside = bias[brain]
    found.measures.take("inu_range", lambda: float(np.ptp(np.percentile(inside, (5, 95)))))
    found.measures.take("inu_med", lambda: float(np.median(inside)))
    measure_tissues(found.measures, volume / bias, shares, air)
    return found


def measure_tissues(
    measures: Measures,
    volume: NDArray[np.floating],
    shares: tissues.Shares,
    air: Mask | None,
) -> None:
    """Store the measures of tissues: SNR, SNRd, CNR, CJV, WM2MAX, ICV, rPVE.

    Parameters
    ----------
    volume : ndarray, shape (X, Y, Z)
        Corrected for shading.
    air : ndarray of bool or None
        None where there is no air, or none with noise in it.
    """
    scaled = volume * summary.rounding_scale(volume)
    try:
        found = {name: summary.summarise(scaled, shares[name]) for name in tissues.TISSUES}
    except UndefinedMeasureError as error:
        measures.refuse(_TISSUE_NAMES[:-2], f"A tissue is missing: {error}")
        return
    for name, each in found.items():
        measures.take(f"snr_{name}", lambda each=each: spatial.snr(each.median, each.stdv, each.count))  # type: ignore[misc]  # fmt: skip  # noqa: E501
        measures.take(f"rpve_{name}", lambda name=name: tissues.partial_volume(shares[name]))  # type: ignore[misc]
    _total(measures, "snr")
    measures.take_all(
        tuple(f"icvs_{name}" for name in tissues.TISSUES),
        lambda: {f"icvs_{key}": each for key, each in tissues.volume_fractions(shares).items()},
    )
    white, grey = found["wm"], found["gm"]
    measures.take("cjv", lambda: spatial.cjv(white.median, grey.median, white.mad, grey.mad))
    measures.take("wm2max", lambda: spatial.wm2max(scaled, white.median))
    if air is None:
        measures.refuse(
            ("cnr", *(f"snrd_{name}" for name in (*tissues.TISSUES, "total"))),
            "The air around the head is missing or was zeroed.",
        )
        return
    outside = summary.summarise(scaled, air)
    measures.take(
        "cnr",
        lambda: spatial.cnr(white.median, grey.median, outside.stdv, white.stdv, grey.stdv),
    )
    for name, each in found.items():
        measures.take(f"snrd_{name}", lambda each=each: spatial.snr_dietrich(each.median, outside.mad))  # type: ignore[misc]  # fmt: skip  # noqa: E501
    _total(measures, "snrd")


def _total(measures: Measures, kind: str) -> None:
    values = [measures.values[f"{kind}_{name}"] for name in tissues.TISSUES]
    known = [value for value in values if value is not None]
    if len(known) == len(values):
        measures.take(f"{kind}_total", lambda: float(np.mean(known)))
    else:
        measures.refuse((f"{kind}_total",), "It is not known for every tissue.")


def _whole(found: Measured, volume: Volume, image: Image) -> None:
    measures = found.measures
    measures.take("efc", lambda: spatial.efc(volume))
    try:
        head = masks.head_mask(volume, image.voxel_mm)
    except UndefinedMeasureError as error:
        measures.refuse(
            tuple(name for name in _WHOLE_NAMES if name != "efc"), f"No head is found: {error}"
        )
        return
    found.mask = head
    found.mask_sha256["head"] = array_sha256(head)
    scaled = volume * np.float32(summary.rounding_scale(volume))
    measures.take("fber", lambda: spatial.fber(scaled, head))
    take_fwhm(measures, volume, head)
    measures.take("noise_sigma", lambda: spatial.noise_sigma(volume, head))
    measures.take(
        "head_snr", lambda: float(np.median(volume[head])) / spatial.noise_sigma(volume, head)
    )


def _air(found: Measured, volume: Volume, image: Image) -> Mask | None:
    """Measure the air; return it if it has noise."""
    if "head" not in found.mask_sha256 or found.mask is None:
        found.measures.refuse(_AIR_NAMES, "No head is found, so no air either.")
        return None
    try:
        around = masks.background(volume, found.mask, image.voxel_mm)
        if around.is_zeroed:
            raise UndefinedMeasureError("The background is zeroed, or has too few grey levels.")  # noqa: TRY301
    except UndefinedMeasureError as error:
        found.measures.refuse(_AIR_NAMES, str(error))
        return None
    noise = volume[around.air]
    # Rayleigh: its median over its scale is sqrt(2 ln 2).
    sigma = float(np.median(noise)) / float(np.sqrt(2 * np.log(2)))
    found.measures.take("air_sigma", lambda: sigma)
    artifacts = _artifacts(volume, around.air, sigma)
    clean = around.air & ~artifacts
    found.measures.take("air_artifacts", lambda: tissues.artifact_share(clean, artifacts))
    return clean if np.count_nonzero(clean) >= masks.FEWEST_VOXELS else None


def _artifacts(volume: Volume, air: Mask, sigma: float) -> Mask:
    """Return connected voxels of the air that are far brighter than noise: ghosts, spikes."""
    bright = air & (volume > _ARTIFACT_SIGMAS * sigma)
    return np.asarray(ndimage.binary_opening(bright, np.ones((2, 2, 1))) & air)
