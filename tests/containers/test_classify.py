"""What headers of five vendors mean, and the scores against the truth beside the sample data.

The expected kinds follow from the vendors' names of sequences and from sequence physics as text
books have it; each case names what it is in the trade's words.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from containers.dicom_to_bids.classify.decision import Confidence
from containers.dicom_to_bids.classify.engine import classify
from containers.dicom_to_bids.classify.facts import SeriesFacts
from tests.builders.classification_scores import (
    converted_samples,
    score_samples,
    score_sidecars,
)

M = ["ORIGINAL", "PRIMARY", "M", "ND"]


def _sidecar(maker: str, image_type: list[str], times: tuple[float, ...], **more: Any) -> dict:
    """Return a sidecar; ``times`` are echo, repetition (s), flip angle (degrees), and inversion."""
    keys = ("EchoTime", "RepetitionTime", "FlipAngle", "InversionTime")
    plain = {"Manufacturer": maker, "ImageType": image_type, "MagneticFieldStrength": 3}
    return plain | dict(zip(keys, times, strict=False)) | more


def _seq(words: str, name: str = "", kind: str = "2D", **more: Any) -> dict[str, Any]:
    return {"ScanningSequence": words, "SequenceName": name, "MRAcquisitionType": kind} | more


# By what they are; no case has a description or a protocol name.
WITHOUT_NAMES = {
    "Siemens MPRAGE": (
        _sidecar("Siemens", M, (0.003, 2.3, 9, 0.9), **_seq("GR\\IR", "*tfl3d1_16ns", "3D")),
        "anat/T1w",
    ),
    "Siemens T2 SPACE": (
        _sidecar("Siemens", M, (0.56, 3.2, 120), **_seq("SE", "*spc_314ns", "3D")),
        "anat/T2w",
    ),
    "Siemens 3D FLAIR": (
        _sidecar("Siemens", M, (0.39, 5.0, 120, 1.8), **_seq("SE\\IR", "*spcir_278ns", "3D")),
        "anat/FLAIR",
    ),
    "Siemens MP2RAGE second inversion": (
        _sidecar("Siemens", M, (0.003, 5.0, 5, 2.5), **_seq("GR\\IR", "*tfl3d1_16ns", "3D")),
        "anat/MP2RAGE",
    ),
    "Siemens MP2RAGE uniform image": (
        _sidecar(
            "Siemens",
            ["DERIVED", "PRIMARY", "M", "ND", "UNI"],
            (0.003, 5.0, 5),
            **_seq("GR\\IR", "*tfl3d1_16ns", "3D"),
        ),
        "anat/UNIT1",
    ),
    "Siemens XA BOLD": (
        _sidecar("Siemens", [*M, "MFSPLIT"], (0.03, 1.0, 60), **_seq("GR\\EP", "*epfid2d1_64")),
        "func/bold",
    ),
    "Siemens spin-echo field map": (
        _sidecar("Siemens", M, (0.066, 8.0, 90), **_seq("EP", "epse2d1_104")),
        "fmap/epi",
    ),
    "Siemens diffusion": (
        _sidecar("Siemens", [*M, "DIFFUSION"], (0.09, 4.0, 90), **_seq("EP", "ep_b1000#12")),
        "dwi/dwi",
    ),
    "Siemens ADC map": (
        _sidecar("Siemens", ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"], (0.09, 4.0, 90)),
        "exclude",
    ),
    "Siemens phase difference": (
        _sidecar(
            "Siemens",
            ["ORIGINAL", "PRIMARY", "P", "ND"],
            (0.00738, 0.6, 60),
            **_seq("GR", "*fm2d2r", EchoTime1=0.00492, EchoTime2=0.00738),
        ),
        "fmap/phasediff",
    ),
    "Siemens PASL": (
        _sidecar("Siemens", [*M, "ASL"], (0.013, 3.4, 90), **_seq("EP", "ep2d_pasl")),
        "perf/asl",
    ),
    "Siemens contrast perfusion": (
        _sidecar(
            "Siemens",
            M,
            (0.03, 1.5, 90),
            **_seq("EP", "*epfid2d1_128", PulseSequenceDetails="%SiemensSeq%\\ep2d_perf"),
        ),
        "exclude",
    ),
    "Siemens motion-navigated MPRAGE": (
        _sidecar(
            "Siemens",
            M,
            (0.0018, 2.5, 8, 1.0),
            **_seq("GR\\IR", "tfl3d4", "3D", PulseSequenceDetails="%CustomerSeq%\\tfl_mgh_epinav"),
        ),
        "anat/T1w",
    ),
    "Siemens SWI, processed": (
        _sidecar("Siemens", [*M, "SWI"], (0.02, 0.027, 15), **_seq("GR", "*swi3d1r", "3D")),
        "exclude",
    ),
    "Siemens SWI, magnitude": (
        _sidecar("Siemens", M, (0.02, 0.027, 15), **_seq("GR", "*swi3d1r", "3D")),
        "anat/T2starw",
    ),
    "Siemens time of flight": (
        _sidecar("Siemens", M, (0.0036, 0.021, 18), **_seq("GR", "*fl3d1r_tm", "3D")),
        "anat/angio",
    ),
    "Siemens balanced steady state": (
        _sidecar("Siemens", M, (0.002, 0.005, 50), **_seq("GR", "*ci3d_ciss", "3D")),
        "exclude",
    ),
    "Siemens localiser by timing": (
        _sidecar("Siemens", M, (0.004, 0.0086, 20), **_seq("GR", "*fl2d1"), SliceThickness=7),
        "exclude",
    ),
    "GE BRAVO": (
        _sidecar(
            "GE",
            ["ORIGINAL", "PRIMARY", "OTHER"],
            (0.003, 0.008, 12, 0.45),
            **_seq("RM", "BRAVO", "3D", ScanOptions="FAST_GEMS\\EDR_GEMS\\IR_GEMS"),
        ),
        "anat/T1w",
    ),
    "GE CUBE T2": (
        _sidecar(
            "GE",
            ["ORIGINAL", "PRIMARY", "OTHER"],
            (0.064, 3.2, 90),
            **_seq("RM", "3dfse", "3D", ScanOptions="FR_GEMS\\ACC_GEMS"),
        ),
        "anat/T2w",
    ),
    "GE BOLD, research mode": (
        _sidecar(
            "GE",
            ["ORIGINAL", "PRIMARY", "OTHER"],
            (0.03, 2.0, 77),
            **_seq("EP\\RM", "epi", ScanOptions="EPI_GEMS\\FS"),
        ),
        "func/bold",
    ),
    "GE spin-echo field map, research mode": (
        _sidecar(
            "GE",
            ["ORIGINAL", "PRIMARY", "OTHER"],
            (0.0812, 7.0, 90),
            **_seq("EP\\RM", "epi", ScanOptions="EPI_GEMS\\FS"),
        ),
        "fmap/epi",
    ),
    "GE field in hertz": (
        _sidecar(
            "GE",
            ["ORIGINAL", "PRIMARY", "OTHER", "FIELDMAPHZ"],
            (0.0046, 0.2, 20),
            **_seq("RM", "B0rf", Units="Hz"),
        ),
        "fmap/fieldmap",
    ),
    "GE 3D ASL": (
        _sidecar("GE", ["ORIGINAL", "PRIMARY", "ASL"], (0.0105, 4.8, 111), **_seq("RM", "3dasl")),
        "perf/asl",
    ),
    "Philips T1TFE": (
        _sidecar("Philips", ["ORIGINAL", "PRIMARY", "T1", "NONE"], (0.003, 0.0065, 9))
        | {"PulseSequenceName": "T1TFE", "ScanningSequence": "GR", "MRAcquisitionType": "3D"},
        "anat/T1w",
    ),
    "Philips BOLD by its EPI factor alone": (
        _sidecar(
            "Philips",
            ["ORIGINAL", "PRIMARY", "M", "FFE", "M", "FFE"],
            (0.03, 2.0, 80),
            **_seq("GR", EchoTrainLength=43),
        ),
        "func/bold",
    ),
    "Philips TSE T1": (
        _sidecar(
            "Philips", ["ORIGINAL", "PRIMARY", "M", "SE"], (0.01, 0.6, 90), **_seq("SE", "TSE")
        ),
        "anat/T1w",
    ),
    "Philips T1 FFE": (
        _sidecar(
            "Philips",
            ["ORIGINAL", "PRIMARY", "M", "FFE"],
            (0.0046, 0.025, 30),
            **_seq("GR", "T1FFE", "3D"),
        ),
        "anat/T1w",
    ),
    "Philips field": (
        _sidecar(
            "Philips", ["ORIGINAL", "PRIMARY", "B0", "FFE"], (0.0046, 0.6, 60), **_seq("GR", "FFE")
        ),
        "fmap/fieldmap",
    ),
    "UIH BOLD": (
        _sidecar("UIH", ["ORIGINAL", "PRIMARY", "M"], (0.03, 2.0, 90), **_seq("EP", "epi_fid")),
        "func/bold",
    ),
    "UIH T1": (
        _sidecar(
            "UIH",
            ["ORIGINAL", "PRIMARY", "M"],
            (0.003, 0.0072, 8, 0.75),
            **_seq("GR", "gre_fsp", "3D"),
        ),
        "anat/T1w",
    ),
    "UIH T2": (
        _sidecar("UIH", ["ORIGINAL", "PRIMARY", "M"], (0.1, 4.0, 90), **_seq("SE", "fse")),
        "anat/T2w",
    ),
    "UIH localiser": (
        _sidecar(
            "UIH", ["ORIGINAL", "PRIMARY", "M"], (0.002, 0.006, 10), **_seq("GR", "gre_scout")
        ),
        "exclude",
    ),
    "Canon T1 field echo": (
        _sidecar(
            "Canon",
            ["ORIGINAL", "PRIMARY", "OTHER"],
            (0.003, 0.0065, 9, 0.9),
            **_seq("GR\\IR", "FE3D", "3D"),
        ),
        "anat/T1w",
    ),
    "Canon T2": (
        _sidecar(
            "TOSHIBA_MEC", ["ORIGINAL", "PRIMARY", "OTHER"], (0.09, 4.5, 90), **_seq("SE", "FSE+")
        ),
        "anat/T2w",
    ),
    "Canon BOLD": (
        _sidecar("Canon", ["ORIGINAL", "PRIMARY", "OTHER"], (0.03, 2.0, 80), **_seq("EP", "EPI")),
        "func/bold",
    ),
    "a header that says nothing": ({"Manufacturer": "Unheard"}, "exclude"),
}


@pytest.mark.parametrize("case", sorted(WITHOUT_NAMES))
def test_header_alone_tells_the_kind(case: str) -> None:
    """The measurement tells what the image is, without any word that a person typed."""
    sidecar, expected = WITHOUT_NAMES[case]

    assert classify(SeriesFacts.from_sidecar(sidecar)).kind == expected


BOLD = _sidecar("Siemens", M, (0.03, 2.0, 80), **_seq("EP", "*epfid2d1_64"))
ANATOMY = _sidecar("Siemens", M, (0.003, 2.3, 9, 0.9), **_seq("GR\\IR", "*tfl3d1_16ns", "3D"))
SPIN_ECHO_EPI = _sidecar("Siemens", M, (0.066, 8.0, 90), **_seq("EP", "epse2d1_104"))


@pytest.mark.parametrize(
    ("sidecar", "name", "expected"),
    [
        (BOLD, "func-bold_task-fa_run-1", "func/bold"),
        (BOLD, "rfMRI_REST_AP_SBRef", "func/sbref"),
        (BOLD, "fmap_acq-2.0_dir-AP", "fmap/epi"),
        (BOLD, "EPI opposite P/E for distortion correction", "fmap/epi"),
        (BOLD, "Localiser_faces", "func/bold"),
        (BOLD, "perf DSC", "exclude"),
        (BOLD, "anat-T1w", "exclude"),
        (BOLD, "task-rest_dir-AP_bold", "func/bold"),
        (SPIN_ECHO_EPI, "DTI 32 directions", "dwi/dwi"),
        (SPIN_ECHO_EPI, "SpinEchoFieldMap_AP", "fmap/epi"),
        (ANATOMY, "anat-scout", "exclude"),
        (ANATOMY, "t1_mprage_sag", "anat/T1w"),
        (ANATOMY, "head localizer", "exclude"),
    ],
)
def test_name_decides_only_what_the_header_leaves_open(
    sidecar: dict[str, Any], name: str, expected: str
) -> None:
    """A name chooses among what the measurement can be, and never makes it something else."""
    facts = SeriesFacts.from_sidecar(sidecar | {"SeriesDescription": name})

    assert classify(facts).kind == expected


def test_weighted_volumes_are_diffusion_whatever_the_header_says() -> None:
    """b-values of 1000 s/mm2 make a series diffusion, although its name says TENSOR."""
    sidecar = _sidecar("GE", ["ORIGINAL", "PRIMARY", "OTHER"], (0.12, 1.0, 90), **_seq("EP\\SE"))
    facts = SeriesFacts.from_sidecar(
        sidecar | {"SeriesDescription": "Ax DWI TENSOR", "BidsGuess": ["derived", "_TENSOR"]},
        shape=(64, 64, 20, 7),
        b_values=[0, *[1000] * 6],
    )

    assert classify(facts).kind == "dwi/dwi"


def test_late_echo_of_several_is_no_spin_echo() -> None:
    """The fourth echo of a multi-echo gradient-echo EPI, at 71 ms, stays functional."""
    late = _sidecar("GE", ["ORIGINAL", "PRIMARY", "OTHER"], (0.0709, 2.5, 77), **_seq("EP\\RM"))

    assert classify(SeriesFacts.from_sidecar(late | {"EchoNumber": 4})).kind == "func/bold"


def test_guess_of_the_converter_is_the_last_resort() -> None:
    """dcm2niix's guess counts where nothing else answers, and is marked as a guess."""
    facts = SeriesFacts.from_sidecar({"Manufacturer": "X", "BidsGuess": ["anat", "_acq-x_T2w"]})

    decision = classify(facts)

    assert (decision.kind, decision.confidence) == ("anat/T2w", Confidence.GUESSED)


def test_decisions_repeat_no_text_of_the_header() -> None:
    """Neither reason nor rule holds a word of the description, which may hold a name."""
    for sidecar, _ in WITHOUT_NAMES.values():
        facts = SeriesFacts.from_sidecar(sidecar | {"SeriesDescription": "Zebulon_rest T1w asl"})
        decision = classify(facts)

        assert "zebulon" not in f"{decision.reason} {decision.rule}".lower()
        assert decision.reason.endswith(".")


@pytest.mark.parametrize(
    "value", [None, "", [], {}, "n/a", float("nan"), -1, [1, 2], True, 10**30, "Ünïcode\\\\"]
)
@pytest.mark.parametrize("key", sorted({*BOLD, "BidsGuess", "EchoNumber", "SeriesDescription"}))
def test_odd_value_of_any_key_is_survived(key: str, value: object) -> None:
    """No value of any key that is read makes the classification fail."""
    decision = classify(SeriesFacts.from_sidecar(BOLD | {key: value}))

    assert decision.reason


@pytest.mark.samples
def test_sample_sessions_are_all_right(samples: Path, tmp_path: Path) -> None:
    """All 47 series of the sample sessions are right and none is misfiled, even without names."""
    sessions = converted_samples(samples, tmp_path)

    scores = [score_samples(samples, sessions, blank=blank) for blank in (False, True)]

    assert [score.right.total() for score in scores] == [47, 47]
    assert [score.misfiled for score in scores] == [[], []]


@pytest.mark.samples
@pytest.mark.parametrize(("blank", "right"), [(False, 281), (True, 263)])
def test_public_sidecars_are_mostly_right(samples: Path, right: int, *, blank: bool) -> None:
    """Of 284 sidecars of 24 public data sets at least so many are classed as published."""
    score = score_sidecars(samples, blank=blank)

    assert score.total.total() == 284
    assert score.right.total() >= right
