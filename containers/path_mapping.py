"""Paths of a container rewritten to paths of the host, for programs that run without one.

Pure text work. Only whole paths at the start of a word are rewritten, so that ``/input`` leaves
``/data/input`` and ``/inputs`` alone. Not here: which folders are mounted, or running anything.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

_ARGUMENT_STARTS = "="
_ENVIRONMENT_STARTS = "=:"
_SHELL_STARTS = " \t\n=:,;|&()<>{}`'\""
_SHELL_ENDS = _SHELL_STARTS + "/"


class PathMapping:
    """Container paths and the host paths that stand for them.

    Parameters
    ----------
    paths : Mapping[str, Path]
        Absolute container path to host path. Where several fit, the longest wins, as it does
        with mounts inside mounts.

    Raises
    ------
    ValueError
        A container path is not absolute, or is the root itself.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        trimmed = {inside.rstrip("/"): str(outside) for inside, outside in paths.items()}
        for inside in trimmed:
            if not inside.startswith("/"):
                raise ValueError(inside)
        self._paths = sorted(trimmed.items(), key=lambda pair: (-len(pair[0]), pair[0]))

    def host_path(self, container_path: str) -> Path | None:
        """Return the host's path of a file or folder; None where it lies in no mapping."""
        for inside, outside in self._paths:
            if container_path == inside or container_path.startswith(inside + "/"):
                return Path(outside + container_path[len(inside) :])
        return None

    def argument(self, text: str) -> str:
        """Rewrite one argument: at its start and after ``=``."""
        return self._rewrite_plain(text, _ARGUMENT_STARTS, "/")

    def environment_value(self, text: str) -> str:
        """Rewrite the value of an environment variable; ``:`` separates search paths."""
        return self._rewrite_plain(text, _ENVIRONMENT_STARTS, "/:")

    def shell_line(self, line: str) -> str:
        """Rewrite a line for ``/bin/sh -c``.

        Host paths are quoted for the place where they land, so that one with a space or a
        quote stays one word. Here-documents are read as if they were part of the line.
        """
        parts: list[str] = []
        quote = ""
        position = 0
        while position < len(line):
            inside, outside = self._match(line, position, _SHELL_STARTS, _SHELL_ENDS)
            if inside:
                parts.append(_quoted(outside, quote))
                position += len(inside)
                continue
            character = line[position]
            if character == "\\" and quote != "'":
                parts.append(line[position : position + 2])
                position += 2
                continue
            if character in "'\"" and quote in ("", character):
                quote = "" if quote else character
            parts.append(character)
            position += 1
        return "".join(parts)

    def _rewrite_plain(self, text: str, starts: str, ends: str) -> str:
        parts: list[str] = []
        position = 0
        while position < len(text):
            inside, outside = self._match(text, position, starts, ends)
            parts.append(outside or text[position])
            position += len(inside) or 1
        return "".join(parts)

    def _match(self, text: str, position: int, starts: str, ends: str) -> tuple[str, str]:
        if position > 0 and text[position - 1] not in starts:
            return "", ""
        for inside, outside in self._paths:
            after = position + len(inside)
            if text.startswith(inside, position) and text[after : after + 1] in ("", *ends):
                return inside, outside
        return "", ""


def _quoted(path: str, quote: str) -> str:
    """Return the path as it must be written within the given quote of a shell line."""
    if quote == "'":
        return path.replace("'", "'\\''")
    if quote == '"':
        return "".join(f"\\{each}" if each in '\\"$`' else each for each in path)
    return shlex.quote(path)
