"""Argument lists of the commands of this project: values to arguments and back.

The parser of the program in the image, and the list a local run starts it with, are made from
the definition. Not here: how the Container Service makes a command line (``substitution``).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from commands.errors import ArgumentsError
from commands.model import Command, CommandInput, CommandInputType

ParameterValue = str | bool | float | tuple[str, ...] | None

PROGRAM = "winxnat-step"
"""Entry point of every image; the name of the command is its first argument."""

LIST_SEPARATOR = ","

_KEPT = "\0"
"""Stands before a value that argparse would drop; no argument of a program can hold it."""


@dataclass(frozen=True, slots=True)
class ParsedArguments:
    """What one call of a command says.

    ``values`` holds one value for each input, by name: what was given, else the default, else
    None.
    """

    input_dir: Path
    output_dir: Path
    values: Mapping[str, ParameterValue]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        # argparse would print the message and leave the program.
        raise ArgumentsError(f"Cannot start {self.prog}: {message}. See {self.prog} --help.")


def typed_value(each: CommandInput, text: str) -> ParameterValue:
    """Return the value that a text stands for.

    Returns
    -------
    str, bool, float or tuple of str
        By the input's type; a number without fraction is an int, ``select-many`` a tuple.

    Raises
    ------
    ValueError
        The text is no such value; the message does not repeat it.
    """
    if each.type is CommandInputType.BOOLEAN:
        if text.lower() not in {"true", "false"}:
            raise ValueError("expected true or false")
        return text.lower() == "true"
    if each.type is CommandInputType.NUMBER:
        return _number(text)
    if each.type is CommandInputType.SELECT_ONE:
        _check_choices(each, (text,))
    if each.type is CommandInputType.SELECT_MANY:
        several = tuple(text.split(LIST_SEPARATOR))
        _check_choices(each, several)
        return several
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("expected a number") from None
    if not math.isfinite(value):
        raise ValueError("expected a finite number")
    try:
        return int(text)
    except ValueError:
        return value


def _check_choices(each: CommandInput, texts: Sequence[str]) -> None:
    if not set(texts) <= set(each.select_values):
        raise ValueError(f"expected one of: {', '.join(each.select_values)}")


def parser_for(command: Command) -> argparse.ArgumentParser:
    """Return the parser of the program in the image.

    It takes the two folders and one option ``--<name>`` for each input; a boolean input has
    ``--<name>`` and ``--no-<name>``. For its help text; `parse` uses it with care for what
    argparse would print.
    """
    parser = _Parser(
        prog=f"{PROGRAM} {command.name}",
        description=command.description or command.label,
        allow_abbrev=False,
    )
    parser.add_argument("input_dir", type=Path, help="folder to read; nothing is written there")
    parser.add_argument(
        "output_dir",
        type=Path,
        help="folder to write; empty, absent, or with an earlier result to replace",
    )
    for each in command.inputs:
        # argparse fills in % forms in help texts.
        description = (each.description or each.label or "").replace("%", "%%")
        if each.type is CommandInputType.BOOLEAN:
            action = argparse.BooleanOptionalAction
            parser.add_argument(f"--{each.name}", dest=each.name, action=action, help=description)
        else:
            parser.add_argument(
                f"--{each.name}",
                dest=each.name,
                type=_converter(each),
                metavar=each.type.value.upper(),
                help=description,
            )
    return parser


def _converter(each: CommandInput) -> Callable[[str], ParameterValue]:
    def convert(text: str) -> ParameterValue:
        try:
            return typed_value(each, text.removeprefix(_KEPT)) if text else None
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def parse(command: Command, argv: Sequence[str]) -> ParsedArguments:
    """Return what an argument list says.

    Parameters
    ----------
    argv : sequence of str
        The arguments of the image's entry point. The name of the command may stand first, as
        in its command line. Empty arguments are skipped: an optional input without a value
        leaves one in the resolved command line. ``--<name>=true`` is read as ``--<name>``.

    Raises
    ------
    ArgumentsError
        The list does not fit the command; the message holds no value.
    """
    words = [word for word in argv if word]
    folders = sum(not word.startswith("-") for word in words)
    if words[:1] == [command.name] and folders > len(("input_dir", "output_dir")):
        del words[0]
    parser = parser_for(command)
    booleans = [each for each in command.inputs if each.type is CommandInputType.BOOLEAN]
    for each in booleans:
        words = [_flag_form(parser, each, word) for word in words]
    found, rest = parser.parse_known_args([_kept(word) for word in words if word])
    if rest:
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        parser.error(
            f"{len(rest)} arguments are not understood ({', '.join(options)})"
            if options
            else f"{len(rest)} arguments too many"
        )
    values = {each.name: _given(each, getattr(found, each.name)) for each in command.inputs}
    missing = [each.name for each in command.inputs if each.required and values[each.name] is None]
    if missing:
        parser.error(f"no value for {', '.join(f'--{name}' for name in missing)}")
    return ParsedArguments(found.input_dir, found.output_dir, MappingProxyType(values))


def _kept(word: str) -> str:
    # argparse of Python 3.11 removes "--" even where it is the value of an option.
    option, equals, value = word.partition("=")
    dropped = equals and value == "--"
    return f"{option}={_KEPT}{value}" if dropped else word


def _flag_form(parser: argparse.ArgumentParser, each: CommandInput, word: str) -> str:
    # argparse takes no --name=true here, and would repeat the value in its error.
    option, equals, text = word.partition("=")
    if not equals or option not in {f"--{each.name}", f"--no-{each.name}"}:
        return word
    if option != f"--{each.name}" or text.lower() not in {"true", "false", ""}:
        parser.error(f"argument --{each.name}: expected --{each.name} or --no-{each.name}")
    return _option(each.name, text.lower() == "true") if text else ""


def _given(each: CommandInput, found: ParameterValue) -> ParameterValue:
    if found is None and each.default_value:
        return typed_value(each, each.default_value)
    return found


def argv_for(
    command: Command,
    input_dir: str | PathLike[str],
    output_dir: str | PathLike[str],
    values: Mapping[str, ParameterValue],
) -> list[str]:
    """Return the arguments of the image's entry point; `parse` gives the values back.

    Parameters
    ----------
    values : Mapping
        By input name; None and absent names leave the default value.

    Raises
    ------
    ArgumentsError
        A name is no input of the command, or a text holds the character U+0000, which no
        argument of a program can hold.
    """
    known = {each.name for each in command.inputs}
    if not values.keys() <= known:
        raise ArgumentsError(
            f"Cannot start {command.name}: it has no input "
            f"{', '.join(sorted(values.keys() - known))}. Its inputs: {', '.join(sorted(known))}."
        )
    for name, value in values.items():
        if "\0" in value_text(value):
            raise ArgumentsError(
                f"Cannot start {command.name}: the value of input {name} contains a control "
                "character (U+0000). Remove it."
            )
    options = [
        _option(each.name, value)
        for each in command.inputs
        if (value := values.get(each.name)) is not None
    ]
    return [command.name, fspath(input_dir), fspath(output_dir), *options]


def _option(name: str, value: ParameterValue) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name}={value_text(value)}"


def value_text(value: ParameterValue) -> str:
    """Return the text of a typed value, as launch requests and argument lists carry it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return LIST_SEPARATOR.join(value)
    if value is None:
        return ""
    return value if isinstance(value, str) else repr(value)
