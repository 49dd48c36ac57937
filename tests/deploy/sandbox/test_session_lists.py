"""Addresses that name several sessions, ``experiments/E1,E2/...``, as XNAT's own source reads them.

They are for reading resources and files: those that are not there or may not be read are left out.
"""

from __future__ import annotations

import io
import zipfile
from typing import Any

import pytest

from tests.deploy.sandbox.conftest import Api, Study


@pytest.fixture
def two(admin: Api, study: Study) -> tuple[str, str]:
    """Return the IDs of two sessions, each with a file in its scan and one of its own."""
    path = f"{study.path}/subjects/S1/experiments/E2"
    second = admin.made(path, xsiType="xnat:mrSessionData")
    admin.made(f"{path}/scans/1", xsiType="xnat:mrScanData", type="T1w")
    for label in ("E1", "E2"):
        base = f"{study.path}/subjects/S1/experiments/{label}"
        admin.put(f"{base}/scans/1/resources/NIFTI/files/{label}.nii", data=label.encode())
        admin.put(f"{base}/resources/NOTES/files/{label}.txt", data=label.encode())
    return study.session_id, second


def _names(api: Api, path: str) -> list[str]:
    return [row["Name"] for row in api.rows(path)]


def test_files_of_several_sessions_are_one_table(
    admin: Api, study: Study, two: tuple[str, str]
) -> None:
    """By IDs, by labels of a project, and below a subject; in the order of the list."""
    first, second = two

    assert _names(admin, f"/data/experiments/{first},{second}/scans/ALL/files") == [
        "E1.nii", "E2.nii",
    ]  # fmt: skip
    assert _names(admin, f"{study.path}/experiments/E2,E1/resources/NOTES/files") == [
        "E2.txt", "E1.txt",
    ]  # fmt: skip
    assert _names(admin, f"{study.path}/subjects/S1/experiments/E1,E2/scans/T1w/files") == [
        "E1.nii", "E2.nii",
    ]  # fmt: skip


def test_addresses_in_the_table_lead_to_the_files(
    admin: Api, study: Study, two: tuple[str, str]
) -> None:
    """Each row's address is that of one session's file."""
    for path in (
        f"/data/experiments/{','.join(two)}/files",
        f"{study.path}/subjects/S1/experiments/E1,E2/scans/1/files",
    ):
        contents = [admin.get(row["URI"]).text for row in admin.rows(path)]
        assert contents == ["E1", "E2"], path


def test_several_sessions_are_one_archive(admin: Api, two: tuple[str, str]) -> None:
    """Each session has its folder in it; a session that is named twice is there once."""
    first, second = two

    answer = admin.get(f"/data/experiments/{first},{second},{first}/scans/ALL/files?format=zip")

    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == [
            "E1/scans/1-T1w/resources/NIFTI/files/E1.nii",
            "E2/scans/1-T1w/resources/NIFTI/files/E2.nii",
        ]


def test_resources_of_several_sessions_are_one_table(admin: Api, two: tuple[str, str]) -> None:
    """With ``all`` those of their scans too."""
    path = f"/data/experiments/{','.join(two)}/resources"

    assert [row["label"] for row in admin.rows(path)] == ["NOTES", "NOTES"]
    assert [row["label"] for row in admin.rows(f"{path}?all=true")] == ["NOTES", "NIFTI"] * 2


def test_sessions_that_may_not_be_read_are_left_out(
    admin: Api, make_user: Any, make_project: Any, study: Study, two: tuple[str, str]
) -> None:
    """Hidden ones and ones that are not there are told alike; of none, nothing is answered."""
    admin.put(f"{study.path}/accessibility/private")
    other = make_project()
    admin.put(f"/data/experiments/{two[1]}/projects/{other}")
    reader = make_user(**{other: "collaborator"})
    part = "scans/ALL/files"

    assert _names(reader, f"/data/experiments/{two[0]},{two[1]},NONE/{part}") == ["E2.nii"]
    assert reader.get(f"/data/experiments/{two[0]},NONE/{part}").status_code == 404
    assert reader.get(f"/data/experiments/NONE,NONE2/{part}").status_code == 404
    assert reader.get(f"/data/experiments/,/{part}").status_code == 404
    assert reader.get(f"{study.path}/experiments/E1,E2/{part}").status_code == 404


@pytest.mark.parametrize(
    ("method", "rest"),
    [
        ("PUT", "/resources/R/files/a"),
        ("PUT", "/resources/R"),
        ("DELETE", "/resources/NOTES"),
        ("DELETE", "/resources/NOTES/files/E1.txt"),
        ("DELETE", "?removeFiles=true"),
        ("GET", "?format=json"),
    ],
)
def test_lists_are_for_reading_files_only(
    admin: Api, two: tuple[str, str], method: str, rest: str
) -> None:
    """Nothing is written through them, and no single object is answered."""
    answer = admin.request(method, f"/data/experiments/{','.join(two)}{rest}", data=b"x")

    assert answer.status_code == 404, answer.text
    assert len(admin.rows(f"/data/experiments/{','.join(two)}/files")) == 2
