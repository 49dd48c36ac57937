"""Tables that could single somebody out are refused; the places are told, never a value."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from xnat_client.release.disclosure import check_tables, smallest_group


def participants(root: Path, header: str, rows: list[str]) -> None:
    """Write ``participants.tsv`` with a label for each row."""
    lines = [f"participant_id\t{header}"]
    lines += [f"sub-x{number}\t{row}" for number, row in enumerate(rows)]
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")


def test_groups_of_five_pass(tmp_path: Path) -> None:
    participants(tmp_path, "age_band\tsex", ["20-29\tfemale"] * 5 + ["30-39\tmale"] * 5)

    found = check_tables(tmp_path)

    assert (found.is_safe, found.smallest_group, found.people) == (True, 5, 10)


def test_one_rare_person_among_hundreds_is_refused_without_being_named(tmp_path: Path) -> None:
    rows = ["20-29\tfemale"] * 300 + ["20-29\tmale"] * 300 + ["70-79\tmale"]
    participants(tmp_path, "age_band\tsex", rows)

    found = check_tables(tmp_path)

    assert found.smallest_group == 1
    assert "70-79" not in repr(found)
    assert "sub-x600" not in repr(found)


def test_that_a_value_is_missing_tells_people_apart(tmp_path: Path) -> None:
    participants(tmp_path, "sex", ["male"] * 5 + ["n/a"])

    assert check_tables(tmp_path).smallest_group == 1


def test_an_unknown_column_counts_as_telling_people_apart(tmp_path: Path) -> None:
    participants(tmp_path, "shoe_size", ["41", "42", "43", "44", "45"])

    assert not check_tables(tmp_path).is_safe


def test_participants_labels_alone_pass(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("participant_id\nsub-a\n")

    assert check_tables(tmp_path).is_safe


@pytest.mark.parametrize("seed", range(5))
def test_the_smallest_group_is_that_of_counting_pairs(seed: int) -> None:
    drawn = random.Random(seed)  # noqa: S311  # made data, no secret
    people = [
        {"a": drawn.choice("xy"), "b": drawn.choice("uvw"), "c": drawn.choice("no")}
        for _ in range(40)
    ]

    # A person's group, counted by comparing with everybody.
    sizes = [sum(one == other for other in people) for one in people]

    assert smallest_group(people, ["a", "b", "c"]) == min(sizes)


BAD_CELLS = {
    "a date": ("onset\tnote\n1.0\t2017-08-13\n", "column 2 holds a date"),
    "a European date": ("onset\tnote\n1.0\t13.08.2017\n", "column 2 holds a date"),
    "a date as number": ("onset\tnote\n1.0\t20170813\n", "column 2 holds a date"),
    "free text": ("onset\tnote\n1\tshe felt dizzy and left\n", "column 2 holds free text"),
    "age above 89": ("age\n90\n", "column 1 holds an age above 89"),
    "an age in words": ("age\nninety\n", "column 1 is of ages, but holds something else"),
    "narrow bands": ("age_band\n20-21\n", "bands of age of less than five years"),
    "a column of dates": ("acq_time\n12:00\n", "column 1 is of dates"),
    "a column of names": ("surname\nx\n", "column 1 is named for what identifies"),
}


@pytest.mark.parametrize("what", BAD_CELLS)
def test_is_refused_in_a_table(what: str, tmp_path: Path) -> None:
    text, sentence = BAD_CELLS[what]
    (tmp_path / "sub-x").mkdir()
    (tmp_path / "sub-x" / "sub-x_task-rest_events.tsv").write_text(text)

    found = check_tables(tmp_path)

    assert any(sentence in problem for problem in found.problems)


@pytest.mark.parametrize(
    "text",
    [
        "onset\tduration\ttrial_type\n1.0\t2.5\tgo left\n",
        "age\n89\n", "age_band\n89+\n", "age_band\n80-89\n", "acq_time\nn/a\n",
        "value\n0.20170813\n", "value\n1e-05\n",
    ],
)  # fmt: skip
def test_is_accepted_in_a_table(text: str, tmp_path: Path) -> None:
    (tmp_path / "sub-x").mkdir()
    (tmp_path / "sub-x" / "sub-x_task-rest_events.tsv").write_text(text)

    assert check_tables(tmp_path).is_safe


@pytest.mark.parametrize(
    ("document", "is_safe"),
    [
        ('{"PatientPosition": "HFS", "EchoTime": 1}', True),
        ('{"PatientSex": "F"}', False),
        ('{"a": [{"PatientWeight": 70}]}', False),
        ('{"ImageOrientationPatientDICOM": [1]}', True),
        ("{", False),
    ],
)
def test_a_sidecar_about_the_person_is_refused(
    document: str,
    is_safe: bool,  # noqa: FBT001  # a column of the table
    tmp_path: Path,
) -> None:
    (tmp_path / "sub-x").mkdir()
    (tmp_path / "sub-x" / "sub-x_T1w.json").write_text(document)

    assert check_tables(tmp_path).is_safe is is_safe


def test_phenotype_tables_count_with_the_participants(tmp_path: Path) -> None:
    participants(tmp_path, "sex", ["male"] * 10)
    (tmp_path / "phenotype").mkdir()
    scores = "".join(f"sub-x{n}\t{score}\n" for n, score in zip(range(10), itertools.count()))
    (tmp_path / "phenotype" / "score.tsv").write_text(f"participant_id\tscore\n{scores}")

    assert check_tables(tmp_path).smallest_group == 1
