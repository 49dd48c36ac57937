"""Maps: XNAT's own format gives XNAT's own names; rules, facts and labels of version 2."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.contract import BadInputError, UsageError
from containers.dicom_to_bids.project_map import MapAnswer, ProjectMap


def of(*entries: dict[str, Any], **settings_: Any) -> ProjectMap:
    """Return a map of version 2."""
    return ProjectMap.parse(json.dumps({"version": 2, "mappings": entries, **settings_}))


def named(project_map: ProjectMap, series: str, **facts: object) -> str | None:
    """Return folder and name of a series without labels; None if it has none."""
    answer = project_map.find({"SeriesDescription": series, **facts})
    if answer is None or answer.is_excluded:
        return None
    parts = [f"{key}-{value}" for key, value in answer.entities.items()]
    return f"{answer.data_type}/{'_'.join([*parts, answer.suffix or ''])}"


# XNAT's own format -------------------------------------------------------------------------

SITE_LIST = [
    {"series_description": "AX T1", "bidsname": "T1w"},
    {"series_description": "BOLD", "bidsname": "task-rest_bold"},
    {"series_description": "MPRAGE", "bidsname": "T1w"},
    {"series_description": "DTI", "bidsname": "dwi"},
    {"series_description": "FM", "bidsname": "acq-fast_phasediff"},
    {"pattern": "(?i)^se_field", "suffix": "epi", "modality": "fmap"},
    {"pattern": "(?i)^bold", "suffix": "task-other_bold"},
    {"pattern": "(?i)^localizer", "suffix": None, "modality": None},
    {"pattern": "(?i)^scout"},
    {"pattern": "^T2w_SPACE", "suffix": "T2w"},
]


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ("ax t1", "anat/T1w"),  # any letters' case
        ("AX T1 ", "anat/T1w"),
        ("AX_T1", "anat/T1w"),  # as dcm2niix writes it
        ("bold", "func/task-rest_bold"),  # the exact text goes before the pattern
        ("BOLD_run1", "func/task-other_bold"),
        ("SE_Field_Mapping_AP", "fmap/epi"),
        ("FM", "fmap/acq-fast_phasediff"),
        ("T2w_SPACE_sag", "anat/T2w"),
        ("t2w_space_sag", None),  # a pattern minds the case unless it says (?i)
        ("DTI", "dwi/dwi"),
        ("DTI 64", None),  # the whole text, not a part
    ],
)
@pytest.mark.parametrize("form", ["list", "wrapped"])
def test_lists_of_xnat_give_the_names_of_xnats_converter(
    form: str, series: str, expected: str | None
):
    """Both forms that XNAT's converters read are taken unchanged, with the same names."""
    document = SITE_LIST if form == "list" else {"version": "1.0.0", "mappings": SITE_LIST}

    assert named(ProjectMap.parse(json.dumps(document)), series) == expected


@pytest.mark.parametrize("series", ["Localizer_3pl", "Scout"])
def test_a_pattern_without_suffix_leaves_the_series_out(series: str):
    """As in XNAT's converter; the rule and its line are told."""
    answer = ProjectMap.parse(json.dumps(SITE_LIST, indent=0)).find({"SeriesDescription": series})

    assert answer is not None
    assert answer.is_excluded
    assert answer.reason
    assert re.fullmatch(r"rule (8|9) \(line \d+\)", answer.where)


words = st.sampled_from(["a", "A", "b", "ab", "a b", "x", "bold a"])
names = st.sampled_from(["T1w", "T2w", "task-a_bold", "task-b_bold", "dwi"])
exact_entries = st.builds(lambda s, n: {"series_description": s, "bidsname": n}, words, names)
pattern_entries = st.builds(
    lambda p, n: {"pattern": p, "suffix": n},
    st.sampled_from(["(?i)a", "^b", "x$", "a b"]),
    st.one_of(st.none(), names),
)


def incumbent(entries: list[dict[str, Any]], series: str) -> str | None:
    """Return what XNAT's converter makes of a series, written out from its description.

    A later equal description replaces an earlier one; then patterns, in order; the first that
    is found decides, also where it has no suffix.
    """
    name = None
    for entry in entries:
        if "series_description" in entry and entry["series_description"].lower() == series.lower():
            name = entry["bidsname"]
    if name is not None:
        return str(name)
    for entry in entries:
        if "pattern" in entry and re.search(entry["pattern"], series):
            return str(entry["suffix"]) if entry["suffix"] else None
    return None


@given(st.lists(st.one_of(exact_entries, pattern_entries), max_size=8), words)
@settings(deadline=None)
def test_precedence_is_that_of_xnats_converter(entries: list[dict[str, Any]], series: str):
    """For any list, each series gets the name that a plain reading of the rules gives."""
    found = named(ProjectMap.parse(json.dumps(entries)), series)

    assert (found or "/").partition("/")[2] == (incumbent(entries, series) or "")


def test_two_texts_that_dcm2niix_writes_alike_are_told_apart():
    """The rule with exactly this text wins over one that fits only as converted."""
    entries = [
        {"series_description": "A B", "bidsname": "T1w"},
        {"series_description": "A_B", "bidsname": "T2w"},
    ]
    for listed in (entries, entries[::-1]):
        project_map = ProjectMap.parse(json.dumps(listed))

        assert named(project_map, "A B") == "anat/T1w"
        assert named(project_map, "A_B") == "anat/T2w"


@pytest.mark.parametrize(
    ("bidsname", "expected", "notes"),
    [
        ("t1W", "anat/T1w", 1),  # BIDS minds capital letters, XNAT's converter does not
        ("acq-0.8mm_T1w", "anat/acq-08mm_T1w", 1),
        ("acq-my_label_T1w", "anat/acq-mylabel_T1w", 0),
        ("task-rest_run-01_bold", "func/task-rest_run-01_bold", 0),
        ("task-rest_dir-AP_sbref", "func/task-rest_dir-AP_sbref", 0),
        ("magnitude2", "fmap/magnitude2", 0),  # has no folder in XNAT's converter
        ("asl", "perf/asl", 0),
        ("UNIT1", "anat/UNIT1", 0),
    ],
)
def test_names_of_lists_are_put_right_where_bids_wants_it(bidsname: str, expected: str, notes: int):
    """What is changed is noted with its line; what XNAT's converter cannot file is filed."""
    project_map = ProjectMap.parse(json.dumps([{"series_description": "x", "bidsname": bidsname}]))

    assert named(project_map, "x") == expected
    assert [note.is_error for note in project_map.notes] == [False] * notes


@pytest.mark.parametrize(
    "bidsname", ["dti", "swimagandphase", "task-x_T9w", "foo-x_T1w", "sub-01_T1w"]
)
def test_a_name_that_bids_does_not_have_leaves_the_series_out(bidsname: str):
    """The list is taken, but no file gets a name that the validator would refuse."""
    project_map = ProjectMap.parse(json.dumps([{"series_description": "x", "bidsname": bidsname}]))

    answer = project_map.find({"SeriesDescription": "x"})

    assert answer is not None
    assert answer.is_excluded
    assert "not BIDS" in answer.reason
    assert project_map.notes


def test_unknown_keys_and_idle_entries_of_lists_are_notes():
    """XNAT's converter passes over them, so the list must still be taken."""
    project_map = ProjectMap.parse(
        '[{"series_description": "x", "bidsname": "T1w", "id": 4},\n {"comment": "nothing"}]'
    )

    assert named(project_map, "x") == "anat/T1w"
    assert [(note.line, note.is_error) for note in project_map.notes] == [(1, False), (2, False)]


def test_xnat_field_entries_replace_series_descriptions():
    """As in the newer converter, which then looks at these only."""
    project_map = ProjectMap.parse(
        json.dumps(
            [
                {"series_description": "x", "bidsname": "T1w"},
                {"xnat_field": "y", "bidsname": "T2w"},
            ]
        )
    )

    assert named(project_map, "x") is None
    assert named(project_map, "y") == "anat/T2w"


def test_run_numbers_of_lists_have_two_digits():
    """XNAT's converter writes run-01; rules of version 2 leave it at one digit."""
    listed = ProjectMap.parse(json.dumps(SITE_LIST)).find({"SeriesDescription": "bold"})
    ours = of({"match": {"VolumeCount": 2}, "entities": {"task": "a"}}).find({"VolumeCount": 2})

    assert listed is not None
    assert ours is not None
    assert (listed.run_digits, ours.run_digits) == (2, 1)


# Version 2 ---------------------------------------------------------------------------------

FACTS = {
    "SeriesDescription": "me_fMRI",
    "EchoTime": 0.0148,
    "RepetitionTime": 2,
    "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND"],
    "Manufacturer": "Siemens",
    "MultibandAccelerationFactor": 4,
    "VolumeCount": 200,
    "RawImage": True,
    "ProtocolName": "",
}


@pytest.mark.parametrize(
    ("fact", "criterion", "fits"),
    [
        ("SeriesDescription", "ME_FMRI", True),
        ("SeriesDescription", "fMRI", False),
        ("EchoTime", 0.0148, True),
        ("EchoTime", 0.0148004, True),  # rounded in the fifth digit
        ("EchoTime", 0.0149, False),
        ("EchoTime", {"min": 0.01, "max": 0.02}, True),
        ("EchoTime", {"min": 0.0148, "max": 0.0148}, True),
        ("EchoTime", {"min": 0.02}, False),
        ("EchoTime", {"max": 0.01}, False),
        ("RepetitionTime", 2.0, True),
        ("RepetitionTime", "2", False),
        ("ImageType", {"contains": ["m"]}, True),
        ("ImageType", {"contains": ["M", "P"]}, False),
        ("ImageType", {"lacks": ["P"]}, True),
        ("ImageType", {"lacks": ["M"]}, False),
        ("ImageType", ["ORIGINAL", "PRIMARY", "M", "ND"], True),
        ("ImageType", ["ORIGINAL", "PRIMARY"], False),
        ("ImageType", {"pattern": r"PRIMARY\\M"}, True),
        ("Manufacturer", {"one_of": ["GE", "siemens"]}, True),
        ("Manufacturer", {"one_of": ["GE", "Philips"]}, False),
        ("Manufacturer", {"min": 3}, False),
        ("VolumeCount", {"min": 2}, True),
        ("RawImage", True, True),
        ("RawImage", 1, False),
        ("MTState", {"present": False}, True),
        ("MTState", {"present": True}, False),
        ("ProtocolName", {"present": False}, True),  # empty is absent
        ("RawImage", {"present": True}, True),
        ("MTState", {"lacks": ["x"]}, False),  # nothing is said of what is absent
    ],
)
def test_criteria(fact: str, criterion: object, fits: bool):  # noqa: FBT001 - a table's cell
    """Equality, ranges, parts, patterns and presence, by hand."""
    found = of({"match": {fact: criterion}, "exclude": "no"}).find(FACTS)

    assert (found is not None) is fits


def test_all_criteria_must_hold_and_the_first_rule_wins():
    """Order of the file decides, and one criterion that fails is enough."""
    project_map = of(
        {"match": {"VolumeCount": 200, "EchoTime": {"max": 0.01}}, "exclude": "first"},
        {"match": {"VolumeCount": {"min": 2}}, "exclude": "second"},
        {"match": {"SeriesDescription": "me_fMRI"}, "exclude": "third"},
    )

    answer = project_map.find(FACTS)

    assert answer is not None
    assert answer.reason == "second"
    assert answer.where == "rule 2 (line 1)"


def test_entities_alone_leave_the_kind_to_the_classification():
    """An override names no suffix; null takes an entity away."""
    answer = of({"match": {"VolumeCount": 200}, "entities": {"task": "nback", "acq": None}}).find(
        FACTS
    )

    assert answer == MapAnswer(
        data_type=None,
        suffix=None,
        entities={"task": "nback", "acq": None},
        sidecar={},
        aslcontext=None,
        is_excluded=False,
        reason="",
        where="rule 1 (line 1)",
    )


def test_unlisted_series_are_classified_unless_the_map_says_otherwise():
    """None hands the series to the classification; leave-out is told as a reason."""
    rule = {"match": {"SeriesDescription": "x"}, "exclude": "x"}

    assert of(rule).find(FACTS) is None
    left_out = of(rule, unlisted="leave-out").find(FACTS)
    assert left_out is not None
    assert left_out.is_excluded


ASL = {
    "M0Type": "Included",
    "BackgroundSuppression": False,
    "PostLabelingDelay": 1.8,
    "LabelingDuration": 1.8,
    "ArterialSpinLabelingType": "PCASL",
    "RepetitionTimePreparation": 4.1,
    "TotalAcquiredPairs": 3,
}


@pytest.mark.parametrize(
    ("context", "count", "expected"),
    [
        (
            {"first": ["m0scan"], "repeat": ["control", "label"]},
            5,
            "m0scan control label" + " control label",
        ),
        ({"repeat": ["label", "control"]}, 2, "label control"),
        (["m0scan", "deltam"], 2, "m0scan deltam"),
        ({"first": ["m0scan"], "repeat": ["control", "label"]}, 4, None),
        ({"first": ["m0scan"], "repeat": ["control", "label"]}, 1, None),
        (["m0scan", "deltam"], 3, None),
    ],
)
def test_asl_volumes_are_counted_out(context: object, count: int, expected: str | None):
    """A context that does not come out even leaves the series out, never a wrong table."""
    project_map = of(
        {
            "match": {"SeriesDescription": "asl"},
            "data_type": "perf",
            "suffix": "asl",
            "aslcontext": context,
            "sidecar": ASL,
        }
    )

    answer = project_map.find({"SeriesDescription": "asl", "VolumeCount": count})

    assert answer is not None
    if expected is None:
        assert answer.is_excluded
        assert str(count) in answer.reason
    else:
        assert answer.aslcontext == tuple(expected.split())
        assert dict(answer.sidecar) == ASL


# Labels, tasks, digest -----------------------------------------------------------------------


def test_labels_come_from_the_table_then_the_pattern():
    """A table resolves what the pattern would merge; without a rule the label stays."""
    project_map = of(
        subject_label={
            "labels": {"A-1": "A1b"},
            "pattern": r"^(?:sub-)?(\w+?)[_-](\d+)$",
            "label": r"\1\2",
        },
        session_label={"omit": True},
    )

    assert project_map.subject_label("A-1") == "A1b"
    assert project_map.subject_label("A_1") == "A1"
    assert project_map.subject_label("sub-MS_012") == "MS012"
    assert project_map.session_label("whatever") == ""
    assert of().subject_label("X_1") == "X_1"
    with pytest.raises(UsageError, match="subject_label") as caught:
        project_map.subject_label("Doe")
    assert "Doe" not in str(caught.value)


def test_a_label_of_which_nothing_is_left_is_refused():
    """Else several subjects would share the default label."""
    project_map = of(subject_label={"pattern": "^(x?)", "label": r"\1"})

    with pytest.raises(UsageError, match="no letter or digit"):
        project_map.subject_label("S1")


def test_task_fields_are_found_by_label():
    """What a task means is said once, whatever names its images."""
    project_map = of(tasks={"nback": {"TaskName": "n back", "TaskDescription": "Two back."}})

    assert project_map.task_fields("nback")["TaskDescription"] == "Two back."
    assert not project_map.task_fields("rest")


def test_the_digest_is_that_of_the_content():
    """White space and the order of keys do not matter; the order of rules does."""
    first = ProjectMap.parse('[{"series_description": "x", "bidsname": "T1w"}]')
    same = ProjectMap.parse('[\n {"bidsname": "T1w",\n "series_description": "x"} ]\n')
    other = ProjectMap.parse('[{"series_description": "x", "bidsname": "T2w"}]')

    # printf '[{"bidsname":"T1w","series_description":"x"}]' | sha256sum
    assert first.digest == "7c4ef102e1ac93765d178cf69130b7d28a9cc7799e8cea196f09947706965288"
    assert same.digest == first.digest
    assert other.digest != first.digest


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$"])
def test_a_pattern_that_takes_too_long_ends_with_its_rule(pattern: str):
    """A hostile expression cannot hold up the conversion, and does not count as no match."""
    project_map = ProjectMap.parse(json.dumps([{"pattern": pattern, "suffix": "T1w"}]))

    with pytest.raises(BadInputError, match=r"rule 1 \(line 1\)"):
        project_map.find({"SeriesDescription": "a" * 900 + "!"})


def test_loading_a_file_names_it(tmp_path: Path):
    """A file with a byte-order mark is read; one that is absent is named."""
    path = tmp_path / "bidsmap.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(SITE_LIST).encode())

    assert named(ProjectMap.load(path), "MPRAGE") == "anat/T1w"
    with pytest.raises(BadInputError, match=r"other\.json"):
        ProjectMap.load(tmp_path / "other.json")
