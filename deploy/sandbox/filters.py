"""Filters of lists: ``label=S*``, ``date=2024-01-01-2024-12-31``, ``type=T1w,T2w`` as SQL."""

from __future__ import annotations

import re
from typing import Any

from deploy.sandbox.columns import Column

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_NUMBERS = re.compile(rf"\s*({_NUMBER})\s*-\s*({_NUMBER})\s*", re.ASCII)
_DAY = r"\d{4}-\d{2}-\d{2}|\d{2}/\d{2}/\d{4}"
_DAYS = re.compile(rf"\s*({_DAY})\s*-\s*({_DAY})\s*", re.ASCII)
NUMERIC = frozenset({"xs:integer", "xs:int", "xs:long", "xs:float", "xs:double"})
DATED = frozenset({"xs:date", "xs:dateTime"})


def iso_day(day: str) -> str:
    """Return a date of either of XNAT's forms (other text unchanged) in the sortable form."""
    if not re.fullmatch(_DAY, day, re.ASCII):
        return day
    return f"{day[6:]}-{day[:2]}-{day[3:5]}" if "/" in day else day


def condition(column: Column, wanted: str) -> tuple[str, list[Any]]:
    """Return the SQL condition and parameters for one filter.

    A comma means or; ``*`` and ``%`` are wildcards, case-insensitive; numbers and dates take
    ranges ``a-b``, both ends included.
    """
    parts, parameters = [], []
    for value in wanted.split(","):
        sql, values = _one(column, value)
        parts.append(sql)
        parameters += values
    return f"({' OR '.join(parts)})", parameters


def _one(column: Column, value: str) -> tuple[str, list[Any]]:
    own = list(column.parameters)
    if "*" in value or "%" in value:
        pattern = value.replace("\\", "\\\\").replace("_", "\\_").replace("*", "%")
        return f"{column.sql} LIKE ? ESCAPE '\\'", [*own, pattern]
    if column.value_type in NUMERIC:
        numbers = _NUMBERS.fullmatch(value)
        if numbers is not None:
            low, high = float(numbers[1]), float(numbers[2])
            return f"CAST({column.sql} AS REAL) BETWEEN ? AND ?", [*own, low, high]
    if column.value_type in DATED:
        days = _DAYS.fullmatch(value)
        if days is not None:
            first, last = iso_day(days[1]), iso_day(days[2])
            return f"substr({column.sql}, 1, 10) BETWEEN ? AND ?", [*own, first, last]
        if re.fullmatch(_DAY, value, re.ASCII):
            return f"substr({column.sql}, 1, 10) = ?", [*own, iso_day(value)]
    return f"CAST({column.sql} AS TEXT) = ?", [*own, value]
