"""Which field map corrects which image; BIDS 1.10, "Expressing the MR protocol intent"."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.links import link_field_maps
from containers.dicom_to_bids.names import name_images
from tests.builders.converted_images import BOLD, FIELD_MAP, SHAPE, SPIN_ECHO_EPI, Session

FIRST, SECOND = [1, 2, 3, 4, 5], [9, 2, 3, 4, 5]


@pytest.fixture
def scans(tmp_path: Path) -> Session:
    """An empty session."""
    return Session(tmp_path)


def _linked(scans: Session) -> tuple[dict[str, Mapping[str, Any]], tuple[str, ...]]:
    """Return the added keys by the number of the series, and the warnings."""
    named = name_images(scans.images, SourceIdentity(frozenset())).named
    additions, warnings = link_field_maps(named, [item.image.scan_ids[0] for item in named])
    numbers = [item.image.scan_ids[0] for item in named]
    return dict(zip(numbers, additions, strict=True)), warnings


def _add_pair(scans: Session, shim: list[int] | None) -> None:
    for direction in ("j", "j-"):
        more = {"ShimSetting": shim} if shim else {}
        scans.add(SPIN_ECHO_EPI, (64, 64, 30), PhaseEncodingDirection=direction, **more)


def test_same_shim_links_a_pair(scans: Session) -> None:
    """Of two pairs, each corrects the series of its own shim, wherever it stands."""
    _add_pair(scans, FIRST)
    _add_pair(scans, SECOND)
    scans.add(BOLD, ShimSetting=SECOND)
    scans.add(BOLD, ShimSetting=FIRST)

    links, warnings = _linked(scans)

    assert links["6"]["B0FieldSource"] == links["1"]["B0FieldIdentifier"]
    assert links["5"]["B0FieldSource"] == links["3"]["B0FieldIdentifier"]
    assert links["1"]["IntendedFor"] == links["2"]["IntendedFor"] == ["bids::6"]
    assert warnings == ()


def test_other_shim_is_not_linked(scans: Session) -> None:
    """A series of another shim was measured in another field."""
    _add_pair(scans, FIRST)
    scans.add(BOLD, ShimSetting=SECOND)

    links, warnings = _linked(scans)

    assert links["3"] == {}
    assert len(warnings) == 1


def test_later_pair_of_the_same_shim_serves_what_follows(scans: Session) -> None:
    """Without shims a series belongs to the last field map before it."""
    scans.add(FIELD_MAP, SHAPE, EchoNumber=1, SeriesNumber=1)
    scans.add(_phase_difference(), SHAPE, SeriesNumber=2)
    scans.add(BOLD, SeriesNumber=3)
    scans.add(FIELD_MAP, SHAPE, EchoNumber=1, SeriesNumber=4)
    scans.add(_phase_difference(), SHAPE, SeriesNumber=5)
    scans.add(BOLD, SeriesNumber=6)

    links, _ = _linked(scans)

    assert links["3"]["B0FieldSource"] == links["2"]["B0FieldIdentifier"]
    assert links["6"]["B0FieldSource"] == links["5"]["B0FieldIdentifier"]
    assert links["2"]["B0FieldIdentifier"] == links["1"]["B0FieldIdentifier"]


def test_one_direction_alone_needs_the_other_from_its_series(scans: Session) -> None:
    """A single reversed image and the series it reverses are the pair; both are named as such."""
    scans.add(SPIN_ECHO_EPI, SHAPE, PhaseEncodingDirection="j")
    scans.add(BOLD, PhaseEncodingDirection="j-")

    links, _ = _linked(scans)

    assert links["1"]["B0FieldIdentifier"] == links["2"]["B0FieldIdentifier"]
    assert links["2"]["B0FieldSource"] == links["2"]["B0FieldIdentifier"]
    assert links["1"]["IntendedFor"] == ["bids::2"]


def test_one_direction_alone_without_opposite_is_no_field_map(scans: Session) -> None:
    """Images of one direction only cannot tell the distortion."""
    scans.add(SPIN_ECHO_EPI, SHAPE)
    scans.add(BOLD)

    links, _ = _linked(scans)

    assert links == {"1": {}, "2": {}}


def test_anatomical_images_are_not_linked(scans: Session) -> None:
    """A field map of echo-planar images says nothing about others."""
    _add_pair(scans, FIRST)
    scans.add(
        {"ScanningSequence": "GR\\IR", "SequenceName": "*tfl3d1", "MRAcquisitionType": "3D"},
        SHAPE,
        ShimSetting=FIRST,
        EchoTime=0.003,
        RepetitionTime=2.3,
        InversionTime=0.9,
    )

    links, _ = _linked(scans)

    assert links["3"] == {}


def _phase_difference() -> dict[str, Any]:
    times = {"EchoTime1": 0.00492, "EchoTime2": 0.00738, "EchoTime": 0.00738, "EchoNumber": 2}
    return FIELD_MAP | times | {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]}
