"""Access and files of release projects on a sandbox: each act is judged by what others then see."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from deploy.pytest_plugin import XnatSandbox
from tests.builders import watched
from tests.builders.watched import PASSWORD, SERVICE, add_account, put
from xnat_client.credentials import Credentials
from xnat_client.errors import BadInputError, NotFoundError, RefusedError, XnatClientError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.sharing.reconcile.observe import observe
from xnat_client.sharing.server_side import access, content
from xnat_client.sharing.server_side.access import Member, Shared
from xnat_client.sharing.server_side.closing import close_project, open_project
from xnat_client.sharing.server_side.declared import DeclaredProject, ProjectRole
from xnat_client.transport import Transport
from xnat_client.transport_settings import TransportSettings

_NUMBERS = count(1)
_QUICK = TransportSettings(max_attempts=2, first_pause_s=0.001)
LABEL = content.resource_label("1.0.0")


@dataclass
class Place:
    """A project of a test's own, an account of its own, and two connections."""

    project: str
    login: str
    service: Transport
    reader: Transport

    def reads(self) -> bool:
        """Tell whether the ordinary account can list the project's resources."""
        try:
            content.list_labels(self.reader, self.project)
        except XnatClientError:
            return False
        return True


@pytest.fixture
def place(sandbox: XnatSandbox) -> Iterator[Place]:
    number = next(_NUMBERS)
    service = Transport(sandbox.url, Credentials(SERVICE, sandbox.admin_password), _QUICK)
    project, login = f"SSIDE{number}", f"sside{number}"
    create_project(service, project)
    add_account(service, login)
    reader = Transport(sandbox.url, Credentials(login, PASSWORD), _QUICK)
    yield Place(project, login, service, reader)
    reader.close()
    service.close()


def test_a_reader_reads_and_may_do_nothing_else(place: Place):
    """A collaborator lists the resources and can neither open the project nor write to it."""
    access.add_reader(place.service, place.project, place.login)

    assert place.reads()
    with pytest.raises(XnatClientError):
        access.set_accessibility(place.reader, place.project, Accessibility.PUBLIC)
    with pytest.raises(XnatClientError):
        put(place.reader, f"/data/projects/{place.project}/resources/MINE")


def test_a_removed_reader_reads_no_more_and_the_token_is_dead(place: Place):
    """After closing, neither the account nor a token made before reads the project."""
    access.add_reader(place.service, place.project, place.login)
    token = place.reader.get_json("/data/services/tokens/issue", doing="make a token")
    by_token = Transport(place.service.url, Credentials(token["alias"], token["secret"]), _QUICK)
    content.list_labels(by_token, place.project)

    removed = close_project(place.service, place.project, SERVICE)

    assert removed == (place.login,)
    assert not place.reads()
    with pytest.raises(XnatClientError):
        content.list_labels(by_token, place.project)
    by_token.close()


def test_closing_leaves_a_private_project_with_the_service_alone(place: Place):
    """Public, with an owner, a member and a custom group: all of it is gone afterwards."""
    others = [f"{place.login}x{end}" for end in "ab"]
    for login in others:
        add_account(place.service, login)
    users = f"/data/projects/{place.project}/users"
    put(place.service, f"{users}/Owners/{place.login}")
    put(place.service, f"{users}/Members/{others[0]}")
    put(place.service, f"/data/projects/{place.project}/groups/adhoc")
    put(place.service, f"{users}/adhoc/{others[1]}")
    access.set_accessibility(place.service, place.project, Accessibility.PUBLIC)

    close_project(place.service, place.project, SERVICE)

    assert get_accessibility(place.service, place.project) is Accessibility.PRIVATE
    assert access.list_members(place.service, place.project) == (Member(SERVICE, "owner"),)


def test_opening_passes_over_readers_without_an_account(place: Place):
    """An unknown name is reported; XNAT would have mailed an invitation to it."""
    declared = DeclaredProject(
        place.project,
        ProjectRole.RELEASE,
        readers=frozenset({place.login, "nobody@people.test"}),
    )

    opening = open_project(place.service, declared, SERVICE)

    assert (opening.unknown, opening.left) == (("nobody@people.test",), 0)
    assert place.reads()
    invited = place.service.get_json(
        f"/data/projects/{place.project}/pars", doing="list invitations", query={"format": "json"}
    )
    assert invited["ResultSet"]["Result"] == []


def test_readers_are_let_in_some_at_a_time(place: Place):
    """With room for one at once, one of two is in and one is left."""
    add_account(place.service, f"{place.login}x")
    readers = frozenset({place.login, f"{place.login}x"})
    declared = DeclaredProject(place.project, ProjectRole.RELEASE, readers=readers)

    first = open_project(place.service, declared, SERVICE, most=1)
    second = open_project(place.service, declared, SERVICE, most=1)

    assert (first.left, second.left) == (1, 0)
    assert place.reads()


def test_opening_takes_out_whoever_is_not_declared(place: Place):
    """The members after opening are those declared, in the collaborators' group."""
    add_account(place.service, f"{place.login}x")
    put(place.service, f"/data/projects/{place.project}/users/Owners/{place.login}x")
    declared = DeclaredProject(place.project, ProjectRole.RELEASE, readers=frozenset({place.login}))

    open_project(place.service, declared, SERVICE)

    assert access.list_members(place.service, place.project) == (
        Member(SERVICE, "owner"),
        Member(place.login, "collaborator"),
    )


def test_files_arrive_whole_and_are_not_sent_twice(place: Place, tmp_path: Path):
    """Hidden, empty and nested files arrive; the second call sends nothing."""
    big = {**watched.SMALL_RELEASE, "sub-k7/big.nii": bytes(range(256)) * 5000}
    wanted = watched.write_release(tmp_path, big)

    first = content.store_release(place.service, place.project, LABEL, tmp_path, wanted)
    again = content.store_release(place.service, place.project, LABEL, tmp_path, wanted)

    held = content.list_release_files(place.service, place.project, LABEL)
    assert {file.path: file.md5 for file in held} == {p: one.md5 for p, one in wanted.items()}
    assert (first, again) == (len(big), 0)


def test_foreign_and_changed_files_are_gone_after_sending(place: Place, tmp_path: Path):
    """What somebody put or changed in the resource does not survive the next sending."""
    wanted = watched.write_release(tmp_path)
    content.store_release(place.service, place.project, LABEL, tmp_path, wanted)
    files = f"/data/projects/{place.project}/resources/{LABEL}/files"
    for path in ("README.md", "sub-k7/raw.dcm"):
        place.service.request(
            "PUT", f"{files}/{path}", doing="write", query={"inbody": "true", "overwrite": "true"},
            body=b"MARKED",
        )  # fmt: skip

    content.store_release(place.service, place.project, LABEL, tmp_path, wanted)

    held = content.list_release_files(place.service, place.project, LABEL)
    assert content.compare_files(wanted, held).is_none


@pytest.mark.parametrize("harm", ["changed", "missing", "link"])
def test_a_folder_that_is_not_the_approved_one_is_not_sent(place: Place, tmp_path: Path, harm: str):
    """A changed, missing or linked file stops the sending before the first byte."""
    wanted = watched.write_release(tmp_path / "release")
    path = tmp_path / "release" / "README.md"
    content_before = path.read_bytes()
    path.unlink()
    if harm == "changed":
        path.write_bytes(b"B" + content_before[1:])
    elif harm == "link":
        (tmp_path / "elsewhere").write_bytes(content_before)
        path.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BadInputError):
        content.store_release(place.service, place.project, LABEL, tmp_path / "release", wanted)

    assert content.list_labels(place.service, place.project) == ()


def test_a_site_property_that_does_not_stay_is_refused(place: Place):
    """A property that the server does not have cannot be set back in silence."""
    with pytest.raises((RefusedError, NotFoundError)):
        access.set_site_property(place.service, "noSuchProperty", value=True)


def test_every_kind_of_share_is_seen_and_can_be_ended(place: Place):
    """A shared subject, session and assessor appear by number; ending them is read back."""
    source = f"{place.project}S"
    watched.add_source(place.service, source)
    subject = f"/data/projects/{source}/subjects/{source}_001"
    session = f"{subject}/experiments/{source}_001_MR1"
    put(place.service, f"{subject}/projects/{place.project}")
    put(place.service, f"{session}/projects/{place.project}")
    put(place.service, f"{session}/assessors/{source}_001_QC/projects/{place.project}")

    seen = observe(place.service, frozenset(), seconds=60)
    mine = [one for one in seen.shares() if one.receiver == place.project]

    assert [one.kind for one in mine] == [Shared.EXPERIMENT, Shared.EXPERIMENT, Shared.SUBJECT]
    assert {one.owner for one in mine} == {source}
    for one in mine:
        access.unshare(place.service, one.kind, one.object_id, one.receiver)
    again = observe(place.service, frozenset(), seconds=60)
    assert [one for one in again.shares() if one.receiver == place.project] == []


def test_who_may_not_see_everything_learns_that_and_not_nothing(place: Place):
    """An account without the administrator's rights gets None and troubles, never empty lists."""
    seen = observe(place.reader, frozenset(), seconds=60)

    assert (seen.settings, seen.administrators) == (None, None)
    assert seen.troubles


def test_after_its_time_a_reading_ends_and_the_rest_is_unknown(place: Place):
    """A cycle is bounded: with no time left nothing is asked."""
    seen = observe(place.service, frozenset(), seconds=-1)

    assert (seen.projects, seen.owners, seen.settings) == (None, None, None)
    assert seen.troubles
