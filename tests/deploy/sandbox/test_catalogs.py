"""Refreshing catalogs: what was put on disk or taken away behind the server's back."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from deploy.sandbox.catalogs import write_catalogs
from deploy.sandbox.settings import Settings
from deploy.sandbox.site import Site
from tests.builders.live_folders import paths_below

REFRESH = "/data/services/refresh/catalog"


@pytest.fixture
def place(admin: Any, study: Any, sandbox: Any) -> tuple[str, Path]:
    """Return a scan's resource with ``a.txt`` and ``b.txt``: its address and its folder."""
    path = f"{study.session_path}/scans/1/resources/R"
    for name in ("a.txt", "b.txt"):
        admin.put(f"{path}/files/{name}", data=b"old")
    return path, sandbox.root / "archive" / study.project / "arc001/E1/SCANS/1/R"


def _sizes(api: Any, path: str) -> dict[str, str]:
    return {row["Name"]: row["Size"] for row in api.rows(f"{path}/files")}


def test_files_on_disk_are_invisible_until_the_refresh(admin: Any, place: tuple[str, Path]) -> None:
    """A file that a process wrote appears with ``append``, with its digest, and not before."""
    path, folder = place
    (folder / "sub").mkdir()
    (folder / "sub/new.txt").write_bytes(b"abc")
    (folder / "link").symlink_to("/etc/hostname")
    before = _sizes(admin, path)

    answer = admin.post(REFRESH, params={"resource": path, "options": "append"})

    assert (answer.status_code, answer.text) == (200, "")
    assert before == {"a.txt": "3", "b.txt": "3"}
    assert _sizes(admin, path) == {"a.txt": "3", "b.txt": "3", "new.txt": "3"}
    (row,) = admin.rows(f"{path}/files/sub/")
    assert row["digest"] == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5


def test_each_option_does_its_part(admin: Any, place: tuple[str, Path]) -> None:
    """``delete`` drops entries without a file, ``checksum`` measures changed ones again."""
    path, folder = place
    (folder / "a.txt").unlink()
    (folder / "b.txt").write_bytes(b"changed")

    admin.post(REFRESH, params={"resource": path, "options": "append"})
    appended = _sizes(admin, path)
    admin.post(REFRESH, params={"resource": path, "options": ["checksum", "delete"]})

    assert appended == {"a.txt": "3", "b.txt": "3"}
    assert _sizes(admin, path) == {"b.txt": "7"}
    assert admin.get(f"{path}/files/b.txt").content == b"changed"


@pytest.mark.parametrize("depth", ["session", "scan", "session by ID"])
def test_objects_above_the_resource_are_refreshed_with_it(
    admin: Any, study: Any, place: tuple[str, Path], depth: str
) -> None:
    """A session or scan stands for all resources in it."""
    path, folder = place
    (folder / "new.txt").write_bytes(b"abc")
    uri = {
        "session": study.session_path.replace("/data", "/archive"),
        "scan": f"{study.session_path}/scans/1",
        "session by ID": f"/archive/experiments/{study.session_id}",
    }[depth]

    assert admin.post(REFRESH, params={"resource": uri, "append": "true"}).status_code == 200

    assert "new.txt" in _sizes(admin, path)


def test_list_of_addresses_through_xapi(admin: Any, place: tuple[str, Path]) -> None:
    """The newer address takes a JSON list and the operations in its path."""
    path, folder = place
    (folder / "new.txt").write_bytes(b"abc")
    uri = path.replace("/data", "/archive", 1)

    answer = admin.put("/xapi/archive/catalogs/refresh/append", json=[uri])

    assert answer.status_code == 200, answer.text
    assert "new.txt" in _sizes(admin, path)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"resource": "/archive/experiments/NOSUCH"}, 404),
        ({"resource": "/archive/experiments"}, 400),
        ({"resource": "/archive/nonsense/x"}, 400),
        ({"resource": "../../etc"}, 400),
        ({"resource": "/archive/experiments/E", "options": "nonsense"}, 400),
    ],
)
def test_wrong_requests(admin: Any, query: dict[str, str], status: int) -> None:
    """What names no object or no option is refused."""
    assert admin.post(REFRESH, params=query).status_code == status


def test_rights_to_refresh(admin: Any, study: Any, place: tuple[str, Path], make_user: Any) -> None:
    """A refresh needs the right to edit; a stranger does not learn that the object is there."""
    admin.put(f"{study.path}/accessibility/private")
    users = [
        make_user(**{study.project: "member"}),
        make_user(**{study.project: "collaborator"}),
        make_user(),
    ]

    statuses = [
        user.post(REFRESH, params={"resource": place[0], "options": "append"}).status_code
        for user in users
    ]

    assert statuses == [200, 403, 404]


def test_written_catalogs_lie_beside_the_files(tmp_path: Path) -> None:
    """A container will see each resource's catalog, which is no file of the resource."""
    site = Site(Settings(tmp_path))
    folder = site.settings.archive_dir / "P/arc001/E/SCANS/1/DICOM"
    with site.store.write() as connection:
        connection.execute(
            "INSERT INTO resource (owner_kind, owner_id, label, dir, insert_date, insert_user,"
            " last_modified) VALUES ('scan', '1', 'DICOM', 'P/arc001/E/SCANS/1/DICOM', '', '', '')"
        )
        connection.execute(
            "INSERT INTO file (resource_id, path, size, md5, created_at)"
            " VALUES (1, 'a.dcm', 1, 'd41d', '')"
        )

    write_catalogs(site, PurePosixPath("P/arc001/E"))

    (path,) = folder.iterdir()
    assert path.name == "DICOM_catalog.xml"
    assert 'URI="a.dcm"' in path.read_text()
    assert not any(path.is_file() for path in paths_below(site.settings.incoming_dir))
    before = path.stat().st_ino
    write_catalogs(site, PurePosixPath("P/arc001/E"))
    assert path.stat().st_ino == before, "nothing new to say: a container may be reading it"
    site.store.connection.close()
