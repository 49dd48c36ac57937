"""Resources: creation, table, catalog, deletion, and folders that the server stores itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from deploy.sandbox import objects
from deploy.sandbox.errors import HttpError
from deploy.sandbox.object_items import ItemMaker
from deploy.sandbox.resources import files_of, store_tree
from deploy.sandbox.settings import Settings
from deploy.sandbox.site import Site
from tests.builders.live_folders import paths_below


def test_new_resource_is_listed_with_its_description(admin: Any, study: Any) -> None:
    """A resource made with format, content and tags shows them and no files in the table."""
    path = f"{study.session_path}/scans/1/resources"
    admin.made(f"{path}/NIFTI", format="NIFTI", content="RAW", tags="a,b")

    (row,) = admin.rows(path)

    number = row.pop("xnat_abstractresource_id")
    assert number.isdigit()
    assert row == {
        "label": "NIFTI", "element_name": "xnat:resourceCatalog", "category": "scans",
        "cat_id": "1", "cat_desc": "T1w", "file_count": "0", "file_size": "0", "tags": "a,b",
        "content": "RAW", "format": "NIFTI",
    }  # fmt: skip


def test_second_creation_is_a_conflict(admin: Any, study: Any) -> None:
    """A label that is taken cannot be made again."""
    path = f"{study.session_path}/resources/BIDS"
    admin.made(path)

    assert admin.put(path).status_code == 409


@pytest.mark.parametrize(
    ("label", "status"), [("a b", 417), (".hidden", 417), ("7", 400), ("in", 400), ("ä", 417)]
)
def test_unusable_labels_are_refused(admin: Any, study: Any, label: str, status: int) -> None:
    """A label must work as a folder name and must not be taken for a number."""
    assert admin.put(f"{study.session_path}/resources/{label}").status_code == status


@pytest.mark.parametrize(
    "owner", ["", "/subjects/S1", "/subjects/S1/experiments/E1",
              "/subjects/S1/experiments/E1/scans/1", "/subjects/S1/experiments/E1/assessors/A1",
              "/subjects/S1/experiments/E1/assessors/A1/out"],
)  # fmt: skip
def test_every_kind_of_object_owns_resources(admin: Any, study: Any, owner: str) -> None:
    """Projects, subjects, sessions, scans and assessors (also their outputs) hold resources."""
    path = f"{study.path}{owner}/resources"
    admin.made(f"{path}/R1")

    answer = admin.put(f"{path}/R1/files/a.txt", data=b"x")

    assert answer.status_code == 200
    assert [row["label"] for row in admin.rows(path)] == ["R1"]
    assert [row["Name"] for row in admin.rows(f"{path}/R1/files")] == ["a.txt"]


def test_outputs_of_an_assessor_are_apart_from_its_resources(admin: Any, study: Any) -> None:
    """A resource in ``out`` is not listed among the assessor's own ones."""
    path = f"{study.session_path}/assessors/A1"
    admin.made(f"{path}/out/resources/R1")

    assert admin.rows(f"{path}/resources") == []


def test_sides_are_told_apart_whatever_else_is_called_so(admin: Any) -> None:
    """A project ``assessors`` with a subject ``in`` mixes nothing up."""
    path = "/data/projects/assessors/subjects/in/experiments/out"
    admin.made("/data/projects/assessors", xsiType="xnat:projectData")
    admin.made("/data/projects/assessors/subjects/in")
    admin.made(path, xsiType="xnat:mrSessionData")
    admin.made(f"{path}/assessors/in", xsiType="xnat:qcAssessmentData")
    for end in ("", "/in", "/out"):
        admin.made(f"{path}/assessors/in{end}/resources/OF{end.replace('/', '_')}")

    labels = {
        end: [row["label"] for row in admin.rows(f"{path}/assessors/in{end}/resources")]
        for end in ("", "/in", "/out")
    }
    admin.delete("/data/projects/assessors?removeFiles=true")

    assert labels == {"": ["OF"], "/in": ["OF_in"], "/out": ["OF_out"]}


def test_catalog_begins_as_clients_recognise_it(admin: Any, study: Any) -> None:
    """The catalog begins with the very bytes that xnatpy looks for, and lists each file."""
    path = f"{study.session_path}/resources/R1"
    admin.put(f"{path}/files/sub/a&b.txt", data=b"abc")

    answer = admin.get(path, params={"format": "json"})

    assert answer.content.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<cat:Catalog')
    catalog = ET.fromstring(answer.content)  # noqa: S314 - from the server under test
    (entry,) = catalog.iter("{http://nrg.wustl.edu/catalog}entry")
    assert entry.get("URI") == "sub/a&b.txt"
    assert entry.get("digest") == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5


def test_deleted_resource_is_gone_with_its_files(admin: Any, study: Any, sandbox: Any) -> None:
    """Deleting a resource removes its rows and its folder; a second time it is unknown."""
    path = f"{study.session_path}/resources/R1"
    admin.put(f"{path}/files/a.txt", data=b"x")
    folder = sandbox.root / "archive" / study.project / "arc001/E1/RESOURCES/R1"
    assert folder.is_dir()

    statuses = [admin.delete(path).status_code for _ in range(2)]

    assert statuses == [200, 404]
    assert not folder.exists()
    assert admin.rows(f"{study.session_path}/files") == []


def test_session_lists_resources_of_its_scans_when_asked(admin: Any, study: Any) -> None:
    """``all=true`` adds the scans' resources to those of the session."""
    admin.made(f"{study.session_path}/resources/OWN")
    admin.made(f"{study.session_path}/scans/1/resources/DICOM")
    path = f"{study.session_path}/resources"

    assert [row["label"] for row in admin.rows(path)] == ["OWN"]
    assert [row["label"] for row in admin.rows(path, all="true")] == ["OWN", "DICOM"]


@pytest.mark.parametrize(
    ("group", "statuses"),
    [
        ("owner", {"make": 200, "read": 200, "delete": 200}),
        ("member", {"make": 200, "read": 200, "delete": 403}),
        ("collaborator", {"make": 403, "read": 200, "delete": 403}),
        (None, {"make": 404, "read": 404, "delete": 404}),
    ],
)
def test_rights_on_resources(
    admin: Any, study: Any, make_user: Any, group: str | None, statuses: dict[str, int]
) -> None:
    """Making needs the right to edit, deleting the right to delete, of the object."""
    admin.put(f"{study.path}/accessibility/private")
    path = f"{study.session_path}/resources"
    admin.put(f"{path}/OLD/files/a.txt", data=b"x")
    user = make_user(**({study.project: group} if group else {}))

    found = {
        "make": user.put(f"{path}/NEW").status_code,
        "read": user.get(f"{path}/OLD").status_code,
        "delete": user.delete(f"{path}/OLD").status_code,
    }

    assert found == statuses


def test_path_behind_a_resource_is_refused(admin: Any, study: Any) -> None:
    """Only ``files`` lies behind a resource."""
    assert admin.put(f"{study.session_path}/resources/R1/a.txt", data=b"x").status_code == 400


# Folders stored by the server itself ----------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """A site of this test's own, with its administrator and a project's owner of resources."""
    site = Site(Settings(tmp_path / "site"))
    for folder in site.settings.all_dirs:
        folder.mkdir(parents=True, exist_ok=True)
    site.ensure_admin("admin", "a-test-password")
    user = site.people.by_login("admin")
    assert user is not None
    with site.store.write() as connection:
        connection.execute(
            "INSERT INTO project (id, name, secondary_id, accessibility, insert_date,"
            " insert_user, last_modified) VALUES ('P', 'P', 'P', 'private', '', '', '')"
        )
    project = ItemMaker(site, user).project(objects.find_project(site.store.connection, "P"))
    assert project is not None
    return site, user, project.owner


def test_stored_tree_has_all_files(place: Any, tmp_path: Path) -> None:
    """A folder becomes a resource with its files, folders and all; links are left out."""
    site, user, owner = place
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.txt").write_bytes(b"abc")
    (source / "sub" / "b.txt").write_bytes(b"")
    (source / "link").symlink_to("/etc/hostname")
    (source / "R1_catalog.xml").write_bytes(b"<cat/>")

    number = store_tree(site, owner, "R1", source, user, format="TEXT")

    files = files_of(site.store.connection, number)
    assert [(f.path, f.size, f.details.format) for f in files] == [
        ("a.txt", 3, "TEXT"),
        ("sub/b.txt", 0, "TEXT"),
    ]
    assert files[0].md5 == "900150983cd24fb0d6963f7d28e17f72"  # RFC 1321, A.5
    assert (site.settings.archive_dir / "P/resources/R1/a.txt").read_bytes() == b"abc"
    assert not any(path.is_file() for path in paths_below(site.settings.incoming_dir))


def test_tree_with_an_unusable_name_stores_nothing(place: Any, tmp_path: Path) -> None:
    """One file name that cannot be stored leaves the resource as it was."""
    site, user, owner = place
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_bytes(b"abc")
    (source / "z:1").write_bytes(b"abc")

    with pytest.raises(HttpError):
        store_tree(site, owner, "R1", source, user)

    (count,) = site.store.connection.execute("SELECT COUNT(*) FROM resource").fetchone()
    assert count == 0
    assert not any(path.is_file() for path in paths_below(site.settings.incoming_dir))


def test_tree_does_not_replace_without_overwrite(place: Any, tmp_path: Path) -> None:
    """With ``overwrite=False`` a file that is there keeps its bytes and nothing new comes."""
    site, user, owner = place
    source = tmp_path / "source"
    source.mkdir()
    (source / "a.txt").write_bytes(b"old")
    number = store_tree(site, owner, "R1", source, user)
    (source / "a.txt").write_bytes(b"new")
    (source / "b.txt").write_bytes(b"new")

    with pytest.raises(HttpError):
        store_tree(site, owner, "R1", source, user, overwrite=False)

    assert [f.path for f in files_of(site.store.connection, number)] == ["a.txt"]
    assert (site.settings.archive_dir / "P/resources/R1/a.txt").read_bytes() == b"old"
