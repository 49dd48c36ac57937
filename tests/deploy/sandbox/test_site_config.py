"""Site properties over HTTP: types are kept, unusable values refused, effects at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from deploy import sandbox_process
from tests.conftest import start_sandbox
from tests.deploy.sandbox.conftest import Api

PATH = "/xapi/siteConfig"


@pytest.fixture(scope="module")
def own_admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The administrator of a site whose settings the tests of this module change."""
    root = tmp_path_factory.mktemp("site-config")
    server = start_sandbox(root)
    with Api(server.url, "admin", server.admin_password) as api:
        yield api
    sandbox_process.stop(root)


def test_the_map_has_xnats_defaults(fresh_sandbox: Any) -> None:
    """The documented defaults, with their types, and the paths of the archive."""
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as admin:
        found = admin.get(PATH).json()

    assert found["siteId"] == "XNAT"
    assert found["requireLogin"] is True
    assert found["userRegistration"] is False
    assert found["sessionTimeout"] == "15 minutes"
    assert found["aliasTokenTimeout"] == "2 days"
    assert found["maxNumberOfSessionsForJobsWithSharedData"] == 10000
    assert found["siteUrl"] == fresh_sandbox.url
    assert found["archivePath"] == str(fresh_sandbox.root / "archive")


@pytest.mark.parametrize(
    ("name", "body", "content_type", "stored"),
    [
        ("checksums", "false", "text/plain", False),
        ("checksums", "true", "application/json", True),
        ("checksums", '"FALSE"', "application/json", False),
        ("siteId", "Site_1", "text/plain", "Site_1"),
        ("siteId", '"Site_2"', "application/json", "Site_2"),
        ("processingUrl", "http://10.0.0.1:8080", "text/plain", "http://10.0.0.1:8080"),
        ("processingUrl", "", "text/plain", ""),
        ("maxNumberOfSessionsForJobsWithSharedData", "5", "text/plain", 5),
        ("sessionTimeout", "2 hours", "text/plain", "2 hours"),
    ],
)
def test_a_value_keeps_its_type(
    own_admin: Api, name: str, body: str, content_type: str, stored: Any
) -> None:
    """Text and JSON bodies give the same; reading answers JSON of the property's type."""
    answer = own_admin.post(f"{PATH}/{name}", data=body, headers={"Content-Type": content_type})

    assert answer.status_code == 200, answer.text
    found = own_admin.get(f"{PATH}/{name}").json()
    assert (found, type(found)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("requireLogin", "maybe", 400),
        ("requireLogin", "1", 400),
        ("requireLogin", "", 400),
        ("sessionTimeout", "soon", 400),
        ("sessionTimeout", "0 minutes", 400),
        ("sessionTimeout", "99999999999 weeks", 400),
        ("aliasTokenTimeout", "-1 days", 400),
        ("siteId", "a/b", 400),
        ("siteId", "", 400),
        ("siteUrl", "ftp://x", 400),
        ("siteUrl", "http://[", 400),
        ("siteUrl", "http://a\nb", 400),
        ("maxNumberOfSessionsForJobsWithSharedData", "1.5", 400),
        ("maxNumberOfSessionsForJobsWithSharedData", "9" * 5000, 400),
        ("maxNumberOfSessionsForJobsWithSharedData", "NaN", 400),
        ("notAProperty", "x", 404),
        ("archivePath", "/elsewhere", 501),
    ],
)
def test_an_unusable_value_is_refused_and_changes_nothing(
    own_admin: Api, name: str, body: str, status: int
) -> None:
    """The status is the documented one; the map is as before."""
    before = own_admin.get(PATH).json()

    assert own_admin.post(f"{PATH}/{name}", data=body).status_code == status

    assert own_admin.get(PATH).json() == before


def test_several_properties_are_set_together_or_not_at_all(own_admin: Api) -> None:
    """One wrong value or name refuses the whole map."""
    before = own_admin.get(PATH).json()

    wrong_value = own_admin.post(PATH, json={"par": False, "checksums": "perhaps"}).status_code
    wrong_name = own_admin.post(PATH, json={"par": False, "nothing": 1}).status_code
    no_map = own_admin.post(PATH, json=["par"]).status_code
    unchanged = own_admin.get(PATH).json()
    right = own_admin.post(PATH, json={"par": False, "siteId": "Both"}).status_code
    after = own_admin.get(PATH).json()

    assert (wrong_value, wrong_name, no_map, right) == (400, 400, 400, 200)
    assert unchanged == before
    assert (after["par"], after["siteId"]) == (False, "Both")


def test_people_read_a_few_properties(make_user: Any) -> None:
    """SiteId and the like 200, the uptime 200, everything else 403 whether it exists or not."""
    person = make_user()

    assert person.get(f"{PATH}/siteId").json() == "XNAT"
    assert set(person.get(f"{PATH}/uptime").json()) == {"days", "hours", "minutes", "seconds"}
    assert "seconds" in person.get(f"{PATH}/uptime/display").text
    assert person.get(f"{PATH}/uptime/years").status_code == 404
    assert person.get(f"{PATH}/archivePath").status_code == 403
    assert person.get(f"{PATH}/nothing").status_code == 403


def test_the_site_id_begins_new_accession_numbers(own_admin: Api) -> None:
    """A new site ID applies to the next object."""
    own_admin.post(f"{PATH}/siteId", data="Lab7")
    own_admin.made("/data/projects/P", xsiType="xnat:projectData")

    made = own_admin.made("/data/projects/P/subjects/S", gender="male")

    assert made.startswith("Lab7_S")
