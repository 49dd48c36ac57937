"""``winxnat deid`` as a data manager gives it: by its command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest

from deploy.demo_session import PLANTED, DemoSession

BIN = Path(sys.executable).parent
PASSPHRASE = "correct horse battery staple"


def deid(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with no terminal to ask on."""
    return subprocess.run(
        [BIN / "winxnat", "deid", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, **environment},
    )


@pytest.fixture(scope="module")
def image(session: DemoSession) -> Path:
    """One file of the made session, whose identities are planted."""
    return min(path for path in session.folder.rglob("*") if path.is_file())


def test_explain_names_each_element_and_shows_no_value(image: Path):
    """Every element of the top level has a decision and a rule; no planted value is printed."""
    done = deid("explain", image, "--json")

    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    expected = {f"({each.tag.group:04X},{each.tag.element:04X})" for each in pydicom.dcmread(image)}
    assert expected <= {row["place"] for row in rows}
    assert all(row["rule"] for row in rows)
    assert not [key for key, value in PLANTED.items() if value in done.stdout + done.stderr]


def test_explain_says_what_becomes_of_the_name(image: Path):
    """The line of the patient's name says that the new label stands there afterwards."""
    done = deid("explain", image, "--profile", "open")

    (line,) = [each for each in done.stdout.splitlines() if each.startswith("(0010,0010)")]
    assert "PatientName: replaced by the new label" in line


@pytest.mark.parametrize("content", [b"", b"no DICOM at all", bytes(128) + b"DICM\x02"])
def test_explain_refuses_what_is_no_dicom(tmp_path: Path, content: bytes):
    """A file that cannot be read gives one sentence and the exit code of bad input."""
    (tmp_path / "x").write_bytes(content)

    done = deid("explain", tmp_path / "x")

    assert done.returncode == 3
    assert "Traceback" not in done.stderr


def test_unknown_profile_is_wrong_usage():
    """The names of the profiles are told."""
    done = deid("export-script", "nonsense")

    assert done.returncode == 2
    assert "external" in done.stderr


def test_passphrase_comes_from_the_environment_and_is_never_shown(tmp_path: Path):
    """A store made with the variable opens with a file of the same passphrase."""
    (tmp_path / "p").write_text(PASSPHRASE)

    made = deid("keys", "create", tmp_path / "k", WINXNAT_KEYS_PASSPHRASE=PASSPHRASE)
    opened = deid("keys", "check", tmp_path / "k", "--passphrase-file", tmp_path / "p")
    wrong = deid("keys", "check", tmp_path / "k", WINXNAT_KEYS_PASSPHRASE="wrong horse battery")

    assert (made.returncode, opened.returncode, wrong.returncode) == (0, 0, 2)
    for done in (made, opened, wrong):
        assert "horse" not in done.stdout + done.stderr


def test_without_terminal_and_passphrase_nothing_is_made(tmp_path: Path):
    """A script that forgot the passphrase is told, and does not hang."""
    done = deid("keys", "create", tmp_path / "k")

    assert done.returncode == 2
    assert not (tmp_path / "k").exists()


def test_destroying_needs_to_be_meant(tmp_path: Path):
    """Without a terminal the key store stays until --yes is given."""
    deid("keys", "create", tmp_path / "k", WINXNAT_KEYS_PASSPHRASE=PASSPHRASE)

    asked = deid("keys", "destroy", tmp_path / "k")
    assert asked.returncode == 2
    assert (tmp_path / "k").exists()

    assert deid("keys", "destroy", tmp_path / "k", "--yes").returncode == 0
    assert not (tmp_path / "k").exists()


def test_same_profile_gives_the_same_script():
    """The exported script is made of the profile alone, so it can be kept under version control."""
    first, second = (deid("export-script", "external") for _ in range(2))

    assert first.stdout == second.stdout
    assert '\nversion "6.1"\n' in first.stdout
    assert "\n(0010,0010) := subject" in first.stdout
    assert "\n-(0010,0030)  // PatientBirthDate\n" in first.stdout
