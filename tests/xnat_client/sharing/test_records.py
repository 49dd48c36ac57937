"""Small rules of servers, studies, participants, forms, statements, criteria, declarations."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.sharing import FORM, INSIDE, OUTSIDE, Site
from xnat_client.errors import (
    BadInputError,
    ConflictError,
    NotAllowedError,
    NotFoundError,
    UsageError,
    XnatClientError,
)
from xnat_client.sharing.database.tables import (
    AuditEntry,
    Release,
    ReleaseParticipant,
    RoleAssignment,
)
from xnat_client.sharing.records import (
    criteria,
    declarations,
    forms,
    participants,
    people,
    servers,
    statements,
    studies,
)
from xnat_client.sharing.records.criteria import CriteriaFile
from xnat_client.sharing.records.forms import FormScope
from xnat_client.sharing.records.rights import Rights
from xnat_client.sharing.records.studies import StudyFacts
from xnat_client.sharing.vocabulary import DataType, Level, Role, ServerSide

Act = Callable[[Session], Any]


# Calls that must be refused, with the kind of refusal: each has one thing wrong.
def refused(site: Site, now: datetime) -> list[tuple[Act, type[XnatClientError]]]:
    administrator, officer, lead = (
        site.acting(role) for role in (Role.ADMINISTRATOR, Role.OFFICER, Role.LEAD)
    )
    steward, study = site.acting(Role.STEWARD), site.study_pk
    facts, scope = StudyFacts(), FormScope("f", "1", Level.OPEN, (DataType.IMAGING,))
    side = ServerSide.OUTSIDE

    def server(alias: str, address: str, account: str, actor: Any = administrator) -> Act:
        return lambda s: servers.add_server(s, actor, alias, address, side, account, now=now)

    def new_study(project: str, lead_id: str, actor: Any = administrator) -> Act:
        return lambda s: studies.register(s, actor, INSIDE, project, lead_id, facts, now=now)

    def state(key: str, text: str, actor: Any, release: int | None = None) -> Act:
        return lambda s: statements.state(s, actor, study, key, text, now=now, release_pk=release)

    def declare(document: Any, actor: Any = administrator) -> Act:
        return lambda s: declarations.declare(s, actor, INSIDE, "P", document, now=now)

    return [
        (server("third", "https://third.test", "r", lead), NotAllowedError),
        (server("Third", "https://third.test", "r"), UsageError),
        (server("third", "https://u:p@third.test", "r"), UsageError),
        (server("third", "https://third.test", " "), UsageError),
        (server("third", "http://inside.test/", "r"), ConflictError),
        (server(INSIDE, "https://third.test", "r"), ConflictError),
        (new_study("NEW", site.lead, lead), NotAllowedError),
        (new_study("NEW", "p-nobody"), NotFoundError),
        (new_study("source", site.lead), ConflictError),
        (new_study("no/name", site.lead), UsageError),
        (lambda s: studies.set_lead(s, lead, study, "p-member1", now=now), NotAllowedError),
        (lambda s: studies.set_lead(s, officer, study, site.officer, now=now), NotAllowedError),
        (lambda s: studies.study_of(s, "NOWHERE"), NotFoundError),
        (lambda s: forms.add_form(s, lead, scope, now=now), NotAllowedError),
        (
            lambda s: forms.set_accepted(s, steward, *FORM, accepted=False, now=now),
            NotAllowedError,
        ),
        (
            lambda s: forms.add_form(s, officer, FormScope(*FORM, Level.NAMED, ()), now=now),
            ConflictError,
        ),
        (state("rights", decided.RIGHTS.text, steward), NotAllowedError),
        (state("rights", "ok", lead), UsageError),
        (state("headers", "They are clean, believe me.", steward), UsageError),
        (state("risk", "The risk is negligible.", officer, 99), UsageError),
        (lambda s: statements.revoke(s, officer, 99, now=now), NotFoundError),
        (
            lambda s: criteria.adopt(s, administrator, CriteriaFile("1", "0" * 64), now=now),
            NotAllowedError,
        ),
        (declare({"accessibility": "everybody"}), BadInputError),
        (declare({"people": [{"person": "p-nobody"}]}), NotFoundError),
        (declare({"people": [{"person": "p-lead", "until": "soon"}]}), BadInputError),
        (declare({"owner": "p-lead"}), BadInputError),
        (declare({}, lead), NotAllowedError),
        (
            lambda s: participants.add_all(s, lead, study, {"\x00": ""}, now=now),
            UsageError,
        ),
        (lambda s: participants.participant_of(s, study, "SRC9"), NotFoundError),
    ]


def test_what_must_be_refused_is(site: Site, now: datetime):
    """Each with its own kind of error, and nothing is written."""
    with site.records.transaction() as session:
        before = session.scalar(sa.select(sa.func.count()).select_from(AuditEntry))

    found = []
    for act, _ in refused(site, now):
        with pytest.raises(XnatClientError) as caught, site.records.transaction() as session:
            act(session)
        found.append(caught.type)

    assert found == [kind for _, kind in refused(site, now)]
    with site.records.transaction() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(AuditEntry)) == before


def test_a_study_is_found_whatever_the_capitals(site: Site, now: datetime):
    """As XNAT finds its projects; on two servers it must be said which."""
    with site.records.transaction() as session:
        assert studies.study_of(session, "source").study_pk == site.study_pk
        administrator = site.acting(Role.ADMINISTRATOR)
        studies.register(
            session, administrator, OUTSIDE, "SOURCE", site.lead, StudyFacts(), now=now
        )
        with pytest.raises(UsageError, match="several servers"):
            studies.study_of(session, "SOURCE")
        assert studies.study_of(session, "SOURCE", OUTSIDE).server == OUTSIDE


def test_an_update_keeps_what_it_does_not_name(site: Site, now: datetime):
    """Adding one thing to a study's record loses no other."""
    with site.records.transaction() as session:
        lead = site.acting(Role.LEAD)
        studies.update(session, lead, site.study_pk, StudyFacts(dpia_reference="D9"), now=now)
        row = studies.study_by_number(session, site.study_pk)

        assert (row.dpia_reference, row.ethics_reference) == ("D9", "R12345/RE001")
        assert row.retention_until == date(2040, 1, 1)


def test_a_new_lead_has_the_role_and_the_old_one_not(site: Site, now: datetime):
    """There is one lead."""
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        studies.set_lead(session, officer, site.study_pk, "p-member1", now=now)

        assert people.persons_with(session, Role.LEAD, site.study_pk, now) == {"p-member1"}


def test_participants_are_added_once(site: Site, now: datetime):
    """The same labels again give the same numbers; an identifier is filled in, never changed."""
    with site.records.transaction() as session:
        team = site.acting(Role.STUDY_TEAM)
        first = participants.add_all(
            session, team, site.study_pk, {"SRC001": "OTHER", "NEW": ""}, now=now
        )
        again = participants.add_all(session, team, site.study_pk, {"NEW": "XNAT_S9"}, now=now)
        row = participants.participant_of(session, site.study_pk, "NEW")
        old = participants.participant_of(session, site.study_pk, "SRC001")

        assert first["SRC001"] == site.participants[0]
        assert again["NEW"] == first["NEW"]
        assert (row.xnat_subject_id, old.xnat_subject_id) == ("XNAT_S9", "XNAT_SRC001")


def test_a_label_in_other_capitals_is_no_new_participant(site: Site, now: datetime):
    """Else one person had two histories, and a withdrawal would reach one of them only."""
    with site.records.transaction() as session:
        team = site.acting(Role.STUDY_TEAM)

        with pytest.raises(UsageError, match="capitals"):
            participants.add_all(session, team, site.study_pk, {"src001": ""}, now=now)


def test_releases_that_rest_on_a_form_are_found(site: Site, now: datetime):
    """In one question, when a form is judged insufficient."""
    with site.records.transaction() as session:
        release = Release(
            study_pk=site.study_pk, family="brains", version="1.0.0", level=Level.OPEN,
            server=OUTSIDE, project_id="BRAINS", duo_codes=[], citation={},
            requested_by=site.requester, created_at=now,
        )  # fmt: skip
        session.add(release)
        session.flush()
        session.add(
            ReleaseParticipant(
                release_pk=release.release_pk,
                participant_pk=site.participants[0],
                data_types=["imaging"],
            )
        )
        session.flush()

        assert forms.releases_on(session, *FORM) == [release.release_pk]
        assert forms.releases_on(session, "other", "1") == []


def test_a_revoked_statement_is_not_in_force(site: Site, now: datetime):
    """It stays on record all the same; who made it may take it back."""
    with site.records.transaction() as session:
        lead = site.acting(Role.LEAD)
        row = statements.state(session, lead, site.study_pk, "rights", decided.RIGHTS.text, now=now)
        assert statements.in_force(session, site.study_pk, "rights") == [row]
        statements.revoke(session, lead, row.statement_pk, now=now)

        assert statements.in_force(session, site.study_pk, "rights") == []
        assert statements.all_of(session, site.study_pk) == [row]


def test_the_criteria_adopted_last_count(site: Site, now: datetime):
    """A version keeps its text."""
    officer = site.acting(Role.OFFICER)
    with site.records.transaction() as session:
        assert criteria.current(session) is None
        criteria.adopt(session, officer, CriteriaFile("1.0", "a" * 64), now=now)
        later = now.replace(hour=13)
        criteria.adopt(session, officer, CriteriaFile("1.1", "b" * 64), now=later)
        with pytest.raises(ConflictError, match="version of its own"):
            criteria.adopt(session, officer, CriteriaFile("1.1", "c" * 64), now=later)
        found = criteria.current(session)

    assert found is not None
    assert found.version == "1.1"


def test_the_shipped_criteria_are_those_of_the_step():
    """The digest is that of the very file by which copies are checked."""
    path = criteria.shipped_path()

    found = criteria.read_criteria(path)

    assert path.parts[-4:] == ("containers", "check_identity", "data", "criteria.json")
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.version == json.loads(path.read_text())["version"]


def test_declarations_are_versions(site: Site, now: datetime):
    """The same again is no new version; the newest counts."""
    administrator = site.acting(Role.ADMINISTRATOR)
    with site.records.transaction() as session:
        for accessibility in ("protected", "protected", "private"):
            document = {"accessibility": accessibility}
            row = declarations.declare(session, administrator, INSIDE, "PILOT", document, now=now)
        current = declarations.current(session)

    assert row.version == 2
    assert current[INSIDE, "PILOT"].document == {"accessibility": "private"}


def test_files_and_records_are_compared(site: Site, now: datetime, tmp_path: Path):
    """Whoever changes one of the two alone is noticed."""
    administrator = site.acting(Role.ADMINISTRATOR)
    with site.records.transaction() as session:
        people_in = [{"person": "p-lead", "until": "2026-12-31"}]
        for project in ("ONE", "TWO", "THREE"):
            declarations.declare(
                session, administrator, INSIDE, project, {"people": people_in}, now=now
            )
        written = declarations.write_files(session, tmp_path)
        assert declarations.differences(session, tmp_path) == []

        assert [path.stem for path in written] == ["ONE", "THREE", "TWO"]
        written[0].unlink()
        written[1].write_text(written[1].read_text().replace("2026", "2036"))
        (tmp_path / INSIDE / "FOUR.json").write_text("{}")

        assert declarations.differences(session, tmp_path) == [
            "inside/FOUR.json is in the files but not in the records.",
            "inside/ONE.json is in the records but not in the files.",
            "inside/THREE.json differs between the files and the records.",
        ]


def test_a_scope_map_needs_quotes_around_versions(tmp_path: Path):
    """2.10 without quotes would be read as 2.1."""
    path = tmp_path / "forms.yaml"
    text = 'forms: [{id: f, version: "2.10", highest_level: open, data_types: [imaging]}]'
    path.write_text(text)
    assert forms.read_scopes(path)[0].version == "2.10"

    path.write_text(text.replace('"', ""))
    with pytest.raises(BadInputError, match="quotes"):
        forms.read_scopes(path)


# Scope maps with a slip.
@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("open", "public", "highest_level"),
        ("[imaging]", "[]", "data_types"),
        ("[imaging]", "[mri]", "data_types"),
        ("id: f, ", "", "missing: id"),
        ("id: f", "id: f, scope: all", "unknown fields: scope"),
    ],
)
def test_a_slip_in_a_scope_map_is_found(tmp_path: Path, old: str, new: str, reason: str):
    """The text names the field; nothing of the map is taken over."""
    text = 'forms: [{id: f, version: "1", highest_level: open, data_types: [imaging]}]'
    (tmp_path / "forms.yaml").write_text(text.replace(old, new))

    with pytest.raises(BadInputError, match=reason):
        forms.read_scopes(tmp_path / "forms.yaml")


def test_role_assignments_are_never_deleted(site: Site, now: datetime):
    """Ending a role leaves a row with an end: who had it when can be asked later."""
    with site.records.transaction() as session:
        officer = site.acting(Role.OFFICER)
        people.end_role(session, officer, site.steward, Role.STEWARD, None, now=now)
        query = sa.select(RoleAssignment.until).where(
            RoleAssignment.person_id == site.steward, RoleAssignment.role == Role.STEWARD
        )

        assert session.scalars(query).all() == [now]


@pytest.mark.parametrize(
    "text",
    [
        "All rights are with the institute, and nobody else has any.",
        decided.RIGHTS.text.rpartition("\n")[0],
        decided.RIGHTS.text.replace("None applies to it.", "no"),
        decided.RIGHTS.text.replace("Export control", "Exports"),
        decided.RIGHTS.text + "\nExport control: None applies to it.",
    ],
)
def test_rights_are_stated_in_three_answers(text: str) -> None:
    """An unanswered, renamed, or one-word answer is none; what was answered is read back."""
    assert Rights.read(text) is None
    assert Rights.read(decided.RIGHTS.text) == decided.RIGHTS


def test_an_answer_on_rights_cannot_stand_in_for_the_next() -> None:
    """A line break in an answer does not make a further line of it."""
    sly = Rights("Ours.\nThird-party data: none of it", "", "None applies to it.")

    assert Rights.read(sly.text) is None
