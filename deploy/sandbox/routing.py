"""How handlers are announced: each part of the server fills a ``Routes`` table.

Handlers are plain functions of a ``Call``; they run in worker threads, so that the event loop
only moves bytes (and stores small files, ``upload_batches``). Handlers of large bodies are
asynchronous and marked so. Not here: what the paths mean.
"""

from __future__ import annotations

import inspect
import json
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

from deploy.sandbox.call import Call
from deploy.sandbox.errors import HttpError, bad_request
from deploy.sandbox.store import ACTING_LOGIN

Handler = Callable[[Call], Response]
StreamHandler = Callable[[Call], Awaitable[Response]]

MAX_SMALL_BODY_BYTES = 16 * 1024 * 1024
"""Bodies of handlers that need them whole (JSON, XML, forms); files are streamed instead."""

# Objects that own resources, by the name of the deepest part. A path without a project takes
# IDs only; with one, labels too.
SUBJECT_PATHS = ("/data/projects/{project}/subjects/{subject}", "/data/subjects/{subject}")
EXPERIMENT_PATHS = (
    "/data/projects/{project}/subjects/{subject}/experiments/{experiment}",
    "/data/projects/{project}/experiments/{experiment}",
    "/data/subjects/{subject}/experiments/{experiment}",
    "/data/experiments/{experiment}",
)
PROJECT_PATHS = ("/data/projects/{project}",)
SCAN_PATHS = tuple(f"{path}/scans/{{scan}}" for path in EXPERIMENT_PATHS)
ASSESSOR_PATHS = tuple(f"{path}/assessors/{{assessor}}" for path in EXPERIMENT_PATHS)
RECONSTRUCTION_PATHS = tuple(
    f"{path}/reconstructions/{{reconstruction}}" for path in EXPERIMENT_PATHS
)
OWNER_PATHS = (
    *PROJECT_PATHS,
    *SUBJECT_PATHS,
    *EXPERIMENT_PATHS,
    *SCAN_PATHS,
    *ASSESSOR_PATHS,
    *(f"{path}/{direction}" for path in ASSESSOR_PATHS for direction in ("in", "out")),
    *RECONSTRUCTION_PATHS,
    *(f"{path}/{direction}" for path in RECONSTRUCTION_PATHS for direction in ("in", "out")),
)
"""Every ``{R}``: a path whose object can own resources. The first match in order wins, so more
specific suffixes (``/in``, ``/out``) never clash with them."""


_REST = re.compile(r"\{\w+:path\}")
_LONGEST_SHAPE = 32
"""Parts of a path that are looked at; no pattern has as many."""

ROUTE = "winxnat.route"
"""In a request's scope: the ``HandlerRoute`` that was found."""


async def _small_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_SMALL_BODY_BYTES:
            raise HttpError(
                413, f"The body is larger than {MAX_SMALL_BODY_BYTES} bytes, the limit here."
            )
    return bytes(body)


def _call(request: Request) -> Call:
    return Call(
        request=request,
        site=request.app.state.site,
        user=request.state.user,
        session=request.state.session,
    )


class _Endpoint:
    """A handler as an ASGI application: what it raises is answered by the middleware."""

    def __init__(self, handler: Handler | StreamHandler, *, body: bool) -> None:
        self.streaming = inspect.iscoroutinefunction(handler)
        self._handler = handler
        self._body = body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _call(Request(scope, receive, send))
        ACTING_LOGIN.set(call.user.login)
        if self._body:
            call.body = await _small_body(call.request)
        if self.streaming:
            response = await self._handler(call)  # type: ignore[misc] # iscoroutinefunction
        else:
            response = await run_in_threadpool(self._handler, call)
        await response(scope, receive, send)


class HandlerRoute(Route):
    """A route that remembers its handler, for the description of the interface.

    Parameters
    ----------
    handler : callable
        What answers; its docstring says what it does.
    body : bool
        Whether the request's whole body is read for it.
    """

    def __init__(
        self, path: str, methods: list[str], handler: Handler | StreamHandler, *, body: bool
    ) -> None:
        endpoint = _Endpoint(handler, body=body)
        super().__init__(path, endpoint, methods=methods)
        self.methods: set[str] = self.methods or set()
        self.handler = handler
        self.takes_body = body or endpoint.streaming
        before, *rest = _REST.split(path, maxsplit=1)
        self._is_open = bool(rest)
        parts = before.split("/")[:-1] if rest else before.split("/")
        self._parts = [None if "{" in part else part for part in parts]
        self.words = frozenset(part for part in self._parts if part is not None)

    def can_fit(self, shape: Sequence[str]) -> bool:
        """Return whether a path may fit whose parts are these, all but known words left empty."""
        if len(shape) < len(self._parts) or (len(shape) > len(self._parts) and not self._is_open):
            return False
        return all(part in {None, found} for part, found in zip(self._parts, shape, strict=False))


class RouteTable(BaseRoute):
    """All routes as one: the first that fits answers, as in a list of them, but found quickly.

    Trying hundreds of expressions for each request would take longer than answering most. Which
    routes can fit a path depends only on where the words of their patterns stand in it; for each
    such shape the few candidates are remembered.

    Parameters
    ----------
    routes : sequence of HandlerRoute
        In order of preference.
    """

    def __init__(self, routes: Sequence[HandlerRoute]) -> None:
        self.routes = tuple(routes)
        self._words = frozenset[str]().union(*(route.words for route in routes))
        self._candidates = lru_cache(maxsize=4096)(self._find_candidates)

    def _find_candidates(self, shape: tuple[str, ...]) -> tuple[HandlerRoute, ...]:
        return tuple(route for route in self.routes if route.can_fit(shape))

    def _fitting(self, path: str) -> Iterator[HandlerRoute]:
        words = self._words
        shape = tuple([part if part in words else "" for part in path.split("/")[:_LONGEST_SHAPE]])
        for route in self._candidates(shape):
            if route.path_regex.match(path) is not None:
                yield route

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return how the first fitting route fits, else the first that has another method."""
        if scope["type"] != "http":
            return Match.NONE, {}
        # The whole path: nothing is mounted, here or above.
        other: HandlerRoute | None = None
        for route in self._fitting(scope["path"]):
            if scope["method"] in route.methods:
                match, child_scope = route.matches(scope)
                return match, {**child_scope, ROUTE: route}
            other = other or route
        if other is None:
            return Match.NONE, {}
        match, child_scope = other.matches(scope)
        return match, {**child_scope, ROUTE: other}

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the route that was found answer; 405 when there are some with other methods only."""
        route: HandlerRoute = scope[ROUTE]
        if scope["method"] in route.methods:
            await route.handle(scope, receive, send)
            return
        fitting = self._fitting(scope["path"])
        methods = sorted({method for each in fitting for method in each.methods})
        raise HTTPException(405, headers={"Allow": ", ".join(methods)})


class Routes:
    """A table of routes in the making; order decides between overlapping paths."""

    def __init__(self) -> None:
        self.routes: list[HandlerRoute] = []

    def add(
        self, methods: str, *paths: str, body: bool = False
    ) -> Callable[[Handler | StreamHandler], Handler | StreamHandler]:
        """Announce a handler.

        Parameters
        ----------
        methods : str
            HTTP methods, separated by blanks.
        *paths : str
            Starlette path patterns, below ``/data`` or ``/xapi``.
        body : bool
            Read the whole (small) body into ``call.body`` first.
        """

        def register(handler: Handler | StreamHandler) -> Handler | StreamHandler:
            self.routes.extend(HandlerRoute(p, methods.split(), handler, body=body) for p in paths)
            return handler

        return register


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def json_body(call: Call) -> Any:
    """Return the body as JSON; 400 when it is none.

    Numbers that are not finite and characters that are no text (lone surrogates) are refused too:
    Python's parser takes them, but they can neither be stored nor answered.
    """
    try:
        value = json.loads(call.body, parse_constant=_finite, parse_float=_finite)
        if b"\\u" in call.body:
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise bad_request("The body is not JSON, which is needed here.") from error
    return value
