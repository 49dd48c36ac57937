"""What a history of consent means: the last line decides, and what is not known is no."""

from __future__ import annotations

import contextlib
import itertools
from datetime import date, datetime

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from tests.builders.sharing import FORM, Site, add_participant
from xnat_client.errors import NotAllowedError, NotFoundError, UsageError
from xnat_client.sharing.database.tables import AuditEntry, ConsentForm, ConsentRecord
from xnat_client.sharing.records import consent, forms
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.records.forms import FormScope
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Level, Role

GIVEN, CONTACT, SHARING, DELETE = ConsentEvent
EARLY, LATE, LATEST = date(2026, 1, 15), date(2026, 2, 1), date(2026, 3, 1)
IMAGING = (DataType.IMAGING,)


def given_line(on: date, level: Level = Level.OPEN, kinds: tuple[DataType, ...] = IMAGING):
    return ConsentLine(GIVEN, on, *FORM, level, kinds)


def meaning_after(site: Site, now: datetime, *lines: ConsentLine) -> consent.Effective:
    """What a new participant's data may be used for after these lines."""
    with site.records.transaction() as session:
        number = add_participant(session, site.study_pk, "NEW", now, level=None)
        for line in lines:
            consent.record(session, site.acting(Role.STUDY_TEAM), number, line, now=now)
        return consent.effective(session, number)


# Worked out by hand from the rules: what the participant last said on sharing counts.
@pytest.mark.parametrize(
    ("lines", "level", "withdrawn"),
    [
        ([given_line(EARLY)], Level.OPEN, None),
        ([given_line(EARLY), given_line(LATE, Level.MEMBERS)], Level.MEMBERS, None),
        ([given_line(LATE, Level.MEMBERS), given_line(EARLY)], Level.MEMBERS, None),
        ([given_line(EARLY), ConsentLine(CONTACT, LATE)], Level.OPEN, None),
        ([given_line(EARLY), ConsentLine(SHARING, LATE)], Level.PRIVATE, SHARING),
        ([given_line(EARLY), ConsentLine(DELETE, LATE)], None, DELETE),
        ([ConsentLine(SHARING, LATE), given_line(EARLY)], Level.PRIVATE, SHARING),
        ([ConsentLine(SHARING, EARLY), given_line(EARLY)], Level.PRIVATE, SHARING),
        ([ConsentLine(SHARING, EARLY), given_line(LATE)], Level.OPEN, None),
        ([given_line(EARLY), given_line(EARLY, Level.EXTERNAL)], Level.EXTERNAL, None),
        (
            [given_line(EARLY), ConsentLine(DELETE, LATE), ConsentLine(SHARING, LATEST)],
            None,
            DELETE,
        ),
    ],
)
def test_the_last_word_on_sharing_counts(
    site: Site,
    now: datetime,
    lines: list[ConsentLine],
    level: Level | None,
    withdrawn: ConsentEvent | None,
):
    """By date, not by the order of entry; a withdrawal outranks a consent of its day."""
    found = meaning_after(site, now, *lines)

    assert (found.level, found.withdrawn) == (level, withdrawn)


def test_nothing_said_is_unknown(site: Site, now: datetime):
    """A participant without a line allows nothing, and the reason is given."""
    found = meaning_after(site, now)

    assert not found.allows(Level.NAMED, IMAGING)
    assert found.unknown == "no consent is recorded"


def test_no_contact_without_consent_is_unknown(site: Site, now: datetime):
    """A wish not to be written to is no consent."""
    assert meaning_after(site, now, ConsentLine(CONTACT, EARLY)).level is None


def test_a_form_that_is_not_accepted_any_more_is_unknown(site: Site, now: datetime):
    """The officer's judgement on a form holds for everybody who signed it."""
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        forms.set_accepted(session, officer, *FORM, accepted=False, now=now)
        found = consent.effective(session, site.participants[0])

    assert found.level is None
    assert "not accepted" in str(found.unknown)


def test_a_form_limits_what_was_said(site: Site, now: datetime):
    """A tick beyond what the form asks for does not count."""
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        scope = FormScope("narrow", "1", Level.EXTERNAL, (DataType.IMAGING,), ("HMB",))
        forms.add_form(session, officer, scope, now=now)
        forms.set_accepted(session, officer, "narrow", "1", accepted=True, now=now)
    kinds = (DataType.IMAGING, DataType.GENETICS)
    line = ConsentLine(GIVEN, EARLY, "narrow", "1", Level.OPEN, kinds)

    found = meaning_after(site, now, line)

    assert (found.level, found.data_types) == (Level.EXTERNAL, {DataType.IMAGING})
    assert found.duo_codes == ("HMB",)


def test_a_consent_to_imaging_covers_nothing_else(site: Site, now: datetime):
    """Each kind of data is said yes to by itself."""
    found = meaning_after(site, now, given_line(EARLY))

    assert found.allows(Level.OPEN, IMAGING)
    assert not found.allows(Level.OPEN, (DataType.IMAGING, DataType.VIDEO))


def test_a_consent_does_not_count_before_its_day(site: Site, now: datetime):
    """Asked about an earlier day, a later consent says nothing, but a withdrawal does."""
    with site.records.transaction() as session:
        number = site.participants[0]
        team = site.acting(Role.STUDY_TEAM)
        before = consent.effective(session, number, date(2026, 1, 14))
        consent.record(session, team, number, ConsentLine(SHARING, LATEST), now=now)
        after = consent.effective(session, number, LATE)

    assert before.unknown
    assert after.withdrawn is SHARING


def test_a_consent_of_tomorrow_is_refused(site: Site, now: datetime):
    """A date in the future is a slip of the pen."""
    with pytest.raises(UsageError, match="future"):
        meaning_after(site, now, given_line(date(2026, 5, 5)))


def test_a_consent_names_a_form_on_record(site: Site, now: datetime):
    """Nobody can consent to a form that does not exist."""
    line = ConsentLine(GIVEN, EARLY, "open-brain", "3.0", Level.OPEN, IMAGING)

    with pytest.raises(NotFoundError, match="not in the records"):
        meaning_after(site, now, line)


TEAM = {Role.STUDY_TEAM, Role.LEAD, Role.CUSTODIAN}
CLOSERS = TEAM | {Role.STEWARD, Role.OFFICER, Role.ADMINISTRATOR, Role.SERVICE}


@pytest.mark.parametrize(
    ("line", "able"), [(given_line(LATE), TEAM), (ConsentLine(SHARING, LATE), CLOSERS)]
)
def test_who_may_write_the_history(site: Site, now: datetime, line: ConsentLine, able: set[Role]):
    """Opening takes the team; closing takes any of those who answer for the data."""
    found = set()
    for role in Role:
        with site.records.transaction() as session, contextlib.suppress(NotAllowedError):
            consent.record(session, site.acting(role), site.participants[0], line, now=now)
            found.add(role)

    assert found == able


def test_the_log_names_the_participant_by_number(site: Site):
    """No source label stands in the audit log."""
    with site.records.transaction() as session:
        entries = session.scalars(sa.select(AuditEntry)).all()
        written = " ".join(str(vars(one)) for one in entries)

    assert f"[{site.participants[0]}]" in written
    assert "SRC001" not in written


def test_in_bulk_means_the_same_as_one_by_one(site: Site, now: datetime):
    """A study's answer holds for each of its participants."""
    with site.records.transaction() as session:
        team = site.acting(Role.STUDY_TEAM)
        for index, (first, second) in enumerate(itertools.product(ConsentEvent, repeat=2)):
            number = add_participant(session, site.study_pk, f"P{index}", now, level=None)
            for day, event in ((EARLY, first), (LATE, second)):
                line = given_line(day) if event is GIVEN else ConsentLine(event, day)
                consent.record(session, team, number, line, now=now)
        together = consent.effective_for_study(session, site.study_pk)

        assert len(together) == 18
        assert together == {number: consent.effective(session, number) for number in together}


def test_a_large_study_takes_three_queries(site: Site, now: datetime):
    """No query is made for each participant."""
    statements: list[str] = []
    with site.records.transaction() as session:
        for index in range(30):
            add_participant(session, site.study_pk, f"P{index}", now)
        session.flush()
        session.expunge_all()
        sa.event.listen(
            site.records.engine,
            "before_cursor_execute",
            lambda *arguments: statements.append(str(arguments[2])),
        )
        consent.effective_for_study(session, site.study_pk)

    assert len([one for one in statements if one.startswith("SELECT")]) == 3


LINES = st.lists(
    st.tuples(st.sampled_from(list(ConsentEvent)), st.integers(1, 4)), min_size=1, max_size=6
)


@given(LINES)
def test_no_history_says_more_than_its_last_consent(lines: list[tuple[ConsentEvent, int]]):
    """A slow and obvious reading of the rules comes to the same answer."""
    accepted = ConsentForm(
        form_id="f", version="1", highest_level=Level.OPEN, data_types=["imaging"],
        duo_codes=[], purpose_review=False, accepted=True,
    )  # fmt: skip
    rows = [
        ConsentRecord(
            consent_pk=number, event=event, given_on=date(2026, 1, day), form_id="f",
            form_version="1", highest_level=Level.OPEN, data_types=["imaging"],
            recorded_at=None,
        )
        for number, (event, day) in enumerate(lines)
    ]  # fmt: skip

    found = consent._meaning(rows, {("f", "1"): accepted}, None)

    given_days = [day for event, day in lines if event is GIVEN]
    closed_days = [day for event, day in lines if event in {SHARING, DELETE}]
    open_now = bool(given_days) and max(given_days) > max(closed_days, default=0)
    assert found.allows(Level.OPEN, IMAGING) == open_now
