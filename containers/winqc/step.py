"""Measures the quality of all T1w, T2w, BOLD and diffusion images and recordings of a folder.

Writes ``qc/`` (a record, pictures and a page for each, one table; of a project also the page that
compares them) and ``report/`` (the account of all, with thumbnails). Deterministic: equal input
gives equal bytes in ``qc/``.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    BadInputError,
    ExitCode,
    ParameterValue,
    StepInput,
    StepReport,
)
from containers.limits import read_limits
from containers.progress import tell_progress
from containers.winqc.find import Found, Places, find_images, find_places, result_name

if TYPE_CHECKING:
    from containers.winqc.one_image import BrainFinder, Result
    from containers.winqc.recording import FoundRecording

QC_DIR_NAME = "qc"
TABLE_FILE_NAME = "winqc.tsv"
GROUP_FILE_NAME = "group.html"
PAGE_FILE_NAME = "report.html"
_TOOLS = ("numpy", "scipy", "nibabel", "pillow", "simpleitk", "onnxruntime", "mne")
_TOO_LITTLE = "The memory is used up before it is measured. Give the container more."
_DEFACED = {"yes": True, "no": False}


def run(step_input: StepInput) -> StepReport:
    """Measure the images and recordings.

    Parameters
    ----------
    step_input : StepInput
        Parameters: ``modality`` (of images whose names do not say it) and ``defaced``.

    Raises
    ------
    BadInputError
        The folder has no NIfTI image and no recording.
    """
    # Read by the libraries when they are imported: sums over threads differ in the last digit, so
    # that whatever a machine or a scheduler has set there would show in the values.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    modality, defaced = _settings(step_input.parameters)
    places = find_places(step_input.input_dir)
    images = find_images(places.folders, modality)
    recordings = _find_recordings(places)
    if not images and not recordings:
        raise BadInputError(_nothing_found(places))
    results_dir = step_input.output_dir / QC_DIR_NAME
    results_dir.mkdir(parents=True)
    rows, records, thumbnails = _measure_all(images, results_dir, defaced)
    for number, found in enumerate(recordings, 1):
        tell_progress(f"Recording {number} of {len(recordings)}: measuring {found.name}.")
        rows.append(_measure_recording(found, results_dir, records))
    _write_tables(results_dir, rows, records, thumbnails, is_project=places.is_project)
    summary = _summary(rows, places)
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    _write_page(report_dir / PAGE_FILE_NAME, rows, thumbnails, summary)
    nothing_done = not records and any(row.outcome == "failed" for row in rows)
    project = {"sessions": len(places.folders), "sessions_without_bids": places.without}
    return StepReport(
        summary=summary,
        accounted=tuple(rows),
        warnings=tuple(f"{row.subject}: {row.reason}" for row in rows if row.outcome == "failed"),
        tools=_tools(),
        facts={
            "images": len(images),
            "recordings": len(recordings),
            "measured": len(records),
            "heading": "winqc, not MRIQC",
            **(project if places.is_project else {}),
        },
        exit_code=ExitCode.BAD_INPUT if nothing_done else ExitCode.DONE,
    )


def _nothing_found(places: Places) -> str:
    where, whom = "the input folder", "session"
    if places.is_project:
        where = f"the BIDS resources of the project's {len(places.folders)} sessions that have one"
        whom = "sessions"
    return (
        f"There is no NIfTI image (.nii, .nii.gz) and no EEG or MEG recording in {where}. Convert "
        f"the {whom} to BIDS first."
    )


def _settings(parameters: Mapping[str, ParameterValue]) -> tuple[str | None, bool | None]:
    modality = str(parameters.get("modality") or "auto")
    defaced = _DEFACED.get(str(parameters.get("defaced") or "unknown"))
    return (None if modality == "auto" else modality), defaced


def _measure_all(
    images: Sequence[Found],
    results_dir: Path,
    defaced: bool | None,  # noqa: FBT001 - a fact
) -> tuple[list[Accounted], dict[str, Mapping[str, object]], dict[str, bytes]]:
    # Imported here: the libraries read the environment when they are imported.
    from containers.winqc.brain import finder  # noqa: PLC0415 - what measures takes seconds to load
    from containers.winqc.one_image import measure_file  # noqa: PLC0415 - what measures takes seconds to load
    from qc.images import UnreadableImageError  # noqa: PLC0415 - what measures takes seconds to load

    brain_of: BrainFinder = finder()
    limits = read_limits()
    rows: list[Accounted] = []
    records: dict[str, Mapping[str, object]] = {}
    thumbnails: dict[str, bytes] = {}
    for number, image in enumerate(images, 1):
        place = f"Image {number} of {len(images)}"
        if image.modality is None:
            tell_progress(f"{place}: {image.name} is left out. {image.reason}")
            rows.append(Accounted(image.name, "left-out", image.reason))
            continue
        tell_progress(f"{place}: measuring {image.name}.")
        try:
            result = measure_file(
                image, defaced=defaced, brain_of=brain_of, memory_gb=limits.memory_gb
            )
        except MemoryError:
            rows.append(Accounted(image.name, "failed", _TOO_LITTLE))
            continue
        except UnreadableImageError as error:
            rows.append(Accounted(image.name, "failed", str(error)))
            continue
        except (ArithmeticError, ValueError, IndexError) as error:
            # One image must not cost the others; the account says that this one is not measured.
            sentence = f"A fault of the program while measuring it ({type(error).__name__})."
            rows.append(Accounted(image.name, "failed", f"{sentence} Report it."))
            continue
        outputs = _write(results_dir, result_name(image.name), result)
        records[image.name] = result.record
        if result.thumbnail is not None:
            thumbnails[image.name] = result.thumbnail
        rows.append(Accounted(image.name, "done", outputs=outputs))
    return rows, records, thumbnails


def _find_recordings(places: Places) -> tuple[FoundRecording, ...]:
    # Imported here: it takes MNE-Python a second, and reads the environment.
    from containers.winqc.recording import find  # noqa: PLC0415 - what measures takes seconds to load

    found: list[FoundRecording] = []
    taken: set[str] = set()
    for each in (each for folder in places.folders for each in find(folder)):
        # Names are unique within a folder; two sessions may have the same.
        again = each.name in taken or each.name.startswith("recording-")
        found.append(replace(each, name=f"recording-{len(found) + 1}") if again else each)
        taken.add(found[-1].name)
    return tuple(found)


def _measure_recording(
    found: FoundRecording, results_dir: Path, records: dict[str, Mapping[str, object]]
) -> Accounted:
    from containers.winqc.recording import (  # noqa: PLC0415 - what measures takes seconds to load
        UnreadableRecordingError,
        measure_found,
    )

    try:
        result = measure_found(found)
    except UnreadableRecordingError as error:
        return Accounted(found.name, "failed", str(error))
    except (ArithmeticError, ValueError, IndexError) as error:
        sentence = f"A fault of the program while measuring it ({type(error).__name__})."
        return Accounted(found.name, "failed", f"{sentence} Report it.")
    records[found.name] = result.record
    outputs = _write(results_dir, result_name(found.name), result)
    return Accounted(found.name, "done", outputs=outputs)


def _write(results_dir: Path, name: str, result: Result) -> tuple[str, ...]:
    text = json.dumps(result.record, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
    files = {f"{name}.json": text.encode(), f"{name}.html": result.page.encode()}
    files |= {f"{name}_{ending}": content for ending, content in result.pictures.items()}
    for file_name, content in files.items():
        (results_dir / file_name).write_bytes(content)
    return tuple(f"{QC_DIR_NAME}/{file_name}" for file_name in sorted(files))


def _write_tables(
    results_dir: Path,
    accounted: Sequence[Accounted],
    records: Mapping[str, Mapping[str, object]],
    thumbnails: Mapping[str, bytes],
    *,
    is_project: bool,
) -> None:
    """Write the table of all images, and for a project the page that compares them."""
    from qc.pool import read_record  # noqa: PLC0415 - after the environment is set
    from qc.report.group import Entry, make_group_page  # noqa: PLC0415 - what measures takes seconds to load
    from qc.table import make_table  # noqa: PLC0415 - what measures takes seconds to load

    rows = {name: read_record(name, json.dumps(record)) for name, record in records.items()}
    text = make_table(rows.values())
    (results_dir / TABLE_FILE_NAME).write_text(text, encoding="utf-8")
    if not is_project:
        return
    pages = {
        each.subject: Path(path).name
        for each in accounted
        for path in each.outputs
        if path.endswith(".html")
    }
    entries = [Entry(row, thumbnails.get(name), pages[name]) for name, row in rows.items()]
    page = make_group_page("Project", entries)
    (results_dir / GROUP_FILE_NAME).write_text(page.text, encoding="utf-8")


def _summary(rows: Sequence[Accounted], places: Places) -> str:
    count = {
        outcome: sum(row.outcome == outcome for row in rows)
        for outcome in ("done", "left-out", "failed")
    }
    said = (
        f"{count['done']} images and recordings were measured, {count['left-out']} left out, "
        f"{count['failed']} could not be measured."
    )
    if places.without:
        said += f" Sessions without a BIDS resource, not measured: {places.without}."
    return said


def _write_page(
    path: Path, rows: Sequence[Accounted], thumbnails: Mapping[str, bytes], summary: str
) -> None:
    from qc.report.page import head, picture  # noqa: PLC0415 - after the environment is set

    body = "".join(
        f'<tr><th scope="row">{html.escape(row.subject)}</th><td>{html.escape(row.outcome)}</td>'
        f'<td class="text">{html.escape(row.reason)}</td><td>'
        + (
            picture(thumbnails[row.subject], f"Middle slice of {row.subject}")
            if row.subject in thumbnails
            else ""
        )
        + "</td></tr>\n"
        for row in rows
    )
    path.write_text(
        head("Image quality of the session")
        + '<p class="notice"><strong>winqc, not MRIQC.</strong> Values, pictures and a page for '
        "each image are in the folder qc; pictures of images that are not defaced may show a "
        f"face.</p>\n<p>{html.escape(summary)}</p>\n"
        '<div class="wide" role="region" aria-label="Images" tabindex="0">\n<table>\n<thead><tr>'
        '<th scope="col">Image</th><th scope="col">Outcome</th><th scope="col">Reason</th>'
        f'<th scope="col">Picture</th></tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n'
        "</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _tools() -> dict[str, str]:
    found = {}
    for name in _TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
