"""The step ``check-identity``: checks the input folder, writes the report as JSON and as a page.

Not here: the check itself (``check``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from containers.check_identity.check import CheckSettings, check_tree
from containers.check_identity.criteria import all_criteria
from containers.check_identity.known import KnownStrings
from containers.check_identity.page import write_page
from containers.check_identity.result import CheckResult, Status
from containers.check_identity.tables import OPTION_CODES
from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    ExitCode,
    ParameterValue,
    StepInput,
    StepReport,
    UsageError,
)

RESULT_FILE_NAME = "check-identity.json"
PAGE_FILE_NAME = "report.html"


def run(step_input: StepInput) -> StepReport:
    """Check the folder.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``known``, ``originals``, ``checked``, ``criteria``, ``study-period``,
        ``allowed-options``, ``fail-when-unsafe``; see the command's definition.

    Raises
    ------
    UsageError
        A parameter is not of its form, or names no folder below the input.
    BadInputError
        The known strings or the originals cannot be read.
    """
    parameters = step_input.parameters
    checked_dir = _below(step_input.input_dir, parameters.get("checked"), "checked")
    originals = parameters.get("originals")
    if originals and "checked" not in {key for key, value in parameters.items() if value}:
        raise UsageError(
            "With originals, name the checked folder too: otherwise the originals themselves "
            "would be judged."
        )
    known = _known(step_input.input_dir, parameters)
    settings = CheckSettings(
        options=_options(parameters.get("allowed-options")),
        study_period=_period(parameters.get("study-period")),
    )
    result = check_tree(
        checked_dir, known, criteria=_criteria(parameters.get("criteria")), settings=settings
    )
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result.to_json(), indent=1, ensure_ascii=False) + "\n"
    (report_dir / RESULT_FILE_NAME).write_text(text, encoding="utf-8")
    write_page(report_dir / PAGE_FILE_NAME, result)
    is_failed = not result.is_clean and parameters.get("fail-when-unsafe") is not False
    return StepReport(
        summary=summary(result),
        accounted=tuple(_accounted(result)),
        warnings=result.notes,
        facts={
            "criteria_version": result.version,
            "is_clean": result.is_clean,
            "files": result.file_count,
            "bytes_searched": result.bytes_searched,
        },
        exit_code=ExitCode.UNSAFE_OUTPUT if is_failed else ExitCode.DONE,
    )


def summary(result: CheckResult) -> str:
    """Return the outcome in a sentence or two."""
    if result.is_clean:
        return (
            f"No identity found in {result.file_count} files; every blocking criterion that can "
            "be checked on files is met."
        )
    failed = [str(each.criterion.id) for each in result.unmet if each.status is Status.FAIL]
    unknown = [str(each.criterion.id) for each in result.unmet if each.status is Status.UNKNOWN]
    parts = [f"not met: {', '.join(failed)}"] if failed else []
    parts += [f"not known: {', '.join(unknown)}"] if unknown else []
    return (
        f"Not safe to release: of the blocking criteria, {'; '.join(parts) or 'none could apply'}. "
        f"Files checked: {result.file_count}. See report/{PAGE_FILE_NAME} for the places."
    )


def _accounted(result: CheckResult) -> Iterator[Accounted]:
    outcomes = {
        Status.PASS: "done",
        Status.NOT_APPLICABLE: "left-out",
        Status.UNKNOWN: "left-out",
        Status.FAIL: "failed",
    }
    for each in result.outcomes:
        reason = "" if each.status is Status.PASS else f"{each.status.value}. {each.reason}".strip()
        subject = f"criterion {each.criterion.id}"
        yield Accounted(subject, outcomes[each.status], reason)


def _known(input_dir: Path, parameters: Mapping[str, ParameterValue]) -> KnownStrings:
    known = KnownStrings()
    if parameters.get("known"):
        known += KnownStrings.from_file(input_dir / str(parameters["known"]))
    if parameters.get("originals"):
        folder = _below(input_dir, parameters["originals"], "originals")
        known += KnownStrings.from_dicom(folder)
    return known


def _below(input_dir: Path, value: ParameterValue, name: str) -> Path:
    if not value:
        return input_dir
    folder = (input_dir / str(value)).resolve()
    if not folder.is_relative_to(input_dir.resolve()) or not folder.is_dir():
        raise UsageError(
            f"The {name} folder must be a folder below the input folder; this is none."
        )
    return folder


def _criteria(value: ParameterValue) -> frozenset[int] | None:
    if not value:
        return None
    numbers: set[int] = set()
    for part in str(value).split(","):
        found = re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)
        if found is None:
            raise UsageError("The criteria must be numbers and ranges, such as 3,8-10.")
        numbers |= set(range(int(found[1]), int(found[2] or found[1]) + 1))
    if not numbers <= {each.id for each in all_criteria()} or not numbers:
        raise UsageError(f"The criteria have numbers from 1 to {len(all_criteria())}.")
    return frozenset(numbers)


def _period(value: ParameterValue) -> tuple[date, date] | None:
    if not value:
        return None
    try:
        first, last = (date.fromisoformat(part.strip()) for part in str(value).split("/"))
    except ValueError:
        raise UsageError(
            "The study period must be two days, such as 2019-01-01/2021-12-31."
        ) from None
    if first > last:
        raise UsageError("The study period ends before it begins.")
    return first, last


def _options(value: ParameterValue) -> frozenset[str] | None:
    if not value:
        return None
    codes = [part.strip() for part in str(value).split(",") if part.strip()]
    if not set(codes) <= set(OPTION_CODES):
        raise UsageError(f"The allowed options are codes of CID 7050: {', '.join(OPTION_CODES)}.")
    return frozenset(OPTION_CODES[code] for code in codes)
