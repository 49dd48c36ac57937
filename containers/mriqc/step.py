"""Runs MRIQC on the BIDS data of one session, and takes its records over.

MRIQC submits measures to a public server and counts its runs unless it is told not to: both are
off here and cannot be turned on, and the container has no network anyway. A node that crashes
costs its image, not the run. Writes ``qc/`` (records, one page an image, one table) and
``report/``. Not here: stand-ins (``stand_ins``).
"""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from containers.contract import (
    REPORT_DIR_NAME,
    Accounted,
    ExitCode,
    OutOfResourcesError,
    StepInput,
    StepReport,
    ToolFailedError,
)
from containers.limits import Limits, read_limits
from containers.mriqc.dataset import Dataset, link_dataset
from containers.mriqc.records import clean_record, crash_reasons
from containers.progress import tell_progress
from qc.pool import read_record
from qc.table import make_table

QC_DIR_NAME = "qc"
TABLE_FILE_NAME = "mriqc.tsv"
PAGE_FILE_NAME = "report.html"
SUBSTITUTIONS_VARIABLE = "WINXNAT_MRIQC_SUBSTITUTIONS"
"""Names a JSON file with a list of sentences, in images with stand-ins; unset for the genuine."""

_KILLED = frozenset({-9, 137})
_NETWORK_OFF = {"NO_ET": "1", "TEMPLATEFLOW_AUTOUPDATE": "off", "MIGAS_OFFLINE": "1"}
_TEMPLATES_VARIABLE = "TEMPLATEFLOW_HOME"


def run(step_input: StepInput) -> StepReport:
    """Run MRIQC.

    Parameters
    ----------
    step_input : StepInput
        Without parameters.

    Raises
    ------
    BadInputError
        The folder does not hold the BIDS data of one participant.
    ToolFailedError
        MRIQC is not installed here, or made no record of any image.
    OutOfResourcesError
        It was killed for want of memory.
    """
    program = shutil.which("mriqc")
    if program is None:
        raise ToolFailedError(
            "MRIQC is not installed here. Use the image that winxnat image build mriqc makes, or "
            "winqc, which needs no other program."
        )
    dataset = link_dataset(step_input.input_dir, step_input.scratch_dir)
    made_dir = step_input.scratch_dir / "mriqc"
    limits = read_limits()
    tell_progress(f"MRIQC is started on {len(dataset.images)} images; what it says itself follows.")
    code = _run_mriqc(program, dataset, step_input.scratch_dir, limits)
    substitutions = _substitutions()
    results_dir = step_input.output_dir / QC_DIR_NAME
    results_dir.mkdir(parents=True)
    records, unreadable = _take_over(made_dir, dataset, results_dir, substitutions)
    reasons = [*crash_reasons(made_dir), *crash_reasons(step_input.scratch_dir / "work")]
    rows = _account(dataset, records, unreadable, reasons, code)
    if not records:
        raise _failure(code, rows)
    rows_of_table = (read_record(name, json.dumps(record)) for name, record in records.items())
    (results_dir / TABLE_FILE_NAME).write_text(make_table(rows_of_table), encoding="utf-8")
    return _report(step_input.output_dir, rows, records, substitutions)


def command_line(
    program: str, dataset: Dataset, scratch_dir: Path, limits: Limits
) -> tuple[str, ...]:
    """Return how MRIQC is started: nothing is submitted, nothing is counted."""
    return (
        program,
        str(dataset.root),
        str(scratch_dir / "mriqc"),
        "participant",
        "--participant-label",
        dataset.participant,
        "--no-sub",
        "--notrack",
        "--nprocs",
        str(limits.processors),
        "--omp-nthreads",
        "1" if limits.processors == 1 else str(limits.processors - 1),
        # Whole gigabytes: MRIQC reads the point of 7.5 as a unit.
        "--mem",
        str(int(limits.memory_gb)),
        "--work-dir",
        str(scratch_dir / "work"),
        "--float32",
    )


def environment_of(given: Mapping[str, str], scratch_dir: Path) -> dict[str, str]:
    """Return the environment of MRIQC: a home that can be written, and the image's templates.

    Parameters
    ----------
    given : Mapping
        This program's environment. Without ``TEMPLATEFLOW_HOME`` templateflow looks below the
        home folder, where the genuine image keeps its templates; another home alone would have
        it look for them on the network.
    """
    environment = {**given, **_NETWORK_OFF, "HOME": str(scratch_dir / "home")}
    if not environment.get(_TEMPLATES_VARIABLE):
        home = Path(given.get("HOME") or "~").expanduser()
        environment[_TEMPLATES_VARIABLE] = str(home / ".cache" / "templateflow")
    return environment


def _run_mriqc(program: str, dataset: Dataset, scratch_dir: Path, limits: Limits) -> int:
    environment = environment_of(os.environ, scratch_dir)
    Path(environment["HOME"]).mkdir()
    arguments = command_line(program, dataset, scratch_dir, limits)
    # Its own lines go to the log of the container; they name BIDS labels and nodes.
    done = subprocess.run(
        arguments, env=environment, cwd=scratch_dir, check=False, stdin=subprocess.DEVNULL
    )
    return done.returncode


def _substitutions() -> tuple[str, ...]:
    path = os.environ.get(SUBSTITUTIONS_VARIABLE)
    if not path:
        return ()
    found = json.loads(Path(path).read_text(encoding="utf-8"))
    return tuple(str(each) for each in found)


def _take_over(
    made_dir: Path, dataset: Dataset, results_dir: Path, substitutions: Sequence[str]
) -> tuple[dict[str, dict[str, object]], set[str]]:
    """Write MRIQC's records, cleaned; return them, and the images whose records are none."""
    records = {}
    unreadable = set()
    paths = {path.stem: path for path in sorted(made_dir.rglob("sub-*.json"))}
    for name in dataset.images:
        if name not in paths:
            continue
        try:
            record = clean_record(paths[name].read_bytes(), substitutions)
        except (ValueError, RecursionError):
            unreadable.add(name)
            continue
        records[name] = record
        text = json.dumps(record, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
        (results_dir / f"{name}.json").write_text(text, encoding="utf-8")
    return records, unreadable


def _account(
    dataset: Dataset,
    records: Mapping[str, Mapping[str, object]],
    unreadable: Collection[str],
    reasons: Sequence[str],
    code: int,
) -> list[Accounted]:
    said = " ".join(dict.fromkeys(reasons))
    absent = said or f"MRIQC wrote no record of it and ended with {code}."
    spoilt = f"MRIQC wrote a record of it that is truncated or none. {said}".strip()
    return [
        Accounted(name, "done", outputs=(f"{QC_DIR_NAME}/{name}.json",))
        if name in records
        else Accounted(name, "failed", spoilt if name in unreadable else absent)
        for name in dataset.images
    ]


def _failure(code: int, rows: Sequence[Accounted]) -> Exception:
    if code in _KILLED:
        return OutOfResourcesError(
            "MRIQC was killed, most likely for want of memory. Give the container more, or use "
            "winqc, which needs less."
        )
    return ToolFailedError(f"MRIQC made no record. {rows[0].reason}")


def _report(
    output_dir: Path,
    rows: Sequence[Accounted],
    records: Mapping[str, Mapping[str, object]],
    substitutions: Sequence[str],
) -> StepReport:
    failed = sum(row.outcome == "failed" for row in rows)
    name = "MRIQC with substituted programs" if substitutions else "MRIQC"
    summary = f"{name} measured {len(records)} images; {failed} could not be measured."
    report_dir = output_dir / REPORT_DIR_NAME
    report_dir.mkdir(parents=True, exist_ok=True)
    _write_page(report_dir / PAGE_FILE_NAME, rows, summary, substitutions)
    provenance = next(iter(records.values()))["provenance"]
    assert isinstance(provenance, dict)  # noqa: S101 - made by clean_record
    return StepReport(
        summary=summary,
        accounted=tuple(rows),
        warnings=tuple(f"{row.subject}: {row.reason}" for row in rows if row.outcome == "failed"),
        tools={str(provenance["software"]): str(provenance.get("version"))},
        facts={"images": len(rows), "measured": len(records), "substitutions": list(substitutions)},
        exit_code=ExitCode.DONE,
    )


def _write_page(
    path: Path, rows: Sequence[Accounted], summary: str, substitutions: Sequence[str]
) -> None:
    from qc.report.page import head  # noqa: PLC0415 - the step's imports stay light

    notice = (
        '<div class="notice"><p><strong>mriqc-substituted, not MRIQC.</strong> Programs that '
        "MRIQC starts were substituted:</p><ul>"
        + "".join(f"<li>{html.escape(each)}</li>" for each in substitutions)
        + "</ul></div>\n"
        if substitutions
        else ""
    )
    body = "".join(
        f'<tr><th scope="row">{html.escape(row.subject)}</th><td>{html.escape(row.outcome)}</td>'
        f'<td class="text">{html.escape(row.reason)}</td></tr>\n'
        for row in rows
    )
    path.write_text(
        head("MRIQC of the session")
        + notice
        + f"<p>{html.escape(summary)} Values are in the folder qc; compare them over sessions with "
        "winxnat qc report.</p>\n"
        '<div class="wide" role="region" aria-label="Images" tabindex="0">\n<table>\n<thead><tr>'
        '<th scope="col">Image</th><th scope="col">Outcome</th><th scope="col">Reason</th></tr>'
        f"</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n</main>\n</body>\n</html>\n",
        encoding="utf-8",
    )
