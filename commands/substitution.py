"""Values into templates, as the XNAT Container Service 3.7.3 resolves them.

What is certain comes from the service's command resolution: default, launch value and truth
values of an input; flag, separator and delimiters on the command line; raw values in every
other template; one JSONPath between ``^`` signs, looked up before keys are replaced.

What is uncertain or different:

- The service replaces keys one after another over the text as it then stands, in the order
  of a hash table; here it is the order of declaration. The results differ only where a value
  holds the key of another input, or one key is part of another.
- Of JSONPath only ``$``, ``.key``, ``['key']`` and ``[index]`` are known here; a filter, a
  wildcard or ``..`` raises ``TemplateError``.
- Wrapper inputs have no flag, and the service leaves their keys alone on the command line;
  a value reaches it only through a command input.
- A single value that came from an input with ``multiple`` is written without the quotes of
  ``quoted-space``: the service treats it as any single value.
- What a missing ``multiple-delimiter`` stands for is not the same in all versions of the
  service (``quoted-space`` or ``space``); here it is `DEFAULT_DELIMITER`. State it in documents.

Not here: where values come from (launch request, XNAT objects), which the server decides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from commands.errors import IllegalInputValueError, TemplateError
from commands.model import (
    DEFAULT_COMMAND_LINE_SEPARATOR,
    Command,
    CommandInput,
    CommandInputType,
    Delimiter,
    Wrapper,
)
from commands.service_json import command_to_json
from commands.validation import list_value

InputValue = str | Sequence[str] | None
"""A value for an input; a sequence stands for an input fed by one that is ``multiple``."""

FORBIDDEN_SEQUENCES = (";", "&&", "||", "`", "(")
DEFAULT_DELIMITER = Delimiter.QUOTED_SPACE

_JSONPATH = re.compile(r"\^(wrapper:)?(.+)\^")
_STEP = re.compile(r"\.(?P<key>[A-Za-z0-9_-]+)|\['(?P<quoted>[^']+)'\]|\[(?P<index>\d+)\]")
_NOT_BLANK_IN_JAVA = "\u0085\u00a0\u2007\u202f"
"""White space for Python that Java does not count as such."""


def check_value(name: str, value: str | None) -> None:
    """Refuse a value that the service refuses for any input.

    Raises
    ------
    IllegalInputValueError
        The value holds one of `FORBIDDEN_SEQUENCES`; the text names the input only.
    """
    for sequence in FORBIDDEN_SEQUENCES:
        if value is not None and sequence in value:
            raise IllegalInputValueError(
                name, f'it contains "{sequence}", which the Container Service refuses. Remove it.'
            )


def resolve_input(
    command: Command, each: CommandInput, value: str | None, wrapper: Wrapper | None = None
) -> str | None:
    """Return the value that the service resolves for one command input.

    Parameters
    ----------
    value : str or None
        From the launch or from a wrapper input; None stands for the default value.

    Raises
    ------
    IllegalInputValueError
        The value is refused, or holds a JSONPath that cannot be resolved.
    """
    resolved = each.default_value if value is None else value
    try:
        resolved = None if resolved is None else _with_jsonpath(resolved, command, wrapper)
    except TemplateError:
        raise IllegalInputValueError(
            each.name, "the text between its ^ signs is no path in the command. Remove a ^."
        ) from None
    if each.type is CommandInputType.BOOLEAN:
        word = each.true_value if (resolved or "").lower() == "true" else each.false_value
        resolved = resolved if word is None else word
    check_value(each.name, resolved)
    return resolved


def missing_required_inputs(command: Command, values: Mapping[str, InputValue]) -> tuple[str, ...]:
    """Return the names of required inputs for which there is neither value nor default."""
    return tuple(
        each.name
        for each in command.inputs
        if each.required and values.get(each.name) is None and each.default_value is None
    )


def command_line_text(each: CommandInput, value: InputValue) -> str:
    """Return what replaces an input's key on the command line.

    Parameters
    ----------
    value : str, sequence of str or None
        Resolved (see `resolve_input`). The text of a ``select-many`` input may be a JSON
        list.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        if is_blank(value):
            return ""
        listed = list_value(value) if each.type is CommandInputType.SELECT_MANY else None
        if listed is not None:
            return _several(each, listed)
        if is_blank(each.command_line_flag or ""):
            return value
        separator = each.command_line_separator
        return (
            f"{each.command_line_flag}"
            f"{DEFAULT_COMMAND_LINE_SEPARATOR if separator is None else separator}{value}"
        )
    return command_line_text(each, value[0]) if len(value) == 1 else _several(each, value)


def _several(each: CommandInput, values: Sequence[str]) -> str:
    if not values:
        return ""
    # A blank flag or separator counts as one space here, and only here.
    parts = [each.command_line_flag or "", each.command_line_separator or ""]
    prefix = "".join(" " if is_blank(part) else part for part in parts)
    prefix = "" if is_blank(prefix) else prefix
    delimiter = each.multiple_delimiter or DEFAULT_DELIMITER
    if delimiter is Delimiter.QUOTED_SPACE:
        return f"{prefix}'{' '.join(values)}'"
    if delimiter is Delimiter.FLAG:
        return " ".join(f"{prefix}{value}" for value in values)
    return prefix + ("," if delimiter is Delimiter.COMMA else " ").join(values)


def resolve_command_line(
    command: Command,
    values: Mapping[str, InputValue],
    *,
    wrapper: Wrapper | None = None,
    unresolved: Collection[str] = (),
) -> str:
    """Return the command line with all values in place.

    Parameters
    ----------
    values : Mapping
        By name of the command input; absent or None stands for the default value.
    wrapper : Wrapper, optional
        The wrapper that was launched; ``^wrapper:...^`` looks there.
    unresolved : Collection of str
        Command inputs fed by an optional wrapper input that found nothing: their keys are
        removed, and their defaults do not apply.

    Raises
    ------
    IllegalInputValueError
        A value is refused.
    TemplateError
        A JSONPath of the template finds nothing or is not supported.
    """
    texts = {}
    for each in command.inputs:
        if each.name in unresolved:
            texts[each.key] = ""
        else:
            found = _resolved(command, each, values.get(each.name), wrapper)
            texts[each.key] = command_line_text(each, found)
    return resolve_template(command.command_line or "", texts, command=command, wrapper=wrapper)


def template_values(
    command: Command,
    values: Mapping[str, InputValue],
    *,
    wrapper: Wrapper | None = None,
    wrapper_values: Mapping[str, InputValue] | None = None,
) -> dict[str, str]:
    """Return raw values by replacement key, for all templates but the command line.

    Parameters
    ----------
    values, wrapper_values : Mapping
        By name of the command input and of the wrapper input.

    Notes
    -----
    Several values appear as ``[a, b]``, the way Java writes a list.
    """
    raw = {}
    if wrapper is not None:
        for source in (*wrapper.external_inputs, *wrapper.derived_inputs):
            raw[source.key] = _raw((wrapper_values or {}).get(source.name))
    for each in command.inputs:
        raw[each.key] = _raw(_resolved(command, each, values.get(each.name), wrapper))
    return raw


def _resolved(
    command: Command, each: CommandInput, value: InputValue, wrapper: Wrapper | None
) -> InputValue:
    if value is None or isinstance(value, str):
        return resolve_input(command, each, value, wrapper)
    return [resolve_input(command, each, one, wrapper) or "" for one in value]


def _raw(value: InputValue) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    return value[0] if len(value) == 1 else f"[{', '.join(value)}]"


def resolve_template(
    template: str,
    texts: Mapping[str, str],
    *,
    command: Command,
    wrapper: Wrapper | None = None,
) -> str:
    """Return `template` with its JSONPath, then every key of `texts`, replaced in turn."""
    if is_blank(template):
        return template
    resolved = _with_jsonpath(template, command, wrapper)
    for key, text in texts.items():
        resolved = resolved.replace(key, text)
    return resolved


def _with_jsonpath(template: str, command: Command, wrapper: Wrapper | None) -> str:
    found = _JSONPATH.search(template)
    if found is None or is_blank(found[2]):
        return template
    document: Any = command_to_json(command, complete=True)
    if found[1]:
        if wrapper is None:
            raise TemplateError(f'"{found[0]}" looks into a wrapper, but none was launched.')
        position = command.wrappers.index(wrapper)
        document = document["xnat"][position]
    return template.replace(found[0], _look_up(document, found[2]))


def _look_up(document: Any, path: str) -> str:
    steps = path.removeprefix("$") if path.startswith("$") else f".{path}"
    at = 0
    while at < len(steps):
        step = _STEP.match(steps, at)
        if step is None:
            raise TemplateError(
                f"The JSONPath \"{path}\" is not supported: write $.key, $['key'] or $.list[0]."
            )
        key = int(step["index"]) if step["index"] else step["key"] or step["quoted"]
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            raise TemplateError(f'The JSONPath "{path}" finds nothing in the document.') from None
        at = step.end()
    if document is None or isinstance(document, dict | list):
        raise TemplateError(f'The JSONPath "{path}" does not lead to a text.')
    return document if isinstance(document, str) else json.dumps(document)


def split_command_line(line: str) -> list[str]:
    """Return the arguments that a command line without a shell stands for.

    White space separates; single quotes keep everything, double quotes everything but
    backslashes; a backslash outside single quotes keeps the next character, whatever it is.
    Nothing is expanded: ``$``, ``*``, ``~``, ``;``, ``>`` and ``|`` are ordinary characters.

    Notes
    -----
    So the Container Service makes the argument list of an image's own entry point. Two
    differences from ``/bin/sh``: between double quotes a backslash vanishes before any
    character, and a quote that is never closed reaches to the end.
    """
    words: list[str] = []
    word: str | None = None
    quote = ""
    characters = iter(line)
    for character in characters:
        if character == "\\" and quote != "'":
            word = (word or "") + next(characters, "")
        elif character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
            word = word or ""
        elif not quote and is_blank(character):
            if word is not None:
                words.append(word)
            word = None
        else:
            word = (word or "") + character
    return words if word is None else [*words, word]


def is_blank(text: str) -> bool:
    """Return whether `text` is empty or white space in the service's (Java's) sense."""
    return all(each.isspace() and each not in _NOT_BLANK_IN_JAVA for each in text)
