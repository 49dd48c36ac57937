"""Launches on events: subscriptions, what they lead to, and their history."""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from typing import Any

import pytest
import requests

from deploy import sandbox_process
from deploy.sandbox.store import Store
from tests.builders.container_lab import PATIENCE_S, Lab, Person, shell_command
from tests.builders.dicom_images import image, zipped

EVENTS = "org.nrg.xnat.eventservice.events."
ACTION = "org.nrg.containers.services.CommandActionProvider:"


def _body(lab: Lab, wrapper: int, event: str, **other: Any) -> dict[str, Any]:
    event_type, _, status = event.partition(":")
    return {
        "name": f"sub-{secrets.token_hex(4)}",
        "active": True,
        "act-as-event-user": other.pop("as_event_user", False),
        "event-filter": {
            "event-type": EVENTS + event_type,
            "status": status,
            "project-ids": other.pop("projects", [lab.project]),
            "payload-filter": other.pop("payload_filter", None),
        },
        "action-key": f"{ACTION}{wrapper}",
        "attributes": {},
        **other,
    }


def _subscribe(lab: Lab, who: Person, body: dict[str, Any]) -> int:
    place = "" if who.login == "admin" else f"/projects/{lab.project}"
    answer = who.http.post(f"{lab.url}/xapi{place}/events/subscription", json=body)
    assert answer.status_code == 201, answer.text
    name, _, number = answer.text.rpartition(":")
    assert name == body["name"]
    return int(number)


def _delivered(lab: Lab, subscription: int, count: int = 1) -> list[dict[str, Any]]:
    """Wait until a subscription has this many entries in the history; return them, oldest first."""
    address = f"{lab.url}/xapi/projects/{lab.project}/events/delivered"
    query = {"subscription-id": str(subscription), "include-filter-mismatch": "true"}
    give_up = time.monotonic() + PATIENCE_S
    found: list[dict[str, Any]] = []
    while len(found) < count and time.monotonic() < give_up:
        found = lab.admin.http.get(address, params=query).json()
        time.sleep(0.05)
    assert len(found) == count, found
    return found[::-1]


def _workflow_of(entry: dict[str, Any]) -> str:
    assert entry["error"] is False, entry
    return str(entry["status-message"].rpartition(" ")[2].rstrip("."))


def _import(lab: Lab, who: Person, session: str = "MR1", **query: str) -> requests.Response:
    answer = who.http.post(
        f"{lab.url}/data/services/import",
        params={
            "dest": f"/archive/projects/{lab.project}/subjects/S9/experiments/{session}", **query
        },
        data=zipped(image(), image(InstanceNumber=2)),
        headers={"Content-Type": "application/zip"},
    )  # fmt: skip
    assert answer.status_code == 200, answer.text
    return answer


def test_an_archived_session_is_launched_on_once(lab: Lab):
    """Archiving a session launches the command on it, with its files there; nothing else does."""
    owner, uploader = lab.person("owner"), lab.person("member")
    document = shell_command(
        "ls /input | grep -vc DICOM_catalog.xml > /output/count", resource="DICOM", root="Scan"
    )
    wrapper = lab.command(document)
    subscription = _subscribe(lab, owner, _body(lab, wrapper, "ScanEvent:CREATED"))

    _import(lab, uploader)

    (entry,) = _delivered(lab, subscription)
    assert lab.end(owner, _workflow_of(entry)) == ("Complete", "")
    uri = entry["trigger"]["xsi-uri"].replace("/archive", "/data")
    assert lab.read(uri, "COPY/count").strip() == b"2"
    assert (entry["user"], entry["project"]) == (owner.login, lab.project)


def test_created_and_merged_are_told_apart(lab: Lab):
    """The first archiving of a session is CREATED, appending to it is MERGED, deleting DELETED."""
    owner = lab.person("owner")
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    numbers = {
        word: _subscribe(lab, owner, _body(lab, wrapper, f"SessionEvent:{word}"))
        for word in ("CREATED", "MERGED", "DELETED")
    }

    _import(lab, owner)
    _import(lab, owner, overwrite="append", overwrite_files="true")
    removed = owner.http.delete(f"{lab.url}/data/projects/{lab.project}/experiments/MR1")

    assert removed.status_code == 200
    (created,) = _delivered(lab, numbers["CREATED"])
    (merged,) = _delivered(lab, numbers["MERGED"])
    (deleted,) = _delivered(lab, numbers["DELETED"])
    assert (created["trigger"]["status"], merged["trigger"]["status"]) == ("CREATED", "MERGED")
    assert deleted["error"] is True
    assert deleted["trigger"]["object-label"] == "MR1"


@pytest.mark.parametrize(
    ("at_site", "as_event_user", "expected"),
    [
        (True, True, "uploader"),
        (True, False, "admin"),
        (False, False, "owner"),
        (False, True, "owner"),
    ],
)
def test_who_launches(
    lab: Lab,
    at_site: bool,  # noqa: FBT001 - a table's column
    as_event_user: bool,  # noqa: FBT001 - same
    expected: str,
):
    """A launch runs as the subscription's owner; administrators can say: as the event's user."""
    people = {"owner": lab.person("owner"), "uploader": lab.person("member"), "admin": lab.admin}
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    body = _body(lab, wrapper, "SessionEvent:CREATED", as_event_user=as_event_user)
    subscription = _subscribe(lab, people["admin" if at_site else "owner"], body)

    _import(lab, people["uploader"])

    (entry,) = _delivered(lab, subscription)
    assert entry["user"] == people[expected].login
    number = _workflow_of(entry)
    lab.end(lab.admin, number)
    (container,) = lab.containers(lab.admin, number)
    assert container["user-id"] == people[expected].login


def test_who_added_files_is_the_user_of_the_event(lab: Lab):
    """Files added to somebody else's resource are an event of the one who added them, once."""
    other = lab.person("member")
    document = shell_command("true", root="Resource", resource=None, output=None)
    session = lab.session(files={"NOTES/a": b"a"})
    body = _body(lab, lab.command(document), "ResourceEvent:UPDATED", as_event_user=True)
    subscription = _subscribe(lab, lab.admin, body)

    target = f"{lab.url}/data/experiments/{session}/resources/NOTES/files/b"
    assert other.http.put(target, data=b"b").status_code == 200

    (entry,) = _delivered(lab, subscription)
    assert (entry["user"], entry["error"]) == (other.login, False)


def test_filter_lets_through_what_it_names(lab: Lab):
    """Only sessions that the JSONPath filter accepts are launched on; the others are noted."""
    owner = lab.person("owner")
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    accepted = '(@.xsiType == "xnat:mrSessionData" && @.label =~ /WANTED.*/)'
    body = _body(lab, wrapper, "SessionEvent:CREATED", payload_filter=accepted)
    subscription = _subscribe(lab, owner, body)

    lab.session("OTHER")
    lab.session("WANTED1")

    refused, launched = _delivered(lab, subscription, 2)
    assert refused["status"][-1]["status"] == "OBJECT_FILTER_MISMATCH_HALT"
    assert refused["error"] is False
    assert launched["trigger"]["object-label"] == "WANTED1"
    assert lab.end(owner, _workflow_of(launched))[0] == "Complete"
    counted = owner.http.get(f"{lab.url}/xapi/projects/{lab.project}/events/delivered/count")
    assert counted.json() == 1


def test_attributes_are_inputs(lab: Lab):
    """Attributes of a subscription are values of the launch's inputs."""
    owner = lab.person("owner")
    document = shell_command("echo #WORD#", resource=None, output=None)
    document["inputs"] = [{"name": "word", "replacement-key": "#WORD#"}]
    wrapper = lab.command(document)
    body = _body(lab, wrapper, "SessionEvent:CREATED", attributes={"word": "from-attributes"})
    subscription = _subscribe(lab, owner, body)

    lab.session()

    number = _workflow_of(_delivered(lab, subscription)[0])
    assert lab.end(owner, number)[0] == "Complete"
    assert lab.log(owner, number) == "from-attributes\n"


@pytest.mark.parametrize(
    ("event", "root"),
    [
        ("SubjectEvent:CREATED", "Subject"),
        ("ImageAssessorEvent:CREATED", "Assessor"),
        ("ResourceEvent:CREATED", "Resource"),
        ("ScanEvent:CREATED", "Scan"),
        ("SubjectAssessorEvent:CREATED", "Session"),
    ],
)
def test_every_kind_of_object(lab: Lab, event: str, root: str):
    """Each kind of event launches on the object that it is about."""
    owner = lab.person("owner")
    document = shell_command("true", root=root, resource=None, output=None)
    document["command-line"] = "echo #uri#"
    document["inputs"] = [{"name": "uri"}]
    document["xnat"][0]["external-inputs"][0]["provides-value-for-command-input"] = "uri"
    subscription = _subscribe(lab, owner, _body(lab, lab.command(document), event))

    session = lab.session(scans={"1": {"NIFTI/a": b"a"}})
    lab.put(f"/data/experiments/{session}/assessors/A1?xsiType=xnat:qcAssessmentData")

    (entry,) = _delivered(lab, subscription)
    number = _workflow_of(entry)
    assert lab.end(owner, number)[0] == "Complete"
    assert lab.log(owner, number).strip() == entry["trigger"]["xsi-uri"]


def test_the_end_of_a_launch_starts_another(lab: Lab):
    """A workflow's status change launches on the workflow's object, and not on its own launches."""
    owner = lab.person("owner")
    first = lab.command(shell_command("true", resource=None, output=None))
    second = lab.command(shell_command("true", resource=None, output=None))
    accepted = '(@.pipelineName == "shell" && @.status == "Complete")'
    body = _body(lab, second, "WorkflowStatusChangeEvent:CHANGED", payload_filter=accepted)
    subscription = _subscribe(lab, owner, body)
    session = lab.session()

    number = lab.launch(owner, first, session)
    lab.end(owner, number)

    address = f"{lab.url}/xapi/projects/{lab.project}/events/delivered"
    query = {"subscription-id": str(subscription)}
    give_up, found = time.monotonic() + PATIENCE_S, []
    while not found and time.monotonic() < give_up:
        found = owner.http.get(address, params=query).json()
        time.sleep(0.05)
    chained = _workflow_of(found[0])
    assert lab.end(owner, chained)[0] == "Complete"
    lab.session("E2")  # whatever happens next comes after the chained launch's own events
    again = owner.http.get(address, params=query).json()
    assert [each["id"] for each in again] == [found[0]["id"]]


def test_a_failing_action_is_told_by_the_history_only(lab: Lab):
    """Where the action cannot be launched the request goes well and the history tells why."""
    owner = lab.person("owner")
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    subscription = _subscribe(lab, owner, _body(lab, wrapper, "SessionEvent:CREATED"))
    lab.put(f"/xapi/projects/{lab.project}/wrappers/{wrapper}/disabled")

    _import(lab, owner)

    (entry,) = _delivered(lab, subscription)
    assert entry["error"] is True
    assert entry["status"][-1]["status"] == "ACTION_FAILED"
    assert "not enabled" in entry["status-message"]


def test_other_projects_and_resting_subscriptions_hear_nothing(lab: Lab):
    """Events of other projects, and events while a subscription rests, lead to nothing."""
    owner, other = lab.person("owner"), Lab(lab.url, lab.admin_password)
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    subscription = _subscribe(lab, owner, _body(lab, wrapper, "SessionEvent:CREATED"))
    one = f"{lab.url}/xapi/projects/{lab.project}/events/subscription/{subscription}"

    other.session()
    assert owner.http.post(f"{one}/deactivate").status_code == 200
    lab.session("RESTING")
    assert owner.http.get(one).json()["active"] is False
    assert owner.http.post(f"{one}/activate").status_code == 200
    lab.session("AWAKE")

    (entry,) = _delivered(lab, subscription)
    assert entry["trigger"]["object-label"] == "AWAKE"


def _end_suddenly(sandbox: Any) -> None:
    os.kill(sandbox.pid, signal.SIGKILL)
    give_up = time.monotonic() + 30
    while sandbox_process.running(sandbox.root) and time.monotonic() < give_up:
        time.sleep(0.05)


def test_an_event_outlives_the_server_that_noted_it(fresh_sandbox: Any):
    """What was committed before a server died, and told to nobody, is told by the next server."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    document = shell_command("true", root="Subject", resource=None, output=None)
    body = _body(lab, lab.command(document), "SubjectEvent:CREATED", as_event_user=True)
    subscription = _subscribe(lab, lab.admin, body)
    _end_suddenly(fresh_sandbox)
    with Store(fresh_sandbox.root / "sandbox.sqlite").write() as connection:
        connection.execute(
            "INSERT INTO subject (id, project, label, insert_date, insert_user, last_modified)"
            " VALUES ('X_S1', ?, 'S1', '', 'admin', '')",
            (lab.project,),
        )

    for _ in range(2):
        lab.url = sandbox_process.start(fresh_sandbox.root, engine="process").url
        (entry,) = _delivered(lab, subscription)
        sandbox_process.stop(fresh_sandbox.root)

    assert entry["trigger"]["xsi-uri"] == "/archive/subjects/X_S1"
    assert _workflow_of(entry)


def test_a_sudden_end_neither_loses_nor_repeats(fresh_sandbox: Any):
    """After kill -9 during imports each session that was archived is launched on exactly once."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    subscription = _subscribe(lab, lab.admin, _body(lab, wrapper, "SessionEvent:CREATED"))

    for number in range(5):
        _import(lab, lab.admin, f"MR{number}")
    _end_suddenly(fresh_sandbox)
    lab.url = sandbox_process.start(fresh_sandbox.root, engine="process").url

    entries = _delivered(lab, subscription, 5)
    labels = [each["trigger"]["object-label"] for each in entries]
    assert labels == [f"MR{number}" for number in range(5)]
    workflows = {_workflow_of(each) for each in entries}
    assert len(workflows) == 5
    assert {lab.end(lab.admin, each)[0] for each in workflows} == {"Complete"}


# Subscriptions ------------------------------------------------------------------------------


def test_subscription_life(lab: Lab):
    """A subscription is answered as it was sent, changed in part, and deleted with 204."""
    owner = lab.person("owner")
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    body = _body(lab, wrapper, "SessionEvent:CREATED", attributes={"n": 1, "yes": True})
    base = f"{lab.url}/xapi/projects/{lab.project}/events"

    number = _subscribe(lab, owner, body)
    stored = owner.http.get(f"{base}/subscription/{number}").json()
    changed = owner.http.put(f"{base}/subscription/{number}", json={"name": body["name"] + "x"})
    listed = owner.http.get(f"{base}/subscriptions").json()
    deleted = owner.http.delete(f"{base}/subscription/{number}")

    assert stored["event-filter"]["event-type"] == EVENTS + "SessionEvent"
    assert stored["event-filter"]["project-ids"] == [lab.project]
    assert stored["attributes"] == {"n": "1", "yes": "true"}
    assert (stored["subscription-owner"], stored["editable"]) == (owner.login, True)
    assert changed.status_code == 200
    assert [(s["id"], s["name"]) for s in listed] == [(number, body["name"] + "x")]
    assert listed[0]["action-key"] == body["action-key"]
    assert deleted.status_code == 204
    assert owner.http.get(f"{base}/subscription/{number}").status_code == 404


def test_rights_to_subscribe(lab: Lab):
    """A project's owners subscribe for it, administrators for the site, and nobody else."""
    owner, member, stranger = lab.person("owner"), lab.person("member"), lab.person(None)
    other = Lab(lab.url, lab.admin_password)
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    other.put(f"/xapi/projects/{other.project}/wrappers/{wrapper}/enabled")
    here = f"{lab.url}/xapi/projects/{lab.project}/events/subscription"
    site = f"{lab.url}/xapi/events/subscription"
    body = _body(lab, wrapper, "SessionEvent:CREATED")
    both = _body(lab, wrapper, "SessionEvent:CREATED", projects=[lab.project, other.project])
    elsewhere = _body(lab, wrapper, "SessionEvent:CREATED", projects=[other.project])

    assert requests.post(here, json=body, timeout=30).status_code == 401
    assert [p.http.post(here, json=body).status_code for p in (stranger, member)] == [403, 403]
    assert [p.http.post(site, json=body).status_code for p in (owner, member)] == [403, 403]
    assert [owner.http.post(here, json=b).status_code for b in (both, elsewhere)] == [401, 401]
    assert owner.http.post(here, json=body).status_code == 201
    assert lab.admin.http.post(site, json=elsewhere).status_code == 201
    assert owner.http.get(f"{lab.url}/xapi/events/subscriptions").status_code == 403
    assert owner.http.get(f"{lab.url}/xapi/events/delivered/count").status_code == 403


@pytest.mark.parametrize("loss", ["rank", "membership", "account"])
def test_a_subscription_ends_with_the_standing_of_its_owner(lab: Lab, loss: str):
    """What somebody subscribed launches nothing once they own the project no longer."""
    owner, other = lab.person("owner"), lab.person("owner")
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    subscription = _subscribe(lab, owner, _body(lab, wrapper, "SessionEvent:CREATED"))
    group = f"{lab.url}/data/projects/{lab.project}/users"
    if loss == "rank":
        answer = lab.admin.http.put(f"{group}/collaborator/{owner.login}")
    elif loss == "membership":
        answer = lab.admin.http.delete(f"{group}/owner/{owner.login}")
    else:
        answer = lab.admin.http.put(f"{lab.url}/xapi/users/{owner.login}/enabled/false")
    assert answer.status_code == 200

    _import(lab, other)

    (entry,) = _delivered(lab, subscription)
    assert entry["error"] is True
    launched = lab.admin.http.get(f"{lab.url}/xapi/projects/{lab.project}/containers").json()
    assert launched == []


def test_another_owner_may_stop_but_not_steer(lab: Lab):
    """What runs in somebody's name is changed by nobody else, but can be deactivated."""
    owner, second = lab.person("owner"), lab.person("owner")
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    number = _subscribe(lab, owner, _body(lab, wrapper, "SessionEvent:CREATED"))
    one = f"{lab.url}/xapi/projects/{lab.project}/events/subscription/{number}"

    assert second.http.put(one, json={"attributes": {"a": "b"}}).status_code == 403
    assert owner.http.put(one, json={"act-as-event-user": True}).status_code == 200
    assert owner.http.get(one).json()["act-as-event-user"] is False
    assert second.http.post(f"{one}/deactivate").status_code == 200
    assert owner.http.get(one).json()["active"] is False


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"action-key": "nonsense"}, 424),
        ({"action-key": f"{ACTION}999999"}, 424),
        ({"action-key": f"{ACTION}{'9' * 40}"}, 424),
        ({"event-filter": {"event-type": EVENTS + "NoEvent", "status": "CREATED"}}, 424),
        ({"event-filter": {"event-type": EVENTS + "SessionEvent", "status": "CHANGED"}}, 424),
        ({"event-filter": {"event-type": EVENTS + "ScanEvent", "status": "CREATED"}}, 424),
        ({"event-filter": {"event-type": EVENTS + "ScheduledEvent", "status": "CRON"}}, 501),
        ({"event-filter": {"project-ids": ["NOT_THERE"]}}, 424),
        ({"event-filter": {"payload-filter": "(@.label =="}}, 424),
        ({"event-filter": {"project-ids": "P"}}, 400),
        ({"event-filter": 7}, 400),
        ({"attributes": {"a": {}}}, 400),
        ({"attributes": {"a": "\0"}}, 400),
        ({"active": "yes"}, 400),
        ({"name": 5}, 400),
    ],
)
def test_what_cannot_be_subscribed(lab: Lab, change: dict[str, Any], status: int):
    """A subscription that cannot work is refused with 424, a body of the wrong kind with 400."""
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    body = _body(lab, wrapper, "SessionEvent:CREATED")
    for name, value in change.items():
        merges = isinstance(value, dict) and name == "event-filter"
        body[name] = {**body[name], **value} if merges else value

    answer = lab.admin.http.post(f"{lab.url}/xapi/events/subscription", json=body)

    assert answer.status_code == status, answer.text


def test_names_are_unique(lab: Lab):
    """A second subscription of a name is refused with 409."""
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    body = _body(lab, wrapper, "SessionEvent:CREATED")

    _subscribe(lab, lab.admin, body)

    again = lab.admin.http.post(f"{lab.url}/xapi/events/subscription", json=body)
    assert again.status_code == 409


def test_what_there_is_to_subscribe(lab: Lab):
    """Types of events with their statuses, and the wrappers that fit one, are listed."""
    session = lab.command(shell_command("true", resource=None, output=None))
    scan = lab.command(shell_command("true", root="Scan", resource=None, output=None))
    owner, base = lab.person("owner"), f"{lab.url}/xapi/projects/{lab.project}/events"

    kinds = owner.http.get(f"{lab.url}/xapi/events/events").json()
    fitting = owner.http.get(f"{base}/actionsbyevent", params={"event-type": EVENTS + "ScanEvent"})
    everything = owner.http.get(f"{base}/actions").json()
    one = owner.http.get(
        f"{lab.url}/xapi/events/action", params={"actionkey": f"{ACTION}{session}"}
    )

    statuses = {kind["type"]: kind["statuses"] for kind in kinds}
    assert statuses[EVENTS + "SessionEvent"] == ["CREATED", "MERGED", "DELETED"]
    assert [action["action-key"] for action in fitting.json()] == [f"{ACTION}{scan}"]
    assert {action["id"] for action in everything} == {str(session), str(scan)}
    assert one.json()["display-name"] == "shell"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('(@.label == "E1")', 200),
        ('(@.resources[*].label contains "DICOM")', 200),
        ("(@.label ==", 424),
        (json.dumps({"payload-filter": "@.a =~ /(/"}), 424),
        (b"\xff\xfe", 400),
        ('{"payload-filter": 3}', 400),
    ],
)
def test_filter_check(lab: Lab, body: Any, status: int):
    """A filter is checked before it is used."""
    answer = lab.admin.http.post(f"{lab.url}/xapi/events/subscription/filter/validate", data=body)

    assert answer.status_code == status, answer.text


def test_history_is_paged(lab: Lab):
    """The history comes in pages, the latest first, and as a summary with one line for each."""
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    subscription = _subscribe(lab, lab.admin, _body(lab, wrapper, "SessionEvent:CREATED"))
    for number in range(3):
        lab.session(f"E{number}")
    _delivered(lab, subscription, 3)
    base = f"{lab.url}/xapi/projects/{lab.project}/events/delivered"

    pages = [
        lab.admin.http.post(base, json={"page": page, "size": 2}).json() for page in (1, 2, 10**17)
    ]
    summary = lab.admin.http.get(f"{base}/summary").json()
    single = lab.admin.http.get(f"{base}/{pages[0][0]['id']}").json()

    labels = [[each["trigger"]["object-label"] for each in page] for page in pages]
    assert labels == [["E2", "E1"], ["E0"], []]
    assert [line["trigger-label"] for line in summary] == ["E0", "E1", "E2"]
    assert single == pages[0][0]
    for wrong in ({"page": -1}, {"size": "x"}, {"size": True}, [1], 7):
        assert lab.admin.http.post(base, json=wrong).status_code == 400, wrong
