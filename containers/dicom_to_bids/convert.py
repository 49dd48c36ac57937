"""Runs dcm2niix once over the whole session and finds out which scans each image came from.

Once, because newer Siemens exports give every volume of a time series its own series number,
and only a converter that sees all of them joins them again. Not here: names (``names``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dcm2niix

from containers.contract import OutOfResourcesError, StepError, ToolFailedError
from containers.dicom_to_bids.doubts import missing_count
from containers.dicom_to_bids.inventory import DicomFile, Inventory, Scan
from containers.dicom_to_bids.nifti import read_nifti_header

DCM2NIIX_VERSION = str(dcm2niix.__version__)
_SOME_CONVERTED = 8
"""dcm2niix's exit code when some series could not be converted and others were."""
_NOTHING_CONVERTED = 2
_NAME_DIGITS = 8
_CRASHED = (
    "dcm2niix crashes on this scan, so nothing of it is in the tree; its private headers may be "
    "damaged: send it again."
)
_REPORTED = re.compile(r"^Convert (\d+) DICOM as (.+) \(\d+(?:x\d+)*\)$")
_LONGEST_LOG_LINE = 200
_CANNOT_WRITE = "Error: Unable to write"
_LEAST_FREE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of dcm2niix may take before it is ended.

    It converts thousands of files in a second, so these are far above what any session needs;
    they end a run that a damaged header sends into a loop, or makes ask for absurd memory.
    Memory is the address space: a base for the program, and so much for each byte of input,
    which compressed pixels need when they are unpacked.
    """

    base_s: float = 300.0
    per_file_s: float = 0.25
    base_bytes: int = 4 << 30
    per_input_byte: int = 32

    def time_s(self, file_count: int) -> float:
        """Return the seconds for a run over so many files."""
        return self.base_s + self.per_file_s * file_count

    def memory_bytes(self, input_bytes: int) -> int:
        """Return the address space for a run over so many bytes."""
        return self.base_bytes + self.per_input_byte * input_bytes


_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Converted:
    """One NIfTI image of dcm2niix.

    ``shape`` has the axes (X, Y, Z) or (X, Y, Z, T), in voxels. ``order`` sorts images by
    acquisition; it holds times and never leaves the step. ``guess`` is dcm2niix's own BIDS data
    type and name, or None. ``is_even``: all slices are equally far apart. ``slice_pixels`` of
    one slice by the DICOM header, 0 where it holds a mosaic.
    """

    image_path: Path
    sidecar: Mapping[str, Any]
    shape: tuple[int, ...]
    scan_ids: tuple[str, ...]
    protocol: str
    order: tuple[Any, ...]
    bval_path: Path | None = None
    bvec_path: Path | None = None
    is_even: bool = True
    slice_pixels: int = 0

    @property
    def guess(self) -> tuple[str, str] | None:
        """Return data type and name as dcm2niix guesses them."""
        guess = self.sidecar.get("BidsGuess")
        return (str(guess[0]), str(guess[1])) if guess else None

    @property
    def volume_count(self) -> int:
        """Return the length of the fourth axis."""
        return self.shape[3] if len(self.shape) > 3 else 1  # noqa: PLR2004 - the time axis


@dataclass(frozen=True, slots=True)
class Conversion:
    """All images in order of acquisition, and what the converter could not do or tell.

    ``failed`` has a sentence for each scan on which the converter crashed, by scan id.
    """

    images: tuple[Converted, ...]
    warnings: tuple[str, ...]
    failed: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class _RunError(Exception):
    """dcm2niix ended abnormally, by itself or by a limit; ``error`` says so to people."""

    def __init__(self, error: StepError) -> None:
        super().__init__()
        self.error = error


Staged = tuple[tuple[Scan, DicomFile], ...]


def convert_session(
    inventory: Inventory, scratch_dir: Path, limits: Limits = _LIMITS
) -> Conversion:
    """Convert all whole scans of the session.

    Where dcm2niix crashes, does not end or takes too much memory, it is tried on each
    measurement alone, and the session is converted without those on which it does. A scan of
    which it made fewer slices than went in is not handed on.

    Raises
    ------
    ToolFailedError
        dcm2niix ended abnormally, and leaving out measurements does not help.
    OutOfResourcesError
        Memory, disk or time is too short for any of them.
    """
    source_dir, target_dir = scratch_dir / "dicom", scratch_dir / "nifti"
    staged = tuple((scan, file) for scan in inventory.convertible for file in scan.images)
    if not staged:
        return Conversion((), ())
    log, crashed = _run_where_possible(inventory, staged, (source_dir, target_dir), limits)
    used = _reported(log)
    warnings = _doubts(inventory, crashed)
    images = []
    for sidecar_path in sorted(target_dir.glob("*.json")):
        stem = sidecar_path.stem
        scan, first = staged[int(stem[:_NAME_DIGITS])]
        count = used.get(stem, 0)
        scan_ids: tuple[str, ...] = (scan.scan_id,)
        if count > len(scan.images):
            scan_ids, is_certain = _joined_scans(inventory, first, count)
            if not is_certain:
                warnings.append(
                    f"dcm2niix joined {count} files of several scans into one image; the "
                    f"account names scans {', '.join(scan_ids)} for it by their headers."
                )
        images.append(_converted(sidecar_path, scan_ids, first))
    failed = dict.fromkeys(crashed, _CRASHED)
    short = short_scans(inventory, images)
    warnings += [f"Scan {scan_id}: {sentence}" for scan_id, sentence in short.items()]
    kept = [image for image in images if not set(image.scan_ids) & set(short)]
    ordered = tuple(sorted(kept, key=lambda image: image.order))
    return Conversion(ordered, tuple(warnings), MappingProxyType(failed | short))


def short_scans(inventory: Inventory, images: Iterable[Converted]) -> dict[str, str]:
    """Return the scans of which fewer slices came out than went in, each with a sentence.

    Slices in are counted from the DICOM headers (files, frames, tiles of mosaics), slices out
    from the NIfTI headers; scans whose files dcm2niix joined are counted together.
    """
    groups = _measurements(inventory.convertible)
    group_of = {scan.scan_id: place for place, group in enumerate(groups) for scan in group}
    made = [0] * len(groups)
    for image in images:
        # By voxels: dcm2niix turns some volumes so that the slices lie along another axis. A
        # mosaic holds more pixels than its slices, and is never turned.
        pixels = image.slice_pixels or prod(image.shape[:2])
        made[group_of[image.scan_ids[0]]] += prod(image.shape) // pixels
    short: dict[str, str] = {}
    for place, group in enumerate(groups):
        counts = [file.slice_count for scan in group for file in scan.images]
        if made[place] and all(counts) and made[place] < sum(counts):
            sentence = (
                f"dcm2niix made {made[place]} slices of the {sum(counts)} in its files, so what "
                "it made is not used; look whether the export is complete."
            )
            short |= {scan.scan_id: sentence for scan in group}
    return short


def _measurements(scans: Sequence[Scan]) -> list[list[Scan]]:
    """Return the scans in groups: those that hold parts of one measurement belong together."""
    groups: list[list[Scan]] = []
    by_key: dict[tuple[str, ...], int] = {}
    for scan in scans:
        keys = {file.join_key for file in scan.images}
        place = min((by_key[key] for key in keys if key in by_key), default=len(groups))
        if place == len(groups):
            groups.append([])
        groups[place].append(scan)
        by_key |= dict.fromkeys(keys, place)
    return groups


def _run_where_possible(
    inventory: Inventory, staged: Staged, folders: tuple[Path, Path], limits: Limits
) -> tuple[str, tuple[str, ...]]:
    """Run dcm2niix without the scans on which it crashes; return its log and these scans."""
    everything = frozenset(scan.scan_id for scan, _ in staged)
    try:
        return _run(inventory, staged, everything, folders, limits), ()
    except _RunError as error:
        first_error = error
    good: list[frozenset[str]] = []
    for group in _measurements(inventory.convertible):
        names = frozenset(scan.scan_id for scan in group) & everything
        try:
            if names:
                _run(inventory, staged, names, folders, limits)
                good.append(names)
        except _RunError:
            continue
    if not good:
        raise first_error.error
    kept = frozenset().union(*good)
    crashed = tuple(scan.scan_id for scan in inventory.scans if scan.scan_id in everything - kept)
    try:
        return _run(inventory, staged, kept, folders, limits), crashed
    except _RunError:
        # None alone, but all together: then each measurement by itself.
        _empty(folders[1])
        logs = [_run(inventory, staged, names, folders, limits, is_fresh=False) for names in good]
        return "".join(logs), crashed


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _doubts(inventory: Inventory, crashed: Iterable[str]) -> list[str]:
    """Return sentences about scans that a person should look at."""
    found = [f"Scan {scan_id}: {_CRASHED}" for scan_id in crashed]
    for scan in inventory.scans:
        copy_count = sum(file.is_copy for file in scan.files)
        if copy_count:
            found.append(
                f"Scan {scan.scan_id}: {copy_count} of its {len(scan.files)} files are copies of "
                "other files and were not read again."
            )
        missing = missing_count([file.instance_number for file in scan.images])
        if missing:
            found.append(
                f"Scan {scan.scan_id}: {missing} numbers are missing among those of its images; "
                "compare its files with the scanner's."
            )
    return found


def _run(  # noqa: PLR0913 - one run has this many sides
    inventory: Inventory,
    staged: Staged,
    scan_ids: frozenset[str],
    folders: tuple[Path, Path],
    limits: Limits,
    *,
    is_fresh: bool = True,
) -> str:
    """Run dcm2niix on some scans; return its log.

    The converter sees links with plain names to whole images only, and the name of the first
    file of each image comes back in the image's name: the file's place among ``staged``.
    """
    source_dir, target_dir = folders
    _empty(source_dir)
    if is_fresh:
        _empty(target_dir)
    input_bytes = file_count = 0
    for number, (scan, file) in enumerate(staged):
        if scan.scan_id in scan_ids:
            (source_dir / f"{number:0{_NAME_DIGITS}d}").symlink_to(file.path)
            input_bytes += file.path.stat().st_size
            file_count += 1
    return_code, log = _start(
        [
            dcm2niix.bin,
            *("-g", "i"),  # no defaults file of whoever runs this
            *("-b", "y"),
            *("-ba", "y"),
            *("-z", "n"),
            *("-d", "0"),
            *("-f", "%b"),
            *("-o", str(target_dir)),
            str(source_dir),
        ],
        limits.time_s(file_count),
        limits.memory_bytes(input_bytes),
    )
    _refuse_full_disk(log, target_dir)
    if return_code not in {0, _SOME_CONVERTED, _NOTHING_CONVERTED}:
        raise _RunError(
            ToolFailedError(
                f"dcm2niix ended with code {return_code} while converting the session; its "
                f"last line was: {_last_line(inventory, log)}"
            )
        )
    return log


def _start(arguments: Sequence[str], time_s: float, memory_bytes: int) -> tuple[int, str]:
    """Run a program within its limits; return its exit code and what it printed."""
    with subprocess.Popen(
        arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        # After the start, since nothing is safe between fork and exec; it may have ended already.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        try:
            output, _ = process.communicate(timeout=time_s)
        except subprocess.TimeoutExpired as error:
            raise _RunError(
                OutOfResourcesError(
                    f"dcm2niix did not end within {time_s:.0f} seconds; look whether the session "
                    "is whole."
                )
            ) from error
        finally:
            process.kill()
    if process.returncode == -signal.SIGKILL:
        raise _RunError(
            OutOfResourcesError(
                "dcm2niix was ended by the system while converting the session; give the step "
                "more memory."
            )
        )
    # The log may quote headers in any encoding.
    return process.returncode, output.decode("utf-8", errors="replace")


def _refuse_full_disk(log: str, target_dir: Path) -> None:
    """Raise where images may be missing for want of room, which dcm2niix does not count."""
    is_refused = any(line.startswith(_CANNOT_WRITE) for line in log.splitlines())
    if is_refused or shutil.disk_usage(target_dir).free < _LEAST_FREE_BYTES:
        raise OutOfResourcesError(
            "The temporary folder is full, so images of the session would be missing; make room "
            "there, or name a larger one in TMPDIR."
        )


def _last_line(inventory: Inventory, log: str) -> str:
    """Return the last line of the log without paths; nothing of it if it names a person."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    if not lines:
        return "(none)"
    line = re.sub(r"\S*/\S*", "(path)", lines[-1])[:_LONGEST_LOG_LINE]
    return "(withheld)" if inventory.identity.touches(line) else line


def _reported(log: str) -> Mapping[str, int]:
    """Return the number of DICOM files that went into each output, by the output's name."""
    found = [match for line in log.splitlines() if (match := _REPORTED.match(line))]
    return MappingProxyType({Path(match[2]).name: int(match[1]) for match in found})


def _joined_scans(
    inventory: Inventory, first: DicomFile, count: int
) -> tuple[tuple[str, ...], bool]:
    """Return the scans whose headers match the first file's, and whether the count agrees."""
    sizes = {
        scan.scan_id: size
        for scan in inventory.convertible
        if (size := sum(file.join_key == first.join_key for file in scan.images))
    }
    return tuple(sizes), sum(sizes.values()) == count


def _converted(sidecar_path: Path, scan_ids: tuple[str, ...], first: DicomFile) -> Converted:
    image_path = sidecar_path.with_suffix(".nii")
    sidecar = json.loads(sidecar_path.read_text("utf-8", errors="replace"))
    bval_path, bvec_path = (sidecar_path.with_suffix(end) for end in (".bval", ".bvec"))
    echo = sidecar.get("EchoNumber") or 1
    with image_path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Converted(
        image_path=image_path,
        sidecar=MappingProxyType(sidecar),
        shape=read_nifti_header(image_path).shape,
        scan_ids=scan_ids,
        protocol=first.protocol,
        order=(
            first.taken_at,
            first.series_number or 0,
            echo,
            str(sidecar.get("ImageType")),
            digest,
        ),
        bval_path=bval_path if bval_path.exists() else None,
        bvec_path=bvec_path if bvec_path.exists() else None,
        # dcm2niix adds an interpolated image, without a sidecar, to one with uneven slices.
        slice_pixels=first.slice_pixels,
        is_even=not any(image_path.parent.glob(f"{image_path.stem}_Eq*.nii")),
    )
