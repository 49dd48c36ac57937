"""Files and rows change together: after any death of the server, and without filling the memory."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from deploy.sandbox.errors import HttpError
from deploy.sandbox.file_changes import IncomingFiles, change_files
from deploy.sandbox.resource_rows import Details, Resource, resource_from_row, store_files
from deploy.sandbox.settings import Settings
from deploy.sandbox.site import Site
from tests.builders.live_folders import paths_below
from tests.conftest import Sandbox, start_sandbox
from tests.deploy.sandbox.conftest import Api

ROUNDS = 6
FILES = "/data/projects/P/resources/R/files"


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # noqa: S324 - XNAT's digest


class Writer(threading.Thread):
    """Uploads, replaces and deletes files until the server dies, and remembers every answer."""

    def __init__(self, server: Sandbox, number: int, seed: int) -> None:
        super().__init__()
        self.server, self.number = server, number
        self.random = random.Random(seed)  # noqa: S311 - reproducible test data
        self.sure: dict[str, str | None] = {}
        self.unsure: dict[str, set[str | None]] = {}

    def run(self) -> None:
        """Write until the connection breaks."""
        with Api(self.server.url, "admin", self.server.admin_password) as api:
            try:
                while True:
                    self._step(api)
            except requests.RequestException:
                return

    def _step(self, api: Api) -> None:
        path = f"w{self.number}/{self.random.randrange(8)}.bin"
        before = self.sure.get(path)
        if before is not None and self.random.random() < 0.3:
            self.unsure[path] = {before, None}
            answer = api.delete(f"{FILES}/{path}")
            after = None
        else:
            content = self.random.randbytes(self.random.choice([10, 5000, 300_000]))
            after = _md5(content)
            self.unsure[path] = {before, after}
            answer = api.put(f"{FILES}/{path}", params={"overwrite": "true"}, data=content)
        assert answer.status_code == 200, answer.text
        self.sure[path] = after
        del self.unsure[path]


@pytest.mark.slow
def test_kill_at_any_moment_loses_and_halves_nothing(fresh_sandbox: Sandbox) -> None:
    """After each kill -9, answered writes are there, unanswered ones wholly or not at all."""
    server = fresh_sandbox
    with Api(server.url, "admin", server.admin_password) as api:
        api.made("/data/projects/P", name="P")
    expected: dict[str, set[str | None]] = {}
    for turn in range(ROUNDS):
        writers = [Writer(server, number, seed=100 * turn + number) for number in range(3)]
        for writer in writers:
            writer.sure = {
                path: next(iter(digests))
                for path, digests in expected.items()
                if path.startswith(f"w{writer.number}/")
            }
            writer.start()
        ends = time.monotonic() + 15  # a slow machine may take long for the first files
        while sum(len(writer.sure) for writer in writers) < 4 and time.monotonic() < ends:
            time.sleep(0.01)
        time.sleep(0.3 + 0.1 * turn)
        os.kill(server.pid, signal.SIGKILL)
        for writer in writers:
            writer.join()
        while sandbox_process.running(server.root) is not None:
            time.sleep(0.01)  # the process holds its lock until the kernel has done with it
        for writer in writers:
            expected |= {path: {digest} for path, digest in writer.sure.items()}
            expected |= writer.unsure

        server = start_sandbox(server.root)
        found = _archive(server)

        assert len(expected) > 3, "the writers must have got something done"
        for path, digests in expected.items():
            assert found.get(path) in digests, path
        assert set(found) <= set(expected)
        expected = {path: {found.get(path)} for path in expected}


def _archive(server: Sandbox) -> dict[str, str]:
    """Return digest by path, after checking that list, download and disk agree."""
    with Api(server.url, "admin", server.admin_password) as api:
        rows = api.rows(FILES)
        listed = {row["URI"].partition("/files/")[2]: row["digest"] for row in rows}
        for path, digest in listed.items():
            assert _md5(api.get(f"{FILES}/{path}").content) == digest
    folder = server.root / "archive/P/resources/R"
    on_disk = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert on_disk == set(listed)
    assert not any(path.is_file() for path in paths_below(server.root / "incoming"))
    return listed


# Death between two steps of the protocol, each of them made by hand ---------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site with a resource that holds ``old.txt`` and ``gone.txt``."""
    site = Site(Settings(tmp_path))
    with site.store.write() as connection:
        connection.execute(
            "INSERT INTO resource (owner_kind, owner_id, label, dir, insert_date, insert_user,"
            " last_modified) VALUES ('project', 'P', 'R', 'P/resources/R', '', '', '')"
        )
    with IncomingFiles(site.settings) as incoming, change_files(site.store, site.settings) as c:
        files = []
        for name in ("old.txt", "gone.txt"):
            each = incoming.new()
            each.write(b"old")
            files.append((name, each))
        store_files(c, _resource(site), files, Details(), overwrite=False)
    yield site
    site.store.connection.close()


def _resource(site: Site) -> Resource:
    return resource_from_row(site.store.connection.execute("SELECT * FROM resource").fetchone())


def _restarted(site: Site) -> dict[str, bytes]:
    """Return the contents after a new start, checked against the rows."""
    again = Site(site.settings)
    folder = site.settings.archive_dir / "P/resources/R"
    contents = {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    rows = again.store.connection.execute("SELECT path, md5 FROM file").fetchall()
    assert {row["path"]: row["md5"] for row in rows} == {n: _md5(c) for n, c in contents.items()}
    assert not any(path.is_file() for path in paths_below(site.settings.incoming_dir))
    (notes,) = again.store.connection.execute("SELECT COUNT(*) FROM file_change").fetchone()
    assert notes == 0
    again.store.connection.close()
    return contents


def test_death_before_the_commit_changes_nothing(site: Site) -> None:
    """A received file whose rows were not committed is removed at the next start."""
    each = IncomingFiles(site.settings).new()
    each.write(b"new")
    each.close()

    assert _restarted(site) == {"old.txt": b"old", "gone.txt": b"old"}


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_death_after_the_commit_is_made_good(site: Site, done: int) -> None:
    """Committed steps are done at the next start, however many had been done already."""
    incoming = IncomingFiles(site.settings)
    names = []
    with site.store.write() as connection:
        for name in ("old.txt", "sub/new.txt"):
            each = incoming.new()
            each.write(b"new")
            each.close()
            names.append(each.path)
            connection.execute(
                "INSERT OR REPLACE INTO file (resource_id, path, size, md5, created_at)"
                " VALUES (1, ?, 3, ?, '')",
                (name, _md5(b"new")),
            )
            connection.execute(
                "INSERT INTO file_change (incoming, folder, path) VALUES (?, ?, ?)",
                (each.name, "archive/P/resources/R", name),
            )
        connection.execute("DELETE FROM file WHERE path = 'gone.txt'")
        connection.execute(
            "INSERT INTO file_change (incoming, folder, path)"
            " VALUES (NULL, 'archive/P/resources/R', 'gone.txt')"
        )
    folder = site.settings.archive_dir / "P/resources/R"
    steps = [
        lambda: names[0].replace(folder / "old.txt"),
        lambda: (folder / "sub").mkdir() or names[1].replace(folder / "sub/new.txt"),
        (folder / "gone.txt").unlink,
    ]
    for step in steps[:done]:
        step()

    again = Site(site.settings)
    rows = again.store.connection.execute("SELECT path, md5 FROM file ORDER BY path").fetchall()
    contents = {
        p.relative_to(folder).as_posix(): _md5(p.read_bytes())
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }

    assert contents == {row["path"]: row["md5"] for row in rows}
    assert contents == {"old.txt": _md5(b"new"), "sub/new.txt": _md5(b"new")}
    assert not any(path.is_file() for path in paths_below(site.settings.incoming_dir))
    again.store.connection.close()


def test_failed_transaction_changes_nothing(site: Site) -> None:
    """When the block fails, rows and files are as before and the received file is gone."""
    incoming = IncomingFiles(site.settings)

    def fail() -> None:
        with incoming, change_files(site.store, site.settings) as changes:
            each = incoming.new()
            each.write(b"new")
            store_files(changes, _resource(site), [("old.txt", each)], Details(), overwrite=True)
            raise LookupError

    with pytest.raises(LookupError):
        fail()

    assert _restarted(site) == {"old.txt": b"old", "gone.txt": b"old"}


@pytest.mark.parametrize(
    "paths",
    [
        ["new.txt", "new.txt/below"],
        ["new/deep/below", "new"],
        ["old.txt/below"],
        ["fine.txt", "old.txt/deep/below"],
    ],
)
def test_files_and_folders_of_one_name_are_refused_together(site: Site, paths: list[str]) -> None:
    """Whether both come at once or one is there: 409, and none of those that came is stored."""
    incoming = IncomingFiles(site.settings)

    def store() -> None:
        with incoming, change_files(site.store, site.settings) as changes:
            files = [(path, incoming.new()) for path in paths]
            store_files(changes, _resource(site), files, Details(), overwrite=True)

    with pytest.raises(HttpError) as refused:
        store()

    assert refused.value.status == 409
    assert _restarted(site) == {"old.txt": b"old", "gone.txt": b"old"}


# Many at once ---------------------------------------------------------------------------------


def test_readers_see_whole_versions_only(admin: Any, study: Any) -> None:
    """While four clients replace one file, every download is one of the versions, whole."""
    path = f"{study.session_path}/resources/R/files/a.bin"
    versions = {bytes([number]) * (100_000 + number) for number in range(4)}
    admin.put(path, data=b"\0" * 100_000)
    done = threading.Event()

    def replace(content: bytes) -> None:
        with Api(admin.url, *admin.auth) as api:
            for _ in range(15):
                assert api.put(path, params={"overwrite": "true"}, data=content).ok

    def read() -> list[bytes]:
        found = []
        with Api(admin.url, *admin.auth) as api:
            while not done.is_set():
                found.append(api.get(path).content)
        return found

    with ThreadPoolExecutor(6) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        writers = [pool.submit(replace, content) for content in versions]
        for writer in writers:
            writer.result()
        done.set()
        found = [content for reader in readers for content in reader.result()]

    assert found
    assert set(found) <= versions
    (row,) = admin.rows(path.removesuffix("/a.bin"))
    assert row["digest"] == _md5(admin.get(path).content)


# Memory ---------------------------------------------------------------------------------------


def _peak_memory_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def _zeros(size: int) -> Iterator[bytes]:
    piece = bytes(2**20)
    for _ in range(size // len(piece)):
        yield piece


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's /proc")
def test_large_files_take_constant_memory(fresh_sandbox: Sandbox) -> None:
    """Sending 300 MB up and down, alone and as archives, needs less than 60 MB more memory."""
    server, size = fresh_sandbox, 300 * 2**20
    with Api(server.url, "admin", server.admin_password) as api:
        api.made("/data/projects/P", name="P")
        api.put(f"{FILES}/small.bin", data=b"x")
        api.get(FILES, params={"format": "zip"})
        before = _peak_memory_bytes(server.pid)

        api.put(f"{FILES}/large.bin", data=_zeros(size))
        received = 0
        for query in ({}, {"format": "zip", "compression": "0"}, {"format": "tar"}):
            path = FILES if query else f"{FILES}/large.bin"
            with api.get(path, params=query, stream=True) as answer:
                received += sum(len(piece) for piece in answer.iter_content(2**20))

        grown = _peak_memory_bytes(server.pid) - before
        (row,) = api.rows(f"{FILES}/large*")
    assert row["Size"] == str(size)
    assert received > 3 * size
    assert grown < 60 * 2**20, f"the server's memory grew by {grown} bytes"
