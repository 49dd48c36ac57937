"""Files of resources: upload, list, download, delete, as XNAT answers."""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest


@pytest.fixture
def files(study: Any) -> str:
    """Return the address of the files of a scan's resource that is not there yet."""
    return f"{study.session_path}/scans/1/resources/NIFTI/files"


def test_uploaded_bytes_come_back(admin: Any, files: str) -> None:
    """A raw upload makes the resource, and the same bytes are answered with type and length."""
    content = bytes(range(256)) * 1000

    put = admin.put(f"{files}/sub/a.nii.gz", data=content)
    got = admin.get(f"{files}/sub/a.nii.gz")

    assert (put.status_code, put.text) == (200, "")
    assert got.content == content
    assert got.headers["Content-Length"] == "256000"
    assert got.headers["Content-Type"] == "application/gzip"


def test_row_of_a_file(admin: Any, study: Any, files: str) -> None:
    """The table has XNAT's columns; the address has the path that was asked through."""
    query = {"format": "NIFTI", "content": "RAW", "tags": "t", "inbody": "true"}
    admin.post(f"{files}/sub/a.nii", params=query, data=b"abc")

    answer = admin.get(files).json()["ResultSet"]

    (row,) = answer["Result"]
    number = row.pop("cat_ID")
    assert number.isdigit()
    assert row == {
        "Name": "a.nii",
        "Size": "3",
        "URI": f"{study.session_path}/scans/1/resources/NIFTI/files/sub/a.nii",
        "collection": "NIFTI",
        "file_tags": "t",
        "file_format": "NIFTI",
        "file_content": "RAW",
        "digest": "900150983cd24fb0d6963f7d28e17f72",  # RFC 1321, A.5
    }
    assert "totalRecords" not in answer
    assert answer["title"] == "Files"


def test_list_over_several_scans_has_numeric_addresses(admin: Any, study: Any) -> None:
    """A list of several resources names each by number, and each address answers its file."""
    admin.made(f"{study.session_path}/scans/2", xsiType="xnat:mrScanData", type="bold")
    for scan in ("1", "2"):
        for label in ("DICOM", "NIFTI"):
            path = f"{study.session_path}/scans/{scan}/resources/{label}/files/{label}.txt"
            admin.put(path, data=scan.encode())
    base = f"/data/experiments/{study.session_id}/scans"

    every = admin.rows(f"{base}/ALL/files")
    listed = admin.rows(f"{base}/1,2/files")
    nifti = admin.rows(f"{base}/ALL/resources/NIFTI/files")
    bold = admin.rows(f"{base}/bold/files")

    assert [row["collection"] for row in every] == ["DICOM", "NIFTI"] * 2
    assert listed == every
    assert [row["collection"] for row in nifti] == ["NIFTI"] * 2
    assert bold == every[2:]
    assert all(f"/resources/{row['cat_ID']}/files/" in row["URI"] for row in every)
    assert [admin.get(row["URI"]).text for row in every] == ["1", "1", "2", "2"]


def test_existing_file_is_a_duplicate(admin: Any, files: str) -> None:
    """Without overwrite an existing file stays, and the answer is 200 with its name, as HTML."""
    admin.put(f"{files}/a.txt", data=b"old")

    answer = admin.put(f"{files}/a.txt", data=b"new")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/html")
    assert json.loads(answer.text) == {"duplicates": ["a.txt"]}
    assert admin.get(f"{files}/a.txt").content == b"old"


def test_overwrite_replaces(admin: Any, files: str) -> None:
    """With overwrite the new bytes, size and digest count."""
    admin.put(f"{files}/a.txt", data=b"old content")

    admin.put(f"{files}/a.txt", params={"overwrite": "true"}, data=b"new")

    (row,) = admin.rows(files)
    assert (row["Size"], row["digest"]) == ("3", hashlib.md5(b"new").hexdigest())  # noqa: S324 - XNAT's digest
    assert admin.get(f"{files}/a.txt").content == b"new"


def test_form_with_several_files(admin: Any, files: str) -> None:
    """Each file of a form is stored under its name; folders in a name are dropped."""
    parts = [("f", ("a.txt", b"A")), ("f", ("C:\\x\\b.txt", b"B")), ("note", (None, "text"))]

    answer = admin.post(files, files=parts)

    assert answer.status_code == 200
    assert [row["Name"] for row in admin.rows(files)] == ["a.txt", "b.txt"]
    assert admin.get(f"{files}/b.txt").content == b"B"


def test_address_names_a_single_part(admin: Any, files: str) -> None:
    """The path of the address names the only file of a form."""
    admin.put(f"{files}/sub/x.txt", files={"f": ("other.txt", b"A")})

    assert admin.get(f"{files}/sub/x.txt").content == b"A"


def _zip(**entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name.replace("__", "/"), content)
    return buffer.getvalue()


def _tar(mode: str, **entries: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in entries.items():
            info = tarfile.TarInfo(name.replace("__", "/"))
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "archive"),
    [
        ("up.zip", _zip(a=b"A", sub__b=b"BB")),
        ("up.tar", _tar("w", a=b"A", sub__b=b"BB")),
        ("up.tar.gz", _tar("w:gz", a=b"A", sub__b=b"BB")),
        ("up.tgz", _tar("w:gz", a=b"A", sub__b=b"BB")),
    ],
)
def test_archives_are_unpacked_in_their_place(
    admin: Any, files: str, name: str, archive: bytes
) -> None:
    """``extract=true`` stores what is inside, in the folder of the address, not the archive."""
    answer = admin.put(f"{files}/here/{name}", params={"extract": "true"}, data=archive)

    assert answer.status_code == 200
    assert admin.get(f"{files}/here/sub/b").content == b"BB"
    assert [row["Name"] for row in admin.rows(files)] == ["a", "b"]


def test_without_extract_an_archive_is_a_file(admin: Any, files: str) -> None:
    """An archive is kept as it is unless unpacking is asked for."""
    admin.put(f"{files}/up.zip", data=_zip(a=b"A"))

    assert [row["Name"] for row in admin.rows(files)] == ["up.zip"]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_downloaded_archive_holds_every_file(admin: Any, study: Any, kind: str) -> None:
    """Other programs read the streamed archive; its paths are XNAT's, types made safe."""
    admin.made(f"{study.session_path}/scans/2", xsiType="xnat:mrScanData", type="bold (rest)")
    contents = {
        "E1/scans/1-T1w/resources/DICOM/files/1.dcm": b"a" * 3_000_000,
        "E1/scans/2-bold__rest_/resources/DICOM/files/sub/2.dcm": b"b",
    }
    admin.put(f"{study.session_path}/scans/1/resources/DICOM/files/1.dcm", data=b"a" * 3_000_000)
    admin.put(f"{study.session_path}/scans/2/resources/DICOM/files/sub/2.dcm", data=b"b")

    answer = admin.get(f"{study.session_path}/scans/ALL/files", params={"format": kind})

    assert answer.headers["Content-Disposition"] == f"attachment; filename=E1.{kind}"
    stream = io.BytesIO(answer.content)
    if kind == "zip":
        with zipfile.ZipFile(stream) as archive:
            assert archive.testzip() is None
            found = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(fileobj=stream) as tar:
            found = {m.name: (tar.extractfile(m) or stream).read() for m in tar.getmembers()}
    assert found == contents


def test_archive_paths_of_other_objects(admin: Any, study: Any) -> None:
    """Resources of sessions, subjects and projects lie below the object's label."""
    expected = {
        study.session_path: "E1/resources/R/files/a.txt",
        f"{study.path}/subjects/S1": "S1/resources/R/files/a.txt",
        study.path: f"{study.project}/resources/R/files/a.txt",
    }
    for path in expected:
        admin.put(f"{path}/resources/R/files/a.txt", data=b"x")

    for path, entry in expected.items():
        answer = admin.get(f"{path}/resources/R/files", params={"format": "zip"})
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            assert archive.namelist() == [entry]


@pytest.mark.parametrize(
    ("options", "folder"),
    [
        ("", "E1"),
        ("&projectIncludedInPath=true", "{project}/E1"),
        ("&subjectIncludedInPath=true", "S1/E1"),
        ("&projectIncludedInPath=true&subjectIncludedInPath=true", "{project}/S1/E1"),
    ],
)
def test_archives_name_project_and_subject_on_request(
    admin: Any, study: Any, options: str, folder: str
) -> None:
    """XNAT puts them before the session's label, which then stays unambiguous."""
    admin.put(f"{study.session_path}/scans/1/resources/NIFTI/files/a.nii", data=b"x")

    content = admin.get(f"{study.session_path}/scans/ALL/files?format=zip{options}").content

    (name,) = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert name == f"{folder.format(project=study.project)}/scans/1-T1w/resources/NIFTI/files/a.nii"


def test_a_file_that_somebody_took_from_the_disk_is_not_found(
    admin: Any, study: Any, files: str
) -> None:
    """Alone and in an archive the answer says so, until the catalog is refreshed."""
    admin.put(f"{files}/here.txt", data=b"x")
    admin.put(f"{files}/gone.txt", data=b"x")
    place = admin.rows(f"{files}/gone.txt*", locator="absolutePath")[0]["URI"]
    Path(place).unlink()

    alone, packed = admin.get(f"{files}/gone.txt"), admin.get(f"{files}?format=zip")
    refreshed = admin.post(
        "/data/services/refresh/catalog",
        params={"resource": f"/archive/experiments/{study.session_id}", "options": "delete"},
    )

    assert (alone.status_code, packed.status_code) == (404, 404)
    assert "options=delete" in packed.text
    assert refreshed.status_code == 200
    assert [row["Name"] for row in admin.rows(files)] == ["here.txt"]


def test_nothing_to_download_is_not_found(admin: Any, study: Any) -> None:
    """An archive of no files is 404, while the list of no files is empty."""
    path = f"{study.session_path}/scans/ALL/files"

    assert admin.get(path, params={"format": "zip"}).status_code == 404
    assert admin.rows(path) == []


def test_folders_beginnings_and_filters(admin: Any, files: str) -> None:
    """A slash at the end means a folder, a star a beginning; format and content filter."""
    for name, kind in (("s/a.txt", "TEXT"), ("s/t/b.bin", "BIN"), ("s2.txt", "TEXT")):
        admin.put(f"{files}/{name}", params={"format": kind}, data=b"x")

    def names(path: str, **query: str) -> list[str]:
        return [row["Name"] for row in admin.rows(f"{files}{path}", **query)]

    assert names("/s/") == ["a.txt", "b.bin"]
    assert names("/s/", recursive="false") == ["a.txt"]
    assert names("/s*") == ["a.txt", "b.bin", "s2.txt"]
    assert names("", file_format="TEXT") == ["a.txt", "s2.txt"]
    assert names("", file_content="RAW") == []


def test_locator_shows_the_place_on_disk(admin: Any, study: Any, files: str, sandbox: Any) -> None:
    """``locator=absolutePath`` gives the path at which a container would see the bytes."""
    admin.put(f"{files}/a.txt", data=b"abc")
    folder = sandbox.root / "archive" / study.project / "arc001/E1/SCANS/1/NIFTI"

    (row,) = admin.rows(files, locator="absolutePath")

    assert row["URI"] == str(folder / "a.txt")
    assert (folder / "a.txt").read_bytes() == b"abc"


def test_head_has_length_and_no_body(admin: Any, files: str) -> None:
    """HEAD answers what GET would, without the bytes."""
    admin.put(f"{files}/a.txt", data=b"abc")

    answer = admin.head(f"{files}/a.txt")

    assert (answer.status_code, answer.headers["Content-Length"]) == (200, "3")
    assert answer.content == b""


def test_checksums_can_be_off(admin: Any, files: str) -> None:
    """Every file has a digest while the site's checksums are on."""
    admin.put(f"{files}/a.txt", data=b"abc")

    assert all(len(row["digest"]) == 32 for row in admin.rows(files))


def test_delete_file_and_folder(admin: Any, files: str) -> None:
    """A file is deleted by its path, a folder with everything below it; then they are unknown."""
    for name in ("a.txt", "s/b.txt", "s/t/c.txt", "s2"):
        admin.put(f"{files}/{name}", data=b"x")

    assert admin.delete(f"{files}/a.txt").status_code == 200
    assert admin.delete(f"{files}/s").status_code == 200
    assert [row["Name"] for row in admin.rows(files)] == ["s2"]
    assert admin.delete(f"{files}/a.txt").status_code == 404
    assert admin.get(f"{files}/a.txt").status_code == 404


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_accept_not_found(admin: Any, files: str, method: str) -> None:
    """``acceptNotFound=true`` makes a missing file 204."""
    admin.put(f"{files}/a.txt", data=b"x")

    answer = admin.request(method, f"{files}/no.txt", params={"acceptNotFound": "true"})

    assert answer.status_code == 204


# What is refused ------------------------------------------------------------------------------


def test_empty_body_is_refused(admin: Any, files: str) -> None:
    """An upload of nothing is 400 and does not make the resource."""
    assert admin.put(f"{files}/a.txt", data=b"").status_code == 400
    assert admin.get(files).status_code == 404


def test_form_with_inbody_is_not_acceptable(admin: Any, files: str) -> None:
    """A form where the body should be the file is 406."""
    answer = admin.put(f"{files}/a.txt", params={"inbody": "true"}, files={"f": ("a", b"A")})

    assert answer.status_code == 406


@pytest.mark.parametrize(
    "name",
    [
        "a/../../b", "%2e%2e/b", "a%2Fb", "a%00", "a%5Cb", "a//b", "CON", "aux.txt", "a%0Ab",
        "a.", "a%20", "%20a", "a:b", "a%3Fb", "a*b", "a%22", "%FF", "x" * 256, "/".join("x" * 600),
        "%ED%A0%80",
    ],
)  # fmt: skip
def test_hostile_names_are_refused(admin: Any, files: str, name: str) -> None:
    """No name may lead elsewhere or be unusable on another file system: 400 and nothing stored."""
    place = urlsplit(admin.url)
    token = base64.b64encode(":".join(admin.auth).encode()).decode()
    # requests would tidy the path up before sending it
    connection = http.client.HTTPConnection(place.netloc, timeout=30)
    connection.request("PUT", f"{files}/{name}", b"x", {"Authorization": f"Basic {token}"})
    status = connection.getresponse().status
    connection.close()

    assert status == 400
    assert admin.get(files).status_code == 404


def test_a_file_cannot_be_a_folder(admin: Any, files: str) -> None:
    """A path below a file, or a file where a folder is, is a conflict."""
    admin.put(f"{files}/a/b.txt", data=b"x")

    assert admin.put(f"{files}/a", data=b"x").status_code == 409
    assert admin.put(f"{files}/a/b.txt/c", data=b"x").status_code == 409
    assert [row["Name"] for row in admin.rows(files)] == ["b.txt"]


def test_file_in_the_place_of_an_emptied_folder(admin: Any, files: str) -> None:
    """When a folder's last file is deleted, a file may have the folder's name."""
    admin.put(f"{files}/a/b/c.txt", data=b"x")
    admin.delete(f"{files}/a/b/c.txt")

    assert admin.put(f"{files}/a", data=b"file").status_code == 200
    assert admin.get(f"{files}/a").content == b"file"


@pytest.mark.parametrize(
    "body", [b"no boundary here", b"--b\r\n\r\n", b"--b\r\nContent-Disposition: form-data\r\n"]
)
def test_broken_forms_are_refused(admin: Any, files: str, body: bytes) -> None:
    """A body that is not the form it claims to be is 400."""
    headers = {"Content-Type": "multipart/form-data; boundary=b"}

    assert admin.post(files, data=body, headers=headers).status_code == 400


def test_number_of_no_resource_is_not_found(admin: Any, study: Any) -> None:
    """A number is a resource's number; one that is none does not become a label."""
    answer = admin.put(f"{study.session_path}/resources/99999999/files/a", data=b"x")

    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("group", "expected"),
    [("member", (200, 200, 403)), ("collaborator", (403, 200, 403)), (None, (404, 404, 404))],
)
def test_rights_on_files(
    admin: Any, study: Any, make_user: Any, group: str | None, expected: tuple[int, int, int]
) -> None:
    """Upload needs the right to edit, download to read, deletion to delete."""
    files = f"{study.session_path}/scans/1/resources/NIFTI/files"
    admin.put(f"{study.path}/accessibility/private")
    admin.put(f"{files}/a.txt", data=b"x")
    user = make_user(**({study.project: group} if group else {}))

    found = (
        user.put(f"{files}/b.txt", data=b"x" * 2_000_000).status_code,
        user.get(f"{files}/a.txt").status_code,
        user.delete(f"{files}/a.txt").status_code,
    )

    assert found == expected
    assert admin.get(f"{files}/a.txt").content == b"x"


def test_sharing_gives_no_right_to_delete_files(
    admin: Any, study: Any, files: str, make_project: Any, make_user: Any
) -> None:
    """An owner of a project that a session is shared into cannot delete the session's files."""
    admin.put(f"{study.path}/accessibility/private")
    admin.put(f"{files}/a.txt", data=b"x")
    other = make_project(accessibility="private")
    admin.made(f"/data/experiments/{study.session_id}/projects/{other}")
    user = make_user(**{other: "owner"})
    path = f"/data/projects/{other}/experiments/E1/scans/1/resources/NIFTI/files/a.txt"
    assert user.get(path).content == b"x"

    assert user.delete(path).status_code == 403
    assert user.put(path, params={"overwrite": "true"}, data=b"y").status_code == 403
    assert admin.get(f"{files}/a.txt").content == b"x"
