"""Finds the brain in an image of a head with a small convolutional network.

Pure: arrays in, array out, no files but the network's own weights beside this module. Not here:
how the weights came to be ONNX (``containers.deface.make_network``).

References
----------
Fisch et al., "deepbet: Fast brain extraction of T1-weighted MRI using Convolutional Neural
Networks", Computers in Biology and Medicine 2024; weights of the package deepbet 1.0.2 (MIT),
the network that sees the whole head. Licence and origin: ``data/brain_mask.LICENCE``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from scipy import ndimage

NETWORK_PATH = Path(__file__).parent / "data" / "brain_mask.onnx"
NETWORK_SHA256 = "3082f0a6dc5d9118c9af4b87d285720cd42c8edda526ac7f57237c1455e5c5a1"

_SIDE = 128
"""Voxels along each axis of what the network sees."""
_DARKEST, _BRIGHTEST = 0.005, 0.995
"""Quantiles between which the network wants its input stretched."""
_MEAN, _SPREAD = 0.449, 0.226
_THRESHOLD = 0.5
_NECK_MM = 5.0
"""Radius of the opening that cuts what hangs on the brain by less, such as an eyeball."""
_REGROWTH_MM = 7.0


class BrainMaskError(Exception):
    """The network's file is not the one that this version was tested with."""


class BrainMaskNetwork:
    """The network, loaded once; `predict` may be called for any number of images.

    Parameters
    ----------
    threads : int
        Of the processor that one prediction may use.

    Raises
    ------
    BrainMaskError
        The weights are not the file whose SHA-256 is `NETWORK_SHA256`.
    """

    def __init__(self, threads: int = 2) -> None:
        content = NETWORK_PATH.read_bytes()
        if hashlib.sha256(content).hexdigest() != NETWORK_SHA256:
            raise BrainMaskError(
                "The brain-mask network's file is damaged or of another version; its SHA-256 "
                "differs from the one on record. Install the package again."
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A pool that keeps what it once held would hold it for the rest of the run.
        options.enable_cpu_mem_arena = False
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )

    def predict(self, volume: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the probability of brain for each voxel.

        Parameters
        ----------
        volume : ndarray, shape (X, Y, Z)
            Whole head; axes point right, front, up (RAS+). Any unit, finite.

        Returns
        -------
        ndarray, shape (X, Y, Z), float32
            0 to 1, on the network's grid of 128 a side carried over by nearest neighbour; all 0
            for an image of one value.
        """
        seen = volume[np.ix_(*(_picked(size, _SIDE) for size in volume.shape))]
        low, high = np.quantile(seen, (_DARKEST, _BRIGHTEST))
        if high <= low:
            return np.zeros(volume.shape, np.float32)
        scaled = np.clip((seen - low) / (high - low), 0, 1)
        scaled = _SPREAD * (scaled - scaled.mean()) / scaled.std(ddof=1) + _MEAN
        given = scaled.astype(np.float32)[None, None]
        found: NDArray[np.float32] = self._session.run(["brain"], {"head": given})[0][0, 1]
        return found[np.ix_(*(_back(size, _SIDE) for size in volume.shape))]


def main_body(
    probability: NDArray[np.floating], voxel_size_mm: tuple[float, float, float]
) -> NDArray[np.bool_]:
    """Return the brain as one body without holes and without what hangs on it by a thin neck.

    The mask is opened by 5 mm, its largest part kept and grown back by 7 mm inside the mask: an
    eyeball or a lump of scalp that the network took for brain is lost on the way.

    Parameters
    ----------
    probability : ndarray, shape (X, Y, Z)
    voxel_size_mm : tuple of float
        Along each axis.
    """
    mask = np.asarray(probability > _THRESHOLD)
    if not mask.any():
        return mask
    core = _distance_inside(mask, voxel_size_mm) > _NECK_MM
    labels, count = ndimage.label(core)
    if count == 0:
        return np.zeros_like(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    core = labels == int(sizes.argmax())
    grown = ndimage.distance_transform_edt(~core, sampling=voxel_size_mm) <= (
        _NECK_MM + _REGROWTH_MM
    )
    filled: NDArray[np.bool_] = ndimage.binary_fill_holes(mask & grown)
    return filled


def _distance_inside(
    mask: NDArray[np.bool_], voxel_size_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    # The edge of the image is no edge of the brain: a brain cut by the field of view stays whole.
    padded = np.pad(mask, 1, mode="edge")
    distance = ndimage.distance_transform_edt(padded, sampling=voxel_size_mm)
    return np.asarray(distance[1:-1, 1:-1, 1:-1])


def _picked(size: int, count: int) -> NDArray[np.intp]:
    """Return the index nearest to the middle of each of ``count`` equal parts of an axis."""
    return np.minimum(((np.arange(count) + 0.5) * size / count).astype(np.intp), size - 1)


def _back(size: int, count: int) -> NDArray[np.intp]:
    return np.minimum(((np.arange(size) + 0.5) * count / size).astype(np.intp), count - 1)
