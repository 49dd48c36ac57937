"""Read typed values out of parsed JSON and collect every mismatch with its JSON path.

The rules are those of the Java library that the Container Service reads documents with
(Jackson with its defaults): a scalar is accepted where text is expected, text that spells a
truth value or a number is accepted in its place, null means absent. Not here: which keys a
command document has (``service_json``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Any

_TRUTH = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a document the reader is, and what it found wrong so far.

    ``wrong_types`` and ``unknown_words`` are shared by all places of one document.
    """

    path: str = "$"
    wrong_types: list[str] = field(default_factory=list)
    unknown_words: list[str] = field(default_factory=list)

    def key(self, name: object) -> Place:
        """Return the place of a key below this one."""
        word = str(name)
        plain = word.replace("-", "").replace("_", "").isalnum()
        return replace(self, path=f"{self.path}.{word}" if plain else f"{self.path}[{word!r}]")

    def item(self, index: int) -> Place:
        """Return the place of a list item below this one."""
        return replace(self, path=f"{self.path}[{index}]")

    def mismatch(self, expected: str, found: object) -> None:
        """Note a value of a wrong type; the value itself is not shown."""
        self.wrong_types.append(f"{self.path}: expected {expected}, found {_kind_of(found)}.")


Read = Callable[[Any, Place], Any]
"""Takes a non-null JSON value; returns what it means, or notes a mismatch and returns None."""


def _kind_of(value: object) -> str:
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (type(None), "null"),
        (bool, "true or false"),
        ((int, float), "a number"),
        (str, "text"),
        (Mapping, "an object"),
        ((list, tuple), "a list"),
    )
    for kind, words in kinds:
        if isinstance(value, kind):
            return words
    return f"a {type(value).__name__}"


def text(value: Any, place: Place) -> str | None:
    """Read text; a truth value or number becomes the text that JSON spells it with."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    place.mismatch("text", value)
    return None


def flag(value: Any, place: Place) -> bool | None:
    """Read a truth value; the texts "true" and "false" are accepted, empty text is absent."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str) and value.strip() in _TRUTH:
        return _TRUTH[value.strip()]
    place.mismatch("true or false", value)
    return None


def number(value: Any, place: Place) -> float | None:
    """Read a finite number; text that spells one is accepted, empty text is absent."""
    if isinstance(value, str) and not value.strip():
        return None
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            place.mismatch("a number", value)
            return None
    if isinstance(value, bool) or not isinstance(value, int | float) or value - value != 0:
        place.mismatch("a number", value)
        return None
    return value


def whole_number(value: Any, place: Place) -> int | None:
    """Read a whole number; text with digits is accepted, empty text is absent."""
    found = number(value, place)
    if found is None:
        return None
    if found != int(found):
        place.mismatch("a whole number", value)
        return None
    return int(found)


def anything(value: Any, _place: Place) -> Any:
    """Read any JSON value."""
    return value


def one_of(kind: type[StrEnum]) -> Read:
    """Return a reader for the words of an enumeration."""

    def read(value: Any, place: Place) -> StrEnum | None:
        word = text(value, place)
        if word is None:
            return None
        try:
            return kind(word)
        except ValueError:
            known = ", ".join(member.value for member in kind)
            place.unknown_words.append(
                f'{place.path}: "{word}" is not known. Choose from: {known}.'
            )
            return None

    return read


def list_of(item: Read) -> Read:
    """Return a reader for a list whose items `item` reads."""

    def read(value: Any, place: Place) -> tuple[Any, ...] | None:
        if not isinstance(value, list | tuple):
            place.mismatch("a list", value)
            return None
        found = [_present(item, each, place.item(index)) for index, each in enumerate(value)]
        return tuple(each for each in found if each is not None)

    return read


def map_of(item: Read) -> Read:
    """Return a reader for an object with free keys whose values `item` reads."""

    def read(value: Any, place: Place) -> Mapping[str, Any] | None:
        if not isinstance(value, Mapping):
            place.mismatch("an object", value)
            return None
        found = {str(key): _present(item, each, place.key(key)) for key, each in value.items()}
        return MappingProxyType({key: each for key, each in found.items() if each is not None})

    return read


def json_object(value: Any, place: Place) -> Mapping[str, Any] | None:
    """Read an object whose content is free."""
    if not isinstance(value, Mapping):
        place.mismatch("an object", value)
        return None
    return MappingProxyType(dict(value))


def _present(item: Read, value: Any, place: Place) -> Any:
    if value is None:
        place.mismatch("a value", value)
        return None
    return item(value, place)
