"""What is wrong with a plan, found before the first byte is sent and without a server.

Not here: what only the server knows (``server_checks``).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from xnat_client.address import check_label, check_project_id
from xnat_client.errors import UsageError
from xnat_client.upload.label_doubts import doubt_about
from xnat_client.upload.plan import Action, Plan, Row
from xnat_client.upload.session_task import file_names
from xnat_client.upload.survey import Kind

_HOSTILE = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\\ud800-\udfff]')
_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.DOTALL)
_LONGEST_NAME_BYTES = 255
_LONGEST_PATH_BYTES = 1024
_SCAN = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Findings:
    """Problems and notes by row number."""

    problems: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    notes: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))

    def problem(self, rows: Iterable[Row], text: str) -> None:
        """Note a problem at rows."""
        for row in rows:
            self.problems[row.number].append(text)

    def note(self, rows: Iterable[Row], text: str) -> None:
        """Note something at rows."""
        for row in rows:
            self.notes[row.number].append(text)

    def put_into(self, plan: Plan) -> Plan:
        """Return the plan with the findings in its rows."""
        return plan.with_rows(
            replace(
                row,
                problems=(*row.problems, *dict.fromkeys(self.problems.get(row.number, ()))),
                notes=(*row.notes, *dict.fromkeys(self.notes.get(row.number, ()))),
            )
            for row in plan.rows
        )


def check_plan(plan: Plan, *, accept_labels: bool = False) -> Plan:
    """Return the plan with what is wrong in it.

    Parameters
    ----------
    accept_labels : bool
        A person looked at the labels: those that may identify somebody are noted only.
    """
    findings = Findings()
    rows = [row for row in plan.sent_rows if not row.problems]
    good = [row for row in rows if _check_labels(row, findings)]
    _check_doubts(good, findings, accept_labels=accept_labels)
    _check_case(good, findings, "subject", lambda row: (row.project, row.subject))
    _check_case(good, findings, "session", lambda row: (row.project, row.session))
    sessions: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in good:
        if row.session:
            sessions[row.project, row.session].append(row)
    for members in sessions.values():
        _check_session(members, findings)
    _check_patients(good, findings)
    _check_names(good, findings)
    return findings.put_into(plan)


def _check_labels(row: Row, findings: Findings) -> bool:
    before = len(findings.problems[row.number])
    try:
        check_project_id(row.project)
        if row.subject:
            check_label("subject", row.subject)
        if row.session:
            check_label("session", row.session)
        check_label("resource", row.resource)
    except UsageError as error:
        findings.problem([row], str(error))
    if row.session and not row.subject:
        findings.problem([row], "it has a session but no subject")
    if row.is_dicom and not row.session:
        findings.problem([row], "DICOM needs a subject and a session")
    if row.scan and not row.session:
        findings.problem([row], "it has a scan but no session")
    if row.scan and not row.is_dicom and not _SCAN.fullmatch(row.scan):
        findings.problem([row], "the scan may hold only letters, digits, '_' and '-'")
    if row.resource.isdigit():
        findings.problem([row], "a resource must not be a number; the server would take it for ID")
    if not row.is_dicom and row.resource.casefold() in ("dicom", "secondary"):
        findings.problem([row], "a resource of this name is for DICOM; choose another")
    return len(findings.problems[row.number]) == before


def _check_doubts(rows: list[Row], findings: Findings, *, accept_labels: bool) -> None:
    for kind in ("subject", "session"):
        by_label: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            if getattr(row, kind):
                by_label[getattr(row, kind)].append(row)
        for label, members in by_label.items():
            identity = {
                digest
                for row in members
                if row.unit
                for image in row.unit.images[:1]
                for digest in image.identity
            }
            doubt = doubt_about(label, identity)
            if doubt and accept_labels:
                findings.note(members, f"{kind} label accepted although {doubt}")
            elif doubt:
                findings.problem(
                    members, f"the {kind} label may identify a person: {doubt}; use a code, or "
                    "--accept-labels if it is one",
                )  # fmt: skip


def _check_case(
    rows: list[Row], findings: Findings, kind: str, key: Callable[[Row], tuple[str, str]]
) -> None:
    spellings: dict[tuple[str, str], dict[str, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        project, label = key(row)
        spellings[project, label.casefold()][label].append(row)
    for spelled in spellings.values():
        if len(spelled) > 1:
            members = [row for some in spelled.values() for row in some]
            findings.problem(members, f"two {kind} labels differ only in upper and lower case")


def _check_session(rows: list[Row], findings: Findings) -> None:
    if len({row.subject for row in rows}) > 1:
        findings.problem(
            rows, "the session label is given to two subjects; labels of sessions are unique in a "
            "project: use --session '{subject}_{session}', or other labels",
        )  # fmt: skip
    dicom = [row for row in rows if row.is_dicom]
    images = [image for row in dicom if row.unit for image in row.unit.images]
    if len({image.patient for image in images}) > 1:
        findings.problem(
            dicom, "several patients in one session: (0010,0020) PatientID or (0010,0010) "
            "PatientName differ",
        )  # fmt: skip
    if len({image.study_uid for image in images}) > 1:
        findings.problem(
            dicom, "several studies in one session: (0020,000D) StudyInstanceUID differs; give "
            "them labels of their own, or choose one with --study",
        )  # fmt: skip
    instances = Counter(image.instance_uid for image in images)
    for row in dicom:
        if row.unit and any(instances[image.instance_uid] > 1 for image in row.unit.images):
            findings.problem([row], "an image of it has the SOPInstanceUID of another one")
    _check_scans(rows, findings)


def _check_scans(rows: list[Row], findings: Findings) -> None:
    numbers: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.scan:
            numbers[row.scan].append(row)
    for number, members in numbers.items():
        series = [row for row in members if row.is_dicom]
        if len(series) > 1:
            findings.note(
                series, f"{len(series)} series have the number {number}; the server renames all "
                "but one",
            )  # fmt: skip
        if series and len(series) < len(members):
            findings.problem(members, "a recording has the scan number of a DICOM series")
        kinds = {row.unit.kind for row in members if row.unit} & {Kind.EEG, Kind.MEG}
        if len(kinds) > 1:
            findings.problem(members, "EEG and MEG recordings share a scan")


def _check_patients(rows: list[Row], findings: Findings) -> None:
    subjects: dict[bytes, set[str]] = defaultdict(set)
    patients: dict[str, set[bytes]] = defaultdict(set)
    for row in rows:
        for image in row.unit.images[:1] if row.unit else ():
            subjects[image.patient].add(row.subject)
            patients[row.subject].add(image.patient)
    for row in rows:
        if row.unit is None or not row.unit.images:
            continue
        if len(subjects[row.unit.images[0].patient]) > 1:
            findings.note([row], "the same patient is sent as several subjects")
        if len(patients[row.subject]) > 1:
            findings.note([row], "the subject's sessions have different patient elements")


def _check_names(rows: list[Row], findings: Findings) -> None:
    names = file_names(rows)
    owners: dict[tuple[str, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        if row.unit is None or row.is_dicom:
            continue
        place = (row.project, row.subject, row.session, row.scan, row.resource.casefold())
        for file in row.unit.files:
            name = names[file.path]
            if _is_hostile(name):
                findings.problem([row], "a file name in it cannot be held by every system")
            other = owners[place].setdefault(name.casefold(), row)
            if other is not row:
                findings.problem([row, other], "two files would get the same name in a resource")


def _is_hostile(name: str) -> bool:
    parts = name.split("/")
    if any(
        _HOSTILE.search(part) or part != part.strip() or part.endswith(".")
        or _DEVICES.fullmatch(part)
        for part in parts
    ):  # fmt: skip
        return True
    return len(name.encode()) > _LONGEST_PATH_BYTES or any(
        len(part.encode()) > _LONGEST_NAME_BYTES for part in parts
    )


def choose_study(plan: Plan, number: int) -> Plan:
    """Return the plan with one study alone; studies count from 1, sorted by their UID.

    Raises
    ------
    UsageError
        There is no such study.
    """
    uids = sorted({image.study_uid for row in plan.rows if row.unit for image in row.unit.images})
    if not 1 <= number <= len(uids):
        raise UsageError(f"There is no study {number}: {len(uids)} were found.")
    chosen = uids[number - 1]
    return plan.with_rows(
        row
        if not row.is_dicom or row.unit is None or row.unit.images[0].study_uid == chosen
        else replace(row, action=Action.SKIP, problems=(), notes=(*row.notes, "another study"))
        for row in plan.rows
    )
