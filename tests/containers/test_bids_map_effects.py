"""What a map does to a whole conversion: its names, its facts, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from containers.contract import BadInputError
from containers.dicom_to_bids.project_map import ProjectMap
from deploy.demo_session import PLANTED, DemoSession
from tests.builders.bids_conversion import all_bytes, convert

ROOT = Path(__file__).resolve().parents[2]


def converted(session: Path, work: Path, mapping: Any) -> dict[str, bytes]:
    """Return the tree of a conversion with a map, by path."""
    work.mkdir(parents=True)
    path = work / "bidsmap.json"
    path.write_text(json.dumps(mapping))
    parameters = {"map": str(path), "subject-label": "S1"}
    _, output = convert(session, work / "run", parameters)
    return all_bytes(output / "bids")


def test_a_changed_map_changes_the_affected_files_only(session: DemoSession, tmp_path: Path):
    """Another name for one series: its files and the table of scans, byte for byte no other."""
    rule = {
        "match": {"SeriesDescription": {"pattern": "(?i)mprage"}},
        "data_type": "anat",
        "suffix": "T1w",
    }
    first = converted(session.folder, tmp_path / "a", {"version": 2, "mappings": [rule]})
    rule["entities"] = {"acq": "new"}
    second = converted(session.folder, tmp_path / "b", {"version": 2, "mappings": [rule]})

    changed = {path for path in first.keys() | second if first.get(path) != second.get(path)}
    assert changed == {
        *(f"sub-S1/anat/sub-S1{name}_T1w{end}" for name in ("", "_acq-new") for end in ENDS),
        "sub-S1/sub-S1_scans.tsv",
    }
    names = [f"sub-S1/anat/sub-S1{name}_T1w.nii.gz" for name in ("", "_acq-new")]
    assert first[names[0]] == second[names[1]]


ENDS = (".nii.gz", ".json")


def test_an_xnat_list_names_the_files_of_a_conversion(session: DemoSession, tmp_path: Path):
    """Names as XNAT's converter would give them, below the usual folders."""
    found = converted(
        session.folder,
        tmp_path / "a",
        [
            {"series_description": "T1_MPRAGE_SAG", "bidsname": "acq-sag_T1w"},
            {"pattern": "(?i)^bold", "suffix": "task-rest_run-01_bold", "modality": "func"},
            {"pattern": "(?i)field", "suffix": None},
            {"pattern": "(?i)diff", "suffix": None},
        ],
    )

    images = {path for path in found if path.endswith(".nii.gz")}
    assert images == {
        "sub-S1/anat/sub-S1_acq-sag_T1w.nii.gz",
        "sub-S1/func/sub-S1_task-rest_run-01_bold.nii.gz",
    }


def test_identities_in_a_map_do_not_reach_the_tree(session: DemoSession, tmp_path: Path):
    """A text that the headers hold as an identity is not handed on, wherever it comes from."""
    rule = {
        "match": {"SeriesDescription": {"pattern": "(?i)mprage"}},
        "sidecar": {"PulseSequenceDetails": f"as {PLANTED['InstitutionName']} does it"},
    }

    try:
        found = converted(session.folder, tmp_path / "a", {"version": 2, "mappings": [rule]})
    except BadInputError as error:
        assert PLANTED["InstitutionName"] not in str(error)  # noqa: PT017 - either is right
    else:
        text = PLANTED["InstitutionName"].encode()
        assert not any(text in content for content in found.values())


@pytest.mark.samples
def test_perfusion_is_kept_where_the_map_has_its_facts(samples: Path, tmp_path: Path):
    """The volumes of the interoperability export are one series of 7, and the validator agrees."""
    found = converted(
        samples / "dicom" / "siemens_xa30_interop_phantom",
        tmp_path / "a",
        {
            "version": 2,
            "mappings": [
                {
                    "match": {"SeriesDescription": "asl_2d_tra"},
                    "data_type": "perf",
                    "suffix": "asl",
                    "aslcontext": {"first": ["m0scan"], "repeat": ["control", "label"]},
                    "sidecar": {
                        "ArterialSpinLabelingType": "PASL",
                        "BolusCutOffFlag": False,
                        "PostLabelingDelay": 1.8,
                        "BackgroundSuppression": False,
                        "M0Type": "Included",
                        "TotalAcquiredPairs": 3,
                        "RepetitionTimePreparation": 2.5,
                    },
                }
            ],
        },
    )

    table = found["sub-S1/perf/sub-S1_aslcontext.tsv"].decode().split()
    assert table == ["volume_type", "m0scan", *("control", "label") * 3]


@pytest.mark.parametrize("position", [0, 1])
def test_the_maps_of_the_documentation_can_be_used(position: int):
    """Each example of the page is read without a note."""
    page = (ROOT / "docs" / "bids-map.md").read_text(encoding="utf-8")
    examples = re.findall(r"```json\n(.*?)```", page, re.DOTALL)

    project_map = ProjectMap.parse(examples[position])

    assert project_map.notes == ()
    assert len(project_map.rules) == 4


def test_the_documented_labels_are_what_the_map_gives():
    """The example's patterns and table, by hand."""
    page = (ROOT / "docs" / "bids-map.md").read_text(encoding="utf-8")
    project_map = ProjectMap.parse(re.findall(r"```json\n(.*?)```", page, re.DOTALL)[0])

    assert project_map.subject_label("MEM-012") == "012"
    assert project_map.subject_label("MEM-7b") == "7b"
    assert project_map.session_label("MEM-012_MR2") == "MR2"
