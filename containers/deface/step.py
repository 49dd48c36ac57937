"""The step ``deface``: all images of a folder that show a face, each judged before it is given.

Not here: how one image is defaced (``pipeline``), which images show a face (``selection``).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    BadInputError,
    ExitCode,
    StepInput,
    StepReport,
    ToolFailedError,
    UsageError,
)
from containers.deface.gates import NORMAL, STRICT
from containers.deface.images import read_head_image, write_file
from containers.deface.page import verdict, write_page
from containers.deface.pipeline import Outcome, Settings, Tools, deface
from containers.deface.registration import Reference
from containers.deface.selection import Found, find_images, read_sidecar, sidecar_of, stem
from containers.deface.sidecars import mask_target, with_method
from containers.deface.template import load_template
from qc.brain_mask import BrainMaskError, BrainMaskNetwork

RESULT_DIR_NAME = "defaced"
RESULT_FILE_NAME = "deface.json"
PAGE_FILE_NAME = "report.html"
_TOOLS = ("SimpleITK", "niimath", "onnxruntime", "numpy", "scipy", "nibabel")
_LIMITS = {"normal": NORMAL, "strict": STRICT}


@dataclass(slots=True)
class _Run:
    """What a run has found so far."""

    outcomes: dict[str, Outcome]
    unreadable: dict[str, str]
    left_out: dict[str, str]
    warnings: list[str]
    outputs: dict[str, tuple[str, ...]]
    fills: dict[str, float]


def run(step_input: StepInput) -> StepReport:
    """Deface the images of the folder.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``strictness``, ``keep-nasion``, ``fast``, ``fail-when-refused``; see the
        command's definition.

    Raises
    ------
    BadInputError
        There is no image to deface, or none that can be read as a head.
    """
    parameters = step_input.parameters
    strictness = str(parameters.get("strictness") or "normal")
    if strictness not in _LIMITS:
        raise UsageError(f"The strictness must be one of {', '.join(_LIMITS)}.")
    settings = Settings(
        limits=_LIMITS[strictness],
        keep_nasion=bool(parameters.get("keep-nasion")),
        is_fast=bool(parameters.get("fast")),
    )
    found = find_images(step_input.input_dir)
    if not found:
        raise BadInputError(
            "There is no NIfTI file (.nii, .nii.gz) in the input folder. Convert the session "
            "first, with dicom-to-bids."
        )
    finished = _Run({}, {}, {}, [], {}, {})
    _deface_all(found, step_input, settings, finished)
    is_refused = _is_refused(found, finished)
    may_hand_on = parameters.get("fail-when-refused") is False and bool(finished.outputs)
    must_withhold = is_refused and not may_hand_on
    if must_withhold:
        _remove_results(step_input.output_dir / RESULT_DIR_NAME)
        finished.outputs.clear()
    _write_report(step_input.output_dir / REPORT_DIR_NAME, finished, strictness)
    return StepReport(
        summary=_summary(found, finished, is_withheld=must_withhold),
        accounted=tuple(_accounted(found, finished)),
        warnings=tuple(finished.warnings),
        tools={name: version(name) for name in _TOOLS},
        facts={
            "strictness": strictness,
            "is_withheld": must_withhold,
            "fill": dict(finished.fills),
        },
        exit_code=ExitCode.UNSAFE_OUTPUT if must_withhold else ExitCode.DONE,
    )


def _deface_all(
    found: list[Found], step_input: StepInput, settings: Settings, finished: _Run
) -> None:
    tools = _tools(step_input.scratch_dir)
    reference: Reference | None = None
    # The best reference first, so that its fit can help the others.
    for each in sorted(found, key=lambda each: each.rank):
        if each.left_out:
            finished.left_out[each.shown] = each.left_out
            continue
        try:
            image = read_head_image(each.path, each.shown)
        except BadInputError as error:
            finished.unreadable[each.shown] = str(error)
            continue
        outcome = deface(image, tools, settings, reference)
        finished.outcomes[each.shown] = outcome
        finished.warnings += [f"{each.shown}: {note}" for note in image.notes]
        if outcome.result is None or outcome.mask is None:
            continue
        if reference is None and image.has_orientation and outcome.has_face:
            reference = outcome.reference
        finished.fills[each.shown] = image.fill
        finished.outputs[each.shown] = _write_result(each, outcome, step_input.output_dir)
    wanted = [each for each in found if not each.left_out]
    if len(finished.unreadable) == len(wanted):
        if not wanted:
            refused = [each for each in found if each.is_refused]
            raise BadInputError(
                (refused[0].left_out if refused else "No image here is one to deface.")
                + " Name a folder with structural MR images."
            )
        raise BadInputError(next(iter(finished.unreadable.values())))


def _tools(scratch_dir: Path) -> Tools:
    try:
        network = BrainMaskNetwork()
    except BrainMaskError as error:
        raise ToolFailedError(str(error)) from error
    return Tools(load_template(), network, scratch_dir)


def _write_result(found: Found, outcome: Outcome, output_dir: Path) -> tuple[str, ...]:
    folder = output_dir / RESULT_DIR_NAME
    target = folder / found.target
    own_stem = stem(found.target.name)
    mask = folder / mask_target(found.target, own_stem)
    sidecar = target.with_name(f"{own_stem}.json")
    if target.exists() or sidecar.exists():
        raise BadInputError(
            f"Two images of the folder would both become {found.shown}: their names differ only "
            "in folders or endings. Rename one."
        )
    assert outcome.result is not None  # noqa: S101 - the caller has looked
    assert outcome.mask is not None  # noqa: S101 - as above
    write_file(target, outcome.result)
    write_file(mask, outcome.mask)
    sidecar.write_text(with_method(read_sidecar(sidecar_of(found.path))), encoding="utf-8")
    return tuple(path.relative_to(output_dir).as_posix() for path in (target, mask, sidecar))


def _is_refused(found: list[Found], finished: _Run) -> bool:
    return (
        bool(finished.unreadable)
        or any(outcome.failed for outcome in finished.outcomes.values())
        or any(each.is_refused for each in found)
    )


def _remove_results(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()


def _summary(found: list[Found], finished: _Run, *, is_withheld: bool) -> str:
    failed = sum(bool(each.failed) for each in finished.outcomes.values())
    failed += len(finished.unreadable) + sum(each.is_refused for each in found)
    passed = len(finished.outcomes) - sum(bool(each.failed) for each in finished.outcomes.values())
    if is_withheld:
        return (
            f"Nothing was handed on: of {failed + passed} images that may show a face, {failed} "
            f"could not be defaced for certain. See report/{PAGE_FILE_NAME}, which shows faces."
        )
    unchanged = sum(not each.has_face and not each.failed for each in finished.outcomes.values())
    more = f", {failed} withheld" if failed else ""
    return (
        f"{passed - unchanged} images defaced, {unchanged} unchanged because they show no face"
        f"{more}, {len(finished.left_out)} left out."
    )


def _accounted(found: list[Found], finished: _Run) -> Iterator[Accounted]:
    for each in found:
        if each.shown in finished.outcomes:
            outcome = finished.outcomes[each.shown]
            is_done = each.shown in finished.outputs
            reason = "" if is_done and outcome.has_face else verdict(outcome)
            if not is_done and not outcome.failed:
                reason = "Passed, but withheld with the others."
            kind = "done" if is_done else "failed" if outcome.failed else "left-out"
            yield Accounted(each.shown, kind, reason, finished.outputs.get(each.shown, ()))
        elif each.shown in finished.unreadable:
            yield Accounted(each.shown, "failed", finished.unreadable[each.shown])
        else:
            kind = "failed" if each.is_refused else "left-out"
            yield Accounted(each.shown, kind, each.left_out)


def _write_report(folder: Path, finished: _Run, strictness: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_page(
        folder / PAGE_FILE_NAME,
        finished.outcomes.items(),
        [*finished.unreadable.items(), *finished.left_out.items()],
    )
    document = {
        "strictness": strictness,
        "images": [_image_json(shown, each) for shown, each in finished.outcomes.items()],
        "unreadable": finished.unreadable,
        "left_out": finished.left_out,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    (folder / RESULT_FILE_NAME).write_text(text + "\n", encoding="utf-8")


def _image_json(shown: str, outcome: Outcome) -> dict[str, object]:
    return {
        "image": shown,
        "is_safe": not outcome.failed,
        "verdict": verdict(outcome),
        "has_face": outcome.has_face,
        "share_removed": round(outcome.removed, 5),
        "fits": [{"name": fit.name, "dice": round(fit.dice, 4)} for fit in outcome.fits],
        "used": outcome.chosen,
        "gates": [
            {
                "name": each.name,
                "value": round(each.value, 4),
                "limit": each.limit,
                "is_passed": each.is_passed,
            }
            for each in outcome.gates
        ],
    }
