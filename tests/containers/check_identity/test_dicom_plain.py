"""The quick walk over a file's bytes finds what the full reading by pydicom finds."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from containers.check_identity import (
    CheckSettings,
    KnownKind,
    KnownString,
    KnownStrings,
    check_tree,
)
from containers.check_identity import dicom as dicom_reader
from containers.check_identity.context import FileContext
from containers.check_identity.dicom_memory import ElementMemory
from containers.check_identity.dicom_plain import read_plain
from containers.check_identity.dicom_walk import UnusualFormError
from containers.check_identity.result import CriterionOutcome, Ledger
from tests.builders.identity_files import clean_dicom, dicom_bytes
from tests.builders.planted_places import synthetic_corpus

KEY = bytes(32)


def reading(data: bytes, memory: ElementMemory | None) -> dict[str, object]:
    """Read a file, with the quick walk if there is a memory; return all that came of it."""
    ledger = Ledger(KEY)
    context = FileContext(
        ledger=ledger, settings=CheckSettings(), path="x", name="x.dcm", mask=str,
        has_originals=False, has_known_dates=False, elements=memory,
    )  # fmt: skip
    error = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            dicom_reader.read(BytesIO(data), context)
        except Exception as found:  # noqa: BLE001 - the kind is part of the outcome
            error = type(found).__name__
    # That a criterion was looked at is noted once in a run, so only findings are compared here.
    outcomes = [
        (each.criterion.id, each.status, each.count, each.places)
        for each in ledger.outcomes()
        if each.count
    ]
    for _, stream, _ in context.inner:
        stream.close()
    return {
        "outcomes": [] if error else outcomes,
        "texts": sorted(map(repr, context.texts)),
        "labels": context.labels,
        "spans": sorted(context.spans, key=lambda span: span.start),
        "error": error,
    }


def never_clean(_text: object) -> bool:
    """Say that no text has been searched, so that each is handed on."""
    return False


@pytest.fixture(scope="module")
def corpus() -> list[bytes]:
    """Return the planted files, and clean ones; some twice, so that memory is used."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        planted = [each.data for each in synthetic_corpus()]
    clean = [dicom_bytes(clean_dicom(number)) for number in (1, 2)]
    return [*planted, *clean, *planted, *clean]


def test_planted_files_have_the_findings_of_the_full_reading(corpus: list[bytes]):
    """Places, counts, texts and voxels are the same, whatever was read and remembered before."""
    memory = ElementMemory(never_clean)

    differing = [
        number for number, data in enumerate(corpus) if reading(data, memory) != reading(data, None)
    ]

    assert differing == []


def test_a_usual_file_is_walked_quickly():
    """The comparison above is not one of the full reading with itself."""
    memory = ElementMemory(never_clean)
    context = FileContext(Ledger(KEY), CheckSettings(), "x", "x.dcm", str, False, False)  # noqa: FBT003 - as the class names them

    plain = read_plain(dicom_bytes(clean_dicom(1)), context, memory)

    assert len(plain.spans) == 1


def test_a_file_cut_short_anywhere_is_left_to_the_full_reading():
    """No truncation passes for a whole file."""
    data = dicom_bytes(clean_dicom(1))
    context = FileContext(Ledger(KEY), CheckSettings(), "x", "x.dcm", str, False, False)  # noqa: FBT003 - as the class names them
    memory = ElementMemory(never_clean)
    passed = []

    for size in range(140, len(data)):
        try:
            read_plain(data[:size], context, memory)
        except UnusualFormError:
            continue
        passed.append(size)

    # Only an end right after an element is a whole file, and there the pixels are missing.
    for size in passed:
        assert "PixelData" not in pydicom.dcmread(BytesIO(data[:size]))


def test_several_processes_find_what_one_finds(tmp_path: Path):
    """Outcomes, places and their order do not depend on the number of processes."""
    known = KnownStrings.of([KnownString(KnownKind.NAME, "Quixotal^Verena")])
    for number in range(70):
        image = clean_dicom(number + 1)
        if number % 7 == 0:
            image.PatientComments = f"Quixotal {number}"
        (tmp_path / f"{number:03}.dcm").write_bytes(dicom_bytes(image))

    one, two = (check_tree(tmp_path, known, workers=count) for count in (1, 2))

    assert [_shown(each) for each in one.outcomes] == [_shown(each) for each in two.outcomes]
    assert one.kinds == two.kinds == {"DICOM": 70}
    assert one.bytes_searched == two.bytes_searched
    assert one.outcome(8).count >= 10


def _shown(outcome: CriterionOutcome) -> tuple[object, ...]:
    places = [(each.path, each.inside, each.what, bool(each.digest)) for each in outcome.places]
    return outcome.criterion.id, outcome.status, outcome.count, places
