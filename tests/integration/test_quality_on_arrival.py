"""A session arrives, is converted and measured by what a site file set up, and is found again."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import pyxnat

from deploy.demo_session import write_demo_session
from tests.builders.container_lab import PATIENCE_S, Lab, Person

pytest.importorskip("PIL", reason="winxnat[winqc] is not installed here")

SITE = """\
commands:
  - name: dicom-to-bids
  - name: winqc
projects:
  - id: PROJECT
    commands:
      - name: dicom-to-bids
      - name: winqc
        defaults:
          defaced: "no"
    on_arrival:
      commands: [dicom-to-bids, winqc]
"""
COLUMN = "xnat:mrSessionData/fields/field[name=winqc_bold_tsnr]/field"


def winxnat(lab: Lab, *arguments: str) -> subprocess.CompletedProcess[str]:
    own = {"XNAT_HOST": lab.url, "XNAT_USER": "admin", "XNAT_PASS": lab.admin_password}
    program = str(Path(sys.executable).with_name("winxnat"))
    return subprocess.run(
        [program, *arguments], capture_output=True, text=True, check=False, timeout=120,
        stdin=subprocess.DEVNULL, env={**os.environ, **own},
    )  # fmt: skip


def send(lab: Lab, who: Person, content: bytes, label: str) -> None:
    """Send a session to the archive as a scanner's gateway would."""
    place = f"/archive/projects/{lab.project}/subjects/{label}/experiments/{label}_MR1"
    answer = who.http.post(
        f"{lab.url}/data/services/import",
        params={"dest": place},
        data=content,
        headers={"Content-Type": "application/zip"},
    )
    assert answer.status_code == 200, answer.text


def runs(lab: Lab) -> list[tuple[str, str]]:
    """Return wrapper and status of the project's containers, in the order of their launches."""
    rows = lab.admin.http.get(f"{lab.url}/xapi/projects/{lab.project}/containers").json()
    names = {
        wrapper["id"]: wrapper["name"]
        for command in lab.admin.http.get(f"{lab.url}/xapi/commands").json()
        for wrapper in command["xnat"]
    }
    ordered = sorted(rows, key=lambda row: int(row["id"]))
    return [(names[row["wrapper-id"]], row["status"]) for row in ordered]


def test_what_arrives_is_measured_and_found(fresh_sandbox: Any, tmp_path: Path):
    """One file sets it up and off again; a member sends, no one launches, a search finds it."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    member = lab.person("member")
    site = tmp_path / "site.yaml"
    site.write_text(SITE.replace("PROJECT", lab.project))
    planned = winxnat(lab, "site", "plan", str(site))
    applied = winxnat(lab, "site", "apply", str(site), "--yes")
    again = winxnat(lab, "site", "plan", str(site))
    made = write_demo_session(tmp_path / "session")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in made.files:
            if "bold" in path.parent.name:
                archive.write(path, path.relative_to(made.folder).as_posix())

    send(lab, member, stream.getvalue(), "S1")
    give_up = time.monotonic() + PATIENCE_S
    while len(done := [each for each in runs(lab) if each[1] == "Complete"]) < 2:
        assert time.monotonic() < give_up, runs(lab)
        time.sleep(0.2)
    stored = winxnat(lab, "qc", "values", "--project", lab.project)

    assert planned.returncode == 2, planned.stderr
    assert f"+ projects.{lab.project}.on_arrival.order: dicom-to-bids" in planned.stdout
    assert f"+ projects.{lab.project}.on_arrival.event" in planned.stdout
    assert (applied.returncode, again.returncode) == (0, 0), applied.stderr + again.stdout
    assert [name for name, _ in done] == ["dicom-to-bids-session", "winqc-session"]
    assert "1 of 1 sessions written" in stored.stdout, stored.stderr
    (found,) = search(lab)
    assert found["label"] == "S1_MR1"
    record = measured(lab, found["ID"])
    assert float(found[COLUMN.lower()]) == pytest.approx(record["tsnr"], rel=1e-4)
    assert record["provenance"]["defaced"] is False

    site.write_text(site.read_text() + "      active: false\n")
    off = winxnat(lab, "site", "apply", str(site), "--yes")
    send(lab, member, stream.getvalue(), "S2")

    assert off.returncode == 0, off.stderr
    assert f"- projects.{lab.project}.on_arrival.order" in off.stdout
    assert len(runs(lab)) == 2


def search(lab: Lab) -> list[dict[str, str]]:
    interface = pyxnat.Interface(server=lab.url, user="admin", password=lab.admin_password)
    try:
        rows: list[dict[str, str]] = interface.array.experiments(
            project_id=lab.project,
            experiment_type="xnat:mrSessionData",
            columns=["label", COLUMN],
        ).data
    finally:
        interface.disconnect()
    return rows


def measured(lab: Lab, session: str) -> dict[str, Any]:
    """Return the session's one record of a BOLD run."""
    owner = f"/data/experiments/{session}"
    files = lab.admin.http.get(f"{lab.url}{owner}/resources/WINQC/files?format=json").json()
    (name,) = [
        row["Name"] for row in files["ResultSet"]["Result"] if row["Name"].endswith("_bold.json")
    ]
    record: dict[str, Any] = json.loads(lab.read(owner, f"WINQC/{name}") or b"")
    return record
