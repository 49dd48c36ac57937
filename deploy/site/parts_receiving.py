"""The items of what receives DICOM: receivers, and the filters of series that arrive.

Not here: the script that rewrites what arrives (``parts_site``).

References
----------
XNAT REST API, ``/xapi/dicomscp`` and ``config/seriesImportFilter/config``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from deploy.checked_yaml import Place
from deploy.site.document import SiteDocument
from deploy.site.items import Item, Rank
from deploy.site.model import ImportFilter, Receiver
from deploy.site.server import SiteServer
from xnat_client.address import path_of
from xnat_client.errors import NotFoundError

_RECEIVERS = "/xapi/dicomscp"
_KEYS = {
    "enabled": "enabled",
    "direct_archive": "directArchive",
    "anonymisation": "anonymizationEnabled",
    "identifier": "identifier",
    "project_routing": "projectRoutingExpression",
    "subject_routing": "subjectRoutingExpression",
    "session_routing": "sessionRoutingExpression",
}
"""Keys of the file and of XNAT's receivers."""
_ROUTING = frozenset(key for name, key in _KEYS.items() if name.endswith("_routing"))


def receiver_items(document: SiteDocument, server: SiteServer) -> Iterator[Item]:
    """Yield the items of a file's receivers."""
    for n, receiver in enumerate(document.site.receivers):
        wanted = _wanted(receiver)
        yield Item(
            f"receivers.{receiver.ae_title}:{receiver.port}",
            document.where(("receivers", n)),
            wanted,
            partial(_read_receiver, server, receiver, tuple(wanted)),
            partial(_write_receiver, server, receiver, wanted),
            # Listening is what lets data in, so it comes after all that is done to them.
            rank=Rank.LISTENING if receiver.enabled else Rank.CLOSING,
        )


def _wanted(receiver: Receiver) -> dict[str, Any]:
    """Return what the file says, by XNAT's keys."""
    wanted = {key: getattr(receiver, name) for name, key in _KEYS.items()}
    wanted = {key: value for key, value in wanted.items() if value is not None}
    if _ROUTING & wanted.keys():
        wanted["routingExpressionsEnabled"] = True
    if receiver.senders is not None:
        wanted["whitelistEnabled"] = bool(receiver.senders)
        wanted["whitelist"] = sorted(receiver.senders)
    return wanted


def _find_receiver(server: SiteServer, receiver: Receiver) -> Mapping[str, Any] | None:
    rows = server.get(_RECEIVERS, "list the DICOM receivers")
    keys = {(str(row.get("aeTitle")), int(row.get("port") or 0)): row for row in rows}
    return keys.get(receiver.key)


def _read_receiver(
    server: SiteServer, receiver: Receiver, keys: tuple[str, ...]
) -> dict[str, Any] | None:
    row = _find_receiver(server, receiver)
    if row is None:
        return None
    found = {key: row.get(key) for key in keys}
    if "whitelist" in found:
        found["whitelist"] = sorted(found["whitelist"] or [])
    return found


def _write_receiver(
    server: SiteServer, receiver: Receiver, wanted: Mapping[str, Any], _before: Any
) -> None:
    row = _find_receiver(server, receiver)
    doing = f"store the DICOM receiver {receiver.ae_title}"
    if row is None:
        body = {"aeTitle": receiver.ae_title, "port": receiver.port,
                "identifier": "dicomObjectIdentifier", **wanted}  # fmt: skip
        server.send_json("POST", _RECEIVERS, doing, body)
    else:
        # Complete, because XNAT takes what is left out for its default.
        path = f"{_RECEIVERS}{path_of(str(row['id']))}"
        server.send_json("PUT", path, doing, {**row, **wanted})


# Import filters ---------------------------------------------------------------------------------


def filter_items(
    document: SiteDocument,
    server: SiteServer,
    wanted: ImportFilter,
    place: Place,
    project: str = "",
) -> Iterator[Item]:
    """Yield the item of the site's or a project's series import filter."""
    base = path_of("data", *(["projects", project] if project else []))
    path = f"{base}/config/seriesImportFilter/config"
    value = {
        "mode": wanted.mode,
        "series": [line.strip() for line in wanted.series],
        "enabled": wanted.enabled,
    }
    yield Item(
        f"projects.{project}.import_filter" if project else "import_filter",
        document.where(place),
        value,
        partial(_read_filter, server, path),
        partial(_write_filter, server, path, value),
        rank=Rank.CLOSING,
        needs="an owner of the project" if project else "an administrator of the server",
    )


def _read_filter(server: SiteServer, path: str) -> dict[str, Any] | None:
    doing = "read the series import filter"
    try:
        row = server.config_row(path, doing)
        found = json.loads(row.get("contents") or "")
    except NotFoundError:
        return None
    except ValueError:
        return {"mode": "(not understood)"}
    on = str(found.get("enabled", "true")).lower() == "true" and row.get("status") == "enabled"
    lines = [line.strip() for line in str(found.get("list", "")).splitlines()]
    return {
        "mode": str(found.get("mode", "")),
        "series": [line for line in lines if line],
        "enabled": on,
    }


def _write_filter(server: SiteServer, path: str, wanted: Mapping[str, Any], _before: Any) -> None:
    on = "true" if wanted["enabled"] else "false"
    body = {"enabled": on, "mode": wanted["mode"], "list": "\n".join(wanted["series"])}
    status = "enabled" if wanted["enabled"] else "disabled"
    server.send_json(
        "PUT", path, "store the series import filter", body, inbody="true", status=status
    )
