"""Scores the classification against the truth tables beside the sample data.

With names, and with everything taken away that people typed: descriptions, protocol names, and
dcm2niix's guess, which reads them.
"""

from __future__ import annotations

import csv
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from containers.dicom_to_bids.classify.engine import classify
from containers.dicom_to_bids.classify.facts import SeriesFacts
from containers.dicom_to_bids.classify.schema import name_rules
from containers.dicom_to_bids.convert import Converted, convert_session
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.inventory import read_inventory
from containers.dicom_to_bids.names import name_images

TYPED = ("SeriesDescription", "ProtocolName", "BidsGuess")


@dataclass
class Score:
    """How many series are right; of the others, how many are misfiled and how many left out."""

    right: Counter[str] = field(default_factory=Counter)
    total: Counter[str] = field(default_factory=Counter)
    misfiled: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def add(self, group: str, found: str, allowed: Iterable[str]) -> None:
        """Count one series; ``found`` and ``allowed`` as ``data type/suffix`` or ``exclude``."""
        wanted = sorted(allowed)
        self.total[group] += 1
        if found in wanted:
            self.right[group] += 1
        else:
            kind = self.left_out if found == "exclude" else self.misfiled
            kind.append(f"{group}: {found} instead of {' or '.join(wanted)}")

    @property
    def share(self) -> float:
        """Return the part of all series that is right."""
        return self.right.total() / self.total.total()

    @property
    def mean_share(self) -> float:
        """Return the mean over groups of the part that is right."""
        return sum(self.right[group] / self.total[group] for group in self.total) / len(self.total)


def converted_samples(
    samples: Path, keep_dir: Path
) -> dict[str, tuple[tuple[Converted, ...], SourceIdentity]]:
    """Convert each sample session; b-values are kept in a folder, voxels are not."""
    found = {}
    for session in sorted(samples.glob("dicom/*/SCANS")):
        with tempfile.TemporaryDirectory() as name:
            inventory = read_inventory(session.parent)
            conversion = convert_session(inventory, Path(name))
            found[session.parent.name] = (_kept(conversion.images, keep_dir), inventory.identity)
    return found


def _kept(images: tuple[Converted, ...], keep_dir: Path) -> tuple[Converted, ...]:
    """Return the images with b-value files of their own, which outlive the conversion."""
    folder = Path(tempfile.mkdtemp(dir=keep_dir))
    kept = []
    for image in images:
        paths = {}
        for key in ("bval_path", "bvec_path"):
            source = getattr(image, key)
            if source is not None:
                paths[key] = folder / f"{len(kept)}{source.suffix}"
                paths[key].write_bytes(source.read_bytes())
        kept.append(replace(image, **paths))
    return tuple(kept)


def score_samples(
    samples: Path,
    sessions: Mapping[str, tuple[tuple[Converted, ...], SourceIdentity]],
    *,
    blank: bool,
) -> Score:
    """Score the sample sessions by series: right if each of its images is, and none is missing."""
    truth: dict[tuple[str, str], list[set[str]]] = defaultdict(list)
    with (samples / "dicom" / "truth.tsv").open(newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            truth[row["session"], row["scan"]].append(set(row["truth_any_of"].split("|")))
    score = Score()
    for session, (images, identity) in sessions.items():
        naming = name_images([_blanked(i) if blank else i for i in images], identity)
        found: dict[str, list[str]] = defaultdict(list)
        for item in (*naming.named, *naming.left_out):
            found[item.image.scan_ids[0]].append(item.decision.kind)
        for (name, scan), wanted in truth.items():
            if name == session:
                score.add(session, *_series(found[scan], wanted))
    return score


def _series(kinds: list[str], wanted: list[set[str]]) -> tuple[str, set[str]]:
    """Return what a series was taken for, and what it might be, as one word each."""
    allowed = set().union(*wanted)
    wrong = [kind for kind in kinds if kind not in allowed]
    is_whole = all(one & set(kinds) for one in wanted)
    if not kinds or (is_whole and not wrong):
        return (kinds[0] if kinds else "exclude"), allowed
    return (wrong[0] if wrong else "a part only"), allowed


def _blanked(image: Converted) -> Converted:
    return replace(image, sidecar=without_typed(image.sidecar), protocol="")


def without_typed(sidecar: Mapping[str, Any]) -> dict[str, Any]:
    """Return a sidecar without what people typed and what was guessed from it."""
    return {key: value for key, value in sidecar.items() if key not in TYPED}


def score_sidecars(samples: Path, *, blank: bool) -> Score:
    """Score the sidecars of public data sets, each by itself.

    Suffixes that BIDS does not have are not counted. Where two descriptions are the same in all
    they say and differ in their truth (a series that its curators cut in two), both are right.
    """
    path = samples / "dicom" / "openneuro_sidecars.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    same: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        same[json.dumps(row["sidecar"], sort_keys=True)].add(_truth(row))
    score = Score()
    for row in rows:
        kind = (row["truth"]["datatype"], row["truth"]["suffix"])
        if kind in name_rules():
            sidecar = without_typed(row["sidecar"]) if blank else row["sidecar"]
            found = classify(SeriesFacts.from_sidecar(sidecar)).kind
            score.add(row["dataset"], found, same[json.dumps(row["sidecar"], sort_keys=True)])
    return score


def _truth(row: Mapping[str, Any]) -> str:
    return f"{row['truth']['datatype']}/{row['truth']['suffix']}"
