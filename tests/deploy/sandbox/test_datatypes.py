"""Types and paths are found whatever their spelling; values are checked by their type."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox import shortcuts
from deploy.sandbox.datatypes import Leaf, load_data_types
from deploy.sandbox.errors import HttpError
from deploy.sandbox.paths import split_steps
from deploy.sandbox.values import check_label, check_value, typed_value

TYPES = load_data_types()

LEAVES = [
    ("xnat:subjectData", "demographics[@xsi:type=xnat:demographicData]/gender",
     "demographics/gender"),
    ("xnat:subjectData", "DEMOGRAPHICS/Gender", "demographics/gender"),
    ("xnat:subjectData", "demographics[@xsi:type=xnat:mrScanData]/gender", None),
    ("xnat:subjectData", "fields/field[name=A/B c]/field", "fields/field[name=a/b c]/field"),
    ("xnat:subjectData", "fields/field[@name='X']/field", "fields/field[name=x]/field"),
    ("xnat:subjectData", "sharing/share/label", None),
    ("xnat:projectData", "pi/LASTNAME", "PI/lastname"),
    ("xnat:projectData", "investigators/investigator[1]/email",
     "investigators/investigator[1]/email"),
    ("xnat:mrScanData", "parameters/voxelres/X", "parameters/voxelRes/x"),
    ("xnat:eegScanData", "parameters/tr", None),
    ("xnat:mrSessionData", "scanner", "scanner"),
    ("xnat:mrSessionData", "scanner/model", "scanner/model"),
    ("xnat:mrSessionData", "scans/scan/id", None),
    ("xnat:mrSessionData", "validation/status", "validation/status"),
    ("xnat:mrSessionData", "", None),
    ("xnat:mrSessionData", "date/date", None),
]  # fmt: skip


@pytest.mark.parametrize(("name", "path", "found"), LEAVES)
def test_paths_lead_to_fields(name: str, path: str, found: str | None) -> None:
    """A path in any spelling leads to the schema's field, or to none."""
    leaf = TYPES.leaf(name, path)

    assert (leaf.path if leaf else None) == found


@given(st.text())
def test_any_text_may_be_asked_for(text: str) -> None:
    """No text makes the search for a type, a path or a short name fail."""
    TYPES.find(text)
    TYPES.leaf("xnat:mrSessionData", text)
    TYPES.leaf("xnat:subjectData", f"fields/field[name={text}]/field")
    shortcuts.header("xnat:experimentData", text)
    assert split_steps(text) == [] or all(name for name, _ in split_steps(text))


def test_short_names_lead_to_fields_and_back() -> None:
    """Each short name's path belongs to its level, and the path's header is a short name again."""
    for level, names in shortcuts.SHORTCUTS.items():
        for name, path in names.items():
            split = shortcuts.split_path(TYPES, path)
            assert split is not None, path
            assert shortcuts.full_path(level, name.upper()) == path
            assert shortcuts.full_path(level, shortcuts.header(level, path.upper())) == path


def test_types_know_their_ancestors() -> None:
    """Sessions, assessors and scans descend from the types that XNAT documents."""
    assert TYPES.is_a("xnat:petmrSessionData", "xnat:imageSessionData")
    assert TYPES.is_a("xnat:qcAssessmentData", "xnat:imageAssessorData")
    assert not TYPES.is_a("xnat:qcAssessmentData", "xnat:subjectAssessorData")
    assert TYPES.is_abstract("xnat:imageScanData")
    assert not TYPES.is_abstract("xnat:scScanData")
    assert TYPES.find("xnat:MRSESSIONDATA") == "xnat:mrSessionData"
    assert TYPES.find_element("MRSession") == "xnat:mrSessionData"


@given(st.dates(min_value=date(1000, 1, 1)))
def test_dates_are_read_in_both_forms(day: date) -> None:
    """A date is the same in XNAT's two forms, and stored in the sortable one."""
    leaf = Leaf("date", "xs:date")

    assert check_value(leaf, day.isoformat()) == day.isoformat()
    assert check_value(leaf, day.strftime("%m/%d/%Y")) == day.isoformat()
    assert date.fromisoformat(check_value(leaf, day.isoformat())) - day == timedelta(0)


@given(st.integers(min_value=-(10**17), max_value=10**17))
def test_whole_numbers_come_back(number: int) -> None:
    """A whole number is stored and comes back as a number."""
    assert typed_value("xs:integer", check_value(Leaf("n", "xs:integer"), str(number))) == number


@given(
    st.sampled_from(["xs:date", "xs:time", "xs:dateTime", "xs:integer", "xs:float", "xs:boolean"]),
    st.text(),
)
def test_any_text_is_a_value_or_refused(value_type: str, text: str) -> None:
    """Any text is stored in a form that can be typed again, or refused with 400."""
    leaf, statuses, stored = Leaf("x", value_type), [], []
    try:
        stored.append(check_value(leaf, text))
    except HttpError as error:
        statuses.append(error.status)

    assert statuses in ([], [400])
    assert all(typed_value(value_type, value) is not None for value in stored)


@pytest.mark.parametrize("label", ["a", "A.b-c_1", "0", "x" * 255])
def test_usable_labels_pass(label: str) -> None:
    """Labels of letters, digits, dots, dashes and underscores are accepted."""
    assert check_label("label", label) == label


@pytest.mark.parametrize("label", ["", ".", "..", ".x", "a b", "a/b", "ä", "a\n", "x" * 256, "a;b"])
def test_hostile_labels_are_refused(label: str) -> None:
    """Labels that would be no portable folder name are refused with 417."""
    with pytest.raises(HttpError) as caught:
        check_label("label", label)

    assert caught.value.status == 417
