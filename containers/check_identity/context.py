"""What the readers of the formats share: the file in hand, and how they say what they find.

Not here: any format, and the search (``inspector``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, BinaryIO

from containers.check_identity.result import Ledger, Place
from containers.check_identity.search.matcher import Region, Span

if TYPE_CHECKING:
    from containers.check_identity.dicom_memory import ElementMemory

_GB = 1 << 30
VENDOR_TEXT = 17
"""The criterion on texts of vendors' blocks."""
_SHORT_TEXT = 40
_KEY_BYTES = 16


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """What may be in a tree, and how far the search goes.

    Parameters
    ----------
    options : frozenset of str, optional
        Options of PS3.15 (columns of Table E.1-1, such as ``retain_device_identity``) that are
        agreed for this release; None accepts what each file declares, except full dates.
    study_period : (date, date), optional
        First and last day of scanning; dates in it are real ones.
    max_unpacked_bytes : int
        Bytes that may come out of one file before it counts as unknown.
    max_depth : int
        Levels of archives within archives.
    """

    options: frozenset[str] | None = None
    study_period: tuple[date, date] | None = None
    max_unpacked_bytes: int = 8 * _GB
    max_members: int = 100_000
    max_depth: int = 6


@dataclass(frozen=True, slots=True)
class TextValue:
    """A text read from a format.

    ``inside`` says where, without any value. ``criteria`` are those that any find breaks besides
    its own; ``is_date`` leaves dates to the reader, which knows their meaning.
    """

    inside: str
    text: str
    criteria: tuple[int, ...] = ()
    is_date: bool = False

    @property
    def is_vendors(self) -> bool:
        """Whether it is read from a vendor's block."""
        return VENDOR_TEXT in self.criteria

    @property
    def key(self) -> str | bytes:
        """What stands for the text and the way it is judged, among those found clean."""
        kind = "td"[self.is_date] + "sv"[self.is_vendors]
        if len(self.text) <= _SHORT_TEXT:
            return kind + self.text
        text = (kind + self.text).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, digest_size=_KEY_BYTES).digest()


@dataclass(slots=True)
class FileContext:
    """One file or member, while it is looked at.

    ``path`` is safe to show; ``name`` is not. ``mask`` makes a text safe to show. ``elements`` is
    what the run remembers of DICOM elements; without it each is judged anew.
    """

    ledger: Ledger
    settings: CheckSettings
    path: str
    name: str
    mask: Callable[[str], str]
    has_originals: bool
    has_known_dates: bool
    inside: str = ""
    region: Region = Region.BINARY
    spans: list[Span] = field(default_factory=list)
    texts: list[TextValue] = field(default_factory=list)
    inner: list[tuple[str, BinaryIO, list[Span]]] = field(default_factory=list)
    labels: list[tuple[str, str]] = field(default_factory=list)
    known_kinds: set[str] = field(default_factory=set)
    kind: str = ""
    elements: ElementMemory | None = None

    def apply(self, *criteria: int) -> None:
        """Note that the file was held against these criteria."""
        self.ledger.apply(*criteria)

    def fail(self, criterion: int, inside: str, what: str, text: str | bytes = "") -> None:
        """Note that a criterion is not met; the text goes in as a digest only."""
        place = self._place(inside, what, text) if self.ledger.lists_more(criterion) else None
        self.ledger.fail(criterion, place)

    def doubt(self, criterion: int, inside: str, what: str, text: str | bytes = "") -> None:
        """Note that a criterion cannot be judged here."""
        place = self._place(inside, what, text) if self.ledger.lists_more(criterion) else None
        self.ledger.doubt(criterion, place)

    def _place(self, inside: str, what: str, text: str | bytes) -> Place:
        where = " > ".join(part for part in (self.inside, inside) if part)
        return Place(self.path, where, what, self.ledger.digest(text) if text else "")
