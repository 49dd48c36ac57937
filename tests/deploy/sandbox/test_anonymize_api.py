"""Anonymisation scripts: who may store them, and what they do to data that come in."""

from __future__ import annotations

import io
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.builders.dicom_images import image, zipped
from tests.deploy.sandbox.conftest import Api

SCRIPT = 'version "6.1"\n(0010,0010) := subject\n(0010,0020) := session\n-(0010,0030)\n'
IDENTITY = (b"Planted", b"PLANTED-ID", b"19700101")


def _send(api: Any, content: bytes, **query: str) -> Any:
    return api.post(
        "/data/services/import",
        params=query,
        data=content,
        headers={"Content-Type": "application/zip"},
    )


def _archived(api: Any, project: str, content: bytes | None = None) -> str:
    dest = f"/archive/projects/{project}/subjects/S1/experiments/E1"
    answer = _send(api, content or zipped(image(), image(InstanceNumber=2)), dest=dest)
    assert answer.status_code == 200, answer.text
    return answer.text.strip()


def _files(api: Any, session: str) -> list[bytes]:
    rows = api.rows(f"{session}/scans/1/resources/DICOM/files")
    return [api.get(row["URI"]).content for row in rows]


def _read(content: bytes) -> Dataset:
    return dcmread(io.BytesIO(content))


@pytest.fixture
def project(make_project: Any) -> str:
    """Return a private project."""
    return make_project(accessibility="private")


@pytest.fixture
def own_admin(fresh_sandbox: Any) -> Api:
    """Return requests to a sandbox of the test's own, whose site settings may change."""
    return Api(fresh_sandbox.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password)


def test_project_script_rewrites_what_is_archived(admin: Any, project: str, sandbox: Any) -> None:
    """Archived files hold labels in place of the identity; no byte of it is on disk or shown."""
    assert admin.put(f"/xapi/anonymize/projects/{project}", data=SCRIPT).status_code == 200

    session = _archived(admin, project)

    stored = [_read(content) for content in _files(admin, session)]
    assert {(str(d.PatientName), d.PatientID) for d in stored} == {("S1", "E1")}
    assert not any("PatientBirthDate" in d for d in stored)
    everything = [p.read_bytes() for p in (sandbox.root / "archive" / project).rglob("*.dcm")]
    assert len(everything) == 2
    assert not any(word in content for content in everything for word in IDENTITY)
    assert admin.item(session)["data_fields"]["dcmPatientName"] == "S1"


def test_sizes_and_digests_are_those_of_the_rewritten_files(admin: Any, project: str) -> None:
    """The catalogue describes the files as they are stored."""
    admin.put(f"/xapi/anonymize/projects/{project}", data=SCRIPT)

    session = _archived(admin, project)

    rows = admin.rows(f"{session}/scans/1/resources/DICOM/files")
    sizes = [len(content) for content in _files(admin, session)]
    assert [int(row["Size"]) for row in rows] == sizes
    assert _read(_files(admin, session)[0]).Rows == 4


def test_project_script_waits_for_the_archive(admin: Any, project: str) -> None:
    """In the prearchive data are as they were sent; archiving them applies the project's script."""
    admin.put(f"/xapi/anonymize/projects/{project}", data=SCRIPT)
    waiting = _send(
        admin, zipped(image()), dest=f"/prearchive/projects/{project}", subject="S1", session="E1"
    ).text.strip()
    (name,) = (
        row["Name"] for row in admin.rows(f"{waiting}/scans/1/resources/DICOM/files")
    )  # fmt: skip
    before = admin.get(f"{waiting}/scans/1/resources/DICOM/files/{name}").content

    answer = admin.post("/data/services/archive", params={"src": waiting})

    assert answer.status_code == 200, answer.text
    assert _read(before).PatientName == "Planted^Identity"
    (after,) = _files(admin, answer.text.strip())
    assert _read(after).PatientName == "S1"


def test_site_script_applies_at_receipt(own_admin: Api) -> None:
    """The site's script rewrites also what waits, and labels are those the headers gave before."""
    own_admin.made("/data/projects/P1", xsiType="xnat:projectData")
    assert own_admin.put("/xapi/anonymize/site", data=SCRIPT).status_code == 200
    assert own_admin.put("/xapi/anonymize/site/enabled", data="true").status_code == 200

    waiting = _send(own_admin, zipped(image()), dest="/prearchive/projects/P1").text.strip()

    (row,) = own_admin.rows(waiting)
    assert (row["subject"], row["name"]) == ("Planted_Identity", "PLANTED-ID")
    (name,) = (r["Name"] for r in own_admin.rows(f"{waiting}/scans/1/resources/DICOM/files"))
    content = own_admin.get(f"{waiting}/scans/1/resources/DICOM/files/{name}").content
    assert _read(content).PatientName == "Planted_Identity"
    assert _read(content).PatientID == "PLANTED-ID"


def test_default_script_is_understood_and_off(own_admin: Api) -> None:
    """The shipped script applies to nothing at first, and can be switched on."""
    own_admin.made("/data/projects/P1", xsiType="xnat:projectData")
    default = own_admin.get("/xapi/anonymize/default").text

    assert own_admin.get("/xapi/anonymize/site").text == default
    assert own_admin.get("/xapi/anonymize/site/enabled").json() is False
    assert own_admin.put("/xapi/anonymize/site", data=default).status_code == 200
    assert own_admin.put("/xapi/anonymize/site/enabled", data="true").status_code == 200
    (content,) = _files(own_admin, _archived(own_admin, "P1", zipped(image())))
    assert (_read(content).PatientName, _read(content).StudyDescription) == ("S1", "P1")


def test_rejecting_everything_archives_nothing(admin: Any, project: str) -> None:
    """A session whose files are all rejected is not archived; others lose the rejected files."""
    script = '(0008,103E) = "localizer" ? reject'
    admin.put(f"/xapi/anonymize/projects/{project}", data=script)
    localizer = image(SeriesNumber=2, SeriesDescription="localizer")
    dest = f"/archive/projects/{project}/subjects/S1/experiments/E1"

    refused = _send(admin, zipped(localizer), dest=dest)
    accepted = _archived(admin, project, zipped(localizer, image()))

    assert (refused.status_code, refused.text) == (400, "Empty sessions cannot be archived.")
    assert [scan["ID"] for scan in admin.rows(f"{accepted}/scans")] == ["1"]


def test_appending_keeps_the_subject_of_the_session(admin: Any, project: str) -> None:
    """Data appended to a session by its label join it, whatever their headers call the subject."""
    admin.put(f"/xapi/anonymize/projects/{project}", data=SCRIPT)
    session = _archived(admin, project)

    answer = _send(
        admin,
        zipped(image(SeriesNumber=2)),
        project=project,
        session="E1",
        overwrite="append",
        prearchive_code="1",
    )

    assert (answer.status_code, answer.text.strip()) == (200, session)


def test_switched_off_script_changes_nothing(admin: Any, project: str) -> None:
    """A script that is switched off is kept and does not apply."""
    base = f"/xapi/anonymize/projects/{project}"
    admin.put(base, data=SCRIPT)
    assert admin.get(f"{base}/enabled").json() is True

    assert admin.put(f"{base}/enabled", data="false").status_code == 200

    assert admin.get(base).text == SCRIPT
    assert _read(_files(admin, _archived(admin, project))[0]).PatientName == "Planted^Identity"


def test_rights_on_scripts(admin: Any, project: str, make_user: Any, guest: Any) -> None:
    """Readers read a project's script, owners change it, administrators the site's."""
    owner, member, stranger = (
        make_user(**{project: "Owners"}), make_user(**{project: "Members"}), make_user()
    )  # fmt: skip
    base = f"/xapi/anonymize/projects/{project}"

    assert owner.get(base).status_code == 204
    assert [u.put(base, data=SCRIPT).status_code for u in (stranger, member, owner)] == [
        403, 403, 200,
    ]  # fmt: skip
    assert [u.get(base).status_code for u in (stranger, member, owner)] == [403, 200, 200]
    assert [u.put(f"{base}/enabled", data="true").status_code for u in (member, owner)] == [
        403,
        200,
    ]
    assert [u.put("/xapi/anonymize/site", data=SCRIPT).status_code for u in (owner, guest)] == [
        403, 401,
    ]  # fmt: skip
    assert owner.get("/xapi/anonymize/default").status_code == 200
    assert admin.get("/xapi/anonymize/projects/NO_SUCH").status_code == 404


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"  \n", "empty"),
        (b"-(0010,0010)\n(0010,0020) := hashUID[(0010,0020)]", "Line 2"),
        (b"project = project ? " * 3000, "Line 1"),
        (b'(0010,0010) := "\0"', "Line 1"),
    ],
)
def test_refused_scripts(admin: Any, project: str, body: bytes, words: str) -> None:
    """A script that is not understood whole is refused with 400, which names the line."""
    answer = admin.put(f"/xapi/anonymize/projects/{project}", data=body)

    assert answer.status_code == 400
    assert words in answer.text
    assert admin.get(f"/xapi/anonymize/projects/{project}").status_code == 204


@pytest.mark.parametrize("body", ["", "yes", "1", "{}", "null"])
def test_refused_switches(admin: Any, project: str, body: str) -> None:
    """A switch is true or false."""
    base = f"/xapi/anonymize/projects/{project}"

    assert admin.put(f"{base}/enabled", data=body).status_code == 400
    assert admin.put(f"{base}/enabled", data="true").status_code == 400  # there is no script
