"""A mail server that keeps what it is given, for tests of what is sent."""

from __future__ import annotations

import email
import email.policy
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope
from aiosmtpd.smtp import Session as SmtpSession

from xnat_client.sharing.mail import Encryption, MailSettings


@dataclass
class Sink:
    """A mail server that keeps what it is given, and refuses addresses that it is told to."""

    port: int = 0
    refused: set[str] = field(default_factory=set)
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)

    async def handle_RCPT(  # noqa: N802  # the library's name
        self, _server: SMTP, _session: SmtpSession, envelope: Envelope, address: str, _opts: object
    ) -> str:
        """Take a recipient, or refuse it."""
        if address in self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  # the library's name
        self, _server: SMTP, _session: SmtpSession, envelope: Envelope
    ) -> str:
        """Keep a message."""
        message = email.message_from_bytes(envelope.content or b"", policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.received.append((envelope.rcpt_tos, message))
        return "250 OK"

    @property
    def settings(self) -> MailSettings:
        """How to reach it."""
        return MailSettings("127.0.0.1", self.port, "data@centre.test", Encryption.NONE)

    def texts(self) -> list[str]:
        """Return the texts of all messages, in the order of their arrival."""
        return [message.get_content().replace("\r\n", "\n") for _, message in self.received]


@contextmanager
def mail_server() -> Iterator[Sink]:
    """Run one on a free port of this machine."""
    sink = Sink()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        sink.port = probe.getsockname()[1]
    controller = Controller(sink, hostname="127.0.0.1", port=sink.port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()
