"""Finds brains in T1w and T2w images with the network of ``qc.brain_mask``, where it is installed.

Not here: the network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from containers.winqc.one_image import BrainFinder
    from qc.images import Image, Mask

_PLAUSIBLE_LITRES = (0.3, 2.5)


def finder() -> BrainFinder:
    """Return a function that gives the brain of an image, or why there is none."""
    try:
        from qc.brain_mask import BrainMaskNetwork, main_body  # noqa: PLC0415 - may be absent
    except ImportError as error:
        missing = f"The brain's network cannot run here: {error.name} is not installed."
        return lambda _image: missing
    network: BrainMaskNetwork | None = None

    def find(image: Image) -> Mask | str:
        nonlocal network
        # Loaded with the first such image: sessions without one need not wait.
        network = network or BrainMaskNetwork(threads=1)
        if min(image.data.shape) < 16:  # noqa: PLR2004 - an eighth of the network's grid
            return "The image is too small to find a brain in."
        mask = main_body(network.predict(image.data), image.voxel_mm)
        litres = float(np.count_nonzero(mask)) * float(np.prod(image.voxel_mm)) / 1e6
        low, high = _PLAUSIBLE_LITRES
        if not low <= litres <= high:
            return f"The brain that was found has {litres:.2g} litres, which cannot be."
        return mask

    return find
