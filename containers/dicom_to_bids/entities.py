"""The labels in a file name: those of one image, and those that tell images of a session apart.

Labels come from names of BIDS's form, from dcm2niix's guess and from headers; a text that holds
an identity never becomes one. Not here: runs, and which labels BIDS allows (``names``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from containers.dicom_to_bids.classify.context import Candidate
from containers.dicom_to_bids.classify.facts import Component, number
from containers.dicom_to_bids.classify.schema import allowed_entities
from containers.dicom_to_bids.classify.wording import task_of, written_name
from containers.dicom_to_bids.convert import Converted
from containers.dicom_to_bids.identity import SourceIdentity

UNKNOWN_TASK = "unknown"
_FROM_NAMES = ("task", "acq", "ce", "rec", "dir", "inv", "flip", "mt")
_FROM_GUESS = ("acq", "rec", "ce", "dir")
_IN_DIRECTIONS = frozenset({"func/bold", "func/sbref", "dwi/dwi", "dwi/sbref", "fmap/epi"})
_TELLS_APART = frozenset({"echo", "part", "inv"})
_REQUIRED_NAMES = {"flip": "the flip angle's number", "mt": "the magnetisation transfer's state"}
_POLES = (("L", "R"), ("P", "A"), ("S", "I"))
"""Where the axes of DICOM's patient system point, and where they come from (PS3.3, C.7.6.2.1.1)."""


@dataclass(frozen=True, slots=True)
class Item:
    """An image with its own labels; ``is_mapped``: the project's map gave them."""

    candidate: Candidate
    entities: dict[str, str]
    is_mapped: bool

    @property
    def kind(self) -> tuple[str, str]:
        """Return data type and suffix."""
        return (self.candidate.decision.data_type, self.candidate.decision.suffix)


def own_entities(
    image: Converted, candidate: Candidate, identity: SourceIdentity
) -> dict[str, str]:
    """Return the labels of one image by itself."""
    found: dict[str, str] = {}
    guess = candidate.facts.guess
    guessed = guess[1].split("_") if guess else []
    for part in guessed:
        key, _, value = part.partition("-")
        # In diffusion, dcm2niix's label is the b-value of whichever file came first.
        is_chance = key == "acq" and candidate.decision.data_type == "dwi"
        if key in _FROM_GUESS and not is_chance:
            found[key] = re.sub(r"[\W_]", "", value)
    direction = phase_direction(image.sidecar)
    if direction and candidate.decision.kind in _IN_DIRECTIONS:
        found["dir"] = direction
    if "MOCO" in candidate.facts.image_type:
        found["rec"] = "moco"
    written = written_name(candidate.facts.name)
    given = dict(written.entities) if written else {}
    found |= {key: value for key, value in given.items() if key in _FROM_NAMES}
    found |= candidate.decision.entities
    if direction and found.get("dir", "") not in {"", direction} and _is_direction(found["dir"]):
        # The header knows how it was measured; a name is copied from protocol to protocol.
        found["dir"] = direction
    if candidate.decision.data_type == "func":
        found["task"] = task_of(candidate.facts.name)
    return {
        key: value
        for key, value in found.items()
        if value and value.isascii() and value.isalnum() and not identity.touches(value)
    }


def _is_direction(label: str) -> bool:
    return label in {"AP", "PA", "LR", "RL", "SI", "IS"}


def phase_direction(sidecar: Mapping[str, object]) -> str:
    """Return from where to where the phase is encoded, such as ``AP``; empty if unknown.

    In-plane axes only, by Image Orientation (Patient) (0020,0037): dcm2niix keeps the direction
    of rows and reverses that of columns.
    """
    encoded = str(sidecar.get("PhaseEncodingDirection") or "")
    cosines = sidecar.get("ImageOrientationPatientDICOM")
    if encoded[:1] not in {"i", "j"} or not isinstance(cosines, list) or len(cosines) != 6:  # noqa: PLR2004 - two directions in space
        return ""
    axis = [number(value) or 0.0 for value in (cosines[:3] if encoded[0] == "i" else cosines[3:])]
    sign = 1.0 if encoded[0] == "i" else -1.0
    along = max(range(3), key=lambda each: abs(axis[each]))
    towards, away = _POLES[along]
    is_positive = (axis[along] * sign > 0) != encoded.endswith("-")
    return f"{away}{towards}" if is_positive else f"{towards}{away}"


def described(keys: Iterable[str]) -> str:
    """Return entity keys as words for a sentence."""
    return " and ".join(_REQUIRED_NAMES.get(key, f"{key}-") for key in keys)


def joined(items: Sequence[Item]) -> list[dict[str, str]]:
    """Return the labels of all images, with those that tell the images of one series apart."""
    labels = [dict(item.entities) for item in items]
    _share_reference_labels(items, labels)
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, item in enumerate(items):
        if "echo" in (allowed_entities(*item.kind) or frozenset()):
            key = (item.kind, item.candidate.acquisition, _plain(labels[place]))
            groups.setdefault(key, []).append(place)
    for places in groups.values():
        _number_echoes(items, labels, places)
    _name_components(items, labels)
    return labels


def _plain(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in labels.items() if key not in _TELLS_APART))


def _number_echoes(
    items: Sequence[Item], labels: Sequence[dict[str, str]], places: Sequence[int]
) -> None:
    """Count the echoes of one acquisition where it has several."""
    times = {place: items[place].candidate.facts.echo_time for place in places}
    known = sorted({time for time in times.values() if time is not None})
    numbers = [items[place].candidate.facts.echo_number for place in places]
    if len(known) < 2 or not any(numbers):  # noqa: PLR2004 - several
        return
    for place in places:
        time = times[place]
        if time is not None and "echo" not in labels[place]:
            labels[place]["echo"] = str(known.index(time) + 1)


def _name_components(items: Sequence[Item], labels: Sequence[dict[str, str]]) -> None:
    """Name phase, real and imaginary images, and the magnitude where it has one of them beside."""
    with_others: set[object] = set()
    for place, item in enumerate(items):
        component = item.candidate.facts.component
        can_have = "part" in (allowed_entities(*item.kind) or frozenset())
        if can_have and component is not Component.MAGNITUDE:
            labels[place]["part"] = component.value
            with_others.add((item.kind, _without_part(labels[place])))
    for place, item in enumerate(items):
        if (
            item.candidate.facts.component is Component.MAGNITUDE
            and (item.kind, _without_part(labels[place])) in with_others
        ):
            labels[place]["part"] = Component.MAGNITUDE.value


def _without_part(labels: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in labels.items() if key != "part"))


def _share_reference_labels(items: Sequence[Item], labels: Sequence[dict[str, str]]) -> None:
    """Give each single-band reference the labels of the series that it was measured for.

    It comes right before its series, with the same geometry and direction.
    """
    for place, item in enumerate(items):
        data_type, suffix = item.kind
        if suffix != "sbref" or item.is_mapped:
            continue
        series = {"func": "bold", "dwi": "dwi"}[data_type]
        for later in range(place + 1, len(items)):
            other = items[later]
            is_its = (
                other.kind == (data_type, series)
                and other.candidate.geometry == item.candidate.geometry
                and other.candidate.direction == item.candidate.direction
            )
            if is_its:
                labels[place] |= {
                    key: value
                    for key, value in labels[later].items()
                    if key in {"acq", "task", "dir"}
                }
                break
