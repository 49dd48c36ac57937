"""Requests as an attacker's page or program sends them: other sites' pages, framing, old tokens."""

from __future__ import annotations

import base64
import socket
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from deploy.sandbox.web_sessions import MAX_OF_ONE_USER, WebSessions
from tests.deploy.sandbox.conftest import Api, Study, unique_name

FIREFOX = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"}


# Pages of other sites ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "null", "http://127.0.0.1.evil.example", "file://", "",
        "http://evil.example@{own}.example", "ftp://{own}", "{own}",
    ],
)  # fmt: skip
def test_a_page_of_another_site_cannot_log_anybody_in(
    make_user: Any, sandbox: Any, origin: str
) -> None:
    """A form of another site is refused even where no token could be asked for."""
    person, own = make_user(), urlsplit(sandbox.url).netloc
    form = {"username": person.login, "password": person.auth[1]}
    headers = {**FIREFOX, "Origin": origin.format(own=own)}

    answer = requests.post(f"{sandbox.url}/data/services/auth", form, headers=headers, timeout=30)

    assert answer.status_code == 403
    assert "JSESSIONID" not in answer.cookies


def test_the_site_s_own_pages_log_in(make_user: Any, sandbox: Any) -> None:
    """The same form from the server's own address is taken."""
    person = make_user()
    form = {"username": person.login, "password": person.auth[1]}
    headers = {**FIREFOX, "Origin": sandbox.url}

    answer = requests.post(f"{sandbox.url}/data/services/auth", form, headers=headers, timeout=30)

    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "place", ["nowhere", "header", "cookie", "body", "empty", "other-session", "case", "twice"]
)
def test_a_browser_s_token_counts_in_one_place_only(
    make_user: Any, sandbox: Any, method: str, place: str
) -> None:
    """A token in a header, cookie or body, of another session or misspelt is none."""
    person, other = make_user(), make_user()
    session, _, token = person.get("/data/JSESSION?CSRF=true").text.partition("; XNAT_CSRF=")
    foreign = other.get("/data/JSESSION?CSRF=true").text.partition("; XNAT_CSRF=")[2]
    cookies, headers, query, body = {"JSESSIONID": session}, dict(FIREFOX), {}, None
    if place == "header":
        headers |= {"XNAT_CSRF": token, "X-XNAT-CSRF": token, "X-CSRF-TOKEN": token}
    elif place == "cookie":
        cookies["XNAT_CSRF"] = token
    elif place == "body":
        body = {"XNAT_CSRF": token}
    elif place == "empty":
        query["XNAT_CSRF"] = ""
    elif place == "other-session":
        query["XNAT_CSRF"] = foreign
    elif place == "case":
        query["xnat_csrf"] = token
    elif place == "twice":
        query["XNAT_CSRF"] = [token, "x"]

    answer = requests.request(
        method, f"{sandbox.url}/data/projects/{unique_name()}",
        params=query, cookies=cookies, headers=headers, data=body, timeout=30,
    )  # fmt: skip

    assert (answer.status_code, answer.text) == (403, "The XNAT_CSRF token is missing or wrong.")


def test_every_answer_is_data_to_a_browser(study: Study, admin: Api, guest: Api) -> None:
    """No answer may be run as the site's page: lists, documents of users, refusals, the front."""
    script = '<script xmlns="http://www.w3.org/1999/xhtml">alert(1)</script>'
    admin.put(f"{study.path}/config/tool/p?inbody=true", data=script)
    admin.put(f"{study.path}/resources/R/files/p.svg", data=script)

    for api, path in (
        (admin, "/data/projects?format=json"),
        (admin, f"{study.path}/config/tool/p?contents=true"),
        (admin, f"{study.path}/resources/R/files/p.svg"),
        (admin, f"{study.path}/resources/R"),
        (admin, f"{study.path}?format=xml"),
        (admin, f"/data/projects/{script}"),
        (guest, "/"),
        (guest, "/data/projects"),
        (guest, "/data/a%00b"),
    ):
        headers = api.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff", path
        assert headers["Content-Security-Policy"] == "sandbox", path


# Sessions and tokens ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cookie",
    [
        "0" * 32, "", "x" * 100_00, "JSESSIONID", "../../etc/passwd", "'; DROP TABLE user; --",
        "%00", "null", "-1", '"', "{}",
    ],
)  # fmt: skip
def test_a_made_up_cookie_is_nobody_s(sandbox: Any, cookie: str) -> None:
    """Whatever stands in the cookie, it opens nothing and breaks nothing."""
    answer = requests.get(
        f"{sandbox.url}/data/auth", headers={"Cookie": f"JSESSIONID={cookie}"}, timeout=30
    )

    assert answer.status_code == 401


def test_one_user_cannot_end_the_sessions_of_others() -> None:
    """However many sessions one client opens, another person's oldest one stays."""
    sessions = WebSessions()
    victim = sessions.open(1).id
    first = sessions.open(2).id

    for _ in range(20 * MAX_OF_ONE_USER):
        sessions.open(2)

    assert sessions.find(victim, 60) is not None
    assert sessions.find(first, 60) is None
    assert len(sessions.close_user(2)) == MAX_OF_ONE_USER


def test_a_token_does_not_come_back_with_its_account(make_user: Any, admin: Api) -> None:
    """A token of an account that was disabled is over, also when the account is enabled again."""
    person = make_user()
    token = person.get("/data/services/tokens/issue").json()

    with Api(person.url, token["alias"], token["secret"]) as bearer:
        assert bearer.get("/data/auth").status_code == 200
        for word in ("false", "true"):
            assert admin.put(f"/xapi/users/{person.login}/enabled/{word}").status_code == 200
        bearer.cookies.clear()
        assert bearer.get("/data/auth").status_code == 401
    assert person.get("/data/auth").status_code == 200


def test_tokens_that_a_token_issued_end_with_it(make_user: Any, admin: Api) -> None:
    """What a token was used to issue is over when it is, down to the last generation."""
    person = make_user()
    tokens = [person.get("/data/services/tokens/issue").json()]
    for _ in range(2):
        with Api(person.url, tokens[-1]["alias"], tokens[-1]["secret"]) as bearer:
            tokens.append(bearer.get("/data/services/tokens/issue").json())

    def statuses() -> list[int]:
        found = []
        for token in tokens:
            with Api(person.url, token["alias"], token["secret"]) as bearer:
                found.append(bearer.get("/data/auth").status_code)
        return found

    before = statuses()
    ended = admin.get(f"/data/services/tokens/invalidate/{tokens[0]['alias']}")

    assert (before, ended.status_code) == ([200, 200, 200], 200)
    assert statuses() == [401, 401, 401]
    assert person.get("/data/auth").status_code == 200


def test_a_token_in_the_address_is_no_credential(make_user: Any, sandbox: Any) -> None:
    """Alias and secret in the query, or another scheme, log nobody in."""
    token = make_user().get("/data/services/tokens/issue").json()
    pair = f"{token['alias']}:{token['secret']}"
    encoded = base64.b64encode(pair.encode()).decode()
    url = f"{sandbox.url}/data/auth"
    in_query = {"alias": token["alias"], "secret": token["secret"], "JSESSIONID": token["alias"]}

    for query, headers in (
        (in_query, {}),
        ({}, {"Authorization": f"Bearer {token['secret']}"}),
        ({}, {"Proxy-Authorization": f"Basic {encoded}"}),
        ({}, {"Cookie": f"JSESSIONID={token['alias']}"}),
    ):
        answer = requests.get(url, params=query, headers=headers, timeout=30)
        assert answer.status_code == 401


# Framing of requests ----------------------------------------------------------------------------

FRAMES = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 0\r\nContent-Length: 30\r\n\r\n",
    "unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "blank before the colon": b"Content-Length : 30\r\n\r\n",
    "length with a sign": b"Content-Length: +0\r\n\r\n",
    "negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "chunk in C's spelling": b"Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n",
    "folded header": b"X: a\r\n b\r\n\r\n",
    "NUL in a header": b"X: a\0b\r\n\r\n",
    "bare CR in a header": b"X: a\rSet-Cookie: b\r\n\r\n",
}


@pytest.mark.parametrize("frame", FRAMES.values(), ids=list(FRAMES))
def test_a_request_that_could_be_read_in_two_ways_is_refused(sandbox: Any, frame: bytes) -> None:
    """The connection ends with 400, and a request hidden behind it is never answered."""
    server = urlsplit(sandbox.url)
    head = b"POST /data/JSESSION HTTP/1.1\r\nHost: localhost\r\n"
    hidden = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"

    with socket.create_connection((server.hostname, server.port), timeout=10) as connection:
        connection.sendall(head + frame + hidden)
        received = b""
        while piece := connection.recv(65536):
            received += piece

    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "host", ['a"<script>', "[", "[::1", "a:99999999", "a/../b", "a@b", "", "a b", "\xff"]
)
def test_a_malformed_host_breaks_nothing(sandbox: Any, host: str) -> None:
    """Addresses in answers are made of the header Host; a hostile one is no fault of the server."""
    server = urlsplit(sandbox.url)
    pair = base64.b64encode(f"{sandbox.admin_user}:{sandbox.admin_password}".encode())
    head = b"GET /xapi/v3/api-docs HTTP/1.1\r\nConnection: close\r\nAuthorization: Basic " + pair

    with socket.create_connection((server.hostname, server.port), timeout=10) as connection:
        connection.sendall(head + b"\r\nHost: " + host.encode("latin-1") + b"\r\n\r\n")
        answer = connection.makefile("rb").readline()

    assert answer.split()[1] in {b"200", b"400"}


@pytest.mark.parametrize(
    "text", ["a%0d%0aX-Injected:%20b", "a%0aX-Injected:b", "a%C4%8DX-Injected"]
)
def test_nothing_from_an_address_becomes_a_header(admin: Api, study: Study, text: str) -> None:
    """Line breaks in names, formats and labels end in a body or nowhere."""
    for path in (
        f"/data/projects/{text}", f"{study.path}?format={text}",
        f"{study.session_path}/scans/ALL/files?format=zip&structure={text}",
        f"/data/prearchive/projects/{text}", f"/xapi/users/{text}",
    ):  # fmt: skip
        answer = admin.get(path)
        assert "X-Injected" not in answer.headers
        assert answer.status_code < 500 or answer.status_code == 501
