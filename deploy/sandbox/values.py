"""Values of fields: checked on the way in, typed on the way out. Not here: which fields exist."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, time
from decimal import Decimal
from typing import Any

from deploy.sandbox.datatypes import Leaf
from deploy.sandbox.errors import HttpError, bad_request

MAX_STRING_LENGTH = 255
"""Characters in a string field of XNAT's database; long text fields have no such limit."""

_LABEL = re.compile(r"[A-Za-z0-9_.-]+")
_PROJECT_ID = re.compile(r"[A-Za-z0-9_-]+")
_INTEGER = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
# Between these, Java's Double.toString writes no exponent.
_JAVA_SMALL, _JAVA_LARGE = 1e-3, 1e7
_TRUE, _FALSE = frozenset({"true", "1"}), frozenset({"false", "0"})


def check_label(what: str, label: str) -> str:
    """Return a label, accession number or scan ID that is usable as a folder name; else raise 417.

    XNAT lets almost any label pass here and fails later, when it makes the folder; the sandbox
    refuses at once, so that data prepared with it work everywhere.
    """
    usable = _LABEL.fullmatch(label) and len(label) <= MAX_STRING_LENGTH
    if not usable or set(label) == {"."} or label.startswith("."):
        raise HttpError(
            417,
            f"Invalid character in {what}: only letters, digits, '_', '-' and '.' (not first) "
            f"are possible, {MAX_STRING_LENGTH} at most.",
        )
    return label


def check_project_id(project_id: str) -> str:
    """Return a project ID of letters, digits, ``_`` and ``-``; else raise 417."""
    if not _PROJECT_ID.fullmatch(project_id) or len(project_id) > MAX_STRING_LENGTH:
        raise HttpError(417, "A project ID has letters, digits, '_' and '-' only.")
    return project_id


def _date(text: str) -> str:
    for form in ("%Y-%m-%d", "%m/%d/%Y"):
        try:
            found = datetime.strptime(text, form).date()  # noqa: DTZ007 - a date has no time zone
        except ValueError:
            continue
        return found.isoformat()
    raise ValueError(text)


def _time(text: str) -> str:
    return time.fromisoformat(text).replace(tzinfo=None).isoformat(timespec="seconds")


def _timestamp(text: str) -> str:
    return datetime.fromisoformat(text).replace(tzinfo=None).isoformat(sep=" ")


def _integer(text: str) -> str:
    if not _INTEGER.fullmatch(text):
        raise ValueError(text)
    return str(int(text))


def _float(text: str) -> str:
    if not _FLOAT.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(text)
    return _java_number(float(text))


def _java_number(number: float) -> str:
    """Return a number as XNAT prints it: by the rules of Java's ``Double.toString``."""
    digits = repr(abs(number))
    if abs(number) >= _JAVA_LARGE or 0 < abs(number) < _JAVA_SMALL:
        mantissa, _, exponent = f"{Decimal(digits).normalize():E}".partition("E")
        digits = f"{mantissa if '.' in mantissa else mantissa + '.0'}E{int(exponent)}"
    elif "e" in digits:  # Python writes small numbers so, a little later than Java
        digits = f"{Decimal(digits):f}"
    return f"-{digits}" if math.copysign(1, number) < 0 else digits


def _boolean(text: str) -> str:
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError(text)
    return "1" if text.lower() in _TRUE else "0"


_READERS: dict[str, tuple[Callable[[str], str], str]] = {
    "xs:date": (_date, "a date (yyyy-MM-dd)"),
    "xs:time": (_time, "a time (HH:mm:ss)"),
    "xs:dateTime": (_timestamp, "a date and time (yyyy-MM-dd HH:mm:ss)"),
    "xs:integer": (_integer, "a whole number"),
    "xs:int": (_integer, "a whole number"),
    "xs:long": (_integer, "a whole number"),
    "xs:float": (_float, "a number"),
    "xs:double": (_float, "a number"),
    "xs:boolean": (_boolean, "true or false"),
}


def check_value(leaf: Leaf, text: str) -> str:
    """Return the text to store for a field; raise 400 when it does not fit the field's type."""
    reader, wanted = _READERS.get(leaf.value_type, (None, ""))
    if reader is not None:
        try:
            return reader(text.strip())
        except ValueError as error:
            raise bad_request(f"Field '{leaf.path}' needs {wanted}.") from error
    if leaf.choices and text not in leaf.choices:
        raise bad_request(f"Field '{leaf.path}' must be one of: {', '.join(leaf.choices)}.")
    if not leaf.long and len(text) > MAX_STRING_LENGTH:
        raise bad_request(f"Field '{leaf.path}' holds {MAX_STRING_LENGTH} characters at most.")
    if _NOT_PRINTABLE.search(text):
        raise bad_request(f"Field '{leaf.path}' has control characters.")
    return text


def typed_value(value_type: str, text: str) -> Any:
    """Return a stored text as JSON shows it in items: numbers and booleans are typed there."""
    if value_type in {"xs:integer", "xs:int", "xs:long"}:
        return int(text)
    if value_type in {"xs:float", "xs:double"}:
        return float(text)
    if value_type == "xs:boolean":
        return text == "1"
    return text
