"""Assembles the BIDS results of a project's sessions into one dataset, and validates it.

Reads a project's folder (or any folder of results), writes ``bids/`` and ``report/``. Everything
runs offline; nothing in the project is changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from containers.bids_assemble.fitting import fitting_results
from containers.bids_assemble.merge import write_dataset
from containers.bids_assemble.results import READ_FOLDERS, Found, SessionResult, find_results
from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    BadInputError,
    StepInput,
    StepReport,
    reads_only,
)
from containers.dicom_to_bids.validate import VALIDATOR_VERSION, Verdict, validate

BIDS_DIR_NAME = "bids"
VALIDATOR_FILE_NAME = "validator.json"
_DEFAULT_NAME = "Sessions of one project"


@reads_only(*READ_FOLDERS)
def run(step_input: StepInput) -> StepReport:
    """Assemble the dataset.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``name`` (of the dataset, text), ``allow-invalid`` (hand on a dataset that
        the validator refuses).

    Raises
    ------
    BadInputError
        There are no results; results do not fit together; a file is not what its session's
        report says; or the validator finds errors and ``allow-invalid`` is not set.
    ToolFailedError
        The validator ended abnormally.
    """
    parameters = step_input.parameters
    found = find_results(step_input.input_dir)
    results, notes = fitting_results(found.results)
    root = step_input.output_dir / BIDS_DIR_NAME
    name = str(parameters.get("name") or "").strip() or _DEFAULT_NAME
    warnings = write_dataset(root, results, name, _earlier_changes(found.assembled))
    verdict = validate(root, step_input.scratch_dir)
    if not verdict.is_valid and parameters.get("allow-invalid") is not True:
        raise _invalid(verdict)
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(verdict.answer, indent=2, sort_keys=True, ensure_ascii=False)
    (report_dir / VALIDATOR_FILE_NAME).write_text(text + "\n", encoding="utf-8")
    return StepReport(
        summary=_summary(results, verdict),
        accounted=tuple(
            Accounted(result.place, "done", outputs=tuple(_tree_paths(result)))
            for result in results
        ),
        warnings=(*_notes(found), *notes, *warnings),
        tools={"bids-validator": VALIDATOR_VERSION},
        facts={
            "subject_count": len({result.subject for result in results}),
            "session_count": len(results),
            "validator_errors": sum(verdict.errors.values()),
            "validator_warnings": sum(verdict.warnings.values()),
        },
    )


def _tree_paths(result: SessionResult) -> list[str]:
    return sorted(str(file.path) for file in result.session_files)


def _notes(found: Found) -> list[str]:
    if not found.unreported_count:
        return []
    count = found.unreported_count
    return [f"Not taken, for want of a report that says whose they are: {count} BIDS trees."]


def _earlier_changes(assembled: Sequence[Path]) -> str:
    """Return CHANGES of the project's last assembly, which lies beside the sessions."""
    for root in assembled:
        path = root / "CHANGES"
        if path.is_file():
            return path.read_text("utf-8", errors="replace")
    return ""


def _invalid(verdict: Verdict) -> BadInputError:
    codes = ", ".join(f"{code} ({count})" for code, count in sorted(verdict.errors.items()))
    return BadInputError(
        f"The assembled dataset is not valid BIDS: the validator finds {codes}; convert the "
        "sessions concerned again, or set allow-invalid to see the dataset."
    )


def _summary(results: Sequence[SessionResult], verdict: Verdict) -> str:
    subjects = len({result.subject for result in results})
    error_count = sum(verdict.errors.values())
    return (
        f"{len(results)} sessions of {subjects} subjects are in one dataset; the BIDS validator "
        f"finds {error_count or 'no'} errors."
    )
