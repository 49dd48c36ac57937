"""The comparison after an upload fails whenever the server does not hold exactly what was sent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from xnat_client.errors import RefusedError
from xnat_client.resources import RemoteFile
from xnat_client.sessions import Session
from xnat_client.transport import Transport
from xnat_client.upload.dicom_file import DicomFile
from xnat_client.upload.scan import choose_study, scan_folder
from xnat_client.upload.verify import compare, verify_session

from .conftest import Reply, ScriptedServer

SESSION = Session("X_E1", "E1", "P", "S", "xnat:mrSessionData")
FILES_PATH = "/data/experiments/X_E1/scans/ALL/files"


@pytest.fixture
def sent(dicom_folder: Path) -> tuple[DicomFile, ...]:
    return choose_study(scan_folder(dicom_folder)).files


def _held(sent: tuple[DicomFile, ...]) -> list[RemoteFile]:
    return [
        RemoteFile(f"{n}.dcm", f"/data/x/{n}.dcm", one.size_bytes, one.md5, "DICOM")
        for n, one in enumerate(sent)
    ]


def test_same_files_under_other_names_are_proved(sent: tuple[DicomFile, ...]) -> None:
    """All five files count as compared, whatever the server calls them."""
    assert compare("E1", sent, _held(sent)[::-1], was_new=True) == 5


@pytest.mark.parametrize("mutation", ["missing", "digest", "size", "extra", "none", "replaced"])
def test_every_difference_is_found(sent: tuple[DicomFile, ...], mutation: str) -> None:
    """A missing, changed, additional or swapped file, or an empty list, is never accepted."""
    held = _held(sent)
    if mutation == "missing":
        held.pop()
    elif mutation == "digest":
        held[0] = replace(held[0], md5="0" * 32)
    elif mutation == "size":
        held[0] = replace(held[0], size_bytes=held[0].size_bytes + 1)
    elif mutation == "extra":
        held.append(replace(held[0], md5="1" * 32))
    elif mutation == "replaced":
        held[0] = held[1]
    else:
        held = []

    with pytest.raises(RefusedError, match="Do not rely on it"):
        compare("E1", sent, held, was_new=True)


def test_nothing_sent_is_nothing_proved(sent: tuple[DicomFile, ...]) -> None:
    """A comparison of nothing is a failure."""
    with pytest.raises(RefusedError, match="nothing to compare"):
        compare("E1", (), _held(sent), was_new=False)


def test_files_that_were_there_before_do_not_disturb(sent: tuple[DicomFile, ...]) -> None:
    """After adding to a session its older files are no difference."""
    assert compare("E1", sent[:2], _held(sent), was_new=False) == 2


def test_without_checksums_the_files_are_read_back(
    scripted: ScriptedServer, transport: Transport, sent: tuple[DicomFile, ...]
) -> None:
    """Where the server keeps no digests, its bytes decide; one flipped byte is found."""
    rows = []
    for number, file in enumerate(sent):
        uri = f"/data/experiments/X_E1/scans/3/resources/1/files/{number}.dcm"
        rows.append({"Name": "n", "Size": str(file.size_bytes), "URI": uri, "collection": "DICOM"})
        scripted.answer("GET", uri, Reply(body=file.path.read_bytes()))
    rows.append({"Name": "s.gif", "Size": "9", "URI": "/data/x/files/s", "collection": "SNAPSHOTS"})
    scripted.answer("GET", FILES_PATH, Reply.table(*rows))

    assert verify_session(transport, SESSION, sent, was_new=True) == 5

    flipped = bytearray(sent[0].path.read_bytes())
    flipped[-1] ^= 1
    scripted.answer("GET", rows[0]["URI"], Reply(body=bytes(flipped)))
    with pytest.raises(RefusedError, match="1 differ"):
        verify_session(transport, SESSION, sent, was_new=True)


def test_session_without_files_is_not_proved(
    scripted: ScriptedServer, transport: Transport, sent: tuple[DicomFile, ...]
) -> None:
    """XNAT answers 404 for the files of a session that has none."""
    scripted.answer("GET", FILES_PATH, Reply(404))

    with pytest.raises(RefusedError, match="0 listed by the server"):
        verify_session(transport, SESSION, sent, was_new=True)
