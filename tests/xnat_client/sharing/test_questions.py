"""Who could read what, when, and why: answered from the log, for grants that have ended too."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.builders import decided
from tests.builders.released import add_acceptance, add_grant, add_release, set_state
from tests.builders.sharing import Site
from xnat_client.sharing.actors import service
from xnat_client.sharing.audit import chain
from xnat_client.sharing.audit.questions import EVERYBODY, Reading, openings, readers
from xnat_client.sharing.database.tables import Approval, Exposure, Person, Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.vocabulary import (
    DriftClass,
    GrantState,
    Level,
    ReleaseState,
    Role,
    Severity,
)


def day(now: datetime, number: int) -> datetime:
    return now + timedelta(days=number)


def ask(site: Site, release: Release, **only: object) -> list[Reading]:
    with site.records.transaction() as session:
        return readers(session, session.get_one(Release, release.release_pk), **only)  # type: ignore[arg-type]


def spans(found: list[Reading], now: datetime) -> list[tuple[str, int, int | None]]:
    return [
        (one.person_id, (one.since - now).days, (one.until - now).days if one.until else None)
        for one in found
    ]


def test_reading_begins_with_the_later_and_ends_with_the_earlier(site: Site, now: datetime) -> None:
    """A grant from day 2 to 20 of a release that is readable from day 5 to 9 and from day 12."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, state=ReleaseState.APPROVED)
        grant = add_grant(session, site, site.externals[0], now=day(now, 2))
        set_state(session, release, ReleaseState.PUBLISHED, day(now, 5))
        set_state(session, release, ReleaseState.SUSPENDED, day(now, 9))
        set_state(session, release, ReleaseState.PUBLISHED, day(now, 12))
        set_state(session, grant, GrantState.REVOKED, day(now, 20))

    found = ask(site, release)

    who = site.externals[0]
    assert spans(found, now) == [(who, 5, 9), (who, 12, 20)]


def test_superseded_release_and_expiring_grant_still_read(site: Site, now: datetime) -> None:
    """States in which reading goes on do not cut the answer in two."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        grant = add_grant(session, site, site.externals[0], now=now)
        set_state(session, release, ReleaseState.SUPERSEDED, day(now, 3))
        set_state(session, grant, GrantState.EXPIRING, day(now, 4))

    assert spans(ask(site, release), now) == [(site.externals[0], 0, 365)]


def test_grant_reads_no_longer_than_its_end(site: Site, now: datetime) -> None:
    """Where the loop wrote the end down late, the grant's own end counts."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        grant = add_grant(session, site, site.externals[0], now=now, days=10)
        set_state(session, grant, GrantState.EXPIRED, day(now, 11))

    assert spans(ask(site, release), now) == [(site.externals[0], 0, 10)]


def test_grant_for_another_level_or_family_reads_nothing(site: Site, now: datetime) -> None:
    """A lower number never implies a right at a higher one."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        add_grant(session, site, site.externals[0], now=now, level=Level.NAMED)
        add_grant(session, site, site.externals[1], now=now, family="hands")

    assert ask(site, release) == []


def test_requested_grant_reads_nothing(site: Site, now: datetime) -> None:
    """Asking is not reading."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        add_grant(session, site, site.externals[0], now=now, state=GrantState.REQUESTED)

    assert ask(site, release) == []


def test_everybody_reads_an_open_release_while_it_is_published(site: Site, now: datetime) -> None:
    """An open release has one reader, who is everybody."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, level=Level.OPEN)
        set_state(session, release, ReleaseState.WITHDRAWN, day(now, 7))

    assert spans(ask(site, release), now) == [(EVERYBODY, 0, 7)]


def test_member_reads_from_the_acceptance_until_leaving(site: Site, now: datetime) -> None:
    """A member reads while in the directory and while the accepted policy lasts."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, level=Level.MEMBERS)
        add_acceptance(session, site.members[0], now=day(now, 2))
        add_acceptance(session, site.outsider, now=day(now, 2))
        session.get_one(Person, site.members[0]).active = False
        left = chain.Change(
            "person.active", "person", site.members[0], {"active": True}, {"active": False}
        )
        chain.append(session, service("left"), left, now=day(now, 30))

    assert spans(ask(site, release), now) == [(site.members[0], 2, 30)]


def test_directory_that_named_a_person_only_for_a_while_is_remembered(
    site: Site, now: datetime
) -> None:
    """Joined on day 5 and gone on day 8 by the directory: reads from 5 to 8, though gone now."""
    who = site.members[0]
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, level=Level.MEMBERS)
        add_acceptance(session, who, now=now)
        for number, said in (
            (5, {"joined": [who], "left": []}),
            (8, {"joined": [], "left": [who]}),
        ):
            change = chain.Change("directory.synchronise", "directory", "members", {}, said)
            chain.append(session, service("daily"), change, now=day(now, number))
        person = session.get_one(Person, who)
        person.active = person.from_directory = False

    assert spans(ask(site, release), now) == [(who, 5, 8)]


def test_answer_says_why(site: Site, now: datetime) -> None:
    """Agreement, acceptance, who approved, and the entries of the log are named."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        session.add(
            Approval(
                release_pk=release.release_pk,
                person_id=site.lead,
                role=Role.LEAD,
                approved=True,
                manifest_sha256=release.manifest_sha256,
                signature="s",
                decided_at=now,
            )
        )
        add_grant(session, site, site.externals[0], now=now)

    (one,) = ask(site, release)

    assert one.why == (
        "grant 1: agreement data-use 1.0.0 accepted on 2026-05-04, approved by p-steward; "
        "release approved by p-lead (lead)"
    )
    assert len(one.entries) == 2


@pytest.mark.parametrize(("number", "expected"), [(-1, 0), (0, 1), (19, 1), (20, 0)])
def test_question_for_one_time(site: Site, now: datetime, number: int, expected: int) -> None:
    """The first moment counts, the last does not."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        grant = add_grant(session, site, site.externals[0], now=now)
        set_state(session, grant, GrantState.REVOKED, day(now, 20))

    assert len(ask(site, release, at=day(now, number))) == expected


def test_question_for_one_person_includes_what_everybody_reads(site: Site, now: datetime) -> None:
    """Who asks for a person hears of open releases too."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now, level=Level.OPEN)

    found = ask(site, release, person_id=site.outsider)
    assert [one.person_id for one in found] == [EVERYBODY]


def test_release_and_grant_that_went_the_whole_way_are_in_the_answer(
    site: Site, home: Home, now: datetime, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What the rules themselves wrote into the log is understood."""
    monkeypatch.setenv("WINXNAT_LINK_KEYS", str(tmp_path))
    with site.records.transaction() as session:
        release = decided.published(session, home, site, now=now)
        decided.granted(session, site, site.externals[0], release, now=day(now, 1))

    (one,) = ask(site, release)

    assert (one.person_id, one.since) == (site.externals[0], day(now, 1))
    assert "agreement data-use 1.0.0 accepted on 2026-05-05, approved by p-steward" in one.why
    assert "release approved by" in one.why
    assert "p-lead (lead)" in one.why


def test_what_a_server_showed_beyond_is_told(site: Site, now: datetime) -> None:
    """An exposure of the release's project is part of the answer; another project's is not."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        for project in (release.project_id, "OTHER"):
            session.add(
                Exposure(
                    server=release.server,
                    project_id=project,
                    drift=DriftClass.OVER_EXPOSED_LEVEL,
                    severity=Severity.CRITICAL,
                    what="is public",
                    last_good_at=now,
                    found_at=day(now, 1),
                    closed_at=day(now, 2),
                )
            )
        # A reader who was missing on the server could read less, not more.
        session.add(
            Exposure(
                server=release.server,
                project_id=release.project_id,
                drift=DriftClass.UNDER_EXPOSED,
                severity=Severity.LOW,
                what="1 declared readers have no account",
                last_good_at=now,
                found_at=now,
            )
        )

    with site.records.transaction() as session:
        (one,) = openings(session, session.get_one(Release, release.release_pk))
    assert one.what == "over-exposed level: is public"
    assert (one.not_before, one.closed_at) == (now, day(now, 2))
