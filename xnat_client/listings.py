"""Rows of XNAT's tables, checked where they enter.

Every cell of an XNAT table is text; numbers come as text too. Not here: which table holds what
(``projects``, ``sessions``, ``resources``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xnat_client.errors import RefusedError

if TYPE_CHECKING:
    from xnat_client.transport import Transport


def list_rows(
    transport: Transport, path: str, *, doing: str, query: Mapping[str, str] | None = None
) -> Sequence[Mapping[str, str]]:
    """GET a table (``ResultSet`` envelope) below ``/data`` and return its rows.

    Raises
    ------
    RefusedError
        The answer is not such a table.
    """
    document = transport.get_json(path, doing=doing, query={**(query or {}), "format": "json"})
    return table_rows(document, doing=doing, host=transport.host)


def table_rows(document: Any, *, doing: str, host: str) -> Sequence[Mapping[str, str]]:
    """Return the rows of a table that was read already; see ``list_rows``."""
    try:
        rows = document["ResultSet"]["Result"]
        return [_as_text(row) for row in rows]
    except (KeyError, TypeError, AttributeError) as error:
        raise RefusedError(
            f"Cannot {doing}: the answer of {host} is not a table. Check that the "
            "address is that of an XNAT server."
        ) from error


def _as_text(row: Mapping[str, Any]) -> Mapping[str, str]:
    return {key: "" if cell is None else str(cell) for key, cell in row.items()}


def to_int(cell: str | None) -> int:
    """Return a cell's whole number; 0 for an empty or unreadable one."""
    try:
        return int(float(cell or 0))
    except ValueError:
        return 0
