"""Lists of containers: what is shown to whom."""

from __future__ import annotations

import pytest
import requests

from tests.builders.container_lab import Lab, shell_command


@pytest.fixture
def finished(lab: Lab) -> tuple[Lab, str, int]:
    """Return a lab, and a workflow and container that an administrator finished in it."""
    wrapper = lab.command(shell_command("true", resource=None, output=None))
    number = lab.launch(lab.admin, wrapper, lab.session())
    lab.end(lab.admin, number)
    return lab, number, lab.containers(lab.admin, number)[0]["id"]


def test_version(lab: Lab):
    """The version is that of the Container Service whose contract is followed."""
    assert lab.admin.http.get(f"{lab.url}/xapi/containers/version").text == "3.7.3"


def test_others_see_only_what_it_is(finished: tuple[Lab, str, int]):
    """Somebody else's container shows its status, but neither environment nor mounts nor line."""
    lab, _, container = finished
    owner = lab.person("owner")

    seen = owner.http.get(f"{lab.url}/xapi/containers/{container}").json()
    listed = owner.http.get(f"{lab.url}/xapi/containers").json()

    assert seen["status"] == "Complete"
    assert not {"env", "mounts", "inputs", "command-line"} & set(seen)
    assert seen["history"] == []
    assert [each for each in listed if each["id"] == container] == [seen]


def test_project_list_has_ones_own(finished: tuple[Lab, str, int]):
    """The list of a project leaves out containers of others, except for an administrator."""
    lab, _, container = finished
    member = lab.person()
    path = f"{lab.url}/xapi/projects/{lab.project}/containers"

    assert member.http.get(path).json() == []
    assert [each["id"] for each in lab.admin.http.get(path).json()] == [container]
    assert lab.person(None).http.get(path).status_code == 403


def test_by_engine_id_and_by_name(lab: Lab):
    """A container is found by its number, the engine's id, and its name."""
    document = shell_command("true", resource=None, output=None)
    document["container-name"] = f"name-{lab.project}"
    number = lab.launch(lab.admin, lab.command(document), lab.session())
    lab.end(lab.admin, number)
    (container,) = lab.containers(lab.admin, number)
    get = lab.admin.http.get

    for path in (
        f"containers/{container['id']}",
        f"containers/{container['container-id']}",
        f"container/name/name-{lab.project}",
        f"projects/{lab.project}/containers/name/name-{lab.project}",
        f"projects/{lab.project}/containers/{container['id']}",
    ):
        assert get(f"{lab.url}/xapi/{path}").json()["id"] == container["id"], path
    assert get(f"{lab.url}/xapi/containers/no-such").status_code == 404


def test_logs_are_for_the_owner_of_the_job(finished: tuple[Lab, str, int]):
    """Logs, deletion and ending are refused to others, and to nobody in particular."""
    lab, _, container = finished
    base = f"{lab.url}/xapi/containers/{container}"
    owner = lab.person("owner").http

    assert owner.get(f"{base}/logs").status_code == 403
    assert owner.get(f"{base}/logs/stdout").status_code == 403
    assert owner.get(f"{base}/logSince/stdout").status_code == 403
    assert owner.delete(base).status_code == 403
    assert owner.post(f"{base}/kill").status_code == 403
    assert requests.get(base, timeout=10).status_code == 401


def test_delete(finished: tuple[Lab, str, int]):
    """A finished container is deleted with 204; its workflow stays."""
    lab, number, container = finished
    base = f"{lab.url}/xapi/containers/{container}"

    assert lab.admin.http.delete(base).status_code == 204
    assert lab.admin.http.get(base).status_code == 404
    assert lab.workflow(lab.admin, number)["status"] == "Complete"


def test_pages(finished: tuple[Lab, str, int]):
    """A page of the list is asked for with a JSON body, the newest first."""
    lab, _, container = finished
    path = f"{lab.url}/xapi/projects/{lab.project}/containers"

    first = lab.admin.http.post(path, json={"page": 1, "size": 1}).json()
    second = lab.admin.http.post(path, json={"page": 2, "size": 1}).json()

    assert [each["id"] for each in first] == [container]
    assert second == []
    for body in ([], {"page": 0}, {"size": "x"}, {"page": 10**30}):
        assert lab.admin.http.post(path, json=body).status_code == 400


def test_nonfinalized(finished: tuple[Lab, str, int]):
    """Containers that are over are left out on request."""
    lab, _, container = finished

    everything = lab.admin.http.get(f"{lab.url}/xapi/containers?nonfinalized=true").json()

    assert container not in [each["id"] for each in everything]


def test_process_engine_reports_what_it_ignores(lab: Lab):
    """Limits that a local process does not have are named in the container's history."""
    document = shell_command("true", resource=None, output=None)
    document |= {"limit-memory": 100, "limit-cpu": 0.5}
    number = lab.launch(lab.admin, lab.command(document), lab.session())
    lab.end(lab.admin, number)

    (container,) = lab.containers(lab.admin, number)

    messages = " ".join(each["message"] or "" for each in container["history"])
    assert "memory_limit_mb" in messages
    assert "cpu_limit" in messages
    assert (container["limit-memory"], container["limit-cpu"]) == (100, 0.5)
