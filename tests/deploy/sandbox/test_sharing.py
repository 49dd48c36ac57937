"""Sharing over HTTP: who may, what it shows and what it does not, how it ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.sandbox.conftest import Api, Study

OBJECTS = {
    "subject": "{p}/subjects/S1",
    "session": "{p}/subjects/S1/experiments/E1",
    "session by ID": "/data/experiments/{e}",
    "assessor": "{p}/experiments/E1/assessors/A1",
    "assessor by ID": "/data/experiments/{e}/assessors/{a}",
    "scan": "{p}/experiments/E1/scans/1",
}
CHECKED = pytest.mark.parametrize("kind", OBJECTS)


def _path(study: Study, kind: str) -> str:
    return OBJECTS[kind].format(p=study.path, e=study.session_id, a=study.assessor_id)


@pytest.fixture
def home(admin: Api, study: Study) -> Study:
    """A private project of the administrator with one object of each kind."""
    assert admin.put(f"{study.path}/accessibility/private").status_code == 200
    return study


@pytest.fixture
def receiver(make_project: Callable[..., str]) -> str:
    """An empty private project."""
    return make_project(accessibility="private")


@CHECKED
def test_a_share_is_listed_refused_twice_and_ended(
    admin: Api, home: Study, receiver: str, kind: str
) -> None:
    """Shared once 200 and listed after the owner, shared again 409, ended 200, ended again 404."""
    path = _path(home, kind)

    first = admin.put(f"{path}/projects/{receiver}?label=other")
    again = admin.put(f"{path}/projects/{receiver}?label=another")
    listed = admin.rows(f"{path}/projects")
    ended = [admin.delete(f"{path}/projects/{receiver}").status_code for _ in range(2)]

    assert (first.status_code, again.status_code) == (200, 409)
    assert [row["ID"] for row in listed] == [home.project, receiver]
    assert listed[1]["label"] == "other"
    assert set(listed[0]) == {"label", "ID", "Secondary_ID", "Name"}
    assert ended == [200, 404]
    assert [row["ID"] for row in admin.rows(f"{path}/projects")] == [home.project]


@CHECKED
def test_sharing_needs_reading_here_and_creating_there(
    make_user: Any, make_project: Any, home: Study, receiver: str, kind: str
) -> None:
    """Unread 404, receiver hidden 404, receiver only readable 403, own project 409."""
    path = _path(home, kind)
    stranger = make_user(**{receiver: "owner"})
    reader = make_user(**{home.project: "collaborator"})
    reader_of_both = make_user(**{home.project: "collaborator", receiver: "collaborator"})
    member_there = make_user(**{home.project: "collaborator", receiver: "member"})
    public = make_project(accessibility="public")

    assert stranger.put(f"{path}/projects/{receiver}").status_code == 404
    assert reader.put(f"{path}/projects/{receiver}").status_code == 404
    assert reader.put(f"{path}/projects/NOT-THERE").status_code == 404
    assert reader.put(f"{path}/projects/{public}").status_code == 403
    assert reader_of_both.put(f"{path}/projects/{receiver}").status_code == 403
    assert reader_of_both.put(f"{path}/projects/{home.project}").status_code == 409
    assert member_there.put(f"{path}/projects/{receiver}").status_code == 200


@pytest.mark.parametrize("kind", ["subject", "session", "assessor"])
def test_a_label_that_is_used_there_is_refused(
    admin: Api, home: Study, receiver: str, kind: str
) -> None:
    """A share may not take a label that another object has in the receiving project (any case)."""
    admin.made(f"/data/projects/{receiver}/subjects/taken")
    admin.made(
        f"/data/projects/{receiver}/subjects/x/experiments/taken", xsiType="xnat:mrSessionData"
    )
    path = _path(home, kind)

    clash = admin.put(f"{path}/projects/{receiver}?label=TAKEN").status_code
    unusable = admin.put(f"{path}/projects/{receiver}?label=a%20b").status_code
    free = admin.put(f"{path}/projects/{receiver}?label=free").status_code

    assert (clash, unusable, free) == (409, 417, 200)


def test_the_other_way_round_a_shared_label_is_used_too(
    admin: Api, home: Study, receiver: str
) -> None:
    """An own subject cannot take the label that a shared one has in the project."""
    admin.made(f"{home.path}/subjects/S1/projects/{receiver}", label="guest1")

    made = admin.post(f"/data/projects/{receiver}/subjects?label=guest1")

    assert made.status_code == 409


@CHECKED
def test_who_may_end_a_share(make_user: Any, admin: Api, home: Study, receiver: str, kind: str):
    """The receiving or the owning project's owner ends it; members and readers get 403."""
    path = _path(home, kind)
    end = f"{path}/projects/{receiver}"
    member = make_user(**{home.project: "member", receiver: "member"})
    owner_there = make_user(**{home.project: "collaborator", receiver: "owner"})
    owner_here = make_user(**{home.project: "owner"})
    stranger = make_user()

    admin.made(end)
    refused = (member.delete(end).status_code, stranger.delete(end).status_code)
    by_receiver = owner_there.delete(end).status_code
    admin.made(end)
    by_owner = owner_here.delete(end).status_code
    from_its_owner = owner_here.delete(f"{path}/projects/{home.project}").status_code

    assert refused == (403, 404)
    assert (by_receiver, by_owner, from_its_owner) == (200, 200, 409)


def test_a_reader_is_not_told_of_hidden_projects(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """The list of shares names a hidden project to the owner only, and no share of it is ended."""
    path = f"{home.path}/subjects/S1"
    admin.made(f"{path}/projects/{receiver}")
    reader = make_user(**{home.project: "collaborator"})
    owner = make_user(**{home.project: "owner"})

    assert [row["ID"] for row in reader.rows(f"{path}/projects")] == [home.project]
    assert [row["ID"] for row in owner.rows(f"{path}/projects")] == [home.project, receiver]
    assert reader.delete(f"{path}/projects/{receiver}").status_code == 404


def test_who_sees_a_share_only_is_not_told_where_else_the_object_is(
    make_user: Any, admin: Api, home: Study, receiver: str, make_project: Any
) -> None:
    """Through a share, the hidden owner and a hidden further receiver are as if not there."""
    further = make_project(accessibility="private")
    for project in (receiver, further):
        admin.made(f"{home.session_path}/projects/{project}")
    person = make_user(**{receiver: "owner"})
    path = f"/data/projects/{receiver}/experiments/E1/projects"

    assert [row["ID"] for row in person.rows(path)] == [receiver]
    for hidden in (home.project, further, "NOT-THERE"):
        assert person.put(f"{path}/{hidden}").status_code == 404
        assert person.delete(f"{path}/{hidden}").status_code == 404


# What a share shows: as XNAT's own tests assert it ---------------------------------------------


def test_a_shared_subject_brings_none_of_its_sessions(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """The subject is read through the receiving project, its session only once shared itself."""
    person = make_user(**{receiver: "member"})
    there = f"/data/projects/{receiver}"
    admin.made(f"{home.path}/subjects/S1/projects/{receiver}", label="SX")

    subject = person.get(f"{there}/subjects/SX").status_code
    old_label = person.get(f"{there}/subjects/S1").status_code
    session_before = person.get(f"{there}/experiments/{home.session_id}").status_code
    admin.made(f"{home.session_path}/projects/{receiver}", label="EX")
    session_after = person.get(f"{there}/experiments/EX").status_code

    assert (subject, old_label) == (200, 404)
    assert (session_before, session_after) == (404, 200)
    assert person.get(f"{home.path}/subjects/S1").status_code == 404


def test_a_shared_session_brings_its_scans_and_files_but_no_assessors_nor_the_subject(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """Scans and files are read through the share; the assessor and the subject are hidden."""
    resource = f"{home.session_path}/scans/1/resources/R"
    admin.made(resource)
    assert admin.put(f"{resource}/files/f.txt?inbody=true", data=b"bytes").status_code == 200
    admin.made(f"{home.session_path}/projects/{receiver}")
    person = make_user(**{receiver: "collaborator"})
    there = f"/data/projects/{receiver}/experiments/E1"

    file = person.get(f"{there}/scans/1/resources/R/files/f.txt")

    assert (file.status_code, file.content) == (200, b"bytes")
    assert [row["ID"] for row in person.rows(f"{there}/scans")] == ["1"]
    assert person.get(f"{there}/assessors/A1").status_code == 404
    assert person.get(f"{there}/assessors/{home.assessor_id}").status_code == 404
    assert person.rows(f"{there}/assessors") == []
    assert person.get(f"/data/projects/{receiver}/subjects/{home.subject_id}").status_code == 404
    assert person.get(f"/data/subjects/{home.subject_id}").status_code == 404


def test_a_session_made_under_a_shared_subject_belongs_to_the_receiving_project(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """A member of the receiving project makes it there; through the subject's home it is 404."""
    admin.made(f"{home.path}/subjects/S1/projects/{receiver}")
    person = make_user(**{receiver: "member"})

    made = person.put(
        f"/data/projects/{receiver}/subjects/S1/experiments/E2?xsiType=xnat:mrSessionData"
    )

    assert made.status_code == 201
    assert person.get(f"/data/projects/{receiver}/experiments/E2").status_code == 200
    assert admin.get(f"{home.path}/experiments/E2").status_code == 404
    assert admin.get(f"{home.path}/subjects/S1/experiments/E2").status_code == 404


def test_an_assessor_made_on_a_shared_session_belongs_to_the_receiving_project(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """The assessor is 201 and the receiver's; the session stays with its owner."""
    admin.made(f"{home.session_path}/projects/{receiver}")
    person = make_user(**{receiver: "member"})
    there = f"/data/projects/{receiver}/experiments/E1"

    made = person.put(f"{there}/assessors/AU?xsiType=xnat:qcAssessmentData")

    assert made.status_code == 201
    assert person.item(f"/data/experiments/{made.text}")["data_fields"]["project"] == receiver
    assert admin.item(home.session_path)["data_fields"]["project"] == home.project
    assert admin.get(f"{home.session_path}/assessors/AU").status_code == 404


def test_editing_through_a_share_needs_the_right_in_both_projects(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """A member of the receiver alone gets 403, a member of both edits."""
    admin.made(f"{home.session_path}/projects/{receiver}")
    there = f"/data/projects/{receiver}/experiments/E1?note=x"
    only_there = make_user(**{receiver: "member"})
    in_both = make_user(**{receiver: "member", home.project: "member"})

    assert only_there.put(there).status_code == 403
    assert only_there.put(f"/data/experiments/{home.session_id}?note=x").status_code == 403
    assert in_both.put(there).status_code == 200


def test_a_share_into_a_public_project_opens_the_session_to_everybody(
    make_user: Any, admin: Api, home: Study, make_project: Any
) -> None:
    """A stranger reads the session by its ID until the receiving project is closed again."""
    public = make_project(accessibility="public")
    admin.made(f"{home.session_path}/projects/{public}")
    stranger = make_user()
    path = f"/data/experiments/{home.session_id}"

    opened = stranger.get(path).status_code
    assert admin.put(f"/data/projects/{public}/accessibility/private").status_code == 200

    assert (opened, stranger.get(path).status_code) == (200, 404)


def test_membership_opens_and_removal_closes_at_once(
    make_user: Any, admin: Api, home: Study
) -> None:
    """404 as a stranger, 200 and no deletion as a member, 404 again after removal."""
    person = make_user()
    paths = [f"{home.path}/subjects/S1", home.session_path]
    membership = f"{home.path}/users/Members/{person.login}"

    before = [person.get(path).status_code for path in paths]
    before += [person.delete(path).status_code for path in paths]
    admin.made(membership)
    during = [person.get(path).status_code for path in paths]
    deleted = [person.delete(p).status_code for p in (*paths, f"{home.session_path}/scans/1")]
    created = person.put(f"{home.path}/subjects/S2?gender=male").status_code
    assert admin.delete(membership).status_code == 200
    after = [person.get(path).status_code for path in paths]

    assert before == [404] * 4
    assert (during, deleted, created) == ([200] * 2, [403] * 3, 201)
    assert after == [404] * 2
    assert [admin.get(path).status_code for path in paths] == [200, 200]


# Ownership --------------------------------------------------------------------------------------


def _store_file(admin: Api, owner: str) -> str:
    path = f"{owner}/resources/R/files/f.txt"
    admin.made(f"{owner}/resources/R")
    assert admin.put(f"{path}?inbody=true", data=b"bytes").status_code == 200
    return path


def test_a_session_gets_a_new_owner_with_its_files(
    sandbox: Any, admin: Api, home: Study, receiver: str
) -> None:
    """With primary=true the session and its folder move; its assessor stays with its project."""
    _store_file(admin, f"{home.session_path}/scans/1")
    _store_file(admin, f"{home.session_path}/assessors/A1")
    there = f"/data/projects/{receiver}/experiments/EN"

    admin.made(f"{home.session_path}/projects/{receiver}", label="EN", primary="true")

    assert admin.item(there)["data_fields"]["project"] == receiver
    assert admin.get(home.session_path).status_code == 404
    assert admin.get(f"{there}/scans/1/resources/R/files/f.txt").content == b"bytes"
    assert admin.item(f"/data/experiments/{home.assessor_id}")["data_fields"]["project"] == (
        home.project
    )
    file = f"/data/experiments/{home.session_id}/assessors/{home.assessor_id}"
    assert admin.get(f"{file}/resources/R/files/f.txt").content == b"bytes"
    archive = Path(sandbox.root) / "archive"
    assert (archive / receiver / "arc001" / "EN" / "SCANS").is_dir()
    assert not (archive / home.project / "arc001" / "E1").exists()


def test_assessors_follow_their_session_when_asked(admin: Api, home: Study, receiver: str) -> None:
    """moveAssessors=true gives the assessors to the new owner too."""
    _store_file(admin, f"{home.session_path}/assessors/A1")

    admin.made(f"{home.session_path}/projects/{receiver}", primary="true", moveAssessors="true")

    there = f"/data/projects/{receiver}/experiments/E1/assessors/A1"
    assert admin.item(there)["data_fields"]["project"] == receiver
    assert admin.get(f"{there}/resources/R/files/f.txt").content == b"bytes"


def test_a_subject_gets_a_new_owner_and_a_share_there_ends(
    admin: Api, home: Study, receiver: str
) -> None:
    """A subject that is shared into a project can be given to it under a new label."""
    file = _store_file(admin, f"{home.path}/subjects/S1")
    path = f"/data/subjects/{home.subject_id}"
    admin.made(f"{path}/projects/{receiver}", label="SX")

    admin.made(f"{path}/projects/{receiver}", label="SN", primary="true")

    assert [row["ID"] for row in admin.rows(f"{path}/projects")] == [receiver]
    assert admin.get(f"/data/projects/{receiver}/subjects/SX").status_code == 404
    moved = file.replace(f"{home.path}/subjects/S1", f"/data/projects/{receiver}/subjects/SN")
    assert admin.get(moved).content == b"bytes"
    # Its session is a project's own matter and stays.
    assert admin.get(f"{home.path}/experiments/E1").status_code == 200


def test_a_new_owner_needs_the_right_to_delete_here(
    make_user: Any, admin: Api, home: Study, receiver: str
) -> None:
    """A member of both projects gets 403 and nothing moves; an owner of both may."""
    member = make_user(**{home.project: "member", receiver: "owner"})
    owner = make_user(**{home.project: "owner", receiver: "owner"})
    path = f"{home.session_path}/projects/{receiver}?primary=true"

    refused = member.put(path).status_code
    still = admin.get(home.session_path).status_code

    assert (refused, still) == (403, 200)
    assert owner.put(path).status_code == 200


def test_a_new_owner_with_a_used_label_changes_nothing(
    admin: Api, home: Study, receiver: str
) -> None:
    """A clash of labels, also of an assessor that follows, leaves everything where it was."""
    there = f"/data/projects/{receiver}/subjects/x/experiments"
    admin.made(f"{there}/A1", xsiType="xnat:mrSessionData")
    file = _store_file(admin, f"{home.session_path}/assessors/A1")

    answer = admin.put(f"{home.session_path}/projects/{receiver}?primary=true&moveAssessors=true")

    assert answer.status_code == 409
    assert admin.item(home.session_path)["data_fields"]["project"] == home.project
    assert admin.get(file).content == b"bytes"


def test_a_single_scan_has_no_owner_of_its_own(admin: Api, home: Study, receiver: str) -> None:
    """primary=true for a scan is refused with 501 and a sentence."""
    answer = admin.put(f"{home.session_path}/scans/1/projects/{receiver}?primary=true")

    assert answer.status_code == 501
    assert "sandbox does not implement" in answer.text


def test_an_object_shared_into_a_deleted_project_is_only_unshared(
    admin: Api, home: Study, receiver: str
) -> None:
    """Deleting the receiving project leaves the shared session alone."""
    admin.made(f"{home.session_path}/projects/{receiver}")

    assert admin.delete(f"/data/projects/{receiver}").status_code == 200

    assert admin.get(home.session_path).status_code == 200
    assert [row["ID"] for row in admin.rows(f"{home.session_path}/projects")] == [home.project]
