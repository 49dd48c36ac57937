"""Speed and memory of the header scrubber against a plain copy of the same files, in one run.

Run as ``python tests/benchmarks/bench_scrub.py``; real headers are taken from the sample data
(WINXNAT_SAMPLES or ../shared/data), frames are made larger by repetition. Needs some hundred MB
in the temporary folder (TMPDIR; a memory file system gives the steadiest figures), and some GB
with ``--memory``.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import pydicom
from pydicom._dicom_dict import DicomDictionary
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from containers.scrub_headers.table import table
from tests.builders.mr_files import element, file_bytes, insert_before, mr_dataset

SESSIONS = ("siemens_e11_bold_human", "siemens_xa30_interop_phantom", "uih_dti_human")
MEAN_BYTES = 226_000
NEIGHBOURS = 3
REPEATS = 3
FRAMES = 1600


PROFILE = load_profile("external")


def _settings() -> tuple:
    """Return what one run has in common; nothing is remembered from the run before."""
    known = KnownIdentities.of(names=["Nobody^Known"], identifiers=["12345678"])
    return PROFILE, Pseudonyms(bytes(32), "bench"), known


def scrub_all(files: Sequence[Path], out: Path) -> int:
    """Scrub files into a folder; return how many passed."""
    settings = _settings()
    passed = 0
    for each in files:
        try:
            scrub_dicom(each, out / each.name, *settings)
            passed += 1
        except RefusedFileError:
            continue
    return passed


def copy_all(files: Sequence[Path], out: Path) -> int:
    """Copy files into a folder."""
    for each in files:
        shutil.copyfile(each, out / each.name)
    return len(files)


def measure(
    work: Callable[[Sequence[Path], Path], int], files: Sequence[Path], base: Path
) -> tuple[float, float]:
    """Return the least wall and processor time (s) of some repeats, each into a new folder.

    Processor time, of user and system, is the fairer figure on a busy machine.
    """
    times, processor = [], []
    for _ in range(REPEATS):
        out = Path(tempfile.mkdtemp(dir=base))
        began, used = time.perf_counter(), time.process_time()
        work(files, out)
        times.append(time.perf_counter() - began)
        processor.append(time.process_time() - used)
        shutil.rmtree(out)
    return min(times), min(processor)


def small_files(samples: Path, base: Path) -> list[Path]:
    """Write real files with frames repeated to a usual size; only those that pass.

    Few images of each series are in the samples, so each gets neighbours with numbers, places,
    times and UIDs of their own.
    """
    found = [
        path
        for name in SESSIONS
        for path in sorted((samples / "dicom" / name).glob("SCANS/*/DICOM/*.dcm"))
    ]
    made = []
    for number, path in enumerate(found):
        image = pydicom.dcmread(path)
        if image.get("SamplesPerPixel") != 1 or image.file_meta.TransferSyntaxUID.is_compressed:
            continue
        header = path.stat().st_size - len(image.PixelData)
        times = max(1, round((MEAN_BYTES - header) / len(image.PixelData)))
        image.PixelData *= times
        image.Rows *= times
        for neighbour in range(NEIGHBOURS):
            target = base / f"{number:04}-{neighbour}.dcm"
            _as_neighbour(image, neighbour)
            image.save_as(target)
            made.append(target)
    out = Path(tempfile.mkdtemp(dir=base))
    settings = _settings()
    passing = []
    for each in made:
        try:
            scrub_dicom(each, out / each.name, *settings)
            passing.append(each)
        except RefusedFileError:
            each.unlink()
    shutil.rmtree(out)
    return passing


def _as_neighbour(image: pydicom.Dataset, neighbour: int) -> None:
    """Change what differs between images of a series."""
    if not neighbour:
        return
    image.SOPInstanceUID = f"{image.SOPInstanceUID[:50]}.{neighbour}"
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.InstanceNumber = int(image.get("InstanceNumber") or 0) + 1000
    for keyword in ("AcquisitionTime", "ContentTime"):
        if image.get(keyword):
            image[keyword].value = f"1{neighbour}{str(image[keyword].value)[2:]}"
    if image.get("SliceLocation") is not None:
        image.SliceLocation = round(float(image.SliceLocation) + 1.3, 5)
    if image.get("ImagePositionPatient"):
        image.ImagePositionPatient = [round(float(x) + 1.7, 5) for x in image.ImagePositionPatient]


@cache
def attributes(vr: str, count: int) -> list[int]:
    """Return some attributes of enhanced MR images that Table E.1-1 does not name."""
    found = (
        tag
        for tag, row in sorted(DicomDictionary.items())
        if 0x00189000 <= tag <= 0x0018930F and row[0] == vr and tag not in table() and not row[3]
    )
    return [tag for tag in found if tag not in {0x00189114, 0x00189082}][:count]


def frame_item(number: int) -> bytes:
    """Return one item of (5200,9230) with some 225 elements, as scanners write them.

    Every sequence has a value of its own frame, so that none is the same in two frames.
    """

    def sequence(tag: int, *elements: bytes) -> bytes:
        body = b"".join(elements)
        return element(tag, "SQ", b"\xfe\xff\0\xe0" + len(body).to_bytes(4, "little") + body)

    position = f"{-100 + number * 0.5:.4f}\\-80.25\\{number * 1.75:.4f}".encode()
    position += b" " * (len(position) % 2)
    double = np.float64(number * 0.75).tobytes()
    content = [
        sequence(0x00189114, element(0x00189082, "FD", double)),
        sequence(0x00209111, element(0x00189074, "DT", b"20210304101112.5"),
                 element(0x00189151, "DT", b"20210304101113.5"),
                 element(0x00209057, "UL", number.to_bytes(4, "little"))),
        sequence(0x00209113, element(0x00200032, "DS", position)),
        sequence(0x00209116, element(0x00200037, "DS", b"1\\0\\0\\0\\1\\0 ")),
    ]  # fmt: skip
    random = np.random.default_rng(number)
    filler = []
    for each in attributes("SQ", 19):
        numbers = [
            element(tag, "FD", np.float64(value).tobytes())
            for tag, value in zip(attributes("FD", 10), random.uniform(0, 1000, 10), strict=True)
        ]
        filler.append(sequence(each, *numbers))
    body = b"".join(sorted(content + filler, key=lambda each: (each[0:2][::-1], each[2:4][::-1])))
    return b"\xfe\xff\0\xe0" + len(body).to_bytes(4, "little") + body


def enhanced_file(target: Path) -> int:
    """Write an enhanced file of 1,600 frames; return its number of elements."""
    image = mr_dataset(220, 212)
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.4.1"
    image.NumberOfFrames = FRAMES
    image.PixelData = image.PixelData * FRAMES
    items = b"".join(frame_item(each) for each in range(FRAMES))
    head, pixels = file_bytes(image), image.PixelData
    data = head[: -len(pixels)]
    data = insert_before(data, 0x7FE00010, element(0x52009230, "SQ", items)) + pixels
    target.write_bytes(data)
    elements_of_a_frame = 4 + 6 + 19 * 11
    return FRAMES * elements_of_a_frame


def flat_file(target: Path, frames: int) -> None:
    """Write a file of few elements and many frames of 0.4 MB."""
    image = mr_dataset(448, 448)
    image.NumberOfFrames = frames
    pixels = image.PixelData
    head = file_bytes(image)[: -len(pixels) - 4]
    length = len(pixels) * frames
    with target.open("wb") as file:
        file.write(head + length.to_bytes(4, "little"))
        # A hole reads as zeros, so a large file costs no disk.
        file.truncate(len(head) + 4 + length)
        if length < 1 << 28:
            file.write(pixels * frames)


def encapsulated_file(target: Path, frames: int) -> None:
    """Write a file of any size: JPEG frames of 0.4 MB, each in a fragment, with nothing in them.

    Pixel data in one piece end at 4 GB, where the number of their length ends.
    """
    image = mr_dataset(448, 448)
    image.NumberOfFrames = frames
    size = len(image.PixelData)
    image.PixelData = encapsulate([image.PixelData])
    data = file_bytes(image, JPEGBaseline8Bit)
    head = data[: data.rindex(b"\xe0\x7f\x10\x00") + 12]
    item, scan = b"\xfe\xff\x00\xe0", b"\xff\xd8\xff\xda"
    with target.open("wb") as file:
        file.write(head + item + bytes(4))
        for _ in range(frames):
            file.write(item + size.to_bytes(4, "little") + scan)
            # A hole reads as zeros, so it costs no disk.
            file.seek(size - len(scan), os.SEEK_CUR)
        file.write(b"\xfe\xff\xdd\xe0" + bytes(4))


def report(name: str, files: Sequence[Path], base: Path) -> None:
    """Print both times of some files."""
    (copy_wall, copy_used), (wall, used) = (
        measure(work, files, base) for work in (copy_all, scrub_all)
    )
    size = sum(each.stat().st_size for each in files)
    print(
        f"{name:28} {len(files):4} files {size / 1e6:6.1f} MB | wall: copy {copy_wall * 1e3:7.1f} "
        f"scrub {wall * 1e3:7.1f} ms, x{wall / copy_wall:.2f}, {len(files) / wall:.0f} files/s "
        f"| processor: copy {copy_used * 1e3:7.1f} scrub {used * 1e3:7.1f} ms, "
        f"x{used / copy_used:.2f}, {len(files) / used:.0f} files/s"
    )


def processor_time(files: Sequence[Path], out: Path) -> float:
    """Scrub files; return the processor time (s) that it took this process."""
    used = time.process_time()
    scrub_all(files, out)
    return time.process_time() - used


def two_processes(files: Sequence[Path], base: Path) -> None:
    """Print how much two processes gain over one; they are started before the clock.

    By processor time the gain is that on a machine with nothing else to do: two, less what the
    processes do twice because they share nothing.
    """
    outs = [Path(tempfile.mkdtemp(dir=base)) for _ in range(3)]
    middle = len(files) // 2
    walls, gains = [], []
    with ProcessPoolExecutor(2) as pool:
        list(pool.map(processor_time, [files[:1], files[-1:]], outs[:2]))
        for each in outs:
            shutil.rmtree(each)
            each.mkdir()
        for _ in range(REPEATS):
            began = time.perf_counter()
            used_one = pool.submit(processor_time, files, outs[2]).result()
            one = time.perf_counter() - began
            began = time.perf_counter()
            halves = [files[:middle], files[middle:]]
            used_two = list(pool.map(processor_time, halves, outs[:2]))
            walls.append(one / (time.perf_counter() - began))
            gains.append(2 * used_one / sum(used_two))
            for each in outs:
                shutil.rmtree(each)
                each.mkdir()
    print(
        f"two processes: wall {max(walls):.2f} times one, processor time {max(gains):.2f} times one"
    )


def memory(base: Path, gigabytes: int) -> None:
    """Print the peak memory of scrubbing one large file in a process of its own."""
    source = base / "large.dcm"
    encapsulated_file(source, gigabytes * 2500)
    pid = os.fork()
    if pid == 0:
        passed = scrub_all([source], Path(tempfile.mkdtemp(dir=base)))
        os._exit(0 if passed else 1)
    _, status, usage = os.wait4(pid, 0)
    if status:
        print("the file was refused: the figure says nothing")
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{source.stat().st_size / 1e9:.1f} GB in one file: peak {usage.ru_maxrss / 1024:.0f} MB "
        f"(this process before: {own / 1024:.0f} MB)"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", type=int, metavar="GB", help="measure memory only")
    arguments = parser.parse_args()
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    samples = Path(os.environ.get("WINXNAT_SAMPLES", beside))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        if arguments.memory:
            memory(base, arguments.memory)
            return
        files = small_files(samples, base)
        report("small, real headers", files, base)
        two_processes(files, base)
        flat = base / "flat.dcm"
        flat_file(flat, 346)
        report("large, few elements", [flat], base)
        flat.unlink()
        enhanced = base / "enhanced.dcm"
        count = enhanced_file(enhanced)
        report(f"enhanced, {count} elements", [enhanced], base)


if __name__ == "__main__":
    main()
