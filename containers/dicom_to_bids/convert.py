"""Runs dcm2niix once over the whole session and finds out which scans each image came from.

Once, because newer Siemens exports give every volume of a time series its own series number,
and only a converter that sees all of them joins them again. Not here: names (``names``).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

from containers.dicom_to_bids.classify.facts import number
from containers.dicom_to_bids.converter import (
    NAME_DIGITS,
    USUAL_LIMITS,
    Limits,
    RunError,
    Staged,
    empty,
    folder_of_links,
    run,
)
from containers.dicom_to_bids.doubts import missing_count
from containers.dicom_to_bids.inventory import DicomFile, Inventory, Scan
from containers.dicom_to_bids.nifti import read_nifti_header

_CRASHED = (
    "dcm2niix crashes on this scan, so nothing of it is in the tree; its private headers may be "
    "damaged: send it again."
)
_REPORTED = re.compile(r"^Convert (\d+) DICOM as (.+) \(\d+(?:x\d+)*\)$")


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


def convert_session(
    inventory: Inventory, scratch_dir: Path, limits: Limits = USUAL_LIMITS
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
    target_dir = scratch_dir / "nifti"
    staged = tuple((scan, file) for scan in inventory.convertible for file in scan.images)
    if not staged:
        return Conversion((), ())
    with folder_of_links(scratch_dir) as links_dir:
        folders = (links_dir / "dicom", target_dir)
        log, crashed = _run_where_possible(inventory, staged, folders, limits)
    used = _reported(log)
    warnings = _doubts(inventory, crashed)
    images = []
    # A file of physiological signals has a sidecar and no image.
    paths = [path for path in target_dir.glob("*.json") if path.with_suffix(".nii").exists()]
    for sidecar_path in sorted(paths):
        stem = sidecar_path.stem
        scan, first = staged[int(stem[:NAME_DIGITS])]
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
    warnings += surplus_scans(inventory, images)
    kept = [image for image in images if not set(image.scan_ids) & set(short)]
    return Conversion(tuple(_in_order(kept)), tuple(warnings), MappingProxyType(failed | short))


def _in_order(images: Sequence[Converted]) -> list[Converted]:
    """Sort images by acquisition; where headers do not tell which is first, by their voxels."""
    times = Counter(image.order for image in images)

    def key(image: Converted) -> tuple[Any, ...]:
        if times[image.order] == 1:
            return (image.order, "")
        with image.image_path.open("rb") as stream:
            return (image.order, hashlib.file_digest(stream, "sha256").hexdigest())

    return sorted(images, key=key)


def short_scans(inventory: Inventory, images: Iterable[Converted]) -> dict[str, str]:
    """Return the scans of which fewer slices came out than went in, each with a sentence."""
    return {
        scan.scan_id: f"dcm2niix made {made} slices of the {wanted} in its files, so what it made "
        "is not used; look whether the export is complete."
        for group, made, wanted in _slice_counts(inventory, images)
        if made < wanted
        for scan in group
    }


def surplus_scans(inventory: Inventory, images: Iterable[Converted]) -> list[str]:
    """Return a sentence for each measurement of which more slices came out than went in."""
    return [
        f"Scan {', '.join(scan.scan_id for scan in group)}: dcm2niix made {made} slices of the "
        f"{wanted} in its files; look whether some are twice in the tree."
        for group, made, wanted in _slice_counts(inventory, images)
        if made > wanted
    ]


def _slice_counts(
    inventory: Inventory, images: Iterable[Converted]
) -> Iterator[tuple[list[Scan], int, int]]:
    """Yield each measurement's scans with the slices that came out and went in.

    Slices in are counted from the DICOM headers (files, frames, tiles of mosaics), slices out
    from the NIfTI headers; scans whose files dcm2niix joined are counted together. Left out where
    nothing came out, or the headers do not say how many there are.
    """
    groups = _measurements(inventory.convertible)
    group_of = {scan.scan_id: place for place, group in enumerate(groups) for scan in group}
    made = [0] * len(groups)
    for image in images:
        # By voxels: dcm2niix turns some volumes so that the slices lie along another axis. A
        # mosaic holds more pixels than its slices, and is never turned.
        pixels = image.slice_pixels or prod(image.shape[:2])
        made[group_of[image.scan_ids[0]]] += prod(image.shape) // pixels
    for place, group in enumerate(groups):
        counts = [file.slice_count for scan in group for file in scan.images]
        if made[place] and all(counts):
            yield group, made[place], sum(counts)


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
        return run(inventory, staged, everything, folders, limits), ()
    except RunError as error:
        first_error = error
    good: list[frozenset[str]] = []
    for group in _measurements(inventory.convertible):
        names = frozenset(scan.scan_id for scan in group) & everything
        try:
            if names:
                run(inventory, staged, names, folders, limits)
                good.append(names)
        except RunError:
            continue
    if not good:
        raise first_error.error
    kept = frozenset().union(*good)
    crashed = tuple(scan.scan_id for scan in inventory.scans if scan.scan_id in everything - kept)
    try:
        return run(inventory, staged, kept, folders, limits), crashed
    except RunError:
        # None alone, but all together: then each measurement by itself.
        empty(folders[1])
        logs = [run(inventory, staged, names, folders, limits, is_fresh=False) for names in good]
        return "".join(logs), crashed


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
    echo = number(sidecar.get("EchoNumber")) or 1
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
        ),
        bval_path=bval_path if bval_path.exists() else None,
        bvec_path=bvec_path if bvec_path.exists() else None,
        # dcm2niix adds an interpolated image, without a sidecar, to one with uneven slices.
        slice_pixels=first.slice_pixels,
        is_even=not any(image_path.parent.glob(f"{image_path.stem}_Eq*.nii")),
    )
