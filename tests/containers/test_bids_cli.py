"""``winxnat bids``: maps checked, names explained and suggested, results assembled."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from containers.bids_cli import bids
from containers.contract import ExitCode
from containers.run_cli import run
from deploy.demo_session import PLANTED, DemoSession
from tests.builders.bids_results import write_result


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(bids, [str(each) for each in arguments])


def rows(*arguments: str | Path) -> list[dict[str, object]]:
    result = call("explain", *arguments, "--json")
    assert result.exit_code == 0, result.output
    found: list[dict[str, object]] = json.loads(result.stdout)["series"]
    return found


def test_a_map_with_problems_ends_with_bad_input(tmp_path: Path):
    """Each problem stands in a line of its own with file name and line."""
    path = tmp_path / "bidsmap.json"
    path.write_text('{"version": 2, "mappings": [\n{"match": {"A": 1}, "exlude": "x"}]}')

    result = call("check-map", path)

    assert result.exit_code == ExitCode.BAD_INPUT
    assert result.stdout == ""
    assert all(line.startswith("bidsmap.json line 2: ") for line in result.stderr.splitlines())


def test_a_good_map_is_counted_and_its_notes_are_told(tmp_path: Path):
    """Notes do not make a map unusable; machines get the same."""
    path = tmp_path / "bidsmap.json"
    path.write_text('[{"series_description": "x", "bidsname": "dti"}]')

    text, document = call("check-map", path), json.loads(call("check-map", path, "--json").stdout)

    assert text.exit_code == ExitCode.DONE
    assert "1 rules" in text.stdout
    assert "note: " in text.stderr
    assert document["usable"] is True
    assert [problem["line"] for problem in document["problems"]] == [1]


def test_every_scan_is_explained_once(session: DemoSession):
    """Each series of the made session stands there with a reason, and no planted identity."""
    found = rows(session.folder)

    text = json.dumps(found)
    assert {scan for row in found for scan in row["scans"]} == {"1", "2", "3", "4", "5", "6"}  # type: ignore[attr-defined]
    assert all(row["reason"] for row in found)
    assert not any(planted in text for planted in PLANTED.values())


def test_the_suggested_map_gives_the_same_names(session: DemoSession, tmp_path: Path):
    """Named by the map that was suggested, each series has the name it had without."""
    suggested = call("suggest", session.folder)
    assert suggested.exit_code == 0
    path = tmp_path / "bidsmap.json"
    path.write_text(suggested.stdout)

    without, with_map = rows(session.folder), rows(session.folder, "--map", path)

    assert call("check-map", path).exit_code == ExitCode.DONE
    assert [row["name"] for row in with_map] == [row["name"] for row in without]
    assert {row["rule"] for row in with_map} == {"project-map"}


@pytest.mark.samples
@pytest.mark.slow
def test_suggested_maps_of_the_samples_give_the_same_names(samples: Path, tmp_path: Path):
    """For every sample session of MRI: suggest, check, and name again."""
    sessions = [path for path in sorted((samples / "dicom").iterdir()) if path.is_dir()]
    for folder in (each for each in sessions if not each.name.startswith("eeg")):
        path = tmp_path / f"{folder.name}.json"
        path.write_text(call("suggest", folder).stdout)

        before = [row["name"] for row in rows(folder)]
        after = [row["name"] for row in rows(folder, "--map", path)]

        assert after == before, folder.name


def test_a_map_that_cannot_be_used_stops_the_explanation(session: DemoSession, tmp_path: Path):
    """The same lines as of check-map, and the exit code of bad input."""
    path = tmp_path / "bidsmap.json"
    path.write_text("[{]")

    result = call("explain", session.folder, "--map", path)

    assert result.exit_code == ExitCode.BAD_INPUT
    assert "bidsmap.json line 1: not JSON" in result.stderr


def test_results_of_local_runs_are_assembled(tmp_path: Path):
    """Folders as `winxnat run` leaves them become one dataset."""
    for name in ("A", "B"):
        home = tmp_path / "in" / name
        write_result(home, subject=name, session=None, given=(name, None), in_archive=False)

    result = call("assemble", tmp_path / "in", tmp_path / "out", "--name", "Two")

    assert result.exit_code == 0, result.output
    assert "2 sessions of 2 subjects" in result.stdout
    assert (tmp_path / "out/bids/participants.tsv").read_text().split() == [
        *("participant_id", "sub-A", "sub-B")
    ]


def test_what_assembly_never_opens_cannot_stop_it(tmp_path: Path):
    """A project's images are neither read nor counted, and a dead link among them is no matter."""
    home = tmp_path / "P" / "arc001" / "E1"
    root = write_result(home, subject="A", session="v", given=("A", "v"))
    scan = home / "SCANS" / "1" / "DICOM"
    scan.mkdir(parents=True)
    (scan / "a.dcm").write_bytes(b"x" * 1000)
    (scan / "gone.dcm").symlink_to(tmp_path / "nowhere")
    count = sum(path.is_file() for path in home.rglob("*")) - 1

    result = call("assemble", tmp_path / "P", tmp_path / "out")

    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    assert report["inputs"]["count"] == count
    assert root.is_dir()


@pytest.mark.parametrize("engine", ["process", pytest.param("docker", marks=pytest.mark.docker)])
def test_a_local_run_takes_a_map(
    session: DemoSession, tmp_path: Path, engine: str, request: pytest.FixtureRequest
):
    """`winxnat run` hands a file to the step, wherever it lies, and shows only its name."""
    if engine == "docker":
        request.getfixturevalue("docker_engine")
    path = tmp_path / "my maps (old)" / "it's a map.json"
    path.parent.mkdir()
    rule = {"match": {"SeriesDescription": {"pattern": "(?i)mprage"}}, "exclude": "Not wanted."}
    path.write_text(json.dumps({"version": 2, "mappings": [rule]}))
    options = ["--map", str(path), "--json", "--engine", engine]

    done = CliRunner().invoke(
        run, ["dicom-to-bids", str(session.folder), str(tmp_path / "out"), *options]
    )

    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)["report"]
    reasons = {row["subject"]: row["reason"] for row in report["accounted"]}
    assert reasons["2"] == "Not wanted."
    assert report["parameters"]["map"] == path.name
    assert str(tmp_path) not in json.dumps(report)


@pytest.mark.parametrize("name", ["absent.json", "."])
def test_a_local_run_without_its_map_does_not_start(
    session: DemoSession, tmp_path: Path, name: str
):
    """A map that was named and is not there is never taken for none."""
    arguments = ["dicom-to-bids", str(session.folder), str(tmp_path / "out")]

    done = CliRunner().invoke(run, [*arguments, "--map", str(tmp_path / name)])

    assert done.exit_code == ExitCode.WRONG_USAGE
    assert "--map" in done.stderr
    assert not (tmp_path / "out").exists()
