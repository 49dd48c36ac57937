"""Which sessions of which participants a release may hold, by the records of consent.

A session is chosen only if its subject is a participant of the study whose consent, as it stands
now, allows the level and the kinds of data. All others are counted by reason; who they are is not
said. Not here: the work on a session (``session_work``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from xnat_client.errors import NotFoundError
from xnat_client.release import sources
from xnat_client.release.labels import new_label, shuffled
from xnat_client.release.request import BuildRequest, BuildResult, Column, Excluded
from xnat_client.release.session_work import Labels
from xnat_client.sharing.database.tables import Participant, Study
from xnat_client.sharing.levels import OLDEST_AGE_YEARS
from xnat_client.sharing.link_table import Link, LinkTable
from xnat_client.sharing.records import consent
from xnat_client.sharing.vocabulary import DataType

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from xnat_client.transport import Transport

_DATA_TYPES = {
    sources.DICOM_DIR: frozenset({DataType.IMAGING}),
    sources.RECORDING_DIR: frozenset({DataType.ELECTROPHYSIOLOGY}),
    # What a BIDS folder holds is seen when it is there; at least it is one of these.
    sources.BIDS_DIR: frozenset({DataType.IMAGING}),
}
_BAND_YEARS = 10
_SEX = {"m": "male", "male": "male", "f": "female", "female": "female", "o": "other"}
_HANDS = {"right": "right", "left": "left", "ambidextrous": "ambidextrous"}


@dataclass(frozen=True, slots=True)
class PlannedSession:
    """A session that may go in, and whose it is."""

    participant_pk: int
    participant_label: str = field(repr=False)
    source: sources.SourceSession
    files: sources.SourceFiles
    data_types: frozenset[DataType]

    @property
    def link_name(self) -> str:
        """Return what the link table calls the session."""
        return self.source.label or self.source.session_id


@dataclass(frozen=True, slots=True)
class Plan:
    """What a build would work on.

    Attributes
    ----------
    sessions : tuple of PlannedSession
        In no telling order.
    all_sessions : tuple of SourceSession
        Of the project, chosen or not: their labels are secret too.
    participant_labels : frozenset of str
        Source labels of all participants in the records.
    """

    study_pk: int
    sessions: tuple[PlannedSession, ...]
    all_sessions: tuple[sources.SourceSession, ...]
    participant_labels: frozenset[str] = field(repr=False)
    excluded: tuple[Excluded, ...] = ()

    @property
    def participants(self) -> frozenset[int]:
        """Return the numbers of the participants."""
        return frozenset(one.participant_pk for one in self.sessions)


@dataclass(frozen=True, slots=True)
class Person:
    """A participant of the study, and what their consent allows now."""

    number: int
    label: str = field(repr=False)
    subject_id: str = field(repr=False)
    effective: consent.Effective


def find_study(session: Session, request: BuildRequest) -> Study:
    """Return the study of a source project.

    Raises
    ------
    NotFoundError
        The records know no study of that project.
    """
    study = session.scalars(
        sa.select(Study).where(
            Study.server == request.server, Study.project_id == request.project_id
        )
    ).one_or_none()
    if study is None:
        raise NotFoundError(
            f"The records know no study of project {request.project_id} on server "
            f"{request.server}. Add it with: winxnat share study"
        )
    return study


def make_plan(
    study_pk: int, persons: Sequence[Person], request: BuildRequest, transport: Transport
) -> Plan:
    """Choose the sessions of a release.

    Parameters
    ----------
    persons : sequence of Person
        The study's participants as ``read_persons`` gives them.

    Raises
    ------
    NotFoundError
        A session that was named does not exist.
    """
    found = sources.list_source_sessions(transport, request.project_id)
    reasons: dict[str, tuple[set[str], int]] = {}
    planned = []
    for one in _chosen(found, request.sessions):
        person = _person_of(one, persons)
        reason = refusal(person, request, frozenset())
        files = sources.list_source_files(transport, one) if not reason else None
        if person is None or files is None:
            _count(reasons, reason, one)
            continue
        data_types: frozenset[DataType] = frozenset().union(
            *(_DATA_TYPES[kind] for kind in files.kinds)
        )
        reason = refusal(person, request, data_types) if files.wanted else "no original files"
        if reason:
            _count(reasons, reason, one)
        else:
            planned.append(PlannedSession(person.number, person.label, one, files, data_types))
    excluded = tuple(
        Excluded(reason, len(subjects), count)
        for reason, (subjects, count) in sorted(reasons.items())
    )
    labels = frozenset(one.label for one in persons)
    return Plan(study_pk, tuple(shuffled(planned)), found, labels, excluded)


def _chosen(
    found: Sequence[sources.SourceSession], names: Iterable[str]
) -> Sequence[sources.SourceSession]:
    kept: dict[str, sources.SourceSession] = {}
    for name in names:
        fitting = [
            one
            for one in found
            if one.session_id == name or fnmatchcase(one.label.casefold(), name.casefold())
        ]
        if not fitting:
            raise NotFoundError(
                "A session that was named is not in the project, or this account may not read it. "
                "Check the labels that were given with --session."
            )
        kept |= {one.session_id: one for one in fitting}
    return tuple(kept.values()) if names else found


def read_persons(session: Session, study_pk: int) -> list[Person]:
    """Return all participants of a study."""
    effective = consent.effective_for_study(session, study_pk)
    rows = session.scalars(sa.select(Participant).where(Participant.study_pk == study_pk))
    return [
        Person(row.participant_pk, row.source_label, row.xnat_subject_id,
                effective[row.participant_pk])
        for row in rows
    ]  # fmt: skip


def _person_of(one: sources.SourceSession, persons: Sequence[Person]) -> Person | None:
    """Return the participant of a session; None where there is none, or more than one."""
    by_label = [each for each in persons if each.label == one.subject_label]
    by_id = [each for each in persons if each.subject_id and each.subject_id == one.subject_id]
    numbers = {each.number for each in (*by_label, *by_id)}
    return (by_label or by_id)[0] if len(numbers) == 1 else None


def refusal(person: Person | None, request: BuildRequest, data_types: Iterable[DataType]) -> str:
    """Return why a participant may not be in it with such data; empty if they may."""
    if person is None:
        return "not in the records of participants"
    effective = person.effective
    if effective.unknown is not None:
        return "consent not known"
    if effective.withdrawn is not None:
        return "consent withdrawn"
    if not effective.allows(request.level, ()):
        return "consent to a lower level only"
    if not effective.allows(request.level, data_types):
        return "no consent to this kind of data"
    return ""


def _count(
    reasons: dict[str, tuple[set[str], int]], reason: str, one: sources.SourceSession
) -> None:
    subjects, count = reasons.get(reason, (set(), 0))
    reasons[reason] = (subjects | {one.subject_id}, count + 1)


def give_labels(plan: Plan, table: LinkTable) -> dict[str, Labels]:
    """Return the new labels of all planned sessions, by session ID, and keep the link.

    A participant keeps the label that an earlier version of the family gave. Sessions of a
    participant are numbered by their days, from 1, or where a day is not known in an order that
    is drawn; numbers that an earlier version gave stay.
    """
    taken = {label.removeprefix("sub-").partition("_")[0] for label in table.labels()}
    by_participant: dict[str, list[PlannedSession]] = {}
    for one in plan.sessions:
        by_participant.setdefault(one.participant_label, []).append(one)
    given: dict[str, Labels] = {}
    links: list[Link] = []
    for name in shuffled(sorted(by_participant)):
        known = dict(table.labels_of(name))
        label = known.pop("", "").removeprefix("sub-") or new_label(taken)
        taken.add(label)
        links.append(Link(name, "", f"sub-{label}"))
        numbers = {session: text.rpartition("ses-")[2] for session, text in known.items()}
        highest = max((int(each) for each in numbers.values()), default=0)
        for one in _in_order(by_participant[name]):
            if one.link_name not in numbers:
                highest += 1
                numbers[one.link_name] = str(highest)
            number = numbers[one.link_name]
            links.append(Link(name, one.link_name, f"sub-{label}_ses-{number}"))
            given[one.source.session_id] = Labels(label, number)
    table.add_all(links)
    return given


def _in_order(sessions: Sequence[PlannedSession]) -> Sequence[PlannedSession]:
    if all(one.source.date for one in sessions):
        return sorted(sessions, key=lambda one: one.source.date)
    return shuffled(sessions)


def participant_rows(
    plan: Plan,
    labels: Mapping[str, Labels],
    columns: Sequence[Column],
    subjects: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, str]]:
    """Return the rows of ``participants.tsv``, sorted by the new label.

    Parameters
    ----------
    subjects : mapping
        XNAT's record of each subject, by its ID.
    """
    rows: dict[str, dict[str, str]] = {}
    for one in sorted(plan.sessions, key=lambda one: one.source.date):
        if one.source.session_id not in labels:
            continue
        name = f"sub-{labels[one.source.session_id].subject}"
        if name not in rows:
            facts = _facts(subjects.get(one.source.subject_id, {}), one.source.date)
            rows[name] = {"participant_id": name, **{c.value: facts[c] for c in columns}}
    return [rows[name] for name in sorted(rows)]


def _facts(subject: Mapping[str, Any], day: str) -> dict[Column, str]:
    fields = dict(_all_fields(subject))
    return {
        Column.AGE_BAND: _age_band(fields, day),
        Column.SEX: _SEX.get(fields.get("gender", "").casefold(), "n/a"),
        Column.HANDEDNESS: _HANDS.get(fields.get("handedness", "").casefold(), "n/a"),
        Column.GROUP: fields.get("group", "") or "n/a",
    }


def _all_fields(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in item.get("data_fields", {}).items():
        yield name.rpartition("/")[2], str(value)
    for child in item.get("children", []):
        if child.get("field") == "demographics":
            for each in child.get("items", []):
                yield from _all_fields(each)


def _age_band(fields: Mapping[str, str], day: str) -> str:
    """Return ten years that the age lies in; above 89 all are one group."""
    years = _age_years(fields, day)
    if years is None or years < 0:
        return "n/a"
    if years > OLDEST_AGE_YEARS:
        return f"{OLDEST_AGE_YEARS}+"
    first = years // _BAND_YEARS * _BAND_YEARS
    return f"{first}-{first + _BAND_YEARS - 1}"


def _age_years(fields: Mapping[str, str], day: str) -> int | None:
    try:
        if "dob" in fields and day:
            born, seen = date.fromisoformat(fields["dob"]), date.fromisoformat(day)
            return seen.year - born.year - ((seen.month, seen.day) < (born.month, born.day))
        if "yob" in fields and day:
            return datetime.fromisoformat(day).year - int(float(fields["yob"]))
        return int(float(fields["age"])) if "age" in fields else None
    except ValueError:
        return None


def only_planned(plan: Plan) -> BuildResult:
    """Return the result of a dry run."""
    wanted = [one for each in plan.sessions for one in each.files.wanted]
    return BuildResult(
        release_pk=None,
        folder=None,
        manifest_sha256="",
        participants=len(plan.participants),
        sessions=len(plan.sessions),
        files=len(wanted),
        size_bytes=sum(one.file.size_bytes for one in wanted),
        excluded=plan.excluded,
        is_dry_run=True,
    )


def reasons(plan: Plan) -> str:
    """Return why sessions were not chosen, in words; counts, never who."""
    if not plan.excluded:
        return "the project has none."
    return "; ".join(f"{one.reason} ({one.sessions} sessions)" for one in plan.excluded) + "."
