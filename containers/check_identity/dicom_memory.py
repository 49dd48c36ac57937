"""What the elements of a run's DICOM files were found to hold, so that none is judged twice.

Most elements of a series are the same in all its files. What the rules say of an element depends
on its bytes, on the file's character set and declared methods, and on its private creator only;
all of these are part of what is looked up. Not here: the walk (``dicom_plain``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import NamedTuple, TypeVar

from pydicom.dataelem import RawDataElement, empty_value_for_VR
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from containers.check_identity.context import FileContext, TextValue
from containers.check_identity.dicom_rules import DicomRules

_MOST_ELEMENTS = 100_000
_LONGEST_KEY = 256
_DIGEST_BYTES = 16
_MOST_STATES = 16
_Key = TypeVar("_Key")


class Found(NamedTuple):
    """A finding or doubt; ``inside`` is the element without the sequences around."""

    is_doubt: bool
    criterion: int
    inside: str
    what: str
    text: str | bytes


@dataclass(slots=True)
class Effects:
    """What an element does to the result wherever it stands.

    ``applied`` are the criteria that it was held against, until they have been noted.
    """

    found: tuple[Found, ...] = ()
    texts: tuple[TextValue, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    applied: tuple[int, ...] = ()

    def replay(self, context: FileContext, above: str) -> None:
        """Give a file's context everything, with the sequences around put before the places."""
        if self.applied:
            context.apply(*self.applied)
            self.applied = ()
        for is_doubt, criterion, inside, what, text in self.found:
            note = context.doubt if is_doubt else context.fail
            note(criterion, above + inside, what, text)
        for each in self.texts:
            inside = above + each.inside
            context.texts.append(TextValue(inside, each.text, each.criteria, each.is_date))
        context.labels += [(above + inside, label) for inside, label in self.labels]


@dataclass(slots=True)
class Recorder(FileContext):
    """A context that keeps what the rules say of one element, instead of reporting it."""

    found: list[Found] = field(default_factory=list)
    applied: dict[int, None] = field(default_factory=dict)

    def apply(self, *criteria: int) -> None:
        """Keep the criteria."""
        self.applied.update(dict.fromkeys(criteria))

    def fail(self, criterion: int, inside: str, what: str, text: str | bytes = "") -> None:
        """Keep a finding."""
        self.found.append(Found(False, criterion, inside, what, text))  # noqa: FBT003 - a row

    def doubt(self, criterion: int, inside: str, what: str, text: str | bytes = "") -> None:
        """Keep a doubt."""
        self.found.append(Found(True, criterion, inside, what, text))  # noqa: FBT003 - a row

    def taken(self) -> Effects:
        """Return what was kept, and forget it."""
        effects = Effects(
            tuple(self.found), tuple(self.texts), tuple(self.labels), tuple(self.applied)
        )
        self.found, self.texts, self.labels, self.applied = [], [], [], {}
        return effects


def recorder_like(context: FileContext) -> Recorder:
    """Return a recorder with a context's settings."""
    return Recorder(
        ledger=context.ledger,
        settings=context.settings,
        path="",
        name="",
        mask=context.mask,
        has_originals=context.has_originals,
        has_known_dates=context.has_known_dates,
    )


def key_of(raw: bytes) -> bytes:
    """Return what stands for an element's bytes: themselves, or a digest where they are long."""
    if len(raw) <= _LONGEST_KEY:
        return raw
    return hashlib.blake2b(raw, digest_size=_DIGEST_BYTES).digest()


def raw_element(tag: int, vr: str, value: bytes) -> RawDataElement:
    """Return an element as pydicom reads it from explicit little endian."""
    empty = empty_value_for_VR(vr, raw=True)
    content = value or (empty if isinstance(empty, bytes) else None)
    return RawDataElement(
        BaseTag(tag), vr, len(value), content, 0, is_implicit_VR=False, is_little_endian=True
    )


def read_elements(raw: bytes) -> Dataset:
    """Return a data set of some elements in explicit little endian."""
    return read_dataset(BytesIO(raw), is_implicit_VR=False, is_little_endian=True)


class Head(NamedTuple):
    """What the first six bytes of an element tell; ``width`` is that of one number, or 0."""

    tag: int
    vr: str
    kind: int
    is_long: bool
    width: int


class State:
    """What is remembered under one character set and one list of declared methods.

    Parameters
    ----------
    common : bytes
        The elements (0008,0005) and (0012,0064), as far as they are there.
    context : FileContext
        Any file's; its settings are those of the run.
    """

    def __init__(self, common: bytes, context: FileContext) -> None:
        self.common = common
        self.recorder = recorder_like(context)
        top = read_elements(common)
        self.rules = DicomRules(self.recorder, top)
        self.encoding = top.original_character_set
        self.heads: dict[bytes, Head] = {}
        self.elements: dict[bytes, Effects | None] = {}
        self.private: dict[bytes, dict[bytes, Effects | None]] = {}
        self.sequences: dict[tuple[int, bool, bool], Effects | None] = {}
        self.quiet_sequences: set[bytes] = set()

    def data_set(self, *elements: RawDataElement) -> Dataset:
        """Return a data set of some elements under this character set."""
        found = Dataset({each.tag: each for each in elements})
        found.set_original_encoding(
            is_implicit_vr=False, is_little_endian=True, character_encoding=self.encoding
        )
        return found


class ElementMemory:
    """All that is remembered in a run.

    Parameters
    ----------
    is_clean : callable
        Whether a text has been searched, and nothing was found in it.
    """

    def __init__(self, is_clean: Callable[[TextValue], bool]) -> None:
        self.is_clean = is_clean
        self.meta: dict[bytes, Effects | None] = {}
        self.tops: dict[bytes, tuple[Effects, Dataset]] = {}
        self.latest: State | None = None
        self._states: dict[bytes, State] = {}

    def state(self, common: bytes, context: FileContext) -> State:
        """Return what is remembered under a character set and declared methods."""
        found = self._states.get(common)
        if found is None:
            if len(self._states) >= _MOST_STATES:
                self._states.clear()
            found = self._states[common] = State(common, context)
        self.latest = found
        return found

    def settle(
        self, memory: dict[_Key, Effects | None], key: _Key, effects: Effects
    ) -> Effects | None:
        """Remember what an element does; None where it does nothing any more."""
        left: Effects | None = effects
        is_silent = not (effects.found or effects.labels or effects.applied)
        if is_silent and all(map(self.is_clean, effects.texts)):
            left = None
        if len(memory) >= _MOST_ELEMENTS:
            memory.clear()
        memory[key] = left
        return left
