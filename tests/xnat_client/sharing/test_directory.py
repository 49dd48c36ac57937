"""Members of the centre: who the directory names is one, who it no longer names is none."""

from __future__ import annotations

import base64
from datetime import datetime
from pathlib import Path

import pytest

from tests.builders.sharing import INSIDE, Site
from xnat_client.errors import BadInputError, NotAllowedError
from xnat_client.sharing.database.tables import Account, Person
from xnat_client.sharing.directory import (
    Attributes,
    Member,
    Synchronised,
    read_ldif,
    read_table,
    synchronise,
)
from xnat_client.sharing.records import people
from xnat_client.sharing.vocabulary import Role

TABLE = """person_id,name,email,username,active
p-a,Ada Example,ada@x.test,ada,yes
p-b,"Example, Bo",,bo,no
p-c,Cy Example,,,maybe
"""

# The form of RFC 2849: a folded line, a base64 value, an option, a comment, a photograph.
LDIF = f"""version: 1

# people
dn: uid=ada,ou=people,dc=x
objectClass: inetOrgPerson
uid: ada
cn;lang-en: Ada
  Example
mail: ada@x.test

dn: uid=bo,ou=people,dc=x
uid: bo
cn:: {base64.b64encode("Bø Example".encode()).decode()}
jpegPhoto:: {base64.b64encode(bytes([255, 216, 255])).decode()}
"""


def members(*words: str, active: bool = True) -> list[Member]:
    return [Member(f"p-{one}", one.capitalize(), f"{one}@x.test", active, one) for one in words]


def sync(site: Site, now: datetime, found: list[Member], *, dry_run: bool = False) -> Synchronised:
    with site.records.transaction() as session:
        actor = site.acting(Role.ADMINISTRATOR)
        return synchronise(session, actor, found, now=now, dry_run=dry_run)


def roles(site: Site, person: str, now: datetime) -> set[Role]:
    with site.records.transaction() as session:
        return people.roles_of(session, person, None, now)


EVERYBODY = ("lead", "steward", "requester", "member1", "member2")


def test_a_table_names_members(tmp_path: Path):
    """What is not clearly said to be active is not."""
    (tmp_path / "people.csv").write_text(TABLE)

    assert read_table(tmp_path / "people.csv") == [
        Member("p-a", "Ada Example", "ada@x.test", active=True, username="ada"),
        Member("p-b", "Example, Bo", "", active=False, username="bo"),
        Member("p-c", "Cy Example", "", active=False),
    ]


def test_an_ldif_file_names_members(tmp_path: Path):
    """Folded, encoded and optional values are read as the standard says."""
    (tmp_path / "people.ldif").write_text(LDIF)

    assert read_ldif(tmp_path / "people.ldif") == [
        Member("ada", "Ada Example", "ada@x.test", username="ada"),
        Member("bo", "Bø Example", "", username="bo"),
    ]


# Exports that would take everybody's access, or give it to somebody twice.
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("person_id,name,active\n", "names nobody"),
        ("person_id,name,active\na,A,1\na,B,1\n", "twice"),
        ("person_id,name,active\n,A,1\n", "without 'person_id'"),
        ("person_id,name\na,A\n", "lacks the columns active"),
        ("person_id,name,active\na,A\n", "more or fewer cells"),
        ('person_id,name,active\n"a,A,1\n', "well-formed"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, content: str, reason: str):
    """The whole table is refused, so that nothing half is believed."""
    (tmp_path / "people.csv").write_text(content)

    with pytest.raises(BadInputError, match=reason):
        read_table(tmp_path / "people.csv")


@pytest.mark.parametrize(
    "content",
    [
        "dn: uid=a,dc=x\nchangetype: delete\n",
        "uid: a\ncn: A\n",
        "dn: uid=a,dc=x\nuid: a\ncn:< file:///etc/passwd\n",
        "no attribute at all\n",
        "dn: ou=people,dc=x\nou: people\n",
    ],
)
def test_other_ldif_is_refused(tmp_path: Path, content: str):
    """Changes, references to files and entries that are no people are not taken for members."""
    (tmp_path / "people.ldif").write_text(content)

    with pytest.raises(BadInputError):
        read_ldif(tmp_path / "people.ldif")


def test_columns_may_have_other_names(tmp_path: Path):
    """Capitals in a heading do not matter; a directory may list active people only."""
    (tmp_path / "people.csv").write_text("SSO,Full Name\nab12,Ada Example\n")

    found = read_table(tmp_path / "people.csv", Attributes("sso", "full name", "", "", ""))

    assert found == [Member("ab12", "Ada Example")]


def test_who_joins_is_a_member_with_an_account(site: Site, now: datetime):
    """And nothing more."""
    done = sync(site, now, members(*EVERYBODY, "new"))

    assert done.joined == ("p-new",)
    assert roles(site, "p-new", now) == {Role.MEMBER}
    with site.records.transaction() as session:
        assert session.get_one(Account, (INSIDE, "new")).person_id == "p-new"


def test_who_leaves_has_no_role(site: Site, now: datetime):
    """A steward who left the centre approves nothing, but stays on record."""
    done = sync(site, now, members("lead", "requester", "member1", "member2"))

    assert done.left == ("p-steward",)
    assert roles(site, site.steward, now) == set()
    with site.records.transaction() as session:
        assert session.get_one(Person, site.steward).name


def test_people_from_elsewhere_stay_as_they_are(site: Site, now: datetime):
    """The directory says nothing about those it never named."""
    sync(site, now, members("member1"))

    assert roles(site, site.externals[0], now) == {Role.EXTERNAL}
    assert roles(site, site.officer, now) == {Role.OFFICER}


def test_who_is_named_as_inactive_is_none(site: Site, now: datetime):
    """Being listed is not enough."""
    sync(site, now, [*members(*EVERYBODY[:-1]), *members("member2", active=False)])

    assert roles(site, "p-member2", now) == set()


def test_who_was_made_inactive_does_not_come_back_by_itself(site: Site, now: datetime):
    """An officer's decision outlives the next synchronisation."""
    with site.records.transaction() as session:
        people.set_active(session, site.acting(Role.OFFICER), "p-member1", active=False, now=now)

    done = sync(site, now, members(*EVERYBODY))

    assert done.waiting == ("p-member1",)
    assert roles(site, "p-member1", now) == set()


def test_a_user_name_is_not_taken_over(site: Site, now: datetime):
    """Neither another person's nor the service's account goes to a newcomer."""
    found = [
        *members(*EVERYBODY),
        Member("p-x", "X", username="external1"),
        Member("p-y", "Y", username="releaser"),
    ]

    assert sync(site, now, found).conflicts == ("p-x", "p-y")
    with site.records.transaction() as session:
        assert session.get_one(Account, (INSIDE, "external1")).person_id == "p-external1"
        assert session.get(Account, (INSIDE, "releaser")) is None


def test_a_dry_run_and_a_second_run_change_nothing(site: Site, now: datetime):
    """Both say so."""
    dry = sync(site, now, members(*EVERYBODY, "new"), dry_run=True)
    assert (dry.joined, roles(site, "p-new", now)) == (("p-new",), set())

    sync(site, now, members(*EVERYBODY, "new"))
    again = sync(site, now, members(*EVERYBODY, "new"))
    assert (again.joined, again.left, again.renamed, again.unchanged) == ((), (), (), 6)


def test_a_member_does_not_synchronise(site: Site, now: datetime):
    """Who could change the list of members could let anybody in."""
    with site.records.transaction() as session, pytest.raises(NotAllowedError):
        synchronise(session, site.acting(Role.MEMBER), members("member1"), now=now)
