"""What headers of five vendors tell without a word that a person typed.

``vendor_headers.tsv`` has one made header in a line, with the kind of image that a radiographer
would call it: by the vendors' conformance statements, the vendor notes of dcm2niix, and protocols
as text books have them. ``exclude`` also stands where a header fits several kinds: an image that
is left out can be named by a map, one that is misfiled spoils a study.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from containers.dicom_to_bids.classify.engine import classify
from containers.dicom_to_bids.classify.facts import SeriesFacts
from containers.dicom_to_bids.convert import Converted
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.names import Naming, name_images
from tests.builders.converted_images import BOLD, FIELD_MAP, SERIES, SHAPE, Session

NOBODY = SourceIdentity(frozenset())
_TIMES = {
    "echo_s": "EchoTime",
    "repetition_s": "RepetitionTime",
    "flip_deg": "FlipAngle",
    "inversion_s": "InversionTime",
}


def _rows() -> list[dict[str, str]]:
    path = Path(__file__).with_name("vendor_headers.tsv")
    with path.open(encoding="utf-8", newline="") as table:
        return list(csv.DictReader(table, delimiter="\t", quoting=csv.QUOTE_NONE))


def _facts(row: dict[str, str]) -> SeriesFacts:
    sidecar: dict[str, Any] = {
        "Manufacturer": row["manufacturer"],
        "ImageType": row["image_type"].split("\\"),
        "MagneticFieldStrength": 3,
        "ScanningSequence": row["scanning"],
        "SequenceName": row["sequence"],
        "MRAcquisitionType": row["acquisition"],
        **{key: float(row[column]) for column, key in _TIMES.items() if row[column]},
    }
    for part in row["more"].split(";") if row["more"] else []:
        key, _, value = part.partition("=")
        sidecar[key] = json.loads(value)
    shape = [int(side) for side in row["shape"].split("x")] if row["shape"] else None
    b_values = [float(value) for value in row["b_values"].split()]
    return SeriesFacts.from_sidecar(sidecar, shape=shape, b_values=b_values)


@pytest.mark.parametrize("row", _rows(), ids=lambda row: f"{row['manufacturer']}: {row['what']}")
def test_header_alone_tells_the_kind(row: dict[str, str]) -> None:
    """The measurement is named as in the trade, or left out."""
    assert classify(_facts(row)).kind == row["kind"]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """Return a session to add images to."""
    return Session(tmp_path)


def _kinds(session: Session) -> dict[str, str]:
    """Return the kinds by place in the session, also of what is left out."""
    naming: Naming = name_images(session.images, NOBODY)
    placed = (*naming.named, *naming.left_out)

    def place(image: Converted) -> int:
        return session.images.index(image)

    return {str(place(item.image)): item.decision.kind for item in placed}


TRAIN = {
    "ScanningSequence": "SE",
    "SequenceName": "*se2d8",
    "MRAcquisitionType": "2D",
    "RepetitionTime": 3.0,
    "FlipAngle": 180,
}


def test_first_echoes_of_a_train_are_of_the_train(session: Session) -> None:
    """Eight spin echoes for a map of T2 are one measurement: none of them is PD or T2."""
    for number in range(1, 9):
        session.add(TRAIN, SHAPE, EchoTime=0.013 * number, EchoNumber=number, SeriesNumber=4)

    assert set(_kinds(session).values()) == {"anat/MESE"}


def test_two_echoes_are_density_and_t2(session: Session) -> None:
    """A dual-echo turbo spin echo is a PD and a T2 image."""
    session.add(TRAIN, SHAPE, EchoTime=0.011, EchoNumber=1, SeriesNumber=4)
    session.add(TRAIN, SHAPE, EchoTime=0.1, EchoNumber=2, SeriesNumber=4)

    assert _kinds(session) == {"0": "anat/PDw", "1": "anat/T2w"}


def test_few_volumes_in_reverse_to_a_task_map_its_distortion(session: Session) -> None:
    """Five volumes of the opposite direction beside 300 are measured for the distortion."""
    session.add(BOLD, (64, 64, 30, 5), PhaseEncodingDirection="j")
    session.add(BOLD, (64, 64, 30, 300))

    assert _kinds(session) == {"0": "fmap/epi", "1": "func/bold"}


def test_runs_in_both_directions_stay_runs(session: Session) -> None:
    """Two series of the same length and opposite direction are both functional (as in HCP)."""
    session.add(BOLD, SERIES, PhaseEncodingDirection="j")
    session.add(BOLD, SERIES)

    assert set(_kinds(session).values()) == {"func/bold"}


DIFFUSION = BOLD | {"SequenceName": "*ep_b1000#1", "EchoTime": 0.09}


def test_named_reverse_of_diffusion_stays_diffusion(session: Session) -> None:
    """ReproIn's ``dwi_dir-PA`` with b = 0 only is filed as such beside its weighted partner."""
    session.add(DIFFUSION, (64, 64, 30, 3), name="dwi_dir-AP", b_values="0 1000 1000")
    session.add(
        DIFFUSION,
        (64, 64, 30, 2),
        name="dwi_dir-PA",
        b_values="0 0",
        PhaseEncodingDirection="j",
    )

    naming = name_images(session.images, NOBODY)

    assert [item.stem("sub-x") for item in naming.named] == [
        "sub-x_dir-AP_dwi",
        "sub-x_dir-PA_dwi",
    ]


def test_unweighted_diffusion_alone_is_left_out(session: Session) -> None:
    """Without a weighted partner nobody can tell b = 0 from weighting that was taken away."""
    session.add(DIFFUSION, (64, 64, 30, 2), name="dwi_dir-PA", b_values="0 0")

    assert not name_images(session.images, NOBODY).named


def test_chance_b_value_is_no_label(session: Session) -> None:
    """dcm2niix's guess names the b-value of one file; two sessions would differ in it."""
    session.add(
        DIFFUSION,
        (64, 64, 30, 3),
        b_values="0 1000 1000",
        BidsGuess=["dwi", "_acq-epb5m3_dir-AP_dwi"],
    )

    assert "acq" not in name_images(session.images, NOBODY).named[0].entities


LONG_SPIN_ECHO = BOLD | {"SequenceName": "epse2d1_64", "EchoTime": 0.055}


@pytest.mark.parametrize(
    ("name", "kind"), [("", "dwi/dwi"), ("se_fmri_visual", "func/bold"), ("DTI", "dwi/dwi")]
)
def test_long_spin_echo_series_map_no_distortion(session: Session, name: str, kind: str) -> None:
    """A hundred spin-echo volumes are diffusion or, by name, functional, and no field map."""
    session.add(LONG_SPIN_ECHO, SERIES, name=name)

    assert _kinds(session) == {"0": kind}


def test_t1_weighted_flair_is_no_flair(session: Session) -> None:
    """T1 FLAIR, an early echo, is T1-weighted, also where the header lacks the inversion."""
    times = {"EchoTime": 0.024, "RepetitionTime": 2.9, "SequenceName": "T1FLAIR"}
    session.add(TRAIN | times, SHAPE, name="Sag T1 FLAIR", Manufacturer="GE")

    assert _kinds(session)["0"] != "anat/FLAIR"


GRADIENT_3D = FIELD_MAP | {
    "SequenceName": "",
    "MRAcquisitionType": "3D",
    "EchoTime": 0.003,
    "RepetitionTime": 0.008,
    "FlipAngle": 12,
}
LATE_SPIN_ECHO = TRAIN | {"EchoTime": 0.1, "RepetitionTime": 4.0}
ONE_PLANAR = BOLD | {"ScanningSequence": "EP\\SE", "SequenceName": "EPI2", "EchoTime": 0.08}


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        (GRADIENT_3D, "TOF MIP cor"),
        (GRADIENT_3D, "COL:3D TOF"),
        (GRADIENT_3D, "mIP_Images(SW)"),
        (GRADIENT_3D, "swi_MinIP"),
        (GRADIENT_3D, "WATER: Ax LAVA Flex"),
        (GRADIENT_3D, "InPhase: Ax LAVA Flex"),
        (GRADIENT_3D, "FILT_PHA: Ax SWAN"),
        (LATE_SPIN_ECHO, "SyMRI T2"),
        (GRADIENT_3D, "T1 map"),
        (GRADIENT_3D, "B1 map"),
        (GRADIENT_3D, "t1_vibe_dixon_tra_W"),
        (GRADIENT_3D, "T1 subtraction"),
        (LATE_SPIN_ECHO, "T2 map"),
        (LATE_SPIN_ECHO, "Synthetic T2"),
        (ONE_PLANAR, "ADC (10^-6 mm2/s)"),
        (ONE_PLANAR, "eADC"),
        (ONE_PLANAR, "DTI_FA"),
        (BOLD, "rCBV"),
        (BOLD, "relCBF"),
    ],
)
def test_maps_that_the_header_calls_original_are_left_out(
    session: Session, facts: dict[str, Any], name: str
) -> None:
    """Workstations write ORIGINAL into maps and projections; their names tell."""
    session.add(facts, SHAPE, name=name, Manufacturer="GE")

    assert _kinds(session) == {"0": "exclude"}


@pytest.mark.parametrize(
    ("facts", "shape", "name", "kind"),
    [
        (GRADIENT_3D, SHAPE, "T1w_MPR", "anat/T1w"),
        (GRADIENT_3D, SHAPE, "t1_ips_sag", "anat/T1w"),
        (BOLD, SERIES, "fmri_adc_task", "func/bold"),
        (BOLD, SERIES, "dream_task", "func/bold"),
        (FIELD_MAP, SHAPE, "gre_field_mapping_LOW_B1+", "fmap/magnitude1"),
        (LATE_SPIN_ECHO, SHAPE, "T2 ax", "anat/T2w"),
    ],
)
def test_words_like_those_of_maps_leave_measured_images(
    session: Session, facts: dict[str, Any], shape: tuple[int, ...], name: str, kind: str
) -> None:
    """MPR is short for MPRAGE, too; a task may be called anything."""
    session.add(facts, shape, name=name)

    assert _kinds(session) == {"0": kind}


def test_two_echoes_without_phase_are_no_field_map(session: Session) -> None:
    """Magnitudes alone map no field."""
    plain = FIELD_MAP | {"SequenceName": "*fl2d2"}
    session.add(plain, SHAPE, EchoTime=0.0049, EchoNumber=1, SeriesNumber=2)
    session.add(plain, SHAPE, EchoTime=0.0074, EchoNumber=2, SeriesNumber=2)

    assert not any(kind.startswith("fmap") for kind in _kinds(session).values())


def test_endless_names_are_cut() -> None:
    """A damaged header with a megabyte of text does not hold the session up."""
    endless = "dixon_" * 200_000
    facts = SeriesFacts.from_sidecar({"SeriesDescription": endless, "SequenceName": endless})

    assert max(len(facts.name), len(facts.sequence)) < 1000
    assert classify(facts).reason
