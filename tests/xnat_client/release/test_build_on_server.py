"""A build whose steps the server runs: the same release, and nothing of it left on the server.

That it is the same is shown with the canaries (``test_build``): their study is built so.
"""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

from deploy.pytest_plugin import XnatSandbox
from tests.builders import canaries
from tests.builders.heads import NOSE, average_head
from xnat_client.errors import BadInputError, UsageError
from xnat_client.projects import Accessibility, create_project, get_accessibility
from xnat_client.release.request import BuildResult
from xnat_client.release.server_quarantine import ServerQuarantine, remove_left_overs
from xnat_client.sharing.database.tables import Server
from xnat_client.sharing.errors import RefusedByPolicyError
from xnat_client.sharing.server_side.access import set_accessibility

from .conftest import HEAD, BrokenOff, Built, Maker, Releasing, consent, quarantines, traces

TRACE = "server-quarantine.json"
OnServer = tuple[Releasing, BuildResult, BrokenOff]


def test_four_participants_have_a_session_1_each(canary_study: Built) -> None:
    assert canary_study[1].folder is not None

    names = [path.name for path in canary_study[1].folder.glob("sub-*/*")]

    assert names == ["ses-1"] * 4


def test_the_head_that_comes_back_has_no_nose(canary_study: Built) -> None:
    assert canary_study[1].folder is not None

    (image,) = canary_study[1].folder.rglob("*_T1w.nii.gz")

    assert np.asarray(nibabel.load(image).dataobj)[average_head().index_of(NOSE)] == 0  # type: ignore[attr-defined]  # nibabel tells no class


def test_quarantine_is_private_and_the_account_s_own(canaries_on_server: OnServer) -> None:
    releasing, _, broken_off = canaries_on_server

    owner = f"{releasing.server.credentials.user} owner"

    assert broken_off.during == [(Accessibility.PRIVATE, [owner])]


def test_nothing_is_left_on_the_server_after_an_interruption_nor_after_the_end(
    canaries_on_server: OnServer,
) -> None:
    releasing, _, broken_off = canaries_on_server

    assert broken_off.after == []
    assert (quarantines(releasing.server), traces(releasing)) == ([], [])


def test_no_source_label_is_asked_for_in_quarantine(
    canaries_on_server: OnServer, sandbox: XnatSandbox
) -> None:
    lines = sandbox.requests_path.read_text(encoding="utf-8").splitlines()

    there = [line for line in lines if "/projects/tmp-" in line]

    assert len(there) > 10
    labels = (*canaries.SUBJECTS, HEAD, canaries_on_server[0].project_id)
    assert not [line for line in there if any(label in line for label in labels)]


@pytest.mark.usefixtures("canaries_on_server")
def test_what_deface_refuses_on_the_server_is_refused(make_releasing: Maker) -> None:
    releasing = make_releasing("tomography")
    # Of CT: deface is not made for it, and says so at once.
    files = {
        name: b'{"Modality": "CT"}' if name.endswith("_T1w.json") else content
        for name, content in canaries.with_undefaceable_head("Amselkopf92").items()
    }
    transport = releasing.server.transport
    canaries.put_bids_session(transport, releasing.project_id, "Amselkopf92", files)
    consent(releasing, "Amselkopf92")

    result = releasing.build(on_server=True)

    assert [one.check for one in result.refusals] == ["faces"]
    assert (result.folder, result.is_complete) == (None, False)
    assert (quarantines(releasing.server), traces(releasing)) == ([], [])


# The quarantine project itself.


@pytest.fixture(scope="module")
def empty(make_releasing: Maker) -> Releasing:
    return make_releasing("quarantine")


def test_what_a_killed_build_left_is_removed_by_the_next(empty: Releasing) -> None:
    left = ServerQuarantine.open(empty.home, empty.server, "inside").project_id

    assert quarantines(empty.server) == [left]
    assert remove_left_overs(empty.home, empty.server, "outside") == 0
    assert remove_left_overs(empty.home, empty.server, "inside") == 1
    assert (quarantines(empty.server), traces(empty)) == ([], [])


def test_a_trace_that_was_changed_removes_no_other_project(empty: Releasing) -> None:
    name = f"{empty.project_id}X"
    create_project(empty.server.transport, name)
    account = empty.server.credentials.user
    row = {"server": "inside", "account": account, "project": name}
    trace = empty.home.folder / TRACE
    trace.write_text(json.dumps([row]))

    with pytest.raises(BadInputError, match="cannot be read"):
        remove_left_overs(empty.home, empty.server, "inside")

    trace.unlink()
    assert get_accessibility(empty.server.transport, name) is Accessibility.PRIVATE


def test_a_quarantine_that_somebody_opened_takes_nothing_more(empty: Releasing) -> None:
    quarantine = ServerQuarantine.open(empty.home, empty.server, "inside")
    transport = empty.server.transport
    set_accessibility(transport, quarantine.project_id, Accessibility.PROTECTED)

    with pytest.raises(RefusedByPolicyError, match="not closed"):
        quarantine.require_closed()

    quarantine.remove()


def test_only_the_service_account_builds_on_the_server(empty: Releasing) -> None:
    with empty.database.transaction() as session:
        inside = session.get(Server, "inside")
        assert inside is not None
        inside.service_account = "releaser"

    with pytest.raises(UsageError, match="service account releaser"):
        empty.build(on_server=True)
