"""Time of scrubbing against a plain copy of the same files, measured in one run.

    python tests/benchmarks/bench_scrub_headers.py FOLDER

prints files a second and the ratio to copying, for one process and for all; without the check of
the copy, whose time is printed apart. A NIfTI image is timed against reading and writing gzip.
"""

from __future__ import annotations

import gzip
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from containers.check_identity import KnownStrings, check_tree
from containers.scrub_headers.copying import Rules, Task, copy_items, read_identities, worker_count
from containers.scrub_headers.inventory import Kind, items_of, planned_names
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.nifti import scrub_nifti
from containers.scrub_headers.paths import Naming
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms

REPEATS = 3


def best(action: Callable[[Path], object]) -> float:
    """Return the shortest of a few runs, in seconds, each in a new folder."""
    times = []
    for _ in range(REPEATS):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            action(Path(folder))
            times.append(time.perf_counter() - began)
    return min(times)


def bench_dicom(source: Path) -> None:
    """Print the figures of a folder of DICOM files."""
    items = [item for item in items_of(source) if item.kind is Kind.DICOM]
    pseudonyms, known = Pseudonyms(bytes(32), "benchmark"), KnownIdentities()
    profile = load_profile("external")
    naming = Naming(pseudonyms, known, one_subject=True)

    def scrub(folder: Path, workers: int) -> None:
        identities = read_identities(items, workers)
        names = planned_names(source, items, identities, naming)
        tasks = [Task(item, names[item.numbers[0]], "benchmark", "P01") for item in items]
        copy_items(Rules(folder, profile, pseudonyms, known, naming), tasks, workers)

    def copy(folder: Path) -> None:
        for item in items:
            shutil.copyfile(item.paths[0], folder / str(item.numbers[0]))

    copied_s = best(copy)
    print(f"{len(items)} files; copy {len(items) / copied_s:,.0f} files/s")
    for workers in sorted({1, worker_count()}):
        took_s = best(lambda folder, workers=workers: scrub(folder, workers))
        print(
            f"scrub, {workers} processes: {len(items) / took_s:,.0f} files/s, "
            f"{took_s / copied_s:.1f} x copy"
        )
    with tempfile.TemporaryDirectory() as folder:
        scrub(Path(folder), worker_count())
        began = time.perf_counter()
        check_tree(Path(folder), KnownStrings())
        print(f"check of the copy: {len(items) / (time.perf_counter() - began):,.0f} files/s")


def bench_nifti() -> None:
    """Print the figures of a compressed image of 40 MB."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name) / "image.nii.gz"
        voxels = np.random.default_rng(1).normal(500, 50, (128, 128, 64, 20)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), source)

        def regzip(folder: Path) -> None:
            with (
                gzip.open(source) as stream,
                gzip.open(folder / "copy.nii.gz", "wb", compresslevel=1) as out,
            ):
                shutil.copyfileobj(stream, out, 1 << 20)

        base_s = best(regzip)
        took_s = best(lambda folder: scrub_nifti(source, folder / "copy.nii.gz"))
        print(f"NIfTI: {took_s / base_s:.2f} x unpacking and packing by gzip at level 1")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        bench_dicom(Path(sys.argv[1]))
    bench_nifti()
