"""Writes the files of the whole data set, and makes those of MNE-BIDS the same on every run.

Not here: the recordings themselves (``convert``).
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

BIDS_VERSION = "1.10.0"
MNE_BIDS_VERSION = version("mne-bids")
MNE_VERSION = version("mne")
_NAME = "EEG and MEG session"
_README = """\
# {name}

Recordings of one session, converted to BIDS {bids} by winxnat {winxnat} with MNE-BIDS {mne_bids}.

Names, identifiers, birth dates, staff, places, serial numbers and free texts of the source files
are not taken over; {dates}. Samples are those of the source.
"""
_DATES = {
    "remove": "dates of measurement are removed (the first of January 1985 stands for none)",
    "shift": "dates of measurement are shifted by a number of days that is kept apart",
    "keep": "dates of measurement are kept",
}
_UNWANTED_KEYS = (
    *("InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"),
    *("DeviceSerialNumber", "SubjectArtefactDescription", "AssociatedEmptyRoom"),
)
_TEXT_SUFFIXES = {".json", ".tsv"}


def finish_tree(root: Path, subject: str, dates: str) -> None:
    """Write description, README, participants and scans; make sidecars sorted and complete.

    Parameters
    ----------
    dates : str
        ``remove``, ``shift`` or ``keep``.
    """
    for path in sorted(root.rglob("*.json")):
        _tidy_json(path)
    for path in sorted(root.rglob("*_scans.tsv")):
        _tidy_scans(path, keep_times=dates != "remove")
    (root / "participants.tsv").write_text(f"participant_id\nsub-{subject}\n", encoding="utf-8")
    write_json(
        root / "participants.json",
        {"participant_id": {"Description": "Label of the subject in this data set"}},
    )
    winxnat = version("winxnat")
    write_json(
        root / "dataset_description.json",
        {
            "Name": _NAME,
            "BIDSVersion": BIDS_VERSION,
            "DatasetType": "raw",
            "GeneratedBy": [
                {"Name": "winxnat", "Version": winxnat, "Description": "eeg-to-bids"},
                {"Name": "MNE-BIDS", "Version": MNE_BIDS_VERSION},
            ],
        },
    )
    readme = _README.format(
        name=_NAME,
        bids=BIDS_VERSION,
        winxnat=winxnat,
        mne_bids=MNE_BIDS_VERSION,
        dates=_DATES[dates],
    )
    (root / "README").unlink(missing_ok=True)
    (root / "README.md").write_text(readme, encoding="utf-8")


def write_json(path: Path, content: Any) -> None:
    """Write sorted, indented JSON with a final line break."""
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _tidy_json(path: Path) -> None:
    content = json.loads(path.read_text("utf-8-sig"))
    for key in _UNWANTED_KEYS:
        content.pop(key, None)
    if path.name.endswith("_coordsystem.json"):
        _complete_coordinates(content)
    write_json(path, content)


def _complete_coordinates(content: dict[str, Any]) -> None:
    """Take out what a recording without digitised points leaves empty: BIDS wants it or nothing.

    References: BIDS 1.10, "Magnetoencephalography", coordinate system JSON.
    """
    for prefix in ("AnatomicalLandmark", "HeadCoil", "DigitizedHeadPoints"):
        key = "DigitizedHeadPoints" if prefix.startswith("Dig") else f"{prefix}Coordinates"
        if key in content and not content[key]:
            for name in [name for name in content if name.startswith(prefix)]:
                content.pop(name)


def _tidy_scans(path: Path, *, keep_times: bool) -> None:
    rows = list(_rows(path))
    header, body = rows[0], sorted(rows[1:])
    names = [name for name in header if name == "filename" or (keep_times and name == "acq_time")]
    places = [header.index(name) for name in names]
    lines = [names, *([row[place] for place in places] for row in body)]
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")


def _rows(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.reader(file, delimiter="\t")


def text_files(root: Path) -> Iterator[Path]:
    """Give the sidecars and tables of a data set, in the order of their paths."""
    yield from sorted(path for path in root.rglob("*") if path.suffix in _TEXT_SUFFIXES)
