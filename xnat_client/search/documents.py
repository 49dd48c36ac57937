"""The search document that XNAT takes: columns and criteria as a ``xdat:bundle``.

It is built as a tree, never from pieces of text, so that no value can become markup.

References
----------
XNAT REST API, "Query the search engine": POST /data/search with a stored-search document.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from xnat_client.conditions import Condition

_NAMESPACE = "http://nrg.wustl.edu/security"
_LOOSE = re.compile(r"[^A-Za-z0-9 .:/_-]")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_WIDER = {">": ">=", ">=": ">=", "<": "<="}
"""What to ask so that time stamps of the day itself come too; of ``<=`` there is nothing wider."""


def search_document(
    root_type: str, columns: Sequence[str], criteria: Sequence[tuple[str, Condition]]
) -> bytes:
    """Return a search for objects of a type.

    Parameters
    ----------
    columns : sequence of str
        Display fields of the type.
    criteria : sequence of (display field, Condition)
        All of them are wanted. They only narrow what the server sends: a server may compare in
        other ways than this client, which therefore looks at each row itself.
    """
    ET.register_namespace("xdat", _NAMESPACE)
    bundle = ET.Element(
        _tag("bundle"), {"ID": f"@{root_type}", "allow-diff-columns": "0", "secure": "false",
                         "brief-description": "", "description": ""},
    )  # fmt: skip
    _add(bundle, "root_element_name", root_type)
    for number, column in enumerate(columns):
        field = ET.SubElement(bundle, _tag("search_field"))
        _add(field, "element_name", root_type)
        _add(field, "field_ID", column)
        _add(field, "sequence", str(number))
        _add(field, "type", "string")
        _add(field, "header", column)
    where = ET.SubElement(bundle, _tag("search_where"), {"method": "AND"})
    for column, condition in criteria:
        narrowed = _narrowing(condition)
        if narrowed is not None:
            one = ET.SubElement(where, _tag("criteria"), {"override_value_formatting": "0"})
            _add(one, "schema_field", f"{root_type}/{column}")
            _add(one, "comparison_type", narrowed[0])
            _add(one, "value", narrowed[1])
    return bytes(ET.tostring(bundle, encoding="utf-8"))


def _narrowing(condition: Condition) -> tuple[str, str] | None:
    """Return a comparison that holds wherever the condition does, or None if there is none.

    Characters that mean something to a server's pattern or to its guard against injection are
    replaced by the pattern for anything.
    """
    if condition.sign == "=" and condition.value:
        return "LIKE", _LOOSE.sub("%", condition.value)
    if condition.sign in _WIDER and _DAY.fullmatch(condition.value):
        return _WIDER[condition.sign], condition.value
    return None


def _tag(name: str) -> str:
    return f"{{{_NAMESPACE}}}{name}"


def _add(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, _tag(name)).text = text
