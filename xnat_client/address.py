"""Server addresses and paths: what may be spoken to, and how names get into a URL.

Not here: speaking to the server (``transport``).
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import quote, urlsplit

from xnat_client.errors import UsageError

_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]+")
_LABEL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_LONGEST_NAME = 64


def check_address(url: str, *, allow_http: bool) -> str:
    """Return the address without a trailing slash, or say what is wrong with it.

    Credentials travel with the first request, so plain ``http`` is accepted only for this
    machine itself, unless ``allow_http`` says that the network between is trusted.

    Raises
    ------
    UsageError
        Not an http(s) address; holds credentials, a query or a fragment; plain http to another
        machine.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        raise UsageError(
            "The server address is not understood. Write it like https://xnat.example.org"
        ) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError(
            "The server address must begin with https:// (or http://) and name a host, like "
            "https://xnat.example.org"
        )
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            "The server address holds a user name or password, which would end up in logs. Leave "
            "them out of the address and set XNAT_USER and XNAT_PASS."
        )
    if parts.query or parts.fragment:
        raise UsageError("The server address must not hold '?' or '#'. Give the part before them.")
    if parts.scheme == "http" and not allow_http and not is_this_machine(parts.hostname):
        raise UsageError(
            f"The address of {parts.hostname} begins with http://, so the password would travel "
            "unprotected. Use https://, or set WINXNAT_ALLOW_HTTP=1 on a network you trust."
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address is the loopback of this machine."""
    if host.lower() == "localhost" or host.lower().endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def path_of(*segments: str) -> str:
    """Join path segments, each quoted: ``path_of("data", "projects", "P 1")``."""
    return "/" + "/".join(quote(segment, safe="") for segment in segments)


def check_project_id(project_id: str) -> str:
    """Return a project ID that XNAT accepts; else raise ``UsageError`` without repeating it."""
    if not _PROJECT_ID.fullmatch(project_id) or len(project_id) > _LONGEST_NAME:
        raise UsageError(
            "The project ID may hold only letters A-Z, digits, '_' and '-', and at most "
            f"{_LONGEST_NAME} of them. Choose another one."
        )
    return project_id


def check_label(kind: str, label: str) -> str:
    """Return a subject or session label that XNAT can use as a folder name.

    ``kind`` is the word for the message. The label itself is not repeated there: what does not
    fit the rule may well be a person's name.
    """
    if not _LABEL.fullmatch(label) or len(label) > _LONGEST_NAME:
        raise UsageError(
            f"The {kind} label may hold only letters A-Z, digits, '_', '-' and '.', not begin with "
            f"'.', and be at most {_LONGEST_NAME} long. Choose a code, never a person's name."
        )
    return label
