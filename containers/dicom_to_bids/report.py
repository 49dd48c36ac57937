"""Accounts for every scan of the session exactly once.

Not here: the run's own report with checksums and times, which the entry point writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from containers.contract import Accounted
from containers.dicom_to_bids.inventory import Inventory, Scan
from containers.dicom_to_bids.names import Naming
from containers.dicom_to_bids.tree import write_json

ACCOUNT_FILE_NAME = "account.json"
VALIDATOR_FILE_NAME = "validator.json"


def account(
    inventory: Inventory,
    naming: Naming,
    outputs: Sequence[tuple[str, ...]],
    failed: Mapping[str, str],
) -> tuple[tuple[Accounted, ...], tuple[str, ...]]:
    """Return what became of each scan, and sentences about scans that are kept in part.

    Parameters
    ----------
    inventory : Inventory
        All scans.
    naming : Naming
        All images.
    outputs : Sequence[tuple[str, ...]]
        The files of each named image.
    failed : Mapping[str, str]
        Why the converter failed, by scan id.
    """
    files: dict[str, list[str]] = {}
    reasons: dict[str, list[str]] = {}
    for item, written in zip(naming.named, outputs, strict=True):
        for scan_id in item.image.scan_ids:
            files.setdefault(scan_id, []).extend(written)
    for left_out in naming.left_out:
        for scan_id in left_out.image.scan_ids:
            reasons.setdefault(scan_id, []).append(left_out.reason)
    rows = []
    notes = []
    for scan in inventory.scans:
        row = _row(scan, files.get(scan.scan_id, []), reasons.get(scan.scan_id, []))
        if scan.scan_id in failed:
            row = Accounted(scan.scan_id, "failed", failed[scan.scan_id])
        rows.append(row)
        if row.outcome == "done" and scan.scan_id in reasons:
            count = len(reasons[scan.scan_id])
            notes.append(
                f"Scan {scan.scan_id} is kept in part; {count} more of its images are left out: "
                f"{_joined(reasons[scan.scan_id])}"
            )
    return tuple(rows), tuple(notes)


def _row(scan: Scan, files: Sequence[str], reasons: Sequence[str]) -> Accounted:
    if files:
        return Accounted(scan.scan_id, "done", outputs=tuple(sorted(files)))
    if reasons:
        return Accounted(scan.scan_id, "left-out", _joined(reasons))
    if not scan.images:
        return Accounted(
            scan.scan_id,
            "left-out",
            "All its images are copies of files of other scans."
            if any(file.is_image for file in scan.files)
            else "It has no images, only other DICOM objects (such as reports).",
        )
    return Accounted(scan.scan_id, "failed", "dcm2niix made no image of it.")


def _joined(reasons: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(reasons))


def write_account(folder: Path, rows: Sequence[Accounted], inventory: Inventory) -> None:
    """Write the account as JSON, with the number of files of each scan."""
    counts = {scan.scan_id: len(scan.files) for scan in inventory.scans}
    write_json(
        folder / ACCOUNT_FILE_NAME,
        [asdict(row) | {"dicom_files": counts[row.subject]} for row in rows],
    )
