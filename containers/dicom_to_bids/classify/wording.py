"""What people say about a series: names of BIDS's or ReproIn's form, and words in free texts.

Free texts differ from site to site, so a word only ever decides between what the measurement
leaves open. Not here: what headers say (``physics``).

References
----------
ReproIn: https://github.com/ReproNim/reproin, "Specification", and heudiconv's heuristic of that
name. BIDS 1.10, "Entities".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from containers.dicom_to_bids.classify.schema import (
    allowed_entities,
    data_type_of,
    entity_keys,
    mri_data_types,
    suffix_as_written,
)

_SCANNER_PREFIX = re.compile(r"^(?:WIP[ _]+|\[[^\]]*\]\s*)+", re.IGNORECASE)
"""Philips puts WIP in front of names; GE sites a protocol's number in brackets."""
_COMMENT = re.compile(r"__.*$")
_REPROIN_PREFIX = re.compile(r"^[0-9]+[-_]")
_LOCALISERS = frozenset({"scout", "localizer", "localiser"})


@dataclass(frozen=True, slots=True)
class WrittenName:
    """A name of BIDS's form; ``suffix`` is empty where only the data type is written."""

    data_type: str
    suffix: str
    entities: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    is_localiser: bool = False


def written_name(text: str) -> WrittenName | None:
    """Return the first word of the text that is a name of BIDS's or ReproIn's form.

    ReproIn: ``func-bold_task-rest_run-1``, ``fmap_acq-3mm_dir-AP``; BIDS:
    ``task-rest_dir-AP_bold``, ``T1w``.
    """
    for word in _SCANNER_PREFIX.sub("", text.strip()).split():
        found = _reproin(word) or _bids(word)
        if found:
            return found
    return None


def _reproin(word: str) -> WrittenName | None:
    parts = [part for part in _COMMENT.sub("", _REPROIN_PREFIX.sub("", word)).split("_") if part]
    head, _, tail = (parts[0] if parts else "").partition("-")
    data_type = head.lower()
    if data_type not in mri_data_types():
        return None
    if tail.lower() in _LOCALISERS:
        return WrittenName(data_type, "", is_localiser=True)
    suffix = suffix_as_written(tail) or ""
    last = suffix_as_written(parts[-1]) if len(parts) > 1 else None
    suffix = suffix or last or ""
    entities = _entities(parts[1:])
    is_alone = word.lower() == data_type and data_type != "perf"
    has_form = bool(suffix) or bool(entities) or is_alone
    if not has_form or (suffix and allowed_entities(data_type, suffix) is None):
        return None
    return WrittenName(data_type, suffix, entities)


def _bids(word: str) -> WrittenName | None:
    parts = [part for part in word.split("_") if part]
    suffix = suffix_as_written(parts[-1]) if parts else None
    data_type = data_type_of(suffix) if suffix else None
    if not suffix or not data_type or suffix not in {parts[-1], *_ANY_CASE}:
        return None
    entities = _entities(parts[:-1])
    # A lone word such as FA or PD is a word, not a name; T1w and the like are BIDS's own.
    if len(parts) > 1 and len(entities) + 1 < len(parts):
        return None
    if len(parts) == 1 and suffix not in _OWN_WORDS:
        return None
    return WrittenName(data_type, suffix, entities)


_ANY_CASE = frozenset({"bold", "dwi", "sbref", "epi"})
_OWN_WORDS = frozenset({"T1w", "T2w", "T2starw", "PDw", "UNIT1", "MEGRE", "MESE"})
"""Words of BIDS that mean one kind of image even alone."""


def _entities(parts: Sequence[str]) -> Mapping[str, str]:
    found = {}
    for part in parts:
        key, separator, value = part.partition("-")
        # Letters of other alphabets stay, so that who takes the label sees them and refuses it.
        label = re.sub(r"[\W_]", "", value)
        if separator and label and key in entity_keys() and key not in {"sub", "ses"}:
            found[key] = label
    return MappingProxyType(found)


def has_word(text: str, pattern: str) -> bool:
    """Tell whether a pattern occurs in the text between signs that are no letters."""
    return re.search(rf"(?:^|[^a-z])(?:{pattern})(?![a-z])", _lowered(text)) is not None


def _lowered(text: str) -> str:
    """Return the text in small letters, with a blank where a capital begins a word."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()


def task_of(text: str) -> str:
    """Return the task that a name tells, or an empty text.

    ``task-<label>`` in any place, or words for rest.
    """
    written = re.search(r"(?:^|[^A-Za-z])task[-=]([^\W_]+)", text)
    if written:
        return written[1]
    return "rest" if has_word(text, r"rest(?:ing)?(?: ?state)?|rs ?-?_?fmri|rsfmri|rfmri") else ""


DISTORTION = (
    r"field ?-?_?maps?(?:ping)?|fmaps?|topup|pepolar|dist(?:ortion)?n? ?_?corr(?:ection)?|"
    r"distortionn?|blip|rev(?:ersed?)?[ _-]?(?:p/?e|phase)|(?:matching|opposite) p/?e|fm|"
    r"revpol|b0 ?_?map"
)
FIELD_MAP = r"field ?-?_?maps?(?:ping)?|fmaps?|b0 ?_?-?maps?|b0|fm|gre ?_?field"
REFERENCE = r"sb ?_?ref|single ?-?_?band ?_?ref(?:erence)?|sbr"
DIFFUSION = r"dwi|dti|diff(?:usion)?|d ?mri|hardi|noddi|dki|dsi"
FUNCTIONAL = r"bold|f ?mri|func|rest|task|f?epi"
NO_EXCITATION = r"no ?_?-?rf|noise(?: ?scan)?"
PERFUSION = r"(?:p?c?a|pc|p|v)?asl"
CONTRAST = r"perf(?:usion)?|dsc|dce|pwi"
CALIBRATION = r"m0(?: ?scan)?"
LOCALISER = (
    r"loc|locali[sz]er|scout|survey|3 ?-?_?plane|three ?-?plane|smart ?brain|calib(?:ration)?|"
    r"asset|ref ?_?scan|coil ?_?sens|aa ?head|locator|plan ?scan|cal ?head|pre ?scan|shim(?:ming)?"
)
COMPUTED = (
    r"[ed]?adc|tracew|col(?:our|or)? ?_?-?fa|fa ?_?-?(?:maps?|colou?r)|(?:dti|dwi)[ _-]*(?:fa|md)|"
    r"(?:r|rel)?_?cb[fv]|mtt|ttp|t ?max|blood ?_?flow|t ?-?_?maps?|glm"
)
"""Maps; of images of one volume only, because protocols of raw series name their maps, too."""
COMPUTED_IN_SPACE = (
    r"(?:min|m|max|mn) ?ips?|(?:col|pjn|water|fat|(?:in|out) ?-?_?phase|filt_?pha) ?:|"
    r"subtractions?|t[12] ?_?(?:\*|star)? ?_?maps?|"
    r"r[12] ?_?(?:\*|star)? ?_?maps?|b1 ?_?-?(?:\+|maps?(?:ping)?)|afi|dream|svs|mrs|"
    r"spectro(?:scopy)?|synthetic|sy ?mri|dixon[ _-]*\w*[ _-](?:w|f|in|opp|out)"
)
"""The same for images that are not echo-planar, among whose tasks such words occur."""
ANATOMICAL: Sequence[tuple[str, str]] = (
    ("UNIT1", r"uni(?: ?_?images?)?|unit1"),
    ("FLAIR", r"(?:t2)?[ _-]*flair|dark ?-?_?fluid|tirm"),
    ("angio", r"tof|mra|mrv|angio(?:graphy)?"),
    ("T2starw", r"t2 ?_?\*w?|t2 ?_?star(?:w)?|swi|swan|hemo|gre ?_?t2"),
    ("T1w", r"t1w?|mp ?_?rage|mpr|bravo|f?spgr|t1 ?_?tfe|mdeft|flash|3d ?t1|tfl|tfe|fsp"),
    ("T2w", r"t2w?|space|cube|vista"),
    ("PDw", r"pdw?|proton(?: ?density)?"),
)
IN_PLANE = r"in ?-?_?plane|matched"
"""Patterns for `has_word`; small letters, without digits' neighbours being words."""
