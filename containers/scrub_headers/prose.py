"""Words that texts of sidecars and labels in file names may hold: those of BIDS itself.

The standard's own descriptions make a vocabulary of plain scientific English in which no person
is named; terms that it enumerates stay as they are. Not here: cleaning (``text``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from bidsschematools.schema import load_schema

from containers.scrub_headers.text import vocabulary

# Links, addresses, code and citations in the descriptions name people and places.
_NO_PROSE = re.compile(r"\S*(?:://|/|@)\S*|`[^`]*`|\([^)]*et al[^)]*\)")
_WORD = re.compile(r"(?<![\w.-])[A-Za-z]+(?!\w)")
_PIECE = re.compile(r"\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TASKS = frozenset(
    """
    nback stroop flanker gonogo oddball mmn faces houses scenes objects words pictures numbers
    emotion gambling social relational movie localizer localiser checkerboard tapping
    fingertapping pain reward memory working encoding retrieval attention imagery reading
    listening naming fluency picnam verb semantic phonological rhyme music tone tones noise
    sentences stories story
    go nogo stop signal switching navigation maze learning reversal delay discounting msit
    eyesopen eyesclosed eyes open closed resting restingstate day night wm test retest
    preproc moco homo sapiens mus musculus ambidextrous famous familiar unfamiliar scrambled neutral
    positive negative correct incorrect congruent incongruent target distractor go cue probe
    response button fixation blank rest instruction feedback practice block trial condition
    mmse moca bdi bai iq wais wasi wisc hads phq gad stai panas updrs edss psqi bmi height weight
    education score scores total subscale accuracy rt reaction latency group cohort site
    """.split()  # noqa: SIM905 - words are read and added more easily like this
)
"""Names of experiments that many laboratories use."""
_LONGEST_LABEL_NUMBER = 3
_SHORTEST_PLURAL = 4


@cache
def prose_words() -> frozenset[str]:
    """Return the words, in lower case, of which a text may consist."""
    found = set(vocabulary()) | _TASKS
    for text in _descriptions():
        found.update(word for word in _WORD.findall(_NO_PROSE.sub("", text)) if word.islower())
    several = {word[:-1] for word in found if word.endswith("s") and len(word) > _SHORTEST_PLURAL}
    return frozenset(found | several)


@cache
def enumerated_terms() -> frozenset[str]:
    """Return the values that BIDS enumerates, such as names of templates, as they are written."""
    enums: Any = load_schema().objects.enums
    found: set[str] = set()
    for key in enums:
        entry = enums[key].to_dict() if hasattr(enums[key], "to_dict") else enums[key]
        values = [entry.get("value"), *(entry.get("enum") or ())]
        found.update(each for each in values if isinstance(each, str))
    return frozenset(found)


def is_plain_label(label: str) -> bool:
    """Return whether a label of BIDS consists of known words, joined, and short numbers."""
    if label in enumerated_terms():
        return True
    words = prose_words()
    pieces = _PIECE.findall(label)
    return "".join(pieces) == label and all(
        len(each) <= _LONGEST_LABEL_NUMBER if each.isdigit() else each.lower() in words
        for each in pieces
    )


def _descriptions() -> Iterator[str]:
    objects: Any = load_schema().objects
    for kind in ("columns", "datatypes", "entities", "files", "metadata", "modalities", "suffixes"):
        for name in objects[kind]:
            yield str(objects[kind][name].get("description", ""))
