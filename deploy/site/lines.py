"""YAML as plain texts, lists and dictionaries, with the line of each part.

Every scalar is text: nothing is guessed to be a number, a date or a boolean. Aliases and repeated
keys are refused. Not here: what the parts mean (``document``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from deploy.site.errors import SiteFileError

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

    Raises
    ------
    SiteFileError
        It cannot be read or is no YAML.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[Place, int] = {}
        self.data = self._plain(self._compose(), ())

    def where(self, place: Place) -> str:
        """Return ``file:line`` of a part, or of the nearest part around it."""
        return f"{self._path}:{self._line(place)}"

    def refusal(self, problems: list[Problem]) -> SiteFileError:
        """Return the error that names each problem with its line, in the order of the file."""
        ordered = sorted(problems, key=lambda each: self._line(each[0]))
        shown = [
            f"{self.where(place)}: {spelled(place)}{sentence}"
            for place, sentence in ordered[:_MOST_SHOWN]
        ]
        more = len(problems) - len(shown)
        rest = [f"... and {more} more."] if more else []
        return SiteFileError("\n".join(["The site file was not used:", *shown, *rest]))

    def _line(self, place: Place) -> int:
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines.get(place, 1)

    def _compose(self) -> yaml.Node:
        try:
            with self._path.open("rb") as file:
                content = file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SiteFileError(
                f"Cannot read the site file {self._path}: {error.strerror}."
            ) from error
        if len(content) > MAX_BYTES:
            raise SiteFileError(f"The site file {self._path} is larger than {MAX_BYTES} bytes.")
        try:
            node = yaml.compose(content, Loader=_Loader)
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise SiteFileError(f"{self._path}:{line}: this is no YAML: {error.problem}.") from None
        except (yaml.YAMLError, RecursionError, ValueError) as error:
            raise SiteFileError(f"{self._path} is no YAML text.") from error
        if node is None:
            raise SiteFileError(f"The site file {self._path} is empty.")
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


class _Loader(yaml.SafeLoader):
    """YAML without aliases: a part that means many cannot be told by its line."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # not in the stubs
            raise yaml.composer.ComposerError(None, None, "aliases are not taken", mark)
        return super().compose_node(parent, index)
