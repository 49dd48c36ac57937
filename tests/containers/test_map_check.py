"""Every problem of a map is told with its line, all at once."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from containers.contract import StepError
from containers.dicom_to_bids.map_source import MapError, parse_source
from containers.dicom_to_bids.project_map import ProjectMap


def lines_of(text: str) -> list[str]:
    with pytest.raises(MapError) as caught:
        ProjectMap.parse(text)
    return str(caught.value).splitlines()[1:]


BROKEN = """{
  "version": 2,
  "unlistd": "classify",
  "subject_label": {"pattern": "(a)", "label": "\\\\2"},
  "tasks": {
    "n-back": {},
    "rest": {"TaskName": "something else"}
  },
  "mappings": [
    {"match": {"PatientName": "x"}, "exclude": "x"},
    {"match": {"EchoTime": {"min": 3, "max": 1}},
     "data_type": "anat",
     "suffix": "T1W"},
    {"match": {"ProtocolName": {"pattern": "(("}},
     "data_type": "func", "suffix": "bold",
     "entities": {"task": "a b",
                  "sub": "01",
                  "run": "x",
                  "part": "both",
                  "mod": "T1w"},
     "sidecar": {"PatientName": "x",
                 "InstitutionName": "x",
                 "M0Type": "Sometimes",
                 "EchoTime": "short",
                 "RepetitionTme": 3,
                 "IntendedFor": "x"}},
    {"series_description": "x", "bidsname": "task-a_T9w"},
    {"series_description": "x", "pattern": "y", "bidsname": "T1w"},
    {"exclude": "x"},
    {"match": {"SeriesDescription": "x"}},
    {"match": {"SeriesDescription": "x"}, "exclude": 3},
    {"match": {"SeriesDescription": "x"}, "exclude": "x", "suffix": "T1w"},
    "T1w",
    {"match": {"EchoTime": {"minimum": 3}}, "exclude": "x"},
    {"match": {"EchoTime": 1}, "data_type": "anat", "suffix": "bold"},
    {"match": {"EchoTime": 1}, "data_type": "anat", "suffix": "T1w", "aslcontext": ["label"]},
    {"match": {"EchoTime": 1}, "data_type": "perf", "suffix": "asl", "aslcontext": ["lable"]},
    {"match": {"EchoTime": 1}, "suffix": "sbref"}
  ]
}
"""


def test_all_problems_are_told_at_once_with_their_lines():
    """Each line of the file that holds a mistake is named, by hand, and no other."""
    found = lines_of(BROKEN)

    numbers = [int(line.split("line ")[1].split(":")[0]) for line in found]
    assert numbers == sorted(numbers)
    assert set(numbers) == {
        *(3, 4, 6, 7, 10, 11, 13, 14, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26),
        *(27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38),
    }
    assert all(line.startswith("bidsmap.json line ") for line in found)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (3, "unlisted"),
        (10, "who somebody is"),
        (13, "T1w"),
        (14, "regular expression"),
        (17, "label"),
        (23, "Separate, Included, Estimate, Absent"),
        (25, "RepetitionTime"),
        (28, "several"),
        (34, "min is meant"),
        (38, "several folders"),
    ],
)
def test_a_problem_says_what_would_be_right(line: int, words: str):
    """The sentence of a line names the remedy, or the nearest thing that exists."""
    told = [each for each in lines_of(BROKEN) if f"line {line}:" in each]

    assert any(words in each for each in told), told


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[\n {"pattern": "x",}\n]', 2, "not JSON"),
        ("", 1, "not JSON"),
        ('{"version": 3, "mappings": []}', 1, "write 2"),
        ('{"version": true, "mappings": []}', 1, "write 2"),
        ('{\n"version": "2.0",\n"mappings": []}', 2, "write 2"),
        ('{"version": 2}', 1, "mappings"),
        ('{"version": 2,\n "mappings": {}}', 2, "a list"),
        ('"T1w"', 1, "a list of entries"),
        ("null", 1, "a list of entries"),
        ('[{"pattern": "a",\n "pattern": "b"}]', 2, "twice"),
        ("[" * 5000 + "]" * 5000, 1, "deep"),
        ('[{"series_description": NaN}]', 1, "NaN"),
        ('[{"series_description": 5, "bidsname": "T1w"}]', 1, "a text"),
        ('{"version": 2, "mappings": [], "session_label": {"pattern": "x"}}', 1, "both"),
        ('{"version": 2, "mappings": [],\n"subject_label": {"omit": true}}', 2, "omit"),
        (
            '{"version": 2, "mappings": [],\n"subject_label": {"labels": {"a": "b_c"}}}',
            2,
            "letters",
        ),
    ],
)
def test_documents_of_another_shape_are_refused(text: str, line: int, words: str):
    """A file that is no map at all is refused with a line, too."""
    found = lines_of(text)

    assert any(f"line {line}:" in each and words in each for each in found), found


@pytest.mark.parametrize("label", [r"\\q", r"\\", r"\\2", r"\\g<name>", r"\\g<"])
def test_a_template_that_cannot_be_filled_is_refused(label: str):
    """An escape that means nothing, or a group that the pattern lacks."""
    rule = f'{{"pattern": "(a)",\n"label": "{label}"}}'
    text = f'{{"version": 2, "mappings": [], "subject_label": {rule}}}'

    assert any("line 2:" in line for line in lines_of(text))


def test_a_rule_that_is_never_asked_is_noted():
    """Two rules for the same series: the second is told, and the map works."""
    project_map = ProjectMap.parse(
        '{"version": 2, "mappings": [\n{"match": {"EchoTime": 1}, "exclude": "a"},\n'
        '{"match": {"EchoTime": 1}, "exclude": "b"}]}'
    )

    assert [(note.line, note.is_error) for note in project_map.notes] == [(3, False)]


def test_milliseconds_are_noted():
    """A repetition time of 2000 s is hardly meant."""
    project_map = ProjectMap.parse(
        '{"version": 2, "mappings": [{"match": {"EchoTime": 1},\n'
        ' "sidecar": {"RepetitionTime": 2000}}]}'
    )

    assert [note.line for note in project_map.notes] == [2]
    assert "seconds" in project_map.notes[0].text


@pytest.mark.parametrize(
    "raw", [b"\xff\xfe[\x00]\x00", b"[" + b" " * (1 << 20) + b"]", b'["\xe9"]', b"\0"]
)
def test_files_that_are_no_text_are_refused(raw: bytes, tmp_path: Path):
    """Another encoding, a huge file, bytes of another kind of file: a sentence, no trace."""
    path = tmp_path / "bidsmap.json"
    path.write_bytes(raw)

    with pytest.raises(MapError, match="line 1"):
        ProjectMap.load(path)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
    max_leaves=20,
)
keys = st.sampled_from(
    [
        *("version", "mappings", "match", "pattern", "suffix", "bidsname", "series_description"),
        *("entities", "sidecar", "exclude", "aslcontext", "data_type", "tasks", "subject_label"),
        *("labels", "label", "EchoTime", "min", "one_of", "repeat", "modality", "xnat_field"),
    ]
)
likely_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(0, 3),
        st.text(max_size=3),
        st.sampled_from(["T1w", "bold", "func"]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=5)),
    max_leaves=25,
)


@given(likely_values)
@settings(deadline=None, max_examples=300)
def test_any_document_is_taken_or_refused_with_a_sentence(document: object):
    """Whatever the document, there is a map or an error of ours, and nothing else."""
    with suppress(StepError):
        project_map = ProjectMap.parse(json.dumps(document))
        project_map.find({"SeriesDescription": "a", "EchoTime": 1, "VolumeCount": 2})
        project_map.subject_label("a")


@given(json_values, st.sampled_from([None, 0, 2]))
@settings(deadline=None)
def test_lines_are_those_of_a_slow_count(document: object, indent: int | None):
    """Every member's line is where its key is found by writing the document piece by piece."""
    text = json.dumps(document, indent=indent)
    source = parse_source(text, "x")

    assert source.document == document
    for place, line in source.lines.items():
        shown = text.splitlines()[line - 1] if indent is not None else text
        if place and isinstance(place[-1], str):
            assert json.dumps(place[-1]) in shown


@pytest.mark.parametrize(
    "value", [r'"\ud800"', r'"x \udfff y"', "1e999", "-1e999", "NaN", "9" * 5000]
)
def test_what_no_file_can_hold_is_refused_with_its_line(value: str) -> None:
    """Half characters, and numbers without an end, would break reports or never fit."""
    text = (
        f'{{"version": 2,\n"mappings": [\n{{"match": {{"EchoTime": {value}}},\n"exclude": "x"}}]}}'
    )

    lines = lines_of(text)

    assert len(lines) == 1
    assert value.startswith('"') == ("line 3: half a character" in lines[0])


def test_pairs_of_half_characters_are_one_character() -> None:
    """JSON writes letters beyond the first 65,536 as two halves."""
    text = r'{"version": 2, "mappings": [{"match": {"A": "\ud83d\ude00"}, "exclude": "x"}]}'

    assert ProjectMap.parse(text).rules
