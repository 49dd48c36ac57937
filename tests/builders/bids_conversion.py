"""Runs the converter on the made session, and spoils copies of that session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pydicom

from containers.contract import ParameterValue, StepInput, StepReport
from containers.dicom_to_bids.step import run

BOLD = "sub-01/func/sub-01_task-checkerboard_acq-epfid2_dir-AP_bold"
"""Path of the functional image below the tree's root, without its endings."""


def convert(
    source: Path, work: Path, parameters: Mapping[str, ParameterValue] | None = None
) -> tuple[StepReport, Path]:
    """Run the step in folders of its own below ``work``; return its report and output."""
    output, scratch = work / "output", work / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    return run(StepInput("dicom-to-bids", source, output, scratch, parameters or {})), output


def all_bytes(folder: Path) -> dict[str, bytes]:
    """Return every file below a folder by its relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def series(folder: Path, name: str) -> Path:
    """Return the folder of the series whose name holds ``name``."""
    return next(path for path in sorted(folder.iterdir()) if name in path.name)


def edit(files: list[Path], change: Callable[[pydicom.Dataset], None]) -> None:
    """Change the headers of DICOM files in place."""
    for path in files:
        dataset = pydicom.dcmread(path)
        change(dataset)
        dataset.save_as(path)
