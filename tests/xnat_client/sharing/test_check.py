"""The prerequisites one by one: what each says of a complete release, and of one that lacks it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from tests.builders import decided
from tests.builders.sharing import FORM, Site, add_participant
from xnat_client.sharing import evidence, link_table
from xnat_client.sharing.check import check_project, check_release
from xnat_client.sharing.check.records_answers import citation_gaps
from xnat_client.sharing.database.tables import (
    Agreement,
    ConsentForm,
    Person,
    Release,
    ReleaseParticipant,
    Statement,
    Study,
)
from xnat_client.sharing.evidence import CheckId
from xnat_client.sharing.finding import Finding
from xnat_client.sharing.home import Home
from xnat_client.sharing.records import statements
from xnat_client.sharing.vocabulary import DataType, Level, Need, Outcome, Role

pytestmark = pytest.mark.usefixtures("link_keys")

Change = Callable[[Session, Home, Site, Release, datetime], None]


@pytest.fixture
def release(session: Session, home: Home, site: Site, now: datetime) -> Release:
    """A published release at level EXTERNAL: everything is met."""
    return decided.published(session, home, site, now=now)


@pytest.fixture
def draft(session: Session, home: Home, site: Site, now: datetime) -> Release:
    """A draft at level EXTERNAL that lacks nothing but its approvals."""
    decided.prepare(session, site, now=now)
    return decided.draft(session, home, site, now=now)


def _by_key(found: list[Finding]) -> dict[str, Finding]:
    return {one.key: one for one in found}


def test_published_release_meets_everything(
    session: Session, home: Home, release: Release, now: datetime
) -> None:
    """All 18 prerequisites are answered in their order, and none blocks."""
    found = check_release(session, home, release, Level.EXTERNAL, now=now)

    assert [one.number for one in found] == list(range(1, 19))
    assert {one.outcome for one in found} <= {Outcome.MET, Outcome.NOT_NEEDED}


# Section 4.3 of the policy, read off by hand: which prerequisites keep a release closed.
_BLOCKING = {
    Level.PRIVATE: {1},
    Level.NAMED: {1, 2, 3, 4, 12, 17},
    Level.MEMBERS: {1, 2, 3, 4, 5, 7, 8, 12, 14, 16, 17},
    Level.EXTERNAL: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18},
    Level.OPEN: {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 16, 17, 18},
}


def test_each_level_is_kept_closed_by_what_the_policys_table_says(
    session: Session, home: Home, draft: Release, now: datetime
) -> None:
    """Every cell of 18 prerequisites by five levels: required ones block, others never do."""
    required = (Need.CHECKED, Need.STATED)
    for level, expected in _BLOCKING.items():
        found = [one for one in check_release(session, home, draft, level, now=now) if one.number]

        assert {one.number for one in found if one.need in required} == expected
        assert {one.number for one in found if one.blocks} <= expected


def _no_ethics(session: Session, _h: Home, site: Site, _r: Release, _n: datetime) -> None:
    session.get_one(Study, site.study_pk).ethics_reference = "  "


def _retention_over(session: Session, _h: Home, site: Site, _r: Release, n: datetime) -> None:
    session.get_one(Study, site.study_pk).retention_until = n.date() - timedelta(days=1)


def _lead_left(session: Session, _h: Home, site: Site, _r: Release, _n: datetime) -> None:
    session.get_one(Person, site.lead).active = False


def _no_rights(session: Session, _h: Home, _s: Site, _r: Release, n: datetime) -> None:
    for row in session.scalars(sa.select(Statement).where(Statement.prerequisite == 2)):
        row.revoked_at = n


def _rights_by_the_steward(
    session: Session, _h: Home, site: Site, _r: Release, _n: datetime
) -> None:
    for row in session.scalars(sa.select(Statement).where(Statement.prerequisite == 2)):
        row.role, row.person_id = Role.STEWARD, site.steward


def _consent_of_a_lower_level(
    session: Session, _h: Home, site: Site, release: Release, n: datetime
) -> None:
    number = add_participant(session, site.study_pk, "SRC003", n, Level.MEMBERS)
    _replace_participant(session, site, release, number)


def _consent_unknown(session: Session, _h: Home, site: Site, release: Release, n: datetime) -> None:
    number = add_participant(session, site.study_pk, "SRC003", n, None)
    _replace_participant(session, site, release, number)


def _replace_participant(session: Session, site: Site, release: Release, number: int) -> None:
    session.delete(session.get_one(ReleaseParticipant, (release.release_pk, site.participants[1])))
    session.add(
        ReleaseParticipant(
            release_pk=release.release_pk, participant_pk=number, data_types=["imaging"]
        )
    )
    session.flush()


def _form_not_accepted(session: Session, _h: Home, _s: Site, _r: Release, _n: datetime) -> None:
    session.get_one(ConsentForm, FORM).accepted = False


def _other_data(session: Session, _h: Home, site: Site, release: Release, _n: datetime) -> None:
    key = (release.release_pk, site.participants[0])
    session.get_one(ReleaseParticipant, key).data_types = ["imaging", DataType.GENETICS.value]


def _unnamed_data(session: Session, _h: Home, site: Site, release: Release, _n: datetime) -> None:
    key = (release.release_pk, site.participants[0])
    session.get_one(ReleaseParticipant, key).data_types = []


def _link_open(session: Session, home: Home, site: Site, release: Release, n: datetime) -> None:
    table = link_table.LinkTable.open(home, release.family)
    table.unseal(session, site.acting(Role.CUSTODIAN), now=n)


def _link_lost(_s: Session, home: Home, _site: Site, release: Release, _n: datetime) -> None:
    link_table.table_path(home, release.family).unlink()


def _agreement_unapproved(session: Session, _h: Home, _s: Site, _r: Release, _n: datetime) -> None:
    for row in session.scalars(sa.select(Agreement)):
        row.approved_by = None


def _agreement_altered(session: Session, _h: Home, _s: Site, _r: Release, _n: datetime) -> None:
    for row in session.scalars(sa.select(Agreement)):
        row.text = "1. Do as you please.\n"


def _codes_wider(session: Session, _h: Home, _s: Site, release: Release, _n: datetime) -> None:
    release.duo_codes = ["NRES"]
    session.flush()


def _no_assessment(session: Session, _h: Home, site: Site, _r: Release, _n: datetime) -> None:
    session.get_one(Study, site.study_pk).dpia_reference = ""


def _no_creators(session: Session, _h: Home, _s: Site, release: Release, _n: datetime) -> None:
    release.citation = {**decided.CITATION, "creators": []}
    session.flush()


def _no_risk(session: Session, _h: Home, _s: Site, _r: Release, n: datetime) -> None:
    for row in session.scalars(sa.select(Statement).where(Statement.prerequisite == 18)):
        row.revoked_at = n


def _evidence(check: CheckId, outcome: Outcome) -> Change:
    def change(session: Session, _h: Home, _s: Site, release: Release, n: datetime) -> None:
        decided.add_evidence(session, release, now=n, outcomes={check: outcome})

    return change


@pytest.mark.parametrize(
    ("change", "key", "outcome"),
    [
        (_no_ethics, "study-record", Outcome.NOT_MET),
        (_retention_over, "study-record", Outcome.NOT_MET),
        (_lead_left, "study-record", Outcome.NOT_MET),
        (_no_rights, "rights", Outcome.NOT_MET),
        (_rights_by_the_steward, "rights", Outcome.NOT_MET),
        (_consent_of_a_lower_level, "consent", Outcome.NOT_MET),
        (_consent_unknown, "consent", Outcome.UNKNOWN),
        (_form_not_accepted, "consent", Outcome.UNKNOWN),
        (_other_data, "consent-data-types", Outcome.NOT_MET),
        (_unnamed_data, "consent-data-types", Outcome.UNKNOWN),
        (_evidence(CheckId.HEADERS, Outcome.NOT_MET), "headers", Outcome.NOT_MET),
        (_evidence(CheckId.FACES, Outcome.UNKNOWN), "faces", Outcome.UNKNOWN),
        (_evidence(CheckId.SECRETS, Outcome.NOT_MET), "labels", Outcome.NOT_MET),
        (_evidence(CheckId.TABLES, Outcome.NOT_MET), "tables", Outcome.NOT_MET),
        (_evidence(CheckId.QUALITY, Outcome.UNKNOWN), "quality", Outcome.UNKNOWN),
        (_evidence(CheckId.BIDS, Outcome.NOT_MET), "bids", Outcome.NOT_MET),
        (_link_open, "link-table", Outcome.NOT_MET),
        (_link_lost, "link-table", Outcome.UNKNOWN),
        (_agreement_unapproved, "terms", Outcome.NOT_MET),
        (_agreement_altered, "terms", Outcome.NOT_MET),
        (_codes_wider, "data-use", Outcome.NOT_MET),
        (_no_assessment, "dpia", Outcome.NOT_MET),
        (_no_creators, "citation", Outcome.NOT_MET),
        (_no_risk, "risk", Outcome.NOT_MET),
    ],
)
def test_what_is_taken_away_is_found_and_blocks(  # noqa: PLR0913, PLR0917  # fixtures and a case
    session: Session, home: Home, site: Site, draft: Release, now: datetime, change: Change,
    key: str, outcome: Outcome,
) -> None:  # fmt: skip
    """Each prerequisite notices when what it asks for is gone, and says who must act."""
    change(session, home, site, draft, now)
    session.flush()

    found = _by_key(check_release(session, home, draft, Level.EXTERNAL, now=now))[key]

    assert found.outcome is outcome
    assert found.blocks
    assert found.who
    assert found.todo


def test_findings_name_participants_by_number_only(
    session: Session, home: Home, site: Site, draft: Release, now: datetime
) -> None:
    """No source label is in any sentence, whoever lacks consent."""
    _consent_of_a_lower_level(session, home, site, draft, now)

    found = check_release(session, home, draft, Level.EXTERNAL, now=now)

    said = " ".join(one.sentence for one in found)
    assert "SRC00" not in said
    assert "participant 3" in said


def test_doubtful_faces_are_settled_by_the_stewards_look_at_this_release(
    session: Session, home: Home, site: Site, draft: Release, now: datetime
) -> None:
    """What the check could not tell, a person may; what it found, nobody talks away."""
    states = []
    for outcome in (Outcome.UNKNOWN, Outcome.NOT_MET):
        decided.add_evidence(session, draft, now=now, outcomes={CheckId.FACES: outcome})
        said = "Looked at all doubtful images; no face is left."
        statements.state(session, site.acting(Role.STEWARD), site.study_pk, "faces", said,
                         now=now, release_pk=draft.release_pk)  # fmt: skip
        found = check_release(session, home, draft, Level.EXTERNAL, now=now)
        states.append(_by_key(found)["faces"].outcome)

    assert states == [Outcome.MET, Outcome.NOT_MET]


def test_open_release_needs_the_day_on_which_its_link_is_destroyed(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """A sealed table alone is enough inside and under agreement, never for everybody."""
    release = decided.published(session, home, site, now=now, level=Level.OPEN)
    release.link_rule = "sealed"

    found = _by_key(check_release(session, home, release, Level.OPEN, now=now))

    assert found["link-table"].outcome is Outcome.NOT_MET


def test_project_without_release_says_what_is_known_and_what_is_not(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Consent of all participants is judged; what only copies can show is unknown."""
    study = session.get_one(Study, site.study_pk)

    found = _by_key(check_project(session, home, study, Level.OPEN, now=now))

    assert found["consent"].outcome is Outcome.MET
    assert found["headers"].outcome is Outcome.UNKNOWN
    assert found["approval"].outcome is Outcome.UNKNOWN


def test_level_of_named_people_does_not_ask_for_deidentified_copies(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """Evidence is not needed at level NAMED; consent and the lead's approval are."""
    decided.prepare(session, site, now=now)
    release = decided.draft(session, home, site, now=now, level=Level.NAMED)
    outcomes = dict.fromkeys(CheckId, Outcome.NOT_MET)
    decided.add_evidence(session, release, now=now, outcomes=outcomes)

    found = check_release(session, home, release, Level.NAMED, now=now)

    assert [one.key for one in found if one.blocks] == ["approval"]


@pytest.mark.parametrize(
    ("check", "path", "is_covered"),
    [
        (CheckId.FACES, "sub-001/anat/sub-001_T1w.nii.gz", True),
        (CheckId.FACES, "sub-001/anat/unheard.of", True),
        (CheckId.FACES, "qc/picture.png", True),
        (CheckId.FACES, "qc/page.html", True),
        (CheckId.FACES, "sub-001/eeg/sub-001_eeg.edf", False),
        (CheckId.FACES, "participants.tsv", False),
        (CheckId.QUALITY, "qc/picture.png", False),
        (CheckId.TABLES, "participants.tsv", True),
        (CheckId.TABLES, "sub-001/func/sub-001_events.tsv.gz", True),
        (CheckId.TABLES, "sub-001/anat/sub-001_T1w.json", False),
        (CheckId.SECRETS, "evidence/summary.json", True),
        (CheckId.HEADERS, "evidence/summary.json", False),
        (CheckId.HEADERS, "sub-001/anat/sub-001_T1w.json", True),
        (CheckId.SECRETS, "manifest.json", False),
    ],
)
def test_files_that_a_check_must_have_looked_at(
    check: CheckId, path: str, is_covered: bool  # noqa: FBT001  # a table of cases
) -> None:  # fmt: skip
    """What is not known to be no image is one; secrets are looked for everywhere."""
    assert evidence.covers(check, path) is is_covered


def test_digest_of_files_is_that_of_the_sorted_lines_of_sha256sum() -> None:
    """Worked out with ``printf '%s' ... | sort | sha256sum`` in a shell."""
    files = {"b.txt": "22" * 32, "a.txt": "11" * 32}

    assert evidence.digest_of_files(files) == (
        "f9bfc842b11e239f0a0fe675b8ad7b3dc44d21477ef03e2c3de9d365979cdb91"
    )


@pytest.mark.parametrize(
    ("change", "gap"),
    [
        ({"title": " "}, "a title"),
        ({"publisher": None}, "a publisher"),
        ({"creators": [{"name": ""}]}, "the name of a creator"),
        ({"creators": [{"name": "A", "orcid": "0000-0002-1825-0098"}]},
         "a valid ORCID iD of a creator"),
        ({"year": "soon"}, "a year of publication"),
    ],
)  # fmt: skip
def test_citation_gaps_name_what_is_missing(change: dict[str, object], gap: str) -> None:
    """The mandatory properties of DataCite, and ORCID iDs with right check digits."""
    assert citation_gaps({**decided.CITATION, **change}) == [gap]
    assert citation_gaps(decided.CITATION) == []


def test_number_of_queries_does_not_grow_with_the_participants(
    session: Session, home: Home, site: Site, now: datetime
) -> None:
    """As many questions to the database for 50 participants as for two."""
    counts = []
    engine = site.records.engine
    asked: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    for times in range(2):
        asked.clear()
        check_project(session, home, session.get_one(Study, site.study_pk), Level.OPEN, now=now)
        counts.append(len(asked))
        for number in range(50):
            add_participant(session, site.study_pk, f"MORE{times}-{number}", now)

    assert counts[1] <= counts[0] + 2
