"""The engine's addresses, with the process engine behind them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from commands import catalog
from commands.service_json import command_from_json
from tests.builders.container_lab import Lab


def test_server_and_ping(lab: Lab):
    """The engine answers, and its settings have the service's keys."""
    member = lab.person().http
    server = member.get(f"{lab.url}/xapi/docker/server").json()

    assert member.get(f"{lab.url}/xapi/docker/server/ping").text == "OK"
    assert server["ping"] is True
    assert {"id", "name", "host", "swarm-mode", "backend", "container-user"} <= set(server)


def test_settings_are_stored(fresh_sandbox: Any):
    """A manager's change of the settings is answered 201 and kept."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    path = f"{lab.url}/xapi/docker/server"

    answer = lab.admin.http.post(path, json={"name": "here", "container-user": "1000:1000"})

    assert answer.status_code == 201
    assert lab.admin.http.get(path).json()["container-user"] == "1000:1000"
    assert lab.person().http.post(path, json={"name": "x"}).status_code == 403
    assert lab.admin.http.post(path, json={"backend": "kubernetes"}).status_code == 501
    assert lab.admin.http.post(path, json={"container-user": 3}).status_code == 400
    assert lab.admin.http.post(path, json=[]).status_code == 400


def test_commands_of_an_image_label(fresh_sandbox: Any):
    """Saving an image's label stores its commands once, as the catalogue defines them."""
    lab = Lab(fresh_sandbox.url, fresh_sandbox.admin_password)
    save = f"{lab.url}/xapi/docker/images/save"
    command = catalog.commands()[0]

    saved = lab.admin.http.post(save, params={"image": command.image})
    again = lab.admin.http.post(save, params={"image": command.image})

    assert saved.status_code == 200
    (stored,) = saved.json()
    assert command_from_json(stored) == command
    assert again.json() == []
    assert len(lab.admin.http.get(f"{lab.url}/xapi/commands").json()) == 1


def test_images(lab: Lab):
    """Images are listed with the label that carries their commands."""
    images = lab.admin.http.get(f"{lab.url}/xapi/docker/images").json()
    command = catalog.commands()[0]
    label = next(
        each["labels"]["org.nrg.commands"] for each in images if command.image in each["tags"]
    )

    summaries = lab.admin.http.get(f"{lab.url}/xapi/docker/image-summaries").json()
    one = lab.admin.http.get(f"{lab.url}/xapi/docker/images/{command.image}")

    assert json.loads(label)[0]["name"] == command.name
    assert [command.image] in [each["image-names"] for each in summaries]
    assert one.json()["tags"] == [command.image]
    assert lab.admin.http.get(f"{lab.url}/xapi/docker/images/no/such:1").status_code == 404


def _constraints(**changes: Any) -> dict[str, Any]:
    constraint = {"attribute": "node.role", "comparator": "==", "values": ["worker"]}
    return {"swarm-constraints": [{**constraint, **changes}]}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "docker/pull?image=no/such:1", 424),
        ("POST", "docker/hubs/1/pull?image=no/such:1", 424),
        ("POST", "docker/pull", 400),
        ("POST", "docker/images/save", 400),
        ("POST", "docker/images/save?image=no/such:1", 404),
        ("GET", "docker/hubs", 200),
        ("GET", "docker/hubs/1", 200),
        ("GET", "docker/hubs/2", 404),
        ("GET", "docker/hubs/1/ping", 424),
        ("POST", "docker/hubs", 501),
        ("DELETE", "docker/images/no/such:1", 501),
        ("POST", "commandeventmapping", 501),
    ],
)
def test_statuses(lab: Lab, method: str, path: str, status: int):
    """What the sandbox cannot do is answered with the status of that, never as unknown."""
    answer = lab.admin.http.request(method, f"{lab.url}/xapi/{path}")

    assert (answer.status_code, bool(answer.text)) == (status, True)


def test_images_are_for_managers(lab: Lab):
    """Images and registries are the managers' affair."""
    member = lab.person("owner").http

    for path in ("docker/images", "docker/image-summaries", "docker/hubs"):
        assert member.get(f"{lab.url}/xapi/{path}").status_code == 403


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"backend": "kubernetes"}, 501),
        ({"backend": "swarm"}, 424),
        ({"swarm-mode": True}, 424),
        ({"backend": "podman"}, 400),
        ({"backend": 1}, 400),
        ({"swarm-constraints": "x"}, 400),
        ({"swarm-constraints": [1]}, 400),
        ({"swarm-constraints": [{}]}, 400),
        (_constraints(attribute="node.role x"), 400),
        (_constraints(attribute="role"), 400),
        (_constraints(comparator="<"), 400),
        (_constraints(values=[]), 400),
        (_constraints(values=["a b"]), 400),
        (_constraints(values=["a", "b"]), 400),
        (_constraints(**{"user-settable": True}), 400),
        (_constraints(), 201),
        ({"backend": "docker", "swarm-constraints": []}, 201),
    ],
)
def test_backends_and_constraints(lab: Lab, body: dict[str, Any], status: int):
    """A server of local processes has no swarm; what cannot be used is not stored."""
    answer = lab.admin.http.post(f"{lab.url}/xapi/docker/server", json=body)

    assert answer.status_code == status, answer.text
