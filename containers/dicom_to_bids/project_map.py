"""The map of a project: which name, facts and labels its data manager wants for which series.

A superset of XNAT's own ``bids/bidsmap``: its lists are read unchanged and give the same names.
See docs/bids-map.md. Not here: what happens to a series without a rule (``classify``).

References
----------
The list format and its order of precedence: NrgXnat docker-images, dcm2bids-session; patterns:
xnatworks dcm2bids-session 2.14, ``match_regex_pattern``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from containers.contract import UsageError
from containers.dicom_to_bids.map_check import checked_rules
from containers.dicom_to_bids.map_criteria import Expression
from containers.dicom_to_bids.map_rules import Rule, first_fitting, in_order
from containers.dicom_to_bids.map_source import (
    MapError,
    MapProblem,
    MapSource,
    parse_source,
    read_source,
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class MapAnswer:
    """What the first fitting rule says about one image.

    Attributes
    ----------
    data_type, suffix : str or None
        Both given, or both None where the rule leaves the kind to the classification.
    entities : Mapping[str, str | None]
        By the key in file names (``acq``), without ``sub`` and ``ses``. With a suffix they are
        the whole name, but for ``run`` and what tells the images of one series apart
        (``echo``, ``part``, ``inv``). Without a suffix they replace those of the
        classification, and None takes one away.
    sidecar : Mapping[str, object]
        BIDS fields that go over those of the headers. Texts in them were typed by people.
    aslcontext : tuple of str or None
        The kind of each volume, as many as the fact ``VolumeCount``.
    is_excluded, reason : bool, str
        The series is left out, and the sentence for the report.
    where : str
        The rule, for reports: "rule 3 (line 12)".
    run_digits : int
        How many digits a run number has: 2 for rules of XNAT's own format (``run-01``).
    """

    data_type: str | None
    suffix: str | None
    entities: Mapping[str, str | None]
    sidecar: Mapping[str, object]
    aslcontext: tuple[str, ...] | None
    is_excluded: bool
    reason: str
    where: str
    run_digits: int = 1


@dataclass(frozen=True, slots=True)
class LabelRule:
    """How XNAT's label becomes the one in the dataset: by table, by pattern, or as it is."""

    labels: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    expression: Expression | None = None
    template: str = ""
    is_omitted: bool = False

    def apply(self, label: str, kind: str) -> str:
        """Return the label for the dataset, empty where there is to be none.

        Parameters
        ----------
        kind : str
            "subject" or "session", for messages.

        Raises
        ------
        UsageError
            The label fits neither the table nor the pattern, or nothing is left of it.
        """
        if self.is_omitted:
            return ""
        if label in self.labels:
            return self.labels[label]
        if self.expression is None or not label:
            return label
        match = self.expression.search(label, f"{kind}_label")
        if match is None:
            raise UsageError(
                f"The {kind} label does not fit {kind}_label of the map; widen its pattern, or "
                'add the label to its "labels".'
            )
        made = str(match.expand(self.template))
        if not any(character.isascii() and character.isalnum() for character in made):
            raise UsageError(
                f"What {kind}_label of the map makes of the {kind} label has no letter or digit; "
                "mend its pattern."
            )
        return made


@dataclass(frozen=True, slots=True)
class ProjectMap:
    """A map that was read and checked.

    Attributes
    ----------
    digest : str
        SHA-256 of the content, whatever the white space and order of keys; hexadecimal.
    notes : tuple of MapProblem
        What a person might want to change, though the map works.
    """

    name: str
    rules: tuple[Rule, ...]
    digest: str
    notes: tuple[MapProblem, ...] = ()
    leaves_out_unlisted: bool = False
    subject_rule: LabelRule = LabelRule()
    session_rule: LabelRule = LabelRule()
    tasks: Mapping[str, Mapping[str, object]] = field(default_factory=lambda: _NOTHING)

    @classmethod
    def load(cls, path: Path) -> ProjectMap:
        """Read and check a map file.

        Raises
        ------
        MapError
            With every problem and its line.
        """
        return cls.from_source(read_source(path))

    @classmethod
    def parse(cls, text: str, name: str = "bidsmap.json") -> ProjectMap:
        """Read and check a map from its text; errors as for `load`."""
        return cls.from_source(parse_source(text, name))

    @classmethod
    def from_source(cls, source: MapSource) -> ProjectMap:
        """Check a document; errors as for `load`."""
        rules, problems = checked_rules(source)
        errors = [problem for problem in problems if problem.is_error]
        if errors:
            raise MapError(source.name, errors)
        document = source.document
        top: Mapping[str, Any] = document if isinstance(document, dict) else _NOTHING
        return cls(
            name=source.name,
            rules=in_order(rules, document),
            digest=_digest(document),
            notes=tuple(problems),
            leaves_out_unlisted=top.get("unlisted") == "leave-out",
            subject_rule=_label_rule(top.get("subject_label")),
            session_rule=_label_rule(top.get("session_label")),
            tasks=MappingProxyType(
                {name: MappingProxyType(fields) for name, fields in top.get("tasks", {}).items()}
            ),
        )

    def find(self, facts: Mapping[str, object]) -> MapAnswer | None:
        """Return what the map says about one image; None if it says nothing.

        Parameters
        ----------
        facts : Mapping
            The keys of dcm2niix's sidecar, and ``VolumeCount``. ``SeriesDescription`` and
            ``ProtocolName`` best as the DICOM header has them: dcm2niix replaces characters.

        Raises
        ------
        BadInputError
            A pattern of the map takes too long.
        """
        rule = first_fitting(self.rules, facts)
        if rule is not None:
            return _answer(rule, facts)
        if self.leaves_out_unlisted:
            reason = "The project's map has no rule for it and leaves such series out."
            return _left_out(reason, "no rule")
        return None

    def task_fields(self, task: str) -> Mapping[str, object]:
        """Return the sidecar fields of images with this ``task`` label."""
        return self.tasks.get(task, _NOTHING)

    def subject_label(self, label: str) -> str:
        """Return the subject's label for the dataset; UsageError as for `LabelRule.apply`."""
        return self.subject_rule.apply(label, "subject")

    def session_label(self, label: str) -> str:
        """Return the session's label for the dataset, empty for none; errors likewise."""
        return self.session_rule.apply(label, "session")


def _answer(rule: Rule, facts: Mapping[str, object]) -> MapAnswer:
    if rule.reason:
        return _left_out(rule.reason, rule.where)
    context = rule.aslcontext
    if context is not None:
        count = facts.get("VolumeCount")
        volumes = context.volumes(count if isinstance(count, int) else 1)
        if volumes is None:
            return _left_out(
                f"The aslcontext of {rule.where} of the project's map does not fit its "
                f"{count} volumes.",
                rule.where,
            )
        return _named(rule, volumes)
    return _named(rule, None)


def _named(rule: Rule, volumes: tuple[str, ...] | None) -> MapAnswer:
    return MapAnswer(
        data_type=rule.data_type,
        suffix=rule.suffix,
        entities=rule.entities,
        sidecar=rule.sidecar,
        aslcontext=volumes,
        is_excluded=False,
        reason="",
        where=rule.where,
        run_digits=rule.run_digits,
    )


def _left_out(reason: str, where: str) -> MapAnswer:
    return MapAnswer(
        data_type=None,
        suffix=None,
        entities=_NOTHING,
        sidecar=_NOTHING,
        aslcontext=None,
        is_excluded=True,
        reason=reason,
        where=where,
    )


def _label_rule(value: Mapping[str, Any] | None) -> LabelRule:
    if value is None:
        return LabelRule()
    return LabelRule(
        labels=MappingProxyType(dict(value.get("labels", {}))),
        expression=Expression(value["pattern"]) if "pattern" in value else None,
        template=value.get("label", ""),
        is_omitted=value.get("omit", False),
    )


def _digest(document: Any) -> str:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()
