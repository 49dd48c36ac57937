"""Building a release from a source project, from the plan to the records; the one way in.

Copies are made in quarantine and moved to where releases are when they are whole, so that a
release's folder is there as a whole or not at all. A build that was broken off, however, is
started again and goes on with the sessions that were finished; at its end nothing is left in
quarantine. Not here: what a step does, what decides on a release.
"""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version as version_of
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xnat_client.address import path_of
from xnat_client.errors import ConflictError, NotFoundError, UsageError
from xnat_client.release import checks, recording, secret_strings, sources
from xnat_client.release.all_sessions import Worked, work_on_all
from xnat_client.release.assembly import Assembled, Material, assemble, hidden
from xnat_client.release.dataset_files import Terms
from xnat_client.release.inputs import check_map
from xnat_client.release.plan import (
    Plan,
    find_study,
    give_labels,
    make_plan,
    only_planned,
    participant_rows,
    read_persons,
    reasons,
    refusal,
)
from xnat_client.release.request import BuildRequest, BuildResult, EvidenceResult, Refusal
from xnat_client.release.search import Searcher
from xnat_client.release.server_steps import commands_for, require_command, steps_on
from xnat_client.release.session_work import Labels, Workshop
from xnat_client.release.spellings import Secret, SecretKind
from xnat_client.sharing import actors, clock
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.database.tables import Server
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.link_table import LinkState, LinkTable
from xnat_client.sharing.records import agreements, people, servers

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from xnat_client.session import XnatServer
    from xnat_client.sharing.database.store import Database
    from xnat_client.sharing.home import Home

Tell = Callable[[str], None]
_LOCK_FILE = "build.lock"
_LOCK_WAIT_S = 20.0
"""For the last step of a build that was killed: it is ended then, which takes a moment."""
_LOCK_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class _Frame:
    """What all parts of one build share."""

    home: Home
    database: Database
    server: XnatServer
    request: BuildRequest
    actor: Actor
    tell: Tell
    version: str

    @property
    def quarantine_dir(self) -> Path:
        return self.home.quarantine_dir / f"{self.request.family}-{self.request.version}"

    @property
    def target_dir(self) -> Path:
        return self.home.releases_dir / self.request.family / self.request.version


def build_release(  # noqa: PLR0913  # where, what, who, and how it is told
    home: Home,
    database: Database,
    server: XnatServer,
    request: BuildRequest,
    actor: Actor,
    *,
    tell: Tell = lambda _: None,
    dry_run: bool = False,
) -> BuildResult:
    """Build a release as a draft, with the evidence of its checks.

    Parameters
    ----------
    server : XnatServer
        The source project's server, as an account that may read the project.
    actor : Actor
        Study team, lead or steward; the release's requester.
    tell : callable
        Is told how far the work is; never who is in it.
    dry_run : bool
        Choose the sessions and say how many; ask all that could refuse the build before it
        begins; fetch and change nothing.

    Returns
    -------
    BuildResult
        A session that a step refuses is not in the release, and its check is then not met; all
        reasons of all sessions are collected. The release stays a draft in any case.

    Raises
    ------
    NotAllowedError
        The actor has not the role.
    NotFoundError
        The records do not know the server to publish on.
    ConflictError
        The version is no draft any more, the family's link table is sealed, or another build is
        at work.
    UsageError
        A name or text of the request holds a secret string of the study.
    BadInputError
        The map or the file of known strings cannot be used.
    RefusedByPolicyError
        Nobody consented to this, or a consent changed while the build ran.
    """
    frame = _Frame(home, database, server, request, actor, tell, version_of("winxnat"))
    if dry_run:
        return only_planned(_ask(frame).plan)
    with _alone(home):
        asked = _ask(frame)
        plan, study_secrets = asked.plan, asked.secrets
        _tidy(frame)
        table = asked.link_table or _new_link_table(frame)
        labels = give_labels(plan, table)
        with steps_on(home, server, request, plan, tell) as on_server:
            workshop = Workshop(request, frame.quarantine_dir, frame.version, on_server)
            worked = work_on_all(workshop, plan, labels, server.transport, tell)
        if on_server is not None:
            worked.secrets.add(Secret(SecretKind.ID, on_server.project_id))
        worked.secrets |= study_secrets
        result = _finish(frame, plan, labels, worked, asked.terms)
        shutil.rmtree(frame.quarantine_dir)
        if result.is_complete:
            _seal(frame, table)
    return result


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a build knows before it begins; there is no link table yet for a new family."""

    plan: Plan
    terms: Terms
    secrets: set[Secret]
    link_table: LinkTable | None


def _ask(frame: _Frame) -> _Asked:
    """Ask all that can refuse a build before it begins; nothing is written."""
    request = frame.request
    # The files first: they are read in a moment.
    secrets = secret_strings.from_known_file(request.known_path) if request.known_path else set()
    if request.map_path is not None:
        check_map(request.map_path)
    plan, terms = _plan(frame)
    if not plan.sessions:
        raise RefusedByPolicyError(
            "No session of the project may be in this release, so nothing was built: "
            + reasons(plan)
            + " Consent is put on record by 'winxnat share consent import'."
        )
    if request.on_server:
        for name in sorted(commands_for(plan)):
            require_command(frame.server.transport, name)
    secrets |= _study_secrets(frame, plan)
    checks.refuse_telling_texts(request, Searcher(secrets))
    return _Asked(plan, terms, secrets, _known_link_table(frame))


@contextmanager
def _alone(home: Home) -> Iterator[None]:
    """Let one build at a time work in these records' folder."""
    path = home.folder / _LOCK_FILE
    deadline = time.monotonic() + _LOCK_WAIT_S
    with path.open("ab") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise ConflictError(
                        "Another build is at work in these records. Wait for its end."
                    ) from None
                time.sleep(_LOCK_LOOK_S)
        yield


def _plan(frame: _Frame) -> tuple[Plan, Terms]:
    request = frame.request
    with frame.database.transaction() as session:
        now = clock.now(session)
        study = find_study(session, request)
        people.require_any_role(
            session, frame.actor, *recording.BUILDERS, now=now, study_pk=study.study_pk
        )
        recording.existing(session, study, request)
        servers.server_of(session, request.release_server)
        if request.on_server:
            _require_service_account(session, frame)
        persons = read_persons(session, study.study_pk)
        terms = Terms()
        if request.agreement_id:
            text = agreements.legal_text(session, request.agreement_id, request.agreement_version)
            terms = Terms(request.agreement_id, text.version, text.text, text.sha256)
    frame.tell("choosing sessions by the records of consent")
    return make_plan(study.study_pk, persons, request, frame.server.transport), terms


def _require_service_account(session: Session, frame: _Frame) -> None:
    record = session.get(Server, frame.request.server)
    account = record.service_account if record is not None else ""
    if account not in {"", frame.server.account}:
        raise UsageError(
            f"A build on server {frame.request.server} is done by its service account {account}, "
            "which alone may enter the quarantine project. Give it as --user."
        )


def _tidy(frame: _Frame) -> None:
    """Remove what other builds left in quarantine, and make this build's place there."""
    frame.home.quarantine_dir.mkdir(mode=0o700, exist_ok=True)
    for path in frame.home.quarantine_dir.iterdir():
        if path != frame.quarantine_dir:
            shutil.rmtree(path, ignore_errors=True)
    frame.quarantine_dir.mkdir(mode=0o700, exist_ok=True)


def _study_secrets(frame: _Frame, plan: Plan) -> set[Secret]:
    transport, request = frame.server.transport, frame.request
    found = sources.study_secrets(transport, request.project_id, plan.all_sessions)
    return found | {Secret(SecretKind.ID, label) for label in plan.participant_labels}


def _known_link_table(frame: _Frame) -> LinkTable | None:
    """Open the family's link table, if labels can be given in it; None for a new family."""
    with frame.database.transaction() as session:
        try:
            table = LinkTable.open(frame.home, frame.request.family)
        except NotFoundError:
            # A table that was there and is lost must come back: new labels would make one
            # participant two.
            if recording.is_known(session, frame.request.family):
                raise
            return None
    if table.state is LinkState.SEALED:
        raise ConflictError(
            "The link table of this family is sealed, so no label can be given. The custodian "
            f"opens it for another build: winxnat share link unseal {frame.request.family}"
        )
    return table


def _new_link_table(frame: _Frame) -> LinkTable:
    rule = frame.request.link_rule
    day = date.fromisoformat(rule.partition(":")[2]) if rule.startswith("destroy:") else None
    with frame.database.transaction() as session:
        now = clock.now(session)
        return LinkTable.create(frame.home, frame.request.family, now=now, destroy_on=day)


def _finish(
    frame: _Frame, plan: Plan, labels: Mapping[str, Labels], worked: Worked, terms: Terms
) -> BuildResult:
    searcher = Searcher(worked.secrets)
    refusals = [
        Refusal(one.participant, one.session, one.check, searcher.hides(one.reason))
        for one in worked.refusals
    ]
    assembled = None
    evidence: Sequence[EvidenceResult]
    if worked.finished:
        frame.tell("putting the dataset together, searching and validating it")
        material = Material(
            request=frame.request,
            terms=terms,
            finished=[finished for _, finished in worked.finished],
            refusals=refusals,
            participants=_participants(frame, plan, labels, worked),
            secrets=worked.secrets,
            version=frame.version,
            day=_today(frame),
        )
        assembled = assemble(frame.home, material, frame.quarantine_dir)
        evidence = assembled.evidence
    else:
        nothing = checks.Findings({}, (), {}, refusals)
        evidence = [hidden(one, searcher) for one in checks.nothing_built(nothing, frame.version)]
    release_pk, counted = _keep(frame, worked, assembled, evidence)
    files = assembled.files if assembled else ()
    return BuildResult(
        release_pk=release_pk,
        folder=frame.target_dir if assembled else None,
        manifest_sha256=assembled.manifest_sha256 if assembled else "",
        participants=len({one.participant_pk for one, _ in worked.finished}),
        sessions=len(worked.finished),
        files=len(files),
        size_bytes=sum(each.size_bytes for each in files),
        evidence=counted,
        refusals=tuple(refusals),
        excluded=plan.excluded,
        left_out={searcher.hides(key): n for key, n in sorted(worked.left_out.items())},
    )


def _participants(
    frame: _Frame, plan: Plan, labels: Mapping[str, Labels], worked: Worked
) -> list[dict[str, str]]:
    kept = {one.source.session_id: labels[one.source.session_id] for one, _ in worked.finished}
    subjects: dict[str, Mapping[str, Any]] = {}
    if frame.request.columns:
        for one, _ in worked.finished:
            subject = one.source.subject_id
            if subject not in subjects:
                path = path_of("data", "subjects", subject)
                subjects[subject] = sources.read_item(frame.server.transport, path)
    return participant_rows(plan, kept, frame.request.columns, subjects)


def _today(frame: _Frame) -> date:
    with frame.database.transaction() as session:
        return clock.now(session).date()


def _keep(
    frame: _Frame,
    worked: Worked,
    assembled: Assembled | None,
    evidence: Sequence[EvidenceResult],
) -> tuple[int, tuple[EvidenceResult, ...]]:
    """Write the records and move the folder into place, in one transaction.

    Consent is asked for again inside: who withdrew while the build ran is not in what it leaves.
    If the program is killed between the move and the end of the transaction, records and folder
    disagree, nothing counts, and building again mends it.
    """
    request, planned = frame.request, [one for one, _ in worked.finished]
    with frame.database.transaction() as session:
        now = clock.now(session)
        study = find_study(session, request)
        people.require_any_role(
            session, frame.actor, *recording.BUILDERS, now=now, study_pk=study.study_pk
        )
        persons = {each.number: each for each in read_persons(session, study.study_pk)}
        for one in planned:
            reason = refusal(persons.get(one.participant_pk), request, one.data_types)
            if reason:
                raise RefusedByPolicyError(
                    f"Participant {one.participant_pk} may no longer be in the release ({reason}); "
                    "it changed while the build ran. Build again."
                )
        criteria = assembled.criteria_version if assembled else ""
        row = recording.write(
            session, frame.actor, study, request, criteria_version=criteria, now=now
        )
        files: dict[str, str] = {}
        if assembled is not None:
            content = (assembled.manifest_sha256, assembled.files)
            recording.add_content(session, row, assembled.folder, content, planned)
            files = {each.path: each.sha256 for each in assembled.files}
        counted = recording.add_evidence(session, row, evidence, files, now)
        _move_into_place(frame, assembled)
    return row.release_pk, counted


def _move_into_place(frame: _Frame, assembled: Assembled | None) -> None:
    target = frame.target_dir
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if target.exists():
        earlier = frame.quarantine_dir / "earlier"
        shutil.rmtree(earlier, ignore_errors=True)
        target.rename(earlier)
    if assembled is not None:
        assembled.folder.rename(target)


def _seal(frame: _Frame, table: LinkTable) -> None:
    with frame.database.transaction() as session:
        now = clock.now(session)
        table.seal(session, actors.service("The build is complete.", source="build"), now=now)
