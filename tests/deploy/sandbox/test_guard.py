"""Who a request comes from: credentials, cookies, tokens, browsers."""

from __future__ import annotations

import base64
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from deploy.sandbox.errors import HttpError
from deploy.sandbox.guard import normalise_path
from tests.deploy.sandbox.conftest import Api, unique_name

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
CLIENTS = ("python-requests/2.32", "curl/8.5.0", "Java/17", "xnatpy/0.8.1", "")


@pytest.fixture
def open_site(fresh_sandbox: Any) -> Iterator[Api]:
    """The administrator of a site of the test's own."""
    with Api(fresh_sandbox.url, "admin", fresh_sandbox.admin_password) as api:
        yield api


def _basic(name: str, secret: str) -> dict[str, str]:
    encoded = base64.b64encode(f"{name}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {encoded}"}


# Credentials ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        "Basic",
        "Basic !!!",
        "Basic YWJj",
        "Bearer abc",
        "Basic /w==",
        "Digest x",
        "Basic " + "A" * 9,
    ],
)
def test_a_header_that_is_no_credentials_is_refused(sandbox: Any, header: str) -> None:
    """Whatever stands in the header, the answer is 401 and asks for Basic credentials."""
    answer = requests.get(
        f"{sandbox.url}/data/projects", headers={"Authorization": header}, timeout=30
    )

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="XNAT Protected Area"'


def test_a_wrong_password_is_refused_whatever_is_asked(sandbox: Any, admin: Api) -> None:
    """401 also for a public project and for one that is not there."""
    public = unique_name()
    admin.made(f"/data/projects/{public}", xsiType="xnat:projectData", accessibility="public")
    with Api(sandbox.url, "admin", "wrong") as impostor:
        for path in (f"/data/projects/{public}", "/data/projects/NOT-THERE", "/xapi/users"):
            assert impostor.get(path).status_code == 401


def test_an_unknown_login_is_answered_like_a_wrong_password(sandbox: Any) -> None:
    """Status and words do not tell which logins exist."""
    answers = []
    for login in ("admin", "nobody-at-all"):
        with Api(sandbox.url, login, "wrong") as impostor:
            answers.append(impostor.get("/data/auth"))

    assert [a.status_code for a in answers] == [401, 401]
    assert answers[0].text == answers[1].text


def test_the_session_counts_before_basic_credentials(make_user: Any, sandbox: Any) -> None:
    """With the cookie of one person and the credentials of another, the first one asks."""
    first, second = make_user(), make_user()
    assert first.get("/data/auth").status_code == 200
    session = {"JSESSIONID": first.cookies["JSESSIONID"]}
    url = f"{sandbox.url}/xapi/users/username"

    both = requests.get(url, cookies=session, auth=second.auth, timeout=30)
    spoilt = requests.get(url, cookies=session, auth=(second.login, "wrong"), timeout=30)
    stale = requests.get(url, cookies={"JSESSIONID": "0" * 32}, auth=second.auth, timeout=30)

    assert (both.status_code, both.text) == (200, first.login)
    assert (spoilt.status_code, spoilt.text) == (200, first.login)
    assert (stale.status_code, stale.text) == (200, second.login)
    assert "JSESSIONID" in stale.cookies


def test_logging_out_ends_the_session(make_user: Any, sandbox: Any) -> None:
    """After DELETE /data/JSESSION the cookie is worth nothing."""
    person = make_user()
    session = person.get("/data/JSESSION").text
    cookie = {"JSESSIONID": session}

    before = requests.get(f"{sandbox.url}/data/auth", cookies=cookie, timeout=30).status_code
    ended = requests.delete(f"{sandbox.url}/data/JSESSION", cookies=cookie, timeout=30).status_code
    after = requests.get(f"{sandbox.url}/data/auth", cookies=cookie, timeout=30).status_code

    assert (before, ended, after) == (200, 200, 401)


def test_logging_in_by_form_opens_a_session(make_user: Any, sandbox: Any) -> None:
    """PUT /data/services/auth answers the id of a session; a wrong password is 401."""
    person = make_user()
    url = f"{sandbox.url}/data/services/auth"
    form = {"username": person.login, "password": person.auth[1]}

    answer = requests.put(url, data=form, timeout=30)
    refused = requests.put(url, data={**form, "password": "x"}, timeout=30)

    assert answer.status_code == 200
    assert answer.cookies["JSESSIONID"] == answer.text
    assert answer.cookies["SESSION_EXPIRATION_TIME"].strip('"').endswith(",900000")
    assert (refused.status_code, refused.text) == (401, "Authentication failed.")


def test_a_session_ends_after_its_time(open_site: Api) -> None:
    """An idle session of two seconds is over a moment later; one that is used lives longer."""
    open_site.post("/xapi/siteConfig/sessionTimeout", data="2 seconds")
    used = time.monotonic()
    session = {"JSESSIONID": open_site.get("/data/JSESSION").text}
    url = f"{open_site.url}/data/auth"
    for _ in range(3):
        time.sleep(0.7)
        asked = time.monotonic()
        status = requests.get(url, cookies=session, timeout=30).status_code
        if time.monotonic() - used > 2:
            break  # this machine was held up for as long as a session lives
        used = asked
        assert status == 200

    time.sleep(2.1)

    assert requests.get(url, cookies=session, timeout=30).status_code == 401


# Guests -----------------------------------------------------------------------------------------


def test_a_closed_site_shows_nobody_anything_but_its_front_page(guest: Api) -> None:
    """Without credentials everything is 401; the front page does not pretend a guest log-in."""
    for path in ("/data/projects", "/data/JSESSION", "/data/version", "/xapi/siteConfig/buildInfo"):
        assert guest.get(path).status_code == 401
    front = guest.get("/")
    assert front.status_code == 200
    assert "Guest" not in front.text


def test_a_guest_of_an_open_site_reads_what_is_public_and_nothing_of_people(
    open_site: Api,
) -> None:
    """Public data 200, protected records 200, private 404; lists of people and tokens refused."""
    open_site.post("/xapi/siteConfig/requireLogin", data="false")
    for level in ("private", "protected", "public"):
        open_site.made(f"/data/projects/{level}", xsiType="xnat:projectData", accessibility=level)
        open_site.made(f"/data/projects/{level}/subjects/S", gender="male")
    with Api(open_site.url) as guest:
        subjects = {
            level: guest.get(f"/data/projects/{level}/subjects/S").status_code
            for level in ("private", "protected", "public")
        }
        session = guest.get("/data/JSESSION")

        assert subjects == {"private": 404, "protected": 404, "public": 200}
        assert {row["ID"] for row in guest.rows("/data/projects")} == {"protected", "public"}
        assert session.status_code == 200
        assert guest.get("/data/users").status_code == 403
        assert guest.get("/data/projects/public/users").status_code == 403
        assert guest.get("/data/projects/public/groups").status_code == 403
        assert guest.get("/data/services/tokens/issue").status_code == 403
        assert guest.get("/xapi/users").status_code == 401
        assert guest.get("/xapi/custom-fields/projects/private/fields").status_code == 401
        assert guest.put("/data/projects/NEW?xsiType=xnat:projectData").status_code == 403

        # The guest's session opens nothing once the site is closed again.
        open_site.post("/xapi/siteConfig/requireLogin", data="true")
        assert guest.get("/data/projects").status_code == 401


# Browsers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", CLIENTS)
def test_clients_write_without_a_token(make_user: Any, agent: str) -> None:
    """A client's agent with a session cookie needs no CSRF token."""
    person = make_user()
    person.get("/data/JSESSION")

    answer = person.put(
        f"/data/projects/{unique_name()}?xsiType=xnat:projectData", headers={"User-Agent": agent}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_browsers_write_with_the_sessions_token_only(
    make_user: Any, make_project: Any, method: str
) -> None:
    """None, a wrong one and one of another session are 403; reading needs none."""
    person, other = make_user(), make_user()
    foreign = other.get("/data/JSESSION?CSRF=true").text.partition("XNAT_CSRF=")[2]
    own = person.get("/data/JSESSION?CSRF=true").text.partition("XNAT_CSRF=")[2]
    path = f"/data/projects/{make_project(person)}?description=x"
    browser = {"User-Agent": FIREFOX}

    assert person.get(path, headers=browser).status_code == 200
    for token in ("", "&XNAT_CSRF=", "&XNAT_CSRF=%C3%A9", f"&XNAT_CSRF={foreign}"):
        assert person.request(method, path + token, headers=browser).status_code == 403
    answer = person.request(method, f"{path}&XNAT_CSRF={own}", headers=browser)
    assert answer.status_code == (409 if method == "POST" else 200)


def test_a_browser_with_basic_credentials_needs_a_token_too(make_user: Any, sandbox: Any) -> None:
    """A browser repeats Basic credentials of its own accord: without a session it may not write."""
    person = make_user()
    url = f"{sandbox.url}/data/projects/{unique_name()}?xsiType=xnat:projectData"
    headers = {"User-Agent": FIREFOX, **_basic(*person.auth)}

    assert requests.put(url, headers=headers, timeout=30).status_code == 403
    assert requests.get(f"{sandbox.url}/data/auth", headers=headers, timeout=30).status_code == 200


def test_the_site_can_do_without_csrf_tokens(open_site: Api) -> None:
    """With enableCsrfToken false a browser writes as any client."""
    path, browser = "/data/projects/P?xsiType=xnat:projectData", {"User-Agent": FIREFOX}

    before = open_site.put(path, headers=browser).status_code
    open_site.post("/xapi/siteConfig/enableCsrfToken", data="false")

    assert (before, open_site.put(path, headers=browser).status_code) == (403, 200)


# Alias tokens ---------------------------------------------------------------------------------


def test_a_token_is_its_owner_until_it_is_invalidated(
    make_user: Any, admin: Api, sandbox: Any, study: Any
) -> None:
    """Exactly the owner's rights by Basic, by log-in and by cookie; then 401 in all three ways."""
    owner = make_user(**{study.project: "collaborator"})
    issued = owner.get("/data/services/tokens/issue").json()
    alias, secret = issued["alias"], issued["secret"]
    validate = f"/data/services/tokens/validate/{alias}/{secret}"
    form = {"username": alias, "password": secret}
    with Api(sandbox.url, alias, secret) as program:
        name = program.get("/xapi/users/username").text
        read = program.get(study.session_path).status_code
        written = program.put(f"{study.session_path}?note=x").status_code
        cookie = {"JSESSIONID": program.cookies["JSESSIONID"]}
        log_in = requests.put(f"{sandbox.url}/data/services/auth", data=form, timeout=30)
        log_in_cookie = {"JSESSIONID": log_in.text}
        valid = admin.get(validate).json()

        ended = owner.get(f"/data/services/tokens/invalidate/{alias}")

        assert issued["xdatUserId"] == owner.login
        assert issued["estimatedExpirationTime"] > time.time() * 1000
        assert (name, read, written) == (owner.login, 200, 403)
        assert valid == {"valid": owner.login}
        assert (ended.status_code, ended.json()) == (200, {"result": "OK"})
        assert program.get("/data/auth").status_code == 401
        for jar in (cookie, log_in_cookie):
            gone = requests.get(f"{sandbox.url}/data/auth", cookies=jar, timeout=30)
            assert gone.status_code == 401
        refused = requests.put(f"{sandbox.url}/data/services/auth", data=form, timeout=30)
        assert refused.status_code == 401
        assert admin.get(validate).json() == {"valid": None}


def test_tokens_of_others_are_for_administrators(make_user: Any, admin: Api) -> None:
    """Own by name 200, another's 403 (also of nobody), an administrator for anybody 200."""
    person, other = make_user(), make_user()
    base = "/data/services/tokens"

    assert person.get(f"{base}/issue/user/{person.login}").status_code == 200
    assert person.get(f"{base}/issue/user/{other.login}").status_code == 403
    assert person.get(f"{base}/issue/user/nobody").status_code == 403
    assert person.get(f"{base}/show/user/{other.login}").status_code == 403
    issued = admin.get(f"{base}/issue/user/{other.login}").json()
    assert issued["xdatUserId"] == other.login
    assert admin.get(f"{base}/issue/user/nobody").status_code == 404
    shown = admin.get(f"{base}/show/user/{other.login}")
    assert issued["alias"] in {token["alias"] for token in shown.json()}
    assert issued["secret"] not in shown.text


def test_validation_needs_both_parts_and_takes_no_password(make_user: Any) -> None:
    """A part missing is 401; a login and its password are not valid as a token."""
    person = make_user()
    base = "/data/services/tokens/validate"

    assert person.get(base).status_code == 401
    assert person.get(f"{base}/abc").status_code == 401
    assert person.get(f"{base}/{person.login}/{person.auth[1]}").json() == {"valid": None}


def test_an_expired_token_is_refused(open_site: Api) -> None:
    """A token lives as long as the site says, and is not shown after that."""
    open_site.post("/xapi/siteConfig/aliasTokenTimeout", data="2 seconds")
    asked = time.monotonic()
    issued = open_site.get("/data/services/tokens/issue").json()
    with Api(open_site.url, issued["alias"], issued["secret"]) as program:
        before = program.get("/data/auth").status_code
        # A machine that was held up for as long as a token lives may find it expired at once.
        expected = {200} if time.monotonic() - asked < 2 else {200, 401}

        time.sleep(2.1)

        assert before in expected
        assert program.get("/data/auth").status_code == 401
    assert open_site.get("/data/services/tokens/show").json() == []


def test_a_token_for_a_single_use_is_used_up_by_a_log_in_only(make_user: Any, sandbox: Any) -> None:
    """Asking whether it is valid leaves it alone; the first log-in works, the second is 401."""
    person = make_user()
    issued = person.get("/data/services/tokens/issue").json()
    alias, secret = issued["alias"], issued["secret"]
    with sqlite3.connect(Path(sandbox.root) / "sandbox.sqlite", timeout=30) as database:
        database.execute("UPDATE alias_token SET single_use = 1 WHERE alias = ?", (alias,))
    database.close()
    validate = f"/data/services/tokens/validate/{alias}/{secret}"

    asked = [person.get(validate).json()["valid"] for _ in range(2)]
    used = [
        requests.get(f"{sandbox.url}/data/auth", auth=(alias, secret), timeout=30).status_code
        for _ in range(2)
    ]

    assert asked == [person.login] * 2
    assert used == [200, 401]


# Paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (b"/REST/projects/P", "/data/projects/P"),
        (b"/data/archive/projects/P", "/data/projects/P"),
        (b"/REST/archive/projects/P", "/data/projects/P"),
        (b"/data/archive", "/data/archive"),
        (b"/data/projects/P/", "/data/projects/P"),
        (b"/data/projects/P%20Q", "/data/projects/P Q"),
        (b"/xapi/users", "/xapi/users"),
    ],
)
def test_a_path_has_one_spelling(raw: bytes, path: str) -> None:
    """The old names of /data and a slash at the end mean the same."""
    assert normalise_path(raw) == path


@pytest.mark.parametrize(
    "raw",
    [
        b"/data/projects/%2e%2e/x", b"/data/../x", b"/data/a%2fb", b"/data/a%5Cb", b"/data/a%00b",
        b"/data/%ff", b"/data/a%0ab", b"/data/./x", b"/data/a\\b",
    ],
)  # fmt: skip
def test_a_path_that_could_mean_another_is_refused(raw: bytes) -> None:
    """Dot segments, encoded separators, control characters and bytes that are no text are 400."""
    with pytest.raises(HttpError) as refused:
        normalise_path(raw)

    assert refused.value.status == 400
