"""Custom fields over HTTP: on every kind of object, with the rights and statuses of /xapi."""

from __future__ import annotations

from typing import Any

import pytest

from tests.deploy.sandbox.conftest import Api, Study

OBJECTS = {
    "project": "projects/{p}",
    "subject": "projects/{p}/subjects/S1",
    "subject by ID": "subjects/{s}",
    "session": "projects/{p}/subjects/S1/experiments/E1",
    "session by ID": "experiments/{e}",
    "scan": "projects/{p}/experiments/E1/scans/1",
    "assessor": "experiments/{e}/assessors/{a}",
}
CHECKED = pytest.mark.parametrize("kind", OBJECTS)


def _path(study: Study, kind: str) -> str:
    path = OBJECTS[kind].format(
        p=study.project, s=study.subject_id, e=study.session_id, a=study.assessor_id
    )
    return f"/xapi/custom-fields/{path}/fields"


@CHECKED
def test_fields_are_merged_read_and_deleted(admin: Api, study: Study, kind: str) -> None:
    """PUT merges and answers all, GET all, some or one, DELETE answers the rest."""
    path = _path(study, kind)
    first = {"cohort": "Ä", "Visits": [1, 2.5, None], "deep": {"a": True}}

    empty = admin.get(path).json()
    put = admin.put(path, json=first)
    merged = admin.put(path, json={"cohort": "B", "n": 3}).json()
    some = admin.get(path, params={"fieldNames": "n,cohort,nothing"}).json()
    text = admin.get(f"{path}/cohort")
    number = admin.get(f"{path}/Visits").text
    missing = admin.get(f"{path}/visits").status_code
    rest = admin.delete(f"{path}/cohort")
    again = admin.delete(f"{path}/cohort").status_code

    assert empty == {}
    assert (put.status_code, put.json()) == (200, first)
    assert merged == {**first, "cohort": "B", "n": 3}
    assert some == {"n": 3, "cohort": "B"}
    assert text.headers["content-type"].startswith("text/plain")
    assert (text.text, number, missing) == ("B", "[1, 2.5, null]", 404)
    assert rest.status_code == 200
    assert rest.json() == {name: merged[name] for name in merged if name != "cohort"}
    assert again == 404
    assert admin.get(path).json() == rest.json()


@CHECKED
def test_reading_needs_read_and_writing_needs_edit(
    make_user: Any, admin: Api, guest: Api, study: Study, kind: str
) -> None:
    """403 for what is hidden and for what is denied, also when protected; 401 for nobody."""
    path = _path(study, kind)
    admin.put(path, json={"x": 1})
    stranger = make_user()
    reader = make_user(**{study.project: "collaborator"})
    member = make_user(**{study.project: "member"})

    for level, status in (("private", 403), ("protected", 403), ("public", 200)):
        admin.made(f"{study.path}/accessibility/{level}")
        assert stranger.get(path).status_code == status
        assert stranger.get(f"{path}/x").status_code == status
        assert stranger.put(path, json={"y": 1}).status_code == 403
        assert stranger.delete(f"{path}/x").status_code == 403
        assert guest.get(path).status_code == 401
    assert reader.get(path).json() == {"x": 1}
    assert reader.put(path, json={"y": 1}).status_code == 403
    # A project's own record is edited by its owners.
    expected = 403 if kind == "project" else 200
    assert member.put(path, json={"y": 1}).status_code == expected


@pytest.mark.parametrize(
    "path",
    [
        "projects/NOT-THERE", "subjects/NOT-THERE", "experiments/NOT-THERE",
        "experiments/E1", "projects/{p}/subjects/NOPE", "projects/{p}/experiments/E1/scans/99",
    ],
)  # fmt: skip
def test_an_unknown_object_is_told_to_who_reads_everything(
    make_user: Any, admin: Api, study: Study, path: str
) -> None:
    """404 for an administrator and ALL_DATA_ACCESS, 403 for everybody else."""
    url = f"/xapi/custom-fields/{path.format(p=study.project)}/fields"
    member, reader = make_user(**{study.project: "member"}), make_user()
    admin.put(f"/xapi/users/{reader.login}/groups/ALL_DATA_ACCESS")

    for method in ("GET", "PUT"):
        assert admin.request(method, url, data="{}").status_code == 404
        assert reader.request(method, url, data="{}").status_code == 404
        assert member.request(method, url, data="{}").status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[1]", b"3", b"null", b"{", b'{"": 1}', b'{"a/b": 1}', b'{"x": NaN}',
        b'{"x": 1e999}', b'{"x": "\\udc00"}', b'{"\\ud800": 1}', b"\xff", b'{"a":' * 50_000,
    ],
)  # fmt: skip
def test_a_body_that_is_no_object_is_refused(admin: Api, study: Study, body: bytes) -> None:
    """Whatever the bytes, the answer is 400 and nothing is stored."""
    path = _path(study, "session")

    assert admin.put(path, data=body).status_code == 400
    assert admin.get(path).json() == {}


def test_a_name_that_looks_like_sql_or_a_path_is_a_name(admin: Api, study: Study) -> None:
    """Quotes, dollars and brackets in names and values come back as they went in."""
    path = _path(study, "subject")
    fields = {"it's": '"; DROP TABLE subject; --', "$.a[0]": "x", "__proto__": "y"}

    admin.put(path, json=fields)

    assert admin.get(path).json() == fields


def test_a_field_of_a_shared_session_is_read_through_the_share(
    make_user: Any, admin: Api, study: Study, make_project: Any
) -> None:
    """Through the receiving project it is readable; writing needs the right in both."""
    other = make_project(accessibility="private")
    admin.made(f"{study.path}/accessibility/private")
    admin.put(_path(study, "session"), json={"x": 1})
    admin.made(f"{study.session_path}/projects/{other}", label="EX")
    person = make_user(**{other: "member"})
    path = f"/xapi/custom-fields/projects/{other}/experiments/EX/fields"

    assert person.get(path).json() == {"x": 1}
    assert person.put(path, json={"y": 2}).status_code == 403
    assert person.get(_path(study, "session")).status_code == 403


def test_custom_forms_are_not_implemented(admin: Api, guest: Api) -> None:
    """They are 501 with a sentence."""
    answer = admin.get("/xapi/customforms")

    assert answer.status_code == 501
    assert "does not implement" in answer.text
    assert guest.get("/xapi/customforms").status_code == 401
