"""The log of requests: what is in it, and what must never be."""

from __future__ import annotations

import stat
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from deploy.sandbox.request_log import Exchange, RequestLog, line_of, masked_path, masked_query
from deploy.sandbox_log import as_document, last_lines

PASSWORD = "correct-horse-battery"


def _logged(root: Path, mark: str) -> str:
    """Return the whole log once a line with the mark is in it."""
    path = root / "requests.log"
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if path.exists() and mark in (text := path.read_text()):
            return text
        time.sleep(0.02)
    raise AssertionError(f"no line with {mark}")


def test_a_request_is_one_line_with_all_columns(sandbox: Any) -> None:
    """Time, login, method, address, status, bytes and milliseconds stand in one line."""
    auth = (sandbox.admin_user, sandbox.admin_password)
    answer = requests.get(f"{sandbox.url}/data/auth?format=oneline", auth=auth, timeout=30)

    lines = _logged(sandbox.root, "format=oneline").splitlines()

    (line,) = [line for line in lines if "format=oneline" in line]
    row = as_document(line)
    assert (row["user"], row["method"], row["path"]) == (
        "admin",
        "GET",
        "/data/auth?format=oneline",
    )
    assert (row["status"], row["bytes"], row["reason"]) == (200, len(answer.content), "")
    assert float(row["ms"]) > 0


def test_a_refusal_has_its_reason(sandbox: Any) -> None:
    """The sentence that the client was answered is in the log."""
    auth = (sandbox.admin_user, sandbox.admin_password)
    answer = requests.get(f"{sandbox.url}/data/projects/NOTTHERE", auth=auth, timeout=30)

    lines = _logged(sandbox.root, "/data/projects/NOTTHERE").splitlines()

    (line,) = [line for line in lines if "/data/projects/NOTTHERE" in line]
    assert as_document(line)["reason"] == answer.text


def test_secrets_are_in_no_line(sandbox: Any) -> None:
    """Passwords, tokens, cookies and birth dates of many requests are nowhere in the log."""
    url = sandbox.url
    with requests.Session() as api:
        api.trust_env = False
        api.auth = (sandbox.admin_user, sandbox.admin_password)
        account = {
            "username": "logreader", "password": PASSWORD, "email": "who@example.org",
            "enabled": True, "verified": True,
        }  # fmt: skip
        api.post(f"{url}/xapi/users", json=account, timeout=30)
        token = api.get(f"{url}/data/services/tokens/issue", timeout=30).json()
        alias, secret = token["alias"], token["secret"]
        cookie = api.get(f"{url}/data/JSESSION?CSRF=true", timeout=30).text
        for path in (
            f"/data/services/tokens/validate/{alias}/{secret}",
            f"/REST/services/tokens/validate/{alias}/{secret}",
            f"/data/archive/services//tokens//validate/{alias}/{secret}",
            f"/data/services/tokens/{secret}",
            f"/data/auth;jsessionid={secret}",
            f"/data/auth?password={PASSWORD}&{PASSWORD}&XNAT_CSRF={secret}",
            "/data/projects/NONE/users/Owners/who@example.org",
        ):
            api.get(url + path, timeout=30)
        api.put(f"{url}/data/projects/LOGGED?xsiType=xnat:projectData", timeout=30)
        api.put(f"{url}/data/projects/LOGGED/subjects/S?dob=1901-02-03", timeout=30)
        api.put(f"{url}/data/projects/LOGGED/subjects/S?dob=19X1-02-03", timeout=30)
    form = {"username": "logreader", "password": PASSWORD}
    requests.post(f"{url}/data/services/auth", data=form, timeout=30)
    requests.get(f"{url}/data/projects", auth=("logreader", PASSWORD), timeout=30)
    requests.get(f"{url}/data/projects", auth=(alias, secret), timeout=30)
    requests.get(f"{url}/data/projects", auth=("logreader", f"{PASSWORD}x"), timeout=30)
    requests.get(f"{url}/data/projects?format=last", timeout=30)

    log = _logged(sandbox.root, "format=last")

    hidden = [
        PASSWORD, secret, alias, sandbox.admin_password, "1901-02-03", "19X1-02-03",
        "who@example.org", *cookie.replace("; XNAT_CSRF=", " ").split(),
    ]  # fmt: skip
    assert "dob=***" in log
    assert [text for text in hidden if text in log] == []


def test_the_log_is_for_its_owner_only(sandbox: Any) -> None:
    """Labels and logins are in it, so that others on the machine cannot read it."""
    requests.get(f"{sandbox.url}/data/projects?format=mode", timeout=30)
    _logged(sandbox.root, "format=mode")

    assert stat.S_IMODE((sandbox.root / "requests.log").stat().st_mode) == 0o600


def test_a_long_log_is_begun_anew_and_nothing_is_lost_between(tmp_path: Path) -> None:
    """Lines that do not fit go into a new file; the older one stays beside it."""
    log = RequestLog(tmp_path, max_bytes=2000)
    log.start()
    for n in range(60):
        log.add(Exchange("GET", f"/data/projects/P{n:03d}", ""))
    log.stop()

    files = sorted(tmp_path.iterdir())
    lines = [line for file in files for line in file.read_text().splitlines()]
    shown = [as_document(line)["path"] for line in last_lines(tmp_path / "requests.log", 25)]

    assert len(files) > 1
    assert all(file.stat().st_size <= 2000 for file in files)
    assert {as_document(line)["path"] for line in lines} == {
        f"/data/projects/P{n:03d}" for n in range(60)
    }
    assert shown == [f"/data/projects/P{n:03d}" for n in range(35, 60)]


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/data/projects/P", "/data/projects/P"),
        ("/data/services/tokens/issue", "/data/services/tokens/issue"),
        ("/data/services/tokens/validate/a/b", "/data/services/tokens/validate/***"),
        ("/data/services/tokens/VALIDATE/a/b", "/data/services/tokens/VALIDATE/***"),
        ("/data/services/tokens/invalidate/a", "/data/services/tokens/invalidate/***"),
        ("/data/services/tokens//a-1/b", "/data/services/tokens//***"),
        ("/data/auth;jsessionid=ABC/x", "/data/auth;***/x"),
        ("/data/x/files/a b\n.txt", "/data/x/files/a%20b%0A.txt"),
    ],
)
def test_paths_are_shown_without_tokens(path: str, shown: str) -> None:
    """Whatever follows a token service's name is masked; blanks and line ends are quoted."""
    found = masked_path(path)

    assert found.replace("///", "//") == shown


@pytest.mark.timeout(20)
@pytest.mark.parametrize("part", ["X1,", ";", "a.", "é", "'", "=;", "a@"])
def test_long_addresses_do_not_occupy_the_server(part: str) -> None:
    """A line for the longest address that HTTP servers take is made in no time, and is short."""
    word = part * (65_000 // len(part))

    for _ in range(20):
        path = masked_path(f"/data/experiments/{word}/files")
        query, _hidden = masked_query(f"label={word}&note={word}")

    assert len(path) + len(query) <= 4000
    assert path.startswith("/data/experiments")


@pytest.mark.parametrize("shift", range(12))
def test_no_address_is_cut_out_of_its_mask(shift: int) -> None:
    """Wherever a long address is cut, neither half of an e-mail address nor a token is shown."""
    parts = "/jane@example.org;jsessionid=SECRET" * 300

    shown = masked_path(f"/{'x' * shift}{parts}")

    assert "jane" not in shown
    assert "SECRET" not in shown


@given(value=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=4, max_size=20))
def test_values_of_unknown_parameters_are_never_shown(value: str) -> None:
    """Only options that are known to be harmless show their value."""
    query = requests.models.RequestEncodingMixin._encode_params({"dob": value, "limit": "10"})

    shown, hidden = masked_query(query)

    assert shown == "dob=***&limit=10"
    assert hidden == [value]


@given(
    st.builds(
        Exchange,
        method=st.just("PUT"),
        path=st.text(max_size=40),
        query=st.text(max_size=40),
        login=st.just("-"),
        status=st.integers(200, 599),
        reason=st.binary(max_size=80),
    )
)
def test_every_exchange_is_one_line_that_can_be_read_back(exchange: Exchange) -> None:
    """No path, query or sentence breaks the columns or the line."""
    line = line_of(exchange)

    assert len(line.splitlines()) == 1
    assert as_document(line)["status"] == exchange.status
