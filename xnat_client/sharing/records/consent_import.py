"""Taking consent over from an export: CSV, or what REDCap and its like write.

All rows in one transaction, one result a row. A file with a row that is refused changes nothing,
unless the rest is asked for. A line that the history has is not added again, and nothing in a
history is changed. Results name rows and participants' numbers, never labels or cells. Not here:
what columns mean (``consent_columns``), what follows from a withdrawal (``withdrawal``).
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session

from xnat_client.errors import BadInputError
from xnat_client.sharing.actors import Actor
from xnat_client.sharing.audit import chain
from xnat_client.sharing.database.tables import ConsentForm, ConsentRecord, Participant
from xnat_client.sharing.records import consent, participants, people
from xnat_client.sharing.records.consent import WITHDRAWALS, ConsentLine
from xnat_client.sharing.records.consent_columns import ConsentColumns, RowRefusedError
from xnat_client.sharing.vocabulary import ConsentEvent, DataType, Role

_DELIMITERS = (",", ";", "\t")
_LARGEST_BYTES = 50_000_000


class RowOutcome(StrEnum):
    """What became of a row."""

    ADDED = "added"
    UNCHANGED = "unchanged"
    LEFT_OUT = "left out"
    REFUSED = "refused"
    HELD_BACK = "held back"


@dataclass(frozen=True)
class RowResult:
    """What became of one row of a file.

    Attributes
    ----------
    row : int
        Line of the file on which the row ends, counted from 1, the heading among them.
    outcome : RowOutcome
        ``HELD_BACK``: the row is right, but another one is not, so nothing was taken over.
    participant : int or None
        The participant's number, if there is one (already).
    reason : str
        Why it was refused or left out.
    event : ConsentEvent or None
        What the row says.
    """

    row: int
    outcome: RowOutcome
    participant: int | None = None
    reason: str = ""
    event: ConsentEvent | None = None


@dataclass(frozen=True)
class ImportResult:
    """What became of a file.

    Attributes
    ----------
    rows : tuple of RowResult
        One for each row, in order.
    not_in_file : int
        Participants of the study whom the file does not name; nothing about them was changed.
    withdrawn : tuple of int
        Participants who have a withdrawal by this import.
    """

    rows: tuple[RowResult, ...]
    not_in_file: int
    withdrawn: tuple[int, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many rows had each outcome."""
        found = Counter(row.outcome.value for row in self.rows)
        return {outcome.value: found[outcome.value] for outcome in RowOutcome}

    @property
    def is_complete(self) -> bool:
        """Whether no row was refused."""
        return all(row.outcome is not RowOutcome.REFUSED for row in self.rows)


@dataclass(frozen=True)
class Export:
    """The rows of a file.

    Attributes
    ----------
    rows : tuple of (int, mapping)
        Line and cells by column; a row with too few or too many cells has None as cells.
    sha256 : str
        Digest of the file.
    """

    rows: tuple[tuple[int, Mapping[str, str] | None], ...]
    sha256: str


def read_export(path: Path, needed: Iterable[str]) -> Export:
    """Read a file whose cells are separated by commas, semicolons or tabs.

    Raises
    ------
    BadInputError
        It is no such file in UTF-8, or lacks a column.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise BadInputError(f"{path.name} is larger than 50 MB; this is no list of consent.")
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{path.name} cannot be read as UTF-8 text. Export or save it as UTF-8."
        ) from error
    wanted = set(needed)
    missing = wanted
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            if not wanted <= set(header):
                missing = min(missing, wanted - set(header), key=len)
                continue
            _check_header(header, wanted, path.name)
            rows = tuple((reader.line_num, _cells(header, row)) for row in reader if any(row))
        except csv.Error as error:
            raise BadInputError(
                f"{path.name} is not well-formed at line {reader.line_num}: a quotation mark is "
                "open or out of place. Export it again."
            ) from error
        return Export(rows, hashlib.sha256(content).hexdigest())
    raise BadInputError(
        f"{path.name} lacks the columns {', '.join(sorted(missing))} that the mapping names. "
        "Correct the mapping, or export these columns."
    )


def _check_header(header: Sequence[str], wanted: set[str], name: str) -> None:
    twice = sorted(column for column in wanted if header.count(column) > 1)
    if twice:
        raise BadInputError(f"{name} has the column '{twice[0]}' twice. Remove the wrong one.")


def _cells(header: Sequence[str], row: Sequence[str]) -> dict[str, str] | None:
    return dict(zip(header, row, strict=True)) if len(row) == len(header) else None


@dataclass(frozen=True)
class ImportRules:
    """How strictly a file is taken over.

    Attributes
    ----------
    leave_refused : bool
        Whether the other rows are taken over when some are refused.
    only_known : bool
        Whether rows of participants who are not on record are refused; else they are added.
    dry_run : bool
        Whether nothing is written; the results say what would be.
    """

    leave_refused: bool = False
    only_known: bool = False
    dry_run: bool = False


def import_consent(  # noqa: PLR0913, PLR0917  # what, into which study, by which rules
    session: Session,
    actor: Actor,
    study_pk: int,
    export: Export,
    columns: ConsentColumns,
    rules: ImportRules,
    *,
    now: datetime,
) -> ImportResult:
    """Add what an export says to the histories of a study's participants.

    Raises
    ------
    NotAllowedError
        The actor is none of those who record the study's consent.
    """
    allowed = (Role.STUDY_TEAM, Role.LEAD, Role.CUSTODIAN)
    people.require_any_role(session, actor, *allowed, now=now, study_pk=study_pk)
    judge = _Judge(session, study_pk, export, columns, rules, now)
    results = [judge.result(line, cells) for line, cells in export.rows]
    refused = any(one.outcome is RowOutcome.REFUSED for one in results)
    if refused and not rules.leave_refused:
        results = [_held_back(one) for one in results]
    elif not rules.dry_run:
        results = _write(session, actor, study_pk, judge, results, now)
        _log(session, actor, study_pk, export, results, now)
    withdrawn = {
        one.participant
        for one in results
        if one.outcome is RowOutcome.ADDED
        and one.event in WITHDRAWALS
        and one.participant is not None
    }
    return ImportResult(tuple(results), judge.not_in_file(), tuple(sorted(withdrawn)))


class _Judge:
    """Says of each row what becomes of it, from what is on record and the rows before it."""

    def __init__(  # noqa: PLR0913, PLR0917  # as import_consent
        self,
        session: Session,
        study_pk: int,
        export: Export,
        columns: ConsentColumns,
        rules: ImportRules,
        now: datetime,
    ) -> None:
        self.accepted: dict[int, tuple[str, ConsentLine]] = {}
        self._columns, self._rules, self._today = columns, rules, now.date()
        self._origin = f"file {export.sha256}"
        self._known = participants.by_label(session, study_pk)
        self._folded = {label.casefold(): label for label in self._known}
        self._lines = _histories(session, self._known)
        self._forms = {
            (form_id, version)
            for form_id, version in session.execute(
                sa.select(ConsentForm.form_id, ConsentForm.version)
            )
        }
        self._named: set[str] = set()
        self._said_here: dict[tuple[str, date], ConsentLine] = {}

    def not_in_file(self) -> int:
        """Return how many participants on record no row named."""
        return len(self._known.keys() - self._named)

    def result(self, row: int, cells: Mapping[str, str] | None) -> RowResult:
        """Return what becomes of a row, and remember the line that it adds."""
        if cells is None:
            reason = "it has more or fewer cells than the heading"
            return RowResult(row, RowOutcome.REFUSED, reason=reason)
        number: int | None = None
        event: ConsentEvent | None = None
        try:
            if not self._columns.is_consent(cells):
                return RowResult(row, RowOutcome.LEFT_OUT, reason="not one of the rows to use")
            label = self._columns.label(cells)
            self._named.add(label)
            number = self._number(label)
            line = self._columns.line(cells, f"{self._origin} line {row}")
            event = line.event
            outcome = self._outcome(label, line)
        except RowRefusedError as error:
            return RowResult(row, RowOutcome.REFUSED, number, str(error), event)
        if outcome is RowOutcome.ADDED:
            self.accepted[row] = (label, line)
            self._lines[label].append(line)
        return RowResult(row, outcome, number, "", event)

    def _number(self, label: str) -> int | None:
        if label in self._known:
            return self._known[label].participant_pk
        if self._folded.get(label.casefold()) in self._known:
            raise RowRefusedError("its label differs from one on record in capitals only")
        if self._rules.only_known:
            raise RowRefusedError("the study has no participant with its label")
        # One person with two histories would be withdrawn in one of them only.
        if self._folded.setdefault(label.casefold(), label) != label:
            raise RowRefusedError("its label differs from that of another row in capitals only")
        return None

    def _outcome(self, label: str, line: ConsentLine) -> RowOutcome:
        if line.given_on > self._today:
            raise RowRefusedError("it is dated in the future")
        form = (line.form_id, line.form_version)
        if line.event is ConsentEvent.GIVEN and form not in self._forms:
            raise RowRefusedError("it names a consent form that is not on record")
        if line.event is ConsentEvent.GIVEN:
            said = self._said_here.setdefault((label, line.given_on), line)
            if not _same(said, line):
                raise RowRefusedError("another row says otherwise of the same participant and day")
        there = [
            one
            for one in self._lines[label]
            if one.given_on == line.given_on and one.event is line.event
        ]
        if not any(_same(one, line) for one in there):
            return RowOutcome.ADDED
        last = there[-1]
        again = any(one.origin.startswith(self._origin) for one in there if _same(one, line))
        if _same(last, line) or again:
            return RowOutcome.UNCHANGED
        if _allows_no_more(line, last):
            return RowOutcome.ADDED
        raise RowRefusedError(
            "a later line of the history replaced what it says; enter it by hand if it is right"
        )


def _histories(
    session: Session, known: Mapping[str, Participant]
) -> defaultdict[str, list[ConsentLine]]:
    labels = {row.participant_pk: label for label, row in known.items()}
    found: defaultdict[str, list[ConsentLine]] = defaultdict(list)
    query = (
        sa.select(ConsentRecord)
        .join(Participant, Participant.participant_pk == ConsentRecord.participant_pk)
        .where(Participant.participant_pk.in_(labels))
        .order_by(ConsentRecord.consent_pk)
    )
    for row in session.scalars(query):
        found[labels[row.participant_pk]].append(
            ConsentLine(
                row.event,
                row.given_on,
                row.form_id,
                row.form_version,
                row.highest_level,
                tuple(DataType(kind) for kind in sorted(row.data_types)),
                row.origin,
            )
        )
    return found


def _same(one: ConsentLine, other: ConsentLine) -> bool:
    return replace(one, origin="") == replace(other, origin="")


def _allows_no_more(one: ConsentLine, other: ConsentLine) -> bool:
    return (
        one.highest_level <= other.highest_level
        and set(one.data_types) <= set(other.data_types)
        and (one.form_id, one.form_version) == (other.form_id, other.form_version)
    )


def _held_back(result: RowResult) -> RowResult:
    if result.outcome is not RowOutcome.ADDED:
        return result
    return replace(result, outcome=RowOutcome.HELD_BACK, reason="another row was refused")


def _write(  # noqa: PLR0913, PLR0917  # as import_consent
    session: Session,
    actor: Actor,
    study_pk: int,
    judge: _Judge,
    results: list[RowResult],
    now: datetime,
) -> list[RowResult]:
    labels = {label: "" for label, _ in judge.accepted.values()}
    numbers = participants.add_all(session, actor, study_pk, labels, now=now) if labels else {}
    lines = [(numbers[label], line) for label, line in judge.accepted.values()]
    consent.record_all(session, actor, study_pk, lines, now=now)
    written: list[RowResult] = []
    for one in results:
        accepted = judge.accepted.get(one.row)
        written.append(replace(one, participant=numbers[accepted[0]]) if accepted else one)
    return written


def _log(  # noqa: PLR0913, PLR0917  # as import_consent
    session: Session,
    actor: Actor,
    study_pk: int,
    export: Export,
    results: list[RowResult],
    now: datetime,
) -> None:
    counts = Counter(one.outcome.value for one in results)
    if counts[RowOutcome.ADDED.value]:
        after = {"file_sha256": export.sha256, **counts}
        change = chain.Change("consent.import", "study", str(study_pk), {}, after)
        chain.append(session, actor, change, now=now)
