"""The quick reader of headers: it says what pydicom says, and nothing brings it down."""

from __future__ import annotations

import io
import random
import struct
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from containers.dicom_to_bids import header as headers
from containers.dicom_to_bids.header import (
    NotUnderstoodError,
    PixelState,
    csa_number,
    read_header,
)
from containers.dicom_to_bids.header_tags import FACT_TAGS, NUMBERS, PERSON_TAGS
from containers.dicom_to_bids.identity import PERSON_KEYWORDS, WHOLE_KEYWORDS
from deploy.demo_session import DemoSession
from tests.builders.dicom_images import image


def expected(path: Path, keyword: str) -> str:
    """Return a value as pydicom has it, as text with backslashes."""
    value = pydicom.dcmread(path, stop_before_pixels=True).get(keyword)
    if isinstance(value, pydicom.multival.MultiValue):
        return "\\".join(str(getattr(each, "original_string", each)) for each in value)
    return "" if value is None else str(getattr(value, "original_string", value)).strip()


def rewritten(path: Path, syntax: UID) -> Path:
    """Write the image of the builder in another transfer syntax."""
    dataset = pydicom.dcmread(io.BytesIO(image()))
    dataset.ReferencedImageSequence = Sequence([Dataset(), Dataset()])
    dataset.ReferencedImageSequence[0].PatientName = "Nested^Name"
    dataset["ReferencedImageSequence"].is_undefined_length = True
    if syntax == RLELossless:
        dataset.compress(RLELossless)
    dataset.file_meta.TransferSyntaxUID = syntax
    little = syntax != ExplicitVRBigEndian
    implicit = syntax == ImplicitVRLittleEndian
    if not little:
        # pydicom does not turn pixels; 4x4 of zeros read the same either way.
        dataset["PixelData"].VR = "OW"
    pydicom.dcmwrite(
        path,
        dataset,
        implicit_vr=implicit,
        little_endian=little,
        enforce_file_format=little,
        force_encoding=not little,
    )
    return path


@pytest.mark.parametrize(
    "syntax",
    [
        *(ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian),
        *(DeflatedExplicitVRLittleEndian, RLELossless),
    ],
    ids=lambda syntax: syntax.name,
)
def test_values_are_those_of_pydicom(tmp_path: Path, syntax: UID) -> None:
    """In each transfer syntax, behind a sequence of unknown length, values are the same."""
    path = rewritten(tmp_path / "a.dcm", syntax)

    header = read_header(path)

    assert header is not None
    for keyword in (*FACT_TAGS, *NUMBERS):
        assert header.texts.get(keyword, "") == expected(path, keyword), keyword
    assert dict(header.persons)["PatientName"].strip() == b"Planted^Identity"
    assert header.pixels is PixelState.WHOLE


@pytest.mark.samples
@pytest.mark.parametrize(
    "name", ["philips_r57_dti_human", "siemens_xa30_interop_phantom", "ge_mr29_phantom"]
)
def test_values_are_those_of_pydicom_on_samples(samples: Path, name: str) -> None:
    """Real headers with private elements and sequences give the same values, too."""
    files = sorted(path for path in (samples / "dicom" / name).rglob("*") if path.is_file())

    for path in files[:: max(1, len(files) // 12)]:
        header = read_header(path)
        assert header is not None
        for keyword in (*FACT_TAGS, *NUMBERS):
            assert header.texts.get(keyword, "") == expected(path, keyword), keyword


def test_each_identifying_keyword_has_its_tag() -> None:
    """The tags read are those of the keywords that identify, by the DICOM dictionary."""
    assert set(PERSON_TAGS) == set(PERSON_KEYWORDS) | set(WHOLE_KEYWORDS)
    for table in (PERSON_TAGS, FACT_TAGS, NUMBERS):
        for keyword, tag in table.items():
            assert pydicom.datadict.tag_for_keyword(keyword) == tag


def test_other_files_are_no_dicom(tmp_path: Path) -> None:
    """Without the magic word there is no header."""
    (tmp_path / "a").write_bytes(b"x" * 200)
    (tmp_path / "b").touch()

    assert read_header(tmp_path / "a") is None
    assert read_header(tmp_path / "b") is None


@pytest.mark.parametrize("lost", [1, 31, 32])
def test_pixels_cut_short_are_seen(tmp_path: Path, lost: int) -> None:
    """An end that is missing makes the pixels cut, however little it is."""
    (tmp_path / "a").write_bytes(image()[:-lost])

    header = read_header(tmp_path / "a")

    assert header is not None
    assert header.pixels is PixelState.CUT


def test_rows_that_the_pixels_do_not_fill_are_seen(tmp_path: Path) -> None:
    """A header that promises more pixels than there are is as bad as a file cut short."""
    (tmp_path / "a").write_bytes(image(Rows=60000, Columns=60000))

    header = read_header(tmp_path / "a")

    assert header is not None
    assert header.pixels is PixelState.CUT


def test_header_longer_than_the_first_reading(tmp_path: Path) -> None:
    """Large private elements before the pixels are passed over."""
    dataset = pydicom.dcmread(io.BytesIO(image()))
    block = dataset.private_block(0x0029, "MAKER", create=True)
    block.add_new(0x10, "OB", bytes(3 << 20))
    dataset.save_as(tmp_path / "a")

    header = read_header(tmp_path / "a")

    assert header is not None
    assert header.pixels is PixelState.WHOLE


def test_random_damage_never_brings_it_down(tmp_path: Path, session: DemoSession) -> None:
    """Whatever bytes are changed or cut, there is a header, none, or the one known error."""
    source = min(path for path in session.folder.rglob("*") if path.is_file()).read_bytes()
    seeded = random.Random(7)  # noqa: S311 - no secret
    victim = tmp_path / "a"

    for _ in range(400):
        content = bytearray(source)
        for _ in range(seeded.choice([1, 4, 64])):
            content[seeded.randrange(128, 4000)] = seeded.randrange(256)
        victim.write_bytes(content[: seeded.choice([len(content), seeded.randrange(4000)])])
        try:
            read_header(victim)
        except NotUnderstoodError:
            continue


def test_number_in_the_siemens_header() -> None:
    """The count of a mosaic is read from a private header laid out as nibabel documents it."""
    name = b"NumberOfImagesInMosaic".ljust(64, b"\0")
    entry = name + struct.pack("<i4siii", 1, b"US\0\0", 8, 6, 77)
    entry += struct.pack("<4i", 3, 3, 77, 3) + b"36 \0"

    assert csa_number(b"SV10" + bytes(12) + entry, b"NumberOfImagesInMosaic") == 36
    assert csa_number(b"SV10", b"NumberOfImagesInMosaic") == 0


def test_remnant_of_a_header_tells_the_series(tmp_path: Path) -> None:
    """A header that cannot be read to its end still names its series, if that is left."""
    content = image()
    uid = str(pydicom.dcmread(io.BytesIO(content)).SeriesInstanceUID)
    (tmp_path / "a").write_bytes(content.replace(b"\x28\0\x10\0US", b"\x28\0\x10\0ZZ"))

    assert headers.remnant_series_uid(tmp_path / "a") == uid
