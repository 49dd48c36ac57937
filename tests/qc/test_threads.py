"""SimpleITK in one thread: values do not depend on how many processors a machine has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 - its own documentation's name

from qc.atlas import _load, fit_atlas
from qc.bias import shading
from qc.threads import one_thread

PROCESS: Any = sitk.ProcessObject
ORIGIN_MM = (-98.0, -134.0, -72.0)
"""Of the atlas's first voxel, as ICBM's own file has it."""


@pytest.fixture(autouse=True)
def threads_as_before() -> Iterator[None]:
    """Leave the process's number of threads to other tests as it was."""
    before = PROCESS.GetGlobalDefaultNumberOfThreads()
    yield
    PROCESS.SetGlobalDefaultNumberOfThreads(before)


def test_the_process_has_its_threads_back_afterwards():
    """Also where the work in between fails."""
    PROCESS.SetGlobalDefaultNumberOfThreads(3)

    def fail() -> None:
        with one_thread():
            raise KeyError(PROCESS.GetGlobalDefaultNumberOfThreads())

    with pytest.raises(KeyError, match="1"):
        fail()
    assert PROCESS.GetGlobalDefaultNumberOfThreads() == 3


def test_shading_is_the_same_with_any_number_of_threads():
    """Bit by bit; without care it differs in the third digit."""
    grid = np.indices((40, 44, 40))
    brain = sum(((grid[axis] - (20, 22, 20)[axis]) / 16) ** 2 for axis in range(3)) < 1
    clean = np.where(brain, 1000 + 200 * np.sin(grid[0] / 5), 20) * (1 + 0.2 * grid[1] / 44)
    noisy = clean + np.random.default_rng(1).normal(0, 20, clean.shape)
    volume = np.maximum(noisy, 0).astype(np.float32)
    found = []

    for threads in (1, 2, 5):
        PROCESS.SetGlobalDefaultNumberOfThreads(threads)
        found.append(shading(volume, brain, (4.0, 4.0, 4.0)).tobytes())

    assert len(set(found)) == 1


def test_the_fit_of_the_average_brain_is_the_same_with_any_number_of_threads():
    """Bit by bit; without care it differs from run to run."""
    average = _load().brain[::2, ::2, ::2]
    affine = np.diag([2.0, 2.0, 2.0, 1.0])
    affine[:3, 3] = ORIGIN_MM
    brain = average > 0.1 * average.max()
    noise = np.random.default_rng(5).normal(0, 20, average.shape)
    volume = np.where(brain, average * 1000, 0) + noise
    found = []

    for threads in (1, 3):
        PROCESS.SetGlobalDefaultNumberOfThreads(threads)
        found.append(fit_atlas(volume, brain, affine).matrix.tobytes())

    assert len(set(found)) == 1
