"""Single rules of the identity check, each against values worked out by hand or published."""

from __future__ import annotations

import hashlib
import json
import os
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from containers.check_identity import (
    CheckSettings,
    KnownKind,
    KnownString,
    KnownStrings,
    Status,
    check_tree,
)
from containers.check_identity.criteria import Severity, all_criteria
from containers.check_identity.criteria_page import PAGE_PATH, main, page_text
from containers.check_identity.patterns import Look, is_nhs_number, looks_in
from containers.check_identity.result import CheckResult
from containers.check_identity.tables import actions
from containers.contract import BadInputError
from containers.run_cli import run
from tests.builders.identity_files import (
    clean_dicom,
    dicom_bytes,
    gzip_bytes,
    nifti_bytes,
    write_clean_tree,
)

ROOT = Path(__file__).resolve().parents[3]
KNOWN = KnownStrings.of([KnownString(KnownKind.NAME, "Zqxpcjlv^Wumbo")])


def check(folder: Path, **files: bytes) -> CheckResult:
    """Check a folder with these files; a double underscore stands for the dot."""
    for name, data in files.items():
        (folder / name.replace("__", ".")).write_bytes(data)
    return check_tree(folder, KNOWN)


def check_dicom(folder: Path, **values: object) -> CheckResult:
    """Check an MR image, clean but for these attributes."""
    made = clean_dicom()
    for name, value in values.items():
        setattr(made, name, value)
    return check(folder, x__dcm=dicom_bytes(made))


@pytest.mark.parametrize(
    ("text", "look"),
    [
        ("on 14/02/1953 he", Look.DATE),
        ("19530214", Look.DATE),
        ("1953-02-14T10:00", Look.DATE),
        ("14 Feb 1953", Look.DATE),
        ("February 14, 1953", Look.DATE),
        ("write to some.one@place.ac.uk", Look.EMAIL),
        ("/home/someone/data", Look.HOME),
        ("C:\\Users\\someone\\x", Look.HOME),
        ("host 192.168.12.7", Look.IP),
        ("ring 01865 222222", Look.PHONE),
        ("ring +44 1865 222222", Look.PHONE),
        # The example of the NHS Data Model and Dictionary.
        ("no 943 476 5919", Look.NHS),
        ("1.3.12.2.1107.5.2.43.66012.2020010112345678", Look.VENDOR_UID),
        ("1.2.840.113619.2.408.5282380.5220731.2321.1516669014.474", Look.VENDOR_UID),
    ],
)
def test_text_looks_like_an_identity(text: str, look: Look) -> None:
    """Each of these is seen for what it is."""
    assert look in {each.look for each in looks_in(text)}


@pytest.mark.parametrize(
    "text",
    [
        "dcm2niix v1.0.20240202", "1.2.840.10008.5.1.4.1.1.4", "2.25.19530214195302141953021419530",
        "99999999", "20251399", "0.19530214", "943 476 5918", "tfl3d1_16ns", "syngo MR E11",
        "27\\LX\\MR Software release:DV26.0_R03_1831.b", "1.2.840.113619.6.283", "12:30:45",
        "version 6.0.5.1", "https://doi.org/10.18112/openneuro.ds000031", "3.14159265", "MAY",
    ],
)  # fmt: skip
def test_harmless_text_looks_like_nothing(text: str) -> None:
    """Versions, standard UIDs, numbers and links to papers raise no alarm."""
    assert list(looks_in(text)) == []


@pytest.mark.parametrize(
    ("digits", "is_valid"),
    [("9434765919", True), ("4010232137", True), ("9434765918", False), ("1111111111", False)],
)
def test_nhs_check_digit(digits: str, *, is_valid: bool) -> None:
    """Published examples are valid; one digit off they are not."""
    assert is_nhs_number(digits) is is_valid


@pytest.mark.parametrize(
    ("values", "criterion"),
    [
        ({"PatientIdentityRemoved": "NO"}, 6),
        ({"InstitutionName": "A place"}, 18),
        ({"DeviceSerialNumber": "66012"}, 18),
        ({"PatientAge": "095Y"}, 12),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, 20),
        ({"BurnedInAnnotation": "YES"}, 21),
        ({"StudyDate": "20200102"}, 9),
        ({"StudyInstanceUID": "1.3.12.2.1107.5.2.43.66012.2020010112345678"}, 15),
        ({"EthnicGroup": "some"}, 32),
        ({"PatientComments": "a word"}, 7),
        ({"ReferringPhysicianName": "Some^One"}, 8),
        ({"OverlayData": None}, 0),
    ],
)
def test_dicom_value_breaks_its_criterion(
    values: dict[str, object], criterion: int, tmp_path: Path
) -> None:
    """One wrong value in a clean file fails the criterion that names it."""
    if not criterion:
        values, criterion = {}, 22
        made = clean_dicom()
        made.add_new(0x60003000, "OW", b"\0\1")
        result = check(tmp_path, x__dcm=dicom_bytes(made))
    else:
        result = check_dicom(tmp_path, **values)

    assert result.outcome(criterion).status is Status.FAIL


def test_signature_and_original_attributes_are_refused(tmp_path: Path) -> None:
    """Criterion 25 holds for what keeps the old values."""
    item = Dataset()
    item.SourceOfPreviousValues = "x"

    result = check_dicom(tmp_path, OriginalAttributesSequence=Sequence([item]))

    assert result.outcome(25).status is Status.FAIL


def test_undeclared_character_set_is_refused(tmp_path: Path) -> None:
    """Without (0008,0005) only ASCII can be decoded (PS3.5 section 6.1.2.1)."""
    data = dicom_bytes(clean_dicom()).replace(b"SIEMENS ", b"SI\xe9MENS ", 1)

    assert check(tmp_path, x__dcm=data).outcome(24).status is Status.FAIL


def test_table_with_known_strings_of_two_kinds_is_a_key_table(tmp_path: Path) -> None:
    """Names beside numbers are the key table, whatever its columns are called."""
    known = KnownStrings.of(
        [KnownString(KnownKind.NAME, "Zqxpcjlv"), KnownString(KnownKind.ID, "W3T-20201")]
    )
    (tmp_path / "x.tsv").write_text("a\tb\nzqxpcjlv\tW3T-20201\n")

    assert check_tree(tmp_path, known).outcome(4).status is Status.FAIL


def test_overlong_uid_is_refused(tmp_path: Path) -> None:
    """PS3.5 section 9.1: a UID has 64 characters at most."""
    data = dicom_bytes(clean_dicom())
    uid = str(clean_dicom().FrameOfReferenceUID).encode()
    element = data.index(uid) - 8
    longer = b"1.2." + b"7" * 64
    changed = data[: element + 6] + len(longer).to_bytes(2, "little") + longer
    rest = data[element + 8 + len(uid) + len(uid) % 2 :]

    result = check(tmp_path, x__dcm=changed + rest)

    assert result.outcome(14).status is Status.FAIL


def test_bits_above_the_high_bit_are_refused(tmp_path: Path) -> None:
    """An overlay can be hidden in the bits that 12-bit pixels leave free."""
    made = clean_dicom()
    made.BitsStored, made.HighBit = 12, 11
    made.PixelData = b"\x00\x10" + b"\x10\x00" * (64 * 64 - 1)

    result = check(tmp_path, x__dcm=dicom_bytes(made))

    assert result.outcome(22).status is Status.FAIL


def test_shifted_dates_need_their_option(tmp_path: Path) -> None:
    """With the option declared and the study's time given, a date outside that time is kept."""
    made = clean_dicom()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113107", "DCM", "dates"
    made.DeidentificationMethodCodeSequence.append(code)
    made.LongitudinalTemporalInformationModified = "MODIFIED"
    made.StudyDate = "20150102"
    (tmp_path / "x.dcm").write_bytes(dicom_bytes(made))

    def status(first: int, last: int) -> Status:
        period = CheckSettings(study_period=(date(first, 1, 1), date(last, 12, 31)))
        return check_tree(tmp_path, KNOWN, settings=period).outcome(9).status

    assert status(2019, 2021) is Status.PASS
    assert status(2014, 2016) is Status.FAIL
    assert check_tree(tmp_path, KNOWN).outcome(9).status is Status.UNKNOWN


def test_unagreed_option_is_not_believed(tmp_path: Path) -> None:
    """A file cannot allow itself what the release did not agree to."""
    made = clean_dicom()
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "113109", "DCM", "device"
    made.DeidentificationMethodCodeSequence.append(code)
    made.StationName = "SOMEWHERE"
    (tmp_path / "x.dcm").write_bytes(dicom_bytes(made))

    declared = check_tree(tmp_path, KNOWN)
    agreed = check_tree(tmp_path, KNOWN, settings=CheckSettings(options=frozenset()))

    assert declared.outcome(18).status is Status.PASS
    assert agreed.outcome(18).status is Status.FAIL


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_label_that_is_a_digest_is_refused(algorithm: str, tmp_path: Path) -> None:
    """A plain digest of an identifier can be repeated by whoever guesses the identifier."""
    known = KnownStrings.of([KnownString(KnownKind.ID, "1234567890")])
    label = hashlib.new(algorithm, b"1234567890").hexdigest()[:10]
    made = clean_dicom()
    made.PatientID = label
    (tmp_path / "x.dcm").write_bytes(dicom_bytes(made))

    assert check_tree(tmp_path, known).outcome(5).status is Status.FAIL


@pytest.mark.parametrize(
    ("name", "data", "criterion"),
    [
        ("x.nii.gz", gzip_bytes(nifti_bytes(), mtime=1.6e9), 28),
        ("x.nii.gz", gzip_bytes(nifti_bytes(aux_file="a comment")), 28),
        ("x.json", b'{"global": {"const": {"InstitutionName": "A place"}}}', 29),
        ("x.json", b'{"AcquisitionDateTime": "x"}', 29),
        ("participants.tsv", b"participant_id\tage\nsub-01\t93\n", 12),
        ("sub-01_scans.tsv", b"filename\tacq_time\na\t2020-01-02T10:00:00\n", 30),
        ("key.tsv", b"participant_id\tnhs_number\nsub-01\t1\n", 4),
        ("participants.tsv", b"participant_id\tage\tsex\nsub-01\t33\tF\n", 31),
        ("run.log", b"wrote /home/someone/out", 36),
    ],
)
def test_bids_file_breaks_its_criterion(
    name: str, data: bytes, criterion: int, tmp_path: Path
) -> None:
    """One wrong value in a file of a dataset fails the criterion that names it."""
    (tmp_path / name).write_bytes(data)

    assert check_tree(tmp_path, KNOWN).outcome(criterion).status is Status.FAIL


def test_extended_attributes_are_refused(tmp_path: Path) -> None:
    """What a copy carries beside its content counts as well."""
    path = tmp_path / "notes.txt"
    path.write_bytes(b"x")
    try:
        os.setxattr(path, "user.comment", b"x")
    except OSError:
        pytest.skip("this file system has no extended attributes")

    assert check_tree(tmp_path, KNOWN).outcome(27).status is Status.FAIL


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("k.csv", "kind,text\nname,Zqxpcjlv^Wumbo\ndate,1953-02-14\n"),
        ("k.csv", "record,surname,birth_date\n,Zqxpcjlv,14/02/1953\n"),
        ("k.json", '{"name": ["Zqxpcjlv^Wumbo"], "date": ["19530214"]}'),
        ("k.json", '{"strings": [{"kind": "name", "text": "Zqxpcjlv"}, {"text": "W3T-1"}]}'),
        ("k.txt", "name: Zqxpcjlv\n1953-02-14\n"),
    ],
)
def test_known_strings_in_every_form(name: str, text: str, tmp_path: Path) -> None:
    """Two strings of each file are read, the name among them, and none is shown by repr."""
    (tmp_path / name).write_text(text, encoding="utf-8")

    known = KnownStrings.from_file(tmp_path / name)

    assert len(known.strings) == 2
    assert any(each.text.startswith("Zqxpcjlv") for each in known.strings)
    assert "Zqx" not in repr(known) + repr(known.strings[0])


@pytest.mark.parametrize("text", ["", "x\n", "{", '{"kind-of-own": ["a"]}'])
def test_bad_known_strings_are_refused_without_repeating_them(text: str, tmp_path: Path) -> None:
    """A file without usable strings is an error, whose text holds none of it."""
    path = tmp_path / "secretname.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(BadInputError) as caught:
        KnownStrings.from_file(path)

    assert "kind-of-own" not in str(caught.value)


def test_too_short_strings_make_the_search_unknown(tmp_path: Path) -> None:
    """Strings of two letters, and common words, are counted and not searched for."""
    known = KnownStrings.of(
        [
            KnownString(KnownKind.ID, "ZQ"),
            KnownString(KnownKind.NAME, "Head"),
            KnownString(KnownKind.NAME, "Zqxpcjlv"),
        ]
    )
    (tmp_path / "a.txt").write_text("head ZQ")

    result = check_tree(tmp_path, known)

    assert result.outcome(3).status is Status.UNKNOWN
    assert "2 of the known strings" in result.outcome(3).reason


@pytest.mark.parametrize("text", ["M", "female", "034Y", "7", "93", "left", "J"])
def test_what_is_found_everywhere_is_left_to_rules(tmp_path: Path, text: str) -> None:
    """Sex, age, hand and single letters of a key table keep no clean copy from being clean."""
    (tmp_path / "key.csv").write_text(f"name,sex\nZqxpcjlv,{text}\n")
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "a.dcm").write_bytes(dicom_bytes(clean_dicom()))
    (tmp_path / "x" / "README").write_text(f"{text} {text} 034Y")

    result = check_tree(tmp_path / "x", KnownStrings.from_file(tmp_path / "key.csv"))

    assert result.is_clean
    assert any("judged by where they stand" in each for each in result.notes)


def test_a_header_that_ends_with_an_empty_element_is_read(tmp_path: Path) -> None:
    """An empty last element is no damage (it is no value left on disk)."""
    made = clean_dicom()
    del made.PixelData
    made.RequestedProcedureComments = ""
    assert next(reversed(list(made))).keyword == "RequestedProcedureComments"

    assert check(tmp_path, x__dcm=dicom_bytes(made)).outcome(26).status is Status.PASS


def test_a_large_value_is_read_and_judged(tmp_path: Path) -> None:
    """A private value of two megabytes is fetched from disk, and its text is seen."""
    made = clean_dicom()
    block = made.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x20, "OB", b"\0" * (2 << 20) + b"Zqxpcjlv")

    result = check(tmp_path, x__dcm=dicom_bytes(made))

    assert result.outcome(26).status is Status.PASS
    assert result.outcome(17).status is Status.FAIL


def test_the_address_of_the_institution_may_be_agreed(tmp_path: Path) -> None:
    """An address that a file declares as kept is refused unless the release names the option."""
    made = clean_dicom()
    made.InstitutionAddress = "Elm Grove"
    method = Dataset()
    method.CodeValue, method.CodingSchemeDesignator = "113112", "DCM"
    method.CodeMeaning = "Retain Institution Identity Option"
    made.DeidentificationMethodCodeSequence.append(method)
    (tmp_path / "x.dcm").write_bytes(dicom_bytes(made))
    agreed = CheckSettings(options=frozenset({"retain_institution_identity"}))

    assert check_tree(tmp_path, KNOWN).outcome(32).status is Status.FAIL
    assert check_tree(tmp_path, KNOWN, settings=agreed).outcome(32).status is not Status.FAIL


def test_originals_give_their_identifiers(tmp_path: Path) -> None:
    """Names, numbers and dates of an original are found when they survive at any depth."""
    made = clean_dicom()
    inner = Dataset()
    inner.PatientID = "QQ778812"
    made.ReferencedStudySequence = Sequence([inner])
    made.OperatorsName, made.PatientBirthDate = "Zqxpcjlv", "19530214"
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "x.dcm").write_bytes(dicom_bytes(made))
    known = KnownStrings.from_dicom(tmp_path / "old")
    (tmp_path / "new").mkdir()

    for text in ("qq778812", "zqxpcjlv", "14.02.1953"):
        (tmp_path / "new" / "a.txt").write_text(text)
        assert not check_tree(tmp_path / "new", known, criteria=[3, 8, 9]).is_clean
    (tmp_path / "new" / "a.txt").write_text("nothing")
    assert check_tree(tmp_path / "new", known, criteria=[3, 8, 9]).is_clean


def test_own_table_has_the_rows_of_the_shared_one(samples: Path) -> None:
    """The copy of Table E.1-1 agrees with the one it was made from, row by row."""
    document = json.loads((samples / "deid" / "e1-1.json").read_text(encoding="utf-8"))
    expected = {
        row["tag"].replace(",", ""): row.get("basic_2026c") or row["basic"]
        for row in document["rows"]
    }

    assert dict(actions()) == expected


def test_criteria_page_is_current() -> None:
    """docs/criteria.md is what the list makes, and the list has 38 criteria."""
    assert (ROOT / PAGE_PATH).read_text(encoding="utf-8") == page_text()
    assert main(["--check"]) == 0
    assert [each.id for each in all_criteria()] == list(range(1, 39))
    assert {each.id for each in all_criteria() if not each.is_checked_here} == {1, 2, 33, 34, 38}
    assert sum(each.severity is Severity.BLOCK for each in all_criteria()) == 33


def test_command_line_ends_with_4_and_keeps_the_report(tmp_path: Path) -> None:
    """An unsafe folder gives exit code 4, a page and a document, none of which names anybody."""
    tree = write_clean_tree(tmp_path / "tree")
    (tree / "zqxpcjlv.txt").write_text("x")
    known = tmp_path / "known.txt"
    known.write_text("name: Zqxpcjlv^Wumbo\n")
    arguments = ["check-identity", str(tree), str(tmp_path / "out"), "--known", str(known)]

    result = CliRunner().invoke(run, arguments)

    assert result.exit_code == 4
    page = (tmp_path / "out/report/report.html").read_text(encoding="utf-8")
    document = (tmp_path / "out/report/check-identity.json").read_text(encoding="utf-8")
    assert "zqxpcjlv" not in (page + document + result.output).lower()
    assert json.loads(document)["is_clean"] is False


def test_command_line_ends_with_0_on_a_clean_folder(tmp_path: Path) -> None:
    """A clean folder gives exit code 0."""
    tree = write_clean_tree(tmp_path / "tree")
    known = tmp_path / "known.txt"
    known.write_text("name: Zqxpcjlv^Wumbo\n")
    arguments = ["check-identity", str(tree), str(tmp_path / "out"), "--known", str(known)]

    result = CliRunner().invoke(run, arguments)

    assert result.exit_code == 0, result.output
