"""Withdrawals outlive the database: an old backup obeys them, and damage never opens."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders.sharing import FORM, OUTSIDE, Site, add_participant, fresh_records, make_site
from xnat_client.sharing import opening, tombstones
from xnat_client.sharing.database.tables import (
    ConsentRecord,
    Grant,
    Participant,
    Release,
    ReleaseParticipant,
)
from xnat_client.sharing.home import Home
from xnat_client.sharing.records import consent
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import ConsentEvent, GrantState, Level, ReleaseState, Role

SHARING = ConsentEvent.NO_FURTHER_SHARING


def published(session: Session, site: Site, now: datetime) -> Release:
    """A published release with both participants, and a reader's grant."""
    row = Release(
        study_pk=site.study_pk, family="brains", version="1.0.0", level=Level.EXTERNAL,
        state=ReleaseState.PUBLISHED, server=OUTSIDE, project_id="BRAINS", duo_codes=[],
        citation={}, requested_by=site.requester, created_at=now, published_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    for number in site.participants:
        session.add(
            ReleaseParticipant(
                release_pk=row.release_pk, participant_pk=number, data_types=["imaging"]
            )
        )
    session.add(
        Grant(
            person_id=site.externals[0],
            family="brains",
            level=Level.EXTERNAL,
            state=GrantState.ACTIVE,
            requested_at=now,
        )
    )
    session.flush()
    return row


def withdraw(site: Site, home: Home, number: int, now: datetime) -> None:
    with site.records.transaction() as session:
        line = ConsentLine(SHARING, date(2026, 5, 1))
        consent.record(session, site.acting(Role.STUDY_TEAM), number, line, now=now)
        tombstones.keep(session, home, now=now)


def file_lines(home: Home) -> list[dict[str, object]]:
    return [json.loads(line) for line in home.tombstones_path.read_text().splitlines()]


@pytest.fixture
def drill(tmp_path: Path, now: datetime) -> Iterator[tuple[Site, Home, Path]]:
    """A site in one SQLite file, with a copy of it from before anything was withdrawn."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    with fresh_records(tmp_path) as records:
        site = make_site(records, now)
        with records.transaction() as session:
            published(session, site, now)
        path = Path(str(records.engine.url.database))
        backup = tmp_path / "backup.sqlite"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
        yield site, Home(folder, f"sqlite:///{path}"), backup


def restored(home: Home, backup: Path) -> Home:
    return Home(home.folder, f"sqlite:///{backup}")


def test_a_restored_backup_obeys_a_withdrawal(drill: tuple[Site, Home, Path], now: datetime):
    """The consent is withdrawn again and the release that holds the data is closed."""
    site, home, backup = drill
    withdraw(site, home, site.participants[0], now)

    database, kept = opening.open_obeying(restored(home, backup))

    with database.transaction() as session:
        found = consent.effective(session, site.participants[0])
        state = session.scalars(sa.select(Release.state)).one()
        other = consent.effective(session, site.participants[1])
    database.close()
    assert (kept.restored, found.withdrawn, state) == (1, SHARING, ReleaseState.SUSPENDED)
    assert other.level is Level.OPEN


def test_a_restored_backup_obeys_the_end_of_releases_and_grants(
    drill: tuple[Site, Home, Path], now: datetime
):
    """What was withdrawn or revoked after the backup stays closed."""
    site, home, backup = drill
    with site.records.transaction() as session:
        release = session.scalars(sa.select(Release)).one()
        release.state, release.withdrawn_reason = ReleaseState.WITHDRAWN, "legal"
        session.scalars(sa.select(Grant)).one().state = GrantState.REVOKED
        tombstones.keep(session, home, now=now)

    database, _ = opening.open_obeying(restored(home, backup))

    with database.transaction() as session:
        states = (
            session.scalars(sa.select(Release.state)).one(),
            session.scalars(sa.select(Release.withdrawn_reason)).one(),
            session.scalars(sa.select(Grant.state)).one(),
        )
    database.close()
    assert states[:2] == (ReleaseState.WITHDRAWN, "legal")
    assert states[2] in {GrantState.REVOKED, GrantState.ENDED}


def test_opening_again_restores_nothing(drill: tuple[Site, Home, Path], now: datetime):
    """What is done is done once: no line is added to history or list."""
    site, home, backup = drill
    withdraw(site, home, site.participants[0], now)
    opening.open_obeying(restored(home, backup))[0].close()
    before = home.tombstones_path.read_bytes()

    database, kept = opening.open_obeying(restored(home, backup))

    with database.transaction() as session:
        lines = session.scalars(sa.select(sa.func.count()).select_from(ConsentRecord)).one()
    database.close()
    assert (kept.restored, kept.added, lines) == (0, 0, 3)
    assert home.tombstones_path.read_bytes() == before


def test_a_number_given_again_withdraws_nobody_else(site: Site, home: Home, now: datetime):
    """A restored database may give a number to another participant."""
    withdraw(site, home, site.participants[0], now)
    lines = file_lines(home)
    lines[0]["participant"] = site.participants[1]
    lines[0]["hash"] = tombstones._hash(lines[0])
    home.tombstones_path.write_text(json.dumps(lines[0]) + "\n")

    with site.records.transaction() as session:
        tombstones.reapply(session, home, now=now)

        assert consent.effective(session, site.participants[1]).withdrawn is None


def test_a_participant_who_comes_back_is_withdrawn(site: Site, home: Home, now: datetime):
    """Lost with the backup and imported again: the label is known to the list."""
    withdraw(site, home, site.participants[0], now)
    with site.records.transaction() as session:
        row = session.get_one(Participant, site.participants[0])
        label, row.source_label = row.source_label, "lost"
        session.flush()
        assert tombstones.reapply(session, home, now=now).pending == 1
        again = add_participant(session, site.study_pk, label, now)
        tombstones.reapply(session, home, now=now)

        assert consent.effective(session, again).withdrawn is SHARING


def test_consent_given_anew_after_a_withdrawal_counts(site: Site, home: Home, now: datetime):
    """The list brings a withdrawal back with its day, not with today."""
    withdraw(site, home, site.participants[0], now)
    with site.records.transaction() as session:
        kinds = consent.effective(session, site.participants[1]).data_types
        line = ConsentLine(
            ConsentEvent.GIVEN, date(2026, 5, 2), *FORM, Level.OPEN, tuple(sorted(kinds))
        )
        consent.record(session, site.acting(Role.STUDY_TEAM), site.participants[0], line, now=now)
        tombstones.reapply(session, home, now=now)

        assert consent.effective(session, site.participants[0]).level is Level.OPEN


def test_the_list_names_nobody(site: Site, home: Home, now: datetime):
    """Neither labels nor persons stand in it, and the same label looks different each time."""
    for number in site.participants:
        withdraw(site, home, number, now)

    text = home.tombstones_path.read_text()
    lines = file_lines(home)
    assert "SRC00" not in text
    assert lines[0]["salt"] != lines[1]["salt"]
    assert home.tombstones_path.stat().st_mode & 0o077 == 0


# What may happen to the file, each time with two lines in it.
@pytest.mark.parametrize(
    ("damage", "broken_at"),
    [
        (lambda text: text.replace("no-further-sharing", "no-further-contact", 1), 1),
        (lambda text: "\n".join(text.split("\n")[1:]), 1),
        (lambda text: text[:-30], 2),
        (lambda text: "not a line\n" + text, 1),
        (lambda _: "", None),
    ],
)
def test_damage_is_noticed_and_mended_by_the_records(
    site: Site, home: Home, now: datetime, damage: Callable[[str], str], broken_at: int | None
):
    """Whatever was lost from the list is added to it again from the records."""
    for number in site.participants:
        withdraw(site, home, number, now)
    home.tombstones_path.write_text(damage(home.tombstones_path.read_text()))

    assert tombstones.first_broken_line(home) == broken_at
    with site.records.transaction() as session:
        tombstones.reapply(session, home, now=now)
    named = {
        line["participant"]
        for line in map(_parsed, home.tombstones_path.read_text().splitlines())
        if line and line["event"] == SHARING.value
    }
    assert named == set(site.participants)


def _parsed(text: str) -> dict[str, object]:
    try:
        return json.loads(text)
    except ValueError:
        return {}


def test_labels_stand_in_the_list_as_digests(home: Home, now: datetime):
    """A page or an index can tell a withdrawn label without a list of labels."""
    tombstones.add_labels(home, "brains", ["b7x", "c3"], now=now)
    tombstones.add_labels(home, "brains", ["b7x"], now=now)

    assert tombstones.label_digest("brains", "b7x") in tombstones.withdrawn_labels(home, "brains")
    assert tombstones.label_digest("other", "b7x") not in tombstones.withdrawn_labels(
        home, "brains"
    )
    assert "b7x" not in home.tombstones_path.read_text()
    assert len(file_lines(home)) == 1
