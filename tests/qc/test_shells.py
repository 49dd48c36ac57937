"""b-values and directions: what cannot be is not used, and the record says so."""

from __future__ import annotations

import numpy as np
import pytest

from qc import phantom
from qc.diffusion import measure_diffusion
from qc.images import Image
from qc.shells import find_shells

DATA, VALUES, VECTORS = phantom.diffusion_run((28, 28, 12), directions=12)


@pytest.fixture(scope="module")
def image() -> Image:
    return Image(DATA.astype(np.float32), (2.5, 2.5, 2.5), np.eye(4), None, (), "0" * 64)


def test_shells_are_told_apart_by_gaps_of_a_hundred():
    """Scanners write 995 and 1005 for 1000; 5 counts as 0."""
    shells = find_shells(np.array([5.0, 995, 2000, 1005, 0, 1995]))

    assert [(one.b_value, list(one.frames)) for one in shells] == [
        (0, [0, 4]), (1000, [1, 3]), (2000, [2, 5]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (VALUES[:-1], f"{len(VALUES)} volumes and {len(VALUES) - 1} b-values"),
        (np.append(VALUES, 1000.0), f"{len(VALUES)} volumes and {len(VALUES) + 1} b-values"),
        (np.where(VALUES > 0, 1e300, 0.0), "cannot be"),
        (np.where(VALUES > 0, -1000.0, 0.0), "cannot be"),
    ],
    ids=["fewer", "more", "huge", "negative"],
)
def test_b_values_that_cannot_be_measure_nothing(image: Image, values: np.ndarray, words: str):
    """Each measure says why, and there is a picture all the same."""
    found = measure_diffusion(image, values, VECTORS)

    assert words in found.measures.undefined["b0_num"]
    assert {name for name, value in found.measures.values.items() if value is not None} == {
        *("size_x", "size_y", "size_z", "size_t", "spacing_x", "spacing_y", "spacing_z")
    }
    assert found.mean is not None


@pytest.mark.parametrize(
    "vectors",
    [np.zeros_like(VECTORS), VECTORS[:-1], None],
    ids=["of length 0", "too few", "none"],
)
def test_without_directions_nothing_is_said_of_them(image: Image, vectors: np.ndarray | None):
    """Zeros as directions would make neighbours of all volumes."""
    found = measure_diffusion(image, VALUES, vectors)

    for name in ("neighbour_correlation", "cnr_min", "shell_motion_max"):
        assert found.measures.values[name] is None
    assert found.measures.values["b0_snr"] is not None
