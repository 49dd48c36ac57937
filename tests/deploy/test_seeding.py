"""Seeds: what they may say, and that a site is filled as a whole or not at all."""

from __future__ import annotations

import json
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from deploy import sandbox_process
from deploy.sandbox_process import RunningSandbox, SandboxError
from deploy.seed_document import SeedDocument, SeedError
from deploy.seeding import start_seeded
from tests.builders.dicom_images import image

DOCS = Path(__file__).parents[2] / "docs" / "sandbox.md"


def _write(folder: Path, text: str) -> Path:
    path = folder / "seed.yaml"
    path.write_text(text)
    return path


def _documented_seed(folder: Path) -> Path:
    """Write the example of the documentation with the files it names; return its path."""
    (example,) = re.findall(r"```yaml\n(users:.*?)```", DOCS.read_text(), re.DOTALL)
    (folder / "protocol.pdf").write_bytes(b"%PDF-1.7 made by a test")
    for name in ("t1.nii.gz", "sub/notes.txt"):
        path = folder / "derived" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (folder / "dicom").mkdir()
    for number in (1, 2):
        (folder / "dicom" / f"{number}.dcm").write_bytes(image(InstanceNumber=number))
    return _write(folder, example)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """Return the folder of a sandbox that is stopped after the test."""
    folder = tmp_path / "sandbox"
    yield folder
    sandbox_process.stop(folder)


class _Reader:
    """Reading from a server as one user."""

    def __init__(self, server: RunningSandbox, login: str, password: str) -> None:
        self._url = server.url
        self._auth = (login, password)

    def get(self, path: str) -> requests.Response:
        """Return the answer to a GET."""
        return requests.get(f"{self._url}{path}", auth=self._auth, timeout=30)

    def column(self, path: str, name: str) -> list[str]:
        """Return one column of a list, sorted."""
        rows: list[dict[str, Any]] = self.get(path).json()["ResultSet"]["Result"]
        return sorted(row[name] for row in rows)


# The example of the documentation -----------------------------------------------------------


def test_the_example_in_the_documentation_fills_a_site(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that the example describes is on the server, with its files, byte by byte."""
    monkeypatch.setenv("READER_PASSWORD", "a-password-from-outside")

    server = start_seeded(root, _documented_seed(tmp_path), engine="process").server

    admin = _Reader(server, "admin", sandbox_process.admin_password(root))
    project = "/data/projects/PILOT"
    session = f"{project}/subjects/S01/experiments/S01_MR1"
    scan_files = f"{session}/scans/1/resources/NIFTI/files"
    assert admin.get(f"{project}/accessibility").text == "protected"
    assert admin.column(f"{project}/subjects", "label") == ["S01"]
    assert admin.column(f"{project}/experiments", "label") == ["S01_MR1", "S01_MR2"]
    assert admin.get(f"{project}/resources/PROTOCOL/files/protocol.pdf").content.startswith(b"%PDF")
    assert admin.column(scan_files, "Name") == ["notes.txt", "t1.nii.gz"]
    assert admin.get(f"{scan_files}/sub/notes.txt").content == b"sub/notes.txt"
    imported = f"{project}/subjects/S01/experiments/S01_MR2/scans"
    assert admin.column(imported, "xsiType") == ["xnat:mrScanData"]
    assert admin.get("/xapi/projects/PILOT/commands/available?xsiType=xnat:mrSessionData").json()


def test_users_of_the_example_have_their_groups_and_passwords(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A made-up password is in a netrc file of mode 600; one from the environment is in none."""
    monkeypatch.setenv("READER_PASSWORD", "a-password-from-outside")

    server = start_seeded(root, _documented_seed(tmp_path), engine="process").server

    netrc = server.netrc_of("lead")
    owner = _Reader(server, "lead", sandbox_process.read_password(netrc))
    collaborator = _Reader(server, "reader", "a-password-from-outside")
    assert stat.S_IMODE(netrc.stat().st_mode) == 0o600
    assert not server.netrc_of("reader").exists()
    members = owner.get("/data/projects/PILOT/users").json()["ResultSet"]["Result"]
    assert {(row["login"], row["displayname"]) for row in members} == {
        ("admin", "Owners"), ("lead", "Owners"), ("reader", "Collaborators"),
    }  # fmt: skip
    assert collaborator.get("/data/projects/PILOT/subjects").status_code == 200
    everything = [path for path in root.rglob("*") if path.is_file()]
    assert not any(b"a-password-from-outside" in path.read_bytes() for path in everything)


# What is refused before anything starts -----------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        (
            "users:\n- login: a\n  pasword: x\n",
            3,
            "no such key here; did you mean 'password_from'?",
        ),
        ("sers: []\n", 1, "did you mean 'users'?"),
        ("users:\n- email: a@example.org\n", 2, "users[0].login: this key is needed"),
        ("users:\n- login: a b\n", 2, "this must match"),
        ("users:\n- login: a\n- login: A\n", 3, "this name is there twice"),
        ("users:\n- login: admin\n", 2, "every site has this user already"),
        ("users:\n- login: a\n  password_from: NOT_SET_X\n", 3, "NOT_SET_X is not set"),
        ("users:\n- login: a\n  roles: [King]\n", 3, "this must be 'Administrator'"),
        ("users: many\n", 1, "this must be a list"),
        ("projects:\n- id: P\n  accessibility: open\n", 3, "'private', 'protected' or 'public'"),
        ("projects:\n- id: P\n  title: A\n  title: B\n", 4, "this key is there twice"),
        ("projects:\n- id: P\n  members:\n    owners:\n    - x\n", 5, "the seed has no such user"),
        ("projects:\n- id: P\n  subjects:\n  - label: .S\n", 4, "this must match"),
        (
            "projects:\n- id: P\n  resources:\n  - label: R\n    files:\n    - no.txt\n",
            6,
            "there is no file or folder",
        ),
        (
            "projects:\n- id: P\n  subjects:\n  - label: S\n    sessions:\n    - label: E\n",
            6,
            "either a 'type' or a 'dicom' folder",
        ),
        ("commands:\n- name: dicom-to-bid\n", 2, "the catalogue has no such command"),
        ("commands:\n- name: dicom-to-bids\n  projects:\n  - Q\n", 4, "no such project"),
        ("commands:\n- projects: []\n", 2, "either a 'name' of the catalogue or a 'file'"),
        ("users:\n- login: [\n", 3, "this is no YAML"),
        ("users: &all []\nprojects: *all\n", 2, "aliases are not taken"),
    ],
)
def test_a_wrong_seed_is_refused_by_its_line(
    tmp_path: Path, text: str, line: int, sentence: str
) -> None:
    """The message names the file, the line to mend, and what is wrong with it."""
    path = _write(tmp_path, text)

    with pytest.raises(SeedError) as refused:
        SeedDocument(path)

    found = [each for each in str(refused.value).splitlines() if each.startswith(f"{path}:{line}:")]
    assert any(sentence in each for each in found), str(refused.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    """Who mends a seed need not run it once for each mistake."""
    path = _write(tmp_path, "commands: [{name: x}]\nusers:\n- {}\nprojects:\n- id: '?'\n")

    with pytest.raises(SeedError) as refused:
        SeedDocument(path)

    _, *lines = str(refused.value).splitlines()
    assert [each.removeprefix(f"{path}:").split(":")[0] for each in lines] == ["1", "3", "5"]


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe\x00", b"[" * 20000, b"\x00"])
def test_what_is_no_document_is_refused(tmp_path: Path, content: bytes) -> None:
    """Empty files, other encodings and endless nesting end in one sentence."""
    path = tmp_path / "seed.yaml"
    path.write_bytes(content)

    with pytest.raises(SeedError, match=re.escape(str(path))):
        SeedDocument(path)


def test_values_stay_the_text_that_was_written(tmp_path: Path) -> None:
    """Dates, numbers and words such as 'no' are not turned into something else."""
    fields = "{date: 2024-01-31, group: no, note: 007, age: 1e3}"
    path = _write(tmp_path, f"projects:\n- id: P\n  subjects: [{{label: 010, fields: {fields}}}]\n")

    (subject,) = SeedDocument(path).seed.projects[0].subjects

    assert subject.label == "010"
    assert subject.fields == {"date": "2024-01-31", "group": "no", "note": "007", "age": "1e3"}


# All or nothing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "reason"),
    [("{gendr: female}", "no field of this name"), ("{gender: soft}", "gender")],
)
def test_a_refused_part_leaves_no_site(
    root: Path, tmp_path: Path, fields: str, reason: str
) -> None:
    """A line that the server refuses is named, and nothing is left, running or on disk."""
    project = "projects:\n- id: P\n  subjects:\n"
    path = _write(tmp_path, f"{project}  - label: S1\n  - label: S2\n    fields: {fields}\n")

    with pytest.raises(SeedError, match=reason) as refused:
        start_seeded(root, path, engine="process")

    assert re.match(rf"{re.escape(str(path))}:[56]: ", str(refused.value))
    assert sandbox_process.running(root) is None
    assert not root.exists()


def test_a_command_that_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    """A JSON file without an image is no command; the seed's line is named."""
    (tmp_path / "command.json").write_text(json.dumps({"name": "mine"}))
    path = _write(tmp_path, "commands:\n- file: command.json\n")

    with pytest.raises(SeedError, match=rf"{re.escape(str(path))}:2: .*no command"):
        start_seeded(root, path, engine="process")

    assert not root.exists()


def test_a_seed_fills_a_new_sandbox_only(root: Path, tmp_path: Path) -> None:
    """A folder that holds a sandbox, or anything else, is left as it is."""
    path = _write(tmp_path, "users: [{login: a}]\n")
    start_seeded(root, path, engine="process")
    sandbox_process.stop(root)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("years of work")

    with pytest.raises(SandboxError, match="fills a new sandbox"):
        start_seeded(root, path, engine="process")
    with pytest.raises(SandboxError, match="something else"):
        start_seeded(tmp_path / "other", path, engine="process")

    assert (root / sandbox_process.DATABASE_FILE_NAME).exists()
    assert (tmp_path / "other" / "thesis.txt").exists()


def test_a_cut_off_seed_is_not_continued(root: Path, tmp_path: Path) -> None:
    """Killed while it fills, a sandbox is never taken for a whole one; reset removes it."""
    path = _write(tmp_path, "users:\n" + "".join(f"- login: u{n}\n" for n in range(2000)))
    program = (
        "import sys; from pathlib import Path; from deploy.seeding import start_seeded;"
        "start_seeded(Path(sys.argv[1]), Path(sys.argv[2]), engine='process')"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(root), str(path)]) as filling:
        while not (root / "users").exists():
            assert filling.poll() is None
            time.sleep(0.01)
        filling.send_signal(signal.SIGKILL)
    server = sandbox_process.running(root)
    was_incomplete = server is not None and server.is_incomplete
    sandbox_process.stop(root)

    with pytest.raises(SandboxError, match="cut off"):
        sandbox_process.start(root, engine="process")
    sandbox_process.reset(root)

    assert was_incomplete
    assert not root.exists()


def test_a_folder_that_was_there_is_there_afterwards(tmp_path: Path) -> None:
    """A refused seed leaves an empty folder as it found it."""
    (tmp_path / "mine").mkdir()
    seed = {"projects": [{"id": "P", "subjects": [{"label": "S", "fields": {"x": "1"}}]}]}
    path = _write(tmp_path, yaml.safe_dump(seed))

    with pytest.raises(SeedError):
        start_seeded(tmp_path / "mine", path, engine="process")

    assert list((tmp_path / "mine").iterdir()) == []
