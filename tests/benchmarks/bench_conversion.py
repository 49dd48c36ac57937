"""What dicom-to-bids costs on top of plain dcm2niix, on the same files in one run.

Run: ``.venv/bin/python tests/benchmarks/bench_conversion.py [--rivals VENV] [SESSION_FOLDER]``

Without a folder the made session of the demonstration is used, five times over (1,040 files);
``SESSION_FOLDER`` is repeated until it has 1,000 files. ``VENV`` is an environment with heudiconv
and dcm2bids (``uv pip install heudiconv dcm2bids dcm2niix``); without it they are passed over.

Prints medians of wall and processor times, their ratios to dcm2niix, and peak memory. The
programs take turns, so that a busy machine is equally busy for all. The validator is
counted apart, because dcm2niix does nothing like it. Ratios within one run can be compared
between machines; seconds cannot.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import dcm2niix

from containers.dicom_to_bids.validate import validate
from deploy.demo_session import write_demo_session
from tests.builders.large_session import replicate_session

ROUNDS = 3
FILES = 1000
_DCM2BIDS_CONFIG = {
    "descriptions": [
        {"datatype": "anat", "suffix": "T1w", "criteria": {"SeriesDescription": "*t1*"}},
        {
            "datatype": "func",
            "suffix": "bold",
            "custom_entities": "task-x",
            "criteria": {"SeriesDescription": "*bold*"},
        },
        {"datatype": "dwi", "suffix": "dwi", "criteria": {"SeriesDescription": "*dif*"}},
    ]
}


def measure(arguments: Sequence[object]) -> tuple[float, float, int, int]:
    """Return wall and processor time in seconds, peak memory in kB, and exit code."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [str(each) for each in arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    busy_s = usage.ru_utime + usage.ru_stime
    return time.perf_counter() - began, busy_s, usage.ru_maxrss, process.returncode


def children_s() -> float:
    """Return the processor time of all ended children, in seconds."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def rivals(venv: Path | None, work: Path) -> dict[str, Callable[[Path, Path], list[object]]]:
    """Return the command lines of what is installed, by name."""
    found: dict[str, Callable[[Path, Path], list[object]]] = {}
    if venv is None:
        return found
    tools = venv.absolute() / "bin"
    config = work / "dcm2bids.json"
    config.write_text(json.dumps(_DCM2BIDS_CONFIG))
    if (tools / "heudiconv").exists():
        found["heudiconv"] = lambda source, out: [
            *("env", f"PATH={tools}:{os.environ['PATH']}", tools / "heudiconv", "--files", source),
            *("-f", "reproin", "-s", "01", "-o", out, "--bids", "-c", "dcm2niix"),
        ]
    if (tools / "dcm2bids").exists():
        found["dcm2bids"] = lambda source, out: [
            *("env", f"PATH={tools}:{os.environ['PATH']}", tools / "dcm2bids", "-d", source),
            *("-p", "01", "-c", config, "-o", out),
        ]
    return found


def own(source: Path, out: Path) -> list[object]:
    """Return the whole command, as a process of its own."""
    return [sys.executable, "-m", "containers.entrypoint", "dicom-to-bids", source, out]


def plain(source: Path, out: Path) -> list[object]:
    """Return dcm2niix alone, compressing as the step does."""
    return [dcm2niix.bin, "-z", "y", "-f", "%s_%d", "-o", out, source]


def main() -> None:
    """Measure and print."""
    arguments = sys.argv[1:]
    venv = Path(arguments.pop(1)) if arguments[:1] == ["--rivals"] else None
    if venv is not None:
        arguments.pop(0)
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        small = Path(arguments[0]) if arguments else write_demo_session(work / "small").folder
        count = sum(path.is_file() for path in small.rglob("*"))
        files = replicate_session(small, work / "session", -(-FILES // count))
        commands = {"dcm2niix": plain, "dicom-to-bids": own, **rivals(venv, work)}
        times: dict[str, list[float]] = {each: [] for each in commands}
        memory: dict[str, int] = dict.fromkeys(commands, 0)
        codes: dict[str, int] = {}
        busy: dict[str, list[float]] = {each: [] for each in commands}
        validator: list[float] = []
        validator_busy: list[float] = []
        for turn in range(ROUNDS):
            for each, command in commands.items():
                if turn and each not in {"dcm2niix", "dicom-to-bids"}:
                    continue  # these take so long that once is enough
                out = work / "out"
                out.mkdir()
                took_s, busy_s, peak_kb, codes[each] = measure(command(work / "session", out))
                times[each].append(took_s)
                busy[each].append(busy_s)
                memory[each] = max(memory[each], peak_kb)
                if command is own:
                    scratch = work / "scratch"
                    scratch.mkdir()
                    began, used = time.perf_counter(), children_s()
                    validate(out / "bids", scratch)
                    validator.append(time.perf_counter() - began)
                    validator_busy.append(children_s() - used)
                    shutil.rmtree(scratch)
                shutil.rmtree(out)
        megabytes = sum(path.stat().st_size for path in (work / "session").rglob("*")) / 1e6
    middle = {each: statistics.median(taken) for each, taken in times.items()}
    busiest = {each: statistics.median(taken) for each, taken in busy.items()}
    busy_without = busiest["dicom-to-bids"] - statistics.median(validator_busy)
    without = middle["dicom-to-bids"] - statistics.median(validator)
    print(
        json.dumps(
            {
                "files": files,
                "megabytes": round(megabytes),
                "seconds": {each: round(value, 2) for each, value in middle.items()},
                "validator_s": round(statistics.median(validator), 2),
                "ratio_without_validator": round(without / middle["dcm2niix"], 2),
                "processor_s": {each: round(value, 2) for each, value in busiest.items()},
                "processor_ratio_without_validator": round(busy_without / busiest["dcm2niix"], 2),
                "ratios_to_dcm2niix": {
                    each: round(value / middle["dcm2niix"], 2) for each, value in middle.items()
                },
                "peak_memory_mb": {each: round(value / 1024) for each, value in memory.items()},
                "exit_codes": codes,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
