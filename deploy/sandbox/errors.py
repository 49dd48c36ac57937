"""Answers that are not successes, as exceptions.

A handler raises ``HttpError``; ``app`` turns it into a plain-text response. Not here: the rules
that decide which status applies (``rights`` and the handlers).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class HttpError(Exception):
    """A request cannot be served.

    Parameters
    ----------
    status : int
        HTTP status, as XNAT answers it.
    message : str
        One sentence for the person behind the client; no HTML, no identity, no secret.
    headers : Mapping[str, str], optional
        Further response headers.
    """

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def bad_request(message: str) -> HttpError:
    """Return a 400: the request itself is wrong."""
    return HttpError(400, message)


def forbidden(message: str) -> HttpError:
    """Return a 403: the object may be seen, the action is not allowed."""
    return HttpError(403, message)


def not_found(message: str) -> HttpError:
    """Return a 404: the object is not there, or the caller may not know that it is."""
    return HttpError(404, message)


def conflict(message: str) -> HttpError:
    """Return a 409: a name is taken."""
    return HttpError(409, message)


def unprocessable(message: str) -> HttpError:
    """Return a 422: the body is well-formed but of the wrong kind."""
    return HttpError(422, message)


def not_implemented(what: str) -> HttpError:
    """Return a 501 that names what a real XNAT has here and the sandbox has not."""
    return HttpError(
        501,
        f"The sandbox does not implement {what}. docs/sandbox.md lists what it does; "
        "test this part against a full XNAT.",
    )
