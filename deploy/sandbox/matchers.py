"""Matchers: JSONPath filters on XNAT objects, as commands write them.

The Container Service evaluates them with the Jayway library; this follows its reading of ``in``,
``contains`` and ``=~`` (the whole text must match). Not here: which objects are offered
(``object_tree``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from jsonpath import JSONPathEnvironment
from jsonpath.exceptions import JSONPathError

from deploy.sandbox.expressions import Expression, ExpressionError


class MatcherError(Exception):
    """A matcher or path is not JSONPath."""


def _members(value: object) -> Sequence[object]:
    if isinstance(value, (list, tuple)):
        return [getattr(each, "obj", each) for each in value]
    return [] if value is None else [value]


class _Environment(JSONPathEnvironment):
    """JSONPath whose ``in`` and ``contains`` look into what a path with ``*`` selects.

    Without this, ``'DICOM' in @.resources[*].label`` compares with nodes instead of their values,
    and with a single resource would find 'DICOM' inside the text 'DICOM-RT'. Expressions have
    a limit of time; the functions ``match`` and ``search``, which would have none and which Jayway
    does not know, are not there.
    """

    def setup_function_extensions(self) -> None:
        """Announce the functions of the standard but two."""
        super().setup_function_extensions()
        for name in ("match", "search"):
            del self.function_extensions[name]

    def compare(self, left: object, operator: str, right: object) -> bool:
        """Return whether the comparison holds."""
        if operator == "in":
            return any(super(_Environment, self).compare(left, "==", r) for r in _members(right))
        if operator == "contains":
            return any(
                super(_Environment, self).compare(each, "==", right) for each in _members(left)
            )
        if operator == "=~":
            if not isinstance(left, str) or not isinstance(right, re.Pattern):
                return False
            return Expression(right.pattern, flags=right.flags).fits(left)
        return super().compare(left, operator, right)


_ENVIRONMENT = _Environment()

# Jayway writes the length behind the path, the standard (RFC 9535) around it.
_LENGTH = re.compile(r"(@(?:\.[\w-]+|\[[^\]]*\])*)\.(?:length|size)\(\)")


def matching(matcher: str, documents: Sequence[dict[str, Any]]) -> list[int]:
    """Return the positions of the documents that a matcher accepts.

    Raises
    ------
    MatcherError
        The matcher is not a JSONPath filter.
    """
    try:
        standard = _LENGTH.sub(r"length(\1)", matcher)
        found = _ENVIRONMENT.finditer(f"$[?({standard})]", list(documents))
        return [int(match.parts[0]) for match in found]
    except ExpressionError as error:
        raise MatcherError(
            f"An expression of the matcher {matcher!r} cannot be used: {error}. "
            "Mend it in the command."
        ) from error
    except (JSONPathError, RecursionError, re.error) as error:
        raise MatcherError(
            f"The matcher {matcher!r} is not a JSONPath filter. Mend it in the command."
        ) from error


def value_at(path: str, document: dict[str, Any]) -> Any:
    """Return the first value at a JSONPath in a document, or None.

    Raises
    ------
    MatcherError
        The path is not JSONPath.
    """
    try:
        match = _ENVIRONMENT.match(path, document)
    except (JSONPathError, RecursionError, re.error, ExpressionError) as error:
        raise MatcherError(f"The path {path!r} is not JSONPath. Mend it in the command.") from error
    return None if match is None else match.obj


def json_list(text: str) -> list[str] | None:
    """Return the texts of a JSON list of texts, or None for any other value."""
    parsed = json_value(text) if text.lstrip().startswith("[") else None
    is_texts = isinstance(parsed, list) and all(isinstance(each, str) for each in parsed)
    return parsed if is_texts else None


def json_value(text: str) -> Any:
    """Return what a JSON text inside another value means; None where it is no usable JSON."""
    try:
        parsed = json.loads(text)
        json.dumps(parsed, ensure_ascii=False).encode()  # lone surrogates can be stored nowhere
    except (ValueError, RecursionError):
        return None
    return parsed
