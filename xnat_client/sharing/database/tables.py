"""The tables of the records, as SQLAlchemy 2 classes; the migrations bring a database to them.

Rules that the tables keep: what was decided is added and never changed (consent, approvals,
evidence, audit); states change only through ``machines``; times are aware and in UTC; a word of a
vocabulary is stored as the word itself and refused when it is none. Secret labels of participants
stand in ``participant`` only; the link from a participant to a release's label stands in no table
(``link_table`` keeps it in a file of its own). Not here: who may write what.
"""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from xnat_client.sharing.vocabulary import (
    ConsentEvent,
    DriftClass,
    GrantState,
    Level,
    Outcome,
    ReleaseState,
    Role,
    ServerSide,
    Severity,
)


class UtcTime(sa.types.TypeDecorator[datetime]):
    """An aware time, stored in UTC; a naive one is a mistake of the caller and is refused."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse naive times, turn the others to UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        aware = value.astimezone(UTC)
        return aware.replace(tzinfo=None) if dialect.name == "sqlite" else aware

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Return an aware time in UTC."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _new_salt() -> str:
    return secrets.token_hex(16)


def _words(enumeration: type[Any]) -> sa.Enum:
    """Return a column type that stores an enumeration's words and checks them.

    Levels and severities are numbers by nature but are stored by name, so that a row can be read
    by people and an unknown one is refused by the database itself.
    """
    by_value = issubclass(enumeration, str)
    return sa.Enum(
        enumeration,
        native_enum=False,
        create_constraint=True,
        length=40,
        name=f"known_{enumeration.__name__.lower()}",
        values_callable=(lambda e: [m.value for m in e]) if by_value else None,
    )


class Base(DeclarativeBase):
    """Root of the tables; names of constraints are fixed, so that migrations can name them."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(column_0_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # SQLAlchemy's own way to say it
        datetime: UtcTime,
        dict[str, Any]: sa.JSON,
        list[str]: sa.JSON,
        Level: _words(Level),
        Role: _words(Role),
        ConsentEvent: _words(ConsentEvent),
        ReleaseState: _words(ReleaseState),
        GrantState: _words(GrantState),
        Outcome: _words(Outcome),
        ServerSide: _words(ServerSide),
        Severity: _words(Severity),
        DriftClass: _words(DriftClass),
    }


class Server(Base):
    """An XNAT server that the records speak of, by a short name."""

    __tablename__ = "server"
    alias: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    address: Mapped[str]
    side: Mapped[ServerSide]
    service_account: Mapped[str] = mapped_column(default="")


class Person(Base):
    """A person by directory identity; accounts and keys belong to persons, not the reverse."""

    __tablename__ = "person"
    person_id: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    name: Mapped[str]
    email: Mapped[str] = mapped_column(default="")
    institution: Mapped[str] = mapped_column(default="")
    orcid: Mapped[str] = mapped_column(default="")
    active: Mapped[bool] = mapped_column(default=True)
    from_directory: Mapped[bool] = mapped_column(default=False)
    public_key: Mapped[str] = mapped_column(default="")
    """Ed25519 public key, base64 of the raw 32 bytes; empty while the person has none."""


class Account(Base):
    """A person's user name on one server."""

    __tablename__ = "account"
    server: Mapped[str] = mapped_column(sa.ForeignKey("server.alias"), primary_key=True)
    username: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"), index=True)


class Study(Base):
    """A source project: where scans arrive, and that is never opened beyond its team."""

    __tablename__ = "study"
    study_pk: Mapped[int] = mapped_column(primary_key=True)
    server: Mapped[str] = mapped_column(sa.ForeignKey("server.alias"))
    project_id: Mapped[str] = mapped_column(sa.String(80))
    lead_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    ethics_reference: Mapped[str] = mapped_column(default="")
    dpia_reference: Mapped[str] = mapped_column(default="")
    retention_until: Mapped[date | None]
    data_types: Mapped[list[str]]
    created_at: Mapped[datetime]
    __table_args__ = (sa.UniqueConstraint("server", "project_id"),)


class RoleAssignment(Base):
    """A role of a person, for one study or (``study_pk`` empty) for the site."""

    __tablename__ = "role_assignment"
    assignment_pk: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"), index=True)
    role: Mapped[Role]
    study_pk: Mapped[int | None] = mapped_column(sa.ForeignKey("study.study_pk"))
    since: Mapped[datetime]
    until: Mapped[datetime | None]


class Participant(Base):
    """A participant of a study under the secret labels of the source project.

    ``seal_salt`` is random, so that the seal in the audit log cannot be turned back into the label
    by trying labels, and tells nothing once the row is gone.
    """

    __tablename__ = "participant"
    participant_pk: Mapped[int] = mapped_column(primary_key=True)
    study_pk: Mapped[int] = mapped_column(sa.ForeignKey("study.study_pk"), index=True)
    source_label: Mapped[str] = mapped_column(sa.String(120))
    xnat_subject_id: Mapped[str] = mapped_column(sa.String(120), default="")
    seal_salt: Mapped[str] = mapped_column(sa.String(32), default=_new_salt)
    consents: Mapped[list[ConsentRecord]] = relationship(order_by="ConsentRecord.consent_pk")
    __table_args__ = (sa.UniqueConstraint("study_pk", "source_label"),)


class ConsentForm(Base):
    """A version of a consent form and what it allows, as accepted by the officer."""

    __tablename__ = "consent_form"
    form_id: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    version: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    highest_level: Mapped[Level]
    data_types: Mapped[list[str]]
    duo_codes: Mapped[list[str]]
    purpose_review: Mapped[bool] = mapped_column(default=False)
    accepted: Mapped[bool] = mapped_column(default=False)
    accepted_by: Mapped[str | None] = mapped_column(sa.ForeignKey("person.person_id"))
    accepted_at: Mapped[datetime | None]


class ConsentRecord(Base):
    """One line of a participant's consent history; the last decides, none is ever changed."""

    __tablename__ = "consent_record"
    consent_pk: Mapped[int] = mapped_column(primary_key=True)
    participant_pk: Mapped[int] = mapped_column(
        sa.ForeignKey("participant.participant_pk"), index=True
    )
    event: Mapped[ConsentEvent]
    form_id: Mapped[str] = mapped_column(sa.String(80), default="")
    form_version: Mapped[str] = mapped_column(sa.String(40), default="")
    highest_level: Mapped[Level] = mapped_column(default=Level.PRIVATE)
    """Highest level to which this participant said yes; at most what the form allows counts."""
    data_types: Mapped[list[str]]
    given_on: Mapped[date]
    recorded_at: Mapped[datetime]
    recorded_by: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    origin: Mapped[str] = mapped_column(default="")
    """Where the line comes from: a file's digest and row, or the words ``entered by hand``."""


class Agreement(Base):
    """A text to be accepted before reading: an agreement, an internal policy, or a licence."""

    __tablename__ = "agreement"
    agreement_id: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    version: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    language: Mapped[str] = mapped_column(sa.String(12), primary_key=True)
    text: Mapped[str]
    sha256: Mapped[str] = mapped_column(sa.String(64))
    clauses: Mapped[dict[str, Any]]
    legal: Mapped[bool] = mapped_column(default=True)
    """Whether this language is the legal one; translations only inform."""
    effective_on: Mapped[date]
    change_note: Mapped[str] = mapped_column(default="")
    approved_by: Mapped[str | None] = mapped_column(sa.ForeignKey("person.person_id"))


class Acceptance(Base):
    """One person's acceptance of one version of an agreement for one family of releases."""

    __tablename__ = "acceptance"
    acceptance_pk: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"), index=True)
    agreement_id: Mapped[str] = mapped_column(sa.String(80))
    version: Mapped[str] = mapped_column(sa.String(40))
    text_sha256: Mapped[str] = mapped_column(sa.String(64))
    family: Mapped[str] = mapped_column(sa.String(80), default="")
    """The family of releases; empty for the site's internal policy."""
    clauses_ticked: Mapped[list[str]]
    typed_name: Mapped[str]
    accepted_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    receipt_sha256: Mapped[str] = mapped_column(sa.String(64), default="")


class CriteriaVersion(Base):
    """A version of the list of de-identification criteria, by the digest of its text."""

    __tablename__ = "criteria_version"
    version: Mapped[str] = mapped_column(sa.String(40), primary_key=True)
    sha256: Mapped[str] = mapped_column(sa.String(64))
    adopted_by: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    adopted_at: Mapped[datetime]


class Release(Base):
    """An immutable, numbered output of a study; its identity is the digest of its manifest."""

    __tablename__ = "release"
    release_pk: Mapped[int] = mapped_column(primary_key=True)
    study_pk: Mapped[int] = mapped_column(sa.ForeignKey("study.study_pk"), index=True)
    family: Mapped[str] = mapped_column(sa.String(80), index=True)
    """Name that all versions of one release share; also the stem of its release project."""
    version: Mapped[str] = mapped_column(sa.String(40))
    level: Mapped[Level]
    state: Mapped[ReleaseState] = mapped_column(default=ReleaseState.DRAFT)
    state_before_suspension: Mapped[str] = mapped_column(default="")
    suspended_reason: Mapped[str] = mapped_column(default="")
    withdrawn_reason: Mapped[str] = mapped_column(default="")
    manifest_sha256: Mapped[str] = mapped_column(sa.String(64), default="")
    folder: Mapped[str] = mapped_column(default="")
    server: Mapped[str] = mapped_column(sa.ForeignKey("server.alias"))
    project_id: Mapped[str] = mapped_column(sa.String(80))
    """The release project: one for a family and level, written by the service account only."""
    applied: Mapped[bool] = mapped_column(default=False)
    """Whether the server was seen to hold what is declared; set after reading back."""
    agreement_id: Mapped[str] = mapped_column(sa.String(80), default="")
    agreement_version: Mapped[str] = mapped_column(sa.String(40), default="")
    licence: Mapped[str] = mapped_column(sa.String(80), default="")
    criteria_version: Mapped[str] = mapped_column(sa.String(40), default="")
    duo_codes: Mapped[list[str]]
    citation: Mapped[dict[str, Any]]
    automatic_grants: Mapped[bool] = mapped_column(default=False)
    """Whether accepting the agreement is enough for a grant (registered access)."""
    link_rule: Mapped[str] = mapped_column(default="")
    """``sealed``, or ``destroy:YYYY-MM-DD``."""
    embargo_until: Mapped[date | None]
    requested_by: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    created_at: Mapped[datetime]
    checked_at: Mapped[datetime | None]
    approved_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    study: Mapped[Study] = relationship()
    __table_args__ = (sa.UniqueConstraint("family", "version"),)


class ReleaseParticipant(Base):
    """That a participant is in a release; under which label stands in no table."""

    __tablename__ = "release_participant"
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), primary_key=True)
    participant_pk: Mapped[int] = mapped_column(
        sa.ForeignKey("participant.participant_pk"), primary_key=True, index=True
    )
    data_types: Mapped[list[str]]


class ReleaseFile(Base):
    """A file of a release as its manifest lists it."""

    __tablename__ = "release_file"
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), primary_key=True)
    path: Mapped[str] = mapped_column(sa.String(500), primary_key=True)
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    sha256: Mapped[str] = mapped_column(sa.String(64))
    md5: Mapped[str] = mapped_column(sa.String(32))
    """What XNAT's catalogues hold; the manifest itself speaks of SHA-256 only."""


class Evidence(Base):
    """The result of one check over the files of a release, bound to what it was made from."""

    __tablename__ = "evidence"
    evidence_pk: Mapped[int] = mapped_column(primary_key=True)
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), index=True)
    check_id: Mapped[str] = mapped_column(sa.String(60))
    check_version: Mapped[str] = mapped_column(sa.String(60))
    criteria_version: Mapped[str] = mapped_column(sa.String(40), default="")
    inputs_sha256: Mapped[str] = mapped_column(sa.String(64))
    """Digest over the sorted lines ``sha256  path`` of the files that were looked at."""
    outcome: Mapped[Outcome]
    files: Mapped[int]
    detail: Mapped[dict[str, Any]]
    """Counts and places, never an identity."""
    made_at: Mapped[datetime]
    machine: Mapped[str] = mapped_column(default="")


class Statement(Base):
    """A dated statement of a named person where no machine can decide."""

    __tablename__ = "statement"
    statement_pk: Mapped[int] = mapped_column(primary_key=True)
    study_pk: Mapped[int] = mapped_column(sa.ForeignKey("study.study_pk"), index=True)
    release_pk: Mapped[int | None] = mapped_column(sa.ForeignKey("release.release_pk"))
    prerequisite: Mapped[int]
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    role: Mapped[Role]
    text: Mapped[str]
    made_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class CriteriaAcceptance(Base):
    """The officer's word that a published release stays although it was checked by older means."""

    __tablename__ = "criteria_acceptance"
    acceptance_pk: Mapped[int] = mapped_column(primary_key=True)
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), index=True)
    criteria_version: Mapped[str] = mapped_column(sa.String(40))
    """In force when it was said; after the next change it must be said again."""
    check_version: Mapped[str] = mapped_column(sa.String(60))
    """Of the checks as they were installed then."""
    until: Mapped[date]
    """Last day, in UTC, on which it counts."""
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    reason: Mapped[str]
    made_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class Approval(Base):
    """A signed decision of one person over one manifest."""

    __tablename__ = "approval"
    approval_pk: Mapped[int] = mapped_column(primary_key=True)
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), index=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    role: Mapped[Role]
    approved: Mapped[bool]
    for_resume: Mapped[bool] = mapped_column(default=False)
    """Whether it is about opening a suspended release again, not about the release itself."""
    reason: Mapped[str] = mapped_column(default="")
    manifest_sha256: Mapped[str] = mapped_column(sa.String(64))
    signature: Mapped[str] = mapped_column(default="")
    decided_at: Mapped[datetime]
    dropped_at: Mapped[datetime | None]


class Grant(Base):
    """One person's permission to read one family of releases at one level, with an end."""

    __tablename__ = "grant"
    grant_pk: Mapped[int] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"), index=True)
    family: Mapped[str] = mapped_column(sa.String(80), index=True)
    level: Mapped[Level]
    state: Mapped[GrantState] = mapped_column(default=GrantState.REQUESTED)
    purpose: Mapped[str] = mapped_column(default="")
    acceptance_pk: Mapped[int | None] = mapped_column(sa.ForeignKey("acceptance.acceptance_pk"))
    endorsed_by: Mapped[str | None] = mapped_column(sa.ForeignKey("person.person_id"))
    """The lead who agreed to the purpose, where a consent form demands that it is reviewed."""
    approved_by: Mapped[str | None] = mapped_column(sa.ForeignKey("person.person_id"))
    requested_at: Mapped[datetime]
    starts_at: Mapped[datetime | None]
    ends_at: Mapped[datetime | None]
    closed_reason: Mapped[str] = mapped_column(default="")


class Declaration(Base):
    """What should be true of one project on one server; the newest version counts."""

    __tablename__ = "declaration"
    declaration_pk: Mapped[int] = mapped_column(primary_key=True)
    server: Mapped[str] = mapped_column(sa.ForeignKey("server.alias"))
    project_id: Mapped[str] = mapped_column(sa.String(80))
    version: Mapped[int]
    document: Mapped[dict[str, Any]]
    sha256: Mapped[str] = mapped_column(sa.String(64))
    author_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"))
    declared_at: Mapped[datetime]
    __table_args__ = (sa.UniqueConstraint("server", "project_id", "version"),)


class Download(Base):
    """That a person fetched files of a release: how many, not which."""

    __tablename__ = "download"
    download_pk: Mapped[int] = mapped_column(primary_key=True)
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), index=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"), index=True)
    files: Mapped[int]
    size_bytes: Mapped[int] = mapped_column(sa.BigInteger)
    downloaded_at: Mapped[datetime]


class Notice(Base):
    """A message with duties to one recipient, and whether it was sent and acknowledged."""

    __tablename__ = "notice"
    notice_pk: Mapped[int] = mapped_column(primary_key=True)
    release_pk: Mapped[int] = mapped_column(sa.ForeignKey("release.release_pk"), index=True)
    person_id: Mapped[str] = mapped_column(sa.ForeignKey("person.person_id"), index=True)
    kind: Mapped[str] = mapped_column(sa.String(40))
    labels: Mapped[list[str]]
    """Release labels that the recipient must delete; never a source label."""
    token_sha256: Mapped[str] = mapped_column(sa.String(64))
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
    failed_reason: Mapped[str] = mapped_column(default="")
    reminders_sent: Mapped[int] = mapped_column(default=0)
    acknowledged_at: Mapped[datetime | None]


class Exposure(Base):
    """A difference that the loop found on a server, and when it was gone again."""

    __tablename__ = "exposure"
    exposure_pk: Mapped[int] = mapped_column(primary_key=True)
    server: Mapped[str] = mapped_column(sa.ForeignKey("server.alias"))
    project_id: Mapped[str] = mapped_column(sa.String(80), default="")
    drift: Mapped[DriftClass]
    severity: Mapped[Severity]
    what: Mapped[str]
    last_good_at: Mapped[datetime | None]
    """Start of the last cycle that did not see it: the window's latest possible beginning."""
    found_at: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class LoopRun(Base):
    """One cycle of the loop; the youngest is its sign of life."""

    __tablename__ = "loop_run"
    run_pk: Mapped[int] = mapped_column(primary_key=True)
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    requests: Mapped[int] = mapped_column(default=0)
    worst: Mapped[Severity] = mapped_column(default=Severity.NONE)
    complete: Mapped[bool] = mapped_column(default=False)


class AuditEntry(Base):
    """One line of the append-only, hash-chained log (``audit``)."""

    __tablename__ = "audit_entry"
    sequence: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor_id: Mapped[str] = mapped_column(sa.String(80), index=True)
    role: Mapped[str] = mapped_column(sa.String(40))
    action: Mapped[str] = mapped_column(sa.String(60), index=True)
    object_kind: Mapped[str] = mapped_column(sa.String(40))
    object_id: Mapped[str] = mapped_column(sa.String(160), index=True)
    before: Mapped[dict[str, Any]]
    after: Mapped[dict[str, Any]]
    reason: Mapped[str]
    request_id: Mapped[str] = mapped_column(sa.String(40))
    source: Mapped[str] = mapped_column(sa.String(40))
    sealed: Mapped[dict[str, Any]]
    """Digests of the rows written since the entry before, by table and key (``audit.seals``)."""
    previous_hash: Mapped[str] = mapped_column(sa.String(64))
    hash: Mapped[str] = mapped_column(sa.String(64), unique=True)


class ClockMark(Base):
    """The latest time that the records have seen: time never goes back below it."""

    __tablename__ = "clock_mark"
    mark_pk: Mapped[int] = mapped_column(primary_key=True)
    latest_at: Mapped[datetime]
