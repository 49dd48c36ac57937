"""Which strings of a study count as secret: its records, headers, paths, and a list."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.demo_session import PLANTED, write_demo_session
from xnat_client.errors import BadInputError
from xnat_client.release.secret_strings import (
    from_headers,
    from_item,
    from_known_file,
    from_upload_path,
    read_own_file,
    write_known_file,
)
from xnat_client.release.spellings import Secret, SecretKind


def item(kind: str, **fields: str) -> dict[str, object]:
    """Return a record as XNAT's JSON has it."""
    named = {key.replace("__", "/"): value for key, value in fields.items()}
    return {"data_fields": named, "meta": {"xsi:type": kind}, "children": []}


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (item("xnat:subjectData", label="W3T-041"), "W3T-041"),
        (item("xnat:subjectData_field", name="booking", field="B-20117"), "B-20117"),
        (item("xnat:mrSessionData", dcmPatientName="Quixotte^Zebulon"), "Quixotte^Zebulon"),
        (item("xnat:mrSessionData", date="2017-08-13"), "2017-08-13"),
        (item("xnat:mrSessionData", note="seen with Dr Oz, bed 77b"), "77b"),
        (item("xnat:mrScanData", operator="jqx"), "jqx"),
        (item("xnat:projectData", description="Booking 4711-XY"), "4711-XY"),
        (item("xnat:demographicData", dob="1964-02-29"), "1964-02-29"),
        (item("xnat:resourceCatalog", label="SMITH_JOHN"), "SMITH_JOHN"),
        (item("my:unknownData", something__else="unheard-of-19"), "unheard-of-19"),
    ],
)
def test_of_a_record_this_is_secret(record: dict[str, object], text: str) -> None:
    assert text in {each.text for each in from_item(record)}


@pytest.mark.parametrize(
    "record",
    [
        item("xnat:mrScanData", series_description="t1_mprage", frames="112"),
        item("xnat:demographicData", gender="female", handedness="right"),
        item("xnat:mrSessionData", modality="MR", fieldStrength="3.0"),
        item("xnat:resourceCatalog", label="DICOM", URI="/archive/x.xml", file_count="3"),
        item("xnat:projectData", name="Memory study", description="About memory."),
    ],
)
def test_of_a_record_this_is_not_secret(record: dict[str, object]) -> None:
    assert list(from_item(record)) == []


def test_records_within_records_are_read() -> None:
    inner = item("xnat:demographicData", dob="1964-02-29")
    outer = item("xnat:subjectData")
    outer["children"] = [{"field": "demographics", "items": [inner]}]

    assert Secret(SecretKind.DATE, "1964-02-29") in set(from_item(outer))


def test_headers_give_every_name_number_and_day_that_was_planted(tmp_path: Path) -> None:
    folder = write_demo_session(tmp_path).folder
    path = next(path for path in sorted(folder.rglob("*")) if path.is_file())

    found = {each.text for each in from_headers(path)}

    names = ("PatientName", "PatientID", "PatientBirthDate", "OtherPatientIDs", "AccessionNumber",
             "OperatorsName", "StationName", "DeviceSerialNumber", "StudyDate")  # fmt: skip
    # OtherPatientIDs is in the list by its element (0010,1000); the rest by kind or list.
    assert {PLANTED[name] for name in names} <= found


def test_what_is_no_dicom_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"no DICOM at all")

    assert from_headers(tmp_path / "x") == set()


@pytest.mark.parametrize(
    ("path", "texts"),
    [
        ("Smith_20170813/scan1.dcm", {"20170813"}),
        ("W3T041_rest.edf", {"W3T041"}),
        ("sub-01_ses-02_task-nback2_acq-mb8sms_bold.nii.gz", {"sub-01"}),
        ("1.2.840.113619.2.5-3-17-1abcde.dcm", set()),
        ("IM0001.dcm", {"IM0001"}),
        ("T1w.nii.gz", set()),
    ],
)
def test_of_an_upload_path_these_words_tell(path: str, texts: set[str]) -> None:
    assert {each.text for each in from_upload_path(path)} == texts


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "kind,text\nname,Quixotte^Zebulon\nid,W3T-041\n"),
        ("b.csv", "participant_name,code\nQuixotte^Zebulon,W3T-041\n"),
        ("c.tsv", "name\tid\nQuixotte^Zebulon\tW3T-041\n"),
        ("d.txt", "name: Quixotte^Zebulon\nW3T-041\n"),
        ("e.json", ('{"strings": [{"kind": "name", "text": "Quixotte^Zebulon"},'
                   '{"kind": "id", "text": "W3T-041"}]}')),
        ("f.json", '{"name": ["Quixotte^Zebulon"], "id": ["W3T-041"]}'),
    ],
)  # fmt: skip
def test_a_list_is_read_in_the_form(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)

    assert from_known_file(tmp_path / name) == {
        Secret(SecretKind.NAME, "Quixotte^Zebulon"),
        Secret(SecretKind.ID, "W3T-041"),
    }


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\xff", b"\n\n"])
def test_a_list_that_holds_nothing_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_bytes(content)

    with pytest.raises(BadInputError):
        from_known_file(tmp_path / "known.txt")


def test_the_own_file_is_for_its_owner_only_and_reads_as_written(tmp_path: Path) -> None:
    path = tmp_path / "known.json"
    secrets = {Secret(SecretKind.DATE, "2017-08-13"), Secret(SecretKind.TEXT, "é 7")}

    write_known_file(path, secrets)

    assert path.stat().st_mode & 0o077 == 0
    assert read_own_file(path) == secrets
    assert set(json.loads(path.read_text())) == {"strings"}
