"""Names in a map: from a text as XNAT's own format has it, or from their parts.

Not here: which series gets which name (``map_rules``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from containers.dicom_to_bids import map_terms
from containers.dicom_to_bids.classify.schema import (
    allowed_entities,
    data_type_of,
    suffix_as_written,
)

Fault = tuple[str | None, str]

_NOTHING: Mapping[str, str | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MapName:
    """A name with what is wrong about it; ``notes`` tell what was put right.

    An error is the entity that it is about, or None for the name as a whole, and a sentence.
    """

    data_type: str | None = None
    suffix: str | None = None
    entities: Mapping[str, str | None] = field(default_factory=lambda: _NOTHING)
    errors: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()


def name_from_text(text: str, data_type: str | None) -> MapName:
    """Read a name such as ``task-rest_run-01_bold``.

    Letters may be capital or not in the suffix, and values may hold characters that BIDS does
    not allow: they are put right, with a note. A part without a hyphen belongs to the one
    before it, as in XNAT's own reader.

    Parameters
    ----------
    data_type : str or None
        The folder, where the map names one.
    """
    *parts, written = text.strip().split("_")
    notes: list[str] = []
    errors: list[Fault] = []
    suffix = suffix_as_written(written)
    if suffix is None:
        errors.append((None, f'BIDS has no suffix "{written}" for images{_nearest(written)}.'))
    elif suffix != written:
        notes.append(f"BIDS writes the suffix {suffix}; so will the files.")
    joined: list[str] = []
    for part in parts:
        if "-" not in part and joined:
            joined[-1] += part
        else:
            joined.append(part)
    entities: dict[str, str | None] = {}
    for part in joined:
        key, _, value = part.partition("-")
        plain = re.sub(r"[^A-Za-z0-9]", "", value)
        if key in entities:
            errors.append((key, f'the name has "{key}" twice.'))
        elif plain and plain != value:
            notes.append(f"BIDS allows letters and digits only: {key}-{plain} is what is written.")
        entities[key] = plain
    return _checked(data_type, suffix, entities, errors, notes)


def name_from_parts(
    data_type: str | None, suffix: str | None, entities: Mapping[str, str | int | None]
) -> MapName:
    """Take a name from its parts; both data type and suffix may be left to the classification."""
    errors: list[Fault] = []
    if suffix is not None and suffix_as_written(suffix) != suffix:
        errors.append((None, f'BIDS has no suffix "{suffix}" for images{_nearest(suffix)}.'))
    if data_type is not None and suffix is None:
        errors.append((None, "a data_type needs a suffix beside it."))
    if suffix is not None and data_type is None and map_terms.is_in_several(suffix):
        errors.append((None, f'the suffix "{suffix}" is in several folders; give the data_type.'))
    plain = {key: None if value is None else str(value) for key, value in entities.items()}
    return _checked(data_type, None if errors else suffix, plain, errors, [])


def _checked(
    data_type: str | None,
    suffix: str | None,
    entities: Mapping[str, str | None],
    errors: Iterable[Fault],
    notes: Iterable[str],
) -> MapName:
    found = list(errors)
    if suffix is not None and data_type is None:
        data_type = data_type_of(suffix)
    allowed = allowed_entities(data_type, suffix) if data_type and suffix else None
    if data_type and suffix and allowed is None:
        known = ", ".join(map_terms.suffixes_of(data_type)) or "no images"
        found.append((None, f'BIDS has no "{suffix}" in {data_type}; it has {known}.'))
    for key, value in entities.items():
        found += [(key, sentence) for sentence in _entity_errors(key, value)]
        if allowed is not None and key in map_terms.entities() and key not in allowed:
            found.append((key, f'the name of a {suffix} has no "{key}" in BIDS.'))
    return MapName(data_type, suffix, MappingProxyType(dict(entities)), tuple(found), tuple(notes))


def _entity_errors(key: str, value: str | None) -> list[str]:
    entity = map_terms.entities().get(key)
    if key in map_terms.OWN_ENTITIES:
        return [f'"{key}" comes from the label in XNAT, not from a rule; see the label rules.']
    if entity is None:
        return [f'BIDS has no "{key}" in file names.']
    if value is None:
        return []
    found = []
    if not (value.isascii() and value.isalnum()):
        found.append(f'the value of "{key}" must be letters and digits only.')
    elif entity.is_index and not value.isdigit():
        found.append(f'the value of "{key}" must be a number.')
    if entity.values and value not in entity.values:
        found.append(f'the value of "{key}" must be one of: {", ".join(entity.values)}.')
    return found


def _nearest(suffix: str) -> str:
    known = suffix_as_written(suffix)
    return f"; it writes {known}" if known else ""
