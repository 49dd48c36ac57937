"""Stored pixels of DICOM files as arrays, and a volume of them as the pipeline takes it.

Nothing is resampled or sorted anew: voxel (c, r, k) of a volume is column c, row r of its frame k,
so that a mask goes back to the pixels by the same indices. Not here: which frames make a volume
(``dicom_stacks``), files (``dicom_output``).

References
----------
DICOM PS3.3 C.7.6.3.1 (pixel module), C.11.1.1.2 (rescale); PS3.5 section 8 (encoding of pixels).
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import SimpleITK as sitk  # noqa: N813 - the name its own documentation uses
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, SecondaryCaptureImageStorage

from containers.deface.dicom_bytes import PIXEL_DATA, DicomBytes
from containers.deface.dicom_headers import PixelForm
from containers.deface.dicom_stacks import Volume
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.file_head import BIG, DEFLATED, EXPLICIT, IMPLICIT

NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG})
"""Transfer syntaxes whose pixels stand in the file as they are."""

_DELIMITER_BYTES = 8

Pixels = NDArray[np.generic]
"""Stored numbers, shape (frames, rows, columns), of the smallest type that holds the words."""


def read_pixels(place: DicomBytes, form: PixelForm) -> Pixels:
    """Return the stored numbers of a file, signed if the file says so.

    Raises
    ------
    RefusedFileError
        There are fewer or more pixels than the header says, or they cannot be unpacked.
    """
    element = place.elements.get(PIXEL_DATA)
    if element is None:
        raise RefusedFileError("It has no pixel data, or ends before them.")
    shape = (form.frames, form.rows, form.columns)
    if place.syntax in NATIVE:
        if element.is_open:
            raise RefusedFileError("Its pixel data are not packed as its transfer syntax says.")
        count = int(np.prod(shape, dtype=np.int64))
        length = element.stop - element.value_start
        if not 0 <= length - count * form.bits // 8 <= 1:
            raise RefusedFileError("It has fewer or more pixels than its header says.")
        words = np.frombuffer(place.data, _word(form, place), count, element.value_start)
        return _stored(words.reshape(shape), form)
    found = _unpacked(place, form)
    if found.size != np.prod(shape):
        raise RefusedFileError("It has fewer or more pixels than its header says.")
    return np.ascontiguousarray(found.reshape(shape))


def _unpacked(place: DicomBytes, form: PixelForm) -> Pixels:
    """Return compressed pixels as SimpleITK unpacks them, whose GDCM knows all of the standard's.

    It gets a file of the pixels alone: without a rescale slope it gives the stored numbers.
    """
    bare = Dataset()
    bare.SOPClassUID = SecondaryCaptureImageStorage
    bare.SOPInstanceUID = "2.25.1"
    bare.SamplesPerPixel, bare.PhotometricInterpretation = 1, "MONOCHROME2"
    bare.NumberOfFrames, bare.Rows, bare.Columns = form.frames, form.rows, form.columns
    bare.BitsAllocated, bare.BitsStored, bare.HighBit = (
        form.bits, form.stored_bits, form.stored_bits - 1,
    )  # fmt: skip
    bare.PixelRepresentation = int(form.is_signed)
    meta = bare.file_meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = bare.SOPClassUID
    meta.MediaStorageSOPInstanceUID = bare.SOPInstanceUID
    meta.TransferSyntaxUID = UID(place.syntax)
    bare.PixelData = (place.value(PIXEL_DATA) or b"")[:-_DELIMITER_BYTES]
    bare["PixelData"].is_undefined_length = True
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.dcm"
        bare.save_as(path, enforce_file_format=True)
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        try:
            found = sitk.GetArrayFromImage(reader.Execute())
        except RuntimeError as error:
            raise RefusedFileError("Its compressed pixels cannot be unpacked here.") from error
    kind = np.dtype(f"{'i' if form.is_signed else 'u'}{form.bits // 8}")
    return np.asarray(found).astype(kind)


def words_of(pixels: Pixels, form: PixelForm, place: DicomBytes) -> bytes:
    """Return stored numbers as the bytes of native pixel data, of even length."""
    raw = pixels.astype(_word(form, place)).tobytes()
    return raw + b"\0" * (len(raw) % 2)


def changed_words(pixels: Pixels, removed: NDArray[np.bool_], fill: Pixels, form: PixelForm,
                  place: DicomBytes) -> bytes:  # fmt: skip
    """Return native pixel data with a fill in the removed pixels; all other words stay.

    Parameters
    ----------
    removed : ndarray, bool, shape of pixels
    fill : ndarray, shape (frames, 1, 1)
        Stored number for each frame.
    """
    filled = np.where(removed, fill.astype(pixels.dtype), pixels)
    if place.syntax not in NATIVE:
        return words_of(filled, form, place)
    element = place.elements[PIXEL_DATA]
    raw = bytearray(place.data[element.value_start : element.stop])
    words = np.frombuffer(raw, _word(form, place), pixels.size).reshape(pixels.shape)
    words[removed] = filled[removed].astype(words.dtype)
    return bytes(raw)


def volume_bytes(volume: Volume, pixels: Mapping[Path, Pixels]) -> bytes:
    """Return a volume as an unpacked NIfTI file, for the pipeline alone.

    Stored numbers go in as they are where one slope holds for all slices, else as intensities.
    """
    frames = volume.frames
    slices = [pixels[frame.path][frame.number].T for frame in frames]
    scales = {(frame.slope, frame.intercept) for frame in frames}
    if len(scales) == 1:
        data: NDArray[np.generic] = np.stack(slices, axis=2)
        slope, intercept = next(iter(scales))
    else:
        data = np.stack(
            [
                each.astype(np.float32) * np.float32(frame.slope) + np.float32(frame.intercept)
                for each, frame in zip(slices, frames, strict=True)
            ],
            axis=2,
        )
        slope, intercept = 1.0, 0.0
    header = nib.Nifti1Header()
    header.set_data_dtype(data.dtype)
    header.set_data_shape(data.shape)
    header.set_sform(volume.affine, 1)
    header.set_qform(volume.affine, 1, strip_shears=True)
    header.set_slope_inter(slope, intercept)
    header["vox_offset"] = header.single_vox_offset
    stream = io.BytesIO()
    header.write_to(stream)
    stream.write(b"\0" * (int(header.single_vox_offset) - stream.tell()))
    stream.write(data.astype(data.dtype.newbyteorder("<")).tobytes(order="F"))
    return stream.getvalue()


def _word(form: PixelForm, place: DicomBytes) -> np.dtype[np.generic]:
    order = ">" if place.encoding.big_endian else "<"
    # Big-endian files of 8 bits swap the bytes within words of 16; MR has none (PS3.5 8.1.1).
    if form.bits == 8 and place.encoding.big_endian:  # noqa: PLR2004 - bits of a byte
        raise RefusedFileError("Its pixels are packed in a way that the step does not take.")
    kind = "i" if form.is_signed else "u"
    return np.dtype(f"{order}{kind}{form.bits // 8}")


def _stored(words: Pixels, form: PixelForm) -> Pixels:
    """Return words without what may stand in their unused high bits."""
    native = words.astype(words.dtype.newbyteorder("="))
    unused = form.bits - form.stored_bits
    if unused == 0:
        return native
    # To the top and back: arithmetic for signed numbers, so that the sign goes along.
    moved = np.left_shift(native, unused, dtype=native.dtype)
    return np.asarray(np.right_shift(moved, unused, dtype=native.dtype))
