"""Storing, changing and enabling commands, over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.builders.container_lab import Lab, shell_command

DOCUMENTS = sorted((Path(__file__).parents[2] / "commands" / "documents").glob("*.json"))


def post(lab: Lab, document: Any) -> requests.Response:
    """Send a command document as the administrator."""
    return lab.admin.http.post(f"{lab.url}/xapi/commands", json=document)


def test_creation_answers_the_bare_number(lab: Lab):
    """A new command is answered 201 with its number alone, and can be read by it."""
    document = shell_command("true")

    answer = post(lab, document)

    assert answer.status_code == 201
    assert answer.text.isdigit()
    stored = lab.admin.http.get(f"{lab.url}/xapi/commands/{answer.text}").json()
    assert stored["id"] == int(answer.text)
    assert stored["name"] == document["name"]
    assert isinstance(stored["xnat"][0]["id"], int)
    assert stored["override-entrypoint"] is True


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_sample_documents_survive(lab: Lab, path: Path):
    """Commands as authors write them are stored, and come back with every key they had."""
    document = json.loads(path.read_text())
    document["version"] = lab.project  # unique on the shared server

    answer = post(lab, document)

    assert answer.status_code == 201, answer.text
    stored = lab.admin.http.get(f"{lab.url}/xapi/commands/{answer.json()}").json()
    for key in ("name", "version", "type", "command-line"):
        assert stored[key] == document.get(key, stored[key])
    for kind in ("mounts", "inputs", "outputs", "xnat"):
        assert [each["name"] for each in stored[kind]] == [
            each["name"] for each in document.get(kind, [])
        ]


def test_same_name_version_and_image_is_refused(lab: Lab):
    """A second command of the same name, version and image is answered 400; another version not."""
    document = shell_command("true")
    assert post(lab, document).status_code == 201

    assert post(lab, document).status_code == 400
    assert post(lab, {**document, "version": "2"}).status_code == 201


def broken(**changes: Any) -> dict[str, Any]:
    """Return a good command with top-level changes."""
    return {**shell_command("true"), **changes}


def broken_wrapper(**changes: Any) -> dict[str, Any]:
    """Return a good command with changes in its wrapper."""
    document = shell_command("true")
    document["xnat"][0].update(changes)
    return document


@pytest.mark.parametrize(
    "document",
    [
        broken(name=""),
        broken(image=""),
        broken(inputs=[{"name": "a b"}]),
        broken(inputs=[{"name": "a"}, {"name": "a"}]),
        broken(inputs=[{"name": "a", "type": "colour"}]),
        broken(inputs=[{"name": "a", "type": "select-one"}]),
        broken(inputs=[{"name": "a", "type": "string", "select-values": ["x"]}]),
        broken(mounts=[{"name": "", "path": "/input"}]),
        broken(outputs=[{"name": "made", "mount": "nowhere"}]),
        broken(ulimits={"nofile": "a:b:c"}),
        broken(type="docker-setup"),
        broken(**{"command-line": "x" * 2049}),
        broken_wrapper(name=""),
        broken_wrapper(**{"output-handlers": []}),
        broken_wrapper(
            **{
                "derived-inputs": [
                    {"name": "d", "type": "Resource", "derived-from-wrapper-input": "nobody"}
                ]
            }
        ),
        [],
        "text",
        3,
    ],
)
def test_each_broken_rule_is_answered_400(lab: Lab, document: Any):
    """A document that breaks a rule is answered 400 with a text that begins as the service's."""
    answer = post(lab, document)

    assert answer.status_code == 400
    assert answer.text.startswith("Invalid command:\n\t")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_body_that_is_no_json_is_answered_400(lab: Lab, body: bytes):
    """A body that is no JSON is the client's mistake."""
    answer = lab.admin.http.post(f"{lab.url}/xapi/commands", data=body)

    assert answer.status_code == 400


def test_image_parameter_overrides(lab: Lab):
    """``?image=`` replaces the document's image, and a missing tag becomes latest."""
    answer = lab.admin.http.post(
        f"{lab.url}/xapi/commands", params={"image": "other/image"}, json=shell_command("true")
    )

    stored = lab.admin.http.get(f"{lab.url}/xapi/commands/{answer.json()}").json()
    assert stored["image"] == "other/image:latest"


def test_filters_of_the_list(lab: Lab):
    """The list can be narrowed to a name, and to what the site enabled."""
    document = shell_command("true")
    wrapper = lab.command(document, enable=False)
    commands = f"{lab.url}/xapi/commands"

    def names(**params: str) -> list[str]:
        return [each["name"] for each in lab.admin.http.get(commands, params=params).json()]

    assert names(name=document["name"]) == [document["name"]]
    assert names(name=document["name"], version="other") == []
    assert names(name=document["name"], restrictToEnabledForSite="true") == []
    lab.put(f"/xapi/wrappers/{wrapper}/enabled")
    assert names(name=document["name"], restrictToEnabledForSite="true") == [document["name"]]


def test_update_and_delete(lab: Lab):
    """An update keeps what it does not name and the wrapper's number; a delete is answered 204."""
    wrapper = lab.command(shell_command("true"))
    command = lab.admin.http.get(f"{lab.url}/xapi/commands").json()[-1]
    address = f"{lab.url}/xapi/commands/{command['id']}"

    assert lab.admin.http.post(address, json={"description": "new"}).status_code == 200
    stored = lab.admin.http.get(address).json()
    assert stored["description"] == "new"
    assert stored["command-line"] == "true"
    assert stored["xnat"][0]["id"] == wrapper
    assert lab.admin.http.post(address, json={"image": ""}).status_code == 400

    assert lab.admin.http.delete(address).status_code == 204
    assert lab.admin.http.get(address).status_code == 404


def test_wrappers_are_added_changed_and_taken_away(lab: Lab):
    """A wrapper added to a command has a number of its own and is checked like the others."""
    lab.command(shell_command("true", output=None))
    command = lab.admin.http.get(f"{lab.url}/xapi/commands").json()[-1]
    base = f"{lab.url}/xapi/commands/{command['id']}/wrappers"
    wrapper = {**shell_command("true", output=None)["xnat"][0], "name": "second"}

    added = lab.admin.http.post(base, json=wrapper)

    assert added.status_code == 201
    assert lab.admin.http.post(base, json=wrapper).status_code == 400
    changed = lab.admin.http.post(f"{base}/{added.json()}", json={"label": "Second"})
    assert changed.status_code == 200
    stored = lab.admin.http.get(f"{lab.url}/xapi/commands/{command['id']}").json()
    assert [each["label"] for each in stored["xnat"]] == [None, "Second"]
    assert lab.admin.http.delete(f"{lab.url}/xapi/wrappers/{added.json()}").status_code == 204
    stored = lab.admin.http.get(f"{lab.url}/xapi/commands/{command['id']}").json()
    assert [each["name"] for each in stored["xnat"]] == ["shell"]


def test_only_managers_change_commands(lab: Lab):
    """An owner of a project may read commands but not change them."""
    owner = lab.person("owner")
    lab.command(shell_command("true"))
    number = lab.admin.http.get(f"{lab.url}/xapi/commands").json()[-1]["id"]
    address = f"{lab.url}/xapi/commands/{number}"

    assert owner.http.get(address).status_code == 200
    assert owner.http.post(f"{lab.url}/xapi/commands", json={}).status_code == 403
    assert owner.http.post(address, json={}).status_code == 403
    assert owner.http.delete(address).status_code == 403
    assert requests.get(address, timeout=10).status_code == 401


def test_private_commands_are_hidden(lab: Lab):
    """A private command is seen by managers alone."""
    member = lab.person()
    lab.command(shell_command("true"))
    number = lab.admin.http.get(f"{lab.url}/xapi/commands").json()[-1]["id"]
    visibility = f"{lab.url}/xapi/command/{number}/visibility"

    assert lab.admin.http.post(f"{visibility}/private").status_code == 200
    assert member.http.get(f"{lab.url}/xapi/commands/{number}").status_code == 404
    listed = [each["id"] for each in member.http.get(f"{lab.url}/xapi/commands").json()]
    assert number not in listed
    assert lab.admin.http.post(f"{visibility}/public").status_code == 200
    assert member.http.get(f"{lab.url}/xapi/commands/{number}").status_code == 200
    assert lab.admin.http.post(f"{visibility}/secret").status_code == 400


def test_enabling_takes_the_site_and_the_project(lab: Lab):
    """A new wrapper is enabled nowhere; owners enable it in projects, managers at the site."""
    owner, member = lab.person("owner"), lab.person("member")
    wrapper = lab.command(shell_command("true"), enable=False)
    there = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}"

    assert owner.http.get(f"{there}/enabled").json() == {
        "enabled-for-site": False,
        "enabled-for-project": False,
        "project": lab.project,
    }
    assert member.http.put(f"{there}/enabled").status_code == 403
    assert owner.http.put(f"{lab.url}/xapi/wrappers/{wrapper}/enabled").status_code == 403
    assert owner.http.put(f"{there}/enabled").status_code == 200
    lab.put(f"/xapi/wrappers/{wrapper}/enabled")
    assert owner.http.get(f"{there}/enabled").json()["enabled-for-site"] is True
    projects = lab.admin.http.get(f"{lab.url}/xapi/wrappers/{wrapper}/projects").json()
    assert projects == [lab.project]
    assert owner.http.put(f"{there}/disabled").status_code == 200
    assert owner.http.get(f"{there}/enabled").json()["enabled-for-project"] is False


def test_enabling_by_command_and_name(lab: Lab):
    """The addresses with command and wrapper name mean the same as those with its number."""
    wrapper = lab.command(shell_command("true"), enable=False)
    command = lab.admin.http.get(f"{lab.url}/xapi/commands").json()[-1]["id"]
    lab.put(f"/xapi/commands/{command}/wrappers/shell/enabled")

    enabled = lab.admin.http.get(f"{lab.url}/xapi/wrappers/{wrapper}/enabled")

    assert enabled.json() is True
    missing = lab.admin.http.put(f"{lab.url}/xapi/commands/{command}/wrappers/other/enabled")
    assert missing.status_code == 404


def test_configuration_of_site_and_project(lab: Lab):
    """A project's default goes over the site's, and deleting it brings the site's back."""
    document = shell_command("echo #word#", output=None)
    document["inputs"] = [{"name": "word", "default-value": "own"}]
    wrapper = lab.command(document)
    owner, member = lab.person("owner"), lab.person("member")
    site = f"{lab.url}/xapi/wrappers/{wrapper}/config"
    project = f"{lab.url}/xapi/projects/{lab.project}/wrappers/{wrapper}/config"

    def default(http: requests.Session, address: str) -> str:
        found: str = http.get(address).json()["inputs"]["word"]["default-value"]
        return found

    assert default(lab.admin.http, site) == "own"
    changed = {"inputs": {"word": {"default-value": "site"}}}
    assert lab.admin.http.post(site, json=changed).status_code == 201
    assert default(member.http, project) == "site"
    changed = {"inputs": {"word": {"default-value": "project"}}}
    assert member.http.post(project, json=changed).status_code == 403
    assert owner.http.post(project, json=changed).status_code == 201
    assert default(member.http, project) == "project"
    assert default(lab.admin.http, site) == "site"
    assert owner.http.delete(project).status_code == 204
    assert default(member.http, project) == "site"


@pytest.mark.parametrize(
    "config", [[], {"inputs": {"nobody": {}}}, {"inputs": []}, {"inputs": {"root": 3}}]
)
def test_configuration_that_does_not_fit_is_refused(lab: Lab, config: Any):
    """A configuration that names what the wrapper has not is answered 400."""
    wrapper = lab.command(shell_command("true"))

    answer = lab.admin.http.post(f"{lab.url}/xapi/wrappers/{wrapper}/config", json=config)

    assert answer.status_code == 400


@pytest.mark.parametrize("number", ["999999", "0", "99999999999999999999999"])
def test_unknown_numbers_are_answered_404(lab: Lab, number: str):
    """A number that no command has is not found, however long it is."""
    assert lab.admin.http.get(f"{lab.url}/xapi/commands/{number}").status_code == 404
