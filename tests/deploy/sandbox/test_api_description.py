"""The description of the interface, against the standard for such documents and the server."""

from __future__ import annotations

import re
from typing import Any

import pytest
import schemathesis

from tests.deploy.sandbox.conftest import Api


@pytest.fixture(scope="module")
def description(admin: Api) -> dict[str, Any]:
    """Return the description of the running server."""
    answer = admin.get("/xapi/v3/api-docs")
    assert answer.status_code == 200
    document: dict[str, Any] = answer.json()
    return document


def test_it_is_an_openapi_document(description: dict[str, Any]) -> None:
    """Another program's reading of the standard finds nothing wrong with any operation."""
    schema = schemathesis.openapi.from_dict(description)

    operations = [result.ok() for result in schema.get_all_operations()]

    schema.validate()
    assert len(operations) > 1000


def test_it_lists_what_clients_use(description: dict[str, Any]) -> None:
    """Addresses that every XNAT client asks for are there with their methods."""
    paths = description["paths"]

    assert {"get", "put", "delete"} <= paths["/data/projects/{project}"].keys()
    assert "post" in paths["/data/services/import"]
    assert "post" in paths["/xapi/commands"]
    assert paths["/xapi/commands"]["post"]["requestBody"]
    assert paths["/data/projects"]["get"]["summary"]


def test_each_part_of_an_address_is_described(description: dict[str, Any]) -> None:
    """The names in braces and the path parameters are the same, for every address."""
    differing = [
        path
        for path, item in description["paths"].items()
        if re.findall(r"\{(.*?)\}", path) != [part["name"] for part in item["parameters"]]
    ]

    assert differing == []


def test_operations_have_names_of_their_own(description: dict[str, Any]) -> None:
    """Generated clients can tell the operations apart."""
    names = [
        operation["operationId"]
        for item in description["paths"].values()
        for method, operation in item.items()
        if method != "parameters"
    ]

    assert len(names) == len(set(names))


def test_what_is_not_described_is_not_there(admin: Api, description: dict[str, Any]) -> None:
    """A method that the description lacks is answered with 405, one that it has is not."""
    item = description["paths"]["/data/version"]

    assert "get" in item
    assert "put" not in item
    assert admin.put("/data/version").status_code == 405


def test_the_older_form_is_not_implemented(admin: Api) -> None:
    """A client that asks for Swagger 2 is told where the description is."""
    answer = admin.get("/xapi/v2/api-docs")

    assert answer.status_code == 501
    assert "/xapi/v3/api-docs" in answer.text
