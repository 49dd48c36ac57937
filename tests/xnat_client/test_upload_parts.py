"""The small parts of bulk upload: pace, state, ledger, archives of small files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import zipfile
from pathlib import Path

import pytest

from xnat_client.errors import BadInputError
from xnat_client.upload.ledger import Ledger
from xnat_client.upload.pace import Pace, StoppedError
from xnat_client.upload.state import UploadState
from xnat_client.upload.zip_stream import SmallFile, small_zip_chunks, small_zip_size


def go_quickly(pace: Pace, requests: int) -> None:
    for _ in range(requests):
        with pace.slot():
            pass


def test_pace_rises_to_its_most_and_no_further() -> None:
    """Quick answers raise the limit from half of the most to the most."""
    pace = Pace(8)

    assert pace.limit == 4
    go_quickly(pace, 100)
    assert pace.limit == 8


def test_pace_halves_once_for_one_trouble() -> None:
    """Eight requests in flight meet the same trouble: the limit is halved once, not eight times."""
    pace = Pace(8)
    go_quickly(pace, 100)

    for _ in range(8):
        pace.trouble()

    assert pace.limit == 4


def test_pace_never_falls_below_one() -> None:
    """Whatever happens, one request may be in flight."""
    pace = Pace(2)

    for _ in range(20):
        pace.trouble()
        go_quickly(pace, 1)

    assert pace.limit >= 1


def test_pace_holds_its_limit() -> None:
    """No more requests than the limit are in flight at any moment, and a stop frees who waits."""
    pace = Pace(2)
    inside, most, gate = 0, 0, threading.Event()
    lock = threading.Lock()

    def work() -> None:
        nonlocal inside, most
        try:
            with pace.slot():
                with lock:
                    inside += 1
                    most = max(most, inside)
                gate.wait(5)
                with lock:
                    inside -= 1
        except StoppedError:
            return

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    pace.stop()
    gate.set()
    for thread in threads:
        thread.join(5)

    assert most <= 2
    assert not any(thread.is_alive() for thread in threads)


def test_state_remembers_over_processes(tmp_path: Path) -> None:
    """What was begun, confirmed and hashed is there when the file is opened again."""
    path, source = tmp_path / "deep" / "state.sqlite", tmp_path / "Marked Person.csv"
    with UploadState(path) as state:
        state.begin("k")
        state.confirm("k", [("images", "n", 5, "m")])
        state.keep_digests([(source, 5, 7, "m")])

    with UploadState(path) as again:
        assert (again.has_begun("k"), again.has_begun("other")) == (True, False)
        assert again.confirmed("k") == {("images", "n", 5, "m")}
        assert again.digest_of(source, 5, 7) == "m"
        assert again.digest_of(source, 5, 8) == ""
    assert b"Marked" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0


def test_file_that_is_no_state_is_left_alone(tmp_path: Path) -> None:
    """Another file given as the state is refused and not written to."""
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, " * 100)
    before = path.read_bytes()

    with pytest.raises(BadInputError, match="cannot be used"):
        UploadState(path)

    assert path.read_bytes() == before


def test_ledger_ends_a_line_that_was_cut_off(tmp_path: Path) -> None:
    """After a crash in the middle of a line the next one stands on its own."""
    path = tmp_path / "ledger.jsonl"
    path.write_text('{"md5": "a"}\n{"md5": "b')
    ledger = Ledger(path)

    ledger.add([{"md5": "c"}])
    ledger.close()

    lines = path.read_text().splitlines()
    assert (lines[0], json.loads(lines[2])) == ('{"md5": "a"}', {"md5": "c"})


def test_archive_of_small_files_is_what_others_read(tmp_path: Path) -> None:
    """Python's zipfile finds the names and contents; the size was known beforehand."""
    contents = {f"a/ü{number}.csv": os.urandom(number * 100 + 1) for number in range(5)}
    files = []
    for number, (name, content) in enumerate(contents.items()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        files.append(SmallFile(name, path, len(content), "file"))
    digests: dict[str, str] = {}

    def take(file: SmallFile, content: bytes) -> None:
        digests[file.name] = hashlib.sha256(content).hexdigest()

    whole = b"".join(small_zip_chunks(files, take))

    assert len(whole) == small_zip_size(files)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        assert archive.testzip() is None
        assert {one: archive.read(one) for one in archive.namelist()} == contents
    assert digests == {one: hashlib.sha256(text).hexdigest() for one, text in contents.items()}


def test_small_file_that_changed_breaks_the_archive_off(tmp_path: Path) -> None:
    """A file of another size than was planned is never sent as if it were the same."""
    (tmp_path / "x").write_bytes(b"longer")

    with pytest.raises(BadInputError, match="changed during the upload"):
        list(small_zip_chunks([SmallFile("x", tmp_path / "x", 3, "A file")], lambda *_: None))
