"""The server put together: every part's routes, behind the guard, with one shape of error.

Not here: any rule of XNAT's; each lives in the module of its subject.
"""

from __future__ import annotations

import logging
import sqlite3
import traceback
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response

from deploy.sandbox import (
    absent_services,
    access_api,
    account_grants,
    accounts,
    anonymize_api,
    api_description,
    automation_api,
    availability,
    catalogs,
    commands_api,
    config_api,
    containers_api,
    custom_fields,
    dicom_dump,
    dicomscp_api,
    docker_api,
    events_api,
    experiments,
    features,
    files,
    ingest,
    invitations,
    launch,
    listings,
    logins,
    orchestration_api,
    prearchive,
    project_access,
    project_groups,
    projects,
    resources,
    scans,
    searches,
    series_filter_api,
    sharing,
    site_config,
    stored_searches,
    subjects,
    type_pages,
    uploads,
    workflows,
)
from deploy.sandbox.dicom_receiver import Receivers
from deploy.sandbox.errors import HttpError
from deploy.sandbox.event_dispatch import EventDispatcher
from deploy.sandbox.guard import Guard
from deploy.sandbox.request_log import LogRequests, RequestLog
from deploy.sandbox.routing import HandlerRoute, RouteTable
from deploy.sandbox.runner import Runner
from deploy.sandbox.upload_batches import UploadBatches

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.requests import Request

    from deploy.sandbox.site import Site

_LOG = logging.getLogger("winxnat.sandbox")


def all_routes() -> list[HandlerRoute]:
    """Return the routes of all parts, in order of preference."""
    parts = (
        logins,
        api_description,
        account_grants,
        accounts,
        access_api,
        site_config,
        project_access,
        invitations,
        project_groups,
        sharing,
        features,
        custom_fields,
        files,
        uploads,
        resources,
        ingest,
        anonymize_api,
        series_filter_api,
        prearchive,
        dicom_dump,
        dicomscp_api,
        catalogs,
        searches,
        type_pages,
        stored_searches,
        config_api,
        projects,
        subjects,
        experiments,
        scans,
        listings,
        availability,
        commands_api,
        launch,
        containers_api,
        docker_api,
        workflows,
        events_api,
        orchestration_api,
        automation_api,
        absent_services,  # last: some of its areas have a few addresses that are there
    )
    routes = [route for part in parts for route in part.ROUTES.routes]
    return [*routes, *projects.LAST_ROUTES.routes]


def _answer_error(_request: Request, error: Exception) -> Response:
    if not isinstance(error, HttpError):  # pragma: no cover - registered for HttpError only
        raise error
    return PlainTextResponse(error.message, error.status, dict(error.headers))


def _answer_unrouted(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # pragma: no cover - registered for these only
        raise error
    if error.status_code == 405:  # noqa: PLR2004 - method not allowed
        message = f"{request.method} is not possible here."
    else:
        message = "There is nothing at this address."
    return PlainTextResponse(message, error.status_code, dict(error.headers or {}))


def _answer_full_disk(_request: Request, error: Exception) -> Response:
    # What is full is the room for the database; files have their own answer (``file_changes``).
    if not isinstance(error, sqlite3.Error) or error.sqlite_errorcode != sqlite3.SQLITE_FULL:
        raise error
    return PlainTextResponse("The server's disk is full; the request was not completed.", 507)


def _answer_fault(request: Request, error: Exception) -> Response:
    # The frames say where; the exception's own text could hold data, so it is not logged.
    frames = "".join(traceback.format_tb(error.__traceback__))
    _LOG.error("%s %s: %s\n%s", request.method, request.url.path, type(error).__name__, frames)
    return PlainTextResponse("The sandbox has a fault here; its log says where.", 500)


def create_app(site: Site) -> Starlette:
    """Return the ASGI application of a site; stopping it stops the site."""
    site.runner = Runner(site)
    site.receivers = Receivers(site)
    site.upload_batches = UploadBatches(site)
    events = EventDispatcher(site)
    requests_log = RequestLog(site.settings.root)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        requests_log.start()
        site.upload_batches.start()
        site.runner.recover()
        events.start()
        site.receivers.recover(dicomscp_api.list_receivers(site.store.connection))
        yield
        site.stop()
        requests_log.stop()

    app = Starlette(
        routes=[RouteTable(all_routes())],
        middleware=[Middleware(LogRequests, log=requests_log), Middleware(Guard, site=site)],
        exception_handlers={
            HttpError: _answer_error,
            HTTPException: _answer_unrouted,
            sqlite3.OperationalError: _answer_full_disk,
            Exception: _answer_fault,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.site = site
    return app
