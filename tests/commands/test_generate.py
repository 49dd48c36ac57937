"""Files made from the definitions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from commands import CATALOG, Command, command_from_text
from commands.generate import JSON_DIR, PAGES_DIR, generated_files, main, stale_files, write_files

ROOT = Path(__file__).resolve().parents[2]


def test_committed_files_are_what_the_definitions_make():
    """The documents and pages in the source tree equal the definitions byte for byte."""
    assert stale_files(ROOT) == ()


def test_written_documents_define_the_same_commands():
    """A generated document read by itself gives the command it was made from."""
    files = generated_files()

    read = [command_from_text(files[JSON_DIR / f"{each.name}.json"]) for each in CATALOG]

    assert read == list(CATALOG)


def test_second_run_changes_nothing(tmp_path: Path):
    """A run writes all files and the next one finds nothing to do."""
    assert write_files(tmp_path) == tuple(sorted(generated_files()))
    assert write_files(tmp_path) == ()
    assert main(["--check", "--root", str(tmp_path)]) == 0


@pytest.mark.parametrize("fault", ["changed", "absent", "orphan"])
def test_check_names_stale_files_and_the_remedy(
    fault: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A changed, missing or left-over file makes the check fail; a run mends it."""
    write_files(tmp_path)
    target = tmp_path / JSON_DIR / ("left-over.json" if fault == "orphan" else "dicom-to-bids.json")
    if fault == "absent":
        target.unlink()
    else:
        target.write_text("{}")

    code = main(["--check", "--root", str(tmp_path)])

    message = capsys.readouterr().err
    assert code == 1
    assert target.relative_to(tmp_path).as_posix() in message
    assert "python -m commands.generate" in message
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0
    assert target.exists() is (fault != "orphan")


def test_program_runs_as_a_module(tmp_path: Path):
    """The command that the message names works and speaks on its own streams."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "commands.generate", "--root", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 2 * len(CATALOG)


@pytest.mark.parametrize("command", CATALOG, ids=lambda command: command.name)
def test_page_names_everything_a_user_meets(command: Command):
    """Inputs, outputs, wrappers, labels and exit codes of a command stand on its page."""
    page = generated_files()[PAGES_DIR / f"{command.name}.md"]
    named = [
        *(each.name for each in (*command.inputs, *command.outputs, *command.wrappers)),
        *(each.label for wrapper in command.wrappers for each in wrapper.output_handlers),
        command.image,
        "## Exit codes",
    ]

    assert [each for each in named if each not in page] == []
    widths = {line.count("|") for line in page.split("\n\n")[6].splitlines()}
    assert len(widths) == 1


def test_documents_are_plain_json():
    """A generated document is read by any JSON reader and ends with a line break."""
    for path, text in generated_files().items():
        if path.suffix == ".json":
            assert json.loads(text)["schema-version"] == "1.0"
            assert text.endswith("}\n")
