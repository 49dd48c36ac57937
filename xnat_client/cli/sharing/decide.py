"""``winxnat release list | show | propose | approve | ...``: decisions on releases.

Not here: keys (``keys``), the rules (``sharing.machines.release_machine``), publishing on a server
(``apply``).
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.cli.sharing import findings
from xnat_client.cli.sharing.acting import Acting, Records, acting, reading, table
from xnat_client.cli.sharing.closing import lines_of_closing
from xnat_client.cli.sharing.keys import key_option, passphrase
from xnat_client.cli.sharing.naming import release_of
from xnat_client.errors import UsageError
from xnat_client.sharing import approvals, asking, decisions, evidence, signing, telling, tombstones
from xnat_client.sharing.approvals import Decision, Vote
from xnat_client.sharing.check import check_release, old_evidence
from xnat_client.sharing.check.folder import FolderObservation, observe
from xnat_client.sharing.database.tables import Approval, Release, Study
from xnat_client.sharing.machines.release_machine import CLOSING_EVENTS, ReleaseEvent
from xnat_client.sharing.server_side.at_once import close_at_once
from xnat_client.sharing.standing import line
from xnat_client.sharing.versions import version_key
from xnat_client.sharing.vocabulary import ReleaseState, WithdrawalReason

_SHORTEST_DIGEST = 12

_family = click.argument("family")
_version = click.argument("version")
_manifest = click.option(
    "--manifest",
    required=True,
    help="The manifest's digest as 'release verify' showed it to you, or its first 12 letters.",
)


@click.command("list")
@click.option("--project", help="Of this source project only.")
@reading
def list_releases(records: Records, *, project: str | None) -> None:
    """List releases and their states."""
    query = sa.select(Release, Study.project_id).join(Study, Study.study_pk == Release.study_pk)
    if project is not None:
        query = query.where(sa.func.lower(Study.project_id) == project.lower())
    with records.transaction() as (session, _):
        found = sorted(
            ((row, source) for row, source in session.execute(query)),
            key=lambda pair: (pair[0].family, version_key(pair[0].version)),
        )
        rows = [_document(row, source) for row, source in found]
    shown = [tuple(row[key] for key in _COLUMNS) for row in rows]
    records.show({"releases": rows}, table(shown, "There are no releases."))


_COLUMNS = ("family", "version", "level", "state", "source_project", "server", "project")


def _document(row: Release, source: str) -> dict[str, Any]:
    return {
        "family": row.family,
        "version": row.version,
        "level": row.level.word,
        "state": row.state.value,
        "source_project": source,
        "server": row.server,
        "project": row.project_id,
        "manifest": row.manifest_sha256,
        "requested_by": row.requested_by,
        "embargo_until": row.embargo_until.isoformat() if row.embargo_until else None,
        "suspended_reason": row.suspended_reason,
        "withdrawn_reason": row.withdrawn_reason,
        "published_at": row.published_at.isoformat() if row.published_at else None,
        "applied": row.applied,
    }


@click.command("show")
@_family
@_version
@reading
def show(records: Records, *, family: str, version: str) -> None:
    """Show one release: what it is, what is met, its evidence and decisions."""
    seen = _observed(records, family, version)
    with records.transaction() as (session, now):
        row = release_of(session, family, version)
        source = session.get_one(Study, row.study_pk).project_id
        found = check_release(session, records.home, row, row.level, now=now, folder=seen)
        decided = session.scalars(
            sa.select(Approval)
            .where(Approval.release_pk == row.release_pk)
            .order_by(Approval.approval_pk)
        ).all()
        document = {
            **_document(row, source),
            "checks": old_evidence.status(session, row, now),
            "findings": [findings.document_of(one) for one in found],
            "decisions": [_decision(one) for one in decided],
            "evidence": [
                {"check": check.value, "outcome": one.outcome.value, "files": one.files,
                 "version": one.check_version, "detail": one.detail}
                for check, one in sorted(evidence.newest(session, row.release_pk).items())
            ],
        }  # fmt: skip
        other = _version_before(session, row)
    lines = [f"{key:15} {document[key]}" for key in _SHOWN if document[key]]
    if other:
        lines.append(f"before it       {other} (winxnat release diff shows what changed)")
    lines += ["", *findings.lines_of(found), findings.verdict_of(found), ""]
    lines += [_decision_line(one) for one in decided]
    records.show(document, "\n".join(lines).rstrip())


_SHOWN = (
    *_COLUMNS, "manifest", "requested_by", "embargo_until", "published_at", "suspended_reason",
    "withdrawn_reason", "checks",
)  # fmt: skip


def _version_before(session: Session, row: Release) -> str:
    older = [
        one.version
        for one in line(session, row.family, row.level)
        if version_key(one.version) < version_key(row.version)
    ]
    return older[-1] if older else ""


def _decision(row: Approval) -> dict[str, Any]:
    return {
        "person": row.person_id,
        "role": row.role.value,
        "approved": row.approved,
        "about": "opening it again" if row.for_resume else "the release",
        "at": row.decided_at.isoformat(),
        "counts": row.approved and row.dropped_at is None,
        "reason": row.reason,
    }


def _decision_line(row: Approval) -> str:
    said = _decision(row)
    word = "approved" if row.approved else "rejected"
    dropped = "" if said["counts"] or not row.approved else ", which does not count any more"
    return f"{said['at']}  {row.person_id} ({said['role']}) {word} {said['about']}{dropped}"


def _observed(records: Records, family: str, version: str) -> FolderObservation:
    """Read the files before the transaction, which keeps everybody else out."""
    with records.transaction() as (session, _):
        folder = evidence.release_folder(records.home, release_of(session, family, version))
    return observe(folder)


class _RehearsedError(Exception):
    """Leaves a transaction whose events were only tried."""


@click.command("propose")
@_family
@_version
@click.option("--dry-run", is_flag=True, help="Only say whether it could be proposed.")
@acting
def propose(records: Acting, *, family: str, version: str, dry_run: bool) -> None:
    """Check a release and ask the approvers for their decision.

    Everything that its level needs is checked now; what is not met is listed (exit code 4) and
    nothing is changed. The approvers are told by e-mail, with how much differs from the version
    before, where WINXNAT_SMTP names a mail server; the proposal stands without it too.
    """
    seen = _observed(records, family, version)
    document: dict[str, Any] = {}
    question: asking.Question | None = None
    with (
        findings.refusals(as_json=records.as_json),
        suppress(_RehearsedError),
        records.transaction() as (session, now),
    ):
        row = release_of(session, family, version)
        for event in (ReleaseEvent.CHECK, ReleaseEvent.PROPOSE):
            if event is ReleaseEvent.CHECK and row.state is not ReleaseState.DRAFT:
                continue
            row = decisions.fire(
                session, records.home, records.actor, row, event, now=now, folder=seen
            )
        source = session.get_one(Study, row.study_pk).project_id
        document = {**_document(row, source), "dry_run": dry_run}
        if dry_run:
            raise _RehearsedError
        question = asking.question_of(session, records.home, row, now)
    asked = asking.ask(question) if question else asking.Asked((), ())
    document |= {"told": list(asked.told), "not_told": list(asked.not_told)}
    done = "could be proposed; nothing was changed" if dry_run else "is proposed"
    text = (
        f"Release {family} {version} {done}. Its manifest is {document['manifest']}; the "
        "approvers verify it (winxnat release verify) and approve or reject it."
    )
    if asked.told:
        text += f"\nTold by e-mail: {', '.join(asked.told)}."
    if asked.not_told:
        text += f"\nNot told: {', '.join(asked.not_told)}. {asked.why}"
    records.show(document, text)


@click.command("approve")
@_family
@_version
@_manifest
@key_option
@acting
def approve(
    records: Acting, *, family: str, version: str, manifest: str, key_file: Path | None
) -> None:
    """Approve a proposed release with your signature over its manifest and terms.

    The key's passphrase comes from WINXNAT_KEY_PASSPHRASE or a question.
    """
    _decide(records, (family, version), ReleaseEvent.APPROVE, manifest, key_file)


@click.command("resume")
@_family
@_version
@_manifest
@key_option
@acting
def resume(
    records: Acting, *, family: str, version: str, manifest: str, key_file: Path | None
) -> None:
    """Agree to open a suspended release again; it takes the steward and the officer.

    With the second signature everything is checked again. The release then waits for
    'winxnat release apply', as after its approval.
    """
    _decide(records, (family, version), ReleaseEvent.RESUME, manifest, key_file)


def _decide(
    records: Acting,
    name: tuple[str, str],
    event: ReleaseEvent,
    manifest: str,
    key_file: Path | None,
) -> None:
    key = signing.load_key(key_file or signing.key_path(), passphrase(new=False))
    seen = _observed(records, *name)
    decision = Decision.APPROVE if event is ReleaseEvent.APPROVE else Decision.RESUME
    with findings.refusals(as_json=records.as_json), records.transaction() as (session, now):
        row = release_of(session, *name)
        _check_digest(row, manifest)
        vote = Vote(records.actor.person_id, records.actor.role, now)
        text = approvals.text_to_sign(session, row, decision, vote)
        row = decisions.fire(
            session,
            records.home,
            records.actor,
            row,
            event,
            now=now,
            signature=signing.sign(key, text),
            folder=seen,
        )
        _show_state(records, session, row)


def _check_digest(row: Release, manifest: str) -> None:
    given = manifest.strip().lower()
    if len(given) < _SHORTEST_DIGEST or not row.manifest_sha256.startswith(given):
        raise UsageError(
            f"The manifest of release {row.family} {row.version} is another one than you name. "
            "Verify the release (winxnat release verify) and give the digest that it shows."
        )


def _show_state(records: Records, session: Session, row: Release) -> None:
    source = session.get_one(Study, row.study_pk).project_id
    document = _document(row, source)
    records.show(document, f"Release {row.family} {row.version} is {row.state.value}.")


def _fire(records: Acting, family: str, version: str, event: ReleaseEvent, **more: Any) -> None:
    with findings.refusals(as_json=records.as_json), records.transaction() as (session, now):
        row = release_of(session, family, version)
        row = decisions.fire(session, records.home, records.actor, row, event, now=now, **more)
        source = session.get_one(Study, row.study_pk).project_id
        if event is ReleaseEvent.WITHDRAW:
            # A backup must not bring it back, and everybody who has it is asked to delete it.
            tombstones.keep(session, records.home, now=now)
            telling.tell_of_release(session, records.home, records.actor, row, now=now)
    document, lines = _document(row, source), []
    if event in CLOSING_EVENTS:
        lines = _close_on_server(records, row, document)
    state = f"Release {row.family} {row.version} is {row.state.value}."
    records.show(document, "\n".join([state, *lines]))


def _close_on_server(records: Records, row: Release, document: dict[str, Any]) -> list[str]:
    """Close it there too, now that the records are; what fails is left to the loop."""
    why = f"{row.family} {row.version} is {row.state.value}."
    done = close_at_once(records.home, records.database, [row.release_pk], why)
    document["closed_on_server"] = bool(done.closed)
    return lines_of_closing(done)


@click.command("reject")
@_family
@_version
@acting
def reject(records: Acting, *, family: str, version: str) -> None:
    """Send a proposed or approved release back; all approvals are dropped."""
    _fire(records, family, version, ReleaseEvent.REJECT)


@click.command("suspend")
@_family
@_version
@acting
def suspend(records: Acting, *, family: str, version: str) -> None:
    """Close a release at once; one lead, steward, officer or administrator suffices.

    Readers are gone from the records at once; from the server too, where the service account's
    password is at hand (XNAT_USER and XNAT_PASS, netrc, keyring), else with the next cycle of
    'winxnat share watch'.
    """
    _fire(records, family, version, ReleaseEvent.SUSPEND)


@click.command("withdraw")
@_family
@_version
@click.option(
    "--because",
    type=click.Choice([one.value for one in WithdrawalReason]),
    required=True,
    help="What the tombstone says.",
)
@acting
def withdraw(records: Acting, *, family: str, version: str, because: str) -> None:
    """End a release for good, as officer; its number stays, its grants end.

    Recipients are asked to delete it: 'winxnat share notices send'.
    """
    reason = WithdrawalReason(because)
    _fire(records, family, version, ReleaseEvent.WITHDRAW, reason_class=reason)
