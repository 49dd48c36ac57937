"""Measures of one diffusion series: noise, motion, lost slices, contrast of directions.

Own names where no formula of MRIQC is followed. Not here: reading b-values from files.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import gammaincinv

from qc import masks, spatial, summary
from qc.functional import Measured, take_fwhm
from qc.images import Image, Mask, Volume, array_sha256
from qc.measure import Measures, UndefinedMeasureError
from qc.registration import displacement_mm, make_reference, register
from qc.shells import Shell, find_shells, lack_direction, reason_against

PIPELINE = "winqc-dwi/1"
DROPOUT_SHARE = 0.15
"""Slices that have lost more than this share of their signal are counted."""
_COEFFICIENTS = 6
_FEWEST_DIRECTIONS = 12
_FEWEST_SLICE_VOXELS = 20
_NAMES = (
    "snr", "fber", "efc", "fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg", "b0_sigma", "b0_snr",
    "b0_motion_mean", "b0_motion_max", "shell_motion_mean", "shell_motion_max",
    "slice_dropout_max", "slice_dropout_num", "slice_dropout_slice", "slice_dropout_frame",
    "cnr_min", "neighbour_correlation", "unaligned_num",
)  # fmt: skip


def measure_diffusion(
    image: Image,
    b_values: NDArray[np.float64] | None,
    directions: NDArray[np.float64] | None,
    reason: str = "There are no b-values for it.",
) -> Measured:
    """Measure a diffusion series.

    Parameters
    ----------
    b_values : ndarray, shape (T,), in s/mm^2, or None
    directions : ndarray, shape (T, 3), unit vectors, or None
        None, or a length other than the image's, leaves what needs them without a value; so do
        directions of length 0 of volumes that are weighted.
    reason : str
        Why ``b_values`` is None, as a sentence.
    """
    found = Measured(notes=list(image.notes))
    data = image.data if image.data.ndim == 4 else image.data[..., None]  # noqa: PLR2004 - time
    _sizes(found.measures, image, data.shape[3])
    reason = reason_against(b_values, data.shape[3]) or (reason if b_values is None else "")
    if b_values is None or reason:
        found.measures.refuse((*_NAMES, "b0_num", "shells_num", "directions_num"), reason)
        found.notes.append(f"Hardly anything is measured. {reason}")
        # A picture is worth having all the same.
        found.mean = np.maximum(data.mean(axis=3, dtype=np.float64), 0).astype(np.float32)
        return found
    if directions is not None and directions.shape != (data.shape[3], 3):
        found.notes.append(
            f"It has {data.shape[3]} volumes and {len(directions)} directions; they are not used."
        )
        directions = None
    elif directions is not None and lack_direction(directions, b_values):
        found.notes.append("Weighted volumes have directions of length 0; none is used.")
        directions = None
    shells = find_shells(b_values)
    b0 = shells[0].frames if shells[0].b_value == 0 else np.array([], dtype=np.intp)
    weighted = tuple(shell for shell in shells if shell.b_value)
    found.measures.take("b0_num", lambda: len(b0))
    found.measures.take("shells_num", lambda: len(weighted))
    found.measures.take("directions_num", lambda: sum(len(each.frames) for each in weighted))
    # Without b = 0 the weakest weighting shows the head best.
    shown = b0 if b0.size else shells[0].frames
    mean = np.maximum(data[..., shown].mean(axis=3, dtype=np.float64), 0).astype(np.float32)
    found.mean = mean
    try:
        mask = masks.signal_mask(mean, image.voxel_mm)
    except UndefinedMeasureError as error:
        found.measures.refuse(_NAMES, f"No mask can be made: {error}")
        return found
    found.mask = mask
    found.mask_sha256["signal"] = array_sha256(mask)
    _still(found.measures, data, b0, mean, mask)
    _motion(found, data, image.voxel_mm, mask, shells, directions)
    _dropouts(found, data, mask, shells, directions)
    _directions(found.measures, data, mask, weighted, directions)
    return found


def b0_sigma(volumes: NDArray[np.floating]) -> float:
    """Return the noise between b = 0 volumes, in the image's unit; lower is better.

    Square root of the median variance of voxels (N, T), over the median of a chi-squared
    distribution of T - 1 degrees of freedom, so that noise of any T gives its own sigma.
    Breaks: motion and drift between the volumes count as noise; one volume has no value.

    References
    ----------
    After ``mriqc.qc.diffusion.noise_b0`` (24.0.2), which gives percentiles of the variance.
    """
    if volumes.shape[1] < 2:  # noqa: PLR2004 - a variance needs two
        raise UndefinedMeasureError("There is one b = 0 volume or none; two are needed.")
    variance = float(np.median(np.var(volumes, axis=1, ddof=1, dtype=np.float64)))
    freedom = volumes.shape[1] - 1
    # The median of a chi-squared distribution lies below its mean, far below for few volumes.
    sigma = float(np.sqrt(variance * freedom / (2 * gammaincinv(freedom / 2, 0.5))))
    if not sigma > 0:
        raise UndefinedMeasureError("The b = 0 volumes are copies of each other.")
    return sigma


def slice_losses(
    data: Volume, mask: Mask, shells: tuple[Shell, ...], directions: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the share of signal that each slice has lost, (Z, T); lower is better.

    Each slice's mean over what the other volumes of its shell predict (a quadratic form of the
    direction from 12 directions on, else their median), set against its neighbours in the same
    volume. Negative: brighter than them. Breaks: shells of fewer than 4 volumes (0 there);
    several lost slices side by side hide each other.
    """
    ratio = np.ones(data.shape[2:])
    usable = np.array(
        [np.count_nonzero(mask[:, :, z]) >= _FEWEST_SLICE_VOXELS for z in range(data.shape[2])]
    )
    large = [shell for shell in shells if len(shell.frames) >= 4]  # noqa: PLR2004 - for a median
    if not large or np.count_nonzero(usable) < 3:  # noqa: PLR2004 - neighbours
        raise UndefinedMeasureError("There are too few slices, or too few volumes in each shell.")
    for z in np.flatnonzero(usable):
        signal = data[:, :, z, :][mask[:, :, z]].mean(axis=0, dtype=np.float64)
        for shell in large:
            level = _predicted(signal[shell.frames], shell, directions)
            ratio[z, shell.frames] = np.divide(
                signal[shell.frames], level, out=np.ones_like(level), where=level > 0
            )
    losses = np.zeros_like(ratio)
    indices = np.flatnonzero(usable)
    for place, z in enumerate(indices):
        around = [*indices[max(0, place - 2) : place], *indices[place + 1 : place + 3]]
        expected = np.median(ratio[around], axis=0)
        losses[z] = 1 - np.divide(
            ratio[z], expected, out=np.ones_like(expected), where=expected > 0
        )
    return losses


def angular_cnr(volumes: NDArray[np.floating], directions: NDArray[np.float64]) -> float:
    """Return the contrast-to-noise ratio of a shell's directions; higher is better.

    In each voxel a quadratic form of the direction (6 coefficients) is fitted to the signals
    (N, T); the standard deviation of the fit over directions, over that of the residuals (with
    T - 6 degrees of freedom), median of the voxels. Breaks: motion and lost slices count as
    noise; noise alone gives ``sqrt(5 / T)`` or so, not 0.

    References
    ----------
    After the CNR of M. Bastiani et al., NeuroImage 184:801-812, 2019, with a quadratic form in
    place of the Gaussian process.
    """
    count = volumes.shape[1]
    signals = volumes.astype(np.float64)
    fitted = signals @ _hat(directions)
    spread = fitted.std(axis=1)
    rest = np.sqrt(np.square(signals - fitted).sum(axis=1) / (count - _COEFFICIENTS))
    noisy = rest > 0
    if not noisy.any():
        raise UndefinedMeasureError("The signals follow the directions without any noise.")
    return float(np.median(spread[noisy] / rest[noisy]))


def neighbour_correlation(volumes: NDArray[np.floating], directions: NDArray[np.float64]) -> float:
    """Return the mean correlation of each volume (N, T) with that of the nearest direction.

    From -1 to 1, higher is better. Breaks: more directions lie nearer and correlate more.

    References
    ----------
    F.-C. Yeh et al., NeuroImage 202:116131, 2019. MRIQC 24.0.2 picks voxels in place of volumes
    in its own version, hence another name here.
    """
    if volumes.shape[1] < 2:  # noqa: PLR2004 - a pair
        raise UndefinedMeasureError("The shell has fewer than two volumes.")
    closeness = np.abs(directions @ directions.T)
    np.fill_diagonal(closeness, -1)
    nearest = closeness.argmax(axis=1)
    centred = volumes.astype(np.float64) - volumes.mean(axis=0, dtype=np.float64)
    lengths = np.sqrt(np.square(centred).sum(axis=0))
    if not (lengths > 0).all():
        raise UndefinedMeasureError("A volume is constant.")
    units = centred / lengths
    return float(np.mean(np.einsum("nt,nt->t", units, units[:, nearest])))


def _hat(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix (T, T) that turns signals into their fit by a quadratic form.

    Raises
    ------
    UndefinedMeasureError
        There are fewer than 12 directions, or they do not span space.
    """
    if len(directions) < _FEWEST_DIRECTIONS:
        raise UndefinedMeasureError(
            f"The shell has {len(directions)} directions; at least {_FEWEST_DIRECTIONS} are needed."
        )
    x, y, z = directions.T
    design = np.column_stack([x * x, y * y, z * z, x * y, x * z, y * z])
    if np.linalg.matrix_rank(design, tol=1e-3) < _COEFFICIENTS:
        raise UndefinedMeasureError("The directions do not span space.")
    return np.asarray(design @ np.linalg.pinv(design))


def _without_own(hat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that predicts each volume from the others alone (leave one out)."""
    own = np.clip(np.diag(hat), 0.0, 0.99)
    return np.asarray((hat - np.diag(np.diag(hat))) / (1 - own)[:, None])


def _predicted(
    signal: NDArray[np.float64], shell: Shell, directions: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    if shell.b_value and directions is not None:
        try:
            return np.asarray(_without_own(_hat(directions[shell.frames])) @ signal)
        except UndefinedMeasureError:
            # Too few directions to predict from: the median is what remains.
            pass
    return np.full(signal.shape, float(np.median(signal)))


def _sizes(measures: Measures, image: Image, frames: int) -> None:
    for axis, name in enumerate("xyz"):
        measures.take(f"size_{name}", lambda axis=axis: int(image.data.shape[axis]))  # type: ignore[misc]  # binds the loop's
        measures.take(f"spacing_{name}", lambda axis=axis: image.voxel_mm[axis])  # type: ignore[misc]  # binds the loop's
    measures.take("size_t", lambda: frames)


def _still(
    measures: Measures, data: Volume, b0: NDArray[np.intp], mean: Volume, mask: Mask
) -> None:
    if not b0.size:
        measures.refuse(
            ("snr", "fber", "efc", "fwhm_x", "fwhm_y", "fwhm_z", "fwhm_avg"),
            "There is no b = 0 volume.",
        )
    else:
        scaled = mean * np.float32(summary.rounding_scale(mean))

        def snr() -> float:
            inside = summary.summarise(scaled, mask)
            return spatial.snr(inside.median, inside.stdv, inside.count)

        measures.take("snr", snr)
        measures.take("fber", lambda: spatial.fber(scaled, mask))
        measures.take("efc", lambda: spatial.efc(mean))
        take_fwhm(measures, mean, mask)
    inside = data[..., b0][mask]
    measures.take("b0_sigma", lambda: b0_sigma(inside))
    measures.take("b0_snr", lambda: float(np.median(mean[mask])) / b0_sigma(inside))


def _motion(  # noqa: PLR0913, PLR0917 - what it looks at
    found: Measured,
    data: Volume,
    voxel_mm: tuple[float, float, float],
    mask: Mask,
    shells: tuple[Shell, ...],
    directions: NDArray[np.float64] | None,
) -> None:
    """Measure motion among volumes of the same weighting.

    b = 0 volumes are brought to their median; others each to what the rest of the shell predicts
    for its direction, as their contrast depends on it.
    """
    wide = ndimage.binary_dilation(mask, masks.ball(5.0, voxel_mm, mask.shape))
    lost = 0
    for name, is_weighted in (("b0_motion", False), ("shell_motion", True)):
        steps: list[float] = []
        reason = "There are fewer than two volumes of the same weighting."
        for shell in shells:
            if bool(shell.b_value) != is_weighted or len(shell.frames) < 2:  # noqa: PLR2004 - a pair
                continue
            volumes = data[..., shell.frames]
            try:
                hat = None
                if is_weighted:
                    if directions is None:
                        raise UndefinedMeasureError("There are no directions.")  # noqa: TRY301 - caught below, as from elsewhere
                    hat = _without_own(_hat(directions[shell.frames]))
                new_steps, new_lost = _steps(volumes, hat, wide, voxel_mm)
            except UndefinedMeasureError as error:
                reason = str(error)
                continue
            steps += new_steps
            lost += new_lost
        if steps:
            found.measures.take(f"{name}_mean", lambda steps=steps: float(np.mean(steps)))  # type: ignore[misc]  # binds the loop's
            found.measures.take(f"{name}_max", lambda steps=steps: max(steps))  # type: ignore[misc]  # binds the loop's
        else:
            found.measures.refuse((f"{name}_mean", f"{name}_max"), reason)
    found.measures.take("unaligned_num", lambda: lost)


def _steps(
    volumes: Volume,
    hat: NDArray[np.float64] | None,
    wide: Mask,
    voxel_mm: tuple[float, float, float],
) -> tuple[list[float], int]:
    """Return displacements between successive volumes, and how many could not be aligned."""
    middle = np.median(volumes, axis=3).astype(np.float32)
    reference = make_reference(middle, wide, voxel_mm)
    # A tensor is quadratic in the logarithm; the floor keeps air from ruling the prediction.
    floor = max(float(np.median(middle[wide])) * 1e-2, 1e-6)
    logs = np.log(np.maximum(volumes, np.float32(floor)))
    positions = []
    for frame in range(volumes.shape[3]):
        try:
            if hat is not None:
                wanted = np.exp(logs @ hat[frame].astype(np.float32)).astype(np.float32)
                reference = make_reference(wanted, wide, voxel_mm)
            positions.append(register(np.ascontiguousarray(volumes[..., frame]), reference))
        except UndefinedMeasureError:
            continue
    steps = [displacement_mm(one, two) for one, two in pairwise(positions)]
    return steps, volumes.shape[3] - len(positions)


def _dropouts(
    found: Measured,
    data: Volume,
    mask: Mask,
    shells: tuple[Shell, ...],
    directions: NDArray[np.float64] | None,
) -> None:
    names = tuple(f"slice_dropout_{each}" for each in ("max", "num", "slice", "frame"))
    try:
        losses = slice_losses(data, mask, shells, directions)
    except UndefinedMeasureError as error:
        found.measures.refuse(names, str(error))
        return
    slice_index, frame_index = divmod(int(losses.argmax()), losses.shape[1])
    values = (
        float(losses.max()), int((losses > DROPOUT_SHARE).sum()), slice_index, frame_index
    )  # fmt: skip
    for name, value in zip(names, values, strict=True):
        found.measures.take(name, lambda value=value: value)  # type: ignore[misc]  # binds the loop's
    found.trace("slice_dropout", losses.max(axis=0), 0)


def _directions(
    measures: Measures,
    data: Volume,
    mask: Mask,
    weighted: tuple[Shell, ...],
    directions: NDArray[np.float64] | None,
) -> None:
    names = ("cnr_min", "neighbour_correlation")
    if directions is None or not weighted:
        measures.refuse(names, "There are no directions, or no weighted volumes.")
        return
    ratios: list[float] = []
    for shell in weighted:
        name = f"cnr_b{shell.b_value}"
        inside, vectors = data[..., shell.frames][mask], directions[shell.frames]
        measures.take(name, lambda one=inside, two=vectors: angular_cnr(one, two))  # type: ignore[misc]  # binds the loop's
        value = measures.values[name]
        if value is not None:
            ratios.append(float(value))
    if ratios:
        measures.take("cnr_min", lambda: min(ratios))
    else:
        measures.refuse(("cnr_min",), "No shell has enough directions.")
    first = weighted[0].frames
    measures.take(
        "neighbour_correlation",
        lambda: neighbour_correlation(data[..., first][mask], directions[first]),
    )
