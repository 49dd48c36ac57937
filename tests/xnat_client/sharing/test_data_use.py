"""Data-use codes: a release may promise more restraint than its forms, never less."""

from __future__ import annotations

import pytest

from xnat_client.sharing.check.data_use import objections
from xnat_client.sharing.vocabulary import Level


@pytest.mark.parametrize(
    ("promised", "forms"),
    [
        (["GRU"], [["GRU"]]),
        (["GRU"], [["NRES"], ["GRU"]]),
        (["HMB"], [["GRU"], ["NRES"]]),
        (["DS:MONDO:0005180"], [["HMB"]]),
        (["DS:MONDO:0005180"], [["DS:MONDO:0005180"]]),
        (["GRU", "IRB", "PUB"], [["GRU", "IRB"], ["GRU", "PUB"]]),
        (["DUO:0000042"], [["GRU"]]),
        (["GRU"], [["DUO_0000004"]]),
        (["gru"], [["GRU"]]),
    ],
)
def test_codes_as_strict_as_every_form_agree(promised: list[str], forms: list[list[str]]) -> None:
    """The stricter of all participants wins, and the release keeps to it."""
    assert objections(promised, forms, Level.EXTERNAL) == []


@pytest.mark.parametrize(
    ("promised", "forms"),
    [
        (["NRES"], [["GRU"]]),
        (["GRU"], [["HMB"]]),
        (["HMB"], [["GRU"], ["DS:MONDO:0005180"]]),
        (["DS:MONDO:0005180"], [["DS:MONDO:0004975"]]),
        (["POA"], [["HMB"]]),
        (["GRU"], [["GRU", "IRB"]]),
        (["GRU", "IRB"], [["GRU", "IRB", "NPUNCU"]]),
        ([], [["GRU"]]),
        (["IRB"], [["GRU"]]),
        (["GRU", "HMB"], [["GRU"]]),
        (["GRU", "XYZ"], [["GRU"]]),
        (["GRU"], [["whatever"]]),
        (["GRU"], [["DUO:9999999"]]),
        (["GRU"], [[]]),
    ],
)
def test_codes_wider_than_a_form_or_unheard_of_are_refused(
    promised: list[str], forms: list[list[str]]
) -> None:
    """What cannot be compared is not allowed."""
    assert objections(promised, forms, Level.EXTERNAL)


@pytest.mark.parametrize(
    ("promised", "is_open"), [(["NRES"], True), (["GRU"], True), (["HMB"], False),
                              (["GRU", "PUB"], False)],
)  # fmt: skip
def test_open_data_promise_nothing_that_somebody_must_watch(
    promised: list[str], is_open: bool  # noqa: FBT001  # a table of cases
) -> None:  # fmt: skip
    """Nobody is asked before fetching open data, so no condition can be kept."""
    assert (objections(promised, [["NRES"]], Level.OPEN) == []) is is_open
