"""Runs dcm2niix once over the whole session and finds out which scans each image came from.

Once, because newer Siemens exports give every volume of a time series its own series number,
and only a converter that sees all of them joins them again. Not here: names (``names``).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import dcm2niix
import nibabel as nib

from containers.contract import OutOfResourcesError, ToolFailedError
from containers.dicom_to_bids.doubts import missing_count
from containers.dicom_to_bids.inventory import DicomFile, Inventory, Scan

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
class Converted:
    """One NIfTI image of dcm2niix.

    ``shape`` has the axes (X, Y, Z) or (X, Y, Z, T), in voxels. ``order`` sorts images by
    acquisition; it holds times and never leaves the step. ``guess`` is dcm2niix's own BIDS data
    type and name, or None. ``is_even``: all slices are equally far apart.
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


class _CrashError(ToolFailedError):
    """dcm2niix ended abnormally."""


def convert_session(inventory: Inventory, scratch_dir: Path) -> Conversion:
    """Convert all images of the session.

    Where dcm2niix crashes, it is tried on each scan alone, and the session is converted without
    those on which it crashes.

    Raises
    ------
    ToolFailedError
        dcm2niix ended abnormally, and leaving out single scans does not help.
    OutOfResourcesError
        The system ended it, which happens when memory is short.
    """
    source_dir, target_dir = scratch_dir / "dicom", scratch_dir / "nifti"
    source_dir.mkdir()
    target_dir.mkdir()
    staged: list[tuple[Scan, DicomFile]] = []
    for scan in inventory.scans:
        for file in scan.images:
            # Links with unique plain names: the converter sees only whole images, and the
            # name of the first file of each image comes back in the image's name.
            (source_dir / f"{len(staged):0{_NAME_DIGITS}d}").symlink_to(file.path)
            staged.append((scan, file))
    if not staged:
        return Conversion((), ())
    log, crashed = _run_where_possible(inventory, source_dir, target_dir)
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
    ordered = tuple(sorted(images, key=lambda image: image.order))
    failed = MappingProxyType(dict.fromkeys(crashed, _CRASHED))
    return Conversion(ordered, tuple(warnings), failed)


def _run_where_possible(
    inventory: Inventory, source_dir: Path, target_dir: Path
) -> tuple[str, tuple[str, ...]]:
    """Run dcm2niix without the scans on which it crashes; return its log and these scans."""
    try:
        return _run(inventory, source_dir, target_dir), ()
    except _CrashError:
        crashed = _crashing_scans(inventory, source_dir.parent)
        spoilt = {
            file.path for scan in inventory.scans for file in scan.images if scan.scan_id in crashed
        }
        for link in source_dir.iterdir():
            if link.readlink() in spoilt:
                link.unlink()
        if not crashed or not any(source_dir.iterdir()):
            raise
    shutil.rmtree(target_dir)
    target_dir.mkdir()
    return _run(inventory, source_dir, target_dir), crashed


def _crashing_scans(inventory: Inventory, scratch_dir: Path) -> tuple[str, ...]:
    """Return the scans on which dcm2niix crashes even where it sees nothing else."""
    found = []
    for scan in inventory.scans:
        source_dir, target_dir = scratch_dir / "one-dicom", scratch_dir / "one-nifti"
        for folder in (source_dir, target_dir):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        for number, file in enumerate(scan.images):
            (source_dir / f"{number:0{_NAME_DIGITS}d}").symlink_to(file.path)
        try:
            _run(inventory, source_dir, target_dir)
        except _CrashError:
            found.append(scan.scan_id)
    return tuple(found)


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


def _run(inventory: Inventory, source_dir: Path, target_dir: Path) -> str:
    """Run dcm2niix; return its log."""
    arguments = [
        dcm2niix.bin,
        *("-g", "i"),  # no defaults file of whoever runs this
        *("-b", "y"),
        *("-ba", "y"),
        *("-z", "n"),
        *("-d", "0"),
        *("-f", "%b"),
        *("-o", str(target_dir)),
        str(source_dir),
    ]
    # The log may quote headers in any encoding.
    result = subprocess.run(arguments, capture_output=True, check=False)
    log = (result.stdout + result.stderr).decode("utf-8", errors="replace")
    if result.returncode == -signal.SIGKILL:
        raise OutOfResourcesError(
            "dcm2niix was ended by the system while converting the session; give the step "
            "more memory."
        )
    _refuse_full_disk(log, target_dir)
    if result.returncode not in {0, _SOME_CONVERTED, _NOTHING_CONVERTED}:
        raise _CrashError(
            f"dcm2niix ended with code {result.returncode} while converting the session; its "
            f"last line was: {_last_line(inventory, log)}"
        )
    return log


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
        for scan in inventory.scans
        if (size := sum(file.join_key == first.join_key for file in scan.images))
    }
    return tuple(sizes), sum(sizes.values()) == count


def load_nifti(path: Path) -> nib.Nifti1Image:
    """Open an image that dcm2niix wrote.

    Raises
    ------
    ToolFailedError
        The file is no NIfTI image.
    """
    image = nib.load(path)
    if not isinstance(image, nib.Nifti1Image):
        raise ToolFailedError(
            f"dcm2niix wrote a file of another kind than NIfTI; its version is {DCM2NIIX_VERSION}."
        )
    return image


def _converted(sidecar_path: Path, scan_ids: tuple[str, ...], first: DicomFile) -> Converted:
    image_path = sidecar_path.with_suffix(".nii")
    picture = load_nifti(image_path)
    sidecar = json.loads(sidecar_path.read_text("utf-8", errors="replace"))
    bval_path, bvec_path = (sidecar_path.with_suffix(end) for end in (".bval", ".bvec"))
    echo = sidecar.get("EchoNumber") or 1
    with image_path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Converted(
        image_path=image_path,
        sidecar=MappingProxyType(sidecar),
        shape=tuple(int(length) for length in picture.shape),
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
        is_even=not any(image_path.parent.glob(f"{image_path.stem}_Eq*.nii")),
    )
