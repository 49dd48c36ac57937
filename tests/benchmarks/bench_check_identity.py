"""How fast the identity check searches: bytes against a plain read, files against a copy.

Run as ``python tests/benchmarks/bench_check_identity.py``; prints figures and ratios of one run, by
processor time (user and system, the fairer figure on a busy machine) and by the clock. Real headers
are taken from the sample data (WINXNAT_SAMPLES or ../shared/data) where they are there: they are
scrubbed first, and their copy is checked, as the scrubber does before it hands a copy over.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from containers.check_identity import KnownKind, KnownString, KnownStrings, check_tree
from containers.check_identity.search.matcher import Matcher, Region
from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.benchmarks.bench_scrub import enhanced_file, flat_file
from tests.builders.identity_files import clean_dicom, dicom_bytes, nifti_bytes

SIZE = 128 << 20
FILES = 200


def _known(count: int) -> KnownStrings:
    letters = np.random.default_rng(1).integers(97, 123, (count, 9))
    names = ["".join(map(chr, row)) for row in letters]
    days = [f"19{50 + i % 50}-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(count)]
    strings = [KnownString(KnownKind.NAME, name) for name in names]
    return KnownStrings.of([*strings, *(KnownString(KnownKind.DATE, day) for day in days)])


def _seconds(action: Callable[[], object]) -> tuple[float, float]:
    """Return processor time and wall time (s)."""
    used, began = time.process_time(), time.perf_counter()
    action()
    return time.process_time() - used, time.perf_counter() - began


def _check(folder: Path, known: KnownStrings, built: tuple[float, float]) -> tuple[float, float]:
    """Return both times of a check in one process, without compiling the search."""
    used, took = _seconds(lambda: check_tree(folder, known, workers=1))
    return used - built[0], took - built[1]


def _scrubbed_samples(samples: Path, folder: Path) -> int:
    """Scrub every sample that passes; return how many do."""
    settings = load_profile("external"), Pseudonyms(bytes(32), "bench"), KnownIdentities()
    passed = 0
    for path in sorted(each for each in (samples / "dicom").rglob("*.dcm") if each.is_file()):
        try:
            scrub_dicom(path, folder / f"{passed:05}.dcm", *settings)
        except RefusedFileError:
            continue
        passed += 1
    return passed


def main() -> None:
    """Print the figures."""
    known = _known(30)
    found: list[Matcher] = []
    built = min(_seconds(lambda: found.append(Matcher(known))) for _ in range(3))
    matcher = found[0]
    print(f"{len(known.strings)} strings in {matcher.form_count} forms: built in {built[0]:.2f} s")
    noise = np.abs(np.random.default_rng(0).normal(0, 90, SIZE // 2)).astype("<i2").tobytes()
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "x.bin"
        path.write_bytes(noise)

        def scan() -> None:
            with path.open("rb") as stream:
                matcher.scan(stream, (), Region.VOXELS)

        _show("bytes", SIZE, 1, _seconds(scan), _seconds(path.read_bytes), "a plain read")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for index in range(FILES):
            (folder / f"{index}.dcm").write_bytes(dicom_bytes(clean_dicom(index + 1)))
        _show_dicom("made DICOM", folder, known, built)
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    samples = Path(os.environ.get("WINXNAT_SAMPLES", beside))
    with tempfile.TemporaryDirectory() as name:
        if _scrubbed_samples(samples, Path(name)):
            _show_dicom("real DICOM, scrubbed", Path(name), known, built)
    settings = load_profile("external"), Pseudonyms(bytes(32), "bench"), KnownIdentities()
    with tempfile.TemporaryDirectory() as name, tempfile.TemporaryDirectory() as other:
        path, target = Path(other) / "x.dcm", Path(name) / "x.dcm"
        count = enhanced_file(path)
        scrub_dicom(path, target, *settings)
        _show_dicom(f"enhanced, {count} elements", target.parent, known, built)
        target.unlink()
        flat_file(path, 346)
        scrub_dicom(path, target, *settings)
        _show_dicom("large, few elements", target.parent, known, built)
    with tempfile.TemporaryDirectory() as name:
        head = nifti_bytes()[:352]
        data = bytearray(head + noise[: 256 * 256 * 500 * 2])
        data[40:56] = np.array([3, 256, 256, 500, 1, 1, 1, 1], "<i2").tobytes()
        path = Path(name) / "x.nii"
        path.write_bytes(data)
        read = _seconds(path.read_bytes)
        _show("NIfTI", len(data), 1, _check(Path(name), known, built), read, "a plain read")


def _show_dicom(name: str, folder: Path, known: KnownStrings, built: tuple[float, float]) -> None:
    paths = sorted(folder.iterdir())
    size = sum(each.stat().st_size for each in paths)
    with tempfile.TemporaryDirectory() as other:
        copied = _seconds(lambda: [shutil.copyfile(each, f"{other}/x") for each in paths])
    _show(name, size, len(paths), _check(folder, known, built), copied, "a plain copy")


def _show(  # noqa: PLR0913, PLR0917 - one line
    name: str, size: int, count: int, taken: tuple[float, float], base: tuple[float, float],
    of: str,
) -> None:  # fmt: skip
    for kind, seconds, compared in zip(("processor", "wall"), taken, base, strict=True):
        print(
            f"{name:28} {kind:9}: {count / seconds:7.1f} files/s, {size / 1e6 / seconds:6.0f} MB/s,"
            f" {seconds / compared:6.1f} times {of}"
        )


if __name__ == "__main__":
    main()
