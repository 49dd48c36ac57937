"""Hiding places beyond those of the standard's table; through the step as a user runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from containers.run_cli import run as run_command
from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.builders.hostile_places import hostile_corpus
from tests.builders.hostile_recordings import write_hostile_recordings
from tests.builders.hostile_tree import HostileTree
from tests.builders.planted_tokens import leaks

PROFILES = ("ingest", "internal", "external", "open")
# Bytes that no reader can explain; a copy of them would be a guess.
REFUSED = {
    "unknown letters.dcm", "letters in lower case.dcm", "twice.dcm", "no item.dcm", "between.dcm",
}  # fmt: skip
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def test_every_hostile_token_is_found_where_it_was_put():
    """What the search does not see in the original it could not see in the copy."""
    corpus = hostile_corpus()

    missed = {
        (planted.name, place)
        for planted in corpus
        for place in planted.tokens.keys() - set(leaks(planted, planted.data))
    }

    assert not missed
    assert sum(len(planted.tokens) for planted in corpus) > 500


@pytest.mark.parametrize("profile", PROFILES)
def test_no_hostile_token_survives(tmp_path: Path, profile: str):
    """Whoever hides a name, number or date in a DICOM file does not find it in the copy."""
    rules, pseudonyms = load_profile(profile), Pseudonyms(bytes(range(32)), "one")
    known, found, refused = KnownIdentities(), [], set()

    for number, planted in enumerate(hostile_corpus()):
        source, target = tmp_path / f"{number}.in", tmp_path / f"{number}.out"
        source.write_bytes(planted.data)
        try:
            scrub_dicom(source, target, rules, pseudonyms, known)
        except RefusedFileError:
            refused.add(planted.name)
        else:
            found += [f"{planted.name}: {place}" for place in leaks(planted, target.read_bytes())]

    assert found == []
    assert refused == REFUSED


@pytest.mark.parametrize("profile", PROFILES)
def test_no_token_survives_beside_dicom(tmp_path: Path, profile: str):
    """Names, packings, sidecars and tables are clean through the command that people type."""
    tree = HostileTree(tmp_path / "in")
    assert tree.survivors(tmp_path / "in").keys() >= tree.tokens.keys() - {
        "gzip extra field", "gzip name", "gzip comment", "member",
    } - {"second member"}  # fmt: skip

    answer = CliRunner().invoke(
        run_command,
        ["scrub-headers", str(tmp_path / "in"), str(tmp_path / "out"), "--profile", profile,
         "--subject-label", "P017"],
    )  # fmt: skip

    assert answer.exit_code == 0, answer.output
    assert tree.survivors(tmp_path / "out") == {}
    assert not any(token in answer.output for token in tree.tokens.values())
    written = {path.name for path in (tmp_path / "out" / "scrubbed").rglob("*") if path.is_file()}
    assert {"sub-P017_T1w.nii.gz", "sub-P017_T1w.json", "participants.tsv"} <= written
    assert sum(name.endswith(".dcm") for name in written) == 4


def test_what_is_left_out_is_listed_without_its_name(tmp_path: Path):
    """Text, archives, links and empty files are accounted for by their number and a reason."""
    tree = HostileTree(tmp_path / "in")

    answer = CliRunner().invoke(
        run_command, ["scrub-headers", str(tmp_path / "in"), str(tmp_path / "out")]
    )

    assert answer.exit_code == 0, answer.output
    report = json.loads((tmp_path / "out" / "report" / "report.json").read_text())
    left_out = [row for row in report["accounted"] if row["outcome"] == "left-out"]
    assert len(left_out) == 6
    assert all(row["reason"] for row in left_out)
    assert not any(token in json.dumps(report) for token in tree.tokens.values())


@pytest.mark.parametrize("profile", PROFILES)
def test_no_token_survives_in_recordings(tmp_path: Path, profile: str):
    """No field of a header, no channel, mark or comment carries a name into the copy."""
    tokens = write_hostile_recordings(tmp_path / "in")
    assert len(tokens) > 40

    answer = CliRunner().invoke(
        run_command,
        ["scrub-headers", str(tmp_path / "in"), str(tmp_path / "out"), "--profile", profile],
    )

    assert answer.exit_code == 0, answer.output
    copied = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    content = b"\n".join(path.name.encode() + path.read_bytes() for path in copied)
    assert {".fif", ".edf", ".vhdr", ".set"} <= {path.suffix for path in copied}
    plain = content.replace(b"\0", b"").upper()
    assert [where for where, token in tokens.items() if token.encode() in plain] == []
