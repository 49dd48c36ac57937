"""Time and memory of winqc's measures on the sample images, and the worst registration error.

    python -m tests.benchmarks.bench_qc SAMPLES_FOLDER

Prints figures of one run; load of other programs is in them.
"""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import numpy as np

from qc import phantom
from qc.anatomical import measure_anatomical
from qc.functional import measure_bold
from qc.images import load_image
from qc.registration import displacement_mm, make_reference, matrix_of, register

MIB = 1024
_VOLUMES = 12


def registration() -> None:
    """Print the worst error over a sphere of 50 mm, for motion of 1 mm with 1 % noise."""
    points = np.random.default_rng(0).normal(size=(300, 3))
    points *= 50 / np.linalg.norm(points, axis=1, keepdims=True)
    for shape in ((64, 64, 36), (48, 48, 20)):
        worst, seconds = _worst_error(points, shape)
        print(f"registration {shape}: worst {worst:.4f} mm of 0.05, {seconds:.3f} s a volume")


def _worst_error(points: np.ndarray, shape: tuple[int, int, int]) -> tuple[float, float]:
    worst, seconds = 0.0, 0.0
    for seed in range(_VOLUMES):
        true = np.random.default_rng(seed).uniform(-1, 1, 6)
        true[3:] = np.deg2rad(true[3:])
        true /= displacement_mm(np.zeros(6), true)
        motion = np.stack([np.zeros(6), true])
        still, moved = np.moveaxis(phantom.bold_run(2, shape, motion=motion, seed=seed), 3, 0)
        reference = make_reference(still, np.asarray(still > 200), (3.0, 3.0, 3.3))
        began = time.process_time()
        found = register(moved, reference)
        seconds += time.process_time() - began
        away = matrix_of(found) - matrix_of(true)
        shifts = points @ away[:3, :3].T + away[:3, 3]
        worst = max(worst, float(np.linalg.norm(shifts, axis=1).max()))
    return worst, seconds / _VOLUMES


def main() -> None:
    """Print all figures."""
    folder = Path(sys.argv[1]) / "mri"
    registration()
    for name, measure in (
        ("studyforrest_bold", measure_bold),
        ("studyforrest_T1w", lambda image: measure_anatomical(image, None)),
    ):
        began, cpu = time.monotonic(), time.process_time()
        measured = measure(load_image(folder / f"{name}.nii.gz"))
        wall, busy = time.monotonic() - began, time.process_time() - cpu
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MIB
        count = len(measured.measures.values)
        print(f"{name:<18} {wall:5.1f} s, {busy:5.1f} s of CPU, {peak:5.0f} MiB, {count} values")


if __name__ == "__main__":
    main()
