"""Dates of a recording: how people and formats spell them, and where a policy moves them.

Not here: where a format keeps its dates.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

_MONTH_NAMES = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC"
_MONTHS = _MONTH_NAMES.split()
_NO_DATES = (date(1970, 1, 1), date(2000, 1, 1), date(1985, 1, 1), date(1900, 1, 1))
"""Days by which formats and programs say that there is none."""


def spellings(day: date) -> set[str]:
    """Return the usual spellings of a day; none for a day that stands for "not known"."""
    if isinstance(day, datetime):
        day = day.date()
    if day in _NO_DATES:
        return set()
    month = _MONTHS[day.month - 1]
    return {
        day.strftime("%Y%m%d"),
        day.isoformat(),
        f"{day.day:02}-{month}-{day.year}",
        f"{day.day:02}.{day.month:02}.{day.year}",
        f"{day.day:02}/{day.month:02}/{day.year}",
        f"{day.month:02}/{day.day:02}/{day.year}",
        f"{day.day:02}.{day.month:02}.{day.year % 100:02}",
    }


def edf_month(text: str) -> int:
    """Return the number of a month written as three letters.

    Raises
    ------
    ValueError
        It is no month.
    """
    return _MONTHS.index(text.upper()) + 1


def edf_day(day: date) -> str:
    """Return a day as EDF+ writes it (dd-MMM-yyyy)."""
    return f"{day.day:02}-{_MONTHS[day.month - 1]}-{day.year}"


def shifted(moment: datetime, days: int) -> datetime | None:
    """Return the moment moved by whole days; None where no calendar has it."""
    try:
        return moment + timedelta(days=days)
    except OverflowError:
        return None
