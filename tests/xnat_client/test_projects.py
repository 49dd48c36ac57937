"""Projects are created private, even by a server that would rather not."""

from __future__ import annotations

import pytest

from xnat_client.errors import ConflictError, NotAllowedError, RefusedError, UsageError
from xnat_client.projects import create_project, list_projects
from xnat_client.transport import Transport

from .conftest import Reply, ScriptedServer

PROJECT = "/data/projects/P1"
ACCESS = f"{PROJECT}/accessibility"


def test_private_is_asked_for_and_read_back(scripted: ScriptedServer, transport: Transport) -> None:
    """The request says private explicitly: XNAT's own default is protected."""
    scripted.answer("GET", ACCESS, Reply(404), Reply(body=b"private"))
    scripted.answer("PUT", PROJECT, Reply())

    create_project(transport, "P1", "A title")

    [request] = scripted.requests_to(PROJECT)
    assert request.query["accessibility"] == ["private"]
    assert [one.method for one in scripted.requests_to(ACCESS)] == ["GET", "GET"]


def test_protected_project_is_made_private(scripted: ScriptedServer, transport: Transport) -> None:
    """A server that ignored the wish is told a second time."""
    scripted.answer("GET", ACCESS, Reply(404), Reply(body=b"protected"), Reply(body=b"private"))
    scripted.answer("PUT", PROJECT, Reply())
    scripted.answer("PUT", f"{ACCESS}/private", Reply())

    create_project(transport, "P1")

    assert len(scripted.requests_to(f"{ACCESS}/private")) == 1


def test_project_that_stays_open_is_an_error(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """If it cannot be made private, nobody is told that all is well."""
    scripted.answer("GET", ACCESS, Reply(404), Reply(body=b"public"))
    scripted.answer("PUT", PROJECT, Reply())
    scripted.answer("PUT", f"{ACCESS}/private", Reply())

    with pytest.raises(RefusedError, match="keeps it public"):
        create_project(transport, "P1")


def test_existing_project_is_not_changed(scripted: ScriptedServer, transport: Transport) -> None:
    """XNAT's PUT would modify it, so it is never sent."""
    scripted.answer("GET", ACCESS, Reply(body=b"public"))

    with pytest.raises(ConflictError):
        create_project(transport, "P1")

    assert scripted.requests_to(PROJECT) == []


def test_hidden_project_of_somebody_else(scripted: ScriptedServer, transport: Transport) -> None:
    """A project one cannot see answers 403 to its creation."""
    scripted.answer("GET", ACCESS, Reply(404))
    scripted.answer("PUT", PROJECT, Reply(403))

    with pytest.raises(NotAllowedError):
        create_project(transport, "P1")


def test_bad_id_is_not_sent(scripted: ScriptedServer, transport: Transport) -> None:
    """An ID that XNAT cannot hold is refused without a request."""
    with pytest.raises(UsageError):
        create_project(transport, "my project")

    assert scripted.received == []


def test_list_is_sorted(scripted: ScriptedServer, transport: Transport) -> None:
    """Projects come in the order of their IDs, empty cells as empty text."""
    rows = [{"ID": "B", "name": "b", "description": ""}, {"ID": "A", "name": "a"}]
    scripted.answer("GET", "/data/projects", Reply.table(*rows))

    assert [(one.project_id, one.description) for one in list_projects(transport)] == [
        ("A", ""),
        ("B", ""),
    ]
