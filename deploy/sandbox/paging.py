"""Order and page of a list, from the request's query to SQL. Not here: the rows (``sources``)."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.sandbox.call import Call
from deploy.sandbox.errors import bad_request

_MAX_DIGITS = 9  # surely a number for SQLite, and more than any list has rows


def order_clause(call: Call, headers: Sequence[str], default: str) -> str:
    """Return what to order by: the columns that ``sortBy`` names, then the default.

    Names that the list does not have are passed over, as XNAT does.
    """
    positions = {header.lower(): str(n) for n, header in enumerate(headers, start=1)}
    direction = "DESC" if call.query.get("sortOrder", "asc").lower() == "desc" else "ASC"
    wanted = [name.strip().lower() for name in call.query.get("sortBy", "").split(",")]
    keys = [f"{positions[name]} {direction}" for name in wanted if name in positions]
    return ", ".join([*keys, default])


def page_clause(call: Call) -> str:
    """Return the LIMIT clause for ``limit`` and ``offset``, empty when neither is there.

    Raises
    ------
    HttpError
        400 when one is no whole number.
    """
    numbers = {}
    for name in ("limit", "offset"):
        text = call.query.get(name)
        if text is not None:
            if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
                raise bad_request(f"'{name}' must be a whole number.")
            numbers[name] = int(text)
    if not numbers:
        return ""
    return f" LIMIT {numbers.get('limit', -1)} OFFSET {numbers.get('offset', 0)}"
