"""Features that a site bans: XNAT's list of them, and what a ban of sharing does.

Shapes and statuses are those of ``FeatureDefinitionRestlet`` in XNAT's own source.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.deploy.sandbox.conftest import Api, Study

ADDRESS = "/data/services/features"
SHARING = "project_sharing"


def _set(admin: Api, query: str = "", **changes: Any) -> None:
    answer = admin.post(f"{ADDRESS}{query}", json={"key": SHARING, **changes})
    assert answer.status_code == 200, answer.text


@pytest.fixture
def features(admin: Api) -> Iterator[Api]:
    """Return requests of an administrator whose changes of features are taken back."""
    yield admin
    for group_type in ("", "?type=Owners", "?type=Members", "?type=Collaborators"):
        _set(admin, group_type, banned=False, enabled=group_type == "")


def _share(api: Api, study: Study, project: str) -> int:
    return api.put(f"/data/experiments/{study.session_id}/projects/{project}").status_code


def test_the_list_has_the_columns_of_xnat(admin: Api) -> None:
    """Key, name, description, whether it is on, and whether it is banned."""
    rows = {row["key"]: row for row in admin.rows(ADDRESS)}

    assert rows[SHARING].keys() >= {"key", "name", "description", "enabled", "banned"}
    assert (rows[SHARING]["enabled"], rows[SHARING]["banned"]) == ("true", "false")


def test_a_ban_is_told_by_type_of_group_and_by_project(features: Api, study: Study) -> None:
    """``type`` answers the site with its types of groups, ``tag`` a project with its groups."""
    _set(features, "?type=Collaborators", banned=True)

    (site,) = features.get(f"{ADDRESS}?type=Collaborators").json()
    (project,) = features.get(f"{ADDRESS}?tag={study.project}").json()

    assert site["banned"] == []
    assert SHARING in site["onByDefault"]
    blocked = {group["id"]: group["blocked"] for group in site["groups"]}
    assert blocked["Collaborators"] == [SHARING]
    assert blocked["Owners"] == []
    inherited = {group["id"]: group["inherited_banned"] for group in project["groups"]}
    assert project["id"] == study.project
    assert inherited[f"{study.project}_collaborator"] == [SHARING]
    assert inherited[f"{study.project}_owner"] == []


def test_a_ban_of_the_site_stops_everybody(
    features: Api, make_user: Any, make_project: Any, study: Study
) -> None:
    """Even an administrator cannot share until the feature is allowed again."""
    owner = make_user(**{study.project: "owner"})
    other = make_project(owner)

    _set(features, banned=True)
    banned = [_share(owner, study, other), _share(features, study, other)]
    _set(features, banned=False)

    assert banned == [403, 403]
    assert _share(owner, study, other) == 200


def test_a_ban_for_one_type_of_group_stops_its_people_only(
    features: Api, make_user: Any, make_project: Any, study: Study
) -> None:
    """Collaborators of the owning project are refused, its owners are not."""
    reader = make_user(**{study.project: "collaborator"})
    owner = make_user(**{study.project: "owner"})

    _set(features, "?type=Collaborators", banned=True)

    assert _share(reader, study, make_project(reader)) == 403
    assert _share(owner, study, make_project(owner)) == 200


def test_who_is_in_no_group_is_stopped_by_any_restriction(
    features: Api, make_user: Any, make_project: Any, study: Study
) -> None:
    """A stranger who reads a public project shares it as long as no type of group is banned."""
    stranger = make_user()
    features.put(f"{study.path}/accessibility/public")
    first, second = make_project(stranger), make_project(stranger)

    free = _share(stranger, study, first)
    _set(features, "?type=Members", banned=True)

    assert (free, _share(stranger, study, second)) == (200, 403)


def test_what_is_off_is_for_groups_that_have_it(
    features: Api, make_user: Any, make_project: Any, study: Study
) -> None:
    """Switched off for the site and on for owners, it is theirs alone; the rest stays as it was."""
    reader = make_user(**{study.project: "collaborator"})
    owner = make_user(**{study.project: "owner"})

    _set(features, enabled=False)
    _set(features, "?type=Owners", enabled=True)

    assert _share(reader, study, make_project(reader)) == 403
    assert _share(owner, study, make_project(owner)) == 200
    assert {row["key"]: row["banned"] for row in features.rows(ADDRESS)}[SHARING] == "false"


@pytest.mark.parametrize(
    ("query", "body", "status"),
    [
        ("", b"", 412),
        ("", b"{", 400),
        ("", b"[]", 400),
        ("", b'{"banned": true}', 400),
        ("", b'{"key": "project_sharing", "banned": "yes"}', 400),
        ("", b'{"key": "nothing", "banned": true}', 404),
        ("?type=", b'{"key": "project_sharing"}', 400),
        ("?type=%00", b'{"key": "project_sharing"}', 400),
        ("?group=P_owner", b'{"key": "project_sharing"}', 501),
    ],
)
def test_what_cannot_be_meant_is_refused(admin: Api, query: str, body: bytes, status: int) -> None:
    """Nothing is changed by half."""
    answer = admin.post(f"{ADDRESS}{query}", data=body)

    assert answer.status_code == status, answer.text


def test_only_administrators_change_features(admin: Api, make_user: Any, study: Study) -> None:
    """An owner reads them, but of no project that is hidden; nobody else changes anything."""
    stranger, owner = make_user(), make_user(**{study.project: "owner"})
    admin.put(f"{study.path}/accessibility/private")

    assert owner.post(ADDRESS, json={"key": SHARING, "banned": True}).status_code == 403
    assert owner.get(f"{ADDRESS}?tag={study.project}").status_code == 200
    assert stranger.get(f"{ADDRESS}?tag={study.project}").status_code == 404
    assert stranger.get(f"{ADDRESS}?tag=NONE").status_code == 404
    assert admin.get(f"{ADDRESS}?group=x").status_code == 400
