"""What the tests of this room share: the sample images, cut down so that tests stay quick."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from qc.images import Image, load_image


@pytest.fixture(scope="session")
def bold(samples: Path) -> Image:
    """The real BOLD run, its first 40 volumes."""
    image = load_image(samples / "mri" / "studyforrest_bold.nii.gz")
    return replace(image, data=image.data[..., :40].copy())


@pytest.fixture(scope="session")
def t1w(samples: Path) -> Image:
    """A real T1w with air around the head, every second voxel."""
    image = load_image(samples / "mri" / "ds000031_T1w.nii.gz")
    x, y, z = image.voxel_mm
    return replace(image, data=image.data[::2, ::2, ::2].copy(), voxel_mm=(2 * x, 2 * y, 2 * z))
