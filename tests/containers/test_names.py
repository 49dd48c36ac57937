"""Names of whole sessions: what only several images together tell. BIDS 1.10 gives the names."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.names import Naming, name_images
from containers.dicom_to_bids.project_map import ProjectMap
from tests.builders.converted_images import BOLD, FIELD_MAP, SHAPE, SPIN_ECHO_EPI, Session

NOBODY = SourceIdentity(frozenset())
ODD = [None, "", [], {}, "n/a", float("nan"), -1, [None, "x"], True, 10**30, "***", ["P"], [1] * 6]
KEYS = [
    *BOLD,
    "EchoNumber",
    "SeriesNumber",
    "BidsGuess",
    "ImageType",
    "ShimSetting",
    "Manufacturer",
]


def _stems(naming: Naming) -> list[str]:
    return [f"{item.data_type}/{item.stem('')}" for item in naming.named]


@pytest.fixture
def scans(tmp_path: Path) -> Session:
    """An empty session."""
    return Session(tmp_path)


def test_references_share_the_runs_of_their_series(scans: Session) -> None:
    """Each single-band reference has all labels of the series after it."""
    for _ in range(2):
        scans.add(BOLD, SHAPE, BidsGuess=["func", "_acq-epfid2p2_bold"])
        scans.add(BOLD, BidsGuess=["func", "_acq-epfid2p2m4_bold"], MultibandAccelerationFactor=4)

    stems = _stems(name_images(scans.images, NOBODY))

    assert stems == [
        f"func/_task-unknown_acq-epfid2p2m4_dir-AP_run-{run}_{suffix}"
        for run in (1, 2)
        for suffix in ("sbref", "bold")
    ]


def test_single_volume_without_a_following_series_is_left_out(scans: Session) -> None:
    """One volume of gradient-echo EPI by itself may be anything, so it is not filed."""
    scans.add(BOLD, SHAPE)

    naming = name_images(scans.images, NOBODY)

    assert naming.named == ()
    assert "one volume" in naming.left_out[0].reason


def test_single_volume_of_the_opposite_direction_maps_the_distortion(scans: Session) -> None:
    """One volume measured in reverse to a series is its field map."""
    scans.add(BOLD)
    scans.add(BOLD, SHAPE, PhaseEncodingDirection="j")

    stems = _stems(name_images(scans.images, NOBODY))

    assert stems == ["func/_task-unknown_dir-AP_bold", "fmap/_dir-PA_epi"]


def test_unweighted_reverse_of_diffusion_maps_the_distortion(scans: Session) -> None:
    """Unweighted volumes measured in reverse to a diffusion series are its field map."""
    diffusion = SPIN_ECHO_EPI | {"SequenceName": "ep_b0"}
    scans.add(diffusion, (64, 64, 30, 3), b_values="0 1000 1000")
    scans.add(diffusion, (64, 64, 30, 2), b_values="0 0", PhaseEncodingDirection="j")

    assert _stems(name_images(scans.images, NOBODY)) == ["dwi/_dir-AP_dwi", "fmap/_dir-PA_epi"]


def test_echoes_are_numbered_by_time(scans: Session) -> None:
    """The echoes of one series are numbered from the earliest."""
    for number, echo in ((1, 0.012), (2, 0.03), (3, 0.05)):
        scans.add(BOLD, EchoTime=echo, EchoNumber=number, SeriesNumber=5)

    assert _stems(name_images(scans.images, NOBODY)) == [
        f"func/_task-unknown_dir-AP_echo-{number}_bold" for number in (1, 2, 3)
    ]


def test_two_series_of_different_echo_time_are_no_echoes(scans: Session) -> None:
    """Two measurements with one echo each are runs, whatever their echo times."""
    scans.add(BOLD, EchoTime=0.03)
    scans.add(BOLD, EchoTime=0.035)

    assert _stems(name_images(scans.images, NOBODY)) == [
        f"func/_task-unknown_dir-AP_run-{run}_bold" for run in (1, 2)
    ]


def test_phase_is_named_beside_its_magnitude(scans: Session) -> None:
    """Magnitude and phase of one measurement share everything but the part."""
    scans.add(BOLD)
    scans.add(BOLD, ImageType=["ORIGINAL", "PRIMARY", "P", "ND"])

    assert _stems(name_images(scans.images, NOBODY)) == [
        f"func/_task-unknown_dir-AP_part-{part}_bold" for part in ("mag", "phase")
    ]


def test_two_echoes_with_phase_are_a_field_map(scans: Session) -> None:
    """Early gradient echoes at two times, magnitude and phase, map the field (Philips)."""
    echo = FIELD_MAP | {"Manufacturer": "Philips", "SequenceName": "FFE", "SeriesNumber": 301}
    for number, time in ((1, 0.0046), (2, 0.0069)):
        for part in "MP":
            kind = ["ORIGINAL", "PRIMARY", part, "FFE"]
            scans.add(echo, SHAPE, EchoTime=time, EchoNumber=number, ImageType=kind)

    assert _stems(name_images(scans.images, NOBODY)) == [
        "fmap/_magnitude1",
        "fmap/_phase1",
        "fmap/_magnitude2",
        "fmap/_phase2",
    ]


def test_many_echoes_with_phase_are_no_field_map(scans: Session) -> None:
    """Four gradient echoes are a multi-echo image, whose echoes BIDS wants numbered."""
    echo = FIELD_MAP | {"SequenceName": "*fl3d4", "MRAcquisitionType": "3D", "SeriesNumber": 4}
    for number in (1, 2, 3, 4):
        scans.add(echo, SHAPE, EchoTime=0.005 * number, EchoNumber=number)

    assert _stems(name_images(scans.images, NOBODY)) == [
        f"anat/_echo-{number}_MEGRE" for number in (1, 2, 3, 4)
    ]


def test_magnitude_beside_a_field_in_hertz(scans: Session) -> None:
    """BIDS calls the image beside a measured field ``magnitude``, without a number."""
    scans.add(FIELD_MAP, SHAPE, SeriesNumber=6, ImageType=["ORIGINAL", "FIELDMAPHZ"], Units="Hz")
    scans.add(FIELD_MAP, SHAPE, SeriesNumber=6)

    assert _stems(name_images(scans.images, NOBODY)) == ["fmap/_fieldmap", "fmap/_magnitude"]


def test_direction_comes_from_the_header_and_not_from_the_name(scans: Session) -> None:
    """A protocol that was copied with its name says AP; the header says from back to front."""
    scans.add(BOLD, name="func-bold_task-rest_dir-AP", PhaseEncodingDirection="j")

    assert _stems(name_images(scans.images, NOBODY)) == ["func/_task-rest_dir-PA_bold"]


@pytest.mark.parametrize(
    ("encoded", "label"), [("j-", "AP"), ("j", "PA"), ("i", "RL"), ("i-", "LR")]
)
def test_directions_of_transverse_slices(scans: Session, encoded: str, label: str) -> None:
    """As dcm2niix 1.0.20260724 names them for the EPI phantom with all four directions."""
    scans.add(BOLD, PhaseEncodingDirection=encoded)

    assert _stems(name_images(scans.images, NOBODY)) == [f"func/_task-unknown_dir-{label}_bold"]


def test_identity_never_becomes_a_label(scans: Session) -> None:
    """A name's words that are also the patient's are in no label."""
    scans.add(BOLD, name="func-bold_task-miller_acq-miller")

    naming = name_images(scans.images, SourceIdentity(frozenset({"miller"})))

    assert _stems(naming) == ["func/_task-unknown_dir-AP_bold"]
    assert any("task-unknown" in warning for warning in naming.warnings)


def test_perfusion_without_facts_names_them(scans: Session) -> None:
    """A perfusion series is left out, and the reason names the facts that BIDS requires."""
    scans.add(BOLD, ImageType=["ORIGINAL", "PRIMARY", "ASL"])

    left_out = name_images(scans.images, NOBODY).left_out[0]

    assert left_out.decision.kind == "perf/asl"
    for fact in ("BackgroundSuppression", "M0Type", "TotalAcquiredPairs", "aslcontext"):
        assert fact in left_out.reason


def test_inversions_without_required_facts_are_left_out(scans: Session) -> None:
    """BIDS requires five facts beside an MP2RAGE inversion; without them it is not filed."""
    train = {"ScanningSequence": "GR\\IR", "SequenceName": "*tfl3d1", "MRAcquisitionType": "3D"}
    scans.add(train, SHAPE, InversionTime=2.5, RepetitionTime=5.0, EchoTime=0.003, FlipAngle=5)

    left_out = name_images(scans.images, NOBODY).left_out[0]

    assert left_out.decision.entities == {"inv": "2"}
    assert "NumberShots" in left_out.reason


def test_map_goes_before_everything(scans: Session) -> None:
    """The project's map names what headers would name otherwise, and leaves out what it says."""
    rules = """{"version": 2, "mappings": [
      {"match": {"SeriesDescription": "odd"}, "exclude": "A test of the scanner."},
      {"match": {"SeriesDescription": "moving"}, "suffix": "bold", "entities": {"task": "walk"}}
    ]}"""
    project_map = ProjectMap.parse(rules)
    scans.add(BOLD, name="moving")
    scans.add(BOLD, name="odd")

    naming = name_images(scans.images, NOBODY, project_map)

    assert _stems(naming) == ["func/_task-walk_bold"]
    assert naming.left_out[0].reason == "A test of the scanner."


def test_every_image_has_one_place(scans: Session) -> None:
    """Whatever a session holds, each image is named or left out once, and no name comes twice."""
    chance = random.Random(4)  # noqa: S311 - made data, no secret
    facts = [BOLD, SPIN_ECHO_EPI, FIELD_MAP]
    for _ in range(60):
        scans.add(
            chance.choice(facts),
            chance.choice([SHAPE, (64, 64, 30, 9), (64, 64)]),
            ImageType=["ORIGINAL", "PRIMARY", chance.choice("MPRI")],
            EchoNumber=chance.choice([None, 1, 2]),
            EchoTime=chance.choice([0.005, 0.03, 0.07, None]),
            SeriesNumber=chance.randint(1, 9),
            PhaseEncodingDirection=chance.choice(["i", "j", "j-", None]),
        )

    naming = name_images(scans.images, NOBODY)

    assert len(naming.named) + len(naming.left_out) == 60
    assert len(set(_stems(naming))) == len(naming.named)
    assert all(left_out.reason for left_out in naming.left_out)


@pytest.mark.parametrize("seed", range(20))
def test_damaged_headers_stop_nothing(scans: Session, seed: int) -> None:
    """Whatever stands in whatever header, each image has one place and each name comes once."""
    chance = random.Random(seed)  # noqa: S311 - made data, no secret
    for _ in range(12):
        facts = dict(chance.choice([BOLD, SPIN_ECHO_EPI, FIELD_MAP]))
        facts |= {chance.choice(KEYS): chance.choice(ODD) for _ in range(4)}
        name = chance.choice(["", "anat-VFA", "\u00dcber task-\u00e9", "perf-asl_M0", "T1w"])
        scans.add(facts, name=name, b_values=chance.choice(["", "0 0", "0 1000", "x y"]))

    naming = name_images(scans.images, NOBODY)

    stems = _stems(naming)
    assert len(naming.named) + len(naming.left_out) == 12
    assert len(set(stems)) == len(stems)
    assert all(stem.isascii() for stem in stems)
