"""Functional groups of enhanced images: each frame keeps its facts, and no frame its identities."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from pathlib import Path

import dcm2niix
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from containers.scrub_headers.dicom_file import scrub_dicom
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.profile import load_profile
from containers.scrub_headers.pseudonyms import Pseudonyms
from tests.builders.enhanced_files import FRAMES, VENDORS, enhanced_dataset
from tests.builders.mr_files import TOKEN, file_bytes

FACTS = frozenset({
    "FrameAcquisitionDuration", "FrameAcquisitionNumber", "StackID", "InStackPositionNumber",
    "TemporalPositionIndex", "DimensionIndexValues", "ImagePositionPatient",
    "ImageOrientationPatient", "RepetitionTime", "FlipAngle", "EchoTrainLength",
    "EffectiveEchoTime", "DiffusionBValue", "DiffusionDirectionality",
    "DiffusionGradientOrientation", "RescaleIntercept", "RescaleSlope", "RescaleType",
    "FrameType", "PixelPresentation", "VolumetricProperties", "ComplexImageComponent",
    "AcquisitionContrast",
})  # fmt: skip
"""All attributes of a frame's groups that say something of the measurement."""
KNOWN = KnownIdentities.of(names=["Nobody^Known"], identifiers=["12345678"])
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom")


def scrubbed(data: bytes, folder: Path, known: KnownIdentities = KNOWN) -> bytes:
    """Return the clean copy of a file."""
    source, target = folder / "in.dcm", folder / "out.dcm"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    scrub_dicom(source, target, load_profile("external"), Pseudonyms(bytes(32), "one"), known)
    return target.read_bytes()


def elements(dataset: Dataset) -> Iterator[DataElement]:
    """Return the elements of a frame at any depth, private ones too."""
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from elements(item)
        else:
            yield element


def facts(dataset: Dataset) -> list[tuple[str, str]]:
    """Return what is said of the measurement, in its order."""
    return [(each.keyword, str(each.value)) for each in elements(dataset) if each.keyword in FACTS]


@pytest.fixture(scope="module", params=VENDORS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image (in.dcm) and its copy (out.dcm)."""
    folder = tmp_path_factory.mktemp("frames")
    scrubbed(file_bytes(enhanced_dataset(request.param)), folder)
    return folder


def read(pair: Path, name: str) -> Dataset:
    """Return one of both."""
    return pydicom.dcmread(pair / name)


def test_each_frame_keeps_its_facts(pair: Path):
    """Place, direction, b-value, timing, scale and order stay the same in every frame."""
    old, new = (
        [facts(each) for each in read(pair, name).PerFrameFunctionalGroupsSequence]
        for name in ("in.dcm", "out.dcm")
    )

    assert old == new
    assert len(new) == FRAMES
    assert all({key for key, _ in each} >= FACTS - {"DiffusionGradientOrientation"} for each in new)


def test_frames_keep_their_intervals(pair: Path):
    """Each frame's two moments move by the same whole number of days."""
    moves = set()
    for before, after in zip(
        *(read(pair, name).PerFrameFunctionalGroupsSequence for name in ("in.dcm", "out.dcm")),
        strict=True,
    ):
        for keyword in ("FrameAcquisitionDateTime", "FrameReferenceDateTime"):
            old, new = (str(e.FrameContentSequence[0][keyword].value) for e in (before, after))
            assert old[8:] == new[8:]
            day = [datetime.strptime(each[:8], "%Y%m%d") for each in (old, new)]  # noqa: DTZ007 - days
            moves.add((day[1] - day[0]).days)

    assert len(moves) == 1
    assert moves.pop() < -30_000


def test_no_frame_keeps_an_identity(pair: Path):
    """Neither comments nor labels nor private sequences carry the token into the copy."""
    content = (pair / "out.dcm").read_bytes()

    assert (pair / "in.dcm").read_bytes().count(TOKEN.encode()) > FRAMES
    assert TOKEN.encode() not in content
    assert b"20210304" not in content


def test_dcm2niix_makes_the_same_of_both(pair: Path, tmp_path: Path):
    """Image, b-values and directions agree to the byte, acquisition facts are the same."""
    results = []
    for name in ("in.dcm", "out.dcm"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "a.dcm").write_bytes((pair / name).read_bytes())
        out = tmp_path / f"from {name}"
        out.mkdir()
        subprocess.run(
            [dcm2niix.bin, "-b", "y", "-z", "n", "-f", "x", "-o", out, folder],
            capture_output=True, check=False,
        )  # fmt: skip
        results.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})

    before, after = results
    changed = {"SeriesDescription", "ProtocolName", "InstitutionName", "DeidentificationMethod",
               "DeidentificationMethodCodeSequence"}  # fmt: skip
    facts = [
        {k: v for k, v in json.loads(each.pop("x.json")).items() if k not in changed}
        for each in (before, after)
    ]
    assert facts[0] == facts[1]
    assert before == after
    assert {"x.nii", "x.bval", "x.bvec"} <= after.keys()


def replaced(data: bytes, old: bytes, new: bytes, number: int) -> bytes:
    """Return the bytes with one of the places of some others changed, counted from 0."""
    assert len(old) == len(new)
    place = -1
    for _ in range(number + 1):
        place = data.index(old, place + 1)
    return data[:place] + new + data[place + len(old) :]


def double(value: float) -> bytes:
    """Return a number of eight bytes."""
    return struct.pack("<d", value)


@pytest.mark.parametrize("number", [0, 1, FRAMES - 1])
@pytest.mark.parametrize(
    ("old", "hidden"),
    [
        pytest.param(double(89.5), TOKEN.encode(), id="text in a floating-point number"),
        pytest.param(double(89.5), b"\1Nobody\2", id="known name in a floating-point number"),
        pytest.param(double(89.5), double(12345678.25), id="known number as a floating-point one"),
        pytest.param(double(87.5), TOKEN.encode(), id="text in another"),
        pytest.param(
            b"ORIGINAL\\PRIMARY", b"Z" + TOKEN.encode() + b"\\RIMARY", id="text as a term"
        ),
        pytest.param(b"2021030410110", b"ZQXPCJLV10110", id="text as a moment"),
        pytest.param(b"1\\0\\0\\0\\1\\0 ", b"ZQXPCJLV\\0\\0", id="text as directions"),
        pytest.param(b"1\\0\\0\\0\\1\\0 ", b"12345678\\0\\0", id="known number as text"),
    ],
)
def test_what_hides_in_one_frame_among_many_alike_is_found(
    tmp_path: Path, old: bytes, hidden: bytes, number: int
):
    """Frames of one form are judged together; a value that differs in one of them still goes."""
    data = file_bytes(enhanced_dataset("Siemens"))
    planted = replaced(data, old, hidden, min(number, data.count(old) - 1))

    clean = scrubbed(planted, tmp_path)

    assert hidden in planted
    assert hidden not in clean
    assert TOKEN.encode() not in clean


@pytest.mark.parametrize("vendor", VENDORS)
def test_frames_are_cleaned_as_each_alone_would_be(tmp_path: Path, vendor: str):
    """The groups of the last frame are those of a file that holds this frame alone."""
    image = enhanced_dataset(vendor)
    whole = pydicom.dcmread(BytesIO(scrubbed(file_bytes(image), tmp_path)))
    image.PerFrameFunctionalGroupsSequence = image.PerFrameFunctionalGroupsSequence[-1:]
    image.NumberOfFrames = 1
    image.PixelData = image.PixelData[: 2 * image.Rows * image.Columns]

    alone = pydicom.dcmread(BytesIO(scrubbed(file_bytes(image), tmp_path)))

    last, only = (each.PerFrameFunctionalGroupsSequence[-1] for each in (whole, alone))
    assert last == only
