"""What is read from the BIDS schema, against sentences and templates of the standard's text."""

from __future__ import annotations

import re

import pytest
from bidsschematools.schema import load_schema

from containers.dicom_to_bids.classify import schema

BOLD_TEMPLATE = (
    "sub-<label>[_ses-<label>]_task-<label>[_acq-<label>][_ce-<label>][_rec-<label>]"
    "[_dir-<label>][_run-<index>][_echo-<index>][_part-<mag|phase|real|imag>][_chunk-<index>]_bold"
)
"""BIDS 1.10, "Task (including resting state) imaging data"."""


def test_entities_of_bold_are_those_of_the_standard() -> None:
    """Keys and their order are those of the template in the text."""
    keys = re.findall(r"([a-z]+)-<", BOLD_TEMPLATE)

    allowed = schema.allowed_entities("func", "bold")

    assert allowed is not None
    assert [key for key in schema.entity_keys() if key in allowed] == keys


@pytest.mark.parametrize(
    ("data_type", "suffix", "required"),
    [
        ("func", "bold", {"task"}),
        ("anat", "T1w", set()),
        ("anat", "MEGRE", {"echo"}),
        ("anat", "MP2RAGE", {"inv"}),
        ("anat", "VFA", {"flip"}),
        ("anat", "MTR", {"mt"}),
    ],
)
def test_required_entities(data_type: str, suffix: str, required: set[str]) -> None:
    """BIDS 1.10, "Quantitative MRI", table of file collections."""
    assert schema.name_rules()[data_type, suffix].required == required


def test_kinds_that_bids_does_not_have() -> None:
    """There is no swi data type, and no T1w among functional images."""
    assert schema.allowed_entities("swi", "GRE") is None
    assert schema.allowed_entities("func", "T1w") is None


@pytest.mark.parametrize(
    ("data_type", "suffix", "fields"),
    [
        ("fmap", "phasediff", {"EchoTime1", "EchoTime2"}),
        ("fmap", "fieldmap", {"Units"}),
        ("fmap", "epi", {"PhaseEncodingDirection"}),
        ("anat", "T1w", set()),
    ],
)
def test_required_fields(data_type: str, suffix: str, fields: set[str]) -> None:
    """BIDS 1.10, "Fieldmap data", tables of required metadata."""
    assert set(schema.required_fields(data_type, suffix)) == fields


def test_labelling_decides_which_perfusion_fields_are_required() -> None:
    """BIDS 1.10, "Arterial Spin Labeling perfusion data", (P)CASL and PASL specific metadata."""
    assert "LabelingDuration" in schema.required_perfusion_fields("PCASL")
    assert "BolusCutOffFlag" in schema.required_perfusion_fields("PASL")
    assert "BolusCutOffFlag" not in schema.required_perfusion_fields("PCASL")


def test_the_file_holds_what_the_package_reads() -> None:
    """The schema read from its file is the one that bidsschematools hands out."""
    assert schema.bids_schema() == load_schema().to_dict()
