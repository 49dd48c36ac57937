"""Gives each image of a session its BIDS name, or the reason why it has none.

An image that BIDS cannot hold, or that nobody can be sure about, is left out with its reason;
it is never filed under a name that might be wrong. Names follow the BIDS schema. Not here: what
kind of image it is (``classify``), labels that only several images together have (``entities``),
writing files (``tree``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from containers.dicom_to_bids.classify.context import Candidate, in_context
from containers.dicom_to_bids.classify.decision import Confidence, Decision, left_out
from containers.dicom_to_bids.classify.engine import classify
from containers.dicom_to_bids.classify.facts import SeriesFacts
from containers.dicom_to_bids.classify.schema import allowed_entities, entity_keys, name_rules
from containers.dicom_to_bids.convert import Converted
from containers.dicom_to_bids.entities import UNKNOWN_TASK, Item, described, joined, own_entities
from containers.dicom_to_bids.identity import SourceIdentity
from containers.dicom_to_bids.needs import b_values, missing_need
from containers.dicom_to_bids.project_map import MapAnswer, ProjectMap

_FIELD_MAP = "field map"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_NO_DECISION = Decision("", "", Confidence.GUESSED, "none", "")


class Placed:
    """What a named image and one that is left out have in common."""

    __slots__ = ()
    image: Converted
    decision: Decision


@dataclass(frozen=True, slots=True)
class Named(Placed):
    """An image with its place in the tree, below the subject's or session's folder.

    Attributes
    ----------
    decision : Decision
        Why it is what it is.
    extra : Mapping[str, Any]
        Sidecar fields that the project's map adds.
    aslcontext : tuple of str or None
        The kind of each volume of an ASL series.
    run_digits : int
        How many digits the run number has at least.
    """

    image: Converted
    data_type: str
    suffix: str
    entities: Mapping[str, str]
    decision: Decision = _NO_DECISION
    extra: Mapping[str, Any] = field(default_factory=lambda: _NOTHING)
    aslcontext: tuple[str, ...] | None = None
    run_digits: int = 1

    def stem(self, prefix: str) -> str:
        """Return the file name without its ending, after ``sub-..`` or ``sub-.._ses-..``."""
        parts = [f"{key}-{self.entities[key]}" for key in entity_keys() if key in self.entities]
        return "_".join([prefix, *parts, self.suffix])

    @property
    def family(self) -> tuple[str, ...]:
        """Return what the parts of one acquisition have in common: echoes, parts, references."""
        kind = _FIELD_MAP if self.data_type == "fmap" and self.suffix != "epi" else self.data_type
        if self.data_type in {"anat", "perf"}:
            kind = self.suffix
        shared = [
            f"{key}-{self.entities[key]}"
            for key in entity_keys()
            if key in self.entities and key not in {"run", "echo", "part", "inv"}
        ]
        return (kind, *shared)


@dataclass(frozen=True, slots=True)
class LeftOut(Placed):
    """An image without a place in the tree, and why."""

    image: Converted
    reason: str
    decision: Decision = _NO_DECISION


@dataclass(frozen=True, slots=True)
class Naming:
    """Every image exactly once, in order of acquisition, and what a person should look at."""

    named: tuple[Named, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def name_images(
    images: Iterable[Converted],
    identity: SourceIdentity,
    project_map: ProjectMap | None = None,
) -> Naming:
    """Name the images of a session, given in order of acquisition.

    Parameters
    ----------
    project_map : ProjectMap, optional
        What the project's data manager wants; it goes before everything else.
    """
    taken = tuple(images)
    answers = [_answer(image, project_map) for image in taken]
    candidates = in_context(
        [_candidate(image, answer) for image, answer in zip(taken, answers, strict=True)]
    )
    named: list[Named] = []
    items: list[Item] = []
    away: list[LeftOut] = []
    for image, answer, candidate in zip(taken, answers, candidates, strict=True):
        result = _placed(image, answer, candidate, identity)
        if isinstance(result, LeftOut):
            away.append(result)
        else:
            named.append(result)
            items.append(Item(candidate, dict(result.entities), _is_mapped(answer)))
    together = joined(items)
    named = [
        replace(item, entities=MappingProxyType(entities))
        for item, entities in zip(named, together, strict=True)
    ]
    if project_map is not None:
        named = [_with_task_fields(item, project_map) for item in named]
    fitting, unfitting = _fitting(named)
    numbered = _number_runs(fitting)
    return Naming(tuple(numbered), (*away, *unfitting), tuple(_doubts(numbered)))


def image_facts(image: Converted) -> SeriesFacts:
    """Return the facts about an image on which its kind rests."""
    return SeriesFacts.from_sidecar(
        image.sidecar, shape=image.shape, b_values=b_values(image), name=_texts(image)
    )


def _texts(image: Converted) -> str:
    """Return protocol and description as the header has them.

    The sidecar's only where the header's are not known: dcm2niix writes other letters for some,
    and a name so changed would not be known again as an identity.
    """
    known = [str(image.sidecar.get(key) or "") for key in ("ProtocolName", "SeriesDescription")]
    return image.protocol.strip() or " ".join(text for text in known if text)


def _answer(image: Converted, project_map: ProjectMap | None) -> MapAnswer | None:
    if project_map is None:
        return None
    return project_map.find({**image.sidecar, "VolumeCount": image.volume_count})


def _is_mapped(answer: MapAnswer | None) -> bool:
    return answer is not None and answer.suffix is not None


def _candidate(image: Converted, answer: MapAnswer | None) -> Candidate:
    facts = image_facts(image)
    return Candidate(image.sidecar, image.shape, facts, _decision(facts, answer))


def _decision(facts: SeriesFacts, answer: MapAnswer | None) -> Decision:
    if answer is None:
        return classify(facts)
    if answer.is_excluded:
        return left_out("project-map", answer.reason, Confidence.GIVEN)
    if answer.suffix is None or answer.data_type is None:
        return classify(facts)
    reason = f"The project's map says so: {answer.where}."
    return Decision(answer.data_type, answer.suffix, Confidence.GIVEN, "project-map", reason)


def _placed(
    image: Converted, answer: MapAnswer | None, candidate: Candidate, identity: SourceIdentity
) -> Named | LeftOut:
    decision = candidate.decision
    if decision.is_left_out:
        return LeftOut(image, decision.reason, decision)
    extra = answer.sidecar if answer else _NOTHING
    context = answer.aslcontext if answer else None
    reason = missing_need(image, decision, {**image.sidecar, **extra}, has_context=bool(context))
    if reason:
        return LeftOut(image, reason, decision)
    wanted = answer.entities if answer else {}
    entities = {key: value for key, value in wanted.items() if value is not None}
    if not _is_mapped(answer):
        own = own_entities(image, candidate, identity)
        entities = {key: value for key, value in (own | entities).items() if key not in wanted} | (
            entities
        )
    allowed = allowed_entities(decision.data_type, decision.suffix) or frozenset()
    required = name_rules()[decision.data_type, decision.suffix].required
    if "task" in required:
        entities.setdefault("task", UNKNOWN_TASK)
    return Named(
        image,
        decision.data_type,
        decision.suffix,
        MappingProxyType({key: value for key, value in entities.items() if key in allowed}),
        decision,
        extra,
        context,
        answer.run_digits if answer else 1,
    )


def _with_task_fields(item: Named, project_map: ProjectMap) -> Named:
    fields = project_map.task_fields(item.entities.get("task", ""))
    return replace(item, extra=MappingProxyType({**fields, **item.extra}))


def _fitting(named: Sequence[Named]) -> tuple[list[Named], list[LeftOut]]:
    """Part the images from those whose name would lack what BIDS requires of it."""
    fitting: list[Named] = []
    away: list[LeftOut] = []
    series = {item.suffix for item in named if item.data_type == "perf"}
    for item in named:
        required = name_rules()[item.data_type, item.suffix].required
        missing = sorted(required - item.entities.keys())
        if missing:
            listed = described(missing)
            reason = f"BIDS wants {listed} in the name of {item.suffix}, which the headers lack."
            away.append(LeftOut(item.image, reason, item.decision))
        elif item.data_type == "perf" and item.suffix == "m0scan" and "asl" not in series:
            reason = "It calibrates a perfusion series, and none is in the tree."
            away.append(LeftOut(item.image, reason, item.decision))
        else:
            fitting.append(item)
    return fitting, away


def _number_runs(named: Sequence[Named]) -> list[Named]:
    """Give each family's images their run, by acquisition time, if there are several.

    Echoes, magnitude and phase, reference and series come one after another: a new run begins
    when a name comes for the second time.
    """
    run_of: dict[int, int] = {}
    state: dict[tuple[str, ...], tuple[int, set[str]]] = {}
    for place, item in enumerate(named):
        run, seen = state.get(item.family, (1, set()))
        stem = item.stem("")
        if stem in seen:
            run, seen = run + 1, set()
        state[item.family] = (run, seen | {stem})
        run_of[place] = run
    numbered = []
    for place, item in enumerate(named):
        entities = dict(item.entities)
        if state[item.family][0] > 1:
            entities["run"] = str(run_of[place]).zfill(item.run_digits)
        numbered.append(replace(item, entities=MappingProxyType(entities)))
    return numbered


def _doubts(named: Sequence[Named]) -> Iterable[str]:
    unknown = sum(item.entities.get("task") == UNKNOWN_TASK for item in named)
    if unknown:
        yield (
            f"The task of {unknown} functional images is not in the headers; they are called "
            "task-unknown."
        )
