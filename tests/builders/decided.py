"""Releases that went the whole way: built by hand, checked, proposed, signed, published.

Every step is a real event of the records, so that what is asked at each of them is met. The files
are a few bytes; what they are stands in the tests of the build.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.orm import Session

from tests.builders.sharing import INSIDE, OUTSIDE, Site
from xnat_client.release import manifest
from xnat_client.sharing import (
    approvals,
    clock,
    decisions,
    evidence,
    grants,
    link_table,
    signing,
)
from xnat_client.sharing.actors import Actor, service
from xnat_client.sharing.approvals import Decision, Vote
from xnat_client.sharing.audit import chain
from xnat_client.sharing.check import freshness
from xnat_client.sharing.database.tables import (
    Grant,
    Person,
    Release,
    ReleaseFile,
    ReleaseParticipant,
)
from xnat_client.sharing.evidence import CheckId, CheckResult
from xnat_client.sharing.grants import NewGrant
from xnat_client.sharing.home import Home
from xnat_client.sharing.levels import APPROVERS
from xnat_client.sharing.machines.grant_machine import GrantEvent
from xnat_client.sharing.machines.release_machine import ReleaseEvent
from xnat_client.sharing.records import agreements, consent, criteria, statements
from xnat_client.sharing.records.agreement_text import AgreementText, Clause
from xnat_client.sharing.records.agreements import Signing
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.records.criteria import CriteriaFile
from xnat_client.sharing.records.rights import Rights
from xnat_client.sharing.vocabulary import ConsentEvent, Level, Outcome, ReleaseState, Role

AGREEMENT = ("data-use", "1.0.0")
POLICY = ("internal-policy", "1.0.0")
CRITERIA = "1.0"
RIGHTS = Rights("All is the institute's own.", "Nothing of others is in it.", "None applies to it.")
CITATION = {
    "title": "Heads of a small study",
    "creators": [{"name": "Person, Lead", "orcid": "0000-0002-1825-0097"}],
    "publisher": "Institute",
    "year": 2026,
    "funding": [],
}


@dataclass
class Signers:
    """The private keys of the people who decide: the same for a person in every test."""

    keys: dict[str, Ed25519PrivateKey] = field(default_factory=dict)

    def key_of(self, session: Session, person_id: str, role: Role, now: datetime) -> str:
        """Return a person's public key, recorded if it is new."""
        if person_id not in self.keys:
            seed = hashlib.sha256(person_id.encode()).digest()
            self.keys[person_id] = Ed25519PrivateKey.from_private_bytes(seed)
        text = signing.public_text(self.keys[person_id].public_key())
        if not session.get_one(Person, person_id).public_key:
            actor = Actor(person_id, role, "my first key")
            signing.register_key(session, actor, person_id, text, now=now)
        return text

    def sign(  # noqa: PLR0913  # who signs what about which release, when
        self,
        session: Session,
        release: Release,
        decision: Decision,
        person_id: str,
        role: Role,
        *,
        now: datetime,
    ) -> str:
        """Return a person's signature over a decision, with the key that is on record."""
        self.key_of(session, person_id, role, now)
        vote = Vote(person_id, role, now)
        text = approvals.text_to_sign(session, release, decision, vote)
        return signing.sign(self.keys[person_id], text)


def prepare(session: Session, site: Site, *, now: datetime) -> None:
    """Give the site what every release needs: criteria, texts, statements."""
    officer = site.acting(Role.OFFICER)
    criteria.adopt(session, officer, CriteriaFile(CRITERIA, "c1" * 32), now=now)
    for name in (AGREEMENT, POLICY):
        clause = Clause(1, "no-reidentification", "Nobody is identified again", tick=True)
        text = AgreementText(
            *name, "en", now.date(), (clause,), "Identify nobody.", "1. Identify nobody.\n"
        )
        agreements.add_agreement(session, officer, text, now=now)
    for key, role in (("rights", Role.LEAD), ("dpia", Role.OFFICER), ("risk", Role.OFFICER),
                      ("terms", Role.LEAD)):  # fmt: skip
        said = RIGHTS.text if key == "rights" else "It was looked at and is in order."
        statements.state(session, site.acting(role), site.study_pk, key, said, now=now)


def draft(  # noqa: PLR0913  # each is one thing a test varies
    session: Session,
    home: Home,
    site: Site,
    *,
    now: datetime,
    level: Level = Level.EXTERNAL,
    family: str = "heads",
    version: str = "1.0.0",
    participants: Iterable[int] | None = None,
    embargo_until: date | None = None,
    automatic_grants: bool = False,
    sessions: int = 1,
) -> Release:
    """Add a draft with its folder, manifest, files, link table and good evidence."""
    numbers = list(site.participants if participants is None else participants)
    open_release = level is Level.OPEN
    terms = POLICY if level is Level.MEMBERS else AGREEMENT
    destroy_on = now.date() + timedelta(days=90) if open_release else None
    row = Release(
        study_pk=site.study_pk, family=family, version=version, level=level,
        state=ReleaseState.DRAFT, folder=f"{family}/{version}",
        server=OUTSIDE if level >= Level.EXTERNAL else INSIDE,
        project_id=f"{family}_{level.word}",
        agreement_id="" if open_release else terms[0],
        agreement_version="" if open_release else terms[1],
        licence="CC0-1.0" if open_release else "",
        criteria_version=CRITERIA, duo_codes=["GRU"], citation=CITATION,
        automatic_grants=automatic_grants,
        link_rule=f"destroy:{destroy_on}" if destroy_on else "sealed",
        embargo_until=embargo_until, requested_by=site.requester, created_at=now,
    )  # fmt: skip
    session.add(row)
    session.flush()
    _add_files(session, home, row, len(numbers), sessions)
    for number in numbers:
        session.add(
            ReleaseParticipant(
                release_pk=row.release_pk, participant_pk=number, data_types=["imaging"]
            )
        )
    change = chain.Change("release.build", "release", str(row.release_pk))
    chain.append(session, site.acting(Role.STUDY_TEAM), change, now=now)
    if not link_table.table_path(home, family).exists():
        table = link_table.LinkTable.create(home, family, now=now, destroy_on=destroy_on)
        table.seal(session, site.acting(Role.CUSTODIAN), now=now)
    add_evidence(session, row, now=now)
    return row


def _add_files(
    session: Session, home: Home, row: Release, participants: int, sessions: int
) -> None:
    folder = evidence.release_folder(home, row)
    for number in range(1, participants + 1):
        for which in range(1, sessions + 1):
            label, visit = f"sub-{number:03d}", f"ses-{which}"
            image = folder / label / visit / "anat" / f"{label}_{visit}_T1w.nii.gz"
            image.parent.mkdir(parents=True)
            image.write_bytes(f"image {number}, {which} of version {row.version}".encode())
    (folder / "participants.tsv").write_text("participant_id\nsub-001\n")
    (folder / "dataset_description.json").write_text("{}\n")
    digest, files = manifest.write(folder, row.family, row.version)
    own = [
        manifest.FileRecord(name, *manifest.digests_of(folder / name))
        for name in sorted(manifest.OWN_NAMES)
    ]
    for one in (*files, *own):
        session.add(
            ReleaseFile(
                release_pk=row.release_pk, path=one.path, size_bytes=one.size_bytes,
                sha256=one.sha256, md5=one.md5,
            )
        )  # fmt: skip
    row.manifest_sha256 = digest
    session.flush()


def add_evidence(
    session: Session,
    release: Release,
    *,
    now: datetime,
    outcomes: dict[CheckId, Outcome] | None = None,
    version: str = "",
) -> None:
    """Add evidence of every check over the release's files as the records list them."""
    rows = session.query(ReleaseFile).filter(ReleaseFile.release_pk == release.release_pk)
    files = {row.path: row.sha256 for row in rows}
    for check in CheckId:
        covered = {path: sha for path, sha in files.items() if evidence.covers(check, path)}
        outcome = (outcomes or {}).get(check, Outcome.MET)
        result = CheckResult(check, outcome, version or freshness.version_now(), covered)
        evidence.add(session, service("the build's checks"), release, result, now=now)


def proposed(
    session: Session, home: Home, site: Site, now: datetime, level: Level = Level.EXTERNAL
) -> Release:
    """Prepare the site and take a release to PROPOSED."""
    prepare(session, site, now=now)
    release = draft(session, home, site, now=now, level=level)
    team = site.acting(Role.STUDY_TEAM)
    release = decisions.fire(session, home, team, release, ReleaseEvent.CHECK, now=now)
    return decisions.fire(session, home, team, release, ReleaseEvent.PROPOSE, now=now)


def withdraw_consent(session: Session, site: Site, participant: int, now: datetime) -> None:
    """Record that a participant's data are shared no further."""
    line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, now.date())
    consent.record(session, site.acting(Role.STUDY_TEAM), participant, line, now=now)


def approve_all(  # noqa: PLR0913  # who approves what with which keys
    session: Session, home: Home, site: Site, release: Release, signers: Signers, *, now: datetime
) -> Release:
    """Let everybody whom the level names approve a proposed release."""
    for role in sorted(APPROVERS[release.level]):
        actor = site.acting(role)
        signature = signers.sign(session, release, Decision.APPROVE, actor.person_id, role, now=now)
        release = decisions.fire(
            session, home, actor, release, ReleaseEvent.APPROVE, now=now, signature=signature
        )
    return release


def publish(  # noqa: PLR0913  # who takes what the whole way
    session: Session, home: Home, site: Site, release: Release, signers: Signers, *, now: datetime
) -> Release:
    """Take a draft the whole way: checked, proposed, approved, applied."""
    team, maker = site.acting(Role.STUDY_TEAM), service("apply")
    release = decisions.fire(session, home, team, release, ReleaseEvent.CHECK, now=now)
    release = decisions.fire(session, home, team, release, ReleaseEvent.PROPOSE, now=now)
    release = approve_all(session, home, site, release, signers, now=now)
    return decisions.fire(session, home, maker, release, ReleaseEvent.APPLY, now=now)


def published(  # noqa: PLR0913  # each is one thing a test varies
    session: Session,
    home: Home,
    site: Site,
    *,
    now: datetime,
    level: Level = Level.EXTERNAL,
    family: str = "heads",
    version: str = "1.0.0",
    signers: Signers | None = None,
) -> Release:
    """Prepare the site if need be, and return a release that was published by the rules."""
    if criteria.current(session) is None:
        prepare(session, site, now=now)
    row = draft(session, home, site, now=now, level=level, family=family, version=version)
    return publish(session, home, site, row, signers or Signers(), now=now)


def accept(  # noqa: PLR0913  # who accepts what
    session: Session,
    person_id: str,
    role: Role,
    *,
    now: datetime,
    family: str = "",
    text: tuple[str, str] = POLICY,
) -> None:
    """Let a person of the small site accept a text; their names are made from their words."""
    name = f"{person_id.removeprefix('p-').capitalize()} Person"
    legal = agreements.legal_text(session, *text)
    given = Signing(*text, legal.sha256, ("no-reidentification",), name, family)
    agreements.accept(session, Actor(person_id, role, "I accept it"), given, now=now)


def granted(
    session: Session, site: Site, person_id: str, release: Release, *, now: datetime
) -> Grant:
    """Give a person a grant by the rules: requested, accepted, approved."""
    own_role = Role.EXTERNAL if person_id in site.externals else Role.MEMBER
    own = Actor(person_id, own_role, "my research")
    asked = NewGrant(person_id, release.family, release.level, "a study of heads")
    grant = grants.request(session, own, asked, now=now)
    accept(session, person_id, own_role, now=now, family=release.family, text=AGREEMENT)
    grant = grants.fire(session, own, grant, GrantEvent.ACCEPT, now=now)
    decider = site.acting(Role.LEAD if release.level is Level.NAMED else Role.STEWARD)
    return grants.fire(session, decider, grant, GrantEvent.APPROVE, now=now)


def clock_now(session: Session) -> datetime:
    """Return the time of the records' clock, as the command line reads it."""
    return clock.now(session)
