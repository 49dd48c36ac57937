"""NIfTI headers lose their texts and voxels stay; nibabel and gzip are the judges."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.nifti import scrub_nifti, scrub_nifti_pair

TOKEN = b"ZQXPCJLV"
SHAPE = (5, 4, 3, 2)


def write_image(path: Path, kind: type, order: str = "<", *, extension: bool = True) -> np.ndarray:
    """Write an image with a token in every text of its header; return its voxels."""
    voxels = np.random.default_rng(1).integers(-9, 9, SHAPE).astype(f"{order}i2")
    header = kind.header_class(endianness=order)
    header.set_data_dtype(voxels.dtype)
    image = kind(voxels, np.diag([2.0, 2, 2, 1]), header)
    for field in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        if field in image.header:
            image.header[field] = TOKEN
    image.header["descrip"] = b"TE=2.6;Time=160000.123;ZQXPCJLV;phase=1"
    if extension:
        image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", TOKEN))
    image.to_filename(path)
    return voxels


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_texts_go_and_voxels_stay(tmp_path: Path, kind: type, order: str, suffix: str):
    """No token is left in any byte; voxels, affine and contrast time are as before."""
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    voxels = write_image(source, kind, order)

    scrub_nifti(source, target)

    content = target.read_bytes()
    content = gzip.decompress(content) if suffix == ".nii.gz" else content
    image = kind.from_filename(target)
    assert TOKEN not in content
    assert b"Time" not in content
    assert np.asanyarray(image.dataobj).tobytes() == voxels.tobytes(order="F") or np.array_equal(
        np.asanyarray(image.dataobj), voxels
    )
    assert bytes(image.header["descrip"].item()) == b"TE=2.6;phase=1"
    assert image.header.extensions == []
    assert np.array_equal(image.affine, np.diag([2.0, 2, 2, 1]))
    assert content.endswith(voxels.tobytes(order="F"))


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
def test_pairs_stay_pairs(tmp_path: Path, kind: type):
    """Header and image of a pair are both clean, and bytes behind the voxels go."""
    voxels = write_image(tmp_path / "in.img", kind)
    with (tmp_path / "in.img").open("ab") as stream:
        stream.write(TOKEN)

    scrub_nifti_pair(
        tmp_path / "in.hdr", tmp_path / "in.img", (tmp_path / "out.hdr", tmp_path / "out.img")
    )

    assert np.array_equal(np.asanyarray(kind.from_filename(tmp_path / "out.img").dataobj), voxels)
    for name in ("out.hdr", "out.img"):
        assert TOKEN not in (tmp_path / name).read_bytes()


def test_what_lies_around_header_and_voxels_goes(tmp_path: Path):
    """Bytes between header and voxels, after the voxels, and in unused dimensions are dropped."""
    source = tmp_path / "in.nii"
    write_image(source, nib.Nifti1Image, extension=False)
    content = bytearray(source.read_bytes())
    struct.pack_into("<f", content, 108, 352 + 16)
    struct.pack_into("<2h", content, 52, 1954, 131)
    content[352:352] = TOKEN * 2
    source.write_bytes(bytes(content) + TOKEN)

    scrub_nifti(source, tmp_path / "out.nii")

    found = (tmp_path / "out.nii").read_bytes()
    assert TOKEN not in found
    assert struct.unpack_from("<2h", found, 52) == (1, 1)
    assert len(found) == 352 + 2 * 5 * 4 * 3 * 2


def test_name_and_time_of_gzip_go(tmp_path: Path):
    """The gzip header has no name, comment or time, and the same input gives the same bytes."""
    write_image(tmp_path / "plain.nii", nib.Nifti1Image)
    source = tmp_path / "in.nii.gz"
    with source.open("wb") as raw, gzip.GzipFile("ZQXPCJLV.nii", "wb", 6, raw, 1e9) as stream:
        stream.write((tmp_path / "plain.nii").read_bytes())

    scrub_nifti(source, tmp_path / "a.nii.gz")
    scrub_nifti(source, tmp_path / "b.nii.gz")

    content = (tmp_path / "a.nii.gz").read_bytes()
    assert content[3:8] == b"\0\0\0\0\0"
    assert content == (tmp_path / "b.nii.gz").read_bytes()


def test_every_truncation_is_refused(tmp_path: Path):
    """A file cut short at any place is refused."""
    write_image(tmp_path / "whole.nii.gz", nib.Nifti1Image)
    write_image(tmp_path / "whole.nii", nib.Nifti1Image, extension=False)
    for name in ("whole.nii.gz", "whole.nii"):
        content = (tmp_path / name).read_bytes()
        cut = tmp_path / f"cut-{name}"
        for length in range(0, len(content), 13):
            cut.write_bytes(content[:length])
            with pytest.raises(RefusedFileError):
                scrub_nifti(cut, tmp_path / f"out-{name}")


@pytest.mark.parametrize(
    ("offset", "form", "value"),
    [
        (344, "4s", b"\0\0\0\0"),  # Analyze 7.5, whose header holds a patient's number
        (68, "h", 3002),  # CIFTI
        (70, "h", 1),  # one bit a voxel
        (72, "h", 32),  # bits that do not fit the type
        (42, "h", -5),
        (40, "h", 9),
        (108, "f", float("nan")),
        (108, "f", 1e30),
        (108, "f", 100.0),
    ],
)
def test_headers_that_make_no_sense_are_refused(
    tmp_path: Path, offset: int, form: str, value: object
):
    """What cannot be vouched for is refused, and not tried."""
    source = tmp_path / "in.nii"
    write_image(source, nib.Nifti1Image, extension=False)
    content = bytearray(source.read_bytes())
    struct.pack_into(f"<{form}", content, offset, value)
    source.write_bytes(content)

    with pytest.raises(RefusedFileError):
        scrub_nifti(source, tmp_path / "out.nii")
