"""Checks a map and makes its rules: every problem with its line, all at once.

First the shape, by ``project_map_schema.json``, then what BIDS says of names and fields. In
XNAT's own format a name that BIDS does not have is a note, not an error: the incumbent takes such
lists, and the rule then leaves its series out. Not here: reading JSON (``map_source``).
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from containers.dicom_to_bids import map_terms
from containers.dicom_to_bids.map_criteria import Criterion, Expression, is_equal
from containers.dicom_to_bids.map_names import (
    MapName,
    name_from_parts,
    name_from_text,
)
from containers.dicom_to_bids.map_rules import AslContext, Rule, is_xnat_format
from containers.dicom_to_bids.map_source import MapProblem, MapSource, Place

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

MAP_VERSION = 2

_JSON_WORDS = MappingProxyType(
    {
        "array": "a list",
        "object": "an object",
        "string": "a text",
        "number": "a number",
        "integer": "a whole number",
        "boolean": "true or false",
        "null": "null",
    }
)
_PLAIN_REASONS = MappingProxyType(
    {
        "dependentRequired": "needs both pattern and label, or neither.",
        "minProperties": "must not be empty.",
        "minItems": "must not be empty.",
        "minLength": "must not be empty.",
        "maxLength": "has more than {} characters.",
        "pattern": "must be letters and digits only, as BIDS wants labels.",
        "minimum": "must be at least {}.",
        "maximum": "must be at most {}.",
        "exclusiveMinimum": "must be larger than {}.",
        "anyOf": "is of another type than BIDS has for it.",
    }
)
_IDENTITY_WORDS = ("patient", "birth", "physician", "operator", "accession", "institution")
_FACTS_OF_NOBODY = frozenset({"PatientPosition", "PatientOrientation"})


@cache
def _validator() -> Draft202012Validator:
    text = files(__package__).joinpath("project_map_schema.json").read_text("utf-8")
    return _validator_of(json.loads(text))


def _validator_of(schema: Mapping[str, Any]) -> Draft202012Validator:
    # Only here: most sessions have no map, and importing it takes longer than naming them.
    from jsonschema import Draft202012Validator  # noqa: PLC0415  # slow to load; most calls have no map

    return Draft202012Validator(schema)


def checked_rules(source: MapSource) -> tuple[tuple[Rule, ...], tuple[MapProblem, ...]]:
    """Return the rules of a map, in the order of the file, and all problems, by line.

    With a problem that is an error the rules are not to be used.
    """
    if not isinstance(source.document, list | dict):
        text = "a map is a list of entries, or an object with mappings."
        return (), (MapProblem(1, text),)
    problems, misshapen = _shape_problems(source)
    check = _Check(source, misshapen)
    rules = check.rules() if isinstance(_mappings(source.document), list) else []
    problems += check.problems
    return tuple(rules), tuple(sorted(problems, key=lambda problem: problem.line))


def _mappings(document: Any) -> Any:
    return document.get("mappings") if isinstance(document, dict) else document


def _shape_problems(source: MapSource) -> tuple[list[MapProblem], frozenset[Place]]:
    """Return what breaks the schema, and the entries or members that cannot be read on."""
    document = source.document
    problems: list[MapProblem] = []
    misshapen: set[Place] = set()
    is_xnat = is_xnat_format(document)
    version = document.get("version") if isinstance(document, dict) else None
    if not is_xnat and (version != MAP_VERSION or isinstance(version, bool)):
        text = f"this version of a map is not known; write {MAP_VERSION}."
        problems.append(MapProblem(source.line(("version",)), text))
    for error in _validator().iter_errors(document):
        place = tuple(error.absolute_path)
        if error.validator == "additionalProperties":
            problems += _unknown_keys(source, place, error, is_error=not is_xnat)
        else:
            text = f"{_called(place)} {_reason(error)}"
            problems.append(MapProblem(source.line(place), text))
            misshapen |= {place[:1], place[:2]}
    return problems, frozenset(misshapen)


def _unknown_keys(
    source: MapSource, place: Place, error: ValidationError, *, is_error: bool
) -> Iterator[MapProblem]:
    schema: Any = error.schema
    instance: Any = error.instance
    known = list(schema.get("properties", {}))
    for key in instance:
        if key not in known:
            text = f'the key "{key}" means nothing here{_meant(key, known)}.'
            yield MapProblem(source.line((*place, key)), text, is_error)


def _called(place: Place) -> str:
    names = [part for part in place if isinstance(part, str) and part != "mappings"]
    if names:
        return f'"{names[-1]}"'
    return "an entry" if any(isinstance(part, int) for part in place) else "the map"


def _reason(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "type":
        kinds = [wanted] if isinstance(wanted, str) else list(wanted)
        return f"must be {' or '.join(_JSON_WORDS[kind] for kind in kinds)}."
    if error.validator == "required":
        return f"needs {', '.join(key for key in wanted if key not in instance)}."
    if error.validator == "enum":
        return f"must be one of: {', '.join(map(str, wanted))}."
    plain = _PLAIN_REASONS.get(str(error.validator))
    return plain.format(wanted) if plain else f"breaks the rule {error.validator} {wanted}."


def _meant(word: str, known: list[str]) -> str:
    close = get_close_matches(word, known, n=1)
    return f" ({close[0]} is meant, perhaps)" if close else ""


class _Check:
    """Goes through a document of the right shape and collects rules and problems."""

    def __init__(self, source: MapSource, misshapen: Container[Place]) -> None:
        self.source = source
        self.misshapen = misshapen
        self.problems: list[MapProblem] = []
        self.is_xnat = is_xnat_format(source.document)

    def rules(self) -> list[Rule]:
        document = self.source.document
        entries = _mappings(document)
        place: Place = ()
        if isinstance(document, dict):
            place = ("mappings",)
            self._settings(document)
        rules = [
            rule
            for position, entry in enumerate(entries)
            if (*place, position) not in self.misshapen
            and (rule := self._rule(entry, (*place, position), position + 1)) is not None
        ]
        if not self.is_xnat:
            self._note_unreachable(entries, place)
        return rules

    def _tell(self, place: Place, text: str, *, is_error: bool = True) -> None:
        self.problems.append(MapProblem(self.source.line(place), text, is_error))

    # Whole map --------------------------------------------------------------------------------

    def _settings(self, document: Mapping[str, Any]) -> None:
        for kind in ("subject_label", "session_label"):
            if (kind,) not in self.misshapen:
                self._label_rule(document.get(kind, {}), (kind,))
        if ("tasks",) not in self.misshapen:
            self._tasks(document.get("tasks", {}))

    def _label_rule(self, rule: Mapping[str, Any], place: Place) -> None:
        if "pattern" not in rule:
            return
        expression = self._expression(rule["pattern"], (*place, "pattern"))
        reason = expression.reason_against(rule["label"]) if expression else None
        if reason:
            self._tell((*place, "label"), f'"label" does not fit the pattern: {reason}.')

    def _tasks(self, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        for task, fields in tasks.items():
            if not (task.isascii() and task.isalnum()):
                self._tell(("tasks", task), "a task label has letters and digits only.")
            name = fields.get("TaskName")
            is_alike = isinstance(name, str) and "".join(filter(str.isalnum, name)) == task
            if name is not None and not is_alike:
                reason = "TaskName must be the task label, but for spaces and signs (BIDS)."
                self._tell(("tasks", task, "TaskName"), reason)
            rest = {key: value for key, value in fields.items() if key != "TaskName"}
            self._sidecar(rest, ("tasks", task))

    def _note_unreachable(self, entries: list[Mapping[str, Any]], place: Place) -> None:
        keys = ("series_description", "xnat_field", "pattern", "match")
        seen: dict[str, int] = {}
        for position, entry in enumerate(entries):
            if (*place, position) in self.misshapen:
                continue
            selector = json.dumps({key: entry.get(key) for key in keys}, sort_keys=True)
            first = seen.setdefault(selector, position)
            if first != position:
                text = f"it is never asked: rule {first + 1} fits the same series before it."
                self._tell((*place, position), text, is_error=False)

    # One entry --------------------------------------------------------------------------------

    def _rule(self, entry: Mapping[str, Any], place: Place, number: int) -> Rule | None:
        exact_key = "xnat_field" if "xnat_field" in entry else "series_description"
        exact = entry.get(exact_key) if "bidsname" in entry or not self.is_xnat else None
        selectors = [key for key in (exact_key, "pattern", "match") if key in entry]
        if self.is_xnat and "pattern" in selectors and exact is None:
            selectors = ["pattern"]
        if len(selectors) != 1 or (exact is None and selectors == [exact_key]):
            self._selector_problem(place, selectors)
            return None
        self._keys_together(entry, place, selectors[0])
        name, reason = self._name(entry, place, selectors[0])
        criteria = self._criteria(entry.get("match", {}), (*place, "match"))
        has_pattern = selectors == ["pattern"]
        expression = (
            self._expression(entry["pattern"], (*place, "pattern")) if has_pattern else None
        )
        sidecar = entry.get("sidecar", {})
        self._sidecar(sidecar, (*place, "sidecar"))
        if "aslcontext" in entry and name.suffix not in {None, "asl"}:
            self._tell((*place, "aslcontext"), "aslcontext belongs to the suffix asl only.")
        return Rule(
            number=number,
            line=self.source.line(place),
            exact=exact if selectors == [exact_key] else None,
            is_xnat_field=exact_key == "xnat_field",
            expression=expression,
            criteria=criteria,
            data_type=name.data_type,
            suffix=name.suffix,
            entities=name.entities,
            sidecar=MappingProxyType(dict(sidecar)),
            aslcontext=_aslcontext(entry.get("aslcontext")),
            reason=reason,
            run_digits=1 if selectors == ["match"] else 2,
        )

    def _selector_problem(self, place: Place, selectors: list[str]) -> None:
        if len(selectors) > 1:
            self._tell(place, f"an entry has one of {', '.join(selectors)}, not several.")
        else:
            text = "the entry names no series (series_description with bidsname, pattern or match)"
            ending = "; it is passed over." if self.is_xnat else "."
            self._tell(place, text + ending, is_error=not self.is_xnat)

    def _keys_together(self, entry: Mapping[str, Any], place: Place, selector: str) -> None:
        wanted = {
            "match": {"data_type", "suffix", "entities", "exclude"},
            "pattern": {"suffix", "modality", "exclude", "bidsname"},
        }.get(selector, {"bidsname", "exclude"})
        every = {"bidsname", "suffix", "modality", "data_type", "entities", "exclude"}
        for key in sorted(set(entry) & every - wanted):
            is_error = not self.is_xnat
            self._tell((*place, key), f'"{key}" does not go with {selector}.', is_error=is_error)
        if "exclude" in entry:
            for key in sorted(set(entry) & (wanted | {"sidecar", "aslcontext"}) - {"exclude"}):
                self._tell((*place, key), f'"{key}" has no use in an entry with exclude.')
        does = {"exclude", "suffix", "entities", "sidecar", "bidsname"} & set(entry)
        if not does and selector != "pattern":
            self._tell(place, "the entry does not say what becomes of the series.")

    def _name(self, entry: Mapping[str, Any], place: Place, selector: str) -> tuple[MapName, str]:
        """Return the name that an entry gives, and why its series are left out, if they are."""
        nothing = MapName()
        if "exclude" in entry:
            return nothing, entry["exclude"]
        if selector == "match":
            name = name_from_parts(
                entry.get("data_type"), entry.get("suffix"), entry.get("entities", {})
            )
            key = "suffix" if "suffix" in entry else "entities"
        else:
            text = entry.get("suffix") if selector == "pattern" else entry.get("bidsname", "")
            if not text:
                return nothing, "The project's map leaves it out."
            key = "suffix" if selector == "pattern" else "bidsname"
            name = name_from_text(text, entry.get("modality") or None)
        for sentence in name.notes:
            self._tell((*place, key), sentence, is_error=False)
        for entity, sentence in name.errors:
            here = (*place, "entities", entity) if entity and selector == "match" else (*place, key)
            self._tell(here, sentence, is_error=not self.is_xnat)
        if name.errors:
            return nothing, f"The name in the project's map is not BIDS: {name.errors[0][1]}"
        return name, ""

    def _criteria(self, match: Mapping[str, Any], place: Place) -> tuple[Criterion, ...]:
        criteria = []
        for fact, wanted in match.items():
            here = (*place, fact)
            folded = fact.casefold()
            if fact not in _FACTS_OF_NOBODY and any(word in folded for word in _IDENTITY_WORDS):
                self._tell(here, f"{fact} tells who somebody is or where; a map must not hold it.")
            condition = wanted if isinstance(wanted, dict) else {"equals": wanted}
            expression = None
            if "pattern" in condition:
                expression = self._expression(condition["pattern"], (*here, "pattern"))
            low, high = condition.get("min"), condition.get("max")
            if low is not None and high is not None and low > high and not is_equal(low, high):
                self._tell((*here, "min"), "min is larger than max, so nothing fits.")
            if condition.get("present") is False and len(condition) > 1:
                self._tell(here, "present: false stands alone; nothing absent has a value.")
            criteria.append(Criterion(fact, MappingProxyType(dict(condition)), expression))
        return tuple(criteria)

    def _expression(self, code: str, place: Place) -> Expression | None:
        try:
            return Expression(code)
        except ValueError as error:
            self._tell(place, f"this is no regular expression: {error}.")
            return None

    def _sidecar(self, fields: Mapping[str, Any], place: Place) -> None:
        known = map_terms.sidecar_schemas()
        for name, value in fields.items():
            here = (*place, name)
            if name in map_terms.withheld_fields():
                self._tell(here, f"{name} is never taken from a map.")
            elif name not in known:
                meant = _meant(name, list(known))
                self._tell(here, f"BIDS has no field {name} in the sidecar of an MRI image{meant}.")
            else:
                for error in _validator_of(dict(known[name])).iter_errors(value):
                    self._tell((*here, *error.absolute_path), f"{name} {_reason(error)}")
        self._note_units(fields, place)

    def _note_units(self, fields: Mapping[str, Any], place: Place) -> None:
        """Note a field that BIDS wants in seconds and that was written in milliseconds."""
        for name in ("RepetitionTime", "RepetitionTimePreparation", "EchoTime", "InversionTime"):
            value = fields.get(name)
            limit = 1 if name == "EchoTime" else 100
            if isinstance(value, int | float) and value > limit:
                text = f"{name} is in seconds; {value:g} s is long for it."
                self._tell((*place, name), text, is_error=False)


def _aslcontext(value: Any) -> AslContext | None:
    if value is None:
        return None
    if isinstance(value, list):
        return AslContext(tuple(value))
    return AslContext(tuple(value.get("first", ())), tuple(value["repeat"]))
