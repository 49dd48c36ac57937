"""One DICOM file at a time: transfer syntaxes, marks, what else may show a face, odd headers."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from containers.deface.carried import outcome_of_phase
from containers.deface.dicom_bytes import read_bytes
from containers.deface.dicom_headers import Frame, NoFrameError, read_frames
from containers.deface.dicom_output import CHANGED, check_file, defaced_file, judge_file
from containers.deface.dicom_pixels import read_pixels
from containers.deface.dicom_run import DicomResult, forget_taken_back
from containers.deface.dicom_stacks import Stack, stacks_of
from containers.deface.selection import known_folders
from containers.scrub_headers.errors import RefusedFileError
from tests.builders.dicom_heads import encoded, write_series
from tests.builders.heads import MadeHead
from tests.builders.mr_files import file_bytes, mr_dataset

FILL = 3


def _image(pixels: NDArray[np.generic] | None = None) -> Dataset:
    if pixels is None:
        pixels = np.random.default_rng(5).integers(0, 4096, (16, 24), dtype=np.uint16)
    image = mr_dataset(*pixels.shape)
    image.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    image.PixelSpacing = [1, 1]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, 0]
    image.PixelData = pixels.tobytes()
    return image


def _removed(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    return np.random.default_rng(6).random(shape) < 0.3


def _defaced(path: Path) -> bytes:
    """Deface a file of one frame with a cut of random pixels; the step's own gates must pass."""
    place = read_bytes(path.read_bytes())
    (frame,) = read_frames(path)
    pixels = read_pixels(place, frame.form)
    removed, fill = _removed(pixels.shape), np.full((1, 1, 1), FILL, pixels.dtype)
    after = defaced_file(place, frame.form, pixels, removed, fill)
    assert judge_file(place, after, pixels, removed, fill) == (0, 0)
    return after


def _raw(image: Dataset, tag: int) -> object:
    item = image.get_item(tag)
    return None if item is None else (item.VR, item.value)


def _assert_all_else_is_equal(before: bytes, after: bytes) -> None:
    old, new = (dcmread(io.BytesIO(each)) for each in (before, after))
    for tag in (old.keys() | new.keys()) - CHANGED:
        assert _raw(old, tag) == _raw(new, tag), tag


@pytest.mark.parametrize("kind", [np.uint16, np.int16])
@pytest.mark.parametrize(
    "syntax",
    [
        ImplicitVRLittleEndian,
        ExplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
)
def test_native_transfer_syntaxes_are_kept(kind: type, syntax: str, tmp_path: Path) -> None:
    """The pixels change where they stand; syntax and all other elements are as before."""
    pixels = np.random.default_rng(5).integers(0, 2048, (16, 24)).astype(kind)
    if kind is np.int16:
        pixels -= 1000
    image, path = _image(pixels), tmp_path / "a.dcm"
    if syntax == ExplicitVRBigEndian:  # pydicom writes pixels as they are given
        image.PixelData = pixels.byteswap().tobytes()
    path.write_bytes(encoded(image, syntax))

    after = _defaced(path)

    found = dcmread(io.BytesIO(after))
    assert found.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(found.pixel_array, np.where(_removed((1, 16, 24))[0], FILL, pixels))
    _assert_all_else_is_equal(path.read_bytes(), after)


@pytest.mark.parametrize(
    "program", [["dcmcjpeg", "+e1"], ["dcmcjpls"], ["dcmcrle"]], ids=["JPEG", "JPEG-LS", "RLE"]
)
@pytest.mark.parametrize("kind", [np.uint16, np.int16])
def test_compressed_pixels_are_written_unpacked(
    program: list[str], kind: type, tmp_path: Path
) -> None:
    """What DCMTK packed without loss comes out as Explicit VR Little Endian, pixel for pixel."""
    pixels = np.random.default_rng(5).integers(0, 2048, (16, 24)).astype(kind)
    plain, path = tmp_path / "plain.dcm", tmp_path / "packed.dcm"
    plain.write_bytes(file_bytes(_image(pixels)))
    subprocess.run([*program, plain, path], check=True, capture_output=True)

    after = _defaced(path)

    found = dcmread(io.BytesIO(after))
    assert found.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert np.array_equal(found.pixel_array, np.where(_removed((1, 16, 24))[0], FILL, pixels))
    _assert_all_else_is_equal(path.read_bytes(), after)


@pytest.mark.samples
def test_real_files_keep_all_other_elements(samples: Path) -> None:
    """Files of four makers, with private and nested elements, change in nothing else."""
    scans = ["siemens_heudiconv_scout/SCANS/1", "siemens_xa30_interop_phantom/SCANS/5001",
             "ge_mr29_phantom/SCANS/5", "ge_b0map_human/SCANS/6",
             "siemens_ve11_multiecho_human/SCANS/2"]  # fmt: skip
    for scan in scans:
        path = next(
            each for each in sorted((samples / "dicom" / scan).rglob("*"))
            if each.is_file() and each.suffix != ".xml"
        )  # fmt: skip
        after = _defaced(path)
        _assert_all_else_is_equal(path.read_bytes(), after)
        before = dcmread(path).pixel_array
        expected = np.where(_removed((1, *before.shape))[0], FILL, before)
        assert np.array_equal(dcmread(io.BytesIO(after)).pixel_array, expected)


def test_methods_and_codes_are_added_to_those_before(tmp_path: Path) -> None:
    """The marks of an earlier de-identification stay, in a sequence of undefined length too."""
    image = _image()
    image.PatientIdentityRemoved = "YES"
    image.DeidentificationMethod = "earlier"
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator = "113100", "DCM"
    code.CodeMeaning = "Basic Application Confidentiality Profile"
    image.DeidentificationMethodCodeSequence = Sequence([code])
    image["DeidentificationMethodCodeSequence"].is_undefined_length = True
    path = tmp_path / "a.dcm"
    path.write_bytes(file_bytes(image))

    path.write_bytes(_defaced(path))
    found = dcmread(io.BytesIO(_defaced(path)))

    assert found.DeidentificationMethod[0] == "earlier"
    assert len(found.DeidentificationMethod) == 2
    codes = [each.CodeValue for each in found.DeidentificationMethodCodeSequence]
    assert codes == ["113100", "113102"]
    assert found.PatientIdentityRemoved == "YES"


def test_the_thumbnail_goes(tmp_path: Path) -> None:
    """An icon shows the slice as it was."""
    image, icon = _image(), Dataset()
    icon.Rows = icon.Columns = 4
    icon.BitsAllocated = 8
    icon.PixelData = bytes(range(16))
    image.IconImageSequence = Sequence([icon])
    path = tmp_path / "a.dcm"
    path.write_bytes(file_bytes(image))
    place, (frame,) = read_bytes(path.read_bytes()), read_frames(path)
    check_file(place, frame.form)
    assert bytes(range(16)) not in _defaced(path)


def test_thumbnail_and_signature_go_from_a_slice_that_is_not_cut(tmp_path: Path) -> None:
    """The icon may show the face of another slice; a signature breaks by the marks alone."""
    image, icon, signature = _image(), Dataset(), Dataset()
    icon.Rows = icon.Columns = 4
    icon.BitsAllocated = 8
    icon.PixelData = bytes(range(16))
    image.IconImageSequence = Sequence([icon])
    signature.Signature = bytes(range(100, 116))
    image.DigitalSignaturesSequence = Sequence([signature])
    path = tmp_path / "a.dcm"
    path.write_bytes(file_bytes(image))
    place, (frame,) = read_bytes(path.read_bytes()), read_frames(path)
    pixels = read_pixels(place, frame.form)
    nothing, fill = np.zeros(pixels.shape, bool), np.zeros((1, 1, 1), pixels.dtype)

    after = defaced_file(place, frame.form, pixels, nothing, fill)

    assert judge_file(place, after, pixels, nothing, fill) == (0, 0)
    assert bytes(range(16)) not in after
    assert bytes(range(100, 116)) not in after


def _hidden_picture(image: Dataset) -> None:
    inner = Dataset()
    inner.BitsAllocated = 8
    inner.PixelData = b"\1\2"
    image.ReferencedImageSequence = Sequence([inner])


def _private_pixels(image: Dataset) -> None:
    image.private_block(0x7FE1, "SIEMENS CSA NON-IMAGE", create=True).add_new(0x10, "OB", b"\1\2")


def _float_pixels(image: Dataset) -> None:
    image.add_new(0x7FE00008, "OF", b"\0" * 16)


def _retired_pixels(image: Dataset) -> None:
    image.add_new(0x7F000010, "OW", b"\1\2")


def _private_value(image: Dataset, value: bytes) -> None:
    image.private_block(0x0019, "A MAKER", create=True).add_new(0x20, "UN", value)


def _private_copy(image: Dataset) -> None:
    _private_value(image, image.PixelData)


def _private_small_copy(image: Dataset) -> None:
    _private_value(image, image.PixelData[::2])


def _private_jpeg(image: Dataset) -> None:
    _private_value(image, b"\xff\xd8\xff\xe0" + b"\0" * 60)


def _private_dicom(image: Dataset) -> None:
    _private_value(image, file_bytes(_image()))


def _behind(image: Dataset) -> None:
    image.add_new(0xFFFCFFFC, "OB", b"\0\0\1\2")


@pytest.mark.parametrize(
    "spoil",
    [
        _hidden_picture, _private_pixels, _float_pixels, _retired_pixels, _private_copy,
        _private_small_copy, _private_jpeg, _private_dicom, _behind,
    ],
)  # fmt: skip
def test_a_second_picture_is_refused(spoil: Callable[[Dataset], None], tmp_path: Path) -> None:
    """A picture outside the pixel data would keep the face."""
    path = tmp_path / "a.dcm"
    path.write_bytes(file_bytes(_image()))
    (frame,) = read_frames(path)
    image = _image()
    spoil(image)
    with pytest.raises(RefusedFileError, match="which may show the face"):
        check_file(read_bytes(file_bytes(image)), frame.form)


def test_private_texts_and_empty_padding_are_no_pictures(tmp_path: Path) -> None:
    """What makers write of a protocol stays, as does padding of zeros."""
    image = _image()
    _private_value(image, b"### ASCCONV BEGIN ###" * 40)
    image.add_new(0xFFFCFFFC, "OB", b"\0" * 8)
    path = tmp_path / "a.dcm"
    path.write_bytes(file_bytes(image))
    (frame,) = read_frames(path)
    check_file(read_bytes(path.read_bytes()), frame.form)


def _overlay(image: Dataset) -> None:
    image.add_new(0x60000010, "US", 16)


def _curve(image: Dataset) -> None:
    image.add_new(0x50000005, "US", 1)


def _colour(image: Dataset) -> None:
    image.SamplesPerPixel = 3


def _inverted(image: Dataset) -> None:
    image.PhotometricInterpretation = "MONOCHROME1"


def _high_bits(image: Dataset) -> None:
    image.HighBit = 15


def _nowhere(image: Dataset) -> None:
    del image.ImagePositionPatient


def _skewed(image: Dataset) -> None:
    image.ImageOrientationPatient = [1, 0, 0, 0.5, 0.8, 0]


def _ct(image: Dataset) -> None:
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


def _screenshot(image: Dataset) -> None:
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"


def _mosaic(image: Dataset) -> None:
    image.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]


@pytest.mark.parametrize(
    ("spoil", "is_refused"),
    [
        (_overlay, True),
        (_curve, True),
        (_inverted, True),
        (_high_bits, True),
        (_nowhere, True),
        (_skewed, True),
        (_ct, True),
        (_colour, False),
        (_screenshot, False),
        (_mosaic, False),
    ],
)
def test_files_that_are_not_defaced(
    spoil: Callable[[Dataset], None],
    is_refused: bool,  # noqa: FBT001 - parametrised
    tmp_path: Path,
) -> None:
    """What may show a face is refused; what is left out by rule is no part of a result."""
    image = _image()
    spoil(image)
    path = tmp_path / "Mustermann.dcm"
    path.write_bytes(file_bytes(image))
    with pytest.raises(NoFrameError) as caught:
        read_frames(path)
    assert caught.value.is_refused is is_refused
    assert "Mustermann" not in caught.value.reason


@pytest.mark.parametrize("size", [0, 100, 300, 700, 1500])
def test_a_file_cut_short_is_refused(size: int, tmp_path: Path) -> None:
    """Wherever a file ends too early, nothing is written of it."""
    path = tmp_path / "a.dcm"
    path.write_bytes(file_bytes(_image())[:size])
    with pytest.raises((NoFrameError, RefusedFileError)):
        _defaced(path)


_NOISE = np.random.default_rng(1).integers(1, 900, (20, 8, 6)).astype(np.float32)
_SMALL, _SLAB = MadeHead(_NOISE, (4.0, 2.0, 2.0)), MadeHead(_NOISE, (2.0, 2.0, 2.0))
Edit = Callable[[Dataset, int], object]


def _stack(folder: Path, *edits: Edit) -> Stack:
    frames: list[Frame] = []
    for number, edit in enumerate(edits):
        for path in write_series(folder / str(number), _SMALL, edit=edit):
            frames += read_frames(path)
    (stack,) = stacks_of(frames)
    return stack


def _plain(_image: Dataset, _index: int) -> None:
    """Leave a series as it is."""


def _later(image: Dataset, _index: int) -> None:
    image.AcquisitionNumber = "2"


def _second_echo(image: Dataset, _index: int) -> None:
    image.EchoTime = "9.1"


def _part_of_second_echo(image: Dataset, index: int) -> None:
    image.EchoTime = "9.1"
    if index > 9:
        image.ImagePositionPatient = [1000 + index, 0, 0]


def _tilted(image: Dataset, index: int) -> None:
    corner = [float(each) for each in image.ImagePositionPatient]
    image.ImagePositionPatient = [corner[0], corner[1] + 0.5 * index, corner[2]]


def _epi(image: Dataset, _index: int) -> None:
    image.ScanningSequence = "EP"


def _fine_epi(image: Dataset, _index: int) -> None:
    image.ScanningSequence = "EP"
    image.PixelSpacing = [0.6, 0.6]
    image.SliceThickness = 0.6


def _ge_phase(image: Dataset, _index: int) -> None:
    image.private_block(0x0043, "GEMS_PARM_01", create=True).add_new(0x2F, "SS", 1)


def test_echoes_become_volumes_in_their_order(tmp_path: Path) -> None:
    """Two echoes in one series are two volumes of all slices, the shorter first."""
    stack = _stack(tmp_path, _second_echo, _plain)
    assert [each.frames[0].contrast.echo_ms for each in stack.volumes] == [2.98, 9.1]
    assert [each.shape for each in stack.volumes] == [(8, 6, 20)] * 2


@pytest.mark.parametrize(
    ("edits", "said", "is_refused"),
    [
        ((_plain, _later), "differ in time alone", True),
        ((_tilted,), "sheared", True),
        ((_plain, _part_of_second_echo), "missing or there twice", True),
        ((_epi,), "echo-planar", False),
    ],
)
def test_series_that_are_no_volume(
    edits: tuple[Edit, ...],
    said: str,
    is_refused: bool,  # noqa: FBT001 - parametrised
    tmp_path: Path,
) -> None:
    """What does not add up to whole volumes is not defaced, and the reason says why."""
    stack = _stack(tmp_path, *edits)
    assert said in stack.left_out
    assert stack.is_refused is is_refused
    assert not stack.volumes


def test_two_studies_make_no_volume_together(tmp_path: Path) -> None:
    """Even where the series have one UID: their slices are of two sessions."""
    frames: list[Frame] = []
    for number in range(2):

        def other(image: Dataset, _index: int, number: int = number) -> None:
            image.StudyInstanceUID = f"1.2.826.0.1.3680043.2.1143.{number + 1}"

        for path in write_series(tmp_path / str(number), _SMALL, edit=other):
            frames += read_frames(path)
    assert [len(each.volumes) for each in stacks_of(frames)] == [1, 1]


def test_one_withdrawal_draws_all_that_share_files_after_it(tmp_path: Path) -> None:
    """B lost a file that it shares with A; C shares one with B; D shares none."""
    outputs = {"C": ("c.dcm", "bc.dcm"), "B": ("bc.dcm", "gone.dcm"), "D": ("d.dcm",)}
    for name in ("c.dcm", "bc.dcm", "d.dcm"):
        (tmp_path / name).write_bytes(b"")
    outcome = outcome_of_phase(np.zeros((1, 1, 1), bool))
    result = DicomResult(outcomes=dict.fromkeys(outputs, outcome), outputs=dict(outputs))

    forget_taken_back(result, tmp_path)

    assert (set(result.outputs), set(result.refused)) == ({"D"}, {"B", "C"})
    assert [path.name for path in tmp_path.iterdir()] == ["d.dcm"]


@pytest.mark.parametrize(
    ("parts", "kept"),
    [
        (("SCANS", "5", "DICOM"), ["SCANS", "5", "DICOM"]),
        (("scans", "5-MR1", "resources"), ["scans", "5-MR1", "resources"]),
        (("140379", "DICOM"), ["DICOM"]),
        (("Mustermann", "SCANS", "140379x"), ["SCANS"]),
    ],
)
def test_only_a_scan_may_be_a_number(parts: tuple[str, ...], kept: list[str]) -> None:
    """A folder of six digits may be a birth date, and does not come into a result."""
    assert list(known_folders(parts, re.compile("SCANS|scans|DICOM|resources"))) == kept


def test_a_thin_slab_is_left_out(tmp_path: Path) -> None:
    """Twenty slices of 2 mm show too little of a head, and are no part of the result."""
    frames = [frame for path in write_series(tmp_path, _SLAB) for frame in read_frames(path)]
    (stack,) = stacks_of(frames)
    assert "20 slices over 40 mm" in stack.left_out
    assert not stack.is_refused


def test_a_fine_echo_planar_volume_counts_as_a_face(tmp_path: Path) -> None:
    """Voxels below 1 cubic millimetre show a face, whatever the sequence."""
    assert not _stack(tmp_path, _fine_epi).left_out


def test_phase_is_told_from_magnitude_where_ge_says_so(tmp_path: Path) -> None:
    """GE writes the part of the complex number into (0043,102F), not into the image type."""
    stack = _stack(tmp_path, _ge_phase)
    assert [each.is_magnitude for each in stack.volumes] == [False]
