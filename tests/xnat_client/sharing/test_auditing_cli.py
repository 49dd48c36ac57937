"""``winxnat audit`` and ``winxnat share notices`` as people call them."""

from __future__ import annotations

import io
import json
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.builders.released import add_grant, add_links, add_release
from tests.builders.sharing import Site, fresh_records, make_site
from xnat_client.cli.main import run
from xnat_client.sharing import link_file, notices
from xnat_client.sharing.database.tables import AuditEntry, Notice
from xnat_client.sharing.home import Home
from xnat_client.sharing.records import consent
from xnat_client.sharing.records.consent import ConsentLine
from xnat_client.sharing.vocabulary import ConsentEvent, Role


def who(site: Site, role: Role) -> list[str]:
    person = site.acting(role).person_id
    return ["--person", person, "--role", role.value, "--reason", "a test"]


def document(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def withdrawn(
    site: Site,
    home: Home,
    now: datetime,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Site:
    """A site with a published release, one reader, and a participant who withdrew."""
    monkeypatch.setenv(link_file.KEYS_VARIABLE, str(tmp_path_factory.mktemp("keys")))
    with site.records.transaction() as session:
        add_release(session, site, now=now)
        add_links(session, home, "faces", {1: "sub-A", 2: "sub-B"}, now=now)
        add_grant(session, site, site.externals[0], now=now)
        line = ConsentLine(ConsentEvent.NO_FURTHER_SHARING, now.date())
        consent.record(session, site.acting(Role.STUDY_TEAM), 1, line, now=now)
    return site


def test_whole_log_ends_with_code_0(
    site: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole log says so, and says what it cannot know without a checkpoint."""
    assert run(["audit", "verify"]) == 0
    assert "without a checkpoint" in capsys.readouterr().out
    del site, home


def test_broken_log_ends_with_code_4_and_the_place(
    site: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """A person must look: code 4, and the entry is named."""
    with site.records.engine.begin() as connection:
        connection.execute(sa.text("UPDATE audit_entry SET reason = 'x' WHERE sequence = 2"))

    assert run(["audit", "verify"]) == 4
    assert "entry 2: It was changed after it was written." in capsys.readouterr().out
    assert run(["audit", "verify", "--json"]) == 4
    assert document(capsys)["breaks"] == [
        {"place": "entry 2", "what": "It was changed after it was written."}
    ]
    del home


def test_damaged_database_file_is_reported_as_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file whose pages cannot be read ends with code 4 and one sentence, not as our fault."""
    folder = tmp_path / "home"
    folder.mkdir(mode=0o700)
    with fresh_records(tmp_path) as records:
        make_site(records)
        path = Path(str(records.engine.url.database))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv("WINXNAT_SHARING", str(folder))
    monkeypatch.setenv("WINXNAT_SHARING_DATABASE", f"sqlite:///{path}")

    assert run(["audit", "verify"]) == 4
    assert "database: It is damaged" in capsys.readouterr().out


def test_checkpoint_kept_elsewhere_convicts_a_log_rebuilt_from_its_beginning(
    site: Site, home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who deletes the log, the checkpoints and the key beside it is betrayed by the copy."""
    officer = who(site, Role.OFFICER)
    assert run(["audit", "checkpoint", "--copy-to", str(tmp_path), "--json", *officer]) == 0
    noted = str(document(capsys)["key"])
    with site.records.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM audit_entry WHERE sequence > 1"))
    for path in home.checkpoints_dir.iterdir():
        path.unlink()
    (home.folder / "site-key.pem").unlink()

    found = run(["audit", "verify", "--checkpoints", str(tmp_path), "--key", noted])

    assert found == 4
    assert "its end was cut off" in capsys.readouterr().out


def test_checkpoint_by_a_person_without_the_role_is_refused(site: Site, home: Home) -> None:
    """The acting role is checked against the records."""
    arguments = ["--person", site.outsider, "--role", "officer", "--reason", "a test"]

    assert run(["audit", "checkpoint", *arguments]) == 5
    del home


def test_entries_can_be_listed_by_object(
    site: Site, home: Home, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list is filtered and holds who, what, when and why."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)

    assert run(["audit", "show", "--object", "release:1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "release.apply" in line
    assert "- -> published: a test needs it" in line
    assert "2026-05-04T12:00:00Z" in line
    del home


def test_readers_of_a_family_are_told_with_reasons(
    site: Site, home: Home, now: datetime, capsys: pytest.CaptureFixture[str]
) -> None:
    """The question names a family; the answer person, time and reason."""
    with site.records.transaction() as session:
        add_release(session, site, now=now)
        add_grant(session, site, site.externals[0], now=now)

    assert run(["audit", "readers", "faces"]) == 0
    out = capsys.readouterr().out
    assert "faces 1.0.0  p-external1  2026-05-04T12:00:00Z to 2027-05-04T12:00:00Z" in out
    assert "grant 1: agreement data-use 1.0.0 accepted on 2026-05-04" in out
    assert run(["audit", "readers", "faces", "--at", "2026-05-03"]) == 0
    assert capsys.readouterr().out == "nobody\n"
    assert run(["audit", "readers", "unknown"]) == 5
    del home


def test_notices_are_made_listed_and_confirmed(
    withdrawn: Site,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Custodian makes, steward confirms with the token on standard input; counts follow."""
    assert run(["share", "notices", "make", "1", *who(withdrawn, Role.CUSTODIAN)]) == 0
    assert "1 recipients have a notice" in capsys.readouterr().out
    with withdrawn.records.transaction() as session:
        token = notices.token_of(home, session.scalars(sa.select(Notice)).one())
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{token}\n"))

    assert run(["share", "notices", "confirm", *who(withdrawn, Role.STEWARD)]) == 0
    assert token not in capsys.readouterr().out
    assert run(["share", "notices", "list", "--counts", "--json"]) == 0
    assert document(capsys) == {"counts": {"confirmed": 1}, "notices": []}


def test_making_notices_takes_the_custodian(withdrawn: Site, home: Home) -> None:
    """The steward cannot have labels looked up."""
    assert run(["share", "notices", "make", "1", *who(withdrawn, Role.STEWARD)]) == 5
    del home


def test_dry_run_sends_nothing_and_needs_no_mail_server(
    withdrawn: Site, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be sent is said; nothing is recorded as sent."""
    run(["share", "notices", "make", "1", *who(withdrawn, Role.CUSTODIAN)])
    with withdrawn.records.transaction() as session:
        before = session.scalar(sa.select(sa.func.max(AuditEntry.sequence)))
    capsys.readouterr()

    assert run(["share", "notices", "send", "--dry-run", *who(withdrawn, Role.STEWARD)]) == 0
    assert "p-external1  first message  not sent: dry run" in capsys.readouterr().out
    with withdrawn.records.transaction() as session:
        assert session.scalar(sa.select(sa.func.max(AuditEntry.sequence))) == before
    del home


def test_sending_without_a_mail_server_says_what_to_set(
    withdrawn: Site,
    home: Home,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sentence names the variable."""
    run(["share", "notices", "make", "1", *who(withdrawn, Role.CUSTODIAN)])
    monkeypatch.delenv("WINXNAT_SMTP", raising=False)

    assert run(["share", "notices", "send", *who(withdrawn, Role.STEWARD)]) == 2
    assert "WINXNAT_SMTP" in capsys.readouterr().err
    del home
