"""One request in hand: who asks, what of, and how to answer. Not here: routing (``app``)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.datastructures import QueryParams
from starlette.responses import PlainTextResponse, Response

from deploy.sandbox.errors import HttpError, bad_request

if TYPE_CHECKING:
    from starlette.requests import Request

    from deploy.sandbox.people import User
    from deploy.sandbox.site import Site
    from deploy.sandbox.web_sessions import WebSession

_TRUE_WORDS = frozenset({"true", "1"})


@dataclass
class Call:
    """A request with its user and site; handlers are ``def handler(call: Call) -> Response``.

    Handlers run in worker threads. ``body`` is the raw body, read only for handlers registered with
    ``body=True``.
    """

    request: Request
    site: Site
    user: User
    session: WebSession | None
    body: bytes = b""
    parameters: QueryParams | None = None
    """The parameters of query and form together, after ``count_form``."""

    @property
    def path(self) -> dict[str, str]:
        """Return the named parts of the path, decoded."""
        return self.request.path_params

    @property
    def query(self) -> QueryParams:
        """Return the query parameters, decoded; names may repeat."""
        return self.request.query_params if self.parameters is None else self.parameters

    def form_fields(self) -> list[tuple[str, str]]:
        """Return the fields of a form body, of any other body none; 400 when it is unreadable."""
        content_type = self.request.headers.get("content-type", "")
        wanted = self.query.get("req_format") == "form"
        if not self.body or not (wanted or content_type.startswith("application/x-www-form-url")):
            return []
        try:
            return parse_qsl(self.body.decode(), keep_blank_values=True, max_num_fields=10_000)
        except ValueError as error:
            raise bad_request("The form body is not readable.") from error

    def count_form(self) -> None:
        """Count the fields of a form body among the parameters; those of the query override."""
        fields = self.form_fields()
        if fields:
            self.parameters = QueryParams([*fields, *self.request.query_params.multi_items()])

    @cached_property
    def base_url(self) -> str:
        """Return the server's address as this client sees it, without a slash at the end."""
        return str(self.request.base_url).rstrip("/")

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Return a yes-or-no query parameter; XNAT takes ``true`` and ``1`` as yes."""
        value = self.query.get(name)
        return default if value is None else value.lower() in _TRUE_WORDS

    def refresh_user(self) -> None:
        """Read the caller's roles and groups again: while a long body came they may have changed.

        Raises
        ------
        HttpError
            401 when the account can no longer be used.
        """
        if self.user.is_guest:
            return
        found = self.site.people.by_id(self.user.id)
        if found is None or not found.is_usable:
            raise HttpError(401, "This account can no longer be used.")
        self.user = found

    def number(self, name: str) -> int:
        """Return a whole-number part of the path; 400 when it is none."""
        text = self.path[name]
        if not (text.isascii() and text.isdigit() and len(text) <= 18):  # noqa: PLR2004 - int64
            raise bad_request(f"'{name}' must be a whole number.")
        return int(text)


def text(content: str = "", status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Answer plain text, XNAT's default for single values."""
    return PlainTextResponse(content, status, headers)
