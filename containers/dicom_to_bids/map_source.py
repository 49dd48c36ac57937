"""Reads a map file as JSON and remembers on which line everything stands.

Not here: what a map may say (``map_check``) and what it means (``project_map``).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

from containers.contract import BadInputError

MAX_MAP_BYTES = 1 << 20
"""A map of all series of a large site has some 10 kB."""

Place = tuple[str | int, ...]
"""Keys and positions that lead from the whole document to one value."""

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


@dataclass(frozen=True, slots=True)
class MapProblem:
    """One thing about a map that a person should change; ``is_error`` where it must be."""

    line: int
    text: str
    is_error: bool = True

    def shown(self, name: str) -> str:
        """Return the sentence with its place in the file of that name."""
        kind = "" if self.is_error else "note: "
        return f"{name} line {self.line}: {kind}{self.text}"


class MapError(BadInputError):
    """A map file cannot be used.

    Parameters
    ----------
    name : str
        Of the file.
    problems : iterable of MapProblem
        All that are errors, in the order of the lines.
    """

    def __init__(self, name: str, problems: Iterable[MapProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.line))
        lines = "\n".join(problem.shown(name) for problem in self.problems)
        super().__init__(
            f"The map file cannot be used; mend what these lines name and try again:\n{lines}"
        )


@dataclass(frozen=True, slots=True)
class MapSource:
    """A document with the line of each of its values, by place; a member's is its key's."""

    name: str
    document: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """Return the line of a value, or of what it would stand in."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_source(path: Path) -> MapSource:
    """Read a map file.

    Raises
    ------
    MapError
        It cannot be read, is larger than ``MAX_MAP_BYTES``, not UTF-8, no JSON, or has a key
        twice.
    """
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_MAP_BYTES + 1)
    except OSError as error:
        reason = f"it cannot be read ({error.strerror}); name a file that can."
        raise MapError(path.name, [MapProblem(1, reason)]) from error
    if len(raw) > MAX_MAP_BYTES:
        reason = f"it has more than {MAX_MAP_BYTES >> 20} MB, which no map needs."
        raise MapError(path.name, [MapProblem(1, reason)])
    try:
        # Editors of some systems put a byte-order mark in front.
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        reason = "a character is not in UTF-8; save the file in UTF-8."
        raise MapError(path.name, [MapProblem(line, reason)]) from error
    return parse_source(text, path.name)


def parse_source(text: str, name: str) -> MapSource:
    """Read a map from its text; errors as for `read_source`."""
    try:
        document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except json.JSONDecodeError as error:
        reason = f"not JSON here: {error.msg[:1].lower()}{error.msg[1:]} (column {error.colno})."
        raise MapError(name, [MapProblem(error.lineno, reason)]) from error
    except RecursionError as error:
        raise MapError(name, [MapProblem(1, "it is nested too deeply for a map.")]) from error
    except ValueError as error:
        reason = "NaN, Infinity and numbers of thousands of digits are not allowed."
        raise MapError(name, [MapProblem(1, reason)]) from error
    lines, problems = _locate(text)
    if problems:
        raise MapError(name, problems)
    return MapSource(name, document, MappingProxyType(lines))


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError


def _finite(text: str) -> float:
    found = float(text)
    if not math.isfinite(found):
        raise ValueError
    return found


def _is_half_character(word: str) -> bool:
    """Tell whether a JSON text names half of a pair (surrogate), which no file can hold."""
    if "\\u" not in word:
        return False
    return any("\ud800" <= letter <= "\udfff" for letter in json.loads(word))


@dataclass
class _Frame:
    """An object or list that has begun and not ended yet."""

    place: Place
    is_object: bool
    key: str | int = 0
    awaits_key: bool = False
    keys: set[str] = field(default_factory=set)


def _locate(text: str) -> tuple[dict[Place, int], list[MapProblem]]:
    """Return the line of each value of a text that is known to be JSON, and repeated keys."""
    lines: dict[Place, int] = {}
    problems: list[MapProblem] = []
    stack: list[_Frame] = []
    line, seen = 1, 0
    for token in _TOKEN.finditer(text):
        line += text.count("\n", seen, token.start())
        seen = token.start()
        word, frame = token[0], stack[-1] if stack else None
        if _is_half_character(word):
            problems.append(MapProblem(line, "half a character (\\ud800 to \\udfff) is no text."))
        if word in "]}":
            stack.pop()
        elif word == "," and frame:
            frame.awaits_key = frame.is_object
            frame.key = frame.key if isinstance(frame.key, str) else frame.key + 1
        elif frame and frame.awaits_key:
            key = str(json.loads(word))
            if key in frame.keys:
                problems.append(MapProblem(line, f'the key "{key}" stands here twice; keep one.'))
            frame.key, frame.awaits_key = key, False
            frame.keys.add(key)
            lines[(*frame.place, key)] = line
        elif word != ":":
            place: Place = (*frame.place, frame.key) if frame else ()
            lines.setdefault(place, line)
            if word in "[{":
                is_object = word == "{"
                stack.append(_Frame(place, is_object, awaits_key=is_object))
    return lines, problems
