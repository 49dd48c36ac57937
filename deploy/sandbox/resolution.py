"""From a launch request to values: external, derived and command inputs of one wrapper.

Follows the Container Service's command resolution. Not here: the text of values in templates
(``commands.substitution``), mounts (``staging``) and the objects themselves (``object_tree``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from commands.errors import CommandError
from commands.model import Command, DerivedInput, ExternalInput, Wrapper, WrapperInput
from commands.model import WrapperInputType as Type
from commands.substitution import (
    InputValue,
    check_value,
    missing_required_inputs,
    resolve_template,
)
from deploy.sandbox import matchers
from deploy.sandbox.expressions import Expression, ExpressionError
from deploy.sandbox.object_items import Item
from deploy.sandbox.object_tree import CHILD_LISTS, ObjectTree, UnknownItemError

OBJECT_TYPES = frozenset(
    {
        Type.PROJECT, Type.PROJECT_ASSET, Type.SUBJECT, Type.SUBJECT_ASSESSOR, Type.SESSION,
        Type.SCAN, Type.ASSESSOR, Type.RESOURCE, Type.FILE,
    }
)  # fmt: skip
"""Types of inputs whose values are XNAT objects."""

_UNSUPPORTED = frozenset({Type.BOOLEAN, Type.NUMBER, Type.CONFIG})
_NAMES = ("uri", "id", "label", "name")
_SHELL_CODE = re.compile(r"""[\x00-\x1f\x7f"'\\$&|<>#]""")


class ResolutionError(Exception):
    """A launch cannot be resolved; the message is for the person who launched."""


@dataclass(frozen=True)
class Resolved:
    """One wrapper input with what it resolved to.

    ``values`` are the texts (a URI, or a property) and ``items`` the objects behind them; both
    are empty where nothing was found.
    """

    input: WrapperInput
    values: tuple[str, ...] = ()
    items: tuple[Item, ...] = ()

    @property
    def multiple(self) -> bool:
        """Return whether the input keeps all its matches."""
        return isinstance(self.input, DerivedInput) and self.input.multiple

    @property
    def is_unique(self) -> bool:
        """Return whether there is exactly one value."""
        return len(self.values) == 1

    @property
    def value(self) -> InputValue:
        """Return the value for templates: one, several, or None."""
        if self.multiple:
            return self.values or None
        return self.values[0] if self.is_unique else None


@dataclass
class Resolution:
    """All values of a launch."""

    command: Command
    wrapper: Wrapper
    inputs: dict[str, Resolved] = field(default_factory=dict)
    command_values: dict[str, InputValue] = field(default_factory=dict)
    unresolved: set[str] = field(default_factory=set)

    @property
    def wrapper_values(self) -> dict[str, InputValue]:
        """Return the values of wrapper inputs by name."""
        return {name: each.value for name, each in self.inputs.items()}

    @property
    def root(self) -> Item | None:
        """Return the object that the launch is about: the first external one."""
        for each in self.wrapper.external_inputs:
            items = self.inputs[each.name].items if each.name in self.inputs else ()
            if items:
                return items[0]
        return None


def resolve(
    command: Command, wrapper: Wrapper, params: Mapping[str, str], tree: ObjectTree
) -> Resolution:
    """Resolve every input of a wrapper.

    Parameters
    ----------
    params : Mapping
        Launch values by input name.
    tree : ObjectTree
        What the launching person may read.

    Raises
    ------
    ResolutionError
        A value is missing, ambiguous, refused, or names nothing readable.
    """
    found = resolve_wrapper_inputs(command, wrapper, params, tree)
    missing = [name for name, each in found.inputs.items() if _is_missing(each, found)]
    if missing:
        raise ResolutionError(_why_missing(found, missing))
    _resolve_command_inputs(found, params)
    _check_shell(found)
    missing = list(missing_required_inputs(command, found.command_values))
    if missing:
        raise ResolutionError(f"Missing values for required inputs: {', '.join(missing)}.")
    return found


def resolve_wrapper_inputs(
    command: Command, wrapper: Wrapper, params: Mapping[str, str], tree: ObjectTree
) -> Resolution:
    """Resolve external and derived inputs as far as they go; nothing is required.

    Raises
    ------
    ResolutionError
        A value is refused or names nothing readable.
    """
    found = Resolution(command, wrapper)
    for external in wrapper.external_inputs:
        found.inputs[external.name] = _external(external, found, params, tree)
    for derived in wrapper.derived_inputs:
        found.inputs[derived.name] = _derived(derived, found, params, tree)
    for resolved in found.inputs.values():
        for value in resolved.values:
            _check(resolved.input.name, value)
    return found


def _check(name: str, value: str) -> None:
    try:
        check_value(name, value)
    except CommandError as error:
        raise ResolutionError(str(error)) from error


def _check_shell(found: Resolution) -> None:
    """Refuse values that would be read as shell code: the service's own list has holes.

    A file's name can be such a value, so that who uploads it could act as who launches.
    """
    line = found.command.command_line or ""
    if not found.command.override_entrypoint:
        return
    named = [(each.name, each.key, found.command_values.get(each.name) or each.default_value)
             for each in found.command.inputs]  # fmt: skip
    named += [(each.input.name, each.input.key, each.value) for each in found.inputs.values()]
    for name, key, value in named:
        texts = (value,) if isinstance(value, str) else value or ()
        if key in line and any(_SHELL_CODE.search(each) for each in texts):
            raise ResolutionError(
                f"Input '{name}': the value has characters that a shell would act on (quotes, "
                "backslash, $ & | < > # or a line break), and the command is a shell line. "
                "Choose another value, or rename the file."
            )


def _is_missing(resolved: Resolved, found: Resolution) -> bool:
    each = resolved.input
    if isinstance(each, DerivedInput) and not found.inputs[each.derived_from_wrapper_input].values:
        return False  # what it would come from is missing, or was rightly left out
    return each.required and resolved.value is None


def _why_missing(found: Resolution, missing: list[str]) -> str:
    ambiguous = [name for name in missing if len(found.inputs[name].values) > 1]
    text = f"Missing values for required inputs: {', '.join(missing)}."
    if ambiguous:
        text += f" More than one value fits: {', '.join(ambiguous)}; name one in the launch."
    return text


# External inputs ----------------------------------------------------------------------------


def _external(
    each: ExternalInput, found: Resolution, params: Mapping[str, str], tree: ObjectTree
) -> Resolved:
    # The launch names an external object even where the page does not let people change it.
    is_object = each.type in OBJECT_TYPES
    given = params.get(each.name) if is_object or each.user_settable else None
    value = each.default_value if given is None else given
    if value is None or value == "":
        return Resolved(each)
    if not is_object:
        return Resolved(each, (value,))
    try:
        item = tree.find(value, each.type)
    except UnknownItemError as error:
        raise ResolutionError(f"Input '{each.name}': {error}") from error
    if each.matcher:
        matcher = _template(each.matcher, found)
        if not _matching(matcher, [item], tree):
            raise ResolutionError(
                f"Input '{each.name}': {item.label} does not fit the wrapper's condition "
                f"{each.matcher}."
            )
    return Resolved(each, (item.uri,), (item,))


# Derived inputs -----------------------------------------------------------------------------


def _derived(
    each: DerivedInput, found: Resolution, params: Mapping[str, str], tree: ObjectTree
) -> Resolved:
    parent = found.inputs[each.derived_from_wrapper_input]
    given = params.get(each.name) if each.user_settable else None
    if not parent.items or each.type in _UNSUPPORTED:
        return Resolved(each)
    if each.type in OBJECT_TYPES | {Type.FILES}:
        return _derived_objects(each, parent, given, found, tree)
    values = []
    for item in parent.items:
        values += _property(each, item, found, tree)
    if given is not None and each.type is Type.STRING:
        values = [given]
    return Resolved(each, tuple(values))


def _property(each: DerivedInput, item: Item, found: Resolution, tree: ObjectTree) -> list[str]:
    name = "directory" if each.type is Type.DIRECTORY else each.derived_from_xnat_object_property
    if each.matcher and not _matching(_template(each.matcher, found), [item], tree):
        return []
    value = _property_value(tree, item, name or "uri")
    if value is None:
        return []
    return [_parsed(each, value)] if each.parser else [value]


def _property_value(tree: ObjectTree, item: Item, name: str) -> str | None:
    document = tree.document(item, name)
    value = document.get(name)
    if value is None:
        try:
            value = matchers.value_at(f"$.{name}", document)
        except matchers.MatcherError:
            return None
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, list):
        return ",".join(str(each) for each in value)
    return str(value)


def _parsed(each: DerivedInput, value: str) -> str:
    try:
        match = Expression(each.parser or "").search(value)
    except ExpressionError as error:
        raise ResolutionError(
            f"Input '{each.name}': its parser cannot be used: {error}. Mend the command."
        ) from error
    if match is None:
        return ""
    first = match[1] if match.re.groups else None
    return str(match[0] if first is None else first)


def _derived_objects(
    each: DerivedInput,
    parent: Resolved,
    given: str | None,
    found: Resolution,
    tree: ObjectTree,
) -> Resolved:
    candidates = _candidates(each, parent, tree)
    wanted = _wanted(given if given not in (None, "") else each.default_value)
    if wanted is not None:
        candidates = [item for item in candidates if _is_named(item, wanted)]
        if not candidates and given:
            raise ResolutionError(
                f"Input '{each.name}': the launch names no {each.type} of "
                f"'{each.derived_from_wrapper_input}' that you can read."
            )
    if each.matcher:
        candidates = _matching(_template(each.matcher, found), candidates, tree)
    name = each.derived_from_xnat_object_property
    pairs = [(_property_value(tree, item, name) if name else item.uri, item) for item in candidates]
    kept = [(value, item) for value, item in pairs if value is not None]
    return Resolved(each, tuple(v for v, _ in kept), tuple(item for _, item in kept))


def _candidates(each: DerivedInput, parent: Resolved, tree: ObjectTree) -> list[Item]:
    items = []
    for above in parent.items:
        if each.type in CHILD_LISTS.get(above.type, {}).values() or each.type is Type.FILES:
            items += tree.children(above, each.type)
        else:
            upward = tree.parent(above, each.type)
            items += [] if upward is None else [upward]
    return items


def _wanted(value: str | None) -> list[str] | None:
    """Return the names in a launch value: one, or those of a JSON list."""
    if value is None:
        return None
    listed = matchers.json_list(value)
    return [value] if listed is None else listed


def _is_named(item: Item, names: list[str]) -> bool:
    own = {str(item.document[key]) for key in _NAMES if key in item.document}
    own |= {item.label, item.uri.removeprefix("/archive"), f"/data{item.uri}"}
    return any(name in own or name.removeprefix("/data") in own for name in names)


def _matching(matcher: str, items: list[Item], tree: ObjectTree) -> list[Item]:
    documents: list[dict[str, Any]] = [tree.document(item, matcher) for item in items]
    try:
        return [items[position] for position in matchers.matching(matcher, documents)]
    except matchers.MatcherError as error:
        raise ResolutionError(str(error)) from error


def _template(text: str, found: Resolution) -> str:
    """Return a matcher with the values found so far in place of their keys."""
    texts = {
        each.input.key: each.value if isinstance(each.value, str) else ""
        for each in found.inputs.values()
    }
    try:
        return resolve_template(text, texts, command=found.command, wrapper=found.wrapper)
    except CommandError as error:
        raise ResolutionError(str(error)) from error


# Command inputs -----------------------------------------------------------------------------


def _resolve_command_inputs(found: Resolution, params: Mapping[str, str]) -> None:
    feeds = {
        each.input.provides_value_for_command_input: each
        for each in found.inputs.values()
        if each.input.provides_value_for_command_input
    }
    for each in found.command.inputs:
        source = feeds.get(each.name)
        if source is not None and source.value is None:
            found.unresolved.add(each.name)
        value = params.get(each.name) if source is None else source.value
        if isinstance(value, str):
            _check(each.name, value)
        found.command_values[each.name] = value
