"""How the commands of this project are written, and which values they take.

The image's entry point gets an argument list, made from the command line by the quoting rules
of a shell. Every replacement key therefore stands in single quotes, where spaces, double
quotes, ``$`` and backslashes are ordinary; what would end the quotes is refused beforehand.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

from commands.arguments import LIST_SEPARATOR, typed_value
from commands.errors import CommandDefinitionError, IllegalInputValueError
from commands.model import (
    Command,
    CommandInput,
    CommandInputType,
    CommandOutput,
    Delimiter,
    DerivedInput,
    ExternalInput,
    Mount,
    OutputHandler,
    Wrapper,
    WrapperInputType,
)
from commands.substitution import check_value, is_blank
from commands.validation import list_value, validate
from commands.version import distribution_version

INPUT_MOUNT = Mount("input", "/input")
OUTPUT_MOUNT = Mount("output", "/output", writable=True)
REPORT_OUTPUT = CommandOutput(
    "report",
    OUTPUT_MOUNT.name,
    "What went in, what came out, and why.",
    required=True,
    path="report",
)
IMAGE_PREFIX = "winxnat/"

_REFUSED_CATEGORIES = {"Cc": "a control character", "Cs": "half of a surrogate pair"}
_JSONPATH = re.compile(r"\^.+\^", re.DOTALL)


def own_command(  # noqa: PLR0913 - one keyword for each part of a definition
    name: str,
    *,
    label: str,
    description: str,
    wrappers: tuple[Wrapper, ...],
    inputs: tuple[CommandInput, ...] = (),
    outputs: tuple[CommandOutput, ...] = (),
    file_mounts: tuple[Mount, ...] = (),
    reserve_memory: int,
    limit_memory: int,
) -> Command:
    """Return a command of this project, with all that its commands have in common.

    Parameters
    ----------
    inputs : tuple of CommandInput
        Without flags and truth values, which are made here from the names.
    outputs : tuple of CommandOutput
        Besides `REPORT_OUTPUT`, which every command has.
    file_mounts : tuple of Mount
        Read-only folders besides the input folder, each for the input of the same name: its
        value is the name of a file there, and the program gets the whole path.
    reserve_memory, limit_memory : int
        Megabytes.

    Raises
    ------
    CommandDefinitionError
        The definition breaks a rule of the Container Service or of this module.
    """
    folders = {mount.name: mount.path for mount in file_mounts}
    own_inputs = tuple(_with_option(each, folders.get(each.name)) for each in inputs)
    keys = "".join(f" '{each.key}'" for each in own_inputs)
    version = distribution_version()
    command = Command(
        name=name,
        image=f"{IMAGE_PREFIX}{name}:{version}",
        label=label,
        description=description,
        version=version,
        schema_version="1.0",
        command_line=f"{name} {INPUT_MOUNT.path} {OUTPUT_MOUNT.path}{keys}",
        mounts=(INPUT_MOUNT, OUTPUT_MOUNT, *file_mounts),
        inputs=own_inputs,
        outputs=(*outputs, REPORT_OUTPUT),
        wrappers=wrappers,
        reserve_memory=reserve_memory,
        limit_memory=limit_memory,
        network="none",
    )
    errors = [*validate(command), *_own_errors(inputs), *_file_errors(inputs, file_mounts)]
    if errors:
        raise CommandDefinitionError(errors)
    return command


def resource_handler(
    output: str, of: str, label: str, file_format: str, content: str
) -> OutputHandler:
    """Return the handler ``{output}-resource``, which keeps an output as a resource.

    Parameters
    ----------
    output : str
        Name of the command's output.
    of : str
        Name of the wrapper's input whose object gets the resource.
    label : str
        Of the resource. Its files are added to those of an earlier run; of equal names the
        new ones stay.
    file_format, content : str
        What XNAT shows of the resource.
    """
    return OutputHandler(
        name=f"{output}-resource",
        accepts_command_output=output,
        as_a_child_of=of,
        label=label,
        format=file_format,
        content=content,
    )


def report_handler(of: str, label: str) -> OutputHandler:
    """Return the handler that keeps `REPORT_OUTPUT` as the resource of that label."""
    return resource_handler(REPORT_OUTPUT.name, of, label, "JSON", "REPORT")


def bids_session_wrapper(
    command: str,
    *,
    label: str,
    description: str,
    handlers: tuple[OutputHandler, ...],
    contexts: tuple[str, ...] = ("xnat:imageSessionData",),
) -> Wrapper:
    """Return the wrapper ``{command}-session``: the BIDS resource of a session to measure.

    Parameters
    ----------
    handlers : tuple of OutputHandler
        Of what the command makes, as children of ``session``.
    contexts : tuple of str
        Data types. The service lets wrappers follow one another only if they name one in common,
        and there a type does not stand for those below it.
    """
    return Wrapper(
        name=f"{command}-session",
        label=label,
        description=description,
        contexts=contexts,
        external_inputs=(
            ExternalInput(
                name="session",
                type=WrapperInputType.SESSION,
                label="Session",
                description="The session to measure; it must have a BIDS resource.",
            ),
        ),
        derived_inputs=(
            DerivedInput(
                name="bids",
                type=WrapperInputType.RESOURCE,
                description="The session's BIDS resource.",
                user_settable=False,
                matcher="@.label == 'BIDS'",
                derived_from_wrapper_input="session",
                provides_files_for_command_mount=INPUT_MOUNT.name,
            ),
        ),
        output_handlers=handlers,
    )


def _with_option(each: CommandInput, folder: str | None) -> CommandInput:
    if each.type is CommandInputType.BOOLEAN:
        return replace(each, true_value=f"--{each.name}", false_value=f"--no-{each.name}")
    several = each.type is CommandInputType.SELECT_MANY
    return replace(
        each,
        command_line_flag=f"--{each.name}",
        command_line_separator="=" if folder is None else f"={folder}/",
        multiple_delimiter=Delimiter.COMMA if several else None,
    )


def _own_errors(inputs: tuple[CommandInput, ...]) -> list[str]:
    errors = []
    for each in inputs:
        if each != CommandInput(
            name=each.name,
            label=each.label,
            description=each.description,
            type=each.type,
            required=each.required,
            default_value=each.default_value,
            sensitive=each.sensitive,
            select_values=each.select_values,
        ):
            errors.append(f'input "{each.name}" sets what is made from its name.')
        if each.name.startswith(("no-", "-")) or each.name == "help":
            errors.append(f'input "{each.name}" has a name that clashes with an option.')
        if each.type is CommandInputType.BOOLEAN and each.default_value is None:
            errors.append(f'input "{each.name}" is boolean and needs a default value.')
        if any(LIST_SEPARATOR in choice or "'" in choice for choice in each.select_values):
            errors.append(f'input "{each.name}" has a select-value with a comma or quote.')
    return errors


def _file_errors(inputs: tuple[CommandInput, ...], mounts: tuple[Mount, ...]) -> list[str]:
    texts = {each.name for each in inputs if each.type is CommandInputType.STRING}
    return [
        f'mount "{mount.name}" is for a file and needs a text input of this name; it must not be '
        "writable."
        for mount in mounts
        if mount.name not in texts or mount.writable
    ]


def file_mount(command: Command, name: str) -> Mount | None:
    """Return the folder of a command's input that names a file; None if it names none."""
    others = (INPUT_MOUNT.name, OUTPUT_MOUNT.name)
    found = (mount for mount in command.mounts if mount.name == name)
    return None if name in others else next(found, None)


def check_own_value(command: Command, name: str, value: str) -> None:
    """Refuse a launch value that would not reach a command of this project unchanged.

    Parameters
    ----------
    name : str
        Of a command input.
    value : str
        As a launch request carries it; empty text stands for the default value.

    Raises
    ------
    IllegalInputValueError
        The value is not of the input's type; or holds a single quote, a control character, a
        replacement key of the command, text between two ``^``, or what the service refuses;
        or consists of white space, which the service drops.
    """
    each = next((each for each in command.inputs if each.name == name), None)
    if each is None:
        known = ", ".join(each.name for each in command.inputs)
        raise IllegalInputValueError(
            name, f"{command.name} has no such input. Its inputs: {known}."
        )
    if not value:
        return
    reason = _reason_against(command, value)
    if reason:
        raise IllegalInputValueError(name, reason)
    check_value(name, value)
    listed = list_value(value) if each.type is CommandInputType.SELECT_MANY else None
    try:
        typed_value(each, value if listed is None else LIST_SEPARATOR.join(listed))
    except ValueError as error:
        raise IllegalInputValueError(name, f"{error}.") from None


def _reason_against(command: Command, value: str) -> str | None:
    if is_blank(value):
        return "it consists of white space only. Leave it empty."
    for character in value:
        refused = _REFUSED_CATEGORIES.get(unicodedata.category(character))
        if refused:
            return f"it contains {refused} (U+{ord(character):04X}). Remove it."
    if "'" in value:
        return "it contains a single quote, which would end it. Remove it."
    for each in command.inputs:
        if each.key in value:
            return f'it contains "{each.key}", which stands for another value. Remove it.'
    if _JSONPATH.search(value):
        return "it contains text between two ^ signs, which would be looked up. Remove a ^."
    return None
