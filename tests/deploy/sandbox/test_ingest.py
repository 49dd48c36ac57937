"""The import service: what becomes of archives of DICOM files, and what is refused."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
from pydicom import dcmread
from pydicom.uid import generate_uid

from tests.builders.dicom_images import image, zipped

IMPORT = "/data/services/import"
ZIP = {"Content-Type": "application/zip"}


def _send(api: Any, content: bytes, **query: str) -> requests.Response:
    names = {name.replace("__", "-"): value for name, value in query.items()}
    return api.post(IMPORT, params=names, data=content, headers=ZIP)


@pytest.fixture
def project(make_project: Any) -> str:
    """Return a private project."""
    return make_project(accessibility="private")


def test_zip_becomes_a_session(admin: Any, project: str) -> None:
    """Series become scans, with the fields that XNAT reads, and files that are still DICOM."""
    content = zipped(
        image(InstanceNumber=1),
        image(InstanceNumber=2),
        image(SeriesNumber=2, SeriesDescription="bold run"),
    )

    answer = _send(admin, content, dest=f"/archive/projects/{project}/subjects/S1/experiments/E1")

    assert answer.status_code == 200, answer.text
    assert answer.text == f"/data/archive/projects/{project}/subjects/S1/experiments/E1\r\n"
    session = admin.item(answer.text.strip())
    assert session["meta"]["xsi:type"] == "xnat:mrSessionData"
    fields = session["data_fields"]
    assert (fields["date"], fields["time"], fields["modality"]) == ("2024-01-31", "10:15:00", "MR")
    assert (fields["scanner"], fields["scanner/model"]) == ("SCANNER1", "Model")
    scans = admin.rows(f"{answer.text.strip()}/scans")
    assert [(s["ID"], s["type"], s["quality"]) for s in scans] == [
        ("1", "t1 mprage", "usable"),
        ("2", "bold run", "usable"),
    ]
    scan = admin.item(f"{answer.text.strip()}/scans/1")["data_fields"]
    assert (scan["frames"], scan["parameters/tr"], scan["fieldStrength"]) == (2, 2300.0, "3.0")
    files = admin.rows(f"{answer.text.strip()}/scans/1/resources/DICOM/files")
    assert [row["file_format"] for row in files] == ["DICOM"] * 2
    stored = dcmread(io.BytesIO(admin.get(files[1]["URI"]).content))
    assert stored.InstanceNumber == 2


def test_identity_in_headers_stays_in_the_sessions_fields(
    admin: Any, project: str, sandbox: Any
) -> None:
    """Name and ID of the person are where XNAT has them, and in no answer, label, path or log."""
    answer = _send(
        admin, zipped(image()), dest=f"/archive/projects/{project}/subjects/S1/experiments/E1"
    )
    fields = admin.item(answer.text.strip())["data_fields"]
    refused = _send(
        admin, zipped(image()), dest=f"/archive/projects/{project}/subjects/S1/experiments/E1"
    )

    assert fields["dcmPatientName"] == "Planted^Identity"
    assert fields["dcmPatientId"] == "PLANTED-ID"
    assert refused.status_code == 409
    names = "\n".join(p.as_posix() for p in (sandbox.root / "archive" / project).rglob("*"))
    log = (sandbox.root / "server.log").read_text()
    for text in (answer.text, refused.text, names, log):
        assert "lanted" not in text
        assert "PLANTED" not in text


def test_labels_come_from_the_headers(admin: Any, project: str) -> None:
    """Without a destination, comments route as scanners write them; code 4 means the archive."""
    content = zipped(image(PatientComments=f"Project:{project} Subject:SUBJ Session:SUBJ_MR1"))

    answer = _send(admin, content)

    assert answer.text == f"/data/archive/projects/{project}/subjects/SUBJ/experiments/SUBJ_MR1\r\n"


def test_labels_without_comments(admin: Any, project: str) -> None:
    """The study's description may name the project; name and ID become safe labels."""
    answer = _send(admin, zipped(image(StudyDescription=project)))

    assert answer.text == (
        f"/data/archive/projects/{project}/subjects/Planted_Identity/experiments/PLANTED-ID\r\n"
    )


@pytest.mark.parametrize(
    ("modalities", "session_type", "scan_types"),
    [
        (["MR"], "xnat:mrSessionData", ["xnat:mrScanData"]),
        (["CT"], "xnat:ctSessionData", ["xnat:ctScanData"]),
        (["PT", "CT"], "xnat:petSessionData", ["xnat:petScanData", "xnat:ctScanData"]),
        (["PT", "MR"], "xnat:petmrSessionData", ["xnat:petScanData", "xnat:mrScanData"]),
        (["US"], "xnat:otherDicomSessionData", ["xnat:otherDicomScanData"]),
    ],
)
def test_modality_decides_the_types(
    admin: Any, project: str, modalities: list[str], session_type: str, scan_types: list[str]
) -> None:
    """Session and scans have the types that XNAT gives to the modalities."""
    images = [image(Modality=m, SeriesNumber=n) for n, m in enumerate(modalities, 1)]

    answer = _send(
        admin, zipped(*images), dest=f"/archive/projects/{project}/subjects/S/experiments/E"
    )

    assert admin.item(answer.text.strip())["meta"]["xsi:type"] == session_type
    rows = admin.rows(f"{answer.text.strip()}/scans")
    assert [row["xsiType"] for row in rows] == scan_types


def test_series_of_one_number_get_counts(admin: Any, project: str) -> None:
    """Two series with the same number become scans ``4`` and ``4-MR2``."""
    images = [image(SeriesNumber=4, SeriesInstanceUID=generate_uid()) for _ in range(2)]

    answer = _send(
        admin, zipped(*images), dest=f"/archive/projects/{project}/subjects/S/experiments/E"
    )

    assert [s["ID"] for s in admin.rows(f"{answer.text.strip()}/scans")] == ["4", "4-MR2"]


@pytest.mark.parametrize(("handler", "clash"), [("SI", 409), ("DICOM-zip", 400)])
def test_overwrite_modes(admin: Any, project: str, handler: str, clash: int) -> None:
    """Nothing is replaced unless asked: append adds, overwrite_files replaces, delete renews."""
    query = {
        "dest": f"/archive/projects/{project}/subjects/S/experiments/E",
        "import__handler": handler,
    }
    first = zipped(image(InstanceNumber=1))
    second = zipped(image(InstanceNumber=2), image(SeriesNumber=2))

    statuses = [
        _send(admin, first, **query).status_code,
        _send(admin, second, **query).status_code,
        _send(admin, second, overwrite="append", **query).status_code,
        _send(admin, second, overwrite="append", **query).status_code,
        _send(admin, second, overwrite="append", overwrite_files="true", **query).status_code,
    ]
    path = f"/data/projects/{project}/subjects/S/experiments/E/scans"
    appended = [(s["ID"], len(admin.rows(f"{path}/{s['ID']}/files"))) for s in admin.rows(path)]
    renewed_status = _send(admin, first, overwrite="delete", **query).status_code
    renewed = [(s["ID"], len(admin.rows(f"{path}/{s['ID']}/files"))) for s in admin.rows(path)]

    assert statuses == [200, clash, 200, clash, 200]
    assert appended == [("1", 2), ("2", 1)]
    assert (renewed_status, renewed) == (200, [("1", 1)])


@pytest.mark.parametrize(("handler", "status"), [("SI", 409), ("DICOM-zip", 400)])
def test_another_study_is_not_appended(admin: Any, project: str, handler: str, status: int) -> None:
    """A session holds one study."""
    query = {
        "dest": f"/archive/projects/{project}/subjects/S/experiments/E",
        "import__handler": handler,
    }
    _send(admin, zipped(image()), **query)

    other = zipped(image(SeriesNumber=7, StudyInstanceUID=generate_uid()))

    assert _send(admin, other, overwrite="append", **query).status_code == status


def test_dicom_zip_sorts_several_studies(admin: Any, project: str) -> None:
    """One archive may hold several sessions for the handler DICOM-zip, for SI it may not."""
    content = zipped(
        image(PatientComments="Subject:A Session:A1"),
        image(PatientComments="Subject:A Session:A2", StudyInstanceUID=generate_uid(),
              SeriesInstanceUID=generate_uid()),
    )  # fmt: skip
    dest = f"/archive/projects/{project}"

    refused = _send(admin, content, dest=dest)
    answer = _send(admin, content, dest=dest, import__handler="DICOM-zip")

    assert refused.status_code == 400
    assert sorted(answer.text.split()) == [
        f"/data/archive/projects/{project}/subjects/A/experiments/A1",
        f"/data/archive/projects/{project}/subjects/A/experiments/A2",
    ]


def test_files_that_are_no_images(admin: Any, project: str) -> None:
    """SI leaves other files out; DICOM-zip refuses them unless told to ignore them."""
    content = zipped(image(), readme__txt=b"not DICOM", odd=b"\0" * 128 + b"DICM" + b"\xff" * 50)

    def status(session: str, **query: str) -> int:
        dest = f"/archive/projects/{project}/subjects/S/experiments/{session}"
        return _send(admin, content, dest=dest, **query).status_code

    assert status("E1") == 200
    assert status("E2", import__handler="DICOM-zip") == 400
    assert status("E2", import__handler="DICOM-zip", **{"Ignore-Unparsable": "true"}) == 200
    path = f"/data/projects/{project}/experiments/E1/scans/ALL/files"
    assert len(admin.rows(path)) == 1


def test_form_with_one_file(admin: Any, project: str) -> None:
    """A form with one file is imported, with two refused."""
    query = {"dest": f"/archive/projects/{project}/subjects/S/experiments/E"}
    part = ("f", ("x.zip", zipped(image())))

    assert admin.post(IMPORT, params=query, files=[part, part]).status_code == 400
    assert admin.post(IMPORT, params=query, files=[part]).status_code == 200


@pytest.mark.parametrize(
    ("content", "query", "status"),
    [
        (b"", {}, 400),
        (b"no archive", {}, 400),
        (zipped(), {}, 400),
        (zipped(readme__txt=b"x"), {}, 400),
        (zipped(session__xml=b"<x/>"), {}, 501),
        (zipped(image()), {"import__handler": "nonsense"}, 404),
        (zipped(image()), {"import__handler": "XAR"}, 501),
        (zipped(image()), {"overwrite": "maybe"}, 400),
        (zipped(image()), {"dest": "/prearchive/nonsense"}, 400),
        (zipped(image()), {"dest": "/prearchive/projects/P/yesterday/E1"}, 400),
        (zipped(image()), {"dest": "/elsewhere/projects/P"}, 400),
        (zipped(image()), {"dest": "/archive/projects"}, 400),
        (zipped(image()), {"dest": "/archive/projects/NOSUCHPROJECT"}, 404),
        (zipped(image()), {"dest": "/archive"}, 400),
        (zipped(image()), {"session": "a b"}, 417),
    ],
)
def test_what_cannot_be_imported(
    admin: Any, project: str, content: bytes, query: dict[str, str], status: int
) -> None:
    """Each wrong request has its status and leaves no object behind."""
    answer = _send(admin, content, **({"dest": f"/archive/projects/{project}"} | query))

    assert answer.status_code == status, answer.text
    assert admin.rows(f"/data/projects/{project}/subjects") == []


def test_import_is_all_or_nothing(admin: Any, project: str, sandbox: Any) -> None:
    """When the second study of an archive is refused, the first is not stored either."""
    dest = f"/archive/projects/{project}"
    taken = image(PatientComments="Subject:B Session:B1", StudyInstanceUID=generate_uid())
    _send(admin, zipped(taken), dest=dest)
    fresh = image(PatientComments="Subject:A Session:A1")

    answer = _send(admin, zipped(fresh, taken), dest=dest, import__handler="DICOM-zip")

    assert answer.status_code == 400
    assert [row["label"] for row in admin.rows(f"/data/projects/{project}/subjects")] == ["B"]
    assert not (sandbox.root / "archive" / project / "arc001" / "A1").exists()


@pytest.mark.parametrize(
    ("group", "statuses"),
    [("owner", (200, 200, 200)), ("member", (200, 200, 403)), ("collaborator", (403, 403, 403)),
     (None, (404, 404, 404))],
)  # fmt: skip
def test_rights_to_import(
    admin: Any, project: str, make_user: Any, group: str | None, statuses: tuple[int, int, int]
) -> None:
    """New sessions need the right to create, appending to edit, replacing to delete."""
    user = make_user(**({project: group} if group else {}))
    _send(admin, zipped(image()), dest=f"/archive/projects/{project}/subjects/S/experiments/OLD")

    def status(content: bytes, session: str, overwrite: str) -> int:
        dest = f"/archive/projects/{project}/subjects/S/experiments/{session}"
        return _send(user, content, dest=dest, overwrite=overwrite).status_code

    found = (
        status(zipped(image()), "NEW", "none"),
        status(zipped(image(SeriesNumber=2)), "OLD", "append"),
        status(zipped(image()), "OLD", "delete"),
    )

    assert found == statuses


@pytest.mark.samples
def test_vendor_sessions_get_the_scans_they_had(
    admin: Any, make_project: Any, samples: Path
) -> None:
    """Sample sessions are sorted into the scans that their folders name."""
    project = make_project()
    for folder in sorted((samples / "dicom").iterdir()):
        if not (folder / "SCANS").is_dir():
            continue
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for parent, _, names in os.walk(folder / "SCANS"):
                for name in names:
                    path = Path(parent, name)
                    archive.write(path, path.relative_to(folder))

        dest = f"/archive/projects/{project}/subjects/S/experiments/{folder.name}"
        answer = _send(admin, buffer.getvalue(), dest=dest, import__handler="DICOM-zip")

        assert answer.status_code == 200, (folder.name, answer.text)
        scans = {row["ID"] for row in admin.rows(f"{answer.text.strip()}/scans")}
        assert scans == {path.name for path in (folder / "SCANS").iterdir()}, folder.name
