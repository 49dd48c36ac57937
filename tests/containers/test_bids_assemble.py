"""Assembly of session results: one valid dataset, or a refusal; never two people in one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from containers.bids_assemble.step import run
from containers.contract import BadInputError, StepInput, StepReport
from tests.builders.bids_conversion import all_bytes
from tests.builders.bids_results import write_report, write_result


def assemble(project: Path, work: Path, name: str | None = None) -> tuple[StepReport, Path]:
    output, scratch = work / "output", work / "scratch"
    output.mkdir(parents=True)
    scratch.mkdir()
    parameters = {"name": name, "allow-invalid": False}
    report = run(StepInput("bids-assemble", project, output, scratch, parameters))
    return report, output / "bids"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder: two subjects, the first with two sessions."""
    folder = tmp_path / "P" / "arc001"
    visits = [
        ("A1", "v1", ("A_1", "v-1"), {"sex": "F", "age": "30"}),
        ("A1", "v2", ("A_1", "v-2"), {"sex": "F", "age": "31"}),
        ("B2", "v1", ("B 2", "v-1"), {"sex": "M"}),
    ]
    for number, (subject, session, given, participant) in enumerate(visits):
        write_result(
            folder / f"E{number}",
            subject=subject,
            session=session,
            given=given,
            seed=number,
            participant=participant,
            finished_on=f"2026-03-0{number + 1}",
        )
    return tmp_path / "P"


def test_the_dataset_is_valid_and_whole(project: Path, tmp_path: Path):
    """The official validator finds no error, and each session's files are there unchanged."""
    report, root = assemble(project, tmp_path / "work", "Study")

    assert report.facts["validator_errors"] == 0
    assert (report.facts["subject_count"], report.facts["session_count"]) == (2, 3)
    before = all_bytes(project / "arc001" / "E0" / "RESOURCES" / "BIDS")
    after = all_bytes(root)
    below = {path: content for path, content in before.items() if path.startswith("sub-")}
    assert len(below) == 3
    assert below.items() <= after.items()
    assert [each.subject for each in report.accounted] == [
        *("sub-A1/ses-v1", "sub-A1/ses-v2", "sub-B2/ses-v1")
    ]


def test_tables_are_made_anew(project: Path, tmp_path: Path):
    """Rows by subject; what differs between visits is not available, and said."""
    report, root = assemble(project, tmp_path / "work", "Study")

    assert (root / "participants.tsv").read_text() == (
        "participant_id\tage\tsex\nsub-A1\tn/a\tF\nsub-B2\tn/a\tM\n"
    )
    assert (root / "sub-A1" / "sub-A1_sessions.tsv").read_text() == "session_id\nses-v1\nses-v2\n"
    assert any("sub-A1" in warning and "age" in warning for warning in report.warnings)
    description = json.loads((root / "dataset_description.json").read_text())
    assert description["Name"] == "Study"
    assert [each["Name"] for each in description["GeneratedBy"]] == [
        *("winxnat bids-assemble", "winxnat dicom-to-bids")
    ]


def test_facts_about_sessions_are_kept(project: Path, tmp_path: Path):
    """Each session's own row goes into its subject's table."""
    for number, session in enumerate(("v1", "v2")):
        root = project / "arc001" / f"E{number}" / "RESOURCES" / "BIDS"
        row = f"session_id\tweight\nses-{session}\t{70 + number}\n"
        (root / "sub-A1" / "sub-A1_sessions.tsv").write_text(row)
        given = ("A_1", f"v-{number + 1}")
        write_report(root, root.with_name("BIDS_REPORT"), given, "2026-03-01", {})

    _, root = assemble(project, tmp_path / "work")

    assert (root / "sub-A1" / "sub-A1_sessions.tsv").read_text() == (
        "session_id\tweight\nses-v1\t70\nses-v2\t71\n"
    )


def test_the_same_results_give_the_same_bytes(project: Path, tmp_path: Path):
    """Also where the sessions lie in other folders, as after a move of the archive."""
    _, first = assemble(project, tmp_path / "one")
    for place in sorted((project / "arc001").iterdir()):
        place.rename(place.with_name(f"Z{9 - int(place.name[1:])}"))

    _, second = assemble(project, tmp_path / "two")

    assert all_bytes(first) == all_bytes(second)


def test_changes_grow_only_when_the_content_changes(project: Path, tmp_path: Path):
    """The last assembly lies in the project; a new one adds an entry, or leaves it as it is."""
    _, first = assemble(project, tmp_path / "one")
    before = (first / "CHANGES").read_text()
    shutil.copytree(first, project / "resources" / "BIDS")

    _, same = assemble(project, tmp_path / "two")
    assert (same / "CHANGES").read_text() == before

    write_result(
        project / "arc001" / "E9",
        subject="C3",
        session="v1",
        given=("C3", "v1"),
        finished_on="2026-04-05",
    )
    _, changed = assemble(project, tmp_path / "three")
    after = (changed / "CHANGES").read_text()
    assert after.endswith(before)
    assert re.findall(r"^\S+ \S+$", after, re.MULTILINE) == [
        *("1.1.0 2026-04-05", "1.0.0 2026-03-03")
    ]


@pytest.mark.parametrize(
    ("labels", "given", "words"),
    [
        (("A1", "v3"), ("A-1", "v-3"), "sub-A1 stands for 2 subjects"),
        (("a1", "v3"), ("a1", "v-3"), "stands for 2 subjects"),
        (("A1", "v3"), (None, "v-3"), "stands for 2 subjects"),
        (("A1", "v1"), ("A_1", "v_1"), "sub-A1/ses-v1 is the place of 2 different results"),
        (("A1", "V1"), ("A_1", "V-1"), "is the place of 2 different results"),
        (("A1", None), ("A_1", None), "with and without a session"),
        (("A1b", "v3"), ("A_1", "v-3"), "sub-A1, sub-A1b are one subject"),
    ],
)
def test_results_that_do_not_fit_are_refused(
    project: Path,
    tmp_path: Path,
    labels: tuple[str, str | None],
    given: tuple[str | None, str | None],
    words: str,
):
    """Colliding labels are told by their BIDS names, never by those that XNAT has."""
    home = project / "arc001/E9"
    write_result(home, subject=labels[0], session=labels[1], given=given, seed=9)

    with pytest.raises(BadInputError) as caught:
        assemble(project, tmp_path / "work")

    assert words in str(caught.value)
    assert not any(label in str(caught.value) for label in ("A_1", "A-1", "v_1"))


def test_all_misfits_are_told_at_once(project: Path, tmp_path: Path):
    """A data manager mends everything in one go."""
    write_result(project / "arc001/E8", subject="A1", session="v8", given=("A-1", "v8"))
    write_result(project / "arc001/E9", subject="B2", session="v9", given=("B-2", "v9"))

    with pytest.raises(BadInputError, match=r"sub-A1 stands for 2 .* sub-B2 stands for 2 "):
        assemble(project, tmp_path / "work")


def test_two_sessions_of_unknown_subjects_are_refused(tmp_path: Path):
    """Without labels nobody knows whether they are one person."""
    for name, session in (("one", "v1"), ("two", "v2")):
        write_result(
            tmp_path / "in" / name,
            subject="01",
            session=session,
            given=(None, session),
            in_archive=False,
        )

    with pytest.raises(BadInputError, match="not known"):
        assemble(tmp_path / "in", tmp_path / "work")


def test_the_same_result_twice_is_taken_once(project: Path, tmp_path: Path):
    """A copy of a session's results is no conflict."""
    shutil.copytree(project / "arc001" / "E0", project / "copy" / "E0")

    report, root = assemble(project, tmp_path / "work")

    assert report.facts["session_count"] == 3
    assert (root / "sub-A1/ses-v1/anat/sub-A1_ses-v1_T1w.nii.gz").is_file()
    assert any("2 times" in warning for warning in report.warnings)


def test_files_of_earlier_runs_are_not_taken(project: Path, tmp_path: Path):
    """A resource keeps the files of earlier runs under other names; the report tells them."""
    old = project / "arc001/E0/RESOURCES/BIDS/sub-A1/ses-v1/anat/sub-A1_ses-v1_acq-old_T1w.nii.gz"
    shutil.copy(next(old.parent.glob("*.nii.gz")), old)
    (project / "arc001/E0/RESOURCES/BIDS/BIDS_catalog.xml").write_text("<catalog/>")

    _, root = assemble(project, tmp_path / "work")

    assert not list(root.rglob("*acq-old*"))
    assert not list(root.rglob("*catalog.xml"))


@pytest.mark.parametrize("name", ["sub-A1_ses-v2_T1w.json", "participants.tsv"])
@pytest.mark.parametrize("change", ["edit", "delete"])
def test_a_file_that_is_not_what_the_report_says_is_refused(
    project: Path, tmp_path: Path, change: str, name: str
):
    """A changed or missing file would make a dataset that nobody converted."""
    target = next((project / "arc001/E1/RESOURCES/BIDS").rglob(name))
    if change == "edit":
        target.write_text(target.read_text().replace("3", "4"))
    else:
        target.unlink()

    with pytest.raises(BadInputError, match=rf"{name} (was changed|is missing)"):
        assemble(project, tmp_path / "work")


def test_a_tree_without_a_report_is_left_out_and_said(project: Path, tmp_path: Path):
    """Whose it is cannot be known; the others are assembled."""
    shutil.rmtree(project / "arc001/E2/RESOURCES/BIDS_REPORT")

    report, root = assemble(project, tmp_path / "work")

    assert not (root / "sub-B2").exists()
    assert any("report" in warning for warning in report.warnings)


def test_a_report_cannot_name_files_elsewhere(project: Path, tmp_path: Path):
    """A path with .. would read what does not belong to the project."""
    path = project / "arc001/E0/RESOURCES/BIDS_REPORT/report.json"
    document = json.loads(path.read_text())
    document["outputs"][0]["path"] = "bids/../../../../../secret"
    path.write_text(json.dumps(document))

    with pytest.raises(BadInputError, match="outside its tree"):
        assemble(project, tmp_path / "work")


def test_a_tree_with_two_sessions_is_refused(project: Path, tmp_path: Path):
    """A report describes one session; more in its tree was not made by one run."""
    root = project / "arc001/E0/RESOURCES/BIDS"
    shutil.copytree(root / "sub-A1/ses-v1", root / "sub-A1/ses-v7")
    write_report(root, root.with_name("BIDS_REPORT"), ("A_1", "v-1"), "2026-03-01", {})

    with pytest.raises(BadInputError, match="2 sessions"):
        assemble(project, tmp_path / "work")


def test_an_empty_project_is_refused(tmp_path: Path):
    """There is nothing to assemble, and the message says what to do first."""
    (tmp_path / "P").mkdir()

    with pytest.raises(BadInputError, match="Convert the sessions first"):
        assemble(tmp_path / "P", tmp_path / "work")


def test_different_maps_are_noted(project: Path, tmp_path: Path):
    """The same series may have got different names."""
    write_result(
        project / "arc001/E9",
        subject="C3",
        session="v1",
        given=("C3", "v1"),
        facts={"map_sha256": "0" * 64},
    )

    report, _ = assemble(project, tmp_path / "work")

    assert any("2 different maps" in warning for warning in report.warnings)
