"""Reads and writes NIfTI files so that all bytes stay, but those of voxels that were cut.

Not here: which voxels to cut.
"""

from __future__ import annotations

import gzip
import io
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import nibabel as nib
import numpy as np
from isal import igzip, isal_zlib
from nibabel.orientations import (
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
)
from numpy.typing import NDArray

from containers.contract import BadInputError
from containers.deface.template import Field

SUFFIXES = (".nii", ".nii.gz")

_GZIP_MAGIC = b"\x1f\x8b"
_ISAL_ERROR: type[Exception] = isal_zlib.IsalError  # type: ignore[assignment]  # a class, whatever its stub says
_GZIP_LEVEL = 1
"""Of ISA-L: a fifth of zlib's time at its own level 1, for files larger by a hundredth."""
_PLAIN_TYPES = MappingProxyType(
    {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
)
"""NIfTI's codes of voxels that are one number of at most 64 bits."""
MOST_BYTES = 4 << 30
"""Of an unpacked file."""
_SIZE_MM = (0.1, 8.0)
"""Voxels smaller or larger show no head that the step was tried on."""
_EXTENT_MM = 60.0
"""An image smaller than this along an axis cannot hold a head."""
_FEWEST_SLICES = 16
_CT_AIR = -900.0
_CT_SHARE = 0.05
_HEADER_BYTES = 352
_MOST_HEADER_BYTES = 64 << 10
"""With extensions of any kind; what programs add there is far shorter than a picture."""
_MOST_TEXT_BYTES = 4 << 20
"""With extensions of text: converters keep the whole DICOM header there, 200 kB are usual."""
_TEXT = bytes([0, 9, 10, 13, *range(32, 127), *range(128, 256)])
_MOST_OTHER_BYTES = 64
"""Sizes and codes of a few extensions."""


@dataclass(frozen=True, slots=True)
class HeadImage:
    """A NIfTI file in memory.

    Parameters
    ----------
    content : bytes
        Of the whole file, unpacked.
    stored : ndarray, shape (X, Y, Z)
        Voxels as the file has them; read-only.
    scale : tuple of float
        Slope and intercept from ``stored`` to ``volume``.
    voxel_mm : tuple of float
        Of ``volume``.
    affine_ras : ndarray, shape (4, 4)
        Of ``volume``, to world mm.
    has_orientation : bool
        Whether the header says how the head lies in the image.
    notes : tuple of str
        What is unusual, as sentences.
    """

    content: bytes
    offset: int
    stored: NDArray[np.generic]
    orientation: NDArray[np.float64]
    scale: tuple[float, float]
    voxel_mm: tuple[float, float, float]
    affine_ras: NDArray[np.float64]
    fill: float
    has_orientation: bool
    notes: tuple[str, ...]

    @property
    def volume(self) -> Field:
        """Return scaled intensities, float32, finite, axes turned to right, front, up.

        Made at each call, as it is larger than the file and wanted for a moment.
        """
        return self.layers(slice(None))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return the shape of `volume`."""
        x, y, z = apply_orientation(self.stored, self.orientation).shape
        return x, y, z

    def layers(self, heights: slice) -> Field:
        """Return some layers of `volume`."""
        turned = apply_orientation(self.stored, self.orientation)
        return _scaled(turned[:, :, heights], self.scale)


def is_image(path: Path) -> bool:
    """Return whether a file is a NIfTI file by its name."""
    return path.name.lower().endswith(SUFFIXES)


def read_head_image(path: Path, shown: str) -> HeadImage:
    """Read an image of one volume.

    Parameters
    ----------
    shown : str
        What messages call the file.

    Raises
    ------
    BadInputError
        It is no NIfTI file, is damaged, holds several volumes, colours or complex numbers, has
        voxel sizes or a size that no head has, is empty, is a CT, or has room for a second image.
    """
    content = _unpacked(path, shown)
    header = _header(content, shown)
    shape = _shape(header, shown)
    kind = _PLAIN_TYPES.get(int(header["datatype"]))
    if kind is None:
        raise BadInputError(
            f"Cannot deface {shown}: its voxels are no plain numbers (NIfTI datatype "
            f"{int(header['datatype'])}). Store it as integers or floats."
        )
    dtype = np.dtype(kind).newbyteorder(header.endianness)
    offset = max(int(header["vox_offset"]), int(header.single_vox_offset))
    count = int(np.prod(shape, dtype=np.int64))
    if len(content) < offset + count * dtype.itemsize:
        raise BadInputError(
            f"Cannot deface {shown}: the file ends before its voxels do. Get it again, whole."
        )
    stored = np.frombuffer(content, dtype, count, offset).reshape(shape, order="F")
    check_nothing_beside(content, offset, stored, shown)
    has_orientation = bool(header["sform_code"]) or bool(header["qform_code"])
    affine = _affine(header, shown)
    orientation = io_orientation(affine)
    scale = _scale(header)
    notes = _judged_values(stored, scale, shown)
    if not has_orientation:
        notes.append(
            "The header does not say how the head lies (sform and qform code 0); the order of "
            "voxels was taken for left, front, up, and the fit bore it out."
        )
    affine_ras = affine @ inv_ornt_aff(orientation, shape)
    sizes = np.linalg.norm(affine_ras[:3, :3], axis=0)
    return HeadImage(
        content=content,
        offset=offset,
        stored=stored,
        orientation=orientation,
        scale=scale,
        voxel_mm=(float(sizes[0]), float(sizes[1]), float(sizes[2])),
        affine_ras=affine_ras,
        fill=_fill(stored, header),
        has_orientation=has_orientation,
        notes=tuple(notes),
    )


def check_nothing_beside(content: bytes, offset: int, stored: NDArray[np.generic],
                         shown: str) -> None:  # fmt: skip
    """Refuse a file with room for a second image beside the voxels that its header names.

    Raises
    ------
    BadInputError
        Something stands behind the voxels, or what stands before them is long and no text.
    """
    has_room = offset > _MOST_HEADER_BYTES and not _is_text(content[_HEADER_BYTES:offset])
    if has_room or content[offset + stored.nbytes :].strip(b"\0"):
        raise BadInputError(
            f"Cannot deface {shown}: the file holds more than a header and the voxels that it "
            "names, which may show the face. Save the image anew with a program that reads it."
        )


def in_file_order(mask: NDArray[np.bool_], image: HeadImage) -> NDArray[np.bool_]:
    """Return a mask on `HeadImage.volume` as one on `HeadImage.stored`."""
    back = nib.orientations.ornt_transform(
        np.array([[0, 1], [1, 1], [2, 1]], float), image.orientation
    )
    return np.asarray(apply_orientation(mask, back))


def with_cut(image: HeadImage, cut: NDArray[np.bool_]) -> bytes:
    """Return the file with the fill value in all voxels of ``cut``, given in file order."""
    content = bytearray(image.content)
    view: NDArray[np.generic] = np.frombuffer(
        content, image.stored.dtype, image.stored.size, image.offset
    ).reshape(image.stored.shape, order="F")
    view[cut] = image.fill
    return bytes(content)


def mask_file(image: HeadImage, cut: NDArray[np.bool_]) -> bytes:
    """Return a NIfTI file of 1 where voxels were cut, with the geometry of the image."""
    header = _header(image.content, "the image").copy()
    header.set_data_dtype(np.uint8)
    header.set_slope_inter(1, 0)
    for name in ("descrip", "aux_file", "intent_name", "db_name", "data_type"):
        if name in header.keys():  # noqa: SIM118 - a structured header is no mapping
            header[name] = b""
    header["cal_max"], header["cal_min"] = 1, 0
    header["vox_offset"] = header.single_vox_offset
    stream = io.BytesIO()
    header.write_to(stream)
    stream.write(b"\0" * (int(header.single_vox_offset) - stream.tell()))
    stream.write(cut.astype(np.uint8).tobytes(order="F"))
    return stream.getvalue()


def write_file(path: Path, content: bytes) -> None:
    """Write a file, packed if its name says so, without name and time in the packing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    is_packed = path.name.lower().endswith(".gz")
    path.write_bytes(igzip.compress(content, _GZIP_LEVEL, mtime=0) if is_packed else content)


def read_content(path: Path) -> bytes:
    """Return the unpacked content of a file that `write_file` wrote."""
    content = path.read_bytes()
    return gzip.decompress(content) if content[:2] == _GZIP_MAGIC else content


def _unpacked(path: Path, shown: str) -> bytes:
    try:
        with path.open("rb") as stream:
            is_packed = stream.read(2) == _GZIP_MAGIC
            stream.seek(0)
            source = igzip.GzipFile(fileobj=stream) if is_packed else stream
            content = source.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, _ISAL_ERROR) as error:
        raise BadInputError(
            f"Cannot deface {shown}: its compression is damaged. Get the file again, whole."
        ) from error
    if len(content) > MOST_BYTES:
        raise BadInputError(
            f"Cannot deface {shown}: unpacked it is larger than 4 GB, more than the step takes."
        )
    return content


def _header(content: bytes, shown: str) -> nib.Nifti1Header:
    for kind in (nib.Nifti1Header, nib.Nifti2Header):
        size = kind.template_dtype.itemsize
        try:
            header = kind(content[:size], check=False)
        except (nib.spatialimages.HeaderDataError, nib.wrapstruct.WrapStructError):
            continue
        if int(header["sizeof_hdr"]) == size and bytes(header["magic"]).startswith(
            (b"n+1", b"n+2")
        ):
            return header
    raise BadInputError(
        f"Cannot deface {shown}: it is no single-file NIfTI image. Convert it to .nii or .nii.gz."
    )


def _shape(header: nib.Nifti1Header, shown: str) -> tuple[int, int, int]:
    dim = [int(each) for each in header["dim"]]
    count = dim[0]
    sizes = dim[1 : count + 1]
    if not 3 <= count <= 7 or min(sizes) < 1:  # noqa: PLR2004 - NIfTI's own limits
        raise BadInputError(f"Cannot deface {shown}: its header names no three-dimensional image.")
    if int(np.prod(sizes[3:])) > 1:
        raise BadInputError(
            f"Cannot deface {shown}: it holds {int(np.prod(sizes[3:]))} volumes, and the step "
            "defaces one. Split it into files of one volume."
        )
    return sizes[0], sizes[1], sizes[2]


def _affine(header: nib.Nifti1Header, shown: str) -> NDArray[np.float64]:
    affine = np.asarray(header.get_best_affine(), dtype=np.float64)
    sizes = np.linalg.norm(affine[:3, :3], axis=0)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-4:  # noqa: PLR2004 - mm3; flat
        raise BadInputError(
            f"Cannot deface {shown}: its header gives no usable directions or voxel sizes. "
            "Convert it again from the scanner's files."
        )
    low, high = _SIZE_MM
    if sizes.min() < low or sizes.max() > high:
        measured = " x ".join(f"{each:.2g}" for each in sizes)
        raise BadInputError(
            f"Cannot deface {shown}: its voxels measure {measured} mm, and the step takes {low} to "
            f"{high} mm."
        )
    shape = np.asarray(_shape(header, shown))
    if shape.min() < _FEWEST_SLICES or (shape * sizes).min() < _EXTENT_MM:
        raise BadInputError(
            f"Cannot deface {shown}: it is {' x '.join(f'{each:.0f}' for each in shape * sizes)} "
            f"mm in {' x '.join(map(str, shape))} voxels, too little of a head to find its face."
        )
    return affine


def _scale(header: nib.Nifti1Header) -> tuple[float, float]:
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if not np.isfinite(slope) or slope == 0:
        return 1.0, 0.0
    return slope, intercept if np.isfinite(intercept) else 0.0


@np.errstate(over="ignore", invalid="ignore")
def _scaled(stored: NDArray[np.generic], scale: tuple[float, float]) -> Field:
    """Return intensities; 0 for what is no finite number."""
    slope, intercept = scale
    volume = stored.astype(np.float32, order="F")
    if scale != (1.0, 0.0):
        volume *= np.float32(slope)
        volume += np.float32(intercept)
    # The sum of numbers is one, but for those near the largest of all, which are looked at.
    if not np.isfinite(volume.sum(dtype=np.float32)):
        volume[~np.isfinite(volume)] = 0
    return volume


@np.errstate(over="ignore", invalid="ignore")
def _judged_values(
    stored: NDArray[np.generic], scale: tuple[float, float], shown: str
) -> list[str]:
    """Return what is unusual about the intensities; raise where they cannot be a head's."""
    slope, intercept = np.float32(scale[0]), np.float32(scale[1])
    notes = []
    # Of whole numbers the ends tell all.
    values = np.array([stored.min(), stored.max()]).astype(np.float32) * slope + intercept
    if stored.dtype.kind == "f" or not np.isfinite(values).all():
        values = stored.astype(np.float32) * slope + intercept
    bad = int(values.size - np.isfinite(values).sum())
    if bad:
        if bad > values.size // 2:
            raise BadInputError(
                f"Cannot deface {shown}: more than half of its voxels are no finite numbers."
            )
        notes.append(f"{bad} voxels are no finite numbers; they were taken for air.")
        values[~np.isfinite(values)] = 0
    low, high = float(values.min()), float(values.max())
    if low == high:
        raise BadInputError(f"Cannot deface {shown}: all of its voxels have one value.")
    # Few images have values so low, so few are looked through for air.
    is_low = 5 * _CT_AIR < low < _CT_AIR
    if is_low and float((_scaled(stored, scale) < _CT_AIR).mean()) > _CT_SHARE:
        raise BadInputError(
            f"Cannot deface {shown}: it looks like a CT (air at -1000), for which the step is not "
            "made. Leave it out."
        )
    return notes


def _fill(stored: NDArray[np.generic], header: nib.Nifti1Header) -> float:
    """Return the stored number that stands for 0, or for the darkest if 0 is not among them."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    is_scaled = np.isfinite(slope) and slope != 0 and np.isfinite(intercept)
    zero = -intercept / slope if is_scaled else 0.0
    low, high = float(np.nanmin(stored)), float(np.nanmax(stored))
    if np.issubdtype(stored.dtype, np.integer):
        zero = round(zero)
    return float(min(max(zero, low), high))


def _is_text(extensions: bytes) -> bool:
    others = len(extensions.translate(None, _TEXT))
    others += extensions.decode("utf-8", "replace").count("\ufffd")
    return len(extensions) <= _MOST_TEXT_BYTES and others <= _MOST_OTHER_BYTES
