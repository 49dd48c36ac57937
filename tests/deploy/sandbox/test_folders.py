"""Folders on disk follow renaming and deletion, also when the server is killed in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from deploy.sandbox.folders import change_folders, recover_folders
from deploy.sandbox.settings import Settings
from deploy.sandbox.store import Store
from tests.deploy.sandbox.conftest import Api

CONTENT = b"some bytes"


def _upload(api: Any, path: str) -> None:
    answer = api.put(f"{path}/resources/R/files/a.txt?inbody=true", data=CONTENT)
    assert answer.status_code in {200, 201}, answer.text


OWNERS = [
    ("{p}/subjects/S1", "{p}/subjects/S1", "S9", "{p}/subjects/S9"),
    ("{e}", "{e}", "E9", "{p}/experiments/E9"),
    ("{e}/scans/1", "{e}", "E9", "{p}/experiments/E9/scans/1"),
    ("{e}/assessors/A1", "{e}", "E9", "{p}/experiments/E9/assessors/A1"),
    ("{e}/assessors/A1", "{e}/assessors/A1", "A9", "{e}/assessors/A9"),
]


@pytest.mark.parametrize(("owner", "renamed", "label", "after"), OWNERS)
def test_files_follow_a_new_label(  # noqa: PLR0913, PLR0917 - one row of the table
    admin: Any, sandbox: Any, study: Any, owner: str, renamed: str, label: str, after: str
) -> None:
    """After a renaming the files are found under the new label, on disk too."""
    names = {"p": study.path, "e": study.session_path}
    _upload(admin, owner.format(**names))

    admin.made(renamed.format(**names), label=label)

    found = admin.get(f"{after.format(**names)}/resources/R/files/a.txt")
    assert found.content == CONTENT
    project_dir = sandbox.root / "archive" / study.project
    (path,) = project_dir.rglob("a.txt")
    assert label in path.relative_to(project_dir).parts
    assert f"{label[0]}1" not in path.relative_to(project_dir).parts


DELETIONS = ["{p}/subjects/S1", "{e}", "{e}/scans/1", "{e}/assessors/A1", "{p}"]


@pytest.mark.parametrize("path", DELETIONS)
def test_remove_files_removes_the_folder(admin: Any, sandbox: Any, study: Any, path: str) -> None:
    """``removeFiles=true`` leaves no file of the object; without it the files stay."""
    where = path.format(p=study.path, e=study.session_path)
    for owner in (where, *((study.session_path,) if path == "{p}/subjects/S1" else ())):
        _upload(admin, owner)

    answer = admin.delete(f"{where}?removeFiles=true")

    assert answer.status_code == 200
    assert list((sandbox.root / "archive" / study.project).rglob("a.txt")) == []


def test_left_files_do_not_come_back(admin: Any, sandbox: Any, study: Any) -> None:
    """Files left by a deletion stay on disk but belong to no new object of the same label."""
    _upload(admin, study.session_path)
    admin.delete(study.session_path)
    admin.made(study.session_path, xsiType="xnat:mrSessionData")
    seen = admin.rows(f"{study.session_path}/resources")

    admin.made(f"{study.path}/subjects/S1/experiments/E5", xsiType="xnat:mrSessionData")
    _upload(admin, f"{study.path}/experiments/E5")
    admin.delete(study.session_path)
    admin.made(f"{study.path}/experiments/E5", label="E1")

    assert seen == []
    assert admin.get(f"{study.session_path}/resources/R/files/a.txt").content == CONTENT
    assert len(list((sandbox.root / "archive" / study.project).rglob("a.txt"))) == 2


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Return settings of a sandbox that does not run, its folders made."""
    found = Settings(tmp_path)
    for folder in found.all_dirs:
        folder.mkdir(parents=True, exist_ok=True)
    return found


def test_an_exception_undoes_the_moves(settings: Settings) -> None:
    """When the transaction fails after the folders have moved, they are back where they were."""
    store = Store(settings.database_path)
    source, target = settings.archive_dir / "P/a", settings.archive_dir / "P/b"
    source.mkdir(parents=True)
    with store.write() as connection:
        connection.execute("DROP TABLE folder_move")  # so that the change cannot be recorded

    with (
        pytest.raises(Exception, match="folder_move"),
        change_folders(store, settings) as changes,
    ):
        changes.move(PurePosixPath("P/a"), PurePosixPath("P/b"))

    assert source.is_dir()
    assert not target.exists()
    assert list(settings.moves_dir.iterdir()) == []


@pytest.mark.parametrize("committed", [True, False])
def test_recovery_keeps_what_was_committed(settings: Settings, *, committed: bool) -> None:
    """At start, moves of a committed change stay and those of an uncommitted one are undone."""
    store = Store(settings.database_path)
    source, target = settings.archive_dir / "P/a", settings.archive_dir / "P/b"
    target.mkdir(parents=True)
    (settings.moves_dir / "j1").write_text(f'[["{source}", "{target}"]]')
    (settings.trash_dir / "j0" / "0").mkdir(parents=True)
    if committed:
        with store.write() as connection:
            connection.execute("INSERT INTO folder_move VALUES ('j1')")

    recover_folders(store, settings)

    assert target.exists() is committed
    assert source.exists() is not committed
    assert list(settings.moves_dir.iterdir()) == []
    assert list(settings.trash_dir.iterdir()) == []


def test_a_killed_server_shows_no_half_renaming(fresh_sandbox: Any) -> None:
    """Whenever the server is killed among renamings, label and folder agree afterwards."""
    with Api(fresh_sandbox.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password) as admin:
        admin.made("/data/projects/K", xsiType="xnat:projectData")
        session = admin.made(
            "/data/projects/K/subjects/S1/experiments/E0", xsiType="xnat:mrSessionData"
        )
        _upload(admin, f"/data/experiments/{session}")
        acknowledged = ["E0"]

        def rename_on_and_on() -> None:
            try:
                for number in range(1, 100_000):
                    admin.made(f"/data/experiments/{session}", label=f"E{number}")
                    acknowledged.append(f"E{number}")
            except requests.ConnectionError:
                pass  # the server is gone, as it should be

        worker = threading.Thread(target=rename_on_and_on)
        worker.start()
        while len(acknowledged) < 30:
            worker.join(0.005)
        os.kill(fresh_sandbox.pid, signal.SIGKILL)
        worker.join()
    while sandbox_process.running(fresh_sandbox.root) is not None:
        time.sleep(0.01)

    again = sandbox_process.start(fresh_sandbox.root, engine="process")
    with Api(again.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password) as admin:
        label = admin.item(f"/data/experiments/{session}")["data_fields"]["label"]
        found = admin.get(f"/data/experiments/{session}/resources/R/files/a.txt")

    last = int(acknowledged[-1][1:])
    assert label in {f"E{last}", f"E{last + 1}"}
    assert found.content == CONTENT
    assert (fresh_sandbox.root / "archive/K/arc001" / label).is_dir()
