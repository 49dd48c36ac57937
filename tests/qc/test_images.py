"""Reading NIfTI: damage is seen before voxels are used, and before memory is taken for them."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from qc.images import UnreadableImageError, load_image, read_extent
from tests.builders.quality_images import write_nifti

VOLUME = np.random.default_rng(7).integers(0, 1000, (12, 13, 14)).astype(np.int16)


def stored(tmp_path: Path, content: bytes, name: str = "x.nii.gz") -> Path:
    """Write bytes, compressed where the name says so."""
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def with_field(kind: str, offset: int, *values: float) -> bytes:
    """Return a whole NIfTI-1 file with one field of its header replaced (NIfTI-1, nifti1.h)."""
    content = bytearray(nib.Nifti1Image(VOLUME, np.diag([2.0, 2.0, 2.0, 1.0])).to_bytes())
    struct.pack_into(f"<{len(values)}{kind}", content, offset, *values)
    return bytes(content)


def test_a_flipped_bit_in_compressed_data_is_refused(tmp_path: Path):
    """The voxels alone would be read without complaint: the checksum comes after them."""
    path = write_nifti(tmp_path / "x.nii.gz", VOLUME)
    content = bytearray(path.read_bytes())
    # The stored CRC itself: the data decompress to as many bytes as before.
    content[-8] ^= 1
    path.write_bytes(bytes(content))

    assert nib.load(path).get_fdata().shape == VOLUME.shape
    with pytest.raises(UnreadableImageError, match="damaged"):
        load_image(path)


def test_data_compressed_in_pieces_and_padded_are_read(tmp_path: Path):
    """As bgzip writes them; zeros at the end are no part of the image."""
    whole = with_field("h", 252, 0)
    pieces = [gzip.compress(whole[start : start + 999]) for start in range(0, len(whole), 999)]
    path = tmp_path / "x.nii.gz"
    path.write_bytes(b"".join(pieces) + bytes(512))

    assert load_image(path).data.sum() == VOLUME.sum()
    path.write_bytes(b"".join(pieces)[:-5])
    with pytest.raises(UnreadableImageError):
        load_image(path)


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
@pytest.mark.parametrize(
    ("dimensions", "words"),
    [
        ((4, 10_000, 10_000, 100, 100), "claims 1,000,000,000,000 values"),
        ((3, 1000, 1000, 1000), "2,000,000,000 bytes of voxels"),
        ((3, 0, 13, 14), "no voxel"),
        ((3, -12, 13, 14), "no voxel"),
        ((7, 12, 13, 1, 1, 1, 1, 14), "number of axes is 7"),
    ],
    ids=["a trillion", "a billion", "none", "negative", "seven axes"],
)
def test_what_a_header_claims_is_refused_before_memory_is_taken(
    name: str, dimensions: tuple[int, ...], words: str, tmp_path: Path
):
    """With a sentence that holds the number."""
    path = stored(tmp_path, with_field("h", 40, *dimensions), name)
    tracemalloc.start()

    with pytest.raises(UnreadableImageError, match=words):
        read_extent(path)
    with pytest.raises(UnreadableImageError, match=words):
        load_image(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 10_000_000


@pytest.mark.filterwarnings("ignore::RuntimeWarning:nibabel")
@pytest.mark.parametrize(
    ("size", "spacing_mm", "note"),
    [
        (0.0, (1.0, 1.0, 1.0), "a voxel size of 0; 1 mm is taken for it"),
        (-2.0, (2.0, 2.0, 2.0), "negative voxel sizes; they are taken without the sign"),
        (float("nan"), (1.0, 1.0, 1.0), "voxel sizes that cannot be; 1 mm is taken for each"),
        (1e30, (1.0, 1.0, 1.0), "voxel sizes that cannot be; 1 mm is taken for each"),
    ],
)
def test_a_voxel_size_that_cannot_be_is_said(
    size: float, spacing_mm: tuple[float, ...], note: str, tmp_path: Path
):
    """Also where the library puts it right on its own."""
    content = bytearray(with_field("f", 80, size, size, size))
    struct.pack_into("<hh", content, 252, 0, 0)

    image = load_image(stored(tmp_path, bytes(content)))

    assert image.voxel_mm == spacing_mm
    assert any(note in each for each in image.notes)


@pytest.mark.parametrize(
    ("name", "is_packed", "words"),
    [("x.nii", True, "Rename it to .nii.gz"), ("x.nii.gz", False, "not compressed by gzip")],
)
def test_a_name_that_contradicts_the_bytes_is_refused(
    name: str, words: str, tmp_path: Path, *, is_packed: bool
):
    """The sentence says which of the two it is."""
    content = with_field("h", 252, 0)
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if is_packed else content)

    with pytest.raises(UnreadableImageError, match=words):
        load_image(path)


@pytest.mark.parametrize(
    ("time", "units", "repetition_s"),
    [(2.0, 8, 2.0), (2000.0, 16, 2.0), (2000.0, 8, None), (0.0, 8, None), (float("nan"), 8, None)],
    ids=["s", "ms", "ms called s", "none", "NaN"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning:nibabel")
def test_a_time_between_volumes_that_cannot_be_is_none(
    time: float, units: int, repetition_s: float | None, tmp_path: Path
):
    """A run with a volume every half hour does not exist."""
    series = np.stack([VOLUME, VOLUME], axis=3)
    image = nib.Nifti1Image(series, np.diag([2.0, 2.0, 2.0, 1.0]))
    content = bytearray(image.to_bytes())
    struct.pack_into("<f", content, 92, time)
    content[123] = 2 | units

    assert load_image(stored(tmp_path, bytes(content))).repetition_s == repetition_s


@pytest.mark.parametrize("kind", [">i2", "<i8", "<u8", "<f8", "|u1"])
def test_byte_order_and_width_do_not_matter(kind: str, tmp_path: Path):
    """Big endian, 64 bits: the same numbers."""
    values = (VOLUME % 200).astype(kind)
    header = nib.Nifti1Header(endianness=">" if kind.startswith(">") else "<")
    image = nib.Nifti1Image(values, np.eye(4), header, dtype=values.dtype)
    nib.save(image, tmp_path / "x.nii")

    np.testing.assert_array_equal(load_image(tmp_path / "x.nii").data, VOLUME % 200)
