"""The step mriqc around a program of its name that replays records, and around broken ones."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from commands import catalog
from containers.build import GUESTS, BuildOptions, build_images
from containers.contract import (
    BadInputError,
    OutOfResourcesError,
    StepInput,
    StepReport,
    ToolFailedError,
)
from containers.engine import ImageBuildError
from containers.limits import Limits, read_limits
from containers.mriqc.dataset import Dataset
from containers.mriqc.records import clean_record
from containers.mriqc.stand_ins.programs import ANTS_PROGRAMS, PROGRAMS, main
from containers.mriqc.step import SUBSTITUTIONS_VARIABLE, command_line, environment_of, run
from containers.steps import build_dir
from qc import phantom
from qc.pool import read_record
from tests.builders.quality_images import write_nifti

RECORD = {
    "cjv": 0.47, "qi_1": 0.0, "size_x": 192, "fber": float("nan"),
    "bids_meta": {
        "modality": "T1w", "subject_id": "01", "EchoTime": 0.003, "Manufacturer": "SIEMENS",
        "InstitutionName": "QQPLANTED", "ProtocolName": "QQPLANTED",
        "DeviceSerialNumber": "QQPLANTED",
    },
    "provenance": {
        "software": "mriqc", "version": "24.0.2", "md5sum": "0" * 32,
        "settings": {"testing": False, "home": "QQPLANTED"}, "webapi_url": "QQPLANTED",
    },
}  # fmt: skip
CRASH = """Node: mriqc_wf.anatMRIQC.ComputeIQMs.measures
Working directory: /x/QQPLANTED

Traceback (most recent call last):
ValueError: Input X contains NaN. QQPLANTED
"""

PROGRAM = """#!{python}
import json, os, pathlib, sys
made = pathlib.Path(sys.argv[2]); made.mkdir(parents=True)
seen = {{"argv": sys.argv[1:], "home": os.environ["HOME"], "env": dict(os.environ)}}
pathlib.Path({seen!r}).write_text(json.dumps(seen))
for name, text in {files!r}.items():
    path = made / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
sys.exit({code})
"""


@pytest.fixture
def session(tmp_path: Path) -> Path:
    root = tmp_path / "input" / "RESOURCES" / "BIDS"
    volume = np.zeros((8, 8, 8), np.int16)
    write_nifti(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz", volume)
    write_nifti(root / "sub-01" / "func" / "sub-01_task-rest_bold.nii.gz", volume)
    write_nifti(root / "derivatives" / "x" / "sub-01" / "anat" / "sub-01_T1w.nii.gz", volume)
    return tmp_path / "input"


def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], code: int = 0
) -> Path:
    """Put a program ``mriqc`` on the path that writes files; return where it says what it saw."""
    seen = tmp_path / "seen.json"
    program = tmp_path / "bin" / "mriqc"
    program.parent.mkdir()
    program.write_text(
        PROGRAM.format(python=sys.executable, seen=str(seen), files=files, code=code)
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    return seen


def measure(folder: Path, tmp_path: Path) -> tuple[StepReport, Path]:
    output, scratch = tmp_path / "output", tmp_path / "scratch"
    output.mkdir()
    scratch.mkdir()
    return run(StepInput("mriqc", folder, output, scratch, {})), output


def test_nothing_is_submitted_or_counted():
    """Both switches are in the command line, whatever the limits."""
    line = command_line("mriqc", Dataset(Path("b"), "01", ()), Path("s"), Limits(7.5, 2))

    assert {"--no-sub", "--notrack"} <= set(line)
    assert line[line.index("--mem") + 1] == "7"
    assert line[line.index("--nprocs") + 1] == "2"


@pytest.mark.parametrize(
    ("given", "templates"),
    [
        ({"HOME": "/home/mriqc"}, "/home/mriqc/.cache/templateflow"),
        ({"HOME": "/home/x", "TEMPLATEFLOW_HOME": "/opt/t"}, "/opt/t"),
    ],
    ids=["genuine image", "with stand-ins"],
)
def test_templates_are_those_of_the_image(given: dict[str, str], templates: str):
    """The genuine image keeps them below its home, which is another one while MRIQC runs."""
    environment = environment_of(given, Path("/scratch"))

    assert environment["TEMPLATEFLOW_HOME"] == templates
    assert environment["HOME"] == "/scratch/home"
    assert environment["NO_ET"] == "1"


def test_a_crashed_node_costs_its_image_only(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """T1w has a record, BOLD crashed: one done, one failed with node and kind of error."""
    files = {
        "sub-01/anat/sub-01_T1w.json": json.dumps(RECORD),
        "logs/crash-20260101-measures.txt": CRASH,
    }
    seen = install(tmp_path, monkeypatch, files, code=1)

    report, output = measure(session, tmp_path)

    outcome = {row.subject: (row.outcome, row.reason) for row in report.accounted}
    assert outcome == {
        "sub-01_T1w": ("done", ""),
        "sub-01_task-rest_bold": ("failed", "The node measures failed (ValueError)."),
    }
    told = json.loads(seen.read_text())
    assert {"--no-sub", "--notrack"} <= set(told["argv"])
    assert told["home"].startswith(str(tmp_path / "scratch"))
    files_out = b"".join(path.read_bytes() for path in output.rglob("*") if path.is_file())
    assert b"QQPLANTED" not in files_out
    names, values = (output / "qc" / "mriqc.tsv").read_text().splitlines()
    cells = dict(zip(names.split("\t"), values.split("\t"), strict=True))
    assert (cells["image"], cells["software"], cells["cjv"]) == ("sub-01_T1w", "MRIQC", "0.47")
    assert (cells["fber"], cells["defaced"], len(cells["protocol_hash"])) == ("n/a", "n/a", 16)
    assert b"derivatives" not in files_out


def test_a_record_that_is_cut_short_is_called_so(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """There is one, so it is not said that there is none."""
    files = {
        "sub-01/anat/sub-01_T1w.json": json.dumps(RECORD),
        "sub-01/func/sub-01_task-rest_bold.json": json.dumps(RECORD)[:40],
    }
    install(tmp_path, monkeypatch, files)

    report, _ = measure(session, tmp_path)

    reasons = {row.subject: row.reason for row in report.accounted if row.outcome == "failed"}
    assert reasons == {
        "sub-01_task-rest_bold": "MRIQC wrote a record of it that is truncated or none."
    }


def test_a_record_keeps_its_measures_and_says_what_made_it():
    """Numbers stay, free text goes, what is not finite is null; both kinds are read by qc."""
    genuine = clean_record(json.dumps(RECORD).encode(), ())
    substituted = clean_record(json.dumps(RECORD).encode(), ("The brain mask is another.",))

    assert (genuine["cjv"], genuine["fber"], genuine["size_x"]) == (0.47, None, 192)
    assert genuine["bids_meta"] == {"modality": "T1w", "EchoTime": 0.003}
    rows = [read_record("x", json.dumps(one)) for one in (genuine, substituted)]
    assert [row.software for row in rows] == ["MRIQC", "mriqc-substituted"]
    assert rows[0].protocol == rows[1].protocol
    # As of MRIQC's own record, of an image that was measured elsewhere.
    assert rows[0].protocol == read_record("x", json.dumps(RECORD)).protocol
    provenance = substituted["provenance"]
    assert isinstance(provenance, dict)
    assert provenance["substitutions"] == ["The brain mask is another."]


def test_substitutions_are_in_record_and_report(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """An image with stand-ins cannot make a record that says mriqc."""
    install(tmp_path, monkeypatch, {"sub-01/anat/sub-01_T1w.json": json.dumps(RECORD)})
    told = tmp_path / "substitutions.json"
    told.write_text(json.dumps(["The template is another."]))
    monkeypatch.setenv(SUBSTITUTIONS_VARIABLE, str(told))

    report, output = measure(session, tmp_path)

    record = json.loads((output / "qc" / "sub-01_T1w.json").read_text())
    assert record["provenance"]["software"] == "mriqc-substituted"
    assert "mriqc-substituted, not MRIQC" in (output / "report" / "report.html").read_text()
    assert report.facts["substitutions"] == ["The template is another."]


@pytest.mark.parametrize(
    ("code", "error"), [(1, ToolFailedError), (137, OutOfResourcesError), (0, ToolFailedError)]
)
def test_no_record_at_all_is_an_error(
    session: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[Exception],
):
    """Also when MRIQC says that all is well."""
    install(tmp_path, monkeypatch, {"sub-01/anat/sub-01_T1w.json": "{"}, code)

    with pytest.raises(error):
        measure(session, tmp_path)


def test_without_the_program_winqc_is_named(
    session: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The sentence says what to do."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ToolFailedError, match="winqc"):
        measure(session, tmp_path)


@pytest.mark.parametrize("labels", [(), ("01", "02")], ids=["nobody", "two people"])
def test_one_participant_at_a_time(
    labels: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Nobody, and two, are bad input."""
    install(tmp_path, monkeypatch, {})
    (tmp_path / "input").mkdir()
    for label in labels:
        write_nifti(
            tmp_path / "input" / f"sub-{label}" / f"sub-{label}_T1w.nii.gz",
            np.zeros((4, 4, 4), np.int16),
        )

    with pytest.raises(BadInputError):
        measure(tmp_path / "input", tmp_path)


@pytest.mark.parametrize(
    ("files", "memory_gb", "processors"),
    [
        ({"memory.max": "4000000000", "cpu.max": "100000 100000"}, 3.6, 1),
        ({"memory/memory.limit_in_bytes": "2000000000"}, 1.8, None),
        ({"memory.max": "max", "cpu.max": "max 100000"}, None, None),
    ],
    ids=["version 2", "version 1", "no limit"],
)
def test_limits_are_those_of_the_control_group(
    files: dict[str, str], memory_gb: float | None, processors: int | None, tmp_path: Path
):
    """Nine tenths of the memory; the machine's where the group has no limit."""
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n")

    limits = read_limits(tmp_path)

    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * 0.9 / 1e9
    assert limits.memory_gb == pytest.approx(memory_gb or machine, abs=0.06)
    assert limits.processors == (processors or len(os.sched_getaffinity(0)))


def test_mriqc_is_built_by_digest_or_with_stand_ins_only():
    """A tag of another project's image can change under us."""
    for folder in (build_dir("mriqc"), build_dir("mriqc") / "substituted"):
        text = (folder / "Dockerfile").read_text()
        assert "\nUSER 65534:65534\n" in text
        assert text.rstrip().endswith('winxnat-step"]')
    lock = (build_dir("mriqc") / "substituted" / "requirements.lock").read_text()
    assert "mriqc==24.0.2" in lock
    assert "torch" not in lock
    assert sorted(GUESTS) == ["mriqc"]


def test_a_tag_is_refused():
    """Before anything is built, and before Docker is asked."""
    options = BuildOptions(guest_image="nipreps/mriqc:24.0.2")
    with pytest.raises(ImageBuildError, match="digest"):
        build_images([catalog.find("mriqc")], options, lambda _: None)


def test_stand_ins_answer_as_the_programs_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Smoothness in mm, one number a volume, a global correlation; each by the program's name."""
    series = phantom.bold_run(8, (24, 24, 12), noise=5.0)
    write_nifti(tmp_path / "b.nii.gz", series.astype(np.float32), (2.0, 2.0, 3.0))

    def run_program(name: str, *rest: str) -> int:
        return main([name, *rest])

    monkeypatch.chdir(tmp_path)

    codes = [
        run_program("3dTstat", "-mean", "-prefix", "m.nii.gz", "b.nii.gz"),
        run_program("3dAutomask", "-prefix", "k.nii.gz", "b.nii.gz"),
        run_program("3dFWHMx", "-input", "b.nii.gz", "-mask", "k.nii.gz", "-out", "f.txt"),
    ]
    sizes = capsys.readouterr().out.split()
    run_program("3dToutcount", "-fraction", "-mask", "k.nii.gz", "b.nii.gz")
    counts = capsys.readouterr().out.split()
    run_program("@compute_gcor", "-input", "b.nii.gz", "-mask", "k.nii.gz")

    assert codes == [0, 0, 0]
    assert len(sizes) == 4
    assert len(Path("f.txt").read_text().splitlines()) == 8
    assert len(counts) == 8
    assert capsys.readouterr().out.startswith("GCOR = ")
    assert main(["unknown"]) == 2
    assert "Atropos" in ANTS_PROGRAMS
    assert "synthstrip" in PROGRAMS
