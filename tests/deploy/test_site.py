"""Bringing a sandbox to the state of a site file: all of it, only it, and in spite of anything."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.site.apply import apply, plan
from deploy.site.doctor import Verdict, examine
from deploy.site.document import SiteDocument
from deploy.site.errors import SiteError
from deploy.site.items import Change
from tests.builders.container_lab import Lab, shell_command
from xnat_client.session import XnatServer, connect
from xnat_client.transport import Transport

DOCS = Path(__file__).parents[2] / "docs" / "site.md"

# Words of which each row that the example may change in the database holds at least one.
DECLARED = re.compile(
    r"STUDY[12]|dicom-to-bids|scrub-headers|own-command|docker-server|securityAllowNonPrivate|"
    r"requireLogin|uiAllowNonAdmin|restrictUserList|userRegistration|sessionTimeout|\bpar\b|"
    r"enableSitewideAnonymization|version ..?6\.1|Container Manager|SCANNER1|[sS]eriesImportFilter|"
    r"scout"
)
# Rows of these tables have numbers only: which project or command they are about is looked up.
NUMBERED = {"wrapper", "wrapper_project", "wrapper_config", "counter"}


@pytest.fixture
def lab(fresh_sandbox: Any) -> Lab:
    """Somebody else's project with data, people, settings and a command, before anything else."""
    made = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    made.session(files={"DATA/a.txt": b"x"}, scans={"1": {"DICOM/1": b"y"}})
    member = made.person()
    wrapper = made.command(shell_command("true"))
    made.put(f"/data/projects/{made.project}/accessibility/protected")
    made.put(f"/data/projects/{made.project}/prearchive_code/5")
    document = {
        "name": "foreign",
        "action-key": f"org.nrg.containers.services.CommandActionProvider:{wrapper}",
        "event-filter": {"event-type": "org.nrg.xnat.eventservice.events.SessionEvent",
                         "status": "CREATED", "project-ids": [made.project]},
    }  # fmt: skip
    answer = made.admin.http.post(f"{made.url}/xapi/events/subscription", json=document)
    assert answer.status_code == 201, answer.text
    for login in ("lead", "manager", "reader", "analyst"):
        _account(made, login)
    assert member.login
    return made


def _account(lab: Lab, login: str) -> None:
    body = {"username": login, "password": "a-test-password", "email": f"{login}@example.org",
            "firstName": "T", "lastName": "P", "enabled": True, "verified": True}  # fmt: skip
    answer = lab.admin.http.post(f"{lab.url}/xapi/users", json=body)
    assert answer.status_code == 201, answer.text


@pytest.fixture
def server(fresh_sandbox: Any) -> Iterator[XnatServer]:
    with connect(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as opened:
        yield opened


@pytest.fixture
def shared_lab(sandbox: Any) -> Lab:
    """A project on the sandbox of the whole run, for tests that leave the site's settings."""
    return Lab(sandbox.url, sandbox.admin_password)


@pytest.fixture
def shared(sandbox: Any) -> Iterator[XnatServer]:
    with connect(sandbox.url, "admin", sandbox.admin_password) as opened:
        yield opened


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The example of the documentation, with the command file that it names."""
    (text,) = re.findall(r"```yaml\n(# What sharing.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / "SITE.yaml"
    path.write_text(text)
    own = {**shell_command("true"), "name": "own-command", "image": "lab/own:1"}
    (tmp_path / "own-command.json").write_text(json.dumps(own))
    return path


def _quiet(_change: Change) -> None:
    """Say nothing."""


def _site(sandbox: Any, *arguments: str, password: str = "", user: str = "admin") -> Any:
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()", "site"]
    own = {"XNAT_USER": user, "XNAT_PASS": password or sandbox.admin_password,
           "XNAT_HOST": sandbox.url}  # fmt: skip
    return subprocess.run(
        [*program, *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL, timeout=120, env={**os.environ, **own},
    )  # fmt: skip


def _rows(root: Path) -> set[str]:
    """Return every row of the sandbox's database, as text with the name of its table."""
    connection = sqlite3.connect(f"file:{root / 'sandbox.sqlite'}?mode=ro", uri=True)
    try:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            f"{table}: {row!r}"
            for (table,) in tables
            for row in connection.execute(f'SELECT * FROM "{table}"')  # noqa: S608 - names from the schema
        }
    finally:
        connection.close()


# The example --------------------------------------------------------------------------------


def test_example_is_applied_and_stays(
    fresh_sandbox: Any, lab: Lab, server: XnatServer, example: Path
) -> None:
    """Applied once, everything is on the server by its own words, and the plan is empty."""
    del lab
    before = _site(fresh_sandbox, "plan", str(example))
    refused = _site(fresh_sandbox, "apply", str(example))
    applied = _site(fresh_sandbox, "apply", str(example), "--yes")
    after = _site(fresh_sandbox, "plan", str(example), "--json")
    again = _site(fresh_sandbox, "apply", str(example), "--yes")

    assert before.returncode == 2, before.stderr
    assert "+ projects.STUDY1.accessibility: private" in before.stdout
    assert "~ properties.par: true -> false" in before.stdout
    assert (refused.returncode, "--yes" in refused.stderr) == (2, True)
    assert applied.returncode == 0, applied.stderr
    assert (after.returncode, json.loads(after.stdout)) == (0, {"changes": []})
    assert (again.returncode, again.stdout.startswith("No difference")) == (0, True)
    get = server.transport.get_json
    assert get("/xapi/siteConfig/par", doing="x") is False
    assert get("/xapi/siteConfig/sessionTimeout", doing="x") == "30 minutes"
    assert get("/xapi/docker/server", doing="x")["container-user"] == "1000:1000"
    text = server.transport.get_text
    assert text("/data/projects/STUDY2/accessibility", doing="x") == "private"
    assert text("/data/projects/STUDY1/prearchive_code", doing="x") == "4"
    assert "(0010,0030)" in text("/xapi/anonymize/site", doing="x")
    rows = get("/data/projects/STUDY2/users", doing="x", query={"format": "json"})
    assert {(row["login"], row["displayname"]) for row in rows["ResultSet"]["Result"]} == {
        ("lead", "Owners"),
        ("reader", "Collaborators"),
        ("analyst", "analysts"),
    }
    (receiver,) = get("/xapi/dicomscp", doing="x")
    assert (receiver["aeTitle"], receiver["port"], receiver["enabled"]) == ("SCANNER1", 8105, False)
    assert get("/xapi/siteConfig/sitewideSeriesImportFilter", doing="x") == "localizer\n^scout"
    assert get("/xapi/users/manager/roles", doing="x") == ["Container Manager"]
    available = get(
        "/xapi/commands/available",
        doing="x",
        query={"project": "STUDY1", "xsiType": "xnat:mrSessionData"},
    )
    assert {each["command-name"] for each in available} == {
        "dicom-to-bids",
        "scrub-headers",
    }


def test_nothing_else_is_touched(
    fresh_sandbox: Any, lab: Lab, server: XnatServer, example: Path
) -> None:
    """No row of the server's database that is not about a declared thing is changed or gone."""
    before = _rows(fresh_sandbox.root)

    apply(SiteDocument(example), server.transport, _quiet)

    after = _rows(fresh_sandbox.root)
    changed = {row for row in before ^ after if not DECLARED.search(row)}
    undeclared = {
        row
        for row in changed
        if row.split(":")[0] not in NUMBERED | {"user_group", "user_role", "alias_token"}
    }
    assert len(before ^ after) > 20
    assert undeclared == set()
    # Rows of numbers: none that was there may be gone, but counters.
    assert {row for row in changed & before if not row.startswith("counter")} == set()
    assert any(lab.project in row for row in before & after)


def test_drift_is_seen_and_mended(lab: Lab, server: XnatServer, example: Path) -> None:
    """What people change by hand is what the plan shows, each and only that; apply mends it."""
    document = SiteDocument(example)
    apply(document, server.transport, _quiet)
    lab.put("/data/projects/STUDY2/accessibility/private")
    lab.admin.http.post(f"{lab.url}/xapi/siteConfig", json={"par": True})
    lab.put("/data/projects/STUDY1/users/STUDY1_member/reader")
    lab.put("/data/projects/STUDY2/users/STUDY2_member/manager")
    lab.put("/data/projects/STUDY1/prearchive_code/0")
    lab.put("/data/projects/STUDY2/config/seriesImportFilter/config?status=disabled")
    lab.put("/data/projects/STUDY1/users/STUDY1_member/analyst")
    (receiver,) = lab.admin.http.get(f"{lab.url}/xapi/dicomscp").json()
    change = {"whitelistEnabled": False}
    lab.admin.http.put(f"{lab.url}/xapi/dicomscp/{receiver['id']}", json=change)
    lab.admin.http.put(f"{lab.url}/xapi/anonymize/site", data='version "6.1"\n-(0010,0030)')
    (subscription,) = [
        row for row in lab.admin.http.get(f"{lab.url}/xapi/events/subscriptions").json()
        if row["name"].startswith("convert")
    ]  # fmt: skip
    lab.admin.http.post(f"{lab.url}/xapi/events/subscription/{subscription['id']}/deactivate")

    changes = plan(document, server.transport)
    apply(document, server.transport, _quiet)

    assert {change.address for change in changes} == {
        "properties.par",
        "anonymisation.script",
        "projects.STUDY1.people.reader",
        "projects.STUDY1.people.analyst",
        "projects.STUDY1.prearchive",
        "projects.STUDY2.import_filter",
        "receivers.SCANNER1:8105",
        "projects.STUDY2.people (others)",
        "subscriptions.convert what arrives in STUDY1",
    }
    (removal,) = [change for change in changes if change.action == "remove"]
    assert removal.before == "manager"
    assert plan(document, server.transport) == []


def test_plan_and_dry_run_change_nothing(
    fresh_sandbox: Any, lab: Lab, server: XnatServer, example: Path
) -> None:
    """Looking leaves the database as it is, byte for byte of every row."""
    del lab
    before = _rows(fresh_sandbox.root)

    changes = plan(SiteDocument(example), server.transport)
    dry = _site(fresh_sandbox, "apply", str(example), "--dry-run", "--yes")

    assert changes
    assert dry.returncode == 0, dry.stderr
    assert _rows(fresh_sandbox.root) == before


# Sudden ends ----------------------------------------------------------------------------------


class _Stop(Exception):  # noqa: N818 - it is no error
    """Ends an apply in the middle."""


def test_interrupted_after_each_change(lab: Lab, server: XnatServer, example: Path) -> None:
    """Broken off after every single change, it goes on each time and makes none twice."""
    del lab
    document = SiteDocument(example)
    planned = [change.address for change in plan(document, server.transport)]
    made: list[str] = []

    def stop(change: Change) -> None:
        made.append(change.address)
        raise _Stop

    for _ in planned:
        try:
            apply(document, server.transport, stop)
        except _Stop:
            continue
        break

    assert plan(document, server.transport) == []
    assert len(made) == len(set(made))
    # Making a project gives it values that the file wants in the same request.
    assert set(made) <= set(planned)


def test_closing_comes_before_opening(lab: Lab, server: XnatServer, tmp_path: Path) -> None:
    """Access is narrowed first and widened last, in whatever order the file has it."""
    path = tmp_path / "site.yaml"
    path.write_text(
        "projects:\n- id: OPEN1\n  accessibility: public\n  members: [reader]\n"
        f"- id: {lab.project}\n  accessibility: private\n  exclusive: 'true'\n  owners: [lead]\n"
        "properties:\n  requireLogin: 'false'\n  par: 'false'\n"
    )

    made: list[str] = []
    apply(SiteDocument(path), server.transport, lambda change: made.append(change.address))

    closing = [
        f"projects.{lab.project}.accessibility",
        "properties.par",
        f"projects.{lab.project}.people (others)",
    ]
    opening = [
        "properties.requireLogin", "projects.OPEN1.accessibility", "projects.OPEN1.people.reader",
    ]  # fmt: skip
    owner = f"projects.{lab.project}.people.lead"
    assert made.index(owner) < made.index(f"projects.{lab.project}.people (others)")
    assert max(map(made.index, closing)) < min(map(made.index, opening))


@pytest.mark.slow
def test_killed_in_the_middle(
    fresh_sandbox: Any, lab: Lab, server: XnatServer, example: Path
) -> None:
    """Killed at four random moments, the next apply ends with the wanted state."""
    del lab
    chance = random.Random(4)  # noqa: S311 - a fixed choice of moments
    own = {"XNAT_USER": "admin", "XNAT_PASS": fresh_sandbox.admin_password,
           "XNAT_HOST": fresh_sandbox.url, "PYTHONUNBUFFERED": "1"}  # fmt: skip
    program = [sys.executable, "-c", "from xnat_client.cli.main import main; main()"]
    for _ in range(4):
        client = subprocess.Popen(
            [*program, "site", "apply", str(example), "--yes"], stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL, env={**os.environ, **own}, text=True,
        )  # fmt: skip
        assert client.stdout is not None
        # The moment counts from the first change.
        for line in client.stdout:
            if line.startswith(("done", "No")):
                break
        time.sleep(chance.uniform(0, 0.08))
        client.send_signal(signal.SIGKILL)
        client.communicate()

    apply(SiteDocument(example), server.transport, _quiet)

    assert plan(SiteDocument(example), server.transport) == []


# Refusals -------------------------------------------------------------------------------------


def test_wrong_rights_are_one_sentence(sandbox: Any, shared_lab: Lab, example: Path) -> None:
    """An account without the right is told what needs whom, in which line; nothing is changed."""
    member = shared_lab.person()
    before = _rows(sandbox.root)

    ended = _site(
        sandbox, "apply", str(example), "--yes", user=member.login, password="a-test-password"
    )

    assert (ended.returncode, ended.stdout) == (5, "")
    assert "needs" in ended.stderr
    assert "administrator" in ended.stderr
    assert "SITE.yaml:" in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert before == _rows(sandbox.root)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("properties:\n  nosuchProperty: x\n", "no site property nosuchProperty"),
        ("properties:\n  par: perhaps\n", "par must be true or false"),
        ("properties:\n  sessionTimeout: soon\n", "interval"),
        ("projects:\n- id: NEW\n  members: [nobody]\n", "no account nobody"),
        ("people:\n- login: nobody\n  roles: [Administrator]\n", "no account nobody"),
        (
            (
                "commands:\n- name: dicom-to-bids\nsubscriptions:\n- name: s\n"
                "  event: NosuchEvent\n  status: CREATED\n  command: dicom-to-bids\n"
            ),
            "no type of event",
        ),
    ],
)
def test_what_the_server_has_not_is_said_with_its_line(
    shared: XnatServer, tmp_path: Path, text: str, said: str
) -> None:
    """A property, person or event that the server does not know is named, with the file's line."""
    path = tmp_path / "site.yaml"
    path.write_text(text)

    with pytest.raises(SiteError) as caught:
        apply(SiteDocument(path), shared.transport, _quiet)

    assert said in str(caught.value)
    assert re.search(r"site\.yaml:\d+: ", str(caught.value))


def test_what_was_applied_before_a_refusal_is_one_json_object(
    sandbox: Any, shared: XnatServer, tmp_path: Path
) -> None:
    """A script reads what was made and why the rest was not from one document."""
    assert shared
    path = tmp_path / "site.yaml"
    path.write_text("projects:\n- id: BEFORE_IT\nproperties:\n  sessionTimeout: soon\n")

    ended = _site(sandbox, "apply", str(path), "--yes", "--json")

    told = json.loads(ended.stdout)
    assert [one["address"] for one in told["applied"]] == ["projects.BEFORE_IT"]
    assert (ended.returncode, told["error"]["exit_code"]) == (5, 5)
    assert "interval" in told["error"]["message"]


def test_alias_of_a_foreign_project_is_refused(
    shared_lab: Lab, shared: XnatServer, tmp_path: Path
) -> None:
    """XNAT finds a project by its alias too; a file that names one must not change that project."""
    alias = f"alias-of-{shared_lab.project}"
    shared_lab.put(
        f"/data/projects/{shared_lab.project}?xsiType=xnat:projectData"
        f"&xnat:projectData/aliases/alias[0]/alias={alias}"
    )
    path = tmp_path / "site.yaml"
    path.write_text(f"projects:\n- id: {alias}\n  accessibility: public\n")

    with pytest.raises(SiteError, match="another name of project"):
        apply(SiteDocument(path), shared.transport, _quiet)

    found = shared.transport.get_text(
        f"/data/projects/{shared_lab.project}/accessibility", doing="x"
    )
    assert found != "public"


def test_changed_command_of_the_same_version_is_changed(
    shared_lab: Lab, shared: XnatServer, tmp_path: Path
) -> None:
    """A registered command that differs is brought to the file, and keeps its number."""
    own = shell_command("true")
    shared_lab.command(own)
    (before,) = shared_lab.admin.http.get(
        f"{shared_lab.url}/xapi/commands?name={own['name']}"
    ).json()
    own["command-line"] = "echo other"
    (tmp_path / "own.json").write_text(json.dumps(own))
    path = tmp_path / "site.yaml"
    path.write_text("commands:\n- file: own.json\n")

    count = apply(SiteDocument(path), shared.transport, _quiet)

    (after,) = shared_lab.admin.http.get(
        f"{shared_lab.url}/xapi/commands?name={own['name']}"
    ).json()
    assert count == 1
    assert (after["id"], after["command-line"]) == (before["id"], "echo other")
    assert plan(SiteDocument(path), shared.transport) == []


def test_two_versions_live_side_by_side(
    shared_lab: Lab, shared: XnatServer, tmp_path: Path
) -> None:
    """Another version of a declared command is not touched."""
    own = shell_command("true")
    shared_lab.command(own)
    (tmp_path / "own.json").write_text(json.dumps({**own, "version": "2", "image": "lab/shell:2"}))
    path = tmp_path / "site.yaml"
    path.write_text("commands:\n- file: own.json\n  enabled: false\n")

    apply(SiteDocument(path), shared.transport, _quiet)

    found = shared_lab.admin.http.get(f"{shared_lab.url}/xapi/commands?name={own['name']}").json()
    assert {(each["version"], each["image"]) for each in found} == {
        ("1", "lab/shell:1"),
        ("2", "lab/shell:2"),
    }


# Doctor ---------------------------------------------------------------------------------------


def _verdicts(transport: Transport, document: SiteDocument | None = None) -> dict[str, str]:
    return {each.subject: each.verdict.value for each in examine(transport, document)}


def test_doctor_before_and_after(lab: Lab, server: XnatServer, example: Path) -> None:
    """What was lacking before is fine after the file was applied."""
    del lab
    document = SiteDocument(example)

    before = _verdicts(server.transport, document)
    apply(document, server.transport, _quiet)
    after = _verdicts(server.transport, document)

    assert before["command dicom-to-bids"] == "lacking"
    assert before["switch securityAllowNonPrivateProjects"] == "lacking"
    assert before["site file"] == "lacking"
    for subject in ("XNAT", "Container Service", "Docker", "rights", "site file",
                    "command dicom-to-bids", "switch securityAllowNonPrivateProjects"):  # fmt: skip
        assert after[subject] == "fine", subject


def test_doctor_without_rights_claims_nothing(sandbox: Any, shared_lab: Lab) -> None:
    """What an account may not ask is unknown, never fine."""
    member = shared_lab.person()

    with connect(sandbox.url, member.login, "a-test-password") as opened:
        found = {each.subject: each for each in examine(opened.transport)}

    assert found["rights"].verdict is Verdict.LACKING
    assert found["site switches"].verdict is Verdict.UNKNOWN
    assert "administrator" in found["site switches"].advice
    assert not any(name.startswith("switch ") for name in found)


def test_doctor_on_the_command_line(sandbox: Any) -> None:
    """The program ends with 2 while something is lacking, and prints advice for it."""
    ended = _site(sandbox, "doctor")
    as_json = _site(sandbox, "doctor", "--json")

    assert ended.returncode == 2, ended.stderr
    assert "lacking  command eeg-to-bids" in ended.stdout
    assert {row["verdict"] for row in json.loads(as_json.stdout)["findings"]} >= {"fine", "lacking"}
