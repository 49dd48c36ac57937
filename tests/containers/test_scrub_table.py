"""The table of attributes agrees with others' copies of it, and each attribute obeys it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as published

from containers.scrub_headers.make_table import TARGET, make_table
from containers.scrub_headers.profile import load_profile, profile_names
from containers.scrub_headers.rules import Action, decide
from containers.scrub_headers.table import edition, keyword_of, public_attributes, table

ACTIONS = {
    "D": "D_TAGS", "Z": "Z_TAGS", "X": "X_TAGS", "U": "U_TAGS", "Z/D": "Z_D_TAGS",
    "X/Z": "X_Z_TAGS", "X/D": "X_D_TAGS", "X/Z/D": "X_Z_D_TAGS", "X/Z/U*": "X_Z_U_STAR_TAGS",
}  # fmt: skip


def test_basic_actions_are_those_that_another_project_published():
    """Every row of edition 2026c has the action that dicom-anonymizer gives it, and none lacks."""
    theirs = {
        tag[0] << 16 | tag[1]: action
        for action, name in ACTIONS.items()
        for tag in getattr(published, name)
        if len(tag) == 2
    }

    ours = {tag: row.basic for tag, row in table().items()}

    assert edition() == "2026c"
    assert ours == theirs
    assert len(ours) == 652


@pytest.mark.samples
def test_table_is_what_its_generator_makes(samples: Path):
    """The file in the project was not edited by hand."""
    source = json.loads((samples / "deid" / "e1-1.json").read_text(encoding="utf-8"))

    assert json.loads(TARGET.read_text(encoding="utf-8")) == make_table(source)


@pytest.mark.parametrize("profile_name", profile_names())
def test_no_row_of_the_table_is_kept_raw_without_an_option(profile_name: str):
    """X, Z and D rows lose their value, U rows their UID, unless the table's option retains it."""
    profile = load_profile(profile_name)
    switches = {
        "retain_device_identity": profile.retain_device_identity,
        "retain_institution_identity": profile.retain_institution_identity,
        "retain_patient_characteristics": profile.retain_patient_characteristics,
        "retain_longitudinal_modified_dates": True,
        "clean_descriptors": profile.clean_descriptors,
    }
    losing = {Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.UID}
    kept = []

    for tag, row in table().items():
        vr = public_attributes().get(tag, ("UN",))[0].split(" or ")[0]
        decision = decide(tag, vr, profile)
        allowed = any(switches.get(option) for option in row.options)
        if decision.action not in losing and not allowed and row.basic != "X/Z/U*":
            kept.append((keyword_of(tag), decision))

    assert kept == []


@pytest.mark.parametrize(
    ("tag", "vr"),
    [(0x00100010, "PN"), (0x00100030, "DA"), (0x00080090, "PN"), (0x00102160, "SH"),
     (0x00104000, "LT"), (0x00080081, "ST"), (0x00321032, "PN"), (0x0040A123, "PN")],
)  # fmt: skip
def test_persons_are_kept_under_no_profile(tag: int, vr: str):
    """Names, birth date, address and free text about the patient go, whatever is retained."""
    for name in ("internal", "external", "open"):
        action = decide(tag, vr, load_profile(name)).action
        assert action in {Action.REMOVE, Action.EMPTY, Action.DUMMY}


def test_attributes_outside_all_lists_go():
    """An attribute that no rule names goes, although the dictionary knows it."""
    profile = load_profile("ingest")

    for tag, vr in ((0x00189810, "LO"), (0x00540400, "SH"), (0x00760008, "LO"),
                    (0x00420010, "ST"), (0x04000005, "US"), (0x00282000, "OB")):  # fmt: skip
        assert decide(tag, vr, profile).action is Action.REMOVE, f"{tag:08x}"
