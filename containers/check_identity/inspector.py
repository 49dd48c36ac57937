"""Looks at one file from every side: bytes, packed streams, texts; then into what it contains.

Which reader a kind has is decided here. Not here: walking folders (``check``), and the formats.
"""

from __future__ import annotations

import bisect
import functools
import io
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import PurePath
from typing import BinaryIO

from containers.check_identity.context import VENDOR_TEXT, CheckSettings, FileContext, TextValue
from containers.check_identity.derived import DerivedLabels
from containers.check_identity.dicom_memory import ElementMemory
from containers.check_identity.kinds import HEAD_BYTES, Kind, kind_of
from containers.check_identity.known import KnownKind, KnownStrings
from containers.check_identity.patterns import Look, looks_in
from containers.check_identity.printable import printable_runs
from containers.check_identity.readers import (
    KNOWN_CRITERIA,
    LOOK_CRITERIA,
    READERS,
    TEXT_KINDS,
)
from containers.check_identity.result import Ledger
from containers.check_identity.search.base64_blocks import base64_blocks
from containers.check_identity.search.magic import packed_places
from containers.check_identity.search.matcher import Hit, Matcher, Region, Scan
from containers.check_identity.search.streams import (
    Budget,
    Member,
    Packing,
    TooMuchError,
    embedded,
    inner_name,
    members,
    packing_of,
)

_OPENED = frozenset({Packing.GZIP, Packing.BZIP2, Packing.XZ, Packing.ZIP, Packing.TAR})
_MAX_TEXT = 64 << 20
_MAX_TRIES = 100_000
_MAX_REMEMBERED = 1_000_000


@dataclass(slots=True)
class Inspector:
    """Looks at files, one after the other; all it finds goes to the ledger."""

    ledger: Ledger
    known: KnownStrings
    matcher: Matcher
    settings: CheckSettings
    bytes_searched: int = 0
    left_out: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    _clean: set[str | bytes] = field(default_factory=set)
    _elements: ElementMemory = field(init=False)
    _derivation_of: Callable[[str], str] = field(init=False)
    _has_known_dates: bool = field(init=False)
    _mask: Callable[[str], str] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare what depends on the known strings."""
        self._derivation_of = lru_cache(maxsize=4096)(DerivedLabels(self.known).derivation_of)
        self._has_known_dates = any(each.kind is KnownKind.DATE for each in self.known.strings)
        self._elements = ElementMemory(lambda text: text.key in self._clean)
        self._mask = lru_cache(maxsize=4096)(self._masked)

    def begin_part(self) -> None:
        """Start with an empty ledger of the same key, and nothing counted."""
        self.ledger = self.ledger.beside()
        self.bytes_searched = self.left_out = 0
        self.kinds = Counter()

    def inspect_file(self, stream: BinaryIO, relative_path: str) -> None:
        """Look at one file of the tree."""
        budget = Budget(
            self.settings.max_unpacked_bytes, self.settings.max_members, self.settings.max_depth
        )
        context = self._context(self.safe_path(relative_path), PurePath(relative_path).name, "")
        try:
            self._inspect(stream, context, budget, 0)
        except TooMuchError:
            context.doubt(26, "", "more is packed in it than the limit of the search")

    def inspect_name(self, relative_path: str) -> None:
        """Look at the name of a file or folder, with the folders above it."""
        self.ledger.apply(27, 3, 8, 5)
        context = self._context(self.safe_path(relative_path), "", "name")
        self._look_at_texts([TextValue("", relative_path, (27,))], context)
        for label in re.findall(r"(?:sub|ses)-([A-Za-z0-9]+)", PurePath(relative_path).name):
            self._look_at_label(label, context)

    def inspect_link(self, relative_path: str, target: str) -> None:
        """Look at where a symbolic link points; it is not followed."""
        context = self._context(self.safe_path(relative_path), "", "link")
        self._look_at_texts([TextValue("target", target, (27,))], context)

    def safe_path(self, relative_path: str) -> str:
        """Return a path to show: a part that holds an identity becomes a digest."""
        shown = "/".join(map(self._mask, relative_path.split("/")))
        if shown == relative_path and self._mask(relative_path) != relative_path:
            return self._mask(relative_path)
        return shown

    def _masked(self, text: str) -> str:
        encoded = text.encode("utf-8", "surrogateescape")
        is_secret = self.matcher.scan_bytes(encoded).hit_count or any(looks_in(text))
        if not is_secret and text.isprintable() and "\ufffd" not in text:
            return text
        suffix = PurePath(text).suffix
        kept = suffix if re.fullmatch(r"\.[A-Za-z]{1,5}", suffix) else ""
        return f"hidden-{self.ledger.digest(encoded)}{kept}"

    def _context(self, path: str, name: str, inside: str) -> FileContext:
        return FileContext(
            ledger=self.ledger,
            settings=self.settings,
            path=path,
            name=name,
            mask=self._mask,
            has_originals=self.known.has_originals,
            has_known_dates=self._has_known_dates,
            inside=inside,
            elements=self._elements,
        )

    def _inspect(self, stream: BinaryIO, context: FileContext, budget: Budget, depth: int) -> None:
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        self.ledger.apply(3, 8, 9, 14, 15, 26)
        kind = kind_of(context.name, head)
        packing = packing_of(head) if kind is None else None
        if packing in _OPENED:
            context.kind, context.region = packing.value, Region.VOXELS
        elif kind is None:
            what = "an empty file" if not head else "a kind of file that is not understood"
            context.doubt(26, "", what)
            context.kind = "unknown"
        else:
            self._parse(stream, kind, context)
        self.kinds[context.kind] += 1
        self._scan(stream, context)
        self._look_at_texts(context.texts, context)
        if kind is Kind.TABLE and len(context.known_kinds) > 1:
            context.fail(4, "", "known strings of several kinds, as in a key table")
        for at, label in context.labels:
            self._look_at_label(label, context, at)
        if packing in _OPENED:
            self._open(members(_at_start(stream), packing, budget), context, budget, depth)
        elif kind in TEXT_KINDS:
            self._decode_base64(stream, context, budget, depth)
        else:
            self._open_embedded(stream, context, budget, depth)

    def _parse(self, stream: BinaryIO, kind: Kind, context: FileContext) -> None:
        context.kind = kind.value
        if kind in TEXT_KINDS:
            context.region = Region.TEXT
        stream.seek(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                READERS[kind](stream, context)
        except (MemoryError, TooMuchError):
            raise
        except Exception as error:  # noqa: BLE001 - readers of others raise anything on damage
            context.doubt(26, "", f"damaged {kind.value} ({type(error).__name__})")

    def _scan(self, stream: BinaryIO, context: FileContext) -> None:
        scan = self.matcher.scan(_at_start(stream), context.spans, context.region)
        self.bytes_searched += scan.size
        self._report(scan, context, lambda hit: f"byte {hit.start}", ())
        for label, inner, spans in context.inner:
            with inner:
                part = self.matcher.scan(_at_start(inner), spans, Region.BINARY)
                self.bytes_searched += part.size
                self._report(part, context, functools.partial(_byte_of, label), ())

    def _report(
        self,
        scan: Scan,
        context: FileContext,
        where: Callable[[Hit], str],
        criteria: Sequence[int],
    ) -> None:
        self.left_out += scan.left_out
        for hit in scan.hits:
            known = self.known.strings[hit.known]
            context.known_kinds.add(known.kind)
            what = f"a known string of kind {known.kind}, as {hit.form}"
            for criterion in (KNOWN_CRITERIA[known.kind], *criteria):
                context.fail(criterion, where(hit), what, known.text)

    def _look_at_texts(self, values: Sequence[TextValue], context: FileContext) -> None:
        """Search texts for known strings and for what looks like an identity."""
        self.ledger.apply(8, 10, 15, 36)
        fresh = [(each.key, each) for each in values]
        # Most values of a series are the same in all its files.
        fresh = [(key, each) for key, each in fresh if key not in self._clean]
        if not fresh:
            return
        troubled = self._search_texts([each for _, each in fresh], context)
        if len(self._clean) < _MAX_REMEMBERED:
            self._clean.update(key for index, (key, _) in enumerate(fresh) if index not in troubled)

    def _search_texts(self, values: Sequence[TextValue], context: FileContext) -> set[int]:
        """Search texts and return the places, in the list, of those in which something is."""
        coded = [each.text.encode("utf-8", "surrogateescape") for each in values]
        starts = list(itertools.accumulate((len(each) + 1 for each in coded), initial=0))
        scan = self.matcher.scan_bytes(b"\n".join(coded))
        self.left_out += scan.left_out
        # A text with a match that was left out is searched again, so that the count of these does
        # not depend on which process met it first.
        troubled = {bisect.bisect_right(starts, at) - 1 for at in scan.left_out_at}
        for hit in scan.hits:
            index = bisect.bisect_right(starts, hit.start) - 1
            troubled.add(index)
            at = values[index].inside
            single = Scan(hits=[hit], hit_count=1)
            self._report(single, context, functools.partial(_always, at), values[index].criteria)
        if scan.hit_count > len(scan.hits) or scan.left_out > len(scan.left_out_at):
            # Not all hits are listed, so none of these texts is known to be clean.
            troubled = set(range(len(values)))
        joined = "\n".join(each.text for each in values)
        starts = list(itertools.accumulate((len(each.text) + 1 for each in values), initial=0))
        for found in looks_in(joined):
            index = bisect.bisect_right(starts, found.start) - 1
            value = values[index]
            if value.is_date and found.look is Look.DATE:
                continue
            if value.is_vendors and found.is_weak:
                continue
            troubled.add(index)
            for criterion in (LOOK_CRITERIA[found.look], *value.criteria):
                what = f"a text that looks like {found.look.value}"
                context.fail(criterion, value.inside, what, found.text)
        return troubled

    def _look_at_label(self, label: str, context: FileContext, at: str = "label") -> None:
        how = self._derivation_of(label)
        if how:
            context.fail(5, at, f"a label that is {how} of a known string", label)

    def _open(
        self,
        found: Iterable[Member],
        context: FileContext,
        budget: Budget,
        depth: int,
    ) -> None:
        if depth >= budget.max_depth:
            context.doubt(26, "", "archives within archives, deeper than the search goes")
            return
        for member in found:
            self._open_member(member, context, budget, depth)

    def _open_member(
        self, member: Member, context: FileContext, budget: Budget, depth: int
    ) -> None:
        name = member.name or inner_name(context.name)
        label = "/".join(map(self._mask, member.name.split("/"))) if member.name else "unpacked"
        inside = " > ".join(part for part in (context.inside, label) if part)
        inner = self._context(context.path, PurePath(name).name, inside)
        names = [TextValue("name", member.name, (27,))] if member.name else []
        texts = [TextValue("name or comment of the packing", each, (27,)) for each in member.texts]
        self._look_at_texts([*names, *texts], inner)
        if context.kind == Packing.GZIP:
            inner.apply(28)
            if member.texts:
                inner.fail(
                    28, "gzip header", "a file name, comment or extra field", member.texts[0]
                )
            if member.has_time:
                inner.fail(28, "gzip header", "a time")
        if member.is_link:
            inner.fail(27, "", "a link inside the archive")
        if member.problem:
            inner.doubt(26, "", member.problem)
        if member.stream is not None:
            with member.stream as stream:
                self._inspect(stream, inner, budget, depth + 1)

    def _open_embedded(
        self, stream: BinaryIO, context: FileContext, budget: Budget, depth: int
    ) -> None:
        """Open what is compressed in the middle of a file, such as vendors' blocks and PDF."""
        end, tries = 0, 0
        for offset, packing in packed_places(stream, context.spans, context.region):
            if offset < end:
                continue
            tries += 1
            if tries > _MAX_TRIES:
                context.doubt(26, "", "too many places that look like compressed streams")
                return
            if depth >= budget.max_depth:
                context.doubt(26, "", "archives within archives, deeper than the search goes")
                return
            if packing in {Packing.ZIP, Packing.TAR}:
                self._open_tail(stream, offset, packing, context, budget, depth)
                return
            member = embedded(stream, offset, packing, budget)
            if member is None:
                continue
            end = offset + member.used
            inside = " > ".join(
                part for part in (context.inside, f"{packing} stream at byte {offset}") if part
            )
            inner = self._context(context.path, "", inside)
            inner.kind = context.kind
            if member.stream is not None:
                with member.stream as unpacked:
                    self._inspect_part(unpacked, inner, budget, depth + 1)

    def _open_tail(  # noqa: PLR0913, PLR0917 - one archive, and where it lies
        self,
        stream: BinaryIO,
        offset: int,
        packing: Packing,
        context: FileContext,
        budget: Budget,
        depth: int,
    ) -> None:
        context.doubt(26, f"byte {offset}", "an archive inside a file of another kind")
        stream.seek(offset)
        rest = io.BytesIO(stream.read(_MAX_TEXT))
        self._open(members(rest, packing, budget), context, budget, depth)

    def _inspect_part(
        self, stream: BinaryIO, context: FileContext, budget: Budget, depth: int
    ) -> None:
        """Look at bytes that are part of a file: of any kind, so none is expected."""
        head = stream.read(HEAD_BYTES)
        if kind_of("", head) is not None or packing_of(head) in _OPENED:
            self._inspect(stream, context, budget, depth)
            return
        scan = self.matcher.scan(_at_start(stream), (), Region.TEXT)
        self.bytes_searched += scan.size
        criteria = (VENDOR_TEXT,) if context.kind == Kind.DICOM else ()
        self._report(scan, context, lambda hit: f"byte {hit.start}", criteria)
        stream.seek(0)
        data = stream.read(_MAX_TEXT)
        runs = printable_runs(data)
        self._look_at_texts([TextValue("text", each, criteria) for each in runs], context)
        self._open_embedded(stream, context, budget, depth)

    def _decode_base64(
        self, stream: BinaryIO, context: FileContext, budget: Budget, depth: int
    ) -> None:
        stream.seek(0)
        data = stream.read(_MAX_TEXT + 1)
        if len(data) > _MAX_TEXT:
            # Longer texts are tables of numbers; the forms of known strings were searched.
            data = data[:_MAX_TEXT]
        if depth >= budget.max_depth:
            return
        for offset, decoded in base64_blocks(data):
            budget.spend(len(decoded))
            where = f"base64 at byte {offset}"
            inside = " > ".join(part for part in (context.inside, where) if part)
            inner = self._context(context.path, "", inside)
            self._inspect_decoded(decoded, inner, budget, depth + 1)

    def _inspect_decoded(
        self, decoded: bytes, context: FileContext, budget: Budget, depth: int
    ) -> None:
        head = decoded[:HEAD_BYTES]
        if kind_of("", head) in {Kind.PNG, Kind.DICOM, Kind.NIFTI} or packing_of(head) in _OPENED:
            self._inspect(io.BytesIO(decoded), context, budget, depth)
            return
        scan = self.matcher.scan_bytes(decoded, Region.BINARY)
        self._report(scan, context, lambda hit: f"byte {hit.start}", ())
        packing = packing_of(head)
        if packing is not None:
            member = embedded(io.BytesIO(decoded), 0, packing, budget)
            if member is not None and member.stream is not None:
                with member.stream as stream:
                    self._inspect_part(stream, context, budget, depth)


def _always(place: str, _hit: Hit) -> str:
    return place


def _byte_of(label: str, hit: Hit) -> str:
    return f"{label}, byte {hit.start}"


def _at_start(stream: BinaryIO) -> BinaryIO:
    stream.seek(0)
    return stream
