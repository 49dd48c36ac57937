"""What an XNAT lacks for this bundle, in plain words, and what to do about it.

Each finding states only what an answer of the server proves; what could not be asked is called
unknown. Nothing is changed. Not here: closing the differences (``apply``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from commands.catalog import commands
from commands.model import Command
from deploy.site.apply import plan
from deploy.site.server import SiteServer
from xnat_client.address import is_this_machine, path_of
from xnat_client.errors import NotAllowedError, NotFoundError, XnatClientError

if TYPE_CHECKING:
    from deploy.site.document import SiteDocument
    from xnat_client.transport import Transport

OLDEST_XNAT = (1, 8)
OLDEST_SERVICE = (3, 4)
"""Oldest releases whose interface is that of the sources; older ones are not known to work."""

SWITCHES: Mapping[str, tuple[str, str]] = {
    "securityAllowNonPrivateProjects": (
        "false", "owners could open a source project to everybody"),
    "requireLogin": ("true", "people without an account could read public projects"),
    "uiAllowNonAdminProjectCreation": (
        "false", "everybody could make projects, which XNAT makes protected by default"),
    "userRegistration": ("false", "accounts would be enabled without anybody's consent"),
    "restrictUserListAccessToAdmins": ("true", "every account could list all people"),
    "par": ("false", "owners could let people in by mail, past the sharing agreement"),
    "enableCsrfToken": ("true", "other web pages could act in a member's name"),
    "checksums": ("true", "uploads and downloads could not be proved by checksums"),
}  # fmt: skip
"""Site properties that sharing relies on: the value, and what happens otherwise."""


class Verdict(StrEnum):
    """What a check found."""

    FINE = "fine"
    LACKING = "lacking"
    ADVICE = "advice"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: what was looked at, what was found, what to do (empty if nothing)."""

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""


def examine(transport: Transport, document: SiteDocument | None = None) -> list[Finding]:
    """Return what was found on a server.

    Parameters
    ----------
    document : SiteDocument or None
        The wanted state; without it, all commands of this bundle are looked for.
    """
    server = SiteServer(transport)
    findings = [
        *_asked("XNAT", lambda: _version(server)),
        *_asked("rights", lambda: _rights(server)),
    ]
    service = list(_asked("Container Service", lambda: _service(server)))
    findings += service
    if all(each.verdict is not Verdict.LACKING for each in service):
        findings += _asked("Docker", lambda: _docker(server))
        wanted = (
            [each.definition for each in document.commands.values()]
            if document
            else list(commands())
        )
        for command in wanted:
            findings += _asked(f"command {command.name}", lambda c=command: _command(server, c))  # type: ignore[misc] # mypy infers no type for a default
        findings += _asked("images", lambda: _images(server, wanted))
    findings += _asked("Event Service", lambda: _events(server))
    findings += _asked("site switches", lambda: _switches(server, document))
    if document is not None:
        findings += _asked("site file", lambda: _differences(document, transport))
    return findings


def _asked(subject: str, check: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(check())
    except NotAllowedError:
        return [
            Finding(
                subject, Verdict.UNKNOWN, "this account may not ask for it",
                "Run the doctor as an administrator of the server.",
            )
        ]  # fmt: skip
    except XnatClientError as error:
        return [Finding(subject, Verdict.UNKNOWN, str(error))]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in re.findall(r"\d+", version)[:3])


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(str(each) for each in version)


def _version(server: SiteServer) -> Iterator[Finding]:
    found = server.get("/xapi/siteConfig/buildInfo", "ask for the version of XNAT")
    version = str(found.get("version") or "") if isinstance(found, dict) else ""
    if not _numbers(version):
        yield Finding("XNAT", Verdict.UNKNOWN, "the server does not say its version")
    elif _numbers(version) < OLDEST_XNAT:
        advice = f"Upgrade XNAT to {_dotted(OLDEST_XNAT)} or later."
        yield Finding("XNAT", Verdict.LACKING, f"version {version}", advice)
    else:
        yield Finding("XNAT", Verdict.FINE, f"version {version}")


def _rights(server: SiteServer) -> Iterator[Finding]:
    path = path_of("xapi", "users", server.own_login(), "roles")
    try:
        roles = server.get(path, "read the roles of this account")
    except NotAllowedError:
        roles = []
    if "Administrator" in roles:
        yield Finding("rights", Verdict.FINE, "this account is an administrator of the server")
        return
    advice = "To set up the site, log in as an administrator."
    if "Container Manager" in roles:
        found = "this account manages containers, but is no administrator"
    else:
        found = "this account is no administrator"
    yield Finding("rights", Verdict.LACKING, found, advice)


def _service(server: SiteServer) -> Iterator[Finding]:
    try:
        version = server.transport.get_text(
            "/xapi/containers/version", doing="ask for the version of the Container Service"
        )
    except NotFoundError:
        yield Finding(
            "Container Service", Verdict.LACKING, "the server has no such plug-in",
            "Put the Container Service's jar into XNAT's plugins folder and restart Tomcat.",
        )  # fmt: skip
        return
    if not _numbers(version):
        yield Finding("Container Service", Verdict.UNKNOWN, "it does not say its version")
    elif _numbers(version) < OLDEST_SERVICE:
        advice = f"Replace its jar by {_dotted(OLDEST_SERVICE)} or later and restart Tomcat."
        yield Finding("Container Service", Verdict.LACKING, f"version {version}", advice)
    else:
        yield Finding("Container Service", Verdict.FINE, f"version {version}")


def _docker(server: SiteServer) -> Iterator[Finding]:
    settings = server.find("/xapi/docker/server", "read the settings of the container server")
    host = str(settings.get("host") or "") if isinstance(settings, dict) else ""
    try:
        server.transport.get_text("/xapi/docker/server/ping", doing="ask for Docker")
    except NotAllowedError:
        raise
    except XnatClientError:
        yield Finding(
            "Docker", Verdict.LACKING, f"it does not answer at {host or 'any address'}",
            "Start Docker there, let the user that runs Tomcat use its socket, and check "
            "container_server in the site file.",
        )  # fmt: skip
        return
    yield Finding("Docker", Verdict.FINE, f"answers at {host}" if host else "answers")


def _command(server: SiteServer, command: Command) -> Iterator[Finding]:
    subject = f"command {command.name}"
    row = server.stored_command(command)
    if row is None:
        others = sorted({str(each.get("version")) for each in server.stored_commands(command.name)})
        found = f"version {command.version} is not registered" + (
            f" (there is {', '.join(others)})" if others else ""
        )
        advice = "Declare it under 'commands' of the site file and apply it."
        yield Finding(subject, Verdict.LACKING, found, advice)
        return
    disabled = []
    for wrapper in command.wrappers:
        path = server.wrapper_path(command, wrapper.name)
        enabled = path and server.find(f"{path}/enabled", f"read whether {wrapper.name} is enabled")
        if not enabled:
            disabled.append(wrapper.name)
    if disabled:
        found = f"registered, but not enabled for the site: {', '.join(disabled)}"
        yield Finding(subject, Verdict.LACKING, found, "Set 'enabled: true' and apply the file.")
    else:
        yield Finding(subject, Verdict.FINE, f"version {command.version}, enabled for the site")


def _images(server: SiteServer, wanted: list[Command]) -> Iterator[Finding]:
    rows: list[Mapping[str, Any]] = server.get("/xapi/docker/images", "list the images")
    tags = {str(tag) for row in rows for tag in row.get("tags") or ()}
    for image in sorted({command.image for command in wanted}):
        # Engines may name a registry before the image.
        if any(tag == image or tag.endswith(f"/{image}") for tag in tags):
            yield Finding(f"image {image}", Verdict.FINE, "is there")
        else:
            yield Finding(
                f"image {image}", Verdict.LACKING, "is not on the Docker host",
                "Build or load it there (winxnat image build), or pull it.",
            )  # fmt: skip


def _events(server: SiteServer) -> Iterator[Finding]:
    if server.find("/xapi/events/events", "list the kinds of events") is None:
        advice = "Subscriptions will not work; turn the Event Service on."
        yield Finding("Event Service", Verdict.ADVICE, "does not answer", advice)
    else:
        yield Finding("Event Service", Verdict.FINE, "answers")


def _switches(server: SiteServer, document: SiteDocument | None) -> Iterator[Finding]:
    present = server.properties()
    declared = document.site.properties if document else {}
    for name, (wanted, otherwise) in SWITCHES.items():
        subject = f"switch {name}"
        if name not in present:
            yield Finding(subject, Verdict.UNKNOWN, "this XNAT has no such property")
            continue
        found = str(present[name]).lower()
        if found == wanted:
            yield Finding(subject, Verdict.FINE, found)
        elif declared.get(name) == found:
            advice = f"Meant so by the site file. Mind: {otherwise}."
            yield Finding(subject, Verdict.ADVICE, found, advice)
        else:
            advice = f"Set it to {wanted}, else {otherwise}."
            yield Finding(subject, Verdict.LACKING, found, advice)
    yield from _addresses(present)


def _addresses(present: Mapping[str, Any]) -> Iterator[Finding]:
    address = str(present.get("processingUrl") or present.get("siteUrl") or "")
    host = urlsplit(address).hostname or ""
    if host and is_this_machine(host):
        yield Finding(
            "processingUrl", Verdict.ADVICE, f"containers are told that XNAT is at {host}",
            "Commands of others that call XNAT would call themselves; set processingUrl to an "
            "address that containers reach. The commands of this bundle do not call XNAT.",
        )  # fmt: skip


def _differences(document: SiteDocument, transport: Transport) -> Iterator[Finding]:
    count = len(plan(document, transport))
    if count:
        advice = "See them with winxnat site plan, and close them with winxnat site apply."
        yield Finding("site file", Verdict.LACKING, f"{count} differences to the server", advice)
    else:
        yield Finding("site file", Verdict.FINE, "the server is as it says")
