"""Reads a DICOM file of the usual form over its bytes, and asks the rules about what is new in it.

The usual form is explicit little endian, elements in ascending order, nothing after the last one,
and no value that would have to be guessed at; pixels may be compressed. Any other file is read by
pydicom (``dicom``), with the same findings, at a tenth of the speed. Not here: the walk
(``dicom_walk``), and the rules.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.dataset import Dataset

from containers.check_identity.context import FileContext
from containers.check_identity.dicom_memory import (
    Effects,
    ElementMemory,
    State,
    key_of,
    raw_element,
    read_elements,
    recorder_like,
)
from containers.check_identity.dicom_rules import (
    DicomRules,
)
from containers.check_identity.dicom_walk import (
    MOST_META,
    PIXEL_DATA,
    STATE_TAGS,
    Data,
    UnusualFormError,
    Walk,
)
from containers.check_identity.search.matcher import Span

_INSTANCE = 0x00080018
_EXPLICIT_LITTLE = b"1.2.840.10008.1.2.1"


@dataclass(frozen=True, slots=True)
class PlainFile:
    """A file that was walked to its end.

    ``facts`` holds the elements that tell what the image is; ``is_native`` says that its pixels
    are not compressed.
    """

    facts: Dataset
    spans: list[Span]
    is_native: bool
    walk: Walk
    top: Effects

    def report(self, context: FileContext) -> None:
        """Give the file's context all that was found, in the order of the full reading."""
        for effects in self.walk.meta:
            effects.replay(context, "")
        self.top.replay(context, "")
        for at, what, text in (each for level in self.walk.private for each in level):
            context.fail(16, at, what, text)
        for effects, above in self.walk.loud:
            effects.replay(context, above)


def read_plain(data: Data, context: FileContext, memory: ElementMemory) -> PlainFile:
    """Walk a whole file.

    Raises
    ------
    UnusualFormError
        It must be read by pydicom; nothing was reported.
    """
    walk = Walk(data, context, memory)
    start, meta, syntax = walk.walk_meta()
    state = memory.latest or memory.state(b"", context)
    for _ in range(2):
        walk.begin(state)
        end = walk.level(start, len(data), "", 0)
        common = b"".join(raw for tag, raw in walk.top if tag in STATE_TAGS)
        if common == state.common:
            break
        # What was taken over from the file before does not hold for this one.
        state = memory.state(common, context)
    if end != len(data) or walk.last_tag > PIXEL_DATA or walk.last_tag < 0:
        raise UnusualFormError
    top, facts = _judge_top(walk, state, meta, context, memory)
    return PlainFile(facts, walk.spans, syntax == _EXPLICIT_LITTLE, walk, top)


def _judge_top(
    walk: Walk, state: State, meta: dict[int, bytes], context: FileContext, memory: ElementMemory
) -> tuple[Effects, Dataset]:
    """Hold the data set as a whole against the rules; most files of a series are alike."""
    instance = next((raw for tag, raw in walk.top if tag == _INSTANCE), b"")
    media = meta.get(0x00020003, b"")
    if media and instance[8:].rstrip(b"\0 ") != media.rstrip(b"\0 "):
        raise UnusualFormError
    common = b"".join(raw for tag, raw in walk.top if tag != _INSTANCE)
    media_class = meta.get(0x00020002, b"")
    key = key_of(media_class + b"\0\0\0\0" + common)
    found = memory.tops.get(key)
    if found is None:
        facts = read_elements(common)
        recorder = recorder_like(context)
        rules = DicomRules(recorder, facts)
        elements = [raw_element(0x00020002, "UI", media_class)] if media_class else []
        rules.check_file(state.data_set(*elements))
        rules.check_top(facts)
        if len(memory.tops) >= MOST_META:
            memory.tops.clear()
        found = memory.tops[key] = (recorder.taken(), facts)
    return found
