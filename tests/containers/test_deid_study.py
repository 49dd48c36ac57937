"""``winxnat deid study``: many sessions under one key store, stopped and gone on with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pydicom
import pytest
from click.testing import CliRunner, Result

from containers.deid_cli import deid
from containers.scrub_headers import key_store
from tests.builders.bids_conversion import all_bytes
from tests.builders.mr_files import TOKEN, file_bytes, mr_dataset

SESSIONS = ("Smith_John_1", "Smith_John_2", "Miller_Ann")
PASSPHRASE = "a long enough passphrase"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three sessions of two people (``in``), a key store and its passphrase beside them."""
    base = tmp_path_factory.mktemp("study")
    for number, name in enumerate(SESSIONS):
        folder = base / "in" / name
        folder.mkdir(parents=True)
        for slice_number in range(2):
            image = mr_dataset(4, 4)
            image.PatientID = f"{TOKEN}{name[:5].upper()}"
            image.PatientName = name.replace("_", "^")
            image.StudyDate = "20210304" if number != 1 else "20210410"
            image.SOPInstanceUID = f"1.2.826.0.1.3680043.2.1143.9.{number}.{slice_number}"
            (folder / f"{slice_number}.dcm").write_bytes(file_bytes(image))
    (base / "passphrase").write_text(PASSPHRASE)
    key_store.create(base / "keys", PASSPHRASE)
    return base


def scrub(study: Path, out: Path, *options: str, source: str = "in") -> Result:
    """Run the command on the study."""
    return CliRunner().invoke(
        deid,
        ["study", str(study / source), str(out), "--keys", str(study / "keys"),
         "--keys-passphrase", str(study / "passphrase"), *options],
    )  # fmt: skip


def label_table(folder: Path, *rows: str) -> str:
    """Write a table of labels and return its path."""
    path = folder / "labels.csv"
    path.write_text("\n".join(("folder,subject,session", *rows)) + "\n")
    return str(path)


@pytest.fixture(scope="module")
def done(study: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    """The whole study, scrubbed without labels."""
    out = tmp_path_factory.mktemp("scrubbed") / "out"
    return scrub(study, out, "--json"), out


def images(out: Path) -> list[pydicom.Dataset]:
    """Return all images below a folder."""
    return [pydicom.dcmread(path) for path in sorted(out.rglob("*.dcm"))]


def test_every_session_gets_a_checked_copy(done: tuple[Result, Path]):
    """Each session has its copy, report and check in a folder of its own."""
    answer, out = done

    rows = json.loads(answer.stdout)["sessions"]
    assert answer.exit_code == 0, answer.output
    assert [(row["number"], row["state"], row["files"]) for row in rows] == [
        (1, "done", 2), (2, "done", 2), (3, "done", 2),
    ]  # fmt: skip
    for row in rows:
        assert (out / row["target"] / "report" / "check.json").is_file()
    assert len(images(out)) == 6


def test_people_stay_apart_and_their_visits_together(done: tuple[Result, Path]):
    """Two sessions of one person get one label and keep their 37 days; another gets another."""
    found = {(each.PatientID, each.StudyDate) for each in images(done[1])}

    labels = sorted(label for label, _ in found)
    assert len(set(labels)) == 2
    (twice,) = [label for label in set(labels) if labels.count(label) == 2]
    days = sorted(int(day) for label, day in found if label == twice)
    moved = [pydicom.valuerep.DA(str(day)) for day in days]
    # By GNU date: 2021-04-10 is 37 days after 2021-03-04.
    assert (moved[1] - moved[0]).days == 37


def test_no_name_of_person_or_folder_is_shown_or_kept(done: tuple[Result, Path]):
    """Neither output nor record nor paths name a session's folder or person."""
    answer, out = done
    kept = b"\n".join(name.encode() + data for name, data in all_bytes(out).items())

    for name in ("Smith", "Miller", TOKEN):
        assert name.encode() not in kept
        assert name not in answer.output


@pytest.fixture
def own(study: Path, done: tuple[Result, Path], tmp_path: Path) -> Path:
    """A copy of the study and of its results (``out``), to be changed."""
    shutil.copytree(study, tmp_path, dirs_exist_ok=True)
    shutil.copytree(done[1], tmp_path / "out")
    return tmp_path


def test_stopped_run_goes_on_and_changed_session_is_done_again(own: Path):
    """What is done is passed over; a session with a new file, or without its report, is not."""
    out = own / "out"
    record = json.loads((out / "study.json").read_text())
    shutil.rmtree(out / record["sessions"][1]["target"])
    image = mr_dataset(4, 4)
    image.PatientID = f"{TOKEN}MILLE"
    image.SOPInstanceUID = "1.2.826.0.1.3680043.2.1143.9.7"
    (own / "in" / SESSIONS[2] / "1.dcm").write_bytes(file_bytes(image))

    answer = scrub(own, out)

    # Folders in the order of LC_ALL=C sort: Miller_Ann, Smith_John_1, Smith_John_2.
    states = [line.partition(": ")[2][:11] for line in answer.stderr.splitlines()]
    assert states == ["done, 2 fil", "done, 2 fil", "done before"]
    assert answer.exit_code == 0


def test_labels_come_from_a_table_and_one_bad_session_does_not_stop_the_rest(
    study: Path, tmp_path: Path
):
    """Each copy lies under its labels; a label that identifies ends that session alone."""
    table = label_table(
        tmp_path, "Smith_John_1,P017,1", "Smith_John_2,P017,2", f"Miller_Ann,{TOKEN}MILLE,1"
    )
    out = tmp_path / "out"

    shown = scrub(study, out, "--labels", table, "--dry-run")
    assert not out.exists()
    answer = scrub(study, out, "--labels", table)

    assert [line.split()[-1] for line in shown.stdout.splitlines()[1:3]] == ["P017/1", "P017/2"]
    assert answer.exit_code == 2, answer.output
    assert "identifies the person" in answer.stderr
    good = label_table(tmp_path, "Smith_John_1,P017,1", "Smith_John_2,P017,2", "Miller_Ann,P018")
    again = scrub(study, out, "--labels", good, "--sessions", "*_1")
    assert again.exit_code == 0, again.output
    again = scrub(study, out, "--labels", good, "--sessions", "*_2")
    assert again.exit_code == 0, again.output
    assert {each.PatientID for each in images(out / "P017" / "1")} == {"P017"}
    assert {each.PatientID for each in images(out / "P017" / "2")} == {"P017"}


def test_session_without_an_image_does_not_stop_the_rest(own: Path):
    """A session of which nothing may be copied is left out with the reason; the code says so."""
    for path in (own / "in" / SESSIONS[2]).iterdir():
        path.write_text("no image")

    answer = scrub(own, own / "out", "--json")

    states = [row["state"] for row in json.loads(answer.stdout)["sessions"]]
    assert states == ["left-out", "done", "done"]
    assert answer.exit_code == 3


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        (["Smith_John_1,P1"], [], "no row for 2 of 3"),
        (["Smith_John_1,P1", "Smith_John_1,P2"], [], "Line 3"),
        (["Smith_John_1,a b"], [], "Line 2"),
        (["Smith_John_1,P1,1", "Smith_John_2,P1,1", "Miller_Ann,P2"], [], "more than one session"),
        ([], ["--sessions", "no*"], "none"),
        ([], ["--sessions", "**"], "within another"),
        ([], ["--keys-passphrase", "labels.csv"], ""),
    ],
)
def test_wrong_calls_end_before_anything_is_written(
    study: Path, tmp_path: Path, rows: list[str], options: list[str], said: str
):
    """Tables and patterns that do not fit are told without a name, and nothing is made."""
    table = ["--labels", label_table(tmp_path, *rows)] if rows else []

    answer = scrub(study, tmp_path / "out", *table, *options)

    assert answer.exit_code == 2
    assert said in answer.output
    assert "Smith" not in answer.output
    assert not (tmp_path / "out").exists()


def test_results_within_the_study_are_refused(study: Path):
    """A copy among the originals would be taken for one of them."""
    answer = scrub(study, study / "in" / SESSIONS[0] / "out")

    assert answer.exit_code == 2
    assert not (study / "in" / SESSIONS[0] / "out").exists()
