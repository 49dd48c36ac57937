"""What a site file has happen to arriving sessions: made once, changed, switched off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.site.apply import apply, plan
from deploy.site.document import SiteDocument
from deploy.site.items import Change
from tests.builders.container_lab import Lab, shell_command
from xnat_client.session import connect
from xnat_client.transport import Transport


@pytest.fixture
def lab(sandbox: Any) -> Lab:
    return Lab(sandbox.url, sandbox.admin_password)


def write_site(folder: Path, lab: Lab, arrival: str) -> SiteDocument:
    """Write a site file with two commands of this lab alone, and read it."""
    names = [f"{lab.project}-{word}".lower() for word in ("first", "second")]
    for name in names:
        command = {**shell_command("true", resource=None), "name": name}
        (folder / f"{name}.json").write_text(json.dumps(command))
    files = "".join(f"- file: {name}.json\n" for name in names)
    enabled = "".join(f"  - name: {name}\n" for name in names)
    path = folder / "site.yaml"
    first, second = names
    text = arrival.replace("FIRST", first).replace("SECOND", second)
    path.write_text(
        f"commands:\n{files}projects:\n- id: {lab.project}\n  commands:\n{enabled}"
        f"  on_arrival:\n{text}"
    )
    return SiteDocument(path)


def changes(document: SiteDocument, transport: Transport) -> dict[str, str]:
    """Apply a file; return what was done by the last word of its address."""
    told: list[Change] = []
    apply(document, transport, told.append)
    assert plan(document, transport) == []
    return {each.address.rpartition(".")[2]: each.action for each in told}


def orchestration(lab: Lab) -> tuple[list[str], int]:
    """Return the commands that the project runs in order, and how many orders it can choose."""
    found = lab.admin.http.get(f"{lab.url}/xapi/orchestration/project/{lab.project}").json()
    names = {
        wrapper["id"]: command["name"].rpartition("-")[2]
        for command in lab.admin.http.get(f"{lab.url}/xapi/commands").json()
        for wrapper in command["xnat"]
    }
    listed = found["availableOrchestrations"]
    chosen = [each for each in listed if each["id"] == found["selectedOrchestrationId"]]
    return [names[number] for each in chosen for number in each["wrapperIds"]], len(listed)


def test_an_order_is_made_changed_and_taken_up_again(lab: Lab, sandbox: Any, tmp_path: Path):
    """Another order is another orchestration; the first one is used again, not made twice."""
    there = write_site(tmp_path, lab, "    commands: [FIRST, SECOND]\n")
    with connect(sandbox.url, "admin", sandbox.admin_password) as server:
        made = changes(there, server.transport)
        first = orchestration(lab)
        back = write_site(tmp_path, lab, "    commands: [SECOND, FIRST]\n")
        changed = changes(back, server.transport)
        second = orchestration(lab)
        changes(there, server.transport)

    assert (made["order"], made["event"]) == ("create", "create")
    assert changed == {"order": "change", "event": "change"}
    assert (first, second) == ((["first", "second"], 1), (["second", "first"], 2))
    assert orchestration(lab) == (["first", "second"], 2)


def test_it_is_switched_off(lab: Lab, sandbox: Any, tmp_path: Path):
    """The project leaves its orchestration; the subscription stays, inactive."""
    with connect(sandbox.url, "admin", sandbox.admin_password) as server:
        changes(write_site(tmp_path, lab, "    commands: [FIRST, SECOND]\n"), server.transport)
        off = write_site(tmp_path, lab, "    commands: [FIRST, SECOND]\n    active: false\n")
        done = changes(off, server.transport)

    rows = lab.admin.http.get(f"{lab.url}/xapi/events/subscriptions").json()
    (mine,) = [row for row in rows if row["name"] == f"arrival in {lab.project}"]
    assert done == {"order": "remove", "event": "change"}
    assert orchestration(lab) == ([], 1)
    assert mine["active"] is False


def test_one_command_needs_no_order(lab: Lab, sandbox: Any, tmp_path: Path):
    """Types are those of the file; no orchestration of the project is touched."""
    document = write_site(
        tmp_path,
        lab,
        "    commands: [FIRST]\n    types: [xnat:petSessionData, xnat:ctSessionData]\n",
    )
    with connect(sandbox.url, "admin", sandbox.admin_password) as server:
        made = changes(document, server.transport)

    rows = lab.admin.http.get(f"{lab.url}/xapi/events/subscriptions").json()
    (mine,) = [row for row in rows if row["name"] == f"arrival in {lab.project}"]
    assert "order" not in made
    assert mine["event-filter"]["payload-filter"] == (
        '(@.xsiType == "xnat:petSessionData" || @.xsiType == "xnat:ctSessionData")'
    )
    assert orchestration(lab) == ([], 0)
