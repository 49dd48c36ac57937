"""The step ``deface``: all images of a folder that show a face, each judged before it is given.

Not here: how one image is defaced (``pipeline``), which images show a face (``selection``).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import sys
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
from containers.deface.detector_process import detector_process
from containers.deface.dicom_run import DicomResult, deface_dicom, find_dicom
from containers.deface.gates import NORMAL, STRICT
from containers.deface.images import write_file
from containers.deface.nifti_run import NO_MAGNITUDE, NiftiSession, file_as_it_was
from containers.deface.page import verdict, write_page
from containers.deface.pipeline import Outcome, Settings, Tools
from containers.deface.review_files import digest_of_result, write_pictures
from containers.deface.selection import Found, find_images, read_sidecar, sidecar_of, stem
from containers.deface.sidecars import mask_target, with_method
from containers.deface.template import load_template
from qc.brain_mask import BrainMaskError, BrainMaskNetwork

RESULT_DIR_NAME = "defaced"
RESULT_FILE_NAME = "deface.json"
PAGE_FILE_NAME = "report.html"
_TOOLS = (
    "SimpleITK",
    "niimath",
    "onnxruntime",
    "dlib-bin",
    "isal",
    "numpy",
    "scipy",
    "nibabel",
    "pydicom",
)
_LIMITS = {"normal": NORMAL, "strict": STRICT}
_FORMATS = ("auto", "nifti", "dicom", "both")
_MOST_HEAPS = -8
"""M_ARENA_MAX of glibc's mallopt(3)."""


@dataclass(slots=True)
class _Run:
    """What a run has found so far."""

    outcomes: dict[str, Outcome]
    unreadable: dict[str, str]
    left_out: dict[str, str]
    warnings: list[str]
    outputs: dict[str, tuple[str, ...]]
    fills: dict[str, float]
    dicom: DicomResult


def run(step_input: StepInput) -> StepReport:
    """Deface the images of the folder.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``strictness``, ``keep-nasion``, ``fast``, ``fail-when-refused``, ``format``;
        see the command's definition.

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
    _share_one_heap()
    found, dicom = _inputs(step_input)
    finished = _Run({}, {}, {}, [], {}, {}, DicomResult())
    # Asked much later, when it has read its weights.
    detector_process()
    tools = _tools(step_input.scratch_dir)
    if dicom:
        finished.dicom = deface_dicom(
            dicom, step_input.input_dir, step_input.output_dir / RESULT_DIR_NAME, tools, settings
        )
    _deface_all(found, step_input, tools, settings, finished)
    _refuse_if_nothing_is_to_be_defaced(found, finished)
    is_refused = _is_refused(found, finished)
    has_output = bool(finished.outputs or finished.dicom.outputs)
    may_hand_on = parameters.get("fail-when-refused") is False and has_output
    must_withhold = is_refused and not may_hand_on
    if must_withhold:
        _remove_results(step_input.output_dir / RESULT_DIR_NAME)
        finished.outputs.clear()
        finished.dicom.outputs.clear()
    _write_report(step_input.output_dir, finished, strictness)
    return StepReport(
        summary=_summary(found, finished, is_withheld=must_withhold),
        accounted=tuple(_accounted(found, finished)),
        warnings=(*finished.warnings, *finished.dicom.warnings),
        tools={name: version(name) for name in _TOOLS},
        facts={
            "strictness": strictness,
            "is_withheld": must_withhold,
            "fill": finished.fills | finished.dicom.fills,
        },
        exit_code=ExitCode.UNSAFE_OUTPUT if must_withhold else ExitCode.DONE,
    )


def _share_one_heap() -> None:
    """Have all threads take their memory from one heap: each heap keeps what it once gave."""
    if sys.platform == "linux":
        # Another C library than glibc has no such heaps.
        with contextlib.suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_MOST_HEAPS, 1)


def _inputs(step_input: StepInput) -> tuple[list[Found], list[Path]]:
    """Return the NIfTI and the DICOM files that the call asks for."""
    wanted = str(step_input.parameters.get("format") or "auto")
    if wanted not in _FORMATS:
        raise UsageError(f"The format must be one of {', '.join(_FORMATS)}.")
    found = find_images(step_input.input_dir) if wanted != "dicom" else []
    is_dicom_wanted = wanted in {"dicom", "both"} or (wanted == "auto" and not found)
    dicom = find_dicom(step_input.input_dir) if is_dicom_wanted else []
    if not found and not dicom:
        kinds = {"nifti": "NIfTI", "dicom": "DICOM"}.get(wanted, "NIfTI or DICOM")
        raise BadInputError(
            f"There is no {kinds} file in the input folder. Name the folder of a session."
        )
    return found, dicom


def _deface_all(
    found: list[Found], step_input: StepInput, tools: Tools, settings: Settings, finished: _Run
) -> None:
    session = NiftiSession(tools, settings)
    # The best reference first, so that its fit can help the others; phase behind its magnitude.
    for each in sorted(found, key=lambda each: (each.is_phase, each.rank)):
        if each.left_out:
            finished.left_out[each.shown] = each.left_out
            continue
        try:
            outcome = session.deface_image(each)
        except BadInputError as error:
            finished.unreadable[each.shown] = str(error)
            continue
        if outcome is None:
            finished.left_out[each.shown] = NO_MAGNITUDE
            continue
        finished.outcomes[each.shown] = outcome
        if outcome.result is not None and outcome.mask is not None:
            finished.outputs[each.shown] = _write_result(each, outcome, step_input.output_dir)
    finished.fills |= session.fills
    finished.warnings += session.warnings


def _refuse_if_nothing_is_to_be_defaced(found: list[Found], finished: _Run) -> None:
    """Raise where no image could be read as a head; a report would have nothing to show."""
    if finished.outcomes or finished.dicom.outcomes:
        return
    unreadable = [*finished.unreadable.values(), *finished.dicom.refused.values()]
    if unreadable:
        raise BadInputError(unreadable[0])
    refused = [each.left_out for each in found if each.is_refused]
    left_out = [*finished.left_out.values(), *finished.dicom.left_out.values()]
    reason = refused[0] if refused else left_out[0] if len(left_out) == 1 else ""
    raise BadInputError(
        (reason or "No image here is one to deface.") + " Name a folder with structural MR images."
    )


def _tools(scratch_dir: Path) -> Tools:
    try:
        # One thread, as the look before the cut takes the other.
        network = BrainMaskNetwork(threads=1)
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
    same = file_as_it_was(found.path, outcome.result)
    if same is None:
        write_file(target, outcome.result)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(same)
    write_file(mask, outcome.mask)
    sidecar.write_text(with_method(read_sidecar(sidecar_of(found.path))), encoding="utf-8")
    return tuple(path.relative_to(output_dir).as_posix() for path in (target, mask, sidecar))


def _is_refused(found: list[Found], finished: _Run) -> bool:
    return (
        bool(finished.unreadable)
        or any(outcome.failed for outcome in finished.outcomes.values())
        or any(each.is_refused for each in found)
        or bool(finished.dicom.refused)
        or any(outcome.failed for outcome in finished.dicom.outcomes.values())
    )


def _remove_results(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if folder.exists():
        folder.rmdir()


def _summary(found: list[Found], finished: _Run, *, is_withheld: bool) -> str:
    outcomes = [*finished.outcomes.values(), *finished.dicom.outcomes.values()]
    withheld = sum(bool(each.failed) for each in outcomes)
    passed = len(outcomes) - withheld
    failed = withheld + len(finished.unreadable) + len(finished.dicom.refused)
    failed += sum(each.is_refused for each in found)
    left_out = len(finished.left_out) + len(finished.dicom.left_out)
    if is_withheld:
        return (
            f"Nothing was handed on: of {failed + passed} images that may show a face, {failed} "
            f"could not be defaced for certain. See report/{PAGE_FILE_NAME}, which shows faces."
        )
    unchanged = sum(not each.has_face and not each.failed for each in outcomes)
    more = f", {failed} withheld" if failed else ""
    return (
        f"{passed - unchanged} images defaced, {unchanged} unchanged because they show no face"
        f"{more}, {left_out} left out."
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
            yield Accounted(each.shown, kind, finished.left_out[each.shown])
    yield from finished.dicom.accounted()


def _write_report(output_dir: Path, finished: _Run, strictness: str) -> None:
    folder = output_dir / REPORT_DIR_NAME
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = finished.outcomes | finished.dicom.outcomes
    unreadable = finished.unreadable | finished.dicom.refused
    left_out = finished.left_out | finished.dicom.left_out
    write_page(
        folder / PAGE_FILE_NAME,
        outcomes.items(),
        [*unreadable.items(), *left_out.items()],
    )
    pictures = write_pictures(folder, outcomes)
    outputs = finished.outputs | finished.dicom.outputs
    document = {
        "strictness": strictness,
        "images": [
            _image_json(shown, each)
            | {
                "pictures": pictures[shown],
                "sha256": digest_of_result(output_dir, outputs.get(shown, ())),
            }
            for shown, each in outcomes.items()
        ],
        "unreadable": unreadable,
        "left_out": left_out,
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
        "face_detector": outcome.sightings.says if outcome.sightings else "did not look",
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
