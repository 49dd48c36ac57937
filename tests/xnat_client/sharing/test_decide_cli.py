"""The command line of checks, decisions and grants, as people call it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.builders import decided
from tests.builders.sharing import Site
from xnat_client.cli.main import run
from xnat_client.cli.sharing.keys import PASSPHRASE_VARIABLE
from xnat_client.sharing import link_file, signing
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.home import Home
from xnat_client.sharing.vocabulary import Level, Role

NAME = ["heads", "1.0.0"]


@pytest.fixture(autouse=True)
def _secrets_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(link_file.KEYS_VARIABLE, str(tmp_path / "link-keys"))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "twelve or more characters")


@pytest.fixture
def draft(site: Site, home: Home) -> Release:
    """A draft at level EXTERNAL that lacks nothing but decisions; its clock is the machine's."""
    with site.records.transaction() as session:
        now = decided.clock_now(session)
        decided.prepare(session, site, now=now)
        return decided.draft(session, home, site, now=now)


def _as(site: Site, role: Role) -> list[str]:
    actor = site.acting(role)
    return ["--person", actor.person_id, "--role", role.value, "--reason", "a test"]


def _json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def _key(tmp_path: Path, role: Role) -> list[str]:
    return ["--key", str(tmp_path / f"{role.value}.pem")]


def test_whole_way_from_draft_to_readers_and_back(
    site: Site, draft: Release, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Proposed, signed by two people, granted to a third, suspended: each word as the state is."""
    manifest = ["--manifest", draft.manifest_sha256]
    for role in (Role.LEAD, Role.STEWARD):
        assert run(["release", "key", *_key(tmp_path, role), *_as(site, role)]) == 0
    assert run(["release", "propose", *NAME, *_as(site, Role.STUDY_TEAM)]) == 0
    for role in (Role.LEAD, Role.STEWARD):
        signed = [*manifest, *_key(tmp_path, role), *_as(site, role)]
        capsys.readouterr()
        assert run(["release", "approve", *NAME, *signed, "--json"]) == 0
    assert _json(capsys)["state"] == "approved"
    assert run(["share", "check", "SOURCE", "--level", "external", "--release", "heads/1.0.0"]) == 0
    assert "Everything that this level needs is met." in capsys.readouterr().out

    assert run(["release", "suspend", *NAME, *_as(site, Role.ADMINISTRATOR), "--json"]) == 0
    assert _json(capsys)["state"] == "suspended"
    assert run(["share", "grant", "readers", "heads/1.0.0", "--json"]) == 0
    assert _json(capsys) == {"release": "heads/1.0.0", "everybody": False, "readers": []}


def test_check_of_a_project_lists_all_prerequisites_and_ends_with_code_4(
    site: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything was built, what a release would need is unknown, which is not met."""
    assert site
    assert home

    code = run(["share", "check", "source", "--level", "external", "--json"])

    document = _json(capsys)
    outcomes = {one["key"]: one["outcome"] for one in document["findings"]}
    assert code == 4
    assert [one["number"] for one in document["findings"]] == list(range(1, 19))
    assert outcomes["consent"] == "met"
    assert outcomes["faces"] == "unknown"
    assert outcomes["rights"] == "not met"
    assert not document["met"]


def test_refused_proposal_prints_what_is_not_met_and_changes_nothing(
    site: Site, draft: Release, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """The findings say who must do what; the state stays."""
    (home.releases_dir / "heads" / "1.0.0" / "participants.tsv").write_text("changed\n")

    code = run(["release", "propose", *NAME, *_as(site, Role.STUDY_TEAM), "--json"])

    document = _json(capsys)
    assert code == 4
    assert document["refused"]
    assert "participants.tsv was changed" in document["findings"][0]["what"]
    with site.records.transaction() as session:
        assert session.get_one(Release, draft.release_pk).state.value == "draft"


def test_dry_run_of_a_proposal_changes_nothing(
    site: Site, draft: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that the release could be proposed, and leaves it a draft."""
    code = run(["release", "propose", *NAME, "--dry-run", *_as(site, Role.STUDY_TEAM)])

    assert code == 0
    assert "could be proposed" in capsys.readouterr().out
    with site.records.transaction() as session:
        assert session.get_one(Release, draft.release_pk).state.value == "draft"


@pytest.mark.parametrize("digest", ["00" * 32, "abc"])
def test_approval_names_the_manifest_it_is_about(
    site: Site,
    draft: Release,
    tmp_path: Path,
    digest: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Another digest, or one too short to mean anything, is refused before anything is signed."""
    assert draft
    run(["release", "key", *_key(tmp_path, Role.LEAD), *_as(site, Role.LEAD)])
    run(["release", "propose", *NAME, *_as(site, Role.STUDY_TEAM)])
    signed = ["--manifest", digest, *_key(tmp_path, Role.LEAD), *_as(site, Role.LEAD)]
    capsys.readouterr()

    assert run(["release", "approve", *NAME, *signed]) == 2
    assert "another one than you name" in capsys.readouterr().err


def test_second_key_of_a_person_is_recorded_by_the_officer_only(
    site: Site, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise whoever claims to be the lead could replace the lead's key."""
    assert home
    run(["release", "key", *_key(tmp_path, Role.LEAD), *_as(site, Role.LEAD)])
    other = tmp_path / "other.pem"
    public = signing.make_key(other, "twelve or more characters")

    refused = run(["release", "key", "--key", str(other), *_as(site, Role.LEAD)])
    by_officer = ["--of", site.lead, "--public", public, *_as(site, Role.OFFICER)]

    assert refused == 5
    assert run(["release", "key", *by_officer]) == 0
    assert public in capsys.readouterr().out


def test_grant_goes_from_request_to_revocation(
    site: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """Requested by the person, accepted, approved by the steward, read, revoked by the person."""
    with site.records.transaction() as session:
        now = decided.clock_now(session)
        decided.published(session, home, site, now=now)
    person = _as(site, Role.EXTERNAL)
    asked = ["share", "grant", "request", "heads", "--purpose", "heads", *person]
    assert run(asked) == 0
    with site.records.transaction() as session:
        decided.accept(session, site.externals[0], Role.EXTERNAL, now=decided.clock_now(session),
                       family="heads", text=decided.AGREEMENT)  # fmt: skip
    assert run(["share", "grant", "accept", "1", *person]) == 0
    assert run(["share", "grant", "approve", "1", *_as(site, Role.STEWARD)]) == 0
    capsys.readouterr()

    run(["share", "grant", "readers", "heads/1.0.0", "--json"])
    assert [one["person"] for one in _json(capsys)["readers"]] == [site.externals[0]]
    assert run(["share", "grant", "revoke", "1", *person]) == 0
    capsys.readouterr()
    run(["share", "grant", "readers", "heads/1.0.0", "--json"])
    assert _json(capsys)["readers"] == []


def test_release_list_and_show_tell_the_state_without_any_source_label(
    site: Site, draft: Release, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed names participants by number at most."""
    assert draft
    assert run(["release", "list"]) == 0
    assert run(["release", "show", *NAME]) == 0
    assert run(["share", "check", "SOURCE", "--level", Level.OPEN.word]) == 4

    printed = capsys.readouterr().out
    assert "draft" in printed
    assert "SRC001" not in printed
    assert site.participants
