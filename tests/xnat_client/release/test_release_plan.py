"""Labels and the participants' table: numbered by days, stable, and with nothing too fine in it."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from xnat_client.release.plan import Plan, PlannedSession, give_labels, participant_rows
from xnat_client.release.request import Column
from xnat_client.release.session_work import Labels
from xnat_client.release.sources import SourceFiles, SourceSession
from xnat_client.sharing.home import Home
from xnat_client.sharing.link_file import KEYS_VARIABLE
from xnat_client.sharing.link_table import LinkTable
from xnat_client.sharing.vocabulary import DataType

NO_FILES = SourceFiles((), frozenset({"dicom"}), 0, frozenset())


def planned(subject: int, session: str, day: str) -> PlannedSession:
    """Return a session of a participant."""
    source = SourceSession(f"E{session}", session, f"S{subject}", f"W3T{subject:03d}", "", day)
    return PlannedSession(
        subject, f"W3T{subject:03d}", source, NO_FILES, frozenset({DataType.IMAGING})
    )


def plan_of(*sessions: PlannedSession) -> Plan:
    """Return a plan of sessions."""
    return Plan(1, sessions, (), frozenset())


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LinkTable:
    """An empty link table."""
    home = Home(tmp_path / "home", "")
    home.folder.mkdir(mode=0o700)
    monkeypatch.setenv(KEYS_VARIABLE, str(tmp_path / "keys"))
    return LinkTable.create(home, "heads", now=datetime(2026, 1, 1, tzinfo=UTC))


def test_sessions_are_numbered_by_their_days_whatever_their_names(table: LinkTable) -> None:
    plan = plan_of(planned(1, "a", "2020-05-01"), planned(1, "b", "2019-05-01"))

    labels = give_labels(plan, table)

    assert (labels["Eb"].session, labels["Ea"].session) == ("1", "2")
    assert labels["Ea"].subject == labels["Eb"].subject


def test_labels_of_an_earlier_version_stay_and_new_ones_follow(table: LinkTable) -> None:
    first = give_labels(plan_of(planned(1, "b", "2020-05-01")), table)

    second = give_labels(
        plan_of(
            planned(1, "a", "2019-01-01"), planned(1, "b", "2020-05-01"), planned(2, "c", "2018")
        ),
        table,
    )

    assert second["Eb"] == first["Eb"]
    assert second["Ea"] == Labels(first["Eb"].subject, "2")
    assert second["Ec"].subject != first["Eb"].subject


def test_no_label_is_made_of_what_is_known_of_a_participant(table: LinkTable) -> None:
    plan = plan_of(*(planned(n, f"s{n}", "2020-05-01") for n in range(50)))

    labels = [one.subject for one in give_labels(plan, table).values()]

    assert all(re.fullmatch(r"([a-z][0-9]){5}", label) for label in labels)
    assert labels != sorted(labels)
    assert labels != sorted(labels, reverse=True)


@pytest.mark.parametrize(
    ("fields", "band"),
    [
        ({"dob": "1990-06-15"}, "20-29"),
        ({"dob": "1990-04-15"}, "30-39"),
        ({"yob": "1990"}, "30-39"),
        ({"age": "89"}, "80-89"),
        ({"age": "90"}, "89+"),
        ({"age": "103"}, "89+"),
        ({"age": "unknown"}, "n/a"),
        ({"dob": "2021-01-01"}, "n/a"),
        ({}, "n/a"),
    ],
)
def test_an_age_becomes_a_band(fields: dict[str, str], band: str) -> None:
    one = planned(1, "a", "2020-05-01")
    subject = {
        "data_fields": {},
        "children": [{"field": "demographics", "items": [{"data_fields": fields}]}],
    }

    rows = participant_rows(
        plan_of(one), {"Ea": Labels("k4x", "1")}, [Column.AGE_BAND, Column.SEX], {"S1": subject}
    )

    assert rows == [{"participant_id": "sub-k4x", "age_band": band, "sex": "n/a"}]
