"""``winxnat release verify`` and ``diff``: exit codes, and output for machines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xnat_client.cli import main
from xnat_client.errors import BadInputError
from xnat_client.release import manifest
from xnat_client.release.inputs import read_citation
from xnat_client.release.request import BuildRequest
from xnat_client.sharing.vocabulary import Level


@pytest.fixture
def release(tmp_path: Path) -> Path:
    root = tmp_path / "a"
    root.mkdir()
    (root / "README.md").write_text("# x\n")
    manifest.write(root, "heads", "1.0.0")
    return root


def test_a_whole_copy_ends_with_zero(release: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main.run(["release", "verify", str(release), "--json"])

    assert (code, json.loads(capsys.readouterr().out)) == (0, {"whole": True, "problems": []})


def test_a_changed_copy_ends_with_three_and_names_the_file(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (release / "README.md").write_text("# y\n")

    code = main.run(["release", "verify", str(release)])

    assert (code, capsys.readouterr().out) == (3, "README.md: was changed\n")


def test_the_difference_of_a_version_to_itself_is_none(
    release: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main.run(["release", "diff", str(release), str(release), "--json"])

    told = json.loads(capsys.readouterr().out)
    assert (code, told["added"], told["removed"], told["changed"]) == (0, [], [], [])


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "a b"},
        {"family": "../x"},
        {"version": "1.0"},
        {"version": "01.0.0"},
        {"level": Level.PRIVATE},
        {"link_rule": "keep"},
        {"link_rule": "destroy:2026-02-30"},
        {"release_server": "inside", "release_project": "p"},
        {"jobs": 0},
    ],
)
def test_a_request_that_cannot_be_a_release_is_refused(changes: dict[str, object]) -> None:
    wish: dict[str, object] = {
        "server": "inside", "project_id": "P", "family": "heads", "version": "1.0.0",
        "level": Level.EXTERNAL, "release_server": "outside", "release_project": "HEADS",
    }  # fmt: skip

    with pytest.raises(Exception, match=r"[a-z]") as told:
        BuildRequest(**{**wish, **changes})  # type: ignore[arg-type]  # any of its fields

    assert type(told.value).__name__ == "UsageError"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("title: x", "JSON"),
        ("[]", "one object"),
        ('{"creators": "Lead"}', "as a list"),
        ('{"creators": [{"name": "A"}, {"orcid": "0000-0002-1825-0097"}]}', "Creator 2"),
        ('{"creators": [7]}', "Creator 1"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_a_citation_that_could_only_be_written_down_wrongly_is_refused(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "citation.json"
    path.write_text(text)

    with pytest.raises(BadInputError, match=said):
        read_citation(path)
