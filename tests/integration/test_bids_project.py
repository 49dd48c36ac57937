"""A project's way to BIDS on the sandbox: its map, its subscription, its dataset."""

from __future__ import annotations

import io
import json
import time
import zipfile
from typing import Any

import pytest

from commands import catalog
from commands.service_json import command_to_json
from deploy.demo_session import DemoSession, write_demo_session
from tests.builders.container_lab import PATIENCE_S, Lab, Person

MAP = {
    "version": 2,
    "subject_label": {"labels": {"S-1": "S1b"}},
    "mappings": [
        {
            "match": {"SeriesDescription": "SERIES"},
            "data_type": "anat",
            "suffix": "T1w",
            "entities": {"acq": "mapped"},
        },
        {"match": {"SeriesDescription": {"pattern": ".*"}}, "exclude": "Only the T1w is wanted."},
    ],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DemoSession:
    """The made session, written once."""
    return write_demo_session(tmp_path_factory.mktemp("session"))


@pytest.fixture
def lab(sandbox: Any) -> Lab:
    return Lab(sandbox.url, sandbox.admin_password)


def packed(made: DemoSession, *series: str) -> bytes:
    """Return the files of the series whose folders hold one of these words, as an archive."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in made.files:
            name = path.relative_to(made.folder).as_posix()
            if any(word in name.lower() for word in series):
                archive.write(path, name)
    return stream.getvalue()


def archive(lab: Lab, who: Person, content: bytes, subject: str, session: str) -> str:
    """Send a session to the archive as a scanner's gateway would; return its ID."""
    place = f"/archive/projects/{lab.project}/subjects/{subject}/experiments/{session}"
    answer = who.http.post(
        f"{lab.url}/data/services/import",
        params={"dest": place},
        data=content,
        headers={"Content-Type": "application/zip"},
    )
    assert answer.status_code == 200, answer.text
    rows = who.http.get(
        f"{lab.url}/data/projects/{lab.project}/experiments",
        params={"format": "json", "columns": "ID,label"},
    ).json()["ResultSet"]["Result"]
    return next(str(row["ID"]) for row in rows if row["label"] == session)


def command(lab: Lab, name: str) -> int:
    """Register a command of the catalogue once; enable it in the project; return the wrapper."""
    document = command_to_json(catalog.find(name), creation=True)
    known = lab.admin.http.get(f"{lab.url}/xapi/commands", params={"name": name}).json()
    if not known:
        return lab.command(document)
    wrapper = int(known[0]["xnat"][0]["id"])
    lab.put(f"/xapi/wrappers/{wrapper}/enabled")
    lab.put(f"/xapi/projects/{lab.project}/wrappers/{wrapper}/enabled")
    return wrapper


def names(lab: Lab, owner: str, resource: str = "BIDS") -> list[str]:
    """Return the paths of a resource's files; none where there is no such resource."""
    answer = lab.admin.http.get(f"{lab.url}{owner}/resources/{resource}/files?format=json")
    if answer.status_code == 404:
        return []
    rows = answer.json()["ResultSet"]["Result"]
    return sorted(row["URI"].partition("/files/")[2] for row in rows)


def images(paths: list[str]) -> list[str]:
    return [path for path in paths if path.endswith(".nii.gz")]


def series_description(made: DemoSession, word: str) -> str:
    import pydicom  # noqa: PLC0415 - one header of the made session

    path = next(path for path in made.files if word in path.as_posix().lower())
    return str(pydicom.dcmread(path, stop_before_pixels=True).SeriesDescription)


def test_the_projects_map_names_the_series(lab: Lab, made: DemoSession):
    """A map in the project's resource steers a launch; without one the launch works, too."""
    member = lab.person("member")
    wrapper = command(lab, "dicom-to-bids")
    session = archive(lab, member, packed(made, "t1", "tfl", "mprage", "loc"), "S-1", "S-1_MR1")
    root = f"/archive/experiments/{session}"

    status, details = lab.end(member, lab.launch(member, wrapper, root, name="session"))
    assert status == "Complete", details
    (plain,) = images(names(lab, f"/data/experiments/{session}"))
    report = json.loads(lab.read(f"/data/experiments/{session}", "BIDS_REPORT/report.json") or b"")
    assert report["parameters"]["map"] is None

    text = json.dumps(MAP).replace("SERIES", series_description(made, "t1"))
    lab.file(f"/data/projects/{lab.project}", "BIDS_bidsmap/bidsmap.json", text.encode())
    status, details = lab.end(member, lab.launch(member, wrapper, root, name="session"))
    assert status == "Complete", details
    both = images(names(lab, f"/data/experiments/{session}"))
    report = json.loads(lab.read(f"/data/experiments/{session}", "BIDS_REPORT/report.json") or b"")

    assert plain.startswith("sub-S1/")
    assert "acq-mapped" not in plain
    assert "sub-S1b/ses-S1MR1/anat/sub-S1b_ses-S1MR1_acq-mapped_T1w.nii.gz" in both
    assert report["parameters"]["map"] == "bidsmap.json"


def test_a_broken_map_fails_the_launch_with_its_lines(lab: Lab, made: DemoSession):
    """Nothing is converted as if there were no map; the log says which line to mend."""
    member = lab.person("member")
    wrapper = command(lab, "dicom-to-bids")
    session = archive(lab, member, packed(made, "t1", "tfl", "mprage"), "S2", "S2_MR1")
    lab.file(f"/data/projects/{lab.project}", "BIDS_bidsmap/bidsmap.json", b'[\n{"pattern": "("}]')

    number = lab.launch(member, wrapper, f"/archive/experiments/{session}", name="session")
    status, _ = lab.end(member, number)

    assert status.startswith("Failed")
    assert "bidsmap.json line 2" in lab.log(member, number, "stderr")
    assert names(lab, f"/data/experiments/{session}") == []


def test_each_newly_archived_session_is_converted(lab: Lab, made: DemoSession):
    """A project owner's subscription converts what arrives, whoever sends it."""
    owner, uploader = lab.person("owner"), lab.person("member")
    wrapper = command(lab, "dicom-to-bids")
    answer = owner.http.post(
        f"{lab.url}/xapi/projects/{lab.project}/events/subscription",
        json={
            "name": f"BIDS of new sessions in {lab.project}",
            "active": True,
            "act-as-event-user": False,
            "event-filter": {
                "event-type": "org.nrg.xnat.eventservice.events.SessionEvent",
                "status": "CREATED",
                "project-ids": [lab.project],
                "payload-filter": "(@.xsiType == 'xnat:mrSessionData')",
            },
            "action-key": f"org.nrg.containers.services.CommandActionProvider:{wrapper}",
            "attributes": {},
        },
    )
    assert answer.status_code == 201, answer.text

    session = archive(lab, uploader, packed(made, "t1", "tfl", "mprage"), "S3", "S3_MR1")

    give_up = time.monotonic() + PATIENCE_S
    found: list[str] = []
    while not found and time.monotonic() < give_up:
        found = images(names(lab, f"/data/experiments/{session}"))
        time.sleep(0.2)
    assert [path.partition("/")[0] for path in found] == ["sub-S3"]


def test_a_projects_sessions_become_one_dataset(lab: Lab, made: DemoSession):
    """Launched on the project: both sessions in one dataset, kept with the project."""
    owner = lab.person("owner")
    convert, assemble = command(lab, "dicom-to-bids"), command(lab, "bids-assemble")
    content = packed(made, "t1", "tfl", "mprage")
    for subject in ("S4", "S5"):
        session = archive(lab, owner, content, subject, f"{subject}_MR1")
        number = lab.launch(owner, convert, f"/archive/experiments/{session}", name="session")
        assert lab.end(owner, number)[0] == "Complete"

    number = lab.launch(owner, assemble, f"/archive/projects/{lab.project}", name="project")

    assert lab.end(owner, number)[0] == "Complete", lab.log(owner, number, "stderr")
    project = f"/data/projects/{lab.project}"
    table = lab.read(project, "BIDS/participants.tsv") or b""
    assert [line.split(b"\t")[0] for line in table.splitlines()] == [
        *(b"participant_id", b"sub-S4", b"sub-S5")
    ]
    description = json.loads(lab.read(project, "BIDS/dataset_description.json") or b"")
    assert description["Name"] == lab.project
    report = json.loads(lab.read(project, "BIDS_REPORT/report.json") or b"")
    assert report["facts"]["validator_errors"] == 0


def test_two_subjects_of_one_label_fail_the_assembly(lab: Lab, made: DemoSession):
    """S-6 and S_6 would both be sub-S6: the project gets no dataset, and a reason."""
    owner = lab.person("owner")
    convert, assemble = command(lab, "dicom-to-bids"), command(lab, "bids-assemble")
    content = packed(made, "t1", "tfl", "mprage")
    for subject in ("S-6", "S_6"):
        session = archive(lab, owner, content, subject, f"{subject}_MR1")
        number = lab.launch(owner, convert, f"/archive/experiments/{session}", name="session")
        assert lab.end(owner, number)[0] == "Complete"

    number = lab.launch(owner, assemble, f"/archive/projects/{lab.project}", name="project")

    assert lab.end(owner, number)[0].startswith("Failed")
    assert "sub-S6 stands for 2 subjects" in lab.log(owner, number, "stderr")
    assert names(lab, f"/data/projects/{lab.project}") == []
