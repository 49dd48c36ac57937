"""The rules that the XNAT Container Service keeps for the wrappers of a command."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from commands.model import (
    Command,
    CommandInputType,
    DerivedInput,
    HandlerType,
    OutputHandler,
    Wrapper,
    WrapperInput,
    WrapperInputType,
)
from commands.naming import name_errors

_T = WrapperInputType
_OBJECTS = frozenset(
    {
        *(_T.PROJECT, _T.PROJECT_ASSET, _T.SUBJECT, _T.SUBJECT_ASSESSOR, _T.SESSION, _T.SCAN),
        *(_T.ASSESSOR, _T.RESOURCE, _T.FILE),
    }
)
_DERIVATIONS: Mapping[WrapperInputType, frozenset[WrapperInputType]] = {
    _T.PROJECT: frozenset(
        {_T.PROJECT_ASSET, _T.SUBJECT, _T.SUBJECT_ASSESSOR, _T.SESSION, _T.SCAN, _T.ASSESSOR}
    ),
    _T.PROJECT_ASSET: frozenset({_T.PROJECT}),
    _T.SUBJECT: frozenset({_T.PROJECT, _T.SUBJECT_ASSESSOR, _T.SESSION}),
    _T.SUBJECT_ASSESSOR: frozenset({_T.SUBJECT}),
    _T.SESSION: frozenset({_T.SUBJECT, _T.SCAN, _T.ASSESSOR}),
    _T.SCAN: frozenset({_T.SESSION, _T.RESOURCE}),
    _T.ASSESSOR: frozenset({_T.SESSION}),
    _T.RESOURCE: _OBJECTS - {_T.RESOURCE, _T.FILE},
    _T.FILE: frozenset({_T.RESOURCE}),
    _T.FILES: frozenset({_T.RESOURCE}),
    _T.DIRECTORY: frozenset({_T.RESOURCE}),
    _T.STRING: _OBJECTS,
}
"""What an input of each type can be derived from.

A type that is absent resolves to nothing in the service (truth values, numbers, ``Config``):
such an input is accepted, and only a required one fails, at launch.

References: XNAT Container Service 3.7.3, resolution of derived wrapper inputs.
"""

URI_PROPERTY = "uri"


def wrapper_errors(command: Command, wrapper: Wrapper) -> Iterator[str]:
    """Return a sentence for every rule that one wrapper of a command breaks."""
    if not wrapper.name.strip():
        yield "a wrapper has no name."
    inputs: tuple[WrapperInput, ...] = (*wrapper.external_inputs, *wrapper.derived_inputs)
    rules = [
        name_errors("wrapper input", [each.name for each in inputs]),
        _feeding_errors(command, inputs),
        _derivation_errors(wrapper),
        name_errors("output handler", [each.name for each in wrapper.output_handlers]),
        _handler_errors(command, wrapper, {each.name: each for each in inputs}),
        _unhandled_errors(command, wrapper),
    ]
    for rule in rules:
        for error in rule:
            yield f'wrapper "{wrapper.name}" - {error}'


def _feeding_errors(command: Command, inputs: Iterable[WrapperInput]) -> Iterator[str]:
    targets = {each.name: each for each in command.inputs}
    mounts = {each.name for each in command.mounts}
    fed: Counter[tuple[str, str]] = Counter()
    for each in inputs:
        target = each.provides_value_for_command_input
        mount = each.provides_files_for_command_mount
        if target:
            fed["input", target] += 1
            if target not in targets:
                yield f'input "{each.name}" provides a value for the unknown input "{target}".'
            elif targets[target].type in (
                CommandInputType.SELECT_ONE,
                CommandInputType.SELECT_MANY,
            ):
                yield (
                    f'input "{each.name}" provides a value for input "{target}", which must not '
                    "be of a select type then."
                )
        if mount:
            fed["mount", mount] += 1
            if mount not in mounts:
                yield f'input "{each.name}" provides files for the unknown mount "{mount}".'
        if each.via_setup_command and not mount:
            yield (
                f'input "{each.name}" names a via-setup-command but provides no files for a '
                "command mount."
            )
    for (what, name), count in fed.items():
        if count > 1:
            yield f'the {what} "{name}" is provided for by {count} wrapper inputs; one is allowed.'


def _derivation_errors(wrapper: Wrapper) -> Iterator[str]:
    earlier: dict[str, WrapperInput] = {each.name: each for each in wrapper.external_inputs}
    all_names = {*earlier, *(each.name for each in wrapper.derived_inputs)}
    for each in wrapper.derived_inputs:
        parent = each.derived_from_wrapper_input
        if not parent.strip():
            yield f'derived input "{each.name}" names no derived-from-wrapper-input.'
        elif parent == each.name:
            yield f'derived input "{each.name}" is derived from itself.'
        elif parent not in all_names:
            yield (
                f'derived input "{each.name}" is derived from the unknown input "{parent}". '
                f"Known inputs: {', '.join(earlier) or 'none'}."
            )
        elif parent not in earlier:
            yield (
                f'derived input "{each.name}" is derived from "{parent}", '
                "which must stand before it."
            )
        else:
            yield from _type_errors(each, earlier[parent])
        yield from _multiple_errors(each)
        earlier.setdefault(each.name, each)


def _type_errors(each: DerivedInput, parent: WrapperInput) -> Iterator[str]:
    allowed = _DERIVATIONS.get(each.type)
    if allowed is not None and parent.type not in allowed:
        yield (
            f'derived input "{each.name}" of type {each.type.value} cannot be derived from '
            f'"{parent.name}" of type {parent.type.value}. '
            f"Possible types: {', '.join(sorted(kind.value for kind in allowed))}."
        )


def _multiple_errors(each: DerivedInput) -> Iterator[str]:
    if each.multiple and each.provides_files_for_command_mount:
        yield f'derived input "{each.name}" is multiple, so it cannot provide files for a mount.'
    if each.multiple and not each.provides_value_for_command_input:
        yield (
            f'derived input "{each.name}" is multiple, so it must provide a value for a '
            "command input."
        )


def _handler_errors(
    command: Command, wrapper: Wrapper, inputs: Mapping[str, WrapperInput]
) -> Iterator[str]:
    outputs = [each.name for each in command.outputs]
    earlier: dict[str, OutputHandler] = {}
    for each in wrapper.output_handlers:
        if each.accepts_command_output not in outputs:
            yield (
                f'output handler "{each.name}" accepts the unknown command output '
                f'"{each.accepts_command_output}". Known outputs: {", ".join(outputs) or "none"}.'
            )
        if each.as_a_child_of in inputs:
            yield from _target_errors(each, inputs[each.as_a_child_of])
        elif each.as_a_child_of in earlier:
            yield from _nesting_errors(each, earlier[each.as_a_child_of])
        else:
            yield (
                f'output handler "{each.name}" is a child of "{each.as_a_child_of}", which is '
                "neither a wrapper input nor an earlier output handler."
            )
        if each.type is HandlerType.RESOURCE and not (each.label or "").strip():
            yield f'output handler "{each.name}" makes a Resource and needs a label.'
        earlier.setdefault(each.name, each)


def _target_errors(each: OutputHandler, target: WrapperInput) -> Iterator[str]:
    if not isinstance(target, DerivedInput):
        return
    if target.multiple:
        yield f'output handler "{each.name}" is a child of "{target.name}", which is multiple.'
    value = target.derived_from_xnat_object_property
    if value is not None and value != URI_PROPERTY:
        yield (
            f'output handler "{each.name}" is a child of "{target.name}", whose value is '
            f'"{value}"; an upload needs a "{URI_PROPERTY}".'
        )


def _nesting_errors(each: OutputHandler, target: OutputHandler) -> Iterator[str]:
    if each.type is not HandlerType.RESOURCE or target.type is HandlerType.RESOURCE:
        yield (
            f'output handler "{each.name}" of type {each.type.value} cannot be a child of output '
            f'handler "{target.name}" of type {target.type.value}; only a Resource under an '
            "Assessor or Scan can."
        )


def _unhandled_errors(command: Command, wrapper: Wrapper) -> Iterator[str]:
    handled = {each.accepts_command_output for each in wrapper.output_handlers}
    for output in command.outputs:
        if output.name not in handled:
            yield f'command output "{output.name}" is handled by no output handler.'
