"""How fast the identity check searches: bytes against a plain read, DICOM against pydicom.

Run as ``python tests/benchmarks/bench_check_identity.py``; prints ratios of one run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from containers.check_identity import KnownKind, KnownString, KnownStrings, check_tree
from containers.check_identity.search.matcher import Matcher, Region
from tests.builders.identity_files import clean_dicom, dicom_bytes, nifti_bytes

SIZE = 128 << 20
FILES = 200


def _known(count: int) -> KnownStrings:
    letters = np.random.default_rng(1).integers(97, 123, (count, 9))
    names = ["".join(map(chr, row)) for row in letters]
    days = [f"19{50 + i % 50}-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(count)]
    strings = [KnownString(KnownKind.NAME, name) for name in names]
    return KnownStrings.of([*strings, *(KnownString(KnownKind.DATE, day) for day in days)])


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Print the figures."""
    known = _known(30)
    start = time.perf_counter()
    matcher = Matcher(known)
    built = time.perf_counter() - start
    print(f"{len(known.strings)} strings in {matcher.form_count} forms: built in {built:.2f} s")
    noise = np.abs(np.random.default_rng(0).normal(0, 90, SIZE // 2)).astype("<i2").tobytes()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.bin"
        path.write_bytes(noise)

        def scan() -> None:
            with path.open("rb") as stream:
                matcher.scan(stream, (), Region.VOXELS)

        read = _seconds(path.read_bytes)
        searched = _seconds(scan)
        print(f"bytes: {SIZE / 1e6 / searched:.0f} MB/s, {searched / read:.1f} times a plain read")
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{index}.dcm" for index in range(FILES)]
        for index, path in enumerate(paths):
            path.write_bytes(dicom_bytes(clean_dicom(index + 1)))
        parsed = _seconds(lambda: [pydicom.dcmread(path).walk(lambda *_: None) for path in paths])
        checked = _seconds(lambda: check_tree(Path(folder), known)) - built
        print(f"DICOM: {FILES / checked:.0f} files/s, {checked / parsed:.1f} times pydicom's walk")
    with tempfile.TemporaryDirectory() as folder:
        head = nifti_bytes()[:352]
        data = bytearray(head + noise[: 256 * 256 * 500 * 2])
        data[40:56] = np.array([3, 256, 256, 500, 1, 1, 1, 1], "<i2").tobytes()
        (Path(folder) / "x.nii").write_bytes(data)
        checked = _seconds(lambda: check_tree(Path(folder), known)) - built
        print(f"NIfTI: {len(data) / 1e6 / checked:.0f} MB/s")


if __name__ == "__main__":
    main()
