"""One run of a step on real folders: whole results or none."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import jsonschema
import pytest

from commands.model import Command, CommandInput
from containers import run_report
from containers.contract import Accounted, BadInputError, StepInput, StepReport, UsageError
from containers.step_run import StoppedError, run_step

COMMAND = Command(
    name="copy-files",
    image="winxnat/copy-files:1",
    version="1",
    inputs=(CommandInput("label"), CommandInput("key", sensitive=True)),
)
SCHEMA = json.loads(
    (Path(run_report.__file__).parent / "report_schema.json").read_text(encoding="utf-8")
)


def copy_step(step_input: StepInput) -> StepReport:
    """Copy the input's files in upper case."""
    for path in sorted(step_input.input_dir.iterdir()):
        target = step_input.output_dir / "data" / f"out-{path.suffix[1:]}"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes().upper())
    (step_input.scratch_dir / "notes").write_text("temporary", encoding="utf-8")
    return StepReport(
        summary="Copied all.",
        accounted=(Accounted("1", "done", outputs=("data/out-a",)),),
        warnings=("a warning",),
        tools={"cp": "1"},
        facts={"n": 2},
    )


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Return an input folder with two files, and an empty output folder."""
    input_dir, output_dir = tmp_path / "in", tmp_path / "out"
    input_dir.mkdir()
    output_dir.mkdir()
    (input_dir / "Mustermann.a").write_text("alpha", encoding="utf-8")
    (input_dir / "Mustermann.b").write_text("beta", encoding="utf-8")
    return input_dir, output_dir


@pytest.fixture
def temporary_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of its own for temporary files."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Return every path below a folder, with the content of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def report_of(output_dir: Path) -> dict[str, object]:
    """Return the report in an output folder."""
    document = json.loads((output_dir / "report" / "report.json").read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


def test_results_and_report_stand_in_the_output_folder(
    folders: tuple[Path, Path], temporary_dir: Path
) -> None:
    """After success the output holds the results and the report, and no temporary file stays."""
    run_step(COMMAND, copy_step, *folders, {})

    assert sorted(tree(folders[1])) == [
        "data",
        "data/out-a",
        "data/out-b",
        "report",
        "report/report.json",
    ]
    assert (folders[1] / "data" / "out-a").read_text() == "ALPHA"
    assert tree(temporary_dir) == {}


def test_report_follows_its_schema(folders: tuple[Path, Path]) -> None:
    """The report is valid by the published schema, and its times are in UTC."""
    parameters = {"label": "x", "key": "hunter2", "n": 1.5, "flag": True, "many": ("a", "b")}

    run_step(COMMAND, copy_step, *folders, parameters)

    report = report_of(folders[1])
    jsonschema.validate(report, SCHEMA)
    began, ended = (
        datetime.fromisoformat(str(report[key])) for key in ("started_at", "finished_at")
    )
    assert began.utcoffset() == ended.utcoffset() == timedelta(0)
    assert began <= ended


def test_report_checksums_are_those_of_sha256sum(folders: tuple[Path, Path]) -> None:
    """Checksums of inputs and outputs are what coreutils' sha256sum says."""
    input_dir, output_dir = folders
    recipe = SCHEMA["properties"]["inputs"]["properties"]["sha256"]["description"]

    run_step(COMMAND, copy_step, *folders, {})

    report = report_of(output_dir)
    shell = subprocess.run(
        ["/bin/sh", "-c", recipe.split(": ")[1]],
        cwd=input_dir,
        capture_output=True,
        text=True,
        check=True,
    )
    assert report["inputs"] == {"count": 2, "size_bytes": 9, "sha256": shell.stdout.split()[0]}
    sums = subprocess.run(
        ["sha256sum", "data/out-a", "data/out-b"],
        cwd=output_dir,
        capture_output=True,
        text=True,
        check=True,
    )
    outputs = report["outputs"]
    assert isinstance(outputs, list)
    assert [f"{each['sha256']}  {each['path']}" for each in outputs] == sums.stdout.splitlines()


def test_report_holds_no_input_name_host_name_or_secret(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """Neither input file names nor folders, the host's name or sensitive values are reported."""
    run_step(COMMAND, copy_step, *folders, {"label": "visible", "key": "hunter2"})

    text = (folders[1] / "report" / "report.json").read_text(encoding="utf-8")
    assert "visible" in text
    for secret in ("Mustermann", "hunter2", str(tmp_path), os.uname().nodename):
        assert secret not in text


def fail_with(error: BaseException) -> Callable[[StepInput], StepReport]:
    """Return a step that writes half a result and then raises."""

    def step(step_input: StepInput) -> StepReport:
        folder = step_input.output_dir / "half"
        folder.mkdir()
        (folder / "result").write_text("half", encoding="utf-8")
        folder.chmod(0o500)
        (step_input.scratch_dir / "notes").write_text("temporary", encoding="utf-8")
        raise error

    return step


@pytest.mark.parametrize(
    "error",
    [
        BadInputError("no images"),
        RuntimeError("unexpected"),
        MemoryError(),
        OSError(errno.ENOSPC, "full"),
        StoppedError(),
        KeyboardInterrupt(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("is_rerun", [False, True], ids=["first run", "second run"])
def test_failure_leaves_the_folders_as_they_were(
    folders: tuple[Path, Path], temporary_dir: Path, error: BaseException, *, is_rerun: bool
) -> None:
    """Whatever a step raises, output and temporary folder are as before."""
    if is_rerun:
        run_step(COMMAND, copy_step, *folders, {})
    before = tree(folders[1])

    with pytest.raises(type(error)):
        run_step(COMMAND, fail_with(error), *folders, {})

    assert tree(folders[1]) == before
    assert tree(temporary_dir) == {}


def test_staging_of_a_killed_run_is_removed(folders: tuple[Path, Path]) -> None:
    """What a killed run left in the staging folder is gone after the next one."""
    left = folders[1] / ".partial" / "results"
    left.mkdir(parents=True)
    (left / "stale").write_text("stale", encoding="utf-8")

    run_step(COMMAND, copy_step, *folders, {})

    assert sorted(each.name for each in folders[1].iterdir()) == ["data", "report"]


def test_results_of_an_earlier_run_are_replaced(folders: tuple[Path, Path]) -> None:
    """A second run leaves its own results only, none of the first."""
    run_step(COMMAND, copy_step, *folders, {})
    (folders[0] / "Mustermann.a").unlink()

    run_step(COMMAND, copy_step, *folders, {})

    assert sorted(each.name for each in (folders[1] / "data").iterdir()) == ["out-b"]


@pytest.mark.parametrize("place", ["notes.txt", "data/notes.txt"])
@pytest.mark.parametrize("is_rerun", [False, True], ids=["first run", "second run"])
def test_foreign_files_are_never_deleted(
    folders: tuple[Path, Path], place: str, *, is_rerun: bool
) -> None:
    """A file that no run wrote makes the step refuse, and stays."""
    if is_rerun:
        run_step(COMMAND, copy_step, *folders, {})
    path = folders[1] / place
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine", encoding="utf-8")
    before = tree(folders[1])

    with pytest.raises(UsageError, match="not empty"):
        run_step(COMMAND, copy_step, *folders, {})

    assert tree(folders[1]) == before


def test_results_of_another_command_are_not_replaced(folders: tuple[Path, Path]) -> None:
    """The results of another command make the step refuse."""
    run_step(COMMAND, copy_step, *folders, {})
    other = Command(name="other", image="winxnat/other:1")

    with pytest.raises(UsageError, match="earlier run of other"):
        run_step(other, copy_step, *folders, {})


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"command": "copy-files"}'])
def test_unreadable_report_makes_no_earlier_run(folders: tuple[Path, Path], text: str) -> None:
    """A folder whose report cannot be read is treated as somebody else's."""
    (folders[1] / "report").mkdir()
    (folders[1] / "report" / "report.json").write_text(text, encoding="utf-8")

    with pytest.raises(UsageError, match="not empty"):
        run_step(COMMAND, copy_step, *folders, {})


def _linked_folder(input_dir: Path) -> None:
    (input_dir / "elsewhere").symlink_to("/")


def _dead_link(input_dir: Path) -> None:
    (input_dir / "DOE_JANE.dcm").symlink_to("/nowhere")


def _pipe(input_dir: Path) -> None:
    os.mkfifo(input_dir / "DOE_JANE")


@pytest.mark.parametrize("spoil", [_linked_folder, _dead_link, _pipe])
def test_input_besides_plain_files_is_refused(
    folders: tuple[Path, Path], spoil: Callable[[Path], None]
) -> None:
    """What would be passed over, is missing or never ends is refused, without its name."""
    spoil(folders[0])

    with pytest.raises(BadInputError, match=r"holds 1 .*plain files only") as caught:
        run_step(COMMAND, copy_step, *folders, {})

    assert "DOE" not in str(caught.value)
    assert tree(folders[1]) == {}


def test_link_in_place_of_the_staging_folder_is_not_followed(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    """What a link named like the staging folder points at stays as it is."""
    victim = tmp_path / "victim"
    victim.mkdir(mode=0o500)
    (folders[1] / ".partial").symlink_to(victim)

    run_step(COMMAND, copy_step, *folders, {})

    assert victim.stat().st_mode & 0o777 == 0o500
    assert not (folders[1] / ".partial").exists()


def test_missing_input_folder_is_named(folders: tuple[Path, Path]) -> None:
    """An input folder that is not there is a usage error that says which one."""
    shutil.rmtree(folders[0])

    with pytest.raises(UsageError, match="input folder"):
        run_step(COMMAND, copy_step, *folders, {})


def test_absent_output_folder_is_made_and_taken_away(folders: tuple[Path, Path]) -> None:
    """An output folder that is not there exists after a success only."""
    folders[1].rmdir()

    with pytest.raises(BadInputError):
        run_step(COMMAND, fail_with(BadInputError("no images")), *folders, {})
    exists_after_failure = folders[1].exists()
    run_step(COMMAND, copy_step, *folders, {})

    assert not exists_after_failure
    assert (folders[1] / "report" / "report.json").is_file()


@pytest.mark.parametrize("place", ["none/out", "in/Mustermann.a"])
def test_output_that_cannot_be_a_folder_is_named(folders: tuple[Path, Path], place: str) -> None:
    """An output folder that can neither be used nor made is a usage error."""
    with pytest.raises(UsageError, match="output folder"):
        run_step(COMMAND, copy_step, folders[0], folders[0].parent / place, {})


def test_a_step_gets_absolute_folders_whatever_the_call_named(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that works in another folder still finds its input when the call was relative."""
    given: list[StepInput] = []

    def remember(step_input: StepInput) -> StepReport:
        given.append(step_input)
        return copy_step(step_input)

    monkeypatch.chdir(folders[0].parent)
    run_step(COMMAND, remember, Path("in"), Path("out"), {})

    assert given[0].input_dir == folders[0].resolve()
    assert given[0].output_dir.is_absolute()


def test_folders_within_each_other_are_refused(folders: tuple[Path, Path]) -> None:
    """An output folder below the input folder is refused."""
    inner = folders[0] / "derived"
    inner.mkdir()

    with pytest.raises(UsageError, match="within each other"):
        run_step(COMMAND, copy_step, folders[0], inner, {})


def test_step_that_writes_a_reserved_name_leaves_nothing(folders: tuple[Path, Path]) -> None:
    """Moving into place that breaks off half-way is undone."""

    def step(step_input: StepInput) -> StepReport:
        for name in ("a-first", ".partial", "z-last"):
            (step_input.output_dir / name).mkdir()
        return StepReport("done")

    run_step(COMMAND, copy_step, *folders, {})
    before = tree(folders[1])

    with pytest.raises(OSError, match="not empty"):
        run_step(COMMAND, step, *folders, {})

    assert tree(folders[1]) == before


def test_full_disk_leaves_nothing(folders: tuple[Path, Path], small_disk: Path) -> None:
    """When the disk of the output is full, the error comes through and the folder is empty."""

    def step(step_input: StepInput) -> StepReport:
        (step_input.output_dir / "big").write_bytes(bytes(2 * 1024 * 1024))
        return StepReport("done")

    with pytest.raises(OSError, match="No space left") as caught:
        run_step(COMMAND, step, folders[0], small_disk, {})

    assert caught.value.errno == errno.ENOSPC
    assert tree(small_disk) == {}


def test_a_second_run_into_the_same_folder_is_refused_and_harms_nothing(
    folders: tuple[Path, Path],
) -> None:
    """While one run writes to a folder, another is told to wait; the first ends as if alone."""

    def meet_another(step_input: StepInput) -> StepReport:
        with pytest.raises(UsageError, match="Another run"):
            run_step(COMMAND, copy_step, *folders, {})
        return copy_step(step_input)

    run_step(COMMAND, meet_another, *folders, {})

    first = tree(folders[1])
    run_step(COMMAND, copy_step, *folders, {})
    assert set(tree(folders[1])) == set(first)
