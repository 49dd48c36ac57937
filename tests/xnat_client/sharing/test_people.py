"""Who has which role, who may give it, and which roles exclude each other."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from sqlalchemy.orm import Session

from tests.builders.sharing import INSIDE, Site
from xnat_client.errors import ConflictError, NotAllowedError, UsageError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.database.tables import Account, Person, Study
from xnat_client.sharing.records import people
from xnat_client.sharing.records.people import NewPerson
from xnat_client.sharing.vocabulary import Role


def other_study(session: Session, now: datetime) -> int:
    row = Study(server=INSIDE, project_id="OTHER", lead_id="p-member1", data_types=[],
                created_at=now)  # fmt: skip
    session.add(row)
    session.flush()
    return row.study_pk


# Every person of the site, with the roles that they have for its study and for another one.
ROLES = {
    "p-lead": ({Role.LEAD, Role.STUDY_TEAM, Role.MEMBER}, {Role.MEMBER}),
    "p-requester": ({Role.STUDY_TEAM, Role.MEMBER}, {Role.MEMBER}),
    "p-steward": ({Role.STEWARD, Role.MEMBER}, {Role.STEWARD, Role.MEMBER}),
    "p-officer": ({Role.OFFICER}, {Role.OFFICER}),
    "p-custodian": ({Role.CUSTODIAN}, {Role.CUSTODIAN}),
    "p-member1": ({Role.MEMBER}, {Role.MEMBER, Role.LEAD, Role.STUDY_TEAM}),
    "p-external1": ({Role.EXTERNAL}, {Role.EXTERNAL}),
    "p-outsider": (set(), set()),
    "p-nobody": (set(), set()),
    "service": ({Role.SERVICE}, {Role.SERVICE}),
}


def test_roles_of_everybody(site: Site, now: datetime):
    """A role for one study is none for another; unknown people have none."""
    with site.records.transaction() as session:
        other = other_study(session, now)
        found = {
            person: (
                people.roles_of(session, person, site.study_pk, now),
                people.roles_of(session, person, other, now),
            )
            for person in ROLES
        }

    assert found == ROLES


def test_persons_with_a_role_are_those_who_have_it(site: Site, now: datetime):
    """Both questions have the same answer for every role."""
    with site.records.transaction() as session:
        everybody = [one.person_id for one in session.query(Person) if one.person_id != "service"]
        slow = {
            role: {
                one
                for one in everybody
                if role in people.roles_of(session, one, site.study_pk, now)
            }
            for role in Role
        }

        found = {role: people.persons_with(session, role, site.study_pk, now) for role in Role}

    assert found == slow


def test_who_is_inactive_has_no_role(site: Site, now: datetime):
    """Ending a person's standing ends all of it."""
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        people.set_active(session, officer, site.lead, active=False, now=now)

        assert people.roles_of(session, site.lead, site.study_pk, now) == set()
        with pytest.raises(NotAllowedError):
            people.require_role(session, site.acting(Role.LEAD), site.study_pk, now)


def test_a_role_ends_by_itself(site: Site, now: datetime):
    """At its end, not after it, the role is gone."""
    end = now + timedelta(days=1)
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        people.give_role(session, officer, site.outsider, Role.CUSTODIAN, None, now=now, until=end)

        just_before = end - timedelta(microseconds=1)
        assert people.roles_of(session, site.outsider, None, just_before) == {Role.CUSTODIAN}
        assert people.roles_of(session, site.outsider, None, end) == set()


# Who may give what: administrators make no approver, and nobody promotes themself.
GIVERS = [
    (Role.STUDY_TEAM, True, {Role.LEAD, Role.ADMINISTRATOR}),
    (Role.EXTERNAL, False, {Role.ADMINISTRATOR, Role.STEWARD, Role.OFFICER}),
    (Role.STEWARD, False, {Role.OFFICER}),
    (Role.STEWARD, True, {Role.OFFICER}),
    (Role.CUSTODIAN, False, {Role.OFFICER}),
    (Role.OFFICER, False, {Role.OFFICER}),
    (Role.ADMINISTRATOR, False, {Role.OFFICER}),
]


def may_give(site: Site, giver: Role, role: Role, study_pk: int | None, now: datetime) -> bool:
    """Whether somebody may give a role; it is taken back at once."""
    with site.records.transaction() as session, session.begin_nested() as part:
        try:
            actor = site.acting(giver)
            people.give_role(session, actor, site.outsider, role, study_pk, now=now)
        except NotAllowedError:
            return False
        part.rollback()
    return True


def test_who_gives_roles(site: Site, now: datetime):
    """Those of the table and nobody else."""
    for role, for_study, givers in GIVERS:
        study_pk = site.study_pk if for_study else None

        able = {giver for giver in Role if may_give(site, giver, role, study_pk, now)}

        assert able == givers, role


def test_nobody_gives_a_role_to_themself(site: Site, now: datetime):
    """An officer does not become steward by their own hand."""
    officer = site.acting(Role.OFFICER)
    with site.records.transaction() as session, pytest.raises(NotAllowedError, match="themself"):
        people.give_role(session, officer, site.officer, Role.STEWARD, None, now=now)


def test_who_runs_the_site_does_not_approve(site: Site, now: datetime):
    """The two never meet in one person."""
    officer = site.acting(Role.OFFICER)
    for person, role in (
        (site.administrator, Role.STEWARD),
        (site.administrator, Role.OFFICER),
        (site.steward, Role.ADMINISTRATOR),
    ):
        with site.records.transaction() as session, pytest.raises(NotAllowedError, match="both"):
            people.give_role(session, officer, person, role, None, now=now)


def test_the_last_officer_stays(site: Site, now: datetime):
    """A site without an officer could name none."""
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        with pytest.raises(NotAllowedError, match="only officer"):
            people.end_role(session, officer, site.officer, Role.OFFICER, None, now=now)


def test_some_roles_are_not_given(site: Site, now: datetime):
    """They follow from the study's record, the directory, the server."""
    officer = site.acting(Role.OFFICER)
    for role in (Role.LEAD, Role.MEMBER, Role.SERVICE):
        with site.records.transaction() as session, pytest.raises(UsageError):
            people.give_role(session, officer, site.outsider, role, None, now=now)


def test_acting_in_a_role_one_does_not_have_is_refused(site: Site, now: datetime):
    """A claim is compared with the records."""
    liar = Actor(site.members[0], Role.OFFICER, "because")

    with site.records.transaction() as session, pytest.raises(NotAllowedError, match="officer"):
        people.require_role(session, liar, None, now)


def test_an_account_belongs_to_one_person(site: Site, now: datetime):
    """A user name that is taken is not given again; one's own may change."""
    administrator = site.acting(Role.ADMINISTRATOR)
    with site.records.transaction() as session:
        with pytest.raises(ConflictError, match="p-member2"):
            people.set_account(session, administrator, "p-member1", INSIDE, "member2", now=now)
        people.set_account(session, administrator, "p-member1", INSIDE, "renamed", now=now)

        assert session.get(Account, (INSIDE, "member1")) is None
        assert session.get_one(Account, (INSIDE, "renamed")).person_id == "p-member1"


# ORCID's own examples of iDs, and the same with a digit changed.
@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("0000-0002-1825-0097", True),
        ("0000-0001-5109-3700", True),
        ("0000-0002-1694-233X", True),
        ("0000-0002-1694-2330", False),
        ("0000-0002-1825-0079", False),
        ("0000000218250097", False),
        ("\u0660\u0660\u0660\u0660-0002-1825-0097", False),
        ("", False),
    ],
)
def test_orcid_check_digits(text: str, is_one: bool):  # noqa: FBT001  # a column of the table
    """An iD with a slip in it is noticed."""
    assert people.is_orcid(text) is is_one


def test_a_person_is_added_once(site: Site, now: datetime):
    """An identity stays with its person."""
    with site.records.transaction() as session, pytest.raises(ConflictError):
        people.add_person(
            session, site.acting(Role.ADMINISTRATOR), NewPerson("p-lead", "Another"), now=now
        )
