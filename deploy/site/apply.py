"""Plan and apply: all items of a site file against a server.

Not here: printing (``deploy.site_cli``), what a server lacks (``doctor``).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from deploy.site.items import Change, Item, apply_changes, find_changes
from deploy.site.parts_projects import project_items
from deploy.site.parts_site import site_items
from deploy.site.server import SiteServer

if TYPE_CHECKING:
    from deploy.site.document import SiteDocument
    from xnat_client.transport import Transport


def items_of(document: SiteDocument, transport: Transport) -> list[Item]:
    """Return everything that a file wants of a server."""
    server = SiteServer(transport)
    return [*site_items(document, server), *project_items(document, server)]


def plan(document: SiteDocument, transport: Transport) -> list[Change]:
    """Return what applying a file would change on a server; changes nothing.

    Raises
    ------
    SiteError
        The server does not tell what is there.
    """
    return find_changes(items_of(document, transport))


def apply(document: SiteDocument, transport: Transport, tell: Callable[[Change], None]) -> int:
    """Bring a server to what a file says, read each change back, and return how many there were.

    Doing it again changes nothing; doing it again after a sudden end goes on.

    Raises
    ------
    SiteError
        The server refuses a change, or holds something else after it.
    """
    return apply_changes(items_of(document, transport), tell)
