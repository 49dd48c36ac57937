"""Records of both programs become tables that never mix what must not be mixed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.stats import median_abs_deviation

from qc.norms import FEWEST_IMAGES, Stratum, column_of, norm_of, norms_without_each, strata
from qc.pool import CannotPoolError, Row, UnknownRecordError, pool, read_record, split
from qc.verdicts import JUDGED, Verdict, compare, is_worse


def record(
    software: str = "winqc", version: str = "1.2.3", modality: str = "bold", **more: Any
) -> str:
    """Return a record as either program lays it out."""
    provenance: dict[str, Any] = {"software": software, "version": version}
    if software == "winqc":
        provenance |= {"pipeline": "winqc-bold/1", "protocol_hash": "0123456789abcdef"}
    provenance |= more.pop("provenance", {})
    meta = {"modality": modality, **more.pop("bids_meta", {})}
    return json.dumps({"bids_meta": meta, "provenance": provenance, **more})


def rows(values: list[float | None], measure: str = "fd_mean", **more: Any) -> list[Row]:
    """Return one row for each value of a measure."""
    return [
        read_record(f"image-{number:03d}", record(**{measure: value}, **more))
        for number, value in enumerate(values)
    ]


def stratum_of(table: list[Row]) -> Stratum:
    """Return the only stratum of rows."""
    (stratum,) = strata(pool(table))
    return stratum


def test_a_record_of_mriqc_is_read():
    """The layout of MRIQC 24: flat keys, bids_meta, provenance with a webapi_version."""
    text = record(
        "mriqc", "24.0.2", "T1w", cjv=0.47, fber=-1.0, size_x=192, spacing_x=1.0,
        bids_meta={"RepetitionTime": 2.3, "Manufacturer": "SIEMENS"},
        provenance={"md5sum": "0" * 32, "settings": {"testing": False}, "webapi_version": ""},
    )  # fmt: skip

    row = read_record("sub-1_T1w", text)

    assert (row.software, row.kind[1], row.modality) == ("MRIQC", "24", "T1w")
    assert row.values["cjv"] == 0.47


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"bids_meta": {}, "provenance": {}}',
        record("somebody's"),
        record(version=3),  # type: ignore[arg-type]
    ],
    ids=["empty", "list", "object", "deep", "bare", "other software", "version as a number"],
)
def test_what_is_no_record_is_refused(text: str):
    """With an error, never with a guess."""
    with pytest.raises(UnknownRecordError):
        read_record("x", text)


@pytest.mark.parametrize(
    "other",
    [
        record("mriqc", "1.2.3"),
        record("mriqc-substituted", "1.2.3"),
        record(version="2.0.0"),
        record(modality="dwi"),
        record(provenance={"pipeline": "winqc-bold/2"}),
    ],
    ids=["software", "substituted", "major version", "modality", "pipeline"],
)
def test_rows_of_another_kind_are_never_pooled(other: str):
    """Software, major version, modality, pipeline: each alone is enough."""
    mixed = [read_record("a", record()), read_record("b", other)]

    with pytest.raises(CannotPoolError):
        pool(mixed)
    assert [len(table.rows) for table in split(mixed)] == [1, 1]


def test_minor_versions_are_pooled():
    """A minor version does not change values by the project's own rule."""
    table = pool(
        [read_record("a", record(version="1.2.3")), read_record("b", record(version="1.9"))]
    )

    assert len(table.rows) == 2


def test_equal_fields_of_mriqc_are_one_protocol():
    """MRIQC keeps no protocol hash: its sidecar's fields and the matrix stand for one."""
    first = record("mriqc", "24.0.2", size_x=64, bids_meta={"RepetitionTime": 2.0})
    same = record("mriqc", "24.0.2", size_x=64, fd_mean=1.0, bids_meta={"RepetitionTime": 2.0})
    other = record("mriqc", "24.0.2", size_x=64, bids_meta={"RepetitionTime": 2.5})

    protocols = [read_record("x", text).protocol for text in (first, same, other)]

    assert protocols[0] == protocols[1] != protocols[2]


def test_below_twenty_images_there_is_no_norm():
    """Nineteen are too few, twenty are enough."""
    few = rows([float(n) for n in range(FEWEST_IMAGES - 1)])
    enough = rows([float(n) for n in range(FEWEST_IMAGES)])

    assert norm_of(column_of(few, "fd_mean")) is None
    assert norm_of(column_of(enough, "fd_mean")) is not None
    assert {each.verdict for each in compare(stratum_of(few)).judgements} == {Verdict.REVIEW}


def test_norms_are_those_of_scipy():
    """Median absolute deviation, scaled to a normal distribution."""
    values = [0.1, 0.3, 0.2, 0.25, 0.9] * 6

    norm = norm_of(column_of(rows(list(values)), "fd_mean"))

    assert norm is not None
    assert norm.median == 0.25
    assert norm.sigma == pytest.approx(median_abs_deviation(values, scale="normal"), rel=1e-12)


def test_defaced_and_other_images_have_norms_of_their_own():
    """Defacing changes measures, so the two are different strata."""
    table = pool(
        [
            read_record(f"{defaced}{n}", record(fd_mean=0.1, provenance={"defaced": defaced}))
            for defaced in (True, False)
            for n in range(3)
        ]
    )

    assert sorted(str(stratum.defaced) for stratum in strata(table)) == ["False", "True"]
    with pytest.raises(CannotPoolError):
        Stratum(table.rows[0].protocol, defaced=True, rows=table.rows)


def test_mriqcs_number_for_no_value_is_none():
    """MRIQC writes FBER -1 where it has none; it must not enter a median."""
    table = rows([-1.0] * 5 + [100.0] * 20, "fber", software="mriqc", modality="T1w")

    norm = norm_of(column_of(table, "fber"))

    assert norm is not None
    assert norm.images == 20


def spread(outlier: float) -> list[float | None]:
    """Return 29 values around 0.2 with a robust standard deviation of some 0.03, and another."""
    return [0.2 + 0.01 * (n % 7 - 3) for n in range(29)] + [outlier]


def test_an_unusual_image_is_for_review_and_the_others_pass():
    """Framewise displacement of 1 mm among images of 0.2 mm."""
    compared = compare(stratum_of(rows(spread(1.0))))

    verdicts = [each.verdict for each in compared.judgements]

    assert verdicts == [Verdict.PASS] * 29 + [Verdict.REVIEW]
    assert "fd_mean is 1" in compared.judgements[-1].reasons[0]


def test_unusual_on_the_good_side_passes():
    """Nobody needs to look at an image because it moved less than the others."""
    compared = compare(stratum_of(rows(spread(0.0))))

    assert compared.judgements[-1].verdict is Verdict.PASS


def test_a_value_that_is_missing_in_one_image_only_is_for_review():
    """The others have it, so its absence says something."""
    compared = compare(stratum_of(rows([*spread(0.2), None])))

    assert compared.judgements[-1].reasons == (
        "fd_mean has no value, but has one in most images of this protocol.",
    )


def test_images_without_any_judged_measure_are_for_review():
    """Nothing was compared, so nothing may pass."""
    compared = compare(stratum_of(rows([1.0] * 30, "size_x")))

    assert compared.measures == ()
    assert {each.verdict for each in compared.judgements} == {Verdict.REVIEW}


@pytest.mark.parametrize("count", [20, 21, 34, 35])
@pytest.mark.parametrize("ties", [False, True], ids=["all different", "many equal"])
def test_the_norm_without_an_image_is_that_of_the_others(count: int, ties: bool):  # noqa: FBT001 - a parameter of the table
    """Slowly and obviously: take the image away, then median and deviation by scipy."""
    values = np.random.default_rng(count).normal(50, 3, count)
    if ties:
        values = np.round(values / 3)
    column = np.append(values, np.nan)

    found = norms_without_each(column)

    assert found[-1] is None
    for place, norm in enumerate(found[:-1]):
        others = np.delete(values, place)
        assert norm is not None
        assert (norm.images, norm.median) == (count - 1, np.median(others))
        expected = median_abs_deviation(others, scale="normal")
        assert norm.sigma == pytest.approx(expected, rel=1e-12, abs=0)


def test_among_equal_images_one_that_differs_is_unusual():
    """There is no spread to count in, so the sentence says what the others have."""
    compared = compare(stratum_of(rows([0.1] * 24 + [0.2])))

    assert [each.verdict for each in compared.judgements] == [Verdict.PASS] * 24 + [Verdict.REVIEW]
    assert compared.measures[0].reasons[-1] == (
        "fd_mean is 0.2; most of the 24 other images of this protocol have 0.1."
    )


def test_two_images_of_one_name_are_refused():
    """Else the values, the picture and the ratings of one would stand for both."""
    with pytest.raises(CannotPoolError, match="the same name"):
        pool([*rows([0.1]), *rows([0.2])])


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e308", "1" + "0" * 400])
def test_what_cannot_be_reckoned_with_is_no_value(number: str):
    """Sums of such numbers overflow; an integer of 400 digits is no float at all."""
    text = record(fd_mean=0.5).replace("0.5", number)

    assert read_record("x", text).values["fd_mean"] is None


@pytest.mark.parametrize(
    ("measure", "value", "median", "worse"),
    [
        ("fd_mean", 2.0, 1.0, True),
        ("fd_mean", 0.5, 1.0, False),
        ("tsnr", 30.0, 60.0, True),
        ("tsnr", 90.0, 60.0, False),
        ("gsr_y", -0.2, 0.02, True),
        ("gsr_y", 0.0, 0.02, False),
        ("size_x", 1.0, 2.0, False),
    ],
)
def test_the_bad_side_is_the_definitions(measure: str, value: float, median: float, worse: bool):  # noqa: FBT001 - a column of the table
    """Lower, higher or nearer to zero is better; a size has no bad side."""
    assert is_worse(measure, value, median) is worse


def test_at_most_twelve_measures_are_judged():
    """Few, so that chance alone seldom raises one."""
    assert max(len(names) for names in JUDGED.values()) <= 12
