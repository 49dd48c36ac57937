"""WHO and WHERE: the server, projects, people.

Belongs here: everything that speaks to an XNAT server on behalf of a person.
Does not belong here: image processing (containers, qc) and the sandbox server (deploy).

Names are imported when they are first used, so that ``import xnat_client`` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xnat_client.commands_registry import (
        AvailableWrapper,
        RegisteredCommand,
        ensure_registered,
        find_available,
    )
    from xnat_client.credentials import Credentials, find_credentials
    from xnat_client.errors import (
        BadInputError,
        ConflictError,
        NotAllowedError,
        NotFoundError,
        NotLoggedInError,
        RefusedError,
        RunFailedError,
        UnreachableError,
        UsageError,
        XnatClientError,
    )
    from xnat_client.launch import (
        Patience,
        Run,
        RunState,
        get_state,
        kill_run,
        launch_command,
        read_log,
        watch_run,
    )
    from xnat_client.projects import Accessibility, Project, create_project, list_projects
    from xnat_client.resources import (
        Download,
        RemoteFile,
        Resource,
        download_resource,
        list_files,
        list_resources,
    )
    from xnat_client.session import XnatServer, connect
    from xnat_client.sessions import Scan, Session, find_session, list_scans, list_sessions
    from xnat_client.transport import Transport
    from xnat_client.transport_settings import TransportSettings
    from xnat_client.upload.scan import FolderScan, StudyPlan, choose_study, scan_folder
    from xnat_client.upload.send import Receipt, UploadTarget, upload_session

_HOMES = {
    "commands_registry": (
        "AvailableWrapper", "RegisteredCommand", "ensure_registered", "find_available",
    ),
    "credentials": ("Credentials", "find_credentials"),
    "errors": (
        "BadInputError", "ConflictError", "NotAllowedError", "NotFoundError", "NotLoggedInError",
        "RefusedError", "RunFailedError", "UnreachableError", "UsageError", "XnatClientError",
    ),
    "launch": (
        "Patience", "Run", "RunState", "get_state", "kill_run", "launch_command", "read_log",
        "watch_run",
    ),
    "projects": ("Accessibility", "Project", "create_project", "list_projects"),
    "resources": (
        "Download", "RemoteFile", "Resource", "download_resource", "list_files", "list_resources",
    ),
    "session": ("XnatServer", "connect"),
    "sessions": ("Scan", "Session", "find_session", "list_scans", "list_sessions"),
    "transport": ("Transport",),
    "transport_settings": ("TransportSettings",),
    "upload.scan": ("FolderScan", "StudyPlan", "choose_study", "scan_folder"),
    "upload.send": ("Receipt", "UploadTarget", "upload_session"),
}  # fmt: skip
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Accessibility",
    "AvailableWrapper",
    "BadInputError",
    "ConflictError",
    "Credentials",
    "Download",
    "FolderScan",
    "NotAllowedError",
    "NotFoundError",
    "NotLoggedInError",
    "Patience",
    "Project",
    "Receipt",
    "RefusedError",
    "RegisteredCommand",
    "RemoteFile",
    "Resource",
    "Run",
    "RunFailedError",
    "RunState",
    "Scan",
    "Session",
    "StudyPlan",
    "Transport",
    "TransportSettings",
    "UnreachableError",
    "UploadTarget",
    "UsageError",
    "XnatClientError",
    "XnatServer",
    "choose_study",
    "connect",
    "create_project",
    "download_resource",
    "ensure_registered",
    "find_available",
    "find_credentials",
    "find_session",
    "get_state",
    "kill_run",
    "launch_command",
    "list_files",
    "list_projects",
    "list_resources",
    "list_scans",
    "list_sessions",
    "read_log",
    "scan_folder",
    "upload_session",
    "watch_run",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    """Return the public names too, although they are not imported yet."""
    return sorted({*globals(), *__all__})
