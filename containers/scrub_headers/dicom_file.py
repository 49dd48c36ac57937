"""Copies one DICOM file without its identities: header rewritten, pixels passed on untouched.

The header alone is parsed; the bytes of the pixel data go from file to file inside the kernel,
so memory does not grow with them. Whatever cannot be parsed to its end is refused, and the
result appears whole under its name or not at all. Not here: single elements (``dataset``).

References
----------
DICOM PS3.10 section 7 (file format), PS3.5 annex A (transfer syntaxes), PS3.15 annex E.
"""

from __future__ import annotations

import functools
import mmap
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from containers.scrub_headers.compressed import check_fragments
from containers.scrub_headers.context import CleanContext
from containers.scrub_headers.dataset import DatasetCleaner
from containers.scrub_headers.encoding import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    LONG_VRS,
    Data,
    Encoding,
)
from containers.scrub_headers.errors import RefusedFileError
from containers.scrub_headers.file_head import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    deflate,
    encoding_of,
    find_dataset,
    inflate,
)
from containers.scrub_headers.file_writing import PIECE_BYTES, Verdict, write_file
from containers.scrub_headers.image_policy import (
    UnusedBits,
    check_kind,
    check_length,
    check_pixels,
    image_facts,
)
from containers.scrub_headers.known import KnownIdentities
from containers.scrub_headers.marks import file_start, marks
from containers.scrub_headers.profile import Profile
from containers.scrub_headers.pseudonyms import SECRET_BYTES, Pseudonyms
from containers.scrub_headers.table import keyword_of
from containers.scrub_headers.walk import Walk

_READ_WHOLE_BYTES = 1 << 20
"""Smaller files are read at once, which is quicker than to map them."""
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_SPECTRUM, _MR_SPECTROSCOPY = 0x56000020, "1.2.840.10008.5.1.4.1.1.4.2"
_OVERLAY_BIT_MASK, _OVERLAY_BIT = 0xFF00FFFF, 0x60000102


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file.

    Parameters
    ----------
    counts : Mapping[str, int]
        Elements by the rule that decided on them.
    warnings : tuple of str
        Doubts that a person should look at; no value of the file is in them.
    """

    counts: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ElementDecision:
    """What would become of one element, for people.

    ``path`` holds the tags of the sequences around, ``tag`` is written (gggg,eeee), ``outcome``
    is one of ``kept``, ``changed``, ``emptied``, ``removed``, ``cleaned inside``, ``kept if an
    element of its block is``, ``refused``. The last decision of a file that is refused has no
    tag, and the reason as its rule.
    """

    path: tuple[str, ...]
    tag: str
    keyword: str
    vr: str
    action: str
    rule: str
    outcome: str


class Scrubber:
    """Scrubs the files of one participant; quicker with every file that resembles the last.

    Raises
    ------
    ValueError
        The patient's label cannot be written as a PatientID.
    """

    def __init__(self, profile: Profile, pseudonyms: Pseudonyms, known: KnownIdentities) -> None:
        self._profile = profile
        self._pseudonyms = pseudonyms
        context = CleanContext(pseudonyms, profile, known)
        self._cleaners = {
            encoding: DatasetCleaner(context, encoding)
            for encoding in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG)
        }
        label = pseudonyms.patient_label
        self._marks = {each: marks(profile, label, each) for each in self._cleaners}

    def scrub(self, source: Path, target: Path) -> FileReport:
        """Write a clean copy; its name must be free, and nothing is written on refusal.

        Raises
        ------
        RefusedFileError
            The file cannot be vouched for.
        FileExistsError
            Something has the target's name.
        OSError
            Reading or writing fails.
        """
        if os.path.lexists(target):
            raise FileExistsError("the name of the clean copy is taken")
        descriptor = os.open(source, os.O_RDONLY)
        try:
            size = os.fstat(descriptor).st_size
            if size <= _READ_WHOLE_BYTES:
                return self._scrub(_read_whole(descriptor, size), descriptor, target)
            with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
                return self._scrub(mapped, descriptor, target)
        finally:
            os.close(descriptor)

    def explain(self, source: Path) -> Iterator[ElementDecision]:
        """Return what would become of each element of a file.

        Raises
        ------
        RefusedFileError
            The file is no well-formed DICOM file, so nothing can be said of its elements.
        """
        with source.open("rb", buffering=0) as file:
            if os.fstat(file.fileno()).st_size <= _READ_WHOLE_BYTES:
                yield from self._explain(file.read())
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                yield from self._explain(data)

    def _explain(self, data: Data) -> Iterator[ElementDecision]:
        start, syntax = find_dataset(data)
        if syntax == DEFLATED:
            data, start = inflate(data, start), 0
        encoding = encoding_of(syntax)
        walk = Walk(marks=self._marks[encoding], trace=[])
        self._cleaners[encoding].clean(data, start, len(data), walk)
        for path, tag, vr, decision, outcome in walk.trace or ():
            yield ElementDecision(
                path=tuple(_written(each) for each in path),
                tag=_written(tag),
                keyword=keyword_of(tag),
                vr=vr,
                action=decision.action.name.lower(),
                rule=decision.rule,
                outcome=outcome,
            )
        if walk.pixels is not None:
            tag = walk.pixels[0]
            rule = "pixel data untouched"
            yield ElementDecision((), _written(tag), keyword_of(tag), "", "pixels", rule, "kept")
        try:
            verdict = self._check(data, walk, encoding, syntax)
            if verdict.bits is not None and walk.pixels is not None:
                for start in range(walk.value_start, walk.pixels[2], PIECE_BYTES):
                    verdict.bits.look(data, start, min(start + PIECE_BYTES, walk.pixels[2]))
            verdict.close()
        except RefusedFileError as refusal:
            yield ElementDecision((), "", "", "", "refuse", refusal.reason, "refused")

    def _scrub(self, data: Data, descriptor: int, target: Path) -> FileReport:
        start, syntax = find_dataset(data)
        if syntax == DEFLATED:
            data, start, descriptor = inflate(data, start), 0, -1
        encoding = encoding_of(syntax)
        cleaner = self._cleaners[encoding]
        walk = Walk(marks=self._marks[encoding])
        pieces, _ = cleaner.clean(data, start, len(data), walk)
        verdict = self._check(data, walk, encoding, syntax)
        _, _, end = walk.pixels or (0, 0, 0)
        instance = _text(walk.facts, _SOP_INSTANCE)
        if not self._profile.retain_uids:
            instance = self._pseudonyms.uid(instance)
        if end < len(data):
            verdict.warnings.append("Bytes after its pixel data were left out.")
        pixel_header = _pixel_header(data, walk, encoding)
        head = file_start(verdict.sop_class, instance, syntax)
        body = (walk.value_start, end)
        if syntax == DEFLATED:
            packed = deflate((*pieces, pixel_header, data[body[0] : body[1]]))
            write_file(target, (head, packed), b"", -1, (0, 0))
        else:
            write_file(target, (head, *pieces, pixel_header), data, descriptor, body, verdict)
        counts = {
            rule: number for rule, number in zip(cleaner.rules, walk.tally, strict=False) if number
        }
        return FileReport(counts, tuple(verdict.warnings))

    def _check(self, data: Data, walk: Walk, encoding: Encoding, syntax: str) -> Verdict:
        """Refuse what is no clean image; the pixels of a large file are looked at later."""
        sop_class = _text(walk.facts, _SOP_CLASS)
        warnings = check_kind(walk.facts, sop_class, self._profile)
        verdict = Verdict(sop_class, warnings)
        if not _text(walk.facts, _SOP_INSTANCE):
            raise RefusedFileError("It has no SOP Instance UID.")
        if walk.pixels is None:
            raise RefusedFileError("It has no pixel data, or ends before them.")
        if walk.pixels[0] == _SPECTRUM:
            if sop_class != _MR_SPECTROSCOPY:
                raise RefusedFileError("It holds a spectrum, which an image does not.")
            return verdict
        image = image_facts(walk.facts, big_endian=encoding.big_endian)
        if walk.pixels[0] != 0x7FE00010:  # noqa: PLR2004 - pixel data of another type of number
            check_length(image, walk.pixels[2] - walk.value_start)
            return verdict
        if not walk.native:
            check_fragments(data, walk.value_start, walk.pixels[2], syntax, image)
            return verdict
        if syntax not in {IMPLICIT, EXPLICIT, DEFLATED, BIG}:
            raise RefusedFileError("Its pixel data are not packed as its transfer syntax says.")
        check_length(image, walk.pixels[2] - walk.value_start)
        overlay_bits = tuple(
            int.from_bytes(value, "big" if encoding.big_endian else "little")
            for tag, value in walk.facts.items()
            if tag & _OVERLAY_BIT_MASK == _OVERLAY_BIT
        )
        verdict.bits = UnusedBits(image, big_endian=encoding.big_endian)
        verdict.finish = functools.partial(
            check_pixels, data, walk.value_start, walk.pixels[2], image, self._profile,
            tuple(each for each in overlay_bits if each), verdict.bits,
            big_endian=encoding.big_endian,
        )  # fmt: skip
        if isinstance(data, bytes):
            verdict.bits.look(data, walk.value_start, walk.pixels[2])
            verdict.close()
        return verdict


def _read_whole(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise OSError("the original became shorter while it was read")
        data += more
    return data


_latest: dict[tuple[int, int, int], tuple[tuple[object, ...], Scrubber]] = {}


def scrub_dicom(
    source: Path,
    target: Path,
    profile: Profile,
    pseudonyms: Pseudonyms,
    known: KnownIdentities,
) -> FileReport:
    """Write a clean copy of a DICOM file.

    Calls with the same profile, pseudonyms and known identities share what was learnt from the
    files before; keep these objects, and the work is several times quicker.

    Raises
    ------
    RefusedFileError
        The file cannot be vouched for; nothing was written.
    FileExistsError
        Something has the target's name.
    OSError
        Reading or writing fails; nothing was written.
    """
    key = (id(profile), id(pseudonyms), id(known))
    found = _latest.get(key)
    if found is None:
        # One participant at a time: what is remembered of the last one is let go. The objects
        # are held beside it, so that none of their numbers can be given to another object.
        _latest.clear()
        found = ((profile, pseudonyms, known), Scrubber(profile, pseudonyms, known))
        _latest[key] = found
    return found[1].scrub(source, target)


def explain_dicom(source: Path, profile: Profile) -> Iterator[ElementDecision]:
    """Return, element by element, what the profile would do with a file; nothing is written.

    Raises
    ------
    RefusedFileError
        The file is no well-formed DICOM file.
    """
    pseudonyms = Pseudonyms(secrets.token_bytes(SECRET_BYTES), "explained", "LABEL")
    return Scrubber(profile, pseudonyms, KnownIdentities()).explain(source)


def _pixel_header(data: Data, walk: Walk, encoding: Encoding) -> bytes:
    """Return the header of the pixel data; two reserved bytes in it are written anew."""
    if walk.pixels is None:
        return b""
    header = data[walk.pixels[1] : walk.value_start]
    if encoding.explicit and header[4:6] in LONG_VRS:
        return header[:6] + b"\0\0" + header[8:]
    return header


def _text(facts: Mapping[int, bytes], tag: int) -> str:
    return facts.get(tag, b"").rstrip(b" \0").decode("ascii", "replace")


def _written(tag: int) -> str:
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
