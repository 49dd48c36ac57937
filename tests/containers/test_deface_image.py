"""Deface as servers and its image run it: a launch on the sandbox, what an image can break."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from commands import catalog
from commands.service_json import command_to_json
from tests.builders.container_lab import Lab
from tests.builders.dicom_heads import write_series
from tests.builders.heads import average_head, write_head

MOST_BYTES = 700_000_000


def test_a_member_defaces_the_dicom_of_a_session(sandbox: Any, tmp_path: Path) -> None:
    """The scan's files come back without faces as the session's resource, the report beside it."""
    paths = write_series(tmp_path, average_head(), number=5)
    lab = Lab(sandbox.url, sandbox.admin_password)
    files = {f"DICOM/{path.name}": path.read_bytes() for path in paths}
    session = lab.session(scans={"5": files})
    member = lab.person()
    wrapper = lab.command(command_to_json(catalog.find("deface"), creation=True))

    number = lab.launch(member, wrapper, session, name="session", fast="true")

    assert lab.end(member, number) == ("Complete", "")
    owner = f"/data/experiments/{session}"
    report = json.loads(lab.read(owner, "DEFACE_REPORT/report.json") or b"")
    (row,) = report["accounted"]
    assert (row["subject"], row["outcome"], len(row["outputs"])) == ("series 5", "done", len(paths))
    name = row["outputs"][0].removeprefix("defaced/")
    assert (lab.read(owner, f"DEFACED/{name}") or b"")[128:132] == b"DICM"
    assert lab.read(owner, "DEFACE_REPORT/pictures/image-001-after-front.png")


@pytest.mark.docker
@pytest.mark.usefixtures("docker_engine")
def test_the_image_defaces_without_network_and_rights(tmp_path: Path) -> None:
    """All that the step imports is there, it runs as nobody, and the image is below its limit."""
    write_head(tmp_path / "in/sub-1_T1w.nii.gz", average_head())
    write_series(tmp_path / "in/5/DICOM", average_head())
    program = str(Path(sys.executable).with_name("winxnat"))
    words = ["run", "deface", "in", "out", "--format=both", "--engine=docker"]

    done = subprocess.run(
        [program, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/defaced/sub-1_T1w.nii.gz").is_file()
    assert len(list((tmp_path / "out/defaced").rglob("*.dcm"))) == average_head().volume.shape[0]
    shown = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Size}} {{.Config.User}}",
         catalog.find("deface").image],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    size, user = shown.stdout.split()
    assert int(size) < MOST_BYTES
    assert user == "65534:65534"
