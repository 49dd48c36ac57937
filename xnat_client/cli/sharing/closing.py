"""What the command line says of closing on a server.

Not here: the closing (``sharing.server_side.at_once``).
"""

from __future__ import annotations

from xnat_client.sharing.server_side.at_once import ClosedAtOnce


def lines_of_closing(done: ClosedAtOnce) -> list[str]:
    """Return one line for each release that was closed on its server, or waits for the loop."""
    return [f"Closed on its server: {name}." for name in done.closed] + [
        f"Not closed on its server yet; the loop (winxnat share watch) does it. {what}"
        for what in done.waiting
    ]
