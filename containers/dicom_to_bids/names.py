"""Gives each image its BIDS name from dcm2niix's guess, or the reason why it has none.

An image that BIDS cannot hold, or that nobody can be sure about, is left out with its reason;
it is never filed under a name that might be wrong. Names follow BIDS 1.10, "Entities" and
"Magnetic Resonance Imaging". Not here: writing files (``tree``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from containers.dicom_to_bids.convert import Converted
from containers.dicom_to_bids.identity import SourceIdentity

_ENTITY_ORDER = ("task", "acq", "ce", "rec", "dir", "run", "echo", "part")
_SUFFIXES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "anat": frozenset(
            {"T1w", "T2w", "T2starw", "FLAIR", "PDw", "PDT2", "inplaneT1", "inplaneT2", "angio"}
        ),
        "func": frozenset({"bold", "sbref"}),
        "dwi": frozenset({"dwi", "sbref"}),
        "fmap": frozenset(
            {
                *("magnitude", "magnitude1", "magnitude2", "phase1", "phase2", "phasediff"),
                *("fieldmap", "epi"),
            }
        ),
    }
)
_FIELD_MAP = "field map"
_SPATIAL_AXES = 3
_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "localizer": "It is a localiser; BIDS has no place for it.",
        "derivedDWI": "It was computed by the scanner from diffusion images.",
        "nonspatial": "It is not a picture in space.",
    }
)


@dataclass(frozen=True, slots=True)
class Named:
    """An image with its place in the tree, below the subject's or session's folder."""

    image: Converted
    data_type: str
    suffix: str
    entities: Mapping[str, str]

    def stem(self, prefix: str) -> str:
        """Return the file name without its ending, after ``sub-..`` or ``sub-.._ses-..``."""
        parts = [f"{key}-{self.entities[key]}" for key in _ENTITY_ORDER if key in self.entities]
        return "_".join([prefix, *parts, self.suffix])

    @property
    def family(self) -> tuple[str, ...]:
        """Return what the parts of one acquisition have in common: echoes, parts, references."""
        kind = _FIELD_MAP if self.data_type == "fmap" and self.suffix != "epi" else self.data_type
        if self.data_type == "anat":
            kind = self.suffix
        shared = [
            f"{key}-{self.entities[key]}"
            for key in _ENTITY_ORDER
            if key in self.entities and key not in {"run", "echo", "part"}
        ]
        return (kind, *shared)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An image without a place in the tree, and why."""

    image: Converted
    reason: str


@dataclass(frozen=True, slots=True)
class Naming:
    """Every image exactly once, in order of acquisition, and what a person should look at."""

    named: tuple[Named, ...]
    left_out: tuple[LeftOut, ...]
    warnings: tuple[str, ...]


def name_images(images: Iterable[Converted], identity: SourceIdentity) -> Naming:
    """Name the images of a session."""
    named: list[Named] = []
    left_out: list[LeftOut] = []
    for image in images:
        result = _name(image, identity)
        if isinstance(result, Named):
            named.append(result)
        else:
            left_out.append(result)
    numbered = _number_runs(named)
    return Naming(tuple(numbered), tuple(left_out), tuple(_doubts(numbered)))


def _name(image: Converted, identity: SourceIdentity) -> Named | LeftOut:
    if image.guess is None:
        return LeftOut(image, "dcm2niix does not recognise the kind of measurement.")
    data_type, guessed_name = image.guess
    parts = [part for part in guessed_name.split("_") if part]
    suffix = parts[-1] if parts else ""
    reason = _no_place(data_type, suffix) or _missing_fact(image, data_type, suffix)
    if reason:
        return LeftOut(image, reason)
    entities = {}
    for part in parts[:-1]:
        key, _, value = part.partition("-")
        label = re.sub(r"[\W_]", "", value)
        is_plain = bool(label) and label.isascii() and not identity.touches(label)
        if key in _ENTITY_ORDER and key != "run" and is_plain:
            entities[key] = label
    if data_type == "func":
        entities["task"] = _task(image.protocol, identity)
    return Named(image, data_type, suffix, MappingProxyType(entities))


def _no_place(data_type: str, suffix: str) -> str:
    if data_type in {"discard", "derived"}:
        return _REASONS.get(suffix, "It was computed from other images, by dcm2niix's reading.")
    if data_type == "perf":
        return (
            "Perfusion needs facts that DICOM headers do not hold (such as the labelling "
            "context of each volume)."
        )
    if suffix not in _SUFFIXES.get(data_type, frozenset()):
        return f"dcm2niix takes it for {data_type}/{suffix}, which this step does not file."
    return ""


def _missing_fact(image: Converted, data_type: str, suffix: str) -> str:
    kind = {data_type, suffix, f"{data_type}/{suffix}"}
    for kinds, is_missing, reason in _NEEDS:
        if (not kinds or kinds & kind) and is_missing(image):
            return reason
    return ""


def _b_values(image: Converted) -> list[float]:
    text = image.bval_path.read_text("ascii") if image.bval_path else ""
    return [float(value) for value in text.split()]


def _task(protocol: str, identity: SourceIdentity) -> str:
    """Return the task from a BIDS-like protocol name, ``rest``, or ``unknown``."""
    written = re.search(r"(?:^|[^A-Za-z])task-([^\W_]+)", protocol)
    if written and written[1].isascii() and not identity.touches(written[1]):
        return written[1]
    if re.search(r"(?:^|[^a-z])(?:rest|resting|rsfmri|restingstate)(?:[^a-z]|$)", protocol.lower()):
        return "rest"
    return "unknown"


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
            entities["run"] = str(run_of[place])
        numbered.append(replace(item, entities=MappingProxyType(entities)))
    return numbered


def _doubts(named: Sequence[Named]) -> Iterable[str]:
    unknown = sum(item.entities.get("task") == "unknown" for item in named)
    if unknown:
        yield (
            f"The task of {unknown} functional images is not in the headers; they are called "
            "task-unknown."
        )
    groups: Counter[tuple[tuple[str, ...], str, str]] = Counter(
        (item.family, item.entities.get("run", ""), item.suffix)
        for item in named
        if item.family[0] == _FIELD_MAP
    )
    for family, run, suffix in groups:
        if suffix == "phasediff" and not groups[family, run, "magnitude1"]:
            yield "A phase difference has no magnitude image beside it; it cannot be used alone."


def _lacks(*keys: str) -> Callable[[Converted], bool]:
    return lambda image: not all(image.sidecar.get(key) for key in keys)


_NEEDS: Sequence[tuple[frozenset[str], Callable[[Converted], bool], str]] = (
    (
        frozenset(),
        lambda image: len(image.shape) < _SPATIAL_AXES,
        "It is a single slice, not a volume.",
    ),
    (
        frozenset(),
        lambda image: not image.is_even,
        "Its slices are not equally far apart: one may be missing.",
    ),
    (
        frozenset({"bold"}),
        lambda image: image.volume_count == 1,
        "It has one volume; a functional series needs several.",
    ),
    (
        frozenset({"bold"}),
        _lacks("RepetitionTime"),
        "Its repetition time is not in the headers.",
    ),
    (
        frozenset({"dwi/dwi"}),
        lambda image: image.bval_path is None or image.bvec_path is None,
        "Its b-values and gradient directions are not in the headers.",
    ),
    (
        frozenset({"dwi/dwi"}),
        lambda image: len(_b_values(image)) != image.volume_count,
        "It has another number of b-values than of volumes.",
    ),
    (
        # dcm2niix writes zeros when it knows a diffusion sequence but finds no b-values.
        frozenset({"dwi/dwi"}),
        lambda image: not any(_b_values(image)),
        "All its b-values are 0: it is unweighted, or its weighting is no longer in the headers.",
    ),
    (
        frozenset({"anat"}),
        lambda image: image.volume_count > 1,
        "It has several volumes; an anatomical image has one.",
    ),
    (
        frozenset({"phasediff"}),
        _lacks("EchoTime1", "EchoTime2"),
        "Its two echo times are not in the headers.",
    ),
    (frozenset({"fieldmap"}), _lacks("Units"), "Its unit is not in the headers."),
    (
        frozenset({"phase1", "phase2"}),
        _lacks("EchoTime"),
        "Its echo time is not in the headers.",
    ),
    (
        frozenset({"epi"}),
        _lacks("PhaseEncodingDirection", "TotalReadoutTime"),
        "Its phase-encoding direction or readout time is not in the headers.",
    ),
)
"""For data types and suffixes (none: for all): when an image has no place, and why."""
