"""Workflow entries, as clients read and write them."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest
import requests

from tests.builders.container_lab import Lab, shell_command
from tests.deploy.sandbox.conftest import Api


def fields(session: str, **more: str) -> dict[str, str]:
    """Return the query of a new workflow."""
    values = {
        "id": session,
        "pipeline_name": "by-hand",
        "launch_time": "2030-01-02 03:04:05",
        "data_type": "xnat:mrSessionData",
        **more,
    }
    return {f"wrk:workflowData/{name}": value for name, value in values.items()}


def test_made_read_and_changed(lab: Lab):
    """A workflow is made with four fields, read as an item, and moved on by its number."""
    member, session = lab.person(), lab.session()
    base = f"{lab.url}/data/workflows"

    number = member.http.put(base, params=fields(session, status="Running")).text
    changed = member.http.put(f"{base}/{number}", params={"wrk:workflowData/status": "Complete"})

    assert changed.status_code == 200
    found = lab.workflow(member, number)
    assert found["wrk_workflowdata_id"] == int(number)
    assert found["id"] == session
    assert found["status"] == "Complete"
    assert found["external_id"] == lab.project
    assert found["launch_time"] == "2030-01-02 03:04:05"
    item = member.http.get(f"{base}/{number}?format=json").json()["items"][0]
    assert item["meta"]["xsi:type"] == "wrk:workflowData"


def test_xml_form(lab: Lab):
    """Without a format a workflow is an XML document."""
    member, session = lab.person(), lab.session()
    number = member.http.put(f"{lab.url}/data/workflows", params=fields(session)).text

    root = ET.fromstring(member.http.get(f"{lab.url}/data/workflows/{number}").text)  # noqa: S314 - our server

    assert root.tag.endswith("}Workflow")
    assert root.get("status") == "Queued"


@pytest.mark.parametrize("missing", ["id", "pipeline_name", "launch_time", "data_type"])
def test_four_fields_are_needed(lab: Lab, missing: str):
    """A workflow without one of its four fields is answered 400."""
    query = fields(lab.session())
    del query[f"wrk:workflowData/{missing}"]

    assert lab.admin.http.put(f"{lab.url}/data/workflows", params=query).status_code == 400


@pytest.mark.parametrize(
    "more", [{"colour": "red"}, {"launch_time": "yesterday"}, {"status": "x" * 5000}]
)
def test_bad_fields_are_refused(lab: Lab, more: dict[str, str]):
    """A field or time that workflows do not have is answered 400."""
    query = fields(lab.session(), **more)

    assert lab.admin.http.put(f"{lab.url}/data/workflows", params=query).status_code == 400


def test_rights(lab: Lab):
    """Writing takes the right to edit the object, reading the right to read it."""
    session = lab.session()
    base = f"{lab.url}/data/workflows"
    collaborator, stranger = lab.person("collaborator"), lab.person(None)
    number = lab.admin.http.put(base, params=fields(session)).text
    change: dict[str, Any] = {"params": {"wrk:workflowData/status": "x"}}

    assert collaborator.http.put(base, params=fields(session)).status_code == 403
    assert collaborator.http.put(f"{base}/{number}", **change).status_code == 403
    assert collaborator.http.get(f"{base}/{number}?format=json").status_code == 200
    assert stranger.http.get(f"{base}/{number}?format=json").status_code == 404
    assert stranger.http.put(base, params=fields(session)).status_code in (403, 404)
    assert requests.get(f"{base}/{number}", timeout=10).status_code == 401
    assert lab.admin.http.get(f"{base}/999999999").status_code == 404
    assert lab.admin.http.get(f"{base}/x").status_code == 400


def test_list(lab: Lab):
    """The list has one's own and those of readable projects, and can be narrowed."""
    member, stranger, session = lab.person(), lab.person(None), lab.session()
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    number = lab.launch(lab.admin, wrapper, session)
    lab.end(lab.admin, number)
    path = f"{lab.url}/xapi/workflows"

    seen = member.http.post(path, json={"page": 1, "size": 10, "id": session}).json()
    hidden = stranger.http.post(path, json={"page": 1, "size": 10, "id": session}).json()

    assert [(each["wfid"], each["status"]) for each in seen] == [(int(number), "Complete")]
    assert hidden == []
    for body in ([], {"page": "x"}, {"size": -1}):
        assert member.http.post(path, json=body).status_code == 400


def test_a_hidden_object_is_answered_like_none(lab: Lab, admin: Api, make_project: Any):
    """Making an entry for somebody else's session does not tell that there is such a session."""
    member = lab.person()
    root = f"/data/projects/{make_project()}"
    admin.made(f"{root}/subjects/S1")
    session = admin.made(f"{root}/subjects/S1/experiments/E1", xsiType="xnat:mrSessionData")
    absent = "XNAT_E9999999"
    base = f"{lab.url}/data/workflows"

    hidden = member.http.put(base, params=fields(session))
    none = member.http.put(base, params=fields(absent))

    assert hidden.status_code == none.status_code == 404
    assert hidden.text.replace(session, absent) == none.text


def test_an_entry_is_not_put_into_the_list_of_a_foreign_project(lab: Lab, make_project: Any):
    """An entry names no project whose data its maker may not edit, neither at first nor later."""
    member, session = lab.person(), lab.session()
    base, foreign = f"{lab.url}/data/workflows", make_project()

    made = member.http.put(base, params=fields(session, externalid=foreign))
    number = member.http.put(base, params=fields(session)).text
    moved = member.http.put(f"{base}/{number}", params={"wrk:workflowData/externalid": foreign})

    assert (made.status_code, moved.status_code) == (403, 403)
    assert lab.workflow(member, number)["external_id"] == lab.project
