"""HTTP against a server that misbehaves: retries, log-in, streaming, silence on secrets."""

from __future__ import annotations

import hashlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from xnat_client.credentials import Credentials
from xnat_client.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    NotLoggedInError,
    RefusedError,
    UnreachableError,
    UsageError,
    XnatClientError,
)
from xnat_client.exchange import StreamBody
from xnat_client.transport import Transport
from xnat_client.transport_settings import TransportSettings

from .conftest import PASSWORD, SESSION_ID, Reply, ScriptedServer

PATH = "/data/thing"


def test_logs_in_once_and_then_sends_the_cookie(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """The password travels in the log-in's body only; later requests carry the session cookie."""
    scripted.answer("GET", PATH, Reply(body=b"ok"))

    transport.get_text(PATH, doing="ask")
    transport.get_text(PATH, doing="ask")

    assert [one.method for one in scripted.requests_to("/data/services/auth")] == ["PUT"]
    for request in scripted.requests_to(PATH):
        assert request.headers["Cookie"] == f"JSESSIONID={SESSION_ID}"
        assert "Authorization" not in request.headers
        assert request.headers["User-Agent"].startswith("winxnat/")


def test_alias_token_logs_in_by_basic_credentials(
    scripted: ScriptedServer, quick_settings: TransportSettings
) -> None:
    """A token (RFC 7617 Basic) is exchanged for a session, not put into the password form."""
    token = Credentials("0a1b2c3d-0000-4000-8000-0123456789ab", "s3cret")
    opened = Transport(scripted.url, token, quick_settings)
    opened.log_in()
    opened.close()

    [first, *_] = scripted.requests_to("/data/JSESSION")
    expected = "Basic MGExYjJjM2QtMDAwMC00MDAwLTgwMDAtMDEyMzQ1Njc4OWFiOnMzY3JldA=="
    assert first.headers["Authorization"] == expected
    assert scripted.requests_to("/data/services/auth") == []


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE"])
@pytest.mark.parametrize("status", [429, 503])
def test_busy_server_is_asked_again(
    scripted: ScriptedServer, transport: Transport, method: str, status: int
) -> None:
    """Every method is repeated after 429 and 503, with the same body."""
    scripted.answer(method, PATH, Reply(status), Reply(status), Reply(body=b"done"))

    answer = transport.request(method, PATH, doing="work", body=b"content")

    assert answer.text == "done"
    assert [one.body for one in scripted.requests_to(PATH)] == [b"content"] * 3


@pytest.mark.parametrize("status", [502, 504])
def test_gateway_trouble_repeats_idempotent_methods_only(
    scripted: ScriptedServer, transport: Transport, status: int
) -> None:
    """After 502 and 504 a POST may have taken effect, so only the PUT is sent again."""
    scripted.answer("PUT", PATH, Reply(status), Reply(body=b"done"))
    scripted.answer("POST", PATH, Reply(status), Reply(body=b"twice"))

    assert transport.request("PUT", PATH, doing="work").text == "done"
    with pytest.raises(UnreachableError):
        transport.request("POST", PATH, doing="work")

    assert [one.method for one in scripted.requests_to(PATH)] == ["PUT", "PUT", "POST"]


def test_patience_ends(scripted: ScriptedServer, transport: Transport) -> None:
    """A server that stays busy is asked max_attempts times, then given up."""
    scripted.answer("GET", PATH, Reply(503, b"maintenance until noon"))

    with pytest.raises(UnreachableError, match="maintenance until noon"):
        transport.get_text(PATH, doing="ask")

    assert len(scripted.requests_to(PATH)) == 4


def test_long_retry_after_is_not_waited_for(scripted: ScriptedServer, transport: Transport) -> None:
    """A Retry-After beyond the limit ends the attempt at once."""
    scripted.answer("GET", PATH, Reply(503, headers={"Retry-After": "86400"}))

    with pytest.raises(UnreachableError):
        transport.get_text(PATH, doing="ask")

    assert len(scripted.requests_to(PATH)) == 1


def test_short_retry_after_is_honoured(scripted: ScriptedServer, transport: Transport) -> None:
    """A Retry-After within the limit is followed by a second try."""
    busy = Reply(503, headers={"Retry-After": "0"})
    scripted.answer("GET", PATH, busy, Reply(body=b"ok"))

    assert transport.get_text(PATH, doing="ask") == "ok"


def test_broken_answer_is_fetched_again_for_get_only(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """A half answer never counts as a whole one; a POST is not repeated and says what to do."""
    half = Reply(body=b"x" * 1000, broken=True)
    scripted.answer("GET", PATH, half, Reply(body=b"whole"))
    scripted.answer("POST", PATH, half)

    assert transport.get_text(PATH, doing="ask") == "whole"
    with pytest.raises(UnreachableError, match="may have taken effect"):
        transport.request("POST", PATH, doing="send")

    assert [one.method for one in scripted.requests_to(PATH)] == ["GET", "GET", "POST"]


def test_ended_session_is_renewed_once(scripted: ScriptedServer, transport: Transport) -> None:
    """A 401 in the middle leads to one new log-in and the same request, body included."""
    scripted.answer("POST", PATH, Reply(401), Reply(body=b"ok"))

    opened: list[int] = []

    def chunks() -> Iterator[bytes]:
        opened.append(1)
        yield b"ab"
        yield b"cd"

    answer = transport.request("POST", PATH, doing="send", body=StreamBody(chunks, 4))

    assert answer.text == "ok"
    assert len(scripted.requests_to("/data/services/auth")) == 2
    assert [one.body for one in scripted.requests_to(PATH)] == [b"abcd", b"abcd"]
    assert len(opened) == 2


def test_session_that_is_refused_for_ever_ends_in_an_error(
    scripted: ScriptedServer, transport: Transport
) -> None:
    """A server that always says 401 is not asked for ever."""
    scripted.answer("GET", PATH, Reply(401))

    with pytest.raises(NotLoggedInError):
        transport.get_text(PATH, doing="ask")

    assert len(scripted.requests_to(PATH)) == 2


@pytest.mark.parametrize("page", [b"<!DOCTYPE html><html>", b"\n <HTML><body>log in</body>"])
def test_web_page_with_200_is_no_data(
    scripted: ScriptedServer, transport: Transport, page: bytes
) -> None:
    """A log-in page with status 200 leads to a new log-in, then to an error, never to data."""
    scripted.answer("GET", PATH, Reply(body=page))

    with pytest.raises(RefusedError, match="web page"):
        transport.get_text(PATH, doing="ask")

    assert len(scripted.requests_to("/data/services/auth")) == 2


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RefusedError),
        (403, NotAllowedError),
        (404, NotFoundError),
        (409, ConflictError),
        (500, RefusedError),
    ],
)
def test_each_status_is_one_reaction(
    scripted: ScriptedServer, transport: Transport, status: int, kind: type[XnatClientError]
) -> None:
    """The class tells the caller what to do; the message holds the server's words, once asked."""
    scripted.answer("POST", PATH, Reply(status, b"<html><h3>disk is full</h3></html>"))

    with pytest.raises(kind, match=r"Cannot send it: .*disk is full") as caught:
        transport.request("POST", PATH, doing="send it")

    assert type(caught.value) is kind
    assert caught.value.status == status
    assert len(scripted.requests_to(PATH)) == 1


def test_redirect_names_the_other_address(scripted: ScriptedServer, transport: Transport) -> None:
    """A redirect is not followed (the cookie would go along); its host is named without path."""
    target = "https://user:pw@xnat.example.org/data/thing?secret=1"
    scripted.answer("GET", PATH, Reply(302, headers={"Location": target}))

    with pytest.raises(RefusedError) as caught:
        transport.get_text(PATH, doing="ask")

    assert "https://xnat.example.org" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "pw" not in str(caught.value)


def test_wrong_password_says_where_it_came_from(
    scripted: ScriptedServer, quick_settings: TransportSettings
) -> None:
    """The message names the source of the password, not the password."""
    opened = Transport(scripted.url, Credentials("reader", "hunter2", "netrc file"), quick_settings)

    with pytest.raises(NotLoggedInError, match="netrc file") as caught:
        opened.log_in()
    opened.close()

    assert "hunter2" not in str(caught.value)


def test_nobody_listens(quick_settings: TransportSettings) -> None:
    """A refused connection is an UnreachableError that names the host."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        opened = Transport(url, Credentials("reader", PASSWORD), quick_settings)

        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1 cannot be reached"):
            opened.log_in()
        opened.close()


def test_silent_server_meets_the_read_timeout() -> None:
    """A server that accepts and then says nothing does not hold the client for ever."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = TransportSettings(read_timeout_s=0.2, max_attempts=1)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        opened = Transport(url, Credentials("reader", PASSWORD), settings)

        with pytest.raises(UnreachableError, match="silent"):
            opened.log_in()
        opened.close()


def test_secrets_stay_out_of_logs_and_errors(
    scripted: ScriptedServer, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """No log line or message holds password or cookie, even if the server repeats them."""
    echo = f"rejected {PASSWORD} {SESSION_ID}".encode()
    scripted.answer("GET", PATH, Reply(400, echo))

    with caplog.at_level(logging.DEBUG), pytest.raises(RefusedError) as caught:
        transport.get_text(PATH, doing="ask")

    seen = caplog.text + str(caught.value) + caught.value.details + repr(transport)
    assert "rejected *** ***" in seen
    assert PASSWORD not in seen
    assert SESSION_ID not in seen
    assert "GET /data/thing -> 400" in caplog.text


def test_download_replaces_only_after_the_check(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A file that the check rejects leaves the old one and no temporary file behind."""
    scripted.answer("GET", PATH, Reply(body=b"new content"))
    target = tmp_path / "file.bin"
    target.write_bytes(b"old")

    def reject(size_bytes: int, md5: str) -> None:
        assert (size_bytes, md5) == (11, hashlib.md5(b"new content").hexdigest())  # noqa: S324  # XNAT's digest
        raise RefusedError("not that one")

    with pytest.raises(RefusedError, match="not that one"):
        transport.download(PATH, target, doing="fetch", check=reject)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {"file.bin": b"old"}

    transport.download(PATH, target, doing="fetch", check=lambda _size, _md5: None)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == {
        "file.bin": b"new content"
    }


def test_broken_download_is_started_again(
    scripted: ScriptedServer, transport: Transport, tmp_path: Path
) -> None:
    """A connection lost half-way gives the whole file on the second try."""
    content = bytes(range(256)) * 1000
    scripted.answer("GET", PATH, Reply(body=content, broken=True), Reply(body=content))

    transport.download(PATH, tmp_path / "file", doing="fetch", check=lambda _size, _md5: None)

    assert (tmp_path / "file").read_bytes() == content
    assert len(scripted.requests_to(PATH)) == 2


def test_close_logs_out(scripted: ScriptedServer, quick_settings: TransportSettings) -> None:
    """The server's session is ended, as servers limit their number."""
    opened = Transport(scripted.url, Credentials("reader", PASSWORD), quick_settings)
    opened.log_in()

    opened.close()

    assert [one.method for one in scripted.requests_to("/data/JSESSION")] == ["DELETE"]


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    """REQUESTS_CA_BUNDLE goes before SSL_CERT_FILE; a file that is not there is said at once."""
    first, second = tmp_path / "a.pem", tmp_path / "b.pem"
    first.touch()
    second.touch()

    both = {"REQUESTS_CA_BUNDLE": str(first), "SSL_CERT_FILE": str(second)}
    assert TransportSettings.from_environment(both).ca_bundle == first
    assert TransportSettings.from_environment({"SSL_CERT_FILE": str(second)}).ca_bundle == second
    assert TransportSettings.from_environment({"WINXNAT_ALLOW_HTTP": "1"}).allow_http
    assert not TransportSettings.from_environment({}).allow_http
    with pytest.raises(UsageError, match="does not exist"):
        TransportSettings.from_environment({"SSL_CERT_FILE": str(tmp_path / "none.pem")})
