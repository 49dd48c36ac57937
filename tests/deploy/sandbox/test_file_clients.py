"""The real clients, unmodified, with files: xnatpy and pyxnat upload, list, download, import."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import xnat

from tests.builders.dicom_images import image, zipped


@pytest.fixture
def xnatpy(sandbox: Any) -> Iterator[Any]:
    """Return an xnatpy session of the administrator."""
    with xnat.connect(
        sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    ) as session:
        yield session


@pytest.fixture
def scan(xnatpy: Any, study: Any) -> Any:
    """Return the study's scan as xnatpy has it."""
    return xnatpy.projects[study.project].experiments["E1"].scans["1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with two files, one of them in a folder, with unusual names."""
    folder = tmp_path / "upload"
    (folder / "sub dir").mkdir(parents=True)
    (folder / "a.nii.gz").write_bytes(b"A" * 100)
    (folder / "sub dir" / "b 50%+ä.txt").write_bytes(b"B")
    return folder


def _files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_xnatpy_uploads_and_downloads_one_file(scan: Any, folder: Path, tmp_path: Path) -> None:
    """A created resource takes a file; it comes back whole, its digest checked by the client."""
    resource = scan.create_resource("NIFTI", format="NIFTI")

    resource.upload(str(folder / "a.nii.gz"), "deep/a.nii.gz")

    (file,) = resource.files.values()
    file.download(str(tmp_path / "back"), verbose=False)
    assert (tmp_path / "back").read_bytes() == b"A" * 100
    assert (int(file.file_size), resource.format) == (100, "NIFTI")
    with file.open() as stream:
        assert stream.read() == b"A" * 100


def test_xnatpy_uploads_and_downloads_folders(scan: Any, folder: Path, tmp_path: Path) -> None:
    """A folder comes back with the same names and bytes, whichever way it was sent."""
    for method in ("tgz_file", "tgz_memory", "per_file"):
        resource = scan.create_resource(method)
        resource.upload_dir(str(folder), method=method)

        target = tmp_path / method
        target.mkdir()
        resource.download_dir(str(target), verbose=False)

        found = {path.partition("/files/")[2]: data for path, data in _files(target).items()}
        assert found == _files(folder), method


def test_xnatpy_overwrites_only_when_told(scan: Any) -> None:
    """A second upload changes nothing without ``overwrite``, and replaces with it."""
    resource = scan.create_resource("R")
    resource.upload_data(b"old", "a.txt")
    resource.upload_data(b"new", "a.txt")
    kept = scan.xnat_session.get(resource.files["a.txt"].uri).content

    resource.upload_data(b"new", "a.txt", overwrite=True)

    assert kept == b"old"
    assert scan.xnat_session.get(resource.files["a.txt"].uri).content == b"new"


def test_xnatpy_downloads_a_session(xnatpy: Any, study: Any, scan: Any, tmp_path: Path) -> None:
    """A session's download holds each scan's files below XNAT's names."""
    scan.create_resource("DICOM").upload_data(b"x", "1.dcm")
    session = xnatpy.projects[study.project].experiments["E1"]

    session.download(str(tmp_path / "all.zip"), verbose=False)

    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert archive.namelist() == ["E1/scans/1-T1w/resources/DICOM/files/1.dcm"]


def test_xnatpy_deletes_files_and_resources(scan: Any) -> None:
    """Deleted files and resources leave the listings."""
    resource = scan.create_resource("R")
    resource.upload_data(b"x", "a.txt")

    resource.files["a.txt"].delete()
    resource.files.clearcache()
    files_left = len(resource.files)
    resource.delete()
    scan.resources.clearcache()

    assert files_left == 0
    assert len(scan.resources) == 0


def test_xnatpy_imports_a_session(xnatpy: Any, make_project: Any, tmp_path: Path) -> None:
    """``services.import_`` answers the new session as an object with its scans."""
    project = make_project()
    path = tmp_path / "session.zip"
    path.write_bytes(zipped(image(), image(SeriesNumber=2)))

    session = xnatpy.services.import_(
        str(path), project=project, subject="S1", experiment="E1", destination="/archive",
        content_type="application/zip",
    )  # fmt: skip

    assert (session.label, session.subject.label) == ("E1", "S1")
    assert sorted(scan.id for scan in session.scans.values()) == ["1", "2"]


def test_xnatpy_refreshes_a_catalog(xnatpy: Any, scan: Any, sandbox: Any, study: Any) -> None:
    """The client's refresh makes a file on disk visible."""
    resource = scan.create_resource("R")
    resource.upload_data(b"x", "a.txt")
    folder = sandbox.root / "archive" / study.project / "arc001/E1/SCANS/1/R"
    (folder / "b.txt").write_bytes(b"y")

    xnatpy.services.refresh_catalog(resource, append=True, checksum=True)

    xnatpy.clearcache()
    assert sorted(file.id for file in resource.files.values()) == ["a.txt", "b.txt"]


# pyxnat ---------------------------------------------------------------------------------------


@pytest.fixture
def pyxnat_session(sandbox: Any, study: Any) -> Iterator[Any]:
    """Return the study's session as pyxnat has it."""
    import pyxnat  # noqa: PLC0415 - slow, and needed by few tests

    interface = pyxnat.Interface(
        server=sandbox.url, user=sandbox.admin_user, password=sandbox.admin_password
    )
    yield interface.select(f"/project/{study.project}/subject/S1/experiment/E1")
    interface.disconnect()
    interface._http.close()  # else it waits for the garbage collector


def test_pyxnat_puts_and_gets_a_file(pyxnat_session: Any, tmp_path: Path) -> None:
    """``put`` makes the resource and addresses it by number; attributes and bytes come back."""
    (tmp_path / "p.txt").write_bytes(b"from pyxnat")
    file = pyxnat_session.scan("1").resource("TEXT").file("sub/p.txt")

    file.put(str(tmp_path / "p.txt"), format="TXT", content="c", tags="t")

    file.get(str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_bytes() == b"from pyxnat"
    assert (file.size(), file.format(), file.content(), file.labels()) == ("11", "TXT", "c", "t")
    assert file.attributes()["path"] == "sub/p.txt"


def test_pyxnat_unpacks_downloads_and_deletes(pyxnat_session: Any, tmp_path: Path) -> None:
    """A zip is unpacked at upload, the resource comes back as a folder, and a file goes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x/a.txt", b"A")
        archive.writestr("x/b.txt", b"B")
    (tmp_path / "x.zip").write_bytes(buffer.getvalue())
    resource = pyxnat_session.resource("R")

    resource.put_zip(str(tmp_path / "x.zip"), extract=True)

    resource.get(str(tmp_path), extract=True)
    assert sorted(Path(name).name for name in resource.files().get()) == ["a.txt", "b.txt"]
    assert {p.name for p in tmp_path.rglob("*.txt")} == {"a.txt", "b.txt"}
    resource.file("x/a.txt").delete()
    assert [Path(name).name for name in resource.files().get()] == ["b.txt"]


def test_pyxnat_downloads_scans(pyxnat_session: Any, tmp_path: Path) -> None:
    """All scans of a session come as one archive."""
    pyxnat_session.scan("1").resource("DICOM").file("1.dcm").put("content of a file")

    path = pyxnat_session.scans().download(str(tmp_path), type="ALL", extract=False)

    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["E1/scans/1-T1w/resources/DICOM/files/1.dcm"]
