"""A DICOM file comes out without identities, whole and well-formed, or not at all."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGBaseline8Bit,
    RLELossless,
)

from containers.scrub_headers.dicom_file import Scrubber, explain_dicom, scrub_dicom
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile, profile_names
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.builders.mr_files import TOKEN, element, file_bytes, insert_before, mr_dataset, mr_file

SECRET = bytes(range(32))
KNOWN = KnownIdentities()


def _pseudonyms() -> Pseudonyms:
    return Pseudonyms(SECRET, "participant", "LAB01")


def _scrub(data: bytes, folder: Path, profile: str = "external") -> bytes:
    source, target = folder / "in.dcm", folder / "out.dcm"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    scrub_dicom(source, target, load_profile(profile), _pseudonyms(), KNOWN)
    return target.read_bytes()


def _read(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def _holds_token(data: bytes) -> bool:
    return TOKEN.encode() in data or TOKEN.encode("utf-16-le") in data


@pytest.mark.parametrize("profile", profile_names())
def test_usual_identifiers_go_under_every_profile(tmp_path: Path, profile: str):
    """No byte of the token is left, but where the profile retains an institution's name."""
    data = mr_file(lambda image: setattr(image, "InstitutionName", "Somewhere"))

    result = _scrub(data, tmp_path, profile)

    assert not _holds_token(result)
    assert _read(result).PatientID == "LAB01"
    assert _read(result).PatientBirthDate == ""


@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_every_plain_transfer_syntax_keeps_its_pixels(tmp_path: Path, syntax: str):
    """Another parser finds the same pixels and syntax, and no token."""
    image = mr_dataset()
    pixels = image.PixelData
    data = file_bytes(image, syntax)

    result = _scrub(data, tmp_path)

    clean = _read(result)
    assert clean.file_meta.TransferSyntaxUID == syntax
    assert clean.PixelData == pixels
    inside = result
    if syntax == DeflatedExplicitVRLittleEndian:
        start = 132 + 12 + clean.file_meta.FileMetaInformationGroupLength
        inside += zlib.decompress(result[start:], -15)
    assert not _holds_token(inside)


def test_fragments_of_compressed_pixels_are_copied(tmp_path: Path):
    """Encapsulated pixel data come out byte by byte, what follows them does not."""
    image = mr_dataset()
    # Twice 128 times a byte are one of the two halves of 16 by 16 pixels.
    half = b"\x81\x05\x81\x06"
    image.NumberOfFrames = 2
    image.PixelData = encapsulate([_rle(half, half), _rle(half, half)])
    image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OB"
    pixels = image.PixelData
    data = file_bytes(image, RLELossless) + element(0xFFFCFFFC, "OB", TOKEN.encode())

    result = _scrub(data, tmp_path)

    assert _read(result).PixelData == pixels
    assert not _holds_token(result)


def test_comment_in_jpeg_pixels_is_refused(tmp_path: Path):
    """A COM segment (ITU-T T.81, B.2.4.5) travels with the pixels, so the file is held back."""
    comment = b"\xff\xfe" + (2 + len(TOKEN)).to_bytes(2, "big") + TOKEN.encode()
    image = mr_dataset()
    image.PixelData = encapsulate([b"\xff\xd8" + comment + b"\xff\xda\0\2" + b"\0" * 8])
    image["PixelData"].is_undefined_length = True
    image["PixelData"].VR = "OB"

    with pytest.raises(RefusedFileError, match="comment"):
        _scrub(file_bytes(image, JPEGBaseline8Bit), tmp_path)


def test_references_agree_with_what_they_refer_to(tmp_path: Path):
    """The UID in a reference, in the file meta and in the dataset become the same new UID."""
    clean = _read(_scrub(mr_file(), tmp_path))

    reference = clean.ReferencedImageSequence[0]
    assert reference.ReferencedSOPInstanceUID == clean.SOPInstanceUID
    assert clean.file_meta.MediaStorageSOPInstanceUID == clean.SOPInstanceUID
    assert clean.SOPInstanceUID.startswith("2.25.")
    assert reference.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.4"


def test_marks_tell_what_was_done(tmp_path: Path):
    """(0012,0062) to (0012,0064) and (0028,0303) say what the profile did (PS3.15 E.1.1)."""
    shifted = _read(_scrub(mr_file(), tmp_path, "external"))
    removed = _read(_scrub(mr_file(), tmp_path, "open"))

    assert shifted.PatientIdentityRemoved == "YES"
    codes = [each.CodeValue for each in shifted.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113107", "113108", "113111"]
    assert shifted.LongitudinalTemporalInformationModified == "MODIFIED"
    codes = [each.CodeValue for each in removed.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113105", "113111"]
    assert removed.LongitudinalTemporalInformationModified == "REMOVED"


def test_dates_move_by_one_offset(tmp_path: Path):
    """Two dates of one participant keep their distance; none stays."""

    def edit(image: Dataset) -> None:
        image.SeriesDate = "20210306"
        image.AcquisitionDateTime = "20210305101112.5"

    clean = _read(_scrub(mr_file(edit), tmp_path))

    days = [np.datetime64(f"{d[:4]}-{d[4:6]}-{d[6:8]}") for d in (
        clean.StudyDate, clean.AcquisitionDateTime, clean.SeriesDate)]  # fmt: skip
    assert clean.StudyDate != "20210304"
    assert [int((each - days[0]).astype(int)) for each in days] == [0, 1, 2]
    assert clean.AcquisitionDateTime.endswith("101112.5")


PLACES = {
    "unknown private creator": element(0x00210010, "LO", b"ZQXPCJLV")
    + element(0x00211001, "LO", b"ZQXPCJLV"),
    "orphan": element(0x00211101, "LO", b"ZQXPCJLV"),
    "safe creator in a wrong group": element(0x00210010, "LO", b"SIEMENS CSA HEADER")
    + element(0x00211008, "CS", b"ZQXPCJLV"),
    "wrong representation": element(0x00200012, "LO", b"ZQXPCJLV"),
    "unknown attribute": element(0x00207777, "LO", b"ZQXPCJLV"),
    "text as numbers": element(0x00200100, "IS", b"ZQXPCJLV"),
    "text in doubles": element(0x00209057, "UL", b"ZQXPCJLV"),
    "image comments": element(0x00204000, "LT", b"seen by ZQXPCJLV 1985-03-04"),
    "bytes after NUL": element(0x00200060, "CS", b"L\0ZQXPCJLV\0"),
    "private sequence of undefined length": element(0x00210010, "LO", b"ZQXPCJLV")
    + b"\x21\0\x01\x10SQ\0\0\xff\xff\xff\xff"
    + b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    + element(0x00100010, "PN", b"ZQXPCJLV")
    + b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
    "unknown representation, undefined length": b"\x20\0\x77\x77UN\0\0\xff\xff\xff\xff"
    b"\xfe\xff\0\xe0\xff\xff\xff\xff"
    b"\x10\0\x10\0\x08\0\0\0ZQXPCJLV"
    b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0",
    "odd group of the standard": element(0x00210001, "LO", b"ZQXPCJLV"),
}


@pytest.mark.parametrize("place", PLACES)
def test_places_outside_the_table_are_clean(tmp_path: Path, place: str):
    """The token is found nowhere, whatever else is at its place."""
    result = _scrub(insert_before(mr_file(), 0x00280002, PLACES[place]), tmp_path)

    assert not _holds_token(result)
    _read(result).to_json()


def test_bytes_after_the_pixels_go(tmp_path: Path):
    """Elements and loose bytes after the pixel data are left out, and the report says so."""
    tail = element(0xFFFAFFFA, "SQ", b"") + element(0xFFFCFFFC, "OB", TOKEN.encode()) + b"loose"
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(mr_file() + tail)

    report = scrub_dicom(source, target, load_profile("external"), _pseudonyms(), KNOWN)

    assert target.read_bytes().endswith(mr_dataset().PixelData)
    assert report.warnings == ("Bytes after its pixel data were left out.",)


def test_overlay_and_curve_go(tmp_path: Path):
    """Groups 50xx and 60xx go, also those that the dictionary does not list one by one."""

    def edit(image: Dataset) -> None:
        image.add_new(0x50040022, "LO", TOKEN)
        image.add_new(0x60024000, "LO", TOKEN)
        image.add_new(0x60023000, "OW", TOKEN.encode() * 4)

    result = _scrub(mr_file(edit), tmp_path)

    assert not _holds_token(result)
    assert not [each for each in _read(result) if each.tag.group >> 8 in {0x50, 0x60}]


def test_overlay_in_unused_bits_is_refused(tmp_path: Path):
    """An overlay that the header places in bit 12 of the pixels cannot be removed from them."""

    def edit(image: Dataset) -> None:
        values = np.frombuffer(image.PixelData, "<u2") | 0x1000
        image.PixelData = values.astype("<u2").tobytes()
        image.add_new(0x60000102, "US", 12)

    with pytest.raises(RefusedFileError, match="overlay"):
        _scrub(mr_file(edit), tmp_path)


@pytest.mark.parametrize(
    ("sop_class", "name"),
    [
        ("1.2.840.10008.5.1.4.1.1.7", "secondary capture"),
        ("1.2.840.10008.5.1.4.1.1.104.1", "PDF"),
        ("1.2.840.10008.5.1.4.1.1.88.22", "report"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "presentation state"),
        ("1.2.840.10008.1.3.10", "DICOMDIR"),
        ("1.3.46.670589.11.0.0.12.2", "private class"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path: Path, sop_class: str, name: str):
    """Only image classes of the profile pass."""
    with pytest.raises(RefusedFileError):
        _scrub(mr_file(lambda image: setattr(image, "SOPClassUID", sop_class)), tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.dcm"], name


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("BurnedInAnnotation", "YES"),
        ("ConversionType", "WSD"),
        ("ImageType", ["DERIVED", "SECONDARY", "SCREEN SAVE"]),
    ],
)
def test_pictures_are_refused(tmp_path: Path, keyword: str, value: str | list[str]):
    """What says of itself that it is a picture is held back."""
    with pytest.raises(RefusedFileError):
        _scrub(mr_file(lambda image: setattr(image, keyword, value)), tmp_path)


def test_drawn_text_in_a_corner_is_noticed(tmp_path: Path):
    """Strokes of one pixel at the highest value in a corner are reported, and refused for all."""

    def edit(image: Dataset) -> None:
        image.Rows = image.Columns = 128
        frame = np.full((128, 128), 200, np.uint16)
        frame[4:12, 4:60:4] = 4095
        image.PixelData = frame.tobytes()

    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(mr_file(edit))

    report = scrub_dicom(source, target, load_profile("external"), _pseudonyms(), KNOWN)

    assert any("corner" in each for each in report.warnings)
    with pytest.raises(RefusedFileError, match="corner"):
        _scrub(mr_file(edit), tmp_path, "open")


def test_pixels_longer_than_the_image_are_refused(tmp_path: Path):
    """Bytes behind the last row could be anything."""

    def edit(image: Dataset) -> None:
        image.PixelData += TOKEN.encode()

    with pytest.raises(RefusedFileError, match="longer"):
        _scrub(mr_file(edit), tmp_path)


def test_file_without_preamble_is_scrubbed(tmp_path: Path):
    """Files that begin with meta information or with group 0008 are DICOM, too."""
    whole = mr_file()
    meta_length = 12 + int.from_bytes(whole[140:144], "little")

    for data in (whole[132:], whole[132 + meta_length :]):
        result = _scrub(data, tmp_path)
        assert not _holds_token(result)
        assert _read(result).PatientName == "LAB01"


def test_deep_nesting_ends_in_a_refusal(tmp_path: Path):
    """A thousand levels neither crash nor pass."""
    open_sequence = b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff"
    data = insert_before(mr_file(), 0x00100010, b"")
    place = data.index(b"\x08\0\x40\x11SQ")

    with pytest.raises(RefusedFileError, match="nested"):
        _scrub(data[:place] + open_sequence * 1000 + data[place:], tmp_path)


def test_known_identity_in_kept_text_goes(tmp_path: Path):
    """A word of the vocabulary that is a participant's name does not stay in a description."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(mr_file(lambda image: setattr(image, "SeriesDescription", "T1 Trio")))
    known = KnownIdentities.of(names=["Trio^X"])

    scrub_dicom(source, target, load_profile("external"), _pseudonyms(), known)

    assert _read(target.read_bytes()).SeriesDescription == "T1"


def test_age_above_89_is_capped(tmp_path: Path):
    """HIPAA's safe harbour groups all ages above 89."""
    clean = _read(_scrub(mr_file(lambda image: setattr(image, "PatientAge", "097Y")), tmp_path))

    assert clean.PatientAge == "090Y"


def test_target_is_never_overwritten(tmp_path: Path):
    """A name that is taken stops the copy, also where it is the original's own."""
    source = tmp_path / "a"
    source.write_bytes(mr_file())

    with pytest.raises(FileExistsError):
        scrub_dicom(source, source, load_profile("external"), _pseudonyms(), KNOWN)

    assert source.read_bytes() == mr_file()


def test_explanation_names_each_element_once(tmp_path: Path):
    """Every element of the file has one decision, and none shows a value."""
    source = tmp_path / "a"
    source.write_bytes(mr_file())

    decisions = list(explain_dicom(source, load_profile("external")))

    top = [each.tag for each in decisions if not each.path]
    assert len(top) == len(set(top)) == len(_read(source.read_bytes()))
    by_name = {each.keyword: each for each in decisions}
    assert by_name["InstitutionName"].outcome in {"emptied", "removed"}
    assert by_name["RepetitionTime"].outcome == "kept"
    assert by_name["StudyInstanceUID"].outcome == "changed"
    assert TOKEN not in repr(decisions)


def test_every_cut_is_refused(tmp_path: Path):
    """A file cut at any byte before its end is refused, and leaves nothing behind."""
    image = mr_dataset(rows=4, columns=4)
    whole = file_bytes(image)
    source, target = tmp_path / "a", tmp_path / "b"
    scrubber = Scrubber(load_profile("external"), _pseudonyms(), KNOWN)

    for length in range(len(whole)):
        source.write_bytes(whole[:length])
        with pytest.raises(RefusedFileError):
            scrubber.scrub(source, target)

    assert sorted(each.name for each in tmp_path.iterdir()) == ["a"]


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_changed_bytes_never_crash_nor_leak(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
):
    """Any few bytes of the header changed: refused, or clean for another parser's eye."""
    folder = tmp_path_factory.getbasetemp()
    whole = bytearray(mr_file())
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(whole) - 513))
        whole[place] = data.draw(st.integers(0, 255))
    source, target = folder / f"fuzz-{os.getpid()}", folder / f"fuzz-{os.getpid()}-out"
    source.write_bytes(whole)
    target.unlink(missing_ok=True)

    try:
        scrub_dicom(source, target, load_profile("external"), _pseudonyms(), KNOWN)
    except RefusedFileError:
        assert not target.exists()
    else:
        assert not _holds_token(target.read_bytes())


@pytest.mark.samples
def test_memory_of_earlier_files_changes_nothing(samples: Path, tmp_path: Path):
    """Files scrubbed one after another equal those that are each scrubbed by a new scrubber."""
    files = sorted((samples / "dicom").glob("*/SCANS/*/DICOM/*.dcm"))[::5]
    profile = load_profile("external")
    shared = Scrubber(profile, _pseudonyms(), KNOWN)
    compared = 0

    for source in files + files[:40]:
        one, two = tmp_path / "one", tmp_path / "two"
        try:
            report = shared.scrub(source, one)
        except RefusedFileError:
            continue
        fresh = Scrubber(profile, _pseudonyms(), KNOWN).scrub(source, two)
        assert one.read_bytes() == two.read_bytes()
        assert report == fresh
        compared += 1
        one.unlink()
        two.unlink()

    assert compared > 100


@pytest.mark.samples
def test_pixels_and_technical_attributes_of_samples_stay(samples: Path, tmp_path: Path):
    """In files of four manufacturers pixels and acquisition numbers are as they were."""
    keywords = (
        "RepetitionTime", "EchoTime", "FlipAngle", "ImagePositionPatient", "PixelSpacing",
        "ImageOrientationPatient", "MagneticFieldStrength", "ScanningSequence", "ImageType",
        "SoftwareVersions", "SeriesDescription", "SequenceName", "DiffusionBValue",
    )  # fmt: skip
    files = sorted((samples / "dicom").glob("*/SCANS/*/DICOM/0001.dcm"))
    clean_path = tmp_path / "clean"
    compared = 0

    for source in files:
        try:
            scrub_dicom(source, clean_path, load_profile("external"), _pseudonyms(), KNOWN)
        except RefusedFileError:
            continue
        before, after = pydicom.dcmread(source), pydicom.dcmread(clean_path)
        assert before.PixelData == after.PixelData
        for keyword in keywords:
            assert before.get(keyword) == after.get(keyword), (source.parent, keyword)
        compared += 1
        clean_path.unlink()

    assert compared > 30


def test_sequences_inside_are_cleaned(tmp_path: Path):
    """Text beside a reference's UIDs is cleaned, at any depth."""

    def edit(image: Dataset) -> None:
        item = image.ReferencedImageSequence[0]
        item.PatientName = TOKEN
        item.ImageComments = f"of {TOKEN}"
        item.PurposeOfReferenceCodeSequence = Sequence([Dataset()])
        item.PurposeOfReferenceCodeSequence[0].CodeMeaning = TOKEN

    assert not _holds_token(_scrub(mr_file(edit), tmp_path))


def test_registered_codes_stay_and_others_go(tmp_path: Path):
    """The code of PS3.16 CID 7201 "121322 Source image for image processing operation" is kept."""

    def edit(image: Dataset) -> None:
        code, false = Dataset(), Dataset()
        code.CodeValue, code.CodingSchemeDesignator = "121322", "DCM"
        code.CodeMeaning = "Source image for image processing operation"
        false.CodeValue, false.CodingSchemeDesignator = "850304", "99DOE"
        false.CodeMeaning = TOKEN
        image.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence = Sequence([code, false])

    clean = _read(_scrub(mr_file(edit), tmp_path))

    code, false = clean.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence
    assert (code.CodeValue, code.CodeMeaning) == (
        "121322",
        "Source image for image processing operation",
    )
    assert not false.CodeValue
    assert not false.CodeMeaning


@pytest.mark.samples
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dicom3tools of Debian")
def test_samples_break_no_rule_that_they_kept_before(samples: Path, tmp_path: Path):
    """The validator dciodvfy finds no more errors in a file than before."""

    def errors(path: Path) -> int:
        found = subprocess.run(
            ["dciodvfy", "-new", path],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        return len({each for each in found.stderr.splitlines() if each.startswith("Error")})

    worse = []
    clean_path = tmp_path / "clean"
    for source in sorted((samples / "dicom").glob("*/SCANS/*/DICOM/0001.dcm"))[::3]:
        try:
            scrub_dicom(source, clean_path, load_profile("external"), _pseudonyms(), KNOWN)
        except RefusedFileError:
            continue
        if errors(clean_path) > errors(source):
            worse.append(source.parent.parent)
        clean_path.unlink()

    assert worse == []


def _packed(syntax: str, frames: list[bytes], offsets: bytes = b"") -> bytes:
    """Return a file of four by four pixels with the given fragments."""
    image = mr_dataset(4, 4)
    image.NumberOfFrames = len(frames)
    items = [offsets, *(each + b"\0" * (len(each) % 2) for each in frames)]
    body = b"".join(b"\xfe\xff\0\xe0" + len(e).to_bytes(4, "little") + e for e in items)
    image.PixelData = encapsulate([b"\0\0"])
    data = file_bytes(image, syntax)
    return data[: data.rindex(b"\xe0\x7f\x10\0") + 12] + body + b"\xfe\xff\xdd\xe0\0\0\0\0"


def _rle(*segments: bytes) -> bytes:
    """Return a frame in the form of PS3.5 annex G."""
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    table = [len(segments), *starts, *[0] * (15 - len(starts))]
    return b"".join(each.to_bytes(4, "little") for each in table) + b"".join(segments)


RLE = "1.2.840.10008.1.2.5"
RUN = bytes([257 - 16, 5])
"""Sixteen times the byte 5, as annex G writes it."""


@pytest.mark.parametrize(
    ("data", "passes"),
    [
        (_packed(RLE, [_rle(RUN, RUN)]), True),
        (_packed(RLE, [_rle(RUN, RUN), _rle(RUN, RUN)], struct.pack("<2I", 0, 76)), True),
        (_packed(RLE, [_rle(RUN, RUN) + TOKEN.encode()]), False),
        (_packed(RLE, [_rle(RUN + TOKEN.encode(), RUN)]), False),
        (_packed(RLE, [_rle(RUN, RUN)], TOKEN.encode()), False),
        (_packed(RLE, [_rle(RUN, bytes([257 - 15, 5]))]), False),
        (_packed("1.2.840.10008.1.2.1.98", [bytes(32)]), False),
        (_packed("1.2.840.10008.1.2.6.1", [bytes(32)]), False),
        (_packed("1.2.840.10008.1.2.4.94", [bytes(32)]), False),
    ],
)
def test_nothing_hides_beside_compressed_images(tmp_path: Path, data: bytes, passes: bool):  # noqa: FBT001 - a case
    """Text among the offsets, behind a segment or a frame, or in an unknown form is refused."""
    (tmp_path / "in").write_bytes(data)
    scrubber = Scrubber(load_profile("external"), _pseudonyms(), KNOWN)

    if passes:
        scrubber.scrub(tmp_path / "in", tmp_path / "out")
        assert TOKEN.encode() not in (tmp_path / "out").read_bytes()
    else:
        with pytest.raises(RefusedFileError):
            scrubber.scrub(tmp_path / "in", tmp_path / "out")
