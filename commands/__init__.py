"""WHAT can be run: the definition of every command, as data.

Belongs here: command definitions, their Container Service JSON, value substitution and
argument parsing. Does not belong here: anything that opens a socket, reads data or imports
outside the standard library.
"""

from __future__ import annotations

from commands.arguments import (
    ParameterValue,
    ParsedArguments,
    argv_for,
    parse,
    parser_for,
    typed_value,
    value_text,
)
from commands.authoring import check_own_value, own_command
from commands.catalog import CATALOG, find
from commands.errors import (
    ArgumentsError,
    CommandDefinitionError,
    CommandError,
    IllegalInputValueError,
    TemplateError,
    UnknownCommandError,
)
from commands.model import (
    Command,
    CommandInput,
    CommandInputType,
    CommandOutput,
    CommandType,
    Delimiter,
    DerivedInput,
    ExternalInput,
    HandlerType,
    Mount,
    OutputHandler,
    Secret,
    Visibility,
    Wrapper,
    WrapperInput,
    WrapperInputType,
)
from commands.service_json import (
    IMAGE_LABEL,
    command_from_json,
    command_from_text,
    command_to_json,
    label_text,
    unknown_keys,
)
from commands.substitution import (
    InputValue,
    check_value,
    missing_required_inputs,
    resolve_command_line,
    resolve_template,
    split_command_line,
    template_values,
)
from commands.validation import validate
from commands.version import distribution_version

__all__ = [
    "CATALOG",
    "IMAGE_LABEL",
    "ArgumentsError",
    "Command",
    "CommandDefinitionError",
    "CommandError",
    "CommandInput",
    "CommandInputType",
    "CommandOutput",
    "CommandType",
    "Delimiter",
    "DerivedInput",
    "ExternalInput",
    "HandlerType",
    "IllegalInputValueError",
    "InputValue",
    "Mount",
    "OutputHandler",
    "ParameterValue",
    "ParsedArguments",
    "Secret",
    "TemplateError",
    "UnknownCommandError",
    "Visibility",
    "Wrapper",
    "WrapperInput",
    "WrapperInputType",
    "argv_for",
    "check_own_value",
    "check_value",
    "command_from_json",
    "command_from_text",
    "command_to_json",
    "distribution_version",
    "find",
    "label_text",
    "missing_required_inputs",
    "own_command",
    "parse",
    "parser_for",
    "resolve_command_line",
    "resolve_template",
    "split_command_line",
    "template_values",
    "typed_value",
    "unknown_keys",
    "validate",
    "value_text",
]
