"""Measures the quality of all T1w, T2w, BOLD and diffusion images and recordings of a folder.

Writes ``qc/`` (a record, pictures and a page for each, one table) and ``report/`` (the account of
all, with thumbnails). Deterministic: equal input gives equal bytes in ``qc/``.
"""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
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
from containers.winqc.find import Found, find_images

if TYPE_CHECKING:
    from containers.winqc.one_image import BrainFinder, Result
    from containers.winqc.recording import FoundRecording

QC_DIR_NAME = "qc"
TABLE_FILE_NAME = "winqc.tsv"
PAGE_FILE_NAME = "report.html"
_TOOLS = ("numpy", "scipy", "nibabel", "pillow", "onnxruntime", "mne")
_DEFACED = {"yes": True, "no": False}
_ABOUT = ("modality", "software", "version", "pipeline", "protocol_hash", "defaced")


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
    # Read by the libraries when they are imported: sums over threads differ in the last digit.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    modality, defaced = _settings(step_input.parameters)
    images = find_images(step_input.input_dir, modality)
    recordings = _find_recordings(step_input.input_dir)
    if not images and not recordings:
        raise BadInputError(
            "There is no NIfTI image (.nii, .nii.gz) and no EEG or MEG recording in the input "
            "folder. Convert the session to BIDS first."
        )
    results_dir = step_input.output_dir / QC_DIR_NAME
    results_dir.mkdir(parents=True)
    rows, records, thumbnails = _measure_all(images, results_dir, defaced)
    for found in recordings:
        rows.append(_measure_recording(found, results_dir, records))
    (results_dir / TABLE_FILE_NAME).write_text(_table(records), encoding="utf-8")
    summary = _summary(rows)
    report_dir = step_input.output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    _write_page(report_dir / PAGE_FILE_NAME, rows, thumbnails, summary)
    nothing_done = not records and any(row.outcome == "failed" for row in rows)
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
        },
        exit_code=ExitCode.BAD_INPUT if nothing_done else ExitCode.DONE,
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
    from containers.winqc.brain import finder  # noqa: PLC0415
    from containers.winqc.one_image import measure_file  # noqa: PLC0415
    from qc.images import UnreadableImageError  # noqa: PLC0415

    brain_of: BrainFinder = finder()
    rows: list[Accounted] = []
    records: dict[str, Mapping[str, object]] = {}
    thumbnails: dict[str, bytes] = {}
    for image in images:
        if image.modality is None:
            rows.append(Accounted(image.name, "left-out", image.reason))
            continue
        try:
            result = measure_file(image, defaced=defaced, brain_of=brain_of)
        except UnreadableImageError as error:
            rows.append(Accounted(image.name, "failed", str(error)))
            continue
        except (ArithmeticError, ValueError, IndexError) as error:
            # One image must not cost the others; the account says that this one is not measured.
            sentence = f"A fault of the program while measuring it ({type(error).__name__})."
            rows.append(Accounted(image.name, "failed", f"{sentence} Report it."))
            continue
        outputs = _write(results_dir, image.result_name, result)
        records[image.name] = result.record
        if result.thumbnail is not None:
            thumbnails[image.name] = result.thumbnail
        rows.append(Accounted(image.name, "done", outputs=outputs))
    return rows, records, thumbnails


def _find_recordings(folder: Path) -> tuple[FoundRecording, ...]:
    # Imported here: it takes MNE-Python a second, and reads the environment.
    from containers.winqc.recording import find  # noqa: PLC0415

    return find(folder)


def _measure_recording(
    found: FoundRecording, results_dir: Path, records: dict[str, Mapping[str, object]]
) -> Accounted:
    from containers.winqc.recording import (  # noqa: PLC0415
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
    outputs = _write(results_dir, found.result_name, result)
    return Accounted(found.name, "done", outputs=outputs)


def _write(results_dir: Path, name: str, result: Result) -> tuple[str, ...]:
    text = json.dumps(result.record, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
    files = {f"{name}.json": text.encode(), f"{name}.html": result.page.encode()}
    files |= {f"{name}_{ending}": content for ending, content in result.pictures.items()}
    for file_name, content in files.items():
        (results_dir / file_name).write_bytes(content)
    return tuple(f"{QC_DIR_NAME}/{file_name}" for file_name in sorted(files))


def _table(records: Mapping[str, Mapping[str, object]]) -> str:
    """Return one row for each image; n/a where a measure has no value or is not of its kind."""
    skipped = {"bids_meta", "provenance", "undefined"}
    names = sorted({name for record in records.values() for name in record} - skipped)
    lines = ["\t".join(("image", *_ABOUT, *names))]
    for image, record in records.items():
        provenance, meta = record["provenance"], record["bids_meta"]
        assert isinstance(provenance, dict)  # noqa: S101 - the record's own layout
        assert isinstance(meta, dict)  # noqa: S101
        about = [{**provenance, **meta}[name] for name in _ABOUT]
        cells = [image, *about, *(record.get(name) for name in names)]
        lines.append("\t".join("n/a" if cell is None else str(cell) for cell in cells))
    return "\n".join(lines) + "\n"


def _summary(rows: Sequence[Accounted]) -> str:
    count = {
        outcome: sum(row.outcome == outcome for row in rows)
        for outcome in ("done", "left-out", "failed")
    }
    return (
        f"{count['done']} images and recordings were measured, {count['left-out']} left out, "
        f"{count['failed']} could not be read."
    )


def _write_page(
    path: Path, rows: Sequence[Accounted], thumbnails: Mapping[str, bytes], summary: str
) -> None:
    from qc.report.page import head, picture  # noqa: PLC0415 - after the environment is set

    body = "".join(
        f'<tr><th scope="row">{html.escape(row.subject)}</th><td>{html.escape(row.outcome)}</td>'
        f"<td>{html.escape(row.reason)}</td><td>"
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
