"""What xnatpy's own functional tests expect to find: a server, filled as theirs is.

A pytest plugin for a run of those tests in a process of their own (see
``tests/deploy/sandbox/test_client_suites.py``). The names, labels and numbers are theirs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import xnat

from deploy.pytest_plugin import XnatSandbox

RESOURCES_VARIABLE = "XNATPY_SUITE_RESOURCES"
_DEMOGRAPHICS = "xnat:subjectData/demographics[@xsi:type=xnat:demographicData]"
_SCANS = {"2": "t1_mprage_sag_p2_iso_1", "6": "gre_field_mapping 3mm"}
_DIFFUSION = {"13": "R-L MRtrix 60 directions interleaved B0 ep2d_diff_p2"}
# In the order of their numbers.
_TRAINING = (
    ("CONT01", "CONT01_MR01"),
    ("CONT02", "CONT02_MR01"),
    ("CONT01", "CONT01_MR02"),
    ("CONT02", "CONT02_MR02"),
    ("TEST01", "TEST01_MR01"),
    ("TEST01", "TEST01_MR02"),
    ("TEST02", "TEST02_MR01"),
    ("TEST02", "TEST02_MR02"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Announce the markers of their tests."""
    for name in ("docker_test", "functional_test", "server_test"):
        config.addinivalue_line("markers", f"{name}: xnatpy's own")


@pytest.fixture(scope="session")
def test_resource_dir() -> Path:
    """Return the folder of DICOM files beside their tests."""
    return Path(os.environ[RESOURCES_VARIABLE])


@pytest.fixture(scope="session")
def xnat4tests_connection(xnat_sandbox_session: XnatSandbox) -> Iterator[xnat.XNATSession]:
    """Connect to a server that holds their two projects."""
    with xnat.connect(
        xnat_sandbox_session.url,
        user=xnat_sandbox_session.admin_user,
        password=xnat_sandbox_session.admin_password,
    ) as connection:
        connection.post("/xapi/siteConfig", json={"siteId": "Xnat4Tests"})
        for project in ("dummydicomproject", "TRAINING"):
            connection.put(f"/data/projects/{project}", query={"name": project})
        _fill(connection, "dummydicomproject", "dummydicomsubject", "dummydicomsession")
        for subject, session in _TRAINING:
            _fill(connection, "TRAINING", subject, session)
        connection.clearcache()
        yield connection


@pytest.fixture(scope="session")
def test_server_project(
    xnat4tests_connection: xnat.XNATSession, test_resource_dir: Path
) -> xnat.core.XNATObject:
    """Return the project with the session and the subject that they keep on a server of theirs."""
    connection = xnat4tests_connection
    connection.put("/data/projects/xnatpy_test_data", query={"name": "XNAPY_TEST_DATA"})
    connection.services.import_(test_resource_dir / "ANONYMIZ.zip", project="xnatpy_test_data")
    connection.put(
        "/data/projects/xnatpy_test_data/subjects/ANONYMIZ",
        query={
            "dob": "2026-03-14",
            "gender": "male",
            "handedness": "left",
            "race": "Driver",
            "education": "5",
            f"{_DEMOGRAPHICS}/height": "190",
            f"{_DEMOGRAPHICS}/height/units": "cm",
            f"{_DEMOGRAPHICS}/weight": "100",
            f"{_DEMOGRAPHICS}/weight/units": "kg",
        },
    )
    connection.clearcache()
    return connection.projects["xnatpy_test_data"]


def _fill(connection: xnat.XNATSession, project: str, subject: str, session: str) -> None:
    is_dummy = project != "TRAINING"
    subject_uri = f"/data/projects/{project}/subjects/{subject}"
    connection.put(subject_uri, accepted_status=[200, 201])
    uri = f"{subject_uri}/experiments/{session}"
    connection.put(uri, query={"xsiType": "xnat:mrSessionData"}, accepted_status=[200, 201])
    for number, kind in {**_SCANS, **(_DIFFUSION if is_dummy else {})}.items():
        query = {"xsiType": "xnat:mrScanData", "xnat:mrScanData/type": kind}
        connection.put(f"{uri}/scans/{number}", query=query)
        connection.put(f"{uri}/scans/{number}/resources/DICOM", query={"format": "DICOM"})
    if is_dummy:
        connection.put(f"{uri}/resources/NOTES")
