"""The made session, read by programs that we did not write: dcm2niix, pydicom, nibabel."""

from __future__ import annotations

import hashlib
import importlib
import json
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dcm2niix
import nibabel as nib
import numpy as np
import pydicom
import pytest

from deploy.demo_session import DemoSession, write_demo_session


@dataclass(frozen=True)
class Converted:
    """What dcm2niix alone makes of the session, by BIDS suffix."""

    images: dict[str, Path]
    sidecars: dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> DemoSession:
    return write_demo_session(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def converted(session: DemoSession, tmp_path_factory: pytest.TempPathFactory) -> Converted:
    target = tmp_path_factory.mktemp("nifti")
    subprocess.run(
        [dcm2niix.bin, "-g", "i", "-b", "y", "-z", "n", "-o", str(target), str(session.folder)],
        check=True,
        capture_output=True,
    )
    images, sidecars = {}, {}
    for path in target.glob("*.json"):
        sidecar = json.loads(path.read_text())
        suffix = sidecar["BidsGuess"][1].split("_")[-1]
        images[suffix], sidecars[suffix] = path.with_suffix(".nii"), sidecar
    return Converted(images, sidecars)


def _digest(session: DemoSession) -> dict[str, str]:
    return {
        str(path.relative_to(session.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in session.files
    }


def test_same_seed_gives_same_bytes(session: DemoSession, tmp_path: Path) -> None:
    """Writing the session again with the same seed gives the same files, byte for byte."""
    again = write_demo_session(tmp_path)

    assert _digest(again) == _digest(session)


def test_other_seed_gives_other_uids(session: DemoSession, tmp_path: Path) -> None:
    """Another seed gives files of which none equals a file of the first."""
    other = write_demo_session(tmp_path, seed=7)

    assert not set(_digest(other).values()) & set(_digest(session).values())


def test_session_is_small_and_complete(session: DemoSession) -> None:
    """The session is below 40 MB and holds only what it lists."""
    present = {path for path in session.folder.rglob("*") if path.is_file()}

    assert present == set(session.files)
    assert sum(path.stat().st_size for path in present) < 40_000_000


def test_headers_are_one_study_of_one_patient(session: DemoSession) -> None:
    """Pydicom reads every file; all are one patient's study in six series."""
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in session.files]

    assert len({header.StudyInstanceUID for header in headers}) == 1
    assert len({header.PatientID for header in headers}) == 1
    assert len({header.SeriesInstanceUID for header in headers}) == 6
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)
    assert all(header.SOPInstanceUID.startswith("2.25.") for header in headers)


def test_planted_identities_are_in_every_file(session: DemoSession) -> None:
    """Each identity that the session claims to hold stands in the bytes of each file."""
    for path in session.files:
        content = path.read_bytes()
        missing = [name for name, text in session.planted.items() if text.encode() not in content]
        assert missing == [], path.name


def test_private_vendor_header_can_be_read(session: DemoSession) -> None:
    """Nibabel's reader of the vendor's private header finds the mosaic and its slice times."""
    with warnings.catch_warnings():
        # The reader warns on import that it is experimental.
        warnings.simplefilter("ignore", UserWarning)
        csareader = importlib.import_module("nibabel.nicom.csareader")
    mosaic = next(path for path in session.files if "bold" in path.parent.name)

    csa = csareader.get_csa_header(pydicom.dcmread(mosaic), "image")

    assert csa is not None
    assert csareader.get_n_mosaic(csa) == session.bold.shape[2]
    assert len(csa["tags"]["MosaicRefAcqTimes"]["items"]) == session.bold.shape[2]


def test_converter_recognises_each_measurement(converted: Converted) -> None:
    """dcm2niix itself tells what each series is, from the headers alone."""
    guesses = {suffix: sidecar["BidsGuess"][0] for suffix, sidecar in converted.sidecars.items()}

    assert guesses == {
        "localizer": "discard",
        "T1w": "anat",
        "magnitude1": "fmap",
        "magnitude2": "fmap",
        "phasediff": "fmap",
        "bold": "func",
        "dwi": "dwi",
    }


def test_echo_planar_sidecars_have_what_correction_needs(converted: Converted) -> None:
    """Phase-encoding direction, readout time, slice times and both echo times are there."""
    for suffix in ("bold", "dwi"):
        assert converted.sidecars[suffix]["PhaseEncodingDirection"] == "j-"
        assert converted.sidecars[suffix]["TotalReadoutTime"] > 0
        assert len(converted.sidecars[suffix]["SliceTiming"]) == 24
    assert converted.sidecars["phasediff"]["EchoTime1"] == pytest.approx(0.00492)
    assert converted.sidecars["phasediff"]["EchoTime2"] == pytest.approx(0.00738)


def test_functional_voxels_and_places_survive(session: DemoSession, converted: Converted) -> None:
    """The converted functional series has the planted values at the planted places."""
    planted = nib.as_closest_canonical(
        nib.Nifti1Image(session.bold.astype(np.int32), session.bold_affine_ras)
    )

    found = nib.as_closest_canonical(nib.load(converted.images["bold"]))

    np.testing.assert_array_equal(np.asarray(found.dataobj), np.asarray(planted.dataobj))
    np.testing.assert_allclose(found.affine, planted.affine, atol=1e-3)


def test_field_map_lies_on_the_functional_grid(converted: Converted) -> None:
    """The field map's images have the functional series' grid."""
    bold = nib.load(converted.images["bold"])

    for suffix in ("magnitude1", "magnitude2", "phasediff"):
        image = nib.load(converted.images[suffix])
        assert image.shape == bold.shape[:3]
        np.testing.assert_allclose(image.affine, bold.affine, atol=1e-3)


def test_diffusion_weighting_survives(session: DemoSession, converted: Converted) -> None:
    """b-values and gradient directions come out of the converter as they were put in."""
    image = nib.load(converted.images["dwi"])
    b_values = np.loadtxt(converted.images["dwi"].with_suffix(".bval"))
    vectors = np.loadtxt(converted.images["dwi"].with_suffix(".bvec")).T

    # FSL's convention: vectors are in voxel axes, the first one flipped if the image is stored
    # in neurological order (positive determinant).
    rotation = image.affine[:3, :3] / np.linalg.norm(image.affine[:3, :3], axis=0)
    if np.linalg.det(rotation) > 0:
        vectors[:, 0] *= -1
    directions_lps = vectors @ rotation.T * (-1, -1, 1)

    np.testing.assert_array_equal(b_values, session.b_values)
    np.testing.assert_allclose(directions_lps, session.directions_lps, atol=1e-4)


def test_diffusion_weighting_weakens_the_signal(converted: Converted) -> None:
    """Every weighted volume is darker than the unweighted one, as in tissue."""
    volumes = np.asarray(nib.load(converted.images["dwi"]).dataobj, dtype=float)

    means = volumes.mean(axis=(0, 1, 2))

    assert (means[1:] < 0.8 * means[0]).all()


def test_head_has_a_face_in_front_of_the_brain(converted: Converted) -> None:
    """In the mid-sagittal slice the nose reaches further forward than the forehead."""
    image = nib.as_closest_canonical(nib.load(converted.images["T1w"]))
    middle = np.asarray(image.dataobj)[image.shape[0] // 2].astype(float)
    to_voxel = np.linalg.inv(image.affine)

    def foremost(z_mm: float) -> float:
        row = middle[:, round(float((to_voxel @ (0, 0, z_mm, 1))[2]))]
        return float((image.affine @ (0, np.flatnonzero(row > 200).max(), 0, 1))[1])

    assert foremost(-30) > foremost(60) + 15
