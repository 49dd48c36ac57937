"""Matchers against what the Container Service's documents and its JSONPath library say."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.sandbox.matchers import MatcherError, json_list, matching, value_at

OBJECTS: list[dict[str, Any]] = [
    {
        "label": "one",
        "scan-type": "T1w",
        "name": "a.EDF",
        "frames": 3,
        "tags": ["raw"],
        "resources": [{"label": "DICOM"}, {"label": "NIFTI"}],
    },
    {"label": "two", "scan-type": "it's", "name": "b.txt", "resources": []},
    {"label": "three", "resources": [{"label": "DICOM-RT"}]},
    {"label": "four", "resources": [{"label": "DICOM"}]},
]


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        ("@.label == 'one'", ["one"]),
        ('@.label == "one"', ["one"]),
        ("@.label != 'one'", ["two", "three", "four"]),
        ("'DICOM' in @.resources[*].label", ["one", "four"]),
        ("'raw' in @.tags", ["one"]),
        ("@.scan-type in ['T1w','MPRAGE']", ["one"]),
        ("@['scan-type'] == 'T1w'", ["one"]),
        (r"@.name =~ /.*\.edf/i", ["one"]),
        (r"@.name =~ /edf/i", []),
        ("@.frames > 2", ["one"]),
        ("@.frames > 3", []),
        ("@.label == 'one' || @.label == 'two'", ["one", "two"]),
        ("'DICOM' in @.resources[*].label && @.scan-type == 'T1w'", ["one"]),
        ("!(@.label == 'one')", ["two", "three", "four"]),
        (r"@.scan-type == 'it\'s'", ["two"]),
        ("@.quality == 'usable'", []),
        ("@.resources[*].label contains 'NIFTI'", ["one"]),
        ("@.resources.length() > 1", ["one"]),
        ("(@.resources.size() == 1 && 'DICOM' in @.resources[*].label)", ["four"]),
    ],
)
def test_matcher_selects(matcher: str, expected: list[str]):
    """A matcher selects the objects that its reading in JSONPath says."""
    assert [OBJECTS[i]["label"] for i in matching(matcher, OBJECTS)] == expected


@pytest.mark.parametrize("matcher", ["@.label == 'x", "@.label =~ /(/", "@.label ==", ")(", ""])
def test_broken_matcher_is_refused(matcher: str):
    """What is no JSONPath filter is refused with a sentence, never run."""
    with pytest.raises(MatcherError, match="not a JSONPath filter"):
        matching(matcher, OBJECTS)


def test_value_at_path():
    """A path finds the first value, or nothing."""
    assert value_at("$.resources[1].label", OBJECTS[0]) == "NIFTI"
    assert value_at("$.quality", OBJECTS[0]) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [('["a", "b"]', ["a", "b"]), ("[]", []), ("a", None), ("[1]", None), ("[", None)],
)
def test_json_list(text: str, expected: list[str] | None):
    """Only a JSON list of texts counts as several values."""
    assert json_list(text) == expected


def test_an_expression_that_takes_exponential_time_is_given_up():
    # The standard library would need hours for it.
    with pytest.raises(MatcherError, match="too long"):
        matching("@.label =~ /^(a|aa)+$/", [{"label": "a" * 64 + "!"}])


@pytest.mark.parametrize("call", ["match(@.label, 'T1')", "search(@.label, 'T1')"])
def test_functions_that_jayway_does_not_have_are_refused(call: str):
    with pytest.raises(MatcherError):
        matching(call, [{"label": "T1"}])


def test_the_flag_for_any_case_counts():
    assert matching("@.label =~ /t1.*/i", [{"label": "T1w"}, {"label": "T2w"}]) == [0]
