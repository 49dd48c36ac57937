"""Reading the small YAML files that people write: only known fields, nothing twice.

Not here: what the fields mean (``forms``, ``consent_columns``, ``agreements``).
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any

import yaml

from xnat_client.errors import BadInputError

_LARGEST_BYTES = 1_000_000


class _NoDuplicates(yaml.SafeLoader):
    """A safe loader that refuses a key given twice and expands no aliases."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases are not used in this file")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  # the library's signature
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        if any(isinstance(key, dict | list) for key in keys) or len(keys) != len(set(keys)):
            raise yaml.YAMLError("a key stands twice, or is no plain value")
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file of at most one megabyte.

    Raises
    ------
    BadInputError
        It cannot be read, or is no YAML; the text names the line where the parser knows it.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise BadInputError(f"{path.name} is larger than one megabyte; this is no such file.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(
            f"{path.name} cannot be read as UTF-8 text. Save it as UTF-8 and try again."
        ) from error
    return parse_yaml(text, path.name)


def parse_yaml(text: str, where: str) -> Any:
    """Return the content of a YAML text.

    Raises
    ------
    BadInputError
        As ``read_yaml``.
    """
    try:
        return yaml.load(text, _NoDuplicates)  # noqa: S506  # a safe loader that is stricter still
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise BadInputError(f"{where} is not valid YAML{line}. Correct it.") from error
    except yaml.YAMLError as error:
        raise BadInputError(
            f"{where} holds a key twice or uses aliases. Write every key once."
        ) from error


def fields_of(
    value: Any,
    where: str,
    required: AbstractSet[str],
    optional: AbstractSet[str] = frozenset(),
) -> dict[str, Any]:
    """Return a mapping whose keys are exactly the required and some optional ones.

    Raises
    ------
    BadInputError
        It is no mapping, or a key is missing or unknown.
    """
    if not isinstance(value, dict):
        raise BadInputError(f"In {where}, there must be fields with values.")
    missing = sorted(required - value.keys())
    if missing:
        raise BadInputError(f"In {where}, these fields are missing: {', '.join(missing)}.")
    unknown = sorted(str(key) for key in value if key not in required | optional)
    if unknown:
        known = ", ".join(sorted(required | optional))
        raise BadInputError(
            f"In {where}, there are unknown fields: {', '.join(unknown)}. Known ones are {known}."
        )
    return value
