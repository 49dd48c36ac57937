"""Accounts for every scan of the session exactly once.

Not here: the run's own report with checksums and times, which the entry point writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from containers.contract import Accounted
from containers.dicom_to_bids.classify.decision import Decision
from containers.dicom_to_bids.inventory import Inventory, Scan
from containers.dicom_to_bids.names import LeftOut, Naming
from containers.dicom_to_bids.refusals import is_supported, modality_reason
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
        problem = scan.problem or failed.get(scan.scan_id, "")
        if problem:
            row = Accounted(scan.scan_id, "failed", problem)
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
        return Accounted(scan.scan_id, "left-out", _reason_for_no_images(scan))
    return Accounted(scan.scan_id, "failed", "dcm2niix made no image of it.")


def _reason_for_no_images(scan: Scan) -> str:
    images = [file for file in scan.files if file.is_image]
    other = {file.modality for file in images if not is_supported(file.modality)}
    if other:
        return modality_reason(other)
    if images:
        return "All its images are copies of files of other scans."
    return "It has no images, only other DICOM objects (such as reports)."


def _joined(reasons: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(reasons))


def decisions_by_scan(naming: Naming) -> Mapping[str, tuple[Decision, ...]]:
    """Return what the images of each scan were taken for, in order of acquisition."""
    found: dict[str, tuple[Decision, ...]] = {}
    for item in (*naming.named, *naming.left_out):
        decision = item.decision
        if isinstance(item, LeftOut) and not decision.is_left_out:
            # It was recognised, and lacks a fact: the reason for leaving it out is the last word.
            decision = replace(decision, data_type="", suffix="", reason=item.reason)
        for scan_id in item.image.scan_ids:
            found[scan_id] = (*found.get(scan_id, ()), decision)
    return found


def write_account(
    folder: Path,
    rows: Sequence[Accounted],
    inventory: Inventory,
    decisions: Mapping[str, Sequence[Decision]],
) -> None:
    """Write the account as JSON, with the number of files of each scan and how it was judged."""
    counts = file_counts(inventory)
    write_json(
        folder / ACCOUNT_FILE_NAME,
        [
            asdict(row)
            | {
                "dicom_files": counts[row.subject],
                "decisions": [
                    {
                        "kind": each.kind,
                        "rule": each.rule,
                        "confidence": each.confidence.value,
                        "reason": each.reason,
                    }
                    for each in decisions.get(row.subject, ())
                ],
            }
            for row in rows
        ],
    )


def file_counts(inventory: Inventory) -> dict[str, int]:
    """Return the number of DICOM files of each scan, readable or not."""
    return {scan.scan_id: scan.file_count for scan in inventory.scans}
