"""Converts the EEG and MEG recordings of one session into a validated BIDS tree.

Reads the session's folder, writes ``bids/`` (the tree) and ``report/`` (the validator's answer
and the account of all files, for machines and as a page for people). Everything runs offline.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    BadInputError,
    ParameterValue,
    StepInput,
    StepReport,
    UnsafeOutputError,
    UsageError,
)
from containers.dicom_to_bids.validate import VALIDATOR_VERSION, Verdict, validate
from containers.eeg_to_bids.check import broken_references, places_of_identities
from containers.eeg_to_bids.page import PAGE_FILE_NAME, write_page
from containers.eeg_to_bids.plan import UNKNOWN_TASK, Planned, plan
from containers.recordings import (
    DateRule,
    IdentityStrings,
    Recording,
    RecordingPolicy,
    RefusedFile,
    RefusedRecordingError,
    find_recordings,
    identity_of,
)

BIDS_DIR_NAME = "bids"
ACCOUNT_FILE_NAME = "account.json"
VALIDATOR_FILE_NAME = "validator.json"
_DEFAULT_SUBJECT = "01"
_LONGEST_LABEL = 60
_LONGEST_DESCRIPTION_BYTES = 1 << 20
_MOST_DAYS = 80_000
_ENDINGS = (
    ".txt .pdf .csv .tsv .json .xml .log .eeg .vmrk .fdt .fif .edf .bdf .set .dcm .nii .gz .mat "
    ".md .html .png .jpg .zip .dat .raw .cnt .mff .snirf .elp .hsp .mrk .sqd .con"
)
_KNOWN_ENDINGS = frozenset(_ENDINGS.split())
"""Endings that may be told: another one might be somebody's name."""


@dataclass(frozen=True, slots=True)
class _Settings:
    subject: str
    session: str | None
    task: str | None
    policy: RecordingPolicy
    line_frequency_hz: float | None
    allow_invalid: bool
    notes: tuple[str, ...]


def run(step_input: StepInput) -> StepReport:
    """Convert the session.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``subject-label``, ``session-label`` and ``task`` (text, reduced to letters
        and digits; the labels are never taken from the recordings), ``dates`` and
        ``shift-days``, ``line-frequency``, ``allow-invalid``.

    Raises
    ------
    UsageError
        A label holds no letter or digit or is too long; a shift lacks its days.
    BadInputError
        No recording of the folder can be converted; or the validator finds errors in the tree
        and ``allow-invalid`` is not set.
    UnsafeOutputError
        An identity of a source is found in the tree.
    ToolFailedError
        The validator ended abnormally.
    """
    settings = _read_settings(step_input.parameters)
    _keep_libraries_at_home(step_input.scratch_dir)
    # Imported here: the libraries read their settings when they are imported.
    from containers.eeg_to_bids.convert import (  # noqa: PLC0415  # loads mne, which takes seconds
        Converted,
        NotConvertedError,
        Target,
        convert,
    )
    from containers.eeg_to_bids.tree import (  # noqa: PLC0415  # loads mne, which takes seconds
        BIDS_VERSION,
        MNE_BIDS_VERSION,
        MNE_VERSION,
        finish_tree,
        write_json,
    )

    found = find_recordings(step_input.input_dir)
    readable, rows = _identities(found, _earlier_results(step_input.input_dir))
    known = IdentityStrings()
    for _number, _recording, identity in readable:
        known |= identity
    root = step_input.output_dir / BIDS_DIR_NAME
    root.mkdir(parents=True)
    target = Target(root, step_input.scratch_dir, settings.subject, settings.session)
    done: list[Converted] = []
    for planned in plan(readable, settings.task):
        try:
            converted = convert(planned, target, settings.policy, known, settings.line_frequency_hz)
        except NotConvertedError as error:
            rows[planned.number] = Accounted(_name(planned), "failed", str(error))
        else:
            done.append(converted)
            rows[planned.number] = Accounted(_name(planned), "done", outputs=converted.outputs)
    accounted = tuple(rows[number] for number in sorted(rows))
    if not done:
        raise _nothing_converted(accounted)
    finish_tree(root, settings.subject, settings.policy.dates.value)
    chosen = [settings.subject, settings.session or "", *(each.planned.task for each in done)]
    _refuse_identities(root, known, chosen, settings.policy)
    verdict = _judge(root, step_input.scratch_dir, allow_invalid=settings.allow_invalid)
    notes = [*settings.notes, *_notes(done, known, settings), *broken_references(root)]
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    write_json(report_dir / VALIDATOR_FILE_NAME, verdict.answer)
    changes = sum((Counter(dict(each.changes)) for each in done), Counter[str]())
    write_json(
        report_dir / ACCOUNT_FILE_NAME,
        {"sources": [_as_json(row) for row in accounted], "taken_out": dict(changes)},
    )
    summary = _summary(accounted, verdict)
    taken = [f"{place}: {count}" for place, count in sorted(changes.items())]
    write_page(report_dir / PAGE_FILE_NAME, accounted, taken, summary=summary, warnings=notes)
    return StepReport(
        summary=summary,
        accounted=accounted,
        warnings=tuple(notes),
        tools={
            "mne": MNE_VERSION,
            "mne-bids": MNE_BIDS_VERSION,
            "bids-validator": VALIDATOR_VERSION,
        },
        facts={
            "bids_version": BIDS_VERSION,
            "schema_version": verdict.schema_version,
            "validator_errors": sum(verdict.errors.values()),
            "validator_warnings": sum(verdict.warnings.values()),
            "taken_out": dict(changes),
        },
    )


def _keep_libraries_at_home(scratch_dir: Path) -> None:
    """Give the libraries a place for their settings: the user of a container has no home."""
    home = scratch_dir / "home"
    home.mkdir(exist_ok=True)
    os.environ["MNE_DONTWRITE_HOME"] = "true"
    os.environ["_MNE_FAKE_HOME_DIR"] = str(home)
    os.environ["MPLCONFIGDIR"] = str(home)


def _read_settings(parameters: Mapping[str, ParameterValue]) -> _Settings:
    notes: list[str] = []
    subject = _plain_label(parameters.get("subject-label"), "subject", notes)
    session = _plain_label(parameters.get("session-label"), "session", notes)
    task = _plain_label(parameters.get("task"), "task", notes)
    frequency = str(parameters.get("line-frequency") or "unknown")
    return _Settings(
        subject=subject or _DEFAULT_SUBJECT,
        session=session,
        task=task,
        policy=_policy(parameters),
        line_frequency_hz=None if frequency == "unknown" else float(frequency),
        allow_invalid=parameters.get("allow-invalid") is True,
        notes=tuple(notes),
    )


def _policy(parameters: Mapping[str, ParameterValue]) -> RecordingPolicy:
    rule = DateRule(str(parameters.get("dates") or "remove"))
    given = str(parameters.get("shift-days") or "").strip()
    if rule is not DateRule.SHIFT:
        if given:
            raise UsageError("Days to shift are given, but dates are not shifted: set dates=shift.")
        return RecordingPolicy(dates=rule)
    if not re.fullmatch(r"[-+]?\d{1,5}", given) or abs(int(given)) > _MOST_DAYS or not int(given):
        raise UsageError(
            "Dates are to be shifted, but shift-days is no whole number of days other than 0 "
            f"(at most {_MOST_DAYS}); give one."
        )
    return RecordingPolicy(dates=rule, shift_days=int(given))


def _plain_label(value: ParameterValue, kind: str, notes: list[str]) -> str | None:
    given = "" if value is None else str(value).strip()
    if not given:
        return None
    plain = re.sub(r"[^A-Za-z0-9]", "", given)
    if not plain or len(plain) > _LONGEST_LABEL:
        raise UsageError(
            f"The {kind} label has no letter or digit from A to Z and 0 to 9, which BIDS needs, or "
            f"more than {_LONGEST_LABEL} of them; give another label."
        )
    if plain != given:
        notes.append(
            f"BIDS allows letters and digits only: other characters of the {kind} label were "
            "dropped. Two labels that differ in these only would become one."
        )
    return plain


def _earlier_results(folder: Path) -> tuple[Path, ...]:
    """Return the data sets of earlier runs: a server mounts them with the session."""
    return tuple(
        path.parent
        for path in sorted(folder.rglob("dataset_description.json"))
        if path.is_file()
        and path.stat().st_size < _LONGEST_DESCRIPTION_BYTES
        and re.search(rb'"Name":\s*"winxnat"', path.read_bytes())
    )


def _identities(
    found: Sequence[Recording | RefusedFile], earlier: tuple[Path, ...]
) -> tuple[list[tuple[int, Recording, IdentityStrings]], dict[int, Accounted]]:
    """Return the recordings whose identities can be read, and the account of all others."""
    readable = []
    rows: dict[int, Accounted] = {}
    for number, each in enumerate(found, start=1):
        path = each.main if isinstance(each, Recording) else each.path
        if any(path.is_relative_to(folder) for folder in earlier):
            reason = "It is a result of an earlier run, and not converted again."
            rows[number] = Accounted(f"{number}: result", "left-out", reason)
            continue
        if isinstance(each, RefusedFile):
            ending = each.path.suffix.lower()
            told = f" ({ending})" if ending in _KNOWN_ENDINGS else ""
            rows[number] = Accounted(f"{number}: file{told}", "left-out", each.reason)
            continue
        try:
            readable.append((number, each, identity_of(each)))
        except RefusedRecordingError as error:
            name = f"{number}: {each.format.value} recording"
            rows[number] = Accounted(name, "failed", str(error))
    return readable, rows


def _name(planned: Planned) -> str:
    return f"{planned.number}: {planned.recording.format.value} recording"


def _nothing_converted(accounted: Sequence[Accounted]) -> BadInputError:
    reasons = Counter(row.reason for row in accounted)
    listed = " ".join(f"({count}) {reason}" for reason, count in sorted(reasons.items())[:6])
    return BadInputError(
        "Cannot convert the session: it holds no EEG or MEG recording that can be converted. "
        f"{listed or 'The folder is empty.'}"
    )


def _refuse_identities(
    root: Path, known: IdentityStrings, chosen: Sequence[str], policy: RecordingPolicy
) -> None:
    if policy.dates is DateRule.KEEP:
        known = IdentityStrings(known.texts)
    places = places_of_identities(root, known, chosen)
    if places:
        raise UnsafeOutputError(
            "The converted session still holds a text that identifies somebody in the source, in "
            f"{', '.join(places)}: nothing was handed on. Report it, without the recording."
        )


def _judge(root: Path, scratch_dir: Path, *, allow_invalid: bool) -> Verdict:
    verdict = validate(root, scratch_dir)
    if not verdict.is_valid and not allow_invalid:
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(verdict.errors.items()))
        raise BadInputError(
            f"The converted session is not valid BIDS: the validator finds {codes}; set "
            "allow-invalid to see the tree."
        )
    return verdict


def _notes(done: Sequence[object], known: IdentityStrings, settings: _Settings) -> list[str]:
    from containers.eeg_to_bids.convert import Converted  # noqa: PLC0415  # loads mne, which takes seconds
    from containers.recordings.texts import holds_identity  # noqa: PLC0415  # loads mne, which takes seconds

    notes: list[str] = []
    converted = [each for each in done if isinstance(each, Converted)]
    unknown = sum(each.planned.task == UNKNOWN_TASK for each in converted)
    if unknown:
        notes.append(
            f"The task of {unknown} recordings is unknown: neither the parameter nor the name of "
            "the file gives it. Set task before sharing."
        )
    notes += [note for each in converted for note in each.notes]
    given = [settings.subject, settings.session or ""]
    if any(holds_identity(label, known.texts) for label in given if label):
        notes.append(
            "The subject or session label holds what is also written in an identifying place of a "
            "recording; choose another one before sharing."
        )
    return notes


def _as_json(row: Accounted) -> dict[str, object]:
    return {
        "source": row.subject,
        "outcome": row.outcome,
        "reason": row.reason,
        "outputs": list(row.outputs),
    }


def _summary(rows: Sequence[Accounted], verdict: Verdict) -> str:
    outcomes = Counter(row.outcome for row in rows)
    error_count = sum(verdict.errors.values())
    return (
        f"{outcomes['done']} recordings are in the BIDS tree, {outcomes['left-out']} other files "
        f"left out, {outcomes['failed']} recordings failed; the BIDS validator finds "
        f"{error_count or 'no'} errors."
    )
