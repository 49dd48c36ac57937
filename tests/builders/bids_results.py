"""BIDS results of sessions as conversions leave them: a small valid tree and its report."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np


def write_result(  # noqa: PLR0913 - each is one fact of the result
    home: Path,
    *,
    subject: str,
    session: str | None,
    given: tuple[str | None, str | None],
    seed: int = 1,
    participant: Mapping[str, str] | None = None,
    finished_on: str = "2026-03-01",
    in_archive: bool = True,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """Write a session's two resources below ``home``; return the tree's root.

    Parameters
    ----------
    given : tuple
        Subject and session label as the conversion was given them.
    seed : int
        Makes the picture.
    in_archive : bool
        As resources in an XNAT archive, or as a local run leaves them.
    """
    names = ("RESOURCES/BIDS", "RESOURCES/BIDS_REPORT") if in_archive else ("bids", "report")
    root, report_dir = (home / name for name in names)
    prefix = f"sub-{subject}" + (f"_ses-{session}" if session else "")
    place = root / f"sub-{subject}" / (f"ses-{session}" if session else "")
    (place / "anat").mkdir(parents=True)
    voxels = np.random.default_rng(seed).integers(0, 99, (4, 4, 4), dtype=np.int16)
    image = nib.Nifti1Image(voxels, np.eye(4))
    packed = gzip.compress(image.to_bytes(), mtime=0)
    (place / "anat" / f"{prefix}_T1w.nii.gz").write_bytes(packed)
    _write_json(place / "anat" / f"{prefix}_T1w.json", {"RepetitionTime": 2.3})
    (place / f"{prefix}_scans.tsv").write_text(f"filename\nanat/{prefix}_T1w.nii.gz\n")
    row = {"participant_id": f"sub-{subject}", **(participant or {})}
    (root / "participants.tsv").write_text("\t".join(row) + "\n" + "\t".join(row.values()) + "\n")
    _write_json(root / "participants.json", {name: {"Description": name} for name in row})
    (root / "README.md").write_text("One session of a study made for tests, with one picture.\n")
    made_by = [{"Name": "winxnat dicom-to-bids", "Version": "0.1.0"}]
    _write_json(
        root / "dataset_description.json",
        {"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw", "GeneratedBy": made_by},
    )
    write_report(root, report_dir, given, finished_on, facts or {})
    return root


def write_report(
    root: Path,
    report_dir: Path,
    given: tuple[str | None, str | None],
    finished_on: str,
    facts: Mapping[str, Any],
) -> None:
    """Write the report of a run that left all files below ``root``."""
    outputs = [
        {
            "path": f"bids/{path.relative_to(root).as_posix()}",
            "size_bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in sorted(root.rglob("*"))
        if path.is_file()
    ]
    report_dir.mkdir(exist_ok=True)
    _write_json(
        report_dir / "report.json",
        {
            "report_version": 1,
            "command": "dicom-to-bids",
            "finished_at": f"{finished_on}T10:00:00+00:00",
            "parameters": {"subject-label": given[0], "session-label": given[1]},
            "outputs": outputs,
            "facts": dict(facts),
        },
    )


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
