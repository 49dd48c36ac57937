"""Downloading a resource: proved, resumable, and never outside of its folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from xnat_client.errors import BadInputError, NotFoundError, RefusedError
from xnat_client.resources import download_resource, list_files, list_resources
from xnat_client.sessions import Session
from xnat_client.transport import Transport

from .conftest import Reply, ScriptedServer

SESSION = Session("X_E1", "E1", "P", "S", "xnat:mrSessionData")
BASE = "/data/experiments/X_E1/resources"
CONTENT = {"dataset_description.json": b"{}", "sub-01/anat/a b.nii.gz": b"\x1f\x8b" * 500}


def _row(path: str, content: bytes, *, digest: str | None = None) -> dict[str, str]:
    found = hashlib.md5(content).hexdigest() if digest is None else digest  # noqa: S324  # XNAT's digest
    return {
        "Name": path.rpartition("/")[2],
        "Size": str(len(content)),
        "URI": f"{BASE}/BIDS/files/{path.replace(' ', '%20')}",
        "collection": "BIDS",
        "digest": found,
    }


@pytest.fixture
def bids(scripted: ScriptedServer) -> ScriptedServer:
    rows = [_row(path, content) for path, content in CONTENT.items()]
    scripted.answer("GET", f"{BASE}/BIDS/files", Reply.table(*rows))
    for path, content in CONTENT.items():
        scripted.answer("GET", f"{BASE}/BIDS/files/{path}", Reply(body=content))
    return scripted


def _tree(folder: Path) -> dict[str, bytes]:
    files = (one for one in folder.rglob("*") if one.is_file())
    return {one.relative_to(folder).as_posix(): one.read_bytes() for one in files}


@pytest.mark.usefixtures("bids")
def test_the_whole_tree_arrives(transport: Transport, tmp_path: Path) -> None:
    """Folders and names come as the server has them, blanks too, and nothing else is left."""
    result = download_resource(transport, SESSION, "BIDS", tmp_path / "out")

    assert _tree(tmp_path / "out") == CONTENT
    assert (result.fetched, result.already_there, result.unproved) == (2, 0, 0)


def test_only_what_is_missing_or_wrong_is_fetched_again(
    bids: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A second call fetches nothing; a file changed by one byte is fetched, the other is not."""
    download_resource(transport, SESSION, "BIDS", tmp_path)
    asked = len(bids.received)
    again = download_resource(transport, SESSION, "BIDS", tmp_path)
    assert (again.fetched, again.already_there) == (0, 2)
    assert len(bids.received) == asked + 1  # the list

    (tmp_path / "dataset_description.json").write_bytes(b"[]")
    third = download_resource(transport, SESSION, "BIDS", tmp_path)

    assert (third.fetched, third.already_there) == (1, 1)
    assert _tree(tmp_path) == CONTENT


def test_wrong_bytes_are_thrown_away(
    bids: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A file of the right size with other bytes is refused and does not stay."""
    bids.answer("GET", f"{BASE}/BIDS/files/dataset_description.json", Reply(body=b"[]"))

    with pytest.raises(RefusedError, match="thrown away"):
        download_resource(transport, SESSION, "BIDS", tmp_path)

    assert _tree(tmp_path) == {}


@pytest.mark.parametrize(
    "path",
    ["../escape", "a/../../b", "/etc/escape", "..%2Fescape", "a\\..\\b", "C:/escape", "a%00b"],
)
def test_hostile_names_are_refused(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path, path: str
) -> None:
    """A server that names a file outside of the folder gets nothing written at all."""
    rows = [_row("good.txt", b"1"), _row(path, b"2")]
    scripted.answer("GET", f"{BASE}/BIDS/files", Reply.table(*rows))

    with pytest.raises(RefusedError, match="leave its folder"):
        download_resource(transport, SESSION, "BIDS", tmp_path / "out")

    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("bids")
def test_link_in_the_output_folder_does_not_lead_out(transport: Transport, tmp_path: Path) -> None:
    """A symbolic link that lies in the output folder is not followed out of it."""
    out, outside = tmp_path / "out", tmp_path / "outside"
    outside.mkdir()
    out.mkdir()
    (out / "sub-01").symlink_to(outside)

    with pytest.raises(BadInputError, match="symbolic link"):
        download_resource(transport, SESSION, "BIDS", out)

    assert _tree(outside) == {}


def test_address_outside_of_data_is_not_fetched(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A file list may not send the client, with its cookie, to another path or host."""
    row = {**_row("a", b"1"), "URI": "@evil.example.org/files/a"}
    scripted.answer("GET", f"{BASE}/BIDS/files", Reply.table(row))

    with pytest.raises(RefusedError, match="outside /data"):
        download_resource(transport, SESSION, "BIDS", tmp_path)


def test_files_without_checksum_are_counted(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """Where the server has no digest, the size must be right, and the result says so."""
    scripted.answer("GET", f"{BASE}/BIDS/files", Reply.table(_row("a", b"12", digest="")))
    scripted.answer("GET", f"{BASE}/BIDS/files/a", Reply(body=b"34"))

    assert download_resource(transport, SESSION, "BIDS", tmp_path).unproved == 1

    scripted.answer("GET", f"{BASE}/BIDS/files/a", Reply(body=b"345"))
    with pytest.raises(RefusedError, match="no checksum"):
        download_resource(transport, SESSION, "BIDS", tmp_path)


def test_empty_resource_is_no_success(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A download of nothing is a failure that says so."""
    scripted.answer("GET", f"{BASE}/BIDS/files", Reply.table())
    scripted.answer("GET", BASE, Reply.table({"label": "BIDS", "file_count": "0"}))

    with pytest.raises(NotFoundError, match="holds no files"):
        download_resource(transport, SESSION, "BIDS", tmp_path)


def test_missing_resource_says_what_is_there(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """The resources that the session has are named, and no folder is made."""
    scripted.answer("GET", BASE, Reply.table({"label": "NIFTI"}, {"label": "BIDS_REPORT"}))

    with pytest.raises(NotFoundError, match=r"no resource BIDS\. It has BIDS_REPORT, NIFTI "):
        download_resource(transport, SESSION, "BIDS", tmp_path / "out")

    assert not (tmp_path / "out").exists()


def test_missing_scan_says_what_is_there(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """The scans that the session has are named."""
    scripted.answer(
        "GET", "/data/experiments/X_E1/scans", Reply.table({"ID": "1"}, {"ID": "2-MR1"})
    )

    with pytest.raises(NotFoundError, match=r"no scan 9\. It has 1, 2-MR1\."):
        download_resource(transport, SESSION, "DICOM", tmp_path, scan_id="9")


def test_output_folder_that_is_a_file(
    bids: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A place that cannot be a folder is bad input, not a stack trace."""
    assert bids
    (tmp_path / "out").touch()

    with pytest.raises(BadInputError, match="Cannot write"):
        download_resource(transport, SESSION, "BIDS", tmp_path / "out")


def test_cells_become_numbers(scripted: ScriptedServer, transport: Transport) -> None:
    """XNAT's tables hold text only, and empty text for nothing."""
    row = {"label": "BIDS", "xnat_abstractresource_id": "7", "file_count": "2", "file_size": ""}
    scripted.answer("GET", BASE, Reply.table(row))

    [resource] = list_resources(transport, SESSION)

    assert (resource.label, resource.file_count, resource.size_bytes) == ("BIDS", 2, 0)


@pytest.mark.parametrize("document", [[], {"ResultSet": {}}, {"items": []}, "text", None])
def test_other_json_is_no_table(
    scripted: ScriptedServer, transport: Transport, document: object
) -> None:
    """An answer of another shape is a RefusedError, never an empty list."""
    scripted.answer("GET", f"{BASE}/BIDS/files", Reply.json(document))

    with pytest.raises(RefusedError, match="not a table"):
        list_files(transport, SESSION, "BIDS")
