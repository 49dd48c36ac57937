"""What a scrubbing profile decides; profiles are YAML files beside this module.

Not here: what an attribute's rule becomes under a profile (``rules``).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from containers.contract import UsageError

_FOLDER = resources.files("containers.scrub_headers") / "profiles"


class DatePolicy(StrEnum):
    """What becomes of dates."""

    SHIFT = "shift"
    REMOVE = "remove"


class TimePolicy(StrEnum):
    """What becomes of times of the day."""

    KEEP = "keep"
    REMOVE = "remove"


class Doubt(StrEnum):
    """What a doubt about the pixels leads to."""

    REFUSE = "refuse"
    REPORT = "report"


@dataclass(frozen=True, slots=True)
class Profile:
    """The switches of one profile; the names of options are those of PS3.15 Table E.1-1.

    Parameters
    ----------
    name, description : str
        For people.
    version : int
        Raised with every change that alters a result.
    dates : DatePolicy
        Shifted by the participant's offset (Retain Longitudinal Temporal Information with
        Modified Dates), or removed.
    times : TimePolicy
        Kept as they are, or removed.
    retain_uids : bool
        Keep UIDs; otherwise they are mapped.
    retain_safe_private : bool
        Keep private elements of the safe list; otherwise all private elements go.
    clean_descriptors, clean_structured_content : bool
        Keep such content after cleaning; otherwise it goes.
    retain_device_identity, retain_institution_identity, retain_patient_characteristics : bool
        Keep what the table allows under these options.
    maximum_age_years : int
        Higher ages are written as one year more than this.
    sop_classes : frozenset[str]
        UIDs of the classes of files that may pass.
    unused_bits, suspicious_corners, colour_images : Doubt
        What is done when bits above Bits Stored are set, when corners look like drawn text, and
        when an image is in colour, as pictures of reports are.
    """

    name: str
    version: int
    description: str
    dates: DatePolicy
    times: TimePolicy
    retain_uids: bool
    retain_safe_private: bool
    clean_descriptors: bool
    clean_structured_content: bool
    retain_device_identity: bool
    retain_institution_identity: bool
    retain_patient_characteristics: bool
    maximum_age_years: int
    sop_classes: frozenset[str]
    unused_bits: Doubt
    suspicious_corners: Doubt
    colour_images: Doubt


def profile_names() -> tuple[str, ...]:
    """Return the names of the profiles that come with the project."""
    return tuple(
        sorted(
            each.name.removesuffix(".yaml")
            for each in _FOLDER.iterdir()
            if each.name.endswith(".yaml")
        )
    )


def load_profile(name: str) -> Profile:
    """Return one of the project's own profiles.

    Raises
    ------
    UsageError
        There is none of this name.
    """
    if name not in profile_names():
        raise UsageError(
            f"There is no scrubbing profile of this name; choose {', '.join(profile_names())}."
        )
    return parse_profile((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def read_profile(path: Path) -> Profile:
    """Read a profile from a file of the user's own.

    Raises
    ------
    UsageError
        The file cannot be read or is no profile.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"Cannot read the scrubbing profile: {type(error).__name__}. Name a YAML file."
        ) from None
    return parse_profile(text)


def parse_profile(text: str) -> Profile:
    """Return the profile that a YAML text describes.

    Raises
    ------
    UsageError
        The text is no YAML, or not what ``profile.schema.json`` asks.
    """
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError("The scrubbing profile is not written in YAML; mend its form.") from None
    fault = best_match(_validator().iter_errors(document))
    if fault is not None:
        place = "/".join(map(str, fault.absolute_path)) or "the document"
        raise UsageError(
            f"The scrubbing profile breaks its schema at {place} (rule {fault.validator}). "
            "Compare it with the profiles that come with the project."
        )
    return _from_document(document)


def _from_document(document: Mapping[str, Any]) -> Profile:
    values = {each.name: document[each.name] for each in fields(Profile)}
    values["sop_classes"] = frozenset(document["sop_classes"])
    values["dates"] = DatePolicy(values["dates"])
    values["times"] = TimePolicy(values["times"])
    for name in ("unused_bits", "suspicious_corners", "colour_images"):
        values[name] = Doubt(values[name])
    return Profile(**values)


@cache
def _validator() -> Draft202012Validator:
    schema = json.loads((_FOLDER / "profile.schema.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema)
