"""One program under many names: what it does follows from the name by which it is started.

Four names are ANTs' own programs, which the package antspyx carries as functions: nothing is
substituted there but the way they are started. The others are written here after the description
of the program whose name they have, on the formulas of ``qc``. Not here: templates.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray

ANTS_PROGRAMS = (
    "antsAffineInitializer", "antsApplyTransforms", "antsRegistration", "Atropos",
    "N4BiasFieldCorrection",
)  # fmt: skip
_ANTS_VERSION = "2.5.0"
"""The generation of ANTs that antspyx 0.6 is built from; nipype allows options by it."""
_AFNI_VERSION = "Version AFNI_24.0.0"
"""MRIQC reads it to decide on an option of 3dFWHMx."""

Arguments = Sequence[str]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program whose name this was started by; return its exit code."""
    given = list(sys.argv if argv is None else argv)
    name = Path(given[0]).name
    if name in ANTS_PROGRAMS:
        return run_ants(name, given[1:])
    program = PROGRAMS.get(name)
    if program is None:
        sys.stderr.write(f"There is no stand-in for {name}.\n")
        return 2
    program(given[1:])
    return 0


def run_ants(name: str, arguments: Arguments) -> int:
    """Run one of ANTs' programs out of antspyx."""
    from ants.internal import get_lib_fn  # noqa: PLC0415  # in MRIQC's image only

    # MRIQC asks each program for its version first, which antspyx's functions do not know.
    if list(arguments) == ["--version"]:
        sys.stdout.write(f"ANTs Version: {_ANTS_VERSION}\n")
        return 0
    return int(get_lib_fn(name)(list(arguments)) or 0)


def afni(_arguments: Arguments) -> None:
    """Print a version, as ``afni --version`` does."""
    sys.stdout.write(f"Precompiled binary linux: stand-in ({_AFNI_VERSION})\n")


def synthstrip(arguments: Arguments) -> None:
    """Write the brain and its mask: ``synthstrip -i IN -o BRAIN -m MASK``.

    The mask is that of the network in ``qc.brain_mask``, not SynthStrip's.
    """
    from qc.brain_mask import BrainMaskNetwork, main_body  # noqa: PLC0415  # loads onnxruntime
    from qc.images import load_image  # noqa: PLC0415  # each program loads its own

    source = Path(option(arguments, "-i"))
    image = _load(source)
    upright = load_image(source)
    mask = main_body(BrainMaskNetwork(threads=1).predict(upright.data), upright.voxel_mm)
    own = nibabel.as_closest_canonical(image)
    placed = nibabel.Nifti1Image(mask.astype(np.uint8), own.affine)
    back = nibabel.orientations.ornt_transform(
        nibabel.io_orientation(own.affine), nibabel.io_orientation(image.affine)
    )
    mask_data = np.asarray(placed.as_reoriented(back).dataobj)
    header = image.header.copy()
    brain = np.asanyarray(image.dataobj) * (mask_data > 0)
    nibabel.Nifti1Image(brain, image.affine, header).to_filename(option(arguments, "-o"))
    header.set_data_dtype(np.uint8)
    nibabel.Nifti1Image(mask_data, image.affine, header).to_filename(option(arguments, "-m"))


def smoothness(arguments: Arguments) -> None:
    """Print the classic smoothness in mm: ``3dFWHMx -input IN -mask MASK -out FILE``.

    ``-out`` gets a line for each volume; ``3dFWHMx.1D`` in the working folder is there because
    MRIQC's library expects it. Of a series the mean over its volumes is printed. With ``-acf`` a
    second line follows, of zeros: MRIQC reads the first alone.
    """
    from qc.spatial import fwhm  # noqa: PLC0415  # each program loads its own

    image = _load(option(arguments, "-input"))
    mask = np.asarray(_load(option(arguments, "-mask")).dataobj) > 0
    data = np.asarray(image.dataobj, dtype=np.float32)
    volumes = data[..., None] if data.ndim == 3 else data  # noqa: PLR2004 - time
    found = np.array(
        [[np.nan if size is None else size for size in fwhm(volumes[..., number], mask)]
         for number in range(volumes.shape[3])]
    )  # fmt: skip
    sizes_mm = found * np.array(image.header.get_zooms()[:3], dtype=float)
    np.savetxt(option(arguments, "-out"), sizes_mm, fmt="%.6g")
    mean = np.nanmean(sizes_mm, axis=0)
    numbers = (*mean, float(np.cbrt(np.prod(mean))))
    sys.stdout.write(" ".join(f"{value:.6g}" for value in numbers) + "\n")
    if "-acf" in arguments:
        sys.stdout.write("0 0 0 0\n")
    Path("3dFWHMx.1D").write_text("0 1\n", encoding="ascii")


def mean_over_time(arguments: Arguments) -> None:
    """Write the mean volume: ``3dTstat -mean -prefix OUT IN``."""
    image = _load(arguments[-1])
    data = np.asarray(image.dataobj, dtype=np.float32).mean(axis=3)
    nibabel.Nifti1Image(data, image.affine).to_filename(option(arguments, "-prefix"))


def automask(arguments: Arguments) -> None:
    """Write a mask of the signal: ``3dAutomask -prefix OUT IN``."""
    from qc.masks import signal_mask  # noqa: PLC0415  # each program loads its own

    image = _load(arguments[-1])
    data = np.asarray(image.dataobj, dtype=np.float32)
    mean = data if data.ndim == 3 else data.mean(axis=3)  # noqa: PLR2004 - time
    mask = signal_mask(mean, _zooms(image))
    nibabel.Nifti1Image(mask.astype(np.uint8), image.affine).to_filename(
        option(arguments, "-prefix")
    )


def motion(arguments: Arguments) -> None:
    """Estimate head motion: ``3dvolreg -1Dfile F -1Dmatrix_save M -maxdisp1D D -prefix P IN``.

    The aligned series under ``-prefix`` is the input: MRIQC applies the matrices itself.
    """
    from qc.masks import signal_mask  # noqa: PLC0415  # each program loads its own
    from qc.registration import displacement_mm, make_reference, matrix_of, register  # noqa: PLC0415  # each program loads its own

    image = _load(arguments[-1])
    data = np.asarray(image.dataobj, dtype=np.float32)
    zooms = _zooms(image)
    base = data[..., 0]
    reference = make_reference(base, signal_mask(base, zooms), zooms)
    found = []
    start = None
    for number in range(data.shape[3]):
        start = register(data[..., number], reference, start)
        found.append(start)
    world = [_to_world(matrix_of(each), image.affine, data.shape[:3], zooms) for each in found]
    np.savetxt(option(arguments, "-1Dmatrix_save"), [one[:3].ravel() for one in world], fmt="%.9g")
    np.savetxt(option(arguments, "-1Dfile"), [_afni_numbers(one) for one in world], fmt="%.6g")
    distances = [displacement_mm(found[0], each) for each in found]
    np.savetxt(option(arguments, "-maxdisp1D"), distances, fmt="%.6g")
    nibabel.Nifti1Image(data, image.affine, image.header).to_filename(option(arguments, "-prefix"))


def _to_world(
    inner: NDArray[np.float64],
    affine: NDArray[np.float64],
    shape: tuple[int, ...],
    zooms: tuple[float, float, float],
) -> NDArray[np.float64]:
    """Return a motion as AFNI writes it: from places in the base to places in the volume, LPS."""
    centred = np.eye(4)
    centred[:3, :3] = np.diag(1 / np.array(zooms))
    centred[:3, 3] = (np.array(shape) - 1) / 2
    place = affine @ centred
    flip = np.diag([-1.0, -1.0, 1.0, 1.0])
    return np.asarray(flip @ place @ inner @ np.linalg.inv(place) @ flip)


def _afni_numbers(world: NDArray[np.float64]) -> list[float]:
    """Return roll, pitch, yaw in degrees and shifts to S, L, P in mm."""
    roll = np.degrees(np.arctan2(world[1, 0], world[0, 0]))
    pitch = np.degrees(np.arctan2(world[2, 1], world[2, 2]))
    yaw = np.degrees(-np.arcsin(np.clip(world[2, 0], -1, 1)))
    return [roll, pitch, yaw, world[2, 3], world[0, 3], world[1, 3]]


def outliers(arguments: Arguments) -> None:
    """Print the share of outlying voxels of each volume: ``3dToutcount -fraction -mask M IN``."""
    from qc.temporal import outlier_fraction  # noqa: PLC0415  # each program loads its own

    _print_numbers(outlier_fraction(_series(arguments)))


def quality_index(arguments: Arguments) -> None:
    """Print how unlike the median each volume is: ``3dTqual -mask M IN``, to ``> OUT`` if given."""
    from qc.temporal import quality_index as index  # noqa: PLC0415  # each program loads its own

    _print_numbers(index(_series(arguments)))


def global_correlation(arguments: Arguments) -> None:
    """Print the global correlation: ``@compute_gcor -input IN -mask M``."""
    from qc.temporal import gcor  # noqa: PLC0415  # each program loads its own

    sys.stdout.write(f"GCOR = {gcor(_series(arguments)):.6g}\n")


def option(arguments: Arguments, name: str) -> str:
    """Return the value that follows an option.

    Raises
    ------
    SystemExit
        The option is not there.
    """
    if name not in arguments[:-1]:
        raise SystemExit(f"The stand-in needs the option {name}.")
    return arguments[list(arguments).index(name) + 1]


def _series(arguments: Arguments) -> NDArray[np.float32]:
    """Return voxels by time: inside ``-mask M``, of the signal with ``-automask``, or all."""
    source = option(arguments, "-input") if "-input" in arguments else arguments[-1]
    image = _load(source)
    data = np.asarray(image.dataobj, dtype=np.float32)
    if "-mask" in arguments:
        mask = np.asarray(_load(option(arguments, "-mask")).dataobj) > 0
    elif "-automask" in arguments:
        from qc.masks import signal_mask  # noqa: PLC0415  # each program loads its own

        mask = signal_mask(data.mean(axis=3), _zooms(image))
    else:
        mask = np.ones(data.shape[:3], dtype=bool)
    return np.asarray(data[mask])


def _print_numbers(values: NDArray[np.floating]) -> None:
    sys.stdout.write("".join(f"{value:.6g}\n" for value in values))


def _load(path: str | Path) -> Any:
    return nibabel.load(path)


def _zooms(image: Any) -> tuple[float, float, float]:
    x, y, z = (float(size) for size in image.header.get_zooms()[:3])
    return x, y, z


PROGRAMS: MappingProxyType[str, Callable[[Arguments], None]] = MappingProxyType({
    "afni": afni,
    "synthstrip": synthstrip,
    "3dFWHMx": smoothness,
    "3dTstat": mean_over_time,
    "3dAutomask": automask,
    "3dvolreg": motion,
    "3dToutcount": outliers,
    "3dTqual": quality_index,
    "@compute_gcor": global_correlation,
})  # fmt: skip
