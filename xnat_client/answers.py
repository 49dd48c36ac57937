"""What an answer of the server means: from status and body to one error of the tree.

Not here: sending and retrying (``transport``).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from xnat_client.errors import (
    ConflictError,
    NotAllowedError,
    NotFoundError,
    NotLoggedInError,
    RefusedError,
    UnreachableError,
    XnatClientError,
)

LONGEST_DETAILS = 200
"""Characters of the server's own words that are passed on."""

_TAG = re.compile(r"<[^>]*>")
_HEADING = re.compile(r"<h[1-4][^>]*>(.*?)</h[1-4]>", re.IGNORECASE | re.DOTALL)
_HIDDEN = re.compile(r"<(script|style|head)\b.*?</\1>", re.IGNORECASE | re.DOTALL)

_REACTIONS: dict[int, tuple[type[XnatClientError], str]] = {
    401: (NotLoggedInError, "the log-in is not accepted. Check user name and password"),
    403: (
        NotAllowedError,
        "this account has not the right to do so. Ask an owner of the project for it",
    ),
    404: (
        NotFoundError,
        "the server has no such thing, or hides it from this account. Check names and access",
    ),
    409: (
        ConflictError,
        "something of that name is there already. Choose another name, or look at what is there",
    ),
    429: (UnreachableError, "the server is too busy. Try again later"),
    502: (UnreachableError, "the server behind the gateway does not answer. Try again later"),
    503: (UnreachableError, "the server is too busy or in maintenance. Try again later"),
    504: (UnreachableError, "the server took too long. Try again later"),
    507: (RefusedError, "the server's disk is full. Tell the site's administrator"),
}


def is_web_page(body: bytes) -> bool:
    """Return whether a body is an HTML page, which no data interface of XNAT sends."""
    start = body[:512].lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html"))


def describe_refusal(  # noqa: PLR0913  # the parts of an answer that matter
    doing: str,
    host: str,
    status: int,
    body: bytes,
    *,
    location: str = "",
    secrets: Iterable[str] = (),
) -> XnatClientError:
    """Return the error for an answer that is not a success.

    Parameters
    ----------
    doing : str
        Completes "Cannot ...".
    location : str
        The Location header of a redirect; only its scheme and host are repeated.
    secrets : iterable of str
        Never repeated, even if the server does.
    """
    details = shorten(body, secrets)
    kind, meaning = _REACTIONS.get(status, (RefusedError, ""))
    if 300 <= status < 400:  # noqa: PLR2004  # the redirects of HTTP
        meaning = _redirect_meaning(location)
    elif not meaning:
        meaning = f"{host} answered with status {status}"
    says = f" The server says: {details}" if details else ""
    return kind(f"Cannot {doing}: {meaning}.{says}", status=status, details=details)


def _redirect_meaning(location: str) -> str:
    parts = urlsplit(location)
    if "/setup" in parts.path:
        return "the server is not set up yet. Its administrator must log in first"
    if parts.hostname:
        netloc = parts.netloc.rpartition("@")[2]
        return f"the server points to {parts.scheme}://{netloc}. Use that address"
    return "the server points to another page. Check its address and context path"


def shorten(body: bytes, secrets: Iterable[str] = ()) -> str:
    """Return the sayable part of an answer: one line, no markup, no secret, not long."""
    text = body.decode("utf-8", errors="replace")
    if is_web_page(body):
        heading = _HEADING.search(text)
        text = heading.group(1) if heading else _HIDDEN.sub(" ", text)
        text = html.unescape(_TAG.sub(" ", text))
    elif text.lstrip().startswith("{"):
        text = _message_of(text)
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= LONGEST_DETAILS else text[: LONGEST_DETAILS - 3] + "..."


def _message_of(text: str) -> str:
    try:
        document = json.loads(text)
    except ValueError:
        return text
    for key in ("message", "detail", "error"):
        if isinstance(document.get(key), str):
            return str(document[key])
    return text
