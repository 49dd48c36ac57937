"""The converter on public sample sessions of several vendors, against their truth table."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from containers.contract import BadInputError, StepInput, StepReport
from containers.dicom_to_bids.step import run

pytestmark = pytest.mark.samples

# Scans in the tree, files in the tree, and scans left out with a reason.
CONVERTED = {
    "ge_b0map_human": (1, 4, 0),
    "ge_dv26_fmri_human": (2, 4, 0),
    "ge_mr29_phantom": (3, 10, 0),
    "philips_r57_dti_human": (1, 4, 2),
    "siemens_e11_bold_human": (3, 6, 0),
    "siemens_e11_fmap_phantom": (4, 12, 0),
    "siemens_heudiconv_dwi_b0": (1, 4, 0),
    "siemens_heudiconv_fmap3mm": (1, 2, 0),
    "siemens_pdt2_phantom": (1, 4, 0),
    "siemens_ve11_epi_pe_phantom": (4, 8, 0),
    "siemens_ve11_multiecho_human": (3, 10, 0),
    "siemens_xa30_interop_phantom": (12, 18, 21),
    "uih_dti_human": (1, 4, 0),
}
REFUSED = {
    "siemens_heudiconv_phoenix": "localiser",
    "siemens_heudiconv_scout": "localiser",
}


@dataclass(frozen=True)
class Converted:
    """One converted session."""

    name: str
    report: StepReport
    root: Path


def _run(session: Path, work: Path, **parameters: str) -> StepReport:
    output, scratch = work / "output", work / "scratch"
    output.mkdir()
    scratch.mkdir()
    return run(StepInput("dicom-to-bids", session, output, scratch, parameters))


@pytest.fixture(scope="module", params=sorted(CONVERTED))
def converted(
    request: pytest.FixtureRequest, samples: Path, tmp_path_factory: pytest.TempPathFactory
) -> Converted:
    work = tmp_path_factory.mktemp(request.param)
    report = _run(samples / "dicom" / request.param, work)
    return Converted(request.param, report, work / "output" / "bids")


def _truth(samples: Path, session: str) -> dict[str, set[str]]:
    """Return for each scan what its images may be called, as ``data type/suffix``."""
    allowed: dict[str, set[str]] = {}
    with (samples / "dicom" / "truth.tsv").open(newline="") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            if row["session"] == session:
                allowed.setdefault(row["scan"], set()).update(row["truth_any_of"].split("|"))
    return allowed


def test_outcome_is_as_expected(converted: Converted) -> None:
    """As many scans and files are in the tree, and left out, as are known to be right."""
    report = converted.report

    outcomes = [row.outcome for row in report.accounted]
    files = {output for row in report.accounted for output in row.outputs}
    found = (outcomes.count("done"), len(files), outcomes.count("left-out"))
    assert found == CONVERTED[converted.name]
    assert outcomes.count("failed") == 0


def test_tree_is_valid(converted: Converted) -> None:
    """The BIDS validator finds no error."""
    assert converted.report.facts["validator_errors"] == 0


def test_nothing_is_misfiled(converted: Converted, samples: Path) -> None:
    """Each image in the tree is what the truth table says of its scan."""
    truth = _truth(samples, converted.name)

    # A series that its scanner exported in pieces stands in the table by its first scan.
    scans: dict[str, set[str]] = {}
    for row in converted.report.accounted:
        for output in row.outputs:
            scans.setdefault(output, set()).add(row.subject)
    for output, subjects in scans.items():
        folder, name = output.split("/")[-2:]
        kind = f"{folder}/{name.split('.')[0].split('_')[-1]}"
        known = [subject for subject in subjects if subject in truth]
        assert known
        assert all(kind in truth[subject] for subject in known), f"scan {known}"


def test_every_scan_folder_is_accounted_for_once(converted: Converted, samples: Path) -> None:
    """The account has each folder below SCANS once, and a reason for each that is left out."""
    folders = (samples / "dicom" / converted.name / "SCANS").iterdir()

    rows = converted.report.accounted
    assert sorted(row.subject for row in rows) == sorted(path.name for path in folders)
    assert all(row.reason for row in rows if row.outcome != "done")


def test_links_between_files_hold(converted: Converted) -> None:
    """Every IntendedFor and B0FieldSource names what exists."""
    sidecars = [json.loads(path.read_text()) for path in converted.root.rglob("sub-*.json")]

    intended = [uri for sidecar in sidecars for uri in sidecar.get("IntendedFor", [])]
    identifiers = {s["B0FieldIdentifier"] for s in sidecars if "B0FieldIdentifier" in s}
    assert all((converted.root / uri.removeprefix("bids::")).is_file() for uri in intended)
    assert {s["B0FieldSource"] for s in sidecars if "B0FieldSource" in s} <= identifiers


@pytest.mark.parametrize("session", sorted(REFUSED))
def test_session_without_any_image_for_bids_is_refused(
    samples: Path, session: str, tmp_path: Path
) -> None:
    """A session of which nothing can be filed is bad input, and the message says why."""
    with pytest.raises(BadInputError, match=REFUSED[session]):
        _run(samples / "dicom" / session, tmp_path)


def test_perfusion_is_filed_with_the_facts_of_a_map(samples: Path, tmp_path: Path) -> None:
    """With the facts that headers lack stated in a map, the validator accepts the ASL series."""
    facts = {
        "ArterialSpinLabelingType": "PASL",
        "BackgroundSuppression": False,
        "BolusCutOffFlag": False,
        "M0Type": "Included",
        "PostLabelingDelay": 1.8,
        "RepetitionTimePreparation": 4.8,
        "TotalAcquiredPairs": 3,
    }
    rule = {
        "match": {"SequenceName": {"pattern": "epfid2d1_64"}, "ImageType": {"contains": ["ASL"]}},
        "suffix": "asl",
        "sidecar": facts,
        "aslcontext": {"first": ["m0scan"], "repeat": ["label", "control"]},
    }
    path = tmp_path / "bidsmap.json"
    originals = {"match": {"ImageType": {"contains": ["DERIVED"]}}, "exclude": "Computed."}
    path.write_text(json.dumps({"version": 2, "mappings": [originals, rule]}))

    report = _run(samples / "dicom" / "siemens_xa30_interop_phantom", tmp_path, map=str(path))

    assert report.facts["validator_errors"] == 0
    table = next((tmp_path / "output" / "bids").rglob("*_aslcontext.tsv"))
    assert table.read_text().split() == ["volume_type", "m0scan", *["label", "control"] * 3]
    row = next(row for row in report.accounted if row.subject == "18001")
    assert table.relative_to(tmp_path / "output" / "bids").as_posix() in row.outputs
