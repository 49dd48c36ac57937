"""YAML as plain texts, lists and dictionaries, with the line of each part.

Every scalar is text: nothing is guessed to be a number, a date or a boolean. Aliases and repeated
keys are refused. Mistakes are told in words, each with its line. Not here: what the parts of a site
file or a seed mean (``deploy.site``, ``seed_document``).
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel
from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]
Problem = tuple[Place, str]

MAX_BYTES = 4 * 1024 * 1024
_MOST_SHOWN = 20


class Lines:
    """A YAML file and where each of its parts stands.

    Parameters
    ----------
    path : Path
        The file.
    what : str
        The word for messages, such as ``seed``.
    error : type
        The error to raise when it cannot be read or is no YAML; takes the message.
    """

    def __init__(self, path: Path, what: str, error: type[Exception]) -> None:
        self._path = path
        self._what = what
        self._error = error
        self._lines: dict[Place, int] = {}
        self.data = self._plain(self._compose(), ())

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a part, or of the nearest part around it."""
        return f"{self._path}:{self._line(place)}"

    def refusal(self, problems: list[Problem]) -> Exception:
        """Return the error that names each problem with its line, in the order of the file."""
        ordered = sorted(problems, key=lambda each: self._line(each[0]))
        shown = [
            f"{self.where(place)}: {spelled(place)}{sentence}"
            for place, sentence in ordered[:_MOST_SHOWN]
        ]
        more = len(problems) - len(shown)
        rest = [f"... and {more} more."] if more else []
        return self._error("\n".join([f"The {self._what} was not used:", *shown, *rest]))

    def _line(self, place: Place) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _compose(self) -> yaml.Node:
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise self._error(
                f"Cannot read the {self._what} {self._path}: {error.strerror}."
            ) from error
        if len(content) > MAX_BYTES:
            raise self._error(f"The {self._what} {self._path} is larger than {MAX_BYTES} bytes.")
        try:
            node = yaml.compose(content, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise self._error(f"{self._path}:{line}: this is no YAML: {error.problem}.") from None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise self._error(f"{self._path} is no YAML text.") from error
        if node is None:
            raise self._error(f"The {self._what} {self._path} is empty.")
        return node

    def _plain(self, node: yaml.Node, place: Place) -> Any:
        """Return texts, lists and dictionaries, and note the line of each."""
        self._lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(each, (*place, n)) for n, each in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return node.value
        members: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            self._lines[*place, key] = key_node.start_mark.line + 1
            if key in members:
                raise self.refusal([((*place, key), "this key is there twice")])
            members[key] = self._plain(value_node, (*place, key))
        return members


def spelled(place: Place) -> str:
    """Return a place as ``projects[0].title``, followed by a colon; nothing for the whole."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return f"{text.removeprefix('.')}: " if text else ""


def place_of(error: ErrorDetails) -> Place:
    """Return where a mistake that pydantic found stands."""
    return tuple(part for part in error["loc"] if part != "[key]")


def sentence_of(error: ErrorDetails, root: type[BaseModel], what: str) -> str:
    """Return a mistake that pydantic found in words; for unknown keys with the nearest one.

    Parameters
    ----------
    root : type of BaseModel
        What the whole file is.
    what : str
        The word for the file, as in ``Lines``.
    """
    kind, context = error["type"], error.get("ctx", {})
    if kind == "extra_forbidden":
        known, name = _keys_at(place_of(error), root), str(error["loc"][-1])
        close = get_close_matches(name, known, 1)
        meant = f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(known)}"
        return f"a {what} has no such key here{meant}"
    fixed = {
        "missing": "this key is needed",
        "string_too_short": "this must not be empty",
        "literal_error": f"this must be {context.get('expected')}",
        "string_pattern_mismatch": f"this must match {context.get('pattern')}",
    }
    if kind in fixed:
        return fixed[kind]
    if kind in {"list_type", "dict_type", "model_type", "string_type"}:
        shape = {"list_type": "a list", "string_type": "a text"}.get(kind, "keys with values")
        return f"this must be {shape}"
    return error["msg"].removeprefix("Value error, ")


def _keys_at(place: Place, root: type[BaseModel]) -> list[str]:
    """Return the keys that are known where this one is not."""
    model = root
    for part in place[:-1]:
        if isinstance(part, str) and part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for each in get_args(annotation) if (found := _model_in(each))), None)


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a part that means many cannot be told by its line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # not in the stubs
            raise yaml.composer.ComposerError(None, None, "aliases are not taken", mark)
        return super().compose_node(parent, index)
