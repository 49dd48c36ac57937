"""Converts the DICOM files of one session into a validated BIDS tree.

Reads the session's folder, writes ``bids/`` (the tree) and ``report/`` (the validator's
answer and the account of all scans, for machines and as a page for people).
Everything runs offline.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    BadInputError,
    ParameterValue,
    StepInput,
    StepReport,
    ToolFailedError,
    UsageError,
)
from containers.dicom_to_bids.checks import check_report, check_tree, refuse_errors
from containers.dicom_to_bids.convert import convert_session
from containers.dicom_to_bids.converter import DCM2NIIX_VERSION
from containers.dicom_to_bids.inventory import Inventory, read_inventory
from containers.dicom_to_bids.names import Naming, name_images
from containers.dicom_to_bids.page import PAGE_FILE_NAME, Account, Picture, figures, write_page
from containers.dicom_to_bids.project_map import ProjectMap
from containers.dicom_to_bids.report import (
    VALIDATOR_FILE_NAME,
    account,
    decisions_by_scan,
    file_counts,
    write_account,
)
from containers.dicom_to_bids.tree import BIDS_VERSION, Labels, write_json, write_tree
from containers.dicom_to_bids.validate import VALIDATOR_VERSION, Validation, Verdict

BIDS_DIR_NAME = "bids"
_DEFAULT_SUBJECT = "01"


def run(step_input: StepInput) -> StepReport:
    """Convert the session.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``subject-label`` and ``session-label`` (text, reduced to letters and
        digits; without a subject label it is ``01``, without a session label the tree has no
        session level; neither is ever taken from the headers), ``allow-invalid`` (hand on a
        tree that the validator refuses), ``map`` (path of the project's map, or nothing).

    Raises
    ------
    UsageError
        A label holds no letter or digit, does not fit the map, or the labels are too long for
        file names.
    BadInputError
        The folder has no DICOM files, damaged ones, or those of two patients; or no image can
        be named; or the validator finds errors in the tree, which come from facts that the
        headers lack, and ``allow-invalid`` is not set; or the map cannot be used.
    ToolFailedError
        dcm2niix ended abnormally and no other scan gives an image, or the validator did.
    """
    parameters = step_input.parameters
    given = (parameters.get("subject-label"), parameters.get("session-label"))
    map_value = parameters.get("map")
    project_map = ProjectMap.load(Path(str(map_value))) if map_value else None
    labels, notes = _labels(*_mapped_labels(given, project_map))
    if project_map is not None:
        notes += [note.shown(project_map.name) for note in project_map.notes]
    inventory = read_inventory(step_input.input_dir)
    notes += _notes_on_input(inventory, given)
    conversion = convert_session(inventory, step_input.scratch_dir)
    naming = name_images(conversion.images, inventory.identity, project_map)
    if not naming.named:
        raise _nothing_named(inventory, naming, conversion.failed)
    root = step_input.output_dir / BIDS_DIR_NAME
    tree = write_tree(root, naming, labels, inventory.identity)
    allow_invalid = parameters.get("allow-invalid") is True
    with Validation(root, step_input.scratch_dir) as validation:
        # All that needs no verdict, while the validator looks at the same tree.
        rows, partial = account(inventory, naming, tree.outputs, conversion.failed)
        findings = check_tree(root, inventory.identity)
        pictures = figures(
            [
                Picture(outputs[0], item.image)
                for item, outputs in zip(naming.named, tree.outputs, strict=True)
            ]
        )
        verdict = validation.verdict()
    _refuse_invalid(verdict, allow_invalid=allow_invalid)
    refuse_errors(findings, allow_invalid=allow_invalid)
    notes += [f"{finding.path}: {finding.sentence}" for finding in findings]
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    write_json(report_dir / VALIDATOR_FILE_NAME, verdict.answer)
    decisions = decisions_by_scan(naming)
    write_account(report_dir, rows, inventory, decisions)
    summary = _summary(rows, sum(map(len, tree.outputs)), verdict)
    warnings = (*notes, *conversion.warnings, *naming.warnings, *tree.warnings, *partial)
    page = Account(
        rows=rows,
        summary=summary,
        pictures=pictures,
        warnings=warnings,
        verdict=verdict,
        decisions=decisions,
        file_counts=file_counts(inventory),
        other_file_count=inventory.other_file_count,
    )
    write_page(report_dir / PAGE_FILE_NAME, page)
    refuse_errors(check_report(report_dir, inventory.identity), allow_invalid=False)
    return StepReport(
        summary=summary,
        accounted=rows,
        warnings=warnings,
        tools={"dcm2niix": DCM2NIIX_VERSION, "bids-validator": VALIDATOR_VERSION},
        facts={
            "bids_version": BIDS_VERSION,
            "schema_version": verdict.schema_version,
            "validator_errors": sum(verdict.errors.values()),
            "validator_warnings": sum(verdict.warnings.values()),
            "input_files": sum(scan.file_count for scan in inventory.scans)
            + inventory.other_file_count,
            "other_files": inventory.other_file_count,
            "sidecar_keys_left_out": list(tree.left_out_keys),
            "map_sha256": project_map.digest if project_map else "",
        },
    )


def _mapped_labels(
    given: tuple[ParameterValue, ParameterValue], project_map: ProjectMap | None
) -> tuple[ParameterValue, ParameterValue]:
    """Return the labels of subject and session as the project's map wants them."""
    if project_map is None:
        return given
    subject, session = (None if value is None else str(value) for value in given)
    return (
        project_map.subject_label(subject) if subject else subject,
        project_map.session_label(session) if session else session,
    )


def _labels(subject: ParameterValue, session: ParameterValue) -> tuple[Labels, list[str]]:
    notes: list[str] = []
    plain = [_plain_label(subject, "subject", notes), _plain_label(session, "session", notes)]
    return Labels(plain[0] or _DEFAULT_SUBJECT, plain[1]), notes


def _plain_label(value: ParameterValue, kind: str, notes: list[str]) -> str | None:
    given = "" if value is None else str(value).strip()
    if not given:
        return None
    plain = re.sub(r"[^A-Za-z0-9]", "", given)
    if not plain:
        raise UsageError(
            f"The {kind} label has no letter or digit from A to Z and 0 to 9, which BIDS needs; "
            "give another label."
        )
    if plain != given:
        notes.append(
            f"BIDS allows letters and digits only: other characters of the {kind} label were "
            "dropped. Two labels that differ in these only would become one."
        )
    return plain


def _notes_on_input(inventory: Inventory, given: Sequence[ParameterValue]) -> list[str]:
    notes = []
    if inventory.other_file_count:
        notes.append(
            f"Files that are no DICOM images and were not read: {inventory.other_file_count}."
        )
    if inventory.study_count > 1:
        notes.append(
            f"The session holds {inventory.study_count} DICOM studies of one patient; they were "
            "converted as one session."
        )
    if any(inventory.identity.touches(str(label)) for label in given if label):
        notes.append(
            "The subject or session label holds what is also written in an identifying element "
            "of the headers; choose another one before sharing."
        )
    return notes


def _nothing_named(
    inventory: Inventory, naming: Naming, failed: Mapping[str, str]
) -> BadInputError | ToolFailedError:
    if failed:
        return ToolFailedError(
            f"Cannot convert the session: dcm2niix crashes on scan {', '.join(failed)}, and none "
            "of the others gives an image that BIDS can hold; send these scans again."
        )
    reasons = Counter(left_out.reason for left_out in naming.left_out)
    listed = " ".join(f"({count}) {reason}" for reason, count in sorted(reasons.items()))
    return BadInputError(
        f"Cannot convert the session: none of its {len(inventory.scans)} scans gives an image "
        f"that BIDS can hold: {listed or 'they hold no images.'}"
    )


def _refuse_invalid(verdict: Verdict, *, allow_invalid: bool) -> None:
    if not verdict.is_valid and not allow_invalid:
        codes = ", ".join(f"{code} ({count})" for code, count in sorted(verdict.errors.items()))
        raise BadInputError(
            f"The converted session is not valid BIDS: the validator finds {codes}; add what "
            "the headers lack, or set allow-invalid to see the tree."
        )


def _summary(rows: Sequence[Accounted], file_count: int, verdict: Verdict) -> str:
    outcomes = Counter(row.outcome for row in rows)
    error_count = sum(verdict.errors.values())
    return (
        f"{outcomes['done']} of {len(rows)} scans are in the BIDS tree ({file_count} files), "
        f"{outcomes['left-out']} left out, {outcomes['failed']} failed; the BIDS validator "
        f"finds {error_count or 'no'} errors."
    )
