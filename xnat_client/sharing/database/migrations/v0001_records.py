"""The tables of the records as the first sites have them.

Made from ``tables`` by ``python -m xnat_client.sharing.database.migrating --regenerate``.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "audit_entry",
        sa.Column("sequence", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=40), nullable=False),
        sa.Column("action", sa.String(length=60), nullable=False),
        sa.Column("object_kind", sa.String(length=40), nullable=False),
        sa.Column("object_id", sa.String(length=160), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("request_id", sa.String(length=40), nullable=False),
        sa.Column("source", sa.String(length=40), nullable=False),
        sa.Column("sealed", sa.JSON(), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_entry")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_entry_hash")),
    )
    op.create_index(op.f("ix_audit_entry_action"), "audit_entry", ["action"], unique=False)
    op.create_index(op.f("ix_audit_entry_actor_id"), "audit_entry", ["actor_id"], unique=False)
    op.create_index(op.f("ix_audit_entry_object_id"), "audit_entry", ["object_id"], unique=False)
    op.create_table(
        "clock_mark",
        sa.Column("mark_pk", sa.Integer(), nullable=False),
        sa.Column("latest_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("mark_pk", name=op.f("pk_clock_mark")),
    )
    op.create_table(
        "loop_run",
        sa.Column("run_pk", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("requests", sa.Integer(), nullable=False),
        sa.Column(
            "worst",
            sa.Enum(
                "NONE",
                "LOW",
                "MEDIUM",
                "HIGH",
                "CRITICAL",
                name="known_severity",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_pk", name=op.f("pk_loop_run")),
    )
    op.create_table(
        "person",
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("institution", sa.String(), nullable=False),
        sa.Column("orcid", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("from_directory", sa.Boolean(), nullable=False),
        sa.Column("public_key", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_person")),
    )
    op.create_table(
        "server",
        sa.Column("alias", sa.String(length=40), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column(
            "side",
            sa.Enum(
                "inside",
                "outside",
                name="known_serverside",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("service_account", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("alias", name=op.f("pk_server")),
    )
    op.create_table(
        "acceptance",
        sa.Column("acceptance_pk", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column("agreement_id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("text_sha256", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=80), nullable=False),
        sa.Column("clauses_ticked", sa.JSON(), nullable=False),
        sa.Column("typed_name", sa.String(), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("receipt_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_acceptance_person_id")
        ),
        sa.PrimaryKeyConstraint("acceptance_pk", name=op.f("pk_acceptance")),
    )
    op.create_index(op.f("ix_acceptance_person_id"), "acceptance", ["person_id"], unique=False)
    op.create_table(
        "account",
        sa.Column("server", sa.String(length=40), nullable=False),
        sa.Column("username", sa.String(length=80), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_account_person_id")
        ),
        sa.ForeignKeyConstraint(["server"], ["server.alias"], name=op.f("fk_account_server")),
        sa.PrimaryKeyConstraint("server", "username", name=op.f("pk_account")),
    )
    op.create_index(op.f("ix_account_person_id"), "account", ["person_id"], unique=False)
    op.create_table(
        "agreement",
        sa.Column("agreement_id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("language", sa.String(length=12), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("clauses", sa.JSON(), nullable=False),
        sa.Column("legal", sa.Boolean(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("change_note", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(length=80), nullable=True),
        sa.ForeignKeyConstraint(
            ["approved_by"], ["person.person_id"], name=op.f("fk_agreement_approved_by")
        ),
        sa.PrimaryKeyConstraint("agreement_id", "version", "language", name=op.f("pk_agreement")),
    )
    op.create_table(
        "consent_form",
        sa.Column("form_id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column(
            "highest_level",
            sa.Enum(
                "PRIVATE",
                "NAMED",
                "MEMBERS",
                "EXTERNAL",
                "OPEN",
                name="known_level",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("data_types", sa.JSON(), nullable=False),
        sa.Column("duo_codes", sa.JSON(), nullable=False),
        sa.Column("purpose_review", sa.Boolean(), nullable=False),
        sa.Column("accepted", sa.Boolean(), nullable=False),
        sa.Column("accepted_by", sa.String(length=80), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["accepted_by"], ["person.person_id"], name=op.f("fk_consent_form_accepted_by")
        ),
        sa.PrimaryKeyConstraint("form_id", "version", name=op.f("pk_consent_form")),
    )
    op.create_table(
        "criteria_version",
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("adopted_by", sa.String(length=80), nullable=False),
        sa.Column("adopted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["adopted_by"], ["person.person_id"], name=op.f("fk_criteria_version_adopted_by")
        ),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_criteria_version")),
    )
    op.create_table(
        "declaration",
        sa.Column("declaration_pk", sa.Integer(), nullable=False),
        sa.Column("server", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=80), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("author_id", sa.String(length=80), nullable=False),
        sa.Column("declared_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["author_id"], ["person.person_id"], name=op.f("fk_declaration_author_id")
        ),
        sa.ForeignKeyConstraint(["server"], ["server.alias"], name=op.f("fk_declaration_server")),
        sa.PrimaryKeyConstraint("declaration_pk", name=op.f("pk_declaration")),
        sa.UniqueConstraint(
            "server", "project_id", "version", name=op.f("uq_declaration_server_project_id_version")
        ),
    )
    op.create_table(
        "exposure",
        sa.Column("exposure_pk", sa.Integer(), nullable=False),
        sa.Column("server", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=80), nullable=False),
        sa.Column(
            "drift",
            sa.Enum(
                "over-exposed level",
                "over-exposed people",
                "foreign share",
                "foreign file",
                "weakened site",
                "under-exposed",
                "unknown",
                "stale",
                "ghost",
                name="known_driftclass",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "severity",
            sa.Enum(
                "NONE",
                "LOW",
                "MEDIUM",
                "HIGH",
                "CRITICAL",
                name="known_severity",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("last_good_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["server"], ["server.alias"], name=op.f("fk_exposure_server")),
        sa.PrimaryKeyConstraint("exposure_pk", name=op.f("pk_exposure")),
    )
    op.create_table(
        "study",
        sa.Column("study_pk", sa.Integer(), nullable=False),
        sa.Column("server", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=80), nullable=False),
        sa.Column("lead_id", sa.String(length=80), nullable=False),
        sa.Column("ethics_reference", sa.String(), nullable=False),
        sa.Column("dpia_reference", sa.String(), nullable=False),
        sa.Column("retention_until", sa.Date(), nullable=True),
        sa.Column("data_types", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["lead_id"], ["person.person_id"], name=op.f("fk_study_lead_id")),
        sa.ForeignKeyConstraint(["server"], ["server.alias"], name=op.f("fk_study_server")),
        sa.PrimaryKeyConstraint("study_pk", name=op.f("pk_study")),
        sa.UniqueConstraint("server", "project_id", name=op.f("uq_study_server_project_id")),
    )
    op.create_table(
        "grant",
        sa.Column("grant_pk", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column("family", sa.String(length=80), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "PRIVATE",
                "NAMED",
                "MEMBERS",
                "EXTERNAL",
                "OPEN",
                name="known_level",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "requested",
                "accepted",
                "active",
                "expiring",
                "expired",
                "suspended",
                "revoked",
                "refused",
                "ended",
                name="known_grantstate",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("acceptance_pk", sa.Integer(), nullable=True),
        sa.Column("endorsed_by", sa.String(length=80), nullable=True),
        sa.Column("approved_by", sa.String(length=80), nullable=True),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("closed_reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["acceptance_pk"], ["acceptance.acceptance_pk"], name=op.f("fk_grant_acceptance_pk")
        ),
        sa.ForeignKeyConstraint(
            ["approved_by"], ["person.person_id"], name=op.f("fk_grant_approved_by")
        ),
        sa.ForeignKeyConstraint(
            ["endorsed_by"], ["person.person_id"], name=op.f("fk_grant_endorsed_by")
        ),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_grant_person_id")
        ),
        sa.PrimaryKeyConstraint("grant_pk", name=op.f("pk_grant")),
    )
    op.create_index(op.f("ix_grant_family"), "grant", ["family"], unique=False)
    op.create_index(op.f("ix_grant_person_id"), "grant", ["person_id"], unique=False)
    op.create_table(
        "participant",
        sa.Column("participant_pk", sa.Integer(), nullable=False),
        sa.Column("study_pk", sa.Integer(), nullable=False),
        sa.Column("source_label", sa.String(length=120), nullable=False),
        sa.Column("xnat_subject_id", sa.String(length=120), nullable=False),
        sa.Column("seal_salt", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_pk"], ["study.study_pk"], name=op.f("fk_participant_study_pk")
        ),
        sa.PrimaryKeyConstraint("participant_pk", name=op.f("pk_participant")),
        sa.UniqueConstraint(
            "study_pk", "source_label", name=op.f("uq_participant_study_pk_source_label")
        ),
    )
    op.create_index(op.f("ix_participant_study_pk"), "participant", ["study_pk"], unique=False)
    op.create_table(
        "release",
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("study_pk", sa.Integer(), nullable=False),
        sa.Column("family", sa.String(length=80), nullable=False),
        sa.Column("version", sa.String(length=40), nullable=False),
        sa.Column(
            "level",
            sa.Enum(
                "PRIVATE",
                "NAMED",
                "MEMBERS",
                "EXTERNAL",
                "OPEN",
                name="known_level",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column(
            "state",
            sa.Enum(
                "draft",
                "checked",
                "proposed",
                "approved",
                "embargoed",
                "published",
                "superseded",
                "suspended",
                "withdrawn",
                name="known_releasestate",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("state_before_suspension", sa.String(), nullable=False),
        sa.Column("suspended_reason", sa.String(), nullable=False),
        sa.Column("withdrawn_reason", sa.String(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("folder", sa.String(), nullable=False),
        sa.Column("server", sa.String(length=40), nullable=False),
        sa.Column("project_id", sa.String(length=80), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("agreement_id", sa.String(length=80), nullable=False),
        sa.Column("agreement_version", sa.String(length=40), nullable=False),
        sa.Column("licence", sa.String(length=80), nullable=False),
        sa.Column("criteria_version", sa.String(length=40), nullable=False),
        sa.Column("duo_codes", sa.JSON(), nullable=False),
        sa.Column("citation", sa.JSON(), nullable=False),
        sa.Column("automatic_grants", sa.Boolean(), nullable=False),
        sa.Column("link_rule", sa.String(), nullable=False),
        sa.Column("embargo_until", sa.Date(), nullable=True),
        sa.Column("requested_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["requested_by"], ["person.person_id"], name=op.f("fk_release_requested_by")
        ),
        sa.ForeignKeyConstraint(["server"], ["server.alias"], name=op.f("fk_release_server")),
        sa.ForeignKeyConstraint(["study_pk"], ["study.study_pk"], name=op.f("fk_release_study_pk")),
        sa.PrimaryKeyConstraint("release_pk", name=op.f("pk_release")),
        sa.UniqueConstraint("family", "version", name=op.f("uq_release_family_version")),
    )
    op.create_index(op.f("ix_release_family"), "release", ["family"], unique=False)
    op.create_index(op.f("ix_release_study_pk"), "release", ["study_pk"], unique=False)
    op.create_table(
        "role_assignment",
        sa.Column("assignment_pk", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "study-team",
                "lead",
                "steward",
                "officer",
                "administrator",
                "custodian",
                "service",
                "member",
                "external",
                name="known_role",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("study_pk", sa.Integer(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_role_assignment_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["study_pk"], ["study.study_pk"], name=op.f("fk_role_assignment_study_pk")
        ),
        sa.PrimaryKeyConstraint("assignment_pk", name=op.f("pk_role_assignment")),
    )
    op.create_index(
        op.f("ix_role_assignment_person_id"), "role_assignment", ["person_id"], unique=False
    )
    op.create_table(
        "approval",
        sa.Column("approval_pk", sa.Integer(), nullable=False),
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "study-team",
                "lead",
                "steward",
                "officer",
                "administrator",
                "custodian",
                "service",
                "member",
                "external",
                name="known_role",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("approved", sa.Boolean(), nullable=False),
        sa.Column("for_resume", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("manifest_sha256", sa.String(length=64), nullable=False),
        sa.Column("signature", sa.String(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dropped_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_approval_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_approval_release_pk")
        ),
        sa.PrimaryKeyConstraint("approval_pk", name=op.f("pk_approval")),
    )
    op.create_index(op.f("ix_approval_release_pk"), "approval", ["release_pk"], unique=False)
    op.create_table(
        "consent_record",
        sa.Column("consent_pk", sa.Integer(), nullable=False),
        sa.Column("participant_pk", sa.Integer(), nullable=False),
        sa.Column(
            "event",
            sa.Enum(
                "given",
                "no-further-contact",
                "no-further-sharing",
                "delete-everything",
                name="known_consentevent",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("form_id", sa.String(length=80), nullable=False),
        sa.Column("form_version", sa.String(length=40), nullable=False),
        sa.Column(
            "highest_level",
            sa.Enum(
                "PRIVATE",
                "NAMED",
                "MEMBERS",
                "EXTERNAL",
                "OPEN",
                name="known_level",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("data_types", sa.JSON(), nullable=False),
        sa.Column("given_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_by", sa.String(length=80), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_pk"],
            ["participant.participant_pk"],
            name=op.f("fk_consent_record_participant_pk"),
        ),
        sa.ForeignKeyConstraint(
            ["recorded_by"], ["person.person_id"], name=op.f("fk_consent_record_recorded_by")
        ),
        sa.PrimaryKeyConstraint("consent_pk", name=op.f("pk_consent_record")),
    )
    op.create_index(
        op.f("ix_consent_record_participant_pk"), "consent_record", ["participant_pk"], unique=False
    )
    op.create_table(
        "criteria_acceptance",
        sa.Column("acceptance_pk", sa.Integer(), nullable=False),
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("criteria_version", sa.String(length=40), nullable=False),
        sa.Column("check_version", sa.String(length=60), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_criteria_acceptance_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_criteria_acceptance_release_pk")
        ),
        sa.PrimaryKeyConstraint("acceptance_pk", name=op.f("pk_criteria_acceptance")),
    )
    op.create_index(
        op.f("ix_criteria_acceptance_release_pk"),
        "criteria_acceptance",
        ["release_pk"],
        unique=False,
    )
    op.create_table(
        "download",
        sa.Column("download_pk", sa.Integer(), nullable=False),
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("downloaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_download_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_download_release_pk")
        ),
        sa.PrimaryKeyConstraint("download_pk", name=op.f("pk_download")),
    )
    op.create_index(op.f("ix_download_person_id"), "download", ["person_id"], unique=False)
    op.create_index(op.f("ix_download_release_pk"), "download", ["release_pk"], unique=False)
    op.create_table(
        "evidence",
        sa.Column("evidence_pk", sa.Integer(), nullable=False),
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("check_id", sa.String(length=60), nullable=False),
        sa.Column("check_version", sa.String(length=60), nullable=False),
        sa.Column("criteria_version", sa.String(length=40), nullable=False),
        sa.Column("inputs_sha256", sa.String(length=64), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "met",
                "not met",
                "unknown",
                "not needed",
                name="known_outcome",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("machine", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_evidence_release_pk")
        ),
        sa.PrimaryKeyConstraint("evidence_pk", name=op.f("pk_evidence")),
    )
    op.create_index(op.f("ix_evidence_release_pk"), "evidence", ["release_pk"], unique=False)
    op.create_table(
        "notice",
        sa.Column("notice_pk", sa.Integer(), nullable=False),
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failed_reason", sa.String(), nullable=False),
        sa.Column("reminders_sent", sa.Integer(), nullable=False),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_notice_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_notice_release_pk")
        ),
        sa.PrimaryKeyConstraint("notice_pk", name=op.f("pk_notice")),
    )
    op.create_index(op.f("ix_notice_person_id"), "notice", ["person_id"], unique=False)
    op.create_index(op.f("ix_notice_release_pk"), "notice", ["release_pk"], unique=False)
    op.create_table(
        "release_file",
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("path", sa.String(length=500), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("md5", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_release_file_release_pk")
        ),
        sa.PrimaryKeyConstraint("release_pk", "path", name=op.f("pk_release_file")),
    )
    op.create_table(
        "release_participant",
        sa.Column("release_pk", sa.Integer(), nullable=False),
        sa.Column("participant_pk", sa.Integer(), nullable=False),
        sa.Column("data_types", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["participant_pk"],
            ["participant.participant_pk"],
            name=op.f("fk_release_participant_participant_pk"),
        ),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_release_participant_release_pk")
        ),
        sa.PrimaryKeyConstraint(
            "release_pk", "participant_pk", name=op.f("pk_release_participant")
        ),
    )
    op.create_index(
        op.f("ix_release_participant_participant_pk"),
        "release_participant",
        ["participant_pk"],
        unique=False,
    )
    op.create_table(
        "statement",
        sa.Column("statement_pk", sa.Integer(), nullable=False),
        sa.Column("study_pk", sa.Integer(), nullable=False),
        sa.Column("release_pk", sa.Integer(), nullable=True),
        sa.Column("prerequisite", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(length=80), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "study-team",
                "lead",
                "steward",
                "officer",
                "administrator",
                "custodian",
                "service",
                "member",
                "external",
                name="known_role",
                native_enum=False,
                create_constraint=True,
                length=40,
            ),
            nullable=False,
        ),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.person_id"], name=op.f("fk_statement_person_id")
        ),
        sa.ForeignKeyConstraint(
            ["release_pk"], ["release.release_pk"], name=op.f("fk_statement_release_pk")
        ),
        sa.ForeignKeyConstraint(
            ["study_pk"], ["study.study_pk"], name=op.f("fk_statement_study_pk")
        ),
        sa.PrimaryKeyConstraint("statement_pk", name=op.f("pk_statement")),
    )
    op.create_index(op.f("ix_statement_study_pk"), "statement", ["study_pk"], unique=False)
    # ### end Alembic commands ###


def downgrade() -> None:
    """Drop all tables."""
    op.drop_index(op.f("ix_statement_study_pk"), table_name="statement")
    op.drop_table("statement")
    op.drop_index(op.f("ix_release_participant_participant_pk"), table_name="release_participant")
    op.drop_table("release_participant")
    op.drop_table("release_file")
    op.drop_index(op.f("ix_notice_release_pk"), table_name="notice")
    op.drop_index(op.f("ix_notice_person_id"), table_name="notice")
    op.drop_table("notice")
    op.drop_index(op.f("ix_evidence_release_pk"), table_name="evidence")
    op.drop_table("evidence")
    op.drop_index(op.f("ix_download_release_pk"), table_name="download")
    op.drop_index(op.f("ix_download_person_id"), table_name="download")
    op.drop_table("download")
    op.drop_index(op.f("ix_criteria_acceptance_release_pk"), table_name="criteria_acceptance")
    op.drop_table("criteria_acceptance")
    op.drop_index(op.f("ix_consent_record_participant_pk"), table_name="consent_record")
    op.drop_table("consent_record")
    op.drop_index(op.f("ix_approval_release_pk"), table_name="approval")
    op.drop_table("approval")
    op.drop_index(op.f("ix_role_assignment_person_id"), table_name="role_assignment")
    op.drop_table("role_assignment")
    op.drop_index(op.f("ix_release_study_pk"), table_name="release")
    op.drop_index(op.f("ix_release_family"), table_name="release")
    op.drop_table("release")
    op.drop_index(op.f("ix_participant_study_pk"), table_name="participant")
    op.drop_table("participant")
    op.drop_index(op.f("ix_grant_person_id"), table_name="grant")
    op.drop_index(op.f("ix_grant_family"), table_name="grant")
    op.drop_table("grant")
    op.drop_table("study")
    op.drop_table("exposure")
    op.drop_table("declaration")
    op.drop_table("criteria_version")
    op.drop_table("consent_form")
    op.drop_table("agreement")
    op.drop_index(op.f("ix_account_person_id"), table_name="account")
    op.drop_table("account")
    op.drop_index(op.f("ix_acceptance_person_id"), table_name="acceptance")
    op.drop_table("acceptance")
    op.drop_table("server")
    op.drop_table("person")
    op.drop_table("loop_run")
    op.drop_table("clock_mark")
    op.drop_index(op.f("ix_audit_entry_object_id"), table_name="audit_entry")
    op.drop_index(op.f("ix_audit_entry_actor_id"), table_name="audit_entry")
    op.drop_index(op.f("ix_audit_entry_action"), table_name="audit_entry")
    op.drop_table("audit_entry")
    # ### end Alembic commands ###
