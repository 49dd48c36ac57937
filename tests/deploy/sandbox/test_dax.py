"""The real dax, unmodified: its lists, its assessors, and a whole build, launch and upload."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# dax and its libraries use what Python has deprecated; that is not this project's to mend.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

NIFTI = b"not an image, but bytes that must come back"
PROCESSOR = """---
procyamlversion: 3.0.0-dev.0
containers:
  - {name: TOY, path: toy.sif, source: "docker://example/toy"}
requirements: {walltime: 0-1, memory: 1G}
inputs:
  xnat:
    scans:
      - name: scan_t1
        types: T1w
        needs_qc: true
        resources:
          - {resource: NIFTI, ftype: FILE, varname: t1_nii, fdest: t1.nii.gz}
    attrs:
      - {varname: subject, object: subject, attr: label}
outputs:
  - {stats: stats.txt}
command: {type: singularity_run, container: TOY, args: "--t1 {t1_nii} --subject {subject}"}
"""
# Stands for the cluster's own script: fetches the inputs that dax listed, writes two outputs.
JOB_TEMPLATE = """#!/bin/bash
set -e
$job_cmds
mkdir -p "$$INDIR" "$$DSTDIR/STATS" "$$DSTDIR/COMMAND"
IFS=, read -r name kind address folder <<<"$${INLIST[0]}"
curl --silent --show-error --fail --netrc --output "$$INDIR/$$name" "$$address"
md5sum <"$$INDIR/t1.nii.gz" >"$$DSTDIR/STATS/stats.txt"
echo "$$MAINCMD" >"$$DSTDIR/COMMAND/command.txt"
touch "$$DSTDIR/READY_TO_UPLOAD.txt"
"""
# A cluster as dax sees it: a job is done when it has been submitted.
SLURM = {
    "sbatch": 'bash "$1" >"$HOME/job.log" 2>&1 && echo "Submitted batch job 42"',
    "squeue": "exit 0",
    "sacct": 'case "$*" in *MaxRss*) echo 2048K;; *CPUTime*) echo 00:01:02;; *) echo node7;; esac',
}
STATUSES = (
    "NO_DATA", "NEED_INPUTS", "NEED_TO_RUN", "JOB_BUILT", "JOB_RUNNING", "JOB_FAILED",
    "READY_TO_UPLOAD", "UPLOADING", "READY_TO_COMPLETE", "COMPLETE",
)  # fmt: skip
QC_STATUSES = (
    "Job Pending", "Needs QA", "Good", "Passed", "Passed with edits", "Failed",
    "Failed-needs reprocessing", "Bad", "Poor", "Rerun", "Reproc", "Do Not Run",
)  # fmt: skip


@pytest.fixture
def home(sandbox: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder with what dax finds there: log-in, job template and a processor."""
    netrc = tmp_path / ".netrc"
    netrc.write_text(
        f"machine 127.0.0.1\nlogin {sandbox.admin_user}\npassword {sandbox.admin_password}\n"
    )
    netrc.chmod(0o600)
    (tmp_path / "job_template_v3.txt").write_text(JOB_TEMPLATE)
    (tmp_path / "TOY_v1.0.0.yaml").write_text(PROCESSOR)
    (tmp_path / "results").mkdir()
    (tmp_path / "bin").mkdir()
    for name, script in SLURM.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XNAT_HOST", sandbox.url)
    return tmp_path


@pytest.fixture
def dax(home: Path) -> Iterator[Any]:
    """Return dax's connection; without these options it waits ten minutes after a failure."""
    del home  # its netrc file must be there
    xnat_utils = pytest.importorskip(
        "dax.XnatUtils", reason="dax is not installed; uv pip install dax"
    )
    with xnat_utils.InterfaceTemp(xnat_timeout=60, xnat_retries=0) as interface:
        yield interface
    interface._http.close()


@pytest.fixture
def study(admin: Any, make_project: Any) -> str:
    """Return a project with an MR session of two scans; the first has two resources."""
    name: str = make_project()
    path = f"/data/projects/{name}"
    admin.made(f"{path}/subjects/S1", gender="female", yob="1980", handedness="left")
    session = f"{path}/subjects/S1/experiments/E1"
    age = {"xnat:mrSessionData/age": "43.5"}
    admin.made(session, xsiType="xnat:mrSessionData", date="2024-01-31", **age)
    for scan, kind in (("1", "T1w"), ("2", "T2w")):
        admin.made(
            f"{session}/scans/{scan}", xsiType="xnat:mrScanData", type=kind, quality="usable"
        )
    for label in ("NIFTI", "JSON"):
        admin.made(f"{session}/scans/1/resources/{label}", format=label)
    admin.put(f"{session}/scans/1/resources/NIFTI/files/t1.nii.gz?inbody=true", data=NIFTI)
    return name


def _processor(dax: Any, home: Path) -> Any:
    """Return dax's processor of version 3 for the document in the home folder."""
    from dax.processors_v3 import Processor_v3  # noqa: PLC0415 - importing it takes seconds

    return Processor_v3(dax, str(home / "TOY_v1.0.0.yaml"))


def _assessor(dax: Any, home: Path, project: str, inputs: dict[str, Any]) -> Any:
    """Make an assessor as dax's processors do; return pyxnat's object."""
    assessor, _ = _processor(dax, home).create_assessor_pd(project, "S1", "E1", inputs)
    return assessor


# Lists ----------------------------------------------------------------------------------------


def test_dax_lists_what_a_project_holds(dax: Any, study: str) -> None:
    """Projects, subjects, sessions and scans come with the attributes that dax reads."""
    (subject,) = dax.get_subjects(study)
    (session,) = dax.get_sessions(study)
    scans = dax.get_scans(study, "S1", "E1")

    assert study in [project["ID"] for project in dax.get_projects()]
    assert [subject[key] for key in ("subject_label", "gender", "yob")] == ["S1", "female", "1980"]
    wanted = ("session_label", "session_type", "subject_label", "date", "age", "handedness")
    assert [session[key] for key in wanted] == ["E1", "MR", "S1", "2024-01-31", "43.5", "left"]
    assert session["last_modified"][:2] == "20"
    assert [(scan["scan_id"], scan["scan_type"], scan["scan_quality"]) for scan in scans] == [
        ("1", "T1w", "usable"),
        ("2", "T2w", "usable"),
    ]
    assert {scan["subject_id"] for scan in scans} == {subject["ID"]}


def test_dax_lists_scans_with_their_resources(dax: Any, study: str) -> None:
    """The list of a project's scans has each scan once, with the labels of its resources."""
    scans = dax.get_project_scans(study)

    found = {scan["scan_id"]: (sorted(scan["resources"]), scan["age"]) for scan in scans}
    assert found == {"1": (["JSON", "NIFTI"], "43.5"), "2": ([""], "43.5")}


def test_dax_lists_scans_of_shared_sessions(
    dax: Any, admin: Any, study: str, make_project: Any
) -> None:
    """A project into which a session is shared lists its scans only when dax includes shares."""
    other = make_project()
    admin.made(f"/data/projects/{study}/subjects/S1/projects/{other}")
    admin.made(f"/data/projects/{study}/subjects/S1/experiments/E1/projects/{other}")

    own = dax.get_project_scans(other, include_shared=False)
    everything = dax.get_project_scans(other)

    assert own == []
    assert [scan["scan_id"] for scan in everything] == ["1", "2"]


def test_dax_finds_its_data_types(dax: Any) -> None:
    """The types of dax's plug-in are among those that can be searched."""
    from dax import XnatUtils  # noqa: PLC0415 - importing it takes seconds

    assert XnatUtils.has_dax_datatypes(dax)
    assert XnatUtils.has_fs_datatypes(dax)


# Assessors ------------------------------------------------------------------------------------


def test_dax_makes_assessors_with_its_own_id(dax: Any, home: Path, study: str) -> None:
    """An assessor keeps the ID that dax chose, and its inputs, however long, come back."""
    inputs = {"scan_t1": [f"/projects/{study}/scans/{number}-ä" for number in range(150)]}

    assessor = _assessor(dax, home, study, inputs)

    (found,) = dax.list_project_assessors(study)
    assert found["ID"] == assessor.id()
    assert found["label"] == f"{study}-x-S1-x-E1-x-TOY_v1-x-{found['ID'][:8]}"
    assert json.loads(found["inputs"]) == inputs
    wanted = ("proctype", "version", "procstatus", "qcstatus", "session_label", "xsiType")
    assert [found[key] for key in wanted] == [
        "TOY_v1", "1.0.0", "NEED_INPUTS", "Job Pending", "E1", "proc:genProcData",
    ]  # fmt: skip
    assert [a["label"] for a in dax.get_assessors(study, "S1", "E1")] == [found["label"]]
    assert dax.list_project_assessor_types(study) == ["TOY_v1"]


def test_dax_sets_every_status(dax: Any, home: Path, study: str) -> None:
    """Each status of a job and of its quality control is read back as it was set."""
    from dax.task import Task  # noqa: PLC0415 - importing it takes seconds

    task = Task(_processor(dax, home), _assessor(dax, home, study, {}), str(home))
    read = []

    for status in STATUSES:
        task.set_status(status)
        read.append(task.get_status())
    for status in QC_STATUSES:
        task.set_qcstatus(status)
        read.append(task.get_qcstatus())
    task.set_launch("4711")

    assert read == [*STATUSES, *QC_STATUSES]
    assert task.get_statuses() == ("JOB_RUNNING", "Do Not Run", "4711")


def test_dax_uploads_outputs_and_undoes_them(dax: Any, home: Path, study: str) -> None:
    """Files that dax uploads are listed and come back; undoing removes them and the job."""
    from dax import XnatUtils, bin  # noqa: A004, PLC0415 - dax's name; importing it takes seconds

    assessor = _assessor(dax, home, study, {})
    output = home / "report.txt"
    output.write_text("fine")
    (found,) = dax.list_project_assessors(study)

    uploaded = XnatUtils.upload_file_to_obj(str(output), assessor.out_resource("REPORT"))
    again = XnatUtils.upload_file_to_obj(str(output), assessor.out_resource("REPORT"))
    (row,) = dax.list_project_assessors(study)
    copy = assessor.out_resource("REPORT").file("report.txt").get_copy(str(home / "copy.txt"))
    text = Path(copy).read_text()
    bin.undo_processing(found["label"])

    assert (uploaded, again) == (True, False)
    assert row["resources"] == ["REPORT"]
    assert text == "fine"
    (left,) = dax.list_project_assessors(study)
    assert (left["resources"], left["procstatus"], left["jobid"]) == ([""], "NEED_INPUTS", "")


def test_dax_keeps_assessors_of_subjects(dax: Any, home: Path, study: str) -> None:
    """An assessor of a subject is listed with its inputs and resources, and is no session."""
    from dax import XnatUtils  # noqa: PLC0415 - importing it takes seconds
    from dax.processors_v3 import SgpProcessor  # noqa: PLC0415 - the same

    document = PROCESSOR.replace("    scans:", "    subjects: []").partition("    subjects")[0]
    path = home / "SUM_v2.0.0.yaml"
    path.write_text(
        document + "    sessions: [{types: MR}]\noutputs: [{stats: stats.txt}]\n"
        "command: {type: singularity_run, container: TOY}\n"
    )
    inputs = {"all": [f"/projects/{study}/subjects/S1/experiments/E1"]}

    assessor, made = SgpProcessor(dax, str(path)).create_assessor(dax, study, "S1", inputs)
    assessor.resource("STATS").create()
    table = XnatUtils.load_sgp_data(dax, study)

    (found,) = dax.list_project_sgp(study)
    assert (found["label"], found["proctype"]) == (made["ASSR"], "SUM_v2")
    assert json.loads(found["inputs"]) == inputs
    assert [(row.SUBJECT, row.ASSR, row.INPUTS) for row in table.itertuples()] == [
        ("S1", made["ASSR"], inputs)
    ]
    assert [session["label"] for session in dax.get_sessions(study)] == ["E1"]


def test_dax_loads_tables_of_assessors_and_scans(dax: Any, home: Path, study: str) -> None:
    """The two tables from which dax builds have every assessor and scan with its whole path."""
    from dax import XnatUtils  # noqa: PLC0415 - importing it takes seconds

    _assessor(dax, home, study, {"scan_t1": "x"})

    assessors = XnatUtils.load_assr_data(dax, [study])
    scans = XnatUtils.load_scan_data(dax, [study])

    (row,) = assessors.to_dict("records")
    session = f"/projects/{study}/subjects/S1/experiments/E1"
    assert row["full_path"] == f"{session}/assessors/{row['ASSR']}"
    assert (row["PROCTYPE"], row["INPUTS"], row["DATE"]) == (
        "TOY_v1",
        {"scan_t1": "x"},
        "2024-01-31",
    )
    assert list(scans["full_path"]) == [f"{session}/scans/1", f"{session}/scans/2"]
    assert list(scans["QUALITY"]) == ["usable", "usable"]


# The whole work -------------------------------------------------------------------------------


def _run(home: Path, settings: Path, *steps: str) -> None:
    """Run steps of dax in a process of their own, as its program does."""
    code = "\n".join(["import sys, dax.bin as dax", "path = sys.argv[1]", *steps])
    subprocess.run([sys.executable, "-c", code, str(settings)], cwd=home, timeout=300, check=True)


@pytest.mark.slow
def test_dax_builds_launches_and_uploads(
    dax: Any, home: Path, study: str, sandbox: Any, admin: Any
) -> None:
    """Dax builds one job for the session, runs it, and its outputs and state are on the server."""
    settings = home / "settings.yaml"
    settings.write_text(
        json.dumps(
            {
                "resdir": str(home / "results"),
                "jobtemplate": str(home / "job_template_v3.txt"),
                "singularity_imagedir": str(home),
                "attrs": {
                    "xnat_host": sandbox.url,
                    "root_job_dir": str(home),
                    "launch_delay_sec": 0,
                },
                "yamlprocessors": [{"name": "TOY", "filepath": str(home / "TOY_v1.0.0.yaml")}],
                "projects": [{"project": study, "yamlprocessors": "TOY"}],
            }
        )
    )

    _run(home, settings, "dax.build(path, None, False)", "dax.build(path, None, False)")
    (built,) = dax.list_project_assessors(study)
    _run(
        home,
        settings,
        "dax.launch_jobs(path, None, False)",
        "dax.update_tasks(path, None, False)",
        "dax.upload(path)",
    )
    (done,) = dax.list_project_assessors(study)

    assert (built["procstatus"], built["qcstatus"]) == ("JOB_RUNNING", "Job Pending")
    wanted = ("ID", "procstatus", "qcstatus", "jobid", "jobnode", "walltimeused", "memused")
    assert [done[key] for key in wanted] == [
        built["ID"], "COMPLETE", "Needs QA", "42", "node7", "00:01:02", "2048",
    ]  # fmt: skip
    assert sorted(done["resources"]) == ["COMMAND", "PBS", "STATS"]
    assessor = f"/data/experiments/{done['session_id']}/assessors/{done['ID']}"
    checksum = hashlib.md5(NIFTI, usedforsecurity=False).hexdigest()
    stats = admin.get(f"{assessor}/out/resources/STATS/files/stats.txt")
    assert stats.text.split()[0] == checksum
