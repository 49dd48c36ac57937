"""Sending e-mail by SMTP: one message to one person, over TLS, with a time limit.

The settings come from the environment, so that no password is an argument. An error never repeats
an address: it says what the server answered as a number. Not here: what is written (``notices``).
"""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from enum import StrEnum

from xnat_client.errors import UnreachableError, UsageError

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_TIMEOUT_S = 30.0


class Encryption(StrEnum):
    """How the connection to the mail server is protected."""

    STARTTLS = "starttls"
    TLS = "tls"
    NONE = "none"


_PORTS = {Encryption.STARTTLS: 587, Encryption.TLS: 465, Encryption.NONE: 25}


@dataclass(frozen=True)
class MailSettings:
    """The mail server of the site.

    Attributes
    ----------
    host : str
        Its name.
    port : int
        Its port; 587 with STARTTLS, 465 with TLS (RFC 8314).
    sender : str
        The address that stands in From; answers go there.
    encryption : Encryption
        ``NONE`` only for a server on this very machine.
    user, password : str
        Empty for a server that asks for none.
    """

    host: str
    port: int
    sender: str
    encryption: Encryption = Encryption.STARTTLS
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        if self.encryption is Encryption.NONE and self.host not in _LOOPBACK:
            raise UsageError(
                "E-mail to another machine must be encrypted: set WINXNAT_SMTP_TLS to starttls or "
                "tls."
            )
        if not is_address(self.sender):
            raise UsageError("WINXNAT_SMTP_FROM holds no e-mail address; correct it.")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> MailSettings:
        """Read ``WINXNAT_SMTP`` (host or host:port), ``_FROM``, ``_TLS``, ``_USER``, ``_PASS``.

        Raises
        ------
        UsageError
            One is missing or cannot be understood.
        """
        known = os.environ if environment is None else environment
        host, _, port = known.get("WINXNAT_SMTP", "").partition(":")
        if not host or not known.get("WINXNAT_SMTP_FROM"):
            raise UsageError(
                "To send e-mail, name the mail server in WINXNAT_SMTP (host:port) and the "
                "sender's address in WINXNAT_SMTP_FROM."
            )
        word = known.get("WINXNAT_SMTP_TLS", Encryption.STARTTLS.value)
        if word not in set(Encryption) or not (port.isdigit() or not port):
            raise UsageError(
                "WINXNAT_SMTP is a host and a port like mail.example.org:587, and "
                "WINXNAT_SMTP_TLS one of starttls, tls, none."
            )
        encryption = Encryption(word)
        return cls(
            host,
            int(port) if port else _PORTS[encryption],
            known["WINXNAT_SMTP_FROM"],
            encryption,
            known.get("WINXNAT_SMTP_USER", ""),
            known.get("WINXNAT_SMTP_PASS", ""),
        )


class NotSentError(Exception):
    """One message was not taken by the server; the reason names no address."""


class Mailer:
    """An open connection to the mail server."""

    def __init__(self, connection: smtplib.SMTP, sender: str) -> None:
        self._connection = connection
        self._sender = sender

    def send(self, recipient: str, subject: str, text: str) -> None:
        """Send one message to one person.

        Raises
        ------
        NotSentError
            The address is none, or the server does not take the message.
        """
        if not is_address(recipient):
            raise NotSentError("the address in the records is no e-mail address")
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = recipient
        message["Subject"] = subject
        # Tells vacation programs not to answer (RFC 3834).
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text, cte="quoted-printable" if not text.isascii() else "7bit")
        try:
            self._connection.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            code = next(iter(error.recipients.values()))[0]
            raise NotSentError(f"the mail server refused the recipient (answer {code})") from None
        except smtplib.SMTPResponseException as error:
            raise NotSentError(f"the mail server answered {error.smtp_code}") from None
        except (OSError, smtplib.SMTPException):
            raise NotSentError("the connection to the mail server broke") from None


@contextmanager
def open_mailer(settings: MailSettings) -> Iterator[Mailer]:
    """Yield a connection to the mail server, logged in and encrypted as the settings say.

    Raises
    ------
    UnreachableError
        The server does not answer, offers no encryption, or refuses the log-in.
    """
    try:
        connection = _connect(settings)
    except (OSError, smtplib.SMTPException) as error:
        raise UnreachableError(
            f"The mail server {settings.host}:{settings.port} cannot be used "
            f"({type(error).__name__}). Nothing was sent; check WINXNAT_SMTP and its companions."
        ) from None
    try:
        yield Mailer(connection, settings.sender)
    finally:
        connection.close()


def _connect(settings: MailSettings) -> smtplib.SMTP:
    tls = ssl.create_default_context()
    if settings.encryption is Encryption.TLS:
        connection: smtplib.SMTP = smtplib.SMTP_SSL(
            settings.host, settings.port, timeout=_TIMEOUT_S, context=tls
        )
    else:
        connection = smtplib.SMTP(settings.host, settings.port, timeout=_TIMEOUT_S)
    try:
        if settings.encryption is Encryption.STARTTLS:
            connection.starttls(context=tls)
        if settings.user:
            connection.login(settings.user, settings.password)
    except BaseException:
        connection.close()
        raise
    return connection


def is_address(text: str) -> bool:
    """Tell whether a text is one plain e-mail address (RFC 5322 addr-spec) with a domain."""
    try:
        address = Address(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        return False
    return bool(address.username and address.domain) and text.isprintable() and " " not in text
