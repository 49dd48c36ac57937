"""Series import filters: kept in the config service, and applied to what comes in."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.builders.dicom_images import image, zipped
from tests.deploy.sandbox.conftest import Api

PATH = "config/seriesImportFilter/config"
SERIES = (
    image(SeriesNumber=1, SeriesDescription="t1 mprage"),
    image(SeriesNumber=2, SeriesDescription="LOCALIZER"),
    image(SeriesNumber=3, SeriesDescription="bold scout", BurnedInAnnotation="YES"),
    image(SeriesNumber=4, SeriesDescription=None),
)


def _filter(mode: str, *lines: str, enabled: Any = "true") -> str:
    return json.dumps({"enabled": enabled, "mode": mode, "list": "\n".join(lines)})


def _import(api: Api, project: str) -> Any:
    return api.post(
        "/data/services/import",
        params={"dest": f"/archive/projects/{project}/subjects/S1/experiments/E1"},
        data=zipped(*SERIES),
        headers={"Content-Type": "application/zip"},
    )


def _scans(api: Api, project: str) -> list[str]:
    answer = _import(api, project)
    assert answer.status_code == 200, answer.text
    return [scan["ID"] for scan in api.rows(f"{answer.text.strip()}/scans")]


@pytest.mark.parametrize(
    ("document", "kept"),
    [
        (_filter("blacklist", "(?i).*localizer.*", ".*scout.*"), ["1", "4"]),
        (_filter("blacklist", "localizer"), ["1", "3", "4"]),
        (_filter("whitelist", "t1", "bold"), ["1", "3"]),
        (_filter("blacklist", "# comment", "", "[BurnedInAnnotation]", "YES"), ["1", "2", "4"]),
        (_filter("blacklist", "[0008103E]", "!EXISTS"), ["1", "2", "3"]),
        (_filter("whitelist", "[(0028,0301)]", "EXISTS"), ["3"]),
        (_filter("blacklist", "", enabled=True), ["1", "2", "3", "4"]),
        (_filter("blacklist", ".", enabled="false"), ["1", "2", "3", "4"]),
    ],
)
def test_what_a_filter_keeps(admin: Api, make_project: Any, document: str, kept: list[str]) -> None:
    """A blacklist drops the series that it matches, a whitelist all others."""
    project = make_project()
    answer = admin.put(f"/data/projects/{project}/{PATH}?inbody=true", data=document)

    assert answer.status_code == 201
    assert _scans(admin, project) == kept


def test_dropping_everything_imports_nothing(admin: Api, make_project: Any) -> None:
    """Where a filter drops every file, the import is refused and leaves nothing."""
    project = make_project()
    admin.put(f"/data/projects/{project}/{PATH}?inbody=true", data=_filter("whitelist", "nothing"))

    assert _import(admin, project).status_code == 400
    assert admin.rows(f"/data/projects/{project}/subjects") == []


def test_site_filter_applies_to_every_project(fresh_sandbox: Any) -> None:
    """The site's filter is also its three site properties, and applies beside the project's."""
    api = Api(fresh_sandbox.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password)
    api.made("/data/projects/P1", xsiType="xnat:projectData")
    document = _filter("blacklist", "localizer")
    project_filter = _filter("blacklist", "scout")

    assert api.put(f"/data/{PATH}?inbody=true", data=document).status_code == 201
    api.put(f"/data/projects/P1/{PATH}?inbody=true", data=project_filter)

    assert api.get("/xapi/siteConfig/enableSitewideSeriesImportFilter").json() is True
    assert api.get("/xapi/siteConfig/sitewideSeriesImportFilter").json() == "localizer"
    assert _scans(api, "P1") == ["1", "4"]


def test_site_filter_by_site_properties(fresh_sandbox: Any) -> None:
    """The three site properties alone are a filter, of several lines too."""
    api = Api(fresh_sandbox.url, fresh_sandbox.admin_user, fresh_sandbox.admin_password)
    api.made("/data/projects/P1", xsiType="xnat:projectData")
    properties = {
        "enableSitewideSeriesImportFilter": True,
        "sitewideSeriesImportFilterMode": "whitelist",
        "sitewideSeriesImportFilter": "t1\nlocalizer",
    }

    answer = api.post("/xapi/siteConfig", json=properties)

    assert answer.status_code == 200, answer.text
    assert _scans(api, "P1") == ["1", "2"]


def test_a_filter_is_kept_with_its_versions_number(admin: Api, make_project: Any) -> None:
    """The first PUT answers 201, later ones 200; the row counts versions; DELETE disables."""
    path = f"/data/projects/{make_project()}/{PATH}"
    first, second = _filter("blacklist", "a"), _filter("whitelist", "b")

    assert admin.get(path).status_code == 404
    statuses = [admin.put(f"{path}?inbody=true", data=d).status_code for d in (first, second)]
    assert admin.put(f"{path}?status=disabled").status_code == 200
    (row,) = admin.rows(path)
    assert admin.put(f"{path}?status=true").status_code == 200
    assert admin.delete(path).status_code == 200

    assert statuses == [201, 200]
    assert (row["version"], row["status"], row["contents"]) == ("3", "disabled", second)
    assert admin.get(f"{path}?contents=true").text == second
    assert admin.rows(path)[0]["status"] == "disabled"


def test_rights_on_filters(make_project: Any, make_user: Any, guest: Api) -> None:
    """Members read a project's filter, owners set it; the site's is for administrators."""
    project = make_project(accessibility="private")
    owner, member, stranger = (
        make_user(**{project: "Owners"}), make_user(**{project: "Members"}), make_user()
    )  # fmt: skip
    path, document = f"/data/projects/{project}/{PATH}?inbody=true", _filter("blacklist", "a")

    statuses = [u.put(path, data=document).status_code for u in (stranger, member, owner)]

    assert statuses == [404, 403, 201]
    assert [u.get(path).status_code for u in (stranger, member)] == [404, 200]
    assert owner.put(f"/data/{PATH}?inbody=true", data=document).status_code == 403
    assert guest.put(f"/data/{PATH}?inbody=true", data=document).status_code == 401


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("inbody=true", b"", 400),
        ("", _filter("blacklist", "a").encode(), 400),
        ("status=maybe", b"", 400),
        ("status=enabled", b"", 404),
        ("inbody=true", b"\xff", 400),
        ("inbody=true", b"[]", 400),
        ("inbody=true", _filter("greylist", "a").encode(), 400),
        ("inbody=true", _filter("blacklist", "(").encode(), 400),
        ("inbody=true", _filter("blacklist", "[NoSuchElement]", "a").encode(), 400),
        ("inbody=true", _filter("blacklist", "a", enabled={}).encode(), 400),
        ("inbody=true", b'{"mode": "blacklist", "list": 3}', 400),
        ("inbody=true", _filter("modalityMap", "a").encode(), 501),
    ],
)
def test_refused_filters(
    admin: Api, make_project: Any, query: str, body: bytes, status: int
) -> None:
    """What is no filter, or one that cannot work, is refused and not kept."""
    path = f"/data/projects/{make_project()}/{PATH}"

    assert admin.put(f"{path}?{query}", data=body).status_code == status
    assert admin.get(path).status_code == 404
