"""A proposal tells its approvers, by a real mail server; without one it stands all the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builders import decided
from tests.builders.mail_sink import Sink, mail_server
from tests.builders.sharing import Site
from xnat_client.cli.main import run
from xnat_client.sharing import link_file
from xnat_client.sharing.database.tables import Release
from xnat_client.sharing.home import Home

pytestmark = pytest.mark.parametrize("records", ["sqlite"], indirect=True)


@pytest.fixture
def second(site: Site, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Release:
    """A draft of the second version of a published family: one participant less, one file new."""
    monkeypatch.setenv(link_file.KEYS_VARIABLE, str(tmp_path / "link-keys"))
    with site.records.transaction() as session:
        now = decided.clock_now(session)
        decided.published(session, home, site, now=now)
        return decided.draft(
            session, home, site, now=now, version="1.1.0", participants=site.participants[:1]
        )


@pytest.fixture
def sink(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    """A mail server that the environment names."""
    with mail_server() as running:
        monkeypatch.setenv("WINXNAT_SMTP", f"127.0.0.1:{running.port}")
        monkeypatch.setenv("WINXNAT_SMTP_FROM", "data@centre.test")
        monkeypatch.setenv("WINXNAT_SMTP_TLS", "none")
        yield running


def propose(
    site: Site, release: Release, capsys: pytest.CaptureFixture[str], *more: str
) -> dict[str, Any]:
    team = ["--person", site.requester, "--role", "study-team", "--reason", "it is ready"]
    assert run(["release", "propose", release.family, release.version, *team, *more, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_each_approver_is_told_with_the_difference_to_the_version_before(
    site: Site, second: Release, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lead and steward, one message each: digest and counts, never a path or a label."""
    told = propose(site, second, capsys)["told"]

    assert told == [site.lead, site.steward]
    assert sorted(address for to, _ in sink.received for address in to) == [
        "lead@people.test",
        "steward@people.test",
    ]
    for text in sink.texts():
        assert second.manifest_sha256 in text
        # Version 1.0.0 has an image of each of two participants; 1.1.0 has another of the first.
        assert "0 files added, 1 removed, 1 changed; 2 participants before, 1 now." in text
        assert "sub-" not in text
        assert "SRC" not in text


def test_a_dry_run_tells_nobody(
    site: Site, second: Release, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing was proposed, so nobody is asked."""
    assert propose(site, second, capsys, "--dry-run")["told"] == []
    assert sink.received == []


def test_a_refused_address_leaves_the_others_told(
    site: Site, second: Release, sink: Sink, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who could not be told is named; the proposal stands."""
    sink.refused.add("lead@people.test")

    done = propose(site, second, capsys)

    assert (done["state"], done["told"], done["not_told"]) == (
        "proposed",
        [site.steward],
        [site.lead],
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"WINXNAT_SMTP": "127.0.0.1:9", "WINXNAT_SMTP_FROM": "data@centre.test",
         "WINXNAT_SMTP_TLS": "none"},
        {"WINXNAT_SMTP": "mail.centre.test:much"},
    ],
    ids=["none named", "none there", "none that can be read"],
)  # fmt: skip
def test_without_a_mail_server_the_proposal_stands(
    site: Site,
    second: Release,
    settings: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Proposed all the same, and it says whom nobody told."""
    monkeypatch.delenv("WINXNAT_SMTP", raising=False)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    done = propose(site, second, capsys)

    assert (done["state"], done["told"], done["not_told"]) == (
        "proposed",
        [],
        [site.lead, site.steward],
    )
