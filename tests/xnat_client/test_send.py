"""What an upload sends, and what it makes of odd answers; the sandbox has the good case."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from xnat_client.errors import (
    ConflictError,
    NotAllowedError,
    RefusedError,
    UnreachableError,
    XnatClientError,
)
from xnat_client.resources import RemoteFile
from xnat_client.transport import Transport
from xnat_client.upload.scan import StudyPlan, choose_study, scan_folder
from xnat_client.upload.send import UploadTarget, upload_session

from .conftest import Reply, ScriptedServer

TARGET = UploadTarget("P", "S1", "E1")
IMPORT = "/data/services/import"
EXPERIMENTS = "/data/projects/P/experiments"
ARCHIVED = b"/data/archive/projects/P/subjects/S1/experiments/E1\r\n"
ROW = {"ID": "X_E1", "label": "E1", "subject_label": "S1", "xsiType": "xnat:mrSessionData"}


@pytest.fixture
def study(dicom_folder: Path) -> StudyPlan:
    return choose_study(scan_folder(dicom_folder))


@pytest.fixture
def xnat(scripted: ScriptedServer, study: StudyPlan) -> ScriptedServer:
    """A server that takes the upload and lists it as sent."""
    scripted.answer("GET", "/data/projects/P/accessibility", Reply(body=b"private"))
    scripted.answer("GET", EXPERIMENTS, Reply.table(), Reply.table(ROW))
    scripted.answer("POST", IMPORT, Reply(body=ARCHIVED))
    held = [
        RemoteFile(f"{n}.dcm", f"/data/x/files/{n}.dcm", one.size_bytes, one.md5, "DICOM")
        for n, one in enumerate(study.files)
    ]
    rows = [
        {"Size": str(one.size_bytes), "URI": one.uri, "digest": one.md5, "collection": "DICOM"}
        for one in held
    ]
    scripted.answer("GET", "/data/experiments/X_E1/scans/ALL/files", Reply.table(*rows))
    return scripted


def test_one_stored_zip_with_generic_names_goes_to_the_archive(
    xnat: ScriptedServer, transport: Transport, study: StudyPlan
) -> None:
    """The request has destination, length and type; the zip has every file under a neutral name."""
    upload_session(transport, study, TARGET)

    [request] = xnat.requests_to(IMPORT)
    assert request.query["dest"] == ["/archive/projects/P/subjects/S1/experiments/E1"]
    assert request.query["overwrite"] == ["none"]
    assert request.headers["Content-Type"] == "application/zip"
    assert "Transfer-Encoding" not in request.headers
    with zipfile.ZipFile(io.BytesIO(request.body)) as archive:
        contents = sorted(archive.read(name) for name in archive.namelist())
        folders = {name.rpartition("/")[0] for name in archive.namelist()}
        assert "Marked" not in " ".join(archive.namelist())
    assert contents == sorted(one.path.read_bytes() for one in study.files)
    assert folders == {"SCANS/3/DICOM", "SCANS/4/DICOM"}


def test_busy_server_gets_the_whole_zip_again(
    xnat: ScriptedServer, transport: Transport, study: StudyPlan
) -> None:
    """After a 503 the second body is as complete as the first."""
    xnat.answer("POST", IMPORT, Reply(503), Reply(body=ARCHIVED))

    upload_session(transport, study, TARGET)

    first, second = xnat.requests_to(IMPORT)
    assert first.body == second.body
    assert zipfile.ZipFile(io.BytesIO(second.body)).testzip() is None


@pytest.mark.parametrize(
    ("reply", "kind", "words"),
    [
        (Reply(403), NotAllowedError, "Ask an owner"),
        (Reply(409, b"Session already exists"), ConflictError, "there already"),
        (Reply(504), UnreachableError, "took too long"),
        (Reply(500, b"No space left on device"), RefusedError, "No space left"),
        (Reply(body=b""), RefusedError, "made 0 sessions"),
        (Reply(body=ARCHIVED * 2), RefusedError, "made 2 sessions"),
        (Reply(body=b"/data/prearchive/projects/P/2026/E1\r\n"), RefusedError, "prearchive"),
    ],
)
def test_other_answers_are_no_success(  # noqa: PLR0913, PLR0917  # fixtures and table
    xnat: ScriptedServer,
    transport: Transport,
    study: StudyPlan,
    reply: Reply,
    kind: type[XnatClientError],
    words: str,
) -> None:
    """Refusals, several sessions and the prearchive each say what they are; one request is sent."""
    xnat.answer("POST", IMPORT, reply)

    with pytest.raises(kind, match=words):
        upload_session(transport, study, TARGET)

    assert len(xnat.requests_to(IMPORT)) == 1


def test_success_that_is_not_listed_is_no_success(
    xnat: ScriptedServer, transport: Transport, study: StudyPlan
) -> None:
    """XNAT may answer like a success without storing anything."""
    xnat.answer("GET", EXPERIMENTS, Reply.table())

    with pytest.raises(RefusedError, match="does not list it"):
        upload_session(transport, study, TARGET)


def test_progress_counts_up_to_the_whole(
    xnat: ScriptedServer, transport: Transport, study: StudyPlan
) -> None:
    """The last report has all bytes done, and they are those of the request."""
    seen: list[tuple[int, int]] = []

    upload_session(
        transport, study, TARGET, progress=lambda done, total: seen.append((done, total))
    )

    size_bytes = len(xnat.requests_to(IMPORT)[0].body)
    assert seen[-1] == (size_bytes, size_bytes)
    assert seen == sorted(seen)
