"""Notices: sent to a real mail server, signed, confirmed by token, repeated after fixed days."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from tests.builders.mail_sink import Sink, mail_server
from tests.builders.released import add_release
from tests.builders.sharing import Site
from xnat_client.errors import NotFoundError, UnreachableError, UsageError
from xnat_client.sharing import clock, notices, site_key
from xnat_client.sharing.actors import service
from xnat_client.sharing.database.store import Database
from xnat_client.sharing.database.tables import AuditEntry, Notice, Person
from xnat_client.sharing.home import Home
from xnat_client.sharing.mail import Encryption, MailSettings, is_address, open_mailer
from xnat_client.sharing.notices import Delivery, NewNotice, NoticeKind

TOKEN = re.compile(r"^    ([A-Za-z0-9_-]{43})\s*$", re.MULTILINE)


@pytest.fixture
def sink() -> Iterator[Sink]:
    with mail_server() as running:
        yield running


def make(
    site: Site, home: Home, now: datetime, people: list[str], labels: tuple[str, ...] = ("sub-X1",)
) -> list[int]:
    with site.records.transaction() as session:
        clock.now(session, lambda: now)
        release = add_release(session, site, now=now)
        actor = service("a test")
        return [
            notices.add(
                session,
                home,
                actor,
                NewNotice(release.release_pk, one, NoticeKind.DELETE_PARTICIPANT, labels),
                now=now,
            ).notice_pk
            for one in people
        ]


def send(site: Site, home: Home, sink: Sink, at: datetime) -> list[Delivery]:
    with open_mailer(sink.settings) as mailer:
        return notices.send_due(home, site.records, mailer, lambda: at)


def states(records: Database, at: datetime) -> list[str]:
    with records.transaction() as session:
        return [one.state for one in notices.standings(session, at)]


def test_each_recipient_gets_a_message_of_their_own(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """No message shows one recipient's address or token to another."""
    make(site, home, now, site.externals)

    sent = send(site, home, sink, now)

    assert [one.reason for one in sent] == ["", ""]
    assert [to for to, _ in sink.received] == [["external1@people.test"], ["external2@people.test"]]
    assert [str(message["To"]) for _, message in sink.received] == [
        to[0] for to, _ in sink.received
    ]
    tokens = [TOKEN.findall(text) for text in sink.texts()]
    assert all(len(found) == 1 for found in tokens)
    assert tokens[0] != tokens[1]


def test_message_names_labels_and_neither_participant_nor_source(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """The text holds the release labels, and no number or source label of a participant."""
    make(site, home, now, site.externals[:1], ("sub-Qm3", "sub-Xw9"))

    send(site, home, sink, now)

    (text,) = sink.texts()
    assert "    sub-Qm3\n    sub-Xw9\n" in text
    assert "faces version 1.0.0" in text
    assert "SRC" not in text
    assert "participant 1" not in text.lower()


def test_message_is_signed_by_the_site(site: Site, home: Home, sink: Sink, now: datetime) -> None:
    """The text as it arrived fits the signature under it; a changed label does not."""
    make(site, home, now, site.externals[:1])
    send(site, home, sink, now)
    key = site_key.public_key(home)

    (text,) = sink.texts()

    assert notices.is_genuine(text, key)
    assert notices.is_genuine(text.replace("\n", "\r\n"), key)
    assert not notices.is_genuine(text.replace("sub-X1", "sub-X2"), key)
    assert not notices.is_genuine("", key)


def test_token_of_the_message_confirms_and_removes_the_labels(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """The token from the mail confirms; the labels are not kept longer than needed."""
    (number,) = make(site, home, now, site.externals[:1])
    send(site, home, sink, now)
    token = TOKEN.findall(sink.texts()[0])[0]

    with site.records.transaction() as session:
        notices.acknowledge(session, token, now=now)

    with site.records.transaction() as session:
        assert session.get_one(Notice, number).labels == []
        assert [one.state for one in notices.standings(session, now)] == ["confirmed"]


def test_wrong_token_confirms_nothing(site: Site, home: Home, now: datetime) -> None:
    """A token of the right form that was never given is refused without a hint."""
    make(site, home, now, site.externals[:1])

    def confirm() -> None:
        with site.records.transaction() as session:
            notices.acknowledge(session, "A" * 43, now=now)

    with pytest.raises(NotFoundError, match="No notice has this token"):
        confirm()
    assert states(site.records, now) == ["waiting"]


def test_token_stands_in_no_table_and_no_log(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """Who reads the database, the log included, cannot confirm in a recipient's name."""
    make(site, home, now, site.externals[:1])
    send(site, home, sink, now)
    token = TOKEN.findall(sink.texts()[0])[0]

    stored = ""
    with site.records.engine.connect() as connection:
        for table in Notice.metadata.sorted_tables:
            stored += "\n".join(str(row) for row in connection.execute(table.select()))
    assert "sub-X1" in stored
    assert token not in stored


def test_reminders_come_after_14_30_and_90_days_until_confirmed(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """Asked on days around them, four messages go out, on the days of the policy."""
    make(site, home, now, site.externals[:1])

    asked = (0, 1, 13, 14, 15, 29, 30, 31, 89, 90, 91, 199)
    days = [day for day in asked if send(site, home, sink, now + timedelta(days=day))]

    assert days == [0, 14, 30, 90]
    assert states(site.records, now + timedelta(days=199)) == ["overdue"]
    subjects = [str(message["Subject"]) for _, message in sink.received]
    assert subjects[0] == "Please delete data of faces version 1.0.0"
    assert subjects[3] == "Reminder 3 of 3: please delete data of faces version 1.0.0"
    assert len({TOKEN.findall(text)[0] for text in sink.texts()}) == 1


def test_reminders_end_with_the_confirmation(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """Who has confirmed is left alone."""
    make(site, home, now, site.externals[:1])
    send(site, home, sink, now)
    with site.records.transaction() as session:
        notices.acknowledge(session, TOKEN.findall(sink.texts()[0])[0], now=now)

    assert send(site, home, sink, now + timedelta(days=40)) == []


def test_program_that_slept_sends_one_reminder_and_not_two(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """After a break of 40 days the recipient gets one message, not those of days 14 and 30."""
    make(site, home, now, site.externals[:1])
    send(site, home, sink, now)

    later = send(site, home, sink, now + timedelta(days=40))

    assert [one.reminder for one in later] == [2]
    assert send(site, home, sink, now + timedelta(days=41)) == []


def test_refused_recipient_is_noted_without_the_address_and_tried_again(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """A mailbox that is refused stops nobody else's message; it stays due."""
    make(site, home, now, site.externals)
    sink.refused = {"external1@people.test"}

    first = send(site, home, sink, now)
    sink.refused = set()
    second = send(site, home, sink, now)

    assert [one.reason for one in first] == [
        "the mail server refused the recipient (answer 550)",
        "",
    ]
    assert [(one.person_id, one.reason) for one in second] == [(site.externals[0], "")]


def test_person_without_an_address_is_reported(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """A recipient whom no message can reach is named, so that a person can act."""
    make(site, home, now, site.externals[:1])
    with site.records.transaction() as session:
        session.get_one(Person, site.externals[0]).email = ""

    (one,) = send(site, home, sink, now)

    assert one.reason == "the records hold no e-mail address of this person"
    assert states(site.records, now) == ["waiting"]


def test_address_cannot_smuggle_in_a_second_recipient(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """A line break in a recorded address is refused, not sent."""
    make(site, home, now, site.externals[:1])
    with site.records.transaction() as session:
        session.get_one(Person, site.externals[0]).email = "a@b.test\nBcc: evil@b.test"

    (one,) = send(site, home, sink, now)

    assert one.reason == "the address in the records is no e-mail address"
    assert sink.received == []


def test_same_notice_is_not_made_twice_while_it_waits(
    site: Site, home: Home, now: datetime
) -> None:
    """Making the notices again, after a break or by mistake, adds nothing."""
    with site.records.transaction() as session:
        release = add_release(session, site, now=now)
        wanted = NewNotice(
            release.release_pk, site.externals[0], NoticeKind.DELETE_PARTICIPANT, ("b", "a")
        )
        first = notices.add(session, home, service("a test"), wanted, now=now)
        again = notices.add(session, home, service("a test"), wanted, now=now)

        assert first is again


def test_log_says_that_it_was_sent_and_confirmed(
    site: Site, home: Home, sink: Sink, now: datetime
) -> None:
    """Each step of a notice has its entry; no entry holds a label or an address."""
    make(site, home, now, site.externals[:1])
    send(site, home, sink, now)
    with site.records.transaction() as session:
        notices.acknowledge(session, TOKEN.findall(sink.texts()[0])[0], now=now)

    with site.records.transaction() as session:
        entries = [one for one in session.query(AuditEntry) if one.object_kind == "notice"]
        assert [one.action for one in entries] == [
            "notice.add",
            "notice.send",
            "notice.acknowledge",
        ]
        said = " ".join(f"{one.before} {one.after} {one.reason}" for one in entries)
    assert "sub-X1" not in said
    assert "@" not in said


def test_mail_to_another_machine_must_be_encrypted() -> None:
    """Without TLS only a server on this very machine is spoken to."""
    with pytest.raises(UsageError, match="must be encrypted"):
        MailSettings("mail.example.org", 25, "data@centre.test", Encryption.NONE)


def test_server_without_encryption_is_not_spoken_to(sink: Sink) -> None:
    """Where STARTTLS is asked for and not offered, nothing is sent in the clear."""
    settings = MailSettings("127.0.0.1", sink.port, "data@centre.test", Encryption.STARTTLS)

    with pytest.raises(UnreachableError, match="Nothing was sent"), open_mailer(settings):
        pass


def test_settings_come_from_the_environment_and_hide_the_password() -> None:
    """Host, port and way of encryption are read; the password is in no representation."""
    settings = MailSettings.from_environment(
        {
            "WINXNAT_SMTP": "mail.example.org",
            "WINXNAT_SMTP_FROM": "data@centre.test",
            "WINXNAT_SMTP_USER": "u",
            "WINXNAT_SMTP_PASS": "s3cret",
        }
    )

    assert (settings.host, settings.port) == ("mail.example.org", 587)
    assert settings.encryption is Encryption.STARTTLS
    assert "s3cret" not in repr(settings)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WINXNAT_SMTP": "mail.example.org"},
        {"WINXNAT_SMTP": "m:port", "WINXNAT_SMTP_FROM": "a@b.test"},
        {"WINXNAT_SMTP": "m", "WINXNAT_SMTP_FROM": "a@b.test", "WINXNAT_SMTP_TLS": "off"},
        {"WINXNAT_SMTP": "m", "WINXNAT_SMTP_FROM": "nobody"},
    ],
)
def test_settings_that_cannot_be_understood_are_refused(environment: dict[str, str]) -> None:
    """A missing or wrong setting is a sentence, not a guess."""
    with pytest.raises(UsageError, match="WINXNAT_SMTP"):
        MailSettings.from_environment(environment)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b@example.org", True),
        ("", False),
        ("nobody", False),
        ("a b@example.org", False),
        ("a@b@c", False),
        ("a@b.test, c@d.test", False),
        ("a@b.test\r\nBcc: c@d.test", False),
        ("<a@b.test>", False),
        ("a@", False),
    ],
)
def test_only_one_plain_address_is_an_address(text: str, *, expected: bool) -> None:
    """Everything that is not one addr-spec is refused."""
    assert is_address(text) is expected
