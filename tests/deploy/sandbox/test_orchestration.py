"""Wrappers that run one after another in a project."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from tests.builders.container_lab import PATIENCE_S, Lab, Person, shell_command

FILES = {"DATA/a.txt": b"a"}


def api(lab: Lab, who: Person, method: str, path: str, **more: Any) -> requests.Response:
    """Send a request below /xapi/orchestration."""
    return who.http.request(method, f"{lab.url}/xapi/orchestration{path}", timeout=30, **more)


def orchestration(lab: Lab, *wrappers: int, chosen: bool = True) -> int:
    """Make an orchestration, and have the lab's project use it."""
    made = api(lab, lab.admin, "POST", "", json={"name": lab.project, "wrapperIds": list(wrappers)})
    assert made.status_code == 200, made.text
    number = int(made.json()["id"])
    if chosen:
        path = f"/project/{lab.project}?orchestrationId={number}"
        assert api(lab, lab.admin, "PUT", path).status_code == 200
    return number


def step(lab: Lab, name: str, *, root: str = "root", line: str | None = None) -> int:
    """Return a wrapper that reads what the step before it left, and leaves its own name after it.

    Parameters
    ----------
    root : str
        Name of the external input.
    """
    document = shell_command(
        line or f"cat /input/* > /output/a.txt; echo {name} >> /output/a.txt", output=name
    )
    wrapper = document["xnat"][0]
    wrapper["name"] = f"step-{name}"
    wrapper["external-inputs"][0]["name"] = root
    wrapper["derived-inputs"][0]["derived-from-wrapper-input"] = root
    wrapper["output-handlers"][0]["as-a-child-of"] = root
    return lab.command(document)


def held(gate: Path, line: str) -> str:
    """Return a command line that waits for a file before it goes on."""
    return f"while [ ! -e {gate} ]; do sleep 0.05; done; {line}"


def chain(lab: Lab) -> tuple[int, int, int]:
    """Return three wrappers, each of which needs what the one before made; names of inputs vary."""

    def reads(resource: str, name: str, root: str) -> int:
        line = f"cp /input/a.txt /output/a.txt; echo {name} >> /output/a.txt"
        document = shell_command(line, resource=resource, output=name)
        wrapper = document["xnat"][0]
        wrapper["external-inputs"][0]["name"] = root
        wrapper["derived-inputs"][0]["derived-from-wrapper-input"] = root
        wrapper["output-handlers"][0]["as-a-child-of"] = root
        return lab.command(document)

    return reads("DATA", "ONE", "root"), reads("ONE", "TWO", "session"), reads("TWO", "THREE", "x")


def launched(lab: Lab, count: int) -> list[dict[str, Any]]:
    """Wait until this many containers of the project are over; return them in their order."""
    give_up = time.monotonic() + PATIENCE_S
    path = f"{lab.url}/xapi/projects/{lab.project}/containers"
    found: list[dict[str, Any]] = []
    while time.monotonic() < give_up:
        found = lab.admin.http.get(path).json()
        over = [each for each in found if each["status"] in {"Complete", "Failed", "Killed"}]
        if len(over) >= count:
            break
        time.sleep(0.05)
    assert len(found) == count, found
    return found


def test_each_step_begins_when_the_one_before_is_complete(lab: Lab) -> None:
    """Three wrappers run in order on the same session, each with what the last one made."""
    member, session = lab.person(), lab.session(files=FILES)
    wrappers = chain(lab)
    orchestration(lab, *wrappers)

    lab.launch(member, wrappers[0], session, note="an option")
    containers = launched(lab, 3)

    assert [each["wrapper-id"] for each in containers] == list(wrappers)
    assert {each["status"] for each in containers} == {"Complete"}
    assert {each["user-id"] for each in containers} == {member.login}
    owner = f"/data/experiments/{session}"
    assert lab.read(owner, "THREE/a.txt") == b"aONE\nTWO\nTHREE\n"


def test_a_failure_ends_it(lab: Lab) -> None:
    """After a step that failed nothing is launched any more."""
    session = lab.session(files=FILES)
    bad, after = step(lab, "BAD", line="exit 3"), step(lab, "AFTER")
    orchestration(lab, bad, after)

    number = lab.launch(lab.admin, bad, session)

    assert lab.end(lab.admin, number)[0] == "Failed"
    time.sleep(0.5)
    assert len(launched(lab, 1)) == 1


@pytest.mark.parametrize("change", ["disabled", "left", "deleted", "reordered", "wrapper", "site"])
def test_a_change_while_a_step_runs_ends_it(lab: Lab, tmp_path: Path, change: str) -> None:
    """What was disabled, changed, left or lost a wrapper meanwhile launches no next step."""
    session = lab.session(files=FILES)
    gate = tmp_path / "gate"
    slow = step(lab, "SLOW", line=held(gate, "echo > /output/x"))
    after = step(lab, "AFTER")
    number = orchestration(lab, slow, after)
    workflow = lab.launch(lab.admin, slow, session)
    lab.until(lab.admin, workflow, "Running")

    if change == "disabled":
        answer = api(lab, lab.admin, "PUT", f"/{number}/enabled/false")
    elif change == "left":
        answer = api(lab, lab.admin, "DELETE", f"/project/{lab.project}")
    elif change == "deleted":
        answer = api(lab, lab.admin, "DELETE", f"/{number}")
    elif change == "reordered":
        body = {"id": number, "name": "other", "wrapperIds": [after, slow]}
        answer = api(lab, lab.admin, "POST", "", json=body)
    elif change == "wrapper":
        answer = lab.admin.http.delete(f"{lab.url}/xapi/wrappers/{after}")
    else:
        answer = lab.admin.http.put(f"{lab.url}/xapi/wrappers/{after}/disabled")
    assert answer.status_code in {200, 204}, answer.text
    gate.touch()

    assert lab.end(lab.admin, workflow)[0] == "Complete"
    time.sleep(0.5)
    assert len(launched(lab, 1)) == 1


def test_a_step_that_the_project_disabled_is_told_by_a_workflow(lab: Lab) -> None:
    """A next wrapper that may not be launched leaves a failed workflow on the same session."""
    member, session = lab.person(), lab.session(files=FILES)
    first, second = step(lab, "ONE"), step(lab, "TWO")
    orchestration(lab, first, second)
    lab.put(f"/xapi/projects/{lab.project}/wrappers/{second}/disabled")

    number = lab.launch(member, first, session)
    assert lab.end(member, number)[0] == "Complete"
    following = lab.until(member, str(int(number) + 1), "Failed")

    assert following["pipeline_name"] == "step-TWO"
    assert following["id"] == session
    assert "not enabled in project" in following["details"]


@pytest.mark.parametrize("which", ["second", "other project", "not chosen"])
def test_only_the_first_wrapper_in_a_project_that_chose_it_begins_one(lab: Lab, which: str) -> None:
    """Launching another wrapper, or the first one elsewhere, is a launch like any other."""
    first, second = step(lab, "ONE"), step(lab, "TWO")
    orchestration(lab, first, second, chosen=which != "not chosen")
    place = lab
    if which == "other project":
        place = Lab(lab.url, lab.admin_password)
        place.put(f"/xapi/projects/{place.project}/wrappers/{first}/enabled")
    session = place.session(files=FILES)
    wrapper = second if which == "second" else first

    place.end(place.admin, place.launch(place.admin, wrapper, session))

    time.sleep(0.5)
    assert len(launched(place, 1)) == 1


def test_a_launch_without_a_project_in_the_address_begins_one_too(lab: Lab) -> None:
    """The object's own project decides where the address names none."""
    session, wrappers = lab.session(files=FILES), chain(lab)
    orchestration(lab, *wrappers)

    answer = lab.admin.http.post(
        f"{lab.url}/xapi/wrappers/{wrappers[0]}/root/root/launch", json={"root": session}
    )

    assert answer.status_code == 200
    assert len(launched(lab, 3)) == 3


def test_it_outlives_a_sudden_end_of_the_server(fresh_sandbox: Any, tmp_path: Path) -> None:
    """Killed while a step runs, the next server goes on to the last one, each step once."""
    root = fresh_sandbox.root
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    session = lab.session(files=FILES)
    gate = tmp_path / "gate"
    first = step(lab, "ONE", line=held(gate, "cp /input/a.txt /output/"))
    second = step(lab, "TWO", line="cp /input/a.txt /output/")
    orchestration(lab, first, second)
    lab.until(lab.admin, lab.launch(lab.admin, first, session), "Running")

    server = sandbox_process.running(root)
    assert server is not None
    os.kill(server.pid, signal.SIGKILL)
    while sandbox_process.running(root) is not None:
        time.sleep(0.02)
    gate.touch()
    lab.url = sandbox_process.start(root, engine="process").url

    containers = launched(lab, 2)
    assert [each["wrapper-id"] for each in containers] == [first, second]
    assert {each["status"] for each in containers} == {"Complete"}


# The interface ----------------------------------------------------------------------------------


def test_documents(lab: Lab) -> None:
    """An orchestration is answered as it was made, listed, changed, disabled and deleted."""
    one, two = step(lab, "ONE"), step(lab, "TWO")
    number = orchestration(lab, one, two, chosen=False)

    def listed() -> dict[str, Any] | None:
        rows = api(lab, lab.admin, "GET", "").json()
        return next((each for each in rows if each["id"] == number), None)

    expected = {"id": number, "name": lab.project, "enabled": True, "wrapperIds": [one, two]}
    assert listed() == expected
    changed = {**expected, "name": "other", "wrapperIds": [two, one, two]}
    answer = api(lab, lab.admin, "POST", "", json=changed)
    assert (answer.status_code, answer.json()) == (200, changed)
    assert listed() == changed
    for word, enabled in (("false", False), ("true", True)):
        assert api(lab, lab.admin, "PUT", f"/{number}/enabled/{word}").status_code == 200
        assert listed() == {**changed, "enabled": enabled}
    assert api(lab, lab.admin, "DELETE", f"/{number}").status_code == 200
    assert listed() is None
    assert api(lab, lab.admin, "DELETE", f"/{number}").status_code == 404


def test_choice_of_a_project(lab: Lab) -> None:
    """An owner sees what the project could use, chooses, and stops; wrappers become enabled."""
    one = lab.command(shell_command("true", resource=None, output=None), enable=False)
    two = lab.command(shell_command("true", resource=None, output=None), enable=False)
    for wrapper in (one, two):
        lab.put(f"/xapi/wrappers/{wrapper}/enabled")
    number = orchestration(lab, one, two, chosen=False)
    owner, path = lab.person("owner"), f"/project/{lab.project}"

    before = api(lab, owner, "GET", path).json()
    chosen = api(lab, owner, "PUT", f"{path}?orchestrationId={number}")
    after = api(lab, owner, "GET", path).json()
    left = api(lab, owner, "DELETE", path)
    at_last = api(lab, owner, "GET", path).json()

    assert before == {"availableOrchestrations": [], "selectedOrchestrationId": None}
    assert (chosen.status_code, left.status_code) == (200, 200)
    assert [each["id"] for each in after["availableOrchestrations"]] == [number]
    assert after["selectedOrchestrationId"] == number
    assert at_last["selectedOrchestrationId"] is None
    assert [each["id"] for each in at_last["availableOrchestrations"]] == [number]


def test_a_disabled_one_is_in_no_project(lab: Lab) -> None:
    """Disabling takes it out of projects, which cannot choose it either."""
    number = orchestration(lab, step(lab, "ONE"), step(lab, "TWO"))
    path = f"/project/{lab.project}"

    api(lab, lab.admin, "PUT", f"/{number}/enabled/false")

    assert api(lab, lab.admin, "GET", path).json()["selectedOrchestrationId"] is None
    assert api(lab, lab.admin, "PUT", f"{path}?orchestrationId={number}").status_code == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ([], 400),
        ({}, 400),
        ({"name": "x"}, 400),
        ({"name": "x", "wrapperIds": []}, 400),
        ({"name": "x", "wrapperIds": ["ONE"]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", "a"]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", True]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", 1.5]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", -1]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", 2**63]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", 10**9]}, 404),
        ({"name": "x", "wrapperIds": ["ONE", "OFF"]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", "SCAN"]}, 400),
        ({"name": "x", "wrapperIds": ["ONE"] * 101}, 400),
        ({"name": "", "wrapperIds": ["ONE", "ONE"]}, 400),
        ({"name": None, "wrapperIds": ["ONE", "ONE"]}, 400),
        ({"name": "x" * 256, "wrapperIds": ["ONE", "ONE"]}, 400),
        ({"name": "x", "id": 10**9, "wrapperIds": ["ONE", "ONE"]}, 404),
        ({"name": "x", "id": "1", "wrapperIds": ["ONE", "ONE"]}, 400),
        ({"name": "x", "wrapperIds": ["ONE", "ONE"], "haltOnCommandFailure": False}, 501),
    ],
)
def test_what_is_no_orchestration(lab: Lab, body: Any, status: int) -> None:
    """Bad bodies, unknown and disabled wrappers, and wrappers without a common context."""
    names = {
        "ONE": lambda: step(lab, "ONE"),
        "OFF": lambda: lab.command(shell_command("true"), enable=False),
        "SCAN": lambda: lab.command(shell_command("true", root="Scan")),
    }
    if isinstance(body, dict) and isinstance(body.get("wrapperIds"), list):
        made = {name: names[name]() for name in {*body["wrapperIds"]} & set(names)}
        body = {**body, "wrapperIds": [made.get(each, each) for each in body["wrapperIds"]]}

    assert api(lab, lab.admin, "POST", "", json=body).status_code == status


def test_rights(lab: Lab) -> None:
    """The site's are for those who administer the service, a project's for its owners."""
    number = orchestration(lab, step(lab, "ONE"), step(lab, "TWO"))
    project = f"/project/{lab.project}"
    site = [
        ("GET", ""), ("POST", ""), ("DELETE", f"/{number}"), ("PUT", f"/{number}/enabled/false"),
    ]  # fmt: skip
    own = [("GET", project), ("PUT", f"{project}?orchestrationId={number}"), ("DELETE", project)]
    nobody = Person("", requests.Session())

    for method, path in (*site, *own):
        assert api(lab, nobody, method, path, json={}).status_code == 401
        for role in (None, "collaborator", "member"):
            assert api(lab, lab.person(role), method, path, json={}).status_code == 403
    for method, path in site:
        assert api(lab, lab.person("owner"), method, path, json={}).status_code == 403
    assert api(lab, lab.admin, "GET", project).json()["selectedOrchestrationId"] == number
    for query in ("", "?orchestrationId=x", "?orchestrationId=-1"):
        assert api(lab, lab.admin, "PUT", f"{project}{query}").status_code == 400
    assert api(lab, lab.admin, "PUT", f"{project}?orchestrationId=999999").status_code == 404
